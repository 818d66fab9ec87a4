/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the flow share. Loop thread only, but for struct fg_flow_job of stages.c while it is on a worker,
 * and what says [any thread].
 *
 * The rule that keeps this simple: a callback (of Kafka, a plugin, a worker, a timer) only notes what happened and
 * calls fg_flow_kick(); everything is decided in advance() of pipeline.c, on a timer of its own, never inside anyone's
 * call. So no plugin is ever called from within a call that it made, and each step sees a settled state. Functions
 * named fg_flow_step_... are advance()'s alone; what says "in a step" is for them.
 *
 * Who owns what: the pipeline its batches, a batch its slots and moves, a slot its record, its items and its dead
 * letter, an item what the transforms and the sink made. A job and a delivery have references of their own, because a
 * worker and a plugin may hold them longer. A publish borrows from its batch, which lives until the outcome, whatever
 * happens.
 *
 * Glossary, beyond pipeline.h:
 *   phase     what the pipeline has open towards Kafka
 *   step      one function of advance(): does what can be done now, and says by fg_flow_due() when to look again
 *   forget    drop everything in flight; what is on a worker is told so, and the epoch moves on
 *   recover   after a forget: wait for the publish under way, then take the input back to its last committed position
 *   unsure    while recovering: the producer died in a commit, so Kafka must be asked which position that is
 *   mark      what is left beside the group's offsets to count attempts over the ends of processes, see marks.c
 *   careful   one record at a time, because processes ended here again and again
 *   item      what the transforms made of a slot's record: one each unless they emit; a sink answers items
 *   fill      the fg_batch that a source is filling
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/mem.h"
#include "flow/cursors.h"
#include "flow/pipeline.h"
#include "flow/record.h"

#define FG_FLOW_BATCHES_MAX    4u     /* batches at a time: one commits, the others are worked on */
#define FG_FLOW_WORK_RECORDS   32u    /* records that go to a worker in one piece of work, at most, */
#define FG_FLOW_WORK_BYTES     65536u /* and their bytes: saves wake-ups, keeps workers even */
#define FG_FLOW_COMMIT_GAP_MS  10u    /* no early close sooner than this after the last commit */
#define FG_FLOW_DRY_MS         2u     /* the input is dry when nothing came for so long */
#define FG_FLOW_REVOKE_MS      5000u  /* to finish batches when Kafka takes partitions away: half a session */
#define FG_FLOW_PULL_GAP_MS    100u   /* before a source is asked again after it gave a batch back empty */
#define FG_FLOW_RESCAN_MS      2000u  /* how often a source is asked for keys that it did not name before */
#define FG_FLOW_BUDGET_LOOK_MS 200u   /* when out of room: look again, in case somebody gave credit without a wake */
#define FG_FLOW_RETRY_BASE_MS  200u   /* defaults of the retries' jitter */
#define FG_FLOW_RETRY_CAP_MS   30000u
#define FG_FLOW_SILENCES       5u      /* time-outs of a record in an outage, before it may be the record's own fault */
#define FG_FLOW_CAREFUL_STARTS  6u    /* so many began here without a commit: from then on one record at a time, */
#define FG_FLOW_CAREFUL_RECORDS 200u  /* for so many */
#define FG_FLOW_NAME_MAX        40u   /* bytes, of a record's name in a mark, with NUL */
#define FG_FLOW_OUTAGE_CAP_MS   10000u /* the longest wait before Kafka or a service is asked whether it is back */
#define FG_FLOW_EMITS_MAX      100000u /* records that transforms may make of one record */
#define FG_CURSOR_VALUE_MAX    65536u  /* bytes */
#define FG_CURSOR_KEY_MAX      1024u   /* bytes */

enum fg_slot_state {
    FG_SLOT_WORK,    /* waits for transforms: queued, on a worker, or until its next try */
    FG_SLOT_SINK,    /* waits for the sink's answers to its items */
    FG_SLOT_DONE,    /* its items' results are what it became */
    FG_SLOT_DROPPED, /* a transform dropped it */
    FG_SLOT_DEAD,    /* it becomes a dead letter, see fg_slot::dead */
};

enum fg_item_queue { FG_ITEM_FREE, FG_ITEM_READY, FG_ITEM_RETRY };

