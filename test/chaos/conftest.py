# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the chaos beds. Run them by scripts/chaos.sh, which makes the environment that they expect.

FRAGUA_CHAOS        "long": the long forms; else the short ones
FRAGUA_CHAOS_SEED   what random choices follow; else made up, and printed
FRAGUA_CHAOS_LOGS   where the logs of failed runs stay
FRAGUA_CHAOS_ROWS   a file for the rows, one JSON object a line
"""
import json
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(TOP / "test" / "e2e"), str(TOP / "test" / "kafka")]

from fleet import Run  # noqa: E402
from harness import Bed, Fragua, Kafka  # noqa: E402
from ledger import COLUMNS, table  # noqa: E402
from ports import free_ports  # noqa: E402

SEED = os.environ.get("FRAGUA_CHAOS_SEED") or str(secrets.randbelow(10**6))
LOGS = Path(os.environ.get("FRAGUA_CHAOS_LOGS") or Path(tempfile.gettempdir()) / "fragua-chaos-logs")


def logs_of(item):
    return LOGS / re.sub(r"[^\w.-]+", "-", item.name).strip("-")


def pytest_configure(config):
    config.rows = []
    # The default of SIGTERM skips every fixture's end; this way brokers and processes are ended.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", 143))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    item.failed = getattr(item, "failed", False) or report.failed
    if report.failed:
        report.sections.append(("chaos", f"seed {SEED}; logs in {logs_of(item)}"))


def say(config, line):
    """A line of progress, past pytest's capture."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{line}", flush=True)


def pytest_terminal_summary(terminalreporter, config):
    if config.rows:
        terminalreporter.write_line("")
        terminalreporter.write_line(table(config.rows))


@pytest.fixture(scope="session")
def kafka():
    """The Kafka that test/kafka/run.sh started around the whole run."""
    return Kafka(os.environ)


@pytest.fixture
def folder(request):
    """A folder for what a run writes: kept where it failed."""
    path = logs_of(request.node)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    yield path
    if not getattr(request.node, "failed", False):
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def kafka_bed(folder):
    """A Kafka that the test may break: kafka_bed.start(nodes) -> Kafka, then kill, up; see harness.Bed."""
    (folder / "kafka").mkdir()
    own = Bed(folder / "kafka")
    yield own
    own.end()


@pytest.fixture
def free_port():
    return lambda: free_ports(1)[0]


@pytest.fixture
def fragua(folder):
    """Starts fragua, see harness.Fragua; every process is ended with the test."""
    binary = os.environ.get("FRAGUA_BIN")
    if not binary or not os.access(binary, os.X_OK):
        pytest.fail(f"FRAGUA_BIN={binary!r} is no program; run the tests by scripts/chaos.sh")
    runner = Fragua(binary, folder)
    yield runner
    for process in runner.processes:
        if process.running:
            process.signal(signal.SIGCONT)
    runner.end_all()


@pytest.fixture
def new_run(request, fragua, free_port, kafka_of):
    """new_run(name, kafka=...) -> fleet.Run, whose row goes into the table."""
    made = []
    began = time.monotonic()

    def make(name, kafka=None):
        run = Run(name, kafka or kafka_of(), fragua, free_port, SEED)
        made.append(run)
        return run

    yield make
    for run in made:
        row = run.row or {"fault": run.name, "times": run.times, "issued": len(run.issued), "seed": run.seed}
        if getattr(request.node, "failed", False):
            row["fault"] += " FAILED"
        request.config.rows.append(row)
        say(request.config, ", ".join(f"{name} {row[name]}" for name in COLUMNS if row.get(name, "") != ""))
        if os.environ.get("FRAGUA_CHAOS_ROWS"):
            with open(os.environ["FRAGUA_CHAOS_ROWS"], "a", encoding="utf-8") as file:
                file.write(json.dumps({**row, "took": round(time.monotonic() - began, 1)}) + "\n")
        run.close()


@pytest.fixture
def kafka_of(request):
    """The shared Kafka, only where it is asked for: beds of their own do without."""
    return lambda: request.getfixturevalue("kafka")
