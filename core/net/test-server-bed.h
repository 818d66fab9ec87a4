/* SPDX-License-Identifier: Apache-2.0 */
/* A server and its routes on one loop, and a raw client on a socket beside it: what the server's tests stand on. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/server.h"

#define BED_WAIT_MS 5000 /* no test waits longer for anything */
#define BED_HOST    "Host: 127.0.0.1\r\n"

#define GET(path)      "GET " path " HTTP/1.1\r\n" BED_HOST "Connection: close\r\n\r\n"
#define GET_KEPT(path) "GET " path " HTTP/1.1\r\n" BED_HOST "\r\n"

struct bed {
    uv_loop_t loop;
    struct fg_http_server *server;
    struct fg_http_mount *mount;
    struct fg_metrics *metrics;
    struct fg_exchange *waiting; /* of GET /wait or GET /stream: not answered yet */
    unsigned n_gone;             /* calls of on_gone */
    unsigned n_handled;          /* requests that reached a handler */
    bool tell_gone;              /* handlers of /wait and /stream ask for on_gone */
    bool closed;
    struct fg_buf in;   /* what the last bed_read_*() took */
    char body_seen[64]; /* the last body of POST /echo, cut */
};

extern const struct fg_route bed_routes[]; /* self: a struct bed */
extern const size_t bed_n_routes;

/* @adjust: changes the configuration before the server starts; NULL: nothing to change. */
void bed_start(struct bed *bed, void (*adjust)(struct fg_http_server_config *config));
void bed_stop(struct bed *bed);
void bed_turn(struct bed *bed, int fd);            /* waits a little for the loop or the socket, runs the loop once */
bool bed_until(struct bed *bed, const bool *flag); /* false: it never came */
bool bed_until_count(struct bed *bed, const unsigned *counter, unsigned wanted);

int bed_connect(struct bed *bed); /* a socket that does not block */
void bed_send(struct bed *bed, int fd, const char *bytes, size_t len);
void bed_text(struct bed *bed, int fd, const char *text);
/* A GET of this path on a connection of its own, as far as its handler; returns the socket. */
int bed_begin(struct bed *bed, const char *path);
/* Reads until the text shows up; false: the server closed before, or it never came. */
bool bed_read_until(struct bed *bed, int fd, const char *text);
bool bed_read_to_end(struct bed *bed, int fd); /* until the server closes; false: it did not */
bool bed_has(const struct bed *bed, const char *text);
/* A whole exchange on a connection of its own; returns the status, 0: closed without an answer, -1: not closed. */
int bed_ask(struct bed *bed, const char *text);
int bed_ask_bytes(struct bed *bed, const char *bytes, size_t len);
int bed_status(const struct bed *bed); /* of the first answer in bed->in */
double bed_metric(struct bed *bed, const char *name, const char *label, const char *value);
