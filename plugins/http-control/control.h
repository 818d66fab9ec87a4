/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of http-control share: the instance, and answers from the host's reports. */
#pragma once

#include <fragua/plugin.h>

#include <fragua/kit/buf.h>

#include "events.h"
#include "reloads.h"
#include "window.h"

#define TOPICS_MAX 32u
#define TOPIC_SIZE 250u /* Kafka takes no longer name */

struct config {
    int64_t window, window_bytes;
};

struct control {
    struct fg_host *host;
    const struct config *config;
    struct window window;
    struct followed {
        struct fg_follow *follow;
        char topic[TOPIC_SIZE];
    } follows[TOPICS_MAX];
    size_t n_follows;
    struct events events;
    struct reloads reloads;
};

/* The host's table holds this function: it is no older than the function, and can do it. */
#define CONTROL_CAN(c, function)                                                                                       \
    ((c)->host->svc->size >= offsetof(struct fg_services, function) + sizeof((c)->host->svc->function) &&              \
     (c)->host->svc->function != NULL)

/* Follows the topics that the pipelines write to now, and no others. */
void control_follow(struct control *c);
/* Answers with a report of the host's; 404 where there is none with this name, 500 where it cannot be had. */
void control_report(struct control *c, struct fg_exchange *x, enum fg_report what, const char *name, int status,
                    const char *type);
