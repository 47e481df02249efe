"""S35 close reasons, and the road's end: half-close, resets, failed dials, time limits, the loop.

    client ──────── gateway: tunnel-sni on 8443, tunnel on 443 ──────── origin
       who ends it, how, and when: before the hello, after it, after a stream that was spliced
"""

import contextlib
import errno
import re
import socket

import hello
import pytest
from lab import TPROXY_PORT, Lab, LabError, tls_rule, wait_until
from peers import assert_closed_unserved, assert_ends_in_order, assert_passes

TUNNEL_443 = tls_rule("tunnel 443", "tunnel", {"port": 443})
HELLO = hello.client_hello("www.example.com")
STREAM = bytes(range(256)) * (4 * 4096)  # 4 MiB: long enough to be spliced


@pytest.fixture(params=["fresh", "after a stream up", "after a stream down"], ids=lambda p: p.replace(" ", "-"))
def connection(request, start, version, listen, connect):
    """A tunnelled connection in each state of the relay: (daemon, client, origin's end, bytes up, bytes down)."""
    import threading
    daemon = start()
    origin = listen(version)
    client = connect(version, origin.address)
    served = assert_passes(origin, client, HELLO)
    up, down = len(HELLO), len(b"answer")
    if request.param != "fresh":
        sender, receiver = (client, served) if request.param.endswith("up") else (served, client)
        thread = threading.Thread(target=sender.send, args=(STREAM,))
        thread.start()
        assert receiver.receive(len(STREAM)) == STREAM
        thread.join()
        up, down = (up + len(STREAM), down) if sender is client else (up, down + len(STREAM))
    return daemon, client, served, up, down


def test_the_client_may_close_its_half_first(connection):
    daemon, client, served, up, down = connection
    client.finish()
    assert served.receive_all() == b""
    served.send(b"still talking").send(STREAM[:300000]).close()
    assert client.ending() == ("end", b"still talking" + STREAM[:300000])
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("finished", "none")
    assert (record["bytes_up"], record["bytes_down"]) == (up, down + 13 + 300000)


def test_the_origin_may_close_its_half_first(connection):
    daemon, client, served, up, down = connection
    served.finish()
    assert client.receive_all() == b""
    client.send(b"still talking").send(STREAM[:300000]).finish()
    assert served.receive_all() == b"still talking" + STREAM[:300000]
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("finished", "none")
    assert (record["bytes_up"], record["bytes_down"]) == (up + 13 + 300000, down)


def test_the_clients_reset_reaches_the_origin_as_a_reset(connection):
    daemon, client, served, _, _ = connection
    client.reset()
    assert served.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("client_reset", "client")


def test_the_origins_reset_reaches_the_client_as_a_reset(connection):
    daemon, client, served, _, _ = connection
    served.reset()
    assert client.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("origin_reset", "origin")


def test_a_reset_after_a_half_close_is_still_a_reset(connection):
    daemon, client, served, _, _ = connection
    client.finish()
    assert served.receive_all() == b""
    served.reset()
    assert client.ending() == ("reset", b"")
    assert daemon.record_of(client)["close"] == "origin_reset"


def test_bytes_sent_before_the_end_all_arrive(connection):
    """The last bytes and the FIN come together; a slow reader still gets everything."""
    _, client, served, _, _ = connection
    served.send(STREAM[:100000]).close()
    assert client.ending() == ("end", STREAM[:100000])


# --- failed dials ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=[443, 8443], ids=["tunnel", "tunnel-sni"])
def port(request):
    return request.param


def dial(connect, version, address, port):
    client = connect(version, address, port, may_be_reset=True)
    with contextlib.suppress(ConnectionError):
        client.send(HELLO)
    how, data = client.ending()
    assert data == b""
    return client, how


def test_an_origin_that_refuses_resets_the_client(start, version, lab, connect, port):
    daemon = start(TUNNEL_443)
    client, how = dial(connect, version, lab.new_origin_address(version), port)
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("origin_refused", "origin")
    assert how == "reset"
    assert (record["bytes_up"], record["bytes_down"]) == (0, 0)


def test_an_unreachable_origin_resets_the_client(start, version, connect, port):
    daemon = start(TUNNEL_443)
    client, how = dial(connect, version, Lab.UNREACHABLE[version], port)
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("origin_unreachable", "origin")
    assert how == "reset"