struct fg_item {
    struct fg_slot *slot;       /* borrowed */
    struct fg_record *record;   /* owned */
    struct fg_record **results; /* owned array of n_results owned references; without a sink: unused, record counts */
    size_t n_results;
    bool answered;
    enum fg_item_queue queued; /* READY: in to_sink, RETRY: in sink_retries, FREE: not yet let go, or in a delivery */
    unsigned attempts;         /* at the sink; outages don't count */
    unsigned silences;         /* time-outs while the sink had an answer for nobody: they don't count either */
    /* fg_pipeline::sink_answers when it was sent first, the time before the last, and last */
    uint64_t answers_first, answers_before, answers_seen;
    uint64_t due_ms;           /* in fg_pipeline::sink_retries: not before */
    struct fg_list link;       /* fg_pipeline::to_sink or ::sink_retries; unlinked while in a delivery */
};

struct fg_slot {
    struct fg_flow_batch *batch; /* borrowed */
    struct fg_list link;         /* fg_flow_batch::slots */
    struct fg_list queue;        /* fg_pipeline::to_work or ::work_retries */
    uint64_t seq;                /* order of arrival over the pipeline's life */
    struct fg_record *in;        /* owned */
    const char *cursor_key;      /* borrowed from the batch's moves; NULL: came from Kafka */
    struct fg_flow_partition *partition; /* borrowed: where it came from, and */
    int64_t next;                        /* the offset behind it; NULL: came from a source */
    uint64_t arrived_ms;
    size_t reserved; /* charged for what it may become, until it has ended */
    enum fg_slot_state state;
    struct fg_flow_job *job; /* stages.c's, on a worker; NULL: none */
    unsigned attempts; /* at transform number `stage` */
    size_t stage;
    uint64_t due_ms;        /* in work_retries: not before */
    struct fg_item *items;  /* owned array of n_items, set once by the transforms */
    size_t n_items, n_open; /* not yet answered */
    struct fg_dead *dead;   /* owned; NULL unless DEAD */
};

struct fg_dead {
    struct fg_error err;
    const char *node; /* borrowed: the stage's */
    unsigned attempts;
    bool bare; /* without its value, which Kafka does not take */
};

struct fg_flow_mark {
    unsigned starts; /* how many have begun to work here since the last commit; 0: nothing is known */
    unsigned hits;   /* of them ended with the named record in hand */
    char name[FG_FLOW_NAME_MAX];
};

/* The mark that this pipeline last wrote, or tried to, in a partition that it has or had. */
struct fg_flow_own_mark {
    char *topic; /* owned */
    int32_t partition;
    struct fg_flow_mark mark;
    bool in_hand; /* its hit is for what this pipeline had in hand itself */
};

/* One of the input's partitions. Kafka input: its position; source: how far its cursors have been read. */
struct fg_flow_partition {
    char *topic; /* owned */
    int32_t partition;
    int64_t restart;   /* where to go back to: last committed, or first seen; < 0: nothing was seen yet */
    int64_t committed; /* what Kafka said at the assignment; source: must be read at least so far; < 0: nothing */
    int64_t read;      /* source: read so far */
    bool at_end;
    struct fg_flow_mark found; /* at the assignment */
    bool wants_mark, marking, marked; /* our own is needed; is being written; stands there */
    bool has_name;                    /* and names a record */
    bool moved;                /* source: cursors were committed since, so where it stands is Kafka's: no more marks */
};

struct fg_flow_offset {
    struct fg_flow_partition *partition; /* borrowed */
    int64_t next;
};

/* A source cursor's movement within a batch. */
struct fg_flow_move {
    struct fg_list link;   /* fg_flow_batch::moves */
    char *key;             /* owned, NUL-ended */
    struct fg_slice value; /* owned bytes */
    uint32_t hash;
};

/* The memory behind one fg_bus_publish. */
struct fg_flow_publish {
    struct fg_bus_outgoing *messages; /* owned array of n, cap */
    struct fg_slot **slots;           /* owned array of n_records: whose they are, borrowed */
    size_t n, cap;
    size_t n_records; /* of messages: results and dead letters; the rest are cursors */
    size_t n_results;
    struct fg_list texts;            /* of struct text in commit.c: strings and header arrays made for the messages */
    struct fg_bus_position *offsets; /* owned array */
    const char *cursors_mark;        /* borrowed from texts */
    struct fg_bus_publish publish;
    size_t from;    /* the first of messages that publish holds */
    size_t culprit; /* in publish: index of the message that Kafka never takes; SIZE_MAX: none */
};

