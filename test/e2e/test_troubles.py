# SPDX-License-Identifier: Apache-2.0
"""What stands in the way is readable: each trouble has its reason in the pipeline's state; no mail is lost for it."""
import json
import signal
import time

import pytest
from confluent_kafka import Producer

from harness import http

CONSUMER = """
kafka:
  bootstrap.servers: {bootstrap}
{security}
http:
  listen: 127.0.0.1:{port}
  plugins: [{{plugin: http-control}}]
pipelines:
  recognise:
    input: {{topic: {documents}, group: {group}}}
    sink: {{plugin: sink-nlp, service: generic, url: "{url}", timeout: 2s}}
    output: {{topic: {entities}}}
    dead-letters: {{topic: {dead}, attempts: 2}}
"""

SERVICE = """
http:
  listen: 127.0.0.1:{port}
  plugins: [{{plugin: serve-entities}}, {{plugin: sim-graph, secret: nothing-to-hide}}]
"""


@pytest.fixture
def world(fragua, kafka, new_topic, free_port):
    """Topics, ports and a way to run the consumer with what a test changes; the service is not started."""

    class World:
        topics = {name: new_topic(name) for name in ("documents", "entities", "dead")}
        group = topics["documents"]
        service_port = free_port()
        port = free_port()
        service = f"http://127.0.0.1:{service_port}/entities/v1/recognise"
        base = f"http://127.0.0.1:{port}"

        def start_service(self):
            process = fragua.run(SERVICE.format(port=self.service_port), name=f"service-{len(fragua.processes)}")
            process.wait_ready(f"http://127.0.0.1:{self.service_port}/sim/v1/state")
            return process

        def run(self, **change):
            values = {"bootstrap": kafka.plain, "security": "", "port": self.port, "group": self.group,
                      "url": self.service, **self.topics, **change}
            return fragua.run(CONSUMER.format(**values), name=f"consumer-{len(fragua.processes)}")

        def send(self, *texts):
            producer = Producer({"bootstrap.servers": kafka.plain})
            for number, text in enumerate(texts):
                value = text if isinstance(text, bytes) else json.dumps(
                    {"id": f"d{number}", "mailbox": "info@contoso.example", "subject": "s", "text": text}).encode()
                producer.produce(self.topics["documents"], key=f"k{number}", value=value,
                                 headers={"ce_id": f"d{number}"})
            producer.flush(30)

        def trouble(self, process, wanted, timeout=30):
            """Waits until the pipeline's trouble satisfies wanted(pipeline); returns it."""
            deadline = time.monotonic() + timeout
            last = None
            while time.monotonic() < deadline:
                assert process.running, process.describe()
                try:
                    last = json.loads(http("GET", f"{self.base}/v1/pipelines/recognise")[2])
                except OSError:
                    last = None
                if last and wanted(last):
                    return last
            raise AssertionError(f"the state never came; last: {last}. {process.describe()}")

    return World()


def tls(kafka, who="client", ca="ca"):
    return (f"  tls: {{ca: {kafka.tls / ca / 'ca.crt'}, certificate: {kafka.tls / who / 'user.crt'}, "
            f"key: {kafka.tls / who / 'user.key'}}}")


def with_text(*words):
    """A pipeline with a trouble whose text has all the words, in any case."""
    return lambda pipeline: "trouble" in pipeline and all(
        word.lower() in pipeline["trouble"]["text"].lower() for word in words)


def test_no_kafka_is_told_and_waited_for(world, free_port):
    process = world.run(bootstrap=f"127.0.0.1:{free_port()}")
    pipeline = world.trouble(process, with_text("refused"))
    assert not pipeline["ready"] and pipeline["trouble"]["code"] == "unavailable"
    assert http("GET", f"{world.base}/readyz")[0] == 503
    assert http("GET", f"{world.base}/livez")[0] == 200
    process.stop()


def test_a_broker_of_an_unknown_ca_is_refused_by_us(world, kafka):
    process = world.run(bootstrap=kafka.ssl, security=tls(kafka, ca="stranger-ca"))
    world.trouble(process, with_text("certificate"))
    process.stop()


def test_a_certificate_of_a_stranger_is_refused_by_the_broker(world, kafka):
    process = world.run(bootstrap=kafka.ssl, security=tls(kafka, who="stranger"))
    world.trouble(process, with_text("certificate"))
    process.stop()


def test_a_wrong_password_is_told(world, kafka):
    secret = "not-the-password-8472"
    security = (f"  tls: {{ca: {kafka.tls / 'ca' / 'ca.crt'}}}\n"
                f"  sasl: {{mechanism: PLAIN, username: {kafka.user}, password: {secret}}}")
    process = world.run(bootstrap=kafka.sasl_ssl, security=security)
    pipeline = world.trouble(process, with_text("authentication"))
    assert pipeline["trouble"]["code"] == "auth"
    process.stop()
    assert secret not in process.stderr.text + process.stdout.text