def test_a_silent_origin_resets_the_client_after_connect_timeout(start, version, connect, port):
    daemon = start(TUNNEL_443, limits={"connect_timeout": "300ms"})
    client, how = dial(connect, version, Lab.BLACKHOLE[version], port)
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("origin_connect_timeout", "origin")
    assert how == "reset"


def test_without_a_route_the_client_is_reset(start, version, lab, connect, port):
    """The gateway itself has no way to the origin."""
    net = "10.77.0.0/16" if version == 4 else "fd00:77::/64"
    address = "10.77.0.1" if version == 4 else "fd00:77::1"
    daemon = start(TUNNEL_443)
    lab.gateway.run("ip", *(["-6"] if version == 6 else []), "route", "add", "unreachable", net)
    try:
        client, how = dial(connect, version, address, port)
        assert daemon.record_of(client)["close"] == "origin_unreachable"
        assert how == "reset"
    finally:
        lab.gateway.run("ip", *(["-6"] if version == 6 else []), "route", "del", "unreachable", net)


# --- clients that go before their hello is whole ---------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 1, 60], ids=["nothing", "one-byte", "half"])
def test_a_client_that_closes_mid_hello(start, version, listen, connect, syns, sent):
    daemon = start()
    origin = listen(version)
    client = connect(version, origin.address)
    client.send(HELLO[:sent]).finish()
    assert client.ending() == ("end", b"")  # in order, as it began
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("client_closed_early", "client")
    assert [s for s in syns.until_now() if s[1] == origin.address] == []


def test_a_client_that_resets_mid_hello(start, version, listen, connect, syns):
    daemon = start()
    origin = listen(version)
    client = connect(version, origin.address)
    client.send(HELLO[:60])
    daemon.accepted(client)
    client.reset()
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("client_reset", "client")
    assert [s for s in syns.until_now() if s[1] == origin.address] == []


def test_a_client_whose_host_vanishes_mid_hello(start, version, lab, listen, connect, syns):
    daemon = start(limits={"hello_timeout": "300ms"})
    origin = listen(version)
    client = connect(version, origin.address)
    client.send(HELLO[:60])
    lab.client.run("nft", f"add table inet vanish; add chain inet vanish out {{ type filter hook output priority 0; }}; "
                          f"add rule inet vanish out tcp sport {client.port} drop")
    try:
        assert daemon.record_of(client)["close"] == "hello_timeout"
        assert [s for s in syns.until_now() if s[1] == origin.address] == []
    finally:
        lab.client.run("nft", "delete table inet vanish")


def test_a_client_that_leaves_while_the_origin_is_being_dialled(start, version, connect):
    daemon = start(limits={"connect_timeout": "20s"})
    client = connect(version, Lab.BLACKHOLE[version])
    client.send(HELLO)
    wait_until(lambda: daemon.counters().get("dials"), "the dial to begin")
    client.reset()
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("client_reset", "client")


# --- time limits ----------------------------------------------------------------------------------------------------


def test_idle_timeout(start, version, listen, connect):
    daemon = start(limits={"idle_timeout": "1s"})
    origin = listen(version)
    client = connect(version, origin.address)
    served = assert_passes(origin, client, HELLO)
    assert client.ending() == ("reset", b"")
    assert served.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("idle_timeout", "none")


def test_idle_timeout_is_counted_from_the_last_byte(start, version, listen, connect):
    """Whoever keeps talking outlives one who is silent, in either direction."""
    daemon = start(TUNNEL_443, limits={"idle_timeout": "1s"})
    origin = listen(version)
    talkers = [connect(version, origin.address) for _ in range(2)]
    served = [origin.accept() for _ in talkers]
    for _ in range(2):
        silent = connect(version, origin.address)
        origin.accept()
        silent.sock.settimeout(0.05)
        while True:  # until the silent one is closed: that is one idle_timeout
            talkers[0].send(b"u")
            served[1].send(b"d")
            assert served[0].receive(1) == b"u"
            assert talkers[1].receive(1) == b"d"
            try:
                silent.sock.recv(1)
            except TimeoutError:
                continue
            except ConnectionResetError:
                break
            raise AssertionError("a time limit is a reset, never a clean end")
        assert daemon.record_of(silent)["close"] == "idle_timeout"
    for client, end in zip(talkers, served):
        client.send(b"x")
        assert end.receive(1) == b"x"


