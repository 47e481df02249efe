"""S4, S23, S24 and the [explicit] table: clients that are configured for a proxy.

    client ── CONNECT host:443 ──▶ gateway :3128: password, name, rules ── dials the first address that answers ──▶ origin
           ◄── 200 ──────────────
           ── ClientHello … ─────▶ as in transparent mode
"""

import base64
import contextlib
import ctypes
import pathlib
import shutil
import socket
import threading

import pytest
from bump_peers import Browser, Plain, Reader, Tls, answer, certificate_fields, client_context
from hello import client_hello
from lab import V4, V6, Lab, access_rule, endpoint_text, run, tls_rule, toml_table, wait_until

PORT = 3128


class NameServer:
    """The gateway's name server: what it says of each name, and what it was asked."""

    def __init__(self, lab):
        self.addresses, self.asked, self.silent = {}, [], set()
        self.folder = pathlib.Path("/etc/netns") / lab.gateway.name  # what `ip netns exec` puts over /etc
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\nsearch lan.example\n")
        self.socket = lab.gateway.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        self.socket.settimeout(0.1)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while not self.over.is_set():
            try:
                query, client = self.socket.recvfrom(4096)
            except socket.timeout:
                continue
            end = query.index(b"\0", 12) + 1
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, kind = ".".join(labels).lower(), int.from_bytes(query[end:end + 2], "big")
            self.asked.append(name)
            if name in self.silent:
                continue
            family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
            records = b""
            found = [a for a in self.addresses.get(name, ()) if family == (socket.AF_INET6 if ":" in a else socket.AF_INET)]
            for address in found:
                data = socket.inet_pton(family, address)
                records += b"\xc0\x0c" + query[end:end + 2] + b"\0\1\0\0\0\x3c" + len(data).to_bytes(2, "big") + data
            code = b"\x81\x80" if name in self.addresses else b"\x81\x83"
            self.socket.sendto(query[:2] + code + b"\0\1" + len(found).to_bytes(2, "big") + b"\0\0\0\0" + query[12:end + 4]
                               + records, client)

    def close(self):
        self.over.set()
        self.thread.join()
        self.socket.close()
        shutil.rmtree(self.folder)


@pytest.fixture
def names(lab):
    server = NameServer(lab)
    yield server
    server.close()


@pytest.fixture
def proxy(bump, names):
    """proxy(rules, explicit={…}, …): a gateway that also listens as a proxy; TLS is tunnelled unless told otherwise."""
    def make(rules="", *, explicit=None, tls=None, **more):
        table = {"listen": [endpoint_text(Lab.GATEWAY_LAN[v], PORT) for v in (V4, V6)], **(explicit or {})}
        return bump(rules + toml_table("explicit", table), tls={"default_action": "tunnel-sni", **(tls or {})}, **more)
    return make


class Client:
    """A client's connection to the proxy."""

    def __init__(self, connect, version):
        self.peer = connect(version, Lab.GATEWAY_LAN[version], PORT)
        self.port = self.peer.port
        self.reader = Reader(Plain(self.peer))

    def ask(self, target, *headers, method="CONNECT"):
        lines = [f"{method} {target} HTTP/1.1", *headers]
        if not any(h.lower().startswith("host:") for h in headers):
            lines.insert(1, f"Host: {target}")
        self.peer.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        return self

    def answer(self):
        """The proxy's answer to a CONNECT; None when it just closes."""
        head = self.reader.head()
        return head and (head if head.status == 200 else self.reader.body(head, True))

    def tunnel(self, target, *headers):
        answered = self.ask(target, *headers).answer()
        assert answered is not None and answered.status == 200, answered
        assert answered.get("content-length") is None and answered.get("transfer-encoding") is None
        return self

    def tls(self, ca, name):
        assert not self.reader.buffer
        return Tls(self.peer, client_context(ca), name=name).handshake()


@pytest.fixture
def client(connect):
    return lambda version=V4: Client(connect, version)


