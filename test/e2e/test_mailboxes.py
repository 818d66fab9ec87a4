# SPDX-License-Identifier: Apache-2.0
"""A thousand mailboxes shared by two replicas: who owns them, what a lost one leaves, and the account of every mail.

FRAGUA_MAILBOX_MAILS=100 runs it with 100,000 mails instead of 10,000; the figures are printed either way.
"""
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions

from conftest import TOP
from harness import http

sys.path.append(str(TOP / "test" / "chaos"))
from ledger import read_record  # noqa: E402

MAILBOXES = 1000
MAILS = int(os.environ.get("FRAGUA_MAILBOX_MAILS", "10"))
MORE = max(2, MAILS // 10)
CONVERSATIONS = 5
RSS_MAX_MIB = 96
SECRET = "mailboxes-secret-4711"
CURSOR_PARTITIONS = 12


class Crowd:
    """Simulated mailboxes, and replicas that share them."""

    def __init__(self, kafka, fragua, free_port, new_topic):
        self.kafka, self.fragua, self.free_port = kafka, fragua, free_port
        self.topics = {"documents": new_topic("documents", 4), "dead": new_topic("dead"),
                       "cursors": new_topic("cursors", CURSOR_PARTITIONS, {"cleanup.policy": "compact"})}
        self.group = f"{self.topics['cursors']}-ingest"
        self.graph = f"http://127.0.0.1:{free_port()}"
        self.replicas = []

    def start_graph(self, mails, mailboxes=MAILBOXES, text=500):
        process = self.fragua.run(json.dumps({"http": {"listen": self.graph[7:], "plugins": [
            {"plugin": "sim-graph", "secret": SECRET, "page": 50,
             "generate": {"mailboxes": mailboxes, "mails": mails, "conversations": CONVERSATIONS,
                          "text": text}}]}}), name="graph")
        process.wait_ready(f"{self.graph}/sim/v1/state", timeout=60)

    def post(self, what, body):
        status, _, answer = http("POST", f"{self.graph}/sim/v1/{what}", body, timeout=60)
        assert status == 201, answer

    def settings(self, port, limits, transforms):
        return {
            "kafka": {"bootstrap.servers": self.kafka.plain, "cursors-topic": self.topics["cursors"]},
            "http": {"listen": f"127.0.0.1:{port}", "plugins": [{"plugin": "http-control"}]},
            "limits": limits or {"memory": "32MiB", "workers": 1},
            "pipelines": {"ingest": {
                "role": "producer", "group": self.group, "commit": {"interval": "200ms"},
                "source": {"plugin": "source-graphmail", "tenant": "contoso.example", "client": "sim",
                           "credential": {"secret": SECRET}, "mailboxes": {"domain": "contoso.example"},
                           "poll": "3s", "concurrency": 8, "graph": self.graph, "login": self.graph},
                "transforms": transforms,
                "output": {"topic": self.topics["documents"]}, "dead-letters": {"topic": self.topics["dead"]}}}}

    def add(self, ready=True, limits=None, transforms=({"plugin": "transform-tabulate"},)):
        port = self.free_port()
        number = len(self.replicas)
        replica = self.fragua.run(json.dumps(self.settings(port, limits, transforms)), "--instance", f"r{number}",
                                  name=f"replica-{number}")
        replica.port = port
        self.replicas.append(replica)
        if ready:
            replica.wait_ready(f"http://127.0.0.1:{port}/readyz", timeout=60)
        return replica

    def owned(self):
        """How many partitions of the cursors topic each member of the group has, the fewest first."""
        group = self.kafka.admin.describe_consumer_groups([self.group])[self.group].result(30)
        return sorted(len(member.assignment.topic_partitions) for member in group.members)

    def wait_owned(self, *shares, timeout=90):
        deadline = time.monotonic() + timeout
        while self.owned() != list(shares):
            assert time.monotonic() < deadline, f"partitions are owned {self.owned()}, not {shares}"
            time.sleep(0.2)  # the group can only be asked

    def state(self):
        return json.loads(http("GET", f"{self.graph}/sim/v1/state", timeout=60)[2])

    def wait_rounds(self, replica, rounds, mailboxes=MAILBOXES, timeout=120):
        """Wait until every mailbox has been asked for at least so often, all of them by this replica."""
        until = self.state()["delta_requests"] + 2 * rounds * mailboxes  # a repeated page is asked for twice
        deadline = time.monotonic() + timeout
        while self.state()["delta_requests"] < until:
            assert time.monotonic() < deadline and replica.running, replica.describe()
            time.sleep(0.2)  # the simulator can only be asked

    def read(self, count, timeout=300):
        """Wait for `count` documents; return the account of all there are by then."""
        self.kafka.read(self.topics["documents"], count, timeout=timeout)
        return self.account()

    def account(self):
        found, orders, corrupt = {}, {}, []
        for message in self.kafka.read(self.topics["documents"], timeout=300):
            identity, right = read_record(message.value())
            if not right:
                corrupt.append((message.partition(), message.offset()))
                continue
            found[identity] = found.get(identity, 0) + 1
            orders.setdefault(identity.conversation, []).append(identity.sequence)
        twice = {identity: n for identity, n in found.items() if n > 1}
        misordered = [name for name, order in orders.items() if order != sorted(order)]
        return set(found), twice, misordered, corrupt


def metric(replica, name):
    text = http("GET", f"http://127.0.0.1:{replica.port}/metrics")[2].decode()
    found = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def peak_mib(replica):
    status = Path(f"/proc/{replica.pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE).group(1)) / 1024


def expected(mails, mailboxes):
    return {(f"box{box}@contoso.example", f"conv-{box}-{mail % CONVERSATIONS}", mail // CONVERSATIONS)
            for box in range(mailboxes) for mail in range(mails)}


def check(account, mails, mailboxes=MAILBOXES):
    found, twice, misordered, corrupt = account
    wanted = expected(mails, mailboxes)
    assert (found == wanted, twice, misordered, corrupt) == (True, {}, [], []), \
        f"lost {len(wanted - found)}: {sorted(wanted - found)[:3]}; never issued {len(found - wanted)}"


@pytest.fixture
def crowd(kafka, fragua, free_port, new_topic):
    return Crowd(kafka, fragua, free_port, new_topic)


def test_a_thousand_mailboxes_are_shared_and_taken_over(crowd, capsys):
    crowd.start_graph(0)
    one, other = crowd.add(ready=False), crowd.add()
    one.wait_ready(f"http://127.0.0.1:{one.port}/readyz", timeout=60)
    crowd.wait_owned(CURSOR_PARTITIONS // 2, CURSOR_PARTITIONS // 2)

    crowd.post("faults", {"duplicate": True, "percent": 20, "count": 10**9})
    began = time.monotonic()
    crowd.post("generate", {"mailboxes": MAILBOXES, "mails": MAILS, "conversations": CONVERSATIONS})
    check(crowd.read(MAILBOXES * MAILS), MAILS)
    seconds = time.monotonic() - began
    shares = [metric(replica, "fragua_plugin_graph_messages_total") for replica in (one, other)]
    assert sum(shares) == MAILBOXES * MAILS
    assert min(shares) > sum(shares) / 4, f"the mailboxes are not shared: {shares}"
    assert metric(one, "fragua_plugin_graph_repeats_total") > 0

    one_peak = peak_mib(one)
    one.kill()
    crowd.post("faults", {"expire": "all"})  # the one that takes over walks all mailboxes anew
    crowd.post("generate", {"mailboxes": MAILBOXES, "mails": MORE, "conversations": CONVERSATIONS})
    began_again = time.monotonic()
    check(crowd.read(MAILBOXES * (MAILS + MORE)), MAILS + MORE)
    taken_over = time.monotonic() - began_again
    assert crowd.owned() == [CURSOR_PARTITIONS]
    crowd.wait_rounds(other, 2)
    assert crowd.state()["tokens_expired"] >= MAILBOXES
    check(crowd.account(), MAILS + MORE)
    peaks = [one_peak, peak_mib(other)]
    with capsys.disabled():
        print(f"\n{MAILBOXES} mailboxes, {MAILBOXES * MAILS} mails: {MAILBOXES * MAILS / seconds:.0f} documents/s, "
              f"shares {shares[0]:.0f} and {shares[1]:.0f}; after kill -9 and all links expired, {MAILBOXES * MORE} "
              f"more in {taken_over:.0f} s; peak RSS {peaks[0]:.0f} and {peaks[1]:.0f} MiB")

    third = crowd.add()
    crowd.wait_owned(CURSOR_PARTITIONS // 2, CURSOR_PARTITIONS // 2)
    crowd.post("generate", {"mailboxes": MAILBOXES, "mails": 1, "conversations": CONVERSATIONS})
    check(crowd.read(MAILBOXES * (MAILS + MORE + 1)), MAILS + MORE + 1)
    peaks += [peak_mib(other), peak_mib(third)]
    assert max(peaks) <= RSS_MAX_MIB, peaks
    assert not crowd.kafka.read(crowd.topics["dead"])
    other.stop()
    third.stop()


def test_a_changed_partition_count_is_refused_and_cursors_can_be_moved(crowd, kafka, new_topic):
    few = {"mailboxes": 30}
    crowd.start_graph(2, **few)
    one = crowd.add()
    check(crowd.read(60), 2, **few)
    old = crowd.topics["cursors"]
    kafka.admin.create_partitions([NewPartitions(old, 2 * CURSOR_PARTITIONS)])[old].result(30)

    # one half of the partitions goes to a newcomer, perhaps the empty half: there it must not begin anew
    other = crowd.add(ready=False)
    other.wait_log("has 24 partitions and had 12 .* the partition count was changed", timeout=60)
    other.wait_ready(f"http://127.0.0.1:{other.port}/readyz", status=503)
    assert "the partition count was changed" in http("GET", f"http://127.0.0.1:{other.port}/readyz?verbose")[2].decode()
    other.stop()
    one.stop()
    third = crowd.add(ready=False)
    third.wait_log("the partition count was changed", timeout=60)
    third.stop()
    check(crowd.account(), 2, **few)

    crowd.topics["cursors"] = new_topic("moved", CURSOR_PARTITIONS + 1, {"cleanup.policy": "compact"})
    moved = subprocess.run([sys.executable, TOP / "scripts" / "move-cursors.py", kafka.plain, old,
                            crowd.topics["cursors"]], capture_output=True, text=True, timeout=120)
    assert moved.returncode == 0, moved.stderr
    again = subprocess.run([*moved.args], capture_output=True, text=True, timeout=120)
    assert again.returncode == 1 and "is not empty" in again.stderr
    crowd.post("faults", {"expire": "all"})
    crowd.post("generate", {**few, "mails": 1, "conversations": CONVERSATIONS})
    last = crowd.add()
    check(crowd.read(90), 3, **few)
    crowd.wait_rounds(last, 1, **few)
    check(crowd.account(), 3, **few)
    last.stop()


def test_a_tombstone_has_a_folder_read_anew_and_no_other(crowd, kafka):
    few = {"mailboxes": 5}
    crowd.start_graph(4, **few)
    crowd.add()
    check(crowd.read(20), 4, **few)
    crowd.replicas[-1].stop()
    key = b"ingest/box3@contoso.example/inbox"
    place = next(m.partition() for m in kafka.read(crowd.topics["cursors"]) if m.key() == key)
    producer = Producer({"bootstrap.servers": kafka.plain})
    producer.produce(crowd.topics["cursors"], None, key, partition=place)
    producer.flush(30)

    for mails in (4, 5):  # what was forgotten stays forgotten, what came since is known: a restart changes nothing
        replica = crowd.add()
        crowd.read(24 + 5 * (mails - 4))
        crowd.wait_rounds(replica, 1, **few)
        found, twice, _, corrupt = crowd.account()
        assert (found, corrupt) == (expected(mails, **few), [])
        assert {identity.mailbox for identity in twice} == {"box3@contoso.example"}
        assert sorted(twice.values()) == [2, 2, 2, 2]
        replica.stop()
        crowd.post("faults", {"expire": "all"})
        crowd.post("generate", {**few, "mails": 1, "conversations": CONVERSATIONS})


def test_mails_of_25_mb_come_through_a_small_budget(crowd, kafka):
    """A page of several is more than there is room for: it is asked for in smaller parts, down to one mail."""
    few = {"mailboxes": 2}
    kafka.new_topic(f"{crowd.topics['documents']}-large", 2, {"max.message.bytes": 64 << 20})
    crowd.topics["documents"] += "-large"
    crowd.start_graph(2, **few, text=24 << 20)  # 25 MB and more as JSON
    crowd.post("generate", {**few, "mails": 3, "conversations": CONVERSATIONS, "text": 1000})
    replica = crowd.add(limits={"memory": "64MiB", "workers": 1}, transforms=[])
    check(crowd.read(10), 5, **few)
    peak = peak_mib(replica)
    print(f"peak RSS {peak:.1f} MiB")
    assert peak <= 96, f"peak RSS {peak:.0f} MiB"
    assert not crowd.kafka.read(crowd.topics["dead"])
    replica.stop()
