/* SPDX-License-Identifier: Apache-2.0 */
/* Which mails a mail answers. */
#include "references.h"

/* The next <id> at or behind *pos: no blanks and no brackets inside, so a broken one costs only itself. */
static bool next_id(struct fg_slice s, size_t *pos, struct fg_slice *ret)
{
    size_t from = s.len;

    for (; *pos < s.len; (*pos)++) {
        char c = s.ptr[*pos];
        if (c == '<') {
            from = *pos;
        } else if (c == '>' && from + 1 < *pos) {
            (*pos)++;
            *ret = fg_slice_make(s.ptr + from, *pos - from);
            return true;
        } else if (c == '>' || c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            from = s.len;
        }
    }
    return false;
}

bool references_next(const struct references *r, size_t *pos, struct fg_slice *ret)
{
    return next_id(fg_buf_slice(&r->list), pos, ret);
}

static void read_header(const struct message *m, const char *name, struct fg_buf *out)
{
    if (!message_header(m, name, out))
        fg_buf_clear(out);
}

void references_init(struct references *r, const struct message *m, size_t bytes_max)
{
    struct fg_slice id;
    size_t pos = 0;

    *r = (struct references){ .in_reply_to = FG_BUF_INIT(bytes_max), .list = FG_BUF_INIT(bytes_max) };
    read_header(m, "In-Reply-To", &r->in_reply_to);
    read_header(m, "References", &r->list);
    while (references_next(r, &pos, &id)) {
        if (!r->root.len)
            r->root = id;
        r->parent = id; /* the last one is the nearest */
    }
    pos = 0;
    if (next_id(fg_buf_slice(&r->in_reply_to), &pos, &id))
        r->parent = id;
    if (!r->root.len)
        r->root = r->parent;
}

void references_deinit(struct references *r)
{
    fg_buf_deinit(&r->in_reply_to);
    fg_buf_deinit(&r->list);
}
