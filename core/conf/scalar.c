/* SPDX-License-Identifier: Apache-2.0 */
/* One value of each scalar type: from text to the struct's member, or what is wrong with it. */
#include "conf/conf-private.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/str.h"

struct take {
    const struct fg_option *option;
    const struct fg_conf_scalar *scalar;
    struct fg_conf_values *values;
    void *member;
    struct fg_buf *why;
};

bool fg_conf_has_bounds(const struct fg_option *option)
{
    return option->min != 0 || option->max != 0;
}

struct unit {
    int64_t factor;
    const char *name;
};

/* The largest unit that fits without a rest. */
static void write_in_units(int64_t value, const struct unit *units, const char *smallest, struct fg_buf *out)
{
    for (; value != 0 && units->factor > 0; units++) {
        if (value % units->factor == 0) {
            fg_buf_printf(out, "%" PRId64 "%s", value / units->factor, units->name);
            return;
        }
    }
    fg_buf_printf(out, "%" PRId64 "%s", value, value != 0 ? smallest : "");
}

/* As it is written in a file: 1500 ms is "1500ms", 60000 ms is "1m". */
static void write_bound(const struct fg_option *option, int64_t value, struct fg_buf *out)
{
    static const struct unit durations[] = {
        { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 0 },
    };
    static const struct unit sizes[] = { { 1 << 30, "GiB" }, { 1 << 20, "MiB" }, { 1 << 10, "KiB" }, { 0 } };

    if (option->type == FG_OPTION_DURATION)
        write_in_units(value, durations, "ms", out);
    else if (option->type == FG_OPTION_SIZE)
        write_in_units(value, sizes, "", out);
    else
        fg_buf_printf(out, "%" PRId64, value);
}

void fg_conf_bounds_write(const struct fg_option *option, struct fg_buf *out)
{
    if (option->min == option->max) {
        fg_buf_add_str(out, "exactly ");
        write_bound(option, option->min, out);
    } else if (option->max == INT64_MAX) {
        fg_buf_add_str(out, "at least ");
        write_bound(option, option->min, out);
    } else if (option->min == INT64_MIN) {
        fg_buf_add_str(out, "at most ");
        write_bound(option, option->max, out);
    } else {
        fg_buf_add_str(out, "between ");
        write_bound(option, option->min, out);
        fg_buf_add_str(out, " and ");
        write_bound(option, option->max, out);
    }
}

void fg_conf_choices_write(const struct fg_option *option, struct fg_buf *out)
{
    for (size_t i = 0; option->choices[i]; i++) {
        if (i > 0)
            fg_buf_add_str(out, option->choices[i + 1] ? ", " : " or ");
        fg_buf_add_str(out, option->choices[i]);
    }
}

static bool is_one_of(struct fg_slice text, const char *const *words)
{
    for (; *words; words++) {
        if (fg_slice_ieq(text, fg_slice_of(*words)))
            return true;
    }
    return false;
}

static bool refuse_quoted(struct take *t, const char *what)
{
    fg_buf_printf(t->why, "must be %s: take the quotes off %s", what, t->scalar->shown);
    return false;
}

static bool take_bool(struct take *t)
{
    static const char *const yes[] = { "yes", "on", "y", "true", "1", NULL };
    static const char *const no[] = { "no", "off", "n", "false", "0", NULL };
    struct fg_slice text = t->scalar->text;
    bool value = fg_slice_is(text, "true");

    if (!value && !fg_slice_is(text, "false")) {
        fg_buf_printf(t->why, "must be true or false, not %s", t->scalar->shown);
        if (is_one_of(text, yes) || is_one_of(text, no))
            fg_buf_printf(t->why, ": write %s", is_one_of(text, yes) ? "true" : "false");
        return false;
    }
    if (t->scalar->quoted)
        return refuse_quoted(t, "true or false");
    *(bool *)t->member = value;
    return true;
}

static bool refuse_bounds(struct take *t)
{
    fg_buf_add_str(t->why, "must be ");
    fg_conf_bounds_write(t->option, t->why);
    fg_buf_printf(t->why, ", not %s", t->scalar->shown);
    return false;
}

static bool store_int(struct take *t, int64_t value)
{
    if (fg_conf_has_bounds(t->option) && (value < t->option->min || value > t->option->max))
        return refuse_bounds(t);
    *(int64_t *)t->member = value;
    return true;
}

