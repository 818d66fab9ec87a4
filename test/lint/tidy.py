#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over the sources of a clang build, two at a time, and remembers which were found clean.

tidy.py BUILD RESULTS   BUILD holds compile_commands.json; RESULTS gets one JSON object a source, as count.py reads them

A source is not looked at again while what the preprocessor makes of it, its options, .clang-tidy and the version of
clang-tidy stay the same: a stamp in BUILD/tidy says so. Unit tests are left out: the analyser does not know that a
failed cmocka assertion does not return.
"""
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CHECKED = re.compile(r"^(core|plugins|examples)/(?!.*\btest-[^/]*$).*\.c$")
JOBS = 2


def sources(build):
    """{path from the top: compile command} of what is to be checked."""
    commands = json.loads((build / "compile_commands.json").read_text())
    result = {}
    for entry in commands:
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), TOP)
        if CHECKED.match(path):
            result[path] = entry
    return result


def preprocessor_command(command):
    """The words of a compile command, made to preprocess to stdout and to write nothing."""
    words, result = iter(shlex.split(command)), []
    for word in words:
        if word in ("-o", "-MQ", "-MF"):
            next(words)
        elif word not in ("-c", "-MD"):
            result.append(word)
    return [*result, "-E"]


def fingerprint(entry, settings):
    """Sum of all that the result depends on; None if the source does not preprocess."""
    run = subprocess.run(preprocessor_command(entry["command"]), cwd=entry["directory"], capture_output=True)
    if run.returncode:
        return None
    return hashlib.sha256(settings + entry["command"].encode() + run.stdout).hexdigest()


def check(build, path, entry, settings):
    """One result, as meson's testlog.json has them."""
    began = time.monotonic()
    stamp = build / "tidy" / path.replace("/", "-")
    key = fingerprint(entry, settings)
    if key and stamp.exists() and stamp.read_text() == key:
        return {"name": f"tidy {path}", "result": "OK", "stdout": "", "duration": 0.0}
    run = subprocess.run(["clang-tidy", "-p", str(build), "--quiet", path], cwd=TOP, capture_output=True, text=True)
    if run.returncode == 0 and key:
        stamp.write_text(key)
    else:
        print(f"not ok - clang-tidy {path}\n{run.stdout}{run.stderr}", flush=True)
    return {"name": f"tidy {path}", "result": "OK" if run.returncode == 0 else "FAIL", "stdout": "",
            "duration": time.monotonic() - began}


def main():
    build, results_path = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    (build / "tidy").mkdir(exist_ok=True)
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    settings = version + (TOP / ".clang-tidy").read_bytes()
    began = time.monotonic()
    with ThreadPoolExecutor(JOBS) as pool:
        results = list(pool.map(lambda item: check(build, *item, settings), sorted(sources(build).items())))
    results_path.write_text("".join(json.dumps(result) + "\n" for result in results))
    failed = sum(result["result"] != "OK" for result in results)
    fresh = sum(result["duration"] > 0 for result in results)
    print(f"clang-tidy: {len(results)} sources, {fresh} of them looked at, {failed} with findings, "
          f"{time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