# --- what passes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["tunnel", "tunnel-sni", "bump"])
def test_CONNECT_by_name(proxy, client, site, pki, names, version, action):
    daemon = proxy(tls_rule("the rule", action, {"host": "www.example.com"}))
    origin = site(version, pki.site())
    names.addresses["www.example.com"] = [origin.address]
    asked = client(version).tunnel("www.example.com:443", "User-Agent: Test/1.0")
    browser = Browser(asked.tls((pki.gateway_ca if action == "bump" else pki.root).certificate, "www.example.com"))
    assert browser.get("/").body == b"hello from the origin\n"
    browser.stream.close()
    record = daemon.record_of(asked.port)
    assert (record["mode"], record["action"], record["tls_rule"]) == ("explicit", action, "the rule")
    assert (record["host"], record["destination"]) == ("www.example.com", endpoint_text(origin.address, 443))
    # A tunnel's client may leave before it has read the origin's last word.
    assert record["close"] == "finished" or (action != "bump" and record["close"] == "client_reset")


def test_CONNECT_to_an_address_literal(proxy, client, site, pki, version):
    daemon = proxy()
    origin = site(version, pki.site())
    asked = client().tunnel(endpoint_text(origin.address, 443))
    assert Browser(asked.tls(pki.root.certificate, "www.example.com")).get("/").status == 200
    asked.peer.close()
    assert daemon.record_of(asked.port)["sni"] == "www.example.com"


def test_curl_through_the_proxy(proxy, lab, site, pki, names, version):
    proxy(tls={"default_action": "bump"})
    origin, plain = site(version, pki.site()), site(version, None, port=80)
    names.addresses["www.example.com"] = [origin.address]
    names.addresses["plain.example"] = [plain.address]
    through = f"http://{endpoint_text(Lab.GATEWAY_LAN[version], PORT)}"
    said = lab.client.run("curl", "-sS", "-x", through, "--cacert", pki.gateway_ca.certificate, "-w", "%{num_connects}\n",
                          "https://www.example.com/", "http://plain.example/a", "http://plain.example/b").stdout
    assert said == "hello from the origin\n1\n" * 2 + "hello from the origin\n0\n"
    assert [r.target for r in plain.requests] == ["/a", "/b"]
    assert plain.requests[0].get("via").startswith("1.1 sluice-")
    assert plain.requests[0].get("proxy-connection") is None and plain.requests[0].get("host") == "plain.example"


def test_the_hello_may_come_without_waiting_for_the_200(proxy, client, listen, names):
    """RFC 9110 section 9.3.6 allows what a hasty client does."""
    daemon = proxy()
    origin = listen(V4)
    names.addresses["www.example.com"] = [origin.address]
    first = client_hello("www.example.com")
    asked = client()
    asked.peer.send(b"CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n\r\n" + first)
    assert asked.answer().status == 200
    served = origin.accept()
    assert served.receive(len(first)) == first
    asked.peer.close()
    served.close()
    assert daemon.record_of(asked.port)["sni"] == "www.example.com"


def test_requests_in_clear(proxy, client, site, names):
    daemon = proxy(access_rule("no way", "block", {"host": "blocked.example"}))
    origin = site(V4, None, lambda request: answer(request.target + " " + request.body.decode()), port=80)
    for name in ("plain.example", "blocked.example", "other.example"):
        names.addresses[name] = [origin.address]
    asked = client()
    asked.peer.send(b"POST http://plain.example/x?y HTTP/1.1\r\nHost: plain.example\r\nContent-Length: 4\r\n"
                    b"Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\n\r\nbody")
    page = asked.reader.response("POST")
    assert (page.status, page.body) == (200, b"/x?y body")
    (request,) = origin.requests
    assert request.get("proxy-authorization") is None
    # The same connection goes on, for any host.
    asked.ask("http://blocked.example/", "Host: blocked.example", method="GET")
    page = asked.reader.response()
    assert (page.status, page.get("connection")) == (403, None)
    asked.ask("http://other.example/again", "Host: other.example", method="GET")
    assert asked.reader.response().body == b"/again "
    asked.peer.close()
    record = daemon.record_of(asked.port)
    assert (record["mode"], record["action"], record["close"]) == ("explicit", "allow", "finished")
    assert [r["action"] for r in daemon.requests_of(asked.port)] == ["allow", "block", "allow"]
    assert daemon.requests_of(asked.port)[1]["access_rule"] == "no way"
    assert len(origin.requests) == 2
    assert [r.get("connection") for r in origin.requests] == ["close", "close"]  # one request to one connection there


