"""The daemon's life: reload, drain, sudden death, limits, and whose address the origin sees.

    client ── lan0 ─ kernel rules (when_down = open | closed) ─ daemon (HUP, TERM, KILL) ─ wan0 ── origin
"""

import contextlib
import os
import pathlib
import re
import signal
import sys
import threading

import hello
import pytest
from lab import SANITIZED, Lab, LabError, Peer, access_rule, endpoint_text, run, tls_rule, wait_until
from peers import assert_closed_unserved, assert_ends_in_order, assert_passes, tls_get

HELLO = hello.client_hello("www.example.com")
TUNNEL = tls_rule("all", "tunnel")


# --- reload ---------------------------------------------------------------------------------------------------------


def test_reload_new_connections_follow_the_new_rules(start, version, lab, listen, connect, syns):
    daemon = start()
    origin = listen(version)
    old = connect(version, origin.address)
    old_end = assert_passes(origin, old, HELLO)
    daemon.reload(lab.config(tls_rule("no more", "terminate", {"host": "www.example.com"})))
    syns.drain()
    new = connect(version, origin.address)
    assert_closed_unserved(new, syns, origin, HELLO)
    assert daemon.record_of(new)["tls_rule"] == "no more"
    assert_ends_in_order(old, old_end)  # what was let through stays through
    assert daemon.record_of(old)["tls_rule"] == "default"


def test_reload_a_session_keeps_the_policy_it_started_with(start, version, lab, listen, connect, syns):
    """It was accepted under the old rules, and its hello comes after the reload."""
    daemon = start(tls_rule("early", "tunnel-sni", {"host": "www.example.com"}))
    origin = listen(version)
    begun = connect(version, origin.address)
    begun.send(HELLO[:100])
    daemon.accepted(begun)
    daemon.reload(lab.config(tls_rule("late", "terminate")))
    begun.send(HELLO[100:])
    served = origin.accept()
    assert served.receive(len(HELLO)) == HELLO
    assert_ends_in_order(begun, served)
    assert daemon.record_of(begun)["tls_rule"] == "early"


def test_reload_of_a_bad_file_keeps_the_old_rules_and_says_where(start, version, lab, listen, connect, syns):
    daemon = start(tls_rule("old", "terminate", {"host": "blocked.example"}))
    origin = listen(version)
    before = len(daemon.errors())
    bad = lab.config("") + '[[tls.rules]]\nname = "new"\nactoin = "tunnel"\n'
    daemon.write_rules(bad)
    daemon.signal(signal.SIGHUP)
    line = bad.count("\n")  # the last one
    wait_until(lambda: re.search(rf"rules\.toml:{line}:1: .*actoin", daemon.errors()[before:]),
               lambda: "the error to be reported\n" + daemon.tail())
    assert_closed_unserved(connect(version, origin.address), syns, origin, hello.client_hello("blocked.example"))
    assert_passes(origin, connect(version, origin.address), HELLO)
    daemon.reload(lab.config(tls_rule("newer", "terminate", {"host": "www.example.com"})))
    syns.drain()
    assert_closed_unserved(connect(version, origin.address), syns, origin, HELLO)


