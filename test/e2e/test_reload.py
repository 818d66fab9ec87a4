# SPDX-License-Identifier: Apache-2.0
"""A reload changes what was asked for and nothing else; what cannot run is refused or taken back, and says why."""
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import threading
import urllib.error

import pytest

from harness import Fragua, Process, http as exchange
from ports import free_ports
from reloads import TEST_PLUGINS, Control, Forge, put, stamp_plugin

LANES = ("main", "beside")


@contextlib.contextmanager
def new_forge(kafka, folder, lanes=LANES, **options):
    """A Forge that is not started yet; at the end it is stopped and its account taken."""
    runner = Fragua(os.environ["FRAGUA_BIN"], folder)
    forge = Forge(runner, kafka, free_ports(1)[0], lanes, **options)
    try:
        yield forge
        if forge.process and forge.process.running:
            forge.process.stop()
        forge.account()
    finally:
        runner.end_all()
        forge.close()


@pytest.fixture(scope="module")
def running(kafka, tmp_path_factory):
    """One process for all tests that leave it as they found it."""
    with new_forge(kafka, tmp_path_factory.mktemp("reload")) as forge:
        yield forge.start()


@pytest.fixture
def forge(running):
    """The running process with its file and plugin as at the start; the test's changes are taken back."""
    good = json.dumps(running.config)
    yield running
    running.config = json.loads(good)
    running.use(1)
    report = running.reload()
    assert report["result"] in ("done", "unchanged"), report
    running.control.wait(lambda report: report["result"] in ("done", "unchanged"))
    assert running.flow() == {"1/a"}


