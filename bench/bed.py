# SPDX-License-Identifier: Apache-2.0
"""What the figures stand on: processes that end with the bed, free ports, cores, memory and CPU time of a process."""
import os
import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
NGINX = """daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log /dev/null;
events {{ worker_connections 512; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {dir}; proxy_temp_path {dir};
fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir}; default_type application/json;
server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{body}'; }} }} }}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def status(port, path):
    """The status of one GET, 0 where nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), 0.5) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return int(s.recv(4096)[9:12] or 0)
    except OSError:
        return 0


def wait_ready(process, port, path, seconds=20.0, pause=0.0005):
    """Waits for a 200, asked for with pauses of so many seconds; returns the seconds since this call."""
    began = time.monotonic()
    while status(port, path) != 200:
        if process.poll() is not None or time.monotonic() - began > seconds:
            raise RuntimeError(f"{process.args[0]} does not become ready on port {port}, exit {process.poll()}")
        time.sleep(pause)
    return time.monotonic() - began


def cpu_seconds(pid):
    """CPU time of all threads of a process, to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory_mib(pid):
    """(VmRSS, RssAnon) in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) / 1024 for key in ("VmRSS", "RssAnon"))


def peak_mib(pid):
    """The most that a process had resident, in MiB."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


class Bed:
    """A folder and processes, gone at its end; only what it started itself is ended."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="fragua-bench-")
        self.dir = Path(self.folder.name)
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            self.end(process)
        self.folder.cleanup()

    def start(self, *args, core=None, **kwargs):
        if core is not None and len(CORES) > 1:
            args = ("taskset", "-c", str(CORES[core]), *args)
        kwargs.setdefault("stdout", subprocess.DEVNULL)
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen([str(a) for a in args], **kwargs)
        self.processes.append(process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def run(self, *args, core=None, seconds=60):
        if core is not None and len(CORES) > 1:
            args = ("taskset", "-c", str(CORES[core]), *args)
        done = subprocess.run([str(a) for a in args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=seconds)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, args))}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path

    def nginx(self, core=None, body="x" * 200):
        port = free_port()
        conf = self.write(f"nginx-{port}.conf", NGINX.format(dir=self.dir, port=port, body=body))
        return self.start("nginx", "-c", conf, "-p", self.dir, core=core), port
