"""S2, S20, S21, S23: patterns, lists, order, and what a block on CONNECT means.

    client 10.1.0.2, .3 ── lan0 ─ gateway: TLS rules, access rules ── origin
           fd00:1::2, ::3
"""

import hello
import pytest
from lab import Lab, access_rule, tls_rule
from peers import assert_closed_unserved, assert_ends_in_order, assert_passes

SECOND = Lab.CLIENT_SECOND

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
    refused = connect(version, origin.address, source=SECOND[version], may_be_reset=True)
    assert_closed_unserved(refused, syns, origin)
    record = daemon.record_of(refused)
    assert (record["action"], record["access_rule"], record["close"]) == (action, "not you", f"rule_{action}")
    assert not {"sni", "ja4", "tls_rule"} & set(record), "nothing was read"
    assert_passes(origin, connect(version, origin.address), hello.client_hello())


@pytest.mark.parametrize("action,more", [("block", {}), ("redirect", {"to": "https://intranet.example/"})])
def test_S23_at_the_hello_event_too_and_never_a_page(start, version, listen, connect, syns, action, more):
    daemon = start(access_rule("that name", action, {"host": "gone.example"}, **more))
    origin = listen(version)
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin, hello.client_hello("gone.example"))
    record = daemon.record_of(client)
    assert (record["action"], record["access_rule"], record["sni"]) == (action, "that name", "gone.example")


def test_S23_access_default_block_lets_only_the_listed_through(start, version, listen, connect, syns):
    daemon = start(access_rule("good", "allow", {"host": "good.example"}), access={"default": "block"})
    origin = listen(version)
    good = connect(version, origin.address)
    served = assert_passes(origin, good, hello.client_hello("good.example"))
    syns.drain()
    bad = connect(version, origin.address)
    assert_closed_unserved(bad, syns, origin, hello.client_hello("bad.example"))
    assert_ends_in_order(good, served)
    assert daemon.record_of(good)["access_rule"] == "good"
    record = daemon.record_of(bad)
    assert (record["access_rule"], record["close"]) == ("default", "rule_block")


def test_S21_reading_continues_below_a_rule_that_was_excepted(start, version, listen, connect, syns):
    daemon = start(tls_rule("first", "terminate", {"host": ".case.example"}, [{"host": "spared.case.example"}]) +
                   tls_rule("second", "tunnel", {"host": "spared.case.example"}))
    origin = listen(version)
    assert_closed_unserved(connect(version, origin.address), syns, origin, hello.client_hello("x.case.example"))
    spared = connect(version, origin.address)
    assert_ends_in_order(spared, assert_passes(origin, spared, hello.client_hello("spared.case.example")))
    assert daemon.record_of(spared)["tls_rule"] == "second"
