# SPDX-License-Identifier: Apache-2.0
"""`limits.memory` holds: whatever stands still or is large, a process stays within its byte budget and 32 MiB."""
import collections
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from confluent_kafka import Producer

from harness import http

MIB = 1 << 20
BESIDES = 32 * MIB  # the program, its libraries, threads, and what malloc cannot give back
TEXT = "The total of PO-2026-99999 is EUR 17.25, due on 2026-03-03. "
LARGE = 25 * 1000 * 1000

CONSUMER = """
kafka: {{bootstrap.servers: "{bootstrap}"}}
http:
  listen: 127.0.0.1:{port}
  plugins: [{{plugin: http-control}}]
limits: {{memory: {memory}, workers: 2}}
pipelines:
  recognise:
    input: {{topic: {documents}, group: {group}}}
    sink: {{plugin: sink-nlp, service: generic, url: "{url}", timeout: 20s}}
    output: {{topic: {entities}}}
    dead-letters: {{topic: {dead}, attempts: 5}}
"""

PRODUCER = """
kafka: {{bootstrap.servers: "{bootstrap}"}}
http:
  listen: 127.0.0.1:{port}
  plugins: [{{plugin: http-control}}]
limits: {{memory: {memory}, workers: 2}}
pipelines:
  ingest:
    source:
      plugin: source-graphmail
      tenant: contoso.example
      client: sim
      credential: {{secret: not-a-secret}}
      mailboxes: {{domain: contoso.example}}
      poll: 1s
      graph: "{graph}"
      login: "{graph}"
    transforms: [{{plugin: transform-tabulate}}]
    output: {{topic: {documents}}}
    dead-letters: {{topic: {dead}, attempts: 5}}
"""

SIMULATOR = """
http:
  listen: 127.0.0.1:{port}
  plugins: [{{plugin: sim-graph, client: sim, secret: not-a-secret, mails: "{mails}"}}]
"""


class Service(ThreadingHTTPServer):
    """An entity service that answers as `mode` says: ok, busy (429), or slow (each answer takes 50 ms)."""

    daemon_threads = True
    request_queue_size = 64

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            self.server.asked += 1
            left = int(self.headers["content-length"])
            while left > 0:
                left -= len(self.rfile.read(min(left, 65536)))
            mode = self.server.mode
            if mode == "slow":
                threading.Event().wait(0.05)
            self.send_response(429 if mode == "busy" else 200)
            if mode == "busy":
                self.send_header("retry-after", "1")
            body = b'{"entities":[]}'
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.mode, self.asked = "ok", 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/"


@pytest.fixture
def service():
    server = Service()
    yield server
    server.shutdown()
    server.server_close()


class Watch:
    """Asks a process for its metrics over and over: the byte budget is never passed."""

    def __init__(self, process, base, budget):
        self.process, self.base, self.budget = process, base, budget
        self.in_flight, self.room, self.stalls = [], [], [0, 0]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def values(self, *names):
        text = http("GET", f"{self.base}/metrics")[2].decode()
        return [float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)[1]) for name in names]

    def value(self, name):
        return self.values(name)[0]

    def _ask(self):
        names = ("fragua_bytes_in_flight", "fragua_bytes_budget", 'fragua_loop_stall_seconds_max{window="start"}',
                 'fragua_loop_stall_cpu_seconds_max{window="start"}')
        while not self._stop.wait(0.02):
            try:
                used, budget, *self.stalls = self.values(*names)
            except OSError:
                continue
            self.in_flight.append(used)
            self.room.append(budget - used)

    def wait(self, reached, timeout=120):
        """Until reached() holds; it can only be asked."""
        deadline = time.monotonic() + timeout
        while not reached():
            assert self.process.running, self.process.describe()
            assert time.monotonic() < deadline, f"not reached; {self.process.describe()}"
            threading.Event().wait(0.02)

    def check(self):
        """What was seen so far keeps to the budget, and so does the process."""
        peak = int(re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text(), re.M)[1])
        print(f"{self.process.name}: peak RSS {peak / 1024:.1f} MiB, most in flight {max(self.in_flight) / MIB:.1f} "
              f"MiB of {self.budget / MIB:.0f}, least room {min(self.room) / MIB:.1f}, asked {len(self.room)} times, "
              f"longest stall {1000 * self.stalls[0]:.1f} ms, {1000 * self.stalls[1]:.1f} ms of it at work")
        assert min(self.room) >= 0
        if not self.process.mapped("libasan"):  # a sanitizer's shadow is no part of the program
            assert peak * 1024 <= self.budget + BESIDES

    def end(self):
        self._stop.set()
        self._thread.join()
        self.check()


