#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""move-cursors.py BOOTSTRAP OLD NEW [PROPERTY=VALUE ...] - copy the cursors of topic OLD to the empty topic NEW.

For a cursors topic with another number of partitions: a cursor stands in the partition that its pipeline and mailbox
hash to, so it cannot stay where it is. Run it while every pipeline that uses OLD is stopped, then name NEW as
`kafka.cursors-topic`. OLD is left as it is. Needs confluent-kafka; PROPERTY: librdkafka's, such as
security.protocol=ssl.
"""
import sys

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

TIMEOUT_S = 30


def murmur2(data):
    """Kafka's hash of keys, as an unsigned number."""
    mask, m = 0xffffffff, 0x5bd1e995
    h = 0x9747b28c ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at:at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key, partitions):
    """Where a cursor belongs: its key is PIPELINE/MAILBOX/REST, the first two decide. None: no cursor."""
    parts = key.split(b"/", 2)
    return (murmur2(b"/".join(parts[:2])) & 0x7fffffff) % partitions if len(parts) == 3 else None


def read_all(client, topic):
    """The last value of each key of the topic, committed ones only."""
    consumer = Consumer({**client, "group.id": "move-cursors", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "enable.partition.eof": True})
    try:
        parts = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        if not parts:
            sys.exit(f"move-cursors.py: there is no topic {topic!r}")
        consumer.assign([TopicPartition(topic, part, 0) for part in parts])
        values, ended = {}, set()
        while ended < set(parts):
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                sys.exit(f"move-cursors.py: nothing comes from {topic!r} within {TIMEOUT_S} s")
            if message.error() is None:
                values[message.key()] = message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                sys.exit(f"move-cursors.py: reading {topic!r}: {message.error()}")
        return {key: value for key, value in values.items() if key and value is not None}, len(parts)
    finally:
        consumer.close()


def write_all(client, topic, values, partitions):
    """In one transaction: whoever reads the topic finds all or nothing."""
    producer = Producer({**client, "transactional.id": f"move-cursors-{topic}", "queue.buffering.max.messages": 10**7})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    for key, value in values.items():
        producer.produce(topic, value, key, partition=partition_of(key, partitions))
    producer.commit_transaction(TIMEOUT_S)


def main(bootstrap, old, new, *properties):
    client = {"bootstrap.servers": bootstrap, **dict(word.split("=", 1) for word in properties)}
    there, partitions = read_all(client, new)
    if there:
        sys.exit(f"move-cursors.py: {new!r} is not empty: make a new topic")
    values, _ = read_all(client, old)
    foreign = [key for key in values if partition_of(key, partitions) is None]
    if foreign:
        sys.exit(f"move-cursors.py: {old!r} has a key that is no cursor: {foreign[0]!r}")
    write_all(client, new, values, partitions)
    print(f"{len(values)} cursors copied from {old!r} to {new!r}, {partitions} partitions")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
