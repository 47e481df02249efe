"""kernel-setup with real packets, and a stand-in for the daemon: a TPROXY listener that says what it saw.

    client (10.83.1.2, .3)  eth0 ───── lan0  gateway  wan0 ───── eth0  origin (10.83.2.2, .3)
           (fd83:1::2, ::3)          10.83.1.1      10.83.2.1          (fd83:2::2, ::3)

Everything here runs on namespaces of its own, apart from the lab of the other tests, because these tests change and
break the kernel's rules on purpose. No program under test is needed but the script: a small shell script plays the
part of `sluice check --kernel-values`.
"""

import contextlib
import errno
import itertools
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import threading

import pytest

from lab import V4, V6, Namespace, deadline_s, family_of, run, wait_until

pytestmark = pytest.mark.no_daemon

REPO = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = REPO / "kernel-setup" / "sluice-kernel-setup"
PORT = 12345
OWN_MARK = 0x5400
IP_TRANSPARENT, IPV6_TRANSPARENT, SO_MARK = 19, 75, 36
BOTH = pytest.mark.parametrize("version", [V4, V6], ids=["ipv4", "ipv6"])

CLIENT = {V4: "10.83.1.2", V6: "fd83:1::2"}
CLIENT2 = {V4: "10.83.1.3", V6: "fd83:1::3"}
GATEWAY = {V4: "10.83.1.1", V6: "fd83:1::1"}
GATEWAY_WAN = {V4: "10.83.2.1", V6: "fd83:2::1"}
ORIGIN = {V4: "10.83.2.2", V6: "fd83:2::2"}
ORIGIN2 = {V4: "10.83.2.3", V6: "fd83:2::3"}

VALUES = {
    "tproxy_port": PORT, "tls_ports": "443 8443", "http_ports": "", "lan": "lan0", "own_traffic": 0, "ipv6": 1,
    "quic": "reject", "when_down": "open", "exempt_clients": "", "exempt_destinations": "", "mark": "0x5300", "own_mark": "0x5400",
    "mark_mask": "0xff00", "route_table": 5300, "rule_priority": 5300,
}


# --- servers: threads with sockets made in a namespace ---------------------------------------------------------------


class Server:
    """Greets each connection with one line, then sends back what it gets, each chunk after its own name.

    The greeting: NAME, own address, own port, peer's address. `drop()` is what a killed process leaves: nothing.
    """

    def __init__(self, space, name, ports, *, transparent=False, mark=None):
        self.name = name
        self.listeners, self.connections, self.accepted = [], [], 0
        self.received = b""
        for version, port in itertools.product((V4, V6), ports):
            sock = space.socket(family_of(version))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if version == V6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if transparent:
                level, option = ((socket.SOL_IP, IP_TRANSPARENT) if version == V4 else
                                 (socket.IPPROTO_IPV6, IPV6_TRANSPARENT))
                sock.setsockopt(level, option, 1)
            if mark is not None:
                sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
            sock.bind(("", port))
            sock.listen(64)
            self.listeners.append(sock)
        self.poke, poked = socket.socketpair()
        self.thread = threading.Thread(target=self._serve, args=(poked,), daemon=True)
        self.thread.start()

    def _serve(self, poked):
        while True:
            ready, _, _ = select.select([poked, *self.listeners, *self.connections], [], [])
            if poked in ready:
                poked.close()
                return
            for sock in ready:
                if sock in self.listeners:
                    self._accept(sock)
                else:
                    self._echo(sock)

    def _accept(self, listener):
        sock, peer = listener.accept()
        own = sock.getsockname()
        self.accepted += 1
        self.connections.append(sock)
        sock.sendall(f"{self.name} {own[0]} {own[1]} {peer[0]}\n".encode())

    def _echo(self, sock):
        try:
            data = sock.recv(4096)
        except OSError:
            data = b""
        if data:
            self.received += data
            with contextlib.suppress(OSError):
                sock.sendall(self.name.encode() + b":" + data)
        else:
            self.connections.remove(sock)
            sock.close()

    def drop(self):
        if self.thread.is_alive():
            self.poke.send(b"x")
            self.thread.join()
        for sock in self.listeners + self.connections:
            sock.close()
        self.listeners, self.connections = [], []


class Client:
    """A TCP connection. `greeting` is the list of words of whoever answered."""

    def __init__(self, space, version, address, port=443, *, source=None, mark=None, greeting=True):
        self.sock = space.socket(family_of(version))
        self.sock.settimeout(deadline_s(10))
        if source:
            self.sock.bind((source, 0))
        if mark is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        try:
            self.sock.connect((address, port))
            self.greeting = self.line().split() if greeting else None
        except BaseException:
            self.sock.close()
            raise

    def line(self):
        data = b""
        while not data.endswith(b"\n"):
            more = self.sock.recv(1)
            if not more:
                raise ConnectionResetError(errno.ECONNRESET, "closed before a whole line")
            data += more
        return data.decode().rstrip("\n")

    def exchange(self, text="still here"):
        self.sock.sendall(text.encode() + b"\n")
        return self.line()

    def close(self):
        self.sock.close()