struct fg_flow_batch {
    struct fg_pipeline *p;
    struct fg_list link; /* fg_pipeline::batches, */
    bool listed;         /* if it stands there; else it is fg_pipeline::publishing alone */
    bool is_mark;        /* no records: a mark; never listed */
    uint64_t epoch;      /* mark: fg_pipeline::epoch when it was asked for */
    bool closed;
    bool forgotten; /* its publish is still under way, nothing else of it counts */
    struct fg_list slots;
    struct fg_list *unsent; /* link of the first slot that was not let go to the sink yet; &slots: none */
    size_t n_slots, n_open;  /* open: neither done, dropped nor dead */
    size_t bytes;
    uint64_t opened_ms;             /* when the oldest of what is in it came */
    struct fg_flow_offset *offsets; /* owned array of n_offsets; made with the publish */
    size_t n_offsets;
    struct fg_list moves;
    struct fg_flow_publish out;
};

#define FG_BATCH_MAGIC 0x46474254u

struct fg_fill_record {
    struct fg_record *record; /* owned reference */
    struct fg_error *dead;    /* owned; NULL: it is to be handled */
};

/* What a source fills. Owned by the source from pull() to submit or cancel. */
struct fg_batch {
    uint32_t magic;
    struct fg_pipeline *p;      /* NULL: the pipeline is gone */
    bool voided;                /* what is in it does not count any more */
    struct fg_fill_record *records; /* owned array of n */
    size_t n, cap;
    struct fg_list moves;
};

struct fg_delivery_entry {
    struct fg_item *item;     /* borrowed; NULL once answered */
    struct fg_record *record; /* owned reference: the plugin may look at it after its answer, until it returns */
};

struct fg_delivery {
    uint32_t magic;
    struct fg_pipeline *p;
    struct fg_list link; /* fg_pipeline::deliveries, or ::answered */
    bool probe;          /* sent to see whether an outage is over */
    size_t n, n_open;
    struct fg_delivery_entry entries[];
};

/* A call to Kafka whose answer may come when nobody wants it any more. */
struct fg_flow_call {
    struct fg_list link;   /* fg_pipeline::calls */
    struct fg_pipeline *p; /* NULL: forgotten */
};

/* A pipeline's transforms at a time: what is on a worker keeps those that it was made with. */
struct fg_flow_stages {
    struct fg_list link;                              /* fg_pipeline::old_sets, once others took their place */
    const struct fg_stage *transforms;                /* borrowed array of n_transforms */
    size_t n_transforms;
    unsigned works_out; /* pieces of work with them */
    atomic_bool is_over; /* [any thread] nobody wants what becomes of those any more */
    fg_done_cb released;
    void *arg;
};

enum fg_flow_hold {
    FG_HOLD_NONE,
    FG_HOLD_DRAINING, /* nothing more is asked for; what a stage has in hand ends, the rest is put back */
    FG_HOLD_HELD,     /* no batch is there, and none is made */
};

struct fg_flow_stop {
    struct fg_list link; /* fg_pipeline::stops */
    fg_done_cb stopped;
    void *arg;
};

enum fg_flow_phase {
    FG_PHASE_DOWN,  /* nothing is open; not before retry_ms */
    FG_PHASE_CHECK, /* asked Kafka for the topics */
    FG_PHASE_UP,    /* handles are open */
    FG_PHASE_CLOSE, /* handles are being closed */
};

/* Who says what stands in the way. The first one set is shown. */
enum fg_flow_trouble {
    FG_TROUBLE_FAILED, /* cannot go on as things are; cleared by the next commit, or by a start that holds */
    FG_TROUBLE_CHECK,
    FG_TROUBLE_CONSUMER,
    FG_TROUBLE_PRODUCER,
    FG_TROUBLE_COMMIT,
    FG_TROUBLE_SINK,
    FG_TROUBLE_SOURCE,
    _FG_TROUBLE_N,
};

struct fg_flow_blame {
    struct fg_error err; /* code FG_E_NONE: all is well */
    const char *node;    /* borrowed */
    int64_t since_ms;    /* Unix time */
    unsigned attempt;
    uint64_t next_ms; /* monotonic; 0: none */
};

enum fg_stage_result { FG_STAGE_KEPT, FG_STAGE_DROPPED, FG_STAGE_DEAD, FG_STAGE_RETRIED, _FG_STAGE_RESULT_N };

