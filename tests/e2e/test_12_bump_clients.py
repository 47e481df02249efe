"""S6: clients of every habit through bump: without instructions for AES, with a tab that is closed over an open WebSocket.

    client (openssl s_client, Python) ── gateway: bump ── nginx, or a site of the test's own
"""

import base64
import re

import pytest
from bump_peers import Browser, Reader
from lab import V4, V6, Lab, wait_until

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
