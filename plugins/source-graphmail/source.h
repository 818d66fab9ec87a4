/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source-graphmail's parts and what they share.
 *
 *   token       the access token, renewed in time
 *   directory   which mailboxes a domain has
 *   mailbox     one mailbox: an owner of cursors; at most one of its folders is being read at a time
 *   folder      one folder of a mailbox: one cursor for its link, and those of its memory
 *   memory      which versions of its mails were handed on
 *   schedule    mailboxes in the order in which their turns come
 *   poll        takes turns: fetches pages, fills batches
 *
 * All on the loop thread, but the reading of large pages.
 */
#pragma once

#include <fragua/plugin.h>

#include "answer.h"
#include "memory.h"
#include "page.h"
#include "url.h"

#define MAILBOX_NAME_MAX 320u         /* bytes: 64 before and 255 behind the '@' */
#define FOLDER_NAME_MAX 512u          /* bytes */
#define MAILBOXES_MAX 200000u         /* known at a time */
#define REQUEST_TIMEOUT_MS 60000u     /* for a page or a token */
#define INLINE_MAX 65536u             /* bytes of a page that is read on the loop; larger ones go to a worker */
#define SMALL_ANSWER_MAX (1u << 20)   /* bytes of a token's answer */
#define SAVE_IDLE_MS 600000u          /* how often a cursor is saved that moved without mail */
#define DIRECTORY_MS 600000u          /* how often a domain's mailboxes are listed */
#define RETRY_BASE_MS 1000u           /* full jitter between tries: 1 ms .. base * 2^attempt, at most the cap */
#define RETRY_CAP_MS 10000u           /* a Graph that is back is noticed soon; when all wait, few ask it meanwhile */
#define PARK_BASE_MS 60000u           /* the same for what will not get better by itself */
#define PARK_CAP_MS 3600000u
#define HOLD_AFTER 3u                 /* throttled or down so often without a success between: everybody waits */
#define NO_ROOM_MAX 100u              /* tries to get a page past the byte budget before smaller ones are asked for */
#define SLOTS_MAX 100000           /* numbers of a memory's cursors are below */
#define REMEMBER_MAX 1000000       /* versions of a folder */
#define PAGE_CUT 4                 /* a page that is too large is asked for in so many parts */
#define PAGES_BEFORE_GROWTH 20        /* good pages in a row before a reduced page size is doubled again */

struct credential {
    const struct fg_secret *secret;
};

struct mailboxes {
    const char *domain;
    struct fg_strings list, exclude;
};

enum body { BODY_HTML, BODY_TEXT };

struct config {
    const char *tenant, *client, *graph, *login;
    const struct credential *credential;
    const struct mailboxes *mailboxes;
    struct fg_strings folders;
    int64_t poll, page_size, page_bytes, concurrency, remember;
    int body;
    bool attachments;
};

struct source;

/* The access token and how it is renewed. */
struct token {
    char *header;        /* owned; "Bearer ..."; NULL: none */
    unsigned serial;     /* counts tokens; 0: none yet */
    uint64_t renew_ms, expire_ms; /* monotonic */
    uint64_t refused_ms; /* when the last one was refused */
    bool after_refusal;  /* this one was got because the one before was refused */
    struct fg_http_call *call;
    struct fg_timer *timer; /* runs: waits before the next try */
    bool waiting;
    struct fg_buf form;  /* body of the request in flight: holds the secret */
    unsigned attempt;
    struct fg_error err; /* why there is none; code 0: nothing wrong */
};

struct directory {
    struct fg_http_call *call;
    struct fg_timer *timer;
    char *link;          /* owned; page to ask for next; NULL: the first */
    uint64_t walk;       /* number of the walk that goes on or was the last one */
    bool due;            /* a page is wanted as soon as there is a token */
    unsigned attempt, serial;
    struct fg_error err;
};

enum folder_state { FOLDER_IDLE, FOLDER_ASKING, FOLDER_READING, FOLDER_READY };

/* A page from its arrival until its batch is submitted. */
struct fetched {
    struct source *source;
    struct folder *folder; /* NULL: nobody waits for it any more */
    struct fg_record *whole; /* owned; its value is the page as it came, whose bytes the messages borrow; NULL: none */
    struct page page;      /* points into it */
    struct fg_error err;   /* code 0: the page is sound */
    size_t n_new;          /* messages that were not handed on before */
    unsigned no_room;      /* how often it did not fit */
};

struct folder {
    struct mailbox *mailbox;
    struct folder *next;       /* mailbox::folders */
    struct folder *ready_next; /* source::ready */
    char *name, *key;          /* owned; key: "<mailbox>/<name>" */
    char *cursor;              /* owned link to go on from; NULL: from the start */
    struct memory memory;      /* empty where `remember` is 0 */
    char *restart;             /* owned link that Graph gave for walking again; NULL: our own */
    bool wanted;               /* by the options */
    bool assigned;             /* by the host */
    bool first_walk;           /* since the cursor was empty, and nothing remembered */
    bool delta_saved;          /* the last cursor that was submitted ended a round */
    bool failing;
    bool counted, counted_failing; /* in source::n_polled and n_failing */
    enum folder_state state;
    unsigned attempt, serial;  /* tries in a row that failed; token::serial that was sent */
    int page_size, good_pages;
    uint64_t due_ms, saved_ms;
    struct fg_http_call *call; /* ASKING */
    struct fetched *fetched;   /* READING, READY; owned while READY, else by its work */
};