struct fg_flow_metrics {
    struct fg_metric_scope *own, *of_stages; /* owned: whose series these are */
    struct fg_metric *in, *out;
    struct fg_metric *(*stages)[_FG_STAGE_RESULT_N]; /* owned array of n_transforms */
    struct fg_metric *delivered, *redelivered, *refused;
    struct fg_metric *dead[_FG_CODE_N];
    struct fg_metric *commit_seconds, *end_to_end_seconds;
    struct fg_metric *state[_FG_PIPELINE_STATE_N];
    struct fg_metric *queue_work, *queue_sink, *queue_commit, *batches;
    struct fg_metric *commits, *aborts, *handles;
};

/* What takes records in. Two of them: intake-kafka.c, intake-source.c. */
struct fg_flow_intake {
    void (*consumer_config)(struct fg_pipeline *p, struct fg_bus_consumer_config *ret);
    void (*asked)(struct fg_pipeline *p); /* what is committed for fg_pipeline::partitions is known: begin */
    void (*revoking)(struct fg_pipeline *p); /* the assignment ends: nothing more may come in for it */
    void (*revoked)(struct fg_pipeline *p);  /* it has ended, batches are gone */
    void (*message)(struct fg_pipeline *p, struct fg_bus_message *message); /* takes it over */
    void (*end)(struct fg_pipeline *p, const struct fg_bus_position *position);
    void (*take)(struct fg_pipeline *p, bool room); /* step: take in more, or hold back */
    void (*rewind)(struct fg_pipeline *p);          /* go back to what is remembered as committed */
    void (*ask_again)(struct fg_pipeline *p);       /* step: what is remembered may be outdated: ask Kafka, go there */
    void (*committed)(struct fg_pipeline *p, struct fg_flow_batch *batch);
};
extern const struct fg_flow_intake fg_flow_intake_kafka, fg_flow_intake_source;

enum fg_flow_assignment {
    FG_ASSIGN_NONE,
    FG_ASSIGN_GIVEN,   /* by Kafka; not yet answered */
    FG_ASSIGN_ASKING,  /* for committed offsets, which waits for transactions on them to end */
    FG_ASSIGN_READING, /* source: cursors */
    FG_ASSIGN_WORKING,
    FG_ASSIGN_REVOKING, /* finishing what is in flight */
};

struct fg_pipeline {
    struct fg_pipeline_config c;
    struct fg_env *env;
    char *transactional_id; /* owned */
    const char **topics;    /* owned array of n_topics borrowed names: everything that must exist */
    size_t n_topics;
    const char **out_topics; /* owned array: what is written to */
    size_t n_out_topics;
    const struct fg_flow_intake *intake;
    struct fg_sink_limits sink_limits;

    /* the clockwork */
    struct fg_env_timer *timer; /* owned */
    uint64_t now_ms, due_ms;

    /* what is wanted */
    uint64_t stop_deadline_ms;
    struct fg_list stops;

    struct {
        enum fg_flow_hold state;
        bool is_new; /* not yet looked at by a step */
        bool forgot; /* something in flight, while draining */
        uint64_t deadline_ms;
        void (*held)(void *arg, bool drained);
        void *arg;
    } hold;
    struct fg_flow_stages *set; /* owned */
    struct fg_list old_sets;    /* of struct fg_flow_stages, owned: not yet told that they are released */

    /* what is */
    enum fg_flow_phase phase;
    unsigned failures; /* in a row */
    uint64_t retry_ms; /* DOWN: not before */
    uint64_t up_ms;    /* UP: since */
    struct fg_flow_blame troubles[_FG_TROUBLE_N];
    enum fg_pipeline_state told_state;
    struct fg_error told_trouble;
    int32_t cursors_partitions;

    /* Kafka */
    struct fg_bus_consumer *consumer; /* owned */
    struct fg_bus_producer *producer; /* owned */
    uint64_t producer_retry_ms;
    struct fg_list calls;

    /* assignment */
    enum fg_flow_assignment assignment;
    struct fg_flow_partition *partitions; /* owned array of n_partitions; stable while anything points into it */
    size_t n_partitions;
    struct fg_flow_partition *given; /* owned array of n_given: the next assignment, after the revocation */
    size_t n_given;
    uint64_t revoke_deadline_ms;

