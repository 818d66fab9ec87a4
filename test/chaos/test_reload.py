# SPDX-License-Identifier: Apache-2.0
"""Reloads under load: a plugin swapped again and again, storms of signals, and reloads while something is away."""
import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from fleet import TOPICS, form
from reloads import ENDED, Control, put, stamp_plugin

DRAIN_S = 2.0
PATIENT_DRAIN_S = 20.0  # where nothing is to be cut off, however busy the machine
SLACK_S = 8.0  # beyond limits.drain, on a busy machine
STOP_S = 4
FIGURES_TIMEOUT_S = 30
SLOPE_KIB_MAX = 1.0
ROUND_S = 0.1    # a reload with the questions around it
CONNECTIONS = 4  # to the service, Graph and Kafka: how many are open differs from one look to the next
GROWTH_KIB_MAX = 8192  # under load, of the second half over the first
STAMPS = {"documents": "stamp", "entities": "ce_subject"}  # topic -> the header; sink-nlp hands on the second


class Smith:
    """Changes the file and the plugins of a run's only replica, and notes where the log stood around each reload."""

    def __init__(self, run, monkeypatch, drain_s=DRAIN_S, **settings):
        self.run, self.drain_s = run, drain_s
        self.plugins = Path(run.fragua.folder) / "plugins"
        self.plugins.mkdir()
        monkeypatch.setenv("FRAGUA_PLUGIN_PATH", f"{self.plugins}:{os.environ['FRAGUA_PLUGIN_PATH']}")
        self.build, self.mark = 1, "0"
        put(self.plugins / "transform-stamp.so", stamp_plugin(1))
        self._plain, run.settings = run.settings, self._settings
        # uncommitted too: Kafka writes a commit's markers after it has answered
        self._spots = Consumer({"bootstrap.servers": run.kafka.plain, "group.id": "smith", "log_level": 0,
                                "isolation.level": "read_uncommitted"})
        self.reports, self.passages = [], []  # passages: (stamp before, stamp after, ends before, ends after)
        self.replica = run.add("both", **settings)
        self.options = settings

    def _settings(self, port, **options):
        config = self._plain(port, **options)
        stamp = {"plugin": "transform-stamp", "mark": self.mark}
        pipelines = config["pipelines"]
        pipelines["ingest"]["transforms"].append({**stamp, "header": STAMPS["documents"]})
        pipelines["recognise"]["transforms"] = [{**stamp, "header": STAMPS["entities"]}]
        config["limits"].update(drain=f"{self.drain_s:.0f}s", stop=f"{STOP_S}s")
        config["reload"] = {"watch": False, "probation": "1s"}
        return config

    @property
    def stamp(self):
        return f"{self.build}/{self.mark}"

    @property
    def control(self):
        return Control(self.replica.process, self.replica.port)

    def swap(self):
        """The other build takes the plugin's place."""
        self.build = 3 - self.build
        put(self.plugins / "transform-stamp.so", stamp_plugin(self.build))

    def change(self, mark):
        """Another option in the file."""
        self.mark = str(mark)
        put(self.replica.path, json.dumps(self.run.settings(self.replica.port, **self.options)))

    def ends(self):
        """(topic, partition) -> the offset behind what is there now, open transactions included."""
        return {(topic, part): self._spots.get_watermark_offsets(TopicPartition(self.run.topics[topic], part), 10)[1]
                for topic in STAMPS for part in range(TOPICS[topic])}

    def reload(self, number, change):
        """change(), ask by the API or a signal in turn, and wait: the report of what is now in force."""
        stamp, before = self.stamp, self.ends()
        change()
        generation = self.control.generation
        if number % 2 == 0:
            report = self.control.reload()
        else:
            self.replica.signal(signal.SIGHUP)
            report = self.control.wait(lambda report: report["generation"] > generation)
        assert report["result"] == "done", report
        self.reports.append(report)
        self.passages.append((stamp, self.stamp, before, self.ends()))
        return report

    def usage(self):
        """(resident KiB, file descriptors, threads) of the process."""
        folder = Path(f"/proc/{self.replica.process.pid}")
        words = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return int(words["VmRSS"].split()[0]), len(list((folder / "fd").iterdir())), int(words["Threads"])

    def members(self):
        """Who is in the groups of the two pipelines, and with what."""
        groups = [f"{self.run.tag}-ingest", f"{self.run.tag}-recognise"]
        found = {name: future.result(20) for name, future in
                 self.run.kafka.admin.describe_consumer_groups(groups, request_timeout=20).items()}
        return {name: sorted((member.member_id, sorted((place.topic, place.partition) for place in
                                                       member.assignment.topic_partitions))
                             for member in group.members) for name, group in found.items()}

    def rebalances(self):
        """How many the consumers of both pipelines took part in; waits for the first figures, which come in time."""
        deadline = time.monotonic() + FIGURES_TIMEOUT_S
        while (count := self.control.metric(r"fragua_kafka_rebalances_total\{.*\}")) < 2:
            assert time.monotonic() < deadline, f"{count} rebalances are told of, but two consumers have joined"
            time.sleep(0.1)
        return count

    def check_stamps(self):
        """In the log: the old stamp before a reload begins, the new one from its end on, and one step between."""
        for topic, header in STAMPS.items():
            logs = {part: [] for part in range(TOPICS[topic])}
            for message in self.run.kafka.read(self.run.topics[topic]):
                stamps = [value.decode() for name, value in message.headers() if name == header]
                assert len(stamps) == 1, f"{topic} {message.partition()}/{message.offset()}: {stamps}"
                logs[message.partition()].append((message.offset(), stamps[0]))
            for part, log in logs.items():
                check_log(self.passages, (topic, part), sorted(log))

    def close(self):
        self._spots.close()


