/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline file itself as tables: its options, and the places where plugins stand.
 *
 * A new key is a row here and a member in config.h; the end of docs/configuration.md is what `fragua schema --format
 * markdown` prints. What a reload does about a change of it is said in diff.c: without a word there, a pipeline's key
 * opens its handles anew. A new place is a row too, and a member; who runs it is lineup.c's and process.c's matter.
 */
#include "host/config.h"

const char *const fg_config_sasl_mechanisms[] = { "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", NULL };
static const char *const role_choices[] = { [FG_ROLE_PRODUCER] = "producer", [FG_ROLE_CONSUMER] = "consumer", NULL };
static const char *const delivery_choices[] = { [FG_EXACTLY_ONCE] = "exactly-once",
                                                [FG_AT_LEAST_ONCE] = "at-least-once", NULL };
static const char *const owner_choices[] = { [FG_PLUGINS_OF_ANY] = "any", [FG_PLUGINS_OF_ROOT] = "root", NULL };
static const char *const from_choices[] = { "beginning", "end", NULL };

#define MIB (1024 * 1024)

static const struct fg_option tls_options[] = {
    { .key = "ca", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_tls, ca),
      .summary = "whom to trust: a PEM file, or a folder whose *.crt and *.pem are all trusted" },
    { .key = "certificate", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_tls, certificate),
      .summary = "client certificate chain, PEM; with key: mutual TLS" },
    { .key = "key", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_tls, key),
      .summary = "private key of the certificate, PEM" },
    FG_OPTION_END,
};

static const struct fg_option sasl_options[] = {
    { .key = "mechanism", .type = FG_OPTION_ENUM, .flags = FG_OPTION_REQUIRED, .choices = fg_config_sasl_mechanisms,
      .offset = offsetof(struct fg_config_sasl, mechanism), .summary = "how to log in",
      .detail = "SCRAM needs librdkafka 2.6.1 or newer: older ones cannot log in with it." },
    { .key = "username", .type = FG_OPTION_STRING, .flags = FG_OPTION_REQUIRED,
      .offset = offsetof(struct fg_config_sasl, username), .summary = "who logs in" },
    { .key = "password", .type = FG_OPTION_STRING, .flags = FG_OPTION_REQUIRED | FG_OPTION_SECRET,
      .offset = offsetof(struct fg_config_sasl, password), .summary = "its password, best by ${file:...}" },
    FG_OPTION_END,
};

static const struct fg_option kafka_options[] = {
    { .key = "bootstrap.servers", .type = FG_OPTION_STRING,
      .offset = offsetof(struct fg_config_kafka, bootstrap_servers),
      .summary = "brokers to begin with: host:port, joined by commas" },
    { .key = "embedded", .type = FG_OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct fg_config_kafka, embedded),
      .summary = "a broker inside the process, for trying: not durable, not transactional" },
    { .key = "tls", .type = FG_OPTION_GROUP, .offset = offsetof(struct fg_config_kafka, tls), .members = tls_options,
      .members_size = sizeof(struct fg_tls), .summary = "present: TLS towards the brokers" },
    { .key = "sasl", .type = FG_OPTION_GROUP, .offset = offsetof(struct fg_config_kafka, sasl),
      .members = sasl_options, .members_size = sizeof(struct fg_config_sasl),
      .summary = "log in by name and password" },
    { .key = "properties", .type = FG_OPTION_PAIRS, .offset = offsetof(struct fg_config_kafka, properties),
      .summary = "any librdkafka property; an unknown one is an error" },
    { .key = "cursors-topic", .type = FG_OPTION_STRING, .fallback = "fragua.cursors",
      .offset = offsetof(struct fg_config_kafka, cursors_topic),
      .summary = "compacted topic that holds where each source stands" },
    FG_OPTION_END,
};

static const struct fg_option http_tls_options[] = {
    { .key = "certificate", .type = FG_OPTION_PATH, .flags = FG_OPTION_REQUIRED,
      .offset = offsetof(struct fg_config_http_tls, certificate), .summary = "the server's certificate chain, PEM" },
    { .key = "key", .type = FG_OPTION_PATH, .flags = FG_OPTION_REQUIRED,
      .offset = offsetof(struct fg_config_http_tls, key), .summary = "its private key, PEM" },
    { .key = "client-ca", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_config_http_tls, client_ca),
      .summary = "clients need a certificate of this CA (file or folder)" },
    FG_OPTION_END,
};