    /* source */
    struct fg_cursor_map cursors;
    struct fg_batch *fill; /* borrowed from the source; NULL: it has none */
    uint64_t pull_ms, rescan_ms;

    /* in flight */
    uint64_t epoch, next_seq;
    struct fg_list batches; /* oldest first */
    size_t n_batches;
    size_t in_flight_records, in_flight_bytes;
    uint64_t arrived_ms; /* last record */
    struct fg_budget_waiter waiter;

    unsigned works_out; /* pieces of work on workers */
    unsigned aborts_in_row;

    struct fg_list to_work, work_retries; /* of fg_slot::queue */
    size_t n_to_work;

    struct fg_list to_sink, sink_retries; /* of fg_item::link */
    size_t n_to_sink;
    struct fg_list deliveries, answered;
    size_t n_deliveries;
    uint64_t outage_until_ms;
    unsigned outage_attempt;
    uint64_t sink_answers; /* records that the sink has answered, well or not, since the start */

    /* commit */
    struct fg_flow_batch *publishing; /* owned through batches, or alone: a mark, or forgotten */
    enum { FG_COMMIT_ALL, FG_COMMIT_RECORDS, FG_COMMIT_CURSORS, FG_COMMIT_OFFSETS } commit_step;
    enum fg_bus_outcome outcome;
    struct fg_error outcome_err;
    uint64_t commit_began_ms, committed_ms;
    uint64_t asked_ms; /* the step under way: since */
    uint64_t take_ms; /* after an abort: nothing is taken in before */

    /* marks */
    unsigned starts;             /* the most of a partition with work, this one included */
    struct fg_flow_own_mark *own_marks; /* owned array of n_own_marks */
    size_t n_own_marks;
    size_t careful_left;         /* records to be handled one at a time; 0: side by side */
    struct fg_slot *name_wanted; /* in the mark, see mark_wanted; within one advance(); NULL: none */
    uint64_t named, naming;      /* fg_slot::seq + 1 of the record that the mark names, is to name; 0: none */

    struct fg_pipeline_status counts; /* the counters of it */
    struct fg_flow_metrics m;

    /* flags, together to save room: how it is made, */
    bool needs_producer, exactly_once;
    /* the clockwork, */
    bool kicked, advancing;
    /* what is wanted, */
    bool want_run, paused, start_again, stop_now;
    /* fail: asked for, FG_TROUBLE_FAILED says why, */
    bool fail;
    /* Kafka, */
    bool consumer_closing, producer_closing, producer_ready, producer_dead, consumer_paused;
    /* after_abort: a producer was fenced in a publish, or offsets were not told; no other has been ready since, */
    bool after_abort;
    /* assignment, */
    bool is_given, revoke_asked, revoke_lost, ever_assigned;
    /* marks: they are of use here; mark_wanted: within one advance(): one is to be written, */
    bool marks, mark_wanted;
    /* again: what is asked was asked before in this assignment; reading: topics: the consumer has this assignment, */
    bool again, reading;
    /* resync: what came in was thrown away, a void fill or while held: tell the source, Kafka, again where to go on, */
    bool resync;
    /* sink, */
    bool outage, probing;
    /* commit; is_outcome: of what is publishing, came in, not yet looked at; is_late: and said so */
    bool is_outcome, is_late, recovering, unsure;
};

/* Without memory the process ends: nothing committed is lost, the rest is read again. */

/* pipeline.c: the clockwork */
void fg_flow_kick(struct fg_pipeline *p);
void fg_flow_due(struct fg_pipeline *p, uint64_t at_ms);          /* in a step: look again at this time */

/* retry.c: every rule of when something is tried again. Each wait draws once from the environment's random numbers. */
bool fg_flow_may_retry(const struct fg_pipeline *p, unsigned attempts); /* a record that failed so often at a stage */
/* When a record goes again, after so many attempts (>= 1); @err: may say how long to wait; NULL: it cannot. */
uint64_t fg_flow_retry_at(struct fg_pipeline *p, unsigned attempts, const struct fg_error *err);
/* ms until Kafka, or the whole pipeline, is tried again after so many failures before this one; @err: may be NULL. */
uint64_t fg_flow_again_ms(struct fg_pipeline *p, unsigned failures, const struct fg_error *err);
/* The sink is in trouble, not this record. */
bool fg_flow_is_outage(const struct fg_pipeline *p, const struct fg_item *item, const struct fg_error *err);
/* Until when the sink is left alone then; counts outage_attempt. @probe: the one that asked whether it is over. */
uint64_t fg_flow_outage_until(struct fg_pipeline *p, bool probe, const struct fg_error *err);
bool fg_flow_is_suspect(const struct fg_item *item); /* it has failed, or was silent, before */

