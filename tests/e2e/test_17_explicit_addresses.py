"""S24, S25: rules over a destination, when an explicit client names a host that has several.

    client ── CONNECT ab.example.com, or GET http://ab.example.com/ ──▶ gateway ── may dial A only ──▶ A: refuses
                                                                                  ╳                     B: a server

Whoever owns a name chooses what addresses it has, in which order, and which of them answers. So a rule about B must hold for the name
with both exactly as for the name that has B alone.
"""

import pytest
from bump_peers import Browser
from lab import V4, V6, access_rule, endpoint_text, rule, tls_rule, toml_table
from test_17_explicit import client, names, proxy  # noqa: F401 (fixtures)

ALONE, BOTH = "only.example.com", ("ab.example.com", "ba.example.com")
WAITS = access_rule("waits for the hello", "allow", {"alpn": "acme-tls/1"})


@pytest.fixture
def town(proxy, client, lab, site, names, syns):  # noqa: F811
    class Town:
        """B serves; A refuses. ALONE is B; the names of BOTH are both, in either order. (The gateway asks for a name once, and has
        its own opinion of which family comes first.)"""

        def settle(self, here, there, certificate, port=443):
            self.A, self.B = lab.new_origin_address(here), site(there, certificate, port=port)
            for name, addresses in zip((ALONE, *BOTH), ([self.B.address], [self.A, self.B.address], [self.B.address, self.A])):
                names.addresses[name] = addresses

        def ask(self, target, *fields, method="CONNECT"):
            return client(V4).ask(target, *fields, method=method)

        def dialled(self):
            return {syn[1] for syn in syns.until_now()} & {self.A, self.B.address}

    town = Town()
    town.start = proxy
    return town


FAMILIES = pytest.mark.parametrize("here, there", [(V4, V4), (V6, V4), (V4, V6)], ids=lambda v: f"ipv{v}")
HELLO_RULES = {
    "terminate": lambda there: tls_rule("there", "terminate", {"destination": there}),
    "block": lambda there: WAITS + access_rule("there", "block", {"destination": there}),
    "redirect": lambda there: WAITS + access_rule("there", "redirect", {"destination": there}, to="https://portal.example/"),
    "bypass": lambda there: rule("bypass", "waits", "allow", {"alpn": "acme-tls/1"}) + rule("bypass", "there", "block", {"destination": there}),
    "links": lambda there: WAITS + toml_table("links", {"malicious_link": [there]}),
}


@FAMILIES
@pytest.mark.parametrize("how", HELLO_RULES)
def test_S24_a_verdict_that_waits_for_the_hello(town, pki, here, there, how):
    town.settle(here, there, pki.issue("town", sans="DNS:*.example.com"))
    daemon = town.start(HELLO_RULES[how](town.B.address))
    for name in (ALONE, *BOTH):
        asked = town.ask(f"{name}:443")
        assert asked.answer().status == 200
        with pytest.raises(OSError):
            asked.tls(pki.root.certificate, name)
        record = daemon.record_of(asked.port)
        if name == ALONE:
            assert record["action"] == {"terminate": "terminate", "redirect": "redirect"}.get(how, "block")
        else:  # the one that may be dialled does not answer
            assert (record["action"], record["close"]) == ("tunnel-sni", "origin_refused")
            assert record["destination"] == endpoint_text(town.A, 443)
    assert town.dialled() == {town.A} and not town.B.visits


@FAMILIES
def test_S6_a_rule_that_bumps_one_address(town, pki, here, there):
    """What goes to B is read. A name with both goes to one of them, by the rule for that one."""
    town.settle(here, there, pki.issue("town", sans="DNS:*.example.com"))
    daemon = town.start(tls_rule("look inside", "bump", {"destination": town.B.address}) + tls_rule("rest", "tunnel-sni", {"port": 443}))
    seen = set()
    for name in (ALONE, *BOTH):
        asked = town.ask(f"{name}:443")
        assert asked.answer().status == 200
        try:
            browser = Browser(asked.tls(pki.gateway_ca.certificate, name), name)
            assert browser.get("/").status == 200
            browser.stream.close()
            wanted = "bump", "look inside", town.B.address
        except OSError:
            wanted = "tunnel-sni", "rest", town.A
        record = daemon.record_of(asked.port)
        assert (record["action"], record["tls_rule"], record["destination"]) == (*wanted[:2], endpoint_text(wanted[2], 443))
        seen.add((name, wanted[0]))
    assert (ALONE, "bump") in seen
    if here == there:
        assert {(BOTH[0], "tunnel-sni"), (BOTH[1], "bump")} <= seen


