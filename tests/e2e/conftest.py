"""Fixtures: one lab per run, a fresh daemon per test, and the check that no daemon crashed or leaked."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import types

import pytest

import lab as lab_module
from bump_peers import Browser, Pki, Plain, Silent, Site, Tls, client_context, hello_page
from lab import UNBOUND_TLS_PORT, V4, V6, BINARY, Daemon, Lab, SanitizerReports, SynTap, wait_until

TOOLS = ("ip", "nft", "nginx", "openssl", "setpriv", "ss", "curl", "gnutls-serv")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds; left out by QUICK=1")
    # A killed run takes its lab down, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: pytest.exit("told to stop", returncode=143))
    config.addinivalue_line("markers", "no_daemon: needs no daemon program")
    config.addinivalue_line("markers", "one_worker: about what a worker remembers, or about its share of a limit")


# Each file runs in one process: those that take longest begin first, so that none of them is left over at the end.
LONG_FILES = ("test_kernel_setup.py", "test_17_explicit.py", "test_12_bump_retreats.py", "test_09_lifecycle.py", "test_06_endings.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG_FILES.index(item.path.name) if item.path.name in LONG_FILES else len(LONG_FILES))
    if os.environ.get("QUICK") == "1":
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="QUICK=1"))


@pytest.fixture(scope="session", autouse=True)
def sanitizer_reports():
    """The first fixture of a run and of every test, so the last to end: it sees what a daemon says at its very end."""
    reports = SanitizerReports()
    yield reports
    left = reports.take()  # of what lives longer than a test
    reports.close()
    assert not left, left


@pytest.fixture(autouse=True)
def no_sanitizer_reports(sanitizer_reports):
    yield
    said = sanitizer_reports.take()
    assert not said, said


@pytest.fixture(scope="session")
def lab():
    """The namespaces with nginx in them, until the end of the run."""
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests make network namespaces: run them as root", returncode=2)
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        pytest.exit(f"missing tools: {' '.join(missing)}; `make test` installs them", returncode=2)
    made = Lab()
    try:
        made.start_nginx()
        yield made
    finally:
        with contextlib.suppress(Exception):
            if made.kernel_config is not None:
                made.kernel_down()
        made.close()


@pytest.fixture(params=[V4, V6], ids=["ipv4", "ipv6"])
def version(request):
    return request.param


@pytest.fixture
def start(lab, request, sanitizer_reports):
    """start(rules, **tables): kernel rules up and a daemon with that configuration, ended and judged after the test."""
    assert BINARY.exists(), f"{BINARY} does not exist: run `make`, or set SLUICE_BIN"
    lab.workers = 1 if request.node.get_closest_marker("one_worker") else lab_module.WORKERS
    daemons = []

    def make(rules="", *, gateway=None, tls=None, http=None, limits=None, log=None, access=None, **options):
        config = lab.config(rules, gateway=gateway, tls=tls, http=http, limits=limits, log=log, access=access)
        lab.kernel_up(config)
        daemons.append(Daemon(lab, config, **options))
        return daemons[-1]

    yield make
    failures = []
    for daemon in reversed(daemons):
        try:
            daemon.stop()
        except lab_module.LabError as error:
            failures.append(str(error))
    if said := sanitizer_reports.take():
        failures.insert(0, said)
    assert not failures, "\n".join(failures)


@pytest.fixture
def listen(lab):
    """listen(version, port=443): an origin on a fresh address, closed after the test."""
    origins = []

    def make(version, port=443):
        origins.append(lab.listen(version, port))
        return origins[-1]

    yield make
    for origin in origins:
        origin.close()


@pytest.fixture
def connect(lab):
    """connect(version, address, port=443, source=, space=): a client's connection, closed after the test."""
    peers = []

    def make(*args, **kwargs):
        peers.append(lab.connect(*args, **kwargs))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


@pytest.fixture
def syns(lab):
    """Every SYN that reaches the origin, from the start of the test."""
    tap = SynTap(lab)
    yield tap
    tap.close()


@pytest.fixture(scope="session")
def pki(lab):
    """Certificates for origins, and the gateway's own CA. Made once."""
    return Pki(lab.folder / "pki")


@pytest.fixture
def bump(start, pki):
    """start() of a gateway that bumps what no rule names, and reads plain HTTP on port 80."""
    def make(rules="", *, tls=None, gateway=None, **more):
        return start(rules, gateway={"http_ports": [80], **(gateway or {})}, tls={
            "default_action": "bump", "ca_cert": pki.gateway_ca.certificate, "ca_key": pki.gateway_ca.key,
            "system_roots": False, "extra_roots": [pki.root.certificate], **(tls or {})}, **more)
    return make


