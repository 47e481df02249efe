"""Peers for bumped connections: certificates of every kind, TLS clients and origins that see the wire, HTTP/1.1 that is
read strictly, and sites made of them.

    Client ── Tls (our CA, or none) ── gateway: bump ── Tls (a certificate of Pki) ── Site

Only the standard library, and the openssl program for certificates, CRLs and OCSP responses.
"""

import contextlib
import ctypes
import dataclasses
import hashlib
import os
import ssl
import struct
import tempfile
import threading
import time

import hello
from lab import LabError, Origin, Peer, deadline_s, run, wait_until

# --- certificates ---------------------------------------------------------------------------------------------------

DAY = 86400

CONFIG = """
[ca]
default_ca = d
[d]
database = {folder}/index.txt
new_certs_dir = {folder}/issued
rand_serial = yes
default_md = sha256
default_crl_days = 30
policy = p
unique_subject = no
email_in_dn = no
[p]
countryName = optional
organizationName = optional
organizationalUnitName = optional
commonName = optional
[req]
distinguished_name = n
[n]
"""

KEYS = {
    "P-256": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "P-384": ("ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "P-521": ("ec", "-pkeyopt", "ec_paramgen_curve:P-521"),
    "RSA 1024": ("rsa:1024",),
    "RSA 2048": ("rsa:2048",),
    "RSA 4096": ("rsa:4096",),
    "Ed25519": ("ed25519",),
}


@dataclasses.dataclass
class Identity:
    certificate: object  # files: the certificate alone,
    key: object
    chain: object        # and with what is sent behind it
    name: str

    @property
    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())

    def fingerprint(self):
        return certificate_fingerprint(self.der)


def certificate_fingerprint(der):
    return hashlib.sha256(der).hexdigest()


def days_from_now(days):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * DAY))


