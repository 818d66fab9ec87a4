# SPDX-License-Identifier: Apache-2.0
"""Every metric is declared in one file, and has its row in docs/metrics.md with its type; and the other way round."""
import re

from tree import bare_comments, code_spans, table_rows

DOCUMENT = "docs/metrics.md"

# {"name", FG_METRIC_TYPE_X, ... and .name = "name", .type = FG_METRIC_TYPE_X
DECLARATION = re.compile(r'"([a-z_0-9]+)"\s*,\s*(?:\.type\s*=\s*)?FG_METRIC_TYPE_([A-Z]+)\b')
# svc->metric(host, FG_METRIC_X, "name", ...
OF_PLUGIN = re.compile(r'->metric\(\s*\w+(?:->\w+)*\s*,\s*FG_METRIC_([A-Z]+)\s*,\s*"([a-z_0-9]+)"')


def is_test(path):
    return path.split("/")[-1].startswith(("test-", "fuzz-"))


def declared(tree):
    """{name: {file: type}} of all metrics in the sources."""
    found = {}
    for path in tree.files(".c", under=("core/", "plugins/")):
        if is_test(path):
            continue
        text = bare_comments(tree.text(path))
        for name, kind in DECLARATION.findall(text):
            found.setdefault(name, {})[path] = kind.lower()
        for kind, name in OF_PLUGIN.findall(text):
            found.setdefault("fragua_plugin_" + name, {})[path] = kind.lower()
    return found


def documented(tree):
    """{name: type} of the rows of tables headed `metric`: name, type, labels, meaning."""
    rows = table_rows(tree.text(DOCUMENT), "metric") if DOCUMENT in tree.paths else []
    return {span: cells[1] if len(cells) > 1 else "" for cells in rows for span in code_spans(cells[0])}


def compare(known, rows):
    for name, files in sorted(known.items()):
        path, kind = min(files.items())
        if len(files) > 1 and not name.startswith("fragua_plugin_"):
            yield f"{max(files)}: the metric `{name}` is declared in {path} too: have it in one place"
        if name not in rows:
            yield f"{path}: the metric `{name}` has no row in {DOCUMENT}"
        elif rows[name] != kind:
            yield f"{DOCUMENT}: `{name}` is called a {rows[name] or 'thing without type'}, but {path} says {kind}"
    for name in sorted(set(rows) - set(known)):
        yield f"{DOCUMENT}: nothing declares `{name}`"


def cases(tree):
    problems = list(compare(declared(tree), documented(tree)))
    return [("docs/metrics.md has the metrics that the sources declare", problems)]
