# SPDX-License-Identifier: Apache-2.0
"""The plain text rules: line length, blanks, tabs, the licence line, and no marks of unfinished work."""
import re

LINE_MAX = 120
CODE = (".c", ".h", ".py", ".sh", ".js", ".css", "meson.build", "meson_options.txt")
SETTINGS = (".yaml", ".yml", ".tpl")
# The text in which marks are looked for; built so that this file does not hold them itself.
ALL = (*CODE, *SETTINGS, ".md", ".html", "Makefile", "Dockerfile")
MARKS = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK")) + r")\b"
                   r"|\bnot (yet )?implemented\b|\bfor now\b")


def long_lines(tree):
    for path in tree.files(*CODE, *SETTINGS):
        for number, line in tree.lines(path):
            if len(line) > LINE_MAX:
                yield f"{path}:{number}: {len(line)} characters, the limit is {LINE_MAX}"


def blanks(tree):
    for path in tree.files(*CODE, *SETTINGS):
        for number, line in tree.lines(path):
            if line != line.rstrip():
                yield f"{path}:{number}: blank at the end of the line"
            if "\t" in line:
                yield f"{path}:{number}: tab"
        if tree.text(path) and not tree.text(path).endswith("\n"):
            yield f"{path}: no end of line at the end"


def licence_lines(tree):
    for path in tree.files(".c", ".h", ".css", ".js"):
        if tree.lines(path)[0][1] not in ("/* SPDX-License-Identifier: Apache-2.0 */",
                                          "// SPDX-License-Identifier: Apache-2.0"):
            yield f"{path}:1: the first line must be the SPDX licence line"
    for path in tree.files(".py", ".sh", "meson.build"):
        first = [line for _, line in tree.lines(path)[:2]]
        if "# SPDX-License-Identifier: Apache-2.0" not in first:
            yield f"{path}:1: the first line, or the one after #!, must be the SPDX licence line"


def marks(tree):
    for path in tree.files(*ALL):
        for number, line in tree.lines(path):
            match = MARKS.search(line)
            if match:
                yield f"{path}:{number}: \"{match.group(0)}\": finish it, or describe the limit as it is"


def cases(tree):
    return [
        (f"no line is longer than {LINE_MAX} characters", list(long_lines(tree))),
        ("no tabs, no blanks at the ends of lines", list(blanks(tree))),
        ("every source begins with its licence", list(licence_lines(tree))),
        ("nothing is marked as unfinished", list(marks(tree))),
    ]
