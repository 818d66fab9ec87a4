/* SPDX-License-Identifier: Apache-2.0 */
/* Trying a configuration in another process: this program is both sides; the other has a number of ways to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "host/check.h"

#define FINE "{\"faults\":[],\"plugins\":[{\"name\":\"p\",\"path\":\"/p.so\",\"sha256\":\"00ff\"}]}\n"
#define WRONG                                                                                                          \
    "{\"faults\":[{\"file\":\"f.yaml\",\"line\":3,\"column\":5,\"message\":\"unknown \\\"key\\\"\"}],\"plugins\":[]}"
#define LONG_MS 20000u

/* ---- the other side ---- */

static void say(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0)
        _exit(3);
}

/* Descriptors that are open, but 0 to 2, and signals that are blocked or ignored: told by the exit code. */
static int tell_what_was_inherited(void)
{
    sigset_t blocked;

    for (int fd = 3; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return 10;
    if (sigprocmask(SIG_SETMASK, NULL, &blocked) != 0)
        return 11;
    for (int n = 1; n < 32; n++) {
        struct sigaction now;
        if (sigismember(&blocked, n))
            return 12;
        if (n != SIGKILL && n != SIGSTOP && (sigaction(n, NULL, &now) != 0 || now.sa_handler == SIG_IGN))
            return 13;
    }
    if (getsid(0) != getpid() || !getenv("FRAGUA_CHECKED_BY"))
        return 14;
    say(FINE);
    return 0;
}

/* Holds a named pipe open for as long as it lives. */
static int hold(const char *path)
{
    int fd;

    fg_check_bind();
    if (getenv("FRAGUA_CHECKED_BY"))
        return 1;
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (write(fd, "x", 1) != 1)
        return 1;
    while (pause() < 0)
        ;
    return 0;
}

static int echo(void)
{
    char bytes[512];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

    if (n < 0 || write(STDOUT_FILENO, bytes, (size_t)n) != n)
        return 1;
    return 0;
}

static int flood(void)
{
    static char bytes[65536];

    for (;;)
        if (write(STDOUT_FILENO, bytes, sizeof(bytes)) < 0)
            return 1;
}

/* Ends well, but leaves somebody behind who keeps its stdout open until nobody is at the other end. */
static int leave_behind(void)
{
    struct pollfd other = { .fd = STDOUT_FILENO };

    say(FINE);
    if (fork() == 0)
        _exit(poll(&other, 1, (int)LONG_MS) == 1 ? 0 : 1);
    return 0;
}

static int crash(void)
{
    (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer may have taken it */
    return raise(SIGSEGV);
}

static int other_side(const char *what, const char *more)
{
    if (strcmp(what, "fine") == 0)
        say(FINE);
    else if (strcmp(what, "wrong") == 0)
        say(WRONG);
    else if (strcmp(what, "nonsense") == 0)
        say("Segmentation\tfault");
    else if (strcmp(what, "cut") == 0)
        say("{\"faults\":[],");
    else if (strcmp(what, "crash") == 0)
        return crash();
    else if (strcmp(what, "inherited") == 0)
        return tell_what_was_inherited();
    else if (strcmp(what, "hold") == 0)
        return hold(more);
    else if (strcmp(what, "echo") == 0)
        return echo();
    else if (strcmp(what, "flood") == 0)
        return flood();
    else if (strcmp(what, "leave") == 0)
        return leave_behind();
    return strcmp(what, "wrong") == 0 ? 78 : (int)strtol(more, NULL, 10);
}

/* ---- this side ---- */

struct seen {
    unsigned done, gone;
    int code;
    char error[FG_ERROR_TEXT_MAX];
    char fault[256];
    char plugin[160];
    size_t n_faults, n_plugins;
};

static void note(void *arg, const struct fg_check_result *result)
{
    struct seen *seen = arg;

    seen->done++;
    seen->code = result->code;
    (void)snprintf(seen->error, sizeof(seen->error), "%s", result->err.text);
    seen->n_faults = result->faults.len;
    if (seen->n_faults)
        (void)snprintf(seen->fault, sizeof(seen->fault), "%s:%u:%u %s", result->faults.items[0].file,
                       result->faults.items[0].line, result->faults.items[0].column, result->faults.items[0].text);
    seen->n_plugins = result->n_plugins;
    if (seen->n_plugins)
        (void)snprintf(seen->plugin, sizeof(seen->plugin), "%s %s", result->plugins[0].name,
                       result->plugins[0].sha256);
}

static void note_gone(void *arg)
{
    ((struct seen *)arg)->gone++;
}

static struct seen try_text(const char *what, const char *more, const char *text, uint32_t timeout_ms)
{
    const char *const argv[] = { "fragua", what, more, NULL };
    uv_loop_t loop;
    struct fg_check_config config = { .loop = &loop, .argv = argv, .timeout_ms = timeout_ms };
    struct fg_check *check;
    struct fg_error err = FG_ERROR_NULL;
    struct seen seen = { .done = 0 };

    config.text = fg_slice_of(text);
    assert_int_equal(uv_loop_init(&loop), 0);
    if (fg_check_start(&config, note, &seen, &check, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(seen.done, 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(seen.done, 1);
    assert_int_equal(uv_loop_close(&loop), 0); /* nothing is left in it */
    return seen;
}

static struct seen try(const char *what, const char *more)
{
    return try_text(what, more, NULL, LONG_MS);
}

static void expect_error(struct seen seen, int code, const char *text)
{
    assert_int_equal(seen.code, -code);
    if (!strstr(seen.error, text))
        fail_msg("\"%s\" does not contain \"%s\"", seen.error, text);
}

static void a_report_is_handed_on(void **state)
{
    struct seen seen = try("fine", "0");

    assert_int_equal(seen.code, 0);
    assert_string_equal(seen.error, "");
    assert_int_equal(seen.n_faults, 0);
    assert_int_equal(seen.n_plugins, 1);
    assert_string_equal(seen.plugin, "p 00ff");
    seen = try("wrong", "0");
    assert_int_equal(seen.code, 78);
    assert_int_equal(seen.n_faults, 1);
    assert_string_equal(seen.fault, "f.yaml:3:5 unknown \"key\"");
    assert_int_equal(seen.n_plugins, 0);
}

static void each_other_end_has_its_own_words(void **state)
{
    expect_error(try("nothing", "0"), FG_E_CONFIG, "ended early, with code 0 and without a report");
    expect_error(try("nothing", "7"), FG_E_CONFIG, "ended early, with code 7 and without a report");
    expect_error(try("nonsense", "0"), FG_E_PROTOCOL,
                 "ended with code 0 and reported nonsense: \"Segmentation.fault\"");
    expect_error(try("cut", "0"), FG_E_PROTOCOL, "reported nonsense: \"{\"faults\":[],\"");
    expect_error(try("fine", "9"), FG_E_PROTOCOL, "reported 0 faults, but ended with code 9");
    expect_error(try("crash", "0"), FG_E_CONFIG, "was ended by signal 11 (Segmentation fault)");
    expect_error(try("flood", "0"), FG_E_LIMIT, "says more than 1048576 bytes");
}

static void who_leaves_somebody_behind_is_not_waited_for(void **state)
{
    struct seen seen = try("leave", "0");

    assert_int_equal(seen.code, 0);
    assert_int_equal(seen.n_plugins, 1);
}

static void its_standard_input_is_the_text(void **state)
{
    struct seen seen = try_text("echo", "0", FINE, LONG_MS);

    assert_int_equal(seen.code, 0);
    assert_string_equal(seen.plugin, "p 00ff");
    expect_error(try("echo", "0"), FG_E_CONFIG, "without a report");
}

static void nothing_of_this_process_is_inherited(void **state)
{
    struct seen seen;
    sigset_t mask, before;
    int leaking = open("/dev/null", O_RDONLY); /* as a library may have done it */

    assert_true(leaking >= 0);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGTERM);
    (void)sigaddset(&mask, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &mask, &before);
    seen = try("inherited", "0");
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
    close(leaking);
    assert_string_equal(seen.error, "");
    assert_int_equal(seen.code, 0);
}

/* A named pipe in a folder of its own. */
struct line {
    char dir[64], path[96];
    int fd;
};

static struct line line_new(void)
{
    struct line line = { .dir = "/tmp/fragua-check-XXXXXX", .fd = -1 };

    assert_non_null(mkdtemp(line.dir));
    (void)snprintf(line.path, sizeof(line.path), "%s/line", line.dir);
    assert_int_equal(mkfifo(line.path, 0600), 0);
    line.fd = open(line.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(line.fd >= 0);
    return line;
}

/* The next byte on it; 0: whoever held it is gone. */
static ssize_t line_read(const struct line *line)
{
    struct pollfd p = { .fd = line->fd, .events = POLLIN };
    char byte;

    assert_int_equal(poll(&p, 1, (int)LONG_MS), 1);
    return read(line->fd, &byte, 1);
}

static void line_free(struct line *line)
{
    close(line->fd);
    (void)unlink(line->path);
    (void)rmdir(line->dir);
}

static void who_hangs_is_killed(void **state)
{
    struct line line = line_new();

    expect_error(try_text("hold", line.path, NULL, 300), FG_E_TIMEOUT, "did not end within 0.3 s (`reload.check`)");
    line_free(&line);
}

static void a_cancelled_try_is_killed_and_says_nothing(void **state)
{
    struct line line = line_new();
    const char *const argv[] = { "fragua", "hold", line.path, NULL };
    uv_loop_t loop;
    struct fg_check_config config = { .loop = &loop, .argv = argv, .timeout_ms = LONG_MS };
    struct fg_check *check;
    struct seen seen = { .done = 0 };

    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(fg_check_start(&config, note, &seen, &check, NULL), 0);
    assert_int_equal(line_read(&line), 1);
    fg_check_cancel(check, note_gone, &seen);
    assert_int_equal(seen.gone, 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(seen.gone, 1);
    assert_int_equal(seen.done, 0);
    assert_int_equal(line_read(&line), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    line_free(&line);
}

static void it_does_not_outlive_the_one_who_tries(void **state)
{
    struct line line = line_new();
    pid_t pid = fork();

    if (pid == 0) {
        (void)try("hold", line.path);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(line_read(&line), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(line_read(&line), 0);
    line_free(&line);
}

static void a_program_that_cannot_be_started_leaves_nothing(void **state)
{
    const char **argv = calloc(402, sizeof(*argv)); /* more than a process may be given */
    char *word = malloc(32 * 4096);
    uv_loop_t loop;
    struct fg_check_config config = { .loop = &loop, .timeout_ms = LONG_MS };
    struct fg_check *check;
    struct fg_error err = FG_ERROR_NULL;

    memset(word, 'x', 32 * 4096 - 1);
    word[32 * 4096 - 1] = '\0';
    argv[0] = "fragua";
    for (size_t i = 1; i < 400; i++)
        argv[i] = word;
    config.argv = argv;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_true(fg_check_start(&config, note, NULL, &check, &err) < 0);
    assert_non_null(strstr(err.text, "cannot start the process that tries the configuration: argument list too long"));
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    free(word);
    free(argv);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_is_handed_on),
        cmocka_unit_test(each_other_end_has_its_own_words),
        cmocka_unit_test(who_leaves_somebody_behind_is_not_waited_for),
        cmocka_unit_test(its_standard_input_is_the_text),
        cmocka_unit_test(nothing_of_this_process_is_inherited),
        cmocka_unit_test(who_hangs_is_killed),
        cmocka_unit_test(a_cancelled_try_is_killed_and_says_nothing),
        cmocka_unit_test(it_does_not_outlive_the_one_who_tries),
        cmocka_unit_test(a_program_that_cannot_be_started_leaves_nothing),
    };

    if (argc == 3)
        return other_side(argv[1], argv[2]);
    return cmocka_run_group_tests_name("host check", tests, NULL, NULL);
}
