"""S13, S14 and everything that ends a bump before it has begun: what cannot be bumped is tunnelled or ended, and the log
says why.

    client ── its own ClientHello ── gateway: bump, then retreat ── first our hello, then the client's, byte for byte ── origin
"""

import contextlib
import ssl

import hello
import pytest
from bump_peers import Browser, GnuTls, read_wire_hello
from lab import V4, V6, Lab, access_rule, wait_until

ALERT = {"handshake_failure": 40, "bad_certificate": 42, "certificate_unknown": 46, "unknown_ca": 48, "protocol_version": 70,
         "internal_error": 80}
TLS10, TLS11, TLS12, TLS13 = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def alert(name):
    return b"\x15\x03\x03\x00\x02\x02" + bytes([ALERT[name]])


def assert_tunnelled(daemon, client, reason):
    record = daemon.record_of(client.port)
    assert (record["action"], record["scan"], record["reason"]) == ("tunnel", "skipped", reason)
    assert record["ja4"] == hello.ja4(client.hello_sent)
    assert record["tls_rule"] == "default"
    return record


# --- S13 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S13_an_origin_that_asks_for_a_certificate_gets_the_clients_own_hello(bump, site, visit, pki, version, tls):
    """And the client can show its certificate to it, as if the gateway were not there."""
    daemon = bump()
    origin = site(version, pki.site(), client_ca=pki.root.certificate, versions=(tls, tls))
    member = pki.issue("a member", name="member", issuer=pki.root, usage="clientAuth")
    client = visit(origin, ca=pki.root.certificate, identity=member)
    assert client.certificate() == pki.site().der
    assert Browser(client).get().status == 200
    first, second = origin.visit(0), origin.visit(1)
    assert first.wire_hello != client.hello_sent
    assert second.wire_hello == client.hello_sent
    assert second.stream.tls.getpeercert(binary_form=True) == member.der
    assert first.plain == b""
    assert client.finish().ending() == ("end", b"")
    record = assert_tunnelled(daemon, client, "client_cert")
    assert record["close"] == "finished"
    counters = daemon.counters()
    assert counters["bump_retreats"] == 1 and "bump_handshakes" not in counters


def test_S13_a_fragmented_hello_is_replayed_as_it_came(bump, site, connect, pki, version):
    daemon = bump()
    origin = site(version, pki.site(), client_ca=pki.root.certificate)
    wire = hello.client_hello("www.example.com", record_size=7)
    peer = connect(version, origin.address)
    peer.send(wire)
    assert origin.visit(1) and wait_until(lambda: origin.visit(1).wire_hello, "the replayed hello") == wire
    peer.close()
    assert daemon.record_of(peer.port)["reason"] == "client_cert"


@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S13_or_the_connection_is_terminated(bump, site, visit, pki, version, tls):
    daemon = bump(tls={"client_cert": "terminate"})
    origin = site(version, pki.site(), client_ca=pki.root.certificate, versions=(tls, tls))
    client = visit(origin, handshake=False)
    with pytest.raises(ConnectionResetError):
        client.handshake()
    record = daemon.record_of(client.port)
    assert (record["close"], record["close_side"], record["action"]) == ("client_cert_required", "origin", "bump")
    assert len(origin.visits) == 1 and origin.plain() == b""


def test_S13_a_retreat_is_no_loop(bump, site, visit, pki):
    """An origin that hangs up every time is dialled twice and no more."""
    daemon = bump()
    origin = site(V4, pki.site(), client_ca=pki.root.certificate)
    client = visit(origin, handshake=False, ca=None)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        client.handshake()  # without a certificate: refused by the origin itself, TLS 1.3 says so only when read
        client.receive_some()
    client.peer.close()
    assert_tunnelled(daemon, client, "client_cert")
    assert len(origin.visits) == 2


# --- origins that cannot be bumped ----------------------------------------------------------------------------------


ODD_ORIGINS = {
    "garbage": lambda peer: (peer.receive(1), peer.send(b"SSH-2.0-OpenSSH_9.2p1\r\n" * 4), peer.receive_all()),
    "an alert": lambda peer: (peer.receive(1), peer.send(alert("handshake_failure")), peer.finish(), peer.receive_all()),
    "a close": lambda peer: (read_wire_hello(peer), peer.finish(), peer.receive_all()),
    "a reset": lambda peer: (read_wire_hello(peer), peer.reset()),
    "half a record": lambda peer: (read_wire_hello(peer), peer.send(b"\x16\x03\x03\x10\x00half"), peer.finish(),
                                   peer.receive_all()),
    "HTTP": lambda peer: (read_wire_hello(peer), peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
                          peer.finish(), peer.receive_all()),
}


