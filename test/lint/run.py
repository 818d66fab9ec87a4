#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the checks of the source tree and prints one TAP line for each case, then `N passed, N failed[, N skipped]`.

run.py [NAME...]   only the modules check_NAME; a build in BUILD (default: build) is used where a check needs one

A check is a module check_*.py with cases(tree) -> [(name, problems)]; problems is a list of `file:line: what` texts,
empty when all is well, or a Skip with its reason.
"""
import importlib
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from tree import Skip, Tree  # noqa: E402

CHECKS = ("self", "text", "c", "layers", "ways", "metrics", "routes", "headers", "program")


def run_check(name, tree):
    """The cases of one check; a Skip that it raises, or its own fault, becomes a case."""
    try:
        return importlib.import_module("check_" + name).cases(tree)
    except Skip as reason:
        return [(name, reason)]
    except Exception as error:  # one broken check must not hide what the others find
        return [(name, [f"the check itself failed: {type(error).__name__}: {error}"])]


def main():
    tree = Tree(HERE.parents[1], os.environ.get("BUILD"))
    passed = failed = skipped = 0
    for check in sys.argv[1:] or CHECKS:
        began = time.monotonic()
        for name, problems in run_check(check, tree):
            if isinstance(problems, Skip):
                skipped += 1
                print(f"ok - {name} # SKIP {problems}")
            elif problems:
                failed += 1
                print(f"not ok - {name}", *(f"#   {problem}" for problem in problems), sep="\n")
            else:
                passed += 1
                print(f"ok - {name}")
        print(f"# {check}: {time.monotonic() - began:.1f} s", flush=True)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
