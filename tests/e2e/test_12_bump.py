"""S6, S15–S17: what a bumped connection looks like from both ends.

    client ── our certificate for the origin's name ── gateway: bump ── our ClientHello with the client's SNI ── origin
"""

import os
import re
import ssl
import time

import hello
import pytest
from bump_peers import Browser, Tls, certificate_fields, certificate_text, client_context, server_key_share
from lab import V4, V6, Lab, run, tls_features, tls_rule, wait_until

TLS12 = (ssl.TLSVersion.TLSv1_2,) * 2
TLS13 = (ssl.TLSVersion.TLSv1_3,) * 2
X25519, P256, P384, X25519MLKEM768 = 0x1D, 0x17, 0x18, 0x11EC


def date_of(text):
    return ssl.cert_time_to_seconds(text)


def names_of(der):
    return [value for _, value in certificate_fields(der).get("subjectAltName", ())]


def finished(daemon, client):
    """Ends the client's connection in order, and returns its record."""
    client.stream.close() if isinstance(client, Browser) else client.close()
    return daemon.record_of(client.port)


def test_S6_the_client_sees_our_replacement_and_the_origin_our_hello(bump, site, visit, pki, version):
    daemon = bump()
    origin = site(version, pki.site())
    client = visit(origin)  # it trusts our CA alone, and checks the name
    page = Browser(client).get("/path?query")
    assert (page.status, page.body) == (200, b"hello from the origin\n")

    seen = origin.visit()
    assert seen.peer.other_end()[0] == Lab.GATEWAY_WAN[version]
    assert seen.hello.sni == "www.example.com"
    assert seen.wire_hello != client.hello_sent
    assert {0x0304, 0x0303} == set(seen.hello.versions)
    assert [request.target for request in origin.requests] == ["/path?query"]

    record = finished(daemon, client)
    assert (record["action"], record["tls_rule"]) == ("bump", "default")
    assert (record["origin_cert"], record["origin_fingerprint"]) == ("ok", pki.site().fingerprint())
    assert (record["close"], record["sni"], record["ja4"]) == ("finished", "www.example.com", hello.ja4(client.hello_sent))
    assert "scan" not in record
    assert record["ms.origin_handshake"] > 0 and record["ms.client_handshake"] > 0
    assert record["bytes_up"] > 0 and record["bytes_down"] > len(page.body)
    (request,) = daemon.requests_of(client.port)
    assert (request["method"], request["url"]) == ("GET", "https://www.example.com/path?query")
    assert (request["status"], request["mime"], request["action"]) == (200, "text/plain", "allow")
    assert (request["bytes_up"], request["bytes_down"]) == (0, len(page.body))


def test_S6_curl_through_bump(bump, site, lab, pki, version):
    daemon = bump()
    origin = site(version, pki.site(), alpn=["http/1.1"])
    address = f"[{origin.address}]" if version == V6 else origin.address
    done = lab.client.run("curl", "-sS", "-v", "--max-time", "20", "--cacert", pki.gateway_ca.certificate,
                          "--connect-to", f"www.example.com:443:{address}:443", "https://www.example.com/one",
                          "https://www.example.com/two")
    assert done.stdout == "hello from the origin\n" * 2
    assert "issuer: CN=Sluice Test CA" in done.stderr
    assert "subject: C=DE; O=Example Org; CN=www.example.com" in done.stderr
    assert "Re-using existing" in done.stderr
    assert "server accepted http/1.1" in done.stderr  # curl offers h2 as well
    record = wait_until(daemon.records, "the record")[0]
    assert (record["action"], record["alpn"]) == ("bump", "h2,http/1.1")
    assert [r["url"] for r in daemon.records("request")] == [
        "https://www.example.com/one", "https://www.example.com/two"]


def test_S6_a_rule_bumps_one_name_and_the_default_leaves_the_others(bump, site, visit, pki):
    daemon = bump(tls_rule("that one", "bump", {"host": "www.example.com"}), tls={"default_action": "tunnel-sni"})
    origin = site(V4, pki.site())
    bumped, tunnelled = visit(origin), visit(origin, name="other.example", ca=None)
    assert (bumped.certificate() == pki.site().der, tunnelled.certificate() == pki.site().der) == (False, True)
    assert Browser(tunnelled).get().status == 200
    assert finished(daemon, bumped)["tls_rule"] == "that one"
    assert finished(daemon, tunnelled)["action"] == "tunnel-sni"