class Place:
    """The three namespaces, and the script run in the gateway's."""

    def __init__(self, folder):
        self.folder = folder
        self.clients = []
        self.servers = []
        number = os.getpid()
        self.client, self.gateway, self.origin = (Namespace(f"kset-{number}-{role}") for role in
                                                  ("client", "gateway", "origin"))
        self._wire(self.gateway, "lan0", self.client, "eth0")
        self._wire(self.gateway, "wan0", self.origin, "eth0")
        for space, device, *addresses in (
                (self.client, "eth0", "10.83.1.2/24", "10.83.1.3/24", "fd83:1::2/64", "fd83:1::3/64"),
                (self.gateway, "lan0", "10.83.1.1/24", "fd83:1::1/64"),
                (self.gateway, "wan0", "10.83.2.1/24", "fd83:2::1/64"),
                (self.origin, "eth0", "10.83.2.2/24", "10.83.2.3/24", "fd83:2::2/64", "fd83:2::3/64")):
            for address in addresses:
                space.run("ip", "addr", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        for space, via in ((self.client, GATEWAY), (self.origin, GATEWAY_WAN)):
            space.run("ip", "route", "add", "default", "via", via[V4])
            space.run("ip", "-6", "route", "add", "default", "via", via[V6])
        self.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                         "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        self.state = folder / "state"
        self.binary = folder / "sluice"
        self.values()

    @staticmethod
    def _wire(left, left_name, right, right_name):
        run("ip", "link", "add", left_name, "netns", left.name, "type", "veth", "peer", "name", right_name, "netns",
            right.name)
        for space, name, link_local in ((left, left_name, "fe80::1/64"), (right, right_name, "fe80::2/64")):
            # Link-local addresses of our own making: the kernel's appear some time later, and snapshots would differ.
            space.run("ip", "link", "set", name, "addrgenmode", "none", "up")
            space.run("ip", "addr", "add", link_local, "dev", name, "nodad")

    def values(self, **changes):
        """What rules.toml says from now on."""
        lines = "".join(f"{key}={value}\n" for key, value in {**VALUES, **changes}.items() if value is not None)
        self.binary.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}END\n")
        self.binary.chmod(0o755)

    def script(self, *argv, check=True, env=()):
        return self.gateway.run("env", f"SLUICE_STATE_DIR={self.state}", f"SLUICE_BIN={self.binary}", *env, SCRIPT,
                                *argv, check=check)

    def up(self, *options, **values):
        if values:
            self.values(**values)
        return self.script("up", *options)

    def daemon(self):
        return self._server(Server(self.gateway, "DAEMON", [PORT], transparent=True, mark=OWN_MARK))

    def server(self, space, name="ORIGIN", ports=(443, 8443, 8080)):
        return self._server(Server(space, name, ports))

    def _server(self, server):
        self.servers.append(server)
        return server

    def connect(self, *args, space=None, **kwargs):
        if space is None:  # a client with two addresses: say which
            kwargs.setdefault("source", CLIENT[args[0]])
        client = Client(space or self.client, *args, **kwargs)
        self.clients.append(client)
        return client

    def answers(self, *args, **kwargs):
        """Who answers a fresh connection: ORIGIN, DAEMON, …, or the name of the error."""
        try:
            return self.connect(*args, **kwargs).greeting[0]
        except OSError as error:
            return errno.errorcode.get(error.errno, type(error).__name__)

    def snapshot(self):
        """All of the gateway's kernel state that the script could touch."""
        gateway = self.gateway
        return "\n".join([
            gateway.run("nft", "-s", "list", "ruleset").stdout,
            *(gateway.run("ip", family, what, "show", *more).stdout for family in ("-4", "-6")
              for what, more in (("rule", ()), ("route", ("table", "all")))),
            *(line for line in gateway.run("sysctl", "-a").stdout.splitlines()
              if re.match(r"net\.(ipv4|ipv6)\.(conf|ip_forward)", line) and "stable_secret" not in line),
        ])

    def nft(self, text):
        subprocess.run(["ip", "netns", "exec", self.gateway.name, "nft", "-f", "-"], input=text, text=True, check=True)

    def counter(self, table, name):
        text = self.gateway.run("nft", "list", "counter", "inet", table, name).stdout
        return int(re.search(r"packets (\d+)", text).group(1))

    def reset(self):
        for client in self.clients:
            client.close()
        for server in self.servers:
            server.drop()
        self.clients, self.servers = [], []
        self.gateway.run("nft", "flush", "ruleset")
        self.script("down")
        self.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.values()

    def close(self):
        for space in (self.client, self.gateway, self.origin):
            space.close()


