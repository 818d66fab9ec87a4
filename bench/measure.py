# SPDX-License-Identifier: Apache-2.0
"""Measures fragua beside peers, in turn, and prints medians and ratios: measure.py BUILD [FIGURE...]."""
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import reload
import stream
from bed import CORES, Bed, cpu_seconds, free_port, memory_mib, wait_ready
from table import add, rows, show

BUILD = Path(sys.argv[1])
FRAGUA = os.environ["FRAGUA_BIN"]
MAILS = os.environ["FRAGUA_DEMO_DIR"]
BOTH = """
kafka: {{embedded: {embedded}, bootstrap.servers: "127.0.0.1:1"}}
http:
  listen: 127.0.0.1:{port}
  plugins:
    - plugin: http-control
    - plugin: serve-entities
    - {{plugin: sim-graph, mails: "{mails}", initial: 20, client: demo, secret: demo-secret}}
pipelines:
  ingest:
    source:
      plugin: source-graphmail
      tenant: contoso.example
      client: demo
      credential: {{secret: demo-secret}}
      mailboxes: {{domain: contoso.example}}
      folders: [inbox]
      poll: 1s
      graph: http://127.0.0.1:{port}
      login: http://127.0.0.1:{port}
    transforms:
      - plugin: transform-tabulate
    output: {{topic: mail.documents}}
  recognise:
    input: {{topic: mail.documents}}
    sink: {{plugin: sink-nlp, service: generic, url: "http://127.0.0.1:{port}/entities/v1/recognise"}}
    output: {{topic: mail.entities}}
"""
SERVE = "http: {{listen: '127.0.0.1:{port}', plugins: [{{plugin: http-control}}, {{plugin: serve-entities}}]}}\n"
POST = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"text": "Invoice F-2026-77 of 1.842,75 EUR, due 16 March 2026; write to accounts@fabrikam.example."}'
"""


def ready_ms(bed, role):
    port = free_port()
    path = bed.write("both.yaml", BOTH.format(embedded="true", port=port, mails=MAILS))
    process = bed.start(FRAGUA, "run", "-c", path, "--role", role)
    ms = wait_ready(process, port, "/readyz") * 1000
    bed.end(process)
    return ms


def nginx_ms(bed):
    process, port = bed.nginx()
    ms = wait_ready(process, port, "/") * 1000
    bed.end(process)
    return ms


def figure_start():
    with Bed() as bed:
        rounds = [(ready_ms(bed, "both"), ready_ms(bed, "consumer"), nginx_ms(bed)) for _ in range(11)]
    both, consumer, nginx = zip(*rounds)
    add("start to ready, both pipelines, embedded broker", "ms", both, "nginx", nginx, "< 150")
    add("start to ready, consumer, embedded broker", "ms", consumer, "nginx", nginx, "< 150")


def figure_memory():
    with Bed() as bed:
        kinds = [(role, broker) for broker in ("true", "false") for role in ("producer", "consumer")]
        started = []
        for role, broker in kinds:
            path = bed.write(f"{role}-{broker}.yaml", BOTH.format(embedded=broker, port=free_port(), mails=MAILS))
            started.append(bed.start(FRAGUA, "run", "-c", path, "--role", role))
        nginx, _ = bed.nginx()
        time.sleep(5)
        peer = memory_mib(nginx.pid)
        for (role, broker), process in zip(kinds, started):
            where = "embedded broker" if broker == "true" else "no broker there"
            rss, anon = memory_mib(process.pid)
            add(f"idle RSS of a {role}, {where}", "MiB", [rss], "nginx", [peer[0]], "< 25")
            add("  of it anonymous (RssAnon)", "MiB", [anon], "nginx", [peer[1]])


def figure_size():
    files = [Path(FRAGUA), *sorted((BUILD / "plugins").glob("*/*.so"))]
    total = 0
    with Bed() as bed:
        for file in files:
            out = bed.dir / file.name
            subprocess.run(["strip", "-o", out, file], check=True)
            total += out.stat().st_size
    nginx = os.path.getsize(os.path.realpath(shutil.which("nginx")))
    add(f"stripped program and {len(files) - 1} plugins", "MiB", [total / 2**20], "nginx", [nginx / 2**20], "< 2")


def figure_demo():
    first, whole = [], []
    with Bed() as bed:
        for _ in range(3):
            began = time.monotonic()
            out = bed.run(FRAGUA, "demo")
            whole.append(time.monotonic() - began)
            first.append(float(re.search(r"first entities after ([\d.]+) s", out)[1]))
    add("demo: first entities", "s", first, target="< 5")
    add("demo: whole", "s", whole)


def wrk(bed, pid, url, script=None):
    """(requests/s, microseconds of CPU time a request of the server `pid`)."""
    before = cpu_seconds(pid)
    args = ["wrk", "-t1", "-c32", "-d1s", *(["-s", script] if script else []), url]
    out = bed.run(*args, core=-1)
    if "Non-2xx" in out:
        raise RuntimeError(f"{url}: {out}")
    n = int(re.search(r"(\d+) requests in", out)[1])
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), (cpu_seconds(pid) - before) * 1e6 / n


def figure_server():
    with Bed() as bed:
        nginx, nginx_port = bed.nginx(core=0)
        port, run_port = free_port(), free_port()
        server = bed.start(BUILD / "bench/bench-http-server", f"127.0.0.1:{port}", core=0)
        serve = bed.start(FRAGUA, "run", "-c", bed.write("serve.yaml", SERVE.format(port=run_port)), core=0)
        wait_ready(nginx, nginx_port, "/")
        wait_ready(server, port, "/answer")
        wait_ready(serve, run_port, "/livez")
        script = bed.write("post.lua", POST)
        subjects = [("server, 200 bytes", server.pid, f"http://127.0.0.1:{port}/answer", None),
                    ("fragua run, GET /livez", serve.pid, f"http://127.0.0.1:{run_port}/livez", None),
                    ("fragua run, POST recognise", serve.pid, f"http://127.0.0.1:{run_port}/entities/v1/recognise",
                     script)]
        ours, peer = {s[0]: [] for s in subjects}, []
        for _ in range(7):
            peer.append(wrk(bed, nginx.pid, f"http://127.0.0.1:{nginx_port}/"))
            for name, pid, url, lua in subjects:
                ours[name].append(wrk(bed, pid, url, lua))
    for name, values in ours.items():
        add(f"HTTP {name}", "req/s", [v[0] for v in values], "nginx", [v[0] for v in peer], "> 10000")
        add("  CPU time a request", "us", [v[1] for v in values], "nginx", [v[1] for v in peer])


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def client(bed, n, *args):
    before, began = children_cpu(), time.monotonic()
    out = bed.run(*args, core=-1)
    seconds, cpu = time.monotonic() - began, children_cpu() - before
    found = re.search(r"(\d+) requests in", out)
    n = int(found[1]) if found else n
    return n / seconds, cpu * 1e6 / n


def figure_client(n=15000):
    with Bed() as bed:
        nginx, port = bed.nginx(core=0)
        url = f"http://127.0.0.1:{port}/"
        wait_ready(nginx, port, "/")
        ours, curl, wrks = [], [], []
        for _ in range(5):
            ours.append(client(bed, n, BUILD / "bench/bench-http-client", url, n, 32))
            curl.append(client(bed, n, "curl", "-sZ", "--parallel-max", 32, "-o", "/dev/null", f"{url}[1-{n // 5}]"))
            curl[-1] = (curl[-1][0] / 5, curl[-1][1] * 5)
            wrks.append(client(bed, n, "wrk", "-t1", "-c32", "-d1s", url))
    for name, peer in (("curl -Z", curl), ("wrk", wrks)):
        add("HTTP client, 32 at a time", "req/s", [v[0] for v in ours], name, [v[0] for v in peer], "> 10000")
        add("  CPU time a request", "us", [v[1] for v in ours], name, [v[1] for v in peer])


def figure_json():
    with Bed() as bed:
        lines = [line.split("\t") for line in bed.run(BUILD / "bench/bench-json", core=0).splitlines()]
    for name in dict.fromkeys(line[0] for line in lines):
        mine = [line for line in lines if line[0] == name]
        peer = "cJSON" if "JSON" in name else "librdkafka" if "murmur" in name else "OpenSSL"
        add(name, mine[0][1], [float(m[2]) for m in mine], peer, [float(m[3]) for m in mine])


def figure_throughput():
    stream.throughput(BUILD, FRAGUA)


def figure_latency():
    # after the other: the broker is warm then
    stream.latency(BUILD, FRAGUA)


def figure_reload():
    reload.reload(BUILD, FRAGUA)


def main():
    figures = {k[7:]: f for k, f in globals().items() if k.startswith("figure_")}
    unknown = [name for name in sys.argv[2:] if name not in figures]
    if unknown:
        sys.exit(f"run.sh: no figure \"{unknown[0]}\"; there are {' '.join(figures)}")
    failed = 0
    load = os.getloadavg()[0]
    began = time.monotonic()
    for name in (name for name in figures if name in (sys.argv[2:] or figures)):
        try:
            figures[name]()
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"run.sh: figure {name}: {error}", file=sys.stderr)
    stream.end()
    show()
    print(f"{len(CORES)} cores, load {load:.1f} before, {time.monotonic() - began:.0f} s. "
          "Ratio: fragua / peer, median of rounds.")
    (BUILD / "bench.json").write_text(json.dumps({"cores": len(CORES), "load_before": load, "figures": rows}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