def test_S6_nginx_as_the_origin(bump, lab, connect, version, pki):
    """A real server: 1 MiB over a connection that stays, then a second request on it."""
    bump(tls={"extra_roots": [lab.certificates["www.example.com"]]})
    peer = connect(version, Lab.NGINX[version])
    tls = Tls(peer, client_context(pki.gateway_ca.certificate, alpn=["http/1.1"]), name="www.example.com").handshake()
    browser = Browser(tls)
    assert browser.get("/big").body == bytes(range(256)) * 4096
    assert browser.get().body == f"www.example.com www.example.com {Lab.GATEWAY_WAN[version]}\n".encode()
    assert tls.tls.selected_alpn_protocol() == "http/1.1"


# --- the replacement certificate ------------------------------------------------------------------------------------


def test_S16_the_replacement_says_what_the_origins_does(bump, site, visit, pki, version):
    bump()
    made = pki.issue("full of extensions", sans="DNS:www.example.com,DNS:example.com,DNS:*.cdn.example.com,IP:192.0.2.7",
                     subject="/C=DE/O=Example Org/CN=www.example.com",
                     more="authorityInfoAccess=OCSP;URI:http://ocsp.example/,caIssuers;URI:http://ca.example/i.der\n"
                          "crlDistributionPoints=URI:http://crl.example/c.crl\n"
                          "certificatePolicies=1.3.6.1.4.1.11129.2.4.99\n"
                          "1.3.6.1.4.1.11129.2.4.2=ASN1:FORMAT:HEX,OCTETSTRING:0000\n")
    client = visit(site(version, made))
    theirs, ours = certificate_fields(made.der), certificate_fields(client.certificate())
    assert ours["subject"] == theirs["subject"]
    assert ours["subjectAltName"] == theirs["subjectAltName"]
    assert ours["issuer"] == ((("commonName", "Sluice Test CA"),),)
    assert ours["serialNumber"] != theirs["serialNumber"] and len(ours["serialNumber"]) >= 16
    assert ours["notAfter"] == theirs["notAfter"]  # within 90 days
    now = time.time()
    assert max(date_of(theirs["notBefore"]), now - 86400 - 120) <= date_of(ours["notBefore"]) <= now
    text = certificate_text(client.certificate())
    for copied in ("Authority Information Access", "CRL Distribution", "Certificate Policies", "1.3.6.1.4.1.11129.2.4.2",
                   "CT Precertificate SCTs"):
        assert copied in certificate_text(made.der) or copied.startswith(("CT", "1.3"))
        assert copied not in text
    assert "TLS Web Server Authentication" in text and "TLS Web Client" not in text
    assert re.search(r"Key Usage: critical\s+Digital Signature\n", text)
    key_ids = re.findall(r"Key Identifier:[^\n]*\n\s+(?:keyid:)?([0-9A-F:]+)", text)
    ca_text = run("openssl", "x509", "-noout", "-text", "-in", pki.gateway_ca.certificate).stdout
    assert len(key_ids) == 2 and key_ids[1] in ca_text and key_ids[0] not in ca_text
    strict = run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "www.example.com",
                 "-CAfile", pki.gateway_ca.certificate, "/dev/stdin", input=ssl.DER_cert_to_PEM_cert(client.certificate()))
    assert "OK" in strict.stdout


def test_S16_validity_is_clipped_to_90_days(bump, site, visit, pki):
    bump()
    made = pki.issue("long-lived", start=-700, end=700)
    ours = certificate_fields(visit(site(V4, made)).certificate())
    ca = certificate_fields(ssl.PEM_cert_to_DER_cert(pki.gateway_ca.certificate.read_text()))
    now = time.time()
    assert now + 80 * 86400 < date_of(ours["notAfter"]) <= now + 90 * 86400 + 60
    assert date_of(ca["notBefore"]) <= date_of(ours["notBefore"]) <= now


