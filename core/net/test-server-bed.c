/* SPDX-License-Identifier: Apache-2.0 */
/* The bed of the server's tests. */
#include "net/test-server-bed.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"

static void hello(void *self, struct fg_exchange *x)
{
    struct bed *bed = self;

    bed->n_handled++;
    fg_exchange_reply(x, 200, "text/plain", fg_slice_of("hello"));
}

static void echo(void *self, struct fg_exchange *x)
{
    struct bed *bed = self;
    struct fg_slice body = fg_exchange_body(x);

    bed->n_handled++;
    (void)snprintf(bed->body_seen, sizeof(bed->body_seen), "%.*s", FG_SLICE_ARG(body));
    fg_exchange_reply(x, 200, "application/octet-stream", body);
}

static void show(void *self, struct fg_exchange *x)
{
    struct bed *bed = self;
    struct fg_buf out = FG_BUF_INIT(65536);
    struct fg_slice id = fg_exchange_param(x, "id"), q = fg_exchange_query(x, "q"), h = fg_exchange_header(x, "x-it");
    struct fg_slice path = fg_exchange_path(x), raw = fg_exchange_query_raw(x);

    bed->n_handled++;
    fg_buf_printf(&out, "id=%.*s q=%.*s h=%.*s path=%.*s raw=%.*s", FG_SLICE_ARG(id), FG_SLICE_ARG(q), FG_SLICE_ARG(h),
                  FG_SLICE_ARG(path), FG_SLICE_ARG(raw));
    fg_exchange_set_header(x, "X-Set", "yes");
    fg_exchange_set_header(x, "X-Bad", "a\r\nX-Injected: b");
    fg_exchange_set_header(x, "Content-Length", "1");
    fg_exchange_set_header(x, "Cache-Control", "max-age=5");
    fg_exchange_reply(x, 200, "text/plain", fg_buf_slice(&out));
    fg_buf_deinit(&out);
}

static void on_gone(void *arg)
{
    struct bed *bed = arg;

    bed->n_gone++;
    bed->waiting = NULL;
}

static void keep(void *self, struct fg_exchange *x)
{
    struct bed *bed = self;

    bed->n_handled++;
    bed->waiting = x;
    if (bed->tell_gone)
        fg_exchange_on_gone(x, on_gone, bed);
}

static void stream(void *self, struct fg_exchange *x)
{
    fg_exchange_begin(x, 200, "text/event-stream");
    keep(self, x);
}

static void big(void *self, struct fg_exchange *x)
{
    size_t n = (size_t)8 << 20;
    char *bytes = malloc(n);

    (void)self;
    assert_non_null(bytes);
    memset(bytes, 'b', n);
    fg_exchange_reply(x, 200, "application/octet-stream", fg_slice_make(bytes, n));
    free(bytes);
}

static void cut(void *self, struct fg_exchange *x)
{
    (void)self;
    fg_exchange_abort(x);
}

const struct fg_route bed_routes[] = {
    {.method = "GET", .path = "/hello", .handle = hello},
    {.method = "POST", .path = "/echo", .handle = echo},
    {.method = "POST", .path = "/small", .handle = echo, .body_max = 16},
    {.method = "GET", .path = "/items/{id}", .handle = show},
    {.method = "GET", .path = "/wait", .handle = keep},
    {.method = "GET", .path = "/stream", .handle = stream},
    {.method = "GET", .path = "/big", .handle = big},
    {.method = "GET", .path = "/abort", .handle = cut},
    {.method = "GET", .path = "/read", .scope = FG_SCOPE_READ, .handle = hello},
    {.method = "POST", .path = "/control", .scope = FG_SCOPE_CONTROL, .handle = hello},
    {.method = "GET", .path = "/read-stream", .scope = FG_SCOPE_READ, .handle = stream},
    {.method = "POST", .path = "/read-wait", .scope = FG_SCOPE_READ, .handle = keep},
};
const size_t bed_n_routes = sizeof(bed_routes) / sizeof(bed_routes[0]);

void bed_start(struct bed *bed, void (*adjust)(struct fg_http_server_config *config))
{
    struct fg_http_server_config config = {.loop = &bed->loop, .listen = "127.0.0.1:0"};
    struct fg_error err = FG_ERROR_NULL;

    *bed = (struct bed){.in = FG_BUF_INIT((size_t)64 << 20)};
    (void)signal(SIGPIPE, SIG_IGN); /* as the program does: libuv writes without MSG_NOSIGNAL */
    assert_int_equal(uv_loop_init(&bed->loop), 0);
    bed->metrics = fg_metrics_new();
    config.metrics = bed->metrics;
    if (adjust)
        adjust(&config);
    assert_int_equal(fg_http_server_new(&config, &bed->server, &err), 0);
    assert_int_equal(fg_http_server_mount(bed->server, bed_routes, bed_n_routes, bed, &bed->mount, &err), 0);
}

static void on_closed(void *arg)
{
    struct bed *bed = arg;

    bed->closed = true;
}

