"""Volume: a gigabyte each way through ends that stall, two thousand connections at once, two workers.

    client ══ 1 GiB up, 1 GiB down, at the same time ══ gateway ══ origin          (QUICK=1: 64 MiB)
    client ── 2,000 connections ── gateway ── origin
"""

import contextlib
import os
import random
import resource
import threading
import zlib

import hello
import pytest
from lab import MEMORY_SCALE, SANITIZED, deadline_s, tls_rule, wait_until
from peers import assert_passes

HELLO = hello.client_hello("www.example.com")
QUICK = os.environ.get("QUICK") == "1"
BULK_BYTES = int(os.environ.get("SLUICE_BULK_BYTES", 0)) or ((64 << 20) if QUICK or SANITIZED else 1 << 30)
STALLS, STALL_S = 25, 0.02  # per end and direction: what a busy disk or a Wi-Fi client does

_pattern = random.Random(1).randbytes(1 << 20)


class Stalls:
    """Chunk sizes and pauses from a seed that is printed on failure."""

    def __init__(self, seed):
        self.random, self.left, self.pause = random.Random(seed), STALLS, threading.Event()

    def chunk(self):
        return self.random.choice((1, 100, 1460, 4096, 65536, 262144, 1 << 20, 1 << 20, 1 << 20))

    def maybe_stall(self, progress):
        if self.left and self.random.random() < 0.02 + progress / 50:
            self.left -= 1
            self.pause.wait(self.random.random() * STALL_S)


def send_all(peer, seed, result):
    stalls, checksum, sent = Stalls(seed), 0, 0
    peer.sock.settimeout(deadline_s(60))
    while sent < BULK_BYTES:
        at = sent % len(_pattern)
        piece = _pattern[at:at + min(stalls.chunk(), BULK_BYTES - sent)]
        peer.sock.sendall(piece)
        checksum = zlib.crc32(piece, checksum)
        sent += len(piece)
        stalls.maybe_stall(sent / BULK_BYTES)
    peer.finish()
    result.append((sent, checksum))


def receive_all(peer, seed, result):
    stalls, checksum, received = Stalls(seed), 0, 0
    peer.sock.settimeout(deadline_s(60))
    buffer = memoryview(bytearray(1 << 20))
    while count := peer.sock.recv_into(buffer[:stalls.chunk()]):
        checksum = zlib.crc32(buffer[:count], checksum)
        received += count
        stalls.maybe_stall(received / BULK_BYTES)
    result.append((received, checksum))


