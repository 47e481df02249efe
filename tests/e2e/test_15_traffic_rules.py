"""S19-S30: every kind of traffic rule on every kind of traffic, by what the client sees, what the origin hears and what the log says.

    client ── plain HTTP ──────────────────────── gateway ── origin        rules over the address: one origin per row; over the name
    client ── TLS, tunnelled (synthetic CONNECT) ─ gateway ── origin        rules over the name: one name per row
    client ── CONNECT to the proxy, then TLS ───── gateway ── origin        the same
    client ── TLS, bumped: requests, responses ─── gateway ── origin

One row for every cell of {kind of traffic} x {bypass, access, protection} x {allow, block, redirect, no match} x {the rule names
CONNECT, excludes it, says nothing of it}.

In the protection stage "allow" is skip. What its rules speak of is a threat: a link list has the row's host, address or page. "block" rows
are of the class that [protection.default] skips, "allow" rows of the one that it blocks, so that each is seen to differ from the default. Nothing
is listed for "redirect", which this stage has not.
"""

import dataclasses
import gzip
import hashlib
import ssl

import pytest
from bump_peers import Browser, Plain, Tls, answer, client_context
from test_16_tricks import ROADS, road  # noqa: F401 (a fixture)
from test_17_explicit import Client, names, proxy  # noqa: F401 (fixtures)
from lab import V4, V6, LabError, access_rule, rule, run, tls_rule, toml_table, toml_value

PORTAL = "https://portal.example/"
STAGES = ("bypass", "access", "protection")
ACTIONS = ("allow", "block", "redirect", "no match")
MENTIONS = ("names", "excludes", "silent")


@dataclasses.dataclass(frozen=True)
class Row:
    stage: str
    action: str
    mention: str

    @property
    def name(self):
        return f"{self.stage}-{self.action.replace(' ', '-')}-{self.mention}"

    @property
    def host(self):
        return f"{self.name}.rows.example"

    @property
    def threat(self):
        """The class of links that has this row's host; None: it is in no list."""
        if self.stage != "protection":
            return None
        return {"block": "phishing", "no match": "phishing", "allow": "malicious_link", "redirect": None}[self.action]

    def toml(self, when):
        """The rule of this row, for what meets `when`."""
        if self.action == "no match":
            when = {**when, "client": ["192.0.2.99"]}
        if self.mention == "names":
            when = {**when, "method": "CONNECT"}
        except_ = [{"method": "CONNECT"}] if self.mention == "excludes" else None
        if self.stage == "protection":
            lines = ["[[protection.rules]]", f"name = {toml_value(self.name)}", f"when = {toml_value(when)}"]
            lines += [f"except = {toml_value(except_)}"] if except_ else []
            lines += [f"{threat} = {toml_value('skip' if self.action == 'allow' else 'block')}" for threat in DEFAULT]
            return "\n".join(lines) + "\n\n"
        more = {"to": PORTAL} if self.action == "redirect" else {}
        action = "block" if self.action == "no match" else self.action
        return rule(self.stage, self.name, action, when, except_, **more)

    @property
    def refusal(self):
        """What the log calls a refusal of this row."""
        return "block" if self.stage == "protection" else self.action

    def forbids(self, event):
        """Whether the CONNECT, or a request, is refused."""
        if self.stage == "protection":
            says = "skip" if self.action == "allow" else "block"
            return self.threat is not None and (says if self.matches(event) else DEFAULT[self.threat]) == "block"
        return self.action in ("block", "redirect") and self.matches(event)

    def matches(self, event):
        """Whether this row's rule matches the CONNECT, or a message."""
        return self.action != "no match" and self.mention in (("names", "silent") if event == "CONNECT" else ("excludes", "silent"))

    def check_names(self, record, event, where):
        """The log names the rule in its stage, when it matched, and what scanning came to."""
        named = record.get(f"{self.stage}_rule")
        assert (named == self.name) == self.matches(event), (self.name, where, record)
        self.check_scan(record, event, where)

    def check_scan(self, record, event, where, listed=True):
        threat = self.threat if listed else None
        if event == "CONNECT":
            tunnel = record["action"].startswith("tunnel")
            assert (record.get("scan"), record.get("reason")) == (
                threat or ("skipped" if tunnel else None), "tunnel" if tunnel else None), (self.name, where, record)
            return
        unscanned = self.stage == "bypass" and self.action == "allow" and self.matches(event)
        refused = threat is None and self.forbids(event)
        scan = "threat" if threat else "skipped" if unscanned else None if refused else "clean"
        assert (record.get("scan"), record.get("threat")) == (scan, threat), (self.name, where, record)