void bed_stop(struct bed *bed)
{
    fg_http_server_unmount(bed->mount);
    if (!bed->closed)
        fg_http_server_close(bed->server, 0, on_closed, bed);
    assert_true(bed_until(bed, &bed->closed));
    (void)uv_run(&bed->loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&bed->loop), 0);
    (void)fg_metrics_free(bed->metrics);
    fg_buf_deinit(&bed->in);
}

void bed_turn(struct bed *bed, int fd)
{
    struct pollfd fds[2] = {{uv_backend_fd(&bed->loop), POLLIN, 0}, {fd, POLLIN, 0}};
    int timeout = uv_backend_timeout(&bed->loop);

    (void)poll(fds, fd >= 0 ? 2 : 1, timeout < 0 || timeout > 20 ? 20 : timeout);
    (void)uv_run(&bed->loop, UV_RUN_NOWAIT);
}

bool bed_until(struct bed *bed, const bool *flag)
{
    uint64_t end = uv_hrtime() + BED_WAIT_MS * (uint64_t)1000000;

    while (!*flag && uv_hrtime() < end)
        bed_turn(bed, -1);
    return *flag;
}

bool bed_until_count(struct bed *bed, const unsigned *counter, unsigned wanted)
{
    uint64_t end = uv_hrtime() + BED_WAIT_MS * (uint64_t)1000000;

    while (*counter < wanted && uv_hrtime() < end)
        bed_turn(bed, -1);
    return *counter == wanted;
}

int bed_connect(struct bed *bed)
{
    const char *port = strrchr(fg_http_server_address(bed->server), ':') + 1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    (void)connect(fd, (struct sockaddr *)&addr, sizeof(addr)); /* in progress: the backlog takes it */
    bed_turn(bed, -1);
    return fd;
}

void bed_send(struct bed *bed, int fd, const char *bytes, size_t len)
{
    uint64_t end = uv_hrtime() + BED_WAIT_MS * (uint64_t)1000000;

    while (len > 0 && uv_hrtime() < end) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
            return; /* the server has closed: what it said before is what matters */
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
        bed_turn(bed, -1);
    }
}

void bed_text(struct bed *bed, int fd, const char *text)
{
    bed_send(bed, fd, text, strlen(text));
}

int bed_begin(struct bed *bed, const char *path)
{
    unsigned before = bed->n_handled;
    char text[256];
    int fd = bed_connect(bed);

    (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" BED_HOST "\r\n", path);
    bed_text(bed, fd, text);
    assert_true(bed_until_count(bed, &bed->n_handled, before + 1));
    return fd;
}

/* One look at the socket; 0: closed, 1: bytes came, -1: nothing yet. */
static int take(struct bed *bed, int fd)
{
    char part[65536];
    ssize_t n;

    bed_turn(bed, fd);
    n = recv(fd, part, sizeof(part), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        return 0;
    if (n < 0)
        return -1;
    fg_buf_add(&bed->in, part, (size_t)n);
    return 1;
}

bool bed_has(const struct bed *bed, const char *text)
{
    return bed->in.data && memmem(bed->in.data, bed->in.len, text, strlen(text));
}

bool bed_read_until(struct bed *bed, int fd, const char *text)
{
    uint64_t end = uv_hrtime() + BED_WAIT_MS * (uint64_t)1000000;

    fg_buf_clear(&bed->in);
    while (uv_hrtime() < end) {
        int r = take(bed, fd);

        if (bed_has(bed, text))
            return true;
        if (r == 0)
            return false;
    }
    return false;
}

bool bed_read_to_end(struct bed *bed, int fd)
{
    uint64_t end = uv_hrtime() + BED_WAIT_MS * (uint64_t)1000000;

    fg_buf_clear(&bed->in);
    while (uv_hrtime() < end)
        if (take(bed, fd) == 0)
            return true;
    return false;
}

int bed_status(const struct bed *bed)
{
    if (bed->in.len < 12 || memcmp(bed->in.data, "HTTP/1.1 ", 9) != 0)
        return 0;
    return (int)strtol(bed->in.data + 9, NULL, 10);
}

int bed_ask_bytes(struct bed *bed, const char *bytes, size_t len)
{
    int fd = bed_connect(bed);
    bool ended;

    bed_send(bed, fd, bytes, len);
    ended = bed_read_to_end(bed, fd);
    (void)close(fd);
    return ended ? bed_status(bed) : -1;
}

int bed_ask(struct bed *bed, const char *text)
{
    return bed_ask_bytes(bed, text, strlen(text));
}

double bed_metric(struct bed *bed, const char *name, const char *label, const char *value)
{
    bool counter = fg_slice_ends(fg_slice_of(name), fg_slice_of("_total"));
    struct fg_metric_decl decl = {name, counter ? FG_METRIC_TYPE_COUNTER : FG_METRIC_TYPE_GAUGE, ""};
    struct fg_label l = {label, value};

    return fg_metric_value(fg_metric_get(bed->metrics, &decl, &l, label ? 1 : 0));
}
