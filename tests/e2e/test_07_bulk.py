"""Volume: a gigabyte each way through ends that stall, two thousand connections at once, two workers.

    client ══ 1 GiB up, 1 GiB down, at the same time ══ gateway ══ origin          (QUICK=1: 64 MiB)
    client ── 2,000 connections ── gateway ── origin
"""

import os
import random
import resource
import threading
import zlib

import hello
import pytest
from lab import DEADLINE_SCALE, deadline_s, tls_rule, wait_until
from peers import assert_passes

HELLO = hello.client_hello("www.example.com")
QUICK = os.environ.get("QUICK") == "1"
BULK_BYTES = int(os.environ.get("SLUICE_BULK_BYTES", 0)) or ((64 << 20) if QUICK or DEADLINE_SCALE > 1 else 1 << 30)
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
    assert resident() - before < (8 << 20) * (4 if DEADLINE_SCALE > 1 else 1) + (8 << 20)
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
