# SPDX-License-Identifier: Apache-2.0
"""An entity service (`generic`) that fails on command and notes when it was asked what."""
import asyncio
import json
import random
import threading
import time
from dataclasses import dataclass

from ledger import read_text

BODY_MAX = 64 << 20


@dataclass
class Asked:
    """A request: when it came and when its answer began (monotonic seconds), for which mail, and how."""
    at: float
    identity: object
    how: str
    answered: float = 0.0


class Service:
    """Runs in a thread of its own from the start to close().

    fault() says how the next requests are answered; heal() ends that. `latency` (seconds) holds for every answer.
    """

    HOWS = ("ok", "429", "500", "503", "garbage", "silence", "half", "close", "huge")

    def __init__(self, port, seed=0, latency=0.0):
        self.port = port
        self.latency = latency
        self.asked = []
        self._rng = random.Random(f"service {seed}")
        self._plan = None  # (hows, share of requests, retry_after, left)
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(10), "the service's port is taken"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/recognise"

    def fault(self, *hows, share=1.0, retry_after=None, count=None):
        """From now on `share` of the requests are answered by one of `hows`; with `count`: so many, then well again."""
        assert set(hows) <= set(self.HOWS)
        with self._lock:
            self._plan = [hows, share, retry_after, count]

    def heal(self):
        with self._lock:
            self._plan = None

    def _choose(self):
        with self._lock:
            plan = self._plan
            if plan is None or self._rng.random() >= plan[1]:
                return "ok", None
            if plan[3] is not None:
                if plan[3] == 0:
                    self._plan = None
                    return "ok", None
                plan[3] -= 1
            return self._rng.choice(plan[0]), plan[2]

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, limit=1 << 20)
        self._up.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connection(self, reader, writer):
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort() if writer.transport.is_closing() is False else None

    async def _exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = next((int(line.split(":")[1]) for line in head.split("\r\n")
                       if line.lower().startswith("content-length:")), 0)
        assert length <= BODY_MAX
        if "expect: 100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        text = json.loads(await reader.readexactly(length))["text"]
        how, retry_after = self._choose()
        asked = Asked(time.monotonic(), read_text(text)[0], how)
        self.asked.append(asked)
        if self.latency:
            await asyncio.sleep(self.latency)
        asked.answered = time.monotonic()
        return await self._answer(reader, writer, how, retry_after)

    async def _answer(self, reader, writer, how, retry_after):
        """True: the connection goes on."""
        body = json.dumps({"entities": [{"type": "LEDGER", "text": "ledger", "start": 0, "end": 6}],
                           "model": "ledger-1"}).encode()
        if how == "ok":
            self._send(writer, "200 OK", body)
        elif how == "garbage":
            self._send(writer, "200 OK", b"\x00\xff{]" + body[:20])
        elif how == "huge":
            self._send(writer, "200 OK", b'{"entities": [], "model": "' + b"x" * (9 << 20) + b'"}')
        elif how == "silence":
            await reader.read(1)  # until the client gives up
            return False
        elif how == "half":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
            writer.write(body[:len(body) // 2])
            await writer.drain()
            writer.write_eof()
            await reader.read(1)
            return False
        elif how == "close":
            return False
        else:
            status = {"429": "429 Too Many Requests", "500": "500 Internal Server Error",
                      "503": "503 Service Unavailable"}[how]
            self._send(writer, status, b"not now", f"retry-after: {retry_after}\r\n" if retry_after else "")
        await writer.drain()
        return True

    @staticmethod
    def _send(writer, status, body, more=""):
        writer.write(f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
                     f"{more}\r\n".encode() + body)

    def close(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)
