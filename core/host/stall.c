/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's stalls, measured by the loop. */
#include "host/stall.h"

#include <time.h>

#include "base/assert.h"

static uint64_t slot_of(uint64_t ns)
{
    return ns / 1000000u / FG_STALL_SLOT_MS;
}

/* Slots that time has passed over are empty. */
static void turn_to(struct fg_stall *stall, uint64_t slot)
{
    uint64_t passed = slot - stall->slot;

    for (uint64_t i = 0; i < passed && i < FG_STALL_SLOTS; i++)
        stall->wall.slots[(slot - i) % FG_STALL_SLOTS] = stall->cpu.slots[(slot - i) % FG_STALL_SLOTS] = 0;
    stall->slot = slot;
}

static void note(struct fg_stall_peak *peak, uint64_t slot, uint64_t ns)
{
    uint64_t *longest = &peak->slots[slot % FG_STALL_SLOTS];

    *longest = ns > *longest ? ns : *longest;
    peak->longest = ns > peak->longest ? ns : peak->longest;
}

void fg_stall_note(struct fg_stall *stall, uint64_t now_ns, uint64_t busy_ns, uint64_t cpu_ns)
{
    uint64_t slot = slot_of(now_ns);

    if (slot != stall->slot)
        turn_to(stall, slot);
    note(&stall->wall, slot, busy_ns);
    note(&stall->cpu, slot, cpu_ns);
    fg_metric_observe(stall->busy, (double)busy_ns / 1e9);
}

static uint64_t cpu_now_ns(void)
{
    struct timespec ts = { 0 };

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/*
 * From one of these to the next the loop looked at its sockets once, slept there or not, and ran callbacks. Sleep is
 * what libuv says it is.
 */
static void on_prepare(uv_prepare_t *prepare)
{
    struct fg_stall *stall = prepare->data;
    uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(prepare->loop);
    uint64_t turn = now - stall->last_ns, slept = idle - stall->idle_ns, cpu = cpu_now_ns();

    if (stall->last_ns > 0)
        fg_stall_note(stall, now, turn > slept ? turn - slept : 0, cpu - stall->last_cpu_ns);
    stall->last_cpu_ns = cpu;
    stall->last_ns = now;
    stall->idle_ns = idle;
}

void fg_stall_start(struct fg_stall *stall, uv_loop_t *loop, struct fg_metrics *metrics)
{
    int r = uv_loop_configure(loop, UV_METRICS_IDLE_TIME);

    fg_assert(r == 0);
    *stall = (struct fg_stall){ .open = true, .busy = fg_metric_get(metrics, &fg_stall_busy, NULL, 0) };
    (void)uv_prepare_init(loop, &stall->prepare);
    stall->prepare.data = stall;
    (void)uv_prepare_start(&stall->prepare, on_prepare);
    uv_unref((uv_handle_t *)&stall->prepare);
}

static void on_closed(uv_handle_t *handle)
{
    struct fg_stall *stall = handle->data;

    stall->closed(stall->closed_arg);
}

void fg_stall_close(struct fg_stall *stall, fg_done_cb closed, void *arg)
{
    if (!stall->open) {
        closed(arg);
        return;
    }
    stall->open = false;
    stall->closed = closed;
    stall->closed_arg = arg;
    uv_close((uv_handle_t *)&stall->prepare, on_closed);
}

double fg_stall_longest_minute(const struct fg_stall *stall, const struct fg_stall_peak *peak, uint64_t now_ns)
{
    uint64_t longest = 0, passed = slot_of(now_ns) - stall->slot;

    for (uint64_t i = passed; i < FG_STALL_SLOTS; i++) {
        uint64_t ns = peak->slots[(stall->slot + FG_STALL_SLOTS + passed - i) % FG_STALL_SLOTS];
        longest = ns > longest ? ns : longest;
    }
    return (double)longest / 1e9;
}

double fg_stall_longest(const struct fg_stall_peak *peak)
{
    return (double)peak->longest / 1e9;
}
