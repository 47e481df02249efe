"""S6: clients of every habit through bump: without instructions for AES, with a tab that is closed over an open WebSocket, with
a ticket that they got before the origin's certificate went bad.

    client (openssl s_client, Python) ── gateway: bump ── nginx, or a site of the test's own
"""

import base64
import os
import re
import ssl

import pytest
from bump_peers import Browser, Reader, certificate_fields, client_context, origin_context
from lab import V4, V6, Lab, access_rule, wait_until

GET = "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n"


@pytest.fixture
def s_client(lab):
    """s_client(version, *options, port=443, text=): openssl s_client with www.example.com; what it printed, page included.
    Its input stays open until the gateway closes."""
    def run(version, *options, port=443, text=GET + "\r\n"):
        address = f"[{Lab.NGINX[version]}]" if version == V6 else Lab.NGINX[version]
        done = lab.client.run("openssl", "s_client", "-connect", f"{address}:{port}", "-servername", "www.example.com",
                              "-ign_eof", *options, input=text, check=False)
        return done.stdout + done.stderr
    return run


def bumps_nginx(bump, lab, **more):
    return bump(tls={"extra_roots": [lab.certificates["www.example.com"]], **more})


# --- cipher suites --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, cipher", [
    (["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"], "TLS_CHACHA20_POLY1305_SHA256"),
    (["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"],
     "TLS_AES_128_GCM_SHA256"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"],
     "ECDHE-ECDSA-AES128-GCM-SHA256"),
], ids=["1.3-chacha-first", "1.3-aes-first", "1.2-chacha-first", "1.2-aes-first"])
def test_S6_chacha20_for_those_who_put_it_first(bump, lab, s_client, options, cipher):
    """Machines without instructions for AES do; for all others AES-128 is cheapest."""
    bumps_nginx(bump, lab)
    said = s_client(V4, *options)
    assert re.search(r"New, TLSv1\.[23], Cipher is (\S+)", said)[1] == cipher
    assert "HTTP/1.1 200" in said


# --- a tab is closed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how, reason, side", [("close", "client_left", "client"), ("reset", "client_reset", "client"),
                                               ("close_notify", "finished", "none")])