DEFAULT = {"phishing": "skip", "malicious_link": "block"}


def tables(rows, listed=lambda row: row.host):
    """The link lists and the default policy."""
    links = {threat: [listed(row) for row in rows if row.threat == threat] for threat in DEFAULT}
    return toml_table("links", links) + toml_table("protection.default", DEFAULT)


ROWS = [Row(stage, action, mention) for stage in STAGES for action in ACTIONS for mention in MENTIONS]


def check_refusal(row, page, where, event="request"):
    if row.stage == "protection":
        assert (page.status, page.get("cache-control")) == (403, "no-store"), (row.name, where)
        rule_name = row.name if row.matches(event) else "protection.default"
        sentence = {"phishing": "A list of phishing links has it.", "malicious_link": "A list of malicious links has it."}[row.threat]
        for text in (rule_name, row.threat, sentence):
            assert text.encode() in page.body, (row.name, where, text)
    elif row.action == "block":
        assert (page.status, page.get("cache-control")) == (403, "no-store"), (row.name, where)
        assert row.name.encode() in page.body, (row.name, where)
    else:
        assert (page.status, page.get("location")) == (302, PORTAL), (row.name, where)


def check_refused_record(row, record, where):
    action = "block" if row.stage == "protection" else row.action
    close = {"block": "rule_block", "redirect": "rule_redirect"}[action] if row.threat is None else "threat_block"
    assert (record["action"], record["close"], record["bytes_up"]) == (action, close, 0), (row.name, where, record)
    row.check_names(record, "CONNECT", where)


def is_reset(open_):
    try:
        stream = open_()
    except ConnectionResetError:
        return True
    except (ssl.SSLError, LabError) as error:
        raise AssertionError(f"not a reset: {error}") from error
    stream.close()
    return False


def check_requests(row, daemon, client, where, action):
    """Two requests on a kept connection are judged each. Returns the connection's record, whose action is to be `action`."""
    refused = row.forbids("request")
    for _ in range(2):
        page = client.get("/row", "Accept: text/html")
        if refused:
            check_refusal(row, page, where)
        else:
            assert page.status == 200, row.name
    client.stream.close()
    record = daemon.record_of(client.port)
    assert record["action"] == action, (row.name, record)
    logged = daemon.requests_of(client.port)
    assert len(logged) == 2
    for each in logged:
        row.check_names(each, "request", where)
        assert each["action"] == (row.refusal if refused else "allow"), (row.name, each)
    return record


def check_plain_requests(row, daemon, client, origin):
    """Of what is forbidden the origin sees not even a connection."""
    check_requests(row, daemon, client, "plain", "allow")
    assert (len(origin.visits), len(origin.requests)) == ((0, 0) if row.forbids("request") else (1, 2)), row.name


@pytest.mark.parametrize("version", [V4, V6])
def test_plain_http(bump, site, connect, version):
    """The rules are over the address, which is known at CONNECT: what matches there ends in a reset, without a byte."""
    sites = {row: site(version, None) for row in ROWS}
    daemon = bump("".join(row.toml({"destination": [origin.address]}) for row, origin in sites.items())
                  + tables(ROWS, lambda row: sites[row].address))
    for row, origin in sites.items():
        if row.forbids("CONNECT"):
            peer = connect(version, origin.address, 80, may_be_reset=True)
            assert peer.ending() == ("reset", b""), row.name
            check_refused_record(row, daemon.record_of(peer.port), "CONNECT")
            assert not origin.visits, row.name
            continue
        check_plain_requests(row, daemon, Browser(Plain(connect(version, origin.address, 80))), origin)


@pytest.mark.parametrize("version", [V4, V6])
def test_plain_http_by_name(bump, site, connect, version):
    """The rules are over the host, which the CONNECT has not: it passes, and a rule that is silent about it is one over requests."""
    sites = {row: site(version, None) for row in ROWS}
    daemon = bump("".join(row.toml({"host": row.host}) for row in ROWS) + tables(ROWS))
    for row, origin in sites.items():
        check_plain_requests(row, daemon, Browser(Plain(connect(version, origin.address, 80)), row.host), origin)


