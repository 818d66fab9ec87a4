# SPDX-License-Identifier: Apache-2.0
"""A record that ends the process is not tried for ever: its attempts are counted over restarts, and then it is dead."""
import json
import os
from pathlib import Path

from confluent_kafka import Producer

PLUGINS = Path(os.environ.get("FRAGUA_BIN", "/nowhere")).resolve().parents[1] / "test" / "plugins"
ATTEMPTS = 2
LIVES_MAX = 14  # one that commits, five without, ATTEMPTS with its name known, one that gives the record up
RECORDS = 30
POISON = 12

PIPE = """
kafka: {{bootstrap.servers: "{bootstrap}", properties: {{session.timeout.ms: 3000, heartbeat.interval.ms: 500}}}}
pipelines:
  forge:
    input: {{topic: {source}, group: {source}}}
    transforms: [{{plugin: good-until, word: poison}}]
    output: {{topic: {target}}}
    dead-letters: {{topic: {dead}, attempts: {attempts}}}
"""


def fill(kafka, topic):
    producer = Producer({"bootstrap.servers": kafka.plain})
    for number in range(RECORDS):
        word = "poison" if number == POISON else "good"
        producer.produce(topic, key=f"k{number % 3}", value=json.dumps({"n": number, "word": word}))
    producer.flush()


def test_a_record_that_ends_the_process_becomes_a_dead_letter(kafka, fragua, new_topic, reader):
    names = {name: new_topic(name) for name in ("source", "target", "dead")}
    text = PIPE.format(bootstrap=kafka.plain, attempts=ATTEMPTS, **names)
    fill(kafka, names["source"])
    for life in range(1, LIVES_MAX + 1):
        process = fragua.run(text, "--plugin-dir", PLUGINS, name=f"life-{life}")
        # it ends by itself, or has nothing left to end it
        dead = []
        while process.running and not dead:
            dead = reader(names["dead"], timeout=10)
        if dead:
            break
    assert dead, f"after {LIVES_MAX} lives the record is tried still. {process.describe()}"
    headers = {name: value.decode() for name, value in dead[0].headers()}
    assert headers["fragua_stage"] == "process"
    assert headers["fragua_attempts"] == str(ATTEMPTS)
    assert headers["fragua_origin"] == f"{names['source']}/0/{POISON}"
    assert f"ended {ATTEMPTS} times while this record was in hand" in headers["fragua_reason"]
    good = reader(names["target"], count=RECORDS - 1, timeout=30)
    numbers = [json.loads(record.value())["n"] for record in good]
    assert numbers == [n for n in range(RECORDS) if n != POISON]
    assert life >= ATTEMPTS + 1
    process.stop()
    assert len(reader(names["target"], timeout=2)) == RECORDS - 1
