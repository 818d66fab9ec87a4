# SPDX-License-Identifier: Apache-2.0
"""Kafka -> entity service -> Kafka on a real broker: latency from topic to topic, and documents a second."""
import itertools
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

from bed import Bed, cpu_seconds, free_port, peak_mib, wait_ready
from table import add, rows

KAFKA = Path(__file__).resolve().parent.parent / "test/kafka/run.sh"
PARTITIONS = 8
SERVICE_MS, SERVICE_PARALLEL = 20, 16
LATENCY = ((10, 4), (50, 3), (100, 2), (200, 2))  # documents/s, seconds of each round
LATENCY_ROUNDS = 2
DOCUMENTS = 20000
IN_FLIGHT = 16  # sink-nlp's default; more makes longer turns of the loop and no more documents a second
THROUGHPUT_ROUNDS = 7
BARE_ROUNDS = 2  # of the loops beside, of which no target is asked
CONFIG = """
kafka: {{bootstrap.servers: "{brokers}"}}
http: {{listen: "127.0.0.1:{port}", plugins: [{{plugin: http-control}}]}}
pipelines:
  recognise:
    delivery: {delivery}
    commit: {{interval: 100ms}}
    input: {{topic: {source}, group: {group}}}
    sink: {{plugin: sink-nlp, service: generic, url: "{url}", concurrency: {in_flight}}}
    output: {{topic: {sink}}}
"""
NAMES = {"exactly-once": "exactly once", "at-least-once": "at least once",
         "transactions": "bare loop, 100 ms transactions", "plain": "bare loop, none"}
_beds, _count = [], itertools.count()


