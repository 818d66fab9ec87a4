# SPDX-License-Identifier: Apache-2.0
"""What C here must not have: functions that cannot be used safely, giant functions, giant files."""
import re

from tree import bare_c

BANNED = {
    "assert": "use fg_assert: it holds in release builds too",
    "sprintf": "use snprintf or struct fg_buf",
    "vsprintf": "use vsnprintf or struct fg_buf",
    "strcpy": "use struct fg_buf or memcpy with a length",
    "strcat": "use struct fg_buf",
    "strncpy": "it may leave out the final NUL; use memcpy with a length",
    "strncat": "use struct fg_buf",
    "strtok": "it keeps hidden state; use slices",
    "atoi": "it cannot tell an error; use the number parsers of base",
    "atol": "it cannot tell an error; use the number parsers of base",
    "atoll": "it cannot tell an error; use the number parsers of base",
    "atof": "it cannot tell an error; use the number parsers of base",
    "gets": "it cannot be bounded",
    "uv_default_loop": "the one loop is made in one place and passed down",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600


def banned_calls(tree):
    for path in tree.c_files():
        for number, line in enumerate(bare_c(tree.text(path)).split("\n"), 1):
            for match in CALL.finditer(line):
                yield f"{path}:{number}: {match.group(1)}() is banned: {BANNED[match.group(1)]}"


def functions(text):
    """(line of the opening brace, lines from there to the closing one) of each function of C formatted as here.

    A body opens with a brace in the first column, or at the end of a line of the first column that closes parentheses;
    it ends with the next brace in the first column. Preprocessor lines cannot open or close one.
    """
    opened, previous = None, ""
    for number, line in enumerate(bare_c(text).split("\n"), 1):
        line = line.rstrip()
        if opened is None:
            bare = line == "{" and previous.endswith(")")
            if bare or re.match(r"\w.*\)\s*\{$", line):
                opened = number
        elif line.startswith("}"):
            yield opened, number - opened
            opened = None
        if line:
            previous = line


def long_functions(tree):
    for path in tree.files(".c", ".h", under=("core/", "plugins/", "examples/", "bench/", "test/")):
        for number, length in functions(tree.text(path)):
            if length > FUNCTION_LINES_MAX:
                yield f"{path}:{number}: function of {length} lines, the limit is {FUNCTION_LINES_MAX}"


def long_files(tree):
    for path in tree.files(".c", ".h", under=("core/", "plugins/", "examples/", "bench/", "test/")):
        length = tree.text(path).count("\n")
        if length > FILE_LINES_MAX:
            yield f"{path}: {length} lines, the limit is {FILE_LINES_MAX}"


def cases(tree):
    return [
        ("no banned function is called", list(banned_calls(tree))),
        (f"no function is longer than {FUNCTION_LINES_MAX} lines", list(long_functions(tree))),
        (f"no source file is longer than {FILE_LINES_MAX} lines", list(long_files(tree))),
    ]
