"""tls.fetch_intermediates: what an origin forgot to send is fetched from where its certificate says.

    client ── gateway: bump ── origin whose intermediate is missing
                  └── fetcher ── GET http://…/i.der ── a server at an address that the origin has chosen
"""

import pathlib
import shutil
import socket
import ssl
import threading

import pytest
from bump_peers import answer
from lab import V4, Lab, Origin, deadline_s, endpoint_text, run, wait_until

LAB = ["10.10.0.0/16", "fd00:10::/64"]


class Caissuer:
    """An HTTP server in the origin's namespace: script(peer) after each request, or the bytes of an answer."""

    def __init__(self, lab, version, reply=None, port=8080, address=None):
        self.reply, self.asked = reply, []
        self.released = threading.Event()
        self.origin = Origin(lab, version, port, address=address).serve(self._serve)
        self.address = self.origin.address
        self.url = f"http://{endpoint_text(self.address, port)}/i.der"

    def _serve(self, peer):
        peer.sock.settimeout(deadline_s(15))
        request = b""
        while b"\r\n\r\n" not in request:
            piece = peer.sock.recv(4096)
            if not piece:
                return
            request += piece
        self.asked.append((request.decode(), peer.other_end()[0]))
        if callable(self.reply):
            self.reply(peer)
        else:
            peer.send(self.reply)

    def close(self):
        self.released.set()
        self.origin.close()


@pytest.fixture
def server(lab):
    made = []

    def make(*args, **kwargs):
        made.append(Caissuer(lab, *args, **kwargs))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def forgetful(pki):
    """forgetful(url, …): an identity below an intermediate of its own that it does not send, and whose URL it names; and
    that intermediate."""
    def make(url, label, *, issuer=None, intermediate=None):
        above = intermediate or pki.issue(f"forgotten {label}", name=f"Forgotten {label}", issuer=issuer or pki.root, ca=True)
        return pki.issue(f"forgetful {label}", issuer=above, send=[], more=f"authorityInfoAccess=caIssuers;URI:{url}\n")
    return make


def intermediate_of(pki, label, issuer=None, more=""):
    return pki.issue(f"forgotten {label}", name=f"Forgotten {label}", issuer=issuer or pki.root, ca=True, more=more)


def pkcs7(identity):
    out = identity.certificate.with_suffix(".p7c")
    run("openssl", "crl2pkcs7", "-nocrl", "-certfile", identity.certificate, "-outform", "DER", "-out", out)
    return out.read_bytes()


def verdict(daemon, visit, origin):
    """What the log says of one connection's origin; a client that checks agrees."""
    client = visit(origin, handshake=False)
    try:
        client.handshake()
        believed = True
    except ssl.SSLCertVerificationError:
        believed = False
    client.peer.close()
    said = daemon.record_of(client.port)["origin_cert"]
    assert believed == (said == "ok")
    return said


def counter(daemon, name):
    return daemon.counters().get(name, 0)


def wait_for_counter(daemon, name, value=1, seconds=15):
    wait_until(lambda: counter(daemon, name) >= value, lambda: f"{name} = {value}\n" + daemon.tail(), seconds)


def fetching(bump, networks=LAB, **tls):
    return bump(tls={"fetch_intermediates": True, "fetch_intermediates_from": networks, **tls})


@pytest.mark.parametrize("form", ["der", "pem", "pkcs7"])
def test_S12_the_first_connection_is_untrusted_and_later_ones_are_good(bump, site, visit, pki, server, forgetful, version, form):
    daemon = fetching(bump)
    label = f"{form} {version}"
    above = intermediate_of(pki, label)
    body = {"der": ssl.PEM_cert_to_DER_cert(above.certificate.read_text()), "pem": above.certificate.read_bytes(),
            "pkcs7": pkcs7(above)}[form]
    there = server(version, answer(body))
    origin = site(version, forgetful(there.url, label))
    assert verdict(daemon, visit, origin) == "untrusted"
    wait_for_counter(daemon, "intermediates_fetched")
    assert verdict(daemon, visit, origin) == "ok"
    assert verdict(daemon, visit, origin) == "ok"
    ((request, source),) = there.asked
    assert request.startswith("GET /i.der HTTP/1.1\r\n")
    assert f"\r\nHost: {endpoint_text(there.address, 8080)}\r\n" in request
    assert source == Lab.GATEWAY_WAN[version]
    assert (counter(daemon, "intermediates_fetched"), counter(daemon, "intermediate_fetch_failures")) == (1, 0)


def test_S12_every_worker_learns(bump, site, visit, pki, server, forgetful):
    daemon = bump(tls={"fetch_intermediates": True, "fetch_intermediates_from": LAB}, gateway={"workers": 2})
    above = intermediate_of(pki, "for all")
    there = server(V4, answer(ssl.PEM_cert_to_DER_cert(above.certificate.read_text())))
    origin = site(V4, forgetful(there.url, "for all"))
    assert verdict(daemon, visit, origin) == "untrusted"
    wait_for_counter(daemon, "intermediates_fetched")
    assert [verdict(daemon, visit, origin) for _ in range(12)] == ["ok"] * 12
    assert len(there.asked) == 1