static const struct fg_option token_options[] = {
    { .key = "name", .type = FG_OPTION_STRING, .flags = FG_OPTION_REQUIRED,
      .offset = offsetof(struct fg_config_token, name), .summary = "who holds it, for the log" },
    { .key = "sha256", .type = FG_OPTION_STRING, .flags = FG_OPTION_REQUIRED,
      .offset = offsetof(struct fg_config_token, sha256), .summary = "SHA-256 of the token, 64 hex digits" },
    { .key = "scopes", .type = FG_OPTION_STRINGS, .flags = FG_OPTION_REQUIRED,
      .offset = offsetof(struct fg_config_token, scopes), .summary = "what it may do: read, control" },
    FG_OPTION_END,
};

static const struct fg_option http_options[] = {
    { .key = "listen", .type = FG_OPTION_STRING, .fallback = "127.0.0.1:8080",
      .offset = offsetof(struct fg_config_http, listen),
      .summary = "address and port; port 0: any free one",
      .detail = "Any address but loopback needs tokens or tls.client-ca." },
    { .key = "tls", .type = FG_OPTION_GROUP, .offset = offsetof(struct fg_config_http, tls),
      .members = http_tls_options, .members_size = sizeof(struct fg_config_http_tls), .summary = "present: HTTPS" },
    { .key = "tokens", .type = FG_OPTION_GROUPS, .offset = offsetof(struct fg_config_http, tokens),
      .members = token_options, .members_size = sizeof(struct fg_config_token), .max = 64,
      .summary = "bearer tokens that are let in" },
    FG_OPTION_END,
};

static const struct fg_option limits_options[] = {
    { .key = "memory", .type = FG_OPTION_SIZE, .fallback = "256MiB", .min = 8 * MIB, .max = INT64_C(1) << 40,
      .unit = "bytes", .offset = offsetof(struct fg_config_limits, memory),
      .summary = "byte budget of the process: records, bodies and Kafka's queues" },
    { .key = "workers", .type = FG_OPTION_INTEGER, .fallback = "0", .min = 0, .max = 64, .unit = "threads",
      .offset = offsetof(struct fg_config_limits, workers), .summary = "threads for transforms; 0: as many as cores" },
    { .key = "stop", .type = FG_OPTION_DURATION, .fallback = "30s", .min = 0, .max = 600000, .unit = "ms",
      .offset = offsetof(struct fg_config_limits, stop),
      .summary = "a stop drains at most so long, then aborts what is open" },
    { .key = "drain", .type = FG_OPTION_DURATION, .fallback = "5s", .min = 0, .max = 600000, .unit = "ms",
      .offset = offsetof(struct fg_config_limits, drain),
      .summary = "a reload drains a changed pipeline at most so long, then aborts what is open and reads it again" },
    FG_OPTION_END,
};

static const struct fg_option reload_options[] = {
    { .key = "probation", .type = FG_OPTION_DURATION, .fallback = "10s", .min = 0, .max = 600000, .unit = "ms",
      .offset = offsetof(struct fg_config_reload, probation),
      .summary = "what a reload has changed is taken back when it fails within this time, before its first commit" },
    { .key = "watch", .type = FG_OPTION_BOOL, .fallback = "true", .offset = offsetof(struct fg_config_reload, watch),
      .summary = "reload by itself when the file, or a secret or certificate that it names, has changed" },
    { .key = "settle", .type = FG_OPTION_DURATION, .fallback = "200ms", .min = 10, .max = 60000, .unit = "ms",
      .offset = offsetof(struct fg_config_reload, settle),
      .summary = "how long the watched files must be left alone before that" },
    { .key = "check", .type = FG_OPTION_DURATION, .fallback = "15s", .min = 100, .max = 600000, .unit = "ms",
      .offset = offsetof(struct fg_config_reload, check),
      .summary = "time for the child process that tries a new file and its plugins first" },
    FG_OPTION_END,
};

static const struct fg_option plugins_options[] = {
    { .key = "owner", .type = FG_OPTION_ENUM, .choices = owner_choices, .fallback = "any",
      .offset = offsetof(struct fg_config_plugins, owner),
      .summary = "root: plugin files and their folders must belong to root and be writable by nobody else" },
    FG_OPTION_END,
};

static const struct fg_option commit_options[] = {
    { .key = "records", .type = FG_OPTION_INTEGER, .fallback = "1000", .min = 1, .max = 100000, .unit = "records",
      .offset = offsetof(struct fg_config_commit, records), .summary = "a batch closes at so many records" },
    { .key = "bytes", .type = FG_OPTION_SIZE, .fallback = "4MiB", .min = 1024, .max = 256 * MIB, .unit = "bytes",
      .offset = offsetof(struct fg_config_commit, bytes), .summary = "or so many bytes" },
    { .key = "interval", .type = FG_OPTION_DURATION, .fallback = "100ms", .min = 10, .max = 60000, .unit = "ms",
      .offset = offsetof(struct fg_config_commit, interval), .summary = "or so old" },
    FG_OPTION_END,
};

