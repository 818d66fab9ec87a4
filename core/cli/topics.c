/* SPDX-License-Identifier: Apache-2.0 */
/* fragua topics: the topics that a pipeline file needs, what exists, what differs; and making what is missing. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/errand.h"

enum { OPTION_CREATE = FG_ERRAND_OPTIONS, OPTION_PARTITIONS, OPTION_REPLICATION, OPTION_FORMAT };

#define CURSORS_PARTITIONS   12      /* of a cursors topic that is made: 2, 3, 4, 6 and 12 replicas share it evenly */
#define MESSAGE_BYTES        1000000 /* librdkafka's default of message.max.bytes */
#define OUTPUT_MAX           (4u * 1024u * 1024u)
#define PARTITIONS_MAX       100000

static const struct fg_cli_option options[] = {
    FG_ERRAND_OPTION_ROWS,
    [OPTION_CREATE] = { "create", 0, NULL, "make the topics that are missing; what exists is never changed" },
    [OPTION_PARTITIONS] = { "partitions", 0, "N", "of topics that are made (default: the broker's; cursors: 12)" },
    [OPTION_REPLICATION] = { "replication", 0, "N", "copies of topics that are made (default: the broker's)" },
    [OPTION_FORMAT] = { "format", 0, "text|json", "how it is written (default: text)" },
    { NULL, 0, NULL, NULL },
};

struct state {
    struct fg_errand_words words;
    bool create, json;
    int64_t partitions, replication; /* 0: not given */
};

struct use {
    const char *pipeline, *role; /* borrowed */
};

struct need {
    const char *name; /* borrowed */
    struct use *uses; /* owned array of n_uses */
    size_t n_uses;
    bool is_cursors, is_dead, is_written, made;
    struct fg_bus_topic found;
    struct fg_buf stops, notes; /* lines: what stops work, what is worth a thought */
};

struct topics {
    struct fg_errand errand;
    const struct state *state;
    struct need *needs; /* owned array of n */
    size_t n;
    struct fg_bus_cluster cluster;
    bool was_created; /* made already: look once more, then tell */
};

static bool take(void *state, size_t option, const char *value)
{
    struct state *s = state;

    switch (option) {
    case OPTION_CREATE:
        s->create = true;
        return true;
    case OPTION_PARTITIONS:
        return fg_errand_take_number("partitions", value, 1, PARTITIONS_MAX, &s->partitions);
    case OPTION_REPLICATION:
        return fg_errand_take_number("replication", value, 1, INT16_MAX, &s->replication);
    case OPTION_FORMAT:
        return fg_errand_take_format(value, "text", &s->json);
    default:
        return fg_errand_take(&s->words, option, value);
    }
}

/* ---- what the file needs ---- */

static struct need *need_named(struct topics *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->needs[i].name, name) == 0)
            return &t->needs[i];
    t->needs = fg_reallocarray(t->needs, t->n + 1, sizeof(*t->needs));
    t->needs[t->n] =
        (struct need){ .name = name, .stops = FG_BUF_INIT(OUTPUT_MAX), .notes = FG_BUF_INIT(OUTPUT_MAX) };
    return &t->needs[t->n++];
}

static void collect(struct topics *t)
{
    const char *role, *pipeline, *topic;

    for (size_t k = 0; (topic = fg_config_topic_at(t->errand.config, k, &role, &pipeline)); k++) {
        struct need *need = need_named(t, topic);
        need->uses = fg_reallocarray(need->uses, need->n_uses + 1, sizeof(*need->uses));
        need->uses[need->n_uses++] = (struct use){ pipeline, role };
        need->is_cursors = need->is_cursors || strcmp(role, "cursors") == 0;
        need->is_dead = need->is_dead || strcmp(role, "dead-letters") == 0;
        need->is_written = need->is_written || strcmp(role, "input") != 0;
    }
}

static void deinit(struct topics *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->needs[i].uses);
        fg_buf_deinit(&t->needs[i].stops);
        fg_buf_deinit(&t->needs[i].notes);
    }
    free(t->needs);
}

/* ---- what differs ---- */

