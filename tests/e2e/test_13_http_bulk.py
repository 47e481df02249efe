"""What is cut off never looks whole, large bodies arrive as they were sent, and slow readers cost no memory.

    client ── TLS ── gateway ── TLS ── origin that ends in the middle, or sends 100 MB, or does not read
"""

import contextlib
import fcntl
import hashlib
import os
import re
import struct
import threading

import pytest
from bump_peers import Reader, Truncated, answer
from lab import MEMORY_SCALE, V6, deadline_s, tls_rule, wait_until

BULK_BYTES = int(os.environ.get("SLUICE_HTTP_BULK_BYTES", 100 << 20))

RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n190\r\n" + b"x" * 400 + b"\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + b"x" * 400,
    "until close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 400,
    "head": b"HTTP/1.1 200 OK\r\nContent-Le",
}
BODY_BYTES = {"length": 400, "chunked": 400, "chunk": 400, "until close": 400, "head": 0}


def ends(how):
    """An origin's talk that sends a beginning and ends `how`."""
    def make(beginning):
        def talk(stream, visit):
            Reader(stream).request()
            stream.send(beginning)
            if how == "in order":
                stream.close()
            elif how == "FIN":
                stream.peer.finish()
                with contextlib.suppress(OSError):
                    stream.peer.receive_all()
            else:
                wait_until(lambda: is_acknowledged(stream.peer), "what was sent to be acknowledged")
                stream.peer.reset()
        return talk
    return make


def is_acknowledged(peer):
    """Whether everything that was sent has been acknowledged (SIOCOUTQ)."""
    return struct.unpack("i", fcntl.ioctl(peer.sock, 0x5411, b"\0" * 4))[0] == 0


@pytest.mark.parametrize("how", ["in order", "FIN", "RST"], ids=["in-order", "FIN", "RST"])
@pytest.mark.parametrize("framing", RESPONSES, ids=lambda framing: framing.replace(" ", "-"))
def test_S25_a_response_that_is_cut_off_is_an_error(web, framing, how):
    """Only one of these is a whole message: a body until close with an end that can be trusted."""
    daemon = web.start()
    client = web.open(web.site(talk=ends(how)(RESPONSES[framing])))
    client.ask()
    ending, received = client.ending()
    clean = framing == "until close" and (how == "in order" or (how == "FIN" and web.scheme == "http"))
    if clean:
        assert ending == "end" and received.endswith(b"x" * 400)
    else:
        assert ending in ("reset", "truncated"), received
        assert received.count(b"x") == BODY_BYTES[framing]
        assert not received.endswith(b"0\r\n\r\n")
    client.stream.peer.close()
    record = daemon.record_of(client.port)
    expected = "finished" if clean else "origin_reset" if how == "RST" else "origin_truncated"
    assert record["close"] == expected
    (logged,) = daemon.requests_of(client.port)
    assert logged["bytes_down"] == BODY_BYTES[framing]


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_S25_an_origin_that_ends_before_it_answers(web, how):
    daemon = web.start()

    def talk(stream, visit):
        Reader(stream).request()
        stream.peer.finish() if how == "FIN" else stream.peer.reset()
        with contextlib.suppress(OSError):
            stream.peer.receive_all()
    client = web.open(web.site(talk=talk))
    client.ask()
    ending, received = client.ending()
    assert received == b""
    assert ending in ("reset", "truncated") or (how, web.scheme) == ("FIN", "http")
    client.stream.peer.close()
    assert daemon.record_of(client.port)["close"] == ("origin_truncated" if how == "FIN" else "origin_reset")
    assert "status" not in daemon.requests_of(client.port)[0]


REQUESTS = {
    "length": b"POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400,
    "chunked": b"POST / HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n190\r\n" + b"x" * 400 + b"\r\n",
    "head": b"POST / HTTP/1.1\r\nHost: www.exam",
}