def test_S12_two_that_are_missing_are_fetched_one_above_the_other(bump, site, visit, pki, server, forgetful):
    daemon = fetching(bump)
    upper = intermediate_of(pki, "upper")
    above = server(V4, answer(ssl.PEM_cert_to_DER_cert(upper.certificate.read_text())))
    lower = intermediate_of(pki, "lower", issuer=upper, more=f"authorityInfoAccess=caIssuers;URI:{above.url}\n")
    there = server(V4, answer(ssl.PEM_cert_to_DER_cert(lower.certificate.read_text())))
    origin = site(V4, forgetful(there.url, "twice", intermediate=lower))
    assert verdict(daemon, visit, origin) == "untrusted"
    wait_for_counter(daemon, "intermediates_fetched", 2)
    assert verdict(daemon, visit, origin) == "ok"
    assert (len(there.asked), len(above.asked)) == (1, 1)


def test_S12_a_name_is_resolved_and_its_address_must_be_allowed(bump, site, visit, pki, server, forgetful, lab):
    """localhost of /etc/hosts: the gateway's own loopback, refused unless it is named."""
    above = intermediate_of(pki, "local")
    asked = []
    with lab.gateway.entered():
        listener = socket.create_server(("127.0.0.1", 8080))
    body = answer(ssl.PEM_cert_to_DER_cert(above.certificate.read_text()))

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            asked.append(sock.recv(4096))
            sock.sendall(body)
            sock.close()
    threading.Thread(target=serve, daemon=True).start()
    try:
        origin = site(V4, forgetful("http://localhost:8080/i.der", "local"))
        daemon = fetching(bump)
        assert verdict(daemon, visit, origin) == "untrusted"
        wait_for_counter(daemon, "intermediate_fetch_failures")
        assert asked == []
        daemon.stop()
        daemon = fetching(bump, ["127.0.0.0/8"])
        assert verdict(daemon, visit, origin) == "untrusted"
        wait_for_counter(daemon, "intermediates_fetched")
        assert verdict(daemon, visit, origin) == "ok"
        assert len(asked) == 1
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def names(lab):
    """names(address): a name server for the gateway, that knows that address for every name; returns what it was asked."""
    folder = pathlib.Path("/etc/netns") / lab.gateway.name  # what `ip netns exec` puts over /etc
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    server = lab.gateway.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    server.settimeout(0.1)
    over, asked = threading.Event(), []

    def serve(address):
        while not over.is_set():
            try:
                query, client = server.recvfrom(4096)
            except socket.timeout:
                continue
            end = query.index(b"\0", 12) + 5
            is_a = query[end - 4:end - 2] == b"\0\x01"
            asked.append(query[12:end - 5])
            record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + socket.inet_aton(address) if is_a else b""
            head = query[:2] + b"\x81\x80\0\x01" + (b"\0\x01" if is_a else b"\0\0") + b"\0\0\0\0"
            server.sendto(head + query[12:end] + record, client)

    threads = []

    def make(address):
        threads.append(threading.Thread(target=serve, args=(address,)))
        threads[-1].start()
        return asked
    yield make
    over.set()
    for thread in threads:
        thread.join()
    server.close()
    shutil.rmtree(folder)


def test_S12_a_name_is_asked_of_the_name_server(bump, site, visit, pki, server, forgetful, names):
    above = intermediate_of(pki, "named")
    there = server(V4, answer(ssl.PEM_cert_to_DER_cert(above.certificate.read_text())))
    asked = names(there.address)
    daemon = fetching(bump)
    origin = site(V4, forgetful("http://ca.example:8080/i.der", "named"))
    assert verdict(daemon, visit, origin) == "untrusted"
    wait_for_counter(daemon, "intermediates_fetched")
    assert verdict(daemon, visit, origin) == "ok"
    assert b"\x02ca\x07example" in asked
    assert "\r\nHost: ca.example:8080\r\n" in there.asked[0][0]


def test_S12_by_default_nothing_is_fetched(bump, site, visit, pki, server, forgetful, syns):
    daemon = bump(tls={"fetch_intermediates_from": LAB})
    there = server(V4, b"")
    origin = site(V4, forgetful(there.url, "off"))
    assert [verdict(daemon, visit, origin) for _ in range(2)] == ["untrusted"] * 2
    daemon.stop()  # what was begun would be over now
    assert [syn for syn in syns.until_now() if syn[1] == there.address] == []


