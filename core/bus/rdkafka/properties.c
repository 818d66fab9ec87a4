/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's properties that a user may not set, and why: what fragua promises rests on them. */
#include <string.h>

#include "bus/rdkafka/rdkafka-private.h"

#define ONCE    "exactly-once rests on it"
#define KAFKA   "it has a place of its own in the kafka section"
#define COMMITS "offsets move only with the records that account for them"
#define MEMORY  "it follows the byte budget (limits.memory)"

static const struct refused {
    const char *name, *why;
} refused[] = {
    {"acks", ONCE},
    {"request.required.acks", ONCE},
    {"enable.idempotence", ONCE},
    {"isolation.level", ONCE},
    {"transactional.id", "it follows the pipeline and the instance"},
    {"message.timeout.ms", "it follows the transaction's timeout"},
    {"delivery.timeout.ms", "it follows the transaction's timeout"},
    {"delivery.report.only.error", "every record's delivery is checked"},
    {"enable.auto.commit", COMMITS},
    {"auto.commit.enable", COMMITS},
    {"auto.commit.interval.ms", COMMITS},
    {"enable.auto.offset.store", COMMITS},
    {"offset.store.method", COMMITS},
    {"auto.offset.reset",
     "records lost by retention must be told, not skipped; a first start follows the pipeline's input"},
    {"group.id", "it follows the pipeline"},
    {"group.protocol", "fragua speaks the classic group protocol"},
    {"partition.assignment.strategy", "range and roundrobin are safe with every librdkafka, cooperative-sticky is not"},
    {"partitioner", "a key must have the same partition here as in every Java client (murmur2_random)"},
    {"enable.partition.eof", "fragua sets it where it needs it"},
    {"queued.max.messages.kbytes", MEMORY},
    {"queued.min.messages", MEMORY},
    {"fetch.max.bytes", MEMORY},
    {"queue.buffering.max.kbytes", MEMORY},
    {"statistics.interval.ms", "the metrics need it"},
    {"log.queue", "fragua reads librdkafka's log"},
    {"bootstrap.servers", KAFKA},
    {"metadata.broker.list", KAFKA},
    {"security.protocol", KAFKA},
    {"client.id", "fragua names itself"},
    {"sasl.mechanism", KAFKA},
    {"sasl.mechanisms", KAFKA},
    {"sasl.username", KAFKA},
    {"sasl.password", KAFKA},
    {"ssl.ca.location", KAFKA},
    {"ssl.ca.pem", KAFKA},
    {"ssl.certificate.location", KAFKA},
    {"ssl.certificate.pem", KAFKA},
    {"ssl.key.location", KAFKA},
    {"ssl.key.pem", KAFKA},
    {"plugin.library.paths", "it loads code"},
    {"test.mock.num.brokers", "kafka.embedded is for that"},
};

const char *fg_rd_property_refused(const char *name)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
        if (strcmp(refused[i].name, name) == 0)
            return refused[i].why;
    return NULL;
}