static void line(struct fg_buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(struct fg_buf *out, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fg_buf_vprintf(out, format, ap);
    va_end(ap);
    fg_buf_add_char(out, '\n');
}

static void judge_cursors(struct need *n, bool settings_known)
{
    if (settings_known && !n->found.compacted)
        line(&n->stops,
             "it holds where each source stands and is not compacted: set cleanup.policy=compact, or sources forget");
    else if (settings_known && n->found.deletes)
        line(&n->stops, "cleanup.policy=compact,delete removes old cursors, and sources forget: make it compact alone");
    line(&n->notes, "%" PRId32 " partition%s: at most %s%" PRId32 " replica%s can share the mailboxes",
         n->found.partitions, n->found.partitions == 1 ? "" : "s", n->found.partitions == 1 ? "" : "these ",
         n->found.partitions, n->found.partitions == 1 ? "" : "s");
}

static void judge_copies(const struct topics *t, struct need *n)
{
    const struct fg_bus_topic *f = &n->found;

    if (n->is_written && f->min_insync > f->replication && f->replication > 0)
        line(&n->stops,
             "it has %" PRId32 " cop%s and min.insync.replicas=%" PRId32 ": nothing can be written to it",
             f->replication, f->replication == 1 ? "y" : "ies", f->min_insync);
    else if (t->cluster.brokers > 1 && f->replication == 1)
        line(&n->notes, "one copy on a cluster of %" PRId32 " brokers: it is gone with its broker", t->cluster.brokers);
    else if (f->replication >= 3 && f->min_insync == 1)
        line(&n->notes, "min.insync.replicas=1: records that only one broker has count as written; set it to 2");
}

static int64_t producer_message_bytes(const struct topics *t)
{
    const struct fg_pairs *properties = &t->errand.config->kafka.properties;
    int64_t bytes = MESSAGE_BYTES;

    for (size_t i = 0; i < properties->len; i++)
        if (strcmp(properties->items[i].key, "message.max.bytes") == 0)
            (void)fg_parse_int(fg_slice_of(properties->items[i].value), &bytes);
    return bytes;
}

static void judge_sizes(const struct topics *t, struct need *n)
{
    int64_t ours = producer_message_bytes(t), theirs = n->found.message_bytes_max;

    if (n->is_written && theirs > 0 && theirs < ours)
        line(&n->notes,
             "max.message.bytes=%" PRId64 " is less than the %" PRId64 " that are sent: larger ones are refused",
             theirs, ours);
}

static void judge_dead(const struct topics *t, struct need *n)
{
    int64_t kept = t->cluster.offsets_retention_ms;

    if (n->found.deletes && kept > 0 && (n->found.retention_ms < 0 || n->found.retention_ms > kept))
        line(&n->notes,
             "kept longer than the brokers remember which letters were replayed (offsets.retention.minutes=%" PRId64
             "): a replay after that may send some again",
             kept / 60000);
}

static void judge(struct topics *t)
{
    bool known = t->cluster.settings.code == FG_E_NONE;

    for (size_t i = 0; i < t->n; i++) {
        struct need *n = &t->needs[i];
        fg_buf_clear(&n->stops);
        fg_buf_clear(&n->notes);
        if (n->found.partitions <= 0) {
            line(&n->stops, "it does not exist: make it, or let `fragua topics -c %s --create` do so",
                 t->state->words.file);
            continue;
        }
        if (n->is_cursors)
            judge_cursors(n, known);
        judge_copies(t, n);
        judge_sizes(t, n);
        if (n->is_dead)
            judge_dead(t, n);
    }
}

static bool is_complete(const struct topics *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->needs[i].stops.len)
            return false;
    return true;
}

/* ---- as text ---- */

static const char *policy_of(const struct topics *t, const struct fg_bus_topic *f)
{
    if (f->partitions <= 0)
        return "-";
    if (t->cluster.settings.code != FG_E_NONE)
        return "?";
    return f->compacted && f->deletes ? "compact,delete" : f->compacted ? "compact" : "delete";
}

