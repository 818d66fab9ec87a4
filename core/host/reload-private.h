/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the reload share. Loop thread only.
 *
 * A run owns all that is new until the swap; there each thing goes over to the process, and its member here is NULL.
 * What is left at the end was not used, and fg_reload_drop() lets it go. The configuration before stays, with its
 * Kafka, as long as the probation, which owns it.
 */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "host/check.h"
#include "host/diff.h"
#include "host/reload.h"
#include "host/watch.h"

#define FG_RELOADS_KEPT    32u           /* reports */
#define FG_RELOAD_REPORT_MAX (256u * 1024u) /* bytes of one */
#define FG_RELOAD_ARGS_MAX 128u          /* of the process that tries a file */

enum fg_reload_phase {
    FG_RELOAD_CHECK,
    FG_RELOAD_LOAD,
    FG_RELOAD_DIFF,
    FG_RELOAD_BUILD,
    FG_RELOAD_SWAP,
    FG_RELOAD_PROBE,
    _FG_RELOAD_PHASE_N,
};

enum fg_reload_result {
    FG_RELOAD_RUNNING,
    FG_RELOAD_DONE,
    FG_RELOAD_UNCHANGED,
    FG_RELOAD_REFUSED,
    FG_RELOAD_ROLLED_BACK,
    FG_RELOAD_WOULD_DO,
    _FG_RELOAD_RESULT_N,
};

struct fg_reload_run;

/* What becomes of one pipeline. */
struct fg_reload_pipeline {
    struct fg_reload_run *run;
    const struct fg_diff_pipeline *d; /* in the run's diff */
    struct fg_process_pipeline *live; /* borrowed; NULL: an added one, before the swap */
    struct fg_process_pipeline *made; /* owned until it runs; NULL: none */
    struct fg_lineup *lineup;         /* owned until it is swapped in; NULL: none */
    uint64_t began_ns;                /* of the pause */
    double pause_ms;
    uint64_t commits;  /* of the flow, when it had its new nodes */
    bool was_troubled; /* before the reload */
    bool drained, is_done;
};

/* Somebody who is told of the end. */
struct fg_reload_waiter {
    struct fg_list link;
    fg_reload_cb done;
    void *arg;
};

struct fg_reload_run {
    struct fg_reload *reload;
    struct fg_list link;    /* fg_reload::queue */
    struct fg_list waiters; /* of fg_reload_waiter::link */
    bool dry;               /* text stands for the file, and nothing is changed */
    bool back;              /* to the configuration before; next is given */
    struct fg_buf text;
    unsigned asked;    /* how often it was asked for */
    unsigned asked_by; /* bits of enum fg_reload_trigger */

    /* the report */
    enum fg_reload_result result;
    unsigned generation;
    int64_t began_ms;     /* Unix time */
    uint64_t began_ns, phase_ns;
    enum fg_reload_phase phase;
    double phase_ms[_FG_RELOAD_PHASE_N]; /* < 0: not done */
    double duration_ms;
    struct fg_error err;
    struct fg_conf_faults faults;

    /* what it makes */
    struct fg_check *check;
    char (*hashes)[2][65]; /* unused where the check told none */
    struct fg_config *old;  /* a reference: what ran when it was compared and built; the diff borrows its texts */
    struct fg_config *next; /* a reference */
    struct fg_diff diff;
    struct fg_kafka *kafka;                /* a reference: another one; NULL: the one that is there stays */
    struct fg_http_server *server;         /* another one */
    struct fg_http_server_change *change;  /* to the one that is there */
    struct fg_node **controls;             /* owned array of next->n_controls references */
    struct fg_http_mount **mounts;         /* owned array of the same, on `server` */
    struct fg_reload_pipeline *pipelines;  /* owned array of diff.n_pipelines */
    struct fg_kafka *kafka_before;         /* a reference, while swapping: old's, where that is another */
    size_t open;                           /* pipelines that are not done; one more while they are begun */
};

