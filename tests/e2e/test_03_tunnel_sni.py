"""S4, S5, S11, S15: the ClientHello is read, judged, and passed on as it came.

    client ── hello in 1-byte segments, in many records, with odd contents ── gateway: tunnel-sni ── origin
"""

import socket
import ssl

import hello
import pytest
from lab import Lab, access_rule, tls_rule
from peers import (assert_closed_unserved, assert_ends_in_order, assert_passes, tls_get, tls_refused)

HELLO_BYTES_MAX = 64 * 1024  # limits::hello_bytes_max


def hello_of_message_bytes(wanted):
    """A ClientHello whose handshake message, header included, has exactly that many bytes."""
    base = len(hello.message(padding=1)) - 1
    return hello.records(hello.message(padding=wanted - base))


HELLOS = {
    "openssl": hello.from_openssl("www.example.com", ["h2", "http/1.1"]),
    "one record": hello.client_hello("www.example.com"),
    "1-byte records": hello.client_hello("www.example.com", record_size=1),
    "records of 7": hello.client_hello("www.example.com", record_size=7),
    "post-quantum": hello.client_hello("www.example.com", key_shares={0x11EC: 1216, 0x1D: 32}, grease=True),
    "ech": hello.client_hello("www.example.com", ech=True, grease=True),
    "64 KiB": hello_of_message_bytes(HELLO_BYTES_MAX),
    "tls 1.2": hello.client_hello("www.example.com", versions=None),
    "tls 1.1": hello.client_hello("www.example.com", versions=None, legacy_version=0x0302),
    "tls 1.0": hello.client_hello("www.example.com", versions=None, legacy_version=0x0301),
}


@pytest.fixture(params=HELLOS, ids=[name.replace(" ", "-") for name in HELLOS])
def hello_bytes(request):
    return HELLOS[request.param]


def test_S5_S15_the_origin_receives_the_hello_byte_for_byte(start, version, listen, connect, hello_bytes):
    daemon = start()
    origin = listen(version)
    client = connect(version, origin.address)
    assert_ends_in_order(client, assert_passes(origin, client, hello_bytes))
    record = daemon.record_of(client)
    assert record["action"] == "tunnel-sni"
    assert record["ja4"] == hello.ja4(hello_bytes)
    assert record["bytes_up"] == len(hello_bytes)


@pytest.mark.parametrize("kind", ["one record", "1-byte records", "post-quantum"], ids=lambda k: k.replace(" ", "-"))
def test_S5_S15_also_when_it_comes_in_one_byte_segments(start, version, listen, connect, kind):
    daemon = start()
    origin = listen(version)
    client = connect(version, origin.address)
    whole = HELLOS[kind]
    for at in range(len(whole)):
        client.send(whole[at:at + 1])  # TCP_NODELAY is set: a segment each
    served = origin.accept()
    assert served.receive(len(whole)) == whole
    assert_ends_in_order(client, served)
    assert daemon.record_of(client)["sni"] == "www.example.com"


def test_S5_what_follows_the_hello_at_once_is_passed_on(start, version, listen, connect):
    """Early data: behind the hello in the same segment."""
    start()
    origin = listen(version)
    client = connect(version, origin.address)
    assert_ends_in_order(client, assert_passes(origin, client, hello.client_hello() + b"\x17\x03\x03\x40\x00" + b"e" * 16384))


def test_S5_the_client_gets_the_origins_certificate_and_the_log_says_unscanned(start, version, lab):
    daemon = start()
    for name in Lab.NAMES:
        answer = tls_get(lab, version, name, alpn=["http/1.1"])
        assert answer.certificate == ssl.PEM_cert_to_DER_cert(lab.certificates[name].read_text())
        assert (answer.version, answer.alpn) == ("TLSv1.3", "http/1.1")
        assert answer.body == f"{name} {name} {Lab.GATEWAY_WAN[version]}\n"
        record = daemon.record_of(answer.port)
        assert (record["scan"], record["reason"]) == ("skipped", "tunnel")
        assert (record["sni"], record["host"], record["alpn"], record["tls_version"]) == (name, name, "http/1.1", "1.3")


@pytest.mark.parametrize("tls", ["TLSv1_2", "TLSv1_3"])
def test_S15_real_handshakes_of_each_version(start, version, lab, tls):
    daemon = start()
    bounds = (getattr(ssl.TLSVersion, tls),) * 2
    answer = tls_get(lab, version, "www.example.com", versions=bounds)
    assert answer.version == tls.replace("_", ".")
    assert daemon.record_of(answer.port)["tls_version"] == tls[4:].replace("_", ".")