def test_requests_in_clear_of_what_is_forbidden(proxy, client, syns, names):
    """Neither a name server nor an origin hears of it, and it need not exist."""
    daemon = proxy(access_rule("no way", "block", {"host": ".forbidden.example"}))
    asked = client().ask("http://gone.forbidden.example/", "Host: gone.forbidden.example", method="GET")
    assert asked.reader.response().status == 403
    asked.peer.close()
    assert daemon.requests_of(asked.port)[0]["access_rule"] == "no way"
    assert names.asked == [] and syns.until_now() == []


def test_a_CONNECT_behind_requests_in_clear(proxy, client, site, pki, names):
    daemon = proxy()
    plain, origin = site(V4, None, port=80), site(V4, pki.site())
    names.addresses["plain.example"], names.addresses["www.example.com"] = [plain.address], [origin.address]
    asked = client().ask("http://plain.example/", "Host: plain.example", method="GET")
    assert asked.reader.response().status == 200
    browser = Browser(asked.tunnel("www.example.com:443").tls(pki.root.certificate, "www.example.com"))
    assert browser.get("/").body == b"hello from the origin\n"
    browser.stream.close()
    record = daemon.record_of(asked.port)
    assert (record["action"], record["host"]) == ("tunnel-sni", "www.example.com")
    assert len(daemon.requests_of(asked.port)) == 1


@pytest.mark.parametrize("port", [443, 80])
def test_S26_https_page_for_an_explicit_client(proxy, client, pki, syns, names, port):
    daemon = proxy(access_rule("no games", "block", {"host": "games.example"}), access={"https_page": True})
    asked = client().tunnel(f"games.example:{port}")
    if port == 443:
        browser = Browser(asked.tls(pki.gateway_ca.certificate, "games.example"), "games.example")
        page = browser.get("/", "Accept: text/html")
        browser.stream.close()
    else:
        asked.peer.send(b"GET / HTTP/1.1\r\nHost: games.example\r\nAccept: text/html\r\n\r\n")
        page = asked.reader.response()
        asked.peer.close()
    assert page.status == 403 and b"no games" in page.body
    record = daemon.record_of(asked.port)
    assert (record["action"], record["access_rule"]) == ("block", "no games")
    assert syns.until_now() == []


# --- S23, S24: what does not ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["block", "redirect"])
@pytest.mark.parametrize("blocked_connect", ["close", "403"])
def test_S23_a_forbidden_CONNECT_dials_nothing(proxy, client, names, syns, listen, version, how, blocked_connect):
    more = {"to": "https://elsewhere.example/"} if how == "redirect" else {}
    daemon = proxy(access_rule("forbidden", how, {"host": ".forbidden.example"}, **more),
                   explicit={"blocked_connect": blocked_connect})
    origin = listen(version)
    names.addresses["www.forbidden.example"] = [origin.address]
    asked = client(version).ask("www.forbidden.example:443")
    answered = asked.answer()
    if blocked_connect == "403":
        assert (answered.status, answered.body) == (403, b"")
    else:
        assert answered is None
    record = daemon.record_of(asked.port)
    assert (record["action"], record["access_rule"], record["close"]) == (how, "forbidden", f"rule_{how}")
    assert [syn for syn in syns.until_now() if syn[1] == origin.address] == []