def test_S25_a_client_that_leaves_its_websocket(bump, site, visit, pki, version, how, reason, side):
    """Without close_notify it is everyday life, and no truncation to be looked into; still the origin never sees a clean end."""
    endings = []

    def talk(stream, visit):
        Reader(stream).head()
        stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        endings.append(visit.stream.ending())
        stream.close()
    daemon = bump()
    client = Browser(visit(site(version, pki.site(), talk=talk)))
    key = base64.b64encode(bytes(16)).decode()
    client.ask("/socket", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13")
    assert client.reader.head().status == 101
    client.stream.send(b"\x88\x82\0\0\0\0\x03\xe9")  # the frame that says: going away
    if how == "reset":
        client.stream.peer.reset()
    elif how == "close":
        client.stream.peer.close()
    else:
        client.stream.close()
    record = daemon.record_of(client.port)
    assert (record["close"], record["close_side"]) == (reason, side)
    how_it_ended, what_came = wait_until(lambda: endings, "the end at the origin")[0]
    assert how_it_ended == ("end" if how == "close_notify" else "reset")
    if how != "reset":
        assert what_came == b"\x88\x82\0\0\0\0\x03\xe9"


# --- tickets (S12) --------------------------------------------------------------------------------------------------

# On resumption a client sees no certificate. So a ticket of ours stands for one name and for the certificate that was shown.

BOTH_VERSIONS = pytest.mark.parametrize("tls", [(ssl.TLSVersion.TLSv1_2,) * 2, (ssl.TLSVersion.TLSv1_3,) * 2],
                                        ids=["tls1.2", "tls1.3"])


class Returning:
    """A client that keeps its session. It trusts `ca`; None: it warns nobody, and goes on."""

    def __init__(self, daemon, visit, ca, tls, name="www.example.com"):
        self.daemon, self.visit, self.name = daemon, visit, name
        self.context = client_context(ca, versions=tls)
        self.session = None

    def come(self, site, session=None, *, name=None, status=200):
        """Asks for a page. Whether the session was resumed, and the connection's record."""
        name = name or self.name
        client = self.visit(site, name=name, context=self.context, session=session or self.session)
        assert Browser(client, name).get().status == status
        self.session, self.issuer = client.tls.session, certificate_fields(client.certificate()).get("issuer")
        resumed = client.tls.session_reused
        client.close()
        return resumed, self.daemon.record_of(client.port)


@BOTH_VERSIONS
@pytest.mark.parametrize("bad", ["self_signed", "expired"])
def test_S12_a_clients_ticket_does_not_launder_a_bad_certificate(bump, site, visit, pki, version, tls, bad):
    """The origin is good, then somebody in the middle, then good again."""
    daemon = bump()
    origin = site(version, pki.site())
    careful = Returning(daemon, visit, pki.gateway_ca.certificate, tls)
    careless = Returning(daemon, visit, None, tls)
    for client in (careful, careless):
        assert client.come(origin)[0] is False
        resumed, record = client.come(origin)
        assert resumed and record["origin_cert"] == "ok"
    of_the_good = careless.session

    identity = pki.self_signed() if bad == "self_signed" else pki.issue("expired", start=-30, end=-1)
    origin.context = origin_context(identity)  # it knows no tickets of the other
    with pytest.raises(ssl.SSLCertVerificationError):
        careful.come(origin)
    resumed, record = careless.come(origin)
    assert (resumed, record["origin_cert"]) == (False, bad)
    assert "NOT TRUSTED" in str(careless.issuer)
    resumed, record = careless.come(origin)  # what it has accepted, it sees again
    assert (resumed, record["origin_cert"]) == (True, bad)
    of_the_bad = careless.session
    origin.context = origin_context(pki.issue("of an unknown root", issuer=pki.unknown_root))
    resumed, record = careless.come(origin)
    assert (resumed, record["origin_cert"]) == (False, "untrusted")

    origin.context = origin_context(pki.site())
    resumed, record = careless.come(origin, of_the_bad)
    assert (resumed, record["origin_cert"]) == (False, "ok")
    assert "NOT TRUSTED" not in str(careless.issuer)
    assert careless.come(origin, of_the_good)[0]
    assert careful.come(origin)[0]


@BOTH_VERSIONS
@pytest.mark.parametrize("action", ["page", "allow"])
def test_S12_a_ticket_of_a_good_origin_is_not_good_for_what_is_shown_of_a_bad_one(bump, site, visit, pki, version, tls, action):
    daemon = bump(tls={"invalid_origin": {"expired": action, "name_mismatch": action}})
    origin = site(version, pki.site())
    client = Returning(daemon, visit, None, tls)
    client.come(origin)
    of_the_good = client.session
    status = 502 if action == "page" else 200
    for label, more in (("expired", {"start": -30, "end": -1}), ("for another name", {"sans": "DNS:other.example"})):
        origin.context = origin_context(pki.issue(label, **more))
        assert client.come(origin, of_the_good, status=status)[0] is False, label
        assert client.come(origin, status=status)[0], label
    of_the_bad = client.session
    origin.context = origin_context(pki.site())
    assert client.come(origin, of_the_bad)[0] is False
    assert client.come(origin, of_the_good)[0]


@BOTH_VERSIONS
def test_S12_servers_of_one_name_may_have_a_good_certificate_each(bump, site, visit, pki, version, tls):
    daemon = bump()
    one, another = site(version, pki.site()), site(version, pki.issue("good and another"))
    client = Returning(daemon, visit, pki.gateway_ca.certificate, tls)
    assert [client.come(origin)[0] for origin in (one, another, one)] == [False, True, True]


@BOTH_VERSIONS
def test_S12_a_clients_ticket_is_good_for_one_name(bump, site, visit, pki, version, tls):
    """RFC 6066 section 3: the same client, a name behind another origin, one behind the same."""
    daemon = bump()
    both = pki.issue("two names", sans="DNS:www.example.com,DNS:other.example")
    origin, another = site(version, both), site(version, pki.site("other.example"))
    client = Returning(daemon, visit, pki.gateway_ca.certificate, tls)
    client.come(origin)
    first = client.session
    for target in (another, origin):
        resumed, record = client.come(target, first, name="other.example")
        assert (resumed, record["sni"]) == (False, "other.example")
    assert client.come(another, name="other.example")[0]
    assert client.come(origin, first)[0]


@BOTH_VERSIONS
def test_S12_a_clients_ticket_does_not_outlive_our_ca(bump, site, visit, pki, tls):
    daemon = bump()
    origin = site(V4, pki.site())
    client = Returning(daemon, visit, None, tls)
    client.come(origin)
    of_the_old = client.session
    fresh = pki.issue("another CA of ours", name="Another CA", issuer=pki.unknown_root, ca=True)
    os.chown(fresh.key, 65534, 65534)
    old, new = pki.gateway_ca, fresh
    changed = daemon.config.replace(str(old.certificate), str(new.certificate)).replace(str(old.key), str(new.key))
    assert changed != daemon.config
    before = daemon.config
    daemon.reload(changed)
    assert client.come(origin)[0] is False
    assert client.issuer == ((("commonName", "Another CA"),),)
    assert client.come(origin)[0]
    daemon.reload(before)
    assert client.come(origin, of_the_old)[0]  # whose certificate is what it would see


@BOTH_VERSIONS
def test_S26_a_ticket_of_a_block_page_is_good_for_block_pages(bump, site, visit, pki, tls):
    blocking = access_rule("no", "block", when={"host": ["www.example.com"]})
    daemon = bump(blocking, access={"https_page": True})
    origin = site(V4, pki.site())
    client = Returning(daemon, visit, pki.gateway_ca.certificate, tls)
    assert client.come(origin, status=403)[0] is False
    assert client.come(origin, status=403)[0]
    of_the_page = client.session
    daemon.reload(daemon.config.replace(blocking, ""))
    assert client.come(origin)[0] is False
    of_the_origin = client.session
    assert client.come(origin)[0]
    assert client.come(origin, of_the_page)[0] is False
    assert client.come(origin, of_the_origin)[0]
