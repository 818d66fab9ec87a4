# SPDX-License-Identifier: Apache-2.0
"""`fragua validate --against URL`: what is sent to a server, and what is made of each of its answers."""
import http.server
import json
import ssl
import subprocess
import threading
from contextlib import contextmanager

CONFIG, FAILED, USAGE = 78, 1, 64
TEXT = "pipelines: {}  # ñ\n"

WOULD_DO = {
    "result": "would-do",
    "changes": [
        {"place": "ingest.transforms.0", "reason": "plugin file", "detail": "transform-tabulate 1a2b -> 3c4d"},
        {"place": "limits", "reason": "option", "detail": "memory"},
        {"place": "second", "reason": "added", "detail": ""},
        {"place": "old", "reason": "removed", "detail": "\u001b[31m\u202etricky\n"},
    ],
    "pipelines": [{"name": "ingest", "how": "swap"}, {"name": "recognise", "how": "same"},
                  {"name": "third", "how": "reopen"}],
    "faults": [],
}
REFUSED = {"result": "refused", "error": "2 faults", "changes": [], "pipelines": [], "faults": [
    {"file": "/etc/fragua/pipelines.yaml", "line": 3, "column": 7, "message": "unknown key \"concurency\""},
    {"file": "/etc/fragua/pipelines.yaml", "line": 0, "column": 0, "message": "no pipeline"},
]}


@contextmanager
def server(status, body, certificate=None):
    """A server with one answer; its address and what it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            text = self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.path, self.headers.get("authorization"), text.decode()))
            answer = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http{'s' if certificate else ''}://127.0.0.1:{httpd.server_port}", asked
        httpd.shutdown()
        thread.join()


def test_what_a_reload_would_do_is_told_a_line_each(fragua):
    path = fragua.config(TEXT)
    with server(200, WOULD_DO) as (url, asked):
        answer = fragua.call("validate", path, "--against", url + "/", env={"FRAGUA_TOKEN": " open-sesame\n"})
        assert asked == [("/v1/config/validate", "Bearer open-sesame", TEXT)]
        assert answer.stdout.text.splitlines() == [
            "~ ingest.transforms.0  plugin file  transform-tabulate 1a2b -> 3c4d",
            "~ limits  option  memory",
            "+ second  added",
            "- old  removed  \ufffd[31m\ufffdtricky",
            "ingest: swap (held at a batch boundary, its stages exchanged; no rebalance)",
            "third: reopen (drained, closed and opened anew; its group rebalances)",
        ]
        answer = fragua.call("validate", path, "--against", url, "--format", "json", env={"FRAGUA_TOKEN": None})
        assert json.loads(answer.stdout.text) == WOULD_DO
        assert asked[-1][1] is None
    with server(200, {"result": "unchanged", "changes": [], "pipelines": [{"name": "a", "how": "same"}]}) as (url, _):
        assert fragua.call("validate", path, "--against", url).stdout.text.splitlines() == ["nothing would change"]


def test_faults_stand_at_places_of_the_file_that_was_given(fragua):
    path = fragua.config(TEXT)
    with server(200, REFUSED) as (url, _):
        answer = fragua.call("validate", path, "--against", url, code=CONFIG)
        assert answer.stdout.text.splitlines() == [f"{path}:3:7: unknown key \"concurency\"",
                                                   f"{path}: no pipeline"]
        answer = fragua.call("validate", path, "--against", url, "--format", "json", code=CONFIG)
        assert json.loads(answer.stdout.text) == REFUSED
    with server(200, {"result": "refused", "error": "the plugin \"x\" crashed when it was tried"}) as (url, _):
        answer = fragua.call("validate", path, "--against", url, code=CONFIG)
        assert answer.stdout.text.splitlines() == [f"{path}: the plugin \"x\" crashed when it was tried"]


def test_no_report_is_a_failure_with_a_reason(fragua, free_port):
    path = fragua.config(TEXT)
    for status, body, reason in (
            (401, {"title": "unauthorized", "detail": "no token"}, "401: no token; give a token in FRAGUA_TOKEN"),
            (403, {"title": "forbidden"}, "403: forbidden; this needs a token with the scope `control`"),
            (404, b"<html>", "answered 404; is `http-control` among its plugins"),
            (501, {"detail": "this server cannot reload"}, "501: this server cannot reload"),
            (200, b"[]", "is no report of a dry run"), (200, b"{\"result\":\"would-do\"", "is no report of a dry run")):
        with server(status, body) as (url, _):
            assert reason in fragua.call("validate", path, "--against", url, code=FAILED).stderr.text
    url = f"http://127.0.0.1:{free_port()}"
    assert f"no answer from {url}" in fragua.call("validate", path, "--against", url, code=FAILED).stderr.text
    assert "cannot ask" in fragua.call("validate", path, "--against", "nonsense", code=FAILED).stderr.text
    fragua.call("validate", path, path, "--against", url, code=USAGE)
    fragua.call("validate", path, "--set", "a=b", "--against", url, code=USAGE)
    fragua.call("validate", path, "--key", path, "--against", url, code=USAGE)
    fragua.call("validate", path, "--token-file", fragua.config(" \n", "empty"), "--against", url, code=USAGE)
    fragua.call("validate", path.with_name("none.yaml"), "--against", url, code=CONFIG)


def test_the_server_is_known_by_its_certificate(fragua):
    path, certificate = fragua.config(TEXT), fragua.folder / "server.crt"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                    "-out", certificate, "-keyout", certificate.with_suffix(".key")], check=True, capture_output=True)
    token = fragua.config("open-sesame\n", "token")
    with server(200, WOULD_DO, certificate) as (url, asked):
        fragua.call("validate", path, "--against", url, "--token-file", token, code=FAILED)
        assert not asked  # a token goes to nobody who is not known
        fragua.call("validate", path, "--against", url, "--token-file", token, "--ca", certificate)
        assert asked[0][1] == "Bearer open-sesame"