def test_S23_a_forbidden_name_that_does_not_resolve_is_forbidden(proxy, client, names):
    daemon = proxy(access_rule("by address", "allow", {"destination": "10.10.0.1", "host": "far.example"})
                   + access_rule("forbidden", "block", {"host": ["gone.example", "far.example"]}))
    for name in ("gone.example", "far.example"):
        asked = client().ask(f"{name}:443")
        assert asked.answer() is None
        assert daemon.record_of(asked.port)["close"] == "rule_block"
    assert "gone.example" not in names.asked  # its addresses do not matter


def test_a_forbidden_address_of_a_name_is_left_out(proxy, client, site, pki, names, listen):
    daemon = proxy(access_rule("not there", "block", {"destination": "10.10.0.0/16"}))
    forbidden, origin = listen(V4), site(V6, pki.site())
    names.addresses["www.example.com"] = [forbidden.address, origin.address]
    asked = client().tunnel("www.example.com:443")
    assert Browser(asked.tls(pki.root.certificate, "www.example.com")).get("/").status == 200
    asked.peer.close()
    assert daemon.record_of(asked.port)["destination"] == endpoint_text(origin.address, 443)


def test_S4_another_SNI_than_the_CONNECT_name_the_stricter_verdict_wins(proxy, client, site, pki, names, version):
    daemon = proxy(access_rule("forbidden", "block", {"host": "secret.example"}) + tls_rule("pass", "tunnel-sni", {"host": "www.example.com"}))
    origin = site(version, pki.site())
    names.addresses["www.example.com"] = names.addresses["secret.example"] = [origin.address]
    asked = client(version).tunnel("www.example.com:443")
    with pytest.raises((ConnectionError, OSError)):
        asked.tls(pki.root.certificate, "secret.example")
    record = daemon.record_of(asked.port)
    assert (record["close"], record["access_rule"], record["sni"]) == ("rule_block", "forbidden", "secret.example")
    assert record["host"] == "www.example.com"
    # The other way round the CONNECT itself is forbidden.
    asked = client(version).ask("secret.example:443")
    assert asked.answer() is None
    assert not origin.visits


def test_S4_without_SNI_the_CONNECT_name_is_the_host(proxy, client, site, pki, names, version):
    daemon = proxy(tls_rule("by name", "terminate", {"host": "www.example.com"}))
    origin = site(version, pki.site())
    names.addresses["www.example.com"] = [origin.address]
    asked = client(version).tunnel("www.example.com:443")
    with pytest.raises((ConnectionError, OSError)):
        asked.tls(None, None)
    record = daemon.record_of(asked.port)
    assert (record["tls_rule"], record["host"]) == ("by name", "www.example.com")
    assert not origin.visits


def test_S4_without_SNI_a_bumped_origin_is_the_one_of_the_CONNECT_name(proxy, client, site, pki, names):
    """The origin hears the name, its certificate is judged by it, ours is for it, and the rules and the log see it."""
    daemon = proxy(tls_rule("by name", "bump", {"host": "www.example.com"}) +
                   access_rule("no shop", "block", {"url": "www.example.com/shop"}))
    origin = site(V4, pki.site())
    names.addresses["www.example.com"] = [origin.address]
    for number in range(2):
        asked = client().tunnel("www.example.com:443")
        context = client_context(pki.gateway_ca.certificate)
        context.check_hostname = False  # Python compares with what it sent as SNI; here that is nothing
        stream = Tls(asked.peer, context).handshake()
        assert ("DNS", "www.example.com") in certificate_fields(stream.certificate())["subjectAltName"]
        browser = Browser(stream)
        assert browser.get("/").status == 200
        stream.send(b"GET /shop HTTP/1.0\r\n\r\n")  # names no host
        assert browser.reader.response().status == 403
        stream.close()
        assert origin.visit(number).hello.sni == "www.example.com"
        record = daemon.record_of(asked.port)
        assert (record["origin_cert"], record["host"], record["tls_rule"]) == ("ok", "www.example.com", "by name")
        assert "sni" not in record
        assert [r["url"] for r in daemon.requests_of(asked.port)] == ["https://www.example.com/", "https://www.example.com/shop"]


