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

/* A string member into an array; false: too long for it. */
static bool read_text(struct fg_slice json, const char *pointer, const char *fallback, char *ret, size_t size)
{
    struct fg_buf text = FG_BUF_INIT(size - 1);
    struct fg_json_value v = fg_json_find(json, pointer);
    bool ok = v.kind == FG_JSON_NONE || fg_json_decode_string(v.raw, &text);

    (void)snprintf(ret, size, "%s", text.len ? text.data : fallback);
    fg_buf_deinit(&text);
    return ok;
}

static int read_act(struct fg_slice json, struct fault *fault, struct fg_error *err)
{
    const struct {
        bool wanted;
        enum fault_act act;
    } acts[] = {
        { is_true(json, "/cut"), ACT_CUT },
        { is_true(json, "/garbage"), ACT_GARBAGE },
        { is_true(json, "/duplicate"), ACT_DUPLICATE },
        { is_true(json, "/expire"), ACT_EXPIRE },
        { fg_json_string_is(fg_json_find(json, "/expire").raw, "all"), ACT_EXPIRE_ALL },
    };
    bool status = fg_json_find(json, "/status").kind != FG_JSON_NONE;
    unsigned n = 0;

    fault->act = status || !fault->slow_ms ? ACT_FAIL : ACT_NONE;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
        if (acts[i].wanted) {
            fault->act = acts[i].act;
            n++;
        }
    if (n + status > 1)
        return fg_error_set(err, FG_E_DATA, 0, "one of `status`, `cut`, `garbage`, `duplicate` and `expire` at a time");
    if (fault->act == ACT_DUPLICATE || fault->act == ACT_EXPIRE)
        fault->kind = CALL_DELTA;
    return 0;
}

int fault_read(struct fg_slice json, struct fault *ret, struct fg_error *err)
{
    struct fault fault = { .status = number(json, "/status", 503), .retry_after = number(json, "/retry_after", -1),
                           .slow_ms = number(json, "/slow", 0), .percent = number(json, "/percent", 100),
                           .count = number(json, "/count", 1) };
    int r;

    if (!fg_json_valid(json) || fg_json_find(json, "").kind != FG_JSON_OBJECT)
        return fg_error_set(err, FG_E_DATA, 0, "a fault is a JSON object");
    if (fault.status < 400 || fault.status > 599 || fault.count < 1)
        return fg_error_set(err, FG_E_DATA, 0, "`status` is from 400 to 599, not %lld, `count` at least 1, not %lld",
                            (long long)fault.status, (long long)fault.count);
    if (fault.slow_ms < 0 || fault.slow_ms > FAULT_SLOW_MAX_MS || fault.percent < 1 || fault.percent > 100)
        return fg_error_set(err, FG_E_DATA, 0, "`slow` is from 0 to %d ms, `percent` from 1 to 100",
                            FAULT_SLOW_MAX_MS);
    r = read_kind(json, &fault.kind, err);
    if (r == 0)
        r = read_act(json, &fault, err);
    if (r == 0 && !read_text(json, "/mailbox", "", fault.mailbox, sizeof(fault.mailbox)))
        r = fg_error_set(err, FG_E_DATA, 0, "`mailbox` is an address of at most 320 bytes");
    if (r == 0 && !read_text(json, "/code", "simulatedFault", fault.code, sizeof(fault.code)))
        r = fg_error_set(err, FG_E_DATA, 0, "`code` is a text of at most 63 bytes");
    if (r == 0)
        *ret = fault;
    return r;
}

int faults_add(struct faults *f, const struct fault *fault, struct fg_error *err)
{
    if (f->n == FAULTS_MAX)
        return fg_error_set(err, FG_E_LIMIT, 0, "%u faults wait already", FAULTS_MAX);
    f->items[f->n++] = *fault;
    return 0;
}

/* Each fault draws for itself, else a rare one would never be hit beside a frequent one. */
static uint64_t draw(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*random >> 33) % 100;
}

static bool hits(const struct fault *fault, const struct call *call, uint64_t *random)
{
    if (fault->kind != CALL_ANY && fault->kind != call->kind)
        return false;
    if (fault->mailbox[0] && !fg_slice_ieq(call->mailbox, fg_slice_of(fault->mailbox)))
        return false;
    if (fault->act == ACT_EXPIRE && !call->token)
        return false;
    return draw(random) < (uint64_t)fault->percent;
}

bool faults_take(struct faults *f, const struct call *call, struct fault *ret)
{
    uint64_t random = call->random;

    *ret = (struct fault){ .act = ACT_NONE };
    for (size_t i = 0; i < f->n; i++) {
        if (!hits(&f->items[i], call, &random))
            continue;
        *ret = f->items[i];
        if (--f->items[i].count == 0) {
            memmove(&f->items[i], &f->items[i + 1], (f->n - i - 1) * sizeof(f->items[0]));
            f->n--;
        }
        return true;
    }
    return false;
}
