/* SPDX-License-Identifier: Apache-2.0 */
/* fragua replay: dead letters back to where they came from; one dead-letter topic after the other. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/errand.h"

enum { OPTION_DRY_RUN = FG_ERRAND_OPTIONS, OPTION_PIPELINE, OPTION_FILTER, OPTION_TOPIC, OPTION_LIMIT, OPTION_FORMAT };

#define FILTERS_MAX 64
#define LEFT_SHOWN  20    /* letters that are left, one line each; the rest is counted */
#define TARGETS_MAX 64    /* topics that the summary names */
#define NEWS_MAX    65536 /* bytes of one line of JSON */
#define PROGRESS_MS 200u

static const struct fg_cli_option options[] = {
    FG_ERRAND_OPTION_ROWS,
    [OPTION_DRY_RUN] = { "dry-run", 0, NULL, "say what would become of each letter, change nothing" },
    [OPTION_PIPELINE] = { "pipeline", 0, "NAME", "letters of this pipeline only; may be repeated" },
    [OPTION_FILTER] = { "filter", 0, "KEY=VALUE", "letters of this kind only; may be repeated, see docs/commands.md" },
    [OPTION_TOPIC] = { "topic", 0, "TOPIC", "this dead-letter topic of the file only (default: all of them)" },
    [OPTION_LIMIT] = { "limit", 0, "N", "end after so many letters" },
    [OPTION_FORMAT] = { "format", 0, "text|json", "how it is written (default: text)" },
    { NULL, 0, NULL, NULL },
};

struct state {
    struct fg_errand_words words;
    const char *filters[FILTERS_MAX]; /* as given */
    const char *pipelines[FILTERS_MAX];
    size_t n_filters, n_pipelines;
    const char *topic;
    int64_t limit; /* 0: none */
    bool dry, json;
};

struct target {
    const char *topic; /* borrowed; NULL: nothing was written */
    uint64_t letters;
};

struct job {
    struct fg_errand errand;
    const struct state *state;
    struct fg_letter_condition conditions[2 * FILTERS_MAX];
    size_t n_conditions;
    struct fg_replay_route *routes; /* owned array of n_routes */
    size_t n_routes;
    const char **topics; /* owned array of n_topics: of dead letters */
    size_t n_topics, at;
    struct fg_replay *replay;
    struct fg_env_timer *progress;
    struct fg_replay_counts counts; /* of the topics that are done */
    struct target targets[TARGETS_MAX];
    size_t n_targets;
    uint64_t left_shown;
    bool progress_shown, stopping;
};

static bool add(const char **list, size_t *n, const char *value)
{
    if (*n == FILTERS_MAX) {
        (void)fg_cli_fail(0, "more than %d filters", FILTERS_MAX);
        return false;
    }
    list[(*n)++] = value;
    return true;
}

static bool take(void *state, size_t option, const char *value)
{
    struct state *s = state;

    switch (option) {
    case OPTION_DRY_RUN:
        s->dry = true;
        return true;
    case OPTION_PIPELINE:
        return add(s->pipelines, &s->n_pipelines, value);
    case OPTION_FILTER:
        return add(s->filters, &s->n_filters, value);
    case OPTION_TOPIC:
        s->topic = value;
        return true;
    case OPTION_LIMIT:
        return fg_errand_take_number("limit", value, 1, INT64_MAX, &s->limit);
    case OPTION_FORMAT:
        return fg_errand_take_format(value, "text", &s->json);
    default:
        return fg_errand_take(&s->words, option, value);
    }
}

static int read_conditions(struct job *j)
{
    int64_t now_ms = fg_clock_wall_ms(&fg_clock_system);
    struct fg_error err = FG_ERROR_NULL;

    for (size_t i = 0; i < j->state->n_filters; i++)
        if (fg_letter_condition_read(j->state->filters[i], now_ms, &j->conditions[j->n_conditions++], &err) < 0)
            return fg_cli_fail(FG_EXIT_USAGE, "--filter: %s", err.text);
    for (size_t i = 0; i < j->state->n_pipelines; i++)
        j->conditions[j->n_conditions++] =
            (struct fg_letter_condition){ .field = FG_LETTER_PIPELINE, .text = j->state->pipelines[i] };
    return 0;
}

