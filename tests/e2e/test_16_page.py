"""S31: the block page and the redirect, as clients see them, over plain HTTP and inside a bumped connection.

    client ── GET / (Host: blocked.example) ── gateway: page (403), or redirect (302)      origin: hears nothing of it
           ◄─ on the same connection, what is allowed goes on ────────────────────────────── origin
"""

import os
import re
import socket
import time

import pytest
from bump_peers import Browser, Plain
from lab import V4, V6, access_rule, run, toml_table
from test_17_explicit import Client, basic, crypt, names, proxy  # noqa: F401 (fixtures, and a password's hash)

BLOCKED, MOVED = "blocked.example", "moved.example"
HTML = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
MACROS = ("DATE", "TIME", "METHOD", "URL", "HOST", "CLIENT_IP", "USER", "USER_AGENT", "RULE", "REASON", "THREAT", "CATEGORY", "SERVER")
TARGET = "https://intranet.example/why?" + "&".join(f"{name.lower()}=%{name}%" for name in MACROS)


def rules(to="https://intranet.example/", page=""):
    return (access_rule('no "games" <here>', "block", {"host": BLOCKED}) +
            access_rule("moved away", "redirect", {"host": MOVED}, to=to) + (f"[page]\n{page}\n" if page else ""))


class Pages:
    """A gateway with these rules, and clients' connections to an origin whose certificate is for every name."""

    def __init__(self, scheme, version, bump, site, visit, connect, identity):
        self.scheme, self._bump, self._visit, self._connect = scheme, bump, visit, connect
        self.origin = site(version, identity if scheme == "https" else None)

    def start(self, **more):
        self.daemon = self._bump(rules(**more))
        return self.daemon

    def open(self, host=BLOCKED):
        origin = self.origin
        if self.scheme == "https":  # the name that is allowed is in the ClientHello, so that only requests are blocked
            return Browser(self._visit(origin), host)
        return Browser(Plain(self._connect(origin.version, origin.address, origin.port)), host)


@pytest.fixture(params=[("https", V6), ("http", V4)], ids=["bumped", "plain"])
def pages(request, bump, site, visit, connect, pki):
    identity = pki.issue("three hosts", sans=f"DNS:www.example.com,DNS:{BLOCKED},DNS:{MOVED}")
    return Pages(*request.param, bump, site, visit, connect, identity)


def definitions(body):
    """label -> text of the built-in page."""
    return dict(re.findall(rb"<dt>(.*?)</dt><dd>(.*?)</dd>", body))


def test_S31_the_built_in_page(pages):
    pages.start(page='server = "gw.example"')
    client = pages.open()
    page = client.get("/a/<script>?q=1&r='2'", HTML)
    assert page.first == "HTTP/1.1 403 Forbidden"
    assert page.get("content-type") == "text/html; charset=utf-8"
    assert (page.get("cache-control"), int(page.get("content-length"))) == ("no-store", len(page.body))
    assert "default-src 'none'" in page.get("content-security-policy")
    said = definitions(page.body)
    url = f"{pages.scheme}://{BLOCKED}/a/&lt;script&gt;?q=1&amp;r=&#39;2&#39;".encode()
    assert said[b"Address"] == url
    assert (said[b"Host"], said[b"Rule"]) == (BLOCKED.encode(), b"no &quot;games&quot; &lt;here&gt;")
    assert said[b"Gateway"] == b"gw.example" and said[b"Reason"]
    assert re.fullmatch(rb"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", said[b"Time"])
    assert not {b"Threat", b"Category", b"User"} & set(said)
    assert b"<script" not in page.body
    # Nothing is asked of anybody else.
    assert not re.search(rb"(src|href)=|@import|url\(", page.body)
    assert pages.origin.requests == []


def test_S31_the_host_name_stands_in_for_the_gateways_name(pages):
    pages.start()
    assert definitions(pages.open().get("/", HTML).body)[b"Gateway"] == socket.gethostname().encode()


def test_S31_the_connection_goes_on_behind_a_page(pages):
    """A page, a redirect, and what is allowed, in turn; each is judged anew."""
    daemon = pages.start()
    client = pages.open()
    for _ in range(3):
        assert client.get("/", HTML).status == 403
        assert client.get("/", HTML, host=MOVED).status == 302
        assert client.get("/fine", host="www.example.com").status == 200
        assert client.get("/", method="HEAD").status == 403
    assert [request.target for request in pages.origin.requests] == ["/fine"] * 3
    client.stream.close()
    assert [r["status"] for r in daemon.requests_of(client.port)] == [403, 302, 200, 403] * 3