/* "ingest (output), recognise (input)" */
static void print_uses(const struct need *n)
{
    for (size_t i = 0; i < n->n_uses; i++)
        (void)printf("%s%s (%s)", i ? ", " : "", n->uses[i].pipeline, n->uses[i].role);
    (void)putchar('\n');
}

static void print_lines(const char *mark, const char *topic, const struct fg_buf *lines)
{
    struct fg_slice rest = fg_buf_slice(lines), one;

    while (rest.len) {
        (void)fg_slice_cut(rest, '\n', &one, &rest);
        (void)printf("%s %s: %.*s\n", mark, topic, FG_SLICE_ARG(one));
    }
}

static void print_text(const struct topics *t)
{
    int width = 5;

    for (size_t i = 0; i < t->n; i++)
        width = (int)strlen(t->needs[i].name) > width ? (int)strlen(t->needs[i].name) : width;
    (void)printf("%-*s  PARTITIONS  COPIES  POLICY          NEEDED BY\n", width, "TOPIC");
    for (size_t i = 0; i < t->n; i++) {
        const struct need *n = &t->needs[i];
        char partitions[16] = "missing", copies[16] = "-";
        if (n->found.partitions > 0) {
            (void)snprintf(partitions, sizeof(partitions), "%" PRId32, n->found.partitions);
            (void)snprintf(copies, sizeof(copies), "%" PRId32, n->found.replication);
        }
        (void)printf("%-*s  %-10s  %-6s  %-14s  ", width, n->name, partitions, copies, policy_of(t, &n->found));
        print_uses(n);
    }
    for (size_t i = 0; i < t->n; i++)
        if (t->needs[i].made)
            (void)printf("made %s\n", t->needs[i].name);
    for (size_t i = 0; i < t->n; i++)
        print_lines("!", t->needs[i].name, &t->needs[i].stops);
    for (size_t i = 0; i < t->n; i++)
        print_lines("-", t->needs[i].name, &t->needs[i].notes);
    if (t->cluster.settings.code != FG_E_NONE)
        (void)printf("- settings of the topics are not known: %s\n", t->cluster.settings.text);
}

/* ---- as JSON ---- */

static void write_lines(struct fg_json_writer *w, const char *key, const struct fg_buf *lines)
{
    struct fg_slice rest = fg_buf_slice(lines), one;

    fg_json_key(w, key);
    fg_json_array(w);
    while (rest.len) {
        (void)fg_slice_cut(rest, '\n', &one, &rest);
        fg_json_string(w, one);
    }
    fg_json_array_end(w);
}

static void write_settings(struct fg_json_writer *w, const struct fg_bus_topic *f)
{
    fg_json_kv_bool(w, "compacted", f->compacted);
    fg_json_kv_bool(w, "deletes", f->deletes);
    fg_json_kv_int(w, "retention_ms", f->retention_ms);
    fg_json_kv_int(w, "min_insync_replicas", f->min_insync);
    fg_json_kv_int(w, "max_message_bytes", f->message_bytes_max);
}

