"""S6, S12, S14: what people see. A real Chromium (headless) through the bumping gateway: a page with sub-resources of two
hosts, large bodies up and down, and a WebSocket; and what it says of certificates that it must not trust.

    Chromium ── a replacement, or none ── gateway: bump ── nginx: https://www.example.com, https://static.example.com
    (a HOME that is thrown away,                             └─ plain HTTP/1.1 ── Backend: echoes, and a WebSocket
     with our CA in it or without)

Chromium is told what to do over --remote-debugging-pipe, and says there what it saw: the DOM after the page's script, the
certificate, the error. Its name resolution is a fixed table, so it asks for nothing else.
"""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import hello
import pytest
from bump_peers import Plain, Reader, answer, parse_hello
from lab import V4, V6, LabError, Origin, deadline_s, run, tls_features, tls_rule, wait_until

X25519MLKEM768 = 0x11EC
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
BIG_BYTES = 1_000_000
CUT_BYTES = 100_000     # of which half come
SOCKET_BYTES = 300_000
PLACES = ["www.example.com" + path for path in ("/", "/big", "/echo", "/cut", "/socket")] + [
    "static.example.com" + path for path in ("/style.css", "/image.svg", "/script.js")]

PAGE = """<!doctype html><title>the page</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="https://static.example.com/style.css">
<p id="styled">text</p>
<img id="image" src="https://static.example.com/image.svg">
<ul id="said"></ul>
<script src="https://static.example.com/script.js"></script>
"""

STYLE = "#styled { color: rgb(1, 2, 3) }\n" + "/* padding that compresses */\n" * 2000

IMAGE = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="30" height="20"/></svg>'

# Writes what it found into the list of the page; window.finished is a promise of the end.
SCRIPT = """
function say(name, value) {
  const item = document.createElement("li");
  item.id = name;
  item.textContent = value;
  document.getElementById("said").append(item);
}

async function digest(bytes) {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(sum, byte => byte.toString(16).padStart(2, "0")).join("");
}

function loaded() {
  return document.readyState === "complete" ? null : new Promise(done => addEventListener("load", done));
}

async function subresources() {
  await loaded();
  say("css", getComputedStyle(document.getElementById("styled")).color);
  const image = document.getElementById("image");
  say("image", image.naturalWidth + "x" + image.naturalHeight);
}

async function bodies() {
  const big = await (await fetch("/big")).arrayBuffer();
  say("big", big.byteLength + " " + await digest(big));
  const echoed = await (await fetch("/echo", {method: "POST", body: big})).arrayBuffer();
  say("echo", echoed.byteLength + " " + await digest(echoed));
  const cut = await fetch("/cut");
  say("cut", await cut.text().then(text => "complete: " + text.length, error => cut.status + " then " + error.name));
}

function websocket() {
  const socket = new WebSocket("wss://www.example.com/socket");
  socket.binaryType = "arraybuffer";
  return new Promise((done, failed) => {
    socket.onopen = () => socket.send("hello over the socket");
    socket.onmessage = async ({data}) => {
      if (typeof data === "string") {
        say("text", data);
        socket.send(new Uint8Array(SOCKET_BYTES).fill(7));
      } else {
        say("binary", data.byteLength + " " + await digest(data));
        socket.close(1000, "enough");
      }
    };
    socket.onclose = event => {
      say("closed", event.code + " " + event.reason + " " + event.wasClean);
      done();
    };
    socket.onerror = () => failed(new Error("the WebSocket failed"));
  });
}

window.finished = (async () => {
  await subresources();
  await bodies();
  await websocket();
})().catch(error => say("error", String(error)));
""".replace("SOCKET_BYTES", str(SOCKET_BYTES))


# --- the origin -----------------------------------------------------------------------------------------------------


