/* SPDX-License-Identifier: Apache-2.0 */
/* The bus on a real Apache Kafka, by librdkafka. Loop thread; the checks and the version are for any. */
#pragma once

#include <uv.h>

#include "base/log.h"
#include "base/metric.h"
#include "bus/bus.h"
#include "fragua/http.h"

struct fg_bus_rdkafka_config {
    uv_loop_t *loop;            /* borrowed */
    struct fg_metrics *metrics; /* borrowed; NULL: none. fragua_kafka_* from librdkafka's statistics */
    struct fg_logger logger;    /* copied; librdkafka's own log goes there */
    const char *bootstrap_servers;
    const char *client_id;      /* NULL: "fragua". Kept short: librdkafka before 2.5.0 can crash on long ones */
    const struct fg_tls *tls;   /* NULL: plain text */
    const char *sasl_mechanism; /* PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; NULL: none */
    const char *sasl_username;
    struct fg_slice sasl_password;
    const struct fg_pair *properties; /* array of n_properties, applied last; an unknown one is an error */
    size_t n_properties;
    struct fg_bus_traits traits; /* all zero: a real cluster's */
};

/*
 * Reads certificates and checks every setting; connects nowhere. The bus is a snapshot: all of the configuration may be
 * freed after it, and what becomes of the files later changes none of its handles. Several live side by side, and close
 * each for itself. An error names the file that it is about. Blocks for as long as the files take. *ret is the
 * caller's, until ops->close().
 */
int fg_bus_rdkafka_new(const struct fg_bus_rdkafka_config *config, struct fg_bus **ret, struct fg_error *err);
/* Whether librdkafka knows the property and takes the value, without a bus; for `validate`. */
int fg_bus_rdkafka_check_property(const char *name, const char *value, struct fg_error *err);
/* Whether that version of librdkafka (as rd_kafka_version() says it; 0: the loaded one) can log in this way. */
int fg_bus_rdkafka_check_sasl(const char *mechanism, int version, struct fg_error *err);
/* "2.0.2", of the library that is loaded. */
const char *fg_bus_rdkafka_version(void);
