# SPDX-License-Identifier: Apache-2.0
"""core/bus against the real Kafka: the C test beside it, which skips itself where there is no broker."""
import os
from pathlib import Path

from harness import Process


def test_the_bus_keeps_its_contract(kafka, fragua):
    program = Path(os.environ["FRAGUA_BIN"]).parent / "test-bus-kafka"
    process = Process("test-bus-kafka", [program], fragua.folder, fragua.environment({"CMOCKA_MESSAGE_OUTPUT": "TAP"}))
    fragua.processes.append(process)
    process.wait_exit(0, timeout=180)
    results = [line for line in process.stdout.lines if line.startswith(("ok", "not ok"))]
    assert len(results) >= 5 and not [line for line in results if line.startswith("not ok") or "SKIP" in line]