class Backend:
    """Behind nginx: plain HTTP/1.1. Echoes bodies and WebSocket frames, and breaks one response off."""

    def __init__(self, lab):
        self.sockets = []  # what each WebSocket received, after unmasking
        self.origin = Origin(lab, V4, 8000).serve(self._visit)
        self.address = f"{self.origin.address}:8000"

    def _visit(self, peer):
        stream = Plain(peer)
        reader = Reader(stream)
        while request := reader.request():
            if (request.get("upgrade") or "").lower() == "websocket":
                return self._websocket(stream, reader, request)
            if request.first.split()[1] == "/cut":
                return stream.send(answer(b"x" * CUT_BYTES)[:-CUT_BYTES // 2])
            stream.send(answer(request.body, "200 OK", "Content-Type: application/octet-stream"))

    def _websocket(self, stream, reader, request):
        """RFC 6455: every frame goes back as it came, without the mask, up to the closing one."""
        key = request.get("sec-websocket-key").encode()
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest()).decode()
        stream.send(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        received = bytearray()
        self.sockets.append(received)
        while True:
            first, size = reader.exactly(2)
            assert size & 0x80, "a client's frame is masked"
            size &= 0x7F
            if size >= 126:
                size = int.from_bytes(reader.exactly(2 if size == 126 else 8), "big")
            mask = reader.exactly(4)
            masked = reader.exactly(size)
            whole = (mask * (size // 4 + 1))[:size]
            payload = (int.from_bytes(masked, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
            length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size) if size < 65536 \
                else b"\x7f" + struct.pack("!Q", size)
            stream.send(bytes([first]) + length + payload)
            if first & 0xF == 8:
                return stream.finish()
            received += payload

    def close(self):
        self.origin.close()


class Website:
    """nginx with HTTP/2 switched on, and the page's files; compresses what is text."""

    def __init__(self, lab, version, identity):
        self.lab, self.version, self.identity = lab, version, identity
        self.address = lab.new_origin_address(version)
        self.backend = Backend(lab)
        folder = self.folder = lab.folder / f"website-{self.address.replace(':', '-')}"
        folder.mkdir()
        self.big = random.Random(14).randbytes(BIG_BYTES)
        for name, text in (("index.html", PAGE), ("style.css", STYLE), ("image.svg", IMAGE), ("script.js", SCRIPT)):
            (folder / name).write_text(text)
        (folder / "big").write_bytes(self.big)
        self.access_log = folder / "access.log"
        (folder / "nginx.conf").write_text(f"""
            daemon off; pid {folder}/pid; error_log {folder}/error.log; user root; worker_processes 1;
            events {{ worker_connections 512; }}
            http {{
              log_format seen '$host $request_uri $server_protocol $status $ssl_alpn_protocol';
              access_log {self.access_log} seen;
              client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
              uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
              types {{ text/html html; text/css css; image/svg+xml svg; text/javascript js; }}
              client_max_body_size 16m; proxy_http_version 1.1; proxy_buffering off;
              server {{
                listen {self.endpoint()} ssl http2;
                server_name www.example.com static.example.com;
                ssl_certificate {identity.chain}; ssl_certificate_key {identity.key};
                root {folder}; gzip on; gzip_types *; gzip_min_length 1;
                location /big {{ gzip off; }}
                location /echo {{ proxy_pass http://{self.backend.address}; }}
                location /cut {{ proxy_pass http://{self.backend.address}; }}
                location /socket {{
                  proxy_pass http://{self.backend.address};
                  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
                }}
              }}
            }}""")
        with open(folder / "stderr", "wb") as errors:
            self.nginx = lab.origin.popen("setpriv", "--pdeathsig", "TERM", "nginx", "-p", folder, "-c", folder / "nginx.conf",
                                          stderr=errors)
        wait_until(self._listens, "nginx to listen")

    def endpoint(self):
        return f"[{self.address}]:443" if self.version == V6 else f"{self.address}:443"

    def _listens(self):
        assert self.nginx.poll() is None, (self.folder / "stderr").read_text()
        family = socket.AF_INET6 if self.version == V6 else socket.AF_INET
        with contextlib.closing(self.lab.origin.socket(family)) as probe:
            return probe.connect_ex((self.address, 443)) == 0

    def close(self):
        self.nginx.terminate()
        self.nginx.wait()
        self.backend.close()


# --- the browser ----------------------------------------------------------------------------------------------------

FLAGS = (
    "--headless=new", "--disable-gpu", "--remote-debugging-pipe",
    "--no-sandbox",             # it refuses to run as root with one
    "--disable-dev-shm-usage",  # small in containers
    # Nothing but the page goes out, and nobody is asked.
    "--disable-background-networking", "--disable-component-update", "--disable-domain-reliability", "--disable-sync",
    "--disable-client-side-phishing-detection", "--disable-breakpad", "--disable-extensions", "--disable-default-apps",
    "--no-pings", "--no-first-run", "--no-default-browser-check", "--password-store=basic",
)


class Chromium:
    """A headless Chromium in the client's namespace with one page, driven by the DevTools protocol: JSON messages that end
    in a zero byte, on descriptors 3 and 4. Every call has a deadline."""

    def __init__(self, lab, addresses, *, trusted=None, flags=()):
        """`addresses`: name -> address, the only names that it finds; `trusted`: the CA that its user has imported."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="chromium-", dir=lab.folder))
        database = folder / ".pki" / "nssdb"
        database.mkdir(parents=True)
        run("certutil", "-N", "-d", f"sql:{database}", "--empty-password")
        if trusted is not None:
            run("certutil", "-A", "-d", f"sql:{database}", "-n", "gateway", "-t", "C,,", "-i", trusted)
        table = [f"MAP {name} {f'[{a}]' if ':' in a else a}" for name, a in addresses.items()] + ["MAP * ~NOTFOUND"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8",
                       "DBUS_SESSION_BUS_ADDRESS": "disabled:", "DBUS_SYSTEM_BUS_ADDRESS": "disabled:"}
        commands_out, self._commands = os.pipe()
        self._answers, answers_in = os.pipe()
        # The shell puts the pipes where Chromium looks for them.
        launch = f'exec "$@" 3</proc/self/fd/{commands_out} 4>/proc/self/fd/{answers_in}'
        self.errors = folder / "stderr"
        with open(self.errors, "wb") as errors:
            self.process = lab.client.popen(
                "setpriv", "--pdeathsig", "KILL", "sh", "-c", launch, "sh", "chromium", *FLAGS, *flags,
                f"--user-data-dir={folder}/profile", f"--host-resolver-rules={', '.join(table)}", "about:blank",
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environment, start_new_session=True,
                pass_fds=(commands_out, answers_in))
        os.close(commands_out)
        os.close(answers_in)
        self._buffer, self._number, self._session = b"", 0, None
        self.events = []
        try:
            self._open_page()
        except BaseException:
            self.close()
            raise

    def _open_page(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Security"):
            self.call(f"{domain}.enable")

    def _message(self, end):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(0, end - time.monotonic()))
            piece = os.read(self._answers, 1 << 18) if ready else None
            if not piece:
                raise LabError(f"Chromium {'did not answer' if piece is None else 'ended'}\n{self.said()}")
            self._buffer += piece
        text, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(text)

    def said(self):
        return f"--- its stderr\n{self.errors.read_text(errors='replace')[-4000:]}\n--- last events\n{self.events[-8:]}"

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + deadline_s(45)
        while True:
            message = self._message(end)
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            if "method" in message:
                self.events.append((message["method"], message["params"]))

    def wait_for(self, event, **wanted):
        """The parameters of the first such event, also of one that has come already."""
        end = time.monotonic() + deadline_s(45)
        seen = 0
        while True:
            for name, parameters in self.events[seen:]:
                if name == event and all(parameters.get(key) == value for key, value in wanted.items()):
                    return parameters
            seen = len(self.events)
            message = self._message(end)
            if "method" in message:
                self.events.append((message["method"], message["params"]))

    def visit(self, url):
        """Goes there, and returns Chromium's error or None, once what it shows has loaded."""
        self.events.clear()
        failure = self.call("Page.navigate", url=url).get("errorText")
        self.wait_for("Page.loadEventFired")
        return failure

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def shown(self):
        """The text of what it shows: the page, or its own warning."""
        return self.evaluate("document.documentElement.innerText")

    def responses(self):
        """URL -> what Chromium says of its response."""
        return {p["response"]["url"]: p["response"] for name, p in self.events if name == "Network.responseReceived"}

    def close(self):
        """Ends it in order, and by force when it does not end."""
        if self.process.poll() is None:
            with contextlib.suppress(AssertionError, OSError):
                self._session = None
                self.call("Browser.close")
            try:
                self.process.wait(timeout=deadline_s(10))
            except subprocess.TimeoutExpired:
                pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for descriptor in (self._commands, self._answers):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def chromium(lab):
    """chromium({name: address}, …): one that finds these names, closed after the test."""
    missing = [tool for tool in ("chromium", "certutil") if not shutil.which(tool)]
    assert not missing, f"missing tools: {' '.join(missing)}; `make test` installs them"
    browsers = []

    def make(addresses, **options):
        browsers.append(Chromium(lab, addresses, **options))
        return browsers[-1]

    yield make
    for browser in browsers:
        browser.close()


@pytest.fixture
def website(lab):
    """website(version, identity): closed after the test."""
    made = []

    def make(version, identity):
        made.append(Website(lab, version, identity))
        return made[-1]

    yield make
    for site in made:
        site.close()


# --- what it sees ---------------------------------------------------------------------------------------------------

NAMES = ("www.example.com", "static.example.com")


def summary(data):
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


def all_records(daemon):
    """The records of all connections, once the browser has gone."""
    wait_until(lambda: len(daemon.records()) == daemon.counters()["connections_accepted"],
               lambda: f"a record of each connection: {daemon.lines()}, {daemon.counters()}")
    return {record["id"]: record for record in daemon.records()}


@pytest.fixture
def two_names(pki):
    return pki.issue("two hosts", sans=",".join(f"DNS:{name}" for name in NAMES),
                     subject="/C=DE/O=Example Org/CN=www.example.com")


@pytest.mark.parametrize("version, tls", [(V4, "TLS 1.3"), (V6, "TLS 1.2")], ids=["ipv4-tls1.3", "ipv6-tls1.2"])
def test_S6_a_page_with_subresources_and_a_websocket(bump, chromium, website, lab, two_names, pki, version, tls):
    daemon = bump()
    site = website(version, two_names)
    browser = chromium(dict.fromkeys(NAMES, site.address), trusted=pki.gateway_ca.certificate,
                       flags=["--ssl-version-max=tls1.2"] if tls == "TLS 1.2" else [])
    assert browser.visit("https://www.example.com/") is None
    browser.evaluate("window.finished")
    assert browser.evaluate("Object.fromEntries(Array.from(said.children, item => [item.id, item.textContent]))") == {
        "css": "rgb(1, 2, 3)", "image": "30x20", "big": summary(site.big), "echo": summary(site.big),
        "cut": "200 then TypeError",  # it has begun, and nobody takes it for whole
        "text": "hello over the socket", "binary": summary(b"\7" * SOCKET_BYTES), "closed": "1000 enough true"}
    responses = browser.responses()
    browser.close()

    # The certificate that it saw is ours, below our CA, for what it asked.
    group = "X25519MLKEM768" if tls == "TLS 1.3" and "X25519MLKEM768" in tls_features(lab.binary) else "X25519"
    assert set(responses) == {f"https://{place}" for place in PLACES} - {"https://www.example.com/socket"}
    for url, response in responses.items():
        seen = response["securityDetails"]
        assert (response["status"], response["securityState"], response["protocol"]) == (200, "secure", "http/1.1"), url
        assert (seen["issuer"], seen["subjectName"], seen["sanList"]) == ("Sluice Test CA", NAMES[0], list(NAMES)), url
        assert (seen["protocol"], seen["keyExchangeGroup"]) == (tls, group), url

    # What the log says: every request once, each inside a bumped connection to the name in its URL; and nothing else.
    connections, requests = all_records(daemon), daemon.records("request")
    assert sorted((r["method"], r["url"].removeprefix("https://"), r["status"]) for r in requests) == sorted(
        ("POST" if place.endswith("/echo") else "GET", place, 101 if place.endswith("/socket") else 200) for place in PLACES)
    ends = {}
    for request in requests:
        connection = connections[request["id"]]
        assert (connection["action"], connection["origin_cert"]) == ("bump", "ok"), connection
        assert connection["origin_fingerprint"] == two_names.fingerprint()
        place = request["url"].removeprefix("https://")
        assert place.startswith(connection["sni"] + "/"), (request, connection)
        assert connection["alpn"] == ("http/1.1" if place.endswith("/socket") else "h2,http/1.1")
        assert connection["ja4"].startswith("t13d" if tls == "TLS 1.3" else "t12d")
        ends[place] = connection["close"]
    assert {record["sni"] for record in connections.values()} == set(NAMES)
    assert (ends["www.example.com/cut"], ends["www.example.com/socket"]) == ("origin_truncated", "finished")
    sizes = {r["url"].removeprefix("https://www.example.com"): (r["bytes_up"], r["bytes_down"]) for r in requests}
    assert sizes["/big"] == (0, BIG_BYTES) and sizes["/echo"][0] == BIG_BYTES
    # The WebSocket's connection comes last, and Chromium has our ticket by then.
    assert daemon.counters()["bump_resumed_client"] >= 1

    # And what the origin says, who speaks HTTP/2, too.
    (received,) = site.backend.sockets
    assert received == b"hello over the socket" + b"\7" * SOCKET_BYTES
    lines = [line.split() for line in site.access_log.read_text().splitlines()]
    assert sorted(host + path for host, path, *_ in lines) == sorted(PLACES)
    assert {(protocol, alpn) for _, _, protocol, _, alpn in lines} == {("HTTP/1.1", "http/1.1")}


def test_S14_a_browser_without_our_CA_refuses(bump, chromium, site, website, two_names, pki):
    """Its hello, seen by an origin behind a tunnel, is the one that the log's JA4 is of."""
    daemon = bump(tls_rule("as it comes", "tunnel-sni", {"host": "other.example"}))
    page, tunnelled = website(V4, two_names), site(V4, pki.site("other.example"))
    browser = chromium({"www.example.com": page.address, "other.example": tunnelled.address})
    assert browser.visit("https://www.example.com/") == "net::ERR_CERT_AUTHORITY_INVALID"
    assert "ERR_CERT_AUTHORITY_INVALID" in browser.shown()
    assert browser.visit("https://other.example/") == "net::ERR_CERT_AUTHORITY_INVALID"
    browser.close()

    wire = tunnelled.visit().wire_hello
    seen = parse_hello(wire[5:])
    assert hello.ECH in seen.extensions and X25519MLKEM768 in seen.key_shares and "h2" in seen.alpn
    assert any(kind & 0x0F0F == hello.GREASE for kind in seen.extensions)
    refusals = [record for record in all_records(daemon).values() if record["sni"] == "www.example.com"]
    assert refusals
    for record in refusals:
        assert (record["action"], record["close"], record["close_side"]) == ("bump", "client_rejected_certificate", "client")
        assert (record["ja4"], record["ech"], record["origin_cert"]) == (hello.ja4(wire), True, "ok")
    assert daemon.counters()["client_rejected_certificate"] == len(refusals)
    assert daemon.records("request") == []
    assert page.access_log.read_text() == ""


def test_S12_a_browser_with_our_CA_warns_of_an_invalid_origin_all_the_same(bump, chromium, site, website, pki):
    """`untrusted`, and whoever goes on in spite of it gets what the origin has; `page`: our words, over a good certificate."""
    daemon = bump(tls={"invalid_origin": {"expired": "page"}})
    warned = website(V4, pki.self_signed())
    expired = site(V4, pki.issue("expired for browsers", name="static.example.com", start=-30, end=-2))
    browser = chromium(dict(zip(NAMES, (warned.address, expired.address))), trusted=pki.gateway_ca.certificate)
    assert browser.visit("https://www.example.com/") == "net::ERR_CERT_AUTHORITY_INVALID"
    assert "ERR_CERT_AUTHORITY_INVALID" in browser.shown()
    assert warned.access_log.read_text() == ""

    assert browser.visit("https://static.example.com/") is None
    assert "expired" in browser.shown()
    assert browser.responses()["https://static.example.com/"]["securityDetails"]["issuer"] == "Sluice Test CA"
    assert expired.requests == []

    browser.call("Security.setIgnoreCertificateErrors", ignore=True)  # "Proceed anyway"
    assert browser.visit("https://www.example.com/image.svg") is None
    response = browser.responses()["https://www.example.com/image.svg"]
    assert (response["status"], response["securityState"]) == (200, "insecure")
    assert response["securityDetails"]["issuer"].startswith("NOT TRUSTED")
    browser.close()

    refused, served = [], []
    connections = all_records(daemon)
    for record in connections.values():
        if record["sni"] == "www.example.com":
            assert (record["action"], record["origin_cert"]) == ("bump", "self_signed")
            (refused if record["close"] == "client_rejected_certificate" else served).append(record)
        else:
            assert record["origin_cert"] == "expired"
    assert refused and all("ja4" in record for record in refused)
    (request,) = [r for r in daemon.records("request") if r["url"] == "https://www.example.com/image.svg"]
    assert request["status"] == 200 and connections[request["id"]] in served
