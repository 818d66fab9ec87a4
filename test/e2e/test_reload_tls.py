# SPDX-License-Identifier: Apache-2.0
"""Certificates towards Kafka are rotated while records flow: a new authority beside the old, then a new user.

Once before a listener that tells which certificate each connection came with, once before a broker's own.
"""
import asyncio
import json
import os
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from conftest import TOP
from reloads import FLOW_TIMEOUT_S, Forge, put


class Door:
    """Mutual TLS in front of a broker's plain listener: it sees which client certificate each connection came with.

    The broker advertises this address, so that all of a client's connections come by here.
    """

    def __init__(self, port, target, authorities, chain):
        self.came = []     # serial numbers of all connections, in the order in which they came
        self.open = set()  # (serial number, writer) of those that are open
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.verify_mode = ssl.CERT_REQUIRED
        for authority in authorities:
            self.context.load_verify_locations(authority)
        self.show(chain)
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,), daemon=True)
        self._thread.start()
        assert self._up.wait(10), f"port {port} is taken"

    def show(self, folder):
        """The certificate that new connections are shown."""
        self.context.load_cert_chain(folder / "server.crt", folder / "server.key")

    @property
    def serials(self):
        return {serial for serial, _ in list(self.open)}

    def reset(self):
        """End every open connection."""
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(10)

    async def _reset(self):
        for _, writer in list(self.open):
            writer.transport.abort()

    def _run(self, port):
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", port, ssl=self.context))
        self._up.set()
        self._loop.run_forever()

    async def _accept(self, reader, writer):
        serial = writer.get_extra_info("peercert")["serialNumber"]
        self.came.append(serial)
        self.open.add((serial, writer))
        other = None
        try:
            other_reader, other = await asyncio.open_connection(*self._target)
            await asyncio.wait([asyncio.ensure_future(self._carry(reader, other)),
                                asyncio.ensure_future(self._carry(other_reader, writer))],
                               return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            self.open.discard((serial, writer))
            for end in (writer, other):
                if end is not None:
                    end.transport.abort()

    @staticmethod
    async def _carry(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


def serial_of(certificate):
    text = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", certificate], check=True, capture_output=True,
                          text=True).stdout
    return text.strip().partition("=")[2]


def mount(folder, version, user):
    """The user's certificate and key as a mounted Kubernetes secret: both change in one rename."""
    home = folder / f"..{version}"
    home.mkdir(parents=True)
    for name in ("user.crt", "user.key"):
        (home / name).write_bytes((user / name).read_bytes())
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(home.name)
    os.replace(folder / "..data_tmp", folder / "..data")


@pytest.fixture
def others(tmp_path):
    """Another authority with a broker and a client, as certs.sh makes them."""
    subprocess.run([TOP / "test" / "kafka" / "certs.sh", tmp_path / "others"], check=True, capture_output=True)
    return tmp_path / "others"


def address(text):
    host, _, port = text.partition(":")
    return host, int(port)


def forge_behind_tls(fragua, kafka, port, servers, folder):
    """(a Forge that reaches `servers` by mutual TLS, the folder of its authorities, that of its user)."""
    forge = Forge(fragua, kafka, port, ["main"])
    authorities, user = folder / "ca", folder / "user"
    authorities.mkdir()
    put(authorities / "ca.crt", kafka.tls / "ca" / "ca.crt")
    mount(user, "1", kafka.tls / "client")
    forge.config["kafka"] = {"bootstrap.servers": servers, "tls": {
        "ca": str(authorities), "certificate": str(user / "user.crt"), "key": str(user / "user.key")}}
    forge.config["reload"].update(watch=True, settle="100ms")
    return forge, authorities, user


def test_certificates_are_rotated_without_a_failed_batch(fragua, kafka, free_port, others, tmp_path):
    old, new = serial_of(kafka.tls / "client" / "user.crt"), serial_of(others / "client" / "user.crt")
    door = Door(address(kafka.detour)[1], address(kafka.detour_to),
                [kafka.tls / "ca" / "ca.crt", others / "ca" / "ca.crt"], kafka.tls / "broker")
    forge, authorities, user = forge_behind_tls(fragua, kafka, free_port(), kafka.detour, tmp_path)
    try:
        forge.start()
        assert forge.flow() == {"1/a"} and door.serials == {old}

        put(authorities / "new.crt", others / "ca" / "ca.crt")
        report = forge.control.wait(lambda report: report["generation"] == 2)
        assert report["result"] == "done" and report["asked_by"] == ["files"], report
        assert forge.flow() == {"1/a"}

        forge.send(count=100)
        mount(user, "2", others / "client")
        report = forge.control.wait(lambda report: report["generation"] == 3)
        assert report["result"] == "done" and report["asked_by"] == ["files"], report
        assert [change["place"] for change in report["changes"]] == ["kafka"], report
        since = len(door.came)
        assert forge.flow() == {"1/a"}
        deadline = time.monotonic() + FLOW_TIMEOUT_S
        while door.serials != {new}:  # old handles close after what they held is gone
            assert time.monotonic() < deadline, f"the old certificate is used still; {json.dumps(report)}"
            time.sleep(0.02)
        assert set(door.came[since:]) <= {new}
        assert forge.control.metric(r'fragua_commits_total\{[^}]*result="aborted"[^}]*\}') == 0

        door.show(others / "broker")  # now the broker is of the new authority too
        door.reset()
        assert forge.flow() == {"1/a"} and door.serials == {new}
        forge.process.stop()
        forge.account()
    finally:
        fragua.end_all()
        forge.close()
        door.close()


def set_listener(kafka, **stores):
    """Give the broker's mutual TLS listener other stores while it runs, as `kafka-configs --alter` does."""
    broker = ConfigResource(ResourceType.BROKER, "0", incremental_configs=[
        ConfigEntry(f"listener.name.mtls.ssl.{name}.location", str(path),
                    incremental_operation=AlterConfigOpType.SET) for name, path in stores.items()])
    for future in kafka.admin.incremental_alter_configs([broker]).values():
        future.result(FLOW_TIMEOUT_S)


def wait_admits(kafka, folder, wanted):
    """Wait until the listener admits this folder's user, or does not: a broker answers before it takes up settings."""
    deadline = time.monotonic() + FLOW_TIMEOUT_S
    while admits(kafka, folder) != wanted:
        assert time.monotonic() < deadline, f"{folder}'s user is {'not ' if wanted else ''}let in"


def admits(kafka, folder):
    """Whether the listener lets in who shows this folder's user certificate; who asks trusts both authorities."""
    consumer = Consumer({
        "bootstrap.servers": kafka.ssl, "group.id": "visitor", "log_level": 0, "security.protocol": "SSL",
        "ssl.ca.location": str(kafka.folder / "both.crt"), "ssl.certificate.location": str(folder / "client/user.crt"),
        "ssl.key.location": str(folder / "client/user.key")})
    try:
        consumer.list_topics(timeout=2)
        return True
    except KafkaException:
        return False
    finally:
        consumer.close()


def test_certificates_are_rotated_on_a_brokers_own_listener(fragua, kafka_bed, free_port, others, tmp_path):
    kafka = kafka_bed.start()
    both = kafka.folder / "both.crt"
    both.write_bytes((kafka.tls / "ca" / "ca.crt").read_bytes() + (others / "ca" / "ca.crt").read_bytes())
    assert admits(kafka, kafka.tls) and not admits(kafka, others)
    forge, authorities, user = forge_behind_tls(fragua, kafka, free_port(), kafka.ssl, tmp_path)
    try:
        forge.start()
        assert forge.flow() == {"1/a"}

        set_listener(kafka, truststore=both)
        wait_admits(kafka, others, True)
        put(authorities / "new.crt", others / "ca" / "ca.crt")
        report = forge.control.wait(lambda report: report["generation"] == 2)
        assert report["result"] == "done", report
        set_listener(kafka, keystore=others / "broker" / "store.pem")  # the broker is of the new authority from here on
        forge.send(count=100)
        mount(user, "2", others / "client")
        report = forge.control.wait(lambda report: report["generation"] == 3)
        assert report["result"] == "done" and report["asked_by"] == ["files"], report
        assert forge.flow() == {"1/a"}

        set_listener(kafka, truststore=others / "ca" / "ca.crt")
        wait_admits(kafka, kafka.tls, False)
        assert admits(kafka, others)
        forge.send(count=100)
        forge.config["kafka"]["properties"] = {"socket.keepalive.enable": "true"}  # every connection is made anew
        report = forge.reload()
        assert [pipeline["how"] for pipeline in report["pipelines"]] == ["reopen"], report
        assert forge.flow() == {"1/a"}
        assert forge.control.metric(r'fragua_commits_total\{[^}]*result="aborted"[^}]*\}') == 0
        forge.process.stop()
        forge.account()
    finally:
        fragua.end_all()
        forge.close()
