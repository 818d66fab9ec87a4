/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chaos-sim: runs the simulated world for many seeds, or one with its trace.
 *
 *   chaos-sim                      500 seeds, TAP, for the unit tests
 *   chaos-sim --seeds FROM..TO     these seeds
 *   chaos-sim --seed N [--trace]   one; SEED=N in the environment says the same, with trace
 *   --mails N                      so many mails a run
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "sim.h"

#define TAIL_LINES 120u
#define LINE_MAX_  320u
#define CASE_SEEDS 50u /* seeds of one TAP case */
#define LATE_MS    15000u
#define SHOWN_MAX  3u /* bad runs whose trace is shown */

#ifdef FG_SANITIZED /* much slower, and there for other mistakes */
#define DEFAULT_SEEDS 100u
#else
#define DEFAULT_SEEDS 500u
#endif

/* The last lines of a trace. */
struct tail {
    char (*lines)[LINE_MAX_]; /* owned array of TAIL_LINES */
    size_t n;
};

struct sums {
    struct ledger all;
    size_t runs, bad, late, timed; /* timed: without mails that are never answered */
    uint64_t recovery_max_ms, recovery_sum_ms;
    uint64_t began_ns;
};

static void tail_line(void *arg, const char *line)
{
    struct tail *tail = arg;
    (void)snprintf(tail->lines[tail->n++ % TAIL_LINES], LINE_MAX_, "%s", line);
}

static void print_line(void *arg, const char *line)
{
    (void)printf("# %s\n", line);
}

static void add(struct sums *sums, const struct ledger *l)
{
    struct ledger *a = &sums->all;

    sums->runs++;
    sums->bad += !ledger_is_good(l);
    if (!l->has_mute) {
        sums->timed++;
        sums->late += l->recovery_ms > LATE_MS;
        sums->recovery_sum_ms += l->recovery_ms;
        if (l->recovery_ms > sums->recovery_max_ms)
            sums->recovery_max_ms = l->recovery_ms;
    }
    a->issued += l->issued;
    a->committed += l->committed;
    a->lost += l->lost;
    a->duplicated += l->duplicated;
    a->corrupt += l->corrupt;
    a->misordered += l->misordered;
    a->aborted_seen += l->aborted_seen;
    a->dead += l->dead;
    a->dead_wrong += l->dead_wrong;
    a->handles += l->handles;
    a->aborts += l->aborts;
    a->early_calls += l->early_calls;
    a->over_budget += l->over_budget;
    a->unclean += l->unclean;
    a->reloads += l->reloads;
    a->drained += l->drained;
    a->outdated += l->outdated;
    a->late_holds += l->late_holds;
    a->sim_ms += l->sim_ms;
}

static void print_ledger(const struct ledger *l)
{
    (void)printf("# issued %zu, committed %zu\n", l->issued, l->committed);
    (void)printf("# lost %zu, duplicated %zu, corrupt %zu, misordered %zu, aborted seen %zu\n", l->lost, l->duplicated,
                 l->corrupt, l->misordered, l->aborted_seen);
    (void)printf("# dead letters %zu, of them unexpected %zu\n", l->dead, l->dead_wrong);
    (void)printf("# aborts %zu, producers made anew %zu\n", l->aborts, l->handles);
    (void)printf("# calls before Retry-After was over %zu, budgets exceeded %zu, unclean ends %zu\n", l->early_calls,
                 l->over_budget, l->unclean);
    (void)printf("# reloads %zu, %zu of them with all committed; held late %zu, records of outdated stages %zu\n",
                 l->reloads, l->drained, l->late_holds, l->outdated);
}

static void print_sums(const struct sums *s)
{
    uint64_t took_ms = (fg_clock_mono_ns(&fg_clock_system) - s->began_ns) / 1000000;

    (void)printf("# ---- %zu runs, %zu of them bad ----\n", s->runs, s->bad);
    print_ledger(&s->all);
    (void)printf(
        "# after the last mishap mails came through again within %.1f s on average, %.1f s at most; %zu of %zu runs "
        "over %u s\n",
        s->timed ? (double)s->recovery_sum_ms / 1000 / (double)s->timed : 0, (double)s->recovery_max_ms / 1000, s->late,
        s->timed, LATE_MS / 1000);
    (void)printf("# simulated %.1f h; %.1f ms a run\n", (double)s->all.sim_ms / 3600000,
                 s->runs ? (double)took_ms / (double)s->runs : 0);
}

/* A run that fails is run once more, the same, to tell what happened. */
static void show(uint64_t seed, size_t mails, const struct ledger *ledger)
{
    struct tail tail = {.lines = fg_calloc(TAIL_LINES, LINE_MAX_)};
    struct options options = {.seed = seed, .mails = mails, .trace = tail_line, .trace_arg = &tail};
    struct ledger again = {0};

    world_run(&options, &again);
    for (size_t i = tail.n > TAIL_LINES ? tail.n - TAIL_LINES : 0; i < tail.n; i++)
        print_line(NULL, tail.lines[i % TAIL_LINES]);
    print_ledger(ledger);
    (void)printf("# SEED=%llu fails; to see all of it: SEED=%llu chaos-sim\n", (unsigned long long)seed,
                 (unsigned long long)seed);
    free(tail.lines);
}

