# SPDX-License-Identifier: Apache-2.0
"""core/bus against the real Kafka: the C tests beside it, which skip themselves where there is no broker."""
import json
import os
from pathlib import Path

import pytest
from confluent_kafka import Producer
from harness import Process


def start(fragua, name, extra):
    program = Path(os.environ["FRAGUA_BIN"]).parent / f"test-bus-{name}"
    process = Process(program.name, [program], fragua.folder,
                      fragua.environment({"CMOCKA_MESSAGE_OUTPUT": "TAP", **extra}))
    fragua.processes.append(process)
    return process


def expect(process, least):
    """It ends well, having run at least so many cases and skipped none."""
    process.wait_exit(0, timeout=240)
    results = [line for line in process.stdout.lines if line.startswith(("ok", "not ok"))]
    assert len(results) >= least and not [line for line in results if line.startswith("not ok") or "SKIP" in line]


def test_the_bus_keeps_its_contract(kafka, fragua):
    """Side by side, since they mostly wait."""
    for process in [start(fragua, name, {}) for name in ("kafka", "kafka-faults", "kafka-limits")]:
        expect(process, 8)


@pytest.mark.real_kafka
def test_the_bus_says_the_truth_about_a_broker_that_was_killed(kafka_bed, fragua):
    kafka = kafka_bed.start()
    expect(start(fragua, "kafka-faults", {"FRAGUA_KAFKA_SCRIPT": kafka_bed.script, "FRAGUA_KAFKA_DIR": kafka.folder,
                                          "FRAGUA_KAFKA_PLAIN": kafka.plain}), 1)


def test_a_record_without_key_for_a_compacted_topic_is_a_dead_letter(kafka, fragua, free_port, new_topic):
    documents, dead = new_topic("documents"), new_topic("dead")
    compacted = new_topic("compacted", 1, {"cleanup.policy": "compact"})
    producer = Producer({"bootstrap.servers": kafka.plain})
    for key in ("a", None, "b", None, "c"):
        producer.produce(documents, key=key, value=json.dumps({"id": f"d-{key}", "text": "t"}))
    assert producer.flush(30) == 0
    fragua.run(json.dumps({
        "kafka": {"bootstrap.servers": kafka.plain},
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "pipelines": {"move": {"input": {"topic": documents, "group": documents}, "output": {"topic": compacted},
                               "dead-letters": {"topic": dead}}}}))
    assert {message.key() for message in kafka.read(compacted, 3)} == {b"a", b"b", b"c"}
    letters = [dict(message.headers()) for message in kafka.read(dead, 2)]
    assert all("without key" in str(letter) for letter in letters), letters
