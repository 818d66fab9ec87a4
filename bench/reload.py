# SPDX-License-Identifier: Apache-2.0
"""What a reload costs: the pause of what changes, the gap of what does not, and how long it takes as a whole."""
import json
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from bed import Bed, free_port, wait_ready
from stream import SERVICE_MS, SERVICE_PARALLEL, Stream, _line, _percentile
from table import add

RELOADS = 200
EVERY_S = 0.3      # from one reload's beginning to the next one's
PER_SECOND = 100   # documents, into each of the two pipelines
QUIET_S = RELOADS * EVERY_S  # without reloads, for the noise: as many gaps as with them
RESTARTS = 5
RESTART_S = 3.0    # from one restart to the next
WARM_S = 1.0       # what is written in the first half second is not told
AFTER_S = 0.1      # a gap may end so long after the reload
BULK = 40000       # documents of a full topic, for what refused reloads cost
BULK_ROUNDS = 5
REFUSED_EVERY_S = 0.5
MANY = 100         # pipelines of the large file
MANY_RELOADS = 20
NGINX_RELOADS = 20
NGINX = """daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log /dev/null;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
uwsgi_temp_path {dir}; scgi_temp_path {dir};
server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{body}'; }} }} }}
"""


class Subject:
    """A fragua whose file is changed and that is asked to reload it."""

    def __init__(self, stream, config):
        self.stream, self.config = stream, config
        self.port = free_port()
        config["http"] = {"listen": f"127.0.0.1:{self.port}", "plugins": [{"plugin": "http-control"}]}
        config["reload"] = {"watch": False}
        self.path = stream.bed.dir / f"reload-{self.port}.yaml"
        self.write()
        self.start()

    def write(self):
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.config))
        part.rename(self.path)

    def start(self):
        self.process = self.stream.bed.start(self.stream.fragua, "run", "--instance", f"bench.{self.stream.tag}", "-c",
                                             self.path)
        wait_ready(self.process, self.port, "/readyz", 120, pause=0.02)

    def reload(self, result="done"):
        """(report, seconds from asking to the answer)."""
        self.write()
        began = time.monotonic()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/reload", data=b"", method="POST")
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as refusal:  # it has the report too
            answer = refusal
        with answer:
            report = json.loads(answer.read())
        if report.get("result") != result:
            raise RuntimeError(f"reload: {json.dumps(report)}")
        return report, time.monotonic() - began


def _pipeline(stream, name):
    return {"commit": {"interval": "100ms"},
            "input": {"topic": stream.topic(f"{name}-in"), "group": f"bench.{stream.tag}.{name}"},
            "sink": {"plugin": "sink-nlp", "service": "generic", "url": stream.url, "concurrency": SERVICE_PARALLEL,
                     "timeout": "10s"},
            "output": {"topic": stream.topic(f"{name}-out")}}


def _trace(stream, name, seconds):
    """A writer and reader of one pipeline, which are at work when this returns."""
    process = stream.bed.start(stream.load, "trace", stream.brokers, stream.topic(f"{name}-in"),
                               stream.topic(f"{name}-out"), PER_SECOND, seconds, stdout=subprocess.PIPE, text=True)
    _line(process, "ready")
    time.sleep(WARM_S)
    return process


def _arrivals(process, warm=True):
    """When its entities came, in order. `warm`: all must have come."""
    lines = process.stdout.read().splitlines()
    process.wait()
    if warm and (not lines or lines[0] != "0 0"):
        raise RuntimeError(f"lost and doubled: {lines[:1]}")
    return sorted(float(line.split()[1]) for line in lines[1:])


def _gaps(arrivals, spans):
    """For each span (begin, end) the longest time in ms between two arrivals, of which it holds a part."""
    gaps = []
    for begin, end in spans:
        longest = 0.0
        for one, next_one in zip(arrivals, arrivals[1:]):
            if next_one > begin and one < end:
                longest = max(longest, next_one - one)
        gaps.append(longest * 1000)
    return gaps


