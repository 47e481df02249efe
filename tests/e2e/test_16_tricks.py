"""Issue 4: spellings of a host and of a URL that may not slip past a rule. Whatever has one meaning is normalised and blocked; what
servers could read in two ways is refused. The origin hears of none.

    client ── GET /, spelt otherwise ── gateway: 403, or 400          origin: nothing
"""

import pytest
from bump_peers import Browser, Plain
from lab import V4, V6, access_rule

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


@pytest.fixture
def ask(bump, site, connect):
    """ask(rules, …): a function that sends one request on a connection of its own, and the origin that should not hear it."""
    def make(rules, version=V4):
        bump(rules)
        origin = site(version, None)

        def once(target, host):
            client = Browser(Plain(connect(version, origin.address, 80)), host)
            client.stream.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n".encode("latin-1"))
            page = client.reader.response()
            client.stream.close()
            return page.status
        return once, origin
    return make


@pytest.mark.parametrize("version", [V4, V6], ids=["ipv4", "ipv6"])
def test_S20_S22_no_spelling_of_a_host_slips_past(ask, version):
    once, origin = ask(RULES, version)
    seen = [(target, host, once(target, host)) for target, host, _ in HOSTS]
    assert seen == HOSTS
    assert origin.requests == []
    assert once("/", "notshop.example") == 200  # and what only looks like it is not blocked
    assert once("/", "shop.example.org") == 200
    assert once("/", "192.0.2.70") == 200


PATHS = ["/secret/x", "/secret/", "//secret/x", "/secret//x", "/./secret/x", "/a/../secret/x", "/a/b/../../secret/x", "/%73ecret/x",
         "/%2573ecret/x", "/a/%2e%2e/secret/x", "/a/%2E./secret/x", "/a%2f..%2fsecret/x", "/secret%2fx", "\\secret\\x", "/a\\..\\secret/x",
         "/secret/%00", "/secret/x?y=z", "/secret/x?/../..", "/%73%65%63%72%65%74/%78"]


def test_S29_no_spelling_of_a_path_slips_past(ask):
    once, origin = ask(access_rule("the path", "block", {"url": "www.example.com/secret/*"}))
    seen = {path: once("/" + path[1:] if path[0] == "\\" else path, "www.example.com") for path in PATHS if path[0] != "\\"}
    assert {status for status in seen.values()} <= {403, 400}, seen
    assert [path for path, status in seen.items() if status == 400] == []
    assert once("/secret/x", "WWW.example.com.:80") == 403
    assert once("http://www.example.com/%73ecret/x", "other.example") == 403
    assert origin.requests == []
    for path in ("/secrets/x", "/a/secret/x", "/Secret/x"):
        assert once(path, "www.example.com") == 200, path


def test_S29_the_connection_says_what_scheme_and_port_it_is(ask):
    """A Host with another port, or a target of another scheme, is the same resource for the origin."""
    once, origin = ask(access_rule("the URL", "block", {"url": "http://www.example.com/secret"}))
    for target, host in (("/secret", "www.example.com"), ("/secret", "www.example.com:8080"), ("https://www.example.com/secret", "x.example"),
                         ("http://www.example.com:81/secret", "x.example")):
        assert once(target, host) == 403, (target, host)
    assert origin.requests == []
