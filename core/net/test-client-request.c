/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP client sends, and what it refuses to: addresses, URLs, headers. */
#include <arpa/inet.h>

#include "net/test-client-bed.h"

static void addresses_are_judged(void **state)
{
    static const char *const refused[] = {
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255", "192.0.0.8", "198.18.0.1", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::ffff:169.254.169.254", "fc00::1", "fdff::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1",
        "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a00:1::", "", "localhost", "1.2.3", "1.2.3.4.5",
    };
    static const char *const allowed[] = {
        "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
        "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0",
        "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:4860::1", "2606:4700::1111",
        "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "fbff::1",
    };

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (!client_peer_private_text(refused[i]))
            fail_msg("\"%s\" is taken for public", refused[i]);
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if (client_peer_private_text(allowed[i]))
            fail_msg("\"%s\" is taken for private", allowed[i]);
}

static void socket_addresses_are_judged_as_their_texts(void **state)
{
    struct sockaddr_in four = { .sin_family = AF_INET };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
    struct sockaddr other = { .sa_family = AF_UNIX };
    char text[INET6_ADDRSTRLEN];

    inet_pton(AF_INET, "172.20.1.2", &four.sin_addr);
    assert_true(client_peer_private((struct sockaddr *)&four));
    client_peer_text((struct sockaddr *)&four, text);
    assert_string_equal(text, "172.20.1.2");
    inet_pton(AF_INET, "8.8.8.8", &four.sin_addr);
    assert_false(client_peer_private((struct sockaddr *)&four));
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr);
    assert_true(client_peer_private((struct sockaddr *)&six));
    inet_pton(AF_INET6, "2606:4700::1111", &six.sin6_addr);
    assert_false(client_peer_private((struct sockaddr *)&six));
    assert_true(client_peer_private(&other));
}

static struct seen get_strictly(struct bed *bed, const char *url)
{
    struct seen seen = { 0 };
    struct fg_http_request req = request_to(url);
    struct fg_error err = FG_ERROR_NULL;

    req.allow_private = false;
    assert_non_null(fg_http_client_send(bed->client, &req, FG_SLICE_NULL, seen_done, &seen, &err));
    bed_wait(bed, &seen.calls, 1);
    return seen;
}

static void private_peers_are_refused_before_a_packet_is_sent(void **state)
{
    static const char *const names[] = { "127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]" };
    struct bed bed;

    bed_start(&bed, 0, 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char url[128];
        struct seen seen;
        (void)snprintf(url, sizeof(url), "http://%s:%d/ok?token=hush", names[i], bed.peer.port);
        seen = get_strictly(&bed, url);
        if (seen.err.code != FG_E_CONFIG || seen.err.retriable || !strstr(seen.err.text, "private address") ||
            strstr(seen.err.text, "hush"))
            fail_msg("%s: status %d, code %d, \"%s\"", names[i], seen.status, seen.err.code, seen.err.text);
    }
    assert_int_equal(bed.peer.n_accepted, 0);
    bed_stop(&bed);
}

static void a_kept_connection_to_a_private_peer_is_judged_again(void **state)
{
    struct bed bed;
    struct seen seen;
    char url[64];

    bed_start(&bed, 0, 0);
    assert_int_equal(bed_get(&bed, "/ok").status, 200);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/ok", bed.peer.port);
    seen = get_strictly(&bed, url);
    assert_int_equal(seen.err.code, FG_E_CONFIG);
    assert_non_null(strstr(seen.err.text, "\"127.0.0.1\""));
    assert_int_equal(bed.peer.n_requests, 1);
    bed_stop(&bed);
}

static void expect_refusal(struct bed *bed, const struct fg_http_request *req, struct fg_slice bearer,
                           const char *hint)
{
    struct seen seen = { 0 };
    struct fg_error err = FG_ERROR_NULL;

    assert_null(fg_http_client_send(bed->client, req, bearer, seen_done, &seen, &err));
    assert_int_equal(err.code, FG_E_CONFIG);
    assert_false(err.retriable);
    if (!strstr(err.text, hint))
        fail_msg("\"%s\" does not say \"%s\"", err.text, hint);
    assert_null(strstr(err.text, "hush"));
    assert_int_equal(bed->client->n_calls, 0);
}

static void bad_urls_and_figures_are_refused(void **state)
{
    static const struct {
        const char *url, *hint;
    } cases[] = {
        { "http://me:hush@example.com/", "user or password" }, { "http://me@example.com/", "user or password" },
        { "ftp://example.com/", "neither http nor https" },    { "file:///etc/passwd", "neither http nor https" },
        { "http://example.com/a\r\nHost: b", "URL" },          { "", "URL" },
        { NULL, "missing" },                                   { "http://example.com:99999/", "ort" },
    };
    struct bed bed;
    struct fg_http_request req;

    bed_start(&bed, 0, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        req = request_to(cases[i].url);
        expect_refusal(&bed, &req, FG_SLICE_NULL, cases[i].hint);
    }
    req = request_to("http://example.com/?token=hush");
    req.timeout_ms = 0;
    expect_refusal(&bed, &req, FG_SLICE_NULL, "timeout of 0 ms");
    req.timeout_ms = 600001;
    expect_refusal(&bed, &req, FG_SLICE_NULL, "600000");
    req = request_to("http://example.com/");
    req.method = "GET /x";
    expect_refusal(&bed, &req, FG_SLICE_NULL, "method");
    bed_stop(&bed);
}

