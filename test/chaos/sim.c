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
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "sim.h"

#define TAIL_LINES 120u
#define LINE_MAX_  320u
#define CASE_SEEDS 50u /* seeds of one TAP case */
#define LATE_MS    15000u

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

static bool run_one(uint64_t seed, size_t mails, struct sums *sums)
{
    struct options options = {.seed = seed, .mails = mails};
    struct ledger ledger = {0};

    world_run(&options, &ledger);
    add(sums, &ledger);
    if (ledger_is_good(&ledger))
        return true;
    if (sums->bad <= 3)
        show(seed, mails, &ledger);
    else
        (void)printf("# SEED=%llu fails\n", (unsigned long long)seed);
    (void)fflush(stdout);
    return false;
}

static int run_many(uint64_t from, uint64_t to, size_t mails)
{
    struct sums sums = {.began_ns = fg_clock_mono_ns(&fg_clock_system)};
    uint64_t n_cases = (to - from) / CASE_SEEDS + 1;

    (void)printf("TAP version 13\n1..%llu\n", (unsigned long long)n_cases);
    for (uint64_t k = 0; k < n_cases; k++) {
        uint64_t first = from + k * CASE_SEEDS;
        uint64_t last = to - first < CASE_SEEDS ? to : first + CASE_SEEDS - 1;
        bool good = true;
        for (uint64_t seed = first; seed <= last; seed++)
            good = run_one(seed, mails, &sums) && good;
        (void)printf("%s %llu - nothing is lost, doubled or misordered with seeds %llu to %llu\n",
                     good ? "ok" : "not ok", (unsigned long long)k + 1, (unsigned long long)first,
                     (unsigned long long)last);
        (void)fflush(stdout);
    }
    print_sums(&sums);
    return sums.bad ? 1 : 0;
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
