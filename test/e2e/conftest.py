# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. Run them by scripts/e2e.sh, which makes the environment that they expect."""
import contextlib
import os
import signal
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(TOP / "test" / "kafka")]

from harness import Bed, Fragua, Kafka  # noqa: E402
from ports import free_ports  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "real_kafka: uses fragua and a real Kafka; runs again on a current librdkafka")
    # The default of SIGTERM skips every fixture's end; this way brokers and processes are ended.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", 143))


def pytest_collection_modifyitems(items):
    for item in items:
        if {"kafka", "fragua"} <= set(item.fixturenames):
            item.add_marker("real_kafka")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of what each of its processes said."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    found = [getattr(fixture, "fragua", fixture) for fixture in getattr(item, "funcargs", {}).values()]
    for runner in {id(runner): runner for runner in found if isinstance(runner, Fragua)}.values():
        for process in runner.processes:
            report.sections.append((process.name, process.describe()))


@pytest.fixture(scope="session")
def kafka():
    """A Kafka for the whole run: the one that test/kafka/run.sh started around it, or one of its own."""
    if os.environ.get("FRAGUA_KAFKA_PLAIN"):
        yield Kafka(os.environ)
        return
    with bed() as own:
        yield own.start()


@pytest.fixture
def kafka_bed():
    """A Kafka that the test may break: kafka_bed.start(nodes) -> Kafka, then kill, up, stop; see harness.Bed."""
    with bed() as own:
        yield own


@contextlib.contextmanager
def bed():
    """A Bed in a folder of its own, ended and removed whatever happens."""
    with tempfile.TemporaryDirectory(prefix="fragua-kafka.") as folder:
        own = Bed(folder)
        try:
            yield own
        finally:
            own.stop()


@pytest.fixture
def free_port():
    """A function: a TCP port of 127.0.0.1 that is free now, and that no outgoing connection can take."""
    return lambda: free_ports(1)[0]


@pytest.fixture
def fragua(tmp_path):
    """Starts fragua, see harness.Fragua; every process is ended with the test."""
    binary = os.environ.get("FRAGUA_BIN")
    if not binary or not os.access(binary, os.X_OK):
        pytest.fail(f"FRAGUA_BIN={binary!r} is no program; run the tests by scripts/e2e.sh")
    runner = Fragua(binary, tmp_path)
    yield runner
    runner.end_all()


@pytest.fixture
def new_topic(kafka):
    """A function: make a topic whose name starts with the given prefix and is used by nobody else; returns the name."""
    made = []

    def make(prefix="t", partitions=1, config=None):
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        kafka.new_topic(name, partitions, config)
        made.append(name)
        return name

    yield make
    for future in (kafka.admin.delete_topics(made).values() if made else []):
        future.result(30)


@pytest.fixture
def reader(kafka):
    """An independent reader of what is committed: reader(topic, count=None, timeout=30), see harness.Kafka.read."""
    return kafka.read
