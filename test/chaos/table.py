#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""table.py FOLDER - prints what a run of scripts/chaos.sh left in FOLDER (rows.jsonl, sim.tap) as Markdown."""
import json
import sys
from pathlib import Path

from ledger import table


def main():
    folder = Path(sys.argv[1])
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    parts = [table(rows)] if rows else []
    tap = folder / "sim.tap"
    if tap.exists():
        words = [line.removeprefix("#").strip() for line in tap.read_text(encoding="utf-8").splitlines()
                 if line.startswith("#")]
        titles = [number for number, line in enumerate(words) if line.startswith("----")]
        if titles:
            summary = [words[titles[-1]].strip("- "), *words[titles[-1] + 1:]]
            parts.append("\n".join(["Simulated:", "", *(f"- {line}" for line in summary)]))
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
