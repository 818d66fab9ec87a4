/* SPDX-License-Identifier: Apache-2.0 */
/* The program: makes nothing but the command line's way into cli. */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return fg_cli_main(argc, argv);
}