/* What a child says to its parent, in memory that both see. */
struct shared {
    struct sums sums;
    uint64_t seed; /* of the run under way, or the one after the last */
};

static void run_one(uint64_t seed, size_t mails, struct sums *sums)
{
    struct options options = {.seed = seed, .mails = mails};
    struct ledger ledger = {0};

    world_run(&options, &ledger);
    add(sums, &ledger);
    if (ledger_is_good(&ledger))
        return;
    if (sums->bad <= SHOWN_MAX)
        show(seed, mails, &ledger);
    else
        (void)printf("# SEED=%llu fails\n", (unsigned long long)seed);
    (void)fflush(stdout);
}

/* In a process of its own, so that a run which ends it is one bad run, and known by its seed. */
static void run_case(struct shared *shared, uint64_t first, uint64_t last, size_t mails)
{
    shared->seed = first;
    while (shared->seed <= last) {
        pid_t pid;
        int status = 0;

        (void)fflush(stdout);
        pid = fork();
        if (pid == 0) {
            for (; shared->seed <= last; shared->seed++)
                run_one(shared->seed, mails, &shared->sums);
            exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid) {
            perror("chaos-sim");
            exit(71);
        }
        if (status == 0)
            continue;
        if (shared->seed <= last)
            shared->sums.runs++;
        shared->sums.bad++;
        (void)printf("# SEED=%llu ends the process (%s %d)\n", (unsigned long long)shared->seed,
                     WIFSIGNALED(status) ? "signal" : "exit",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        shared->seed++;
    }
}

static int run_many(uint64_t from, uint64_t to, size_t mails)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t n_cases = (to - from) / CASE_SEEDS + 1;
    bool bad;

    if (shared == MAP_FAILED) {
        perror("chaos-sim");
        return 71;
    }
    shared->sums.began_ns = fg_clock_mono_ns(&fg_clock_system);
    (void)printf("TAP version 13\n1..%llu\n", (unsigned long long)n_cases);
    for (uint64_t k = 0; k < n_cases; k++) {
        uint64_t first = from + k * CASE_SEEDS;
        uint64_t last = to - first < CASE_SEEDS ? to : first + CASE_SEEDS - 1;
        size_t bad_before = shared->sums.bad;

        run_case(shared, first, last, mails);
        (void)printf("%s %llu - nothing is lost, doubled or misordered with seeds %llu to %llu\n",
                     shared->sums.bad == bad_before ? "ok" : "not ok", (unsigned long long)k + 1,
                     (unsigned long long)first, (unsigned long long)last);
    }
    print_sums(&shared->sums);
    bad = shared->sums.bad > 0;
    (void)munmap(shared, sizeof(*shared));
    return bad ? 1 : 0;
}

static int run_traced(uint64_t seed, size_t mails, bool trace)
{
    struct fg_log *log = trace ? fg_log_new(STDOUT_FILENO, FG_LOG_LOGFMT, false, FG_LOG_WARN, &fg_clock_system) : NULL;
    struct options options = {.seed = seed, .mails = mails, .trace = trace ? print_line : NULL, .log = log};
    struct ledger ledger = {0};

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    world_run(&options, &ledger);
    print_ledger(&ledger);
    (void)printf("# after the last mishap mails came through again within %.1f s, all were in place after %.1f s%s\n",
                 (double)ledger.recovery_ms / 1000, (double)ledger.drained_ms / 1000,
                 ledger.has_mute ? "; some are never answered" : "");
    fg_log_free(log);
    return ledger_is_good(&ledger) ? 0 : 1;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: chaos-sim [--seeds FROM..TO | --seed N [--trace]] [--mails N]\n");
    return 64;
}

int main(int argc, char **argv)
{
    const char *env = getenv("SEED");
    uint64_t from = 1, to = DEFAULT_SEEDS;
    size_t mails = 0;
    bool one = false, trace = false;

    if (env && *env) {
        from = strtoull(env, NULL, 10);
        one = trace = true;
    }
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            trace = true;
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            from = strtoull(argv[++i], NULL, 10);
            one = true;
        } else if (strcmp(argv[i], "--mails") == 0 && i + 1 < argc) {
            mails = (size_t)strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            from = strtoull(argv[++i], &end, 10);
            if (strncmp(end, "..", 2) != 0)
                return usage();
            to = strtoull(end + 2, NULL, 10);
            one = false;
        } else {
            return usage();
        }
    }
    if (!one && to < from)
        return usage();
    return one ? run_traced(from, mails, trace) : run_many(from, to, mails);
}
