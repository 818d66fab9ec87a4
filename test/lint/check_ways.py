# SPDX-License-Identifier: Apache-2.0
"""The ways that ARCHITECTURE.md draws are those of the code: each function stands where it says, each arrow is a call.

A way is a block between lines of three backquotes, the first with the word `way` behind them. In it a line is

    thread  file  name() -> name() => name()   who owns what then

Files are written as includes are: below core/, or below plugins/. All functions of a line are defined in its file. A
line that begins with an arrow goes on from the last function of the line before. `a() -> b()`: a's body calls b. `a()
=> b()`: by a pointer to b, on the same thread or another: a's body hands b over, or calls a member that is set to b
somewhere, or b is an argument or an element of an array in its own file. A thread is one of the table `| thread |`,
and no plain call leaves it. Lines without `()` are captions. A `name()` in the page's other text is a function that
the sources call or define, or the member of a table of functions.
"""
import re

from tree import bare_c, table_rows

PAGE = "ARCHITECTURE.md"
BLOCK = re.compile(r"^```way\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"(\S+)\s+(\S+\.[ch])\s+((?:[-=]> )?\w+\(\)(?: [-=]> \w+\(\))*)(?:\s{2,}(.*))?$")
LINK = re.compile(r"(?:([-=]>) )?(\w+)\(\)")
PROSE = re.compile(r"(\w+)\(\)")


class Code:
    """The sources as far as ways name them: bodies by file and function, and who is named where."""

    def __init__(self, tree):
        self.tree = tree
        self.sources = tree.files(".c", ".h", under=("core/", "plugins/"))
        self._bare, self._bodies = {}, {}

    def bare(self, path):
        if path not in self._bare:
            self._bare[path] = bare_c(self.tree.text(path))
        return self._bare[path]

    def find(self, file):
        """The path of a file that is written as an include; None if there is none."""
        return next((base + file for base in ("core/", "plugins/") if base + file in self.tree.paths), None)

    def bodies(self, path):
        """{function: its body} of a file of C formatted as here: braces of functions stand in the first column."""
        if path not in self._bodies:
            self._bodies[path] = dict(split(self.bare(path)))
        return self._bodies[path]

    def files_with(self, name):
        return [path for path in self.sources if name in self.tree.text(path)]

    def is_function(self, name):
        """Called, defined, or a member of a table of functions: what compiles exists."""
        used = re.compile(r"\b" + name + r"\)?\s*\(")
        return any(used.search(self.bare(path)) for path in self.files_with(name))


def split(text):
    """(name, body) of each function."""
    head, body = [], None
    for line in text.split("\n"):
        if body is None and line == "{" and head and head[-1].rstrip().endswith(")"):
            body = []
        elif body is not None and line.startswith("}"):
            yield name_of(" ".join(head)), "\n".join(body)
            head, body = [], None
        elif body is not None:
            body.append(line)
        else:
            head = [] if not line.strip() or line.rstrip().endswith((";", "}")) or line[0] == "#" else head + [line]


def name_of(head):
    """The last word before a parenthesis that stands in no other."""
    name, depth, word = "", 0, ""
    for mark in re.findall(r"\w+|[()]|\S", head):
        if mark == "(":
            name = word if depth == 0 and word else name
            depth += 1
        elif mark == ")":
            depth -= 1
        word = mark if re.match(r"\w", mark) else ""
    return name


def is_handed(code, caller, path, name, goal):
    """Whether the function `caller` of the file `path` can come to `name` of the file `goal` by a pointer."""
    body = code.bodies(path)[caller]
    if re.search(r"\b" + name + r"\b(?!\s*\()", body):
        return True
    set_as = re.compile(r"[.>](\w+)\s*=\s*" + name + r"\b")
    is_static = re.search(r"^static\b[^;{]*\b" + name + r"\(", code.bare(goal), re.MULTILINE)
    for file in [goal] if is_static else code.files_with(name):
        for member in set_as.findall(code.bare(file)):
            if re.search(r"(?:->|\.)" + member + r"\(", body):
                return True
    return bool(re.search(r"[(,{]\s*" + name + r"\s*[,)}]", code.bare(goal)))


def check_link(code, arrow, before, here):
    """What is wrong with an arrow between two (function, path, thread); None if nothing."""
    (caller, path, thread), (name, goal, to) = before, here
    if caller not in code.bodies(path) or name not in code.bodies(goal):
        return None  # that is told already
    if arrow == "->" and thread != to:
        return f"{caller}() -> {name}() leaves the thread by a plain call"
    if arrow == "->" and not re.search(r"(?<![\w.>])" + name + r"\s*\(", code.bodies(path)[caller]):
        return f"{caller}() of {path} does not call {name}()"
    if arrow == "=>" and not is_handed(code, caller, path, name, goal):
        return f"{caller}() of {path} does not come to {name}() of {goal} by a pointer"
    return None


def check_step(code, threads, step, before):
    """Problems of one line, and the (function, path, thread) that it ends with; None: it cannot be gone on from."""
    thread, file, chain = step.group(1, 2, 3)
    path, problems = code.find(file), []
    if not any(row.startswith(thread) for row in threads):
        problems.append(f'"{thread}" is no thread of the table')
    if not path:
        return problems + [f"there is no core/{file} and no plugins/{file}"], None
    for arrow, name in LINK.findall(chain):
        here = (name, path, thread)
        if name not in code.bodies(path):
            problems.append(f"{path} defines no function {name}()")
        if arrow and not before:
            problems.append(f"nothing comes before the arrow to {name}()")
        elif arrow:
            problems += filter(None, [check_link(code, arrow, before, here)])
        before = here
    return problems, before


def check_ways(tree, code):
    page = tree.text(PAGE)
    threads = [cells[0] for cells in table_rows(page, "thread")]
    for block in BLOCK.finditer(page):
        first, before = page.count("\n", 0, block.start(1)) + 1, None
        for number, line in enumerate(block.group(1).split("\n"), first):
            step = STEP.match(line)
            if step:
                problems, before = check_step(code, threads, step, before)
                yield from (f"{PAGE}:{number}: {problem}" for problem in problems)
            elif "()" in line:
                yield f"{PAGE}:{number}: not of the form `thread  file  name() -> name()   text`"
            else:
                before = None


def check_prose(tree, code):
    """Every name() that stands in no chain."""
    page = BLOCK.sub(lambda block: re.sub(r"(?m)^(\S+\s+\S+\.[ch]\s+)((?:[-=]> )?\w+\(\)(?: [-=]> \w+\(\))*)", "",
                                          block.group(0)), tree.text(PAGE))
    for name in sorted(set(PROSE.findall(page))):
        if not code.is_function(name):
            yield f"{PAGE}: there is no function {name}()"


def cases(tree):
    if PAGE not in tree.paths or not BLOCK.search(tree.text(PAGE)):
        return [("ways", [f"{PAGE}: no block of three backquotes and `way`: it draws the ways through the code"])]
    code = Code(tree)
    return [
        ("the ways of ARCHITECTURE.md are those of the code", list(check_ways(tree, code))),
        ("functions that ARCHITECTURE.md speaks of exist", list(check_prose(tree, code))),
    ]
