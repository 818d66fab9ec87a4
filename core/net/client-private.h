/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the HTTP client share.
 *
 * call    one request on its way, with the curl easy handle it owns for good; calls are used again from an idle list
 * host    one scheme, name and port: its running calls are counted, the rest wait in its line
 * slot    the right to run: there are host_connections_max a host and connections_max in all, so that curl always finds
 *         a connection for a call it is given. Its own pending list wakes one waiter of any host per finished call,
 *         which may be one that still cannot run, and the others then sleep on.
 * watch   the poll handle of one socket
 */
#pragma once

#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"
#include "net/client.h"

/* Limits, and what happens when they are reached. */
enum {
    CALLS_MAX = 4096,                /* running and waiting: more are refused by send with FG_E_LIMIT, retriable */
    IDLE_CALLS_MAX = 64,             /* kept for use again; more are freed */
    IDLE_BYTES_MAX = 16 * 1024,      /* a body buffer that grew past this is freed, not kept */
    HEADERS_MAX = 100,               /* fields of a request (FG_E_CONFIG) and of an answer (FG_E_LIMIT) */
    HEAD_BYTES_MAX = 64 * 1024,      /* all fields of an answer: FG_E_LIMIT */
    HEADER_NAME_MAX = 255,           /* bytes of a request field's name: FG_E_CONFIG */
    METHOD_MAX = 15,                 /* bytes: FG_E_CONFIG */
    URL_MAX = 16 * 1024,             /* bytes: FG_E_CONFIG */
    TIMEOUT_MS_MAX = 600000,         /* FG_E_CONFIG */
    CONNECT_TIMEOUT_MS = 10000,      /* where the request does not say */
    RETRY_AFTER_MS_MAX = 3600000,    /* longer is cut */
    METRIC_HOSTS_MAX = 64,           /* the rest counts as host="other" */
    CONNECTION_LIFETIME_S = 600,     /* then a kept connection is not used again, so that DNS changes arrive */
    TLS_FILE_BYTES_MAX = 1024 * 1024, /* one PEM file: FG_E_CONFIG */
    TLS_CA_BYTES_MAX = 4 * 1024 * 1024, /* all of a folder: FG_E_CONFIG */
    TLS_SETS_MAX = 64,               /* sets of files kept in memory; the oldest unused one goes */
    TLS_FRESH_MS = 1000,             /* files are read again when older than this */
    TLS_GRACE_MS = 60000,            /* so long the last good contents serve while the files do not fit together */
    ROOM_STEP = 16 * 1024,           /* bytes charged at a time where the answer's length is not known */
    ROOM_LOOK_MS = 20,               /* how often paused answers look for room */
    ROOM_WAIT_MS = 60000,            /* and how long, where it is not said: then FG_E_NO_ROOM */
    WHERE_MAX = 128,                 /* "https://host/path" in messages is cut here */
};

enum call_state { CALL_IDLE, CALL_WAITING, CALL_RUNNING, CALL_BROKEN, CALL_DONE };

/* Why one of our callbacks stopped a transfer: curl only knows that it was stopped. */
enum call_trouble {
    TROUBLE_NONE,
    TROUBLE_BODY_MAX,
    TROUBLE_HEAD_MAX,
    TROUBLE_HEAD,
    TROUBLE_MEMORY,
    TROUBLE_PEER,
    TROUBLE_BUDGET, /* larger than three quarters of the budget */
};

struct client_host {
    struct fg_list link;    /* client.hosts */
    struct fg_list waiting; /* of fg_http_call.link, first come first served */
    size_t running;
    size_t holds; /* of finish(), while it calls back */
    bool kept; /* has series of its own: stays until the client goes */
    struct fg_metric *seconds;
    struct {
        int code; /* 0: "error" */
        struct fg_metric *metric;
    } codes[8]; /* the first ones seen, so that counting takes no lock */
    size_t n_codes;
    char label[256]; /* "name" or "name:port" */
    char origin[];   /* "https://name:port" */
};

struct client_tls {
    struct fg_list link; /* client.tls_sets */
    unsigned refs;       /* calls that use it; the list holds it too */
    bool stale;          /* not in the list any more: freed with the last call */
    char *ca, *certificate, *key; /* paths; NULL: none */
    struct fg_buf ca_pem, certificate_pem, key_pem;
    uint64_t looked_ms; /* when the files were read last; 0: look again */
    uint64_t good_ms;   /* and when they held this */
};

struct fg_http_call {
    struct fg_list link; /* client.idle, .running or .broken, or client_host.waiting */
    struct fg_list due;  /* client.due */
    struct fg_http_client *client;
    struct client_host *host;
    struct client_tls *tls;
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist *bearer; /* the one with the token, linked behind headers; cleansed */
    fg_http_done_cb done;
    void *arg;
    uint64_t sent_ms, due_ms;
    struct fg_list paused;   /* client.paused, in the order in which they stopped */
    uint64_t left_ms;        /* paused: of its own time */
    size_t held;             /* paused: bytes of the body that curl holds */
    size_t room;             /* bytes that its body may come to without asking again */
    size_t charged;          /* for it */
    size_t lent;             /* bytes of the request's body, charged as long as it is lent */
    bool must;               /* see fg_http_client_must() */
    struct fg_buf head; /* "name: value\0" for each field */
    struct fg_buf body;
    size_t n_fields;
    size_t opened;  /* sockets opened for it */
    int head_status; /* of the status line read last */
    bool head_ended;
    bool allow_private;
    enum call_state state;
    enum call_trouble trouble;
    char method[METHOD_MAX + 1];
    char where[WHERE_MAX]; /* without query: it may carry a token */
    char name[256];        /* host name, for messages */
    char refused[INET6_ADDRSTRLEN];
    char reason[CURL_ERROR_SIZE];
    struct fg_header fields[HEADERS_MAX];
};

