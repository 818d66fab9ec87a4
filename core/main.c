/* SPDX-License-Identifier: Apache-2.0 */
/* The program: makes the one loop, and hands it to the command line. */
#include <malloc.h>

#include "base/assert.h"
#include "cli/cli.h"

/*
 * What was freed must leave the process, or `limits.memory` says little. By itself glibc gives each of our dozen
 * threads an arena of its own, of which only the end is ever given back; and once a large block was freed it takes
 * blocks of up to 32 MiB from the arenas too.
 */
static void tame_malloc(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
#endif
}

int main(int argc, char **argv)
{
    uv_loop_t loop;
    int code, r;

    tame_malloc();
    r = uv_loop_init(&loop);
    fg_assert(r == 0);
    code = fg_cli_main(&loop, argc, argv);
    /* nothing may be left: a handle that nobody closed is our own mistake */
    r = uv_loop_close(&loop);
    fg_assert(r == 0);
    return code;
}