@pytest.fixture
def own_forge(kafka, tmp_path):
    """own_forge(...) -> a Forge of the test's own, not started."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(new_forge(kafka, tmp_path, *args, **options))


class Hang:
    """A service that takes requests and does not answer, until answer() lets all through."""

    BODY = b'{"entities": [], "model": "hang-1"}'

    def __init__(self):
        self.asked = threading.Event()
        self._free = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=(self._listener.accept()[0],), daemon=True).start()

    def _answer(self, connection):
        with connection, contextlib.suppress(OSError, ValueError):
            file = connection.makefile("rb")
            while head := file.readline():
                length = 0
                while (line := file.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                file.read(length)
                self.asked.set()
                self._free.wait()
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                                   % (len(self.BODY), self.BODY))

    def answer(self):
        self._free.set()

    def close(self):
        self._free.set()
        self._listener.close()


@pytest.fixture
def hang():
    service = Hang()
    yield service
    service.close()


# refused: nothing has changed, and the reason is readable

def check_refused(forge, *words):
    """Ask for a reload that cannot be: records go on as before, and the report names what is wrong."""
    before, since = forge.control.generation, len(forge.process.stderr.lines)
    waiting = {str(number).encode() for number in forge.send(count=50)}
    report = forge.control.reload()
    assert report["result"] == "refused" and report["generation"] == before + 1, report
    said = json.dumps([report.get("error"), report.get("faults")])
    for word in words:
        assert word.lower() in said.lower(), f"{word!r} is not in {said}"
    assert forge.arrived(waiting, "main.out") == {"1/a"} and forge.flow() == {"1/a"}
    assert forge.control.generation == before
    assert all(pipeline["state"] == "running" for pipeline in forge.control.pipelines().values())
    forge.process.wait_log(r"refused", since=since)


def make_hasty(forge):
    """What hangs is not waited for as long as on a busy machine otherwise."""
    forge.config["reload"]["check"] = "1s"
    assert forge.reload()["result"] == "done"


FILES = {
    "empty": (b"", []),
    "cut-off": (lambda: stamp_plugin(2).read_bytes()[:9000], []),
    "text": (b"this is no plugin\n", []),
    "another": (TEST_PLUGINS / "good-until.so", ["name"]),
    "wrong-abi": (TEST_PLUGINS / "stamp-bad" / "abi.so", ["ABI"]),
    "wrong-kind": (TEST_PLUGINS / "stamp-bad" / "kind.so", ["transform"]),
    "no-symbol": (TEST_PLUGINS / "stamp-bad" / "symbol.so", ["fragua_plugin"]),
    "crash-when-loaded": (TEST_PLUGINS / "stamp-bad" / "crash.so", []),
    "hang-when-loaded": (TEST_PLUGINS / "stamp-bad" / "hang.so", []),
    "crash-when-opened": (TEST_PLUGINS / "stamp-bad" / "open.so", []),
}


@pytest.mark.parametrize("content, words", FILES.values(), ids=FILES)
def test_a_bad_plugin_file_is_refused(forge, content, words):
    make_hasty(forge)
    put(forge.plugins / "transform-stamp.so", content() if callable(content) else content)
    check_refused(forge, "transform-stamp", *words)


def test_a_plugin_file_that_is_gone_is_refused(forge):
    (forge.plugins / "transform-stamp.so").unlink()
    check_refused(forge, "transform-stamp")


def test_a_plugin_file_that_is_cut_off_where_it_is_hurts_nobody(forge):
    """What is loaded is a copy: pages of a file that shrinks under its process would end it."""
    with open(forge.plugins / "transform-stamp.so", "r+b") as file:
        file.truncate(100)
    check_refused(forge, "transform-stamp")


FAULTS = ("check-fails", "check-crashes", "check-hangs", "open-fails", "open-crashes", "open-hangs", "start-fails")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plugin_that_does_not_come_up_is_refused(forge, fault):
    make_hasty(forge)
    forge.stamp()["fault"] = fault
    forge.write()
    # what a plugin says itself comes with its place; of what it cannot say, its name is told
    words = {"check-fails": ["told to"], "open-fails": ["main.transforms.0", "told to"],
             "start-fails": ["main.transforms.0", "told to"]}
    check_refused(forge, *words.get(fault, ["transform-stamp"]))


def test_a_plugin_of_another_kind_is_refused(forge):
    forge.config["pipelines"]["main"]["transforms"] = [
        {"plugin": "sink-nlp", "service": "generic", "url": "http://127.0.0.1:1/"}]
    forge.write()
    check_refused(forge, "sink-nlp", "sink", "transform")


@pytest.mark.parametrize("text, words", [
    ("kafka: {\n", ["line"]), ("pipelines:\n  main:\n    inptu: {topic: a}\n", ["inptu"]), ("", []), ("\0\1\2", [])],
    ids=["no-yaml", "unknown-key", "empty", "binary"])
def test_a_bad_file_is_refused_with_line_and_column(forge, text, words):
    forge.write(text)
    check_refused(forge, *(word for word in words if word != "line"))
    report = forge.control.newest()
    if words:
        fault = report["faults"][0]
        assert fault["line"] >= 1 and fault["column"] >= 1 and fault["message"], report
        assert fault["file"].endswith("forge.yaml"), report


def test_a_file_that_is_gone_is_refused(forge):
    forge.path.unlink()
    check_refused(forge, "forge.yaml")


# taken back: it came up and failed before its first commit

def check_taken_back(forge, lane="main", meanwhile=lambda: None):
    before, since = forge.control.generation, len(forge.process.stderr.lines)
    forge.write()
    waiting = {str(number).encode() for number in forge.send(lane, count=50)}
    assert forge.control.reload()["result"] == "done"
    meanwhile()
    waiting |= {str(number).encode() for number in forge.send(lane, count=50)}  # the first ones may have gone before it
    report = forge.control.wait(lambda report: report["result"] == "rolled-back" and report["generation"] > before)
    assert report["error"], report
    assert [pipeline["outcome"] for pipeline in report["pipelines"] if pipeline["name"] == lane] == ["rolled-back"]
    assert forge.arrived(waiting, f"{lane}.out") == {"1/a"} and forge.flow(lane) == {"1/a"}
    forge.process.wait_log("is taken back", since=since)
    return report


def test_a_transform_that_fails_at_the_first_record_is_taken_back(forge):
    forge.stamp()["fault"] = "apply-fails"
    report = check_taken_back(forge)
    assert "told to fail" in report["error"], report
    assert report["changes"] == [{"place": "main.transforms.0", "reason": "option", "detail": "fault"}]


def test_asking_again_does_not_let_a_failing_one_through(forge):
    forge.stamp()["fault"] = "apply-fails"

    def ask_again():
        assert forge.control.reload()["result"] == "unchanged"
        forge.use(2)
        forge.write("kafka: {")
        assert forge.control.reload()["result"] == "refused"
        forge.use(1)

    check_taken_back(forge, meanwhile=ask_again)


def test_a_sink_that_reaches_nobody_is_taken_back(forge, hang):
    hang.answer()
    source, target = forge.topic("heard.in"), forge.topic("heard.out")
    forge.follow_topics()
    forge.config["pipelines"]["heard"] = {
        "commit": {"interval": "20ms"}, "input": {"topic": source, "group": source}, "output": {"topic": target},
        "sink": {"plugin": "sink-nlp", "service": "generic", "url": hang.url}}
    assert forge.reload()["result"] == "done"
    assert forge.send_document("heard.in", "first") and forge.tail.wait(target, lambda records: len(records) == 1)
    before = forge.control.generation
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
    forge.config["pipelines"]["heard"]["sink"]["url"] = url
    assert forge.reload()["result"] == "done"
    forge.send_document("heard.in", "second")
    report = forge.control.wait(lambda report: report["result"] == "rolled-back" and report["generation"] > before)
    assert "heard.sink" in report["error"], report
    assert forge.tail.wait(target, lambda records: len(records) == 2)


def test_what_does_not_fail_in_time_stays(forge):
    forge.config["reload"]["probation"] = "100ms"
    assert forge.reload()["result"] == "done"
    forge.stamp()["mark"] = "b"
    assert forge.reload()["result"] == "done"
    assert forge.flow() == {"1/b"}
    forge.control.wait(lambda report: report["result"] == "done" and report["changes"][0]["detail"] == "mark")


# what changes, and what does not

def pipelines_of(report):
    return {pipeline["name"]: pipeline["how"] for pipeline in report["pipelines"]}


def test_a_swapped_plugin_file_comes_by_either_way(forge):
    generation = forge.control.generation
    for turn, ask in enumerate([forge.control.hup, forge.control.reload, forge.control.hup, forge.control.reload]):
        build = 2 - turn % 2
        forge.use(build)
        report = ask()
        assert report["result"] == "done" and report["generation"] == generation + turn + 1, report
        assert report["asked_by"] == ["signal" if turn % 2 == 0 else "api"]
        assert {change["reason"] for change in report["changes"]} == {"plugin file"}
        assert {change["place"] for change in report["changes"]} == {f"{lane}.transforms.0" for lane in LANES}
        assert pipelines_of(report) == {lane: "swap" for lane in LANES}
        assert forge.flow() == {f"{build}/a"} and forge.flow("beside") == {f"{build}/a"}
    assert forge.control.metric("fragua_generation") == generation + 4
    assert forge.control.metric(r"fragua_kafka_handles_recreated_total(?:\{.*\})?") == 0


def test_nothing_changed_is_said(forge):
    before = forge.control.generation
    report = forge.control.reload()
    assert report["result"] == "unchanged" and report.get("changes", []) == [], report
    forge.write(json.dumps(forge.config, indent=4, sort_keys=True))  # other lines, another order, the same sense
    assert forge.control.reload()["result"] == "unchanged"
    assert forge.control.generation == before


def test_only_the_changed_pipeline_is_touched(forge):
    forge.stamp()["mark"] = "b"
    report = forge.reload()
    assert pipelines_of(report) == {"main": "swap", "beside": "same"}
    assert report["changes"] == [{"place": "main.transforms.0", "reason": "option", "detail": "mark"}]
    main = next(pipeline for pipeline in report["pipelines"] if pipeline["name"] == "main")
    assert main["outcome"] == "done" and main["drained"] is True and main["pause_ms"] >= 0
    assert {phase["phase"] for phase in report["phases"]} >= {"check", "load", "diff", "build", "swap"}
    assert forge.flow() == {"1/b"} and forge.flow("beside") == {"1/a"}


def test_transforms_are_added_moved_and_removed(forge):
    transforms = forge.config["pipelines"]["main"]["transforms"]
    transforms.append({"plugin": "transform-stamp", "mark": "second"})  # writes its stamp before the first one's
    report = forge.reload()
    assert [change["reason"] for change in report["changes"]] == ["added"] and forge.flow() == {"1/second"}
    transforms.reverse()
    report = forge.reload()
    assert {change["reason"] for change in report["changes"]} == {"moved"} and forge.flow() == {"1/a"}
    del transforms[0]
    report = forge.reload()
    assert sorted(change["reason"] for change in report["changes"]) == ["moved", "removed"], report
    assert forge.flow() == {"1/a"}


def test_an_unchanged_pipeline_flows_while_another_one_drains(forge, hang):
    """The changed one waits for a service that never answers; meanwhile what is written into the other comes out."""
    forge.topic("hung.in")
    forge.config["pipelines"]["hung"] = {
        "input": {"topic": f"{forge.tag}.hung.in", "group": f"{forge.tag}-hung"},
        "sink": {"plugin": "sink-nlp", "service": "generic", "url": hang.url, "timeout": "60s"}}
    assert pipelines_of(forge.reload())["hung"] == "added"
    forge.send_document("hung.in", "d1")
    assert hang.asked.wait(30), forge.process.describe()
    forge.config["pipelines"]["hung"]["sink"]["timeout"] = "50s"
    forge.write()
    forge.process.signal(signal.SIGHUP)
    forge.control.wait(lambda report: report["result"] == "running", ended=False)
    assert forge.flow("beside") == {"1/a"}
    assert forge.control.newest()["result"] == "running", "it did not wait for the service: the test shows nothing"
    report = forge.control.wait(lambda report: pipelines_of(report).get("hung") == "swap")
    hung = next(pipeline for pipeline in report["pipelines"] if pipeline["name"] == "hung")
    assert report["result"] == "done" and hung["drained"] is False, report
    hang.answer()


def test_pipelines_are_added_renamed_and_removed(forge):
    pipelines = forge.config["pipelines"]
    forge.topic("extra.in"), forge.topic("extra.out")
    forge.follow_topics()
    pipelines["extra"] = forge.lane("extra")
    report = forge.reload()
    assert pipelines_of(report) == {"main": "same", "beside": "same", "extra": "added"}
    assert forge.flow("extra") == {"1/a"}
    pipelines["renamed"] = pipelines.pop("extra")
    report = forge.reload()
    assert pipelines_of(report) == {"main": "same", "beside": "same", "extra": "removed", "renamed": "added"}
    assert set(forge.control.pipelines()) == {"main", "beside", "renamed"}
    assert forge.flow("extra") == {"1/a"}  # the same group goes on where it stood
    del pipelines["renamed"]
    report = forge.reload()
    assert pipelines_of(report)["renamed"] == "removed" and set(forge.control.pipelines()) == set(LANES)
    assert forge.flow("main") == {"1/a"}


def test_limits_are_changed(forge):
    before = forge.control.call("GET", "/v1/status")[1]
    forge.config["limits"].update(memory="128MiB", workers=3)
    report = forge.reload()
    assert report["result"] == "done" and pipelines_of(report)["beside"] == "same" or report["pipelines"], report
    after = forge.control.call("GET", "/v1/status")[1]
    assert after["memory"] != before["memory"], (before, after)
    assert forge.flow() == {"1/a"} and forge.flow("beside") == {"1/a"}


def test_another_output_topic_is_taken(forge):
    forge.topic("main.out2")
    forge.follow_topics()
    forge.send(count=50)
    forge.config["pipelines"]["main"]["output"]["topic"] = f"{forge.tag}.main.out2"
    report = forge.reload()
    assert pipelines_of(report) == {"main": "reopen", "beside": "same"}, report
    assert forge.flow(to="main.out2") == {"1/a"}


# the API itself

def test_open_requests_end_in_order_when_their_plugin_is_replaced(forge):
    """The request that asks for it too: it is answered by the instance that the reload replaces."""
    stream = http.client.HTTPConnection("127.0.0.1", forge.port, timeout=30)
    stream.request("GET", "/v1/events?kinds=reload")
    events = stream.getresponse()
    assert events.status == 200
    forge.stamp()["mark"] = "b"
    assert forge.reload()["result"] == "done"
    while not (line := events.readline()).startswith(b"data:"):
        assert line, "the stream ended before it told of the reload"
    assert json.loads(line.partition(b":")[2])["asked_by"] == ["api"], line
    forge.config["http"]["plugins"][0]["window"] = 77
    forge.write()
    status, body = forge.control.call("POST", "/v1/reload")
    assert status in (200, 202), body
    report = forge.control.wait(lambda report: report["changes"][0]["place"] == "http.plugins.0")
    assert report["result"] == "done" and report["changes"][0]["detail"] == "window", report
    assert pipelines_of(report) == {"main": "same", "beside": "same"}
    events.read()  # to its end, or IncompleteRead
    stream.close()
    assert forge.control.call("GET", "/v1/status")[0] == 200


def test_tokens_are_changed(forge):
    token = "open-sesame-4711"
    forge.config["http"]["tokens"] = [
        {"name": "ci", "sha256": hashlib.sha256(token.encode()).hexdigest(), "scopes": ["read", "control"]}]
    assert forge.reload()["result"] == "done"
    assert forge.control.call("GET", "/v1/status")[0] == 401
    forge.control.headers = {"authorization": f"Bearer {token}"}
    assert forge.control.call("GET", "/v1/status")[0] == 200
    del forge.config["http"]["tokens"]
    assert forge.reload()["result"] == "done"
    forge.control.headers = {}
    assert forge.control.call("GET", "/v1/status")[0] == 200
    assert token not in forge.process.stderr.text


def test_another_port_is_listened_on(forge):
    old, new = forge.port, free_ports(1)[0]
    kept = http.client.HTTPConnection("127.0.0.1", old, timeout=10)
    kept.request("GET", "/livez")
    assert kept.getresponse().read() is not None
    forge.config["http"]["listen"] = f"127.0.0.1:{new}"
    report = forge.reload()
    assert report["result"] == "done" and report["changes"][0]["place"] == "http", report
    forge.control.port = new
    assert forge.control.call("GET", "/v1/status")[0] == 200
    with pytest.raises(urllib.error.URLError):
        exchange("GET", f"http://127.0.0.1:{old}/livez")
    kept.close()
    forge.config["http"]["listen"] = f"127.0.0.1:{old}"
    assert forge.reload()["result"] == "done"
    forge.control.port = old


def test_a_port_that_is_taken_is_refused(forge):
    with socket.create_server(("127.0.0.1", 0)) as other:
        forge.config["http"]["listen"] = f"127.0.0.1:{other.getsockname()[1]}"
        forge.write()
        check_refused(forge, forge.config["http"]["listen"])


# without being asked

def test_a_configmap_is_swapped_without_a_signal(own_forge):
    """As the kubelet does it: a new folder, and the name ..data put on it by a rename."""
    forge = own_forge(lanes=("main",))
    forge.config["reload"].update(watch=True, settle="100ms")
    mount = forge.fragua.folder / "etc"

    def publish(version):
        folder = mount / f"..{version}"
        folder.mkdir(parents=True)
        (folder / "fragua.yaml").write_text(json.dumps(forge.config))
        (mount / "..data_tmp").symlink_to(folder.name)
        os.replace(mount / "..data_tmp", mount / "..data")

    publish("2026_01")
    (mount / "fragua.yaml").symlink_to("..data/fragua.yaml")
    forge.start(path=mount / "fragua.yaml")
    assert forge.flow() == {"1/a"}
    for number, mark in enumerate("bc"):
        forge.stamp()["mark"] = mark
        publish(f"2026_{mark}")
        report = forge.control.wait(lambda report: report["generation"] == number + 2)
        assert report["result"] == "done" and report["asked_by"] == ["files"], report
        assert forge.flow() == {f"1/{mark}"}


def test_a_secret_is_rotated_without_a_signal(own_forge):
    forge = own_forge(lanes=("main",))
    secret = forge.fragua.folder / "secret"
    secret.write_text("rotated-0\n")
    forge.config["reload"].update(watch=True, settle="100ms")
    forge.stamp()["secret"] = "${file:secret}"
    forge.start()
    assert forge.flow() == {"1/a/rotated-0"}
    put(secret, "rotated-1\n")
    report = forge.control.wait(lambda report: report["result"] == "done")
    assert report["asked_by"] == ["files"], report
    assert [(change["place"], change["reason"]) for change in report["changes"]] == [("main.transforms.0", "secret")]
    assert forge.flow() == {"1/a/rotated-1"}
    assert "rotated-" not in forge.process.stderr.text + json.dumps(forge.control.reloads())


# told beforehand

def test_validate_says_what_a_reload_would_do(forge):
    base, generation = f"http://127.0.0.1:{forge.port}", forge.control.generation
    forge.stamp()["mark"] = "b"
    forge.config["pipelines"]["beside"]["output"]["topic"] = f"{forge.tag}.other"
    forge.write()
    call = forge.fragua.call("validate", "--plugin-dir", forge.plugins, forge.path, "--against", base)
    assert "main.transforms.0" in call.stdout.text and "mark" in call.stdout.text, call.stdout.text
    assert "beside" in call.stdout.text and "reopen" in call.stdout.text, call.stdout.text
    forge.stamp()["mrak"] = "b"
    forge.write()
    call = forge.fragua.call("validate", "--plugin-dir", forge.plugins, forge.path, "--against", base, code=78)
    assert "mrak" in call.stdout.text + call.stderr.text
    assert forge.control.generation == generation and forge.flow() == {"1/a"}


def certificate_of(port):
    """What a server shows now, as PEM."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=10)