def test_S31_a_body_that_is_still_being_sent(pages):
    """The page comes at once; the body is read and thrown away, and the next request is read behind it."""
    pages.start()
    client = pages.open()
    client.stream.send(f"POST /up HTTP/1.1\r\nHost: {BLOCKED}\r\nContent-Length: 10\r\n\r\nhalf ".encode())
    assert client.reader.response().status == 403
    client.stream.send(b"body!")
    assert client.get("/fine", host="www.example.com").status == 200
    assert [request.target for request in pages.origin.requests] == ["/fine"]


def test_S31_HEAD_has_the_pages_head_and_no_body(pages):
    pages.start()
    client = pages.open()
    whole = client.get("/same", HTML)
    head = client.get("/same", HTML, method="HEAD")
    assert (head.status, head.body) == (403, b"")
    assert head.get("content-length") == whole.get("content-length")
    assert client.get("/", method="HEAD", host=MOVED).get("location") == "https://intranet.example/"


@pytest.mark.parametrize("keep", [False, True], ids=["close", "keep-alive"])
def test_S31_clients_of_HTTP_1_0(pages, keep):
    pages.start()
    client = pages.open()
    asked = "Connection: keep-alive\r\n" if keep else ""
    client.stream.send(f"GET / HTTP/1.0\r\nHost: {BLOCKED}\r\n{asked}\r\n".encode())
    page = client.reader.response()
    assert (page.status, int(page.get("content-length"))) == (403, len(page.body))
    assert page.get("transfer-encoding") is None
    assert page.get("connection") == ("keep-alive" if keep else "close")
    if keep:
        client.stream.send(f"GET / HTTP/1.0\r\nHost: {MOVED}\r\n\r\n".encode())
        assert client.reader.response().status == 302
    assert client.ending() == ("end", b"")


def test_S31_who_wants_no_HTML_gets_a_few_lines(pages):
    pages.start(page='server = "gw.example"')
    client = pages.open()
    page = client.get("/api?<x>", "Accept: application/json")
    assert (page.status, page.get("content-type")) == (403, "text/plain; charset=utf-8")
    text = page.body.decode()
    assert text.startswith("403 Forbidden\n")
    assert f"\nAddress: {pages.scheme}://{BLOCKED}/api?<x>\n" in text
    assert '\nRule: no "games" <here>\n' in text and "\nGateway: gw.example\n" in text
    assert client.get("/", "Accept: text/html;q=0, */*").get("content-type").startswith("text/plain")
    assert client.get("/", "Accept: */*").get("content-type").startswith("text/html")
    assert client.get("/").get("content-type").startswith("text/html")


def template(lab, text):
    path = lab.folder / f"block-{time.monotonic_ns()}.html"
    path.write_text(text)
    return path


def test_S31_a_template_with_every_macro(pages, lab):
    path = template(lab, "100%% width: 50%;\n" + "".join(f"[{name}|%{name}%]\n" for name in MACROS))
    pages.start(page=f'template = "{path}"\nserver = "gw <1>"')
    client = pages.open()
    page = client.get("/x?<y>", HTML, 'User-Agent: Browser "1" <b>')
    assert page.status == 403 and "content-security-policy" not in {name.lower() for name, _ in page.headers}
    lines = page.body.decode().splitlines()
    assert lines[0] == "100% width: 50%;"
    said = dict(re.fullmatch(r"\[(\w+)\|(.*)\]", line).groups() for line in lines[1:])
    assert set(said) == set(MACROS)
    assert said["URL"] == f"{pages.scheme}://{BLOCKED}/x?&lt;y&gt;"
    assert (said["HOST"], said["METHOD"], said["RULE"]) == (BLOCKED, "GET", "no &quot;games&quot; &lt;here&gt;")
    assert said["USER_AGENT"] == "Browser &quot;1&quot; &lt;b&gt;"
    client.stream.close()
    assert said["CLIENT_IP"] in pages.daemon.record_of(client.port)["client"]
    assert (said["SERVER"], said["USER"], said["THREAT"], said["CATEGORY"]) == ("gw &lt;1&gt;", "", "", "")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", said["DATE"]) and re.fullmatch(r"\d\d:\d\d:\d\d", said["TIME"])
    assert said["REASON"]


