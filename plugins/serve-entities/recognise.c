/* SPDX-License-Identifier: Apache-2.0 */
/* Tries every scanner where a word begins; the first that fits wins, and the text behind it goes on. */
#include "recognise.h"

#include "scan.h"

const char *const entity_type_names[_ENTITY_TYPE_N] = {
    [ENTITY_EMAIL] = "EMAIL", [ENTITY_URL] = "URL",   [ENTITY_PHONE] = "PHONE",
    [ENTITY_MONEY] = "MONEY", [ENTITY_DATE] = "DATE", [ENTITY_ID] = "ID",
};

/* In order of trust: what looks like an address is no date, what looks like a date is no phone number. */
static const struct {
    enum entity_type type;
    size_t (*scan)(struct fg_slice text, size_t at, char *ret_normalized);
} scanners[] = {
    { ENTITY_URL, scan_url },     { ENTITY_EMAIL, scan_email }, { ENTITY_DATE, scan_date },
    { ENTITY_MONEY, scan_money }, { ENTITY_ID, scan_id },       { ENTITY_PHONE, scan_phone },
};

static bool begins_here(struct fg_slice text, size_t at)
{
    char c = text.ptr[at];

    if ((unsigned char)c >= 128) /* a currency's sign; letters beyond ASCII begin nothing that is looked for */
        return (unsigned char)c == 0xe2 || (unsigned char)c == 0xc2;
    return (is_alnum(c) || c == '+' || c == '(' || c == '$' || c == '#') && !word_before(text, at);
}

static size_t scan_all(struct fg_slice text, size_t at, struct entity *ret)
{
    for (size_t i = 0; i < sizeof(scanners) / sizeof(scanners[0]); i++) {
        size_t n = scanners[i].scan(text, at, ret->normalized);
        if (n) {
            ret->type = scanners[i].type;
            return n;
        }
    }
    return 0;
}

/* Code points that begin in a run of bytes. */
static size_t points_in(struct fg_slice text, size_t from, size_t to)
{
    size_t n = 0;

    for (size_t i = from; i < to; i++)
        n += ((unsigned char)text.ptr[i] & 0xc0u) != 0x80u;
    return n;
}

size_t recognise(struct fg_slice text, entity_cb cb, void *arg)
{
    size_t at = 0, found = 0, counted = 0, point = 0;

    while (at < text.len) {
        struct entity e = { .start = at };
        bool begins = begins_here(text, at);
        size_t n = begins ? scan_all(text, at, &e) : 0;
        if (!n) {
            n = begins ? scan_account(text, at) : 0;
            at += n ? n : 1;
            continue;
        }
        e.end = at + n;
        e.start_point = point + points_in(text, counted, at);
        e.end_point = e.start_point + points_in(text, at, e.end);
        cb(arg, &e);
        found++;
        counted = at = e.end;
        point = e.end_point;
    }
    return found;
}
