/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on request: which of the next calls fail, and how. */
#include "faults.h"

#include <fragua/kit/json.h>
#include <fragua/kit/str.h>

static const char *const kinds[] = { "any", "token", "users", "delta", "message" };

static int64_t number(struct fg_slice json, const char *pointer, int64_t fallback)
{
    int64_t n;

    return fg_parse_int(fg_json_find(json, pointer).raw, &n) ? n : fallback;
}

static bool is_true(struct fg_slice json, const char *pointer)
{
    return fg_slice_is(fg_json_find(json, pointer).raw, "true");
}

static int read_kind(struct fg_slice json, enum call_kind *ret, struct fg_error *err)
{
    struct fg_json_value call = fg_json_find(json, "/call");

    *ret = CALL_ANY;
    if (call.kind == FG_JSON_NONE)
        return 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (fg_json_string_is(call.raw, kinds[i])) {
            *ret = (enum call_kind)i;
            return 0;
        }
    return fg_error_set(err, FG_E_DATA, 0, "`call` is any, token, users, delta or message");
}

int faults_add(struct faults *f, struct fg_slice json, struct fg_error *err)
{
    struct fault fault = { .status = number(json, "/status", 503), .retry_after = number(json, "/retry_after", -1),
                           .cut = is_true(json, "/cut"), .garbage = is_true(json, "/garbage"),
                           .count = number(json, "/count", 1) };
    struct fg_buf code = FG_BUF_INIT(sizeof(fault.code) - 1);
    int r;

    if (fg_json_find(json, "").kind != FG_JSON_OBJECT)
        return fg_error_set(err, FG_E_DATA, 0, "a fault is a JSON object");
    if (fault.status < 400 || fault.status > 599 || fault.count < 1)
        return fg_error_set(err, FG_E_DATA, 0, "`status` is from 400 to 599, `count` at least 1");
    if (f->n == FAULTS_MAX)
        return fg_error_set(err, FG_E_LIMIT, 0, "%u faults wait already", FAULTS_MAX);
    r = read_kind(json, &fault.kind, err);
    if (r < 0)
        return r;
    (void)fg_json_decode_string(fg_json_find(json, "/code").raw, &code);
    (void)snprintf(fault.code, sizeof(fault.code), "%s", code.len ? code.data : "simulatedFault");
    fg_buf_deinit(&code);
    f->items[f->n++] = fault;
    return 0;
}

const struct fault *faults_take(struct faults *f, enum call_kind kind)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->items[i].kind != CALL_ANY && f->items[i].kind != kind)
            continue;
        f->last = f->items[i];
        if (--f->items[i].count == 0) {
            memmove(&f->items[i], &f->items[i + 1], (f->n - i - 1) * sizeof(f->items[0]));
            f->n--;
        }
        return &f->last;
    }
    return NULL;
}
