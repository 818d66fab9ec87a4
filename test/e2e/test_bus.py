# SPDX-License-Identifier: Apache-2.0
"""core/bus against the real Kafka: the C tests beside it, which skip themselves where there is no broker."""
import os
from pathlib import Path

import pytest
from harness import Process


def run(fragua, name, extra, least):
    program = Path(os.environ["FRAGUA_BIN"]).parent / f"test-bus-{name}"
    process = Process(program.name, [program], fragua.folder,
                      fragua.environment({"CMOCKA_MESSAGE_OUTPUT": "TAP", **extra}))
    fragua.processes.append(process)
    process.wait_exit(0, timeout=240)
    results = [line for line in process.stdout.lines if line.startswith(("ok", "not ok"))]
    assert len(results) >= least and not [line for line in results if line.startswith("not ok") or "SKIP" in line]


@pytest.mark.parametrize("name", ["kafka", "kafka-faults", "kafka-limits"])
def test_the_bus_keeps_its_contract(kafka, fragua, name):
    run(fragua, name, {}, 8)


@pytest.mark.real_kafka
def test_the_bus_says_the_truth_about_a_broker_that_was_killed(kafka_bed, fragua):
    kafka = kafka_bed.start()
    run(fragua, "kafka-faults", {"FRAGUA_KAFKA_SCRIPT": kafka_bed.script, "FRAGUA_KAFKA_DIR": kafka.folder,
                                 "FRAGUA_KAFKA_PLAIN": kafka.plain}, 1)