ORIGIN_KEYS = ["P-256", "P-384", "RSA 2048", "RSA 4096", "Ed25519"]


@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S16_origins_of_every_key(bump, site, visit, pki, tls):
    daemon = bump()
    for key in ORIGIN_KEYS:
        client = visit(site(V6, pki.issue(f"key {key}", key=key), versions=tls))
        assert Browser(client).get().status == 200, key
        assert finished(daemon, client)["origin_cert"] == "ok", key


def test_S16_names_of_every_kind(bump, site, visit, pki, version):
    daemon = bump()
    many = ",".join(f"DNS:host{n}.example.com" for n in range(999)) + ",DNS:www.example.com"
    for label, sans, name in (("1,000 names", many, "www.example.com"),
                              ("a wildcard", "DNS:*.example.com,DNS:example.com", "www.example.com"),
                              ("no subject", "DNS:www.example.com", "www.example.com")):
        made = pki.issue(label, sans=sans, subject="/" if label == "no subject" else None)
        print(label)
        client = visit(site(version, made), name=name, ca=None)
        print(len(client.certificate()), certificate_text(client.certificate())[:600])
        names = names_of(client.certificate())
        assert name in names, label
        assert [n for n in names if n != name] == [n for n in names_of(made.der) if n != name], label
        assert Browser(client).get().status == 200
        assert finished(daemon, client)["origin_cert"] == "ok", label


def test_S16_a_certificate_for_an_address(bump, site, lab, pki, connect, version):
    """No SNI: the name is the address that the client dialled."""
    daemon = bump()
    address = lab.new_origin_address(version)
    origin = site(version, pki.issue(f"address {version}", sans=f"IP:{address}", name="by address"), address=address)
    tls = Tls(connect(version, address), client_context(pki.gateway_ca.certificate), name=address)
    tls.handshake()  # Python checks the address, and sends no SNI for one
    assert origin.visit().hello.sni is None
    assert Browser(tls, host=f"[{address}]" if version == V6 else address).get().status == 200
    record = finished(daemon, tls)
    assert (record["origin_cert"], record["host"]) == ("ok", address)
    assert "sni" not in record


def test_S16_below_an_intermediate_of_our_own_the_chain_is_sent(bump, site, visit, pki):
    """The client trusts the root above our CA, and needs the CA's certificate from the gateway."""
    ours = pki.issue("our intermediate", name="Our Intermediate", issuer=pki.unknown_root, ca=True)
    os.chown(ours.key, 65534, 65534)
    bump(tls={"ca_cert": ours.certificate, "ca_key": ours.key})
    client = visit(site(V4, pki.site()), ca=pki.unknown_root.certificate)
    assert Browser(client).get().status == 200
    assert certificate_fields(client.certificate())["issuer"] == ((("commonName", "Our Intermediate"),),)


@pytest.mark.one_worker
def test_S17_one_leaf_key_and_a_cache(bump, site, visit, pki):
    daemon = bump()
    origin, another = site(V4, pki.site()), site(V4, pki.site("other.example"))
    first, second = visit(origin), visit(origin)
    other = visit(another, name="other.example")
    assert first.certificate() == second.certificate()

    def public_key(client):
        return run("openssl", "x509", "-noout", "-pubkey", input=ssl.DER_cert_to_PEM_cert(client.certificate())).stdout
    assert public_key(first) == public_key(other)
    assert "prime256v1" in run("openssl", "pkey", "-pubin", "-noout", "-text", input=public_key(first)).stdout
    counters = daemon.counters()
    assert (counters["leaf_mints"], counters["leaf_cache_hits"]) == (2, 1)
    assert counters["verdict_cache_hits"] >= 1


def test_S17_an_rsa_leaf_key_for_old_clients(bump, site, visit, pki):
    bump(tls={"leaf_key": "rsa"})
    client = visit(site(V4, pki.site()), versions=TLS12)
    assert "Public-Key: (2048 bit)" in certificate_text(client.certificate())
    assert "RSA" in client.tls.cipher()[0]
    assert Browser(client).get().status == 200


