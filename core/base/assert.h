/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions about our own mistakes: always on, in release too. Never for input. */
#pragma once

/* Prints where and what to stderr, then aborts. Split compound conditions, so that the text says which one failed. */
#define fg_assert(condition)                                                                                           \
    (__builtin_expect(!!(condition), 1) ? (void)0 : fg_assert_failed(#condition, __FILE__, __LINE__, __func__))

__attribute__((noreturn, cold)) void fg_assert_failed(const char *what, const char *file, int line, const char *func);