static bool take_integer(struct take *t)
{
    int64_t value;

    if (!fg_parse_int(t->scalar->text, &value)) {
        fg_buf_printf(t->why, "must be a whole number, not %s", t->scalar->shown);
        return false;
    }
    return t->scalar->quoted ? refuse_quoted(t, "a number") : store_int(t, value);
}

static bool take_number(struct take *t)
{
    double value;

    if (!fg_parse_double(t->scalar->text, &value)) {
        fg_buf_printf(t->why, "must be a number, not %s", t->scalar->shown);
        return false;
    }
    if (t->scalar->quoted)
        return refuse_quoted(t, "a number");
    if (fg_conf_has_bounds(t->option) && (value < (double)t->option->min || value > (double)t->option->max))
        return refuse_bounds(t);
    *(double *)t->member = value;
    return true;
}

static bool take_duration(struct take *t)
{
    int64_t value;

    if (!fg_parse_duration_ms(t->scalar->text, &value)) {
        bool bare = fg_parse_int(t->scalar->text, &value);
        fg_buf_printf(t->why, "must be a duration such as 100ms, 10s, 5m, 1h or 2d, not %s%s", t->scalar->shown,
                      bare && value >= 0 ? ": the unit is missing" : "");
        return false;
    }
    return store_int(t, value);
}

static bool take_size(struct take *t)
{
    int64_t value;

    if (!fg_parse_size(t->scalar->text, &value)) {
        fg_buf_printf(t->why, "must be a size such as 512, 64KiB, 4MiB or 1GiB, not %s", t->scalar->shown);
        return false;
    }
    return store_int(t, value);
}

static bool store_text(struct take *t)
{
    *(const char **)t->member = fg_conf_values_strdup(t->values, t->scalar->text);
    return true;
}

static bool take_string(struct take *t)
{
    if (t->scalar->text.len == 0 && (t->option->flags & FG_OPTION_REQUIRED)) {
        fg_buf_add_str(t->why, "must not be empty");
        return false;
    }
    return store_text(t);
}

static bool take_path(struct take *t)
{
    if (t->scalar->text.len == 0) {
        fg_buf_add_str(t->why, "must not be empty: it is a path");
        return false;
    }
    return store_text(t);
}

static bool take_pointer(struct take *t)
{
    struct fg_slice s = t->scalar->text;
    bool ok = s.len == 0 || s.ptr[0] == '/';

    for (size_t i = 0; i < s.len && ok; i++) {
        if (s.ptr[i] == '~')
            ok = i + 1 < s.len && (s.ptr[i + 1] == '0' || s.ptr[i + 1] == '1');
    }
    if (!ok) {
        fg_buf_printf(t->why, "must be a JSON pointer such as /entities/0/text (~0 is a tilde, ~1 a slash), not %s",
                      t->scalar->shown);
        return false;
    }
    return store_text(t);
}

static const char *nearest_choice(const struct take *t)
{
    const char *best = NULL;
    unsigned best_distance = 3;

    for (const char *const *choice = t->option->choices; *choice; choice++) {
        unsigned d;
        if (fg_slice_ieq(t->scalar->text, fg_slice_of(*choice)))
            return *choice;
        d = fg_edit_distance(t->scalar->text, fg_slice_of(*choice), 2);
        if (d < best_distance && d < strlen(*choice)) {
            best = *choice;
            best_distance = d;
        }
    }
    return best;
}

static bool take_enum(struct take *t)
{
    const char *nearest;

    for (int i = 0; t->option->choices[i]; i++) {
        if (!fg_slice_is(t->scalar->text, t->option->choices[i]))
            continue;
        *(int *)t->member = i;
        return true;
    }
    fg_buf_add_str(t->why, "must be ");
    fg_conf_choices_write(t->option, t->why);
    fg_buf_printf(t->why, ", not %s", t->scalar->shown);
    nearest = nearest_choice(t);
    if (nearest)
        fg_buf_printf(t->why, ": did you mean %s?", nearest);
    return false;
}

static bool is_port(struct fg_slice s)
{
    int64_t port;

    return s.len <= 5 && fg_parse_int(s, &port) && port >= 1 && port <= 65535;
}

static bool is_host(struct fg_slice s, bool bracketed)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    static const char address[] = "0123456789abcdefABCDEF:.";

    for (size_t i = 0; i < s.len; i++) {
        if (!memchr(bracketed ? address : name, s.ptr[i], bracketed ? sizeof(address) - 1 : sizeof(name) - 1))
            return false;
    }
    return s.len > 0;
}