struct mailbox {
    struct mailbox *bucket_next; /* source::buckets */
    struct source *source;
    char *name;             /* owned, lower case */
    struct folder *folders; /* owned */
    bool excluded;
    bool listed;            /* by the options or by the directory */
    bool busy;              /* one of its folders is not IDLE */
    uint64_t walk;          /* directory::walk that saw it last */
    uint64_t not_before_ms; /* throttled until then */
    uint64_t due_ms, turn;  /* place in the schedule: earlier first, then who waits longer */
    size_t place;           /* index in schedule::heap + 1; 0: not in it */
};

struct schedule {
    struct mailbox **heap; /* owned binary heap of n */
    size_t n, cap;
    uint64_t turns;
};

struct source {
    struct fg_host *host;
    const struct config *config;
    struct url_origin graph, login;
    char *graph_base, *login_base; /* owned, without a slash at the end */
    struct token token;
    struct directory directory;
    struct schedule schedule;
    struct mailbox **buckets; /* owned array of n_buckets, a power of two */
    size_t n_buckets, n_mailboxes;
    struct folder *ready, **ready_end; /* pages that wait for a batch, oldest first */
    struct fg_batch *batch; /* the host waits for it; nothing is in it yet */
    struct fg_timer *timer; /* for the next turn */
    bool running;
    int64_t n_busy;         /* mailboxes being read, ready pages included */
    size_t n_reading;       /* pages at a worker */
    size_t n_polled, n_failing; /* folders */
    unsigned bad_in_row;    /* throttled or down, no success between */
    uint64_t hold_ms;       /* nobody asks before */
    struct fg_error last_err; /* of a folder */
    struct fg_error told;   /* to trouble(); code 0: nothing */
    fg_done_cb stopped;     /* waits for n_reading == 0 */
    void *stopped_arg;
    struct fg_metric *m_pages, *m_messages, *m_repeats, *m_throttled;
};

/* token.c */
void token_start(struct source *s);
void token_stop(struct source *s); /* repeatable; forgets the token */
/* "Bearer ..." to send now, lent until the next call; NULL: not yet, source_wake() follows. */
const char *token_get(struct source *s, unsigned *ret_serial);
/* Graph answered 401 to this serial. False: another token would not help, this one was got for that reason just now. */
bool token_refused(struct source *s, unsigned serial);

/* directory.c */
void directory_start(struct source *s);
void directory_stop(struct source *s);
void directory_step(struct source *s); /* asks for a page that is due */

/* mailbox.c */
char *text_copy(struct fg_slice s); /* NUL-ended; aborts without memory */
bool mailbox_name_ok(struct fg_slice name);
bool folder_name_ok(struct fg_slice name);
/* The mailbox of this name in any case, made where there is none; NULL: MAILBOXES_MAX reached. */
struct mailbox *mailbox_get(struct source *s, struct fg_slice name);
struct mailbox *mailbox_next(const struct source *s, const struct mailbox *after); /* walks all: start with NULL */
void mailbox_list(struct mailbox *m, bool listed);
struct folder *folder_get(struct mailbox *m, struct fg_slice name); /* made where there is none */
/* Splits a cursor's key. *ret_slot: of the folder's memory; -1: it is the folder's link. false: no key of ours. */
bool cursor_key_read(struct fg_slice key, struct fg_slice *ret_mailbox, struct fg_slice *ret_folder, int64_t *ret_slot);
void cursor_key_write(const struct folder *f, uint32_t slot, struct fg_buf *key);
void mailboxes_free(struct source *s);

/* schedule.c */
void schedule_put(struct schedule *q, struct mailbox *m, uint64_t due_ms); /* anew, behind all with the same time */
void schedule_remove(struct schedule *q, struct mailbox *m); /* repeatable */
struct mailbox *schedule_first(const struct schedule *q);    /* NULL: empty */
void schedule_free(struct schedule *q);

/* poll.c */
void poll_arrange(struct mailbox *m); /* into the schedule or out of it, after any change */
void poll_step(struct source *s);     /* starts what can be started now */
void poll_fill(struct source *s);     /* ready pages into the batch, if there is one */
/* Forgets what is being read of this folder, and goes on from here. */
void poll_forget(struct folder *f);
void poll_set_cursor(struct folder *f, struct fg_slice cursor); /* empty: from the start */

/* turn.c: what an answer does to a folder */
void turn_failed(struct folder *f, enum answer answer, const struct fg_error *err);
void turn_reset(struct folder *f, struct fg_slice location);
void turn_good(struct folder *f);
void folder_count(struct folder *f); /* keeps n_polled and n_failing right */

/* source-graphmail.c */
void source_wake(struct source *s); /* something changed: a token came, a mailbox was found */
void source_trouble(struct source *s); /* tells the host when all fails, and when it works again */
uint64_t source_jitter(struct source *s, uint64_t base_ms, uint64_t cap_ms, unsigned attempt);