class Pki:
    """A root that the gateway trusts with an intermediate below it, one that it does not trust, the gateway's own CA.
    Certificates are made when they are first asked for, once per session of pytest."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "issued").mkdir(parents=True)
        (folder / "index.txt").write_text("")
        (folder / "openssl.cnf").write_text(CONFIG.format(folder=folder))
        self._made = {}
        self.gateway_ca = self._self_signed("gateway-ca", "Sluice Test CA", "CA:true,pathlen:0")
        os.chown(self.gateway_ca.key, 65534, 65534)  # the daemon's user, and nobody else
        self.gateway_ca.key.chmod(0o400)
        self.root = self._self_signed("root", "Trusted Root", "CA:true")
        self.unknown_root = self._self_signed("unknown-root", "Unknown Root", "CA:true")
        self.intermediate = self.issue("intermediate", name="Intermediate", issuer=self.root, ca=True)

    def _self_signed(self, label, name, constraints=None, *, key="P-256", days=365, sans=None):
        certificate, private = self.folder / f"{label}.pem", self.folder / f"{label}.key"
        extensions = []
        if constraints:
            extensions += ["-addext", f"basicConstraints=critical,{constraints}",
                           "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        if sans:
            extensions += ["-addext", f"subjectAltName={sans}"]
        run("openssl", "req", "-x509", "-newkey", *KEYS[key], "-nodes", "-days", days, "-subj", f"/CN={name}", *extensions,
            "-keyout", private, "-out", certificate)
        return Identity(certificate, private, certificate, name)

    def self_signed(self, name="www.example.com"):
        return self._once(f"self-signed-{name}", lambda label: self._self_signed(label, name, sans=f"DNS:{name}"))

    def _once(self, label, make):
        if label not in self._made:
            self._made[label] = make(label)
        return self._made[label]

    def issue(self, label, *, name="www.example.com", sans=None, issuer=None, key="P-256", start=-2, end=60, md="sha256",
              ca=False, send=None, subject=None, more="", key_of=None, usage="serverAuth"):
        """A certificate below `issuer` (default: the intermediate, which is then sent along). `sans`: as openssl writes
        them; `send`: identities whose certificates are sent behind it; `key_of`: takes over that identity's key."""
        def make(label):
            above = issuer or self.intermediate
            stem = label.replace(" ", "-")
            certificate, request = self.folder / f"{stem}.pem", self.folder / f"{stem}.csr"
            private = key_of.key if key_of else self.folder / f"{stem}.key"
            new = ["-key", private] if key_of else ["-newkey", *KEYS[key], "-nodes", "-keyout", private]
            run("openssl", "req", "-new", *new, "-subj", subject or f"/CN={name}", "-out", request)
            extensions = self.folder / f"{stem}.ext"
            if ca:
                text = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
            else:
                alternative = sans if sans is not None else f"DNS:{name}"
                text = f"basicConstraints=CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n"
                text += f"subjectAltName={alternative}\n" if alternative else ""
            extensions.write_text(text + "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n" + more)
            run("openssl", "ca", "-batch", "-notext", "-config", self.folder / "openssl.cnf", "-cert", above.certificate,
                "-keyfile", above.key, "-in", request, "-out", certificate, "-extfile", extensions, "-md", md,
                "-startdate", days_from_now(start), "-enddate", days_from_now(end))
            chain = self.folder / f"{stem}.chain.pem"
            behind = send if send is not None else [] if ca or above in (self.root, self.unknown_root) else [above]
            chain.write_text(certificate.read_text() + "".join(i.certificate.read_text() for i in behind))
            return Identity(certificate, private, chain, name)
        return self._once(label, make)

    def site(self, name="www.example.com"):
        """The plain good certificate."""
        return self.issue(f"good {name}", name=name, subject=f"/C=DE/O=Example Org/CN={name}")

    def revoked(self, label):
        """A certificate that its issuer has revoked: see crl() and staple()."""
        def make(label):
            identity = self.issue(label + " itself")
            run("openssl", "ca", "-config", self.folder / "openssl.cnf", "-cert", self.intermediate.certificate, "-keyfile",
                self.intermediate.key, "-revoke", identity.certificate)
            return identity
        return self._once(label, make)

    def crl(self, issuer=None):
        above = issuer or self.intermediate
        path = self.folder / f"{above.certificate.stem}.crl"
        run("openssl", "ca", "-gencrl", "-config", self.folder / "openssl.cnf", "-cert", above.certificate, "-keyfile",
            above.key, "-out", path)
        return path

    def staple(self, identity):
        """An OCSP response about that certificate, good or revoked, as its issuer signs it."""
        request, response = identity.certificate.with_suffix(".ocsp-request"), identity.certificate.with_suffix(".ocsp")
        above = self.intermediate
        run("openssl", "ocsp", "-issuer", above.certificate, "-cert", identity.certificate, "-no_nonce", "-reqout", request)
        run("openssl", "ocsp", "-index", self.folder / "index.txt", "-CA", above.certificate, "-rsigner", above.certificate,
            "-rkey", above.key, "-reqin", request, "-respout", response, "-ndays", "2", "-noverify")
        return response


def certificate_text(der):
    """What openssl says of a certificate, for looking words up in."""
    return run("openssl", "x509", "-noout", "-text", "-nameopt", "RFC2253", input=ssl.DER_cert_to_PEM_cert(der)).stdout


def certificate_fields(der):
    """As Python reads them, of a certificate that need not be trusted."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(ssl.DER_cert_to_PEM_cert(der))
        file.flush()
        return ssl._ssl._test_decode_cert(file.name)


# --- TLS over a Peer, through memory --------------------------------------------------------------------------------


def client_context(ca=None, *, alpn=None, versions=None, identity=None, curve=None, seclevel=None):
    """Trusts `ca` (a file) and checks names; None: trusts anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(ca)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if versions:
        context.minimum_version, context.maximum_version = versions
        if versions[0] < ssl.TLSVersion.TLSv1_2:
            seclevel = 0
    if seclevel is not None:
        context.set_ciphers(f"ALL:@SECLEVEL={seclevel}")
    if identity is not None:
        context.load_cert_chain(identity.chain, identity.key)
    if curve:
        context.set_ecdh_curve(curve)
    return context


