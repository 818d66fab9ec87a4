/* SPDX-License-Identifier: Apache-2.0 */
/* fragua tail: what stands in a topic, as people or programs read it. Committed records only; no group, no offsets. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/errand.h"
#include "cli/show.h"

enum { OPTION_FROM = FG_ERRAND_OPTIONS, OPTION_COUNT, OPTION_FOLLOW, OPTION_FORMAT };

#define TAIL_DEFAULT 10                  /* records of each partition, without --from */
#define SHOWN_MAX    ((size_t)128 << 20) /* bytes that one record may take on paper */
#define PATIENCE_MS  30000u              /* without a word from Kafka */

static const struct fg_cli_option options[] = {
    FG_ERRAND_OPTION_ROWS,
    [OPTION_FROM] = { "from", 0, "WHERE", "beginning, end, an offset, -N (last N a partition), a time, or 90m (ago)" },
    [OPTION_COUNT] = { "count", 0, "N", "end after so many records" },
    [OPTION_FOLLOW] = { "follow", 'f', NULL, "at the end, wait for more" },
    [OPTION_FORMAT] = { "format", 0, "pretty|json", "how records are written (default: pretty)" },
    { NULL, 0, NULL, NULL },
};

struct state {
    struct fg_errand_words words;
    const char *from;
    int64_t count; /* 0: not given */
    bool follow, json;
};

struct part {
    int64_t start; /* nothing before it is shown */
    int64_t next;  /* nor before this: it was shown already */
    bool ended, measured;
};

struct tail {
    struct fg_errand errand;
    const struct state *state;
    const char *topic;
    int64_t from; /* FG_BUS_... or an offset */
    struct fg_bus_consumer *consumer;
    struct fg_env_timer *patience;
    struct fg_error trouble;
    struct part *parts; /* owned array of n_parts */
    int32_t n_parts, open, unmeasured; /* partitions not read to their end; whose end is not known yet */
    uint64_t n;
    struct fg_buf buf;
    bool colour, closing, describing, measuring, from_beginning;
    int code;
};

static bool take(void *state, size_t option, const char *value)
{
    struct state *s = state;

    switch (option) {
    case OPTION_FROM:
        s->from = value;
        return true;
    case OPTION_COUNT:
        return fg_errand_take_number("count", value, 1, INT64_MAX, &s->count);
    case OPTION_FOLLOW:
        s->follow = true;
        return true;
    case OPTION_FORMAT:
        return fg_errand_take_format(value, "pretty", &s->json);
    default:
        return fg_errand_take(&s->words, option, value);
    }
}

static bool read_from(const char *text, int64_t *ret)
{
    struct fg_slice s = fg_slice_of(text);
    int64_t n;

    if (strcmp(text, "beginning") == 0)
        *ret = FG_BUS_BEGINNING;
    else if (strcmp(text, "end") == 0)
        *ret = FG_BUS_END;
    else if (fg_parse_int(s, &n) && n > -INT32_MAX)
        *ret = n >= 0 ? n : FG_BUS_TAIL(-n);
    else if (fg_rfc3339_parse(s, &n) && n >= 0)
        *ret = FG_BUS_SINCE(n);
    else if (fg_parse_duration_ms(s, &n) && n <= fg_clock_wall_ms(&fg_clock_system))
        *ret = FG_BUS_SINCE(fg_clock_wall_ms(&fg_clock_system) - n);
    else
        return false;
    return true;
}

/* ---- which topic ---- */

/* The topic of "PIPELINE.NAME": an output by its name, or output, input, dead. NULL: none. */
static const char *topic_of_pipeline(const struct fg_config_pipeline *p, const char *name)
{
    for (size_t i = 0; i < p->o.output.len; i++)
        if (strcmp(p->o.output.items[i].key, strcmp(name, "output") == 0 ? "topic" : name) == 0)
            return p->o.output.items[i].value;
    if (strcmp(name, "dead") == 0 && p->o.dead)
        return p->o.dead->topic;
    if (strcmp(name, "input") == 0 && p->o.input)
        return p->o.input->topic ? p->o.input->topic : p->o.input->topics.items[0];
    return NULL;
}

/* A word for a topic of the file, or a topic's own name. */
static const char *find_topic(const struct fg_config *config, const char *word)
{
    const char *role, *pipeline, *topic;
    struct fg_slice head, tail;

    for (size_t k = 0; (topic = fg_config_topic_at(config, k, &role, &pipeline)); k++)
        if (strcmp(topic, word) == 0)
            return word;
    for (size_t k = 0; (topic = fg_config_topic_at(config, k, &role, &pipeline)); k++)
        if ((strcmp(word, "dead") == 0 && strcmp(role, "dead-letters") == 0) ||
            (strcmp(word, "cursors") == 0 && strcmp(role, "cursors") == 0))
            return topic;
    if (fg_slice_cut(fg_slice_of(word), '.', &head, &tail))
        for (size_t i = 0; i < config->n_pipelines; i++)
            if (fg_slice_is(head, config->pipelines[i].name) &&
                (topic = topic_of_pipeline(&config->pipelines[i], tail.ptr)))
                return topic;
    return word;
}

