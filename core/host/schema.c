/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema of the pipeline file, made from its tables and from the plugins found. */
#include "base/json.h"
#include "host/config.h"
#include "host/process.h"

static void plugin_member(struct fg_json_writer *w, void *name)
{
    fg_json_key(w, "plugin");
    fg_json_object(w);
    fg_json_kv_cstr(w, "const", name);
    fg_json_object_end(w);
    fg_json_key(w, "sha256");
    fg_json_object(w);
    fg_json_kv_cstr(w, "type", "string");
    fg_json_kv_cstr(w, "pattern", "^[0-9A-Fa-f]{64}$");
    fg_json_kv_cstr(w, "description", "SHA-256 that the plugin's file must have");
    fg_json_object_end(w);
}

/* oneOf: each plugin of the kind with its own options */
static void write_plugins(struct fg_json_writer *w, const struct fg_plugin_path *path, uint32_t kind)
{
    static const struct fg_option none[] = { FG_OPTION_END };
    size_t n, written = 0;
    char **names = fg_plugin_names(path, &n);

    fg_json_object(w);
    fg_json_key(w, "oneOf");
    fg_json_array(w);
    for (size_t i = 0; i < n; i++) {
        struct fg_plugin_file *file;
        if (fg_plugin_probe(path, names[i], &file, NULL) < 0)
            continue;
        if (file->plugin.kind == kind) {
            fg_conf_schema_write(w, file->plugin.options ? file->plugin.options : none, plugin_member,
                                 (void *)file->plugin.name);
            written++;
        }
        fg_plugin_file_unref(file);
    }
    if (written == 0)
        fg_json_bool(w, false); /* no plugin of this kind: nothing holds; an empty list would be no schema */
    fg_json_array_end(w);
    fg_json_object_end(w);
    fg_plugin_names_free(names, n);
}

static void write_list(struct fg_json_writer *w, const char *key, const struct fg_plugin_path *path, uint32_t kind)
{
    fg_json_key(w, key);
    fg_json_object(w);
    fg_json_kv_cstr(w, "type", "array");
    fg_json_key(w, "items");
    write_plugins(w, path, kind);
    fg_json_object_end(w);
}

struct places {
    const struct fg_config_place *first;
    const struct fg_plugin_path *path;
};

static void write_places(struct fg_json_writer *w, void *arg)
{
    const struct places *places = arg;

    for (const struct fg_config_place *place = places->first; place && place->key; place++) {
        if (place->n_offset) {
            write_list(w, place->key, places->path, place->kind);
            continue;
        }
        fg_json_key(w, place->key);
        write_plugins(w, places->path, place->kind);
    }
}

static void write_section(struct fg_json_writer *w, unsigned section, const struct fg_plugin_path *path)
{
    struct places places = { fg_config_tables[section].places, path };

    fg_conf_schema_write(w, fg_config_tables[section].table, write_places, &places);
}

void fg_config_schema(struct fg_json_writer *w, const struct fg_plugin_path *plugins)
{
    fg_json_object(w);
    fg_json_kv_cstr(w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    fg_json_kv_cstr(w, "title", "fragua pipeline file");
    fg_json_kv_cstr(w, "type", "object");
    fg_json_kv_bool(w, "additionalProperties", false);
    fg_json_key(w, "properties");
    fg_json_object(w);
    for (unsigned i = 0; i < FG_CONFIG_SECTIONS; i++) {
        fg_json_key(w, fg_config_tables[i].path);
        write_section(w, i, plugins);
    }
    fg_json_key(w, "pipelines");
    fg_json_object(w);
    fg_json_kv_cstr(w, "type", "object");
    fg_json_key(w, "additionalProperties");
    write_section(w, FG_SECTION_PIPELINE, plugins);
    fg_json_object_end(w);
    fg_json_object_end(w);
    fg_json_object_end(w);
}
