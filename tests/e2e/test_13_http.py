"""S22, S25, S30, S35: HTTP/1.1 in the middle, inside a bumped connection and plain on port 80.

    client ── request ── gateway: parsed, judged, written anew ── origin
           ◄─ response ─                                       ◄─
"""

import base64
import contextlib
import hashlib
import os

import pytest
from bump_peers import Browser, Plain, Reader, answer
from lab import V4, V6, access_rule


def headers_of(message):
    return [(name.lower(), value) for name, value in message.headers]


def ended(daemon, browser):
    browser.stream.close()
    return daemon.record_of(browser.port)


# --- plain messages -------------------------------------------------------------------------------------------------


def test_S25_requests_and_responses_pass_as_they_are(web):
    """Fields in their order, spelling and number; those of one hop stay on it."""
    daemon = web.start()
    site = web.site(lambda request: answer(
        b"body", "200 Perfectly Fine", "X-One: 1", "x-ONE: 2", "Set-Cookie: a=b", "Set-Cookie: c=d", "Keep-Alive: timeout=5",
        "Connection: keep-alive, X-Hop", "X-Hop: only to you", "Content-Type: Text/HTML; charset=utf-8"))
    client = web.open(site)
    page = client.get("/a%20b?q=%ff&r=1", "User-Agent: Test/1.0", "X-Twice: a", "X-Twice: b", "x-lower: c",
                      "Connection: X-Mine", "X-Mine: only to the gateway", "Accept-Encoding: br")
    assert (page.first, page.body) == ("HTTP/1.1 200 Perfectly Fine", b"body")
    names = [name for name, _ in page.headers]
    assert [v for n, v in headers_of(page) if n == "x-one"] == ["1", "2"] and "x-ONE" in names
    assert [v for n, v in headers_of(page) if n == "set-cookie"] == ["a=b", "c=d"]
    assert not {"x-hop", "keep-alive"} & {n for n, _ in headers_of(page)}
    (request,) = site.requests
    assert request.first == "GET /a%20b?q=%ff&r=1 HTTP/1.1"
    assert request.headers[0] == ("Host", "www.example.com")
    assert [(n, v) for n, v in request.headers if n.lower() in ("user-agent", "x-twice", "x-lower", "accept-encoding")] == [
        ("User-Agent", "Test/1.0"), ("X-Twice", "a"), ("X-Twice", "b"), ("x-lower", "c"), ("Accept-Encoding", "br")]
    assert "x-mine" not in {n for n, _ in headers_of(request)}
    record = ended(daemon, client)
    assert (record["action"], record["close"]) == (web.action, "finished")
    (logged,) = daemon.requests_of(client.port)
    assert logged["url"] == f"{web.scheme}://www.example.com/a%20b?q=%ff&r=1"
    assert (logged["method"], logged["status"], logged["mime"], logged["bytes_down"]) == ("GET", 200, "Text/HTML", 4)


METHODS = ["GET", "POST", "DELETE", "OPTIONS", "PATCH", "PUT", "TRACE", "PROPFIND", "M-SEARCH", "HEAD"]