@pytest.mark.parametrize("target", ["127.0.0.1:22", "[::1]:22", "localhost:22", "0.0.0.0:22", "169.254.169.254:80",
                                    f"{Lab.GATEWAY_LAN[V4]}:{PORT}", f"[{Lab.GATEWAY_WAN[V6]}]:22", "224.0.0.1:80",
                                    "[::ffff:127.0.0.1]:22", "[::127.0.0.1]:22", "[64:ff9b::7f00:1]:22", "[64:ff9b::169.254.169.254]:80",
                                    f"[64:ff9b::{Lab.GATEWAY_WAN[V4]}]:22", f"[::{Lab.GATEWAY_LAN[V4]}]:22", "[64:ff9b::]:22"])
def test_the_gateway_itself_is_out_of_reach(proxy, client, names, target):
    daemon = proxy(tls={"decrypt": False})
    names.addresses["localhost"] = ["127.0.0.1"]
    asked = client().ask(target)
    assert asked.answer().status == 403
    assert daemon.record_of(asked.port)["close"] == "local_destination"


def number_of(address):
    return int.from_bytes(socket.inet_aton(address), "big")


ODD_NOTATIONS = [
    "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.0.0.1", "0x7f.1", "127.0.0.1.", "127.0.0.01", "127.8.9.10", "0", "0x0", "LOCALHOST", "localhost.",
    "inside.example", "[0:0:0:0:0:0:0:1]", "[0::0:1]", "[::]", "[::FFFF:7F00:1]", "[::ffff:0:0]", "[fe80::1]", "[FF02::1]", "2852039166",  # 169.254.169.254
    *(notation for address in (Lab.GATEWAY_LAN[V4], Lab.GATEWAY_WAN[V4])
      for notation in (str(number_of(address)), hex(number_of(address)), f"[::ffff:{address}]", f"{address}.", f"[64:ff9b::{address}]",
                       f"[64:FF9B:0::{number_of(address) >> 16:x}:{number_of(address) & 0xffff:x}]", f"[::{address}]")),
    "[FD00:1:0:0:0:0:0:1]", "[fd00:0009::0001]",
]


@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_no_notation_reaches_the_gateway_itself(proxy, client, names, version, method):
    """A server on the gateway hears nothing, however its address is written."""
    daemon = proxy(tls={"decrypt": False})
    names.addresses["localhost"] = ["127.0.0.1", "::1"]
    names.addresses["inside.example"] = [Lab.GATEWAY_LAN[V4], Lab.GATEWAY_LAN[V6], "::ffff:127.0.0.1", f"64:ff9b::{Lab.GATEWAY_WAN[V4]}"]
    seen = {}
    for notation in ODD_NOTATIONS:
        asked = client(version).ask(f"{notation}:{PORT}" if method == "CONNECT" else f"http://{notation}:{PORT}/", f"Host: {notation}:{PORT}",
                                    method=method)
        status = asked.answer().status
        asked.peer.close()
        seen[notation] = status, daemon.record_of(asked.port)["close"]
    assert seen == dict.fromkeys(ODD_NOTATIONS, (403, "local_destination"))
    assert len(daemon.records()) == len(ODD_NOTATIONS)  # no connection of the gateway with itself


def test_an_IPv4_destination_is_the_same_place_behind_NAT64(proxy, client, names):
    """RFC 6052: what a rule says of 10.10.0.0/16 it says of 64:ff9b::/96 with such an address in it, by name and by number."""
    daemon = proxy(access_rule("not there", "block", {"destination": "10.10.0.0/16"}) + access_rule("nor there", "block", {"host": "192.0.2.77"}))
    names.addresses["nat64.example"] = ["64:ff9b::10.10.7.7"]
    for target, rule_name in (("[64:ff9b::a0a:707]:443", "not there"), ("nat64.example:443", "not there"), ("[64:ff9b::192.0.2.77]:443", "nor there"),
                              ("[64:ff9b::a0b:707]:443", None), ("[64:ff9b:1::a0a:707]:443", None)):
        asked = client().ask(target)
        answered = asked.answer()
        if rule_name is not None:
            assert answered is None, target
            record = daemon.record_of(asked.port)
            assert (record["close"], record["access_rule"]) == ("rule_block", rule_name), target
        else:
            assert answered.status == 200, target
        asked.peer.close()


