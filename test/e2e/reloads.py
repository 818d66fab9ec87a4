# SPDX-License-Identifier: Apache-2.0
"""What the tests of reloads stand on: files changed as editors and Kubernetes do, reports, and pipelines that count."""
import json
import os
import re
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from harness import http

BUILD = Path(os.environ.get("FRAGUA_BIN", "/nowhere/x/x")).resolve().parents[1]
TEST_PLUGINS = BUILD / "test" / "plugins"
FLOW_TIMEOUT_S = 30
REPORT_TIMEOUT_S = 40
POLL_S = 0.02
ENDED = ("done", "unchanged", "refused", "rolled-back")


def put(path, content):
    """Give a file another content as deployments do: a new file, renamed over the old one."""
    part = path.with_name(path.name + ".part")
    if isinstance(content, Path):
        shutil.copyfile(content, part)
    else:
        part.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(part, path)


def stamp_plugin(build):
    """The file of transform-stamp's build "1" or "2"."""
    return TEST_PLUGINS / f"stamp-{build}" / "transform-stamp.so"


class Control:
    """The API of a running process, as far as reloads go."""

    def __init__(self, process, port, headers=None):
        self.process, self.port, self.headers = process, port, headers or {}

    def call(self, method, path, timeout=REPORT_TIMEOUT_S):
        """(status, the body's JSON)."""
        status, _, body = http(method, f"http://127.0.0.1:{self.port}{path}", headers=self.headers, timeout=timeout)
        return status, json.loads(body)

    def reload(self):
        """Ask by the API and wait; its report."""
        known = self.known()
        status, report = self.call("POST", "/v1/reload")
        if status == 202:  # the plugin that was asked is replaced by this reload, and does not see its end
            return self.wait(lambda report: self.name(report) not in known)
        return report

    def hup(self):
        """Ask by SIGHUP and wait for the report of what came of it."""
        known = self.known()
        self.process.signal(signal.SIGHUP)
        return self.wait(lambda report: self.name(report) not in known and "signal" in report["asked_by"])

    @staticmethod
    def name(report):
        """What tells a report from others, and does not change while it goes on."""
        return report["generation"], report["began_at"]

    def known(self):
        return {self.name(report) for report in self.reloads()["reloads"]}

    def reloads(self):
        return self.call("GET", "/v1/reloads")[1]

    @property
    def generation(self):
        return self.reloads()["generation"]

    def newest(self):
        """The last report, None before the first reload."""
        return next(iter(self.reloads()["reloads"]), None)

    def wait(self, wanted, timeout=REPORT_TIMEOUT_S, ended=True):
        """Wait for a report that wanted(report) is true of, by default one that is over; the newest such."""
        deadline = time.monotonic() + timeout
        while True:
            assert self.process.running, self.process.describe()
            reports = self.reloads()["reloads"]
            for report in reports:
                if (not ended or report["result"] in ENDED) and wanted(report):
                    return report
            assert time.monotonic() < deadline, (
                f"no such report in {timeout} s; the last: {json.dumps(reports[:2])}. {self.process.describe()}")
            time.sleep(POLL_S)

    def pipelines(self):
        """Name -> its state as the API tells it."""
        return {pipeline["name"]: pipeline for pipeline in self.call("GET", "/v1/pipelines")[1]["pipelines"]}

    def metric(self, pattern):
        """The values of the metrics whose name and labels match, summed."""
        text = http("GET", f"http://127.0.0.1:{self.port}/metrics", headers=self.headers)[2].decode()
        return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))


