"""S1, S3: tunnels that look at nothing.

    client ── lan0 ─ gateway: "tunnel" for 443, "tunnel-sni" for the rest ─ wan0 ── origin (raw), nginx
                     443 and 8443 are redirected, everything else is forwarded
"""

import ssl

import hello
from lab import Lab, access_rule, endpoint_text, tls_rule
from peers import assert_closed_unserved, assert_ends_in_order, assert_passes, tls_get

TUNNEL_443 = tls_rule("tunnel 443", "tunnel", {"port": 443})


def test_S3_tunnel_connects_before_the_client_has_said_a_word(start, version, listen, connect):
    daemon = start(TUNNEL_443)
    origin = listen(version)
    client = connect(version, origin.address)
    served = origin.accept()
    served.send(b"220 the server speaks first\r\n")
    assert client.receive(29) == b"220 the server speaks first\r\n"
    client.send(b"EHLO client\r\n")
    assert served.receive(13) == b"EHLO client\r\n"
    assert_ends_in_order(client, served)
    record = daemon.record_of(client)
    assert record["action"] == "tunnel"
    assert record["tls_rule"] == "tunnel 443"
    assert (record["scan"], record["reason"]) == ("skipped", "tunnel")
    assert record["destination"] == endpoint_text(origin.address, 443)
    assert record["client"] == endpoint_text(Lab.CLIENT[version], client.port)
    assert (record["bytes_up"], record["bytes_down"]) == (13, 29)
    assert (record["close"], record["close_side"]) == ("finished", "none")
    assert not {"sni", "alpn", "ja4", "tls_version", "ech", "ms.peek"} & set(record), "nothing was read"
    assert "ms.connect" in record


def test_S3_the_origin_sees_the_gateway_as_its_client(start, version, listen, connect):
    start(TUNNEL_443)
    origin = listen(version)
    connect(version, origin.address)
    assert origin.accept().other_end()[0] == Lab.GATEWAY_WAN[version]


def test_S3_non_tls_bytes_pass(start, version, listen, connect):
    daemon = start(TUNNEL_443)
    origin = listen(version)
    client = connect(version, origin.address)
    served = assert_passes(origin, client, b"\x00\xffSSH-2.0-not-tls\r\n" * 50)
    assert_ends_in_order(client, served)
    assert daemon.record_of(client)["action"] == "tunnel"


def test_S3_tls_passes_end_to_end(start, version, lab):
    daemon = start(TUNNEL_443)
    answer = tls_get(lab, version, "www.example.com")
    assert answer.body == f"www.example.com www.example.com {Lab.GATEWAY_WAN[version]}\n"
    assert answer.certificate == ssl.PEM_cert_to_DER_cert(lab.certificates["www.example.com"].read_text())
    assert "sni" not in daemon.record_of(answer.port)


def test_S3_tunnel_by_destination_address(start, version, listen, connect, syns):
    let_through, other = listen(version), listen(version)
    daemon = start(tls_rule("that origin", "tunnel", {"destination": let_through.address}),
                   tls={"default_action": "terminate"})
    client = connect(version, let_through.address)
    served = let_through.accept().send(b"first")
    assert client.receive(5) == b"first"
    assert_closed_unserved(connect(version, other.address), syns, other, hello.client_hello())
    assert_ends_in_order(client, served)
    assert daemon.record_of(client)["tls_rule"] == "that origin"


def test_S3_a_tunnel_rule_that_needs_the_host_waits_for_it(start, version, listen, connect):
    """An unknown met before a match defers the decision to the hello."""
    daemon = start(tls_rule("by name", "tunnel", {"host": "tunnel.example"}) + tls_rule("rest", "terminate"))
    origin = listen(version)
    client = connect(version, origin.address)
    assert_ends_in_order(client, assert_passes(origin, client, hello.client_hello("tunnel.example")))
    record = daemon.record_of(client)
    assert (record["action"], record["tls_rule"], record["sni"]) == ("tunnel", "by name", "tunnel.example")


def test_S3_ports_that_are_not_redirected_are_none_of_our_business(start, version, listen, connect):
    daemon = start(TUNNEL_443)
    origin = listen(version, 8080)
    client = connect(version, origin.address, 8080)
    assert origin.accept().other_end()[0] == Lab.CLIENT[version]
    client.close()
    answered = connect(version, Lab.NGINX[version])
    answered.close()
    daemon.record_of(answered)
    assert len(daemon.records()) == 1


def test_S1_without_decrypt_the_tls_rules_do_not_apply(start, version, lab, listen, connect):
    daemon = start(tls_rule("never reached", "terminate"), tls={"decrypt": False, "default_action": "terminate"})
    answer = tls_get(lab, version, "www.example.com")
    assert answer.status == 200
    assert daemon.record_of(answer.port).get("tls_rule") is None
    origin = listen(version)
    client = connect(version, origin.address)
    origin.accept().send(b"server first")
    assert client.receive(12) == b"server first"


def test_S1_without_decrypt_the_connect_event_still_passes_the_access_rules(start, version, listen, connect, syns):
    origin = listen(version)
    daemon = start(access_rule("not there", "block", {"destination": origin.address}), tls={"decrypt": False})
    client = connect(version, origin.address, may_be_reset=True)
    assert_closed_unserved(client, syns, origin)
    record = daemon.record_of(client)
    assert (record["action"], record["access_rule"], record["close"]) == ("block", "not there", "rule_block")