def document(number, size):
    text = (TEXT * (size // len(TEXT) + 1))[:size]
    return json.dumps({"id": f"d{number}", "mailbox": "info@contoso.example", "subject": "s", "text": text}).encode()


def fill(kafka, topic, count, size):
    producer = Producer({"bootstrap.servers": kafka.plain, "queue.buffering.max.kbytes": 65536, "linger.ms": 5})
    for number in range(count):
        while True:
            try:
                producer.produce(topic, key=f"k{number}", value=document(number, size), headers={"ce_id": f"d{number}"})
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0


@pytest.fixture
def consume(fragua, kafka, new_topic, free_port, service):
    """consume(budget, count, size, mode) -> (Watch, entities topic): a consumer at work on a topic that is full."""

    def run(budget, count, size, mode):
        documents, entities, dead = new_topic("documents", 4), new_topic("entities", 4), new_topic("dead")
        fill(kafka, documents, count, size)
        assert count * size >= 4 * budget
        service.mode = mode
        port = free_port()
        process = fragua.run(CONSUMER.format(
            bootstrap=kafka.plain, port=port, memory=budget, documents=documents, group=documents, entities=entities,
            dead=dead, url=service.url), name="consumer")
        base = f"http://127.0.0.1:{port}"
        process.wait_ready(f"{base}/livez")
        return Watch(process, base, budget), entities, dead

    return run


def once(messages, count):
    """Each of the documents d0 .. d(count-1) exactly once."""
    ids = collections.Counter(json.loads(message.value())["document"]["id"] for message in messages)
    assert ids == {f"d{number}": 1 for number in range(count)}


def test_a_service_that_answers_429_and_then_slowly(consume, service, reader):
    watch, entities, dead = consume(16 * MIB, 700, 100_000, "busy")
    watch.wait(lambda: service.asked >= 8)  # held off, one asks now and then, with all the input there is room for
    held = watch.value("fragua_bytes_in_flight")
    watch.check()
    service.mode = "slow"
    once(reader(entities, 700, timeout=180), 700)
    assert reader(dead) == [] and held > MIB
    watch.end()


@pytest.fixture
def simulator(fragua, free_port, tmp_path):
    """simulator(mails) -> base URL of a sim-graph over these mails: (mailbox, number, body)."""

    def run(mails):
        folder = tmp_path / "mails"
        for mailbox, number, body in mails:
            path = folder / f"{mailbox}@contoso.example" / "inbox" / f"{number:05}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(mail(number, body)))
        port = free_port()
        process = fragua.run(SIMULATOR.format(port=port, mails=folder), name="simulator")
        process.wait_ready(f"http://127.0.0.1:{port}/sim/v1/state", timeout=60)
        return f"http://127.0.0.1:{port}"

    return run


def mail(number, body):
    return {"id": f"m{number}", "changeKey": "1", "conversationId": f"c{number}", "subject": f"mail {number}",
            "internetMessageId": f"<{number}@fabrikam.example>", "receivedDateTime": "2026-03-03T09:00:00Z",
            "createdDateTime": "2026-03-03T09:00:00Z", "lastModifiedDateTime": "2026-03-03T09:00:00Z",
            "body": {"contentType": "html", "content": body}}


def test_a_dead_broker(fragua, kafka_bed, simulator, free_port):
    budget, count, size = 24 * MIB, 1010, 100_000
    kafka = kafka_bed.start()
    for name, partitions in {"documents": 4, "dead": 1, "fragua.cursors": 4}.items():
        kafka.new_topic(name, partitions, {"cleanup.policy": "compact"} if name == "fragua.cursors" else {})
    html = "<p>" + TEXT * (size // len(TEXT)) + "</p>"
    graph = simulator((f"box{number % 8}", number, html) for number in range(count))
    port = free_port()
    process = fragua.run(PRODUCER.format(bootstrap=kafka.plain, port=port, memory=budget, graph=graph, dead="dead",
                                         documents="documents"), name="producer")
    base = f"http://127.0.0.1:{port}"
    process.wait_ready(f"{base}/livez")
    watch = Watch(process, base, budget)
    watch.wait(lambda: watch.in_flight and watch.in_flight[-1] > MIB)
    kafka_bed.kill()
    watch.wait(lambda: json.loads(http("GET", f"{base}/v1/pipelines/ingest")[2])["state"] in ("troubled", "failed"))
    seen = len(watch.in_flight)
    watch.wait(lambda: len(watch.in_flight) > seen + 100)
    watch.check()
    kafka_bed.up()
    documents = kafka.read("documents", count, timeout=180)
    assert len({json.loads(message.value())["id"] for message in documents}) == count
    watch.end()
    process.stop()
    assert len(kafka.read("documents")) == count


def test_mails_of_25_mb(fragua, kafka, new_topic, simulator, free_port, reader):
    budget, count = 64 * MIB, 11
    assert count * LARGE >= 4 * budget
    kafka.new_topic("fragua.cursors", 4, {"cleanup.policy": "compact"})
    try:
        picture = "<p>" + TEXT + '</p><img src="data:image/png;base64,' + "iVBORw0KGgo=" * (LARGE // 12) + '">'
        graph = simulator((f"box{number % 4}", number, picture) for number in range(count))
        documents = new_topic("documents", 2)
        dead, port = new_topic("dead"), free_port()
        process = fragua.run(PRODUCER.format(bootstrap=kafka.plain, port=port, memory=budget, graph=graph, dead=dead,
                                             documents=documents), name="producer")
        base = f"http://127.0.0.1:{port}"
        process.wait_ready(f"{base}/livez")
        watch = Watch(process, base, budget)
        messages = reader(documents, count, timeout=180)
        assert len({json.loads(message.value())["id"] for message in messages}) == count
        assert reader(dead) == []
        watch.end()
        process.stop()
    finally:
        kafka.admin.delete_topics(["fragua.cursors"])["fragua.cursors"].result(30)
