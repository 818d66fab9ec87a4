# SPDX-License-Identifier: Apache-2.0
"""The command line without Kafka: what goes in wrong comes out as one line with a reason, and the right exit code."""
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from harness import http

TOP = Path(__file__).resolve().parents[2]
CONFIG, FAILED, USAGE = 78, 1, 64
COMMANDS = ["run", "validate", "schema", "plugins", "topics", "replay", "tail", "demo"]
SECRET = "open-sesame-4711"
BUILD = Path(os.environ.get("FRAGUA_BIN", "build/core/fragua")).resolve().parents[1]
BAD_PLUGINS, EXAMPLES = BUILD / "test" / "plugins", BUILD / "examples" / "plugins"

SIMULATORS = """
http:
  listen: 127.0.0.1:{port}
  plugins:
    - plugin: sim-graph
      mails: {mails}
      client: somebody
      secret: {secret}
    - plugin: serve-entities
    - plugin: http-control
"""


@pytest.fixture
def simulators(fragua, free_port):
    """A running process of simulators only, and its address."""
    port = free_port()
    text = SIMULATORS.format(port=port, mails=TOP / "plugins/sim-graph/mails", secret=SECRET)
    process = fragua.run(text, name="simulators")
    process.wait_log(f"listening on 127.0.0.1:{port}")
    return process, f"http://127.0.0.1:{port}"


def one_line(text):
    """The only line of `text` that a person has to read."""
    lines = text.strip().split("\n")
    assert len(lines) == 1, text
    return lines[0]


def hello(plugin, options=""):
    return f"http:\n  plugins:\n    - {{plugin: {plugin}{options}}}\n"


ANY_PORT = "http:\n  listen: 127.0.0.1:0\n  plugins: [{plugin: good-order}]\n"


# (name, text, line, column, part of the message)
BAD_YAML = [
    ("a tab", "http:\n\tplugins: []\n", 2, 1, ""),
    ("an open list", "http: {plugins: [\n", 2, 1, ""),
    ("an open quote", "http: \"abc\n", 1, 7, "never closed"),
    ("a bracket too many", "http: {}}\n", 1, 9, ""),
    ("indentation that goes back wrong", "http:\n    listen: a\n  plugins: []\n", 3, 3, ""),
    ("a value twice", "http: a: b\n", 1, 8, ""),
    ("the same key twice", "http: {}\nhttp: {}\n", 2, 1, "http"),
    ("an alias", "kafka: &k {}\nhttp: *k\n", None, None, ""),
    ("a tag", "http: !!python/object {}\n", 1, 7, ""),
    ("two documents", "http: {}\n---\nhttp: {}\n", 2, None, ""),
    ("a list at the top", "- http\n", 1, 1, ""),
    ("a scalar at the top", "http\n", 1, 1, ""),
    ("nothing", "", 1, 1, ""),
    ("only a comment", "# nothing\n", None, 1, ""),
    ("a control character", "http: \"a\u0001\"\n", 1, None, ""),
    ("bytes that are no UTF-8", b"http: \xff\xfe\n", 1, None, ""),
    ("too deep", "a: " + "[" * 40 + "]" * 40 + "\n", 1, None, ""),
    ("a key that is a list", "? [a, b]\n: c\n", 1, 3, ""),
    ("an unknown section", "htp: {}\n", 1, 1, "unknown section \"htp\""),
    ("an unknown key", "http: {lisen: a}\n", 1, 8, "did you mean"),
    ("a number that is none", hello("good-order") + "limits: {workers: many}\n", 4, 19, "workers"),
    ("a number out of bounds", hello("good-order") + "limits: {workers: 1000}\n", 4, 19, "64"),
    ("a size that is none", hello("good-order") + "limits: {memory: 1 banana}\n", 4, 18, "memory"),
    ("an environment variable that is not set", "http: {listen: \"${env:NO_SUCH_VARIABLE}\"}\n", 1, 17,
     "NO_SUCH_VARIABLE"),
    ("a file that is not there", "http: {listen: \"${file:/no/such/file}\"}\n", 1, 17, "/no/such/file"),
]


