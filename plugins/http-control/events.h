/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/events: what happens, as server-sent events, to any number of readers. */
#pragma once

#include <fragua/host.h>

struct control;

#define EVENTS_HEARTBEAT_MS 15000u       /* between two comment lines, so that a dead connection is noticed */
#define EVENTS_GATHER_MS    50u          /* events of records wait so long for others, to leave in one write */
#define EVENTS_GATHER_BYTES (64u * 1024) /* and no longer once there are so many bytes of them */
#define EVENTS_PENDING_MAX  (1024u * 1024) /* bytes; an event that does not fit is left out */

enum event_kind { EVENT_RELOAD, EVENT_PIPELINE, EVENT_DOCUMENT, EVENT_ENTITIES, _EVENT_KIND_N };

struct events {
    struct stream *streams; /* owned list */
    unsigned busy;          /* calls under way that walk the list: nothing leaves it */
    struct fg_events *host; /* NULL: not started, or the host has none */
    struct fg_timer *heartbeat, *gather;
    bool gathering;
};

bool events_init(struct control *c); /* false: no memory */
void events_start(struct control *c);
/* Tells all who want it of a record; id and mailbox are JSON, mailbox may be empty. */
void events_record(struct control *c, enum event_kind kind, struct fg_slice id, struct fg_slice mailbox);
void events_stop(struct control *c); /* ends all streams */
void events_deinit(struct control *c); /* also of one whose init failed */

void get_events(void *self, struct fg_exchange *x); /* handler of the route; self: struct control */