TWO_MEANINGS = ["017700000001", "0177.0.0.1", "127.0.0.1.1", "256.0.0.1", "0x7f000001ff", "%31%32%37.0.0.1", "[::1", "127.0.0.1%00.example",
                "[::1%25lo]", "[fe80::1%eth0]", "user@127.0.0.1", "127.0.0.1:22@example.com"]


def test_what_may_be_two_addresses_is_none(proxy, client, names, syns, version):
    daemon = proxy(tls={"decrypt": False})
    for notation in TWO_MEANINGS:
        for target, method in ((f"{notation}:{PORT}", "CONNECT"), (f"http://{notation}:{PORT}/", "GET")):
            asked = client(version).ask(target, "Host: example.com", method=method)
            assert asked.answer().status == 400, target
            asked.peer.close()
            assert daemon.record_of(asked.port)["close"] == "request_refused", target
    assert names.asked == [] and syns.until_now() == []


def test_a_name_that_does_not_exist(proxy, client):
    daemon = proxy()
    for target, method in (("nowhere.example:443", "CONNECT"), ("http://nowhere.example/", "GET")):
        asked = client().ask(target, "Host: nowhere.example", method=method)
        assert asked.answer().status == 502
        assert daemon.record_of(asked.port)["close"] == "origin_unresolved"


def test_an_origin_that_refuses(proxy, client, lab, names):
    daemon = proxy(tls={"decrypt": False})
    names.addresses["closed.example"] = [lab.new_origin_address(V4)]
    asked = client().ask("closed.example:443")
    assert asked.answer().status == 502
    assert daemon.record_of(asked.port)["close"] == "origin_refused"


@pytest.mark.parametrize("dead, good", [(V6, V4), (V4, V6), (V4, V4), (V6, V6)], ids=lambda v: f"ipv{v}")
@pytest.mark.parametrize("how", ["silent", "refusing"])
def test_happy_eyeballs_a_dead_address_costs_a_moment_only(proxy, client, lab, site, pki, names, dead, good, how):
    daemon = proxy(tls={"decrypt": False}, limits={"connect_timeout": "30s"})
    origin = site(good, pki.site())
    dead_address = Lab.BLACKHOLE[dead] if how == "silent" else lab.new_origin_address(dead)
    names.addresses["www.example.com"] = [dead_address, origin.address]
    asked = client().tunnel("www.example.com:443")
    assert Browser(asked.tls(pki.root.certificate, "www.example.com")).get("/").status == 200
    asked.peer.close()
    record = daemon.record_of(asked.port)
    assert record["destination"] == endpoint_text(origin.address, 443)
    through = f"http://{endpoint_text(Lab.GATEWAY_LAN[V4], PORT)}"
    said = lab.client.run("curl", "-sS", "-x", through, "--cacert", pki.root.certificate, "-o", "/dev/null", "-w", "%{http_code}",
                          "https://www.example.com/").stdout
    assert said == "200"
    wait_until(lambda: len(daemon.records()) == 2, "the record of curl")
    assert {r["destination"] for r in daemon.records()} == {endpoint_text(origin.address, 443)}


def test_nobody_answers(proxy, client, names):
    daemon = proxy(tls={"decrypt": False}, limits={"connect_timeout": "1s"})
    names.addresses["dead.example"] = [Lab.BLACKHOLE[V4], Lab.BLACKHOLE[V6]]
    asked = client().ask("dead.example:443")
    assert asked.answer().status == 504
    assert daemon.record_of(asked.port)["close"] == "origin_connect_timeout"