@pytest.mark.parametrize("how", ["in order", "FIN", "RST"], ids=["in-order", "FIN", "RST"])
@pytest.mark.parametrize("framing", REQUESTS)
def test_S25_a_request_that_is_cut_off_is_an_error(web, framing, how):
    """The origin must not take what came for a whole request."""
    daemon = web.start()
    site = web.site()
    client = web.open(site)
    client.stream.send(b"GET /first HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
    assert client.reader.response().status == 200
    client.stream.send(REQUESTS[framing])
    if framing != "head":
        wait_until(lambda: site.plain().count(b"x") >= 400, "the beginning to arrive")
    if how == "in order":
        with contextlib.suppress(ConnectionResetError):  # at once: close_notify is enough
            client.stream.finish()
    elif how == "FIN":
        client.stream.peer.finish()
    else:
        client.stream.peer.reset()
    visit = site.served()
    assert [request.target for request in visit.requests] == ["/first"]
    if framing != "head":
        assert isinstance(visit.failure, (OSError, Truncated))
    client.stream.peer.close()
    record = daemon.record_of(client.port)
    assert record["close"] == ("client_reset" if how == "RST" else "client_truncated")


@pytest.mark.parametrize("side", ["origin", "client"])
@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_S6_a_relay_that_is_cut_off_is_an_error(bump, site, visit, pki, version, side, how):
    """inspect = false: EOF without close_notify is truncation, and is passed on as a reset."""
    daemon = bump(tls_rule("raw", "bump", {"host": "www.example.com"}, inspect=False))
    endings = []

    def talk(stream, _visit):
        stream.send(b"some bytes")
        if side == "client":
            endings.append(stream.stream.ending())
            return
        wait_until(lambda: is_acknowledged(stream.peer), "what was sent to be acknowledged")
        stream.peer.finish() if how == "FIN" else stream.peer.reset()
        with contextlib.suppress(OSError):
            stream.peer.receive_all()
    origin = site(version, pki.site(), talk=talk)
    client = visit(origin)
    if side == "origin":
        ending, received = client.ending()
        assert (ending in ("reset", "truncated"), received) == (True, b"some bytes")
        client.peer.close()
    else:
        assert client.receive_some() == b"some bytes"
        client.send(b"from the client")
        wait_until(lambda: is_acknowledged(client.peer), "what was sent to be acknowledged")
        client.peer.finish() if how == "FIN" else client.peer.reset()
        origin.served()
        ((ending, received),) = endings
        assert ending in ("reset", "truncated")
        assert b"from the client".startswith(received) if how == "RST" else received == b"from the client"
        client.peer.close()
    assert daemon.record_of(client.port)["close"] == f"{side}_" + ("truncated" if how == "FIN" else "reset")


# --- bulk -----------------------------------------------------------------------------------------------------------


def rss_kib(daemon):
    return int(re.search(r"VmRSS:\s+(\d+) kB", open(f"/proc/{daemon.process.pid}/status").read()).group(1))


def pattern_digest(size):
    """Of that many bytes, 0 to 255 over and over."""
    block, digest = bytes(range(256)) * 4096, hashlib.sha256()
    for at in range(0, size, len(block)):
        digest.update(block[:min(len(block), size - at)])
    return digest.hexdigest()


def bulk_talk(stream, visit):
    """GET: so many bytes, in a length or in chunks. PUT: the digest of what came."""
    reader = Reader(stream)
    block = bytes(range(256)) * 4096
    while head := reader.head():
        if head.method == "PUT":
            digest, count = hashlib.sha256(), 0
            while True:
                if head.get("content-length") is not None:
                    piece = reader.exactly(min(1 << 20, int(head.get("content-length")) - count))
                    if not piece:
                        break
                else:
                    size = int(reader.line(), 16)
                    piece = reader.exactly(size)
                    assert reader.line() == b""
                    if not piece:
                        break
                digest.update(piece)
                count += len(piece)
            stream.send(answer(f"{count} {digest.hexdigest()}"))
            continue
        size = int(head.target.rsplit("/", 1)[1])
        chunked = head.target.startswith("/chunked")
        stream.send(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked
                                              else b"Content-Length: %d\r\n\r\n" % size))
        for at in range(0, size, len(block)):
            piece = block[:min(len(block), size - at)]
            stream.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            stream.send(b"0\r\n\r\n")


@pytest.mark.slow
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_S25_a_hundred_megabytes_each_way(web, lab, pki, tmp_path, framing):
    """curl and checksums; the whole hundred for one of the four."""
    size = BULK_BYTES if (web.scheme, framing) == ("https", "length") else BULK_BYTES // 5
    daemon = web.start()
    site = web.site(talk=bulk_talk)
    host = f"[{site.address}]" if web.version == V6 else site.address
    curl = ["curl", "-sS", "--max-time", str(int(deadline_s(60))), "--cacert", pki.gateway_ca.certificate, "--connect-to",
            f"www.example.com:{site.port}:{host}:{site.port}"]
    url = f"{web.scheme}://www.example.com/{framing}/{size}"
    down = lab.client.run("sh", "-c", 'exec "$@" | sha256sum', "sh", *curl, url)
    assert down.stdout.split()[0] == pattern_digest(size)
    up_file = tmp_path / "up"
    with open(up_file, "wb") as file:
        for _ in range(size >> 20):
            file.write(bytes(range(256)) * 4096)
    up = lab.client.run(*curl, "-T", up_file, "-H", "Expect:", *(["-H", "Transfer-Encoding: chunked"] if framing == "chunked" else []),
                        f"{web.scheme}://www.example.com/up")
    assert up.stdout == f"{size} {pattern_digest(size)}"
    down_record, up_record = wait_until(lambda: len(daemon.records("request")) == 2 and daemon.records("request"), "both records")
    assert (down_record["bytes_down"], up_record["bytes_up"]) == (size, size)