/* ---- words ---- */

static bool shows_progress(const struct job *j)
{
    return isatty(STDERR_FILENO) == 1 && !j->state->json;
}

static void clear_progress(struct job *j)
{
    if (j->progress_shown)
        (void)fputs("\r\033[K", stderr);
    j->progress_shown = false;
}

static void on_progress(void *arg)
{
    struct job *j = arg;
    struct fg_replay_counts c = { 0 };

    if (j->replay)
        fg_replay_counts(j->replay, &c);
    (void)fprintf(stderr, "\r\033[K%s: %" PRIu64 " replayed, %" PRIu64 " left", j->topics[j->at], c.sent, c.left);
    j->progress_shown = true;
    j->errand.env->ops->timer_start(j->progress, PROGRESS_MS);
}

static struct target *target_of(struct job *j, const char *topic)
{
    for (size_t i = 0; i < j->n_targets; i++)
        if (topic == j->targets[i].topic || (topic && j->targets[i].topic && !strcmp(topic, j->targets[i].topic)))
            return &j->targets[i];
    if (j->n_targets == TARGETS_MAX)
        return &j->targets[TARGETS_MAX - 1];
    j->targets[j->n_targets] = (struct target){ .topic = topic };
    return &j->targets[j->n_targets++];
}

static const char *done_word(const struct job *j)
{
    return j->state->dry ? "would be replayed" : "replayed";
}

static void tell_json(const struct job *j, const struct fg_replay_news *news)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf buf = FG_BUF_INIT(NEWS_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    const struct fg_letter *l = news->letter;
    char text[320];

    (void)snprintf(text, sizeof(text), "%s/%" PRId32 "/%" PRId64, l->topic, l->partition, l->offset);
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "id", text);
    fg_json_kv_cstr(&w, "result", news->fate == FG_REPLAY_LEFT ? "left" : done_word(j));
    fg_json_kv_string(&w, "pipeline", fg_slice_sub(l->pipeline, 0, 256));
    fg_json_kv_string(&w, "stage", fg_slice_sub(l->stage, 0, 256));
    fg_json_kv_string(&w, "reason", fg_slice_sub(l->reason, 0, 1024));
    fg_json_kv_string(&w, "origin", fg_slice_sub(l->origin, 0, 2048));
    fg_json_kv_string(&w, "key", fg_slice_sub(l->key, 0, 2048));
    if (news->fate == FG_REPLAY_SENT) {
        fg_json_kv_cstr(&w, "topic", news->topic);
        fg_json_kv_int(&w, "records", (int64_t)news->n_records);
    } else {
        fg_json_kv_cstr(&w, "why", news->why->text);
    }
    fg_json_object_end(&w);
    (void)printf("%s\n", buf.data ? buf.data : "{}");
}

/* "mail.dead/0/17: recognise, sink: the service said 400 -> mail.documents" */
static void tell_text(const struct job *j, const struct fg_replay_news *news)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf buf = FG_BUF_INIT(NEWS_MAX);
    const struct fg_letter *l = news->letter;

    fg_buf_printf(&buf, "%s/%" PRId32 "/%" PRId64 ": ", l->topic, l->partition, l->offset);
    fg_errand_plain(l->pipeline, 64, &buf);
    fg_buf_add_str(&buf, ", ");
    fg_errand_plain(l->stage, 64, &buf);
    fg_buf_add_str(&buf, ": ");
    fg_errand_plain(l->reason, 120, &buf);
    if (news->fate == FG_REPLAY_LEFT) {
        fg_buf_add_str(&buf, " | left: ");
        fg_errand_plain(fg_slice_of(news->why->text), FG_ERROR_TEXT_MAX, &buf);
    } else {
        fg_buf_printf(&buf, " -> %s", news->topic ? news->topic : "nothing: the transforms drop it");
    }
    (void)fprintf(j->state->dry ? stdout : stderr, "%s\n", buf.data ? buf.data : "");
}