static void headers_that_could_end_a_line_are_refused(void **state)
{
    static const struct fg_header bad[] = {
        { FG_SLICE("X-A"), FG_SLICE("hush\r\nX-B: c") }, { FG_SLICE("X-A"), FG_SLICE("hush\n") },
        { FG_SLICE("X-A"), FG_SLICE("hush\0x") },        { FG_SLICE("X A"), FG_SLICE("b") },
        { FG_SLICE("X-A:"), FG_SLICE("b") },             { FG_SLICE(""), FG_SLICE("b") },
        { FG_SLICE("X\r\nY"), FG_SLICE("b") },           { FG_SLICE("Content-Length"), FG_SLICE("5") },
        { FG_SLICE("transfer-encoding"), FG_SLICE("chunked") },
    };
    static const struct fg_header authorization = { FG_SLICE("authorization"), FG_SLICE("Basic hush") };
    static const struct fg_slice bearer = FG_SLICE("hush-hush"), bad_bearer = FG_SLICE("hush\n");
    struct bed bed;
    struct fg_http_request req = request_to("http://example.com/");

    bed_start(&bed, 0, 0);
    req.n_headers = 1;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        req.headers = &bad[i];
        expect_refusal(&bed, &req, FG_SLICE_NULL, "header");
    }
    req.headers = &authorization;
    expect_refusal(&bed, &req, bearer, "both");
    req.n_headers = 0;
    expect_refusal(&bed, &req, bad_bearer, "end of line");
    bed_stop(&bed);
}

static void a_request_arrives_as_it_was_meant(void **state)
{
    static const struct fg_header headers[] = { { FG_SLICE("X-A"), FG_SLICE("b; c") },
                                                { FG_SLICE("X-Empty"), FG_SLICE("") } };
    static const struct fg_slice bearer = FG_SLICE("hush"), body = FG_SLICE("{\"a\":1}");
    static const char *const wanted[] = { "POST /echo?q=1 HTTP/1.1\r\n", "\r\nAuthorization: Bearer hush\r\n",
                                          "\r\nX-A: b; c\r\n",           "\r\nX-Empty:\r\n",
                                          "\r\nContent-Length: 7\r\n",   "\r\nUser-Agent: fragua/",
                                          "\r\n\r\n{\"a\":1}" };
    static const char *const unwanted[] = { "Expect", "Content-Type", "Accept-Encoding", "Cookie", "Proxy" };
    struct bed bed;
    struct seen seen = { 0 };
    struct fg_http_request req = request_to(NULL);
    struct fg_error err = FG_ERROR_NULL;
    char url[64];

    (void)setenv("http_proxy", "http://127.0.0.1:1", 1); /* must not be looked at */
    bed_start(&bed, 0, 0);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/echo?q=1", bed.peer.port);
    req.method = "POST";
    req.url = url;
    req.headers = headers;
    req.n_headers = 2;
    req.body = body;
    assert_non_null(fg_http_client_send(bed.client, &req, bearer, seen_done, &seen, &err));
    bed_wait(&bed, &seen.calls, 1);
    (void)unsetenv("http_proxy");
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (!strstr(seen.body, wanted[i]))
            fail_msg("no \"%s\" in:\n%s", wanted[i], seen.body);
    for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
        if (strstr(seen.body, unwanted[i]))
            fail_msg("\"%s\" in:\n%s", unwanted[i], seen.body);
    bed_stop(&bed);
}

static void every_method_has_its_framing(void **state)
{
    static const struct {
        const char *method, *body, *has, *has_not;
    } cases[] = {
        { "GET", "", "GET /echo", "Content-Length" },    { "DELETE", "", "DELETE /echo", "Content-Length" },
        { "PUT", "", "\r\nContent-Length: 0\r\n", "Expect" }, { "PATCH", "ab", "\r\nContent-Length: 2\r\n", "Expect" },
        { "DELETE", "ab", "\r\nContent-Length: 2\r\n", "Expect" },
    };
    struct bed bed;
    struct seen head = { 0 };
    struct fg_http_request req = request_to(NULL);

    bed_start(&bed, 0, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen = { 0 };
        req.method = cases[i].method;
        req.body = fg_slice_of(cases[i].body);
        bed_send(&bed, &req, "/echo", &seen);
        bed_wait(&bed, &seen.calls, 1);
        if (!strstr(seen.body, cases[i].has) || strstr(seen.body, cases[i].has_not))
            fail_msg("case %zu:\n%s", i, seen.body);
    }
    req.method = "HEAD";
    req.body = FG_SLICE_NULL;
    bed.peer.raw = "HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n";
    bed_send(&bed, &req, "/raw", &head);
    bed_wait(&bed, &head.calls, 1);
    assert_int_equal(head.status, 200);
    assert_int_equal(head.body_len, 0);
    bed_stop(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_judged),
        cmocka_unit_test(socket_addresses_are_judged_as_their_texts),
        cmocka_unit_test(private_peers_are_refused_before_a_packet_is_sent),
        cmocka_unit_test(a_kept_connection_to_a_private_peer_is_judged_again),
        cmocka_unit_test(bad_urls_and_figures_are_refused),
        cmocka_unit_test(headers_that_could_end_a_line_are_refused),
        cmocka_unit_test(a_request_arrives_as_it_was_meant),
        cmocka_unit_test(every_method_has_its_framing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
