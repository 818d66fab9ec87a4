/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline file, typed: sections first, then every place where a plugin stands, then what tables cannot say. */
#include "host/config.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"
#include "bus/rdkafka/rdkafka.h"

/* What the steps below share. */
struct loading {
    struct fg_config *config;
    struct fg_plugin_path plugins; /* its folders are borrowed */
    struct fg_conf_faults *faults;
};

static const char *const plugin_keys[] = { "plugin", "sha256", NULL };

#define PLACES_MAX 8u /* of a section */

__attribute__((format(printf, 3, 4))) static void fault(struct loading *l, const struct fg_conf_node *at,
                                                        const char *format, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    fg_conf_fault_add(l->faults, at->file, at->line, at->column, "%s", text);
}

/* The keys of a section that hold plugins, and so are none of its options. NULL-ended. */
static void place_keys(unsigned section, const char *ret[PLACES_MAX + 1])
{
    const struct fg_config_place *place = fg_config_tables[section].places;
    size_t n = 0;

    for (; place && place->key; place++) {
        fg_assert(n < PLACES_MAX);
        ret[n++] = place->key;
    }
    ret[n] = NULL;
}

static void load_section(struct loading *l, unsigned section, void *ret, size_t size)
{
    const struct fg_conf_node *tree = l->config->tree;
    const struct fg_conf_node *map = fg_conf_get(tree, fg_config_tables[section].path);
    const char *foreign[PLACES_MAX + 1];

    place_keys(section, foreign);
    if (fg_conf_fill(map, tree, fg_config_tables[section].table, foreign, ret, size, &l->config->values[section],
                     l->faults) == 0)
        fg_digests_add_options(&l->config->digests, fg_config_tables[section].table, ret);
}

static void load_sections(struct loading *l)
{
    struct fg_config *c = l->config;

    load_section(l, FG_SECTION_KAFKA, &c->kafka, sizeof(c->kafka));
    if (fg_conf_get(c->tree, "http"))
        load_section(l, FG_SECTION_HTTP, &c->http, sizeof(c->http));
    load_section(l, FG_SECTION_LIMITS, &c->limits, sizeof(c->limits));
    load_section(l, FG_SECTION_RELOAD, &c->reload, sizeof(c->reload));
    load_section(l, FG_SECTION_PLUGINS, &c->plugins, sizeof(c->plugins));
}

static bool is_section(const char *key)
{
    for (size_t i = 0; i < FG_CONFIG_SECTIONS; i++)
        if (strcmp(fg_config_tables[i].path, key) == 0)
            return true;
    return strcmp(key, "pipelines") == 0;
}

static void check_root_keys(struct loading *l)
{
    const struct fg_conf_node *root = l->config->tree;

    for (size_t i = 0; i < root->n_members; i++) {
        const struct fg_conf_member *m = &root->members[i];
        if (!is_section(m->key))
            fg_conf_fault_add(l->faults, root->file, m->key_line, m->key_column,
                              "unknown section \"%s\"; there are kafka, http, limits, reload, plugins and pipelines",
                              m->key);
    }
}

static void check_kafka(struct loading *l)
{
    const struct fg_config_kafka *k = &l->config->kafka;
    const struct fg_conf_node *at = fg_conf_get(l->config->tree, "kafka");
    const struct fg_conf_node *properties = fg_conf_get(at, "properties");

    at = at ? at : l->config->tree;
    if (!k->embedded && !k->bootstrap_servers && fg_conf_get(l->config->tree, "pipelines"))
        fault(l, at, "`kafka` needs `bootstrap.servers` (host:port), or `embedded: true` for trying");
    if (k->tls && !k->tls->certificate != !k->tls->key)
        fault(l, at, "`kafka.tls` needs both `certificate` and `key`, or neither");
    if (k->sasl) {
        struct fg_error err = FG_ERROR_NULL;
        const struct fg_conf_node *where = fg_conf_get(at, "sasl");
        if (fg_bus_rdkafka_check_sasl(fg_config_sasl_mechanisms[k->sasl->mechanism], 0, &err) < 0)
            fault(l, where ? where : at, "%s", err.text);
    }
    for (size_t i = 0; i < k->properties.len; i++) {
        struct fg_error err = FG_ERROR_NULL;
        const struct fg_conf_node *where = fg_conf_get(properties, k->properties.items[i].key);
        if (fg_bus_rdkafka_check_property(k->properties.items[i].key, k->properties.items[i].value, &err) < 0)
            fault(l, where ? where : at, "%s", err.text);
    }
}

