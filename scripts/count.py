#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts test results and prints them as `N passed, N failed[, N skipped]`; exits 1 if anything failed.

count.py junit FILE...   pytest's reports
count.py meson FILE...   meson's testlog.json: one JSON object a line, one line a test program, its TAP in "stdout"
count.py stage LOG CODE  the last such line of a stage's log; an exit code without a failure counts as one
count.py total LOG...    the sum of the last such lines of stages' logs; a log without one has one failure
"""
import json
import re
import sys
import xml.etree.ElementTree

LINE = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
TAP_LINE = re.compile(r"^(not )?ok\b.*?(#\s*skip\b.*)?$", re.IGNORECASE)
TAP_PLAN = re.compile(r"^1\.\.(\d+)", re.MULTILINE)


def summary(passed, failed, skipped):
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def count_junit(path):
    """(passed, failed, skipped) of the cases in a JUnit file."""
    passed = failed = skipped = 0
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def count_program(entry):
    """(passed, failed, skipped) of one test program; one that ended badly without a failed case is one failure."""
    passed = failed = skipped = 0
    output = entry.get("stdout") or ""
    for line in output.splitlines():
        match = TAP_LINE.match(line)
        if match and match.group(1):
            failed += 1
        elif match and match.group(2):
            skipped += 1
        elif match:
            passed += 1
    cases = passed + failed + skipped
    plan = TAP_PLAN.search(output)
    if plan and int(plan.group(1)) > cases:
        failed += int(plan.group(1)) - cases
    result = entry["result"]
    if result == "SKIP" and not cases:
        skipped += 1
    elif result in ("OK", "EXPECTEDFAIL") and not cases:
        passed += 1
    elif result not in ("OK", "EXPECTEDFAIL", "SKIP") and not failed:
        failed += 1
    return passed, failed, skipped


def count_meson(path):
    """(passed, failed, skipped) of all cases of all programs of a meson test run."""
    with open(path, encoding="utf-8") as file:
        counts = [count_program(json.loads(line)) for line in file if line.strip()]
    return tuple(sum(column) for column in zip(*counts)) if counts else (0, 0, 0)


def count_stage(path):
    """(passed, failed, skipped) of the last summary line in a stage's log; (0, 1, 0) where there is none."""
    with open(path, encoding="utf-8", errors="replace") as file:
        found = [match for match in map(LINE.match, (line.rstrip() for line in file)) if match]
    return tuple(int(number or 0) for number in found[-1].groups()) if found else (0, 1, 0)


def judge_stage(path, code):
    """count_stage(), with one failure where the stage exited with an error that its figures do not show."""
    passed, failed, skipped = count_stage(path)
    return passed, failed or int(code != 0), skipped


def main():
    counters = {"junit": count_junit, "meson": count_meson, "total": count_stage}
    if len(sys.argv) == 4 and sys.argv[1] == "stage":
        counts = judge_stage(sys.argv[2], int(sys.argv[3]))
        print(summary(*counts))
        return int(counts[1] > 0)
    if len(sys.argv) < 3 or sys.argv[1] not in counters:
        sys.exit(__doc__)
    try:
        counts = [counters[sys.argv[1]](path) for path in sys.argv[2:]]
    except (OSError, ValueError, KeyError, xml.etree.ElementTree.ParseError) as error:
        print(f"count.py: {error}", file=sys.stderr)
        counts = [(0, 1, 0)]
    passed, failed, skipped = (sum(column) for column in zip(*counts))
    print(summary(passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
