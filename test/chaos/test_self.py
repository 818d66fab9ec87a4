# SPDX-License-Identifier: Apache-2.0
"""The beds' own tests: the account finds what is wrong, the proxy and the service spoil what they say."""
import http.client
import json
import socket
import threading
import time

import pytest

from ledger import Author, Log, read_record, take_account
from proxy import Proxy
from service import Service

MAILS = 40


@pytest.fixture
def whole():
    """(identities, documents, entities): a run without a fault. One partition a conversation, as by a key."""
    author = Author("self", mailboxes=2, conversations=2)
    mails = [author.mail() for _ in range(MAILS)]
    threads = [thread for _, thread in author.threads]
    records = [(threads.index(identity.conversation), offset, json.dumps({"text": message["body"]["content"]}).encode())
               for offset, (identity, message) in enumerate(mails)]
    return [identity for identity, _ in mails], records, list(records)


def account(identities, documents, entities, dead=(), seen=(), uncommitted=()):
    return take_account(identities, Log(documents, documents), Log(entities, [*entities, *uncommitted]),
                        Log(list(dead), list(dead)), seen)


def blemishes(found):
    return {name for name in found.FORBIDDEN if getattr(found, name)}


def test_a_whole_run_has_no_blemish(whole):
    found = account(*whole)
    assert found.sound and found.issued == found.committed == MAILS and found.aborted == found.dead == 0


def test_a_mail_without_entities_is_lost_unless_it_is_a_dead_letter(whole):
    identities, documents, entities = whole
    missing = entities.pop(7)
    assert blemishes(account(identities, documents, entities)) == {"lost"}
    found = account(identities, documents, entities, dead=[missing])
    assert found.sound and found.dead == 1


def test_a_mail_that_no_source_read_is_lost(whole):
    identities, documents, entities = whole
    del documents[7], entities[7]
    assert blemishes(account(identities, documents, entities)) == {"lost"}


def test_a_second_record_is_a_double(whole):
    identities, documents, entities = whole
    again = (entities[-1][0], 1000, entities[-1][2])
    assert blemishes(account(identities, documents, [*entities, again])) == {"duplicated"}
    assert "duplicated" in blemishes(account(identities, [*documents, again], entities))
    assert blemishes(account(identities, documents, entities, dead=[again])) == {"duplicated"}


def test_another_text_is_corrupt(whole):
    identities, documents, entities = whole
    partition, offset, value = entities[3]
    entities[3] = (partition, offset, value.replace(b"ledger", b"ledger", 1).replace(b"\\nsha256 ", b" \\nsha256 "))
    assert blemishes(account(identities, documents, entities)) == {"corrupt"}
    entities[3] = (partition, offset, b"\xff no JSON")
    assert "corrupt" in blemishes(account(identities, documents, entities))


def test_a_mail_that_nobody_issued_is_corrupt(whole):
    identities, documents, entities = whole
    assert blemishes(account(identities[:-1], documents, entities)) == {"corrupt"}


def test_two_mails_of_a_conversation_that_changed_places_are_misordered(whole):
    identities, documents, entities = whole
    first, second = [n for n, record in enumerate(entities) if record[0] == entities[0][0]][:2]
    one, two = entities[first], entities[second]
    entities[first], entities[second] = (*one[:2], two[2]), (*two[:2], one[2])
    assert blemishes(account(identities, documents, entities)) == {"misordered"}


def test_a_conversation_in_two_partitions_is_misordered(whole):
    identities, documents, entities = whole
    entities[-1] = (99, *entities[-1][1:])
    assert blemishes(account(identities, documents, entities)) == {"misordered"}


def test_entities_of_a_document_that_is_not_committed_are_aborted_seen(whole):
    identities, documents, entities = whole
    assert blemishes(account(identities, documents[:-1], entities)) == {"aborted_seen"}


def test_what_was_read_as_committed_and_is_gone_is_aborted_seen(whole):
    seen = [("entities", partition, offset) for partition, offset, _ in whole[2]]
    assert account(*whole, seen=seen).sound
    assert blemishes(account(*whole, seen=[*seen, ("entities", 0, 4711)])) == {"aborted_seen"}


