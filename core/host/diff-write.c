/* SPDX-License-Identifier: Apache-2.0 */
/* A difference for programs. */
#include "base/json.h"
#include "host/diff.h"

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
