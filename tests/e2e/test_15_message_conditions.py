"""S19, S21: every condition over requests, responses and what is in them, through real traffic: rows for which it holds, for which it
fails, and with an exception.

    client ── plain HTTP, or TLS that is bumped; IPv4, IPv6 ── gateway: one rule per case, told apart by the Host ── origin

The connection is to www.example.com, so that no rule of a case matches the CONNECT, where content can never become known.
"""

import dataclasses
import gzip
import hashlib

import pytest
from bump_peers import Browser, Plain, Site, Tls, answer, client_context
from lab import V4, V6, Daemon, access_rule

PDF = b"%PDF-1.7\n" + b"%\xe2\xe3\xcf\xd3\n" * 20
ZIP = b"PK\x03\x04\x14" + bytes(21) + b"\x05\0\0\0a.txtx" + bytes(40)
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0\x01\0\0\0" + bytes(40)
WORDS = b"nothing but words\n" * 10


@dataclasses.dataclass(frozen=True)
class Message:
    """A request, and what the origin answers it."""
    target: str = "/"
    method: str = "GET"
    fields: tuple = ()
    body: bytes = b""          # of the request
    page: bytes = b"the page"  # of the response
    page_fields: tuple = ()
    chunked: bool = False      # the body that there is comes without its length

    def respond(self):
        if self.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"
        return chunked_answer(self.page, self.page_fields) if self.chunked else answer(self.page, "200 OK", *self.page_fields)