@pytest.fixture(scope="module")
def made_place(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("makes network namespaces: needs root")
    for line in run("ip", "netns", "list").stdout.splitlines():  # what killed runs left behind
        match = re.match(r"kset-(\d+)-", line)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            run("ip", "netns", "del", line.split()[0], check=False)
    place = Place(tmp_path_factory.mktemp("kset"))
    try:
        yield place
    finally:
        place.close()


@pytest.fixture
def place(made_place):
    made_place.server(made_place.origin)
    yield made_place
    made_place.reset()


# --- redirection -----------------------------------------------------------------------------------------------------


@BOTH
def test_without_the_script_the_gateway_only_forwards(place, version):
    place.daemon()
    assert place.connect(version, ORIGIN[version]).greeting == ["ORIGIN", ORIGIN[version], "443", CLIENT[version]]


@BOTH
@pytest.mark.parametrize("port", [443, 8443])
def test_the_daemon_gets_the_connection_and_its_original_destination(place, version, port):
    place.daemon()
    place.up()
    client = place.connect(version, ORIGIN[version], port)
    assert client.greeting == ["DAEMON", ORIGIN[version], str(port), CLIENT[version]]
    assert client.exchange("hello") == "DAEMON:hello"


@BOTH
def test_other_ports_are_forwarded(place, version):
    place.daemon()
    place.up()
    assert place.answers(version, ORIGIN[version], 8080) == "ORIGIN"


@BOTH
def test_ports_of_plain_http_are_redirected_too_and_their_udp_is_nobodys_business(place, version):
    place.daemon()
    place.up(http_ports="8080 80")
    assert place.answers(version, ORIGIN[version], 8080) == "DAEMON"
    assert place.answers(version, ORIGIN[version], 443) == "DAEMON"
    assert place.script("status").returncode == 0
    with udp_echo(place.origin, ORIGIN[version], 8080), udp_echo(place.origin, ORIGIN[version]):
        assert udp_answer(place, version, ORIGIN[version], 8080) == "echo"
        assert udp_answer(place, version, ORIGIN[version]) == "ECONNREFUSED"


@BOTH
def test_the_gateways_own_service_on_443_is_not_redirected(place, version):
    place.daemon()
    place.server(place.gateway, "ADMIN", ports=[443])
    place.up()
    assert place.answers(version, GATEWAY[version]) == "ADMIN"
    assert place.answers(version, GATEWAY_WAN[version]) == "ADMIN"


@BOTH
@pytest.mark.parametrize("space", ["client", "origin"])
def test_the_daemons_port_is_no_service(place, version, space):
    place.daemon()
    place.up()
    address = GATEWAY if space == "client" else GATEWAY_WAN
    assert place.answers(version, address[version], PORT, space=getattr(place, space)) == "ECONNREFUSED"
    assert place.counter("sluice", "direct_refused") == 1


@BOTH
def test_connections_from_the_other_side_are_not_redirected(place, version):
    place.daemon()
    place.server(place.client, "INSIDE", ports=[443])
    place.up()
    assert place.answers(version, CLIENT[version], space=place.origin) == "INSIDE"


@BOTH
def test_interfaces_that_appear_later_and_wildcards(place, version):
    place.daemon()
    place.up(lan="nothere0 la*")
    assert "nothere0" in place.script("up").stderr
    assert place.answers(version, ORIGIN[version]) == "DAEMON"


@BOTH
def test_only_the_named_interfaces(place, version):
    place.daemon()
    place.up("--lan", "lan7")
    assert place.answers(version, ORIGIN[version]) == "ORIGIN"


@BOTH
def test_lan_from_the_environment_and_from_options(place, version):
    place.daemon()
    place.values(lan="")
    place.script("up", env=["SLUICE_LAN=lan7 lan0"])
    assert place.answers(version, ORIGIN[version]) == "DAEMON"
    place.script("up", "--lan=lan7", env=["SLUICE_LAN=lan0"])
    assert place.answers(version, ORIGIN[version]) == "ORIGIN"


def test_ipv6_can_be_left_alone(place):
    place.daemon()
    place.up(ipv6=0)
    assert place.answers(V4, ORIGIN[V4]) == "DAEMON"
    assert place.answers(V6, ORIGIN[V6]) == "ORIGIN"
    assert "83" not in place.gateway.run("ip", "-6", "rule").stdout
    assert "clients with IPv6 go past Sluice" in place.script("status").stderr


# --- up again, down --------------------------------------------------------------------------------------------------


def test_up_twice_changes_nothing(place):
    place.up(exempt_clients="10.0.0.0/8 10.1.0.0/16", own_traffic=1)
    before = place.snapshot()
    place.up()
    assert place.snapshot() == before


@BOTH
def test_up_again_keeps_connections_and_counters(place, version):
    place.daemon()
    place.up()
    client = place.connect(version, ORIGIN[version])
    place.up(when_down="closed", tls_ports="8443", exempt_clients=CLIENT[version])
    assert client.exchange() == "DAEMON:still here"
    assert place.counter("sluice", "redirected") == 1


def test_up_follows_changed_values(place):
    place.up(mark="0x6100", own_mark="0x6200", mark_mask="0x7f00", route_table=77, rule_priority=99, own_traffic=1)
    place.up(**VALUES)
    again = place.snapshot()
    place.script("down")
    place.up()
    assert place.snapshot() == again


@pytest.mark.parametrize("options", [(), ("--forwarding",)], ids=["", "with forwarding"])
@pytest.mark.parametrize("values", [{}, {"own_traffic": 1, "when_down": "closed"}, {"ipv6": 0}],
                         ids=["default", "own traffic", "ipv4 only"])
def test_down_leaves_nothing(place, options, values):
    place.nft("table inet filter { counter seen { packets 7 bytes 700; }; chain c { counter name seen; }; }\n"
              "table ip nat { chain post { type nat hook postrouting priority 100; oifname \"wan0\" masquerade; }; }")
    place.gateway.run("ip", "rule", "add", "fwmark", "0x1", "lookup", "123", "priority", "5300")
    place.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0",
                      "net.ipv4.conf.all.accept_redirects=0")
    try:
        before = place.snapshot()
        place.up(*options, **values)
        assert "table inet sluice" in place.snapshot()
        if options:
            assert place.gateway.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "1\n"
            place.up(*options)  # a second time: the older values are still the ones to restore
        place.script("down")
        assert place.snapshot() == before
        assert not place.state.exists()
        assert place.script("status", check=False).returncode == 3
        place.script("down")
        assert place.snapshot() == before
        assert place.counter("filter", "seen") == 7
    finally:
        place.gateway.run("ip", "rule", "del", "fwmark", "0x1", "lookup", "123", "priority", "5300")