@pytest.mark.parametrize("text,line,column,part", [case[1:] for case in BAD_YAML], ids=[case[0] for case in BAD_YAML])
def test_bad_yaml_is_blamed_at_its_line_and_column(fragua, text, line, column, part):
    path = fragua.folder / "bad.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    answer = fragua.call("validate", path, "--plugin-dir", BAD_PLUGINS, code=CONFIG)
    found = [re.match(rf"{re.escape(str(path))}:(\d+):(\d+): (.+)", row) for row in answer.stdout.lines]
    assert found and all(found), answer.stdout.text
    assert answer.stderr.text == ""
    assert any((line is None or int(match[1]) == line) and (column is None or int(match[2]) == column)
               and part in match[3] for match in found), answer.stdout.text


def test_faults_are_also_written_as_json(fragua):
    path = fragua.config("htp: {}\nlimits: {workers: many}\n")
    faults = json.loads(fragua.call("validate", path, "--format", "json", code=CONFIG).stdout.text)
    places = [(fault["file"], fault["line"], fault["column"]) for fault in faults]
    assert places == [(str(path), 1, 1), (str(path), 2, 19)]


@pytest.mark.parametrize("command", [("run", "-c"), ("validate",)])
def test_a_missing_file_is_named(fragua, command):
    answer = fragua.call(*command, "no/such.yaml", code=CONFIG)
    assert "no/such.yaml" in one_line(answer.stdout.text + answer.stderr.text)


def test_a_file_that_is_too_large_is_not_read(fragua):
    path = fragua.config("# " + "x" * (1 << 20) + "\nhttp: {}\n")
    assert "larger than 1048576 bytes" in one_line(fragua.call("validate", path, code=CONFIG).stdout.text)


def test_a_file_may_come_through_a_pipe(fragua):
    pipe = fragua.folder / "pipe"
    os.mkfifo(pipe)
    process = fragua.start("validate", pipe, "--plugin-dir", BAD_PLUGINS)
    pipe.write_text(hello("good-order"))
    process.wait_exit(0)


BAD_LOADS = [
    ("bad-abi", "\"bad-abi\" was built for ABI 2, this is ABI 1"),
    ("bad-magic", "is no fragua plugin"),
    ("bad-symbol", "exports no symbol fragua_plugin"),
    ("bad-callback", "lacks the mandatory callback open"),
    ("bad-name", "says its name is \"good-name\""),
    ("bad-options", "has a bad option table"),
    ("bad-size", "too small for ABI 1"),
    ("bad-crash", "plugin \"bad-crash\" crashes while being loaded"),
    ("bad-crash-open", "plugin \"bad-crash-open\" crashes while being opened"),
    ("bad-exit", "plugin \"bad-exit\" ends the process while being loaded"),
    ("bad-refuse", "http.plugins.0: this plugin never opens: take another"),
    ("bad-self", "plugin \"bad-self\" opened without an instance"),
    ("good-ordr", "there is no plugin \"good-ordr\"; did you mean \"good-order\"?"),
]


@pytest.mark.parametrize("command", [("run", "-c"), ("validate",)], ids=["run", "validate"])
@pytest.mark.parametrize("plugin,reason", BAD_LOADS, ids=[case[0] for case in BAD_LOADS])
def test_a_bad_plugin_is_named_in_one_line(fragua, command, plugin, reason):
    path = fragua.config(hello(plugin))
    answer = fragua.call(*command, path, "--plugin-dir", BAD_PLUGINS, code=CONFIG, timeout=10)
    line = one_line(answer.stdout.text + answer.stderr.text)
    assert reason in line
    assert str(path) in line
    assert not list(fragua.folder.glob("core*"))


