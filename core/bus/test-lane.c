/* SPDX-License-Identifier: Apache-2.0 */
/* A lane's word: every job is run and ended once and in order, on its own thread and on the loop's, to the last one. */
#include <errno.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/rdkafka/lane.h"
#include "bus/test-bus.h"

#define JOBS 5

struct bench {
    struct world w;
    struct fg_lane lane;
    pthread_t loop;
    char ran[JOBS + 2], ended[JOBS + 2]; /* a letter for each job */
    size_t n_ran, n_ended;
    bool on_loop, saw_signals; /* run() was on the loop; a signal was not blocked there */
    char name[FG_LANE_NAME_MAX];
    unsigned woken, woken_after_last;
    bool closed;

    sem_t nudged;
    bool last_ran;
    unsigned late; /* calls of idle() after the last job has begun */
};

struct work {
    char letter; /* not the job first: it is found by its member */
    struct bench *b;
    struct fg_lane_job job;
};

static void run(struct fg_lane_job *job)
{
    struct work *work = fg_container_of(job, struct work, job);
    struct bench *b = work->b;
    sigset_t blocked;

    b->ran[b->n_ran++] = work->letter;
    b->on_loop = b->on_loop || fg_lane_is_loop(&b->lane) || pthread_equal(pthread_self(), b->loop);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    b->saw_signals = b->saw_signals || !sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGCHLD);
    (void)pthread_getname_np(pthread_self(), b->name, sizeof(b->name));
    b->last_ran = work->letter == 'Z';
}

static void ended(struct fg_lane_job *job);

static struct fg_lane_job *work_new(struct bench *b, char letter)
{
    struct work *work = fg_calloc(1, sizeof(*work));

    *work = (struct work){.letter = letter, .b = b, .job = {.run = run, .done = ended}};
    return &work->job;
}

static void ended(struct fg_lane_job *job)
{
    struct work *work = fg_container_of(job, struct work, job);
    struct bench *b = work->b;

    assert_true(fg_lane_is_loop(&b->lane));
    assert_false(b->closed);
    b->ended[b->n_ended++] = work->letter;
    if (work->letter == 'D')
        fg_lane_post(&b->lane, work_new(b, 'E'));
    if (work->letter == 'E') {
        fg_lane_close(&b->lane, work_new(b, 'Z'), note, &b->closed);
    }
    free(work);
}

static void woken(void *arg)
{
    struct bench *b = arg;

    b->woken++;
    b->woken_after_last += b->ended[b->n_ended ? b->n_ended - 1 : 0] == 'Z';
}

static void bench_open(struct bench *b, struct fg_lane_hooks hooks)
{
    world_init(&b->w);
    b->loop = pthread_self();
    hooks.arg = b;
    assert_int_equal(fg_lane_open(&b->lane, "a lane", &b->w.loop, &hooks), 0);
}

static void every_job_is_run_and_ended_once_and_in_order(void **state)
{
    struct bench b = {0};

    (void)state;
    bench_open(&b, (struct fg_lane_hooks){.woken = woken});
    for (char letter = 'A'; letter <= 'D'; letter++)
        fg_lane_post(&b.lane, work_new(&b, letter));
    until(&b.w, b.closed);
    assert_string_equal(b.ran, "ABCDEZ");
    assert_string_equal(b.ended, "ABCDEZ");
    assert_false(b.on_loop);
    assert_false(b.saw_signals);
    assert_string_equal(b.name, "a lane");
    assert_true(b.woken_after_last > 0);
    world_end(&b.w);
}

static void what_was_posted_is_run_before_a_close(void **state)
{
    struct bench b = {0};

    (void)state;
    bench_open(&b, (struct fg_lane_hooks){0});
    fg_lane_post(&b.lane, work_new(&b, 'A'));
    fg_lane_post(&b.lane, work_new(&b, 'B'));
    fg_lane_close(&b.lane, work_new(&b, 'Z'), note, &b.closed);
    assert_int_equal(b.n_ended, 0); /* never from inside a call */
    until(&b.w, b.closed);
    assert_string_equal(b.ran, "ABZ");
    assert_string_equal(b.ended, "ABZ");
    world_end(&b.w);
}

static void idle(void *arg)
{
    struct bench *b = arg;

    b->late += b->last_ran;
    while (sem_wait(&b->nudged) < 0 && errno == EINTR)
        ;
}

static void nudge(void *arg)
{
    sem_post(&((struct bench *)arg)->nudged);
}

static void a_lane_with_something_else_to_wait_for_is_nudged(void **state)
{
    struct bench b = {0};

    (void)state;
    assert_int_equal(sem_init(&b.nudged, 0, 0), 0);
    bench_open(&b, (struct fg_lane_hooks){.idle = idle, .nudge = nudge});
    fg_lane_post(&b.lane, work_new(&b, 'A'));
    until(&b.w, b.n_ended == 1);
    fg_lane_close(&b.lane, work_new(&b, 'Z'), note, &b.closed);
    until(&b.w, b.closed);
    assert_string_equal(b.ended, "AZ");
    assert_int_equal(b.late, 0); /* what it waited on may be gone once the last job runs */
    assert_int_equal(sem_destroy(&b.nudged), 0);
    world_end(&b.w);
}

static void post_here(struct fg_lane_job *job)
{
    struct bench *b = fg_container_of(job, struct work, job)->b;

    fg_lane_post(&b->lane, work_new(b, 'B'));
}

/* In a process of its own, which the assertion ends. */
static void misuse(void)
{
    const struct rlimit none = {0};
    struct bench b = {0};
    struct fg_lane_job *job;

    (void)setrlimit(RLIMIT_CORE, &none);
    if (!freopen("/dev/null", "w", stderr))
        _exit(0);
    (void)signal(SIGABRT, SIG_DFL);
    (void)alarm(5); /* where nothing asserts, nothing ends */
    bench_open(&b, (struct fg_lane_hooks){0});
    job = work_new(&b, 'A');
    job->run = post_here;
    fg_lane_post(&b.lane, job);
    uv_run(&b.w.loop, UV_RUN_DEFAULT);
    _exit(0);
}

static void posting_from_another_thread_is_caught(void **state)
{
    pid_t pid = fork();
    int status = 0;

    (void)state;
    if (pid == 0)
        misuse();
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posting_from_another_thread_is_caught),
        cmocka_unit_test(every_job_is_run_and_ended_once_and_in_order),
        cmocka_unit_test(what_was_posted_is_run_before_a_close),
        cmocka_unit_test(a_lane_with_something_else_to_wait_for_is_nudged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
