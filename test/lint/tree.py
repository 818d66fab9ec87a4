# SPDX-License-Identifier: Apache-2.0
"""The source tree as the checks see it: which files there are, and C with its comments and strings blanked."""
import os
import re
import subprocess
from pathlib import Path

# Folders of material that others wrote or that is wrong on purpose.
MATERIAL = {"seeds", "fixtures", "samples", "crds", "data", "bad", "mails", "corpus"}
# Folders that are not sources, for a tree without git.
BUILT = re.compile(r"^(build.*|\..*|__pycache__|node_modules)$")

_LEXEME = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


class Skip(Exception):
    """Raised by a check that cannot run here; its text says why."""


class Tree:
    """All files under `root` that git tracks or would track; `build` is the folder of a build that may exist."""

    def __init__(self, root, build=None):
        self.root = Path(root)
        self.build = Path(build) if build else self.root / "build"
        self._texts = {}
        self.paths = sorted(path for path in self._list() if (self.root / path).is_file())

    def _list(self):
        if (self.root / ".git").exists():
            listing = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=self.root,
                                     capture_output=True, check=True).stdout.decode()
            return [path for path in listing.split("\0") if path]
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if not BUILT.match(name)]
            found += [os.path.relpath(os.path.join(folder, name), self.root) for name in names]
        return found

    def files(self, *suffixes, under=("",)):
        """Paths (str, from the root) of our own files that end in one of `suffixes`, below one of the folders."""
        return [path for path in self.paths
                if path.endswith(suffixes) and path.startswith(tuple(under)) and not MATERIAL & set(path.split("/"))]

    def c_files(self):
        return self.files(".c", ".h", under=("core/", "plugins/", "examples/", "test/", "bench/"))

    def text(self, path):
        """Contents of a file of the tree; bytes that are no UTF-8 are replaced."""
        if path not in self._texts:
            self._texts[path] = (self.root / path).read_text(encoding="utf-8", errors="replace")
        return self._texts[path]

    def lines(self, path):
        """(number from 1, line without its end) pairs."""
        return list(enumerate(self.text(path).split("\n"), 1))


def blank(match):
    """Keeps the line structure of what it replaces."""
    return re.sub(r"[^\n]", " ", match.group(0))


def bare_c(text):
    """C source with comments, strings and character constants replaced by spaces: same lines, same columns."""
    return _LEXEME.sub(blank, text)


def bare_comments(text):
    """C source with comments alone replaced by spaces, for checks of #include lines."""
    return _LEXEME.sub(lambda match: blank(match) if match.group(0)[0] == "/" else match.group(0), text)


def table_rows(markdown, *first_headers):
    """Rows (lists of stripped cells) of the markdown tables whose first header cell is one of `first_headers`."""
    rows, inside = [], False
    for line in markdown.split("\n"):
        if not line.lstrip().startswith("|"):
            inside = False
            continue
        cells = [cell.strip().replace("\0", "|") for cell in line.strip().strip("|").replace("\\|", "\0").split("|")]
        if cells[0].lower() in first_headers:
            inside = True
        elif inside and not set("".join(cells)) <= set("-: "):
            rows.append(cells)
    return rows


def code_spans(cell):
    """The `code` words of a markdown cell."""
    return re.findall(r"`([^`]+)`", cell)