def test_a_plugin_that_hangs_is_given_up(fragua):
    file = fragua.config(hello("bad-hang"))
    answer = fragua.call("validate", file, "--plugin-dir", BAD_PLUGINS, "--timeout", "500ms", code=CONFIG)
    assert "plugin \"bad-hang\" hangs while being opened: no end after 0.5 s" in one_line(answer.stdout.text)


def stamp(**options):
    """A file with transform-stamp in it."""
    words = "".join(f", {key}: {value}" for key, value in options.items())
    return ("kafka: {embedded: true}\npipelines: {p: {input: {topic: a, group: g}, output: {topic: b}, "
            f"transforms: [{{plugin: transform-stamp{words}}}]}}}}\n")


STAMPS_BAD = [
    ("abi", "plugin \"transform-stamp\" was built for ABI 2, this is ABI 1: build it again"),
    ("crash", "plugin \"transform-stamp\" crashes while being loaded (Segmentation fault)"),
    ("hang", "plugin \"transform-stamp\" hangs while being loaded: no end after 2 s"),
    ("kind", "plugin \"transform-stamp\" is a control, but `transforms.0` takes a transform"),
    ("open", "plugin \"transform-stamp\" crashes while being opened (Segmentation fault)"),
    ("symbol", "transform-stamp.so\" exports no symbol fragua_plugin"),
]


@pytest.mark.parametrize("wrong,reason", STAMPS_BAD, ids=[case[0] for case in STAMPS_BAD])
def test_what_comes_in_the_place_of_a_good_plugin_is_named_with_its_hash(fragua, wrong, reason):
    bytes_ = (BAD_PLUGINS / "stamp-bad" / f"{wrong}.so").read_bytes()
    (fragua.folder / "transform-stamp.so").write_bytes(bytes_)
    answer = fragua.call("validate", fragua.config(stamp(mark="x")), "--plugin-dir", fragua.folder,
                         "--format", "json", "--plugins", "--timeout", "2s", code=CONFIG)
    report = json.loads(answer.stdout.text)
    assert [reason in fault["message"] for fault in report["faults"]] == [True], report
    assert report["plugins"] == [{"name": "transform-stamp", "path": str(fragua.folder / "transform-stamp.so"),
                                  "sha256": hashlib.sha256(bytes_).hexdigest()}]


def test_standard_input_stands_in_for_a_file(fragua):
    (fragua.folder / "mark").write_text("from beside it")
    text = stamp(mark="\"${file:mark}\"", nonsense=1)
    place = fragua.folder / "pipelines.yaml"
    words = [fragua.binary, "validate", "-", "--as", place, "--plugin-dir", BAD_PLUGINS / "stamp-1", "--plugins"]
    answer = subprocess.run(words, input=text, capture_output=True, text=True, timeout=30, env=fragua.environment())
    assert answer.returncode == CONFIG, answer
    lines = answer.stdout.splitlines()
    assert len(lines) == 2 and lines[0].startswith(f"{place}:2:") and "unknown key \"nonsense\"" in lines[0]
    assert re.fullmatch(r"plugin transform-stamp  \S+/transform-stamp\.so  sha256 [0-9a-f]{64}", lines[1])


def test_a_plugin_that_cannot_start_fails_the_run(fragua, free_port):
    text = f"http:\n  listen: 127.0.0.1:{free_port()}\n  plugins: [{{plugin: good-order}}, {{plugin: bad-start}}]\n"
    process = fragua.run(text, "--plugin-dir", BAD_PLUGINS)
    process.wait_exit(FAILED)
    assert "fragua: http.plugins.1: the thing it needs is not there" in process.stderr.lines
    said = re.findall(r'msg="callback (\w+)"', process.stderr.text)
    assert said == ["open", "start", "stop", "stopped", "close"]


