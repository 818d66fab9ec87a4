/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a process that has tried a configuration: {"faults":[...],"plugins":[...],"more":0}. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/check.h"

#define TEXT_MAX 4096 /* bytes of one string of the report */

static const char *text_of(struct fg_slice object, const char *pointer, struct fg_buf *to)
{
    struct fg_json_value value = fg_json_find(object, pointer);

    fg_buf_clear(to);
    if (value.kind != FG_JSON_STRING || !fg_json_decode_start(value.raw, TEXT_MAX - 8, to))
        return "";
    fg_buf_add_char(to, '\0');
    return to->failed ? "" : to->data;
}

static unsigned number_of(struct fg_slice object, const char *pointer)
{
    struct fg_json_value value = fg_json_find(object, pointer);
    int64_t n = 0;

    if (value.kind != FG_JSON_NUMBER || !fg_parse_int(value.raw, &n) || n < 0 || n > UINT32_MAX)
        return 0;
    return (unsigned)n;
}

static void read_fault(struct fg_slice fault, struct fg_conf_faults *faults)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf file = FG_BUF_INIT(TEXT_MAX);
    FG_CLEANUP(fg_buf_deinit) struct fg_buf message = FG_BUF_INIT(TEXT_MAX);

    fg_conf_fault_add(faults, text_of(fault, "/file", &file), number_of(fault, "/line"), number_of(fault, "/column"),
                      "%s", text_of(fault, "/message", &message));
}

static void read_plugin(struct fg_slice plugin, struct fg_check_plugin *ret)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(TEXT_MAX);

    (void)snprintf(ret->name, sizeof(ret->name), "%s", text_of(plugin, "/name", &text));
    (void)snprintf(ret->sha256, sizeof(ret->sha256), "%s", text_of(plugin, "/sha256", &text));
}

int fg_check_read(struct fg_slice report, struct fg_check_result *ret)
{
    struct fg_json_value faults, plugins, value;
    size_t pos = 0, n = 0;

    if (!fg_json_valid(report))
        return fg_raise(-FG_E_PROTOCOL);
    faults = fg_json_find(report, "/faults");
    plugins = fg_json_find(report, "/plugins");
    if (faults.kind != FG_JSON_ARRAY || plugins.kind != FG_JSON_ARRAY)
        return fg_raise(-FG_E_PROTOCOL);
    while (fg_json_each(faults, &pos, NULL, &value))
        read_fault(value.raw, &ret->faults);
    ret->faults.unkept += number_of(report, "/more");
    for (pos = 0; fg_json_each(plugins, &pos, NULL, &value); n++)
        ;
    ret->plugins = fg_calloc(n ? n : 1, sizeof(*ret->plugins));
    for (pos = 0; fg_json_each(plugins, &pos, NULL, &value);)
        read_plugin(value.raw, &ret->plugins[ret->n_plugins++]);
    return 0;
}