VALUES = ("USER", "THREAT", "CATEGORY")
LINKS = toml_table("links", {"phishing": ["www.example.com/phish"], "malicious_link": ["www.example.com/kit/"]})


def test_S31_the_threat_and_its_category_are_named(pages, lab):
    """And what is blocked by a rule is no threat."""
    path = template(lab, "".join(f"[{name}|%{name}%]\n" for name in VALUES))
    daemon = pages.start(page=f'template = "{path}"\n' + LINKS)
    client = pages.open("www.example.com")
    for target, threat in (("/phish", "phishing"), ("/kit/er.exe", "malicious_link"), ("/phish?x", "phishing")):
        page = client.get(target, HTML)
        assert (page.status, page.body.decode()) == (403, f"[USER|]\n[THREAT|{threat}]\n[CATEGORY|{threat}]\n")
    page = client.get("/phish", HTML, host=BLOCKED)
    assert (page.status, page.body) == (403, b"[USER|]\n[THREAT|]\n[CATEGORY|]\n")
    assert client.get("/fine", HTML).status == 200
    client.stream.close()
    assert [r.get("threat") for r in daemon.requests_of(client.port)] == ["phishing", "malicious_link", "phishing", None, None]
    assert [request.target for request in pages.origin.requests] == ["/fine"]


def test_S31_the_built_in_page_names_the_threat(pages):
    pages.start(page=LINKS)
    said = definitions(pages.open("www.example.com").get("/phish", HTML).body)
    assert (said[b"Threat"], said[b"Category"], said[b"Reason"]) == (b"phishing", b"phishing", b"A list of phishing links has it.")
    assert b"User" not in said


ODD_USER = """o'hara "<b>&%41 """.strip()  # a name may be anything without a colon


def test_S31_the_user_is_named(proxy, names, site, connect, pki, lab, version):  # noqa: F811
    """In clear and inside a bumped CONNECT; escaped in the page, encoded in the redirect."""
    passwords = lab.folder / "page-users"
    passwords.write_text(f"alice:{crypt(b'wonder', b'$6$', 1000)}\n{ODD_USER}:{crypt(b'wonder', b'$6$', 1000)}\n")
    passwords.chmod(0o644)
    path = template(lab, "".join(f"[{name}|%{name}%]\n" for name in VALUES))
    origin = site(version, pki.issue("three hosts", sans=f"DNS:www.example.com,DNS:{BLOCKED},DNS:{MOVED}"))
    names.addresses["www.example.com"] = [origin.address]
    daemon = proxy(rules(to="https://intranet.example/?who=%USER%&threat=%THREAT%", page=f'template = "{path}"\n' + LINKS),
                   explicit={"users": passwords}, tls={"default_action": "bump"})
    for user, in_page, in_url in (("alice", "alice", "alice"), (ODD_USER, "o&#39;hara &quot;&lt;b&gt;&amp;%41", "o%27hara%20%22%3Cb%3E%26%2541")):
        word = basic(user, "wonder")
        asked = Client(connect, version)
        for host, target, threat in ((BLOCKED, "/", ""), ("www.example.com", "/phish", "phishing")):
            asked.ask(f"http://{host}{target}", f"Host: {host}", HTML, word, method="GET")
            page = asked.reader.response()
            assert (page.status, page.body.decode()) == (403, f"[USER|{in_page}]\n[THREAT|{threat}]\n[CATEGORY|{threat}]\n")
        asked.ask(f"http://{MOVED}/", f"Host: {MOVED}", word, method="GET")
        page = asked.reader.response()
        assert (page.status, page.get("location")) == (302, f"https://intranet.example/?who={in_url}&threat=")
        asked.peer.close()

        asked = Client(connect, version).tunnel("www.example.com:443", word)
        browser = Browser(asked.tls(pki.gateway_ca.certificate, "www.example.com"))
        page = browser.get("/phish", HTML)
        assert (page.status, page.body.decode()) == (403, f"[USER|{in_page}]\n[THREAT|phishing]\n[CATEGORY|phishing]\n")
        assert browser.get("/", host=MOVED).get("location") == f"https://intranet.example/?who={in_url}&threat="
        browser.stream.close()
        assert daemon.record_of(asked.port)["user"] == user
    assert origin.requests == []