def test_a_port_in_use_is_named(fragua):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = fragua.run(f"http:\n  listen: {address}\n  plugins: [{{plugin: good-order}}]\n", "--plugin-dir",
                             BAD_PLUGINS)
        process.wait_exit(FAILED)
    reasons = [line for line in process.stderr.lines if line.startswith("fragua: ")]
    assert len(reasons) == 1 and address in reasons[0] and "another program has this port" in reasons[0]


def test_a_role_that_no_pipeline_has_is_a_wrong_file(fragua):
    text = "kafka: {embedded: true}\npipelines: {p: {input: {topic: t}, sink: {plugin: sink-log}}}\n"
    process = fragua.run(text, "--role", "producer", "--plugin-dir", EXAMPLES)
    process.wait_exit(CONFIG)
    assert "fragua: the file has no pipeline of this role" in process.stderr.lines


@pytest.mark.parametrize("words,part", [
    ((), "usage: fragua COMMAND"),
    (("rnu",), "there is no command \"rnu\"; did you mean \"run\"?"),
    (("something",), "there is no command \"something\""),
    (("run",), "usage: fragua run -c FILE"),
    (("run", "-c"), "option \"-c\" needs a value"),
    (("run", "--role"), "option \"--role\" needs a value"),
    (("run", "-x"), "there is no option \"-x\""),
    (("run", "--no-such"), "there is no option \"--no-such\"; see `fragua run --help`"),
    (("run", "-c", "x", "more"), "usage: fragua run"),
    (("run", "-c", "x", "--role", "leader"), "--role is producer, consumer or both, not \"leader\""),
    (("run", "-c", "x", "--log-level", "loud"), "--log-level is error, warn, info or debug, not \"loud\""),
    (("run", "-c", "x", "--log-format", "xml"), "--log-format is logfmt or json, not \"xml\""),
    (("validate",), "usage: fragua validate FILE"),
    (("validate", "x", "--format", "xml"), "--format is text or json"),
    (("schema", "x"), "usage: fragua schema"),
    (("schema", "--format", "text"), "--format is json or markdown"),
    (("plugins", "a", "b"), "usage: fragua plugins"),
    (("plugins", "--format", "xml"), "--format is text, json or markdown"),
    (("topics",), "usage: fragua topics -c FILE"),
    (("topics", "-c", "x", "y"), "usage: fragua topics"),
    (("topics", "-c", "x", "--partitions", "3"), "add --create"),
    (("topics", "-c", "x", "--create", "--partitions", "0"), "--partitions is a number from 1"),
    (("topics", "-c", "x", "--format", "xml"), "--format is text or json"),
    (("replay",), "usage: fragua replay -c FILE"),
    (("replay", "-c", "x", "y"), "usage: fragua replay"),
    (("replay", "-c", "x", "--limit", "-1"), "--limit is a number from 1"),
    (("replay", "-c", "x", "--filter", "reason"), "--filter: a filter is reason, code"),
    (("replay", "-c", "x", "--filter", "id=7"), "id is a letter's topic/partition/offset, not \"7\""),
    (("tail", "-c", "x"), "usage: fragua tail -c FILE TOPIC"),
    (("tail", "t"), "usage: fragua tail -c FILE TOPIC"),
    (("tail", "-c", "x", "t", "--from", "1e3"), "--from is beginning, end, an offset"),
    (("tail", "-c", "x", "t", "--count", "0"), "--count is a number from 1"),
    (("tail", "-c", "x", "t", "--format", "text"), "--format is pretty or json"),
    (("demo", "x"), "usage: fragua demo"),
    (("demo", "--port", "70000"), "--port is a number from 1 to 65535, not \"70000\""),
])
def test_wrong_words_are_answered_with_usage(fragua, words, part):
    answer = fragua.call(*words, code=USAGE)
    assert part in answer.stderr.text
    assert answer.stdout.text == ""


