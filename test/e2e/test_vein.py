# SPDX-License-Identifier: Apache-2.0
"""The first vein: every mail of the sample mailboxes goes all the way, from config/*.yaml, over mutual TLS."""
import json
import subprocess
import time
from collections import Counter

import pytest

from conftest import TOP
from harness import http

CONFIG = TOP / "config"
MAILS = TOP / "plugins" / "sim-graph" / "mails"
SECRET = "e2e-secret-4711"
TOPICS = {
    "mail.documents": (4, {}),
    "mail.entities": (4, {}),
    "mail.dead": (1, {}),
    "fragua.cursors": (4, {"cleanup.policy": "compact"}),
}


def mails():
    return sorted(MAILS.glob("*/*/*.eml"))


@pytest.fixture
def topics(kafka):
    """The topics that config/*.yaml name, new for this test."""
    for name, (partitions, config) in TOPICS.items():
        kafka.new_topic(name, partitions, config)
    yield
    for future in kafka.admin.delete_topics(list(TOPICS)).values():
        future.result(30)


@pytest.fixture
def simulators(fragua, free_port):
    """sim-graph and serve-entities from config/simulators.yaml; returns their base URL."""
    port = free_port()
    env = {"HTTP_LISTEN": f"127.0.0.1:{port}", "GRAPH_SECRET": SECRET, "SIM_MAILS": MAILS}
    process = fragua.run(CONFIG / "simulators.yaml", name="simulators", env=env)
    process.wait_ready(f"http://127.0.0.1:{port}/sim/v1/state")
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def environment(kafka, simulators):
    """What config/*.yaml take from the environment."""
    return {
        "KAFKA_BOOTSTRAP": kafka.ssl,
        "KAFKA_CA": kafka.tls / "ca",
        "KAFKA_CERTIFICATE": kafka.tls / "client" / "user.crt",
        "KAFKA_KEY": kafka.tls / "client" / "user.key",
        "GRAPH_URL": simulators,
        "LOGIN_URL": simulators,
        "GRAPH_SECRET": SECRET,
        "NLP_SERVICE": "generic",
        "NLP_URL": simulators + "/entities/v1/recognise",
    }


@pytest.fixture
def start(fragua, environment, free_port):
    """start(file, role, **env) -> (process, base URL), ready."""

    def run(file, role="both", name=None, **more):
        port = free_port()
        env = {**environment, "HTTP_LISTEN": f"127.0.0.1:{port}", **more}
        process = fragua.run(CONFIG / file, "--role", role, name=name or role, env=env)
        process.wait_ready(f"http://127.0.0.1:{port}/readyz", timeout=30)
        return process, f"http://127.0.0.1:{port}"

    return run


def headers(message):
    return {name: value.decode() for name, value in message.headers()}


def check_documents(messages):
    documents = [json.loads(message.value()) for message in messages]
    assert len({document["id"] for document in documents}) == len(mails()), "each mail is one document"
    assert Counter(document["mailbox"] for document in documents) == Counter(path.parts[-3] for path in mails())
    for message, document in zip(messages, documents):
        about = headers(message)
        assert about["ce_type"] == "fragua.mail.document.v1" and about["ce_specversion"] == "1.0"
        assert about["ce_source"] == f"/mailboxes/{document['mailbox']}"
        assert message.key().decode() == document["thread"]["id"]
    return {document["id"]: document for document in documents}


def check_entities(messages, documents):
    found = Counter()
    for message in messages:
        record = json.loads(message.value())
        document = documents.pop(record["document"]["id"])
        assert headers(message)["ce_type"] == "fragua.mail.entities.v1"
        assert record["text"] == document["text"]
        for entity in record["entities"]:
            assert record["text"][entity["start"]:entity["end"]] == entity["text"]
            raw = record["text"].encode()
            assert raw[entity["start_byte"]:entity["end_byte"]].decode() == entity["text"]
            found[entity["type"]] += 1
        assert record["counts"] == Counter(entity["type"] for entity in record["entities"])
    assert not documents, "each document has one entities record"
    return found


def kcat(kafka, topic):
    """The values of a topic as kcat reads them, over mutual TLS."""
    command = ["kcat", "-b", kafka.ssl, "-C", "-t", topic, "-e", "-q", "-f", "%s\n",
               "-X", "isolation.level=read_committed"]
    for name, value in kafka.tls_client().items():
        if name != "bootstrap.servers":
            command += ["-X", f"{name}={value}"]
    return subprocess.run(command, capture_output=True, check=True, timeout=30, text=True).stdout.splitlines()


