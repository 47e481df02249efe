"""S2, S19, S20, S21, S23: every condition, through real traffic.

    client 10.1.0.2, .3 ── lan0 ┐
           fd00:1::2, ::3       ├─ gateway: one rule per case, told apart by the SNI ── origin
    guest  10.2.0.2, fd00:2::2 ─┘ lan1
"""

import datetime

import hello
import pytest
from lab import V4, V6, Lab, access_rule, tls_rule
from peers import assert_closed_unserved, assert_passes

ADDRESS = Lab.CLIENT
SECOND = Lab.CLIENT_SECOND
EVERY_DAY = "Mon-Sun 00:00-24:00"
YESTERDAY, TOMORROW = (str(datetime.date.today() + datetime.timedelta(days=d)) for d in (-1, 1))
# A weekday that is neither today nor a neighbour of it, whatever the clock does during the run.
ANOTHER_DAY = (datetime.date.today() + datetime.timedelta(days=3)).strftime("%a")
OTHER_HELLO = dict(alpn=("imap",), ciphers=(0x1301, 0xC02B))
JA4_OF_OTHER = hello.ja4(hello.client_hello("x.example", **OTHER_HELLO))


class Case:
    """A condition, and connections for which it holds and for which it does not. A connection is a dict: source, space,
    port, and `hello` with arguments of hello.message()."""

    def __init__(self, name, when, holds=(), fails=(), except_=None):
        self.name, self.when, self.holds, self.fails, self.except_ = name, when, holds, fails, except_
        self.host = name.replace(" ", "-").replace("_", "-") + ".case.example"


def cases(v):
    net = Lab.CLIENT_NET[v]
    here, second, guest = dict(source=ADDRESS[v]), dict(source=SECOND[v]), dict(space="guest")
    return [
        Case("client address", {"client": ADDRESS[v]}, [here], [second, guest]),
        Case("client net", {"client": net}, [here, second], [guest]),
        Case("client list", {"client": [SECOND[v], Lab.GUEST[v]]}, [second, guest], [here]),
        Case("client of the other family", {"client": Lab.CLIENT_NET[V6 if v == V4 else V4]}, [], [here, guest]),
        Case("interface", {"client": "lan1"}, [guest], [here]),
        Case("interface list", {"client": ["lan1", SECOND[v]]}, [guest, second], [here]),
        Case("destination net", {"destination": "10.10.0.0/16" if v == V4 else "fd00:10::/64"}, [here], []),
        Case("destination elsewhere", {"destination": "10.11.0.0/16" if v == V4 else "fd00:11::/64"}, [], [here]),
        Case("port", {"port": 8443}, [dict(port=8443)], [dict(port=443)]),
        Case("port list", {"port": [443, 9999]}, [dict(port=443)], [dict(port=8443)]),
        Case("alpn", {"alpn": "imap"}, [dict(hello=dict(alpn=("h2", "imap")))], [dict(hello=dict(alpn=("h2",))),
                                                                                  dict(hello=dict(alpn=()))]),
        Case("version 1_2", {"tls_version": "1.2"}, [dict(hello=dict(versions=None))],
             [dict(hello=dict(versions=(0x0304,)))]),
        Case("version 1_0", {"tls_version": ["1.0", "1.1"]}, [dict(hello=dict(versions=None, legacy_version=0x0301))],
             [here]),
        Case("version 1_3", {"tls_version": "1.3"}, [here], [dict(hello=dict(versions=None))]),
        Case("ech", {"ech": True}, [dict(hello=dict(ech=True))], [dict(hello=dict(ech=False))]),
        Case("no ech", {"ech": False}, [dict(hello=dict(ech=False))], [dict(hello=dict(ech=True))]),
        Case("ja4", {"ja4": JA4_OF_OTHER}, [dict(hello=OTHER_HELLO)], [here]),
        Case("sni present", {"sni": "present"}, [here], []),
        Case("schedule always", {"schedule": EVERY_DAY}, [here], []),
        Case("schedule never", {"schedule": f"{ANOTHER_DAY} 00:00-24:00"}, [], [here]),
        Case("all must hold", {"client": ADDRESS[v], "port": 443, "alpn": "h2"}, [here],
             [second, dict(port=8443), dict(hello=dict(alpn=("imap",)))]),
        Case("except a client", {}, [second], [here], except_=[{"client": ADDRESS[v]}]),
        Case("except two sets", {}, [dict(source=ADDRESS[v], port=443)],
             [dict(source=ADDRESS[v], port=8443), second], except_=[{"client": SECOND[v]}, {"port": 8443}]),
        Case("except needs all of one set", {}, [dict(source=ADDRESS[v], port=443), dict(source=SECOND[v], port=8443)],
             [dict(source=ADDRESS[v], port=8443)], except_=[{"client": ADDRESS[v], "port": 8443}]),
        Case("except by alpn", {"client": net}, [here], [dict(hello=dict(alpn=("imap",)))], except_=[{"alpn": "imap"}]),
    ]