static bool is_loopback(const char *listen)
{
    struct fg_slice s = fg_slice_of(listen);
    bool numbers = listen[strspn(listen, "0123456789.")] == ':'; /* not a name such as 127.example.com */

    return (numbers && fg_slice_starts(s, (struct fg_slice)FG_SLICE("127."))) ||
           fg_slice_starts(s, (struct fg_slice)FG_SLICE("[::1]")) ||
           fg_slice_starts(s, (struct fg_slice)FG_SLICE("localhost:"));
}

static bool is_sha256(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64;
}

static void check_tokens(struct loading *l, const struct fg_conf_node *http)
{
    const struct fg_config_token *tokens = l->config->http.tokens.items;

    for (size_t i = 0; i < l->config->http.tokens.len; i++) {
        const struct fg_config_token *t = &tokens[i];
        if (!t->sha256 || !t->name)
            continue;
        if (!is_sha256(t->sha256))
            fault(l, http, "token \"%s\": `sha256` is 64 hex digits, as `printf %%s TOKEN | sha256sum` prints",
                  t->name);
        for (size_t k = 0; k < t->scopes.len; k++)
            if (strcmp(t->scopes.items[k], "read") != 0 && strcmp(t->scopes.items[k], "control") != 0)
                fault(l, http, "token \"%s\": scopes are read and control, not \"%s\"", t->name, t->scopes.items[k]);
    }
}

static void check_http(struct loading *l)
{
    const struct fg_config_http *h = &l->config->http;
    const struct fg_conf_node *http = fg_conf_get(l->config->tree, "http");

    if (!http || !h->listen)
        return;
    if (!is_loopback(h->listen) && h->tokens.len == 0 && !(h->tls && h->tls->client_ca))
        fault(l, http, "`http.listen: %s` is open to others: add `tokens` or `tls.client-ca`, or listen on 127.0.0.1",
              h->listen);
    check_tokens(l, http);
}

/* The hash that the place asks of its plugin's file; false: it is none. */
static bool take_pin(struct loading *l, const struct fg_conf_node *map, struct fg_config_node *ret)
{
    const struct fg_conf_node *pin = fg_conf_get(map, "sha256");

    if (!pin)
        return true;
    if (pin->kind != FG_CONF_SCALAR || !is_sha256(pin->text)) {
        fault(l, pin, "`%s.sha256` is the SHA-256 of the plugin's file, 64 hex digits", ret->node);
        return false;
    }
    ret->sha256 = pin->text;
    return true;
}

/* One place with `plugin: NAME` and its options. */
static void load_node(struct loading *l, const struct fg_conf_node *map, uint32_t kind, const char *name,
                      struct fg_config_node *ret)
{
    const struct fg_conf_node *plugin = fg_conf_get(map, "plugin");
    struct fg_error err = FG_ERROR_NULL;

