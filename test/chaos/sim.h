/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world for the flow, all simulated but the flow itself: mailboxes, replicas that read them, Kafka, replicas that ask
 * a service, and mishaps. One seed is one run.
 *
 * Glossary:
 *   mail     what the ledger counts: a folder, a conversation, its number there, and bytes with their hash
 *   folder   a log of mails, read by a cursor; the folders of a box are one owner's
 *   place    a replica that should be there, by name; who has it is a node
 *   node     one process: dies with its place's name, and a successor takes it
 *   ghost    a node that was killed: what is left of it is taken apart, unheard
 *   line     one pipeline in a node: ingest (mailboxes to documents) or recognise (documents to entities)
 *   version  instances of a line's stages, from its start or a reload; a line may have its stages of several
 */
#pragma once

#include "../model/model-bus.h"
#include "base/budget.h"
#include "flow/pipeline.h"
#include "flow/record.h"

#define SIM_PLACES_MAX  8u
#define SIM_FOLDERS_MAX 24u
#define SIM_TEXT_MAX    4500u
#define SIM_ATTEMPTS    3u
#define SIM_TRICKLE     60u /* mails for after the mishaps, so that it never is quite still */
#define SIM_LINES_MAX   512u /* whose versions the ledger compares */

enum kind {
    KIND_PLAIN,
    KIND_FLAKY,       /* the service makes nonsense of it, and understands it at the last attempt */
    KIND_FLAKY_FORGE, /* the transform likewise */
    KIND_DROP,        /* the transform drops it */
    KIND_BAD_FORGE,   /* the transform cannot handle it: dead letter */
    KIND_REFUSED,     /* the service refuses it: dead letter */
    KIND_NONSENSE,    /* the service always makes nonsense of it: dead letter */
    KIND_MUTE,        /* the service never answers it: dead letter */
    KIND_WRECK,       /* its process ends when the sink gets it, each time: dead letter */
    KIND_HUGE,        /* its result is larger than its topic takes: dead letter */
    _KIND_N,
};

struct mail {
    uint32_t folder, conversation, seq; /* seq: from 0 in its conversation */
    uint8_t kind;
    uint8_t
        fails_left; /* how often the service and the transform may still fail it without its becoming a dead letter */
    uint8_t documents, parts, entities, dead_ingest, dead_recognise; /* seen by the ledger */
    bool done;                                                       /* it is where it should be */
};

struct folder {
    char box[16], key[32]; /* the owner; "owner/rest" */
    uint32_t *log;         /* owned array of n: mails in the order in which they came */
    size_t n;
    uint32_t epoch;                   /* of its cursors: those of an older one have expired */
    size_t n_documents, n_done;       /* of its mails, that the ledger saw */
    size_t calm_documents, calm_done; /* when the mishaps were over */
};

/* What a source knows of a folder. */
struct reading {
    bool mine;
    uint32_t epoch;
    size_t at, high; /* next to ask for; one past the last that was handed on */
    uint64_t rest_until_ms;
};

struct node;
struct world;
struct line;

enum stage { STAGE_SOURCE, STAGE_TRANSFORM, STAGE_SINK, _STAGE_N };

/* It is the `self` of its instances. */
struct version {
    struct version *older; /* line::versions */
    struct line *line;
    struct node *node;
    struct world *world;
    unsigned number; /* later ones are higher, over the whole run */
    bool gone[_STAGE_N]; /* nobody may use that instance any more */
    void *selves[4];
    struct fg_stage stages[_STAGE_N];
    /* source */
    struct reading readings[SIM_FOLDERS_MAX];
    struct fg_batch *fill;
    struct fg_env_timer *timer; /* of the fetch under way, or the next look */
    size_t turn, fetching;      /* the folder; SIM_FOLDERS_MAX: none */
    bool stubborn, filled;      /* keeps what it fills over a rewind, for a while; it is filled */
    uint64_t graph_rest_ms;
    /* sink */
    struct fg_list deliveries;
    uint64_t not_before_ms; /* the service said Retry-After until then */
    bool fails;             /* the sink's next answer is that it cannot go on */
};

struct line {
    struct node *node;
    struct world *world;
    unsigned number; /* over the whole run */
    bool ingest;
    struct fg_pipeline *pipeline;
    struct fg_pipeline_config config;
    struct fg_output outputs[2];
    const char *topics[1];
    bool stopped;
    struct version *versions;      /* owned list, until the node ends */
    struct version *now[_STAGE_N]; /* whose instance is at work; NULL: none, and none there */
    /* reload */
    bool reloading;                /* asked to be held, or held */
    bool is_held;
    unsigned n_unreleased;
    unsigned freezes;              /* of the process, when it was asked */
    uint64_t asked_ms, drain_ms;
};

struct node {
    struct fg_list link; /* world::nodes, from start to the end of the run */
    struct world *world;
    struct sim_process process;
    struct model_client client;
    struct fg_budget budget;
    struct fg_metrics *metrics;
    struct fg_logger logger;
    char name[16];
    bool ghost, stopping;
    unsigned n_lines, n_open;
    struct line lines[2];
    uint64_t frozen_until_ms;
    unsigned n_freezes;
    size_t budget_max; /* the most that was used */
};

struct place {
    char name[16];
    bool ingest, recognise;
    struct node *now;       /* NULL: nobody */
    uint64_t down_until_ms; /* nobody: to be filled then */
};

