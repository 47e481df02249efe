"""S6: clients that come with a ticket of the real origin, and with early data for it.

    client (openssl s_client) ── gateway: bump ── nginx
             └──── port 9443, not redirected: a ticket of the real origin ────┘
"""

import re

import pytest
from lab import PLAIN_TLS_PORT, V4, Lab, wait_until
from test_12_bump_clients import GET, bumps_nginx, s_client  # noqa: F401 (a fixture)


@pytest.fixture
def early(s_client, tmp_path):
    """early(version, bytes, *options): a connection with so many bytes of early data and a ticket of the real origin, got on a
    port that is not redirected."""
    def run(version, size, *options, port=443):
        ticket, data = tmp_path / "ticket", tmp_path / "early"
        request = GET + "X-Padding: "
        data.write_text(request + "x" * max(0, size - len(request) - 4) + "\r\n\r\n")
        assert "New, TLSv1.3" in s_client(version, "-tls1_3", "-sess_out", ticket, *options, port=PLAIN_TLS_PORT)
        return s_client(version, "-tls1_3", "-sess_in", ticket, "-early_data", data, *options, port=port)
    return run


def test_S6_the_lab_origin_accepts_early_data(early):
    """Or the tests below would prove nothing."""
    assert "Early data was accepted" in early(V4, 200, port=PLAIN_TLS_PORT)


@pytest.mark.parametrize("size", [200, 1400, 7_000])
def test_S6_early_data_for_the_real_origin_is_rejected_and_the_handshake_goes_on(bump, lab, early, pki, version, size):
    """RFC 8446 section 4.2.10. The client says the request again, as it must."""
    daemon = bumps_nginx(bump, lab)
    said = early(version, size, "-CAfile", pki.gateway_ca.certificate)
    assert "Early data was rejected" in said
    assert "Verify return code: 0 (ok)" in said and re.search("issuer=CN ?= ?Sluice Test CA", said)
    assert f"www.example.com www.example.com {Lab.GATEWAY_WAN[version]}" in said
    record = wait_until(daemon.records, "the record")[0]
    assert (record["action"], record["origin_cert"]) == ("bump", "ok")
    assert [r["status"] for r in daemon.records("request")] == [200]


def test_S6_early_data_that_comes_late_and_in_pieces(bump, lab, early):
    """The gateway is busy with the origin while it comes."""
    daemon = bumps_nginx(bump, lab)
    said = early(V4, 7_000, "-split_send_frag", "512", "-max_send_frag", "512", "-bugs")
    assert "Early data was rejected" in said
    assert "HTTP/1.1 200" in said
    assert wait_until(daemon.records, "the record")[0]["action"] == "bump"


@pytest.mark.parametrize("unsupported", ["tunnel", "terminate"])
def test_S6_a_client_that_can_be_asked_for_no_other_group_is_not_bumped(bump, lab, early, unsupported):
    """Then there is no second ClientHello at which early data would end."""
    daemon = bumps_nginx(bump, lab, unsupported=unsupported)
    said = early(V4, 1400, "-groups", "X25519")
    record = wait_until(daemon.records, "the record")[0]
    if unsupported == "tunnel":
        assert "Early data was accepted" in said
        assert (record["action"], record["reason"]) == ("tunnel", "early_data")
    else:
        assert "HTTP/1.1 200" not in said
        assert (record["close"], record["detail"]) == ("client_tls_failed", "early_data")


def test_S5_early_data_goes_through_a_tunnel(start, early, version):
    start(tls={"default_action": "tunnel-sni"})
    said = early(version, 7_000)
    assert "Early data was accepted" in said and "HTTP/1.1 200" in said
