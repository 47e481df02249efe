"""Issue 4: spellings of a host and of a URL that may not slip past a rule. Whatever has one meaning is normalised and blocked; what
servers could read in two ways is refused. The origin hears of none.

    client ── GET /, or CONNECT, spelt otherwise ── gateway: 403, a bare close, or 400          origin: nothing
"""

import pytest
from bump_peers import Browser, Plain
from lab import V4, V6, Lab, access_rule
from test_17_explicit import PORT as PROXY_PORT
from test_17_explicit import client, names, proxy  # noqa: F401 (fixtures)

RULES = (access_rule("the host", "block", {"host": ".shop.example"}) +
         access_rule("the name of many letters", "block", {"host": "bücher.example"}) +
         access_rule("the address", "block", {"host": "192.0.2.7"}) +
         access_rule("the other address", "block", {"host": "2001:db8::7"}))

# target, Host, what the client gets
HOSTS = [
    ("/", "shop.example", 403),
    ("/", "SHOP.Example", 403),
    ("/", "shop.example.", 403),
    ("/", "shop.example:80", 403),
    ("/", "shop.example:8080", 403),
    ("/", "shop.example.:080", 403),
    ("/", "a.b.shop.example", 403),
    ("/", "xn--bcher-kva.example", 403),
    ("/", "XN--BCHER-KVA.example", 403),
    ("http://shop.example/", "www.example.com", 403),
    ("HTTP://SHOP.example:80/", "www.example.com", 403),
    ("http://shop.example?x", "www.example.com", 403),
    ("/", "192.0.2.7", 403),
    ("/", "192.0.519", 403),
    ("/", "0xc0.0x0.0x2.0x7", 403),
    ("/", "3221225991", 403),
    ("/", "192.0.2.7.", 403),
    ("/", "[2001:DB8:0:0:0:0:0:7]", 403),
    ("/", "[2001:db8::0:7]:80", 403),
    # Two meanings, or none.
    ("/", "0300.0.02.07", 400),
    ("/", "shop.example..", 400),
    ("/", "%73hop.example", 400),
    ("/", "shop%2eexample", 400),
    ("/", "bücher.example".encode().decode("latin-1"), 400),
    ("/", "user@shop.example", 400),
    ("/", "www.example.com:80@shop.example", 400),
    ("/", "www.example.com, shop.example", 400),
    ("/", "www.example.com shop.example", 400),
    ("/", "www.example.com\r\nHost: shop.example", 400),
    ("/", "", 400),
    ("/", "shop.example:99999", 400),
    ("/", "192.0.2.7.1", 400),
    ("/", "[::ffff:192.0.2.7", 400),
    ("http://www.example.com@shop.example/", "www.example.com", 400),
    ("http://shop.example\\@www.example.com/", "www.example.com", 400),
    ("http:/shop.example/", "www.example.com", 400),
    ("shop.example/", "www.example.com", 400),
    ("http://%73hop.example/", "www.example.com", 400),
]


NAMES = ["www.example.com", "shop.example", "a.b.shop.example", "xn--bcher-kva.example", "notshop.example", "shop.example.org"]
SANS = ",".join([f"DNS:{name}" for name in NAMES] + ["IP:192.0.2.7", "IP:192.0.2.70", "IP:2001:db8::7"])
ROADS = ["plain", "bumped", "explicit"]


class Road:
    """A way of a request to the gateway: redirected in clear, inside a connection that is bumped, or in absolute form to the configured proxy."""

    def __init__(self, kind, version, rules, *, bump, proxy, names, site, visit, connect, pki):  # noqa: F811
        self.kind, self.version, self._visit, self._connect = kind, version, visit, connect
        self.scheme = "https" if kind == "bumped" else "http"
        self.daemon = (proxy if kind == "explicit" else bump)(rules)
        self.origin = site(version, pki.issue("tricks", sans=SANS) if kind == "bumped" else None)
        self.names = names
        for name in NAMES:
            names.addresses[name] = [self.origin.address]

    def open(self):
        if self.kind == "explicit":
            return Browser(Plain(self._connect(self.version, Lab.GATEWAY_LAN[self.version], PROXY_PORT)))
        if self.kind == "bumped":  # for a name that no rule is about
            return Browser(self._visit(self.origin))
        return Browser(Plain(self._connect(self.version, self.origin.address, 80)))

    def __call__(self, target, host):
        """The status of one request on a connection of its own. Where there is no Host to be tricky with, the target is."""
        client = self.open()
        if self.kind == "explicit" and target.startswith("/"):
            target, host = f"http://{host}{target}", "www.example.com"
        client.stream.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n".encode("latin-1"))
        page = client.reader.response()
        client.stream.close()
        self.port = client.port
        return page.status

    def check_that_nobody_heard(self):
        assert self.origin.requests == []
        assert self.kind == "bumped" or not self.origin.visits  # not even a connection
        assert self.names.asked == []


@pytest.fixture
def road(bump, proxy, names, site, visit, connect, pki):  # noqa: F811
    """road(kind, rules, version): a gateway with these rules, and an origin."""
    def make(kind, rules, version=V4):
        return Road(kind, version, rules, bump=bump, proxy=proxy, names=names, site=site, visit=visit, connect=connect, pki=pki)
    return make


@pytest.mark.parametrize("kind", ROADS)
@pytest.mark.parametrize("version", [V4, V6], ids=["ipv4", "ipv6"])
def test_S20_S22_no_spelling_of_a_host_slips_past(road, kind, version):
    ask = road(kind, RULES, version)
    hosts = [each for each in HOSTS if kind != "explicit" or "\r" not in each[1]]
    seen = [(target, host, ask(target, host)) for target, host, _ in hosts]
    assert seen == hosts
    ask.check_that_nobody_heard()
    for host in ("notshop.example", "shop.example.org"):  # and what only looks like it is not blocked
        assert ask("/", host) == 200
    if kind != "explicit":
        assert ask("/", "192.0.2.70") == 200


