/* SPDX-License-Identifier: Apache-2.0 */
/* What a plugin's descriptor must say before anything of it is called. */
#include "base/err.h"
#include "conf/options.h"
#include "host/loader-private.h"

static int check_options(const struct fg_plugin *p, const char *name, struct fg_error *err)
{
    struct fg_error why = FG_ERROR_NULL;

    if (!p->options)
        return 0;
    if (p->config_size == 0)
        return REFUSAL("plugin \"%s\" has options but no config_size", name);
    if (fg_conf_table_check(p->options, &why) < 0)
        return REFUSAL("plugin \"%s\" has a bad option table: %.160s", name, why.text);
    return 0;
}

int fg_plugin_handshake(const struct fg_plugin *found, const char *name, struct fg_plugin *ret, struct fg_error *err)
{
    const char *missing;

    if (found->magic != FG_PLUGIN_MAGIC)
        return REFUSAL("\"%s.so\" is no fragua plugin: its magic is 0x%08x", name, found->magic);
    if (found->abi != FG_ABI)
        return REFUSAL("plugin \"%s\" was built for ABI %u, this is ABI %u: build it again", name, found->abi, FG_ABI);
    if (found->size < offsetof(struct fg_plugin, check))
        return REFUSAL("plugin \"%s\" has a descriptor of %u bytes, too small for ABI %u", name, found->size, FG_ABI);
    *ret = (struct fg_plugin){ .magic = 0 };
    memcpy(ret, found, found->size < sizeof(*ret) ? found->size : sizeof(*ret));
    if (!fg_kind_is_known(ret->kind))
        return REFUSAL("plugin \"%s\" is of an unknown kind (%u)", name, ret->kind);
    if (!ret->name || strcmp(ret->name, name) != 0)
        return REFUSAL("plugin file \"%s.so\" says its name is \"%.64s\"", name, ret->name ? ret->name : "");
    if (!ret->version || !ret->summary)
        return REFUSAL("plugin \"%s\" lacks its version or summary", name);
    missing = fg_kind_missing(ret);
    if (missing)
        return REFUSAL("plugin \"%s\" lacks the mandatory callback %s", name, missing);
    return check_options(ret, name, err);
}