def test_down_leaves_sysctls_alone_that_somebody_changed_since(place):
    place.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    place.up("--forwarding")
    place.gateway.run("sysctl", "-qw", "net.ipv4.conf.lan0.forwarding=0")
    place.script("down")
    assert place.gateway.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "0\n"
    place.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    place.up("--forwarding")
    place.gateway.run("sysctl", "-qw", "net.ipv4.conf.lan0.accept_redirects=0", "net.ipv4.conf.default.forwarding=0")
    place.script("down")
    assert place.gateway.run("sysctl", "-n", "net.ipv4.conf.lan0.accept_redirects").stdout == "0\n"


@pytest.mark.parametrize("damage", [
    "nft flush ruleset", "nft delete table inet sluice", "ip rule del priority 5300", "ip -6 rule del priority 5299",
    "ip route flush table 5300", "ip -6 route flush table 5300", "nft flush chain inet sluice lan", "rm -r STATE"])
def test_damage_is_named_by_status_mended_by_up_and_no_hindrance_to_down(place, damage):
    before = place.snapshot()
    place.up()
    whole = place.snapshot()
    assert place.script("status").returncode == 0
    for mend in ("up", "down"):
        place.gateway.run(*damage.replace("STATE", str(place.state)).split())
        status = place.script("status", check=False)
        assert status.returncode == 1
        assert "missing" in status.stdout
        if mend == "down":
            place.values(route_table=99)  # rules.toml has changed since
        place.script(mend)
        assert place.snapshot() == (whole if mend == "up" else before)


def test_down_works_without_rules_toml_and_without_the_program(place):
    before = place.snapshot()
    place.up()
    place.binary.unlink()
    place.script("down")
    assert place.snapshot() == before