def test_reload_under_load_loses_nothing(start, version, lab, listen):
    daemon = start()
    origin = listen(version).serve(echo)
    stop, failures, done = threading.Event(), [], [0]
    threads = [threading.Thread(target=load, args=(lab, version, origin, stop, failures, done)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        daemon.reload(lab.config(tls_rule(f"rule {number}", "tunnel-sni")))
        target = done[0] + 5
        wait_until(lambda: done[0] >= target or failures, "traffic to go on")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    wait_until(lambda: "rule 9" in {r.get("tls_rule") for r in daemon.records()}, "the last rules to be used")


def echo(peer):
    while piece := peer.sock.recv(65536):
        peer.send(piece)


def load(lab, version, origin, stop, failures, done, tolerate=()):
    """Connections that send, get it back and end in order, until told to stop."""
    payload = HELLO + bytes(range(256)) * 100
    while not stop.wait(0.002):  # a pace: refused at once, the connections of a slow minute would use up a lab's ports
        try:
            with contextlib.closing(lab.connect(version, origin.address, seconds=5)) as client:
                client.send(payload)
                answer = client.receive(len(payload))
                assert answer == payload[:len(answer)], "wrong bytes"
                if not tolerate:
                    assert len(answer) == len(payload), "cut short"
                client.finish()
                client.ending()
            done[0] += 1
        except tolerate:
            continue
        except Exception as error:  # whatever it is, it is a result
            failures.append(error)
            return


# --- SIGTERM --------------------------------------------------------------------------------------------------------


def test_sigterm_drains(start, version, listen, connect):
    """No new connections; those that live go on to their end; then the daemon ends with 0."""
    daemon = start(TUNNEL, gateway={"when_down": "closed"})
    origin = listen(version)
    client = connect(version, origin.address)
    served = origin.accept()
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: not listeners(daemon), "the listeners to be closed")
    client.send(b"still here")
    assert served.receive(10) == b"still here"
    served.send(b"me too")
    assert client.receive(6) == b"me too"
    assert daemon.process.poll() is None
    with pytest.raises(OSError):
        connect(version, origin.address, seconds=0.5)
    assert_ends_in_order(client, served)
    assert daemon.wait() == 0
    assert daemon.record_of(client)["close"] == "finished"


def test_sigterm_waits_for_drain_timeout_and_no_longer(start, version, listen, connect):
    daemon = start(TUNNEL, limits={"drain_timeout": "300ms"})
    origin = listen(version)
    client = connect(version, origin.address)
    served = origin.accept()
    daemon.signal(signal.SIGTERM)
    assert (client.ending(), served.ending()) == (("reset", b""), ("reset", b""))
    assert daemon.wait() == 0
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("drain_timeout", "gateway")


def test_a_second_sigterm_stops_at_once(start, version, listen, connect):
    daemon = start(TUNNEL, limits={"drain_timeout": "10m"})
    origin = listen(version)
    client = connect(version, origin.address)
    served = origin.accept()
    daemon.signal(signal.SIGTERM)
    wait_until(lambda: not listeners(daemon), "the drain to begin")
    daemon.signal(signal.SIGTERM)
    assert (client.ending(), served.ending()) == (("reset", b""), ("reset", b""))
    assert daemon.wait() == 0
    record = daemon.record_of(client)
    assert (record["close"], record["close_side"]) == ("stopped", "gateway")


def test_sigterm_without_connections_ends_at_once(start):
    daemon = start(limits={"drain_timeout": "10m"})
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert any("STOPPING=1" in n for n in daemon.read_notifications())


def listeners(daemon):
    """The daemon's listening TCP sockets."""
    return [line for line in daemon.lab.gateway.run("ss", "-Hltnp").stdout.splitlines()
            if f"pid={daemon.process.pid}," in line]


def test_every_worker_listens_on_both_families(start):
    daemon = start(gateway={"workers": 2})
    lines = listeners(daemon)
    assert len(lines) == 4 or (len(lines) == 2 and all("*:" in line or "[::]" in line for line in lines)), lines


def test_a_new_daemon_takes_over_while_the_old_one_drains(start, version, listen, connect):
    """A restart that cuts nobody off: the old one gives up the port, its connections live on."""
    old = start(TUNNEL)
    origin = listen(version)
    before = connect(version, origin.address)
    before_end = origin.accept()
    old.signal(signal.SIGTERM)
    wait_until(lambda: not listeners(old), "the listeners to be closed")
    new = start(TUNNEL)
    after = connect(version, origin.address)
    after_end = origin.accept()
    assert after_end.other_end()[0] == Lab.GATEWAY_WAN[version]
    for client, end in ((before, before_end), (after, after_end)):
        client.send(b"alive")
        assert end.receive(5) == b"alive"
        assert_ends_in_order(client, end)
    assert old.wait() == 0
    assert old.record_of(before)["close"] == "finished"
    assert new.record_of(after)["close"] == "finished"


# --- sudden death ---------------------------------------------------------------------------------------------------


def test_sigkill_ends_the_sessions_on_both_sides(start, version, listen, connect):
    daemon = start(TUNNEL)
    origin = listen(version)
    client = connect(version, origin.address)
    served = origin.accept()
    daemon.kill()
    assert client.ending()[1] == b""
    assert served.ending()[1] == b""


def test_when_down_closed_nobody_gets_past_a_dead_daemon(start, version, listen, connect, syns):
    daemon = start(TUNNEL, gateway={"when_down": "closed"})
    origin = listen(version)
    connect(version, origin.address).close()
    origin.accept()
    daemon.kill()
    syns.drain()
    with pytest.raises(OSError):
        connect(version, origin.address, seconds=1)
    assert [s for s in syns.until_now() if s[1] == origin.address] == []
    daemon.start()
    connect(version, origin.address)
    assert origin.accept().other_end()[0] == Lab.GATEWAY_WAN[version]


def test_when_down_open_clients_reach_the_origin_and_live_on_when_the_daemon_returns(start, version, listen, connect):
    daemon = start(TUNNEL, gateway={"when_down": "open"})
    origin = listen(version)
    daemon.kill()
    meanwhile = connect(version, origin.address)
    direct = origin.accept()
    assert direct.other_end()[0] == Lab.CLIENT[version], "it went around the gateway"
    meanwhile.send(b"while it was down")
    assert direct.receive(17) == b"while it was down"
    daemon.start()
    through = connect(version, origin.address)
    served = origin.accept()
    assert served.other_end()[0] == Lab.GATEWAY_WAN[version], "new ones go through it again"
    for number in range(20):  # and the old one lives, both ways
        text = b"%d" % number * 5000
        meanwhile.send(text)
        assert direct.receive(len(text)) == text
        direct.send(text)
        assert meanwhile.receive(len(text)) == text
    assert_ends_in_order(meanwhile, direct)
    assert_ends_in_order(through, served)
    assert daemon.record_of(through)["close"] == "finished"
    assert str(meanwhile) not in daemon.log.read_text()


def test_kernel_rules_removed_and_restored_under_load(start, version, lab, listen, connect):
    """While the rules are away connections go around the gateway; some are cut when they change. None gets wrong bytes,
    the daemon lives, and afterwards every connection goes through it again."""
    daemon = start()
    origin = listen(version).serve(echo)
    stop, failures, done = threading.Event(), [], [0]
    threads = [threading.Thread(target=load, args=(lab, version, origin, stop, failures, done, (OSError,)))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            for change in (lab.kernel_down, lambda: lab.kernel_up(daemon.config)):
                change()
                target = done[0] + 10
                wait_until(lambda: done[0] >= target or failures, "traffic to go on")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        lab.kernel_up(daemon.config)
    assert not failures, failures[0]
    quiet = listen(version)
    client = connect(version, quiet.address)
    served = assert_passes(quiet, client, HELLO)
    assert served.other_end()[0] == Lab.GATEWAY_WAN[version]
    assert_ends_in_order(client, served)
    assert daemon.record_of(client)["close"] == "finished"


# --- the descriptor limit -------------------------------------------------------------------------------------------


def assert_recorded_as_refused(daemon, client, origin, limit):
    record = daemon.record_of(client)
    assert {key: value for key, value in record.items() if key not in ("time", "id", "interface")} == {
        "type": "connection", "mode": "transparent", "client": str(client), "destination": endpoint_text(origin.address, 443),
        "bytes_up": 0, "bytes_down": 0, "ms.total": 0, "close": "overload", "close_side": "gateway", "detail": limit}


@pytest.mark.one_worker
def test_at_the_descriptor_limit_new_ones_are_refused_and_old_ones_live(start, version, listen, connect):
    daemon = start(TUNNEL, open_files=128)
    origin = listen(version)
    origin.listener.setblocking(False)
    living, refused = [], []

    def full():
        client = connect(version, origin.address, may_be_reset=True)
        client.sock.settimeout(0.02)
        pair = None

        def settled():
            nonlocal pair
            with contextlib.suppress(BlockingIOError):
                pair = origin.listener.accept()[0]
                return True
            try:
                return client.sock.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_until(settled, "the connection to be taken or refused")
        if pair is None:
            refused.append(client)
        else:
            living.append((client, pair))
        assert len(living) < 128
        return len(refused) >= 5

    wait_until(full, lambda: f"the limit to bite; {len(living)} live", 30)
    assert len(living) >= 10
    for client, end in living:  # all that live are well
        client.sock.settimeout(10)
        end.settimeout(10)
        client.send(b"up")
        assert end.recv(2) == b"up"
        end.sendall(b"down")
        assert client.receive(4) == b"down"
    for client in refused:
        assert_recorded_as_refused(daemon, client, origin, "descriptors")
    for client, end in living[:5]:
        end.close()
        client.close()
        daemon.record_of(client)
    recovered = connect(version, origin.address)
    origin.listener.settimeout(10)
    end = origin.listener.accept()[0]
    recovered.send(b"again")
    assert end.recv(5) == b"again"
    for _, other in living:
        other.close()
    end.close()
    counters = daemon.counters()
    assert counters["session_limit_hits"] == len(refused), counters
    assert "fd_limit_hits" not in counters, "what is shared out leaves some"


def limit_descriptors(daemon, soft=None):
    """The running daemon's own limit, changed from outside. None: what it had begun with. As the daemon's user: root may
    lack CAP_SYS_RESOURCE in a container."""
    as_daemon = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    (hard,) = run(*as_daemon, "prlimit", "--pid", daemon.process.pid, "--nofile", "--noheadings", "--raw", "--output", "HARD").stdout.split()
    run(*as_daemon, "prlimit", "--pid", daemon.process.pid, f"--nofile={soft or hard}:{hard}")


def descriptors(daemon):
    return {int(name) for name in os.listdir(f"/proc/{daemon.process.pid}/fd")}


def assert_alive(pairs):
    for client, served in pairs:
        client.send(b"up")
        assert served.receive(2) == b"up"
        served.send(b"down")
        assert client.receive(4) == b"down"


def wait_for_service(connect, version, origin):
    """Newcomers are served again; until the daemon has noticed, they are reset."""
    def served():
        client = connect(version, origin.address, may_be_reset=True)
        try:
            origin.listener.settimeout(0.05)
            end, _ = origin.listener.accept()
        except TimeoutError:
            assert client.ending() == ("reset", b"")
            return None
        origin.peers.append(Peer(end))
        return client, origin.peers[-1]
    return wait_until(served, "newcomers to be served again")


@pytest.mark.skipif(SANITIZED, reason="UBSan asks through a pipe whether an object can be read, and reports a fault when it gets none")
@pytest.mark.one_worker
def test_without_a_descriptor_to_dial_with_the_client_is_reset(start, version, listen, connect, syns):
    """The limit is lowered under a running daemon to what it has open: its accept was begun under the old one."""
    daemon = start(TUNNEL)
    origin = listen(version)
    living = [(connect(version, origin.address), origin.accept()) for _ in range(3)]
    assert_alive(living)
    used = descriptors(daemon)
    limit_descriptors(daemon, next(number for number in range(len(used) + 1) if number not in used))
    syns.drain()
    for _ in range(5):
        client = connect(version, origin.address, may_be_reset=True)
        assert_closed_unserved(client, syns, origin)
        record = daemon.record_of(client)
        assert (record["close"], record["close_side"]) == ("overload", "gateway")
    assert daemon.counters()["fd_limit_hits"] == 5
    assert_alive(living)
    limit_descriptors(daemon)
    living.append(wait_for_service(connect, version, origin))
    assert_alive(living)


@pytest.mark.one_worker
def test_without_a_descriptor_to_accept_with_newcomers_are_reset_and_old_ones_live(start, version, listen, connect, syns):
    """accept(2) itself fails: there is room for more connections than descriptors. Clients that have not said their hello
    take one descriptor each, so they fill it to the last."""
    wrapper = pathlib.Path(__file__).with_name("with_fewer_descriptors.py")
    daemon = start(tls_rule("443", "tunnel", {"port": 443}), limits={"connections": 1000, "hello_timeout": "5m"},
                   prefix=[sys.executable, wrapper, descriptors_max := 64])
    origin = listen(version)
    living = [(connect(version, origin.address), origin.accept()) for _ in range(3)]
    waiting = []

    def full():
        assert len(waiting) < descriptors_max
        waiting.append(connect(version, origin.address, 8443, may_be_reset=True))
        return daemon.counters().get("fd_limit_hits")

    wait_until(full, "accept to fail", 30)
    assert daemon.counters().get("dial_failures", 0) == 0, "it was accept that failed"
    # Not at every moment: for one whom it refuses, the daemon borrows the descriptor that it keeps in reserve.
    wait_until(lambda: descriptors(daemon) == set(range(descriptors_max)), "every descriptor to be in use")
    syns.drain()
    assert_closed_unserved(connect(version, origin.address, may_be_reset=True), syns, origin)
    refused = daemon.counters()["session_limit_hits"]
    for number in range(1, 6):
        client = connect(version, origin.address, may_be_reset=True)
        assert_closed_unserved(client, syns, origin)
        assert_recorded_as_refused(daemon, client, origin, "descriptors")
        assert daemon.counters()["session_limit_hits"] == refused + number
    assert_alive(living)
    limit_descriptors(daemon)
    living.append(wait_for_service(connect, version, origin))
    assert_alive(living)


@pytest.mark.one_worker
def test_connections_max_refuses_the_next_one(start, version, listen, connect, syns):
    daemon = start(TUNNEL, limits={"connections": 3})
    origin = listen(version)
    living = [(connect(version, origin.address), origin.accept()) for _ in range(3)]
    syns.drain()
    refused = connect(version, origin.address, may_be_reset=True)
    assert_closed_unserved(refused, syns, origin)
    assert_recorded_as_refused(daemon, refused, origin, "connections")  # S35: one record per connection
    for client, served in living:
        client.send(b"fine")
        assert served.receive(4) == b"fine"
    assert_ends_in_order(*living[0])
    daemon.record_of(living[0][0])
    counters = daemon.counters()
    told = {name: counters.get(name, 0) for name in ("connections_accepted", "connections_finished", "connections_open",
                                                     "session_limit_hits", "closed_overload", "action_none", "log_lines")}
    assert told == {"connections_accepted": 4, "connections_finished": 2, "connections_open": 2, "session_limit_hits": 1,
                    "closed_overload": 1, "action_none": 1, "log_lines": 2}
    again = connect(version, origin.address)
    origin.accept().send(b"in")
    assert again.receive(2) == b"in"


@pytest.mark.one_worker
def test_reload_a_smaller_limit_refuses_new_ones_and_keeps_old_ones_a_larger_one_admits_more(start, version, lab, listen,
                                                                                              connect, syns):
    daemon = start(TUNNEL, limits={"connections": 3})
    origin = listen(version)
    admitted = lambda: (connect(version, origin.address), origin.accept())  # noqa: E731
    living = [admitted() for _ in range(3)]
    daemon.reload(lab.config(TUNNEL, limits={"connections": 1}))
    assert "room for 1 connections now; open ones stay" in daemon.errors()
    for client, served in living:
        client.send(b"fine")
        assert served.receive(4) == b"fine"
    for client, served in living[:2]:  # one is left, and that is the limit
        assert_ends_in_order(client, served)
        daemon.record_of(client)
        syns.drain()
        assert_closed_unserved(connect(version, origin.address, may_be_reset=True), syns, origin)
    daemon.reload(lab.config(TUNNEL, limits={"connections": 4}))
    more = [admitted() for _ in range(3)]
    syns.drain()
    assert_closed_unserved(connect(version, origin.address, may_be_reset=True), syns, origin)
    for client, served in [living[2], *more]:
        served.send(b"well")
        assert client.receive(4) == b"well"


@pytest.mark.one_worker
def test_reload_a_limit_beyond_the_descriptors_is_told_and_admits_as_many_as_they_allow(start, version, lab, listen,
                                                                                        connect, syns):
    daemon = start(TUNNEL, limits={"connections": 1}, open_files=128)
    origin = listen(version)
    first = (connect(version, origin.address), origin.accept())
    syns.drain()
    assert_closed_unserved(connect(version, origin.address, may_be_reset=True), syns, origin)
    before = len(daemon.errors())
    daemon.reload(lab.config(TUNNEL, limits={"connections": 5000}))
    told = daemon.errors()[before:]
    room = int(re.search(r"limits\.connections = 5000, but the file descriptors are enough for (\d+) only", told).group(1))
    assert 10 <= room < 64, told
    assert f"room for {room} connections now" in told
    living = [first] + [(connect(version, origin.address), origin.accept()) for _ in range(room - 1)]
    syns.drain()
    assert_closed_unserved(connect(version, origin.address, may_be_reset=True), syns, origin)
    for client, served in living:
        served.send(b"well")
        assert client.receive(4) == b"well"


# --- whose address the origin sees ----------------------------------------------------------------------------------


def test_client_source_client_shows_the_clients_address(start, version, lab, listen, connect):
    daemon = start(gateway={"client_source": "client"})
    origin = listen(version)
    for source in (Lab.CLIENT[version], Lab.CLIENT_SECOND[version]):
        client = connect(version, origin.address, source=source)
        served = assert_passes(origin, client, HELLO)
        assert served.other_end()[0] == source
        assert_ends_in_order(client, served)
        assert daemon.record_of(client)["close"] == "finished"
    answer = tls_get(lab, version, "www.example.com", path="/")
    assert answer.body == f"www.example.com www.example.com {Lab.CLIENT[version]}\n"
    big = tls_get(lab, version, "www.example.com", path="/big")
    assert len(big.body) == 1 << 20
    record = daemon.record_of(big.port)
    assert record["close"] in ("finished", "client_reset", "origin_reset")


def test_client_source_client_also_when_the_origin_refuses(start, version, lab, connect):
    daemon = start(TUNNEL, gateway={"client_source": "client"})
    client = connect(version, lab.new_origin_address(version), may_be_reset=True)
    assert client.ending() == ("reset", b"")
    assert daemon.record_of(client)["close"] == "origin_refused"


def test_client_source_client_with_many_connections(start, version, listen, connect):
    """Four hundred at once from one address: no port of the client's is taken twice, nothing is mixed up."""
    daemon = start(TUNNEL, gateway={"client_source": "client", "workers": 2})
    origin = listen(version)
    pairs = []
    for number in range(400):
        client = connect(version, origin.address)
        client.send(b"%04d" % number)
        pairs.append(client)
    ends = {}
    for _ in pairs:
        end = origin.accept()
        assert end.other_end()[0] == Lab.CLIENT[version]
        ends[end.receive(4)] = end
    assert len(ends) == 400
    for number, client in enumerate(pairs):
        ends[b"%04d" % number].send(b"you are %04d" % number)
    for number, client in enumerate(pairs):
        assert client.receive(12) == b"you are %04d" % number
        assert_ends_in_order(client, ends[b"%04d" % number])
    wait_until(lambda: len(daemon.lines()) == 400, "400 records")
    assert {r["close"] for r in daemon.records()} == {"finished"}


# --- the router's own connections -----------------------------------------------------------------------------------


def test_own_traffic_of_the_router_goes_through_the_gateway_once(start, version, lab, listen, connect):
    """And not what the daemon itself sends: that would be a loop."""
    daemon = start(gateway={"own_traffic": True})
    origin = listen(version)
    client = connect(version, origin.address, space=lab.gateway)
    served = assert_passes(origin, client, HELLO)
    assert_ends_in_order(client, served)
    record = daemon.record_of(client)
    assert (record["action"], record["sni"], record["close"]) == ("tunnel-sni", "www.example.com", "finished")
    assert len(daemon.records()) == 1


def test_without_own_traffic_the_router_is_left_alone(start, version, lab, listen, connect):
    daemon = start()
    origin = listen(version)
    client = connect(version, origin.address, space=lab.gateway)
    assert_ends_in_order(client, assert_passes(origin, client, HELLO))
    through = connect(version, origin.address)
    assert_ends_in_order(through, assert_passes(origin, through, HELLO))
    daemon.record_of(through)
    assert len(daemon.records()) == 1
