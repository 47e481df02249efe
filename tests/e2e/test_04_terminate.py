"""S7, S8: connections that end at the gateway, and bytes that are not TLS.

    client ── ClientHello / plain bytes / silence ── gateway ──X── origin (hears nothing)
"""

import struct

import hello
import pytest
from lab import tls_rule
from peers import assert_closed_unserved, assert_ends_in_order, assert_passes, tls_refused

TERMINATE_BLOCKED = tls_rule("no blocked", "terminate", {"host": ".blocked.example"})
NON_TLS = b"SSH-2.0-OpenSSH_9.2\r\n"


def test_S7_terminate_resets_after_the_hello_and_logs_the_sni(start, version, listen, connect, syns):
    daemon = start(TERMINATE_BLOCKED)
    origin = listen(version)
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin, hello.client_hello("www.blocked.example"))
    record = daemon.record_of(client)
    assert (record["action"], record["tls_rule"]) == ("terminate", "no blocked")
    assert (record["sni"], record["host"]) == ("www.blocked.example", "www.blocked.example")
    assert (record["close"], record["close_side"]) == ("rule_terminate", "gateway")
    assert (record["bytes_up"], record["bytes_down"]) == (0, 0)
    assert "scan" not in record, "nothing passed, so nothing was skipped"
    assert record["ja4"] == hello.ja4(hello.client_hello("www.blocked.example"))


def test_S7_terminate_with_alert_is_a_fatal_access_denied(start, version, listen, connect, syns):
    daemon = start(TERMINATE_BLOCKED, tls={"terminate_with": "alert"})
    origin = listen(version)
    client = connect(version, origin.address)
    client.send(hello.client_hello("www.blocked.example"))
    how, answer = client.ending()
    kind, major, _minor, size = struct.unpack("!BBBH", answer[:5])
    assert (kind, major, size, len(answer)) == (21, 3, 2, 7), f"one alert record and nothing else: {answer.hex()}"
    assert tuple(answer[5:]) == (2, 49), "fatal, access_denied (RFC 8446 section 6)"
    assert how == "end", "the alert must not be lost to a reset"
    assert [syn for syn in syns.until_now() if syn[1] == origin.address] == []
    assert daemon.record_of(client)["close"] == "rule_terminate"


def test_S7_a_real_tls_stack_understands_the_alert(start, version, lab):
    start(TERMINATE_BLOCKED, tls={"terminate_with": "alert"})
    refused = tls_refused(lab, version, "blocked.example")
    assert "ACCESS_DENIED" in str(refused.how).upper().replace(" ", "_")


def test_S7_a_real_tls_stack_sees_the_reset(start, version, lab):
    start(TERMINATE_BLOCKED)
    assert isinstance(tls_refused(lab, version, "blocked.example").how, ConnectionResetError)


def test_S7_terminate_as_the_default(start, version, listen, connect, syns):
    daemon = start(tls_rule("good", "tunnel-sni", {"host": "good.example"}), tls={"default_action": "terminate"})
    origin = listen(version)
    good = connect(version, origin.address)
    assert_ends_in_order(good, assert_passes(origin, good, hello.client_hello("good.example")))
    syns.drain()
    for name in ("bad.example", None):
        bad = connect(version, origin.address)
        assert_closed_unserved(bad, syns, origin, hello.client_hello(name))
        assert daemon.record_of(bad)["tls_rule"] == "default"


# --- S8: which bytes, which setting, what happens -------------------------------------------------------------------


@pytest.mark.parametrize("action", ["tunnel-sni", "terminate"])
def test_S8_non_tls_is_closed_where_the_setting_says_terminate(start, version, listen, connect, syns, action):
    daemon = start(tls={"non_tls": "terminate", "default_action": action})
    origin = listen(version)
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin, NON_TLS)
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == (("rule_terminate", "gateway") if action == "terminate" else
                                                       ("non_tls", "client"))
    assert (record["bytes_up"], record["bytes_down"]) == (0, 0)