@pytest.mark.parametrize("action", ["tunnel", "tunnel-sni"])
def test_a_gigabyte_each_way_with_both_ends_stalling(start, version, listen, connect, action):
    seed = int(os.environ.get("SEED", 0)) or random.SystemRandom().randrange(1 << 32)
    print(f"SEED={seed}")
    daemon = start(tls_rule("all", action))
    origin = listen(version)
    client = connect(version, origin.address)
    served = assert_passes(origin, client, HELLO)
    jobs = {name: (work, peer, []) for name, work, peer in (
        ("up sent", send_all, client), ("up received", receive_all, served),
        ("down sent", send_all, served), ("down received", receive_all, client))}
    threads = [threading.Thread(target=work, args=(peer, seed + number, result))
               for number, (work, peer, result) in enumerate(jobs.values())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for way in ("up", "down"):
        sent, received = jobs[f"{way} sent"][2], jobs[f"{way} received"][2]
        assert sent and sent == received, f"{way}, SEED={seed}"
        assert sent[0][0] == BULK_BYTES
    record = daemon.record_of(client)
    assert record["close"] == "finished"
    assert record["bytes_up"] == BULK_BYTES + len(HELLO)
    assert record["bytes_down"] == BULK_BYTES + len(b"answer")


def test_a_reader_that_never_reads_costs_bounded_memory(start, version, listen, connect):
    """Many clients ask, none reads: the gateway stops reading from the origin instead of growing."""
    daemon = start(tls_rule("all", "tunnel"), limits={"relay_memory": "8 MiB"})
    origin = listen(version)

    def resident():
        with open(f"/proc/{daemon.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    before = resident()
    pairs = []
    for _ in range(30):
        client = connect(version, origin.address)
        served = origin.accept()
        served.sock.setblocking(False)
        pairs.append((client, served))
    offered = [0] * len(pairs)

    def nobody_can_send():
        stuck = 0
        for number, (_, served) in enumerate(pairs):
            try:
                offered[number] += served.sock.send(_pattern)
            except BlockingIOError:
                stuck += 1
        return stuck == len(pairs)

    wait_until(nobody_can_send, "the gateway to stop reading", 60)
    assert resident() - before < (8 << 20) * MEMORY_SCALE + (8 << 20)
    client, served = pairs[0]
    served.finish()
    assert len(client.receive_all()) == offered[0], "and what was taken is delivered"


CROWD = 2000


def test_two_thousand_connections_at_once(start, version, listen, connect):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    daemon = start(gateway={"workers": 2})
    origin = listen(version)
    clients, served = [], {}
    for number in range(CROWD):
        client = connect(version, origin.address, seconds=60)
        client.number = number
        client.send(hello.client_hello(f"n{number}.example"))
        clients.append(client)
    for _ in range(CROWD):
        end = origin.accept(60)
        sent = end.receive(5)
        sent += end.receive(int.from_bytes(sent[3:5], "big"))
        served[sent] = end
    assert len(served) == CROWD
    # All are open now, each with the right origin's end.
    for client in clients:
        end = served[hello.client_hello(f"n{client.number}.example")]
        end.send(b"you are %d\n" % client.number)
        client.send(b"I am %d\n" % client.number)
    for client in clients:
        text = b"you are %d\n" % client.number
        assert client.receive(len(text)) == text
        end = served[hello.client_hello(f"n{client.number}.example")]
        text = b"I am %d\n" % client.number
        assert end.receive(len(text)) == text
        end.finish()
        client.finish()
    for client in clients:
        assert client.ending() == ("end", b"")
    wait_until(lambda: len(daemon.lines()) >= CROWD, lambda: f"{CROWD} records, there are {len(daemon.lines())}", 30)
    records = daemon.records()
    assert len(records) == CROWD
    assert {r["sni"] for r in records} == {f"n{n}.example" for n in range(CROWD)}
    assert {r["close"] for r in records} == {"finished"}
    assert len({r["id"] for r in records}) == CROWD


def test_two_workers_share_the_load(start, version, listen, connect):
    """Each worker is a thread: with enough connections both spend processor time on them."""
    daemon = start(tls_rule("all", "tunnel"), gateway={"workers": 2})
    origin = listen(version)
    pairs = [(connect(version, origin.address), origin.accept()) for _ in range(64)]

    def ticks():
        spent = {}
        for task in os.listdir(f"/proc/{daemon.process.pid}/task"):
            with open(f"/proc/{daemon.process.pid}/task/{task}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
                spent[task] = int(fields[11]) + int(fields[12])
        return spent

    before = ticks()

    def spread():
        for client, served in pairs:
            client.send(_pattern[:65536])
            served.send(_pattern[:65536])
        for client, served in pairs:
            assert len(served.receive(65536)) == len(client.receive(65536)) == 65536
        spent = sorted((t - before.get(task, 0) for task, t in ticks().items()), reverse=True)
        return spent if sum(spent) >= 20 else None

    spent = wait_until(spread, "enough work to measure", 60)
    assert spent[1] >= 0.1 * sum(spent), f"processor ticks per thread: {spent}"


# --- chaos: every ending at once, and nothing is left over -----------------------------------------------------------

CHAOS_CONNECTIONS, CHAOS_THREADS = (200, 8) if QUICK else (800, 16)
BLOCKED = hello.client_hello("blocked.example")
SIZES = (0, 1, 1000, 65536, 300_000, 2_000_000)


class ChaosClient:
    """One connection with a life drawn from its seed. The origins echo, so what comes back is a prefix of what went."""

    LIVES = ("whole", "whole", "moody_origin", "reset_halfway", "never_reads", "half_a_hello", "blocked", "refused")

    def __init__(self, lab, version, faithful, moody, seed):
        self.dice, self.came = random.Random(seed), bytearray()
        self.life = self.dice.choice(self.LIVES)
        self.data = HELLO + (_pattern * 2)[:self.dice.choice(SIZES)]
        address = (moody if self.life == "moody_origin" else faithful).address
        if self.life == "refused":
            address = lab.new_origin_address(version)
        self.peer = lab.connect(version, address, 8443, may_be_reset=True)
        self.reader = threading.Thread(target=self.read)

    def read(self):
        with contextlib.suppress(OSError):
            while piece := self.peer.sock.recv(self.dice.choice((1000, 65536, 1 << 20))):
                self.came += piece

    def live(self):
        try:
            getattr(self, self.life)()
        except ConnectionError:
            assert self.life in ("moody_origin", "refused", "reset_halfway", "never_reads"), f"{self.life}: cut off"
        self.peer.reset()
        assert self.data.startswith(bytes(self.came)), f"{self.life}: wrong bytes came back"

    def send_and_read(self, data):
        self.reader.start()
        try:
            self.peer.send(data).finish()
        finally:
            self.reader.join()

    def whole(self):
        self.send_and_read(self.data)
        assert bytes(self.came) == self.data, f"{len(self.came)} of {len(self.data)} bytes came back"

    def moody_origin(self):
        self.send_and_read(self.data)

    def reset_halfway(self):
        self.peer.send(self.data[:self.dice.randrange(len(self.data))])

    def never_reads(self):
        self.peer.sock.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            self.peer.send(self.data)

    def half_a_hello(self):
        self.peer.send(HELLO[:self.dice.randrange(len(HELLO))]).finish()
        assert self.peer.ending()[1] == b""

    def blocked(self):
        self.peer.send(BLOCKED)
        assert self.peer.ending() == ("reset", b"")

    def refused(self):
        self.send_and_read(self.data)
        assert not self.came


def echo(peer):
    while piece := peer.sock.recv(65536):
        peer.send(piece)
    peer.finish()


def moody_echo(peer):
    dice = random.Random(peer.other_end()[1])
    while piece := peer.sock.recv(65536):
        peer.send(piece)
        if dice.random() < 0.1:
            return peer.reset()
    peer.finish()


def sockets_of(daemon):
    found = 0
    for fd in os.listdir(f"/proc/{daemon.process.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}").startswith("socket:")
    return found


def test_chaos_leaves_nothing_open(start, version, lab, listen):
    seed = int(os.environ.get("SEED", 0)) or random.SystemRandom().randrange(1 << 32)
    print(f"SEED={seed}")
    daemon = start(tls_rule("blocked", "terminate", {"host": "blocked.example"}),
                   gateway={"workers": 2})
    before = sockets_of(daemon)
    faithful, moody = listen(version, 8443).serve(echo), listen(version, 8443).serve(moody_echo)
    numbers, problems, lock = iter(range(CHAOS_CONNECTIONS)), [], threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                ChaosClient(lab, version, faithful, moody, seed + number).live()
            except Exception as error:
                problems.append(f"SEED={seed + number}: {error!r}")

    threads = [threading.Thread(target=work) for _ in range(CHAOS_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, f"{len(problems)} of {CHAOS_CONNECTIONS}: {problems[:3]}"
    wait_until(lambda: daemon.counters().get("connections_open", 0) == 0, "every connection to end", 20)
    counters = daemon.counters()
    wait_until(lambda: len(daemon.lines()) == counters["connections_finished"], "a record for each")
    assert sockets_of(daemon) == before