def insist_on(context, protocol):
    """The origin chooses that protocol whatever the client has offered, which only a callback of OpenSSL's can bring about."""
    name = ctypes.create_string_buffer(protocol, len(protocol))

    def select(_ssl, out, out_size, _offered, _offered_size, _argument):
        out[0], out_size[0] = ctypes.addressof(name), len(protocol)
        return 0  # SSL_TLSEXT_ERR_OK
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_ubyte),
                            ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p)
    context.insists = kind(select), name  # they live as long as it does
    ssl_ctx = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    ctypes.CDLL("libssl.so.3").SSL_CTX_set_alpn_select_cb(ssl_ctx, context.insists[0], None)


def origin_context(identity, *, alpn=None, versions=None, client_ca=None, curve=None, seclevel=None, insists_on=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(f"ALL:@SECLEVEL={0 if seclevel is None else seclevel}")
    context.load_cert_chain(identity.chain, identity.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if insists_on:
        insist_on(context, insists_on)
    if versions:
        context.minimum_version, context.maximum_version = versions
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    if curve:
        context.set_ecdh_curve(curve)
    return context


class Tls:
    """TLS on top of a Peer, through memory: the test sees the bytes of the handshake and decides how the stream ends."""

    def __init__(self, peer, context, *, name=None, server_side=False, session=None, first_bytes=b""):
        self.peer = peer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.incoming.write(first_bytes)
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side, server_hostname=name,
                                    session=session)
        self.hello_sent = b""

    def _flush(self):
        data = self.outgoing.read()
        if data:
            self.peer.send(data)
        return data

    def _fill(self):
        data = self.peer.sock.recv(1 << 18)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def begin(self):
        """Sends the ClientHello, and nothing more."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.hello_sent = self.outgoing.read()
        self.peer.send(self.hello_sent)
        return self

    def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                self._flush()
                return self
            except ssl.SSLWantReadError:
                sent = self._flush()
                self.hello_sent = self.hello_sent or sent
                self._fill()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # the alert
                raise

    def send(self, data):
        view = memoryview(bytes(data))
        for at in range(0, len(view), 1 << 16):
            self.tls.write(view[at:at + (1 << 16)])
            self._flush()
        return self

    def receive_some(self):
        """The next bytes; b"" after close_notify. Raises ssl.SSLEOFError when the stream ends without one, and
        ConnectionResetError when it is reset."""
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()

    def ending(self):
        """How the stream ends: ("end" | "truncated" | "reset", the bytes before)."""
        data = bytearray()
        try:
            while piece := self.receive_some():
                data += piece
            return "end", bytes(data)
        except ssl.SSLZeroReturnError:
            return "end", bytes(data)
        except ssl.SSLEOFError:
            return "truncated", bytes(data)
        except ConnectionResetError:
            return "reset", bytes(data)

    def close_notify(self):
        """Says that nothing more comes; the other direction stays open."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        self._flush()
        return self

    def finish(self):
        self.close_notify()
        self.peer.finish()
        return self

    def close(self):
        """The whole end: close_notify, then FIN."""
        with contextlib.suppress(OSError):
            self.close_notify()
        self.peer.close()

    @property
    def port(self):
        return self.peer.port

    def certificate(self):
        return self.tls.getpeercert(binary_form=True)


class GnuTls:
    """A client of GnuTLS on top of a Peer, for what OpenSSL does for nobody: alerts of the test's choice, encrypted."""

    PUSH = PULL = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    CLIENT, NAME_DNS, CREDENTIALS_CERTIFICATE, ALERT_FATAL = 2, 1, 1, 2
    VERSIONS = {ssl.TLSVersion.TLSv1_2: b"1.2", ssl.TLSVersion.TLSv1_3: b"1.3"}

    def __init__(self, peer, name, tls):
        self.peer, self.port, self.hello_sent, self._hears = peer, peer.port, b"", False
        self._lib = ctypes.CDLL("libgnutls.so.30")
        self._session, self._credentials = ctypes.c_void_p(), ctypes.c_void_p()
        self._push, self._pull = self.PUSH(self._send), self.PULL(self._receive)
        self._must("gnutls_init", ctypes.byref(self._session), self.CLIENT)
        self._must("gnutls_certificate_allocate_credentials", ctypes.byref(self._credentials))
        self._must("gnutls_credentials_set", self._session, self.CREDENTIALS_CERTIFICATE, self._credentials)
        self._must("gnutls_priority_set_direct", self._session, b"NORMAL:-VERS-ALL:+VERS-TLS" + self.VERSIONS[tls], None)
        self._must("gnutls_server_name_set", self._session, self.NAME_DNS, name.encode(), ctypes.c_size_t(len(name)))
        self._lib.gnutls_transport_set_push_function(self._session, self._push)
        self._lib.gnutls_transport_set_pull_function(self._session, self._pull)

    def _must(self, function, *arguments):
        result = getattr(self._lib, function)(*arguments)
        assert result >= 0, (function, result)

    def _send(self, _, data, size):
        sent = ctypes.string_at(data, size)
        self.peer.send(sent)
        self.hello_sent += b"" if self._hears else sent
        return size

    def _receive(self, _, room, size):
        self._hears = True
        data = self.peer.sock.recv(size)
        ctypes.memmove(room, data, len(data))
        return len(data)

    def handshake(self):
        self._must("gnutls_handshake", self._session)
        return self

    def send(self, data):
        self._must("gnutls_record_send", self._session, data, ctypes.c_size_t(len(data)))

    def alert(self, description):
        self._must("gnutls_alert_send", self._session, self.ALERT_FATAL, description)

    def __del__(self):
        self._lib.gnutls_deinit(self._session)
        self._lib.gnutls_certificate_free_credentials(self._credentials)


class Plain:
    """A Peer with the face of Tls."""

    def __init__(self, peer):
        self.peer, self.port = peer, peer.port

    def send(self, data):
        self.peer.send(data)
        return self

    def receive_some(self):
        return self.peer.sock.recv(1 << 16)

    def ending(self):
        return self.peer.ending()

    def finish(self):
        self.peer.finish()
        return self

    def close(self):
        self.peer.close()


# --- HTTP/1.1 -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Message:
    first: str     # the start line
    headers: list  # (name, value), as they came
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    head: bytes = b""
    interim: list = dataclasses.field(default_factory=list)  # statuses of 1xx before it

    @property
    def status(self):
        return int(self.first.split()[1])

    @property
    def method(self):
        return self.first.split()[0]

    @property
    def target(self):
        return self.first.split()[1]

    def get(self, name):
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None


class Truncated(Exception):
    """The stream ended in the middle of a message."""


class Reader:
    """Messages out of a stream (Tls or Plain). Strict: what is not exactly HTTP/1.1 is an AssertionError."""

    def __init__(self, stream):
        self.stream, self.buffer = stream, b""

    def more(self):
        piece = self.stream.receive_some()
        self.buffer += piece
        return bool(piece)

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self.more():
                raise Truncated(self.buffer)
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def exactly(self, count):
        pieces, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while have < count:
            piece = self.stream.receive_some()
            if not piece:
                raise Truncated(b"".join(pieces))
            pieces.append(piece)
            have += len(piece)
        data = b"".join(pieces)
        self.buffer = data[count:]
        return data[:count]

    def rest(self):
        while self.more():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def fields(self):
        found, raw = [], b""
        while line := self.line():
            raw += line + b"\r\n"
            name, colon, value = line.partition(b":")
            assert colon and name == name.strip(), line
            found.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        return found, raw

    def chunks(self):
        body = b""
        while True:
            size = int(self.line().split(b";")[0], 16)
            if size == 0:
                return body, self.fields()[0]
            body += self.exactly(size)
            assert self.line() == b""

    def head(self):
        """A head, or None at a clean end before it."""
        if not self.buffer and not self.more():
            return None
        first = self.line()
        headers, raw = self.fields()
        return Message(first.decode("latin-1"), headers, head=first + b"\r\n" + raw + b"\r\n")

    def body(self, message, until_close):
        if message.get("transfer-encoding"):
            assert message.get("transfer-encoding").lower() == "chunked" and message.get("content-length") is None
            message.body, message.trailers = self.chunks()
        elif message.get("content-length") is not None:
            message.body = self.exactly(int(message.get("content-length")))
        elif until_close:
            message.body = self.rest()
        return message

    def request(self):
        head = self.head()
        return head and self.body(head, False)

    def response(self, method="GET"):
        interim = []
        while True:
            message = self.head()
            if message is None:
                return None
            if message.status != 101 and message.status < 200:
                interim.append(message.status)
                continue
            message.interim = interim
            if method != "HEAD" and message.status not in (101, 204, 304):
                self.body(message, True)
            return message


def answer(body=b"", status="200 OK", *headers):
    """A response with a Content-Length."""
    body = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def hello_page(_request):
    return answer(b"hello from the origin\n", "200 OK", "Content-Type: text/plain; charset=utf-8")


@dataclasses.dataclass
class Visit:
    """One connection as its origin saw it."""
    peer: Peer
    wire_hello: bytes = b""
    hello: object = None
    stream: object = None
    sni: str = None
    failure: object = None
    plain: bytearray = dataclasses.field(default_factory=bytearray)  # everything that was said inside
    requests: list = dataclasses.field(default_factory=list)
    done: threading.Event = dataclasses.field(default_factory=threading.Event)


class Recording:
    """A stream that keeps what it received."""

    def __init__(self, stream, visit):
        self.stream, self.visit = stream, visit

    def receive_some(self):
        data = self.stream.receive_some()
        self.visit.plain += data
        return data

    def __getattr__(self, name):
        return getattr(self.stream, name)


def read_wire_hello(peer):
    """The records of a ClientHello, as they come."""
    wire, message = b"", b""
    while True:
        head = peer.receive(5)
        if len(head) < 5:
            return wire + head, None
        body = peer.receive(int.from_bytes(head[3:5], "big"))
        wire += head + body
        if head[0] != 22:
            return wire, None
        message += body
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return wire, message


class Site:
    """An origin on an address of its own that speaks TLS (with `identity`) or plain HTTP (None), and answers every request
    with respond(request) -> bytes. `talk(stream, visit)`: in place of HTTP."""

    def __init__(self, lab, version, identity, respond=hello_page, *, port=None, talk=None, address=None, **context):
        self.identity, self.respond, self.talk = identity, respond, talk
        self.context = origin_context(identity, **context) if identity is not None else None
        self.visits = []
        self.origin = Origin(lab, version, port or (443 if identity is not None else 80), address=address)
        self.address, self.port, self.version = self.origin.address, self.origin.port, version
        self.origin.serve(self._visit)

    def _visit(self, peer):
        visit = Visit(peer)
        self.visits.append(visit)
        try:
            if self.context is None:
                visit.stream = Plain(peer)
            else:
                visit.wire_hello, message = read_wire_hello(peer)
                visit.hello = parse_hello(message) if message else None
                stream = Tls(peer, self.context, server_side=True, first_bytes=visit.wire_hello)
                stream.handshake()
                visit.stream = stream
            (self.talk or self._serve)(Recording(visit.stream, visit), visit)
        except (OSError, LabError, Truncated) as error:
            visit.failure = error
        finally:
            visit.done.set()

    def _serve(self, stream, visit):
        reader = Reader(stream)
        while request := reader.request():
            visit.requests.append(request)
            response = self.respond(request)
            stream.send(response)
            if b"connection: close" in response.partition(b"\r\n\r\n")[0].lower():
                break
        stream.close()

    @property
    def requests(self):
        return [request for visit in self.visits for request in visit.requests]

    def plain(self):
        """Everything that was said inside, over all connections."""
        return b"".join(bytes(visit.plain) for visit in self.visits)

    def visit(self, number=0):
        return wait_until(lambda: self.visits[number:number + 1], lambda: f"visit {number} of {self.address}")[0]

    def served(self, number=0):
        """The same, once it is over."""
        visit = self.visit(number)
        if not visit.done.wait(deadline_s(15)):
            raise LabError(f"visit {number} of {self.address} did not end")
        return visit

    def close(self):
        self.origin.close()


class Silent:
    """An origin that accepts and does what `script(peer)` says, without TLS of its own."""

    def __init__(self, lab, version, script, port=443):
        self.visits = []

        def visit(peer):
            self.visits.append(peer)
            script(peer)
        self.origin = Origin(lab, version, port).serve(visit)
        self.address, self.port = self.origin.address, port

    def close(self):
        self.origin.close()


class Browser:
    """What a client does over one connection: requests, and their responses."""

    def __init__(self, stream, host="www.example.com"):
        self.stream, self.host, self.reader = stream, host, Reader(stream)

    def ask(self, path="/", *headers, method="GET", body=b"", host=None):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or self.host}", *headers]
        if body and not any(h.lower().startswith("transfer-encoding") for h in headers):
            lines.append(f"Content-Length: {len(body)}")
        self.stream.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return self

    def get(self, path="/", *headers, **kwargs):
        self.ask(path, *headers, **kwargs)
        return self.reader.response(kwargs.get("method", "GET"))

    def ending(self):
        return self.stream.ending()

    @property
    def port(self):
        return self.stream.port