def test_a_server_certificate_is_rotated_under_open_connections(kafka, tmp_path):
    port, runner = free_ports(1)[0], Fragua(os.environ["FRAGUA_BIN"], tmp_path)
    first, second = kafka.tls / "broker" / "server", kafka.tls / "client" / "user"

    def publish(version, source):
        folder = tmp_path / f"..{version}"
        folder.mkdir()
        for kind in ("crt", "key"):
            (folder / f"tls.{kind}").write_bytes(source.with_suffix(f".{kind}").read_bytes())
        (tmp_path / "..data_tmp").symlink_to(folder.name)
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")

    publish(1, first)
    try:
        process = runner.run(json.dumps({
            "http": {"listen": f"127.0.0.1:{port}", "plugins": [{"plugin": "http-control"}],
                     "tls": {"certificate": str(tmp_path / "..data" / "tls.crt"),
                             "key": str(tmp_path / "..data" / "tls.key")}},
            "reload": {"settle": "100ms"}}))
        process.wait_log("listening on")
        context = ssl.create_default_context(cafile=str(kafka.tls / "ca" / "ca.crt"))
        kept = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
        kept.request("GET", "/v1/events?kinds=reload")
        events = kept.getresponse()
        assert certificate_of(port).split() == first.with_suffix(".crt").read_text().split()
        publish(2, second)
        while not (line := events.readline()).startswith(b"data:"):
            assert line, f"the stream ended before it told of the reload. {process.describe()}"
        report = json.loads(line.partition(b":")[2])
        assert report["asked_by"] == ["files"] and report["result"] == "done", report
        assert certificate_of(port).split() == second.with_suffix(".crt").read_text().split()
        kept.close()
        process.stop()
    finally:
        runner.end_all()


def test_a_file_from_standard_input_cannot_be_read_again(kafka, tmp_path):
    port = free_ports(1)[0]
    config = tmp_path / "in.yaml"
    config.write_text(f'http: {{listen: "127.0.0.1:{port}", plugins: [{{plugin: http-control}}]}}\n')
    runner = Fragua(os.environ["FRAGUA_BIN"], tmp_path)
    try:
        # the harness gives its processes no input of their own
        process = Process("piped", ["sh", "-c", 'exec "$1" run -c - <"$2"', "sh", runner.binary, config], tmp_path,
                          runner.environment())
        runner.processes.append(process)
        process.wait_ready(f"http://127.0.0.1:{port}/livez")
        process.signal(signal.SIGHUP)
        process.wait_log("no file that could be read again")
        assert process.running and Control(process, port).generation == 1
        process.stop()
    finally:
        runner.end_all()
