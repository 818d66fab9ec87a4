# SPDX-License-Identifier: Apache-2.0
"""Proves the bed itself: what the other tests take for granted about the real Kafka."""
import json
import subprocess
import time

import pytest
from confluent_kafka import KafkaException, Producer

REFUSAL_TIMEOUT_S = 15


def send(client, topic, values):
    """Produce `values` (list of bytes) with the client's properties; return when all are acknowledged."""
    failures = []
    producer = Producer({**client, "acks": "all", "linger.ms": 0})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: error and failures.append(error))
    assert producer.flush(30) == 0
    assert failures == []


def assert_refused(client, part):
    """Assert that a client with these properties never connects and is told a reason that contains `part`.

    In TLS 1.3 the broker refuses after the client takes the handshake for done, so an attempt may see the connection
    break before it has read the alert; librdkafka tries again, and one attempt's reason is enough.
    """
    errors = []
    producer = Producer({**client, "error_cb": lambda error: errors.append(error.str()), "log_level": 0})
    deadline = time.monotonic() + REFUSAL_TIMEOUT_S
    while not any(part in text for text in errors):
        assert time.monotonic() < deadline, f"no error with {part!r} in {REFUSAL_TIMEOUT_S} s, but {errors}"
        producer.poll(0.1)
    with pytest.raises(KafkaException):
        producer.list_topics(timeout=1)


def test_what_is_produced_in_plain_text_is_read_back_in_order(kafka, new_topic, reader):
    topic = new_topic("plain")
    values = [b"%d" % i for i in range(100)]
    send({"bootstrap.servers": kafka.plain}, topic, values)
    assert [message.value() for message in reader(topic, 100)] == values


@pytest.mark.parametrize("who", ["client", "client2"])
def test_a_client_with_a_certificate_of_the_ca_produces_and_reads_over_mutual_tls(kafka, new_topic, reader, who):
    topic = new_topic("mtls")
    send(kafka.tls_client(who), topic, [b"over TLS"])
    assert [message.value() for message in reader(topic, 1, client=kafka.tls_client(who))] == [b"over TLS"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_user_with_the_right_password_produces_over_sasl_ssl(kafka, new_topic, reader, mechanism):
    topic = new_topic("sasl")
    send(kafka.sasl_client(mechanism), topic, [b"with a password"])
    assert [message.value() for message in reader(topic, 1)] == [b"with a password"]


def test_a_wrong_password_is_refused(kafka):
    assert_refused(kafka.sasl_client("PLAIN", password="wrong"), "Authentication failed")


def test_a_certificate_of_an_unknown_ca_is_refused(kafka):
    assert_refused(kafka.tls_client("stranger"), "alert")


def test_a_client_that_does_not_trust_the_brokers_ca_refuses_it(kafka):
    assert_refused(kafka.tls_client("client", ca="stranger-ca"), "certificate verify failed")


def test_a_client_without_a_certificate_is_refused(kafka):
    client = {key: value for key, value in kafka.tls_client().items() if "certificate" not in key and "key" not in key}
    assert_refused(client, "alert")


def test_kcat_lists_topics_over_mutual_tls(kafka, new_topic):
    topic = new_topic("kcat", partitions=3)
    options = [word for key, value in kafka.tls_client().items() for word in ("-X", f"{key}={value}")]
    command = ["kcat", *options, "-b", kafka.ssl, "-L", "-J"]
    listing = subprocess.run(command, capture_output=True, timeout=30, check=True)
    partitions = {entry["topic"]: len(entry["partitions"]) for entry in json.loads(listing.stdout)["topics"]}
    assert partitions[topic] == 3


def test_only_committed_transactions_are_read(kafka, new_topic, reader):
    topic = new_topic("transactions", config={"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": kafka.plain, "transactional.id": topic})
    producer.init_transactions(30)
    for value, end in ((b"kept", producer.commit_transaction), (b"lost", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, key=value)
        producer.flush(30)
        end(30)
    assert [message.value() for message in reader(topic)] == [b"kept"]
    assert [message.value() for message in reader(topic, isolation="read_uncommitted")] == [b"kept", b"lost"]


def test_a_topic_that_nobody_made_does_not_come_into_being(kafka):
    # By default librdkafka gives a topic 30 s to appear before it calls it unknown.
    producer = Producer({"bootstrap.servers": kafka.plain, "topic.metadata.propagation.max.ms": 0, "log_level": 0})
    failures = []
    producer.produce("misspelt", b"x", on_delivery=lambda error, _: failures.append(error.name()))
    assert producer.flush(30) == 0
    assert failures[0].lstrip("_").startswith("UNKNOWN_TOPIC")
    assert "misspelt" not in kafka.admin.list_topics(timeout=10).topics


def test_a_node_that_was_killed_comes_back_with_its_records(kafka_bed):
    kafka = kafka_bed.start()
    kafka.new_topic("kept")
    send({"bootstrap.servers": kafka.plain}, "kept", [b"1", b"2"])
    kafka_bed.kill()
    kafka_bed.up()
    assert [message.value() for message in kafka.read("kept", 2)] == [b"1", b"2"]