enum service {
    SERVICE_OK,
    SERVICE_THROTTLES,
    SERVICE_DOWN,
    SERVICE_SILENT,
    SERVICE_NONSENSE,
    SERVICE_SLOW,
    _SERVICE_N
};
enum graph { GRAPH_OK, GRAPH_THROTTLES, GRAPH_DOWN, GRAPH_CUTS, GRAPH_REPEATS, _GRAPH_N };

struct ledger {
    size_t issued, done, committed, lost, duplicated, corrupt, misordered, aborted_seen, dead, dead_wrong;
    size_t handles, aborts, early_calls, over_budget, unclean;
    size_t reloads, drained, outdated, late_holds; /* outdated: an old version's record behind one of a newer */
    uint64_t recovery_ms; /* from the end of all mishaps until mails of each folder have come through again */
    uint64_t drained_ms;  /* and until everything was where it should be */
    bool has_mute;        /* mails that are never answered or end processes, which takes its time by design */
    uint64_t sim_ms;
};

/* How far the independent reader has read a topic, and what it knows of conversations. */
struct reader {
    struct model_topic *topic;
    size_t *at;    /* owned array: of each partition */
    int64_t *last; /* owned array: highest seq seen of each conversation; -1: none */
    unsigned *newest; /* owned array: of each partition, stamp and line, the newest version seen; 0: none */
};

struct options {
    uint64_t seed;
    size_t mails; /* 0: by chance */
    void (*trace)(void *arg, const char *line);
    void *trace_arg;
    struct fg_log *log; /* of the pipelines; NULL: silent */
};

struct world {
    struct sim sim;
    struct model_bus bus;
    struct options options;
    /* the mix */
    bool exactly_once, combined;
    enum fg_delivery_mode delivery;
    unsigned n_folders, n_conversations;
    size_t n_mails, n_early, n_issued, commit_records, budget_bytes;
    uint32_t commit_interval_ms, retry_cap_ms, stop_ms;
    unsigned n_workers, mishaps_left;
    uint64_t mishap_gap_ms, reload_gap_ms, service_ms_max; /* reload_gap_ms 0: as a mishap among others */
    struct fg_sink_limits sink_limits;
    size_t page_max;
    bool recognise_transforms;
    /* what is */
    struct mail *mails; /* owned array of n_mails */
    uint32_t *next_seq; /* owned array of n_conversations */
    struct folder folders[SIM_FOLDERS_MAX];
    struct place places[SIM_PLACES_MAX];
    unsigned n_places, n_nodes, n_kills, n_line_numbers, n_versions;
    struct fg_list nodes;
    enum service service;
    enum graph graph;
    uint64_t service_until_ms, graph_until_ms;
    uint32_t retry_after_ms;
    struct node *struck;           /* something befalls it in the middle of a publish; NULL: nobody */
    unsigned strike, strike_steps; /* what, and after so many requests more, */
    bool strike_first;             /* the first ones of a publish alone */
    bool calm;                     /* mishaps are over */
    uint64_t calm_ms;
    struct reader documents, parts, entities, dead;
    struct ledger ledger;
};

/* sim-world.c */
void world_run(const struct options *options, struct ledger *ret);
bool ledger_is_good(const struct ledger *ledger);

/* sim-mails.c: what is in a mail */
void mails_make(struct world *w);
void mails_free(struct world *w);
void mail_issue(struct world *w); /* the next one comes into its folder */
size_t mail_text(const struct world *w, uint32_t i, char stage, char ret[SIM_TEXT_MAX]);
/* Which mail this is, whole and unchanged; false: none of ours. @stage: 'M' as issued, 'D' document ... */
bool mail_of(const struct world *w, struct fg_slice value, char *ret_stage, uint32_t *ret);
void mail_key(const struct world *w, uint32_t i, char ret[16]); /* of its conversation */

/* sim-ledger.c: the independent reader */
void ledger_open(struct world *w);
void ledger_close(struct world *w);
void ledger_read(struct world *w); /* what is committed since the last time */
void ledger_calm(struct world *w); /* from now on it counts what comes through */
bool ledger_has_recovered(const struct world *w);
void ledger_settle(struct world *w); /* at the end: counts what is lost and what is twice there */

/* sim-node.c */
struct node *node_start(struct world *w, struct place *place);
void node_stop(struct node *node, bool now);
void node_kill(struct node *node);
bool node_is_gone(const struct node *node);
void node_free(struct node *node);
void node_note_budget(struct node *node);

/* sim-source.c, sim-sink.c */
extern const struct fg_plugin sim_source_plugin, sim_forge_plugin, sim_pass_plugin, sim_sink_plugin;
void version_source_init(struct version *v);
void version_source_stop(struct version *v);
/* Nobody hands out what is not committed. What a transform made has no origin of its own. */
void line_check_origin(struct world *w, const struct fg_record *record);

/* sim-reload.c */
#define SIM_STAMP_MAX 32u
/* A new one with instances of all of the line's stages. */
struct version *version_new(struct line *line);
void versions_free(struct line *line);
/* The headers of what a stage makes of a record: the record's own, and which version it was. @ret: room for 8. */
size_t version_stamp(const struct version *v, const char *name, const struct fg_record_view *in, struct fg_header *ret,
                     char text[SIM_STAMP_MAX]);
void line_reload(struct line *line);

/* sim-mishaps.c */
void mishaps_begin(struct world *w);
void mishaps_end(struct world *w);    /* all is well again */
void mishap_wreck(struct node *node); /* it ends, in a moment */