def test_S22_every_method_on_one_kept_connection(web):
    daemon = web.start()
    site = web.site(lambda request: answer(request.method + " " + request.body.decode())
                    if request.method != "HEAD" else b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
    client = web.open(site)
    for method in METHODS:
        body = b"with a body" if method in ("POST", "PATCH", "PUT", "PROPFIND", "DELETE") else b""
        page = client.get("*" if method == "OPTIONS" else f"/{method}", method=method, body=body)
        if method == "HEAD":
            assert (page.get("content-length"), page.body) == ("12345", b"")
        else:
            assert page.body.decode() == f"{method} {body.decode()}"
    assert len(site.visits) == 1
    ended(daemon, client)
    logged = daemon.requests_of(client.port)
    assert [r["method"] for r in logged] == METHODS
    assert {r["status"] for r in logged} == {200}
    assert [r["bytes_up"] for r in logged if r["method"] == "PUT"] == [11]


UNKNOWN_METHODS = ["FROBNICATE", "X", "get", "A-b_c.d!#$%&'*+^`|~1"]


def test_S22_methods_that_nobody_knows(web):
    """Any token of RFC 9110 section 5.6.2 is a method, in capitals or not, with and without a body."""
    daemon = web.start()
    site = web.site(lambda request: answer(request.method + " " + request.body.decode()))
    client = web.open(site)
    for method in UNKNOWN_METHODS:
        for body in (b"", b"with a body"):
            page = client.get("/x", method=method, body=body)
            assert (page.status, page.body.decode()) == (200, f"{method} {body.decode()}")
    assert [(request.method, request.body) for request in site.requests] == [(m, b) for m in UNKNOWN_METHODS for b in (b"", b"with a body")]
    ended(daemon, client)
    assert [r["method"] for r in daemon.requests_of(client.port)] == [m for m in UNKNOWN_METHODS for _ in range(2)]


def test_S22_every_method_is_blocked(web):
    """What a rule blocks it blocks for any method, known or not: a page, and the origin hears nothing."""
    daemon = web.start(access_rule("no shop", "block", {"url": "www.example.com/*"}))
    site = web.site()
    client = web.open(site)
    for method in METHODS + UNKNOWN_METHODS:
        for body in (b"", b"with a body"):
            page = client.get("/", "Accept: text/html", method=method, body=body)
            assert (page.status, page.get("cache-control")) == (403, "no-store"), method
            assert (b"no shop" in page.body) == (method != "HEAD"), method
    assert site.requests == []
    ended(daemon, client)
    assert [(r["method"], r["status"], r["access_rule"]) for r in daemon.requests_of(client.port)] == [
        (method, 403, "no shop") for method in METHODS + UNKNOWN_METHODS for _ in range(2)]


def test_S25_pipelined_requests_are_answered_in_order(web):
    daemon = web.start()
    site = web.site(lambda request: answer(request.target))
    client = web.open(site)
    count = 40  # more than may be outstanding
    client.stream.send(b"".join(f"GET /{n} HTTP/1.1\r\nHost: www.example.com\r\n\r\n".encode() for n in range(count)))
    assert [client.reader.response().body.decode() for _ in range(count)] == [f"/{n}" for n in range(count)]
    assert [request.target for request in site.requests] == [f"/{n}" for n in range(count)]
    ended(daemon, client)
    assert [r["url"].rsplit("/", 1)[1] for r in daemon.requests_of(client.port)] == [str(n) for n in range(count)]


def test_S25_one_byte_at_a_time(web):
    web.start()
    site = web.site(lambda request: answer(request.body))
    client = web.open(site)
    whole = b"POST /x HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
    for byte in whole:
        client.stream.send(bytes([byte]))
    assert client.reader.response("POST").body == b"abcdefg"
    assert site.requests[0].body == b"abcdefg"


# --- bodies ---------------------------------------------------------------------------------------------------------


def test_S25_chunked_with_trailers_both_ways(web):
    daemon = web.start()
    site = web.site(lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                    b"5;ext=\"quoted\"\r\nhello\r\n1\r\n \r\na\r\n0123456789\r\n0\r\nX-Sum: abc\r\nX-More: d\r\n\r\n")
    client = web.open(site)
    client.ask("/up", "Transfer-Encoding: chunked", "TE: trailers", "Trailer: X-Check", method="POST",
               body=b"4\r\nwiki\r\n0007\r\npedia i\r\n0\r\nX-Check: 42\r\n\r\n")
    page = client.reader.response("POST")
    assert (page.body, page.trailers) == (b"hello 0123456789", [("X-Sum", "abc"), ("X-More", "d")])
    (request,) = site.requests
    assert (request.body, request.trailers) == (b"wikipedia i", [("X-Check", "42")])
    ended(daemon, client)
    (logged,) = daemon.requests_of(client.port)
    assert (logged["bytes_up"], logged["bytes_down"]) == (11, 16)


def test_S25_responses_without_a_body_do_not_shift_the_next(web):
    responses = {
        "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
        "/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n",
        "/head": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        "/head-chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "/empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "/after": answer(b"the right one"),
    }
    web.start()
    client = web.open(web.site(lambda request: responses[request.target]))
    for path in ("/204", "/304", "/head", "/head-chunked", "/empty"):
        method = "HEAD" if path.startswith("/head") else "GET"
        page = client.get(path, method=method)
        assert (path, page.body) == (path, b"")
        assert client.get("/after").body == b"the right one", path
    assert page.status == 200


def test_S25_a_response_until_close(web):
    daemon = web.start()
    body = os.urandom(300_000)

    def respond(request):
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/x\r\n\r\n" + body
    client = web.open(web.site(respond))
    page = client.get()
    assert page.body == body
    assert client.ending() == ("end", b"")
    record = ended(daemon, client)
    assert record["close"] == "finished"
    assert daemon.requests_of(client.port)[0]["bytes_down"] == len(body)


def test_S25_http_1_0(web):
    """The client closes after each response, does not know chunks, and sees the end of the body at the close."""
    web.start()
    site = web.site(lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    client = web.open(site)
    client.stream.send(b"GET /old HTTP/1.0\r\nHost: www.example.com\r\n\r\n")
    page = client.reader.response()
    assert page.get("transfer-encoding") is None
    assert page.body == b"hello"
    assert client.ending() == ("end", b"")


def test_S25_connection_close_by_either(web):
    daemon = web.start()
    site = web.site(lambda request: answer(b"x", "200 OK", *(["Connection: close"] if request.target == "/origin" else [])))
    for path, headers in (("/client", ["Connection: close"]), ("/origin", [])):
        client = web.open(site)
        page = client.get(path, *headers)
        assert (page.body, page.get("connection")) == (b"x", "close")
        assert client.ending() == ("end", b"")
        assert ended(daemon, client)["close"] == "finished"


def test_S25_an_origin_that_closes_a_kept_connection(web):
    """Between requests: an end in order, and no error."""
    daemon = web.start()
    site = web.site()
    client = web.open(site)
    assert client.get().status == 200
    with contextlib.suppress(OSError):  # the gateway ends after close_notify alone
        site.visit().stream.finish()
    assert client.ending() == ("end", b"")
    assert ended(daemon, client)["close"] == "finished"


# --- 1xx and upgrades -----------------------------------------------------------------------------------------------


def test_S25_expect_100_continue(web):
    """The client holds its body back until the origin wants it."""
    def talk(stream, visit):
        reader = Reader(stream)
        while head := reader.head():
            if head.target == "/no":
                stream.send(answer(b"not wanted", "417 Expectation Failed", "Connection: close"))
                return stream.close()
            stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            reader.body(head, False)
            stream.send(answer(head.body))
        stream.close()
    daemon = web.start()
    site = web.site(talk=talk)
    client = web.open(site)
    client.stream.send(b"POST /yes HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    assert client.reader.head().status == 103
    assert client.reader.head().status == 100
    client.stream.send(b"body")
    assert client.reader.response("POST").body == b"body"
    client.stream.send(b"POST /no HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    refused = client.reader.response("POST")
    assert (refused.status, refused.body) == (417, b"not wanted")
    assert client.ending() == ("end", b"")
    ended(daemon, client)
    assert [r["status"] for r in daemon.requests_of(client.port)] == [200, 417]


def websocket_accept(key):
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def test_S25_a_websocket_becomes_a_relay(web):
    """After 101 any bytes pass, in both directions, until both have closed. What the client sent too early waits."""
    def talk(stream, visit):
        reader = Reader(stream)
        request = reader.head()
        visit.requests.append(request)
        assert request.get("upgrade") == "websocket" and "upgrade" in request.get("connection").lower()
        stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
                    websocket_accept(request.get("sec-websocket-key")).encode() + b"\r\n\r\n" + b"\x81\x05early")
        data = reader.buffer
        while len(data) < 8:
            data += stream.receive_some()
        stream.send(b"echo " + data)
        while piece := stream.receive_some():
            stream.send(piece)
        stream.close()
    daemon = web.start()
    site = web.site(talk=talk)
    client = web.open(site)
    key = base64.b64encode(bytes(16)).decode()
    client.ask("/socket", "Upgrade: websocket", "Connection: keep-alive, Upgrade", f"Sec-WebSocket-Key: {key}",
               "Sec-WebSocket-Version: 13")
    client.stream.send(b"\x82\x80\0\0\0\0")
    head = client.reader.head()
    assert (head.status, head.get("upgrade"), head.get("sec-websocket-accept")) == (101, "websocket", websocket_accept(key))
    assert client.reader.exactly(7) == b"\x81\x05early"
    client.stream.send(b"\r\n")
    assert client.reader.exactly(13) == b"echo \x82\x80\0\0\0\0\r\n"
    blob = os.urandom(30_000)  # fits into the sockets' buffers: this client does not read while it writes
    client.stream.send(blob)
    assert client.reader.exactly(len(blob)) == blob
    client.stream.finish()
    assert client.ending() == ("end", b"")
    client.stream.close()
    assert daemon.record_of(client.port)["close"] == "finished"
    (logged,) = daemon.requests_of(client.port)
    assert (logged["status"], logged["url"]) == (101, f"{web.scheme}://www.example.com/socket")


def test_S25_an_upgrade_that_is_declined_goes_on_as_http(web):
    web.start()
    site = web.site(lambda request: answer(request.target))
    client = web.open(site)
    client.ask("/first", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13")
    client.ask("/second")
    assert [client.reader.response().body for _ in range(2)] == [b"/first", b"/second"]


def test_S25_h2c_is_never_passed_on(web):
    """It would be HTTP that nobody reads."""
    web.start()
    site = web.site()
    client = web.open(site)
    assert client.get("/", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA").status == 200
    assert not {"upgrade", "http2-settings"} & {n for n, _ in headers_of(site.requests[0])}


# --- where a request goes -------------------------------------------------------------------------------------------


def test_S30_a_host_outside_the_certificate_gets_421(bump, site, visit, pki, version):
    """Domain fronting: the certificate shown is for www.example.com and *.cdn.example.com."""
    daemon = bump()
    origin = site(version, pki.issue("with a wildcard", sans="DNS:www.example.com,DNS:*.cdn.example.com"))
    for host, status in (("www.example.com", 200), ("WWW.Example.COM.", 200), ("www.example.com:443", 200),
                         ("a.cdn.example.com", 200), ("hidden.example", 421), ("a.b.cdn.example.com", 421),
                         ("cdn.example.com", 421), (f"[{origin.address}]" if version == V6 else origin.address, 421)):
        client = Browser(visit(origin), host)
        before = len(origin.requests)
        page = client.get("/private", "Cookie: secret=1")
        assert (host, page.status) == (host, status)
        assert len(origin.requests) - before == (1 if status == 200 else 0), host
        if status == 421:
            assert client.get("/again", host="www.example.com").status == 200  # S31: the connection is usable
            ended(daemon, client)
            logged, _ = daemon.requests_of(client.port)
            assert (logged["status"], logged["url"]) == (421, f"https://{host}/private")


def test_S30_an_address_is_a_host_for_a_client_that_has_given_no_name(bump, site, visit, pki, version):
    """Whatever the certificate is for: here it has no address in it, and that is allowed."""
    daemon = bump(tls={"invalid_origin": {"name_mismatch": "allow"}})
    origin = site(version, pki.site())
    literal = f"[{origin.address}]" if version == V6 else origin.address
    nameless = Browser(visit(origin, name=None, ca=None), literal)
    assert nameless.get().status == 200
    assert nameless.get("/again", host="hidden.example").status == 421
    ended(daemon, nameless)
    assert origin.visit().hello.sni is None


def test_S30_rules_see_the_inner_host(bump, site, visit, pki, version):
    """The SNI is one that is allowed, and the Host one that the certificate covers, too, and a rule blocks."""
    daemon = bump(access_rule("no shop", "block", {"host": "shop.example.com"}) +
                  access_rule("moved", "redirect", {"host": "old.example.com"}, to="https://new.example.com/"))
    origin = site(version, pki.issue("three names", sans="DNS:www.example.com,DNS:shop.example.com,DNS:old.example.com"))
    allowed = Browser(visit(origin))
    assert allowed.get().status == 200
    fronted = Browser(visit(origin), "shop.example.com")
    page = fronted.get("/buy", "Accept: text/html")
    assert (page.status, page.get("cache-control")) == (403, "no-store")
    assert "text/html" in page.get("content-type")
    ended(daemon, fronted)
    (logged,) = daemon.requests_of(fronted.port)
    assert (logged["action"], logged["access_rule"], logged["status"]) == ("block", "no shop", 403)
    assert logged["url"] == "https://shop.example.com/buy"
    moved = Browser(visit(origin), "old.example.com")
    page = moved.get("/x")
    assert (page.status, page.get("location")) == (302, "https://new.example.com/")
    assert [request.get("host") for request in origin.requests] == ["www.example.com"]
    # On the same connection, behind an allowed one; what was asked before is answered.
    allowed.ask("/one").ask("/two", host="shop.example.com").ask("/three")
    assert [allowed.reader.response().status for _ in range(3)] == [200, 403, 200]
    assert [request.target for request in origin.requests] == ["/", "/one", "/three"]


def test_S22_access_rules_apply_to_plain_http(bump, site, connect, version):
    daemon = bump(access_rule("no shop", "block", {"host": ".shop.example"}) +
                  access_rule("moved", "redirect", {"host": "old.example"}, to="http://new.example/"))
    origin = site(version, None)
    for host, status in (("www.example.com", 200), ("shop.example", 403), ("a.SHOP.example:80", 403), ("old.example", 302)):
        client = Browser(Plain(connect(version, origin.address, 80)), host)
        page = client.get("/path", "Accept: text/html;q=0.9, */*;q=0.1")
        assert (host, page.status) == (host, status)
        client.stream.close()
        record = daemon.record_of(client.port)
        (logged,) = daemon.requests_of(client.port)
        assert logged["status"] == status
        if status == 403:
            assert (logged["action"], logged["access_rule"]) == ("block", "no shop")
            assert record["close"] == "finished" and b"<!DOCTYPE html>" in page.body
        if status == 302:
            assert page.get("location") == "http://new.example/"
    assert [request.get("host") for request in origin.requests] == ["www.example.com"]


def test_S31_a_client_that_wants_no_html_gets_text(bump, site, connect):
    bump(access_rule("no shop", "block", {"host": "shop.example"}))
    client = Browser(Plain(connect(V4, site(V4, None).address, 80)), "shop.example")
    page = client.get("/", "Accept: application/json")
    assert page.status == 403 and page.get("content-type").startswith("text/plain")
    client = Browser(Plain(connect(V4, site(V4, None).address, 80)), "shop.example")
    page = client.get("/", method="HEAD")
    assert page.status == 403 and int(page.get("content-length")) > 0
    assert client.get("/", method="HEAD").status == 403  # no body came between


def test_S22_a_rule_over_the_address_blocks_before_a_byte(bump, site, connect, syns, version):
    origin = site(version, None)
    daemon = bump(access_rule("that address", "block", {"destination": origin.address}))
    client = connect(version, origin.address, 80, may_be_reset=True)
    assert client.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["close"], record["access_rule"]) == ("rule_block", "that address")
    assert [s for s in syns.until_now() if s[1] == origin.address] == []


def test_S22_absolute_form(web):
    """To the origin goes the origin form; the host is the target's, whatever Host says."""
    daemon = web.start(access_rule("no shop", "block", {"host": "shop.example"}))
    site = web.site()
    client = web.open(site)
    assert client.get(f"{web.scheme}://www.example.com/abs?x=1").status == 200
    assert (site.requests[0].target, site.requests[0].get("host")) == ("/abs?x=1", "www.example.com")
    page = client.get(f"{web.scheme}://shop.example/", host="www.example.com")
    assert page.status in (403, 421)
    assert len(site.requests) == 1


def test_S22_connect_is_for_proxies(web):
    web.start()
    site = web.site()
    client = web.open(site)
    client.stream.send(b"CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n\r\n")
    assert client.reader.response().status == 405
    assert client.get("/behind").status == 200  # S31: the connection is usable
    assert [request.target for request in site.requests] == ["/behind"]


# --- what is not HTTP -----------------------------------------------------------------------------------------------

NOT_HTTP = {
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "SMTP": b"EHLO http.example\r\n",
    "a word": b"www.example.com\r\n",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("kind", NOT_HTTP)
def test_S8_other_bytes_on_an_http_port_end(bump, listen, connect, version, syns, kind):
    daemon = bump()
    origin = listen(version, 80)
    client = connect(version, origin.address, 80)
    client.send(NOT_HTTP[kind])
    assert client.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("non_http", "client")
    assert [s for s in syns.until_now() if s[1] == origin.address] == []


@pytest.mark.parametrize("kind", NOT_HTTP)
def test_S8_or_pass_through_when_that_is_wanted(bump, listen, connect, version, kind):
    daemon = bump(http={"non_http": "tunnel"})
    origin = listen(version, 80)
    client = connect(version, origin.address, 80)
    client.send(NOT_HTTP[kind])
    served = origin.accept()
    assert served.receive(len(NOT_HTTP[kind])) == NOT_HTTP[kind]
    served.send(b"\x00answer")
    assert client.receive(7) == b"\x00answer"
    client.finish()
    assert served.receive_all() == b""
    served.close()
    assert client.ending() == ("end", b"")
    assert (daemon.record_of(client)["action"], daemon.record_of(client)["close"]) == ("tunnel", "finished")


SECRET = b" /secret HTTP/1.1\r\nHost: shop.example\r\n\r\n"
STILL_HTTP = {  # what some server or other answers as a request
    "as it should be": b"GET" + SECRET,
    "behind LF": b"\nGET" + SECRET,
    "behind empty lines": b"\r\n\n\r\nGET" + SECRET,
    "behind a space": b" GET" + SECRET,
    "HTTP/0.9": b"GET /secret\r\n\r\n",  # without the second end the reader waits for fields
    "with tabs": b"GET" + SECRET.replace(b" ", b"\t", 2),
    "lower case": b"GET" + SECRET.replace(b"HTTP", b"http"),
    "a strange method": b"G!T" + SECRET,
    "a long method": b"A" * 40 + SECRET,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(30),
}


@pytest.mark.parametrize("kind", STILL_HTTP)
def test_S22_no_wrapping_takes_a_request_past_the_rules(bump, listen, connect, version, syns, kind):
    """With non_http = "tunnel" as well: it is answered, or closed, and its origin sees nothing of it."""
    daemon = bump(access_rule("no shop", "block", {"host": ".shop.example"}), http={"non_http": "tunnel"})
    origin = listen(version, 80)
    client = connect(version, origin.address, 80)
    client.send(STILL_HTTP[kind])
    page = Reader(Plain(client)).response()
    assert page.status == 403 if kind == "as it should be" else 400 <= page.status < 600
    client.close()
    assert daemon.record_of(client)["close"] in ("finished", "request_refused")
    assert [s for s in syns.until_now() if s[1] == origin.address] == []


@pytest.mark.parametrize("begun", [b"GE", b"\n", b" ", b"BREW /secret"])
def test_S22_half_a_request_line_is_not_let_through_when_time_is_up(bump, listen, connect, version, syns, begun):
    daemon = bump(http={"non_http": "tunnel"}, limits={"hello_timeout": "200ms"})
    origin = listen(version, 80)
    client = connect(version, origin.address, 80)
    client.send(begun)
    assert client.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("non_http", "client")
    assert [s for s in syns.until_now() if s[1] == origin.address] == []


@pytest.mark.parametrize("non_http", ["terminate", "tunnel"])
def test_S8_silence_on_an_http_port(bump, listen, connect, version, non_http):
    """Server-first protocols pass with "tunnel"; without, silence ends at hello_timeout."""
    daemon = bump(http={"non_http": non_http}, limits={"hello_timeout": "200ms"})
    origin = listen(version, 80)
    client = connect(version, origin.address, 80)
    if non_http == "tunnel":
        served = origin.accept()
        served.send(b"220 smtp\r\n")
        assert client.receive(10) == b"220 smtp\r\n"
    else:
        assert client.ending() == ("reset", b"")
        assert (daemon.record_of(client)["close"], daemon.record_of(client)["close_side"]) == ("non_http", "client")


def test_S35_http_records_are_complete(bump, site, connect, version):
    """Plain HTTP has no SNI; the host of the connection is its address, that of a request its Host."""
    daemon = bump()
    origin = site(version, None)
    client = Browser(Plain(connect(version, origin.address, 80)))
    assert client.get("/a").status == client.get("/b", host="other.example").status == 200
    client.stream.close()
    record = daemon.record_of(client.port)
    assert (record["host"], record["action"], record["close"]) == (origin.address, "allow", "finished")
    assert not {"sni", "ja4", "tls_version", "origin_cert", "tls_rule"} & set(record)
    assert [r["url"] for r in daemon.requests_of(client.port)] == ["http://www.example.com/a", "http://other.example/b"]