@pytest.mark.parametrize("version", [V4, V6])
def test_transparent_connect(bump, site, visit, pki, version):
    """Tunnelled: there is nothing but the CONNECT."""
    origin = site(version, pki.issue("rows", sans="DNS:*.rows.example"))
    daemon = bump("".join(row.toml({"host": row.host}) for row in ROWS) + tables(ROWS), tls={"default_action": "tunnel-sni"})
    for row in ROWS:
        before = len(origin.visits)
        if row.forbids("CONNECT"):
            client = visit(origin, name=row.host, handshake=False)
            assert is_reset(client.handshake), row.name
            check_refused_record(row, daemon.record_of(client.port), "CONNECT")
            assert len(origin.visits) == before, row.name
            continue
        client = Browser(visit(origin, name=row.host, ca=pki.root.certificate), row.host)
        assert client.get("/row").status == 200, row.name
        client.stream.close()
        record = daemon.record_of(client.port)
        assert record["action"] == "tunnel-sni", (row.name, record)
        row.check_names(record, "CONNECT", "tunnel")


@pytest.mark.parametrize("version", [V4, V6])
def test_explicit_connect(proxy, names, site, connect, pki, version):  # noqa: F811
    """A real CONNECT: a bare close in place of the reset, and nothing looked up."""
    origin = site(version, pki.issue("rows", sans="DNS:*.rows.example"))
    daemon = proxy("".join(row.toml({"host": row.host}) for row in ROWS) + tables(ROWS))
    for row in ROWS:
        names.addresses[row.host] = [origin.address]
        visits = len(origin.visits)
        client = Client(connect, version)
        if row.forbids("CONNECT"):
            assert client.ask(f"{row.host}:443").answer() is None, row.name
            check_refused_record(row, daemon.record_of(client.port), "explicit CONNECT")
            assert row.host not in names.asked and len(origin.visits) == visits, row.name
            continue
        client.tunnel(f"{row.host}:443")
        browser = Browser(Tls(client.peer, client_context(pki.root.certificate), name=row.host).handshake(), row.host)
        assert browser.get("/row").status == 200, row.name
        browser.stream.close()
        record = daemon.record_of(client.port)
        assert (record["mode"], record["action"]) == ("explicit", "tunnel-sni"), (row.name, record)
        row.check_names(record, "CONNECT", "explicit")


@pytest.mark.parametrize("version", [V4, V6])
def test_bumped_requests(bump, site, visit, pki, version):
    origin = site(version, pki.issue("rows", sans="DNS:*.rows.example"))
    daemon = bump("".join(row.toml({"host": row.host}) for row in ROWS) + tables(ROWS))
    for row in ROWS:
        before, visits = len(origin.requests), len(origin.visits)
        if row.forbids("CONNECT"):
            client = visit(origin, name=row.host, handshake=False)
            assert is_reset(client.handshake), row.name
            check_refused_record(row, daemon.record_of(client.port), "CONNECT")
            assert len(origin.visits) == visits, row.name
            continue
        client = Browser(visit(origin, name=row.host), row.host)
        record = check_requests(row, daemon, client, "bumped", "bump")
        row.check_names(record, "CONNECT", "bump")
        assert len(origin.requests) - before == (0 if row.forbids("request") else 2), row.name