static void write_need(struct fg_json_writer *w, const struct topics *t, const struct need *n)
{
    fg_json_object(w);
    fg_json_kv_cstr(w, "name", n->name);
    fg_json_kv_bool(w, "exists", n->found.partitions > 0);
    fg_json_kv_bool(w, "created", n->made);
    fg_json_kv_int(w, "partitions", n->found.partitions);
    fg_json_kv_int(w, "replication", n->found.replication);
    if (n->found.partitions > 0 && t->cluster.settings.code == FG_E_NONE)
        write_settings(w, &n->found);
    fg_json_key(w, "needed_by");
    fg_json_array(w);
    for (size_t i = 0; i < n->n_uses; i++) {
        fg_json_object(w);
        fg_json_kv_cstr(w, "pipeline", n->uses[i].pipeline);
        fg_json_kv_cstr(w, "as", n->uses[i].role);
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
    write_lines(w, "problems", &n->stops);
    write_lines(w, "notes", &n->notes);
    fg_json_object_end(w);
}

static void print_json(const struct topics *t)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf buf = FG_BUF_INIT(OUTPUT_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    fg_json_object(&w);
    fg_json_kv_bool(&w, "complete", is_complete(t));
    fg_json_kv_int(&w, "brokers", t->cluster.brokers);
    if (t->cluster.settings.code != FG_E_NONE)
        fg_json_kv_cstr(&w, "settings_unknown", t->cluster.settings.text);
    fg_json_key(&w, "topics");
    fg_json_array(&w);
    for (size_t i = 0; i < t->n; i++)
        write_need(&w, t, &t->needs[i]);
    fg_json_array_end(&w);
    fg_json_object_end(&w);
    (void)printf("%s\n", buf.data);
}

/* ---- at work ---- */

static void look(struct topics *t);

static void fail(struct topics *t, const struct fg_error *err)
{
    if (!t->errand.ending)
        fg_errand_end(&t->errand, fg_cli_fail(FG_EXIT_FAILED, "%s", err->text));
}

static void on_created(void *arg, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
{
    struct topics *t = arg;

    (void)topics;
    (void)n;
    if (err)
        fail(t, err);
    else if (!t->errand.ending)
        look(t);
}

/* true: some are being made. */
static bool create_missing(struct topics *t)
{
    const struct state *s = t->state;
    struct fg_bus_topic *make = fg_calloc(t->n + 1, sizeof(*make));
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++) {
        struct need *need = &t->needs[i];
        if (need->found.partitions > 0)
            continue;
        need->made = true;
        make[n++] = (struct fg_bus_topic){
            .name = need->name,
            .partitions = s->partitions ? (int32_t)s->partitions : need->is_cursors ? CURSORS_PARTITIONS : -1,
            .replication = s->replication ? (int32_t)s->replication : -1,
            .compacted = need->is_cursors,
        };
    }
    if (n)
        t->errand.bus->ops->create(t->errand.bus, make, n, on_created, t);
    free(make);
    return n > 0;
}

static void on_inspected(void *arg, const struct fg_bus_cluster *cluster, const struct fg_bus_topic *found, size_t n,
                         const struct fg_error *err)
{
    struct topics *t = arg;

    if (err) {
        fail(t, err);
        return;
    }
    if (t->errand.ending)
        return; /* interrupted meanwhile */
    t->cluster = *cluster;
    for (size_t i = 0; i < n; i++) {
        t->needs[i].found = found[i];
        t->needs[i].found.name = t->needs[i].name;
    }
    if (t->state->create && !t->was_created) {
        t->was_created = true;
        if (create_missing(t))
            return;
    }
    judge(t);
    (t->state->json ? print_json : print_text)(t);
    fg_errand_end(&t->errand, is_complete(t) ? FG_EXIT_OK : FG_EXIT_FAILED);
}

static void look(struct topics *t)
{
    const char **names = fg_calloc(t->n + 1, sizeof(*names));

    for (size_t i = 0; i < t->n; i++)
        names[i] = t->needs[i].name;
    t->errand.bus->ops->inspect(t->errand.bus, names, t->n, on_inspected, t);
    free(names);
}

static void begin(struct fg_errand *errand)
{
    struct topics *t = fg_container_of(errand, struct topics, errand);

    collect(t);
    look(t);
}

/* The question under way still ends, and its answer is not looked at any more. */
static void interrupt(struct fg_errand *errand)
{
    fg_errand_end(errand, fg_cli_fail(FG_EXIT_FAILED, "interrupted"));
}

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    struct state *s = state;
    struct topics t = {
        .errand = { .cli = cli, .words = &s->words, .begin = begin, .interrupt = interrupt },
        .state = s,
    };
    int code;

    (void)argv;
    if (!s->words.file || argc > 0)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua topics %s", fg_cli_topics.usage);
    if (!s->create && (s->partitions || s->replication))
        return fg_cli_fail(FG_EXIT_USAGE, "--partitions and --replication are for topics that are made: add --create");
    code = fg_errand_run(&t.errand);
    deinit(&t);
    return code;
}

const struct fg_cli_command fg_cli_topics = {
    .name = "topics",
    .usage = "-c FILE [--create] [--format text|json]",
    .summary = "the topics a file needs, what exists, what differs",
    .options = options,
    .take = take,
    .state_size = sizeof(struct state),
    .run = run,
};