    ret->node = fg_strdup(name);
    ret->map = map;
    if (map->kind != FG_CONF_MAP || !plugin || plugin->kind != FG_CONF_SCALAR) {
        fault(l, map, "`%s` needs `plugin: NAME` and its options", name);
        return;
    }
    if (!take_pin(l, map, ret))
        return;
    if (fg_plugin_load(&l->plugins, plugin->text, ret->sha256, &ret->file, &err) < 0) {
        fault(l, plugin, "%s", err.text);
        return;
    }
    if (ret->file->plugin.kind != kind) {
        fault(l, plugin, "plugin \"%s\" is a %s, but `%s` takes a %s", plugin->text,
              fg_kind_name(ret->file->plugin.kind), name, fg_kind_name(kind));
        return;
    }
    if (ret->file->plugin.options) {
        ret->values_struct = fg_calloc(1, ret->file->plugin.config_size);
        if (fg_conf_fill(map, map, ret->file->plugin.options, plugin_keys, ret->values_struct,
                         ret->file->plugin.config_size, &ret->values, l->faults) < 0)
            return;
        fg_digests_add_options(&l->config->digests, ret->file->plugin.options, ret->values_struct);
    } else if (map->n_members > (ret->sha256 ? 2 : 1)) {
        fault(l, map, "plugin \"%s\" has no options", plugin->text);
    }
    if (ret->file->plugin.check && ret->file->plugin.check(ret->values_struct, &err) < 0)
        fault(l, map, "%s", err.text);
}

static struct fg_config_node *load_nodes(struct loading *l, const struct fg_conf_node *list, uint32_t kind,
                                         const char *name, size_t *ret_n)
{
    struct fg_config_node *nodes;
    char path[64];

    *ret_n = 0;
    if (!list)
        return NULL;
    if (list->kind != FG_CONF_LIST) {
        fault(l, list, "`%s` is a list: begin each with `- plugin: NAME`", name);
        return NULL;
    }
    if (list->n_members > FG_CONFIG_NODES_MAX) {
        fault(l, list, "`%s` has %zu entries, at most %u are allowed", name, list->n_members, FG_CONFIG_NODES_MAX);
        return NULL;
    }
    nodes = fg_calloc(list->n_members ? list->n_members : 1, sizeof(*nodes));
    for (size_t i = 0; i < list->n_members; i++) {
        (void)snprintf(path, sizeof(path), "%s.%zu", name, i);
        load_node(l, list->members[i].node, kind, path, &nodes[i]);
    }
    *ret_n = list->n_members;
    return nodes;
}

static void load_places(struct loading *l, const struct fg_conf_node *map, unsigned section, void *into)
{
    for (const struct fg_config_place *place = fg_config_tables[section].places; place->key; place++) {
        const struct fg_conf_node *node = fg_conf_get(map, place->key);
        void *at = (char *)into + place->offset;

        if (place->n_offset)
            *(struct fg_config_node **)at =
                load_nodes(l, node, place->kind, place->node, (size_t *)(void *)((char *)into + place->n_offset));
        else if (node)
            load_node(l, node, place->kind, place->node, at);
    }
}

static void check_pipeline(struct loading *l, struct fg_config_pipeline *p)
{
    bool source = fg_conf_get(p->map, "source") != NULL;
    const struct fg_config_input *in = p->o.input;

    if (source && in)
        fault(l, p->map, "pipeline \"%s\" has both `source` and `input`: keep one", p->name);
    if (!source && !in)
        fault(l, p->map, "pipeline \"%s\" needs a `source` (plugin) or an `input` (topic)", p->name);
    if (in && !in->topic == !in->topics.len)
        fault(l, p->map, "`input` of pipeline \"%s\" needs either `topic` or `topics`", p->name);
    if (!p->o.output.len && !fg_conf_get(p->map, "sink"))
        fault(l, p->map, "pipeline \"%s\" leads nowhere: give it an `output` or a `sink`", p->name);
    p->role = p->o.role >= 0 ? (enum fg_role)p->o.role : source ? FG_ROLE_PRODUCER : FG_ROLE_CONSUMER;
}