def _rows(name, values, peer_name="", peer=(), targets=("", "")):
    for percent, target in zip((50, 99), targets):
        add(f"{name}: p{percent}", "ms", [_percentile(values, percent)], peer_name,
            [_percentile(peer, percent)] if peer else (), target, n=len(values))


def _reload_often(subject):
    """(reports, seconds each, spans) of RELOADS reloads with a document every 10 ms."""
    reports, took, spans = [], [], []
    for number in range(RELOADS):
        began = time.monotonic()
        subject.config["pipelines"]["changed"]["sink"]["timeout"] = f"{11 + number % 2}s"
        report, seconds = subject.reload()
        reports.append(report)
        took.append(seconds * 1000)
        spans.append((began, time.monotonic() + AFTER_S))
        time.sleep(max(0.0, began + EVERY_S - time.monotonic()))
    return reports, took, spans


def _restart_often(subject):
    spans, took = [], []
    for _ in range(RESTARTS):
        began = time.monotonic()
        subject.process.send_signal(signal.SIGTERM)
        subject.process.wait(60)
        subject.start()
        took.append((time.monotonic() - began) * 1000)
        spans.append((began, time.monotonic() + 1.0))
        time.sleep(max(0.0, began + RESTART_S - time.monotonic()))
    return took, spans


def _two_pipelines(build, fragua):
    """Returns the milliseconds of each reload."""
    names = ("changed", "beside")
    with Bed() as bed:
        stream = Stream(bed, build, fragua, SERVICE_MS)
        stream.topics(*(f"{name}-{way}" for name in names for way in ("in", "out")))
        subject = Subject(stream, {"kafka": {"bootstrap.servers": stream.brokers},
                                   "pipelines": {name: _pipeline(stream, name) for name in names}})
        for process in [_trace(stream, name, 2) for name in names]:  # all gets warm
            _arrivals(process, warm=False)

        traces = [_trace(stream, name, QUIET_S) for name in names]
        quiet = [_arrivals(process) for process in traces]
        traces = [_trace(stream, name, RELOADS * EVERY_S * 1.2) for name in names]
        reports, took, spans = _reload_often(subject)
        seen = [_arrivals(process) for process in traces]
        trace = _trace(stream, "changed", RESTARTS * (RESTART_S + 1))
        restart, restart_spans = _restart_often(subject)
        restarted = _arrivals(trace)
    length = sum(end - begin for begin, end in spans) / len(spans)
    noise = [_gaps(arrivals, [(at, at + length) for at in _steps(arrivals, length)]) for arrivals in quiet]
    pauses = [pipeline["pause_ms"] for report in reports for pipeline in report["pipelines"]
              if pipeline["name"] == "changed"]
    if any(pipeline["how"] != "same" for report in reports for pipeline in report["pipelines"]
           if pipeline["name"] == "beside"):
        raise RuntimeError("the pipeline beside was touched")
    _rows("reload, changed pipeline: pause", pauses, targets=("<= 50", "<= 250"))
    _rows("  longest gap that its reader sees", _gaps(seen[0], spans), "no reload", noise[0])
    _rows("  the same of the pipeline beside it", _gaps(seen[1], spans), "no reload", noise[1],
          ("ratio ~ 1", "ratio ~ 1"))
    _rows("  stop and start instead: gap", _gaps(restarted, restart_spans), "reload", _gaps(seen[0], spans))
    _rows("reload, from asking to the answer", took, "stop and start", restart)
    phases = {}
    for report in reports:
        for phase in report["phases"]:
            phases.setdefault(phase["phase"], []).append(phase["ms"])
    for name, values in phases.items():
        add(f"  of it: {name}", "ms", values)
    return took


def _steps(arrivals, length):
    at = arrivals[0]
    while at + length < arrivals[-1]:
        yield at
        at += length