def test_S4_access_rules_are_evaluated_again_with_the_sni(start, version, lab, syns):
    daemon = start(access_rule("no blocked", "block", {"host": "blocked.example"}) +
                   access_rule("moved", "redirect", {"host": "other.example"}, to="https://intranet.example/"))
    assert tls_get(lab, version, "allowed.example").status == 200
    syns.drain()
    for name, action, close, rule in (("blocked.example", "block", "rule_block", "no blocked"),
                                      ("other.example", "redirect", "rule_redirect", "moved")):
        refused = tls_refused(lab, version, name)
        record = daemon.record_of(refused.port)
        assert (record["action"], record["close"], record["close_side"]) == (action, close, "gateway")
        assert (record["access_rule"], record["sni"]) == (rule, name)
        assert (record["bytes_up"], record["bytes_down"]) == (0, 0)
    assert [syn for syn in syns.until_now() if syn[1] == Lab.NGINX[version]] == []


def test_S4_tls_rules_are_read_top_down_and_the_first_match_wins(start, version, lab):
    daemon = start(tls_rule("first", "tunnel-sni", {"host": ".example.com"}) +
                   tls_rule("second", "terminate", {"host": "www.example.com"}) +
                   tls_rule("third", "terminate", {"host": "blocked.example"}))
    assert daemon.record_of(tls_get(lab, version, "www.example.com").port)["tls_rule"] == "first"
    assert daemon.record_of(tls_refused(lab, version, "blocked.example").port)["tls_rule"] == "third"
    assert daemon.record_of(tls_get(lab, version, "other.example").port)["tls_rule"] == "default"


def test_S4_without_sni_the_host_is_the_address(start, version, lab, syns, listen, connect):
    blocked = listen(version)
    daemon = start(tls_rule("that address", "terminate", {"host": blocked.address}))
    assert_closed_unserved(connect(version, blocked.address), syns, blocked, hello.client_hello(None))
    answer = tls_get(lab, version, None)
    record = daemon.record_of(answer.port)
    assert record["host"] == Lab.NGINX[version]
    assert "sni" not in record


def test_S4_require_sni_closes_a_hello_without_one(start, version, listen, connect, syns):
    daemon = start(tls={"require_sni": True})
    origin = listen(version)
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin, hello.client_hello(None))
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("sni_missing", "client")
    named = connect(version, origin.address)
    assert_passes(origin, named, hello.client_hello("www.example.com"))


@pytest.mark.parametrize("name", ["localhost", "other.example"])
def test_S11_the_sni_never_chooses_the_destination(start, version, lab, listen, connect, syns, name):
    """`localhost` resolves everywhere, to the gateway itself; a listener there would be the one to hear of it."""
    daemon = start()
    trap = lab.gateway.socket(socket.AF_INET6)
    trap.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    trap.bind(("::", 443))
    trap.listen()
    trap.setblocking(False)
    try:
        origin = listen(version)
        client = connect(version, origin.address)
        assert_ends_in_order(client, assert_passes(origin, client, hello.client_hello(name)))
        assert daemon.record_of(client)["sni"] == name
        with pytest.raises(BlockingIOError):
            trap.accept()
        assert [s[1] for s in syns.until_now()] == [origin.address]
    finally:
        trap.close()


# What is sent, the close reason, the detail (src/hello/malformed.def).
REFUSED = {
    "one byte past 64 KiB": (hello_of_message_bytes(HELLO_BYTES_MAX + 1), "hello_too_large", "too_large"),
    "endless 1-byte records": (hello.records(hello.message(padding=40000), 1), "hello_too_large", "too_large_on_wire"),
    "a ServerHello": (hello.records(b"\x02" + hello.message()[1:]), "hello_malformed", "not_client_hello"),
    "lengths that lie": (hello.records(hello.message()[:38] + b"\xff" + hello.message()[39:]), "hello_malformed",
                         "truncated_session_id"),
    "SSLv2": (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80" + bytes(34), "hello_malformed", "sslv2"),
    "SSLv2 for TLS": (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80" + bytes(34), "hello_malformed", "sslv2"),
    "an alert first": (b"\x15\x03\x01\x00\x02\x02\x28" + bytes(60), "hello_malformed", "not_client_hello"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n", "non_tls", "not_tls"),
}
BEGAN_LIKE_TLS = [kind for kind in REFUSED if kind != "HTTP"]


@pytest.mark.parametrize("kind, non_tls", [*((kind, "terminate") for kind in REFUSED), *((kind, "tunnel") for kind in BEGAN_LIKE_TLS)],
                         ids=lambda value: value.replace(" ", "-"))
def test_S15_what_is_no_clienthello_is_closed_with_a_reason(start, version, listen, connect, syns, kind, non_tls):
    """tls.non_tls = "tunnel" lets other protocols pass, and nothing that began like TLS."""
    sent, close, detail = REFUSED[kind]
    daemon = start(tls={"non_tls": non_tls})
    origin = listen(version)
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin, sent)
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"], record["detail"]) == (close, "client", detail)
    assert (record["bytes_up"], record["bytes_down"]) == (0, 0)