static const struct fg_option input_options[] = {
    { .key = "topic", .type = FG_OPTION_STRING, .offset = offsetof(struct fg_config_input, topic),
      .summary = "the topic to read" },
    { .key = "topics", .type = FG_OPTION_STRINGS, .offset = offsetof(struct fg_config_input, topics), .max = 64,
      .summary = "several topics to read" },
    { .key = "group", .type = FG_OPTION_STRING, .offset = offsetof(struct fg_config_input, group),
      .summary = "consumer group; default fragua-<pipeline>" },
    { .key = "from", .type = FG_OPTION_ENUM, .choices = from_choices, .fallback = "beginning",
      .offset = offsetof(struct fg_config_input, from), .summary = "where a group without offsets starts" },
    FG_OPTION_END,
};

static const struct fg_option dead_options[] = {
    { .key = "topic", .type = FG_OPTION_STRING, .fallback = "mail.dead",
      .offset = offsetof(struct fg_config_dead, topic), .summary = "where records go that cannot be handled" },
    { .key = "attempts", .type = FG_OPTION_INTEGER, .fallback = "5", .min = 1, .max = 1000, .unit = "attempts",
      .offset = offsetof(struct fg_config_dead, attempts), .summary = "tries of a record at one stage before that" },
    FG_OPTION_END,
};

static const struct fg_option pipeline_options[] = {
    { .key = "role", .type = FG_OPTION_ENUM, .choices = role_choices,
      .offset = offsetof(struct fg_config_pipeline_options, role),
      .summary = "which --role runs it; default: producer with a source, else consumer" },
    { .key = "delivery", .type = FG_OPTION_ENUM, .choices = delivery_choices, .fallback = "exactly-once",
      .offset = offsetof(struct fg_config_pipeline_options, delivery), .summary = "what is promised of each record" },
    { .key = "commit", .type = FG_OPTION_GROUP, .flags = FG_OPTION_ABSENT_DEFAULTS, .members = commit_options,
      .members_size = sizeof(struct fg_config_commit), .offset = offsetof(struct fg_config_pipeline_options, commit),
      .summary = "when a batch is committed" },
    { .key = "input", .type = FG_OPTION_GROUP, .members = input_options,
      .members_size = sizeof(struct fg_config_input), .offset = offsetof(struct fg_config_pipeline_options, input),
      .summary = "Kafka topics to read, in place of a source" },
    { .key = "output", .type = FG_OPTION_PAIRS, .offset = offsetof(struct fg_config_pipeline_options, output),
      .summary = "topic: the topic of the default output; any other key: the topic of the output of that name" },
    { .key = "dead-letters", .type = FG_OPTION_GROUP, .members = dead_options,
      .members_size = sizeof(struct fg_config_dead), .offset = offsetof(struct fg_config_pipeline_options, dead),
      .summary = "absent: a record that cannot be handled fails the pipeline" },
    { .key = "group", .type = FG_OPTION_STRING, .offset = offsetof(struct fg_config_pipeline_options, group),
      .summary = "with a source: the group that shares out its mailboxes; default fragua-<pipeline>" },
    FG_OPTION_END,
};

static const struct fg_config_place http_places[] = {
    { "plugins", "http.plugins", FG_KIND_CONTROL, offsetof(struct fg_config, controls),
      offsetof(struct fg_config, n_controls) },
    { NULL, NULL, 0, 0, 0 },
};

/* in the order of the record's way */
static const struct fg_config_place pipeline_places[] = {
    { "source", "source", FG_KIND_SOURCE, offsetof(struct fg_config_pipeline, source), 0 },
    { "transforms", "transforms", FG_KIND_TRANSFORM, offsetof(struct fg_config_pipeline, transforms),
      offsetof(struct fg_config_pipeline, n_transforms) },
    { "sink", "sink", FG_KIND_SINK, offsetof(struct fg_config_pipeline, sink), 0 },
    { NULL, NULL, 0, 0, 0 },
};

const struct fg_config_table fg_config_tables[] = {
    [FG_SECTION_KAFKA] = { "kafka", kafka_options, NULL },
    [FG_SECTION_HTTP] = { "http", http_options, http_places },
    [FG_SECTION_LIMITS] = { "limits", limits_options, NULL },
    [FG_SECTION_RELOAD] = { "reload", reload_options, NULL },
    [FG_SECTION_PLUGINS] = { "plugins", plugins_options, NULL },
    [FG_SECTION_PIPELINE] = { "pipelines.*", pipeline_options, pipeline_places },
    { NULL, NULL, NULL },
};
