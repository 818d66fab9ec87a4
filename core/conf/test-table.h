/* SPDX-License-Identifier: Apache-2.0 */
/* A table with an option of each type, for the tests and the fuzzer. */
#pragma once

#include "fragua/option.h"

struct test_commit {
    int64_t records;
};

struct test_tls {
    const char *ca;
};

struct test_token {
    const char *name;
    struct fg_strings scopes;
};

struct test_config {
    bool flag;
    int64_t count;
    double ratio;
    const char *name;
    struct fg_secret *secret;
    int mode, other_mode;
    int64_t poll, memory;
    const char *url, *path, *pointer;
    struct fg_strings folders;
    struct fg_pairs properties;
    const struct test_commit *commit;
    const struct test_tls *tls;
    struct fg_groups tokens;
};

static const struct fg_option test_commit_table[] = {
    { .key = "records", .type = FG_OPTION_INTEGER, .min = 1, .max = INT64_MAX, .fallback = "1000", .unit = "records",
      .offset = offsetof(struct test_commit, records), .summary = "records in a commit" },
    FG_OPTION_END,
};

static const struct fg_option test_tls_table[] = {
    { .key = "ca", .type = FG_OPTION_PATH, .flags = FG_OPTION_REQUIRED, .offset = offsetof(struct test_tls, ca),
      .summary = "certificates that are trusted" },
    FG_OPTION_END,
};

static const struct fg_option test_token_table[] = {
    { .key = "name", .type = FG_OPTION_STRING, .flags = FG_OPTION_REQUIRED,
      .offset = offsetof(struct test_token, name), .summary = "whose it is" },
    { .key = "scopes", .type = FG_OPTION_STRINGS, .offset = offsetof(struct test_token, scopes),
      .summary = "what it allows" },
    FG_OPTION_END,
};

static const char *const test_modes[] = { "fast", "exact", NULL };

#define TEST_MEMBER(name) .offset = offsetof(struct test_config, name)

static const struct fg_option test_table[] = {
    { .key = "flag", .type = FG_OPTION_BOOL, TEST_MEMBER(flag), .fallback = "true", .summary = "a switch" },
    { .key = "count", .type = FG_OPTION_INTEGER, TEST_MEMBER(count), .min = 1, .max = 100, .fallback = "10",
      .unit = "requests", .summary = "how many", .detail = "A | B" },
    { .key = "ratio", .type = FG_OPTION_NUMBER, TEST_MEMBER(ratio), .max = 1, .fallback = "0.5", .summary = "a share" },
    { .key = "name", .type = FG_OPTION_STRING, TEST_MEMBER(name), .flags = FG_OPTION_REQUIRED,
      .summary = "what it is called" },
    { .key = "secret", .type = FG_OPTION_STRING, TEST_MEMBER(secret), .flags = FG_OPTION_SECRET, .summary = "hidden" },
    { .key = "mode", .type = FG_OPTION_ENUM, TEST_MEMBER(mode), .choices = test_modes, .fallback = "exact",
      .summary = "how" },
    { .key = "other-mode", .type = FG_OPTION_ENUM, TEST_MEMBER(other_mode), .choices = test_modes,
      .summary = "how else" },
    { .key = "poll", .type = FG_OPTION_DURATION, TEST_MEMBER(poll), .min = 1000, .max = 3600000, .fallback = "10s",
      .summary = "how often" },
    { .key = "memory", .type = FG_OPTION_SIZE, TEST_MEMBER(memory), .min = 512, .max = 1 << 30, .fallback = "4MiB",
      .summary = "how much" },
    { .key = "url", .type = FG_OPTION_URL, TEST_MEMBER(url), .summary = "where" },
    { .key = "path", .type = FG_OPTION_PATH, TEST_MEMBER(path), .summary = "which file" },
    { .key = "pointer", .type = FG_OPTION_POINTER, TEST_MEMBER(pointer), .fallback = "/a", .summary = "which member" },
    { .key = "folders", .type = FG_OPTION_STRINGS, TEST_MEMBER(folders), .min = 1, .max = 3,
      .fallback = "[inbox, sent items]", .summary = "which folders" },
    { .key = "properties", .type = FG_OPTION_PAIRS, TEST_MEMBER(properties), .summary = "anything" },
    { .key = "commit", .type = FG_OPTION_GROUP, TEST_MEMBER(commit), .flags = FG_OPTION_ABSENT_DEFAULTS,
      .members = test_commit_table, .members_size = sizeof(struct test_commit), .summary = "when to commit" },
    { .key = "tls", .type = FG_OPTION_GROUP, TEST_MEMBER(tls), .members = test_tls_table,
      .members_size = sizeof(struct test_tls), .summary = "encryption" },
    { .key = "tokens", .type = FG_OPTION_GROUPS, TEST_MEMBER(tokens), .members = test_token_table,
      .members_size = sizeof(struct test_token), .summary = "who may come in" },
    FG_OPTION_END,
};