def in_chunks(body):
    pieces = [body[at:at + 7] for at in range(0, len(body), 7)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def chunked_answer(body, fields):
    return "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *fields]).encode() + b"\r\n\r\n" + in_chunks(body)


def get(target="/", *fields):
    return Message(target, fields=fields)


def says(page=b"the page", *page_fields, target="/", **more):
    """A GET, and this in answer."""
    return Message(target, page=page, page_fields=page_fields, **more)


def post(body=WORDS, *fields, target="/", method="POST", **more):
    return Message(target, method, fields, body, **more)


def typed(mime, page=b"the page"):
    return says(page, f"Content-Type: {mime}")


def named(value):
    return says(b"x", f"Content-Disposition: {value}")


def agent(text):
    return get("/", f"User-Agent: {text}")


class Case:
    """A condition, and messages for which it holds and for which it does not. `at`: what is blocked, the request (the origin hears nothing of
    it) or the response."""

    def __init__(self, name, when, holds=(), fails=(), except_=None, at="request"):
        self.name, self.when, self.holds, self.fails, self.except_, self.at = name, when, holds, fails, except_, at
        self.host = name.replace(" ", "-").replace("_", "-") + ".case.example"


RESPONSE = {"direction": "response"}
REQUEST = {"direction": "request"}
BASIC = "Authorization: Basic YWxpY2U6eA=="
PROXY_BASIC = "Proxy-Authorization: Basic YWxpY2U6eA=="


def digest(kind, data):
    return hashlib.new(kind, data).hexdigest()


def user_cases():
    """Nobody has a name in transparent mode: neither the condition nor its negation can hold."""
    anybody = [get(), get("/", BASIC), get("/", PROXY_BASIC)]
    return [
        Case("user", {"user": ["alice", "a*"]}, [], anybody),
        Case("user except", {}, anybody, [], except_=[{"user": "alice"}]),
    ]


def agent_cases():
    return [
        Case("user_agent", {"user_agent": "(?i)^curl/"}, [agent("curl/8.1"), agent("CURL/7")],
             [agent("Mozilla/5.0 curl/8.1"), get(), get("/curl/", "X-User-Agent: curl/8.1")]),
        Case("user_agent somewhere", {"user_agent": "b[0-9]t"}, [agent("a b0t here")], [agent("a bot here"), get()]),
        Case("user_agent list", {"user_agent": ["^Wget", "^curl"]}, [agent("Wget/1"), agent("curl/8")], [agent("Lynx")]),
        Case("user_agent except", {}, [agent("curl/8"), get()], [agent("Firefox/1")], except_=[{"user_agent": "Firefox"}]),
        Case("user_agent of responses", {"user_agent": "^curl", **RESPONSE}, [agent("curl/8")], [agent("Lynx")], at="response"),
    ]


def method_cases():
    return [
        Case("method", {"method": "POST"}, [post(), post(b"")], [get(), post(method="PUT"), Message(method="HEAD")]),
        Case("method list", {"method": ["PUT", "DELETE"]}, [post(method="PUT"), Message(method="DELETE")], [post(), get()]),
        Case("method HEAD", {"method": "HEAD"}, [Message(method="HEAD")], [get()]),
        Case("method unknown", {"method": "FROBNICATE"}, [Message(method="FROBNICATE")], [get(), Message(method="FROBNICATED")]),
        Case("method CONNECT", {"method": "CONNECT"}, [], [get(), post()]),
        Case("method except", {}, [post(), Message(method="DELETE")], [get(), Message(method="HEAD")],
             except_=[{"method": ["GET", "HEAD"]}]),
        Case("method of responses", {"method": "POST", **RESPONSE}, [post()], [get()], at="response"),
    ]


def url_cases(scheme):
    port, other_scheme = (443, "http") if scheme == "https" else (80, "https")
    return [
        Case("url", {"url": "url.case.example/secret/*"}, [get("/secret/x"), get("/secret/"), get("/secret/x?y=/z"), get("//a/../%73ecret/x")],
             [get("/secret"), get("/Secret/x"), get("/"), get("/a/secret/x"), get("/?/secret/x")]),
        Case("url whole path", {"url": "url-whole-path.case.example/start"}, [get("/start"), get("/start?x")],
             [get("/start/"), get("/starter"), get("/")]),
        Case("url the start page", {"url": "url-the-start-page.case.example/"}, [get("/"), get("/?x=y")], [get("/x")]),
        Case("url any host", {"url": "*.case.example/*.exe"}, [get("/a/b.exe"), get("/b.exe?x=1")], [get("/b.exe/x"), get("/b.txt?b.exe")]),
        Case("url query", {"url": "url-query.case.example/find?q=*"}, [get("/find?q=1"), get("/find?q=")], [get("/find"), get("/find?r=1&q=1")]),
        Case("url regex", {"url": "re:[?&]token="}, [get("/?token=1"), get("/a?b&token=")], [get("/token=1"), get("/?mytoken=1")]),
        Case("url scheme", {"url": f"{scheme}://url-scheme.case.example/*"}, [get("/x")], []),
        Case("url other scheme", {"url": f"{other_scheme}://url-other-scheme.case.example/*"}, [], [get("/x")]),
        Case("url port", {"url": f"url-port.case.example:{port}/*"}, [get("/x")], []),
        Case("url other port", {"url": "url-other-port.case.example:8080/*"}, [], [get("/x")]),
        Case("url list", {"url": ["url-list.case.example/a", "re:/b$"]}, [get("/a"), get("/x/b")], [get("/c")]),
        Case("url except", {}, [get("/private/x"), get("/")], [get("/public/x")], except_=[{"url": "url-except.case.example/public/*"}]),
        Case("url of responses", {"url": "*/film*", **RESPONSE}, [get("/film")], [get("/words")], at="response"),
    ]


def direction_cases():
    return [
        Case("direction request", REQUEST, [get(), post()], []),
        Case("direction response", RESPONSE, [get(), post()], [], at="response"),
        Case("direction except requests", {}, [get(), post()], [], except_=[REQUEST], at="response"),
        Case("direction except responses", {}, [get(), post()], [], except_=[RESPONSE]),
    ]


def mime_cases():
    film = "Content-Type: video/mp4"
    return [
        Case("mime", {"mime": "video/mp4"}, [typed("video/mp4"), typed("Video/MP4; codecs=\"x\""), typed("video/mp4;a=b")],
             [typed("video/mp4x"), typed("video/webm"), typed("text/plain; video/mp4"), says()], at="response"),
        Case("mime of a type", {"mime": "video/*"}, [typed("video/mp4"), typed("VIDEO/x")], [typed("videos/mp4"), typed("text/video")],
             at="response"),
        Case("mime list", {"mime": ["image/*", "application/zip"]}, [typed("image/png"), typed("application/zip")],
             [typed("application/x-zip")], at="response"),
        Case("mime of uploads", {"mime": "video/*"}, [post(WORDS, film), post(WORDS, film, method="PUT")],
             [post(WORDS, "Content-Type: text/plain"), post(), get()]),
        Case("mime of uploads alone", {"mime": "video/*", **REQUEST}, [post(WORDS, film)], [typed("video/mp4")]),
        Case("mime of downloads alone", {"mime": "video/*", **RESPONSE}, [typed("video/mp4")], [post(WORDS, film)], at="response"),
        # Programs differ in which of several types they take: any of them is enough to forbid, none to except.
        Case("mime among several", {"mime": "video/*"},
             [says(b"x", "Content-Type: text/plain", film), says(b"x", film, "Content-Type: text/plain"), typed("text/plain, video/mp4"),
              typed("text/plain;x=y , Video/MP4;x"), says(b"x", "Content-Type: ", film), typed("*/*, video/mp4"), typed("nonsense,video/mp4")],
             [says(b"x", "Content-Type: text/html", "Content-Type: text/plain"), typed("text/plain, text/html"), typed("text/plain; x=\"a, b\"")],
             at="response"),
        Case("mime except among several", RESPONSE, [typed("text/html, video/mp4"), says(b"x", film, "Content-Type: text/html")],
             [typed("text/html, TEXT/html;x")], except_=[{"mime": "text/html"}], at="response"),
        Case("mime except", RESPONSE, [typed("video/mp4"), says()], [typed("text/html; charset=utf-8"), typed("TEXT/plain")],
             except_=[{"mime": "text/*"}], at="response"),
    ]


def file_name_cases():
    """The URL tells a name before anything is asked of the origin, Content-Disposition only in its answer."""
    disposition = "Content-Disposition: attachment; filename="
    return [
        Case("file_name glob", {"file_name": "*.exe"}, [get("/a/Tool.EXE?x"), get("/a%20b%2eexe"), get("/.exe")],
             [get("/tool.exe/x"), get("/x?tool.exe"), get("/tool.exe.txt"), get()]),
        Case("file_name one letter", {"file_name": "report-?.doc"}, [get("/report-1.doc"), get("/x/Report-B.DOC")],
             [get("/report-.doc"), get("/report-12.doc"), get("/my-report-1.doc")]),
        Case("file_name regex", {"file_name": "re:(?i)setup[0-9]*\\.zip$"}, [get("/Setup12.zip"), get("/my-setup.zip?x")],
             [get("/setupx.zip"), get("/setup.zip.txt"), get("/setup.zip/")]),
        Case("file_name list", {"file_name": ["*.msi", "re:^core$"]}, [get("/a.msi"), get("/core")], [get("/a.msix"), get("/hardcore")]),
        Case("file_name in a header", {"file_name": ["*.exe", "re:^core$"]},
             [named('attachment; filename="setup.EXE"'), named("attachment; filename*=UTF-8''a%2Eexe"), named("inline; filename=C:\\x\\core")],
             [named('attachment; filename="setup.exe.txt"'), named("attachment"), says()], at="response"),
        # What the URL says is not unsaid by the header, nor the other way round.
        Case("file_name of the URL", {"file_name": "*.bat"}, [says(b"x", disposition + "a.txt", target="/a.bat")],
             [says(b"x", disposition + "a.txt", target="/a.sh")]),
        Case("file_name of the header", {"file_name": "*.bat"}, [says(b"x", disposition + "a.bat", target="/a.txt")],
             [says(b"x", disposition + "a.txt", target="/a.txt")], at="response"),
        Case("file_name in any reading", {"file_name": "*.bat"},
             [named("attachment; filename=evil%2Ebat"), named('attachment; filename="evil.bat/"'), named("filename=evil.bat"),
              named("attachment; filename=evil.bat; filename*=UTF-8''good.txt"), named("attachment; filename=a.txt; filename=evil.bat"),
              named("attachment; filename*0=evil; filename*1=.bat"), named("attachment; filename=\"=?UTF-8?Q?evil=2Ebat?=\""),
              says(b"x", disposition + "a.txt", disposition + "evil.bat")],
             [named("attachment; filename=a%2Etxt"), named("attachment; filename=bat; filename*=UTF-8''good.txt"),
              says(b"x", disposition + "a.txt", disposition + "b.txt")], at="response"),
        Case("file_name except in any reading", RESPONSE, [says(b"x", disposition + "evil.sh", target="/kernel-1.zip"),
                                                         named("attachment; filename=kernel-1; filename*=UTF-8''evil.sh"),
                                                         says(b"x", disposition + "kernel-1", disposition + "evil.sh")],
             [named("attachment; filename=kernel-1"), says(b"x", target="/kernel-2.zip")], except_=[{"file_name": "kernel-*"}], at="response"),
        Case("file_name of downloads", {"file_name": "*.bat", **RESPONSE}, [get("/a.bat"), says(b"x", disposition + "a.bat")], [get("/a.txt")],
             at="response"),
        Case("file_name of uploads", {"file_name": "*.key", **REQUEST},
             [post(target="/a.key", method="PUT"), post(WORDS, 'Content-Disposition: attachment; filename="b.KEY"')],
             [post(target="/a.pub", method="PUT"), post(), says(b"x", disposition + "b.key")]),
        Case("file_name except", {"file_name": "*.zip"}, [get("/a.zip")], [get("/kernel-1.zip"), get("/a.txt")],
             except_=[{"file_name": "kernel-*"}]),
    ]


def file_type_cases():
    packed = says(gzip.compress(PDF), "Content-Encoding: gzip")
    return [
        Case("file_type", {"file_type": "pdf"}, [says(PDF), typed("text/plain", PDF), says(PDF, target="/a.txt"), packed, says(PDF, chunked=True)],
             [typed("application/pdf", WORDS), says(WORDS, target="/a.pdf"), says(b"")], at="response"),
        Case("file_type class", {"file_type": "executable"}, [says(ELF)], [says(PDF), says(ZIP), says(WORDS)], at="response"),
        Case("file_type list", {"file_type": ["pdf", "archive"]}, [says(PDF), says(ZIP)], [says(ELF), says(WORDS)], at="response"),
        Case("file_type of uploads", {"file_type": "pdf", **REQUEST}, [post(PDF), post(PDF, "Content-Type: text/plain"), post(PDF, chunked=True)],
             [post(WORDS, "Content-Type: application/pdf"), post(b""), says(PDF)]),
        Case("file_type except", {"file_type": ["document", "archive"], **RESPONSE}, [says(ZIP)], [says(PDF), says(WORDS)],
             except_=[{"file_type": "pdf"}], at="response"),
    ]


def sizes(*counts, **more):
    return [says(b"x" * count, **more) for count in counts]


def uploads(*counts, **more):
    return [post(b"x" * count, **more) for count in counts]


def size_cases():
    return [
        Case("size above", {"size": "> 1000 B"}, sizes(1001, 5000) + sizes(1001, chunked=True), sizes(1000, 0) + sizes(1000, chunked=True),
             at="response"),
        Case("size from", {"size": ">= 1 KiB"}, sizes(1024) + sizes(1024, chunked=True), sizes(1023) + sizes(1023, chunked=True), at="response"),
        Case("size below", {"size": "< 10 B", **RESPONSE}, sizes(9, 0) + sizes(9, 0, chunked=True), sizes(10) + sizes(10, chunked=True), at="response"),
        Case("size up to", {"size": "<= 10 B", **RESPONSE}, sizes(10, 0) + sizes(10, chunked=True), sizes(11) + sizes(11, chunked=True), at="response"),
        Case("size range", {"size": "10 B - 20 B"}, sizes(10, 15, 20) + sizes(10, 20, chunked=True), sizes(9, 21, 0) + sizes(9, 21, chunked=True),
             at="response"),
        Case("size list", {"size": ["10 B - 20 B", "> 1 KiB"]}, sizes(12, 1025), sizes(9, 21, 1024), at="response"),
        Case("size of uploads", {"size": "> 100 B", **REQUEST}, uploads(101) + uploads(101, chunked=True),
             uploads(100, 0) + uploads(100, chunked=True) + sizes(200)),
        Case("size of nothing", {"size": "< 10 B"}, [get()] + uploads(9), uploads(10, page=b"x" * 10)),  # a request without a body has 0 bytes
        Case("size as it is sent", {"size": "> 1000 B", **RESPONSE}, [], [says(gzip.compress(bytes(5000)), "Content-Encoding: gzip")]),
        Case("size except", RESPONSE, sizes(9, 21), sizes(10, 20), except_=[{"size": "10 B - 20 B"}], at="response"),
    ]


def hash_cases(kind):
    mine, other = digest(kind, PDF), digest(kind, ZIP)
    return [
        Case(kind, {kind: mine}, [says(PDF), says(PDF, chunked=True), says(gzip.compress(PDF), "Content-Encoding: gzip")],
             [says(PDF + b"x"), says(PDF[:-1]), says(b"")], at="response"),
        Case(f"{kind} list", {kind: [mine.upper(), other]}, [says(PDF), says(ZIP)], [says(WORDS)], at="response"),
        Case(f"{kind} of uploads", {kind: mine, **REQUEST}, [post(PDF), post(PDF, chunked=True)], [post(PDF + b"x"), says(PDF), get()]),
        Case(f"{kind} except", {"file_type": "pdf", **RESPONSE}, [says(PDF + b"x")], [says(PDF), says(WORDS)], except_=[{kind: mine}],
             at="response"),
    ]


def mixed_cases():
    film = "Content-Type: video/mp4"
    return [
        Case("all must hold", {"method": "PUT", "mime": "video/*", "size": "> 20 B", "user_agent": "curl"},
             [post(b"x" * 21, film, "User-Agent: curl", method="PUT")],
             [post(b"x" * 20, film, "User-Agent: curl", method="PUT"), post(b"x" * 21, film, "User-Agent: curl"),
              post(b"x" * 21, "User-Agent: curl", method="PUT"), post(b"x" * 21, film, method="PUT")]),
        Case("except any of two sets", RESPONSE, [typed("video/mp4")], [typed("text/html"), agent("Backup/1")],
             except_=[{"mime": "text/*"}, {"user_agent": "^Backup"}], at="response"),
        Case("except all of one set", RESPONSE, [typed("text/html"), agent("Backup/1")],
             [Message(fields=("User-Agent: Backup/1",), page_fields=("Content-Type: text/html",))],
             except_=[{"mime": "text/*", "user_agent": "^Backup"}], at="response"),
    ]


def cases(scheme):
    return [*user_cases(), *agent_cases(), *method_cases(), *url_cases(scheme), *direction_cases(), *mime_cases(), *file_name_cases(),
            *file_type_cases(), *size_cases(), *hash_cases("md5"), *hash_cases("sha256"), *mixed_cases()]


def rules_of(all_cases):
    return "".join(access_rule(c.name, "block", {"host": c.host, **c.when}, c.except_) for c in all_cases)


class Table:
    """One daemon for all cases of one scheme and family, and one origin, which looks up what to say by the number in the request."""

    def __init__(self, lab, pki, scheme, version):
        self.lab, self.pki, self.scheme, self.version = lab, pki, scheme, version
        identity = pki.issue("cases", sans="DNS:www.example.com,DNS:*.case.example") if scheme == "https" else None
        self.messages = []
        self.origin = Site(lab, version, identity, lambda request: self.messages[int(request.get("x-number"))].respond())
        tls = {"default_action": "bump", "ca_cert": pki.gateway_ca.certificate, "ca_key": pki.gateway_ca.key, "system_roots": False,
               "extra_roots": [pki.root.certificate]}
        config = lab.config(rules_of(cases(scheme)), gateway={"http_ports": [80]}, tls=tls)
        lab.kernel_up(config)
        self.daemon = Daemon(lab, config)

    def connect(self, host):
        peer = self.lab.connect(self.version, self.origin.address, self.origin.port)
        if self.scheme == "http":
            return Browser(Plain(peer), host)
        return Browser(Tls(peer, client_context(self.pki.gateway_ca.certificate), name="www.example.com").handshake(), host)

    def ask(self, client, message):
        """The answer, and whether the origin heard the request as it was."""
        number = len(self.messages)
        self.messages.append(message)
        fields = [*message.fields, f"X-Number: {number}", "Accept: text/html"]
        body = message.body
        if message.chunked and body:
            fields, body = [*fields, "Transfer-Encoding: chunked"], in_chunks(body)
        page = client.get(message.target, *fields, method=message.method, body=body)
        heard = [r for r in self.origin.requests if r.get("x-number") == str(number)]
        assert [(r.method, r.body) for r in heard] in ([], [(message.method, message.body)]), message
        return page, bool(heard)

    def close(self):
        try:
            self.daemon.stop()
        finally:
            self.origin.close()


TABLES = [(scheme, version) for scheme in ("http", "https") for version in (V4, V6)]


@pytest.fixture(scope="module", params=TABLES, ids=[f"{'bumped' if s == 'https' else 'plain'}-ipv{v}" for s, v in TABLES])
def table(request, lab, pki):
    made = Table(lab, pki, *request.param)
    yield made
    made.close()


@pytest.mark.parametrize("name", [case.name for case in cases("http")], ids=lambda name: name.replace(" ", "-"))
def test_S19_S21_conditions_over_messages(lab, table, name):
    lab.kernel_up(table.daemon.config)
    case = next(c for c in cases(table.scheme) if c.name == name)
    client, ports, wanted, before = table.connect(case.host), [], [], len(table.origin.requests)
    for is_blocked, messages in ((True, case.holds), (False, case.fails), (True, case.holds[:1])):  # judged anew each time
        for message in messages:
            page, heard = table.ask(client, message)
            where = (is_blocked, message)
            assert page.status == (403 if is_blocked else 200), where
            assert heard == (not is_blocked or case.at == "response"), where
            if message.method != "HEAD":
                assert (name.encode() in page.body and page.get("cache-control") == "no-store") if is_blocked else page.body == message.page, where
            wanted.append(("block", 403, name) if is_blocked else ("allow", 200, "default"))
            if page.get("connection") == "close":
                ports.append(client.port)
                client.stream.close()
                client = table.connect(case.host)
    client.stream.close()
    logged = [r for port in (*ports, client.port) for r in table.daemon.requests_of(port)]
    assert [(r["action"], r["status"], r["access_rule"]) for r in logged] == wanted
    # Nor has the origin heard later of what was blocked as a request.
    assert len(table.origin.requests) - before == sum(action == "allow" or case.at == "response" for action, *_ in wanted)
