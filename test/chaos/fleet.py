# SPDX-License-Identifier: Apache-2.0
"""A run: simulated mailboxes and service, replicas of fragua between them and Kafka, an independent reader."""
import http.client
import json
import os
import random
import re
import signal
import threading
import time
import urllib.request
import uuid
from pathlib import Path

from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from harness import http as exchange
from ledger import Author, Log, read_record, take_account
from proxy import Proxy
from service import Service

LONG = os.environ.get("FRAGUA_CHAOS") == "long"
SECRET = "ledger-secret-4711"
TOPICS = {"documents": 4, "entities": 4, "dead": 1, "cursors": 6}
SAMPLE_S = 0.1
METRICS_EVERY = 5  # samples
PATIENCE_S = 90    # nothing new came for so long: what is missing is lost
FLOW_TIMEOUT_S = 120
CLOSED_TIMEOUT_S = 30  # for the last open transactions to end by their time-out
RECOVERY_MAX_S = 60    # generous: the aim is 15 s, the machine may be busy
# Of each of the ledger's own consumers. Without the strategy librdkafka 2.16 forgets all its brokers when none can be
# reached, as when the only one is killed; once the process of a run crashed when that came back.
CLIENT = {"group.id": "ledger", "log_level": 0, "reconnect.backoff.max.ms": 500, "metadata.recovery.strategy": "none"}
HANDLES = re.compile(r"^fragua_kafka_handles_recreated_total(?:\{[^}]*\})? (\d+)", re.MULTILINE)


def form(short, long):
    """What the short form of a test uses, or the long one."""
    return long if LONG else short


class Replica:
    """One instance of fragua: its process may be killed and started again, its name and settings stay."""

    def __init__(self, run, name, role, port, path):
        self.run, self.name, self.role, self.port, self.path = run, name, role, port, path
        self.process = None
        self.lives = 0

    def start(self, ready=False):
        self.lives += 1
        label = f"{self.name}-{self.lives}"
        self.process = self.run.fragua.run(self.path, "--role", self.role, "--instance", self.name, name=label)
        self.run.watch(self)
        if ready:
            self.process.wait_ready(f"http://127.0.0.1:{self.port}/readyz", timeout=FLOW_TIMEOUT_S)
        return self

    def kill(self):
        self.process.kill()

    def signal(self, number):
        self.process.signal(number)

    def get(self, path):
        return exchange("GET", f"http://127.0.0.1:{self.port}{path}")[2]

    def pipelines(self):
        return json.loads(self.get("/v1/pipelines"))["pipelines"]


class Watcher:
    """Samples every process of a run: peak memory, and how often it made its Kafka handles anew."""

    def __init__(self):
        self.peaks, self.handles = {}, {}  # process -> bytes; process -> count
        self._watched = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def add(self, replica):
        self._watched.append((replica.process, replica.port))

    def _follow(self):
        turn = 0
        while not self._done.wait(SAMPLE_S):
            turn += 1
            for process, port in list(self._watched):
                if not process.running:
                    self._watched.remove((process, port))
                    continue
                self._memory(process)
                if turn % METRICS_EVERY == 0:
                    self._metrics(process, port)

    def _memory(self, process):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            return
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        if found:
            self.peaks[process.name] = int(found.group(1)) * 1024

    def _metrics(self, process, port):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=0.3) as answer:
                text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            return  # stopped, or just killed
        self.handles[process.name] = sum(int(count) for count in HANDLES.findall(text))

    def close(self):
        self._done.set()
        self._thread.join(10)