# --- versions and key shares ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("client_tls", [TLS12, TLS13], ids=["client1.2", "client1.3"])
@pytest.mark.parametrize("origin_tls", [TLS12, TLS13], ids=["origin1.2", "origin1.3"])
def test_S6_each_side_has_its_own_version(bump, site, visit, pki, version, client_tls, origin_tls):
    bump()
    origin = site(version, pki.site(), versions=origin_tls)
    client = visit(origin, versions=client_tls)
    assert Browser(client).get().status == 200
    assert client.tls.version() == client_tls[0].name.replace("_", ".")
    assert origin.visit().stream.tls.version() == origin_tls[0].name.replace("_", ".")


@pytest.mark.parametrize("tls, groups, said", [
    ("-tls1_3", "X25519", "X25519"), ("-tls1_3", "P-256", "prime256v1"), ("-tls1_3", "P-384", "secp384r1"),
    ("-tls1_3", "X448:P-256", "prime256v1"),  # a key share for X448, which we do not have: HelloRetryRequest
    # Under TLS 1.2 the list is also of curves for certificates (RFC 8422 section 5.1.1), and ours is P-256.
    ("-tls1_2", "X25519:P-256", "X25519"), ("-tls1_2", "P-256", "prime256v1"), ("-tls1_2", "P-384:P-256", ""),
], ids=lambda value: value.replace(":", "-").lstrip("-"))
def test_S6_openssl_clients_with_each_group(bump, site, lab, pki, tls, groups, said):
    bump()
    origin = site(V4, pki.site())
    done = lab.client.run("openssl", "s_client", "-connect", f"{origin.address}:443", "-servername", "www.example.com", tls,
                          "-groups", groups, "-CAfile", pki.gateway_ca.certificate, "-verify_return_error",
                          "-verify_hostname", "www.example.com", "-ign_eof",
                          input="GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")
    assert "hello from the origin" in done.stdout
    assert "Verify return code: 0 (ok)" in done.stdout
    assert said in re.search(r"(?:Server|Peer) Temp Key: (.*)", done.stdout).group(1)


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1"])
@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S6_origins_with_one_group_only(bump, site, visit, pki, curve, tls):
    """Under TLS 1.3 they ask again (HelloRetryRequest)."""
    bump()
    origin = site(V4, pki.site(), curve=curve, versions=tls)
    assert Browser(visit(origin)).get().status == 200


def test_S6_a_post_quantum_client_gets_a_post_quantum_key_share(bump, site, lab, connect, pki, version):
    """OpenSSL 3.0 has no X25519MLKEM768, so the hello is made by hand: an all-zero ML-KEM key and X25519's base point are
    both valid. What can be seen is the group of our ServerHello, and what the origin was offered."""
    if "X25519MLKEM768" not in tls_features(lab.binary):
        pytest.skip("built with a wolfSSL without X25519MLKEM768")
    bump()
    origin = site(version, pki.site())
    peer = connect(version, origin.address)
    point = b"\x09" + bytes(31)
    peer.send(hello.client_hello("www.example.com", groups=(X25519MLKEM768, X25519, P256),
                                 key_shares={X25519MLKEM768: bytes(1184) + point, X25519: point}, grease=True))
    assert server_key_share(peer) == X25519MLKEM768
    assert X25519MLKEM768 in origin.visit().hello.groups
    # And one without is not burdened with it.
    peer = connect(version, origin.address)
    peer.send(hello.client_hello("www.example.com", key_shares={X25519: point}))
    assert server_key_share(peer) == X25519


@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
@pytest.mark.parametrize("how", ["1-byte records", "1-byte segments", "records of 100"], ids=lambda how: how.replace(" ", "-"))
def test_S15_a_fragmented_hello_is_bumped(bump, site, connect, pki, version, how, tls):
    daemon = bump()
    origin = site(version, pki.site())
    peer = connect(version, origin.address)
    sent = []

    class Cutting:
        """The client's first flight, cut up."""

        def __init__(self):
            self.sock, self.port = peer.sock, peer.port

        def send(self, data):
            if sent:
                return peer.send(data)
            sent.append(data)
            if how == "1-byte segments":
                for at in range(len(data)):
                    peer.send(data[at:at + 1])
                return peer
            return peer.send(hello.records(data[5:], 1 if how == "1-byte records" else 100))

    client = Tls(Cutting(), client_context(pki.gateway_ca.certificate, versions=tls), name="www.example.com").handshake()
    assert Browser(client).get().status == 200
    peer.close()
    record = daemon.record_of(peer.port)
    assert (record["action"], record["ja4"]) == ("bump", hello.ja4(sent[0]))