static void on_told(void *arg, const struct fg_replay_news *news)
{
    struct job *j = arg;

    if (news->fate == FG_REPLAY_SENT)
        target_of(j, news->topic)->letters++;
    if (j->state->json) {
        tell_json(j, news);
    } else if (j->state->dry || (news->fate == FG_REPLAY_LEFT && j->left_shown++ < LEFT_SHOWN)) {
        clear_progress(j);
        tell_text(j, news);
    }
}

static void print_targets(const struct job *j)
{
    for (size_t i = 0; i < j->n_targets; i++)
        (void)printf("%s%" PRIu64 " %s%s%s", i ? ", " : "", j->targets[i].letters,
                     j->targets[i].letters == 1 ? "letter" : "letters", j->targets[i].topic ? " to " : " dropped",
                     j->targets[i].topic ? j->targets[i].topic : "");
}

/* "12 letters replayed to mail.documents, 3 left" */
static void summary_text(const struct job *j)
{
    const struct fg_replay_counts *c = &j->counts;
    const char *done = done_word(j);

    if (c->sent == 0) {
        (void)printf("no letter %s", done);
    } else if (j->n_targets == 1 && j->targets[0].topic) {
        (void)printf("%" PRIu64 " letter%s %s to %s", c->sent, c->sent == 1 ? "" : "s", done, j->targets[0].topic);
    } else {
        (void)printf("%" PRIu64 " letter%s %s (", c->sent, c->sent == 1 ? "" : "s", done);
        print_targets(j);
        (void)putchar(')');
    }
    (void)printf(", %" PRIu64 " left", c->left);
    if (c->passed)
        (void)printf(", %" PRIu64 " not chosen", c->passed);
    if (c->already)
        (void)printf(", %" PRIu64 " replayed before", c->already);
    (void)printf("%s\n", c->interrupted ? "; interrupted: begin it again to go on" : "");
}

static void summary_json(const struct job *j, const char *error)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf buf = FG_BUF_INIT(NEWS_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    const struct fg_replay_counts *c = &j->counts;

    fg_json_object(&w);
    fg_json_key(&w, "summary");
    fg_json_object(&w);
    fg_json_kv_bool(&w, "dry_run", j->state->dry);
    fg_json_kv_int(&w, "replayed", (int64_t)c->sent);
    fg_json_kv_int(&w, "records", (int64_t)c->records);
    fg_json_kv_int(&w, "left", (int64_t)c->left);
    fg_json_kv_int(&w, "not_chosen", (int64_t)c->passed);
    fg_json_kv_int(&w, "replayed_before", (int64_t)c->already);
    fg_json_kv_bool(&w, "interrupted", c->interrupted);
    if (error)
        fg_json_kv_cstr(&w, "error", error);
    fg_json_object_end(&w);
    fg_json_object_end(&w);
    (void)printf("%s\n", buf.data);
}

/* ---- one topic after the other ---- */

static void next(struct job *j);

static void finish(struct job *j, const struct fg_error *err)
{
    bool good = !err && j->counts.left == 0 && !j->counts.interrupted;

    clear_progress(j);
    j->errand.env->ops->timer_free(j->progress);
    j->progress = NULL;
    if (j->left_shown > LEFT_SHOWN)
        (void)fprintf(stderr, "... and %" PRIu64 " more that are left\n", j->left_shown - LEFT_SHOWN);
    if (j->state->json)
        summary_json(j, err ? err->text : NULL);
    else if (!err || j->counts.sent || j->counts.left)
        summary_text(j);
    if (err)
        (void)fg_cli_fail(0, "%s", err->text);
    fg_errand_end(&j->errand, good ? FG_EXIT_OK : FG_EXIT_FAILED);
}

static void on_done(void *arg, const struct fg_replay_counts *c, const struct fg_error *err)
{
    struct job *j = arg;

    j->counts.sent += c->sent;
    j->counts.left += c->left;
    j->counts.records += c->records;
    j->counts.passed += c->passed;
    j->counts.already += c->already;
    j->counts.interrupted = j->counts.interrupted || c->interrupted;
    j->at++;
    if (err) {
        struct fg_error why = *err;
        j->replay = fg_replay_free(j->replay);
        finish(j, &why);
        return;
    }
    j->replay = fg_replay_free(j->replay);
    next(j);
}

