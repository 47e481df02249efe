"""Real TLS clients for the tests: Python's OpenSSL and curl."""

import contextlib
import dataclasses
import socket
import ssl

from lab import Lab, deadline_s, endpoint_text


@dataclasses.dataclass
class Answer:
    port: int            # the client's port, to find the connection in the log
    certificate: bytes   # DER, as the client received it
    version: str
    alpn: str
    status: int
    body: str


def tls_context(alpn=None, versions=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    if versions:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = versions
    return context


def tls_get(lab, version, name, *, address=None, port=443, path="/", source=None, space=None, alpn=None, versions=None):
    """One HTTPS request over a fresh connection; `name` None sends no SNI. Raises what the TLS stack raises."""
    peer = lab.connect(version, address or Lab.NGINX[version], port, source=source, space=space)
    with contextlib.closing(tls_context(alpn, versions).wrap_socket(peer.sock, server_hostname=name)) as tls:
        tls.settimeout(deadline_s(15))
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {name or 'none'}\r\nConnection: close\r\n\r\n".encode())
        raw = bytearray()
        while piece := tls.recv(65536):
            raw += piece
        head, _, body = bytes(raw).partition(b"\r\n\r\n")
        return Answer(peer.port, tls.getpeercert(binary_form=True), tls.version(), tls.selected_alpn_protocol(),
                      int(head.split()[1]), body.decode("latin-1"))


class Refused(Exception):
    """The connection ended before TLS was set up. `port`: the client's; `how`: the error."""

    def __init__(self, port, how):
        super().__init__(how)
        self.port, self.how = port, how


def tls_refused(lab, version, name, **kwargs):
    """Expects that the handshake fails, and returns how: a Refused with the client's port."""
    address, port = kwargs.pop("address", None) or Lab.NGINX[version], kwargs.pop("port", 443)
    peer = lab.connect(version, address, port, source=kwargs.pop("source", None), space=kwargs.pop("space", None))
    try:
        with contextlib.closing(tls_context(**kwargs).wrap_socket(peer.sock, server_hostname=name)):
            raise AssertionError(f"{name} at {endpoint_text(address, port)} was not refused")
    except (ConnectionError, ssl.SSLError, socket.timeout) as error:
        return Refused(peer.port, error)


def assert_passes(origin, client, first_bytes):
    """The client's first bytes arrive at the origin, unchanged and nothing else, and an answer comes back. Returns the
    origin's end of the connection."""
    client.send(first_bytes)
    served = origin.accept()
    assert served.receive(len(first_bytes)) == first_bytes
    served.send(b"answer")
    assert client.receive(6) == b"answer"
    return served


def assert_ends_in_order(client, served):
    """Both sides close in order, and both see it."""
    client.finish()
    assert served.receive_all() == b""
    served.close()
    assert client.ending() == ("end", b"")


def assert_closed_unserved(client, syns, origin, first_bytes=b""):
    """The client is reset without a byte, and nothing was ever sent towards the origin (S7, S24)."""
    with contextlib.suppress(ConnectionError):
        client.send(first_bytes)
    assert client.ending() == ("reset", b"")
    assert [syn for syn in syns.until_now() if syn[1] == origin.address] == []
