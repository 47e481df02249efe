"""S24, S32: link lists, as a client meets them: names at the CONNECT, pages at the request, from the files that feeds publish.

    client ── plain HTTP, TLS, CONNECT to the proxy ── gateway ── origin

The table of test_15 has every cell of the protection stage; here are lists, events and reloads.
"""

import signal

import pytest
from bump_peers import Browser, Plain, Tls, answer, client_context
from lab import V4, V6, access_rule, rule, tls_rule, toml_table, toml_value, wait_until
from peers import assert_closed_unserved, assert_ends_in_order, assert_passes
from test_15_traffic_rules import is_reset
from test_17_explicit import Client, names, proxy  # noqa: F401 (fixtures)

PHISHTANK = """phish_id,url,phish_detail_url,submission_time,verified,verification_time,online,target
9,http://www.example.com/login/verify.php,http://tank.example/9,2026-11-22T10:00:00+00:00,yes,2026-11-22T10:00:00+00:00,yes,Other
10,"https://www.example.com/a,b",http://tank.example/10,2026-11-22T10:00:00+00:00,yes,2026-11-22T10:00:00+00:00,yes,"A, B"
"""
URLHAUS = """################################################################
# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter
"12","2026-11-22 10:00:00","http://www.example.com:8080/kit/","online","","malware_download","32-bit,elf","","x"
"13","2026-11-22 10:00:00","ftp://www.example.com/","offline","","malware_download","","","x"
"""


@pytest.fixture
def tank(lab):
    """The file of PhishTank's list, as a cron job would replace it."""
    path = lab.folder / "tank.csv"
    path.write_text(PHISHTANK)
    yield path
    path.unlink()


@pytest.fixture
def links(lab, tank):
    """[links] with both feeds, and a host of our own."""
    haus = lab.folder / "haus.csv"
    haus.write_text(URLHAUS)
    yield toml_table("links", {"phishing": [f"@{tank}", "phish.example"], "malicious_link": [f"@{haus}"]})
    haus.unlink()


def skip(name, when, **threats):
    return "\n".join(["[[protection.rules]]", f"name = {toml_value(name)}", f"when = {toml_value(when)}",
                      *(f"{threat} = {toml_value(action)}" for threat, action in threats.items())]) + "\n\n"


def test_S32_pages_from_feeds_are_blocked_with_a_page_and_nothing_else(web, links):
    """The connection stays usable, and a redirect to a listed page is judged when it is followed."""
    daemon = web.start(links)
    site = web.site(lambda request: answer(b"", "302 Found", "Location: /login/verify.php") if request.target == "/go" else
                    answer(b"hello"))
    client = web.open(site)
    for path, threat in (("/", None), ("/login/verify.php?id=1", "phishing"), ("/login/", None), ("/a%2Cb", "phishing"), ("/kit", None),
                         ("/kit/deep/er.exe", "malicious_link"), ("/x/../%6Bit/", "malicious_link"), ("/go", None),
                         ("/login/verify.php", "phishing")):
        page = client.get(path, "Accept: text/html")
        assert (path, page.status) == (path, 403 if threat else 302 if path == "/go" else 200)
        if threat:
            assert page.get("cache-control") == "no-store" and threat.encode() in page.body and b"protection.default" in page.body
    client.stream.close()
    assert daemon.record_of(client.port)["action"] == web.action
    found = [(each["action"], each["scan"], each.get("threat")) for each in daemon.requests_of(client.port)]
    blocked, clean = ("block", "threat", "phishing"), ("allow", "clean", None)
    kit = ("block", "threat", "malicious_link")
    assert found == [clean, blocked, clean, blocked, clean, kit, kit, clean, blocked]
    assert [request.target for request in site.requests] == ["/", "/login/", "/kit", "/go"]


def test_S24_a_listed_name_is_reset_and_nothing_is_dialled(bump, links, site, visit, pki, syns, version):
    origin = site(version, pki.issue("links"))
    daemon = bump(links + skip("the lab may", {"host": "lab.phish.example"}, phishing="skip"), tls={"default_action": "tunnel-sni"})
    for name in ("phish.example", "www.phish.example", "WWW.Phish.Example"):
        client = visit(origin, name=name, handshake=False)
        assert is_reset(client.handshake), name
        record = daemon.record_of(client.port)
        assert (record["action"], record["scan"], record["close"], record["close_side"]) == ("block", "phishing", "threat_block", "gateway")
        assert "protection_rule" not in record and record["bytes_up"] == 0
    assert not origin.visits
    client = visit(origin, name="lab.phish.example", ca=None)
    client.close()
    record = daemon.record_of(client.port)
    assert (record["action"], record["scan"], record["reason"], record["protection_rule"]) == ("tunnel-sni", "phishing", "tunnel", "the lab may")