@pytest.mark.parametrize("size", [20 * 1024, 60 * 1024])
def test_S15_a_hello_larger_than_a_record_is_bumped(bump, site, connect, pki, version, size):
    """In full records, and in small ones: our ServerHello answers it."""
    bump()
    origin = site(version, pki.site())
    message = hello.message("www.example.com", key_shares={X25519: b"\x09" + bytes(31)}, padding=size)
    assert len(message) > size
    for fragment in (16384, 1000):
        peer = connect(version, origin.address)
        peer.send(hello.records(message, fragment))
        assert server_key_share(peer) == X25519
    assert origin.visit(1).hello.sni == "www.example.com"


# --- ALPN -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client_offers, origin_has, origin_is_offered, client_gets", [
    (["h2", "http/1.1"], ["h2", "http/1.1"], ["http/1.1"], "http/1.1"),
    (["http/1.1"], ["http/1.1"], ["http/1.1"], "http/1.1"),
    (None, ["h2", "http/1.1"], [], None),
    (["h2", "http/1.1"], None, ["http/1.1"], None),
], ids=["both", "http1", "client-none", "origin-none"])
def test_S6_the_client_is_offered_what_the_origin_chose(bump, site, visit, pki, version, client_offers, origin_has,
                                                        origin_is_offered, client_gets):
    bump()
    origin = site(version, pki.site(), alpn=origin_has)
    client = visit(origin, alpn=client_offers)
    assert client.tls.selected_alpn_protocol() == client_gets
    assert origin.visit().hello.alpn == origin_is_offered
    assert Browser(client).get().status == 200


@pytest.mark.parametrize("offers, chosen", [(["h2", "http/1.1"], "h2"), (["xmpp-client"], "xmpp-client"), (None, None)],
                         ids=["h2", "xmpp", "none"])
def test_S6_what_is_not_inspected_may_speak_anything(bump, site, visit, pki, version, offers, chosen):
    """inspect = false: the origin's choice, and a relay of any bytes, server first, half-closed on either side."""
    daemon = bump(tls_rule("not HTTP", "bump", {"host": "www.example.com"}, inspect=False))

    def talk(stream, _visit):
        stream.send(b"220 hello\r\n")
        received = b""
        while piece := stream.receive_some():
            received += piece
        stream.send(b"got " + received)
        stream.close()
    origin = site(version, pki.site(), talk=talk, alpn=offers)
    client = visit(origin, alpn=offers)
    assert client.tls.selected_alpn_protocol() == chosen
    assert origin.visit().hello.alpn == (offers or [])
    assert client.receive_some() == b"220 hello\r\n"
    client.send(b"\x00\xff GET / HTTP/9.9\n\n")
    client.finish()
    assert client.ending() == ("end", b"got \x00\xff GET / HTTP/9.9\n\n")
    record = daemon.record_of(client.port)
    assert (record["action"], record["close"], record["tls_rule"]) == ("bump", "finished", "not HTTP")
    assert daemon.requests_of(client.port) == []


@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S6_not_inspected_a_client_that_ends_before_its_first_byte_hears_everything(bump, site, visit, pki, version, tls):
    """It has nothing to say, and listens: its end is passed on, and the origin goes on as long as it likes."""
    daemon = bump(tls_rule("not HTTP", "bump", {"host": "www.example.com"}, inspect=False))
    said = b"".join(b"%06d the origin goes on\n" % line for line in range(20000))
    received = []

    def talk(stream, _visit):
        received.append(stream.receive_some())  # the client's end, before a byte of ours
        stream.send(said)
        stream.close()
    origin = site(version, pki.site(), talk=talk)
    client = visit(origin, versions=tls)
    client.finish()
    assert client.ending() == ("end", said)
    assert received == [b""]
    record = daemon.record_of(client.port)
    assert (record["action"], record["close"], record["close_side"]) == ("bump", "finished", "none")
    assert "client_rejected_certificate" not in daemon.counters()


