# SPDX-License-Identifier: Apache-2.0
"""core/bus against the real Kafka: the C tests beside it, which skip themselves where there is no broker."""
import os
from pathlib import Path

import pytest
from harness import Process


@pytest.mark.parametrize("name", ["kafka", "kafka-faults", "kafka-limits"])
def test_the_bus_keeps_its_contract(kafka, fragua, name):
    program = Path(os.environ["FRAGUA_BIN"]).parent / f"test-bus-{name}"
    process = Process(program.name, [program], fragua.folder, fragua.environment({"CMOCKA_MESSAGE_OUTPUT": "TAP"}))
    fragua.processes.append(process)
    process.wait_exit(0, timeout=240)
    results = [line for line in process.stdout.lines if line.startswith(("ok", "not ok"))]
    assert len(results) >= 5 and not [line for line in results if line.startswith("not ok") or "SKIP" in line]