def test_S4_both_names_of_an_explicit_client_are_asked_for(proxy, names, links, site, connect, pki):  # noqa: F811
    origin = site(V4, pki.issue("links"))
    daemon = proxy(links)
    for name in ("harmless.example", "phish.example"):
        names.addresses[name] = [origin.address]
    client = Client(connect, V4)
    assert client.ask("phish.example:443").answer() is None
    assert daemon.record_of(client.port)["close"] == "threat_block" and "phish.example" not in names.asked
    client = Client(connect, V4).tunnel("harmless.example:443")
    tls = Tls(client.peer, client_context(pki.root.certificate), name="phish.example")
    assert is_reset(tls.handshake)
    record = daemon.record_of(client.port)
    assert (record["close"], record["scan"]) == ("threat_block", "phishing")
    assert (record["host"], record["sni"]) == ("harmless.example", "phish.example")
    assert not origin.visits


def test_S27_what_a_bypass_rule_allows_is_not_asked_about_for_that_event(bump, links, site, visit, pki):
    origin = site(V6, pki.issue("phish", sans="DNS:phish.example"))
    daemon = bump(links + rule("bypass", "connections", "allow", {"method": "CONNECT"}))
    client = Browser(visit(origin, name="phish.example"), "phish.example")
    page = client.get("/", "Accept: text/html")
    assert page.status == 403 and b"phishing" in page.body
    client.stream.close()
    record = daemon.record_of(client.port)
    assert (record["action"], record["bypass_rule"], record.get("scan")) == ("bump", "connections", None)
    (logged,) = daemon.requests_of(client.port)
    assert (logged["scan"], logged["threat"]) == ("threat", "phishing")
    assert not origin.requests


@pytest.mark.parametrize("version", [V4, V6])
def test_S26_https_page_shows_what_a_link_list_blocks(bump, links, site, visit, pki, version):
    origin = site(version, pki.issue("links"))
    daemon = bump(links, access={"https_page": True}, tls={"default_action": "tunnel-sni"})
    client = Browser(visit(origin, name="phish.example"), "phish.example")
    for path in ("/", "/favicon.ico"):
        page = client.get(path, "Accept: text/html")
        assert page.status == 403 and b"A list of phishing links has it." in page.body
    client.stream.close()
    record = daemon.record_of(client.port)
    assert (record["action"], record["scan"], record["close"]) == ("block", "phishing", "threat_block")
    assert [(each["action"], each["threat"], each["status"]) for each in daemon.requests_of(client.port)] == [("block", "phishing", 403)] * 2
    assert not origin.visits


def test_S3_an_address_is_all_that_a_plain_tunnel_can_be_asked_for(bump, site, visit, connect, pki):
    listed, other = (site(V4, pki.issue("links")) for _ in range(2))
    daemon = bump(toml_table("links", {"malicious_link": [listed.address, "phish.example"]}) + tls_rule("all", "tunnel", {"port": 443}))
    peer = connect(V4, listed.address, 443, may_be_reset=True)
    assert peer.ending() == ("reset", b"")
    assert daemon.record_of(peer.port)["scan"] == "malicious_link"
    client = visit(other, name="phish.example", ca=None)
    client.close()
    assert daemon.record_of(client.port)["action"] == "tunnel"
    assert not listed.visits


@pytest.mark.parametrize("version", [V4, V6])
def test_S1_without_decrypt_a_listed_address_is_blocked_all_the_same(start, listen, connect, syns, version):
    listed, other = listen(version), listen(version)
    daemon = start(toml_table("links", {"phishing": [listed.address]}), tls={"decrypt": False})
    client = connect(version, listed.address, may_be_reset=True)
    assert_closed_unserved(client, syns, listed)
    record = daemon.record_of(client)
    assert (record["action"], record["scan"], record["close"], record["close_side"]) == ("block", "phishing", "threat_block", "gateway")
    passing = connect(version, other.address)
    assert_ends_in_order(passing, assert_passes(other, passing, b"neither TLS nor HTTP"))
    record = daemon.record_of(passing)
    assert (record["action"], record["scan"], record["close"]) == ("tunnel", "skipped", "finished")


def test_an_access_rule_decides_before_a_list_is_asked(bump, links, site, connect):
    origin = site(V4, None)
    daemon = bump(links + access_rule("no shop", "block", {"host": "phish.example"}))
    client = Browser(Plain(connect(V4, origin.address, 80)), "phish.example")
    assert client.get("/").status == 403
    client.stream.close()
    daemon.record_of(client.port)
    (logged,) = daemon.requests_of(client.port)
    assert (logged["action"], logged["access_rule"], logged.get("scan"), logged.get("threat")) == ("block", "no shop", None, None)


def test_a_reload_brings_a_new_list_and_keeps_the_old_one_when_the_file_is_no_list(bump, links, site, connect, tank):
    daemon = bump(links)
    origin = site(V4, None)

    def status(path):
        client = Browser(Plain(connect(V4, origin.address, 80)))
        page = client.get(path)
        client.stream.close()
        return page.status

    assert (status("/new"), status("/login/verify.php")) == (200, 403)
    tank.write_text(PHISHTANK + "11,http://www.example.com/new,x,y,yes,z,yes,Other\n")
    daemon.reload(daemon.config)
    assert (status("/new"), status("/login/verify.php")) == (403, 403)
    tank.write_text("<!DOCTYPE html>\n<title>Service unavailable</title>\n")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: "tank.csv is not text (HTML" in daemon.errors(), lambda: "the error to be reported\n" + daemon.tail())
    assert (status("/new"), status("/login/verify.php")) == (403, 403)