@pytest.mark.parametrize("kind", ODD_ORIGINS, ids=lambda kind: kind.replace(" ", "-"))
def test_S13_an_origin_that_speaks_no_tls_is_tunnelled(bump, silent, connect, version, kind):
    """The client's own hello goes to it on a second connection, and what it says comes back as it is."""
    daemon = bump()
    wire = hello.client_hello("www.example.com")
    seen = []

    def script(peer):
        if len(origin.visits) == 1:
            return ODD_ORIGINS[kind](peer)
        seen.append(peer.receive(len(wire)))
        peer.send(b"what it says")
        peer.finish()
        peer.receive_all()
    origin = silent(version, script)
    client = connect(version, origin.address)
    client.send(wire)
    assert client.receive(12) == b"what it says"
    client.finish()
    assert client.ending() == ("end", b"")
    assert seen == [wire]
    record = daemon.record_of(client)
    assert (record["action"], record["close"], record["bytes_up"]) == ("tunnel", "finished", len(wire))
    assert record["reason"]


@pytest.mark.parametrize("kind", ODD_ORIGINS, ids=lambda kind: kind.replace(" ", "-"))
def test_S13_or_terminated_when_that_is_wanted(bump, silent, connect, kind):
    daemon = bump(tls={"unsupported": "terminate"})
    origin = silent(V6, ODD_ORIGINS[kind])
    client = connect(V6, origin.address)
    client.send(hello.client_hello("www.example.com"))
    assert client.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["action"], record["close"], record["close_side"]) == ("bump", "origin_tls_failed", "origin")
    assert record["detail"]
    assert len(origin.visits) == 1


@pytest.mark.parametrize("old", [TLS10, TLS11], ids=["tls1.0", "tls1.1"])
def test_S13_an_origin_of_old_tls_only(bump, site, visit, pki, old):
    daemon = bump()
    origin = site(V4, pki.site(), versions=(old, old))
    client = visit(origin, ca=pki.root.certificate, versions=(old, TLS13), seclevel=0)
    assert (client.certificate(), client.tls.version()) == (pki.site().der, old.name.replace("_", "."))
    assert Browser(client).get().status == 200
    assert origin.visit(1).wire_hello == client.hello_sent
    client.close()
    assert_tunnelled(daemon, client, "protocol_version")


@pytest.mark.parametrize("old", [TLS10, TLS11], ids=["tls1.0", "tls1.1"])
@pytest.mark.parametrize("unsupported", ["tunnel", "terminate"])
def test_S6_a_client_of_old_tls_only(bump, site, visit, pki, version, old, unsupported):
    """Nothing has been said to the origin: one connection is enough."""
    daemon = bump(tls={"unsupported": unsupported})
    origin = site(version, pki.site())
    client = visit(origin, ca=pki.root.certificate, versions=(old, old), handshake=False)
    if unsupported == "tunnel":
        client.handshake()
        assert client.certificate() == pki.site().der
        assert Browser(client).get().status == 200
        client.close()
        assert_tunnelled(daemon, client, "tls_version")
        assert len(origin.visits) == 1
    else:
        with pytest.raises(ConnectionResetError):
            client.handshake()
        record = daemon.record_of(client.port)
        assert (record["close"], record["detail"], record["action"]) == ("client_tls_failed", "tls_version", "bump")
        assert origin.plain() == b""
    assert daemon.record_of(client.port)["tls_version"] == {TLS10: "1.0", TLS11: "1.1"}[old]


@pytest.mark.parametrize("priority", ["NORMAL:-VERS-TLS1.3:%SAFE_RENEGOTIATION", "NORMAL:-VERS-TLS1.3:%DISABLE_SAFE_RENEGOTIATION"],
                         ids=["wants it", "has never heard of it"])
def test_S6_an_origin_that_serves_nobody_who_might_renegotiate_insecurely(bump, visit, pki, gnutls_serv, version, priority):
    """RFC 5746 is signalled to it, as browsers do; and one that has never heard of that is served as well."""
    daemon = bump()
    origin = gnutls_serv(version, pki.site(), priority)
    client = visit(origin)
    assert Browser(client).get().status == 200
    client.close()
    assert daemon.record_of(client.port)["action"] == "bump"


