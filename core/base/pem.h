/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of an authority: a path that is a PEM file, or a folder of them. Whoever trusts certificates, and whoever
 * watches what is trusted, must mean the same files; what is in them is OpenSSL's. Blocks.
 */
#pragma once

#include <stdbool.h>

#include "fragua/error.h"

/* Of a name in such a folder: it counts: *.crt and *.pem, but none that begins with a dot. */
bool fg_pem_is_name(const char *name);

/* @path: borrowed for the length of the call. Return: 0, or negative with @err set: then no more are asked for. */
typedef int (*fg_pem_cb)(void *arg, const char *path, struct fg_error *err);

/*
 * fg_pem_each() - calls back for the file that a path is, or for each that counts in the folder that it is
 * @what: whose the path is, begins the messages: "tls.ca"
 * @path: of a folder: its files in the order of their names, through links; of anything else: itself, there or not
 * @err: set on failure; names the path. FG_E_CONFIG (cannot be listed, none in it), or what @cb says
 *
 * Return: 0, or negative. [any thread]
 */
int fg_pem_each(const char *what, const char *path, fg_pem_cb cb, void *arg, struct fg_error *err);