@pytest.mark.parametrize("action", ["tunnel-sni", "terminate"])
def test_S8_non_tls_passes_where_the_setting_says_tunnel(start, version, listen, connect, action):
    """Whatever the rules would do with TLS: the setting is about what is not TLS."""
    daemon = start(tls={"non_tls": "tunnel", "default_action": action})
    origin = listen(version)
    client = connect(version, origin.address)
    assert_ends_in_order(client, assert_passes(origin, client, NON_TLS))
    record = daemon.record_of(client)
    assert (record["action"], record["scan"], record["reason"]) == ("tunnel", "skipped", "tunnel")
    assert record["close"] == "finished"
    assert record["bytes_up"] == len(NON_TLS)


def test_S8_non_tls_passes_under_tunnel_whatever_the_setting(start, version, listen, connect):
    start(tls_rule("all", "tunnel"), tls={"non_tls": "terminate"})
    origin = listen(version)
    client = connect(version, origin.address)
    assert_ends_in_order(client, assert_passes(origin, client, NON_TLS))


def test_S8_silence_is_closed_where_the_setting_says_terminate(start, version, listen, connect, syns):
    daemon = start(tls={"non_tls": "terminate"}, limits={"hello_timeout": "300ms"})
    origin = listen(version)
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin)
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("hello_timeout", "client")


def test_S8_after_silence_the_connection_passes_where_the_setting_says_tunnel(start, version, listen, connect):
    daemon = start(tls={"non_tls": "tunnel"}, limits={"hello_timeout": "300ms"})
    origin = listen(version)
    client = connect(version, origin.address)
    served = origin.accept()
    served.send(b"220 mail.example\r\n")
    assert client.receive(18) == b"220 mail.example\r\n"
    client.send(b"QUIT\r\n")
    assert served.receive(6) == b"QUIT\r\n"
    assert_ends_in_order(client, served)
    assert daemon.record_of(client)["action"] == "tunnel"


def test_S8_silence_under_tunnel_is_not_even_noticed(start, version, listen, connect):
    daemon = start(tls_rule("443", "tunnel", {"port": 443}), limits={"hello_timeout": "300ms"})
    origin = listen(version)
    quiet = connect(version, origin.address)
    served = origin.accept()
    # The clock of this test: a connection that began later, must speak within hello_timeout, and has been closed.
    assert connect(version, origin.address, 8443).ending() == ("reset", b"")
    served.send(b"late")
    assert quiet.receive(4) == b"late"
    assert_ends_in_order(quiet, served)
    assert daemon.record_of(quiet)["close"] == "finished"


@pytest.mark.parametrize("non_tls", ["terminate", "tunnel"])
def test_S8_half_a_hello_and_then_silence(start, version, listen, connect, syns, non_tls):
    """What began like TLS is no other protocol: it does not pass as one, either."""
    daemon = start(tls={"non_tls": non_tls}, limits={"hello_timeout": "300ms"})
    origin = listen(version)
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin, hello.client_hello()[:60])
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("hello_timeout", "client")
    assert (record["bytes_up"], record["bytes_down"]) == (0, 0)


@pytest.mark.parametrize("non_tls", ["terminate", "tunnel"])
@pytest.mark.parametrize("sent", [NON_TLS, b""], ids=["other-bytes", "silence"])
def test_S7_S8_a_rule_that_terminates_does_so_whatever_the_setting(start, version, listen, connect, syns, sent, non_tls):
    """A rule for the connection itself needs no hello to match; the setting is for what no rule has settled."""
    daemon = start(tls_rule("no 443", "terminate", {"port": 443}), tls={"non_tls": non_tls}, limits={"hello_timeout": "300ms"})
    origin = listen(version)
    client = connect(version, origin.address)
    assert_closed_unserved(client, syns, origin, sent)
    record = daemon.record_of(client)
    assert (record["action"], record["tls_rule"]) == ("terminate", "no 443")
    assert (record["close"], record["close_side"]) == ("rule_terminate", "gateway")
    assert (record["bytes_up"], record["bytes_down"]) == (0, 0)