static void next(struct job *j)
{
    uint64_t taken = j->counts.sent + j->counts.left, limit = (uint64_t)j->state->limit;
    struct fg_replay_config config = {
        .env = j->errand.env,
        .bus = j->errand.bus,
        .budget = fg_process_budget(j->errand.process),
        .logger = { .log = j->errand.log },
        .routes = j->routes,
        .n_routes = j->n_routes,
        .conditions = j->conditions,
        .n_conditions = j->n_conditions,
        .limit = limit ? limit - taken : 0,
        .dry = j->state->dry,
        .told = on_told,
        .done = on_done,
        .arg = j,
    };

    if (j->stopping || j->at == j->n_topics || (limit && taken >= limit)) {
        j->counts.interrupted = j->counts.interrupted || (j->stopping && j->at < j->n_topics);
        finish(j, NULL);
        return;
    }
    config.dead_topic = j->topics[j->at];
    j->replay = fg_replay_start(&config);
}

static void add_topic(struct job *j, const char *topic)
{
    for (size_t i = 0; i < j->n_topics; i++)
        if (strcmp(j->topics[i], topic) == 0)
            return;
    j->topics = fg_reallocarray(j->topics, j->n_topics + 1, sizeof(*j->topics));
    j->topics[j->n_topics++] = topic;
}

static const char *unknown_pipeline(const struct job *j)
{
    for (size_t i = 0; i < j->state->n_pipelines; i++) {
        size_t k = 0;
        while (k < j->n_routes && strcmp(j->routes[k].pipeline, j->state->pipelines[i]) != 0)
            k++;
        if (k == j->n_routes)
            return j->state->pipelines[i];
    }
    return NULL;
}

static void begin(struct fg_errand *errand)
{
    struct job *j = fg_container_of(errand, struct job, errand);
    const char *role, *pipeline, *topic, *unknown;

    j->n_routes = errand->config->n_pipelines;
    j->routes = fg_calloc(j->n_routes + 1, sizeof(*j->routes));
    for (size_t i = 0; i < j->n_routes; i++)
        fg_process_route(errand->process, i, &j->routes[i]);
    for (size_t k = 0; (topic = fg_config_topic_at(errand->config, k, &role, &pipeline)); k++)
        if (strcmp(role, "dead-letters") == 0 && (!j->state->topic || strcmp(j->state->topic, topic) == 0))
            add_topic(j, topic);
    unknown = unknown_pipeline(j);
    if (unknown) {
        fg_errand_end(errand, fg_cli_fail(FG_EXIT_USAGE, "the file has no pipeline \"%s\"", unknown));
    } else if (j->n_topics == 0 && j->state->topic) {
        fg_errand_end(errand,
                      fg_cli_fail(FG_EXIT_USAGE, "\"%s\" is no dead-letter topic of the file", j->state->topic));
    } else if (j->n_topics == 0) {
        fg_errand_end(errand, fg_cli_fail(FG_EXIT_CONFIG, "%s: no pipeline has `dead-letters`", j->state->words.file));
    } else {
        j->progress = errand->env->ops->timer_new(errand->env, on_progress, j);
        if (shows_progress(j))
            errand->env->ops->timer_start(j->progress, PROGRESS_MS);
        next(j);
    }
}

static void interrupt(struct fg_errand *errand)
{
    struct job *j = fg_container_of(errand, struct job, errand);

    j->stopping = true;
    if (j->replay)
        fg_replay_stop(j->replay);
}

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    struct state *s = state;
    struct job j = {
        .errand = { .cli = cli, .words = &s->words, .transforms = true, .begin = begin, .interrupt = interrupt },
        .state = s,
    };
    int code;

    (void)argv;
    if (!s->words.file || argc > 0)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua replay %s", fg_cli_replay.usage);
    if ((code = read_conditions(&j)) != 0)
        return code;
    code = fg_errand_run(&j.errand);
    free(j.routes);
    free(j.topics);
    return code;
}

const struct fg_cli_command fg_cli_replay = {
    .name = "replay",
    .usage = "-c FILE [--dry-run] [--pipeline NAME] [--filter KEY=VALUE]... [--limit N]",
    .summary = "dead letters back to where they came from",
    .options = options,
    .take = take,
    .state_size = sizeof(struct state),
    .run = run,
};