@pytest.mark.parametrize("who", ["client", "origin"])
def test_S6_min_version_1_3_means_both_sides(bump, site, visit, pki, who):
    daemon = bump(tls={"min_version": "1.3"})
    origin = site(V4, pki.site(), versions=(TLS12, TLS12) if who == "origin" else None)
    client = visit(origin, ca=pki.root.certificate, versions=(TLS12, TLS12) if who == "client" else (TLS12, TLS13))
    assert client.certificate() == pki.site().der
    assert client.tls.version() == "TLSv1.2"
    client.close()
    assert daemon.record_of(client.port)["action"] == "tunnel"


@pytest.mark.parametrize("unsupported", ["tunnel", "terminate"])
def test_S6_a_client_that_wants_http2_only(bump, site, visit, pki, version, unsupported):
    daemon = bump(tls={"unsupported": unsupported})
    origin = site(version, pki.site(), alpn=["h2", "http/1.1"])
    client = visit(origin, ca=pki.root.certificate, alpn=["h2"], handshake=False)
    if unsupported == "tunnel":
        client.handshake()
        assert client.tls.selected_alpn_protocol() == "h2"
        assert client.certificate() == pki.site().der
        client.close()
        assert_tunnelled(daemon, client, "alpn")
        assert origin.visit().wire_hello == client.hello_sent
    else:
        with pytest.raises(ConnectionResetError):
            client.handshake()
        assert daemon.record_of(client.port)["detail"] == "alpn"


@pytest.mark.parametrize("unsupported", ["tunnel", "terminate"])
@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S6_an_origin_of_http2_only(bump, visit, pki, s_server, version, tls, unsupported):
    """It refuses http/1.1, the one protocol that we offer; the client may speak h2 with it by itself."""
    daemon = bump(tls={"unsupported": unsupported})
    origin = s_server(version, pki.site(), "-alpn", "h2")
    client = visit(origin, ca=pki.root.certificate, alpn=["h2", "http/1.1"], versions=(tls, tls), handshake=False)
    assert_left_for_its_protocol(daemon, client, pki, unsupported, "no_application_protocol")


@pytest.mark.parametrize("unsupported", ["tunnel", "terminate"])
@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S6_an_origin_that_chooses_a_protocol_that_it_was_not_offered(bump, site, visit, pki, version, tls, unsupported):
    """Whoever went on would speak HTTP/1.1 to it, which it has not chosen."""
    daemon = bump(tls={"unsupported": unsupported})
    origin = site(version, pki.site(), insists_on=b"h2", versions=(tls, tls))
    client = visit(origin, ca=pki.root.certificate, alpn=["h2", "http/1.1"], versions=(tls, tls), handshake=False)
    assert_left_for_its_protocol(daemon, client, pki, unsupported, "protocol_not_offered")
    assert origin.visit(0).hello.alpn == ["http/1.1"]


def assert_left_for_its_protocol(daemon, client, pki, unsupported, reason):
    if unsupported == "tunnel":
        client.handshake()
        assert (client.tls.selected_alpn_protocol(), client.certificate()) == ("h2", pki.site().der)
        client.close()
        assert_tunnelled(daemon, client, reason)
    else:
        with pytest.raises(ConnectionResetError):
            client.handshake()
        record = daemon.record_of(client.port)
        assert (record["close"], record["close_side"], record["detail"]) == ("origin_tls_failed", "origin", reason)
    assert "client_rejected_certificate" not in daemon.counters()


def test_S6_without_any_verdict_the_client_hears_of_a_dead_origin(bump, connect, version):
    """Refused at connect: nothing of TLS has begun."""
    daemon = bump()
    client = connect(version, Lab.ORIGIN[version])
    client.send(hello.client_hello("www.example.com"))
    assert client.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["close"], record["action"]) == ("origin_refused", "bump")


def test_S4_access_rules_come_first(bump, site, visit, pki, syns):
    daemon = bump(access_rule("not there", "block", {"host": "www.example.com"}))
    origin = site(V4, pki.site())
    client = visit(origin, handshake=False)
    with pytest.raises(ConnectionResetError):
        client.handshake()
    record = daemon.record_of(client.port)
    assert (record["close"], record["access_rule"], record["action"]) == ("rule_block", "not there", "block")
    assert [s for s in syns.until_now() if s[1] == origin.address] == []


# --- S14 ------------------------------------------------------------------------------------------------------------


