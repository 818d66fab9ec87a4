# SPDX-License-Identifier: Apache-2.0
"""The example plugins as somebody else would have them: installed headers, plain cc, another folder, one process."""
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("FRAGUA_BIN", "build/core/fragua")).resolve().parents[1]
SOURCES = TOP / "examples/plugins"
LIBRARIES = {"sink-webhook": "libcrypto"}
SECRET = "open-sesame-4711"

FILE = """
limits: {{memory: 8MiB}}
kafka: {{embedded: true}}
http: {{listen: "127.0.0.1:{port}", plugins: [{{plugin: control-hello}}]}}
pipelines:
  files:
    source: {{plugin: source-folder, folder: {folder}, poll: 200ms, settle: 100ms, max-bytes: 64MiB}}
    transforms: [{{plugin: transform-upper, header: case, value: upper}}]
    output: {{topic: files}}
    dead-letters: {{topic: dead}}
  post:
    input: {{topic: files}}
    sink:
      plugin: sink-webhook
      url: {hook}/files
      secret: {secret}
      headers: [file_name, file_id, case]
      allow-private: true
    dead-letters: {{topic: dead}}
  dead:
    input: {{topic: dead}}
    sink: {{plugin: sink-webhook, url: "{hook}/dead", headers: [fragua_code, fragua_reason, fragua_stage],
            allow-private: true}}
  lines:
    source: {{plugin: source-lines, lines: [a line]}}
    output: {{topic: lines}}
  show:
    input: {{topic: lines}}
    sink: {{plugin: sink-log}}
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """A folder with every example, built by the command of their README against what `meson install` lays down."""
    root, folder = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("plugins")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--tags", "devel", "--destdir", root],
                   check=True, capture_output=True)
    options = json.loads(subprocess.run(["meson", "introspect", "--buildoptions", BUILD], check=True,
                                        capture_output=True).stdout)
    sanitizers = next(option["value"] for option in options if option["name"] == "b_sanitize")
    command = re.search(r"^cc (?:.*\\\n)*.*", (SOURCES / "README.md").read_text(), re.MULTILINE)[0]
    if sanitizers != "none":
        command = command.replace("-Wl,-z,defs", f"-fsanitize={sanitizers}")  # whose symbols the program has
    env = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(root),
           "PKG_CONFIG_PATH": str(next(root.rglob("fragua.pc")).parent)}
    for source in sorted(path for path in SOURCES.iterdir() if path.is_dir()):
        name = source.name
        files = [str(path) for path in source.glob("*.c") if not path.name.startswith("test-")]
        words = command.replace("sink-log.so sink-log.c", f"{name}.so {' '.join(files)}")
        words = words.replace(" fragua)", f" fragua {LIBRARIES.get(name, '')})")
        built = subprocess.run(words, shell=True, cwd=folder, env=env, capture_output=True, text=True)
        assert built.returncode == 0 and not built.stderr, built.stderr
    return folder


class Hook:
    """A web server that refuses what says "BAD", is out of order for its first two requests, and keeps the rest."""

    def __init__(self):
        self.asked, self.posts, self._changed = 0, [], threading.Condition()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.take(self.path, self.headers, body)
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path, headers, body):
        with self._changed:
            self.asked += 1
            if self.asked <= 2:
                return (429, 503)[self.asked - 1]
            if body == b"BAD" and path == "/files":
                return 422
            self.posts.append((path, headers, body))
            self._changed.notify_all()
            return 200

    def wait(self, n):
        """The first `n` posts that were taken; more are a fault."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.posts) >= n, 30), self.posts
            assert len(self.posts) == n
            return list(self.posts)


@pytest.fixture
def hook():
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def is_signed(headers, body):
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest()).decode()
    return headers["webhook-signature"] == f"v1,{wanted}"


def test_examples_built_elsewhere_run(fragua, free_port, tmp_path, plugins, hook):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        (folder / f"file{number}").write_text(f"text {number}")
    (folder / os.fsdecode(b"caf\xe9")).write_bytes(b"latin")
    (folder / ".part").write_text("not yet whole")
    (folder / "refused").write_text("bad")
    (folder / "huge").write_bytes(b"x" * (7 << 20))  # within max-bytes, never within the byte budget
    text = FILE.format(port=free_port(), folder=folder, hook=hook.url, secret=SECRET)
    process = fragua.run(text, env={"FRAGUA_PLUGIN_PATH": str(plugins)})
    posts = hook.wait(7)
    files = {headers["file-name"]: body for path, headers, body in posts if path == "/files"}
    assert files == {**{f"file{n}": f"TEXT {n}".encode() for n in range(4)}, "caf%EF%BF%BD": b"LATIN"}
    assert all(is_signed(headers, body) for path, headers, body in posts if path == "/files")
    assert all(headers["case"] for path, headers, body in posts if path == "/files")
    dead = {headers["fragua-code"]: (headers["fragua-stage"], body)
            for path, headers, body in posts if path == "/dead"}
    assert dead == {"limit": ("source", b""), "refused": ("sink", b"BAD")}
    process.wait_log('value=..a line.*pipeline=show')
    (folder / ".part").rename(folder / "file4")  # the only one that is new
    assert hook.wait(8)[7][2] == b"NOT YET WHOLE"
    process.stop()
