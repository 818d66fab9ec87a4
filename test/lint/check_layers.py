# SPDX-License-Identifier: Apache-2.0
"""Includes point down only. What may include what is read from the table in ARCHITECTURE.md, so doc and test agree.

The table's header is `| folder | may include |`. A row: a folder (or file) of core, and the folders whose headers it
may include besides its own. `fragua/` stands for core/include/fragua/. A file belongs to the longest row that it starts
with, and so does an included header: allowing core/bus/ does not allow core/bus/rdkafka/ where that has its own row.
A name in angle brackets, such as `<uv.h>` or `<curl/>`, allows that library; once any row names one, all rows must.
Unit tests and fuzzers (`test-*`, `fuzz-*`) may use more: test/model/, and libraries to compare with.
"""
import re

from tree import bare_comments, code_spans, table_rows

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
PUBLIC = "core/include/fragua/"
LIBRARIES = ("uv.h", "uv/", "yaml.h", "cjson/", "librdkafka/", "curl/", "openssl/", "libxml/", "llhttp.h",
             "http_parser.h")


def read_table(tree):
    """{folder: (allowed folders, allowed libraries)} from ARCHITECTURE.md."""
    table = {}
    for cells in table_rows(tree.text("ARCHITECTURE.md"), "folder"):
        words = code_spans(cells[1]) if len(cells) > 1 else []
        libraries = {word.strip("<>") for word in words if word.startswith("<")}
        folders = {PUBLIC if word == "fragua/" else word for word in words if not word.startswith("<")}
        for folder in code_spans(cells[0]):
            table[PUBLIC if folder == "fragua/" else folder] = (folders, libraries)
    return {folder: row for folder, row in table.items() if folder.startswith("core/")}


def row_of(table, path):
    """The longest row that the path starts with, or None."""
    return max((folder for folder in table if path.startswith(folder)), key=len, default=None)


def includes(tree, path):
    """(line number, bracket, name) of each #include of a file."""
    text = bare_comments(tree.text(path))
    return [(text.count("\n", 0, match.start()) + 1, *match.groups()) for match in INCLUDE.finditer(text)]


def check_core_include(tree, table, path, bracket, name):
    """What is wrong with one #include of a file of core; None if nothing."""
    row = row_of(table, path)
    folders, libraries = table[row]
    if bracket == "<" and not name.startswith("fragua/"):
        guarded = any(named for _, named in table.values())
        if guarded and name.startswith(LIBRARIES) and not name.startswith(tuple(libraries)):
            return f"<{name}>: `{row}` may not use this library"
        return None
    target = "core/include/" + name if name.startswith("fragua/") else "core/" + name
    if target not in tree.paths:
        return f'"{name}" is not a header written from core/'
    goal = row_of(table, target)
    if goal == row or goal in folders:
        return None
    return f'"{name}": `{row}` may not include from `{goal}`'


def check_core(tree, table):
    for path in tree.files(".c", ".h", under=("core/",)):
        if path.rsplit("/", 1)[-1].startswith(("test-", "fuzz-")):
            continue
        if row_of(table, path) is None:
            yield f"{path}: ARCHITECTURE.md has no row for it"
            continue
        for line, bracket, name in includes(tree, path):
            problem = check_core_include(tree, table, path, bracket, name)
            if problem:
                yield f"{path}:{line}: {problem}"


def check_table(tree, table):
    for folder, (folders, _) in table.items():
        if not any(path.startswith(folder) for path in tree.paths):
            yield f"ARCHITECTURE.md: `{folder}` does not exist"
        for other in folders - set(table):
            yield f"ARCHITECTURE.md: `{folder}` names `{other}`, which has no row"


def check_rooms(tree, table):
    """A folder of core says what it is for and on which thread; one below another may leave that to it."""
    for folder in table:
        path = "/".join(folder.split("/")[:2]) + "/README.md"
        text = tree.text(path) if path in tree.paths else ""
        if folder.endswith("/") and folder != PUBLIC and "thread" not in text:
            yield f"`{folder}`: {path} does not say on which thread it is"


def check_plugins(tree):
    """A plugin sees <fragua/...>, the system and its libraries, and its own folder."""
    for path in tree.files(".c", ".h", under=("plugins/", "examples/plugins/")):
        parts = path.split("/")
        room = "/".join(parts[:3 if parts[0] == "examples" else 2]) + "/"
        here = path.rpartition("/")[0] + "/"
        for line, bracket, name in includes(tree, path):
            if bracket == "<" and "core/" + name in tree.paths:
                yield f"{path}:{line}: <{name}> is a header of the core"
            elif bracket == '"' and (".." in name or not {here + name, room + name} & set(tree.paths)):
                yield f'{path}:{line}: "{name}" is not in {room}'


def cases(tree):
    if "ARCHITECTURE.md" not in tree.paths:
        return [("layers", ["ARCHITECTURE.md is missing: it holds the table of who may include whom"])]
    table = read_table(tree)
    if not table:
        return [("layers", ["ARCHITECTURE.md: no table `| folder | may include |` with rows for core/"])]
    return [
        ("the table of ARCHITECTURE.md names folders that exist", list(check_table(tree, table))),
        ("each folder of core says on which thread it is", list(check_rooms(tree, table))),
        ("core includes only what ARCHITECTURE.md allows", list(check_core(tree, table))),
        ("plugins include only <fragua/...>, libraries and their own folder", list(check_plugins(tree))),
    ]