@pytest.mark.parametrize("version", [V4, V6])
def test_bumped_responses(bump, site, visit, pki, version):
    """The rules are over responses alone, which no CONNECT is: one that names it never matches. A link is judged with its request, so what a
    protection rule says of responses comes too late, and the default has decided."""
    origin = site(version, pki.issue("rows", sans="DNS:*.rows.example"), lambda request: answer(
        b"a film, says the head", "200 OK", "Content-Type: video/mp4" if request.target == "/film" else "Content-Type: text/plain"))
    daemon = bump("".join(row.toml({"host": row.host, "mime": "video/*", "direction": "response"}) for row in ROWS)
                  + tables(ROWS, lambda row: f"https://{row.host}/film"))
    for row in ROWS:
        before = len(origin.requests)
        client = Browser(visit(origin, name=row.host), row.host)
        as_link = row.threat is not None and DEFAULT[row.threat] == "block"
        refused = as_link or (row.stage != "protection" and row.action in ("block", "redirect") and row.mention != "names")
        for path in ("/words", "/film", "/words"):
            page = client.get(path, "Accept: text/html")
            if refused and path == "/film":
                check_refusal(row, page, "response", event="the request, which no rule of this table matches")
            else:
                assert (page.status, page.body) == (200, b"a film, says the head"), (row.name, path)
        client.stream.close()
        daemon.record_of(client.port)
        logged = daemon.requests_of(client.port)
        assert [each["action"] for each in logged] == ["allow", row.refusal if refused else "allow", "allow"], row.name
        for each in logged:
            film = each["url"].endswith("/film")
            matches = film and not as_link and row.action != "no match" and row.mention != "names"
            assert (each.get(f"{row.stage}_rule") == row.name) == matches, (row.name, each)
            if row.stage == "protection":
                threat = row.threat if film else None
                assert (each["scan"], each.get("threat")) == ("threat" if threat else "clean", threat), (row.name, each)
        assert len(origin.requests) - before == (2 if as_link else 3), row.name


# --- what is in a body ----------------------------------------------------------------------------------------------

PROGRAM = b"MZ" + bytes(0x3a) + b"\x80" + bytes(0x43) + b"PE\0\0\x64\x86" + b"p" * 30000
WORDS = b"just some words\n" * 4000


def test_content_decides_responses_and_requests(web):
    """By type, name, hash and size; whatever a body is called, compressed or not; and what is harmless arrives unchanged."""
    bodies = {
        "/picture.png": (PROGRAM, ["Content-Type: image/png"], "no programs"),
        "/packed": (gzip.compress(PROGRAM), ["Content-Encoding: gzip"], "no programs"),
        "/odd": (b"whatever this is", ["Content-Encoding: exotic"], "no programs"),
        "/known": (WORDS + b"known", [], "known"),
        "/named": (b"x", ["Content-Disposition: attachment; filename*=UTF-8''tool%2EBAT"], "no scripts"),
        "/x/tool.bat": (b"x", [], "no scripts"),
        "/large": (b"y" * 300_000, [], "not so large"),
        "/words": (WORDS, [], None),
        "/packed-words": (gzip.compress(WORDS), ["Content-Encoding: gzip"], None),
        "/nothing": (b"", [], None),
    }
    daemon = web.start(
        access_rule("no scripts", "block", {"file_name": "*.bat", "direction": "response"}) +
        access_rule("not so large", "block", {"size": "> 200 KiB"}) +
        access_rule("no programs", "block", {"file_type": "executable"}) +
        access_rule("known", "block", {"sha256": hashlib.sha256(WORDS + b"known").hexdigest()}))
    site = web.site(lambda request: answer(bodies[request.target][0], "200 OK", *bodies[request.target][1])
                    if request.target in bodies else answer(b"got " + str(len(request.body)).encode()))
    client = web.open(site)
    for path, (body, _, blocked_by) in bodies.items():
        page = client.get(path, "Range: bytes=0-")
        assert (path, page.status) == (path, 403 if blocked_by else 200)
        if blocked_by is None:
            assert page.body == body, path
        if blocked_by == "not so large":  # there is too much behind it to be thrown away
            assert page.get("connection") == "close"
            client = web.open(site)
    assert all(request.get("range") is None for request in site.requests)
    before = len(site.requests)
    assert client.get("/up", method="POST", body=PROGRAM).status == 403
    assert client.get("/up", method="POST", body=WORDS).body == b"got 64000"
    assert [len(request.body) for request in site.requests[before:]] == [64000]
    client.stream.close()
    daemon.record_of(client.port)
    logged = daemon.requests_of(client.port)
    assert [(each["action"], each["access_rule"]) for each in logged[-2:]] == [("block", "no programs"), ("allow", "default")]


# --- tricks ---------------------------------------------------------------------------------------------------------

