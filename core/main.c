/* SPDX-License-Identifier: Apache-2.0 */
/* The program: makes the one loop, and hands it to the command line. */
#include "base/assert.h"
#include "cli/cli.h"

int main(int argc, char **argv)
{
    uv_loop_t loop;
    int code, r;

    r = uv_loop_init(&loop);
    fg_assert(r == 0);
    code = fg_cli_main(&loop, argc, argv);
    /* nothing may be left: a handle that nobody closed is our own mistake */
    r = uv_loop_close(&loop);
    fg_assert(r == 0);
    return code;
}