def test_the_demo_refuses_a_folder_that_its_file_could_not_name(fragua):
    folder = fragua.folder / "a\"b" / "somebody" / "inbox"
    folder.mkdir(parents=True)
    (folder / "1.eml").write_text("Subject: x\n\nx\n")
    answer = fragua.call("demo", "--mails", fragua.folder / "a\"b", code=USAGE)
    assert "must have no quote" in one_line(answer.stderr.text)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(fragua, command):
    text = fragua.call(command, "--help").stdout.text
    assert text.startswith(f"usage: fragua {command}")
    assert "--plugin-dir DIR" in text
    assert all(len(line) <= 120 for line in text.split("\n"))


def test_help_names_each_command_and_version_is_one_line(fragua):
    text = fragua.call("--help").stdout.text
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert re.fullmatch(r"fragua \d+\.\d+\.\d+", one_line(fragua.call("--version").stdout.text))
    assert fragua.call("run", "--version").stdout.text == fragua.call("--version").stdout.text


def test_plugins_are_listed_in_three_formats(fragua):
    rows = json.loads(fragua.call("plugins", "--plugin-dir", EXAMPLES, "--format", "json").stdout.text)
    kinds = {row["name"]: row["kind"] for row in rows}
    assert kinds["source-lines"] == "source" and kinds["control-hello"] == "control"
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) and row["abi"] == 1 for row in rows)
    assert re.search(r"^sink-log +sink +1\.0 ", fragua.call("plugins", "--plugin-dir", EXAMPLES).stdout.text, re.M)
    markdown = fragua.call("plugins", "--plugin-dir", EXAMPLES, "--format", "markdown").stdout.text
    assert "| `transform-upper` | transform | 1.0 | makes values upper case |" in markdown


def test_a_plugin_that_crashes_spoils_neither_list_nor_schema(fragua):
    answer = fragua.call("plugins", "--plugin-dir", BAD_PLUGINS, code=FAILED)
    assert "fragua: plugin \"bad-crash\" crashes while being loaded" in answer.stderr.text
    assert "\ngood-order " in "\n" + answer.stdout.text
    answer = fragua.call("plugins", "bad-exit", code=FAILED, env={"FRAGUA_PLUGIN_PATH": BAD_PLUGINS})
    assert "plugin \"bad-exit\" ends the process while being loaded" in one_line(answer.stderr.text)
    assert "good-order" in fragua.call("schema", "--plugin-dir", BAD_PLUGINS).stdout.text


def test_one_plugin_shows_its_options(fragua):
    described = json.loads(fragua.call("plugins", "sink-log", "--plugin-dir", EXAMPLES, "--format", "json").stdout.text)
    assert [option["key"] for option in described["options"]] == ["width", "pass"]
    text = fragua.call("plugins", "sink-log", "--plugin-dir", EXAMPLES).stdout.text
    file = EXAMPLES / "sink-log.so"
    assert "width" in text and f"file    {file}\nsha256  {hashlib.sha256(file.read_bytes()).hexdigest()}\n" in text
    answer = fragua.call("plugins", "sink-lgo", "--plugin-dir", EXAMPLES, code=FAILED)
    assert "did you mean \"sink-log\"?" in one_line(answer.stderr.text)


EXAMPLE_FILES = sorted((TOP / "examples/plugins").glob("*/example.yaml"))


@pytest.mark.parametrize("example", EXAMPLE_FILES, ids=lambda path: path.parent.name)
def test_each_example_is_valid(fragua, example):
    fragua.call("validate", example, "--plugin-dir", EXAMPLES)


ENVIRONMENT = re.compile(r"\$\{env:\w+:-([^}]*)\}")


def plain(path):
    """The file as an editor's schema check sees it once the defaults of its variables stand in it."""
    return yaml.safe_load(ENVIRONMENT.sub(lambda match: match[1], path.read_text()))


