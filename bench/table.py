# SPDX-License-Identifier: Apache-2.0
"""The table that all figures go into."""
import statistics

rows = []


def add(name, unit, ours, peer_name="", peer=(), target="", n=None):
    """One line of the table; where a peer ran in turn, the ratio is the median of the rounds' ratios.

    @n: how many single measurements the values are made of, where that is not their number.
    """
    pairs = [a / b for a, b in zip(ours, peer) if b]
    rows.append({"name": name, "unit": unit, "median": statistics.median(ours), "min": min(ours), "max": max(ours),
                 "n": n or len(ours), "peer": peer_name, "peer_median": statistics.median(peer) if peer else None,
                 "ratio": statistics.median(pairs) if pairs else None, "target": target,
                 "values": list(ours), "peer_values": list(peer)})


def number(x):
    return "" if x is None else f"{x:.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def show():
    head = ("figure", "unit", "median", "min", "max", "n", "peer", "its median", "ratio", "target")
    table = [head] + [(r["name"], r["unit"], number(r["median"]), number(r["min"]), number(r["max"]), str(r["n"]),
                       r["peer"], number(r["peer_median"]), number(r["ratio"]), r["target"]) for r in rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        print("  ".join(c.ljust(w) if i in (0, 1, 6) else c.rjust(w)
                        for i, (c, w) in enumerate(zip(row, widths))).rstrip())
