"""What two readers of the same bytes could see differently is refused, and nothing of it arrives at the origin; what an
origin sends of that kind is refused, too.

    client ── POST with two lengths ── gateway: 400 ── (nothing) ── origin
"""

import contextlib

import pytest
from bump_peers import answer
from lab import access_rule

HEAD = b"POST /evil HTTP/1.1\r\nHost: www.example.com\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: www.example.com\r\n\r\n"

REFUSED = {  # what is sent, the status, the word in the log
    "length and encoding": (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "length_and_encoding"),
    "encoding and length": (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400, "length_and_encoding"),
    "two lengths": (HEAD + b"Content-Length: 4\r\nContent-Length: 40\r\n\r\nabcd", 400, "duplicate_length"),
    "two equal lengths": (HEAD + b"Content-Length: 4\r\ncontent-length: 4\r\n\r\nabcd", 400, "duplicate_length"),
    "a list of lengths": (HEAD + b"Content-Length: 4, 4\r\n\r\nabcd", 400, None),
    "a signed length": (HEAD + b"Content-Length: +4\r\n\r\nabcd", 400, None),
    "a negative length": (HEAD + b"Content-Length: -4\r\n\r\nabcd", 400, None),
    "a hexadecimal length": (HEAD + b"Content-Length: 0x4\r\n\r\nabcd", 400, None),
    "a length with spaces": (HEAD + b"Content-Length: 4 4\r\n\r\nabcd", 400, None),
    "an endless length": (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", None, None),
    "chunked and more": (HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", None, None),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, None),
    "chunked in two fields": (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", None, None),
    "an unknown encoding": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "unknown_encoding"),
    "xchunked": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", None, None),
    "chunked with a vertical tab": (HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", None, None),
    "encoding in 1.0": (b"POST / HTTP/1.0\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, None),
    "space before the colon": (HEAD + b"Content-Length : 4\r\n\r\nabcd", 400, "space_before_colon"),
    "a folded header": (HEAD + b"X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n", 400, "folded_header"),
    "a bare LF": (b"POST /evil HTTP/1.1\nHost: www.example.com\n\n", 400, "bare_lf"),
    "a bare LF in the head": (HEAD + b"X-A: 1\nTransfer-Encoding: chunked\r\n\r\n", 400, "bare_lf"),
    "a bare CR in the head": (HEAD + b"X-A: 1\rTransfer-Encoding: chunked\r\n\r\n", 400, "bare_cr"),
    "a NUL": (HEAD + b"X-A: a\x00b\r\n\r\n", 400, None),
    "a name with a space": (HEAD + b"X A: 1\r\n\r\n", 400, None),
    "an empty name": (HEAD + b": 1\r\n\r\n", 400, None),
    "no colon": (HEAD + b"nonsense\r\n\r\n", 400, None),
    "no Host": (b"GET /evil HTTP/1.1\r\nX: y\r\n\r\n", 400, "missing_host"),
    "two Hosts": (HEAD + b"Host: www.example.com\r\n\r\n", 400, "duplicate_host"),
    "a Host that is none": (b"GET /evil HTTP/1.1\r\nHost: www.example.com/x\r\n\r\n", 400, "bad_host"),
    "a user in the target": (b"GET http://user@www.example.com/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 400, None),
    "a control in the target": (b"GET /a\x01b HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 400, None),
    "a tab for a space": (b"GET\t/evil HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 400, None),
    "version 1.2": (b"GET /evil HTTP/1.2\r\nHost: www.example.com\r\n\r\n", 505, "bad_version"),
    "version 2.0": (b"GET /evil HTTP/2.0\r\nHost: www.example.com\r\n\r\n", 505, None),
    "no version": (b"GET /evil\r\n\r\n", None, None),
    "a huge head": (HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 1000) for n in range(80)) + b"\r\n", 431, "head_too_large"),
    "too many headers": (HEAD + b"".join(b"X-%d: v\r\n" % n for n in range(300)) + b"\r\n", 431, "too_many_headers"),
    "a huge target": (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 414, "target_too_long"),
    "a huge method": (b"A" * 100 + b" / HTTP/1.1\r\nHost: www.example.com\r\n\r\n", None, None),
}

OPENING = b"GET /opening HTTP/1.1\r\nHost: www.example.com\r\n\r\n"  # plain HTTP has to be recognised as such first


@pytest.fixture
def asked(web):
    """asked(bytes): a good request, then these bytes, and what comes back. One gateway and one origin for all."""
    daemon = web.start()
    site = web.site(lambda request: answer(request.target))

    def ask(sent):
        client = web.open(site)
        client.stream.send(OPENING)
        assert client.reader.response().body == b"/opening"
        client.stream.send(sent)
        return client
    return daemon, site, ask


def test_S25_ambiguous_requests_are_refused_and_never_arrive(asked):
    daemon, site, ask = asked
    for kind, (sent, status, detail) in REFUSED.items():
        before = len(site.plain())
        opening = len(OPENING)
        client = ask(sent + SMUGGLED)
        page = client.reader.response()
        assert page is not None, kind
        assert page.status == status if status else page.status in (400, 414, 413, 431, 501, 505), (kind, page.first)
        assert page.get("connection") == "close" and page.get("cache-control") == "no-store", kind
        assert client.ending() == ("end", b""), kind
        client.stream.close()
        record = daemon.record_of(client.port)
        assert (kind, record["close"], record["close_side"]) == (kind, "request_refused", "client")
        assert record["detail"] == detail if detail else record["detail"], (kind, record)
        arrived = site.plain()[before:]
        assert arrived.count(b"\r\n\r\n") == 1 and arrived.startswith(b"GET /opening"), (kind, arrived)
        assert len(arrived) < opening + 60, (kind, arrived)
        assert [r["status"] for r in daemon.requests_of(client.port)] == [200, page.status], kind
    assert daemon.counters()["requests_refused"] == len(REFUSED)
    assert "/smuggled" not in site.plain().decode("latin-1") and "/evil" not in site.plain().decode("latin-1")


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
BAD_CHUNKS = {
    "a size that is no number": (b"xyz\r\nabc\r\n0\r\n\r\n", "bad_chunk_size"),
    "a negative size": (b"-1\r\nabc\r\n0\r\n\r\n", "bad_chunk_size"),
    "0x": (b"0x3\r\nabc\r\n0\r\n\r\n", "bad_chunk_size"),
    "an endless size": (b"ffffffffffffffffff\r\nabc\r\n", None),
    "a space before the size": (b" 3\r\nabc\r\n0\r\n\r\n", None),
    "a bare LF behind the size": (b"3\nabc\r\n0\r\n\r\n", None),
    "a chunk that is longer than it says": (b"3\r\nabcd\r\n0\r\n\r\n", "bad_chunk_end"),
    "a bare LF behind the chunk": (b"3\r\nabc\n0\r\n\r\n", None),
    "an endless extension": (b"3;" + b"x" * 5000 + b"\r\nabc\r\n0\r\n\r\n", "chunk_line_too_long"),
    "a bare LF in an extension": (b"3;a\nb\r\nabc\r\n0\r\n\r\n", None),
    "trailers without end": (b"0\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 500) for n in range(60)) + b"\r\n", None),
    "a trailer that would be framing": (b"0\r\nContent-Length: 5\r\n\r\n", "bad_trailer"),
    "a trailer that is folded": (b"0\r\nX: y\r\n z\r\n\r\n", None),
}


def test_S25_a_bad_chunk_ends_the_request_uncleanly(asked):
    """Its head has gone up already. The origin must not take the body for whole, nor see what follows."""
    daemon, site, ask = asked
    for kind, (sent, detail) in BAD_CHUNKS.items():
        number = len(site.visits)
        client = ask(CHUNKED + sent + SMUGGLED)
        ending, received = client.ending()
        assert ending == "reset" or b" 400 " in received or b" 431 " in received or b" 413 " in received, (kind, received)
        client.stream.close()
        record = daemon.record_of(client.port)
        assert (kind, record["close"]) == (kind, "request_refused")
        assert record["detail"] == detail if detail else record["detail"], (kind, record)
        visit = site.served(number)
        assert [request.target for request in visit.requests] == ["/opening"], kind  # the second never became complete
        assert b"/smuggled" not in bytes(visit.plain), kind
        assert not bytes(visit.plain).endswith(b"0\r\n\r\n"), kind


def test_S31_the_body_of_a_blocked_request_is_no_request_and_the_one_behind_it_is(web):
    web.start(access_rule("no shop", "block", {"host": "shop.example"}))
    site = web.site()
    client = web.open(site)
    client.stream.send(b"POST /buy HTTP/1.1\r\nHost: shop.example\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED + SMUGGLED)
    assert [client.reader.response().status for _ in range(2)] in ([403, 200], [421, 200])
    assert [request.target for request in site.requests] == ["/smuggled"]
    client.ask("/buy", host="shop.example").ask("/smuggled")
    assert [client.reader.response().status for _ in range(2)] in ([403, 200], [421, 200])
    assert [request.target for request in site.requests] == ["/smuggled", "/smuggled"] and b"/buy" not in site.plain()


# --- origins --------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
BAD_RESPONSES = {
    "length and encoding": OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "a bad length": OK + b"Content-Length: abc\r\n\r\nabcde",
    "a folded header": OK + b"X-A: 1\r\n folded\r\nContent-Length: 0\r\n\r\n",
    "a bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "a NUL": OK + b"X-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"220 smtp.example ESMTP\r\n",
    "a bad status": b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
    "a 101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nraw",
    "a huge head": OK + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 1000) for n in range(80)) + b"\r\n",
    "endless interim responses": b"HTTP/1.1 102 Processing\r\n\r\n" * 100,
}


def test_S25_ambiguous_responses_become_502(web):
    daemon = web.start()
    for kind, response in BAD_RESPONSES.items():
        client = web.open(web.site(lambda request, response=response: response))
        page = client.get()
        assert (kind, page.status) == (kind, 502)
        assert client.ending() == ("end", b""), kind
        client.stream.close()
        record = daemon.record_of(client.port)
        assert (kind, record["close"], record["close_side"]) == (kind, "response_refused", "origin")
        assert record["detail"], kind
        assert [r["status"] for r in daemon.requests_of(client.port)] == [502]


@pytest.mark.parametrize("body", [b"zz\r\nabc\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"3\nabc\r\n0\r\n\r\n"],
                         ids=["size", "end", "bare-lf"])
def test_S25_a_bad_chunk_from_the_origin_is_no_clean_end(web, body):
    daemon = web.start()
    client = web.open(web.site(lambda request: OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n" + body))
    client.ask()
    ending, received = client.ending()
    assert ending in ("reset", "truncated")
    assert not received.endswith(b"0\r\n\r\n")
    client.stream.peer.close()
    assert daemon.record_of(client.port)["close"] == "response_refused"


def test_S25_an_answer_that_nobody_asked_for(web):
    """Response splitting: behind the first response lies a second one."""
    daemon = web.start()
    site = web.site(lambda request: answer(b"right") + answer(b"poison"))
    client = web.open(site)
    assert client.get().body == b"right"
    with contextlib.suppress(ConnectionError):
        client.ask("/second")
    assert b"poison" not in client.ending()[1]
    client.stream.peer.close()
    assert daemon.record_of(client.port)["close"] == "response_refused"


def test_S25_a_response_before_any_request(bump, site, visit, pki, version):
    """Nobody asked: the client sees a connection that ends in order, as it would without a gateway, and no response."""
    daemon = bump()

    def talk(stream, visit):
        stream.send(answer(b"too early"))
        with contextlib.suppress(OSError):
            stream.receive_some()
    client = visit(site(version, pki.site(), talk=talk))
    assert client.ending() == ("end", b"")
    client.peer.close()
    assert daemon.record_of(client.port)["close"] == "response_refused"
