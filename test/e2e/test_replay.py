# SPDX-License-Identifier: Apache-2.0
"""`fragua replay`: dead letters back to where they came from, each once, whatever happens to the replay."""
import http.server
import json
import os
import re
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer

CONFIG, FAILED, USAGE = 78, 1, 64
EXAMPLES = Path(os.environ.get("FRAGUA_BIN", "build/core/fragua")).resolve().parents[1] / "examples" / "plugins"

FILE = """
kafka:
  bootstrap.servers: {bootstrap}
  cursors-topic: {cursors}
http:
  listen: 127.0.0.1:{port}
  plugins: [{{plugin: http-control}}]
pipelines:
  recognise:
    input: {{topic: {documents}, group: {documents}}}
    sink: {{plugin: sink-nlp, service: generic, url: "{url}"}}
    output: {{topic: {entities}}}
    dead-letters: {{topic: {dead}, attempts: 2}}
"""

LINES = """
kafka: {{bootstrap.servers: {bootstrap}, cursors-topic: {cursors}}}
pipelines:
  lines:
    source: {{plugin: source-lines, lines: [unused]}}
    transforms: [{{plugin: transform-upper}}]
    output: {{topic: {documents}}}
    dead-letters: {{topic: {dead}}}
"""


class Service(http.server.ThreadingHTTPServer):
    """An entity service that refuses what holds a word it does not like, until it is mended."""

    daemon_threads = True

    class RequestHandlerClass(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            text = json.loads(self.rfile.read(int(self.headers["content-length"])))["text"]
            bad = self.server.refuses and self.server.refuses in text
            body = b"{}" if bad else json.dumps({"entities": []}).encode()
            self.send_response(422 if bad else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)
        self.refuses = "poison"
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def service():
    with Service() as running:
        yield running
        running.shutdown()


@pytest.fixture
def world(fragua, kafka, new_topic, free_port, service):

    class World:
        topics = {word: new_topic(word) for word in ("documents", "entities", "dead")}
        cursors = new_topic("cursors", config={"cleanup.policy": "compact"})
        port = free_port()

        def __init__(self):
            values = {"bootstrap": kafka.plain, "port": self.port, "cursors": self.cursors,
                      "url": f"http://127.0.0.1:{service.server_port}/", **self.topics}
            self.file = fragua.config(FILE.format(**values))
            self.lines = fragua.config(LINES.format(**values), "lines.yaml")

        def run(self):
            process = fragua.run(self.file, name="consumer")
            process.wait_ready(f"http://127.0.0.1:{self.port}/readyz", timeout=30)
            return process

        def send(self, texts):
            producer = Producer({"bootstrap.servers": kafka.plain})
            for number, text in enumerate(texts):
                value = {"id": f"d{number}", "mailbox": "info@contoso.example", "subject": "s", "text": text}
                producer.produce(self.topics["documents"], key=f"k{number}", value=json.dumps(value),
                                 headers={"ce_id": f"d{number}", "ce_type": "fragua.mail.document.v1"})
            producer.flush(30)

        def letters(self, count, pipeline="recognise", origin=None):
            """Letters as a pipeline writes them, without one."""
            producer = Producer({"bootstrap.servers": kafka.plain})
            for number in range(count):
                producer.produce(self.topics["dead"], key=f"k{number % 7}", value=f"v{number}", headers=[
                    ("ce_id", f"d{number}"), ("fragua_reason", "no reason"), ("fragua_code", "refused"),
                    ("fragua_stage", "sink"), ("fragua_pipeline", pipeline), ("fragua_attempts", "1"),
                    ("fragua_origin", origin or f"{self.topics['documents']}/0/{number}")])
            producer.flush(30)

        def words(self, *more, file=None):
            return ("replay", "-c", file or self.file, "--plugin-dir", EXAMPLES, *more)

        def replay(self, *more, code=0, file=None):
            return fragua.call(*self.words(*more, file=file), code=code, timeout=60)

    return World()


def headers(message):
    return {name: value.decode() for name, value in message.headers()}


def test_a_mended_record_becomes_its_entities_exactly_once(world, service, reader):
    process = world.run()
    world.send(["good", "some poison in it", "good too"])
    dead = reader(world.topics["dead"], 1)[0]
    assert headers(dead)["fragua_stage"] == "sink" and b"poison" in dead.value()
    reader(world.topics["entities"], 2)

    service.refuses = None
    answer = world.replay()
    assert answer.stdout.text.strip() == f"1 letter replayed to {world.topics['documents']}, 0 left"
    records = [json.loads(message.value()) for message in reader(world.topics["entities"], 3)]
    assert sorted(record["document"]["id"] for record in records) == ["d0", "d1", "d2"]
    back = reader(world.topics["documents"])[-1]
    assert back.value() == dead.value() and back.key() == dead.key()
    assert headers(back) == {"ce_id": "d1", "ce_type": "fragua.mail.document.v1",
                             "fragua_replayed": f"{world.topics['dead']}/0/{dead.offset()}"}

    assert world.replay().stdout.text.strip() == "no letter replayed, 0 left"
    process.stop()
    assert len(reader(world.topics["entities"])) == 3, "nothing came twice"
    assert len(reader(world.topics["dead"])) == 1


def test_what_dies_again_does_not_go_round(world, reader):
    process = world.run()
    world.send(["poison"])
    reader(world.topics["dead"], 1)
    world.replay()
    again = reader(world.topics["dead"], 2)[1]
    assert headers(again)["fragua_replayed"] == f"{world.topics['dead']}/0/{reader(world.topics['dead'])[0].offset()}"
    process.stop()
    answer = json.loads(world.replay("--format", "json", "--dry-run").stdout.lines[0])
    assert answer["id"] == f"{world.topics['dead']}/0/{again.offset()}", "only the new one is left to replay"


def test_a_dry_run_says_what_would_go_where(world, kafka, reader):
    world.letters(3)
    answer = world.replay("--dry-run")
    place = f"{world.topics['dead']}/0/0: recognise, sink: no reason -> {world.topics['documents']}"
    assert answer.stdout.lines[0] == place and len(answer.stdout.lines) == 4
    assert answer.stdout.lines[-1] == f"3 letters would be replayed to {world.topics['documents']}, 0 left"
    assert reader(world.topics["documents"]) == []
    groups = kafka.admin.list_consumer_groups(request_timeout=30).result(30).valid
    assert f"fragua-replay-{world.topics['dead']}" not in [group.group_id for group in groups]


def test_filters_choose_and_the_rest_stays(world, reader):
    world.letters(14)
    answer = world.replay("--filter", "key=k3", "--filter", "key=k5", "--filter", "reason=NO REASON")
    assert answer.stdout.text.strip() == f"4 letters replayed to {world.topics['documents']}, 0 left, 10 not chosen"
    assert Counter(message.key() for message in reader(world.topics["documents"])) == {b"k3": 2, b"k5": 2}
    assert world.replay("--pipeline", "recognise", "--limit", "1").stdout.text.startswith("1 letter replayed")
    world.replay()
    assert sorted(message.value() for message in reader(world.topics["documents"])) == \
        sorted(f"v{number}".encode() for number in range(14))


def test_a_sources_letter_goes_through_the_transforms_here(world, reader):
    world.letters(2, pipeline="lines", origin="file/lines")
    answer = world.replay(file=world.lines)
    assert answer.stdout.text.strip() == f"2 letters replayed to {world.topics['documents']}, 0 left"
    records = reader(world.topics["documents"])
    assert [record.value() for record in records] == [b"V0", b"V1"]
    assert headers(records[1])["fragua_replayed"] == f"{world.topics['dead']}/0/1"
    assert "fragua_reason" not in headers(records[1])


def test_what_cannot_go_back_is_left_and_told(world, reader):
    world.letters(1, origin="elsewhere/0/7")
    world.letters(1)
    answer = world.replay(code=FAILED)
    assert "left: topic \"elsewhere\" is no input of this file" in answer.stderr.text
    assert answer.stdout.text.strip() == f"1 letter replayed to {world.topics['documents']}, 1 left"
    lines = [json.loads(line) for line in world.replay("--format", "json", code=FAILED).stdout.lines]
    assert lines[0]["result"] == "left" and lines[1]["summary"]["replayed_before"] == 1
    assert len(reader(world.topics["documents"])) == 1


LETTERS = 4000


def replay_until(fragua, world, pattern):
    """A replay that has committed its first letters."""
    process = fragua.start(*world.words("--format", "json"), name=f"replay-{len(fragua.processes)}")
    process.wait_log(pattern, stream="stdout", timeout=60)
    return process


def expect_each_once(world, reader):
    values = Counter(message.value() for message in reader(world.topics["documents"]))
    assert values == {f"v{number}".encode(): 1 for number in range(LETTERS)}


def test_killed_in_the_middle_and_begun_again_it_replays_none_twice(world, fragua, reader):
    world.letters(LETTERS)
    process = replay_until(fragua, world, '"replayed"')
    process.kill()
    before = len(reader(world.topics["documents"]))
    assert 0 < before < LETTERS
    answer = world.replay()
    assert re.match(rf"{LETTERS - before} letters replayed", answer.stdout.text)
    expect_each_once(world, reader)


def test_interrupted_it_ends_in_order_and_goes_on_later(world, fragua, reader):
    world.letters(LETTERS)
    process = replay_until(fragua, world, '"replayed"')
    process.signal(signal.SIGINT)
    process.wait_exit(FAILED)
    summary = json.loads(process.stdout.lines[-1])["summary"]
    assert summary["interrupted"] and 0 < summary["replayed"] < LETTERS
    assert len(reader(world.topics["documents"])) == summary["replayed"]
    world.replay()
    expect_each_once(world, reader)


def test_two_at_the_same_time_replay_none_twice(world, fragua, reader):
    world.letters(LETTERS)
    first = replay_until(fragua, world, '"replayed"')
    second = fragua.start(*world.words(), name="second")
    first.wait_exit(timeout=90)
    second.wait_exit(timeout=90)
    for process in (first, second):
        assert process.code == 0 or "another replay of" in process.stderr.text, process.describe()
    world.replay()
    expect_each_once(world, reader)


def test_wrong_names_are_told(world, fragua):
    assert "no pipeline \"nope\"" in world.replay("--pipeline", "nope", code=USAGE).stderr.text
    assert "is no dead-letter topic" in world.replay("--topic", "nope", code=USAGE).stderr.text
    assert "a filter is reason, code" in world.replay("--filter", "colour=red", code=USAGE).stderr.text
    assert "since is a time like" in world.replay("--filter", "since=noon", code=USAGE).stderr.text
