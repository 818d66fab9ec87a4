# SPDX-License-Identifier: Apache-2.0
"""`fragua tail`: the committed records of a topic, as people or programs read them."""
import base64
import json
import os
import signal
from pathlib import Path

import pytest
from confluent_kafka import Producer

CONFIG, FAILED, USAGE = 78, 1, 64
EXAMPLES = Path(os.environ.get("FRAGUA_BIN", "build/core/fragua")).resolve().parents[1] / "examples" / "plugins"

FILE = """
kafka: {{bootstrap.servers: {bootstrap}}}
pipelines:
  work:
    input: {{topic: {topic}}}
    transforms: [{{plugin: transform-upper}}]
    output: {{topic: {topic}-out, rows: {topic}-rows}}
    dead-letters: {{topic: {topic}-dead}}
"""


@pytest.fixture
def world(fragua, kafka, new_topic):

    class World:
        topic = new_topic("tail", partitions=2)
        file = fragua.config(FILE.format(bootstrap=kafka.plain, topic=topic))

        def words(self, *more):
            return ("tail", "-c", self.file, "--plugin-dir", EXAMPLES, *more)

        def tail(self, *more, code=0):
            return fragua.call(*self.words(*more), code=code, timeout=60)

        def json(self, *more):
            return [json.loads(line) for line in self.tail(*more, "--format", "json").stdout.lines]

        def send(self, *values, topic=None, partition=0, headers=None, key=b"k", timestamp=0):
            producer = Producer({"bootstrap.servers": kafka.plain})
            for value in values:
                producer.produce(topic or self.topic, key=key, value=value, partition=partition, headers=headers,
                                 timestamp=timestamp)
            producer.flush(30)

    return World()


def test_json_is_one_object_a_line(world):
    world.send(b'{"a": [1,\n 2]}', headers=[("ce_id", "1"), ("twice", "x"), ("twice", "y")], timestamp=1772438400250)
    world.send(b"plain text", None, b"\xff\x00", b"[broken")
    records = world.json(world.topic, "--from", "beginning")
    assert records[0] == {"topic": world.topic, "partition": 0, "offset": 0, "timestamp": "2026-03-02T08:00:00.250Z",
                          "key": "k", "headers": {"ce_id": "1", "twice": ["x", "y"]}, "value": {"a": [1, 2]}}
    assert [record.get("value") for record in records[1:3]] == ["plain text", None]
    assert base64.b64decode(records[3]["value_base64"]) == b"\xff\x00" and records[4]["value"] == "[broken"


def test_pretty_shows_what_a_person_looks_for(world, new_topic):
    document = {"subject": "Invoice 4711", "from": {"name": "Purchasing", "address": "purchasing@fabrikam.example"},
                "text": "Dear all,\nthe total is EUR 5"}
    entities = {"document": {"subject": "Invoice 4711"}, "counts": {"MONEY": 2, "DATE": 1}, "text": "x"}
    dead = [("fragua_reason", "the service said 422"), ("fragua_code", "refused"), ("fragua_stage", "sink"),
            ("fragua_pipeline", "work"), ("fragua_attempts", "5"), ("fragua_origin", "mail.documents/0/17")]
    world.send(json.dumps(document).encode(), headers=[("ce_type", "fragua.mail.document.v1")])
    world.send(json.dumps(entities).encode())
    world.send(b"whatever", headers=dead)
    text = world.tail(world.topic, "--from", "beginning").stdout.text
    assert f"{world.topic}/0/0  fragua.mail.document.v1" in text
    for line in ("  subject  Invoice 4711", "  from     Purchasing <purchasing@fabrikam.example>",
                 "  text     Dear all,", "  found    MONEY 2, DATE 1", "  dead     the service said 422",
                 "  at       work, sink (refused), attempts 5", "  origin   mail.documents/0/17",
                 "  value    whatever", "  key      k"):
        assert line in text.split("\n"), (line, text)
    assert "\033" not in text, "no colours where nobody sees them"


