# SPDX-License-Identifier: Apache-2.0
"""The routes that a plugin declares, with their scopes, are the rows of the `route` table in its README.md; both ways.

In the table's first column the first word is `METHOD /path`; others of the row may leave the method out, and one that
has no slash stands in place of the last part of the first path: `POST /v1/x/{name}/start`, `stop`. What a path has
behind a `?` is not looked at. A second column `scope` is compared where there is one.
"""
import re

from tree import bare_comments, code_spans, table_rows

TABLE = re.compile(r"struct fg_route \w+\[\] = \{(.*?)^\};", re.MULTILINE | re.DOTALL)
ROUTE = re.compile(r'\{\s*"([A-Z]+)"\s*,\s*((?:\w+|"[^"]*"|\s)+?)\s*,\s*FG_SCOPE_([A-Z]+)')
DEFINE = re.compile(r'^#define (\w+)\s+"([^"]*)"$', re.MULTILINE)
SCOPES = ("open", "read", "control")


def declared(tree, room):
    """{"METHOD /path": scope} of the tables of routes in a plugin's folder."""
    found = {}
    for path in tree.files(".c", under=(room,)):
        if path.removeprefix(room).startswith(("test-", "fuzz-")):
            continue
        text = bare_comments(tree.text(path))
        words = dict(DEFINE.findall(text))
        for table in TABLE.findall(text):
            for method, parts, scope in ROUTE.findall(table):
                where = "".join(part[1:-1] if part[0] == '"' else words.get(part, part)
                                for part in re.findall(r'\w+|"[^"]*"', parts))
                found[f"{method} {where}"] = scope.lower()
    return found


def documented(tree, readme):
    """{"METHOD /path": scope, or None where the table has no such column}."""
    found = {}
    for cells in table_rows(tree.text(readme), "route"):
        method, first = "", ""
        for span in code_spans(cells[0]):
            span = span.split("?")[0]
            if " " in span:
                method, first = span.split(" ", 1)
                where = first
            else:
                where = span if span.startswith("/") else first.rpartition("/")[0] + "/" + span
            found[f"{method} {where}"] = cells[1] if len(cells) > 2 and cells[1] in SCOPES else None
    return found


def compare(tree, room):
    known, readme = declared(tree, room), room + "README.md"
    rows = documented(tree, readme) if readme in tree.paths else {}
    for route, scope in sorted(known.items()):
        if route not in rows:
            yield f"{readme}: no row for the route `{route}`"
        elif rows[route] not in (None, scope):
            yield f"{readme}: `{route}` is called {rows[route]}, and is {scope}"
    for route in sorted(set(rows) - set(known)):
        yield f"{readme}: `{route}` is no route of the plugin"


def cases(tree):
    rooms = sorted({"/".join(path.split("/")[:2]) + "/" for path in tree.files(".c", under=("plugins/",))})
    return [("the routes in plugins' README.md are those that they declare",
             [problem for room in rooms for problem in compare(tree, room)])]