@pytest.fixture
def site(lab):
    """site(version, identity or None, respond, …): an origin that speaks TLS or plain HTTP, closed after the test."""
    sites = []

    def make(*args, **kwargs):
        sites.append(Site(lab, *args, **kwargs))
        return sites[-1]

    yield make
    for made in sites:
        made.close()


@pytest.fixture
def silent(lab):
    """silent(version, script): an origin that does what script(peer) says, closed after the test."""
    made = []

    def make(*args, **kwargs):
        made.append(Silent(lab, *args, **kwargs))
        return made[-1]

    yield make
    for origin in made:
        origin.close()


@pytest.fixture
def s_server(lab, pki):
    """s_server(version, identity, *options): openssl s_server as the origin, ended after the test."""
    running = []

    def make(version, identity, *options):
        address = lab.new_origin_address(version)
        shown = f"[{address}]" if version == V6 else address
        running.append(lab.origin.popen(
            "setpriv", "--pdeathsig", "KILL", "openssl", "s_server", "-accept", f"{shown}:443", "-cert", identity.certificate,
            "-cert_chain", pki.intermediate.certificate, "-key", identity.key, "-www", *options, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))
        wait_until(lambda: shown in lab.origin.run("ss", "-Hltn").stdout, "s_server to listen")
        return types.SimpleNamespace(address=address, port=443, version=version)

    yield make
    for server in running:
        server.kill()
        server.wait()


@pytest.fixture
def gnutls_serv(lab):
    """gnutls_serv(version, identity, priority): GnuTLS's own HTTP server as the origin, one at a time, ended after the test. It
    listens on every address of the origin's host."""
    running = []

    def make(version, identity, priority):
        running.append(lab.origin.popen(
            "setpriv", "--pdeathsig", "KILL", "gnutls-serv", "--http", "--disable-client-cert", f"--port={UNBOUND_TLS_PORT}",
            f"--x509certfile={identity.chain}", f"--x509keyfile={identity.key}", f"--priority={priority}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_until(lambda: f":{UNBOUND_TLS_PORT} " in lab.origin.run("ss", "-Hltn").stdout, "gnutls-serv to listen")
        return types.SimpleNamespace(address=lab.new_origin_address(version), port=UNBOUND_TLS_PORT, version=version)

    yield make
    for server in running:
        server.kill()
        server.wait()


@pytest.fixture
def visit(connect, pki):
    """visit(site, …): a client's TLS connection to it, with the handshake done. It trusts the gateway's CA alone, unless
    `ca` names another, or None: anybody."""
    def make(site, *, name="www.example.com", ca=..., session=None, source=None, context=None, handshake=True, **options):
        context = context or client_context(pki.gateway_ca.certificate if ca is ... else ca, **options)
        peer = connect(site.version, site.address, site.port, source=source)
        tls = Tls(peer, context, name=name, session=session)
        return tls.handshake() if handshake else tls
    return make


class Web:
    """HTTP through the gateway, inside TLS or plain: the same tests for both."""

    def __init__(self, scheme, version, bump, site, visit, connect, identity):
        self.scheme, self.version, self.start = scheme, version, bump
        self._site, self._visit, self._connect, self._identity = site, visit, connect, identity

    def site(self, respond=hello_page, **more):
        return self._site(self.version, self._identity if self.scheme == "https" else None, respond, **more)

    def open(self, site, **more):
        """A client's connection, ready for requests."""
        if self.scheme == "https":
            return Browser(self._visit(site, **more))
        return Browser(Plain(self._connect(self.version, site.address, site.port)))

    @property
    def action(self):
        return "bump" if self.scheme == "https" else "allow"


@pytest.fixture(params=[("https", V4), ("http", V6)], ids=["bumped", "plain"])
def web(request, bump, site, visit, connect, pki):
    return Web(*request.param, bump, site, visit, connect, pki.site())


TEST_LIMIT_S = 120


@pytest.fixture(autouse=True)
def no_test_hangs():
    """Every wait has a deadline of its own; this one catches what was forgotten."""
    def give_up(*_):
        raise lab_module.LabError(f"the test took more than {TEST_LIMIT_S} s")
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(lab_module.deadline_s(TEST_LIMIT_S)) or 1)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def no_thread_dies_quietly():
    """An exception in a helper thread of a test is a failure of that test."""
    seen = []
    before = threading.excepthook
    threading.excepthook = seen.append
    yield
    threading.excepthook = before
    assert not seen, f"a thread of the test failed: {seen[0].exc_type.__name__}: {seen[0].exc_value}"