/*
 * Reloads that ran well so far; until they have shown that they work they can be taken back. One that comes while an
 * earlier one is on probation joins it: what is gone back to is the last configuration that is known to work.
 */
struct fg_reload_probation {
    bool on;
    unsigned generation;       /* the first of them */
    struct fg_config *before;  /* a reference */
    struct fg_kafka *kafka;    /* a reference: before's; NULL: it did not change */
    uint64_t began_ns;
    struct fg_reload_watched {
        char *name;            /* owned */
        uint64_t commits;      /* when it began */
        bool kafka;            /* trouble with Kafka may be the reload's doing too */
    } *pipelines;              /* owned array of n: changed ones that have not committed yet */
    size_t n;
};

/* A finished report, as text. */
struct fg_reload_report {
    unsigned generation;
    enum fg_reload_result result;
    char *error; /* owned; NULL: none */
    char *rest;  /* owned: the other members as JSON, without braces */
    double probation_ms; /* < 0: none */
};

struct fg_reload {
    struct fg_process *process;
    const struct fg_process_origin *origin; /* borrowed */
    struct fg_list queue;                   /* of fg_reload_run::link: waits; at most one that is not dry */
    struct fg_reload_run *run;              /* owned: what is under way; NULL: nothing */
    struct fg_env_timer *kick;              /* begins the next run, from the loop */
    struct fg_env_timer *probation_timer;
    struct fg_reload_probation probation;
    bool failed; /* noted by a pipeline on probation: looked at from the loop */
    struct fg_reload_report reports[FG_RELOADS_KEPT]; /* newest first, n_reports */
    size_t n_reports;
    struct fg_watch *watch; /* NULL: files are not watched */
    bool watch_closing;
    bool stopping;
    fg_done_cb stopped;
    void *stopped_arg;
};

/* reload.c */
void fg_reload_phase(struct fg_reload_run *run, enum fg_reload_phase phase); /* the one before has ended */
void fg_reload_end(struct fg_reload_run *run, enum fg_reload_result result); /* tells all who wait, frees it */
void fg_reload_back(struct fg_reload *reload, struct fg_config *before, struct fg_kafka *kafka); /* takes both over */
void fg_reload_watch(struct fg_reload *reload, const struct fg_config *config); /* @config: whose files */

/* reload-dry.c */
int fg_reload_dry_check(const struct fg_reload *reload, struct fg_slice text, struct fg_error *err);

/* reload-build.c */
int fg_reload_build(struct fg_reload_run *run, struct fg_error *err); /* negative: some may be built, see below */
void fg_reload_drop(struct fg_reload_run *run); /* what was built and is not used */

/* reload-swap.c */
void fg_reload_swap(struct fg_reload_run *run); /* ends by fg_reload_end() */

/* reload-probation.c */
/* Takes over both. */
void fg_reload_probation_begin(struct fg_reload_run *run, struct fg_config *before, struct fg_kafka *kafka);
void fg_reload_probation_end(struct fg_reload *reload); /* lets go of what it kept */
void fg_reload_probation_pass(struct fg_reload *reload); /* those that have committed are through */
void fg_reload_probation_look(void *arg); /* from the loop; @arg: the reload */

/* reload-report.c */
void fg_reload_report_write(struct fg_json_writer *w, const struct fg_reload_run *run); /* an object */
void fg_reload_report_keep(struct fg_reload *reload, const struct fg_reload_run *run);
void fg_reload_report_take_back(struct fg_reload *reload, unsigned generation, const struct fg_error *why, double ms);
void fg_reload_report_deinit(struct fg_reload_report *report);
void fg_reload_log(const struct fg_reload_run *run);
const char *fg_reload_phase_name(enum fg_reload_phase phase);
const char *fg_reload_result_name(enum fg_reload_result result);

/* metrics.c */
void fg_reload_count(const struct fg_process *process, enum fg_reload_result result);
void fg_reload_metrics(const struct fg_reload_run *run); /* counts it too */