def settled_rss(daemon, sample):
    """RSS once `sample()` (bytes that have moved) has stopped changing."""
    last = [None, 0]

    def steady():
        now = sample()
        last[1] = last[1] + 1 if now == last[0] else 0
        last[0] = now
        return last[1] >= 60  # at the 5 ms pace of wait_until
    wait_until(steady, "the flow to stop", 30)
    return rss_kib(daemon)


@pytest.mark.parametrize("direction", ["down", "up"])
def test_S25_slow_readers_cost_no_memory(web, direction):
    """Transfers whose receiver does not read: what the gateway holds of them is bounded, and the sender is held back.
    Then all is read, and complete."""
    daemon = web.start()
    size = 24 << 20
    gate = threading.Event()
    clients, count = [], 6
    block = b"b" * (1 << 20)
    received = []

    def talk(stream, visit):
        reader = Reader(stream)
        head = reader.head()
        if direction == "up":
            gate.wait(deadline_s(60))
            received.append(len(reader.exactly(int(head.get("content-length")))))
            return stream.send(answer(b"got it"))
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 20):
            stream.send(block)

    site = web.site(talk=talk)
    before = rss_kib(daemon)
    sent = [0] * count

    def upload(client, number):
        client.stream.peer.sock.settimeout(deadline_s(60))
        client.stream.send(b"PUT / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 18):
            client.stream.send(block[:1 << 18])
            sent[number] += 1
    uploads = []
    for number in range(count):
        client = web.open(site)
        clients.append(client)
        if direction == "down":
            client.ask("/")
        else:
            uploads.append(threading.Thread(target=upload, args=(client, number)))
            uploads[-1].start()
    counted = (lambda: tuple(sent)) if direction == "up" else (lambda: sum(
        int(n) for n in re.findall(r"bytes_sent:(\d+)", daemon.lab.gateway.run("ss", "-Htin").stdout)))
    grown = settled_rss(daemon, counted) - before
    assert grown < (count * 512 + 4096) * MEMORY_SCALE, f"{grown} KiB for {count} slow readers"
    if direction == "up":
        assert max(sent) << 18 < size, "the senders were not held back"
        gate.set()
        for thread in uploads:
            thread.join()
        assert [client.reader.response("PUT").body for client in clients] == [b"got it"] * count
        assert received == [size] * count
    else:
        for client in clients[:3]:
            assert len(client.reader.response().body) == size
    for client in clients:
        client.stream.peer.close()


def test_S25_a_response_before_the_request_is_over(web):
    """The origin answers and closes without reading the rest of the body: the client gets the answer."""
    daemon = web.start()

    def talk(stream, visit):
        Reader(stream).head()
        stream.send(answer(b"no more of that", "413 Content Too Large", "Connection: close"))
        stream.finish()
        with contextlib.suppress(OSError):
            while stream.receive_some():
                pass
    client = web.open(web.site(talk=talk))
    client.stream.send(b"POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
    assert client.reader.response("POST").status == 413
    client.stream.peer.close()
    assert daemon.requests_of(client.port)[0]["status"] == 413


def test_S25_idle_connections_end_at_idle_timeout(web):
    daemon = web.start(limits={"idle_timeout": "1s"})
    client = web.open(web.site())
    assert client.get().status == 200
    assert client.ending() == ("reset", b"")
    client.stream.peer.close()
    assert daemon.record_of(client.port)["close"] == "idle_timeout"


def test_S25_a_client_that_vanishes_during_a_response(web):
    daemon = web.start()
    gate = threading.Event()

    def talk(stream, visit):
        Reader(stream).request()
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 100_000)
        gate.wait(deadline_s(20))
        with contextlib.suppress(OSError):
            while True:
                stream.send(b"x" * 100_000)
    client = web.open(web.site(talk=talk))
    client.ask()
    client.reader.exactly(1000)
    client.stream.peer.reset()
    gate.set()
    assert daemon.record_of(client.port)["close"] == "client_reset"


def test_S25_many_clients_at_once(web):
    """200 connections, each with a few requests, all at the same time; every answer is its own."""
    daemon = web.start(gateway={"workers": 2})
    site = web.site(lambda request: answer(request.target))
    failures = []

    def visit(number):
        try:
            client = web.open(site)
            for turn in range(5):
                assert client.get(f"/{number}/{turn}").body.decode() == f"/{number}/{turn}"
            client.stream.close()
        except Exception as error:  # told below
            failures.append((number, repr(error)))
    for start in range(0, 200, 25):
        threads = [threading.Thread(target=visit, args=(number,)) for number in range(start, start + 25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    wait_until(lambda: len(daemon.records()) == 200, "200 records")
    assert daemon.counters()["requests"] == 1000
