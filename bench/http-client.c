/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many requests a second the HTTP client makes: http-client URL [REQUESTS [CONCURRENCY]].
 *
 * Each answer sends the next request until all are out. Prints requests/s, CPU time a request and the times of the
 * median and the 99th percentile, in whole milliseconds.
 */
#include <stdlib.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "net/client.h"

struct bench {
    struct fg_http_client *client;
    struct fg_http_request req;
    size_t to_send, in_flight, answered, failed, n;
    uint32_t *elapsed_ms; /* array of n */
};

static void send_one(struct bench *b);

static void on_done(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct bench *b = arg;

    b->in_flight--;
    if (res && res->status < 400) {
        b->elapsed_ms[b->answered++] = res->elapsed_ms;
    } else if (b->failed++ == 0) {
        fprintf(stderr, "first failure: %s %d\n", err ? err->text : "status", res ? res->status : 0);
    }
    send_one(b);
}

static void send_one(struct bench *b)
{
    struct fg_error err = FG_ERROR_NULL;

    if (b->to_send == 0) {
        if (b->in_flight == 0)
            fg_http_client_close(b->client, NULL, NULL);
        return;
    }
    b->to_send--;
    b->in_flight++;
    if (!fg_http_client_send(b->client, &b->req, FG_SLICE_NULL, on_done, b, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print(struct bench *b, double seconds)
{
    struct rusage usage;
    double cpu;

    (void)getrusage(RUSAGE_SELF, &usage);
    cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
          (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    qsort(b->elapsed_ms, b->answered, sizeof(b->elapsed_ms[0]), by_size);
    printf("%zu answered, %zu failed, %.3f s, %.0f requests/s, %.1f us CPU a request", b->answered, b->failed, seconds,
           (double)b->answered / seconds, cpu * 1e6 / (double)b->n);
    if (b->answered > 0)
        printf(", median %u ms, p99 %u ms", b->elapsed_ms[b->answered / 2], b->elapsed_ms[b->answered * 99 / 100]);
    printf("\n");
}

int main(int argc, char **argv)
{
    struct fg_error err = FG_ERROR_NULL;
    struct bench b = { 0 };
    struct fg_http_client_config config = { 0 };
    size_t concurrency;
    uint64_t began;
    uv_loop_t loop;

    if (argc < 2) {
        fprintf(stderr, "usage: %s URL [REQUESTS [CONCURRENCY]]\n", argv[0]);
        return 2;
    }
    b.n = b.to_send = argc > 2 ? strtoul(argv[2], NULL, 10) : 50000;
    concurrency = argc > 3 ? strtoul(argv[3], NULL, 10) : 32;
    if (b.n == 0 || concurrency == 0)
        return 2;
    b.elapsed_ms = fg_calloc(b.n, sizeof(b.elapsed_ms[0]));
    b.req = (struct fg_http_request){
        .method = "GET", .url = argv[1], .timeout_ms = 60000, .body_max = 64 << 20, .allow_private = true
    };
    uv_loop_init(&loop);
    config.loop = &loop;
    if (fg_http_client_new(&config, &b.client, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    began = uv_hrtime();
    for (size_t i = 0; i < concurrency && b.to_send > 0; i++)
        send_one(&b);
    uv_run(&loop, UV_RUN_DEFAULT);
    print(&b, (double)(uv_hrtime() - began) / 1e9);
    uv_loop_close(&loop);
    free(b.elapsed_ms);
    return b.failed > 0;
}
