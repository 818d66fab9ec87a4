# SPDX-License-Identifier: Apache-2.0
"""`fragua topics`: what a pipeline file needs of Kafka, what is there, what differs; and making what is missing."""
import json
import os
import uuid
from pathlib import Path

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

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
  lines:
    source: {{plugin: source-lines, lines: [one, two]}}
    output: {{topic: {out}}}
    dead-letters: {{topic: {dead}}}
  print:
    input: {{topic: {out}}}
    sink: {{plugin: sink-log}}
    dead-letters: {{topic: {dead}}}
"""


@pytest.fixture
def world(fragua, kafka, free_port):
    """A file whose topics nobody has made yet; they are removed at the end."""

    class World:
        names = {word: f"{word}-{uuid.uuid4().hex[:8]}" for word in ("out", "dead", "cursors")}
        port = free_port()

        def __init__(self):
            self.file = fragua.config(FILE.format(bootstrap=kafka.plain, port=self.port, **self.names))

        def call(self, *words, code=0):
            return fragua.call("topics", "-c", self.file, "--plugin-dir", EXAMPLES, *words, code=code)

        def json(self, *words, code=0):
            return json.loads(self.call(*words, "--format", "json", code=code).stdout.text)

    yield World()
    there = set(kafka.admin.list_topics(timeout=30).topics) & set(World.names.values())
    for future in (kafka.admin.delete_topics(list(there)).values() if there else []):
        future.result(30)


def settings(kafka, topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return {name: entry.value for name, entry in kafka.admin.describe_configs([resource])[resource].result(30).items()}


def test_what_is_missing_is_made_and_the_pipelines_run_at_once(world, fragua, kafka, reader):
    answer = world.call(code=FAILED)
    for name in world.names.values():
        assert f"! {name}: it does not exist" in answer.stdout.text
    assert not set(world.names.values()) & set(kafka.admin.list_topics(timeout=30).topics), "asking makes no topic"

    answer = world.call("--create")
    for name in world.names.values():
        assert f"made {name}" in answer.stdout.lines
    process = fragua.run(world.file, "--plugin-dir", EXAMPLES, name="run")
    process.wait_ready(f"http://127.0.0.1:{world.port}/readyz")
    assert [message.value() for message in reader(world.names["out"], 2)] == [b"one", b"two"]
    process.stop()
    assert "does not exist" not in process.stderr.text

    assert settings(kafka, world.names["cursors"])["cleanup.policy"] == "compact"
    assert settings(kafka, world.names["out"])["cleanup.policy"] == "delete"
    found = {topic["name"]: topic for topic in world.json()["topics"]}
    assert found[world.names["cursors"]]["partitions"] == 12
    answer = world.call("--create")
    assert "made " not in answer.stdout.text, "what exists is not made again"


def test_each_topic_says_who_needs_it_and_as_what(world):
    answer = world.json("--create", "--partitions", "3", "--replication", "1")
    found = {topic["name"]: topic for topic in answer["topics"]}
    uses = {word: [(use["pipeline"], use["as"]) for use in found[name]["needed_by"]]
            for word, name in world.names.items()}
    assert uses == {"cursors": [("lines", "cursors")], "out": [("lines", "output"), ("print", "input")],
                    "dead": [("lines", "dead-letters"), ("print", "dead-letters")]}
    assert answer["complete"] is True and answer["brokers"] == 1
    for topic in found.values():
        assert (topic["exists"], topic["created"], topic["partitions"], topic["replication"]) == (True, True, 3, 1)
        assert topic["problems"] == []
        assert topic["max_message_bytes"] > 0 and topic["min_insync_replicas"] == 1
    assert "at most these 3 replicas" in found[world.names["cursors"]]["notes"][0]


@pytest.mark.parametrize("policy,part", [("delete", "is not compacted"), ("compact,delete", "removes old cursors")])
def test_cursors_that_would_be_forgotten_are_a_problem_and_stay_as_they_are(world, kafka, policy, part):
    kafka.new_topic(world.names["cursors"], 2, {"cleanup.policy": policy})
    answer = world.json("--create", code=FAILED)
    found = {topic["name"]: topic for topic in answer["topics"]}
    cursors = found[world.names["cursors"]]
    assert not cursors["created"] and cursors["partitions"] == 2
    assert len(cursors["problems"]) == 1 and part in cursors["problems"][0]
    assert settings(kafka, world.names["cursors"])["cleanup.policy"] == policy
    assert not answer["complete"] and found[world.names["out"]]["created"]


def test_settings_that_refuse_or_forget_records_are_told(world, kafka):
    kafka.new_topic(world.names["out"], 1, {"min.insync.replicas": "2", "max.message.bytes": "20000"})
    kafka.new_topic(world.names["dead"], 1, {"retention.ms": "-1"})
    kafka.new_topic(world.names["cursors"], 1, {"cleanup.policy": "compact"})
    text = world.call(code=FAILED).stdout.text
    out, dead, cursors = (world.names[word] for word in ("out", "dead", "cursors"))
    assert f"! {out}: it has 1 copy and min.insync.replicas=2: nothing can be written to it" in text
    assert f"- {out}: max.message.bytes=20000 is less than the 1000000 that are sent" in text
    assert f"- {dead}: kept longer than the brokers remember which letters were replayed" in text
    assert f"- {cursors}: 1 partition: at most 1 replica can share the mailboxes" in text


def test_a_kafka_that_is_not_there_is_told(world, fragua, free_port):
    answer = world.call("--set", f"kafka.\"bootstrap.servers\"=127.0.0.1:{free_port()}", code=FAILED)
    assert answer.stdout.text == "" and "fragua: Kafka" in answer.stderr.text


def test_a_broker_inside_the_process_cannot_be_looked_at(fragua):
    path = fragua.config("kafka: {embedded: true}\npipelines: {p: {input: {topic: t}, sink: {plugin: sink-log}}}\n")
    for command in (("topics",), ("replay",), ("tail", "t")):
        answer = fragua.call(command[0], "-c", path, "--plugin-dir", EXAMPLES, *command[1:], code=CONFIG)
        assert "the broker lives inside `fragua run`" in answer.stderr.text


def test_a_wrong_file_is_exit_78(fragua):
    answer = fragua.call("topics", "-c", fragua.config("nonsense: 1\n"), code=CONFIG)
    assert "unknown section" in answer.stderr.text