def test_the_right_password_works(world, kafka, reader):
    service = world.start_service()
    world.send("EUR 5.00")
    security = (f"  tls: {{ca: {kafka.tls / 'ca' / 'ca.crt'}}}\n"
                f"  sasl: {{mechanism: PLAIN, username: {kafka.user}, password: {kafka.password}}}")
    process = world.run(bootstrap=kafka.sasl_ssl, security=security)
    assert json.loads(reader(world.topics["entities"], 1)[0].value())["entities"][0]["type"] == "MONEY"
    process.stop()
    service.stop()


def test_a_missing_topic_is_named(world):
    process = world.run(documents="no-such-topic")
    pipeline = world.trouble(process, with_text("no-such-topic", "does not exist"))
    assert not pipeline["ready"]
    process.stop()


def test_a_service_that_is_away_holds_the_pipeline_and_loses_nothing(world, reader):
    world.send("EUR 1.00", "EUR 2.00", "EUR 3.00")
    process = world.run()
    pipeline = world.trouble(process, lambda p: p["state"] == "troubled")
    assert pipeline["trouble"]["node"] == "sink" and pipeline["trouble"]["next_attempt_at"]
    service = world.start_service()
    records = reader(world.topics["entities"], 3)
    assert sorted(json.loads(record.value())["entities"][0]["text"] for record in records) == [
        "EUR 1.00", "EUR 2.00", "EUR 3.00"]
    world.trouble(process, lambda p: p["state"] == "running" and "trouble" not in p)
    assert reader(world.topics["dead"]) == []
    process.stop()
    service.stop()


def test_a_record_that_is_no_document_is_a_dead_letter_with_its_reason(world, reader):
    service = world.start_service()
    world.send("EUR 1.00", b"this is no JSON", "EUR 2.00")
    process = world.run()
    assert len(reader(world.topics["entities"], 2)) == 2
    dead = reader(world.topics["dead"], 1)[0]
    about = {name: value.decode() for name, value in dead.headers()}
    assert dead.value() == b"this is no JSON" and dead.key() == b"k1"
    assert about["fragua_stage"] == "sink" and about["fragua_pipeline"] == "recognise" and about["ce_id"] == "d1"
    assert about["fragua_origin"] == f"{world.topics['documents']}/0/1" and "no document" in about["fragua_reason"]
    assert about["fragua_code"] == "data" and about["fragua_attempts"] == "1"
    process.stop()
    service.stop()


def test_a_service_that_answers_garbage_costs_attempts_then_a_dead_letter(world, reader):
    service = world.start_service()
    simulator = f"http://127.0.0.1:{world.service_port}"
    assert http("POST", f"{simulator}/sim/v1/faults", {"call": "token", "garbage": True, "count": 100})[0] == 201
    world.send("EUR 1.00")
    process = world.run(url=f"{simulator}/any/oauth2/v2.0/token")  # answers 200, but no entities
    dead = reader(world.topics["dead"], 1)[0]
    about = {name: value.decode() for name, value in dead.headers()}
    assert about["fragua_attempts"] == "2" and about["fragua_stage"] == "sink" and "JSON" in about["fragua_reason"]
    process.stop()
    service.stop()


def test_pause_and_resume_stop_and_start(world, reader):
    service = world.start_service()
    process = world.run()
    process.wait_ready(f"{world.base}/readyz")
    assert http("POST", f"{world.base}/v1/pipelines/recognise/pause")[0] == 202
    world.trouble(process, lambda p: p["state"] == "paused")
    world.send("EUR 1.00")
    assert http("POST", f"{world.base}/v1/pipelines/recognise/resume")[0] == 202
    reader(world.topics["entities"], 1)
    assert http("POST", f"{world.base}/v1/pipelines/recognise/stop")[0] == 202
    world.trouble(process, lambda p: p["state"] == "stopped")
    world.send("EUR 2.00")
    assert http("POST", f"{world.base}/v1/pipelines/recognise/start")[0] == 202
    assert len(reader(world.topics["entities"], 2)) == 2
    assert http("POST", f"{world.base}/v1/pipelines/nobody/stop")[0] == 404
    process.stop()
    service.stop()


def test_a_stop_while_the_service_hangs_ends_in_time(world):
    world.send("EUR 1.00")
    process = world.run()
    world.trouble(process, lambda p: p["state"] == "troubled")
    process.signal(signal.SIGTERM)
    process.wait_log("draining")  # two signals at once would be one
    process.signal(signal.SIGTERM)
    process.wait_exit(0, timeout=10)


def test_a_new_group_can_start_at_the_end(world, fragua, reader):
    service = world.start_service()
    world.send("EUR 1.00")
    text = CONSUMER.replace("group: {group}", "group: {group}, from: end")
    values = {"bootstrap": reader.__self__.plain, "security": "", "port": world.port, "group": world.group,
              "url": world.service, **world.topics}
    process = fragua.run(text.format(**values), name="late")
    process.wait_ready(f"{world.base}/readyz")
    records = []
    deadline = time.monotonic() + 30
    while not records and time.monotonic() < deadline:
        world.send("EUR 2.00")  # the end is where it was when the partition was looked at, some time after readiness
        records = reader(world.topics["entities"])
    assert {json.loads(record.value())["entities"][0]["text"] for record in records} == {"EUR 2.00"}
    process.stop()
    service.stop()