class Tail:
    """Reads topics as committed from their beginning, in a thread: what came can be waited for."""

    def __init__(self, kafka, topics):
        self.records = {topic: [] for topic in topics}  # topic -> Messages in the order of arrival
        self._changed = threading.Condition()
        self._done = threading.Event()
        self._consumer = Consumer({
            "bootstrap.servers": kafka.plain, "group.id": "tail", "isolation.level": "read_committed",
            "auto.offset.reset": "earliest", "enable.auto.commit": False, "fetch.wait.max.ms": 20, "log_level": 0})
        known = self._consumer.list_topics(timeout=FLOW_TIMEOUT_S).topics
        self._consumer.assign([TopicPartition(topic, part, 0) for topic in topics for part in known[topic].partitions])
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self):
        while not self._done.is_set():
            messages = [message for message in self._consumer.consume(500, 0.05) if message.error() is None]
            if messages:
                with self._changed:
                    for message in messages:
                        self.records[message.topic()].append(message)
                    self._changed.notify_all()

    def wait(self, topic, wanted, timeout=FLOW_TIMEOUT_S):
        """Wait until wanted(records of the topic) is true; its value."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (value := wanted(self.records[topic])):
                left = deadline - time.monotonic()
                assert left > 0, f"{topic}: not in {timeout} s; {len(self.records[topic])} records"
                self._changed.wait(min(left, 0.5))
            return value

    def close(self):
        self._done.set()
        self._thread.join(10)
        self._consumer.close()


def stamp_of(message):
    return next((value.decode() for name, value in message.headers() or [] if name == "stamp"), None)


class Forge:
    """A process whose pipelines copy numbered records from topic to topic through transform-stamp.

    `config` is the pipeline file as a dict: change it and call write(). close() takes account: every number of each
    lane came out once and in order.
    """

    def __init__(self, fragua, kafka, port, lanes, partitions=2, name="forge"):
        self.fragua, self.kafka, self.port, self.name = fragua, kafka, port, name
        self.tag = f"{name}-{os.urandom(3).hex()}"
        self.path = fragua.folder / f"{name}.yaml"
        self.plugins = fragua.folder / f"{name}-plugins"
        self.plugins.mkdir()
        self.use(1)
        self.topics = []
        self.sent = Counter()
        self.partitions = partitions
        self._producer = Producer({"bootstrap.servers": kafka.plain, "linger.ms": 0})
        for lane in lanes:
            self.topic(f"{lane}.in")
            self.topic(f"{lane}.out")
        self.config = {
            "kafka": {"bootstrap.servers": kafka.plain},
            "http": {"listen": f"127.0.0.1:{port}", "plugins": [{"plugin": "http-control"}]},
            "limits": {"memory": "64MiB", "workers": 1, "drain": "2s"},
            "reload": {"watch": False, "check": "10s", "probation": "2s"},
            "pipelines": {lane: self.lane(lane) for lane in lanes}}
        self.tail = None
        self.process = self.control = None

    def topic(self, name):
        """Make a topic of this forge; its whole name."""
        whole = f"{self.tag}.{name}"
        if whole not in self.topics:
            self.kafka.new_topic(whole, self.partitions)
            self.topics.append(whole)
        return whole

    def lane(self, lane, **stamp):
        """A pipeline from LANE.in to LANE.out."""
        return {"commit": {"interval": "20ms"},
                "input": {"topic": f"{self.tag}.{lane}.in", "group": f"{self.tag}-{lane}"},
                "transforms": [{"plugin": "transform-stamp", "mark": "a", **stamp}],
                "output": {"topic": f"{self.tag}.{lane}.out"}}

    def stamp(self, lane="main"):
        """The lane's transform in the file, to be changed."""
        return self.config["pipelines"][lane]["transforms"][0]

    def use(self, build):
        """Put transform-stamp's build where the process looks for plugins."""
        put(self.plugins / "transform-stamp.so", stamp_plugin(build))

    def write(self, text=None):
        put(self.path, text if text is not None else json.dumps(self.config, indent=1))

    def start(self, *args, path=None):
        self.write()
        self.follow_topics()
        self.process = self.fragua.run(path or self.path, "--plugin-dir", self.plugins, "--plugin-dir", TEST_PLUGINS,
                                       "--instance", self.tag, *args, name=self.name)
        self.control = Control(self.process, self.port)
        self.process.wait_ready(f"http://127.0.0.1:{self.port}/readyz", timeout=FLOW_TIMEOUT_S)
        return self

    def follow_topics(self):
        """Read all topics that there are now, from their beginning."""
        if self.tail:
            self.tail.close()
        self.tail = Tail(self.kafka, self.topics)

    def reload(self):
        """Write the file, ask for a reload and return its report."""
        self.write()
        return self.control.reload()

    def send(self, lane="main", count=10):
        """Numbered records into a lane; the numbers sent."""
        numbers = range(self.sent[lane], self.sent[lane] + count)
        for number in numbers:
            self._producer.produce(f"{self.tag}.{lane}.in", key=f"k{number % 7}", value=str(number))
        self.sent[lane] += count
        assert self._producer.flush(FLOW_TIMEOUT_S) == 0
        return list(numbers)

    def send_document(self, topic, name):
        """A document, such as sink-nlp takes, of which no account is taken."""
        document = {"id": name, "mailbox": "info@contoso.example", "subject": "s", "text": "t"}
        self._producer.produce(f"{self.tag}.{topic}", key="k", value=json.dumps(document), headers={"ce_id": name})
        assert self._producer.flush(FLOW_TIMEOUT_S) == 0
        return name

    def flow(self, lane="main", count=10, to=None):
        """Send records and wait until they are committed in topic `to` (LANE.out); the stamps that they carry."""
        numbers = {str(number).encode() for number in self.send(lane, count)}
        return self.arrived(numbers, to or f"{lane}.out")

    def arrived(self, numbers, to):
        """Wait until these values are committed in the topic; the stamps that they carry."""
        def all_came(records):
            found = {message.value(): stamp_of(message) for message in records if message.value() in numbers}
            return len(found) == len(numbers) and found

        return set(self.tail.wait(f"{self.tag}.{to}", all_came).values())

    def account(self):
        """Every number that was sent into a lane came out of it once, those of a key in order."""
        for lane, count in self.sent.items():
            outs = [topic for topic in self.topics if topic.startswith(f"{self.tag}.{lane}.out")]
            records = [message for topic in outs for message in self.kafka.read(topic)]
            came = Counter(int(message.value()) for message in records)
            assert came == Counter(range(count)), f"{lane}: lost {sorted(set(range(count)) - set(came))[:10]}, " \
                f"twice {[number for number, times in came.items() if times > 1][:10]}"
            last = {}
            records.sort(key=lambda message: (message.topic(), message.partition(), message.offset()))
            for message in records:
                place = (message.topic(), message.key())
                assert last.get(place, -1) < int(message.value()), f"{lane}: {message.key()} out of order"
                last[place] = int(message.value())

    def close(self):
        if self.tail:
            self.tail.close()
        for future in self.kafka.admin.delete_topics(self.topics).values():
            future.result(30)