static const char *nearest(const struct fg_config *config, const char *word)
{
    const char *role, *pipeline, *topic;

    for (size_t k = 0; (topic = fg_config_topic_at(config, k, &role, &pipeline)); k++)
        if (fg_edit_distance(fg_slice_of(word), fg_slice_of(topic), 3) <= 3)
            return topic;
    return NULL;
}

/* ---- the end ---- */

static void on_closed(void *arg)
{
    struct tail *t = arg;

    t->consumer = NULL;
    fg_errand_end(&t->errand, t->code);
}

static void end(struct tail *t, int code)
{
    if (t->closing)
        return;
    t->closing = true;
    t->code = code;
    t->errand.env->ops->timer_free(t->patience);
    t->patience = NULL;
    if (t->consumer)
        t->errand.bus->ops->consumer_close(t->consumer, on_closed, t);
    else if (!t->describing)
        fg_errand_end(&t->errand, code);
}

static void on_patience(void *arg)
{
    struct tail *t = arg;

    if (t->state->follow) {
        if (t->trouble.code != FG_E_NONE)
            (void)fg_cli_fail(0, "%s", t->trouble.text);
        t->errand.env->ops->timer_start(t->patience, PATIENCE_MS);
    } else if (t->trouble.code != FG_E_NONE) {
        end(t, fg_cli_fail(FG_EXIT_FAILED, "%s", t->trouble.text));
    } else {
        end(t, fg_cli_fail(FG_EXIT_FAILED, "Kafka has not answered for %u s", PATIENCE_MS / 1000));
    }
}

static void flush(struct tail *t)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        end(t, FG_EXIT_FAILED); /* whoever read it is gone */
}

/* ---- records ---- */

static void show(struct tail *t, const struct fg_bus_message *m)
{
    fg_buf_clear(&t->buf);
    if (t->state->json)
        fg_show_json(m, &t->buf);
    else
        fg_show_pretty(m, t->colour, &t->buf);
    if (t->buf.failed)
        (void)fg_cli_fail(0, "a record of %zu bytes is not shown (%s/%" PRId32 "/%" PRId64 ")", m->value.len, m->topic,
                          m->partition, m->offset);
    else
        (void)fwrite(t->buf.data, 1, t->buf.len, stdout);
    t->n++;
    if (t->state->follow || t->colour || ferror(stdout))
        flush(t);
    if (t->state->count && t->n >= (uint64_t)t->state->count)
        end(t, FG_EXIT_OK);
}

static struct part *part_of(struct tail *t, int32_t partition)
{
    return !t->closing && partition >= 0 && partition < t->n_parts ? &t->parts[partition] : NULL;
}

static void on_message(void *arg, struct fg_bus_message *m)
{
    struct tail *t = arg;
    struct part *part = part_of(t, m->partition);

    if (part && !t->measuring && m->offset >= part->start && m->offset >= part->next) {
        part->next = m->offset + 1;
        t->errand.env->ops->timer_start(t->patience, PATIENCE_MS);
        show(t, m);
    }
    fg_bus_message_free(m);
}

/* Each partition from `from`, or from its own start. */
static void assign(struct tail *t, int64_t from, bool own)
{
    struct fg_bus_position *positions = fg_calloc((size_t)t->n_parts, sizeof(*positions));

    for (int32_t i = 0; i < t->n_parts; i++) {
        const struct part *part = &t->parts[i];
        positions[i] = (struct fg_bus_position){ t->topic, i, own ? part->start : from, NULL };
        if (part->ended && !t->measuring)
            positions[i].offset = FG_BUS_END;
    }
    t->errand.bus->ops->consumer_assign(t->consumer, positions, (size_t)t->n_parts);
    free(positions);
}

/* An offset that lies behind a partition's end, or before its beginning, is none that Kafka reads from. */
static void measure(struct tail *t)
{
    t->measuring = true;
    t->unmeasured = t->n_parts;
    assign(t, FG_BUS_END, false);
}

static void end_part(struct tail *t, struct part *part)
{
    if (!part->ended)
        t->open--;
    part->ended = true;
    if (t->open == 0 && !t->state->follow)
        end(t, FG_EXIT_OK);
}

static void measured(struct tail *t, struct part *part, int64_t its_end)
{
    int64_t start = t->from >= 0 ? t->from : its_end - (FG_BUS_TAIL(0) - t->from);

    if (part->measured)
        return;
    part->measured = true;
    part->start = start < 0 ? 0 : start < its_end ? start : its_end;
    if (part->start == its_end)
        end_part(t, part);
    if (--t->unmeasured == 0 && !t->closing) {
        t->measuring = false;
        assign(t, 0, true);
    }
}

static void on_end(void *arg, const struct fg_bus_position *at)
{
    struct tail *t = arg;
    struct part *part = part_of(t, at->partition);

    if (!part)
        return;
    t->trouble = FG_ERROR_NULL;
    t->errand.env->ops->timer_start(t->patience, PATIENCE_MS);
    if (t->measuring)
        measured(t, part, at->offset);
    else
        end_part(t, part);
}

