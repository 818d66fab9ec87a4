/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that two readers could take two ways: each is refused, and the connection closed with nothing behind it
 * read. */
#include "net/test-server-bed.h"

#include <unistd.h>

#define FIRST    "POST /echo HTTP/1.1\r\n"
#define SMUGGLED "GET /hello HTTP/1.1\r\n" BED_HOST "\r\n"

struct sample {
    const char *name;
    const char *bytes;
    size_t len; /* 0: up to the NUL */
    int status;
};

#define SAMPLE(name, bytes, status)            \
    {                                          \
        name, bytes, sizeof(bytes) - 1, status \
    }

static const struct sample samples[] = {
    SAMPLE("length and chunks", FIRST BED_HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    SAMPLE("chunks and length", FIRST BED_HOST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
    SAMPLE("two lengths that differ", FIRST BED_HOST "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400),
    SAMPLE("two lengths that agree", FIRST BED_HOST "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
    SAMPLE("a list of lengths", FIRST BED_HOST "Content-Length: 4, 4\r\n\r\nabcd", 400),
    SAMPLE("a signed length", FIRST BED_HOST "Content-Length: +4\r\n\r\nabcd", 400),
    SAMPLE("an empty length", FIRST BED_HOST "Content-Length:\r\n\r\n", 400),
    SAMPLE("a hexadecimal length", FIRST BED_HOST "Content-Length: 0x4\r\n\r\nabcd", 400),
    SAMPLE("a length past 64 bits", FIRST BED_HOST "Content-Length: 18446744073709551620\r\n\r\nabcd", 400),
    SAMPLE("an unknown coding", FIRST BED_HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    SAMPLE("a coding behind chunked", FIRST BED_HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
    SAMPLE("chunked twice", FIRST BED_HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           400),
    SAMPLE("chunks in HTTP/1.0", "POST /echo HTTP/1.0\r\n" BED_HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    SAMPLE("a space before the colon", FIRST BED_HOST "Content-Length : 4\r\n\r\nabcd", 400),
    SAMPLE("a space before the colon of Host", "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    SAMPLE("a tab in a name", FIRST BED_HOST "Content-\tLength: 4\r\n\r\nabcd", 400),
    SAMPLE("a field without a name", FIRST BED_HOST ": 4\r\n\r\n", 400),
    SAMPLE("a field without a colon", FIRST BED_HOST "Content-Length\r\n\r\n", 400),
    SAMPLE("a folded field", FIRST BED_HOST "X-A: b\r\n c\r\n\r\n", 400),
    SAMPLE("white space before the first field", "GET /hello HTTP/1.1\r\n X: b\r\n" BED_HOST "\r\n", 400),
    SAMPLE("LF alone", "GET /hello HTTP/1.1\nHost: a\n\n", 400),
    SAMPLE("LF alone behind a field", "GET /hello HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    SAMPLE("CR alone in a value", "GET /hello HTTP/1.1\r\n" BED_HOST "X: a\rY: b\r\n\r\n", 400),
    SAMPLE("NUL in a value", "GET /hello HTTP/1.1\r\n" BED_HOST "X: a\0b\r\n\r\n", 400),
    SAMPLE("a control character in a value",
           "GET /hello HTTP/1.1\r\n" BED_HOST "X: a\x01"
           "b\r\n\r\n",
           400),
    SAMPLE("DEL in a value", "GET /hello HTTP/1.1\r\n" BED_HOST "X: a\x7f\r\n\r\n", 400),
    SAMPLE("no Host", "GET /hello HTTP/1.1\r\nX: a\r\n\r\n", 400),
    SAMPLE("two Hosts", "GET /hello HTTP/1.1\r\n" BED_HOST BED_HOST "\r\n", 400),
    SAMPLE("a Host with a path", "GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    SAMPLE("HTTP/9.9", "GET /hello HTTP/9.9\r\n" BED_HOST "\r\n", 400),
    SAMPLE("HTTP/1.2", "GET /hello HTTP/1.2\r\n" BED_HOST "\r\n", 400),
    SAMPLE("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    SAMPLE("no version", "GET /hello\r\n" BED_HOST "\r\n", 400),
    SAMPLE("two spaces", "GET  /hello HTTP/1.1\r\n" BED_HOST "\r\n", 400),
    SAMPLE("a byte over 0x7f in the target", "GET /h\xc3\xa9llo HTTP/1.1\r\n" BED_HOST "\r\n", 400),
    SAMPLE("a fragment in the target", "GET /hello#a HTTP/1.1\r\n" BED_HOST "\r\n", 400),
    SAMPLE("CONNECT", "CONNECT a:443 HTTP/1.1\r\n" BED_HOST "\r\n", 501),
    SAMPLE("not HTTP at all", "\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    SAMPLE("a chunk size that is none", FIRST BED_HOST "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n", 400),
    SAMPLE("a signed chunk size", FIRST BED_HOST "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", 400),
    SAMPLE("a chunk size past 64 bits", FIRST BED_HOST "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n",
           400),
    SAMPLE("no CRLF behind a chunk", FIRST BED_HOST "Transfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n", 400),
    SAMPLE("LF alone behind a chunk size", FIRST BED_HOST "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", 400),
    SAMPLE("another byte than LF behind CR", FIRST BED_HOST "Transfer-Encoding: chunked\r\n\r\n1\rXa\r\n0\r\n\r\n",
           400),
    SAMPLE("LF alone in a chunk extension", FIRST BED_HOST "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
           400),
    SAMPLE("a folded trailer", FIRST BED_HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n", 400),
    SAMPLE("a bad trailer", FIRST BED_HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n", 400),
};

static void what_two_readers_could_take_two_ways_is_refused(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        struct fg_buf all = FG_BUF_INIT(65536);
        int status;

        fg_buf_add(&all, samples[i].bytes, samples[i].len);
        fg_buf_add_str(&all, SMUGGLED);
        status = bed_ask_bytes(&bed, all.data, all.len);
        fg_buf_deinit(&all);
        if (status != samples[i].status)
            fail_msg("%s: answered %d, not %d", samples[i].name, status, samples[i].status);
        if (!bed_has(&bed, "\r\nConnection: close\r\n") || bed.n_handled > 0)
            fail_msg("%s: the connection went on", samples[i].name);
    }
    bed_stop(&bed);
}

/* The same must hold when every byte comes alone, since the check then works in pieces. */
static void nothing_changes_when_bytes_come_one_by_one(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i += 3) {
        int fd = bed_connect(&bed);

        for (size_t k = 0; k < samples[i].len; k++)
            bed_send(&bed, fd, samples[i].bytes + k, 1);
        assert_true(bed_read_to_end(&bed, fd));
        if (bed_status(&bed) != samples[i].status)
            fail_msg("%s: answered %d, not %d", samples[i].name, bed_status(&bed), samples[i].status);
        (void)close(fd);
    }
    assert_int_equal(bed.n_handled, 0);
    bed_stop(&bed);
}

static void what_is_odd_but_clear_is_served(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, "GET /hello HTTP/1.0\r\n\r\n"), 200);
    assert_int_equal(bed_ask(&bed, "\r\nGET /hello HTTP/1.1\r\n" BED_HOST "Connection: close\r\n\r\n"), 200);
    assert_int_equal(bed_ask(&bed, "GET http://127.0.0.1/hello HTTP/1.1\r\n" BED_HOST "Connection: close\r\n\r\n"),
                     200);
    assert_int_equal(bed_ask(&bed, "GET /%68ello HTTP/1.1\r\nhOST:a\r\nX:\r\nY: \xc3\xa9\r\nConnection:close\r\n\r\n"),
                     200);
    assert_int_equal(bed_ask(&bed, "GET /hello HTTP/1.1\r\n" BED_HOST "Content-Length: 0\r\nConnection: close\r\n\r\n"),
                     200);
    bed_stop(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_two_readers_could_take_two_ways_is_refused),
        cmocka_unit_test(nothing_changes_when_bytes_come_one_by_one),
        cmocka_unit_test(what_is_odd_but_clear_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