def test_a_client_that_leaves_while_its_name_is_looked_up(proxy, client, names):
    daemon = proxy(limits={"hello_timeout": "2s"})
    names.silent.add("slow.example")
    asked = client().ask("slow.example:443")
    wait_until(lambda: "slow.example" in names.asked, "the name server to be asked")
    asked.peer.reset()
    assert daemon.record_of(asked.port)["close"] in ("client_reset", "origin_unresolved", "client_closed_early")


def test_loops_are_noticed(proxy, client, site, names, version):
    """By the Via field: of a request in clear, and of a CONNECT."""
    daemon = proxy()
    origin = site(version, None)
    names.addresses["plain.example"] = [origin.address]
    client(version).ask("http://plain.example/", "Host: plain.example", "Via: 1.1 another-proxy", method="GET").answer()
    vias = [value for name, value in origin.requests[0].headers if name.lower() == "via"]
    assert vias[0] == "1.1 another-proxy" and vias[1].startswith("1.1 sluice-")
    added = vias[1]
    before = len(origin.visits)
    for target, method in (("http://plain.example/", "GET"), ("plain.example:80", "CONNECT"), ("plain.example:443", "CONNECT")):
        for via in (added, f"1.1 another-proxy, {added}", f"{added}, 1.0 fred"):
            asked = client(version).ask(target, "Host: plain.example", f"Via: {via}", method=method)
            assert asked.answer().status == 508, (method, via)
            asked.peer.close()
            assert daemon.record_of(asked.port)["close"] == "loop"
    assert len(origin.visits) == before
    # Another proxy's is none of ours.
    asked = client(version).tunnel("plain.example:80", "Via: 1.1 another-proxy")
    asked.peer.send(b"GET / HTTP/1.1\r\nHost: plain.example\r\n\r\n")
    assert asked.reader.response().status == 200