/* true: what was asked for is gone in some partition: go on with what is left. */
static bool begin_later(struct tail *t)
{
    bool is_tail = t->from <= FG_BUS_TAIL(1) && t->from > FG_BUS_TAIL(INT32_MAX);

    if (t->from_beginning)
        return false;
    if (is_tail && !t->parts[0].measured) {
        measure(t);
        return true;
    }
    t->from_beginning = true;
    assign(t, FG_BUS_BEGINNING, false);
    return true;
}

static void on_trouble(void *arg, const struct fg_error *err)
{
    struct tail *t = arg;

    t->trouble = err ? *err : FG_ERROR_NULL;
    if (!err || t->closing)
        return;
    if (err->code == FG_E_EXPIRED && begin_later(t)) {
        t->trouble = FG_ERROR_NULL;
    } else if (err->code == FG_E_AUTH || err->code == FG_E_EXPIRED || err->code == FG_E_NOT_FOUND || err->fatal) {
        end(t, fg_cli_fail(FG_EXIT_FAILED, "%s", err->text));
    }
}

static void on_assigned(void *arg, const struct fg_bus_position *partitions, size_t n)
{
    (void)arg;
    (void)partitions;
    (void)n;
}

static void on_revoked(void *arg, const struct fg_bus_position *partitions, size_t n, bool lost)
{
    (void)lost;
    on_assigned(arg, partitions, n);
}

static void open_reader(struct tail *t, int32_t partitions)
{
    static const struct fg_bus_consumer_events events = {
        .assigned = on_assigned, .revoked = on_revoked, .message = on_message, .end = on_end, .trouble = on_trouble,
    };
    const struct fg_bus_consumer_config config = { .want_end = true };
    struct fg_error err = FG_ERROR_NULL;

    t->n_parts = t->open = partitions;
    t->parts = fg_calloc((size_t)partitions, sizeof(*t->parts));
    if (fg_bus_consumer_open(t->errand.bus, &config, &events, t, &t->consumer, &err) < 0) {
        t->consumer = NULL;
        end(t, fg_cli_fail(FG_EXIT_FAILED, "%s", err.text));
    } else if (t->from >= 0) {
        measure(t);
    } else {
        assign(t, t->from, false);
    }
}

static void on_described(void *arg, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
{
    struct tail *t = arg;
    const char *near;

    t->describing = false;
    if (t->closing) {
        fg_errand_end(&t->errand, t->code);
    } else if (err) {
        end(t, fg_cli_fail(FG_EXIT_FAILED, "%s", err->text));
    } else if (n != 1 || topics[0].partitions <= 0) {
        near = nearest(t->errand.config, t->topic);
        end(t, fg_cli_fail(FG_EXIT_FAILED, "there is no topic \"%s\"%s%s%s", t->topic, near ? "; did you mean \"" : "",
                           near ? near : "", near ? "\"?" : ""));
    } else {
        open_reader(t, topics[0].partitions);
    }
}

static void begin(struct fg_errand *errand)
{
    struct tail *t = fg_container_of(errand, struct tail, errand);

    t->topic = find_topic(errand->config, t->topic);
    t->patience = errand->env->ops->timer_new(errand->env, on_patience, t);
    errand->env->ops->timer_start(t->patience, PATIENCE_MS);
    t->describing = true;
    errand->bus->ops->describe(errand->bus, &t->topic, 1, on_described, t);
}

static void interrupt(struct fg_errand *errand)
{
    end(fg_container_of(errand, struct tail, errand), FG_EXIT_OK);
}

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    struct state *s = state;
    struct tail t = {
        .errand = { .cli = cli, .words = &s->words, .begin = begin, .interrupt = interrupt },
        .state = s,
        .from = FG_BUS_TAIL(TAIL_DEFAULT),
        .buf = FG_BUF_INIT(SHOWN_MAX),
        .colour = !s->json && isatty(STDOUT_FILENO) == 1 && !getenv("NO_COLOR"),
    };
    int code;

    if (!s->words.file || argc != 1)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua tail %s", fg_cli_tail.usage);
    if (s->from && !read_from(s->from, &t.from))
        return fg_cli_fail(FG_EXIT_USAGE,
                           "--from is beginning, end, an offset, -N, a time like 2026-03-01T08:00:00Z or how long ago "
                           "(90m, 2d), not \"%s\"",
                           s->from);
    t.topic = argv[0];
    code = fg_errand_run(&t.errand);
    fg_buf_deinit(&t.buf);
    free(t.parts);
    return code;
}

const struct fg_cli_command fg_cli_tail = {
    .name = "tail",
    .usage = "-c FILE TOPIC [--from WHERE] [--count N] [--follow] [--format pretty|json]",
    .summary = "records of a topic as people or programs read them",
    .options = options,
    .take = take,
    .state_size = sizeof(struct state),
    .run = run,
};