def _many_pipelines(build, fragua):
    with Bed() as bed:
        stream = Stream(bed, build, fragua, 0)
        names = [f"p{number:02}" for number in range(MANY)]
        stream.topics("p-in", "p-out")
        pipelines = {name: _pipeline(stream, "p") for name in names}
        for name in names:
            pipelines[name]["input"]["group"] = f"bench.{stream.tag}.{name}"
        subject = Subject(stream, {"kafka": {"bootstrap.servers": stream.brokers}, "pipelines": pipelines})
        took = []
        for number in range(MANY_RELOADS):
            pipelines["p42"]["sink"]["timeout"] = f"{11 + number % 2}s"
            report, seconds = subject.reload()
            hows = [pipeline["how"] for pipeline in report["pipelines"]]
            if hows.count("same") != MANY - 1 or hows.count("swap") != 1:
                raise RuntimeError(f"not one change: {json.dumps(report)}")
            took.append(seconds * 1000)
    return took


def _drain(stream, number, refuse):
    """Documents a second of a full topic; `refuse`: while files come one after another of which none can be loaded."""
    out = f"bulk-out-{number}"
    stream.topics(out)
    reader = stream.bed.start(stream.load, "count", stream.brokers, stream.topic(out), BULK, stdout=subprocess.PIPE,
                              text=True)
    _line(reader, "ready")
    pipeline = _pipeline(stream, "bulk")
    pipeline["input"]["group"] += out
    pipeline["output"]["topic"] = stream.topic(out)
    subject = Subject(stream, {"kafka": {"bootstrap.servers": stream.brokers}, "pipelines": {"bulk": pipeline}})
    done = threading.Event()

    def refuse_often():
        pipeline["sink"] = {**pipeline["sink"], "plugin": "sink-missing"}
        took = []
        while not done.wait(REFUSED_EVERY_S):
            took.append(subject.reload("refused")[1] * 1000)
        return took

    meddler = ThreadPoolExecutor(1)
    refused = meddler.submit(refuse_often) if refuse else None
    tenth = float(_line(reader, rf"{BULK // 10} (.+)")[1])
    ninetieth = float(_line(reader, rf"{BULK - BULK // 10} (.+)")[1])
    _line(reader, rf"{BULK} ")
    done.set()
    took = refused.result(60) if refused else []
    stream.bed.end(subject.process)
    stream.bed.end(reader)
    return BULK * 0.8 / (ninetieth - tenth), took


def _refused(build, fragua):
    with Bed() as bed:
        stream = Stream(bed, build, fragua, 0)
        stream.topics("bulk-in")
        bed.run(stream.load, "fill", stream.brokers, stream.topic("bulk-in"), BULK)
        _drain(stream, "warm", False)
        rates, took = {True: [], False: []}, []
        for number in range(BULK_ROUNDS):
            for refuse in (True, False) if number % 2 else (False, True):
                rate, refused = _drain(stream, f"{number}-{refuse}", refuse)
                rates[refuse].append(rate)
                took += refused
    add(f"full topic, a refused reload each {REFUSED_EVERY_S} s: documents/s", "1/s", rates[True], "no reload",
        rates[False], "ratio ~ 1")
    _rows("  the refused reload, from asking to the answer", took)


def _nginx_reloads():
    """Milliseconds from HUP until an answer of the new file; nginx connects nothing and checks nothing beforehand."""
    took = []
    with Bed() as bed:
        port = free_port()
        conf = bed.write("nginx.conf", NGINX.format(dir=bed.dir, port=port, body="0"))
        process = bed.start("nginx", "-c", conf, "-p", bed.dir)
        wait_ready(process, port, "/")
        for number in range(1, NGINX_RELOADS + 1):
            conf.write_text(NGINX.format(dir=bed.dir, port=port, body=number))
            began = time.monotonic()
            os.kill(int((bed.dir / "nginx.pid").read_text()), signal.SIGHUP)
            while urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read() != str(number).encode():
                time.sleep(0.0005)
            took.append((time.monotonic() - began) * 1000)
            time.sleep(0.05)
    return took


def reload(build, fragua):
    took = _two_pipelines(build, fragua)
    nginx = _nginx_reloads()
    _rows("reload, beside nginx -s reload", took, "nginx", nginx)
    _refused(build, fragua)
    _rows(f"reload of {MANY} pipelines, one changed", _many_pipelines(build, fragua), "nginx", nginx, ("<= 200", ""))