static bool pipeline_name_is_sane(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n <= 64 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static void load_pipeline(struct loading *l, const struct fg_conf_member *m, struct fg_config_pipeline *p)
{
    const char *foreign[PLACES_MAX + 1];

    p->name = m->key;
    p->map = m->node;
    if (!pipeline_name_is_sane(p->name))
        fg_conf_fault_add(l->faults, m->node->file, m->key_line, m->key_column,
                          "\"%s\" is no pipeline name: up to 64 of a-z, 0-9 and '-'", p->name);
    if (m->node->kind != FG_CONF_MAP) {
        fault(l, m->node, "pipeline \"%s\" is empty: give it a source or input, and an output or sink", p->name);
        return;
    }
    place_keys(FG_SECTION_PIPELINE, foreign);
    (void)fg_conf_fill(m->node, m->node, fg_config_tables[FG_SECTION_PIPELINE].table, foreign, &p->o, sizeof(p->o),
                       &p->values, l->faults);
    load_places(l, m->node, FG_SECTION_PIPELINE, p);
    check_pipeline(l, p);
}

static void load_pipelines(struct loading *l)
{
    struct fg_config *c = l->config;
    const struct fg_conf_node *map = fg_conf_get(c->tree, "pipelines");

    if (!map)
        return;
    if (map->kind != FG_CONF_MAP || map->n_members > FG_CONFIG_PIPELINES_MAX) {
        fault(l, map, "`pipelines` is a map of at most %u names to pipelines", FG_CONFIG_PIPELINES_MAX);
        return;
    }
    c->pipelines = fg_calloc(map->n_members ? map->n_members : 1, sizeof(*c->pipelines));
    c->n_pipelines = map->n_members;
    for (size_t i = 0; i < map->n_members; i++)
        load_pipeline(l, &map->members[i], &c->pipelines[i]);
}

static void add_file(void *digests, const char *path)
{
    fg_digests_add_file(digests, path);
}

static void list_files(struct fg_config *c)
{
    if (strcmp(c->path, "-") != 0)
        fg_digests_add_file(&c->digests, c->path);
    fg_conf_tree_files(c->tree, add_file, &c->digests);
    fg_digests_end(&c->digests);
}

static void load_all(struct loading *l)
{
    struct fg_config *c = l->config;
    size_t before = l->faults->len;

    load_sections(l);
    l->plugins.root_only = l->plugins.root_only || c->plugins.owner == FG_PLUGINS_OF_ROOT;
    check_root_keys(l);
    check_kafka(l);
    check_http(l);
    fg_plugin_registry_round(l->plugins.registry);
    load_places(l, fg_conf_get(c->tree, "http"), FG_SECTION_HTTP, c);
    load_pipelines(l);
    if (!c->n_pipelines && !c->n_controls && l->faults->len == before)
        fault(l, c->tree, "the file declares no pipelines and no HTTP plugins: there is nothing to run");
}

int fg_config_load(const char *path, struct fg_slice text, const char *const *sets, size_t n_sets,
                   const struct fg_plugin_path *plugins, struct fg_config **ret, struct fg_conf_faults *faults)
{
    struct fg_config *c = fg_calloc(1, sizeof(*c));
    struct loading l = { .config = c, .plugins = *plugins, .faults = faults };
    size_t before = faults->len;
    int r;

    c->refs = 1;
    c->path = fg_strdup(path);
    r = text.ptr ? fg_conf_parse(text, path, &c->tree, faults) : fg_conf_load(path, &c->tree, faults);
    for (size_t i = 0; r == 0 && i < n_sets; i++)
        r = fg_conf_set(c->tree, sets[i], faults);
    if (r == 0)
        load_all(&l);
    if (faults->len > before || r < 0) {
        fg_conf_faults_sort(faults);
        fg_config_unref(c);
        return fg_raise(-FG_E_CONFIG);
    }
    list_files(c);
    *ret = c;
    return 0;
}

static void each_node_at(unsigned section, const void *in, const struct fg_config_pipeline *pipeline,
                         fg_config_node_cb cb, void *arg)
{
    for (const struct fg_config_place *place = fg_config_tables[section].places; place->key; place++) {
        const char *at = (const char *)in + place->offset;
        struct fg_config_node *nodes =
            place->n_offset ? *(struct fg_config_node *const *)(const void *)at : (struct fg_config_node *)(void *)at;
        size_t n = place->n_offset ? *(const size_t *)(const void *)((const char *)in + place->n_offset) : 1;

        for (size_t i = 0; i < n; i++)
            if (nodes[i].map)
                cb(arg, &nodes[i], pipeline);
    }
}

void fg_config_each_node(const struct fg_config *c, fg_config_node_cb cb, void *arg)
{
    each_node_at(FG_SECTION_HTTP, c, NULL, cb, arg);
    for (size_t i = 0; i < c->n_pipelines; i++)
        each_node_at(FG_SECTION_PIPELINE, &c->pipelines[i], &c->pipelines[i], cb, arg);
}

static void node_deinit(void *arg, struct fg_config_node *node, const struct fg_config_pipeline *pipeline)
{
    (void)arg;
    (void)pipeline;
    fg_conf_values_free(node->values);
    free(node->values_struct);
    fg_plugin_file_unref(node->file);
    free((char *)node->node);
}

struct fg_config *fg_config_ref(struct fg_config *c)
{
    c->refs++;
    return c;
}

struct fg_config *fg_config_unref(struct fg_config *c)
{
    if (!c || --c->refs > 0)
        return NULL;
    fg_config_each_node(c, node_deinit, NULL);
    for (size_t i = 0; i < c->n_pipelines; i++) {
        free(c->pipelines[i].transforms);
        fg_conf_values_free(c->pipelines[i].values);
    }
    for (size_t i = 0; i < FG_CONFIG_SECTIONS; i++)
        fg_conf_values_free(c->values[i]);
    fg_digests_deinit(&c->digests);
    free(c->controls);
    free(c->pipelines);
    fg_conf_node_free(c->tree);
    free(c->path);
    free(c);
    return NULL;
}

struct secrets_to {
    fg_write_cb cb;
    void *arg;
};

static void node_secrets(void *arg, struct fg_config_node *node, const struct fg_config_pipeline *pipeline)
{
    const struct secrets_to *to = arg;

    (void)pipeline;
    if (node->values)
        fg_conf_values_secrets(node->values, to->cb, to->arg);
}

void fg_config_secrets(const struct fg_config *c, fg_write_cb cb, void *arg)
{
    struct secrets_to to = { cb, arg };

    for (size_t i = 0; i < FG_CONFIG_SECTIONS; i++)
        if (c->values[i])
            fg_conf_values_secrets(c->values[i], cb, arg);
    fg_config_each_node(c, node_secrets, &to);
}

size_t fg_config_files(const struct fg_config *c, const char *const **ret)
{
    *ret = (const char *const *)c->digests.files;
    return c->digests.n_files;
}

/* The k-th topic of a pipeline; NULL past its end. */
static const char *pipeline_topic(const struct fg_config *config, const struct fg_config_pipeline *p, size_t k,
                                  const char **ret_role)
{
    const struct fg_config_input *in = p->o.input;

    if (p->source.file) {
        *ret_role = "cursors";
        if (k-- == 0)
            return config->kafka.cursors_topic;
    }
    *ret_role = "input";
    if (in && in->topic && k-- == 0)
        return in->topic;
    if (in && !in->topic) {
        if (k < in->topics.len)
            return in->topics.items[k];
        k -= in->topics.len;
    }
    *ret_role = "output";
    if (k < p->o.output.len)
        return p->o.output.items[k].value;
    k -= p->o.output.len;
    *ret_role = "dead-letters";
    return p->o.dead && k == 0 ? p->o.dead->topic : NULL;
}

const char *fg_config_topic_at(const struct fg_config *config, size_t k, const char **ret_role,
                               const char **ret_pipeline)
{
    for (size_t i = 0; i < config->n_pipelines; i++) {
        const struct fg_config_pipeline *p = &config->pipelines[i];
        const char *topic;
        for (size_t j = 0; (topic = pipeline_topic(config, p, j, ret_role)); j++)
            if (k-- == 0) {
                *ret_pipeline = p->name;
                return topic;
            }
    }
    return NULL;
}
