# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that spoils the connections that go through it, on command."""
import asyncio
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, replace

CHUNK = 16 << 10
LINE_CHUNKS = 256  # under way in one direction, at most
HOLD_POLL_S = 0.02  # how often what is held back looks whether it may go on


@dataclass(frozen=True)
class Toxic:
    """What is done to the bytes; all of it may be at once."""
    latency: float = 0.0    # seconds that each piece is under way
    jitter: float = 0.0     # and up to so many more, at random
    rate: float = 0.0       # bytes a second in each direction; 0: as fast as it goes
    hole: str = ""          # "both", "up" (towards the server) or "down": nothing goes on in that direction
    cut: int = 0            # a connection is closed after so many bytes down; 0: never
    slice: int = 0          # pieces of at most so many bytes; 0: as they come
    slow_close: float = 0.0  # seconds between one side's end and the other side's learning of it
    reset: bool = False     # every connection, old and new, is reset
    refuse: bool = False    # old connections are reset and nobody listens


WELL = Toxic()


class Proxy:
    """127.0.0.1:`port` -> `target` (host, port), in a thread of its own from the start to close()."""

    def __init__(self, port, target, seed=0):
        self.port = port
        self.target = target
        self.connections = 0  # so many have come
        self._rng = random.Random(f"proxy {seed}")
        self._toxic = WELL
        self._pairs = set()
        self._server = None
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(10), f"port {port} is taken"

    def set(self, **change):
        """Spoil in this way from now on, open connections too: members of Toxic."""
        self._call(self._change(replace(WELL, **change)))

    def heal(self):
        """All is well from now on; what a hole held back goes on its way, as after a break of the network."""
        self._call(self._change(WELL))

    def reset(self):
        """Reset the connections that are open now."""
        self._call(self._reset())

    def close(self):
        if self._thread.is_alive():
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _call(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _listen(self):
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=CHUNK)

    async def _deafen(self):
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _change(self, toxic):
        self._toxic = toxic
        if toxic.reset or toxic.refuse:
            await self._reset()
        await (self._deafen() if toxic.refuse else self._listen())

    async def _reset(self):
        for writer in list(self._pairs):
            _abort(writer)

    async def _end(self):
        await self._deafen()
        await self._reset()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader, writer):
        self.connections += 1
        other = None
        self._pairs.add(writer)
        try:
            if self._toxic.reset:
                return
            other_reader, other = await asyncio.open_connection(*self.target, limit=CHUNK)
            self._pairs.add(other)
            ways = [asyncio.ensure_future(self._carry(reader, other, "up")),
                    asyncio.ensure_future(self._carry(other_reader, writer, "down"))]
            try:
                await asyncio.gather(*ways)
            finally:
                for way in ways:
                    way.cancel()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, other):
                if end is not None:
                    self._pairs.discard(end)
                    _abort(end)

    async def _carry(self, reader, writer, direction):
        line = asyncio.Queue(LINE_CHUNKS)
        ends = [asyncio.ensure_future(self._take_in(reader, line)),
                asyncio.ensure_future(self._give_out(line, writer, direction))]
        try:
            await asyncio.gather(*ends)
        finally:
            for end in ends:
                end.cancel()

    async def _take_in(self, reader, line):
        """What comes is due at the other end after the latency: it delays, and takes nothing off the throughput."""
        due, free = 0.0, 0.0
        while True:
            data = await reader.read(self._toxic.slice or CHUNK)
            toxic, now = self._toxic, time.monotonic()
            free = max(free, now) + (len(data) / toxic.rate if toxic.rate else 0.0)
            due = max(due, free + toxic.latency + toxic.jitter * self._rng.random())
            await line.put((due, data))
            if not data:
                return

    async def _give_out(self, line, writer, direction):
        passed = 0
        while True:
            due, data = await line.get()
            if (left := due - time.monotonic()) > 0:
                await asyncio.sleep(left)
            while self._toxic.hole in ("both", direction):
                await asyncio.sleep(HOLD_POLL_S)
            toxic = self._toxic
            if not data:
                await asyncio.sleep(toxic.slow_close)
                writer.write_eof()
                return
            passed += len(data)
            if direction == "down" and toxic.cut and passed > toxic.cut:
                writer.write(data[:-1])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                raise ConnectionResetError("cut")
            writer.write(data)
            await writer.drain()


def _abort(writer):
    """Ends a connection by RST, not by a FIN that could be taken for an orderly end."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.transport.is_closing():
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
    writer.transport.abort()