struct client_watch {
    uv_poll_t poll;
    struct fg_http_client *client;
    curl_socket_t fd;
    bool ours; /* opened by our callback: lives until the socket is closed. Else until curl lets go of it */
};

struct fg_http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t curl_timer, due_timer, room_timer;
    uv_idle_t kick; /* curl's "at once": runs after the present callback, before the loop waits */
    size_t handles; /* not yet closed */
    size_t connections_max, host_connections_max;
    char *user_agent;
    struct fg_metrics *metrics;
    struct fg_list hosts, idle, running, broken;
    struct fg_list due; /* sorted by due_ms */
    struct fg_list paused;
    struct fg_budget *budget;   /* NULL: none */
    uint64_t room_wait_ms;
    struct fg_http_call *over;  /* the one that may be over the limit; NULL: none */
    size_t lent_bytes;          /* charged for bodies of requests, */
    size_t body_bytes;          /* of answers, */
    size_t input_bytes;         /* and of them those for answers that are no must */
    struct fg_list tls_sets;
    size_t n_calls, n_running, n_idle, n_kept_hosts;
    struct client_watch **watches; /* array of n_watches by fd */
    size_t n_watches;
    bool closing;
    fg_done_cb closed;
    void *closed_arg;
};

/* client-loop.c: curl's sockets and timers on the loop */
int client_loop_init(struct fg_http_client *client, struct fg_error *err);
void client_loop_close(struct fg_http_client *client); /* after the multi handle is gone */
curl_socket_t client_loop_open(void *call, curlsocktype purpose, struct curl_sockaddr *address);
int client_loop_close_socket(void *client, curl_socket_t fd);
void client_loop_kick(struct fg_http_client *client); /* soon, not from here */
void client_loop_due(struct fg_http_client *client); /* sets the timer to the first deadline */
void client_loop_room(struct fg_http_client *client, uint64_t in_ms); /* looks for room then */

/* client-call.c: the life of a call */
struct fg_http_call *client_call_take(struct fg_http_client *client); /* NULL: no memory */
void client_call_start(struct fg_http_call *call);
void client_call_return(struct fg_http_call *call); /* one that is in no list: back to idle */
void client_call_drop(struct fg_http_call *call); /* out of every list and out of curl; back to idle */
void client_call_fail(struct fg_http_call *call, int code, unsigned flags, const char *what);
void client_call_expire(struct fg_http_client *client);
void client_call_drain(struct fg_http_client *client);     /* finished transfers */
void client_call_fail_broken(struct fg_http_client *client); /* those that could not start */
void client_call_fail_running(struct fg_http_client *client, const char *what);
void client_call_free(struct fg_http_call *call);
void client_call_insert_due(struct fg_http_call *call); /* by its due_ms */

/* client-room.c: what bodies take of the byte budget */
enum client_room { CLIENT_ROOM, CLIENT_ROOM_LATER, CLIENT_ROOM_NEVER };
enum client_room client_room_take(struct fg_http_call *call, size_t len); /* for so many bytes more */
size_t client_room_announced(const struct fg_http_call *call); /* bytes of body; 0: not known */
void client_room_pause(struct fg_http_call *call, size_t len); /* which this piece has */
void client_room_look(struct fg_http_client *client); /* paused calls go on where they can */
void client_room_give(struct fg_http_call *call);     /* its body is gone; repeatable */
void client_room_lend(struct fg_http_call *call, size_t bytes); /* the request's body */
size_t client_room_pass(struct fg_http_call *call);   /* its body goes to somebody else, with this charge */

/* client-host.c: the lines of a host */
struct client_host *client_host_get(struct fg_http_client *client, const char *origin, const char *label);
void client_host_unused(struct fg_http_client *client, struct client_host *host);
void client_host_next(struct fg_http_client *client); /* starts those that wait where there is a slot */

/* metrics.c */
void client_host_metrics(struct fg_http_client *client, struct client_host *host); /* gets a new host's series */
void client_host_count(struct fg_http_client *client, struct client_host *host, int status, uint64_t elapsed_ms);

/* client-request.c: checks a request and puts it into the call's easy handle; the call stays idle on failure */
int client_request_set(struct fg_http_call *call, const struct fg_http_request *req, struct fg_slice bearer,
                       struct fg_error *err);

/* client-response.c */
void client_response_callbacks(struct fg_http_call *call);
/* false: the head makes no sense. Fills @ret, which borrows from the call. */
bool client_response_read(struct fg_http_call *call, struct fg_http_response *ret);
/* What a Retry-After field asks for; 0: nothing. */
uint32_t client_retry_after_ms(struct fg_slice value, int64_t wall_ms);

/* client-error.c */
void client_error_of(const struct fg_http_call *call, CURLcode code, struct fg_error *ret);

/* client-tls.c */
int client_tls_get(struct fg_http_client *client, const struct fg_tls *tls, struct client_tls **ret,
                   struct fg_error *err);
void client_tls_unref(struct client_tls *tls); /* NULL allowed */
void client_tls_drop_all(struct fg_http_client *client);

/* client-peer.c */
bool client_peer_private(const struct sockaddr *address);
bool client_peer_private_text(const char *address); /* what is no address counts as private */
/* "127.0.0.1", for messages */
void client_peer_text(const struct sockaddr *address, char ret[INET6_ADDRSTRLEN]);

/* What finish() hands out, so that the call can be found behind the answer. */
struct client_answer {
    struct fg_http_response res;
    struct fg_http_call *call;
};

static inline uint64_t client_now_ms(void)
{
    return uv_hrtime() / 1000000;
}
