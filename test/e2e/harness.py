# SPDX-License-Identifier: Apache-2.0
"""What end-to-end tests are made of: a fragua process that is always ended, and an independent reader of Kafka."""
import ctypes
import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

START_TIMEOUT_S = 15
EXIT_TIMEOUT_S = 20
READ_TIMEOUT_S = 30
READY_POLL_S = 0.02  # readyz can only be asked, it does not call
TAIL_LINES = 60

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    """Runs in the child before exec: the kernel kills it when the test run is killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Output:
    """One stream of a process: read by a thread of its own, kept in a file and as lines that can be waited for."""

    def __init__(self, pipe, path, changed):
        self.path = path
        self.lines = []
        self._pipe = pipe
        self._changed = changed  # Condition shared by both streams of the process
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def _follow(self):
        with self._pipe, open(self.path, "wb") as file:
            for raw in self._pipe:
                file.write(raw)
                file.flush()
                with self._changed:
                    self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def tail(self):
        return "\n".join(self.lines[-TAIL_LINES:])


class Process:
    """A running program. Its stdout and stderr go to NAME.out and NAME.err in `folder` and can be waited for.

    The owner must call end() at last; the `fragua` fixture does.
    """

    def __init__(self, name, argv, folder, env):
        self.name = name
        self.argv = [str(word) for word in argv]
        self._changed = threading.Condition()
        self._popen = subprocess.Popen(
            self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
            cwd=folder, preexec_fn=_die_with_parent)
        self.stdout = Output(self._popen.stdout, Path(folder) / f"{name}.out", self._changed)
        self.stderr = Output(self._popen.stderr, Path(folder) / f"{name}.err", self._changed)

    @property
    def pid(self):
        return self._popen.pid

    @property
    def running(self):
        return self._popen.poll() is None

    @property
    def code(self):
        """Exit code, -N for signal N, None while it runs."""
        return self._popen.poll()

    def describe(self):
        """What a failed assertion should show: the command, how it ended, and the end of what it said."""
        state = "running" if self.running else f"ended with {self.code}"
        told = f"{self.name} ({' '.join(self.argv)}) {state}; the end of its stderr:\n" + self.stderr.tail
        return f"{told}\nthe end of its stdout:\n{self.stdout.tail}" if self.stdout.lines else told

    def _streams_open(self):
        return self.stdout.thread.is_alive() or self.stderr.thread.is_alive()

    def wait_log(self, pattern, timeout=START_TIMEOUT_S, stream="stderr", since=0):
        """Wait for a line of the stream that `pattern` (regular expression, searched) matches; return the match.

        `since` is how many lines to pass over: take len(process.stderr.lines) before the act whose line is awaited.
        """
        wanted = re.compile(pattern)
        output = getattr(self, stream)
        deadline = time.monotonic() + timeout
        seen = since
        with self._changed:
            while True:
                for line in output.lines[seen:]:
                    match = wanted.search(line)
                    if match:
                        return match
                seen = max(seen, len(output.lines))
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no line like {pattern!r} in {timeout} s. {self.describe()}")
                if not output.thread.is_alive():
                    raise AssertionError(f"{stream} ended without a line like {pattern!r}. {self.describe()}")
                self._changed.wait(min(left, 0.5))

    def wait_ready(self, url, timeout=START_TIMEOUT_S, status=200):
        """Ask `url` (such as http://127.0.0.1:8080/readyz) until it answers with `status`; return the body (bytes)."""
        deadline = time.monotonic() + timeout
        last = "nothing"
        while time.monotonic() < deadline:
            if not self.running:
                raise AssertionError(f"ended before it was ready. {self.describe()}")
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    code, body = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                code, body = error.code, error.read()
            except OSError as error:
                code, body = None, str(error).encode()
            if code == status:
                return body
            last = f"{code} {body[:500]!r}"
            with self._changed:
                self._changed.wait(READY_POLL_S)
        raise AssertionError(f"{url} did not answer {status} in {timeout} s, last: {last}. {self.describe()}")

    def signal(self, number):
        self._popen.send_signal(number)

    def wait_exit(self, code=None, timeout=EXIT_TIMEOUT_S):
        """Wait until the process has ended and its output is read; with `code`, assert that it ended so. Returns it."""
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s. {self.describe()}") from None
        self.stdout.thread.join(5)
        self.stderr.thread.join(5)
        if code is not None:
            assert self.code == code, f"expected exit code {code}. {self.describe()}"
        return self.code

    def stop(self, code=0, timeout=EXIT_TIMEOUT_S):
        """Ask for an orderly end (SIGTERM) and assert its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_exit(code, timeout)

    def kill(self):
        """SIGKILL, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()

    def end(self):
        """End it by whatever means; never raises."""
        if self.running:
            self._popen.kill()
        self._popen.wait()
        self.stdout.thread.join(5)
        self.stderr.thread.join(5)

    def mapped(self, part):
        """Paths of the files mapped into the running process whose name contains `part`, such as "librdkafka"."""
        maps = Path(f"/proc/{self.pid}/maps").read_text()
        return sorted({line.split(maxsplit=5)[5] for line in maps.splitlines() if part in line.rpartition("/")[2]})


class Fragua:
    """Starts fragua for one test and ends all that it started.

    `folder` (the test's tmp_path) holds configurations, output and whatever the test writes.
    """

    def __init__(self, binary, folder):
        self.binary = Path(binary)
        self.folder = folder
        self.processes = []

    def environment(self, extra=None):
        """The environment of a child: with FRAGUA_LIBRARY_PATH, the libraries there come before the system's."""
        env = dict(os.environ)
        if env.get("FRAGUA_LIBRARY_PATH"):
            env["LD_LIBRARY_PATH"] = env["FRAGUA_LIBRARY_PATH"]
        for key, value in (extra or {}).items():
            if value is None:
                env.pop(key, None)
            else:
                env[key] = str(value)
        return env

    def config(self, text, name="fragua.yaml"):
        """Write `text` as a file of the test's folder; return its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, *args, name=None, env=None):
        """Start `fragua ARGS...` and return its Process at once. `env` adds to the environment; None removes."""
        name = name or f"fragua-{len(self.processes) + 1}"
        process = Process(name, [self.binary, *args], self.folder, self.environment(env))
        self.processes.append(process)
        return process

    def run(self, config, *args, name=None, env=None):
        """Start `fragua run -c FILE ARGS...`; `config` is the text of a pipeline file, or the path of one."""
        if not isinstance(config, Path):
            label = name or f"fragua-{len(self.processes) + 1}"
            config = self.config(config, f"{label}.yaml")
        return self.start("run", "-c", config, *args, name=name, env=env)

    def call(self, *args, code=0, env=None, timeout=EXIT_TIMEOUT_S):
        """Run `fragua ARGS...` to its end and assert its exit code; return the Process (stdout.text, stderr.text)."""
        process = self.start(*args, env=env)
        process.wait_exit(code, timeout)
        return process

    def end_all(self):
        for process in reversed(self.processes):
            process.end()


def http(method, url, body=None, headers=None, timeout=10):
    """One HTTP exchange: (status, headers, body as bytes). `body`: bytes, or anything that JSON can hold."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("content-type", "application/json")
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class Bed:
    """A Kafka of a test's own in `folder`, for tests that break it; the shared one must stay whole."""

    script = Path(__file__).resolve().parents[1] / "kafka" / "kafka.sh"

    def __init__(self, folder):
        self.folder = Path(folder)

    def _call(self, command, *args):
        # The guard that ends the nodes with this process keeps no pipe open: output goes to a file.
        with open(self.folder / "bed.log", "ab") as log:
            env = {**os.environ, "FRAGUA_KAFKA_OWNER": str(os.getpid())}
            run = subprocess.run([self.script, command, self.folder, *map(str, args)], env=env, stdout=log, stderr=log)
        assert run.returncode == 0, f"kafka.sh {command}: {(self.folder / 'bed.log').read_text()[-2000:]}"

    def start(self, nodes=1):
        """Start 1 or 3 nodes, with the data of an earlier start if there was one; return their Kafka."""
        self._call("start", nodes)
        words = shlex.split((self.folder / "env").read_text())
        return Kafka(dict(word.split("=", 1) for word in words))

    def stop(self):
        self._call("stop")

    def end(self):
        """SIGKILL all nodes."""
        for node in self.folder.glob("node*"):
            self._call("kill", node.name.removeprefix("node"))

    def kill(self, node=0):
        """SIGKILL a node."""
        self._call("kill", node)

    def up(self, node=0):
        """Start an ended node again, at its old addresses, and wait until it is ready."""
        self._call("up", node)


class Kafka:
    """The addresses and credentials of a running bed, and what tests ask of it from outside of fragua."""

    def __init__(self, env):
        self.plain = env["FRAGUA_KAFKA_PLAIN"]
        self.ssl = env["FRAGUA_KAFKA_SSL"]
        self.sasl_ssl = env["FRAGUA_KAFKA_SASL_SSL"]
        self.detour = env.get("FRAGUA_KAFKA_DETOUR")  # where a test's proxies listen, one for each node,
        self.detour_to = env.get("FRAGUA_KAFKA_DETOUR_TO")  # and where they lead
        self.user = env["FRAGUA_KAFKA_USER"]
        self.password = env["FRAGUA_KAFKA_PASSWORD"]
        self.tls = Path(env["FRAGUA_KAFKA_TLS"])
        self.folder = Path(env["FRAGUA_KAFKA_DIR"])
        self.nodes = int(env["FRAGUA_KAFKA_NODES"])
        self.admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 2,
                                  "metadata.recovery.strategy": "none"})
        self.admin.list_topics(timeout=READ_TIMEOUT_S)  # a bed that does not answer fails here, once, not in each test

    def tls_client(self, who="client", ca="ca"):
        """librdkafka's properties for mutual TLS as `who`: client, client2 or stranger."""
        return {
            "bootstrap.servers": self.ssl,
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.tls / ca / "ca.crt"),
            "ssl.certificate.location": str(self.tls / who / "user.crt"),
            "ssl.key.location": str(self.tls / who / "user.key"),
        }

    def sasl_client(self, mechanism="PLAIN", password=None):
        """librdkafka's properties for SASL over TLS: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""
        return {
            "bootstrap.servers": self.sasl_ssl,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": mechanism,
            "sasl.username": self.user,
            "sasl.password": self.password if password is None else password,
            "ssl.ca.location": str(self.tls / "ca" / "ca.crt"),
        }

    def new_topic(self, name, partitions=1, config=None, replicas=None):
        """Make the topic `name` and wait until every broker knows it: CreateTopics itself answers before."""
        copies = replicas or (3 if self.nodes >= 3 else 1)
        topic = NewTopic(name, num_partitions=partitions, replication_factor=copies, config=config or {})
        self.admin.create_topics([topic])[name].result(READ_TIMEOUT_S)
        resource = ConfigResource(ResourceType.TOPIC, name)
        deadline = time.monotonic() + READ_TIMEOUT_S
        while True:
            try:
                self.admin.describe_configs([resource])[resource].result(READ_TIMEOUT_S)
                known = self.admin.list_topics(name, timeout=READ_TIMEOUT_S).topics[name].partitions
                if len(known) == partitions and all(part.leader >= 0 for part in known.values()):
                    return name
            except Exception:  # UNKNOWN_TOPIC_OR_PART until the metadata has spread; anything else at the deadline
                if time.monotonic() > deadline:
                    raise
            assert time.monotonic() < deadline, f"topic {name!r} has no leaders after {READ_TIMEOUT_S} s"
            threading.Event().wait(0.05)

    def read(self, topic, count=None, timeout=READ_TIMEOUT_S, isolation="read_committed", client=None):
        """Read `topic` from its beginning, independently of fragua, by default only what is committed.

        With `count`: until that many records came or `timeout` s passed (then an AssertionError that says how many).
        Without: all that is there now, to the end of each partition. Returns confluent_kafka Messages, in the order of
        arrival: within a partition that of the log.
        """
        consumer = Consumer({
            "bootstrap.servers": self.plain, **(client or {}), "group.id": "reader", "isolation.level": isolation,
            "auto.offset.reset": "earliest", "enable.auto.commit": False, "enable.partition.eof": True})
        try:
            return _read(consumer, topic, count, timeout)
        finally:
            consumer.close()


def _read(consumer, topic, count, timeout):
    deadline = time.monotonic() + timeout
    partitions = consumer.list_topics(topic, timeout=timeout).topics[topic].partitions
    assert partitions, f"no topic {topic!r}"
    consumer.assign([TopicPartition(topic, part, 0) for part in partitions])
    messages, ended = [], set()
    while count is None or len(messages) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            if count is None:
                raise AssertionError(f"end of {topic!r} not reached in {timeout} s; {len(messages)} records")
            raise AssertionError(f"{len(messages)} of {count} records in {topic!r} after {timeout} s")
        message = consumer.poll(min(left, 1.0))
        if message is None:
            continue
        if message.error() is None:
            messages.append(message)
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
            if count is None and ended >= set(partitions):
                break
        else:
            raise AssertionError(f"reading {topic!r}: {message.error()}")
    return messages
