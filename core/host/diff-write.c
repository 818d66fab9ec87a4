/* SPDX-License-Identifier: Apache-2.0 */
/* A difference for programs and for people. */
#include "base/buf.h"
#include "base/json.h"
#include "host/diff.h"

static const char signs[_FG_CHANGE_REASON_N] = {
    [FG_CHANGE_OPTION] = '~', [FG_CHANGE_PLUGIN_FILE] = '~', [FG_CHANGE_SECRET] = '~',
    [FG_CHANGE_ADDED] = '+',  [FG_CHANGE_REMOVED] = '-',     [FG_CHANGE_MOVED] = '>',
};

void fg_diff_write(struct fg_json_writer *w, const struct fg_diff *diff)
{
    fg_json_key(w, "changes");
    fg_json_array(w);
    for (size_t i = 0; i < diff->n_changes; i++) {
        const struct fg_change *c = &diff->changes[i];
        fg_json_object(w);
        fg_json_kv_cstr(w, "place", c->place);
        fg_json_kv_cstr(w, "reason", fg_change_reason_name(c->reason));
        fg_json_kv_cstr(w, "detail", c->detail);
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
}

void fg_diff_print(const struct fg_diff *diff, struct fg_buf *out)
{
    for (size_t i = 0; i < diff->n_changes; i++) {
        const struct fg_change *c = &diff->changes[i];
        fg_buf_printf(out, "%c %s  %s%s%s\n", signs[c->reason], c->place, fg_change_reason_name(c->reason),
                      c->detail[0] ? "  " : "", c->detail);
    }
}
