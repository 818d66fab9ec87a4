/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of plugins: what each is called, and which callbacks it must bring beside open and close.
 *
 * A new kind begins with its operations in fragua/plugin.h and a row here; where it stands in the file is a row of the
 * places in config-tables.c, and the rest follows from that: loading, schema, secrets, trying it in a child.
 */
#include "host/loader-private.h"

static const char *source_missing(const struct fg_plugin *p)
{
    if (!p->source)
        return "source";
    return !p->source->assign   ? "source.assign"
           : !p->source->revoke ? "source.revoke"
           : !p->source->pull   ? "source.pull"
           : !p->source->rewind ? "source.rewind"
           : !p->source->keys   ? "source.keys"
                                : NULL;
}

static const char *transform_missing(const struct fg_plugin *p)
{
    return !p->transform ? "transform" : !p->transform->apply ? "transform.apply" : NULL;
}

static const char *sink_missing(const struct fg_plugin *p)
{
    return !p->sink ? "sink" : !p->sink->deliver ? "sink.deliver" : !p->sink->cancel ? "sink.cancel" : NULL;
}

static const char *control_missing(const struct fg_plugin *p)
{
    return !p->control ? "control" : p->control->n_routes && !p->control->routes ? "control.routes" : NULL;
}

static const struct {
    const char *name;
    const char *(*missing)(const struct fg_plugin *p);
} kinds[_FG_KIND_END] = {
    [FG_KIND_SOURCE] = { "source", source_missing },
    [FG_KIND_TRANSFORM] = { "transform", transform_missing },
    [FG_KIND_SINK] = { "sink", sink_missing },
    [FG_KIND_CONTROL] = { "control", control_missing },
};

bool fg_kind_is_known(uint32_t kind)
{
    return kind < _FG_KIND_END && kinds[kind].name;
}

const char *fg_kind_name(uint32_t kind)
{
    return fg_kind_is_known(kind) ? kinds[kind].name : "unknown";
}

const char *fg_kind_missing(const struct fg_plugin *p)
{
    return !p->open ? "open" : !p->close ? "close" : kinds[p->kind].missing(p);
}
