/* SPDX-License-Identifier: Apache-2.0 */
/* What each entity service wants to be asked, and what its answers mean. */
#include "service.h"

#include <stdlib.h>

#include <fragua/kit/str.h>

#define NUMBER_RAW_MAX 64u /* bytes of a number that is handed on; longer ones are left out */

const char *const service_names[] = { [SERVICE_SPACY] = "spacy", [SERVICE_GENERIC] = "generic", NULL };

void service_request(enum service service, struct fg_slice text, struct fg_slice language_raw, const char *model,
                     struct fg_buf *out)
{
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);

    fg_json_object(&w);
    fg_json_kv_string(&w, "text", text);
    if (model)
        fg_json_kv_cstr(&w, "model", model);
    if (service == SERVICE_GENERIC && language_raw.len) {
        fg_json_key(&w, "language");
        fg_json_raw(&w, language_raw);
    }
    fg_json_object_end(&w);
}

static bool read_int(struct fg_json_value v, int64_t *ret)
{
    return v.kind == FG_JSON_NUMBER && fg_parse_int(v.raw, ret);
}

/* Member names differ between services, the meaning does not. */
static const char *const type_member[_SERVICE_N] = { [SERVICE_SPACY] = "/label", [SERVICE_GENERIC] = "/type" };

static bool read_span(enum service service, struct fg_slice entity, struct span *ret)
{
    struct fg_json_value type = fg_json_find(entity, type_member[service]);
    struct fg_json_value text = fg_json_find(entity, "/text");
    struct fg_json_value score = fg_json_find(entity, "/score");
    struct fg_json_value normalized = fg_json_find(entity, "/normalized");
    double finite;

    *ret = (struct span){ .start = -1 };
    if (type.kind != FG_JSON_STRING || type.raw.len <= 2 || type.raw.len > TYPE_RAW_MAX ||
        fg_slice_find(type.raw, (struct fg_slice)FG_SLICE("\\u0000")) >= 0 ||
        !read_int(fg_json_find(entity, "/start"), &ret->start) ||
        !read_int(fg_json_find(entity, "/end"), &ret->end))
        return false;
    ret->type = type.raw;
    if (text.kind == FG_JSON_STRING)
        ret->text = text.raw;
    if (score.kind == FG_JSON_NUMBER && score.raw.len <= NUMBER_RAW_MAX && fg_parse_double(score.raw, &finite))
        ret->score = score.raw;
    if (normalized.kind == FG_JSON_STRING || normalized.kind == FG_JSON_BOOL ||
        (normalized.kind == FG_JSON_NUMBER && normalized.raw.len <= NUMBER_RAW_MAX))
        ret->normalized = normalized.raw;
    return true;
}

static bool make_room(struct answer *a)
{
    size_t cap = a->cap ? a->cap * 2 : 32;
    struct span *more;

    if (a->n < a->cap)
        return true;
    more = realloc(a->spans, cap * sizeof(*more));
    if (!more)
        return false;
    a->spans = more;
    a->cap = cap;
    return true;
}

int service_answer(enum service service, struct fg_slice body, struct answer *ret, struct fg_error *err)
{
    struct fg_json_value list, entity;
    size_t pos = 0;

    *ret = (struct answer){ .spans = NULL };
    if (!fg_json_valid(body))
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "the service's answer of %zu bytes is no JSON",
                            body.len);
    list = fg_json_find(body, service == SERVICE_SPACY ? "" : "/entities");
    if (list.kind != FG_JSON_ARRAY)
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE,
                            service == SERVICE_SPACY ? "the service's answer is no array of entities"
                                                     : "the service's answer has no array \"entities\"");
    while (fg_json_each(list, &pos, NULL, &entity)) {
        if (ret->n + ret->malformed >= SPANS_MAX)
            return fg_error_set(err, FG_E_LIMIT, 0, "the service found more than %u entities in one text", SPANS_MAX);
        if (!make_room(ret))
            return fg_error_set(err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no memory for the service's entities");
        if (read_span(service, entity.raw, &ret->spans[ret->n]))
            ret->n++;
        else
            ret->malformed++;
    }
    if (service != SERVICE_SPACY && fg_json_find(body, "/model").kind == FG_JSON_STRING)
        ret->model = fg_json_find(body, "/model").raw;
    return 0;
}

/* Which statuses are the service's trouble (wait), which the record's (give up), which may pass (try again). */
static const struct {
    int from, to, code;
    unsigned flags;
    const char *what;
} refusals[] = {
    { 401, 401, FG_E_AUTH, FG_ERROR_RETRIABLE, "does not accept the token" },
    { 403, 403, FG_E_AUTH, FG_ERROR_RETRIABLE, "forbids this" },
    { 404, 405, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "knows no such call: is the URL right?" },
    { 408, 408, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "gave up waiting" },
    { 413, 413, FG_E_REFUSED, 0, "finds the text too long" },
    { 429, 429, FG_E_THROTTLED, FG_ERROR_RETRIABLE, "asks for patience" },
    { 400, 499, FG_E_REFUSED, 0, "refuses this text" },
    { 502, 504, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "is not available" },
    { 500, 599, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "failed on this text" },
    { 0, 999, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "answers something else than entities" },
};

int service_refusal(int status, uint32_t retry_after_ms, const char *host, struct fg_error *err)
{
    size_t i = 0;
    int r;

    while (i + 1 < sizeof(refusals) / sizeof(refusals[0]) && (status < refusals[i].from || status > refusals[i].to))
        i++;
    r = fg_error_set(err, refusals[i].code, refusals[i].flags, "the service at %s %s (HTTP %d)", host, refusals[i].what,
                     status);
    err->retry_after_ms = retry_after_ms;
    return r;
}