def rules_of(all_cases):
    return "".join(tls_rule(c.name, "terminate", {"host": c.host, **c.when}, c.except_) for c in all_cases)


ALL = [(v, case.name) for v in (V4, V6) for case in cases(v)]


@pytest.fixture(scope="module")
def many_rules(lab):
    """One daemon for all cases: each has a host of its own, so they do not get in each other's way."""
    from lab import Daemon
    config = lab.config(rules_of(cases(V4)).replace('name = "', 'name = "v4 ').replace(".case.", ".case4.") +
                        rules_of(cases(V6)).replace('name = "', 'name = "v6 ').replace(".case.", ".case6."))
    lab.kernel_up(config)
    daemon = Daemon(lab, config)
    yield daemon
    daemon.stop()


@pytest.mark.parametrize("v,name", ALL, ids=[f"{name.replace(' ', '-')}-ipv{v}" for v, name in ALL])
def test_S19_S21_conditions(lab, many_rules, listen, connect, syns, v, name):
    lab.kernel_up(many_rules.config)
    case = next(c for c in cases(v) if c.name == name)
    host = case.host.replace(".case.", f".case{v}.")
    for wanted, connections in (("terminate", case.holds), ("tunnel-sni", case.fails)):
        for how in connections:
            port = how.get("port", 443)
            origin = listen(v, port)
            space = lab.guest if how.get("space") == "guest" else None
            client = connect(v, origin.address, port, source=how.get("source"), space=space)
            first = hello.client_hello(host, **how.get("hello", {}))
            if wanted == "terminate":
                assert_closed_unserved(client, syns, origin, first)
            else:
                assert_passes(origin, client, first).close()
            client.close()
            record = many_rules.record_of(client)
            assert (record["action"], record["tls_rule"]) == \
                (wanted, f"v{v} {name}" if wanted == "terminate" else "default"), how
            assert record["interface"] == ("lan1" if space else "lan0")


# --- S20: host patterns ---------------------------------------------------------------------------------------------

PATTERNS = {
    "example.com": (["example.com", "EXAMPLE.com", "example.com."], ["www.example.com", "xexample.com", "example.co"]),
    "*.example.com": (["www.example.com", "a.b.example.com"], ["example.com", "xexample.com", "www.example.com.net"]),
    ".example.com": (["example.com", "www.example.com", "a.b.example.com"], ["xexample.com", "example.com.net"]),
    "BÜCHER.example": (["xn--bcher-kva.example"], ["bucher.example", "www.xn--bcher-kva.example"]),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_S20_host_patterns(start, version, listen, connect, syns, pattern):
    holds, fails = PATTERNS[pattern]
    daemon = start(tls_rule("pattern", "terminate", {"host": pattern}))
    origin = listen(version)
    for name in fails:
        client = connect(version, origin.address)
        assert_passes(origin, client, hello.client_hello(name)).close()
        client.close()
        assert daemon.record_of(client)["tls_rule"] == "default", name
    syns.drain()
    for name in holds:
        assert_closed_unserved(connect(version, origin.address), syns, origin, hello.client_hello(name))


def test_S20_an_address_as_host_matches_the_destination(start, version, listen, connect, syns):
    origin, other = listen(version), listen(version)
    start(tls_rule("address", "terminate", {"host": origin.address}))
    assert_passes(other, connect(version, other.address), hello.client_hello(None))
    assert_closed_unserved(connect(version, origin.address), syns, origin, hello.client_hello(None))


def test_S19_sni_absent(start, version, listen, connect, syns):
    daemon = start(tls_rule("no name", "terminate", {"sni": "absent"}))
    origin = listen(version)
    assert_passes(origin, connect(version, origin.address), hello.client_hello("named.example"))
    syns.drain()
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin, hello.client_hello(None))
    record = daemon.record_of(client)
    assert record["tls_rule"] == "no name"
    assert record["close"] == "rule_terminate"


