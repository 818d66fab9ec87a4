/* SPDX-License-Identifier: Apache-2.0 */
/*
 * librdkafka's mock brokers inside the process: for the demo and fault-free tests. Not durable, not transactional:
 * aborted records stay readable, offsets in transactions are dropped, 5 MiB a partition are kept. The bus says so in
 * its traits. Loop thread only.
 */
#pragma once

#include "bus/rdkafka/rdkafka.h"

/*
 * @config: bootstrap_servers, tls and sasl are not looked at; borrowed for the call
 * @topics: array of n, made at once with their partitions; borrowed for the call
 * @ret: the caller's, until ops->close(), which ends the brokers too
 */
int fg_bus_embedded_new(const struct fg_bus_rdkafka_config *config, const struct fg_bus_topic *topics, size_t n,
                        struct fg_bus **ret, struct fg_error *err);
