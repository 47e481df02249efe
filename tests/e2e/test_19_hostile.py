"""Peers that mean harm, or do what no sane one does."""

import ctypes
import socket
import time

import pytest

from bump_peers import Browser, Reader
from lab import V4, deadline_s, wait_until

LIBSSL = ctypes.CDLL("libssl.so.3")
LIBSSL.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
LIBSSL.SSL_do_handshake.argtypes = [ctypes.c_void_p]


def pointer_of(tls):
    """The SSL* behind an ssl.SSLObject: the first member of CPython's object, behind its weak reference to the Socket."""
    return ctypes.c_void_p.from_address(id(tls._sslobj) + object.__basicsize__ + 8).value


def head_from(stream):
    """What has come, once a whole head is in it."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += stream.receive_some()
    return data


@pytest.mark.parametrize("kind", ["plain", "bumped"])
@pytest.mark.parametrize("number", [1, 2], ids=["first request", "second request"])
def test_a_head_that_is_sent_byte_by_byte_without_end(bump, site, visit, connect, pki, version, kind, number):
    daemon = bump(limits={"hello_timeout": "500ms"})
    origin = site(version, pki.site() if kind == "bumped" else None)
    client = visit(origin) if kind == "bumped" else connect(version, origin.address, 80)
    send = client.send if kind == "bumped" else client.sock.sendall
    if number == 2:
        send(b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
        assert (client.receive_some() if kind == "bumped" else client.sock.recv(4096)).startswith(b"HTTP/1.1 200")
    end = time.monotonic() + deadline_s(10)
    with pytest.raises(OSError):
        send(b"GET / HTTP/1.1\r\nX: ")
        while time.monotonic() < end:
            time.sleep(0.05)
            send(b"x")
    assert daemon.record_of(client.port)["close"] == "hello_timeout"


def test_an_upgrade_that_is_answered_before_its_body_has_come(bump, site, visit, pki, version):
    def talk(stream, _visit):
        data = head_from(stream)
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        while b"hello" not in data:
            data += stream.receive_some()
        data = data.partition(b"hello")[2]
        while b"\r\n\r\n" not in data:
            data += stream.receive_some()
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")

    bump()
    client = visit(site(version, pki.site(), talk=talk))
    reader = Reader(client)
    client.send(b"POST / HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Content-Length: 5\r\n\r\n")
    assert reader.response().body == b"ok"
    client.send(b"helloGET /two HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
    assert reader.response().body == b"two"
    client.close()


def test_a_body_that_may_never_come_is_not_the_next_request_behind_103_either(bump, site, visit, pki, version):
    def talk(stream, _visit):
        head_from(stream)
        stream.send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        while stream.receive_some():
            pass

    daemon = bump()
    origin = site(version, pki.site(), talk=talk)
    client = visit(origin)
    client.send(b"POST / HTTP/1.1\r\nHost: www.example.com\r\nExpect: 100-continue\r\nContent-Length: 46\r\n\r\n")
    said = b""
    while not said.endswith(b"ok"):
        said += client.receive_some()
    assert b"Connection: close" in said
    try:
        client.send(b"GET /two HTTP/1.1\r\nHost: forbidden.example\r\n\r\n")
    except OSError:
        pass  # it is closed already
    client.close()
    daemon.record_of(client.port)
    assert b"forbidden" not in bytes(origin.visits[0].plain)


@pytest.mark.slow
def test_an_origin_that_asks_for_new_keys_without_end_fills_no_memory(bump, site, visit, pki):
    """Each request for an update is to be answered, and the origin reads no answer."""
    daemon = bump(limits={"relay_memory": "1MiB", "idle_timeout": "60s"})
    sent = [0]

    def talk(stream, _visit):
        tls = stream.stream
        tls.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head_from(stream)
        tls.peer.sock.settimeout(deadline_s(3))
        pointer = pointer_of(tls.tls)
        while sent[0] < 120_000:
            for _ in range(200):
                assert LIBSSL.SSL_key_update(pointer, 1) == 1
                LIBSSL.SSL_do_handshake(pointer)
            try:
                tls._flush()
            except OSError:
                break  # it is read no more
            sent[0] += 200
        sent.append("end")

    evil, good = site(V4, pki.site(), talk=talk), site(V4, pki.site())
    client = visit(evil)
    client.send(b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
    wait_until(lambda: len(sent) == 2, "the origin to have said all", seconds=60)
    assert 200 < sent[0] < 120_000
    assert daemon.counters().get("relay_memory_limit_hits") is None
    other = visit(good)
    assert Browser(other).get().status == 200
    other.close()
    client.peer.close()
