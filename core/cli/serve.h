/* SPDX-License-Identifier: Apache-2.0 */
/* Running a configuration until a signal or its owner ends it: what `run` and `demo` share. */
#pragma once

#include "cli/cli.h"
#include "host/process.h"

struct fg_serve;

struct fg_serve_config {
    struct fg_cli *cli;
    struct fg_log *log;
    struct fg_config *config;
    const char *file;        /* to be read again for a reload; NULL: the configuration is of no file */
    const char *const *sets; /* array of n_sets, for the same */
    size_t n_sets;
    enum fg_role role;
    const char *instance;
    void (*started)(void *arg, struct fg_serve *serve, struct fg_process *process); /* NULL: nothing */
    void *arg;
};

/* Returns an exit code once everything is stopped and freed. */
int fg_serve(const struct fg_serve_config *config);
/* Ends it: drains, then fg_serve() returns @code. */
void fg_serve_end(struct fg_serve *serve, int code);
