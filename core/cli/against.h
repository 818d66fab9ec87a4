/* SPDX-License-Identifier: Apache-2.0 */
/* fragua validate --against URL: asks a running server what a reload with a file would do. */
#pragma once

#include "cli/cli.h"

/* What the command line says; all borrowed. */
struct fg_against {
    const char *url;        /* of the server, "https://fragua.example:8443"; NULL: not asked for */
    const char *token_file; /* NULL: the token is in FRAGUA_TOKEN, or there is none */
    const char *ca;         /* file or folder; NULL: the system's roots */
    const char *certificate, *key; /* of a client; NULL: none */
};

/* The options of a command, in this order, for its table and its take(). */
enum {
    FG_AGAINST_URL,
    FG_AGAINST_TOKEN_FILE,
    FG_AGAINST_CA,
    FG_AGAINST_CERTIFICATE,
    FG_AGAINST_KEY,
    FG_AGAINST_OPTIONS
};
#define FG_AGAINST_OPTION_ROWS(first)                                                                                  \
    [(first) + FG_AGAINST_URL] = { "against", 0, "URL", "ask the server that runs there what a reload would do" },     \
    [(first) + FG_AGAINST_TOKEN_FILE] = { "token-file", 0, "FILE", "its token, instead of FRAGUA_TOKEN" },             \
    [(first) + FG_AGAINST_CA] = { "ca", 0, "FILE", "who signs its certificate (default: the system's roots)" },        \
    [(first) + FG_AGAINST_CERTIFICATE] = { "certificate", 0, "FILE", "show this client certificate to it" },           \
    [(first) + FG_AGAINST_KEY] = { "key", 0, "FILE", "the key of that" }

void fg_against_take(struct fg_against *words, size_t option, const char *value); /* @option: 0 is FG_AGAINST_URL */

/*
 * fg_against_run() - send a file to a server's dry run, and print what it says
 * @file: "-" is standard input
 * @json: the server's report as it is; else a line for each fault, change and pipeline that is not left alone
 *
 * Return: FG_EXIT_OK it would be done, or nothing would change; FG_EXIT_CONFIG it would be refused, or the file cannot
 * be read; FG_EXIT_FAILED no answer, or none that is a report, with a word on stderr.
 */
int fg_against_run(struct fg_cli *cli, const struct fg_against *words, const char *file, bool json);