@pytest.mark.parametrize("request_text,status", [
    (b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 400),
    (b"CONNECT www.example.com HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 400),
    (b"CONNECT user@www.example.com:443 HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 400),
    (b"CONNECT www.example.com:0 HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 400),
    (b"CONNECT www.example.com:443 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET https://www.example.com/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n", 501),
    (b"GET ftp://www.example.com/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n", (400, 501)),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
])
def test_what_is_no_request_for_a_proxy(proxy, client, request_text, status):
    daemon = proxy()
    asked = client()
    asked.peer.send(request_text)
    answered = asked.answer()
    assert answered.status == status or answered.status in (status if isinstance(status, tuple) else ())
    assert daemon.record_of(asked.port)["close"] == "request_refused"


def test_silence_ends_with_hello_timeout(proxy, client):
    daemon = proxy(limits={"hello_timeout": "500ms"})
    asked = client()
    assert asked.peer.ending() == ("reset", b"")
    assert daemon.record_of(asked.port)["close"] == "hello_timeout"


# --- passwords ------------------------------------------------------------------------------------------------------


def basic(user, password):
    return "Proxy-Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def crypt(password, prefix, cost):
    """crypt(3) with a new salt. Python has no module for it any more."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = library.crypt_gensalt.restype = ctypes.c_char_p
    setting = library.crypt_gensalt(prefix, ctypes.c_ulong(cost), None, 0)
    return library.crypt(password, setting).decode()


@pytest.fixture
def users(lab):
    """alice:wonder with bcrypt, bob:builder with SHA-512 crypt."""
    file = lab.folder / "htpasswd"
    lines = ["alice:" + crypt(b"wonder", b"$2b$", 6), "bob:" + crypt(b"builder", b"$6$", 5000)]
    file.write_text("# who may\n" + "\n".join(lines) + "\n")
    file.chmod(0o644)
    return file


def test_passwords(proxy, client, site, pki, names, users, version):
    daemon = proxy(explicit={"users": users, "realm": "The office"})
    origin = site(version, pki.site())
    names.addresses["www.example.com"] = [origin.address]
    asked = client(version).ask("www.example.com:443")
    answered = asked.answer()
    assert answered.status == 407
    assert answered.get("proxy-authenticate") == 'Basic realm="The office", charset="UTF-8"'
    assert daemon.record_of(asked.port)["close"] == "proxy_auth_required"
    for user, password in (("alice", "builder"), ("bob", ""), ("eve", "wonder"), ("", ""), ("alice", "wonder\0")):
        assert client(version).ask("www.example.com:443", basic(user, password)).answer().status == 407
    for broken in ("Proxy-Authorization: Basic", "Proxy-Authorization: Basic !!!", "Proxy-Authorization: Bearer x",
                   "Proxy-Authorization: Basic YWxpY2U="):
        assert client(version).ask("www.example.com:443", broken).answer().status == 407
    for user, password in (("alice", "wonder"), ("bob", "builder"), ("alice", "wonder")):
        asked = client(version).tunnel("www.example.com:443", basic(user, password))
        assert Browser(asked.tls(pki.root.certificate, "www.example.com")).get("/").status == 200
        asked.peer.close()
        assert daemon.record_of(asked.port)["user"] == user
    assert "wonder" not in daemon.errors() and "wonder" not in "".join(daemon.lines())


def test_passwords_with_curl(proxy, lab, site, names, users, version):
    proxy(explicit={"users": users})
    origin = site(version, None, port=80)
    names.addresses["plain.example"] = [origin.address]
    through = f"http://{endpoint_text(Lab.GATEWAY_LAN[version], PORT)}"
    code = ("-s", "-o", "/dev/null", "-w", "%{http_code}")
    assert lab.client.run("curl", *code, "-x", through, "-U", "alice:wonder", "http://plain.example/").stdout == "200"
    assert lab.client.run("curl", *code, "-x", through, "-U", "alice:wrong", "http://plain.example/").stdout == "407"


# --- a reload while connections are kept ----------------------------------------------------------------------------


def test_a_reload_reaches_the_next_request_of_a_kept_connection(proxy, client, site, pki, names, version):
    origin, secure = site(version, None, port=80), site(version, pki.site())
    names.addresses["plain.example"], names.addresses["www.example.com"] = [origin.address], [secure.address]
    daemon = proxy()

    def get(asked):
        asked.ask("http://plain.example/", "Host: plain.example", method="GET")
        return asked.reader.response().status

    asked, other = client(version), client(version)
    assert [get(asked), get(other)] == [200, 200]
    before = daemon.config
    daemon.reload(access_rule("new", "block", {"host": ["plain.example", "www.example.com"]}) + before)
    assert [get(asked), get(asked)] == [403, 403]
    assert other.ask("www.example.com:443").answer() is None
    record = daemon.record_of(other.port)
    assert (record["close"], record["access_rule"]) == ("rule_block", "new")
    daemon.reload(before)
    assert get(asked) == 200
    asked.peer.close()
    assert [r["access_rule"] for r in daemon.requests_of(asked.port)] == ["default", "new", "new", "default"]
    assert len(origin.requests) == 3 and not secure.visits


def test_a_reload_reaches_the_users_of_kept_connections(proxy, client, site, names, users):
    origin = site(V4, None, port=80)
    names.addresses["plain.example"] = [origin.address]
    daemon = proxy(explicit={"users": users})

    def get(asked, user, password):
        asked.ask("http://plain.example/", "Host: plain.example", basic(user, password), method="GET")
        return asked.reader.response().status

    alice, bob = client(), client()
    assert [get(alice, "alice", "wonder"), get(bob, "bob", "builder")] == [200, 200]
    users.write_text("".join(line for line in users.read_text().splitlines(True) if not line.startswith("alice")))
    daemon.reload(daemon.config)
    assert [get(alice, "alice", "wonder"), get(bob, "bob", "builder")] == [407, 200]
    assert daemon.record_of(alice.port)["close"] == "proxy_auth_required"
    bob.peer.close()
    assert len(origin.requests) == 3