@pytest.mark.parametrize("kind", ROADS)
def test_S22_a_target_with_a_host_is_what_is_judged_and_what_the_origin_is_told(road, kind):
    """RFC 9112 section 3.2.2: Host does not count beside the absolute form, so nobody may hear of the one that was sent."""
    ask = road(kind, RULES)
    assert ask(f"{ask.scheme}://www.example.com/x", "shop.example") == 200
    (request,) = ask.origin.requests
    assert (request.target, request.get("host")) == ("/x", "www.example.com")
    (logged,) = ask.daemon.requests_of(ask.port)
    assert logged["url"] == f"{ask.scheme}://www.example.com/x"


CONNECTS = [  # the target of a CONNECT, and what the client gets: None is a bare close
    ("shop.example:443", None),
    ("SHOP.Example.:443", None),
    ("shop.example.:443", None),
    ("shop.example:0443", None),
    ("shop.example:80", None),
    ("shop.example:8080", None),
    ("a.b.Shop.Example:443", None),
    ("xn--bcher-kva.example:443", None),
    ("XN--BCHER-KVA.Example.:443", None),
    ("192.0.2.7:443", None),
    ("192.0.2.7.:443", None),
    ("192.0.519:443", None),
    ("3221225991:443", None),
    ("0xc0.0.2.7:443", None),
    ("0xC0000207:443", None),
    ("[2001:DB8:0:0:0:0:0:7]:443", None),
    ("[2001:db8::0:7]:443", None),
    ("[2001:db8::0.0.0.7]:443", None),
    # Two meanings, or none.
    ("0300.0.02.07:443", 400),
    ("%73hop.example:443", 400),
    ("shop%2Eexample:443", 400),
    ("shop.example%00.org:443", 400),
    ("bücher.example:443".encode().decode("latin-1"), 400),
    ("shop.example..:443", 400),
    (".shop.example:443", 400),
    ("user@shop.example:443", 400),
    ("www.example.com:443@shop.example:443", 400),
    ("http://shop.example:443", 400),
    ("//shop.example:443", 400),
    ("shop.example:443/", 400),
    ("shop.example:443?x", 400),
    ("shop.example:443#x", 400),
    ("shop.example:443:443", 400),
    ("shop.example:99999", 400),
    ("shop.example:+443", 400),
    ("shop.example:", 400),
    ("shop.example", 400),
    (":443", 400),
    ("[2001:db8::7:443", 400),
    ("[2001:db8::7%eth0]:443", 400),
    ("2001:db8::7:443", 400),
    ("192.0.2.7.1:443", 400),
]


@pytest.mark.parametrize("version", [V4, V6], ids=["ipv4", "ipv6"])
def test_S20_S23_no_spelling_of_a_CONNECT_slips_past(proxy, names, client, syns, version):  # noqa: F811
    daemon = proxy(RULES)
    seen = []
    for target, _ in CONNECTS:
        asked = client(version)
        asked.peer.send(f"CONNECT {target} HTTP/1.1\r\nHost: www.example.com\r\n\r\n".encode("latin-1"))
        answered = asked.answer()
        asked.peer.close()
        seen.append((target, answered and answered.status))
        record = daemon.record_of(asked.port)
        assert record["close"] == ("request_refused" if answered else "rule_block"), target
    assert seen == CONNECTS
    assert names.asked == [] and syns.until_now() == []


PATHS = ["/secret/x", "/secret/", "//secret/x", "/secret//x", "/./secret/x", "/a/../secret/x", "/a/b/../../secret/x", "/%73ecret/x",
         "/%2573ecret/x", "/a/%2e%2e/secret/x", "/a/%2E./secret/x", "/a%2f..%2fsecret/x", "/secret%2fx", "/\\secret\\x", "/a\\..\\secret/x",
         "/%5Csecret%5Cx", "/secret/%00", "/secret/x?y=z", "/secret/x?/../..", "/%73%65%63%72%65%74/%78"]


@pytest.mark.parametrize("kind", ROADS)
@pytest.mark.parametrize("version", [V4, V6], ids=["ipv4", "ipv6"])
def test_S29_no_spelling_of_a_path_slips_past(road, kind, version):
    ask = road(kind, access_rule("the path", "block", {"url": "www.example.com/secret/*"}), version)
    assert [(path, ask(path, "www.example.com")) for path in PATHS] == [(path, 403) for path in PATHS]
    assert ask("/secret/x", "WWW.example.com.:80") == 403
    assert ask("http://www.example.com/%73ecret/x", "shop.example") == 403
    ask.check_that_nobody_heard()
    for path in ("/secrets/x", "/a/secret/x", "/Secret/x"):
        assert ask(path, "www.example.com") == 200, path


@pytest.mark.parametrize("kind", ["plain", "bumped"])
def test_S29_the_connection_says_what_scheme_and_port_it_is(road, kind):
    """A Host with another port, or a target of another scheme, is the same resource for the origin."""
    scheme, other = ("http", "https") if kind == "plain" else ("https", "http")
    ask = road(kind, access_rule("the URL", "block", {"url": f"{scheme}://www.example.com/secret"}))
    for target, host in (("/secret", "www.example.com"), ("/secret", "www.example.com:8080"), (f"{other}://www.example.com/secret", "shop.example"),
                         (f"{scheme}://www.example.com:81/secret", "shop.example")):
        assert ask(target, host) == 403, (target, host)
    ask.check_that_nobody_heard()