@pytest.mark.parametrize("form,text", [
    ("plain", "# comment\nlisted.example\n.all.example\n"),
    ("hosts", "127.0.0.1 localhost\n0.0.0.0 listed.example\n0.0.0.0 www.all.example\n"),
    ("adblock", "[Adblock Plus 2.0]\n! comment\n||listed.example^\n||all.example^\n"),
])
def test_S19_lists_come_from_files(start, version, lab, listen, connect, syns, form, text):
    (lab.folder / f"{form}.txt").write_text(text)
    start(tls_rule("listed", "terminate", {"host": f"@{lab.folder}/{form}.txt"}))
    origin = listen(version)
    assert_passes(origin, connect(version, origin.address), hello.client_hello("not.listed.example"
                                                                               if form != "adblock" else "free.example"))
    syns.drain()
    for name in ("listed.example", "www.all.example"):
        assert_closed_unserved(connect(version, origin.address), syns, origin, hello.client_hello(name))


# --- S23: block and redirect on CONNECT -----------------------------------------------------------------------------


@pytest.mark.parametrize("action,more", [("block", {}), ("redirect", {"to": "https://intranet.example/"})])
def test_S23_at_the_connect_event_the_connection_ends_before_a_byte(start, version, lab, listen, connect, syns, action,
                                                                    more):
    daemon = start(access_rule("not you", action, {"client": SECOND[version]}, **more))
    origin = listen(version)
    refused = connect(version, origin.address, source=SECOND[version])
    assert_closed_unserved(refused, syns, origin, how=None)
    record = daemon.record_of(refused)
    assert (record["action"], record["access_rule"], record["close"]) == (action, "not you", f"rule_{action}")
    assert not {"sni", "ja4", "tls_rule"} & set(record), "nothing was read"
    assert_passes(origin, connect(version, origin.address), hello.client_hello())


@pytest.mark.parametrize("action,more", [("block", {}), ("redirect", {"to": "https://intranet.example/"})])
def test_S23_at_the_hello_event_too_and_never_a_page(start, version, listen, connect, syns, action, more):
    daemon = start(access_rule("that name", action, {"host": "gone.example"}, **more))
    origin = listen(version)
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin, hello.client_hello("gone.example"), how=None)
    record = daemon.record_of(client)
    assert (record["action"], record["access_rule"], record["sni"]) == (action, "that name", "gone.example")


def test_S23_access_default_block_lets_only_the_listed_through(start, version, listen, connect, syns):
    daemon = start(access_rule("good", "allow", {"host": "good.example"}), access={"default": "block"})
    origin = listen(version)
    good = connect(version, origin.address)
    assert_passes(origin, good, hello.client_hello("good.example"))
    syns.drain()
    bad = connect(version, origin.address)
    assert_closed_unserved(bad, syns, origin, hello.client_hello("bad.example"), how=None)
    good.close()
    assert daemon.record_of(good)["access_rule"] == "good"
    record = daemon.record_of(bad)
    assert (record["access_rule"], record["close"]) == ("default", "rule_block")


def test_S21_reading_continues_below_a_rule_that_was_excepted(start, version, listen, connect, syns):
    daemon = start(tls_rule("first", "terminate", {"host": ".case.example"}, [{"host": "spared.case.example"}]) +
                   tls_rule("second", "tunnel", {"host": "spared.case.example"}))
    origin = listen(version)
    assert_closed_unserved(connect(version, origin.address), syns, origin, hello.client_hello("x.case.example"))
    spared = connect(version, origin.address)
    assert_passes(origin, spared, hello.client_hello("spared.case.example"))
    spared.close()
    assert daemon.record_of(spared)["tls_rule"] == "second"
