/* SPDX-License-Identifier: Apache-2.0 */
/* control-hello: one route that greets. It shows how a plugin answers HTTP, and how it builds JSON with the kit. */
#include <fragua/plugin.h>

#include <fragua/kit/buf.h>
#include <fragua/kit/json.h>

#include <stdlib.h>

#define ANSWER_MAX 4096u /* bytes */

struct config {
    const char *greeting;
};

struct hello {
    struct fg_host *host;
    const struct config *config;
    struct fg_metric *greeted; /* borrowed */
};

/* Answers at once; a route that has to wait keeps `x` and answers later, or asks on_gone to be told to forget it. */
static void get_hello(void *self, struct fg_exchange *x)
{
    struct hello *h = self;
    const struct fg_services *svc = h->host->svc;
    struct fg_buf answer = FG_BUF_INIT(ANSWER_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&answer);

    fg_json_object(&w);
    fg_json_kv_cstr(&w, "greeting", h->config->greeting);
    fg_json_kv_string(&w, "name", svc->exchange_param(x, "name")); /* from outside: the writer escapes it */
    fg_json_object_end(&w);
    if (answer.failed)
        svc->exchange_problem(x, 400, "too long", "the greeting and the name are longer than 4 KiB");
    else
        svc->exchange_reply(x, 200, "application/json", fg_buf_slice(&answer));
    fg_buf_deinit(&answer);
    svc->metric_add(h->greeted, 1);
}

static int open_hello(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct hello *h = calloc(1, sizeof(*h));

    if (!h)
        return fg_error_set(err, FG_E_LIMIT, 0, "no memory");
    h->host = host;
    h->config = config;
    h->greeted = host->svc->metric(host, FG_METRIC_COUNTER, "hello_total", "Greetings given");
    *ret_self = h;
    return 0;
}

static const struct fg_route routes[] = {
    { .method = "GET", .path = "/hello/{name}", .scope = FG_SCOPE_OPEN, .summary = "Greets somebody",
      .response_schema = "{\"type\":\"object\",\"required\":[\"greeting\",\"name\"],\"properties\":{\"greeting\":"
                         "{\"type\":\"string\"},\"name\":{\"type\":\"string\"}}}",
      .handle = get_hello },
};

static const struct fg_control_ops ops = { routes, sizeof(routes) / sizeof(routes[0]) };

static const struct fg_option options[] = {
    { .key = "greeting", .type = FG_OPTION_STRING, .fallback = "hello", .offset = offsetof(struct config, greeting),
      .summary = "what to say" },
    FG_OPTION_END,
};

FG_PLUGIN(.kind = FG_KIND_CONTROL, .name = "control-hello", .version = "1.0", .summary = "greets over HTTP",
          .options = options, .config_size = sizeof(struct config), .open = open_hello, .close = free,
          .control = &ops);
