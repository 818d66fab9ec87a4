# SPDX-License-Identifier: Apache-2.0
"""The chart's KafkaUsers may do what fragua does and no more: on a Kafka that asks for every right."""
import hashlib
import json
import subprocess
import time

import pytest
import yaml
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from conftest import TOP
from harness import http

CHART = TOP / "charts" / "fragua"
MAILS = TOP / "plugins" / "sim-graph" / "mails"
SECRET, TOKEN = "rights-secret-4711", "rights-token-4711"
# Strimzi makes certificates for names like rel-fragua-producer; those of the bed have other names.
CLIENTS = {"producer": ("client", "fragua"), "consumer": ("client2", "fragua-second")}
TYPES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactionalId": ResourceType.TRANSACTIONAL_ID}
OPERATIONS = {"Read": AclOperation.READ, "Write": AclOperation.WRITE, "Describe": AclOperation.DESCRIBE}
PATTERNS = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}


@pytest.fixture(scope="session")
def helm():
    """The program helm, as the chart's own tests make it."""
    tools = subprocess.run([TOP / "test" / "chart" / "tools.sh"], stdout=subprocess.PIPE, text=True)
    if tools.returncode == 69:
        pytest.skip("no Go to build helm with")
    assert tools.returncode == 0
    return f"{tools.stdout.strip()}/helm"


@pytest.fixture
def kafka(kafka_bed, monkeypatch):
    """A Kafka of its own where only the plain listener may do all."""
    monkeypatch.setenv("FRAGUA_KAFKA_EXTRA", "\n".join([
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS",
    ]))
    return kafka_bed.start()


@pytest.fixture
def simulators(fragua, free_port):
    port = free_port()
    env = {"HTTP_LISTEN": f"127.0.0.1:{port}", "GRAPH_SECRET": SECRET, "SIM_MAILS": MAILS}
    process = fragua.run(TOP / "config" / "simulators.yaml", name="simulators", env=env)
    process.wait_ready(f"http://127.0.0.1:{port}/sim/v1/state")
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def chart(helm, kafka, simulators):
    """The objects of a release, whose pipeline files speak to the bed and the simulators."""
    settings = {
        "kafka.bootstrapServers": kafka.ssl.replace(",", r"\,"),
        "config.pipelines.ingest.source.graph": simulators,
        "config.pipelines.ingest.source.login": simulators,
        "config.pipelines.recognise.sink.service": "generic",
        "config.pipelines.recognise.sink.url": simulators + "/entities/v1/recognise",
    }
    command = [helm, "template", "rel", CHART, "--kube-version", "1.30.0", "-f", CHART / "ci" / "minimal-values.yaml"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def of_role(chart, kind, role):
    found = [document for document in chart
             if document["kind"] == kind and document["metadata"]["labels"]["app.kubernetes.io/component"] == role]
    assert len(found) == 1
    return found[0]


def grant(kafka, chart):
    """What Strimzi's operators would do with the KafkaTopics and KafkaUsers."""
    for topic in (document["spec"] for document in chart if document["kind"] == "KafkaTopic"):
        config = {name: str(value) for name, value in topic["config"].items()}
        kafka.new_topic(topic["topicName"], 2, config, replicas=1)
    bindings = []
    for role, (_, name) in CLIENTS.items():
        for acl in of_role(chart, "KafkaUser", role)["spec"]["authorization"]["acls"]:
            resource = acl["resource"]
            for operation in acl["operations"]:
                bindings.append(AclBinding(
                    TYPES[resource["type"]], resource["name"], PATTERNS[resource["patternType"]], f"User:CN={name}",
                    "*", OPERATIONS[operation], AclPermissionType.ALLOW))
    for future in kafka.admin.create_acls(bindings).values():
        future.result(30)


def folders(tmp_path, kafka, role):
    """The Secrets of a pod, as folders; returns where they are."""
    top = tmp_path / role
    for name in ("graph", "http"):
        (top / name).mkdir(parents=True)
    (top / "graph" / "client-secret").write_text(SECRET)
    (top / "http" / "sha256").write_text(hashlib.sha256(TOKEN.encode()).hexdigest())
    (top / "cluster-ca").symlink_to(kafka.tls / "ca")
    (top / "user").symlink_to(kafka.tls / CLIENTS[role][0])
    return top


def start(fragua, tmp_path, kafka, chart, role, port):
    """A pod: its pipeline file, its arguments, its Secrets."""
    text = of_role(chart, "ConfigMap", role)["data"]["fragua.yaml"]
    file = fragua.config(text.replace("/etc/fragua", str(folders(tmp_path, kafka, role))), f"{role}.yaml")
    arguments = of_role(chart, "Deployment", role)["spec"]["template"]["spec"]["containers"][0]["args"]
    known = {"/etc/fragua/config/fragua.yaml": file, "$(POD_NAME)": f"rel-fragua-{role}-5d8f-x2k4z"}
    arguments = [known.get(argument, argument) for argument in arguments]
    process = fragua.start(*arguments, "--set", f"http.listen=127.0.0.1:{port}", name=role)
    process.wait_ready(f"http://127.0.0.1:{port}/readyz", timeout=30)
    return process, f"http://127.0.0.1:{port}"


def shown(url):
    """Entities that the API shows; what was just written comes to it a little later."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        status, _, body = http("GET", f"{url}/v1/entities", headers={"authorization": f"Bearer {TOKEN}"})
        assert status == 200
        entities = json.loads(body)["entities"]
        if entities:
            return entities
        time.sleep(0.05)  # there is no event to await here
    return []


def refused_to_read(properties, topic, group):
    consumer = Consumer({**properties, "group.id": group, "log_level": 0})
    try:
        consumer.subscribe([topic])
        message = consumer.poll(20)
        return message is not None and message.error() is not None and message.error().code()
    finally:
        consumer.close()


def refused_to_write(properties, topic):
    told = []
    producer = Producer({**properties, "log_level": 0})
    producer.produce(topic, b"x", on_delivery=lambda error, _: told.append(error and error.code()))
    producer.flush(20)
    return told and told[0]


def test_pods_get_by_with_the_rights_of_the_chart(fragua, tmp_path, kafka, chart, free_port):
    grant(kafka, chart)
    producer, _ = start(fragua, tmp_path, kafka, chart, "producer", free_port())
    consumer, url = start(fragua, tmp_path, kafka, chart, "consumer", free_port())

    count = len(list(MAILS.glob("*/*/*.eml")))
    kafka.read("mail.entities", count)
    status, _, _ = http("GET", f"{url}/v1/entities")
    assert status == 401, "the API asks for the token"
    assert shown(url), "the API shows what the pod wrote"
    for process in (producer, consumer):
        process.stop()
        said = [line for line in process.stderr.lines if "uthoriz" in line or '"level":"error"' in line]
        assert not said, "Kafka refused nothing"
    assert kafka.read("mail.dead") == []

    producer, consumer = (kafka.tls_client(CLIENTS[role][0]) for role in CLIENTS)
    unknown = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert refused_to_write(producer, "mail.entities") in unknown
    assert refused_to_write(consumer, "mail.documents") == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert refused_to_read(consumer, "fragua.cursors", "fragua-recognise") in unknown
    assert refused_to_read(consumer, "mail.documents", "fragua-ingest") == KafkaError.GROUP_AUTHORIZATION_FAILED
