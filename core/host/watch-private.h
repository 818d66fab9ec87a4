/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What watch.c asks the file system: which folders matter to a path, and what stands there. Knows no events, keeps
 * nothing; blocks for as long as the file system does. Loop thread only.
 */
#pragma once

#include "base/hash.h"

/* Why a folder matters. */
enum fg_watch_step {
    FG_WATCH_PASSED,  /* the name is a folder on the way */
    FG_WATCH_DECIDES, /* the name is a link, the file itself, or missing */
    FG_WATCH_FOLDER,  /* the folder itself is watched; no name */
};

/* @folder: without links. @name: in it; NULL: its certificates, fg_watch_is_certificate(). Both borrowed. */
typedef void (*fg_watch_step_cb)(void *arg, const char *folder, const char *name, enum fg_watch_step step);

/*
 * Calls step() for every name that decides where @path leads, links followed one by one, until its end or the first
 * name that is missing. Each is first told as PASSED, before it is looked at: so a change right after is an event
 * already.
 */
void fg_watch_walk(const char *path, fg_watch_step_cb step, void *arg);
bool fg_watch_is_certificate(const char *name); /* *.crt, *.pem */
/* A hash of what stands there, and other texts of its length at most for "nothing" and "cannot be read". */
void fg_watch_content(const char *path, char ret[FG_SHA256_HEX_SIZE]);
