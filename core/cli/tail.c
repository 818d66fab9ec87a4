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
    [OPTION_FROM] = { "from", 0, "WHERE", "beginning, end, an offset, -N (the last N of each partition), a time, or 90m" },
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

struct tail {
    struct fg_errand errand; /* first */
    const struct state *state;
    const char *topic;
    int64_t from; /* FG_BUS_... or an offset */
    struct fg_bus_consumer *consumer;
    struct fg_env_timer *patience;
    struct fg_error trouble;
    int32_t partitions, open; /* partitions not read to their end */
    bool *ended;              /* owned array of partitions */
    uint64_t n;
    struct fg_buf buf;
    bool colour, closing, describing, again;
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

static void on_message(void *arg, struct fg_bus_message *m)
{
    struct tail *t = arg;

    if (!t->closing) {
        t->errand.env->ops->timer_start(t->patience, PATIENCE_MS);
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
    fg_bus_message_free(m);
}

static void on_end(void *arg, const struct fg_bus_position *at)
{
    struct tail *t = arg;

    if (t->closing || at->partition < 0 || at->partition >= t->partitions)
        return;
    t->trouble = FG_ERROR_NULL;
    t->errand.env->ops->timer_start(t->patience, PATIENCE_MS);
    if (!t->ended[at->partition]) {
        t->ended[at->partition] = true;
        t->open--;
    }
    if (t->open == 0 && !t->state->follow)
        end(t, FG_EXIT_OK);
}

static void assign(struct tail *t, int64_t from)
{
    struct fg_bus_position *positions = fg_calloc((size_t)t->partitions, sizeof(*positions));

    for (int32_t i = 0; i < t->partitions; i++)
        positions[i] = (struct fg_bus_position){ t->topic, i, from, NULL };
    t->errand.bus->ops->consumer_assign(t->consumer, positions, (size_t)t->partitions);
    free(positions);
}

static void on_trouble(void *arg, const struct fg_error *err)
{
    struct tail *t = arg;

    t->trouble = err ? *err : FG_ERROR_NULL;
    if (!err || t->closing)
        return;
    if (err->code == FG_E_EXPIRED && !t->again && t->n == 0) {
        t->again = true; /* older than what is left, in some partition: all that is left */
        (void)fg_cli_fail(0, "some partitions begin later than asked for: from the beginning of each");
        assign(t, FG_BUS_BEGINNING);
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

    t->partitions = t->open = partitions;
    t->ended = fg_calloc((size_t)partitions, sizeof(*t->ended));
    if (fg_bus_consumer_open(t->errand.bus, &config, &events, t, &t->consumer, &err) < 0) {
        t->consumer = NULL;
        end(t, fg_cli_fail(FG_EXIT_FAILED, "%s", err.text));
    } else {
        assign(t, t->from);
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
    struct tail *t = (struct tail *)errand;

    t->topic = find_topic(errand->config, t->topic);
    t->patience = errand->env->ops->timer_new(errand->env, on_patience, t);
    errand->env->ops->timer_start(t->patience, PATIENCE_MS);
    t->describing = true;
    errand->bus->ops->describe(errand->bus, &t->topic, 1, on_described, t);
}

static void interrupt(struct fg_errand *errand)
{
    end((struct tail *)errand, FG_EXIT_OK);
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
    free(t.ended);
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