@pytest.mark.parametrize("first", ["client", "origin"])
def test_half_closed_timeout(start, version, listen, connect, first):
    """One side has closed; the other says nothing more and does not close."""
    daemon = start(limits={"half_closed_timeout": "1s"})
    origin = listen(version)
    client = connect(version, origin.address)
    served = assert_passes(origin, client, HELLO)
    closing, lingering = (client, served) if first == "client" else (served, client)
    closing.finish()
    assert lingering.receive_all() == b""
    assert closing.ending() == ("reset", b"")
    # Behind a FIN a reset is a broken pipe, also for one who writes nothing.
    wait_until(lambda: lingering.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EPIPE, "the reset of the other side")
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("half_closed_timeout", "none")


@pytest.mark.slow
def test_keepalive_notices_a_host_that_is_gone(start, version, lab, listen, connect):
    """A client and an origin whose hosts stop answering: the probes go unanswered, and the other side is reset."""
    daemon = start(limits={"keepalive": "1s"})
    origin = listen(version)
    clients = [connect(version, origin.address) for _ in range(2)]
    ends = [assert_passes(origin, client, HELLO) for client in clients]
    chain = "add table inet gone; add chain inet gone out { type filter hook output priority 0; }; "
    lab.client.run("nft", f"{chain} add rule inet gone out tcp sport {clients[0].port} drop")
    lab.origin.run("nft", f"{chain} add rule inet gone out tcp dport {ends[1].other_end()[1]} drop")
    try:
        assert ends[0].ending() == ("reset", b"")
        assert clients[1].ending() == ("reset", b"")
        assert daemon.record_of(clients[0])["close"] == "client_vanished"
        assert daemon.record_of(clients[1])["close"] == "origin_vanished"
    finally:
        lab.client.run("nft", "delete table inet gone")
        lab.origin.run("nft", "delete table inet gone")


# --- the loop -------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_direct_refused(lab):
    """without_direct_refused(): takes the rule away by which the kernel refuses direct connections before the daemon sees
    them, as another firewall's flush would; after the test it is back."""
    def take_away():
        listed = lab.gateway.run("nft", "--handle", "list", "chain", "inet", "sluice", "prerouting").stdout
        (handle,) = re.findall(r'"direct_refused".*# handle (\d+)$', listed, re.M)
        lab.gateway.run("nft", "delete", "rule", "inet", "sluice", "prerouting", "handle", handle)
    yield take_away
    lab.kernel_config = None  # the next daemon's rules are all put up again


@pytest.mark.parametrize("who", ["client", "gateway"])
def test_a_connection_to_the_gateways_own_port_is_refused(start, version, lab, connect, without_direct_refused, who):
    daemon = start(TUNNEL_443 + tls_rule("all", "tunnel"))
    without_direct_refused()
    space = lab.client if who == "client" else lab.gateway
    client = connect(version, Lab.GATEWAY_LAN[version], TPROXY_PORT, space=space,
                     source=Lab.GATEWAY_LAN[version] if who == "gateway" else None, may_be_reset=True)
    with contextlib.suppress(ConnectionError):
        client.send(HELLO)
    assert client.ending() == ("reset", b"")
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("loop", "gateway")
    assert len(daemon.records()) == 1, "it did not dial itself"


def test_from_outside_the_kernel_refuses_the_gateways_own_port_already(start, version, connect):
    daemon = start(tls_rule("all", "tunnel"))
    with pytest.raises(ConnectionRefusedError):
        connect(version, Lab.GATEWAY_LAN[version], TPROXY_PORT)
    assert "connections_accepted" not in daemon.counters()


def test_the_daemon_is_alive_after_all_that(start, version, listen, connect):
    """Every ending above, against one daemon, and then a good connection."""
    daemon = start(TUNNEL_443, limits={"connect_timeout": "200ms", "hello_timeout": "200ms"})
    origin = listen(version)
    for _ in range(5):
        dial(connect, version, Lab.BLACKHOLE[version], 8443)
        dial(connect, version, Lab.UNREACHABLE[version], 443)
        connect(version, origin.address).send(HELLO[:5]).reset()
        connect(version, origin.address, 8443).send(HELLO[:50])
        with contextlib.suppress(OSError, LabError):
            connect(version, Lab.GATEWAY_LAN[version], TPROXY_PORT, may_be_reset=True).send(HELLO)
    good = listen(version, 8443)
    client = connect(version, good.address, 8443)
    assert_ends_in_order(client, assert_passes(good, client, HELLO))
    assert daemon.record_of(client)["close"] == "finished"
