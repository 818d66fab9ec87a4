/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as they leave the process: formats, escapes, cuts, redaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"

struct bench {
    struct fg_log *log;
    struct fg_logger logger;
    struct fg_clock clock;
    int ends[2];
    char line[8192];
};

static uint64_t no_mono_ns(void *arg)
{
    return 0;
}

static int64_t fixed_wall_ms(void *arg)
{
    return 951782400250;
}

static void set_up(struct bench *b, enum fg_log_format format)
{
    b->clock = (struct fg_clock){ .mono_ns = no_mono_ns, .wall_ms = fixed_wall_ms };
    assert_int_equal(pipe(b->ends), 0);
    b->log = fg_log_new(b->ends[1], format, false, FG_LOG_INFO, &b->clock);
    assert_non_null(b->log);
    b->logger = (struct fg_logger){ .log = b->log, .pipeline = "ingest", .node = "source" };
}

static const char *one_line(struct bench *b)
{
    ssize_t n = read(b->ends[0], b->line, sizeof(b->line) - 1);

    assert_true(n > 0);
    b->line[n] = '\0';
    assert_ptr_equal(strchr(b->line, '\n'), b->line + n - 1);
    return b->line;
}

static void tear_down(struct bench *b)
{
    assert_null(fg_log_free(b->log));
    (void)close(b->ends[0]);
    (void)close(b->ends[1]);
}

static void a_logfmt_line_has_time_level_message_and_speaker(void **state)
{
    struct bench b;

    set_up(&b, FG_LOG_LOGFMT);
    fg_logf(&b.logger, FG_LOG_DEBUG, "not at this level");
    fg_logf(&b.logger, FG_LOG_INFO, "read \"%s\"\n\x1b[31m", "x");
    assert_string_equal(one_line(&b), "ts=2000-02-29T00:00:00.250Z level=info msg=\"read \\\"x\\\"\\n\\u001b[31m\" "
                                      "pipeline=ingest node=source\n");
    tear_down(&b);
}

static void a_json_line_is_one_object(void **state)
{
    struct fg_error err = FG_ERROR_NULL;
    struct bench b;
    struct fg_slice line;

    set_up(&b, FG_LOG_JSON);
    (void)fg_error_set(&err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "no answer from \"%s\"", "host");
    fg_log_error(&b.logger, FG_LOG_WARN, "cannot start", &err);
    line = fg_slice_of(one_line(&b));
    assert_true(fg_json_valid(line));
    assert_true(fg_json_string_is(fg_json_find(line, "/msg").raw, "cannot start: no answer from \"host\""));
    assert_true(fg_json_string_is(fg_json_find(line, "/level").raw, "warn"));
    assert_true(fg_json_string_is(fg_json_find(line, "/code").raw, "unavailable"));
    assert_true(fg_slice_is(fg_json_find(line, "/retriable").raw, "true"));
    tear_down(&b);
}

static void a_long_line_is_cut_and_stays_whole(void **state)
{
    struct bench b;
    char wide[6000];

    memset(wide, 'x', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    set_up(&b, FG_LOG_JSON);
    fg_logf(&b.logger, FG_LOG_INFO, "%s", wide);
    assert_true(strlen(one_line(&b)) <= 4096);
    assert_true(fg_json_valid(fg_slice_of(b.line)));
    assert_non_null(strstr(b.line, "xx...\",\"pipeline\":\"ingest\""));
    tear_down(&b);
}

static void a_secret_never_shows(void **state)
{
    struct bench b;
    char wide[5000];
    char text[] = "abcdefghi tail";

    set_up(&b, FG_LOG_LOGFMT);
    fg_log_add_secret(b.log, fg_slice_of("s3cr\"t-long"));
    fg_log_add_secret(b.log, fg_slice_of("abcdef"));
    fg_log_add_secret(b.log, fg_slice_of("defghi"));
    fg_log_add_secret(b.log, fg_slice_of("abc"));
    fg_logf(&b.logger, FG_LOG_INFO, "token s3cr\"t-long and abc");
    assert_non_null(strstr(one_line(&b), "msg=\"token *** and abc\""));
    fg_log_redact(b.log, text);
    assert_string_equal(text, "*** tail");
    for (int at = 3900; at < 4096; at++) {
        memset(wide, 'x', sizeof(wide) - 1);
        wide[sizeof(wide) - 1] = '\0';
        memcpy(wide + at, "s3cr\"t-long", 11);
        fg_logf(&b.logger, FG_LOG_INFO, "%s", wide);
        assert_null(strstr(one_line(&b), "s3cr"));
    }
    tear_down(&b);
}

static void errno_is_left_as_it_was(void **state)
{
    struct fg_log *log = fg_log_new(-1, FG_LOG_LOGFMT, false, FG_LOG_DEBUG, &fg_clock_system);
    const struct fg_logger logger = { .log = log };
    struct fg_error err = FG_ERROR_NULL;

    fg_log_add_secret(log, fg_slice_of("secret"));
    errno = ENOENT;
    fg_logf(&logger, FG_LOG_WARN, "a line that cannot be written: %s", "secret");
    assert_int_equal(errno, ENOENT);
    fg_log_error(&logger, FG_LOG_WARN, "nor can this", &err);
    assert_int_equal(errno, ENOENT);
    fg_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_logfmt_line_has_time_level_message_and_speaker),
        cmocka_unit_test(a_json_line_is_one_object),
        cmocka_unit_test(a_long_line_is_cut_and_stays_whole),
        cmocka_unit_test(a_secret_never_shows),
        cmocka_unit_test(errno_is_left_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