/* host, host:port, [v6], [v6]:port */
static const char *check_authority(struct fg_slice s)
{
    bool bracketed = s.len > 0 && s.ptr[0] == '[';
    struct fg_slice host, port;
    bool has_port;

    if (bracketed) {
        if (!fg_slice_cut(s, ']', &host, &port))
            return "a ']' is missing";
        host = fg_slice_sub(host, 1, host.len);
        has_port = port.len > 0;
        if (has_port && port.ptr[0] != ':')
            return "after the ']' only a port can follow";
        port = fg_slice_sub(port, 1, port.len);
    } else {
        has_port = fg_slice_cut(s, ':', &host, &port);
    }
    if (host.len == 0)
        return "the host is missing";
    if (!is_host(host, bracketed))
        return "the host has a character in it that no host has";
    return has_port && !is_port(port) ? "the port must be between 1 and 65535" : NULL;
}

/* RFC 3986, and only what an HTTP client can use. Return: what is wrong, NULL: nothing. */
static const char *check_url(struct fg_slice s)
{
    static const char never[] = " \"<>\\^`{|}#";
    struct fg_slice scheme, rest;
    size_t end = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f || memchr(never, s.ptr[i], sizeof(never) - 1))
            return "it has a character in it that must be percent-encoded, or a fragment";
    }
    (void)fg_slice_cut(s, ':', &scheme, &rest);
    if (!fg_slice_starts(rest, fg_slice_of("//")) ||
        (!fg_slice_ieq(scheme, fg_slice_of("http")) && !fg_slice_ieq(scheme, fg_slice_of("https"))))
        return "it must begin with http:// or https://";
    rest = fg_slice_sub(rest, 2, rest.len);
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    return check_authority(fg_slice_sub(rest, 0, end));
}

static bool take_url(struct take *t)
{
    const char *wrong;

    /* a user part may hold a password, so the value is not shown */
    if (t->scalar->text.len > 0 && memchr(t->scalar->text.ptr, '@', t->scalar->text.len)) {
        fg_buf_add_str(t->why, "must be an http or https URL without a user part and without '@' "
                               "(in a path write %40)");
        return false;
    }
    wrong = check_url(t->scalar->text);
    if (wrong) {
        fg_buf_printf(t->why, "must be an http or https URL such as https://host:8443/path, not %s: %s",
                      t->scalar->shown, wrong);
        return false;
    }
    return store_text(t);
}

/* Each type once, here; of a scalar its take(), of another its fill in fill.c; how its schema looks: schema.c. */
static const struct type {
    const char *name;
    size_t size;
    bool (*take)(struct take *t); /* NULL: no scalar */
} types[_FG_OPTION_TYPE_N] = {
    [FG_OPTION_BOOL] = { "boolean", sizeof(bool), take_bool },
    [FG_OPTION_INTEGER] = { "integer", sizeof(int64_t), take_integer },
    [FG_OPTION_NUMBER] = { "number", sizeof(double), take_number },
    [FG_OPTION_STRING] = { "string", sizeof(const char *), take_string },
    [FG_OPTION_ENUM] = { "choice", sizeof(int), take_enum },
    [FG_OPTION_DURATION] = { "duration", sizeof(int64_t), take_duration },
    [FG_OPTION_SIZE] = { "size", sizeof(int64_t), take_size },
    [FG_OPTION_URL] = { "url", sizeof(const char *), take_url },
    [FG_OPTION_PATH] = { "path", sizeof(const char *), take_path },
    [FG_OPTION_POINTER] = { "pointer", sizeof(const char *), take_pointer },
    [FG_OPTION_STRINGS] = { "list of strings", sizeof(struct fg_strings), NULL },
    [FG_OPTION_PAIRS] = { "map of strings", sizeof(struct fg_pairs), NULL },
    [FG_OPTION_GROUP] = { "map", sizeof(const void *), NULL },
    [FG_OPTION_GROUPS] = { "list of maps", sizeof(struct fg_groups), NULL },
};

bool fg_conf_scalar_take(const struct fg_option *option, const struct fg_conf_scalar *scalar,
                         struct fg_conf_values *values, void *member, struct fg_buf *why)
{
    struct take t = { option, scalar, values, member, why };

    fg_assert(fg_conf_is_scalar_type(option->type));
    return types[option->type].take(&t);
}

bool fg_conf_is_scalar_type(enum fg_option_type type)
{
    return types[type].take != NULL;
}

size_t fg_conf_type_size(enum fg_option_type type)
{
    return types[type].size;
}

const char *fg_conf_type_name(enum fg_option_type type)
{
    return types[type].name;
}