def test_ups_at_the_same_time_do_not_mix(place):
    command = ["ip", "netns", "exec", place.gateway.name, "env", f"SLUICE_STATE_DIR={place.state}",
               f"SLUICE_BIN={place.binary}", str(SCRIPT)]
    running = [subprocess.Popen(command + ["up"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for _ in range(6)]
    assert [process.wait(deadline_s(60)) for process in running] == [0] * 6
    assert place.script("status").returncode == 0


# --- a failing up ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("earlier", [False, True], ids=["from nothing", "over an earlier up"])
@pytest.mark.parametrize("values, named", [
    ({"exempt_clients": "300.1.1.1/8"}, "300.1.1.1"),
    ({"exempt_clients": "example.com"}, "example.com"),
    ({"lan": "eth0;reboot"}, "eth0;reboot"),
    ({"lan": ""}, "--lan eth1"),
    ({"tproxy_port": "70000"}, "tproxy_port"),
    ({"tproxy_port": "$(reboot)"}, "tproxy_port"),
    ({"tls_ports": "443 0"}, "tls_ports"),
    ({"tls_ports": ""}, "tls_ports"),
    ({"http_ports": "80 x"}, "http_ports"),
    ({"quic": "maybe"}, "reject pass"),
    ({"when_down": "ajar"}, "open closed"),
    ({"mark": "0x15300"}, "mark_mask"),
    ({"mark": "0x5400"}, "must differ"),
    ({"mark_mask": "0x1", "mark": "1", "own_mark": "1"}, "differ"),
    ({"route_table": 254}, "route_table"),
    ({"route_table": 123}, "table 123 is in use"),
    ({"mark_mask": None}, "mark_mask"),
])
def test_a_failing_up_changes_nothing(place, earlier, values, named):
    place.gateway.run("ip", "-6", "route", "add", "fd99::/64", "dev", "wan0", "table", "123")
    try:
        if earlier:
            place.up()
        before = place.snapshot()
        place.values(**values)
        done = place.script("up", "--forwarding", check=False)
        assert done.returncode == 1
        assert named in done.stderr
        assert place.snapshot() == before
        assert place.script("status", check=False).returncode == (0 if earlier else 3)
        assert place.state.exists() == earlier
    finally:
        place.gateway.run("ip", "-6", "route", "del", "fd99::/64", "dev", "wan0", "table", "123")


def test_a_refused_rules_toml_changes_nothing(place):
    before = place.snapshot()
    place.binary.write_text("#!/bin/sh\necho 'rules.toml:3:1: error: unknown key' >&2\nexit 1\n")
    done = place.script("up", check=False)
    assert done.returncode == 1
    assert "rules.toml:3:1" in done.stderr
    assert place.snapshot() == before


def test_an_up_that_nftables_refuses_undoes_forwarding_and_routes(place):
    place.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
    before = place.snapshot()
    # A table of our name that is not ours: its chain `lan` cannot be deleted, a foreign rule jumps to it.
    place.nft("table inet sluice { chain lan { }; chain foreign { jump lan; }; }")
    with_foreign = place.snapshot()
    done = place.script("up", "--forwarding", check=False)
    assert done.returncode == 1
    assert "nftables refused" in done.stderr
    assert place.snapshot() == with_foreign
    assert not place.state.exists()
    place.script("down")
    assert place.snapshot() == before


@pytest.mark.parametrize("argv", [[], ["sideways"], ["up", "--lan"], ["up", "--colour"], ["up", "now"],
                                  ["exempt"], ["exempt", "add", "client"], ["exempt", "add", "friend", "10.0.0.1"]])
def test_usage_errors(place, argv):
    done = place.script(*argv, check=False)
    assert done.returncode == 2
    assert "--help" in done.stderr


def test_help(place):
    assert "usage:" in place.script("--help").stdout


# --- exemptions ------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("kind", ["client", "destination"])
def test_exempt_at_run_time_takes_effect_at_once_and_survives_up(place, version, kind):
    place.daemon()
    place.up()
    address = (CLIENT2 if kind == "client" else ORIGIN2)[version]

    def exempt_answer():
        if kind == "client":
            return place.answers(version, ORIGIN[version], source=CLIENT2[version])
        return place.answers(version, ORIGIN2[version])

    assert exempt_answer() == "DAEMON"
    held = place.connect(version, ORIGIN2[version], source=CLIENT2[version])
    place.script("exempt", "add", kind, address)
    assert exempt_answer() == "ORIGIN"
    assert held.exchange() == "DAEMON:still here"
    assert place.answers(version, ORIGIN[version], source=CLIENT[version]) == "DAEMON"
    place.up()
    assert exempt_answer() == "ORIGIN"
    assert f"exempt {kind}: {address} (run time)" in place.script("exempt", "list").stdout
    assert address in place.script("status").stdout
    place.script("exempt", "del", kind, address)
    assert exempt_answer() == "DAEMON"


@BOTH
def test_exempt_from_rules_toml(place, version):
    place.daemon()
    network = {V4: "10.83.1.3/32 10.83.1.0/24", V6: "fd83:1::/64 fd83:1::3"}[version]
    place.up(exempt_clients=network)
    assert place.answers(version, ORIGIN[version]) == "ORIGIN"
    place.up(exempt_clients="", exempt_destinations=ORIGIN2[version])
    assert place.answers(version, ORIGIN[version]) == "DAEMON"
    assert place.answers(version, ORIGIN2[version]) == "ORIGIN"
    done = place.script("exempt", "del", "destination", ORIGIN2[version], check=False)
    assert done.returncode == 1
    assert "rules.toml" in done.stderr


def test_exempt_refuses_what_is_no_address_and_does_all_or_nothing(place):
    place.up()
    before = place.snapshot()
    for bad in ("example.com", "10.0.0.1;", "10.0.0.0/33", "::gg", "fe80::1%lan0", "deadbeef", "@exempt_clients4"):
        done = place.script("exempt", "add", "client", "192.0.2.1", bad, check=False)
        assert done.returncode == 1, bad
        assert place.snapshot() == before, bad
    assert place.script("exempt", "del", "client", "192.0.2.9", check=False).returncode == 1


def test_exempt_networks_that_overlap(place):
    place.up()
    place.script("exempt", "add", "client", "10.0.0.0/24")
    assert "already" in place.script("exempt", "add", "client", "10.0.0.7").stdout
    done = place.script("exempt", "add", "client", "10.0.0.0/8", check=False)
    assert done.returncode == 1
    assert "10.0.0.0/24" in done.stderr
    place.script("exempt", "del", "client", "10.0.0.0/24")
    place.script("exempt", "add", "client", "0.0.0.0/0", "::/0")
    place.daemon()
    assert place.answers(V4, ORIGIN[V4]) == "ORIGIN"
    assert place.answers(V6, ORIGIN[V6]) == "ORIGIN"


def test_exempt_needs_up(place):
    done = place.script("exempt", "add", "client", "10.0.0.1", check=False)
    assert done.returncode == 1
    assert "up" in done.stderr


# --- when the daemon is down -----------------------------------------------------------------------------------------


@BOTH
def test_open_passes_connections_while_the_daemon_is_down(place, version):
    place.up()
    assert place.answers(version, ORIGIN[version]) == "ORIGIN"
    assert place.counter("sluice", "daemon_down") > 0
    place.daemon()
    assert place.answers(version, ORIGIN[version]) == "DAEMON"


@BOTH
def test_open_connections_begun_while_down_live_on_when_the_daemon_returns(place, version):
    daemon = place.daemon()
    place.up()
    assert place.answers(version, ORIGIN[version]) == "DAEMON"
    daemon.drop()
    begun = place.connect(version, ORIGIN[version])
    assert begun.greeting[0] == "ORIGIN"
    place.daemon()
    held = place.connect(version, ORIGIN[version])
    for text in ("one", "two", "three"):
        assert begun.exchange(text) == f"ORIGIN:{text}"
        assert held.exchange(text) == f"DAEMON:{text}"
    place.up()
    assert begun.exchange() == "ORIGIN:still here"
    assert held.exchange() == "DAEMON:still here"


@BOTH
def test_open_connections_begun_before_up_live_on(place, version):
    begun = place.connect(version, ORIGIN[version])
    place.daemon()
    place.up()
    assert begun.exchange() == "ORIGIN:still here"
    place.script("down")
    assert begun.exchange() == "ORIGIN:still here"


@BOTH
def test_closed_refuses_connections_while_the_daemon_is_down(place, version):
    origin = place.server(place.origin, "LEAK", ports=[9999])
    place.up(when_down="closed")
    before = place.servers[0].accepted
    assert place.answers(version, ORIGIN[version]) == "ECONNREFUSED"
    assert place.answers(version, ORIGIN[version], 9999) == "LEAK"
    assert (place.servers[0].accepted, origin.accepted) == (before, 1)
    place.daemon()
    assert place.answers(version, ORIGIN[version]) == "DAEMON"


@BOTH
def test_closed_lets_nothing_leak_in_the_middle_of_a_connection(place, version):
    begun = place.connect(version, ORIGIN[version])
    place.up(when_down="closed")
    begun.sock.sendall(b"secret\n")
    with pytest.raises(ConnectionResetError):
        begun.line()
    assert b"secret" not in place.servers[0].received


@BOTH
def test_closed_still_passes_the_exempt(place, version):
    begun = place.connect(version, ORIGIN[version])
    place.up(when_down="closed", exempt_clients=CLIENT[version])
    assert place.answers(version, ORIGIN[version]) == "ORIGIN"
    assert begun.exchange() == "ORIGIN:still here"


# --- the router's own connections ------------------------------------------------------------------------------------


@BOTH
def test_own_traffic_is_left_alone_by_default(place, version):
    place.daemon()
    place.up()
    assert place.answers(version, ORIGIN[version], space=place.gateway) == "ORIGIN"


@BOTH
def test_own_traffic_is_redirected_but_not_the_daemons(place, version):
    begun = place.connect(version, ORIGIN[version], space=place.gateway)
    place.daemon()
    place.up(own_traffic=1)
    client = place.connect(version, ORIGIN[version], space=place.gateway)
    assert client.greeting == ["DAEMON", ORIGIN[version], "443", GATEWAY_WAN[version]]
    assert client.exchange() == "DAEMON:still here"
    assert place.answers(version, ORIGIN[version], space=place.gateway, mark=OWN_MARK) == "ORIGIN"
    assert place.answers(version, ORIGIN[version], space=place.gateway, mark=OWN_MARK | 0x3) == "ORIGIN"
    assert place.answers(version, ORIGIN[version], space=place.gateway, mark=0x3) == "DAEMON"
    assert place.answers(version, ORIGIN[version], 8080, space=place.gateway) == "ORIGIN"
    assert place.answers(version, ORIGIN[version]) == "DAEMON"
    assert begun.exchange() == "ORIGIN:still here"
    place.up()
    assert client.exchange() == "DAEMON:still here"
    place.script("exempt", "add", "destination", ORIGIN2[version])
    assert place.answers(version, ORIGIN2[version], space=place.gateway) == "ORIGIN"


@BOTH
def test_own_traffic_to_services_of_the_router_itself(place, version):
    place.daemon()
    place.server(place.gateway, "ADMIN", ports=[443])
    place.up(own_traffic=1)
    loopback = {V4: "127.0.0.1", V6: "::1"}[version]
    assert place.answers(version, loopback, space=place.gateway) == "ADMIN"
    assert place.answers(version, GATEWAY_WAN[version], space=place.gateway) == "ADMIN"


@BOTH
@pytest.mark.parametrize("when_down", ["open", "closed"])
def test_own_traffic_is_refused_while_the_daemon_is_down(place, version, when_down):
    # The output chain has to mark before it can know whether anybody listens, so it cannot fail open (documented).
    place.up(own_traffic=1, when_down=when_down)
    assert place.answers(version, ORIGIN[version], space=place.gateway) == "ECONNREFUSED"
    assert place.answers(version, ORIGIN[version], space=place.gateway, mark=OWN_MARK) == "ORIGIN"


@BOTH
def test_own_traffic_without_any_lan(place, version):
    place.daemon()
    place.up(lan="", own_traffic=1)
    assert place.answers(version, ORIGIN[version], space=place.gateway) == "DAEMON"
    assert place.answers(version, ORIGIN[version]) == "ORIGIN"


# --- QUIC ------------------------------------------------------------------------------------------------------------


def udp_answer(place, version, address, port=443, space=None):
    """`echo`, or the name of the error that ICMP brought to a connected UDP socket."""
    with contextlib.closing((space or place.client).socket(family_of(version), socket.SOCK_DGRAM)) as sock:
        sock.settimeout(deadline_s(10))
        if space is None:
            sock.bind((CLIENT[version], 0))
        sock.connect((address, port))
        try:
            sock.send(b"initial")
            return sock.recv(100).decode()
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))