# --- ClientHellos and ServerHellos ----------------------------------------------------------------------------------


@dataclasses.dataclass
class Hello:
    sni: str
    alpn: list
    versions: list
    groups: list
    key_shares: list
    extensions: list


def _u16s(data):
    return list(struct.unpack(f"!{len(data) // 2}H", data))


def parse_hello(message):
    """A ClientHello's handshake message."""
    body = message[4:4 + int.from_bytes(message[1:4], "big")]
    at = 34
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at:at + 2], "big")
    at += 1 + body[at]
    end = at + 2 + int.from_bytes(body[at:at + 2], "big")
    at += 2
    kinds = {}
    while at < end:
        kind, size = struct.unpack("!HH", body[at:at + 4])
        kinds[kind] = body[at + 4:at + 4 + size]
        at += 4 + size
    alpn, data = [], kinds.get(hello.ALPN, b"")[2:]
    while data:
        alpn.append(data[1:1 + data[0]].decode())
        data = data[1 + data[0]:]
    shares, data = [], kinds.get(hello.KEY_SHARE, b"")[2:]
    while data:
        group, size = struct.unpack("!HH", data[:4])
        shares.append(group)
        data = data[4 + size:]
    return Hello(sni=kinds[hello.SNI][5:].decode() if hello.SNI in kinds else None, alpn=alpn,
                 versions=_u16s(kinds.get(hello.SUPPORTED_VERSIONS, b"\0")[1:]),
                 groups=_u16s(kinds.get(hello.GROUPS, b"\0\0")[2:]), key_shares=shares, extensions=list(kinds))


def server_key_share(peer):
    """Reads a ServerHello from the stream, and returns the group of its key_share."""
    _, message = read_wire_hello(peer)
    assert message and message[0] == 2, message
    body = message[4:]
    at = 34
    at += 1 + body[at] + 3
    end = at + 2 + int.from_bytes(body[at:at + 2], "big")
    at += 2
    while at < end:
        kind, size = struct.unpack("!HH", body[at:at + 4])
        if kind == hello.KEY_SHARE:
            return int.from_bytes(body[at + 4:at + 6], "big")
        at += 4 + size
    return None