@FAMILIES
@pytest.mark.parametrize("first", ["other bytes", "silence"])
def test_S8_what_is_not_TLS(town, here, there, first):
    town.settle(here, there, None, port=2222)
    daemon = town.start(WAITS + access_rule("there", "block", {"destination": town.B.address}), tls={"non_tls": "tunnel"},
                        limits={"hello_timeout": "500ms"})
    for name in (ALONE, *BOTH):
        asked = town.ask(f"{name}:2222")
        assert asked.answer().status == 200
        if first == "other bytes":
            asked.peer.send(b"SSH-2.0-OpenSSH_9.2\r\n")
        record = daemon.record_of(asked.port)
        assert record["close"] == ("rule_block" if name == ALONE else "origin_refused")
    assert town.dialled() == {town.A} and not town.B.visits


@FAMILIES
@pytest.mark.parametrize("how", ["in clear", "CONNECT"])
def test_S25_requests(town, client, here, there, how):  # noqa: F811
    """A request that is forbidden everywhere gets its page before anybody is dialled; the next one may pass."""
    town.settle(here, there, None, port=80)
    daemon = town.start(access_rule("no posts there", "block", {"destination": town.B.address, "method": "POST"}))

    def post(asked, name):
        target = f"http://{name}/" if how == "in clear" else "/"
        asked.ask(target, f"Host: {name}", "Content-Length: 1", method="POST").peer.send(b"x")
        return asked.reader.response("POST").status

    def open_for(name):
        asked = client(V4)
        return asked if how == "in clear" else asked.tunnel(f"{name}:80")

    asked = open_for(ALONE)
    assert [post(asked, ALONE) for _ in range(2)] == [403, 403]
    assert town.dialled() == set()
    asked.ask(f"http://{ALONE}/" if how == "in clear" else "/", f"Host: {ALONE}", method="GET")
    assert asked.reader.response().status == 200
    assert post(asked, ALONE) == 403
    asked.peer.close()
    assert [r["access_rule"] for r in daemon.requests_of(asked.port)] == ["no posts there", "no posts there", "default", "no posts there"]
    for name in BOTH:
        asked = open_for(name)
        assert post(asked, name) == 502
        asked.peer.close()
        assert daemon.record_of(asked.port)["destination"] == endpoint_text(town.A, 80)
    assert [r.method for r in town.B.requests] == ["GET"]
    # What no rule forbids there goes to whichever answers.
    for name in BOTH:
        asked = open_for(name)
        asked.ask(f"http://{name}/" if how == "in clear" else "/", f"Host: {name}", method="GET")
        assert asked.reader.response().status == 200
        asked.peer.close()
        assert daemon.record_of(asked.port)["destination"] == endpoint_text(town.B.address, 80)


def test_S25_inside_a_bumped_connection(town, pki):
    """It is dialled before there is a request, which is then judged for where it goes."""
    town.settle(V4, V4, pki.issue("town", sans="DNS:*.example.com"))
    daemon = town.start(access_rule("no posts there", "block", {"destination": town.B.address, "method": "POST"}), tls={"default_action": "bump"})
    for name in (ALONE, *BOTH):
        asked = town.ask(f"{name}:443")
        assert asked.answer().status == 200
        browser = Browser(asked.tls(pki.gateway_ca.certificate, name), name)
        assert [browser.get("/", method=method, body=body).status for method, body in (("GET", b""), ("POST", b"x"))] == [200, 403]
        browser.stream.close()
        assert [r["access_rule"] for r in daemon.requests_of(browser.port)] == ["default", "no posts there"]
    assert [r.method for r in town.B.requests] == ["GET"] * 3


def test_S19_a_rule_over_addresses_behind_one_over_the_body(town, client):  # noqa: F811
    """The bypass stage waits for the body, and the access stage is about the address: both are known before anything is sent."""
    town.settle(V4, V4, None, port=80)
    town.start(rule("bypass", "documents", "allow", {"file_type": "pdf"}) + access_rule("not there", "block", {"destination": town.B.address}))
    for name in (ALONE, *BOTH):
        asked = client(V4).ask(f"http://{name}/", f"Host: {name}", "Content-Length: 5", method="POST")
        asked.peer.send(b"12345")
        assert asked.reader.response("POST").status == 403
        asked.peer.close()
    assert not town.B.requests