def test_aborted_records_are_counted_and_no_blemish(whole):
    found = account(*whole, uncommitted=[(0, 4711, b"x"), (0, 4712, b"x")])
    assert found.sound and found.aborted == 2


# proxy

TOXICS = [{"latency": 0.05}, {"latency": 0.02, "jitter": 0.02}, {"rate": 20_000}, {"slice": 7}]


@pytest.fixture
def echo(free_port):
    """(proxy, connect): a proxy before a server that says everything again; connect() -> socket through the proxy."""
    server = socket.create_server(("127.0.0.1", 0))
    open_sockets = []

    def converse(connection):
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            open_sockets.append(connection)
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    proxy = Proxy(free_port(), server.getsockname())

    def connect():
        made = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
        open_sockets.append(made)
        return made

    yield proxy, connect
    proxy.close()
    server.shutdown(socket.SHUT_RDWR)
    for sock in (server, *open_sockets):
        sock.close()


def ask(connection, data):
    """Send and read as much back; less where the connection ends before."""
    connection.sendall(data)
    back = b""
    while len(back) < len(data):
        part = connection.recv(65536)
        if not part:
            break
        back += part
    return back


def test_a_well_proxy_changes_nothing(echo):
    _, connect = echo
    data = bytes(range(256)) * 4000
    connection = connect()
    assert ask(connection, data) == data
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""


@pytest.mark.parametrize("toxic", TOXICS)
def test_a_slow_proxy_changes_nothing_but_time(echo, toxic):
    proxy, connect = echo
    proxy.set(**toxic)
    data = bytes(range(256)) * 8
    connection, began = connect(), time.monotonic()
    assert ask(connection, data) == data
    least = 2 * toxic.get("latency", 0) + (2 * len(data) / toxic["rate"] if "rate" in toxic else 0)
    assert time.monotonic() - began >= least


def test_a_hole_holds_and_lets_go(echo):
    proxy, connect = echo
    connection = connect()
    assert ask(connection, b"before") == b"before"
    for hole in ("both", "up", "down"):
        proxy.set(hole=hole)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ask(connection, b"held")
        proxy.heal()
        connection.settimeout(10)
        assert connection.recv(4) == b"held"


def test_a_reset_ends_old_and_new_connections(echo):
    proxy, connect = echo
    connection = connect()
    assert ask(connection, b"before") == b"before"
    proxy.set(reset=True)
    with pytest.raises(ConnectionError):
        connection.recv(1)
    with pytest.raises(ConnectionError):
        connect().recv(1)
    proxy.heal()
    assert ask(connect(), b"after") == b"after"


def test_nobody_listens_where_it_refuses(echo):
    proxy, connect = echo
    proxy.set(refuse=True)
    with pytest.raises(ConnectionError):
        connect().recv(1)
    proxy.heal()
    assert ask(connect(), b"after") == b"after"


def test_a_cut_connection_ends_in_the_middle(echo):
    proxy, connect = echo
    proxy.set(cut=1000)
    back = ask(connect(), b"x" * 5000)
    assert len(back) < 5000


# service


def recognise(service, timeout=5):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=timeout)
    connection.request("POST", "/recognise", json.dumps({"text": "ledger a b 1\nsha256 0"}))
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def test_the_service_fails_as_told_and_notes_who_asked(free_port):
    service = Service(free_port())
    assert json.loads(recognise(service)[2])["entities"][0]["text"] == "ledger"
    service.fault("429", retry_after=7)
    status, headers, _ = recognise(service)
    assert status == 429 and headers["retry-after"] == "7"
    service.fault("500", count=1)
    assert [recognise(service)[0] for _ in range(2)] == [500, 200]
    service.fault("garbage")
    with pytest.raises(ValueError):
        json.loads(recognise(service)[2])
    service.fault("half")
    with pytest.raises(http.client.IncompleteRead):
        recognise(service)
    service.fault("close")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        recognise(service)
    service.fault("silence")
    with pytest.raises(TimeoutError):
        recognise(service, timeout=0.3)
    service.heal()
    assert recognise(service)[0] == 200
    assert [request.how for request in service.asked] == [
        "ok", "429", "500", "ok", "garbage", "half", "close", "silence", "ok"]
    assert {read_record(b'{"text": "ledger a b 1\\nsha256 0"}')[0]} == {request.identity for request in service.asked}
    service.close()
