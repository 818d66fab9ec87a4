/* SPDX-License-Identifier: Apache-2.0 */
/* A file, or the text of one, to a tree whose root is a map. */
#include "conf/conf-private.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"

int fg_conf_parse(struct fg_slice text, const char *name, struct fg_conf_node **ret, struct fg_conf_faults *faults)
{
    char *own_name = fg_strdup(name);
    struct fg_conf_node *root = NULL;
    int r = fg_conf_parse_any(text, own_name, 0, true, &root, faults);

    if (r == 0 && root->kind != FG_CONF_MAP) {
        const char *what = root->kind == FG_CONF_LIST ? "a list" : "a single value";
        if (fg_conf_is_nothing(root))
            fg_conf_fault_add(faults, name, root->line, root->column,
                              "there is nothing in it: a map of keys is expected");
        else
            fg_conf_fault_add(faults, name, root->line, root->column, "this is %s: a map of keys is expected", what);
        r = -FG_E_CONFIG;
    }
    if (r < 0) {
        fg_conf_node_free(root);
        free(own_name);
        return fg_raise(r);
    }
    root->file_owned = own_name;
    *ret = root;
    return 0;
}

static bool read_stdin(struct fg_buf *out, struct fg_error *err)
{
    char chunk[16384];

    for (;;) {
        ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));
        if (n == 0)
            return true;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fg_error_set(err, FG_E_CONFIG, 0, "cannot read it: %s", fg_errno_text(errno));
            return false;
        }
        fg_buf_add(out, chunk, (size_t)n);
        if (out->failed) {
            fg_error_set(err, FG_E_LIMIT, 0, "it is larger than %u bytes", FG_CONF_BYTES_MAX);
            return false;
        }
    }
}

int fg_conf_load(const char *path, struct fg_conf_node **ret, struct fg_conf_faults *faults)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "stdin" : path;
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(FG_CONF_BYTES_MAX);
    struct fg_error err = FG_ERROR_NULL;
    bool ok = is_stdin ? read_stdin(&text, &err) : fg_read_file(path, FG_CONF_BYTES_MAX, &text, &err) == 0;
    int r;

    if (!ok) {
        fg_conf_fault_add(faults, name, 0, 0, "%s", err.text);
        return fg_raise(-FG_E_CONFIG);
    }
    r = fg_conf_parse(fg_buf_slice(&text), name, ret, faults);
    if (text.data)
        explicit_bzero(text.data, text.len);
    return r < 0 ? fg_pass(r) : 0;
}