def check_log(passages, place, log):
    """As check_stamps(), of one partition. `log`: (offset, stamp) in the order of the log."""
    at = 0
    for number, (old, new, before, after) in enumerate(passages):
        seen_new = False
        while at < len(log) and log[at][0] < after[place]:
            offset, stamp = log[at]
            seen_new = seen_new or (stamp == new and offset >= before[place])
            assert stamp == (new if seen_new else old), \
                f"{place} {offset}: {stamp}, where reload {number + 1} went from {old} to {new}"
            at += 1
    last = passages[-1][1]
    late = [record for record in log[at:] if record[1] != last]
    assert not late, f"{place}: {late[:3]} after the last reload, to {last}"


def slope(values):
    """Of the straight line that fits best, in units a value."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    return (sum((x - middle) * (y - mean) for x, y in enumerate(values))
            / sum((x - middle) ** 2 for x in range(len(values))))


def check_usage(usages, quiet, before):
    """Nothing grows: descriptors and threads are what they were.

    `usages`: of each reload under mail; `before`: under the same mail without reloads, in the long form only;
    `quiet`: of reloads while no mail came, in the long form only.
    """
    resident, files, threads = zip(*usages)
    part = max(1, len(usages) // 4)
    assert min(files[-part:]) <= min(files[:part]) + CONNECTIONS, f"file descriptors grow: {files}"
    assert min(threads[-part:]) <= min(threads[:part]), f"threads grow: {threads}"
    half = len(resident) // 2
    assert max(resident[half:]) <= max(resident[:half]) + GROWTH_KIB_MAX, f"memory grows: {resident[::20]}"
    if before:
        rates = [slope([usage[0] for usage in part])
                 for part in (before[len(before) // 2:], usages, quiet[len(quiet) // 2:])]
        print("KiB a round: {:.2f} of mail alone, {:.2f} with a reload, {:.2f} of reloads alone".format(*rates))
        assert max(rates[1:]) <= SLOPE_KIB_MAX, f"{rates[1:]} KiB a reload"


def usage_of_reload(smith, number):
    smith.reload(number, smith.swap)
    return smith.usage()


def usage_without(run, smith):
    """As long as a round with a reload takes, and as many questions to Kafka, but nothing is reloaded."""
    smith.ends()
    time.sleep(ROUND_S)
    run.pause(0.0, 0.1)
    return smith.usage()


@pytest.mark.parametrize("stamps, sound", [
    ("aaabbb", True), ("aaaaab", True), ("abbbbb", False), ("aababb", False), ("aaaaaa", False), ("bbbbbb", False)])
def test_a_wrong_stamp_is_found(stamps, sound):
    """A reload between offsets 2 and 5: before it all a, behind it all b, once from a to b between."""
    passages = [("a", "b", {0: 2}, {0: 5})]
    with contextlib.nullcontext() if sound else pytest.raises(AssertionError):
        check_log(passages, 0, list(enumerate(stamps)))


def test_a_rise_of_memory_is_found():
    noise = [10000 + number * 7919 % 200 for number in range(500)]
    assert abs(slope(noise)) < SLOPE_KIB_MAX / 2
    assert slope([value + 2 * number for number, value in enumerate(noise)]) > SLOPE_KIB_MAX


def test_a_plugin_is_swapped_under_load(new_run, monkeypatch):
    run = new_run("reload plugin")
    run.service.latency = 0.02
    smith = Smith(run, monkeypatch, drain_s=PATIENT_DRAIN_S)
    run.issue_steadily(form(60, 100))
    run.wait_flow()
    members, rebalances = smith.members(), smith.rebalances()
    # a heap rises by steps, at the largest mails so far: these are taken before what reloads leave behind is measured
    before = [usage_without(run, smith) for _ in range(form(0, 1000))]
    usages = []
    for number in range(form(50, 1000)):
        run.times += 1
        report = smith.reload(number, smith.swap)
        assert {pipeline["how"] for pipeline in report["pipelines"]} == {"swap"}
        assert all(pipeline["drained"] for pipeline in report["pipelines"]), report
        usages.append(smith.usage())
        run.pause(0.0, 0.1)
    run.wait_flow()
    run.settle()
    quiet = [usage_of_reload(smith, number) for number in range(form(0, 300))]
    assert smith.rebalances() == rebalances
    assert smith.control.metric(r"fragua_kafka_handles_recreated_total(?:\{.*\})?") == 0
    assert smith.members() == members, "somebody left a group or joined one"
    account = run.check()
    smith.check_stamps()
    smith.close()
    pauses = sorted(pipeline["pause_ms"] for report in smith.reports for pipeline in report["pipelines"])
    measured = {"before": before, "usages": usages, "quiet": quiet, "pauses_ms": pauses}
    (Path(run.fragua.folder) / "reload.json").write_text(json.dumps(measured))
    check_usage(usages, quiet, before)
    assert account.aborted == 0, "a transaction was aborted though everything drains in time"


def test_a_storm_of_signals_ends_with_the_last_file(new_run, monkeypatch):
    run = new_run("reload storm")
    run.service.latency = 0.02
    smith = Smith(run, monkeypatch)
    run.issue_steadily(40)
    run.wait_flow()
    for storm in range(form(1, 20)):
        run.fault_begins()
        known = smith.control.known()
        for number in range(100):
            smith.change(f"{storm}-{number}")
            smith.replica.signal(signal.SIGHUP)
            time.sleep(0.01)
        last = smith.control.reload()  # what the signals asked for may have had the last file already
        assert last["result"] in ("done", "unchanged"), last
        run.fault_ends()
        reports = [report for report in smith.control.reloads()["reloads"] if Control.name(report) not in known]
        assert all(report["result"] in ENDED for report in reports), reports
        assert sum(report["asked"] for report in reports) <= 101 and len(reports) <= 101
        before = smith.ends()
        run.wait_flow()
        check_only(run, before, smith.stamp)
    run.check()
    smith.close()


def check_only(run, before, stamp):
    """What was written since is stamped so."""
    for topic, header in STAMPS.items():
        for message in run.kafka.read(run.topics[topic]):
            if message.offset() >= before[topic, message.partition()]:
                found = dict(message.headers())[header].decode()
                assert found == stamp, f"{topic} {message.partition()}/{message.offset()}: {found}, not {stamp}"


def bounded(act):
    """act() ends within limits.drain and some."""
    began = time.monotonic()
    result = act()
    took = time.monotonic() - began
    assert took <= DRAIN_S + SLACK_S, f"{took:.1f} s for a reload that may drain {DRAIN_S:.0f} s"
    return result


def test_a_reload_while_something_is_away(new_run, monkeypatch):
    run = new_run("reload in trouble")
    proxies, links = run.via("kafka")
    run.service.latency = 0.02
    smith = Smith(run, monkeypatch, sink={"timeout": "30s"}, **links)
    run.issue_steadily(40)
    run.wait_flow()

    def service_hangs():
        run.service.fault("silence")

    def broker_is_gone():
        proxies[0].set(refuse=True)

    def broker_stands_still():
        proxies[0].set(hole="both")

    def heal():
        run.service.heal()
        proxies[0].heal()

    number = 0
    for fault in (service_hangs, broker_is_gone, broker_stands_still) * form(1, 15):
        number += 1
        run.fault_begins()
        fault()
        run.pause(0.2, 1.0)
        change = smith.swap if number % 2 else lambda: smith.change(number)
        change()
        report = bounded(smith.control.reload)
        assert report["result"] == "done", (fault.__name__, report)
        heal()
        run.fault_ends()
        run.wait_flow()
    before = smith.ends()
    run.wait_flow()
    check_only(run, before, smith.stamp)
    run.check()
    smith.close()


def test_a_reload_while_it_stops(new_run, monkeypatch):
    run = new_run("reload and stop")
    run.service.latency = 0.02
    smith = Smith(run, monkeypatch)
    run.issue_steadily(40)
    run.wait_flow()
    for number in range(form(2, 20)):
        run.service.fault("silence")  # neither a stop nor a reload can drain then
        run.pause(0.2, 0.8)
        smith.change(number)
        run.fault_begins()
        first, second = (signal.SIGTERM, signal.SIGHUP) if number % 2 else (signal.SIGHUP, signal.SIGTERM)
        smith.replica.signal(first)
        run.pause(0.0, 0.3)
        smith.replica.signal(second)
        smith.replica.process.wait_exit(0, timeout=3 * STOP_S)
        run.service.heal()
        smith.replica.start()
        run.fault_ends()
        run.wait_flow()
    run.check()
    smith.close()