@pytest.mark.parametrize("how, close", [("close", "finished"), ("FIN", "client_truncated"), ("reset", "client_reset")])
def test_S14_not_inspected_a_client_that_reads_a_banner_and_goes_refuses_nothing(bump, site, visit, pki, version, how, close):
    daemon = bump(tls_rule("not HTTP", "bump", {"host": "www.example.com"}, inspect=False))

    def talk(stream, _visit):
        stream.send(b"220 hello\r\n")
        stream.stream.ending()
        stream.close()
    client = visit(site(version, pki.site(), talk=talk))
    assert client.receive_some() == b"220 hello\r\n"
    if how == "close":
        client.finish()
        assert client.ending() == ("end", b"")
    elif how == "FIN":
        client.peer.finish()
    else:
        client.peer.reset()
    assert daemon.record_of(client.port)["close"] == close
    assert "client_rejected_certificate" not in daemon.counters()


# --- resumption -----------------------------------------------------------------------------------------------------


@pytest.mark.one_worker
@pytest.mark.parametrize("tls", [TLS12, TLS13], ids=["tls1.2", "tls1.3"])
def test_S6_both_sides_resume(bump, site, visit, pki, version, tls):
    daemon = bump()
    origin = site(version, pki.site(), versions=tls)
    context = client_context(pki.gateway_ca.certificate, versions=tls)
    first = visit(origin, context=context)
    assert Browser(first).get().status == 200
    session = first.tls.session
    assert not first.tls.session_reused and session.has_ticket
    assert "bump_resumed_client" not in daemon.counters()
    finished(daemon, first)
    for number in (1, 2, 3):
        again = visit(origin, context=context, session=session)
        assert Browser(again).get().status == 200
        assert again.tls.session_reused
        assert again.certificate() in (first.certificate(), None)
        assert origin.visit(number).stream.tls.session_reused
        session = again.tls.session
        record = finished(daemon, again)
        assert (record["origin_cert"], record["origin_fingerprint"]) == ("ok", pki.site().fingerprint())
    counters = daemon.counters()
    assert (counters["bump_resumed_client"], counters["bump_resumed_origin"]) == (3, 3)
    assert counters["bump_handshakes"] == 4


@pytest.mark.one_worker
def test_S6_an_origins_session_is_not_used_for_another_name_or_address(bump, site, visit, pki):
    daemon = bump()
    both = pki.issue("two names", sans="DNS:www.example.com,DNS:other.example")
    origin, another = site(V4, both), site(V4, both)
    for target, name in ((origin, "www.example.com"), (origin, "other.example"), (another, "www.example.com")):
        client = visit(target, name=name)
        assert Browser(client, name).get().status == 200
        finished(daemon, client)
    assert "bump_resumed_origin" not in daemon.counters()
    client = visit(origin)
    assert Browser(client).get().status == 200
    assert daemon.counters()["bump_resumed_origin"] == 1


def test_S6_tickets_hold_over_a_reload(bump, site, visit, pki, lab):
    daemon = bump()
    origin = site(V4, pki.site())
    context = client_context(pki.gateway_ca.certificate)
    first = visit(origin, context=context)
    assert Browser(first).get().status == 200
    daemon.reload(daemon.config)
    again = visit(origin, context=context, session=first.tls.session)
    assert Browser(again).get().status == 200
    assert again.tls.session_reused


def test_S6_no_early_data_is_ever_offered(bump, site, lab, pki, tmp_path):
    """A ticket of ours does not allow 0-RTT, whatever the origin's own would."""
    bump()
    origin = site(V4, pki.site())
    session = tmp_path / "session"
    done = lab.client.run("openssl", "s_client", "-connect", f"{origin.address}:443", "-servername", "www.example.com", "-tls1_3",
                          "-CAfile", pki.gateway_ca.certificate, "-ign_eof", "-sess_out", session,
                          input="GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")
    assert "hello from the origin" in done.stdout
    text = run("openssl", "sess_id", "-in", session, "-noout", "-text").stdout
    assert re.search(r"Max Early Data: 0\b", text), text