class Reader:
    """Reads what is committed while it is committed, and notes when each mail came through."""

    def __init__(self, kafka, topics):
        self.came = {}   # identity -> monotonic seconds when its entities, or its dead letter, were read
        self.documents = set()
        self.seen = []   # (topic, partition, offset)
        self.last_at = time.monotonic()
        self._names = {topics[name]: name for name in ("documents", "entities", "dead")}
        self._done = threading.Event()
        self._changed = threading.Condition()
        self._consumer = Consumer({
            **CLIENT, "bootstrap.servers": kafka.plain, "isolation.level": "read_committed",
            "auto.offset.reset": "earliest", "enable.auto.commit": False, "fetch.wait.max.ms": 50})
        self._consumer.assign([TopicPartition(topic, partition, 0) for topic, name in self._names.items()
                               for partition in range(TOPICS[name])])
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self):
        while not self._done.is_set():
            for message in self._consumer.consume(200, 0.1):
                if message.error() is not None:
                    continue  # a broker that is away, and the like: the reader waits for it as all do
                name, now = self._names[message.topic()], time.monotonic()
                identity, _ = read_record(message.value())
                with self._changed:
                    self.seen.append((name, message.partition(), message.offset()))
                    self.last_at = now
                    if name == "documents":
                        self.documents.add(identity)
                    else:
                        self.came.setdefault(identity, now)
                    self._changed.notify_all()

    def wait(self, happened, timeout, what):
        """Wait until happened() is true; it is asked when a record came."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not happened():
                left = deadline - time.monotonic()
                assert left > 0, f"{what}: not in {timeout} s"
                self._changed.wait(min(left, 0.2))

    def close(self):
        self._done.set()
        self._thread.join(10)
        self._consumer.close()


class Spy:
    """Sees records that are not committed yet: so a fault can be aimed at an open transaction."""

    def __init__(self, kafka, topic, partitions):
        self.topic = topic
        self._consumer = Consumer({
            **CLIENT, "bootstrap.servers": kafka.plain, "isolation.level": "read_uncommitted",
            "enable.auto.commit": False, "fetch.wait.max.ms": 20})
        self._consumer.assign([TopicPartition(topic, partition, OFFSET_END) for partition in range(partitions)])
        self._consumer.poll(0.1)

    def wait(self, timeout=FLOW_TIMEOUT_S):
        """Wait for the next record that is written from now on; whether its transaction ends well is open."""
        while self._consumer.consume(1000, 0.0):
            pass
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                return
        raise AssertionError(f"nothing is written to {self.topic!r} in {timeout} s")

    def close(self):
        self._consumer.close()


class Run:
    """One ledger run. Owner calls close() at last; what the threads and processes leave is in `folder`."""

    def __init__(self, name, kafka, fragua, free_port, seed):
        self.name, self.kafka, self.fragua = name, kafka, fragua
        self.seed, self.rng = seed, random.Random(f"{seed} {name}")
        self.free_port = free_port
        self.times = 0
        self.replicas, self.issued, self.faults = [], {}, []  # issued: identity -> when
        self.row = None
        self._proxies, self._spies = [], {}
        self._author = Author(f"{seed} {name}")
        self._issuing, self._issuer = threading.Event(), None
        tag = uuid.uuid4().hex[:6]
        self.tag = f"{name.replace(' ', '-')}-{tag}"
        self.topics = {topic: f"{self.tag}.{topic}" for topic in TOPICS}
        for topic, partitions in TOPICS.items():
            config = {"cleanup.policy": "compact"} if topic == "cursors" else {}
            kafka.new_topic(self.topics[topic], partitions, config)
        self.watcher, self.reader = Watcher(), Reader(kafka, self.topics)
        self.service = Service(free_port(), seed)
        self.graph_port = free_port()
        self.graph = f"http://127.0.0.1:{self.graph_port}"
        self.graph_process = fragua.run(json.dumps({"http": {
            "listen": f"127.0.0.1:{self.graph_port}",
            "plugins": [{"plugin": "sim-graph", "secret": SECRET}]}}), name="graph")
        self.graph_process.wait_ready(f"{self.graph}/sim/v1/state")
        self.issue(threads=self._author.threads)  # a mailbox that is not there yet would be left alone for a while

    # replicas

    def settings(self, port, kafka=None, graph=None, service=None, source=None, sink=None, properties=None, commit=None,
                 limits=None, attempts=5):
        """The pipeline file of a replica."""
        graph = graph or self.graph
        topics = self.topics
        dead = {"topic": topics["dead"], "attempts": attempts}
        commit = {"interval": "100ms", **(commit or {})}
        return {
            "kafka": {"bootstrap.servers": kafka or self.kafka.plain, "cursors-topic": topics["cursors"],
                      "properties": {"reconnect.backoff.max.ms": "1000", **(properties or {})}},
            "http": {"listen": f"127.0.0.1:{port}", "plugins": [{"plugin": "http-control"}]},
            "limits": {"memory": "64MiB", "workers": 1, **(limits or {})},
            "pipelines": {
                "ingest": {
                    "role": "producer", "commit": commit, "group": f"{self.tag}-ingest",
                    "source": {"plugin": "source-graphmail", "tenant": "contoso.example", "client": "sim",
                               "credential": {"secret": SECRET}, "mailboxes": {"list": self._author.mailboxes},
                               "folders": ["inbox"], "poll": "300ms", "graph": graph, "login": graph,
                               **(source or {})},
                    "transforms": [{"plugin": "transform-tabulate"}],
                    "output": {"topic": topics["documents"]}, "dead-letters": dead},
                "recognise": {
                    "role": "consumer", "commit": commit,
                    "input": {"topic": topics["documents"], "group": f"{self.tag}-recognise"},
                    "sink": {"plugin": "sink-nlp", "service": "generic", "url": service or self.service.url,
                             "timeout": "3s", **(sink or {})},
                    "output": {"topic": topics["entities"]}, "dead-letters": dead}}}

    def add(self, role, ready=True, **settings):
        """Start a replica; settings as in settings()."""
        name = f"{self.tag}-{role}-{len(self.replicas)}"
        port = self.free_port()
        path = self.fragua.config(json.dumps(self.settings(port, **settings)), f"{name}.yaml")
        replica = Replica(self, name, role, port, path)
        self.replicas.append(replica)
        return replica.start(ready)

    def watch(self, replica):
        self.watcher.add(replica)

    def via(self, *links, **toxic):
        """Proxies on links ("kafka", "graph", "service"), spoiling as said: (list of Proxy, settings for add())."""
        made, settings = [], {}
        for link in links:
            if link == "kafka":
                ends = zip(self.kafka.detour.split(","), self.kafka.detour_to.split(","))
                settings["kafka"] = self.kafka.detour
                made += [Proxy(int(at.rpartition(":")[2]), ("127.0.0.1", int(to.rpartition(":")[2])), self.seed)
                         for at, to in ends]
                continue
            port = self.free_port()
            target = self.graph_port if link == "graph" else self.service.port
            made.append(Proxy(port, ("127.0.0.1", target), self.seed))
            settings[link] = f"http://127.0.0.1:{port}" + ("/recognise" if link == "service" else "")
        for proxy in made:
            proxy.set(**toxic)
        self._proxies += made
        return made, settings

    def spy(self, topic):
        """The Spy on "documents" or "entities"."""
        if topic not in self._spies:
            self._spies[topic] = Spy(self.kafka, self.topics[topic], TOPICS[topic])
        return self._spies[topic]

    # mails

    def issue(self, count=0, threads=None):
        """Let mails arrive now, `count` of any conversations or one of each of `threads`; returns their identities."""
        connection = http.client.HTTPConnection("127.0.0.1", self.graph_port, timeout=30)
        identities = []
        for thread in threads or [None] * count:
            identity, message = self._author.mail(thread)
            self.issued[identity] = time.monotonic()
            connection.request("POST", f"/sim/v1/mails/{identity.mailbox}/inbox", json.dumps(message),
                               {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201, f"the simulated Graph refused a mail: {answer.status}"
            identities.append(identity)
        connection.close()
        return identities

    def issue_steadily(self, per_second=40):
        """Let mails arrive until stop_issuing()."""
        def work():
            due = time.monotonic()
            while not self._issuing.is_set():
                self.issue(max(1, per_second // 20))
                due += max(1, per_second // 20) / per_second
                self._issuing.wait(max(0.0, due - time.monotonic()))

        self._issuing.clear()
        self._issuer = threading.Thread(target=work, daemon=True)
        self._issuer.start()

    def stop_issuing(self):
        if self._issuer:
            self._issuing.set()
            self._issuer.join(60)
            assert not self._issuer.is_alive(), "the simulated Graph takes no mails any more"
            self._issuer = None

    # faults

    def fault_begins(self):
        self.times += 1
        self.faults.append([time.monotonic(), None])

    def fault_ends(self):
        self.faults[-1][1] = time.monotonic()

    def wait_flow(self, timeout=FLOW_TIMEOUT_S):
        """Wait until a mail that is issued from now on has come through."""
        since = time.monotonic()
        def flows():
            return any(self.issued.get(identity, 0) > since for identity in list(self.reader.came)[-200:])

        self.reader.wait(flows, timeout, f"{self.name}: nothing flows")

    def pause(self, low, high):
        """Let time pass between faults: a random moment is what they are about."""
        time.sleep(self.rng.uniform(low, high))

    def _recovery(self):
        """(first, all): the longest times in seconds from the end of a fault to the first mail issued after it, and to
        the last issued before it. A fault followed by another before that is left out."""
        firsts, alls = [], []
        came = self.reader.came
        for number, (_, end) in enumerate(self.faults):
            if end is None:
                continue
            after = [at for identity, at in came.items() if self.issued.get(identity, 0) > end]
            before = [at for identity, at in came.items() if self.issued.get(identity, end) <= end]
            follower = self.faults[number + 1][0] if number + 1 < len(self.faults) else None
            if after and (follower is None or min(after) < follower):
                firsts.append(min(after) - end)
            if before and (follower is None or max(before) < follower):
                alls.append(max(0.0, max(before) - end))
        return max(firsts, default=None), max(alls, default=None)

    # the end

    def settle(self, patience=PATIENCE_S):
        """Stop issuing and wait until every mail came through; gives up when nothing came for `patience` seconds."""
        self.stop_issuing()
        self.reader.last_at = time.monotonic()
        while not set(self.issued) <= set(self.reader.came):
            if time.monotonic() - self.reader.last_at > patience:
                return
            time.sleep(0.05)

    def stop(self):
        """End all replicas in good order."""
        running = [replica for replica in self.replicas if replica.process.running]
        for replica in running:
            replica.signal(signal.SIGTERM)
        for replica in running:
            replica.process.wait_exit(0, timeout=45)

    def _log(self, topic):
        """All of a topic, committed and not, once no transaction is open in it any more."""
        deadline = time.monotonic() + CLOSED_TIMEOUT_S
        servers = self.kafka.plain
        watcher = Consumer({**CLIENT, "bootstrap.servers": servers, "isolation.level": "read_committed"})
        all_of_it = Consumer({**CLIENT, "bootstrap.servers": servers, "isolation.level": "read_uncommitted"})
        for partition in range(TOPICS[topic]):
            place = TopicPartition(self.topics[topic], partition)
            while watcher.get_watermark_offsets(place, 10) != all_of_it.get_watermark_offsets(place, 10):
                assert time.monotonic() < deadline, f"a transaction in {place} stays open"
                time.sleep(0.1)
        watcher.close()
        all_of_it.close()
        return Log(*([(message.partition(), message.offset(), message.value())
                      for message in self.kafka.read(self.topics[topic], isolation=isolation)]
                     for isolation in ("read_committed", "read_uncommitted")))

    def account(self):
        """Read everything from the beginning and take account; the row of the table is made here."""
        logs = [self._log(name) for name in ("documents", "entities", "dead")]
        account = take_account(list(self.issued), *logs, seen=list(self.reader.seen))
        first, whole = self._recovery()
        self.row = {
            "fault": self.name, "times": self.times, **{name.replace("_", " "): getattr(account, name) for name in (
                "issued", "committed", "lost", "duplicated", "corrupt", "misordered", "aborted_seen", "aborted",
                "dead")},
            "RSS MiB": f"{max(self.watcher.peaks.values(), default=0) / 2**20:.0f}",
            "first s": "" if first is None else f"{first:.1f}", "all s": "" if whole is None else f"{whole:.1f}",
            "handles": sum(self.watcher.handles.values()), "seed": self.seed}
        (self.fragua.folder / "account.txt").write_text("\n".join([str(self.row), *account.details, ""]))
        return account

    def check(self, dead=False):
        """The end of every run: all mails through, processes ended well, and the account without a blemish. With
        `dead`, dead letters are part of the fault."""
        self.settle()
        self.stop()
        account = self.account()
        assert account.sound, "\n".join([str(self.row), *account.details[:20]])
        assert dead or account.dead == 0, "dead letters without a reason for them"
        assert account.committed + account.dead == account.issued > 0
        first = self.row["first s"]
        assert not first or float(first) <= RECOVERY_MAX_S, f"{first} s until mails came through again"
        return account

    def close(self):
        self._issuing.set()
        self.watcher.close()
        self.reader.close()
        for other in (*self._spies.values(), *self._proxies, self.service):
            other.close()
        self.kafka.admin.delete_topics(list(self.topics.values()))