def test_a_record_cannot_write_to_the_terminal(world):
    world.send("\033[2Jgone\u202e\u0007".encode(), json.dumps({"subject": "\033]0;title\007"}).encode(), key=b"\033[1m",
               headers=[("ce_type", "\033[31m")])
    text = world.tail(world.topic, "--from", "beginning").stdout.text
    assert "gone" in text and "\033" not in text and "\007" not in text and "\u202e" not in text


def values(records):
    return [record["value"] for record in records]


def test_where_it_begins_and_how_many(world):
    world.send(*[f"v{number}" for number in range(20)], timestamp=1772438400000)
    world.send("late", timestamp=1772438460000)
    assert len(values(world.json(world.topic, "--from", "beginning"))) == 21
    assert values(world.json(world.topic, "--from", "18")) == ["v18", "v19", "late"]
    assert values(world.json(world.topic, "--from", "-2")) == ["v19", "late"]
    assert len(world.json(world.topic)) == 10, "the last ten"
    assert values(world.json(world.topic, "--from", "beginning", "--count", "3")) == ["v0", "v1", "v2"]
    assert values(world.json(world.topic, "--from", "2026-03-02T08:00:30Z")) == ["late"]
    assert world.json(world.topic, "--from", "2026-03-02T09:00:00Z") == []
    assert len(world.json(world.topic, "--from", "10000d")) == 21
    assert world.json(world.topic, "--from", "end") == []


def test_only_what_is_committed_is_shown(world, kafka):
    producer = Producer({"bootstrap.servers": kafka.plain, "transactional.id": world.topic})
    producer.init_transactions(30)
    for value, commit in ((b"one", True), (b"aborted", False), (b"two", True)):
        producer.begin_transaction()
        producer.produce(world.topic, value, partition=0)
        producer.flush(30)
        producer.commit_transaction(30) if commit else producer.abort_transaction(30)
    assert values(world.json(world.topic, "--from", "beginning")) == ["one", "two"]


def test_following_it_waits_for_more_and_a_signal_ends_it(world, fragua):
    world.send("old")
    process = fragua.start(*world.words(world.topic, "--follow", "--from", "beginning"), name="tail")
    process.wait_log("value    old", stream="stdout", timeout=30)
    world.send("new", partition=1)
    process.wait_log("value    new", stream="stdout", timeout=30)
    process.signal(signal.SIGINT)
    process.wait_exit(0)
    assert process.stderr.text == ""


def test_words_of_the_file_name_its_topics(world, kafka):
    made = {word: kafka.new_topic(f"{world.topic}-{word}") for word in ("out", "rows", "dead")}
    for word, name in made.items():
        world.send(word, topic=name)
    world.send("input")
    for word, value in (("work.output", "out"), ("work.rows", "rows"), ("work.dead", "dead"), ("dead", "dead"),
                        ("work.input", "input"), (made["rows"], "rows")):
        assert values(world.json(word, "--from", "beginning")) == [value], word
    for future in kafka.admin.delete_topics(list(made.values())).values():
        future.result(30)


def test_offsets_that_are_gone_are_told(world, kafka):
    from confluent_kafka import TopicPartition
    world.send("a", "b", "c")
    for future in kafka.admin.delete_records([TopicPartition(world.topic, 0, 2)]).values():
        future.result(30)
    answer = world.tail(world.topic, "--from", "0", "--format", "json")
    assert [json.loads(line)["value"] for line in answer.stdout.lines] == ["c"]


def test_what_is_wrong_is_told(world):
    answer = world.tail(world.topic + "x", code=FAILED)
    assert f"there is no topic \"{world.topic}x\"; did you mean \"{world.topic}\"?" in answer.stderr.text
    assert "--from is beginning, end" in world.tail(world.topic, "--from", "somewhere", code=USAGE).stderr.text
    assert "usage: fragua tail" in world.tail(code=USAGE).stderr.text
    assert "--format is pretty or json" in world.tail(world.topic, "--format", "xml", code=USAGE).stderr.text
