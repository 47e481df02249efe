"""S19, S23, S25: who asks, and with what program, as rules of a configured proxy see them.

    alice, bob ── CONNECT, or GET http://… ──▶ gateway :3128: password, rules ──▶ origin

The user is the one of the proxy's password, for the CONNECT and for every request inside it. The user agent is that of each message: what a
program says in its CONNECT says nothing of what it says inside.
"""

import itertools

import pytest
from bump_peers import Browser
from lab import access_rule, rule, tls_rule
from test_17_explicit import basic, client, names, proxy, users  # noqa: F401 (fixtures)

ALICE, BOB = basic("alice", "wonder"), basic("bob", "builder")
HTML = "Accept: text/html"


@pytest.fixture
def office(proxy, client, site, pki, names, users, version):  # noqa: F811
    """A proxy with two users in front of an origin with TLS for every name of rules.example, and one without for the others."""
    class Office:
        def __init__(self):
            self.secure, self.plain = site(version, pki.issue("rules", sans="DNS:*.rules.example")), site(version, None)

        def start(self, rules, **more):
            self.daemon = proxy(rules, explicit={"users": users}, **more)
            return self.daemon

        def CONNECT(self, name, *fields):
            names.addresses[name] = [self.secure.address]
            return client(version).ask(f"{name}:443", *fields)

        def inside(self, name, *fields, bumped=True):
            asked = self.CONNECT(name, *fields)
            assert asked.answer().status == 200
            return Browser(asked.tls((pki.gateway_ca if bumped else pki.root).certificate, name), name)

        def in_clear(self, name, *fields, asked=None):
            """The connection and the answer."""
            names.addresses[name] = [self.plain.address]
            asked = (asked or client(version)).ask(f"http://{name}/", f"Host: {name}", HTML, *fields, method="GET")
            return asked, asked.reader.response()

    return Office()


class Rule:
    """A rule for hosts of its own, and for whom it holds."""

    def __init__(self, name, when, except_, blocks):
        self.name, self.when, self.except_, self.blocks = name, when, except_, blocks
        self.host, self.clear_host = f"{name}.rules.example", f"{name}.clear.example"

    def toml(self, **more):
        return access_rule(self.name, "block", {**(more or {"host": [self.host, self.clear_host]}), **self.when}, self.except_)


USERS = [("alice", ALICE), ("bob", BOB)]
USER_RULES = [
    Rule("name", {"user": "bob"}, None, ["bob"]),
    Rule("beginning", {"user": ["carol", "al*"]}, None, ["alice"]),
    Rule("both", {"user": ["alice", "bob"]}, None, ["alice", "bob"]),
    Rule("case", {"user": "Alice"}, None, []),
    Rule("except", {}, [{"user": "alice"}], ["bob"]),
]


def test_S19_S23_a_user_at_CONNECT(office):
    daemon = office.start("".join(each.toml() for each in USER_RULES))
    for each, (user, word) in itertools.product(USER_RULES, USERS):
        where = (each.name, user)
        before = len(office.secure.visits)
        is_blocked = user in each.blocks
        if is_blocked:
            asked = office.CONNECT(each.host, word)
            assert asked.answer() is None, where
            port = asked.port
        else:
            browser = office.inside(each.host, word, bumped=False)
            assert browser.get("/").status == 200, where
            browser.stream.close()
            port = browser.port
        record = daemon.record_of(port)
        assert (record["user"], record["action"], record["access_rule"]) == (
            (user, "block", each.name) if is_blocked else (user, "tunnel-sni", "default")), where
        assert len(office.secure.visits) - before == (0 if is_blocked else 1), where


def test_S19_S22_a_user_of_requests_in_clear(office):
    """On one kept connection, where each request may be another user's."""
    daemon = office.start("".join(each.toml() for each in USER_RULES))
    asked, wanted = None, []
    for each, (user, word) in itertools.product(USER_RULES, USERS):
        before = len(office.plain.visits)
        asked, page = office.in_clear(each.clear_host, word, asked=asked)
        is_blocked = user in each.blocks
        assert page.status == (403 if is_blocked else 200), (each.name, user)
        assert not is_blocked or each.name.encode() in page.body
        assert len(office.plain.visits) - before == (0 if is_blocked else 1), (each.name, user)
        wanted.append(("block", 403, each.name) if is_blocked else ("allow", 200, "default"))
    asked.peer.close()
    assert [(r["action"], r["status"], r["access_rule"]) for r in daemon.requests_of(asked.port)] == wanted
    assert all(r.get("proxy-authorization") is None for r in office.plain.requests)