def test_S12_addresses_that_are_not_public_are_not_asked(bump, site, visit, pki, server, forgetful, syns, version):
    """All of the lab is private, and nothing allows it."""
    daemon = fetching(bump, [])
    there = server(version, b"")
    origin = site(version, forgetful(there.url, f"inner {version}"))
    assert verdict(daemon, visit, origin) == "untrusted"
    wait_for_counter(daemon, "intermediate_fetch_failures")
    assert verdict(daemon, visit, origin) == "untrusted"
    assert [syn for syn in syns.until_now() if syn[1] == there.address] == []


ANSWERS = {
    "garbage": b"\x16\x03\x01\x00\x05 what is this",
    "no certificate": answer(b"<html>"),
    "not found": answer(b"", "404 Not Found"),
    "nothing": b"",
    "endless": b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1 << 20),
    "too large by its length": b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n",
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0",
}


def test_S12_answers_that_are_no_use_break_nothing(bump, site, visit, pki, server, forgetful):
    daemon = fetching(bump)
    for number, (label, reply) in enumerate(ANSWERS.items(), 1):
        there = server(V4, reply)
        origin = site(V4, forgetful(there.url, label))
        assert verdict(daemon, visit, origin) == "untrusted", label
        wait_for_counter(daemon, "intermediate_fetch_failures", number)
        assert len(there.asked) == 1, label
        assert verdict(daemon, visit, origin) == "untrusted", label
    assert counter(daemon, "intermediates_fetched") == 0
    assert verdict(daemon, visit, site(V4, pki.site())) == "ok"


def test_S12_a_redirect_is_not_followed(bump, site, visit, pki, server, forgetful):
    daemon = fetching(bump)
    above = intermediate_of(pki, "elsewhere")
    real = server(V4, answer(ssl.PEM_cert_to_DER_cert(above.certificate.read_text())))
    there = server(V4, answer(b"", "302 Found", f"Location: {real.url}"))
    origin = site(V4, forgetful(there.url, "elsewhere"))
    assert verdict(daemon, visit, origin) == "untrusted"
    wait_for_counter(daemon, "intermediate_fetch_failures")
    assert (len(there.asked), real.asked) == (1, [])


def test_S12_what_leads_to_no_trusted_root_is_not_believed(bump, site, visit, pki, server, forgetful):
    """A CA that nobody trusts signs for anything; and one that is trusted has not signed this."""
    daemon = fetching(bump)
    stranger = intermediate_of(pki, "stranger", issuer=pki.unknown_root)
    there = server(V4, answer(ssl.PEM_cert_to_DER_cert(stranger.certificate.read_text())))
    origin = site(V4, forgetful(there.url, "stranger", issuer=pki.unknown_root))
    assert verdict(daemon, visit, origin) == "untrusted"
    wait_for_counter(daemon, "intermediate_fetch_failures", 1)
    assert verdict(daemon, visit, origin) == "untrusted"

    # Whoever names a URL of others falsely does not keep them from it.
    honest = intermediate_of(pki, "honest")
    there = server(V4, answer(ssl.PEM_cert_to_DER_cert(honest.certificate.read_text())))
    liar = site(V4, forgetful(there.url, "liar"))
    assert verdict(daemon, visit, liar) == "untrusted"
    wait_for_counter(daemon, "intermediate_fetch_failures", 2)
    origin = site(V4, forgetful(there.url, "honest"))
    assert verdict(daemon, visit, origin) == "untrusted"
    wait_for_counter(daemon, "intermediates_fetched")
    assert verdict(daemon, visit, origin) == "ok"
    assert verdict(daemon, visit, liar) == "untrusted"


@pytest.mark.slow
def test_S12_a_server_that_stalls_holds_nobody_up(bump, site, visit, pki, server, forgetful):
    """Connections go on meanwhile, the next fetch comes when the time is over, and the daemon can stop at once."""
    daemon = fetching(bump)
    stalling = server(V4, lambda peer: stalling.released.wait(deadline_s(30)))
    origin = site(V4, forgetful(stalling.url, "stalling"))
    assert verdict(daemon, visit, origin) == "untrusted"
    wait_until(lambda: stalling.asked, "the fetcher to ask")
    above = intermediate_of(pki, "behind it")
    there = server(V4, answer(ssl.PEM_cert_to_DER_cert(above.certificate.read_text())))
    waiting = site(V4, forgetful(there.url, "behind it"))
    assert verdict(daemon, visit, waiting) == "untrusted"
    assert verdict(daemon, visit, site(V4, pki.site())) == "ok"
    wait_for_counter(daemon, "intermediates_fetched", 1, seconds=30)
    assert counter(daemon, "intermediate_fetch_failures") == 1
    assert verdict(daemon, visit, waiting) == "ok"

    again = server(V4, lambda peer: again.released.wait(deadline_s(30)))
    assert verdict(daemon, visit, site(V4, forgetful(again.url, "at the end"))) == "untrusted"
    wait_until(lambda: again.asked, "the fetcher to ask")
    daemon.stop()
