# SPDX-License-Identifier: Apache-2.0
"""What a process at work shows of its metrics is what docs/metrics.md says: names, types, labels."""
import re
import sys

from conftest import TOP
from harness import http
from test_troubles import world  # noqa: F401 (a fixture)

sys.path.append(str(TOP / "test" / "lint"))
from tree import code_spans, table_rows  # noqa: E402

DOCUMENT = "docs/metrics.md"
PARTS = ("_bucket", "_sum", "_count")


def documented():
    """{name: (type, labels)}"""
    return {code_spans(cells[0])[0]: (cells[1], set(code_spans(cells[2])))
            for cells in table_rows((TOP / DOCUMENT).read_text(), "metric")}


def shown(text):
    """{name: (type, labels)} of a text exposition; a histogram's `le` is no label of its own."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    found = {}
    for name, labels in re.findall(r"^([a-z_0-9]+)(?:\{(.*)\})? \S+$", text, re.M):
        base = next((name[:-len(part)] for part in PARTS if name.endswith(part) and name[:-len(part)] in types), name)
        found[base] = (types[base], set(re.findall(r'([a-z_]+)="', labels)) - {"le"})
    return found


def test_what_is_shown_is_documented(world, reader):  # noqa: F811
    service = world.start_service()
    world.send("EUR 1.00", b"no document")
    process = world.run()
    reader(world.topics["entities"], 1)
    reader(world.topics["dead"], 1)
    rows = documented()
    found = shown(http("GET", f"{world.base}/metrics")[2].decode())
    assert "fragua_queue_depth" in found and "fragua_loop_stall_seconds_max" in found
    assert {name: rows.get(name) for name in found} == found
    process.stop()
    service.stop()