def test_S19_S25_a_user_inside_a_bumped_connection(office):
    """The requests inside name no user; they are those of the user who asked for the connection, whatever their own fields say."""
    daemon = office.start("".join(each.toml(url=f"{each.host}/private/*") for each in USER_RULES), tls={"default_action": "bump"})
    for each, (user, word) in itertools.product(USER_RULES, USERS):
        browser, is_blocked = office.inside(each.host, word), user in each.blocks
        before = len(office.secure.requests)
        for path in ("/private/x", "/public", "/private/y"):
            page = browser.get(path, HTML, ALICE if user == "bob" else BOB)
            is_page = is_blocked and path != "/public"
            assert page.status == (403 if is_page else 200), (each.name, user, path)
            assert not is_page or each.name.encode() in page.body
        browser.stream.close()
        assert daemon.record_of(browser.port)["user"] == user
        assert [r["access_rule"] for r in daemon.requests_of(browser.port)] == (
            [each.name, "default", each.name] if is_blocked else ["default"] * 3)
        assert len(office.secure.requests) - before == (1 if is_blocked else 3), (each.name, user)


def test_S19_a_redirect_for_one_user(office):
    """In a page's place a 302; but a CONNECT cannot be redirected (S23)."""
    name, clear_name = "away.rules.example", "away.clear.example"
    daemon = office.start(rule("bypass", "sent away", "redirect", {"user": "bob"}, to="https://portal.example/?who=%USER%"),
                          tls={"default_action": "bump"})
    asked, page = office.in_clear(clear_name, BOB)
    assert (page.status, page.get("location")) == (302, "https://portal.example/?who=bob")
    _, page = office.in_clear(clear_name, ALICE, asked=asked)
    assert page.status == 200
    asked.peer.close()
    assert [r["action"] for r in daemon.requests_of(asked.port)] == ["redirect", "allow"]
    asked = office.CONNECT(name, BOB)
    assert asked.answer() is None
    record = daemon.record_of(asked.port)
    assert (record["action"], record["close"], record["bypass_rule"]) == ("redirect", "rule_redirect", "sent away")
    assert not office.secure.visits
    assert office.inside(name, ALICE).get("/").status == 200


def test_S19_TLS_rules_over_users(office):
    daemon = office.start(tls_rule("alice stays private", "tunnel-sni", {"user": "alice"}) +
                          tls_rule("eve", "terminate", {"user": "eve*"}), tls={"default_action": "bump"})
    for (user, word), action, rule_name in zip(USERS, ("tunnel-sni", "bump"), ("alice stays private", "default")):
        browser = office.inside("www.rules.example", word, bumped=action == "bump")
        assert browser.get("/").status == 200
        browser.stream.close()
        record = daemon.record_of(browser.port)
        assert (record["user"], record["action"], record["tls_rule"]) == (user, action, rule_name)


AGENT_RULES = [
    Rule("regex", {"user_agent": "(?i)^curl/"}, None, {"curl/8", "CURL/7"}),
    Rule("list", {"user_agent": ["^Wget", "8$"]}, None, {"curl/8"}),
    Rule("except", {}, [{"user_agent": "Firefox"}], {"curl/8", "CURL/7", None}),
]
AGENTS = ["curl/8", "CURL/7", "Mozilla/5.0 Firefox/1", None]


def fields_of(agent):
    return [] if agent is None else [f"User-Agent: {agent}"]


def test_S19_S23_a_user_agent_at_CONNECT(office):
    daemon = office.start("".join(each.toml(host=each.host, method="CONNECT") for each in AGENT_RULES), tls={"default_action": "bump"})
    for each, agent in itertools.product(AGENT_RULES, AGENTS):
        where = (each.name, agent)
        before = len(office.secure.visits)
        is_blocked = agent in each.blocks
        if is_blocked:
            asked = office.CONNECT(each.host, ALICE, *fields_of(agent))
            assert asked.answer() is None, where
            port = asked.port
        else:
            browser = office.inside(each.host, ALICE, *fields_of(agent))
            assert browser.get("/", "User-Agent: curl/8").status == 200, where  # this rule is about connections
            browser.stream.close()
            port = browser.port
        record = daemon.record_of(port)
        assert (record["action"], record["access_rule"]) == (("block", each.name) if is_blocked else ("bump", "default")), where
        assert len(office.secure.visits) - before == (0 if is_blocked else 1), where


def test_S19_S25_a_user_agent_is_that_of_each_message(office):
    """In clear, and inside a CONNECT of a program that no rule means."""
    daemon = office.start("".join(each.toml() for each in AGENT_RULES), tls={"default_action": "bump"})
    for each in AGENT_RULES:
        browser, asked = office.inside(each.host, ALICE, "User-Agent: Mozilla/5.0 Firefox/1"), None
        for agent in AGENTS:
            is_blocked = agent in each.blocks
            before = len(office.secure.requests), len(office.plain.requests)
            page = browser.get("/", HTML, *fields_of(agent))
            asked, clear = office.in_clear(each.clear_host, ALICE, *fields_of(agent), asked=asked)
            assert [page.status, clear.status] == [403 if is_blocked else 200] * 2, (each.name, agent)
            heard = len(office.secure.requests) - before[0], len(office.plain.requests) - before[1]
            assert heard == ((0, 0) if is_blocked else (1, 1)), (each.name, agent)
        browser.stream.close()
        asked.peer.close()
        for port in (browser.port, asked.port):
            assert [r["access_rule"] for r in daemon.requests_of(port)] == [each.name if a in each.blocks else "default" for a in AGENTS]