def test_S31_bytes_that_are_no_text_do_not_reach_the_page(pages, lab):
    path = template(lab, "[%USER_AGENT%]")
    pages.start(page=f'template = "{path}"')
    page = pages.open().get("/", HTML, "User-Agent: a\xe4\x9b1m\t</title>")
    assert page.body == b"[a\\xe4\\x9b1m\\x09&lt;/title&gt;]"


def test_S31_a_redirect_with_every_macro_is_one_line(pages):
    pages.start(to=TARGET)
    client = pages.open(MOVED)
    page = client.get("/x?a=1&b=<2>%0d%0aSet-Cookie:%20x", "User-Agent: Browser \"1\"\t&c")
    assert (page.status, page.get("cache-control"), page.get("set-cookie")) == (302, "no-store", None)
    where = page.get("location")
    values = dict(part.split("=", 1) for part in where.removeprefix("https://intranet.example/why?").split("&"))
    assert set(values) == {name.lower() for name in MACROS}
    assert values["url"] == f"{pages.scheme}%3A%2F%2F{MOVED}%2Fx%3Fa%3D1%26b%3D%3C2%3E%250d%250aSet-Cookie%3A%2520x"
    assert (values["host"], values["rule"], values["user_agent"]) == (MOVED, "moved%20away", "Browser%20%221%22%09%26c")
    assert int(page.get("content-length")) == len(page.body) and b"https://intranet.example/why?" in page.body
    assert pages.origin.requests == []


def test_S31_a_page_that_an_upgrade_asked_for(pages):
    """A WebSocket that is blocked gets the page, and no upgrade."""
    pages.start()
    page = pages.open().get("/socket", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    assert page.status == 403 and page.get("upgrade") is None
    assert pages.origin.requests == []


def test_S31_reload_takes_a_new_template(pages, lab):
    path = template(lab, "first")
    daemon = pages.start(page=f'template = "{path}"')
    assert pages.open().get("/", HTML).body == b"first"
    path.write_text("second")
    daemon.reload(daemon.config)
    assert pages.open().get("/", HTML).body == b"second"
    path.write_text("%NOPE%")
    daemon.reload(daemon.config)
    assert pages.open().get("/", HTML).body == b"second"
    assert f"{path}:1:1: error: there is no macro %NOPE%" in daemon.errors()


@pytest.mark.no_daemon
def test_S31_check_names_the_place_of_a_wrong_macro(lab):
    path = template(lab, "<p>\n  %HOTS%\n")
    config = lab.folder / "page-check.toml"
    config.write_text(f'[page]\ntemplate = "{os.path.basename(path)}"\n' +
                      access_rule("moved", "redirect", {"host": "a.example"}, to="https://b.example/?%URI%"))
    said = run(lab.binary, "check", "-c", config, check=False)
    assert said.returncode == 1
    text = said.stdout + said.stderr
    assert f"{path}:2:3: error: there is no macro %HOTS%; did you mean %HOST%?" in text


def test_S31_curl_sees_the_page_and_follows_the_redirect(bump, site, lab):
    """A client that we did not write."""
    origin = site(V4, None)
    bump(rules(to="http://www.example.com/moved"))

    def curl(url, *more):
        names = [argument for name in (BLOCKED, MOVED, "www.example.com") for argument in ("--resolve", f"{name}:80:{origin.address}")]
        return lab.client.run("curl", "-sS", "--max-time", "20", *names, *more, url).stdout

    assert "<h1>This page is blocked</h1>" in curl(f"http://{BLOCKED}/x")
    assert curl(f"http://{BLOCKED}/", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", "-H", "Accept: text/plain") == (
        "403 text/plain; charset=utf-8")
    assert curl(f"http://{MOVED}/x", "-L") == "hello from the origin\n"
    assert curl(f"http://{BLOCKED}/", "-I").startswith("HTTP/1.1 403 Forbidden")
    assert curl(f"http://{BLOCKED}/", "-0", "-o", "/dev/null", "-w", "%{http_code}") == "403"
    assert curl(f"http://{BLOCKED}/", "-T", __file__, "-o", "/dev/null", "-w", "%{http_code}") == "403"
    assert [request.target for request in origin.requests] == ["/moved"]