def test_every_mail_becomes_one_document_and_one_entities_record(kafka, topics, start, reader):
    producer, _ = start("producer.yaml", "producer")
    consumer, url = start("consumer.yaml", "consumer")
    count = len(mails())

    documents = check_documents(reader("mail.documents", count))
    found = check_entities(reader("mail.entities", count), dict(documents))
    assert {"EMAIL", "URL", "MONEY", "DATE", "ID", "PHONE"} <= set(found)

    assert len(kcat(kafka, "mail.documents")) == count
    assert len(kcat(kafka, "mail.entities")) == count
    status, _, body = http("GET", f"{url}/v1/entities?limit=1000")
    assert status == 200
    producer.stop()
    consumer.stop()
    assert len(reader("mail.documents")) == count, "nothing came twice"
    assert len(reader("mail.entities")) == count
    assert reader("mail.dead") == []
    for process in (producer, consumer):
        assert SECRET not in process.stderr.text + process.stdout.text


def test_the_same_binary_runs_both_roles_in_one_process(topics, start, reader):
    process, url = start("both.yaml")
    check_entities(reader("mail.entities", len(mails())), check_documents(reader("mail.documents", len(mails()))))
    status, _, body = http("GET", f"{url}/v1/pipelines")
    states = {pipeline["name"]: pipeline["state"] for pipeline in json.loads(body)["pipelines"]}
    assert status == 200 and states == {"ingest": "running", "recognise": "running"}
    process.stop()


def test_the_api_shows_the_entities(topics, start, reader):
    process, url = start("both.yaml")
    reader("mail.entities", len(mails()))
    shown, deadline = [], time.monotonic() + 30
    # the window reads the topic beside our reader, and may be behind it
    while len({entity["document"]["id"] for entity in shown}) < len(mails()) and time.monotonic() < deadline:
        shown = json.loads(process.wait_ready(f"{url}/v1/entities?limit=1000"))["entities"]
        time.sleep(0.1)
    assert len({entity["document"]["id"] for entity in shown}) == len(mails())
    assert all(entity["document"]["mailbox"].endswith("@contoso.example") for entity in shown)
    money = json.loads(process.wait_ready(f"{url}/v1/entities?type=MONEY&limit=5"))["entities"]
    assert len(money) == 5 and {entity["type"] for entity in money} == {"MONEY"}
    process.stop()


def test_a_new_mail_comes_through_while_it_runs(topics, start, reader, simulators):
    process, _ = start("both.yaml")
    reader("mail.entities", len(mails()))
    mail = (b"Message-ID: <late@fabrikam.example>\r\nDate: Tue, 03 Mar 2026 09:00:00 +0000\r\n"
            b"From: Purchasing <purchasing@fabrikam.example>\r\nTo: info@contoso.example\r\nSubject: late\r\n\r\n"
            b"The total of PO-2026-99999 is EUR 17.25.\r\n")
    assert http("POST", f"{simulators}/sim/v1/mails/info@contoso.example/inbox", mail,
                {"content-type": "message/rfc822"})[0] == 201
    records = [json.loads(message.value()) for message in reader("mail.entities", len(mails()) + 1)]
    late = [record for record in records if record["document"]["internet_message_id"] == "<late@fabrikam.example>"]
    assert [entity["text"] for entity in late[0]["entities"]] == ["PO-2026-99999", "EUR 17.25"]
    process.stop()


def test_a_restart_goes_on_where_it_stood(topics, start, reader, simulators):
    first, _ = start("both.yaml", name="first")
    reader("mail.entities", len(mails()))
    first.stop()
    second, _ = start("both.yaml", name="second")
    mail = (b"Message-ID: <after@fabrikam.example>\r\nDate: Tue, 03 Mar 2026 10:00:00 +0000\r\n"
            b"From: Purchasing <purchasing@fabrikam.example>\r\nSubject: after the restart\r\n\r\nPO-2026-11111\r\n")
    assert http("POST", f"{simulators}/sim/v1/mails/orders@contoso.example/inbox", mail,
                {"content-type": "message/rfc822"})[0] == 201
    reader("mail.entities", len(mails()) + 1)
    second.stop()
    assert len(reader("mail.documents")) == len(mails()) + 1, "what was there before the restart came once"