@pytest.mark.parametrize("path", sorted((TOP / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_the_schema_accepts_the_configurations(fragua, path):
    schema = json.loads(fragua.call("schema").stdout.text)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(plain(path))


def test_the_schema_refuses_what_validate_refuses(fragua):
    schema = json.loads(fragua.call("schema", "--plugin-dir", EXAMPLES).stdout.text)
    validator = jsonschema.Draft202012Validator(schema)
    for text in ("htp: {}", "limits: {workers: many}", "http: {plugins: [{plugin: no-such}]}",
                 "http: {plugins: [{plugin: control-hello, greting: hi}]}", "pipelines: {p: {role: leader}}"):
        assert not validator.is_valid(yaml.safe_load(text)), text


@pytest.mark.parametrize("number,name", [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")])
def test_a_signal_ends_it_in_order(simulators, number, name):
    process, url = simulators
    process.wait_ready(f"{url}/readyz")
    process.signal(number)
    process.wait_exit(0)
    assert f"{name}: draining, then stopping" in process.stderr.text


def test_a_second_signal_ends_it_at_once(fragua):
    process = fragua.run(ANY_PORT, "--plugin-dir", BAD_PLUGINS)
    process.wait_log("started")
    process.signal(signal.SIGTERM)
    process.signal(signal.SIGINT)
    process.wait_exit(0, timeout=5)
    assert "draining, then stopping" in process.stderr.text
    assert "callback close" in process.stderr.text


def test_sigusr1_logs_the_state(simulators):
    process, _ = simulators
    process.signal(signal.SIGUSR1)
    process.wait_log(r"status \{.*version")
    process.wait_log(r"status \{.*pipelines")
    process.stop()


def test_sighup_reloads_and_a_wrong_file_leaves_it_running(simulators, fragua):
    process, url = simulators
    process.signal(signal.SIGHUP)
    process.wait_log("reload: nothing has changed, generation 1 goes on")
    (fragua.folder / "simulators.yaml").write_text("nonsense: 1\n")
    process.signal(signal.SIGHUP)
    process.wait_log("unknown section .*nonsense")
    process.wait_log("reload: refused, generation 1 goes on")
    process.wait_ready(f"{url}/readyz")
    process.stop()


def test_no_secret_is_in_any_output(simulators, fragua):
    process, url = simulators
    process.wait_ready(f"{url}/readyz")
    answers = [http("GET", url + path)[2].decode() for path in
               ("/", "/v1/status", "/v1/pipelines", "/v1/config", "/metrics", "/openapi.json", "/readyz?verbose")]
    http("POST", f"{url}/contoso.example/oauth2/v2.0/token", f"client_secret={SECRET}&client_id=other".encode())
    process.signal(signal.SIGUSR1)
    process.wait_log(r"status \{.*pipelines")
    process.signal(signal.SIGHUP)
    process.wait_log("reload: nothing has changed")
    process.stop()
    config = fragua.folder / "simulators.yaml"
    bad = fragua.config(config.read_text() + "nonsense: 1\n", "bad.yaml")
    assert SECRET in bad.read_text()
    for word in ("text", "json"):
        answers.append(fragua.call("validate", bad, "--format", word, code=CONFIG).stdout.text)
    for text in [*answers, process.stdout.text, process.stderr.text]:
        assert SECRET not in text


def test_a_secret_of_the_wrong_type_is_not_shown(fragua):
    answer = fragua.call("validate", fragua.config(hello("good-order", f", secret: [{SECRET}]")), "--plugin-dir",
                         BAD_PLUGINS, code=CONFIG)
    assert "secret" in answer.stdout.text and SECRET not in answer.stdout.text + answer.stderr.text


def test_log_lines_are_json_where_asked(fragua):
    process = fragua.run(ANY_PORT, "--plugin-dir", BAD_PLUGINS, "--log-format", "json")
    process.wait_log("started")
    process.stop()
    assert [json.loads(line)["level"] for line in process.stderr.lines]
