/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host for unit tests of plugins' glue: every service of struct fg_services, in memory, with time that stands still
 * until the test moves it.
 *
 *   struct fake_host *fake = fake_host_new();
 *   fragua_plugin.open(&fake->host, &config, &self, &err);
 *   fake_call_answer(fake_call_expect(fake, "POST", "/token"), 200, NULL, "{...}");
 *   fake_host_advance(fake, 10000);
 *   fake_host_free(fake);              fails the test if the plugin left a timer, call, record or job behind
 *
 * A member of fake->svc may be replaced by the test. What is of no use in a unit test (report, follow, topic_at) says
 * "not found". Broken rules (a batch used after submit, a record answered twice) fail the running cmocka test. One
 * thread; offloaded work runs in fake_host_work().
 */
#pragma once

#include <fragua/plugin.h>

#include <fragua/kit/buf.h>

/* What an option with FG_OPTION_SECRET points to here: struct fg_secret s = { "text" }; */
struct fg_secret {
    const char *text;
};

/* A request that the plugin sent and that waits for the test's answer. All owned by the fake. */
struct fg_http_call {
    struct fake_host *fake;
    struct fg_http_call *next;
    char *method, *url, *body;
    char *headers; /* "name: value\n" for each, as sent */
    const char *bearer; /* borrowed text of the secret; NULL: none */
    uint32_t timeout_ms;
    size_t body_max;
    bool allow_private;
    fg_http_done_cb done;
    void *arg;
};

struct fg_batch {
    struct fake_host *fake;
    struct fg_batch *next;
    enum { FAKE_BATCH_OPEN, FAKE_BATCH_SUBMITTED, FAKE_BATCH_CANCELLED } state;
    struct fg_record **records; /* owned array of n_records, with a reference each */
    size_t n_records;
    struct { struct fg_record *record; struct fg_error err; } dead[16]; /* given up by the source */
    size_t n_dead;
    struct { char *key, *value; } cursors[16]; /* NUL-ended, in order of first movement */
    size_t n_cursors;
    struct fg_error err; /* of the cancel; code 0: none */
};

struct fg_emit {
    struct fg_record *records[64]; /* references taken over; fake_emit_clear() drops them */
    size_t n;
};

struct fg_delivery {
    struct fake_host *fake;
    struct {
        struct fg_record *record;
        struct fg_record *results[8];
        size_t n_results;
        bool done;
        struct fg_error err; /* code 0: delivered */
    } items[16];
    size_t n, n_done;
};

/* A request to a route. The test fills it by fake_exchange_new() and reads the answer below. */
struct fg_exchange {
    const char *method, *path, *query_raw, *body; /* borrowed; body NULL: empty */
    const char *params;  /* "name=value&..." as the router would find them; NULL: none */
    const char *headers; /* "name: value\n"...; NULL: none */
    int status;                 /* 0: not answered yet */
    char content_type[128];
    struct fg_buf answer;       /* the body, streams too */
    struct fg_buf answer_headers; /* "name: value\n"... */
    bool ended, aborted, gone;
    fg_done_cb on_gone;
    void *on_gone_arg;
    char decoded[16][1024]; /* of params and query */
    unsigned n_decoded;
};

struct fake_host {
    struct fg_host host; /* hand its address to open() */
    struct fg_services svc;
    uint64_t now_ms;
    int64_t wall_ms;        /* moves with now_ms */
    uint64_t random_next;   /* what random() returns; the same until the test changes it */
    bool no_room;           /* record_new() says -FG_E_NO_ROOM */
    unsigned records_left;  /* record_new() works so often, then no room; UINT_MAX: always */
    size_t value_max;       /* record_new() says -FG_E_LIMIT of a larger value; SIZE_MAX: never */
    struct fg_buf log;      /* "LEVEL text\n"... */
    struct fg_error trouble; /* the last one told; code 0: none */
    unsigned n_troubles;    /* how often trouble() was called */
    struct fg_http_call *calls; /* unanswered, oldest first */
    struct fg_batch *batches;   /* all ever made, oldest first */
    struct fg_timer *timers;
    struct fake_work *works;
    size_t n_records;       /* alive */
};

struct fake_host *fake_host_new(void);
void fake_host_free(struct fake_host *fake);
void fake_host_work(struct fake_host *fake); /* runs offloaded work, and what that offloads */
/* Moves both clocks, stopping at each timer that comes due, in order; runs offloaded work at each stop. */
void fake_host_advance(struct fake_host *fake, uint64_t ms);
bool fake_host_logged(const struct fake_host *fake, const char *text); /* a part of any line so far */

/* The oldest unanswered call; NULL: none. */
struct fg_http_call *fake_call_next(struct fake_host *fake);
size_t fake_call_count(const struct fake_host *fake);
/* The oldest unanswered call with this method whose URL contains the text; none fails the test. */
struct fg_http_call *fake_call_expect(struct fake_host *fake, const char *method, const char *url_part);
/* @headers: "Name: value\n"... or NULL; Retry-After is also read in seconds. @body: NUL-ended or NULL. */
void fake_call_answer(struct fg_http_call *call, int status, const char *headers, const char *body);
void fake_call_fail(struct fg_http_call *call, int code, const char *text);

/* An open batch to hand to pull(); freed by fake_host_free(). */
struct fg_batch *fake_batch_new(struct fake_host *fake);
const char *fake_batch_cursor(const struct fg_batch *batch, const char *key); /* NULL: not moved */

struct fg_record *fake_record_new(struct fake_host *fake, const char *key, const char *value);
const char *fake_record_header(const struct fg_record *record, const char *name); /* NUL-ended; NULL: none */
void fake_emit_clear(struct fake_host *fake, struct fg_emit *emit);

struct fg_delivery *fake_delivery_new(struct fake_host *fake); /* empty */
void fake_delivery_add(struct fg_delivery *delivery, struct fg_record *record); /* takes over the reference */
void fake_delivery_free(struct fg_delivery *delivery); /* NULL allowed; drops records and results */

/* @query_raw: what follows '?', or NULL. */
struct fg_exchange *fake_exchange_new(const char *method, const char *path, const char *query_raw, const char *body);
void fake_exchange_go(struct fg_exchange *x);   /* the client goes away */
void fake_exchange_free(struct fg_exchange *x); /* NULL allowed */
