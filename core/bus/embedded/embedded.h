/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librdkafka's mock brokers inside the process: for the demo and fault-free tests. Not durable, not transactional:
 * aborted records stay readable, offsets in transactions are dropped, 5 MiB a partition are kept. The bus says so in
 * its traits. Loop thread only.
 */
#pragma once

#include "bus/rdkafka/rdkafka.h"

/*
 * @config: bootstrap_servers, tls and sasl are not looked at
 * @topics: array of n, made at once with their partitions; borrowed for the call
 * The brokers' plain-text address can be asked for by fg_bus_embedded_bootstrap(), lives as long as the bus.
 */
int fg_bus_embedded_new(const struct fg_bus_rdkafka_config *config, const struct fg_bus_topic *topics, size_t n,
                        struct fg_bus **ret, struct fg_error *err);
const char *fg_bus_embedded_bootstrap(const struct fg_bus *bus);
