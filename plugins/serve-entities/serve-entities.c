/* SPDX-License-Identifier: Apache-2.0 */
/* serve-entities: a local entity service: POST /entities/v1/recognise, by rules alone. */
#include <fragua/plugin.h>

#include <stdlib.h>

#include <fragua/kit/json.h>

#include "recognise.h"

#define TEXT_MAX (16u * 1024u * 1024u)
#define ANSWER_MAX (64u * 1024u * 1024u)
#define INLINE_MAX (64u * 1024u) /* longer texts are looked at on a worker */

struct service {
    struct fg_host *host;
    struct fg_metric *texts, *entities;
    size_t n_jobs;      /* on a worker */
    fg_done_cb stopped; /* NULL: nobody waits for the last of them */
    void *stopped_arg;
};

/* One text on a worker. */
struct job {
    struct service *service;
    struct fg_exchange *exchange; /* NULL: the client is gone */
    struct fg_buf text, answer;
    size_t n;
};

static void write_entity(void *arg, const struct entity *e)
{
    struct fg_json_writer *w = ((void **)arg)[0];
    const struct fg_buf *text = ((void **)arg)[1];

    fg_json_object(w);
    fg_json_kv_cstr(w, "type", entity_type_names[e->type]);
    fg_json_kv_string(w, "text", fg_slice_make(text->data + e->start, e->end - e->start));
    fg_json_kv_int(w, "start", (int64_t)e->start_point);
    fg_json_kv_int(w, "end", (int64_t)e->end_point);
    if (e->normalized[0])
        fg_json_kv_cstr(w, "normalized", e->normalized);
    fg_json_object_end(w);
}

static void look(void *arg)
{
    struct job *job = arg;
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&job->answer);
    void *both[] = { &w, &job->text };

    fg_json_object(&w);
    fg_json_key(&w, "entities");
    fg_json_array(&w);
    job->n = recognise(fg_buf_slice(&job->text), write_entity, both);
    fg_json_array_end(&w);
    fg_json_kv_cstr(&w, "model", "fragua-rules-1");
    fg_json_object_end(&w);
}

static void job_free(struct job *job)
{
    fg_buf_deinit(&job->text);
    fg_buf_deinit(&job->answer);
    free(job);
}

static void answer(void *arg)
{
    struct job *job = arg;
    const struct fg_services *svc = job->service->host->svc;

    svc->metric_add(job->service->texts, 1);
    svc->metric_add(job->service->entities, (double)job->n);
    if (job->exchange && job->answer.failed)
        svc->exchange_problem(job->exchange, 413, "too large", "the answer would be larger than 64 MiB");
    else if (job->exchange)
        svc->exchange_reply(job->exchange, 200, "application/json", fg_buf_slice(&job->answer));
    job_free(job);
}

static void answer_later(void *arg)
{
    struct service *s = ((struct job *)arg)->service;

    answer(arg);
    if (--s->n_jobs == 0 && s->stopped)
        s->stopped(s->stopped_arg);
}

static void gone(void *arg)
{
    ((struct job *)arg)->exchange = NULL;
}

static void post_recognise(void *self, struct fg_exchange *x)
{
    struct service *s = self;
    const struct fg_services *svc = s->host->svc;
    struct fg_json_value text = fg_json_find(svc->exchange_body(x), "/text");
    struct job *job = calloc(1, sizeof(*job));

    if (!job) {
        svc->exchange_problem(x, 503, "no memory", "try again later");
        return;
    }
    *job = (struct job){
        .service = s, .exchange = x, .text = FG_BUF_INIT(TEXT_MAX), .answer = FG_BUF_INIT(ANSWER_MAX)
    };
    if (!fg_json_valid(svc->exchange_body(x)) || text.kind != FG_JSON_STRING ||
        !fg_json_decode_string(text.raw, &job->text)) {
        svc->exchange_problem(x, 400, "bad request", "send {\"text\": \"...\"} as JSON, at most 16 MiB of text");
        job_free(job);
        return;
    }
    if (job->text.len <= INLINE_MAX) {
        look(job);
        answer(job);
        return;
    }
    svc->exchange_on_gone(x, gone, job);
    if (svc->offload(s->host, look, answer_later, job) < 0) {
        svc->exchange_problem(x, 503, "busy", "try again later");
        job_free(job);
        return;
    }
    s->n_jobs++;
}

static const char request_schema[] =
    "{\"type\":\"object\",\"required\":[\"text\"],\"properties\":{\"text\":{\"type\":\"string\"},"
    "\"language\":{\"type\":\"string\"}}}";
static const char response_schema[] =
    "{\"type\":\"object\",\"required\":[\"entities\",\"model\"],\"properties\":{\"model\":{\"type\":\"string\"},"
    "\"entities\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
    "\"required\":[\"type\",\"text\",\"start\",\"end\"],"
    "\"properties\":{\"type\":{\"enum\":[\"EMAIL\",\"URL\",\"PHONE\",\"MONEY\",\"DATE\",\"ID\"]},"
    "\"text\":{\"type\":\"string\"},\"start\":{\"type\":\"integer\"},\"end\":{\"type\":\"integer\"},"
    "\"normalized\":{\"type\":\"string\"}}}}}}";

static const struct fg_route routes[] = {
    { "POST", "/entities/v1/recognise", FG_SCOPE_READ, "find the entities of a text; offsets are code points",
      request_schema, response_schema, post_recognise, 24 * 1024 * 1024 },
};

static int open_service(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct service *s = calloc(1, sizeof(*s));

    (void)config;
    if (!s)
        return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory");
    s->host = host;
    s->texts = host->svc->metric(host, FG_METRIC_COUNTER, "texts_total", "Texts looked at");
    s->entities = host->svc->metric(host, FG_METRIC_COUNTER, "entities_total", "Entities found");
    *ret_self = s;
    return 0;
}

/* A job on a worker points to the service: wait for the last one. */
static void stop_service(void *self, fg_done_cb done, void *arg)
{
    struct service *s = self;

    if (s->n_jobs == 0) {
        done(arg);
        return;
    }
    s->stopped = done;
    s->stopped_arg = arg;
}

static void close_service(void *self)
{
    free(self);
}

static const struct fg_control_ops control_ops = { .routes = routes, .n_routes = sizeof(routes) / sizeof(routes[0]) };

FG_PLUGIN(.kind = FG_KIND_CONTROL, .name = "serve-entities", .version = FG_VERSION,
          .summary = "a local entity service: addresses, phones, money, dates and numbers, by rules",
          .open = open_service, .stop = stop_service, .close = close_service, .control = &control_ops);