/* state.c: troubles, states */
void fg_flow_trouble(struct fg_pipeline *p, enum fg_flow_trouble who, const char *node, const struct fg_error *err,
                     unsigned attempt, uint64_t next_ms); /* err NULL: all is well again */
/* The pipeline cannot go on: forget all, close all, try again later. The first reason counts. */
void fg_flow_fail(struct fg_pipeline *p, const char *node, const struct fg_error *err);
void fg_flow_tell(struct fg_pipeline *p); /* step, the last */

/* hold.c: reloads */
void fg_flow_stages_take(struct fg_pipeline *p, const struct fg_pipeline_stages *stages); /* borrows them from now on */
void fg_flow_step_hold(struct fg_pipeline *p);
bool fg_flow_is_held(const struct fg_pipeline *p); /* and whoever wanted that was not told yet */
/* Moves those that nobody uses any more to `ret`; then tells of them and frees them: the pipeline may be gone. */
void fg_flow_released(struct fg_pipeline *p, struct fg_list *ret);
void fg_flow_tell_released(struct fg_list *sets);

/* session.c: the handles. It alone opens and closes them. */
void fg_flow_step_session(struct fg_pipeline *p);
void fg_flow_consumer_pause(struct fg_pipeline *p, bool paused); /* tells the consumer if that is another than before */
bool fg_flow_is_stopped(const struct fg_pipeline *p);
bool fg_flow_producer_ready(const struct fg_pipeline *p);
struct fg_flow_call *fg_flow_call_new(struct fg_pipeline *p); /* the answer's, which ends it */
/* Frees the call. NULL: nobody waits any more. */
struct fg_pipeline *fg_flow_call_end(struct fg_flow_call *call);
void fg_flow_calls_forget(struct fg_pipeline *p); /* their answers will find nobody */

/* assignment.c */
void fg_flow_step_assignment(struct fg_pipeline *p);
void fg_flow_step_recover(struct fg_pipeline *p);
void fg_flow_step_take(struct fg_pipeline *p);
/* From the consumer: noted (copied), looked at when the assignment before has ended. */
void fg_flow_given(struct fg_pipeline *p, const struct fg_bus_position *partitions, size_t n);
void fg_flow_end_assignment(struct fg_pipeline *p);  /* in a step: the intake is told; batches are not looked at */
void fg_flow_drop_partitions(struct fg_pipeline *p); /* in a step, when no slot points into them any more */
void fg_flow_recover(struct fg_pipeline *p);        /* in a step: forget, then go back, and take in after a while */
void fg_flow_go_back(struct fg_pipeline *p);        /* the same without the while */
void fg_flow_ask(struct fg_pipeline *p);            /* in a step: what is committed? intake->asked() follows */
bool fg_flow_has_room(const struct fg_pipeline *p); /* in batches and budget */
/* Borrowed, as long as the assignment; NULL: not ours. */
struct fg_flow_partition *fg_flow_partition_find(struct fg_pipeline *p, const char *topic, int32_t partition);
bool fg_flow_accepts(const struct fg_pipeline *p); /* what arrives now counts */