def assert_rejected(daemon, client, details):
    record = daemon.record_of(client.port)
    assert (record["close"], record["close_side"]) == ("client_rejected_certificate", "client")
    assert record["detail"] in details
    assert (record["sni"], record["ja4"]) == ("www.example.com", hello.ja4(client.hello_sent))
    assert (record["action"], record["origin_cert"]) == ("bump", "ok")
    assert daemon.counters()["client_rejected_certificate"] >= 1


@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S14_a_client_that_does_not_know_our_ca(bump, site, visit, pki, version, tls):
    daemon = bump()
    origin = site(version, pki.site())
    client = visit(origin, ca=pki.root.certificate, versions=(tls, tls), handshake=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake()
    client.peer.close()
    assert_rejected(daemon, client, ["unknown_ca"])
    assert origin.served().plain == b""


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_S14_curl_that_pins_the_origins_key(bump, site, lab, pki, version, tls):
    """It trusts our CA and finds another key: a close right after the handshake, before any request."""
    daemon = bump()
    origin = site(version, pki.site())
    shown = f"[{origin.address}]" if version == V6 else origin.address
    done = lab.client.run("curl", "-sS", "--max-time", "20", "--cacert", pki.gateway_ca.certificate, "--pinnedpubkey",
                          "sha256//" + "A" * 43 + "=", "--connect-to", f"www.example.com:443:{shown}:443",
                          f"--tlsv{tls}", "--tls-max", tls, "https://www.example.com/", check=False)
    assert done.returncode == 90, done  # CURLE_SSL_PINNEDPUBKEYNOTMATCH
    record = wait_until(daemon.records, "the record")[0]
    assert record["sni"] == "www.example.com" and "status" not in record
    assert (record["close"], record["close_side"]) == ("client_rejected_certificate", "client")
    assert record["detail"] == "closed_unused"
    assert daemon.counters()["client_rejected_certificate"] == 1
    assert origin.served().plain == b""


@pytest.mark.parametrize("how", ["close", "FIN", "reset"])
@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S14_a_client_that_goes_right_after_the_handshake(bump, site, visit, pki, version, how, tls):
    """It compares pins only then. Under TLS 1.3 our tickets are on their way meanwhile, and whoever closes without having
    read them sends a reset."""
    daemon = bump()
    origin = site(version, pki.site())
    client = visit(origin, versions=(tls, tls))
    if how == "close":
        client.close()
    elif how == "FIN":
        client.peer.close()
    else:
        client.peer.reset()
    assert_rejected(daemon, client, ["closed_unused"])
    assert daemon.counters()["client_rejected_certificate"] == 1
    assert origin.served().plain == b""


@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S14_alerts_behind_the_handshake_that_mean_our_certificate(bump, site, connect, pki, version, tls):
    daemon = bump()
    origin = site(version, pki.site())
    names = ("bad_certificate", "certificate_unknown", "unknown_ca")
    for name in names:
        client = GnuTls(connect(version, origin.address), "www.example.com", tls).handshake()
        client.alert(ALERT[name])
        assert_rejected(daemon, client, [name])
    assert daemon.counters()["client_rejected_certificate"] == len(names)
    assert origin.plain() == b""


@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S14_other_alerts_behind_the_handshake_do_not(bump, site, connect, pki, version, tls):
    """Nor does any alert of a client that has asked for something before."""
    daemon = bump()
    origin = site(version, pki.site())
    for name, request in (("internal_error", b""), ("bad_certificate", b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")):
        client = GnuTls(connect(version, origin.address), "www.example.com", tls).handshake()
        if request:
            client.send(request)
            wait_until(lambda: origin.requests, "the request")
        client.alert(ALERT[name])
        record = daemon.record_of(client.port)
        assert (record["close"], record["close_side"], record["detail"]) == ("client_tls_failed", "client", name)
    assert "client_rejected_certificate" not in daemon.counters()


def read_our_flight(client):
    """The client has its ServerHello, and answers with nothing but what the test says."""
    client.begin()
    first = client.peer.receive(5)
    assert first[0] == 22
    client.peer.receive(int.from_bytes(first[3:5], "big"))


@pytest.mark.parametrize("how, details", [("close", ["closed"]), ("reset", ["reset", "closed"])], ids=["close", "reset"])
@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S14_a_client_that_goes_right_after_our_flight(bump, site, visit, pki, version, how, details, tls):
    daemon = bump()
    origin = site(version, pki.site())
    client = visit(origin, versions=(tls, tls), handshake=False)
    read_our_flight(client)
    client.peer.finish() if how == "close" else client.peer.reset()
    assert_rejected(daemon, client, details)
    client.peer.close()
    assert origin.served().plain == b""


@pytest.mark.parametrize("name", ["bad_certificate", "certificate_unknown", "unknown_ca"])
def test_S14_alerts_that_mean_our_certificate(bump, site, visit, pki, name):
    """TLS 1.2: the alert comes in clear."""
    daemon = bump()
    client = visit(site(V4, pki.site()), versions=(TLS12, TLS12), handshake=False)
    read_our_flight(client)
    client.peer.send(alert(name))
    assert_rejected(daemon, client, [name])


def test_S14_other_alerts_do_not(bump, site, visit, pki):
    daemon = bump()
    client = visit(site(V4, pki.site()), versions=(TLS12, TLS12), handshake=False)
    read_our_flight(client)
    client.peer.send(alert("internal_error"))
    record = daemon.record_of(client.port)
    assert (record["close"], record["close_side"], record["detail"]) == ("client_tls_failed", "client", "internal_error")


def test_S14_garbage_in_the_clients_handshake(bump, site, visit, pki, version):
    daemon = bump()
    client = visit(site(version, pki.site()), handshake=False)
    read_our_flight(client)
    client.peer.send(b"\x17\x03\x03\x00\x40" + bytes(64))
    with contextlib.suppress(ConnectionResetError):
        client.peer.receive_all()
    assert daemon.record_of(client.port)["close"] == "client_tls_failed"


# --- vanishing and waiting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
def test_S6_a_client_that_goes_during_the_origins_handshake(bump, silent, connect, version, how):
    """It is noticed at once, not at the origin's time limit. It has seen nothing of us, so it has refused nothing."""
    daemon = bump(limits={"connect_timeout": "5m"})
    endings = []
    origin = silent(version, lambda peer: endings.append(peer.ending()[0]))
    client = connect(version, origin.address)
    client.send(hello.client_hello("www.example.com"))
    wait_until(lambda: origin.visits, "our connection to the origin")
    name = str(client)
    client.close() if how == "close" else client.reset()
    record = daemon.record_of(name)
    assert (record["close"], record["close_side"]) == ({"close": "client_closed_early", "reset": "client_reset"}[how], "client")
    wait_until(lambda: endings, "the end of our connection to the origin")
    assert "client_rejected_certificate" not in daemon.counters()


@pytest.mark.parametrize("bytes_first", [b"", b"\x16\x03\x03\x40\x00\x02"], ids=["silent", "half-a-record"])
def test_S6_an_origin_that_is_silent_in_its_handshake(bump, silent, connect, version, bytes_first):
    daemon = bump(limits={"connect_timeout": "300ms"})

    def script(peer):
        peer.send(bytes_first)
        peer.receive_all()
    origin = silent(version, script)
    client = connect(version, origin.address)
    client.send(hello.client_hello("www.example.com"))
    assert client.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("origin_handshake_timeout", "origin")


@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S6_a_client_that_is_silent_in_its_handshake(bump, site, visit, pki, version, tls):
    daemon = bump(limits={"hello_timeout": "300ms"})
    origin = site(version, pki.site())
    client = visit(origin, versions=(tls, tls), handshake=False)
    read_our_flight(client)
    assert client.peer.ending()[0] == "reset"  # behind the rest of our flight
    record = daemon.record_of(client.port)
    assert (record["close"], record["close_side"]) == ("client_handshake_timeout", "client")
    assert origin.served().plain == b""


def test_S6_a_drain_in_the_middle_of_handshakes(bump, silent, site, visit, connect, pki):
    """Two SIGTERM end connections in each stage of bump, in order and without a leak (the fixture looks)."""
    daemon = bump()
    origin = silent(V4, lambda peer: peer.receive_all())
    early = connect(V4, origin.address)
    early.send(hello.client_hello("www.example.com"))
    wait_until(lambda: origin.visits, "the origin's stage")
    late = visit(site(V4, pki.site()), handshake=False)
    read_our_flight(late)
    talking = visit(site(V4, pki.site()))
    assert Browser(talking).get().status == 200
    daemon.stop()
    assert [peer.ending()[0] for peer in (early, late.peer, talking.peer)] == ["reset"] * 3
    closes = {daemon.record_of(port)["close"] for port in (early.port, late.port, talking.port)}
    assert closes <= {"stopped", "drain_timeout"}