@contextlib.contextmanager
def udp_echo(space, address, port=443):
    sock = space.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    stop, stopped = socket.socketpair()

    def serve():
        while True:
            ready, _, _ = select.select([sock, stopped], [], [])
            if stopped in ready:
                return
            _, peer = sock.recvfrom(100)
            sock.sendto(b"echo", peer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop.send(b"x")
        thread.join()
        for s in (sock, stop, stopped):
            s.close()


@BOTH
def test_quic_is_rejected_at_once_or_passed(place, version):
    with udp_echo(place.origin, ORIGIN[version]), udp_echo(place.origin, ORIGIN[version], 4433):
        assert udp_answer(place, version, ORIGIN[version]) == "echo"
        place.up()
        assert udp_answer(place, version, ORIGIN[version]) == "ECONNREFUSED"
        assert udp_answer(place, version, ORIGIN[version], 4433) == "echo"
        assert place.counter("sluice", "quic_rejected") == 1
        place.script("exempt", "add", "client", CLIENT[version])
        assert udp_answer(place, version, ORIGIN[version]) == "echo"
        place.script("exempt", "del", "client", CLIENT[version])
        assert udp_answer(place, version, ORIGIN[version]) == "ECONNREFUSED"
        assert udp_answer(place, version, ORIGIN[version], space=place.gateway) == "echo"
        place.up(own_traffic=1)
        assert udp_answer(place, version, ORIGIN[version], space=place.gateway) == "EPERM"  # at once, too
        place.up(quic="pass")
        assert udp_answer(place, version, ORIGIN[version]) == "echo"


@BOTH
def test_udp_services_of_the_router_stay(place, version):
    with udp_echo(place.gateway, GATEWAY[version]):
        place.up()
        assert udp_answer(place, version, GATEWAY[version]) == "echo"


# --- living with others ----------------------------------------------------------------------------------------------


@BOTH
def test_the_mark_bits_of_others_survive(place, version):
    place.daemon()
    place.nft("table inet other { counter both { }; counter one { };\n"
              " chain pre { type filter hook prerouting priority -250; iifname lan0 meta mark set 0x10007; };\n"
              " chain in { type filter hook input priority 0; tcp dport 443 meta mark 0x15307 counter name both; };\n"
              " chain through { type filter hook forward priority 0; tcp dport 8080 meta mark 0x10007 counter name one; }; }")
    place.up()
    assert place.connect(version, ORIGIN[version]).exchange() == "DAEMON:still here"
    assert place.answers(version, ORIGIN[version], 8080) == "ORIGIN"
    assert place.counter("other", "both") >= 3  # SYN, the last ACK of the handshake, data
    assert place.counter("other", "one") >= 3


@pytest.mark.parametrize("sysctls", [
    ["net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.lan0.rp_filter=1"],
    ["net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.all.src_valid_mark=1"],
    ["net.ipv4.fwmark_reflect=1", "net.ipv4.tcp_fwmark_accept=1", "net.ipv6.fwmark_reflect=1"],
], ids=["strict rp_filter", "src_valid_mark as wg-quick sets it", "marks that replies inherit"])
@pytest.mark.parametrize("own_traffic", [0, 1])
@BOTH
def test_strict_sysctls(place, version, sysctls, own_traffic):
    before = [line.split("=")[0] + "=" + place.gateway.run("sysctl", "-n", line.split("=")[0]).stdout.strip()
              for line in sysctls]
    place.gateway.run("sysctl", "-qw", *sysctls)
    try:
        place.daemon()
        place.up(own_traffic=own_traffic)
        assert place.connect(version, ORIGIN[version]).exchange() == "DAEMON:still here"
        assert place.answers(version, ORIGIN[version], 8080) == "ORIGIN"
        if own_traffic:
            assert place.connect(version, ORIGIN[version], space=place.gateway).exchange() == "DAEMON:still here"
        place.servers[-1].drop()
        assert place.answers(version, ORIGIN[version]) == "ORIGIN"
        place.up(when_down="closed")
        assert place.answers(version, ORIGIN[version]) == "ECONNREFUSED"
    finally:
        place.gateway.run("sysctl", "-qw", *before)


@BOTH
def test_the_reverse_path_check_that_firewalld_installs(place, version):
    place.daemon()
    place.nft("table inet firewalld { chain rpfilter { type filter hook prerouting priority 10;\n"
              " fib saddr . mark . iif oif missing drop; }; }")
    place.up()
    assert place.connect(version, ORIGIN[version]).exchange() == "DAEMON:still here"


def dial_as_client(place, version):
    """As the daemon does with client_source = "client": the client's address, a port of its own."""
    sock = place.gateway.socket(family_of(version))
    sock.settimeout(deadline_s(10))
    level, option = (socket.SOL_IP, IP_TRANSPARENT) if version == V4 else (socket.IPPROTO_IPV6, IPV6_TRANSPARENT)
    sock.setsockopt(level, option, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_MARK, OWN_MARK)
    sock.bind((CLIENT[version], 0))
    sock.connect((ORIGIN[version], 443))
    return sock


@BOTH
@pytest.mark.parametrize("nat", [False, True], ids=["routed", "masquerade"])
@pytest.mark.parametrize("own_traffic", [0, 1])
def test_replies_to_the_clients_address_come_back_to_the_daemon(place, version, nat, own_traffic):
    if nat:
        place.nft("table inet nat { chain post { type nat hook postrouting priority srcnat;"
                  " oifname \"wan0\" masquerade; }; }")
    place.up(own_traffic=own_traffic)
    with contextlib.closing(dial_as_client(place, version)) as sock:
        line = sock.recv(200).decode().split()
        assert line == ["ORIGIN", ORIGIN[version], "443", (GATEWAY_WAN if nat else CLIENT)[version]]
        sock.sendall(b"hello\n")
        assert sock.recv(200) == b"ORIGIN:hello\n"


@BOTH
def test_an_input_chain_that_drops_is_pointed_out_and_the_advice_works(place, version):
    place.daemon()
    place.nft("table inet filter { chain input { type filter hook input priority 0; policy drop;"
              " icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }; }")
    advice = re.search(r"add: (nft insert rule .*accept)", place.up().stderr).group(1)
    place.gateway.run(*advice.split())
    assert place.answers(version, ORIGIN[version]) == "DAEMON"
    assert "policy" not in place.script("status").stderr and "drops what" not in place.script("status").stderr


def test_status_points_out_what_keeps_redirection_from_working(place):
    place.up(lan="lan0 wan0")
    place.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    place.gateway.run("ip", "route", "add", "default", "via", ORIGIN[V4])
    try:
        status = place.script("status")
        assert "nobody listens" in status.stdout
        for words in ("IPv4 forwarding is off", "default route leads out of wan0"):
            assert words in status.stderr
    finally:
        place.gateway.run("ip", "route", "del", "default")
    place.daemon()
    assert "listening on port 12345 (IPv4, IPv6)" in place.script("status").stdout
    assert place.script("status", "--quiet").stdout == ""


def test_status_points_out_flowtables(place):
    done = place.gateway.run("nft", "add table inet fast; add flowtable inet fast ft "
                             "{ hook ingress priority 0; devices = { lan0, wan0 }; }", check=False)
    if done.returncode:
        pytest.skip("this kernel has no flowtables")
    assert "flowtable in inet/fast" in place.up().stderr


def test_status_points_out_a_bridge_port_named_as_lan(place):
    if place.gateway.run("ip", "link", "add", "br0", "type", "bridge", check=False).returncode:
        pytest.skip("this kernel has no bridges")
    try:
        place.gateway.run("ip", "link", "set", "wan0", "master", "br0")
        assert "wan0 is a port of the bridge br0" in place.up(lan="lan0 wan0").stderr
    finally:
        place.gateway.run("ip", "link", "del", "br0")


# --- make run --------------------------------------------------------------------------------------------------------


class MakeRun:
    """`make run` in the gateway's namespace, with a shell script as the daemon. What it says goes into a file."""

    def __init__(self, place, daemon):
        self.place = place
        build = place.folder / "build"
        build.mkdir(exist_ok=True)
        (build / "sluice").write_text(f"#!/bin/bash\nif [ $1 = check ]; then exec {place.binary}; fi\n{daemon}\n")
        (build / "sluice").chmod(0o755)
        self.output = place.folder / "make-run.out"
        with open(self.output, "wb") as out:
            # Whoever started the tests in the background has told them to ignore SIGINT, and a shell cannot trap what it
            # was told to ignore.
            self.process = place.gateway.popen(
                "env", "--default-signal=INT", f"SLUICE_STATE_DIR={place.state}", "make", "-C", REPO, "-s", "-o", build / "sluice", "run",
                "LAN=lan0", f"BUILD={build}", "CONFIG=none.toml", stdout=out, stderr=out, start_new_session=True)

    def wait_for(self, text):
        def seen():
            assert self.process.poll() is None or text in self.output.read_text(), self.output.read_text()
            return text in self.output.read_text()
        wait_until(seen, f"'{text}' from make run", seconds=60)

    def end(self):
        """The exit code that make reports of the recipe, after the process has ended."""
        self.process.wait(deadline_s(60))
        match = re.search(r"Error (\d+)", self.output.read_text())
        return int(match.group(1)) if match else self.process.returncode


DAEMON_UNTIL_TERM = "trap 'echo drained; exit 5' TERM; echo serving; while :; do read -t 60 <> <(:); done"


@pytest.mark.parametrize("sent", ["INT to all, as Ctrl-C does", "TERM to make"])
def test_make_run_undoes_everything_when_it_is_ended(place, sent):
    place.values(lan="")
    before = place.snapshot()
    made = MakeRun(place, DAEMON_UNTIL_TERM)
    made.wait_for("serving")
    assert place.script("status").returncode == 0
    if sent.startswith("INT"):
        os.killpg(made.process.pid, signal.SIGINT)
    else:
        made.process.terminate()
    made.process.wait(deadline_s(60))
    wait_until(lambda: place.script("status", "--quiet", check=False).returncode == 3, "down", seconds=60)
    made.wait_for("drained")
    assert place.snapshot() == before


def test_make_run_passes_the_exit_code_on_and_undoes_everything(place):
    before = place.snapshot()
    made = MakeRun(place, "echo serving; exit 7")
    assert made.end() == 7
    assert place.snapshot() == before


def test_make_run_leaves_an_installation_alone_that_is_up(place):
    place.up()
    before = place.snapshot()
    made = MakeRun(place, "echo serving")
    assert made.end() == 1
    assert "up already" in made.output.read_text()
    assert place.snapshot() == before