/* batch.c */
struct fg_flow_batch *fg_flow_batch_new(struct fg_pipeline *p); /* the caller's: it stands in no list */
/* The one that takes slots, the pipeline's; made where there is none. */
struct fg_flow_batch *fg_flow_batch_open(struct fg_pipeline *p);
struct fg_slot *fg_flow_batch_add(struct fg_flow_batch *batch, struct fg_record *in); /* takes over the reference */
/* The same for one that its source gives up: no stage sees it. */
struct fg_slot *fg_flow_batch_add_dead(struct fg_flow_batch *batch, struct fg_record *in, const struct fg_error *err);
void fg_flow_batch_free(struct fg_flow_batch *batch); /* with all its slots; lent to nobody any more */
/* In a step: frees every batch but one that is lent to a publish, which goes with its outcome. */
void fg_flow_forget(struct fg_pipeline *p);
void fg_flow_step_close(struct fg_pipeline *p); /* closes batches by the rules */
static inline bool fg_flow_slot_is_open(const struct fg_slot *slot) /* it has not ended */
{
    return slot->state == FG_SLOT_WORK || slot->state == FG_SLOT_SINK;
}
/* What the transforms made of its record, 1..n; takes the references over. Then the sink has its turn, or it ends. */
void fg_flow_slot_items(struct fg_slot *slot, struct fg_record **records, size_t n);
/* The ends of a slot. settled: all its items have their results. */
void fg_flow_slot_settled(struct fg_slot *slot);
void fg_flow_slot_dropped(struct fg_slot *slot);
void fg_flow_slot_dead(struct fg_slot *slot, const char *node, unsigned attempts, const struct fg_error *err);
void fg_flow_slot_refused(struct fg_slot *slot, const struct fg_error *err); /* it had ended well; Kafka refuses it */
/* Key and value are copied; the move is the list's. */
struct fg_flow_move *fg_flow_move_set(struct fg_list *moves, struct fg_slice key, struct fg_slice value);
void fg_flow_moves_deinit(struct fg_list *moves);

/* In a step: frees records that came in as number `end` or later, as far as the input can go back; false: none. */
bool fg_flow_put_back(struct fg_pipeline *p, uint64_t end);

/* stages.c, deliver.c, commit.c, outgoing.c */
void fg_flow_job_forget(struct fg_flow_job *job); /* its slot goes; it is freed when it is home */
void fg_flow_step_work(struct fg_pipeline *p);
void fg_flow_step_deliver(struct fg_pipeline *p);
void fg_flow_deliver_forget(struct fg_pipeline *p); /* cancels every delivery, and frees it */
bool fg_flow_same_key(const struct fg_item *a, const struct fg_item *b); /* false where they have none */
void fg_flow_step_outcome(struct fg_pipeline *p);
/* In a step, the handles are closing: an offset commit may be answered never, so its batch goes now. */
void fg_flow_commit_cut(struct fg_pipeline *p);
void fg_flow_step_commit(struct fg_pipeline *p);
void fg_flow_publish_deinit(struct fg_flow_publish *out); /* repeatable */
void fg_flow_publish_build(struct fg_flow_batch *batch);  /* into batch->out, anew; borrows from the batch's records */
/* The first header of that name; NULL: none. */
const struct fg_header *fg_flow_header(const struct fg_record_view *v, const char *name);
const char *fg_flow_output_topic(const struct fg_pipeline *p, struct fg_slice output); /* NULL: no such output */

/* NUL-ended, lives as long as the publish. */
const char *fg_flow_publish_text(struct fg_flow_publish *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* marks.c */
void fg_flow_mark_read(struct fg_flow_partition *partition, const char *metadata); /* NULL: none */
int32_t fg_flow_mark_partitions(const char *metadata);
void fg_flow_mark_found(struct fg_pipeline *p, struct fg_flow_partition *partition, const char *metadata);
void fg_flow_marks_deinit(struct fg_pipeline *p);
void fg_flow_marks_begin(struct fg_pipeline *p); /* an assignment begins, all marks are read */
/* Whether a stage may have this slot now. If not, that is looked at again with the next advance(). */
bool fg_flow_may_handle(struct fg_pipeline *p, struct fg_slot *slot);
void fg_flow_mark_ended(struct fg_pipeline *p); /* a slot has ended */
const char *fg_flow_mark_of_commit(struct fg_pipeline *p, struct fg_flow_publish *out); /* NULL: none */
struct fg_flow_batch *fg_flow_mark_build(struct fg_pipeline *p); /* the caller's, until its outcome */
void fg_flow_mark_written(struct fg_pipeline *p);                /* it counts */

/* intake-source.c, fill.c */
bool fg_flow_owns(const struct fg_pipeline *p, int32_t partition); /* of the cursors topic */
void fg_flow_fill_abandon(struct fg_pipeline *p); /* the pipeline goes, the source still holds a batch */

/* metrics.c */
void fg_flow_metrics_init(struct fg_pipeline *p);
void fg_flow_metrics_stages(struct fg_pipeline *p); /* those of the stages that it has now */
void fg_flow_metrics_deinit(struct fg_pipeline *p);
void fg_flow_metrics_gauges(struct fg_pipeline *p, enum fg_pipeline_state state);
