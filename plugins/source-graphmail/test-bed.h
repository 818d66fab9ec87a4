/* SPDX-License-Identifier: Apache-2.0 */
/* An instance of the plugin on the fake host, with mailboxes, cursors and a batch to fill. */
#pragma once

#include "source.h"

#define INFO "info@contoso.example"
#define ORDERS "orders@contoso.example"
#define GRAPH "https://graph.example"


struct fake_host;

struct bed {
    struct fake_host *fake;
    struct credential credential;
    struct mailboxes mailboxes;
    struct config config;
    void *self;
    struct fg_batch *batch; /* the last one handed out; NULL: none yet */
    bool stopped;
};

extern const struct fg_plugin fragua_plugin;

int bed_setup(void **state); /* two mailboxes in a list; not opened */
int bed_teardown(void **state); /* stops and closes, and fails if anything is left */
void bed_open(struct bed *bed); /* opens and starts */
void bed_assign(struct bed *bed, const char *key, const char *cursor);
void bed_pull(struct bed *bed); /* hands out a new batch */
void bed_stop(struct bed *bed);
/* Opens, starts, assigns all keys without cursors, pulls, and answers the token request. */
void bed_run(struct bed *bed);
void bed_token(struct bed *bed, const char *token); /* answers the token request */
/* Answers the request for a folder, found by a part of its URL. */
void bed_page(struct bed *bed, const char *url_part, const char *items, const char *link_name, const char *link);
struct fg_http_call *bed_call(struct bed *bed, const char *url_part); /* the waiting request; none fails */
bool bed_asks(struct bed *bed, const char *url_part); /* whether such a request waits */