TRICKS = [  # target, Host
    ("/private/x", "shop.example"),
    ("/private/x", "SHOP.Example"),
    ("/private/x", "shop.example."),
    ("/private/x", "shop.example:80"),
    ("http://shop.example/private/x", "www.example.com"),
    ("http://SHOP.example:80/private/x", "www.example.com"),
    ("/%70rivate/x", "shop.example"),
    ("/%2570rivate/x", "shop.example"),
    ("//private///x", "shop.example"),
    ("/a/../private/./x", "shop.example"),
    ("/a/%2e%2e/private/x", "shop.example"),
    ("/a/..%2fprivate/x", "shop.example"),
    ("/%5Cprivate%5Cx", "shop.example"),
    ("/private/x?y=z", "shop.example"),
]


@pytest.mark.parametrize("kind", ROADS)
@pytest.mark.parametrize("version", [V4, V6])
def test_S20_no_spelling_slips_past_a_url(road, kind, version):  # noqa: F811
    ask = road(kind, access_rule("private", "block", {"url": "shop.example/private/*"}), version)
    for target, host in TRICKS:
        assert (target, host, ask(target, host)) == (target, host, 403)
        (logged,) = ask.daemon.requests_of(ask.port)
        assert logged["access_rule"] == "private", (target, host)
    ask.check_that_nobody_heard()
    assert ask("/public/private/x", "shop.example") == 200


# --- a page over HTTPS ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V4, V6])
def test_S26_https_page_shows_a_block_without_an_origin(bump, site, visit, pki, syns, version):
    origin = site(version, pki.issue("rows", sans="DNS:*.rows.example"))
    daemon = bump(access_rule("no shop", "block", {"host": "shop.example"}) +
                  access_rule("not there", "block", {"destination": [origin.address], "host": "there.example"}) +
                  access_rule("moved", "redirect", {"host": "moved.example"}, to=PORTAL),
                  access={"https_page": True}, tls={"default_action": "tunnel-sni"})
    for name, blocked_by in (("shop.example", "no shop"), ("there.example", "not there")):
        client = Browser(visit(origin, name=name), name)  # the certificate is for that name, by the gateway's CA
        for path in ("/", "/favicon.ico"):
            page = client.get(path, "Accept: text/html")
            assert page.status == 403 and blocked_by.encode() in page.body
        client.stream.close()
        record = daemon.record_of(client.port)
        assert (record["action"], record["access_rule"], record["close"]) == ("block", blocked_by, "rule_block")
        assert record["bytes_up"] == 0
        assert [(each["action"], each["access_rule"], each["status"]) for each in daemon.requests_of(client.port)] == [
            ("block", blocked_by, 403)] * 2
    client = visit(origin, name="moved.example", handshake=False)
    assert is_reset(client.handshake)
    client = Browser(visit(origin, name="x.rows.example", ca=pki.root.certificate), "x.rows.example")
    assert client.get("/").status == 200
    assert len(origin.visits) == 1


@pytest.mark.parametrize("version", [V4, V6])
def test_S22_plain_HTTP_that_is_forbidden_dials_nobody(bump, lab, connect, syns, version):
    """The page comes though nobody listens there; a rule over the address has a page with https_page only (S23)."""
    nowhere, elsewhere = lab.new_origin_address(version), lab.new_origin_address(version)
    for https_page in (False, True):
        daemon = bump(access_rule("not there", "block", {"destination": [elsewhere]}) +
                      access_rule("no shop", "block", {"host": "shop.example"}), access={"https_page": https_page})
        for address, host, blocked_by in ((nowhere, "shop.example", "no shop"), (elsewhere, "other.example", "not there")):
            def ask():
                peer = connect(version, address, 80)
                ports.append(peer.port)
                client = Browser(Plain(peer), host)
                for _ in range(2):  # the connection is kept
                    page = client.get("/", "Accept: text/html")
                    assert page.status == 403 and blocked_by.encode() in page.body
                return client.stream

            ports = []
            assert is_reset(ask) == (address == elsewhere and not https_page)
            if ports:  # a reset may come before the test has its port
                assert daemon.record_of(ports[0])["action"] == ("block" if address == elsewhere else "allow")
        daemon.stop()
    assert syns.until_now() == []


def test_S26_https_page_needs_a_ca(lab):
    config = lab.folder / "https-page.toml"
    config.write_text(lab.config(access={"https_page": True}))
    checked = run(lab.binary, "check", "-c", config, check=False)
    assert checked.returncode == 1 and "https_page" in checked.stdout + checked.stderr