def _kafka():
    """Addresses of a broker that all figures share; it ends with this process, or at end()."""
    if "FRAGUA_KAFKA_PLAIN" in os.environ:
        return os.environ["FRAGUA_KAFKA_PLAIN"]
    if not _beds:
        bed = Bed()
        # Kafka's own compilers, all of them: the functional tests go without for a quick start.
        process = bed.start(KAFKA, "--", "sh", "-c", 'echo "at $FRAGUA_KAFKA_PLAIN"; exec cat', text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TIER": "4"})
        _beds.append((bed, process, _line(process, r"at (.+)")[1]))
    return _beds[0][2]


def end():
    """Ends the broker, if one was started."""
    for bed, process, _ in _beds:
        process.stdin.close()
        process.wait(60)
        bed.__exit__()
    _beds.clear()


def _line(process, pattern):
    """The first line of its output that matches."""
    for line in process.stdout:
        if found := re.match(pattern, line):
            return found
    raise RuntimeError(f"{' '.join(process.args)} ended, exit {process.wait()}")


class Stream:
    """A broker, the programs of one figure, and what is compared."""

    def __init__(self, bed, build, fragua, delay_ms):
        self.bed, self.fragua, self.brokers = bed, fragua, _kafka()
        self.load, self.bare = build / "bench/bench-load", build / "bench/bench-bare-loop"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        bed.start(build / "bench/bench-service", port, delay_ms, SERVICE_PARALLEL if delay_ms else 10**6)
        self.tag = f"{os.getpid()}-{next(_count)}"

    def topic(self, name):
        return f"bench.{self.tag}.{name}"

    def topics(self, *names):
        self.bed.run(self.load, "topics", self.brokers, PARTITIONS, *(self.topic(n) for n in names))

    def start(self, kind, source, sink, in_flight):
        """Starts one of NAMES; returns it and, for fragua, its port. It may not be ready yet."""
        group = f"bench.{self.tag}.{next(_count)}"
        if kind in ("transactions", "plain"):
            length = [100] if kind == "transactions" else []
            return self.bed.start(self.bare, self.brokers, self.topic(source), self.topic(sink), group, self.url,
                                  in_flight, *length, stdout=subprocess.PIPE, text=True), None
        port = free_port()
        config = CONFIG.format(brokers=self.brokers, port=port, delivery=kind, group=group, url=self.url,
                               source=self.topic(source), sink=self.topic(sink), in_flight=in_flight)
        return self.bed.start(self.fragua, "run", "--instance", group, "-c",
                              self.bed.write(f"{group}.yaml", config)), port


# ---- latency ----

def _percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _rate(stream, kind, per_second, seconds):
    out = stream.bed.run(stream.load, "rate", stream.brokers, stream.topic(f"in-{kind}"), stream.topic(f"out-{kind}"),
                         per_second, seconds)
    lost, twice, *ms = out.splitlines()[-1].split()
    if lost != "0" or twice != "0":
        raise RuntimeError(f"{NAMES[kind]}, {per_second}/s: {lost} lost, {twice} twice")
    return [float(x) for x in ms]


def latency(build, fragua, kinds=tuple(NAMES)):
    with Bed() as bed:
        stream = Stream(bed, build, fragua, SERVICE_MS)
        stream.topics(*(f"{way}-{kind}" for kind in kinds for way in ("in", "out")))
        started = [stream.start(kind, f"in-{kind}", f"out-{kind}", SERVICE_PARALLEL) for kind in kinds]
        for process, port in started:
            if port:
                wait_ready(process, port, "/readyz", 60, pause=0.02)
            else:
                _line(process, "ready")
        for kind in kinds:  # broker and clients get warm
            _rate(stream, kind, 200, 1)
        ms = {}
        for number in range(LATENCY_ROUNDS):
            for per_second, seconds in LATENCY:
                for kind in kinds if number % 2 == 0 else reversed(kinds):
                    ms.setdefault((kind, per_second), []).append(_rate(stream, kind, per_second, seconds))
    for per_second, _ in LATENCY:
        _latency_rows(per_second, {kind: ms[kind, per_second] for kind in kinds})


def _latency_rows(per_second, ms):
    """Percentiles are of all rounds together; how many documents they stand on is in column n."""
    def add_pair(kind, peer, percent, target):
        ours, theirs = ([_percentile(sum(ms[k], []), percent)] if k in ms else [] for k in (kind, peer))
        if ours:
            add(f"{per_second}/s, {NAMES[kind]}: p{percent}", "ms", ours, NAMES[peer] if theirs else "", theirs, target,
                n=len(sum(ms[kind], [])))
            rows[-1]["rounds"] = [_percentile(one, percent) for one in ms[kind]]
    for percent, target in ((50, "<= 50"), (99, "<= 100")):
        add_pair("exactly-once", "at-least-once", percent, target)
        add_pair("exactly-once", "transactions", percent, target)
        add_pair("at-least-once", "plain", percent, "")


# ---- throughput ----

def _stalls(port):
    """By its own metrics: the longest turn of its loop and the most CPU time of one, in ms; turns over 10 ms, in %."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    def values(pattern):
        return [float(v) for v in re.findall(rf"^{pattern} (\S+)$", text, re.M)]
    below, = values(r'fragua_loop_busy_seconds_bucket\{le="0\.01"\}')
    turns, = values("fragua_loop_busy_seconds_count")
    wall, cpu = (max(values(rf"fragua_loop_stall_{kind}seconds_max\{{.*\}}")) * 1000 for kind in ("", "cpu_"))
    return wall, cpu, (turns - below) / turns * 100


def _bulk(stream, kind):
    """One run over the whole topic; a dict of figures."""
    reader = stream.bed.start(stream.load, "count", stream.brokers, stream.topic(f"out-{kind}"), DOCUMENTS,
                              stdout=subprocess.PIPE, text=True)
    _line(reader, "ready")
    began = time.monotonic()
    process, port = stream.start(kind, "bulk", f"out-{kind}", IN_FLIGHT)
    first = float(_line(reader, r"1 (.+)")[1]) - began
    tenth = float(_line(reader, rf"{DOCUMENTS // 10} (.+)")[1])
    cpu = cpu_seconds(process.pid)
    ninetieth = float(_line(reader, rf"{DOCUMENTS - DOCUMENTS // 10} (.+)")[1])
    cpu = cpu_seconds(process.pid) - cpu
    _line(reader, rf"{DOCUMENTS} ")
    figures = {"docs": DOCUMENTS * 0.8 / (ninetieth - tenth), "cpu": cpu / (DOCUMENTS * 0.8) * 10000,
               "rss": peak_mib(process.pid), "first": first}
    if port:
        figures["stall"], figures["work"], figures["over"] = _stalls(port)
    stream.bed.end(process)
    stream.bed.end(reader)
    return figures


def throughput(build, fragua, kinds=tuple(NAMES)):
    with Bed() as bed:
        stream = Stream(bed, build, fragua, 0)
        stream.topics("bulk", *(f"out-{kind}" for kind in kinds))
        bed.run(stream.load, "fill", stream.brokers, stream.topic("bulk"), DOCUMENTS)
        _bulk(stream, kinds[0])  # broker gets warm
        runs = {kind: [] for kind in kinds}
        for number in range(THROUGHPUT_ROUNDS):
            for kind in kinds if number % 2 == 0 else reversed(kinds):
                if kind in ("exactly-once", "at-least-once") or number < BARE_ROUNDS:
                    runs[kind].append(_bulk(stream, kind))
    for kind, peer, target in (("exactly-once", "at-least-once", "ratio >= 0.85"), ("exactly-once", "transactions", ""),
                               ("at-least-once", "plain", "")):
        if kind in runs and peer in runs:
            _bulk_rows(kind, peer, target, runs)


def _bulk_rows(kind, peer, target, runs):
    for figure, name, unit in (("docs", "documents/s", "1/s"), ("cpu", "CPU time for 10,000", "s"),
                               ("rss", "peak RSS", "MiB"), ("first", "start to first output", "s")):
        add(f"full topic, {NAMES[kind]}: {name}", unit, [r[figure] for r in runs[kind]], NAMES[peer],
            [r[figure] for r in runs[peer]], target if figure == "docs" else "")
    if kind == "exactly-once" and peer == "at-least-once":
        add(f"full topic, {NAMES[kind]}: longest stall of the loop", "ms", [r["stall"] for r in runs[kind]],
            NAMES[peer], [r["stall"] for r in runs[peer]], "<= 10")
        add("  most CPU time of one turn of the loop", "ms", [r["work"] for r in runs[kind]], NAMES[peer],
            [r["work"] for r in runs[peer]], "<= 10")
        add("  turns of the loop over 10 ms", "%", [r["over"] for r in runs[kind]], NAMES[peer],
            [r["over"] for r in runs[peer]])
