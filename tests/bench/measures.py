"""What is measured of one tunnelling peer in one round (bump: bump_measures.py). Each measure returns {metric: number}; METRICS says what they mean."""

import json
import pathlib
import subprocess
import sys
import time

import lab
import peers
from lab import BenchError

BULK_STREAMS = (1, 8, 64)
CONNECTING_AT_ONCE = 32
REQUESTING_AT_ONCE = 32
IDLE_COUNTS = (1000, 10000)  # the second: fewer where the limit on descriptors is low

# metric: (text, decimals, what is better)
METRICS = {}
for _n in BULK_STREAMS:
    METRICS[f"bulk_cpu_{_n}"] = (f"bulk, {_n} stream{'s' * (_n > 1)}: CPU-s per GB", 3, "less")
for _n in BULK_STREAMS:
    METRICS[f"bulk_lab_cpu_{_n}"] = (f"  {_n} stream{'s' * (_n > 1)}, whole lab: CPU-s per GB", 3, "less")
for _n in BULK_STREAMS:
    METRICS[f"bulk_gbps_{_n}"] = (f"bulk, {_n} stream{'s' * (_n > 1)}: Gb/s", 2, "more")
METRICS |= {
    "conn_us": ("new TLS connection: µs CPU", 1, "less"),
    "conn_lab_us": ("  whole lab: µs CPU", 1, "less"),
    "conns_per_s": ("new TLS connections per s", 0, "more"),
    "tls_us": ("real TLS 1.3 connection, unhurried: µs CPU", 1, "less"),
    "tls_per_s": ("real TLS 1.3 connections per s", 0, "more"),
    "request_us": ("1 KB request, kept alive: µs CPU", 2, "less"),
    "request_lab_us": ("  whole lab: µs CPU", 2, "less"),
    "requests_per_s": ("1 KB requests per s", 0, "more"),
    "base_rss_mb": ("resident at start, MB", 1, "less"),
}
for _n in IDLE_COUNTS:
    METRICS[f"idle_kb_{_n}"] = (f"user-space KB per idle connection at {_n:,}", 2, "less")
METRICS |= {
    "setup_p50_us": ("connect to first byte, p50 µs", 0, "less"),
    "setup_p99_us": ("connect to first byte, p99 µs", 0, "less"),
    "setup_added_p50_us": ("  added to no proxy, p50 µs", 0, "less"),
    "setup_added_p99_us": ("  added to no proxy, p99 µs", 0, "less"),
    "request_p50_us": ("1 KB request, p50 µs", 0, "less"),
    "request_p99_us": ("1 KB request, p99 µs", 0, "less"),
    "request_added_p50_us": ("  added to no proxy, p50 µs", 0, "less"),
    "request_added_p99_us": ("  added to no proxy, p99 µs", 0, "less"),
}

# Kept in the JSON file beside METRICS, not in the table: kernel_kb_*, the growth of the machine's slab memory;
# failures_*; p90 of the latencies.


def parse(process, what):
    """The JSON that bench_load prints at its end."""
    text, _ = process.communicate()
    try:
        result = json.loads(text.strip().split("\n")[-1])
    except (ValueError, IndexError):
        raise BenchError(f"{what}: the load generator said {text!r}") from None
    if "error" in result:
        raise BenchError(f"{what}: {result['error']} ({result['failures']} failures)")
    return result


def window(the_lab, peer, load, connections, seconds):
    warm_s = 0.5
    process = the_lab.client(load, f"{lab.origin_address(0)}:443", lab.ORIGIN_ADDRESSES, connections, warm_s, seconds,
                             *peer.pids(), "/", *the_lab.beside())
    return parse(process, f"{peer.name}, {load}")


def bulk(streams):
    def measure(the_lab, peer, seconds):
        seen = window(the_lab, peer, "bulk", streams, seconds)
        gigabytes = seen["bytes"] / 1e9
        if gigabytes == 0:
            raise BenchError(f"{peer.name}, bulk: no byte arrived")
        return {f"bulk_cpu_{streams}": seen["gateway_cpu_s"] / gigabytes,
                f"bulk_gbps_{streams}": gigabytes * 8 / seen["seconds"],
                f"bulk_lab_cpu_{streams}": seen["lab_cpu_s"] / gigabytes,
                f"failures_bulk_{streams}": seen["failures"]}
    return measure


def conns(the_lab, peer, seconds):
    seen = window(the_lab, peer, "conns", CONNECTING_AT_ONCE, seconds)
    done = max(seen["connections"], 1)
    return {"conn_us": seen["gateway_cpu_s"] / done * 1e6, "conns_per_s": done / seen["seconds"],
            "conn_lab_us": seen["lab_cpu_s"] / done * 1e6, "failures_conns": seen["failures"]}


def tls(the_lab, peer, seconds):
    if not the_lab.tls_origin:
        return {}
    script = pathlib.Path(__file__).with_name("tls_client.py")
    process = lab.spawn(lab.CLIENT, [sys.executable, "-B", str(script), str(seconds), *map(str, peer.pids())],
                        the_lab.pins["client"], stdout=subprocess.PIPE, text=True)
    seen = parse(process, f"{peer.name}, real TLS")
    done = max(seen["connections"], 1)
    return {"tls_us": seen["gateway_cpu_s"] / done * 1e6, "tls_per_s": done / seen["seconds"],
            "failures_tls": seen["failures"]}


def requests(the_lab, peer, seconds):
    seen = window(the_lab, peer, "requests", REQUESTING_AT_ONCE, seconds)
    done = max(seen["requests"], 1)
    return {"request_us": seen["gateway_cpu_s"] / done * 1e6, "requests_per_s": done / seen["seconds"],
            "request_lab_us": seen["lab_cpu_s"] / done * 1e6, "failures_requests": seen["failures"]}


def latency(the_lab, peer, seconds):
    process = the_lab.client("latency", f"{lab.origin_address(0)}:443", lab.ORIGIN_ADDRESSES, seconds / 2)
    seen = parse(process, f"{peer.name}, latency")
    return {f"{part}_{key}": seen[part][key]
            for part in ("setup", "request") for key in ("p50_us", "p90_us", "p99_us")}


def slab_kb():
    for line in open("/proc/meminfo"):
        if line.startswith("Slab:"):
            return int(line.split()[1])
    return 0


def settled_memory(peer, patience_s=3):
    """Memory once two readings in a row agree: late frees and late log lines are over."""
    deadline = time.monotonic() + patience_s
    before = peers.memory_kb(peer.pids())
    while time.monotonic() < deadline:
        time.sleep(0.2)
        now = peers.memory_kb(peer.pids())
        if abs(now["pss_kb"] - before["pss_kb"]) <= 16:
            return now
        before = now
    return before


def memory(the_lab, peer, _seconds):
    """Of a process that has just been started: memory that an earlier measure left in a pool would hide the growth."""
    if not peer.process:
        return {}
    peer.stop()
    peer.start(the_lab)
    base, base_slab = settled_memory(peer), slab_kb()
    metrics = {"base_rss_mb": base["rss_kb"] / 1024, "base_pss_mb": base["pss_kb"] / 1024}
    holder = the_lab.client("hold", f"{lab.origin_address(0)}:443", lab.ORIGIN_ADDRESSES, stdin=-1)
    try:
        for wanted in IDLE_COUNTS:
            count = min(wanted, peers.connections_max())
            holder.stdin.write(f"{count}\n")
            holder.stdin.flush()
            answer = holder.stdout.readline().split()
            if answer[:2] != ["open", str(count)]:
                raise BenchError(f"{peer.name}, memory: {count} connections wanted, load generator: {answer}")
            grown = settled_memory(peer)
            metrics[f"idle_kb_{wanted}"] = (grown["pss_kb"] - base["pss_kb"]) / count
            metrics[f"idle_rss_kb_{wanted}"] = (grown["rss_kb"] - base["rss_kb"]) / count
            metrics[f"kernel_kb_{wanted}"] = (slab_kb() - base_slab) / count
            metrics[f"failures_memory_{wanted}"] = int(answer[3])
    finally:
        lab.stop(holder)
    return metrics


def spread(the_lab, peer, seconds):
    """Sluice alone, with two workers: each thread's share of the process's CPU while connections come and go."""
    if peer.name != "sluice":
        return {}
    peer.stop()
    peer.workers = 2
    peer.start(the_lab)
    seen = window(the_lab, peer, "conns", 2 * CONNECTING_AT_ONCE, seconds)
    peer.stop()
    peer.workers = 1
    threads = sorted((t for t in seen["threads"] if t["cpu_s"] > 0), key=lambda t: -t["cpu_s"])
    total = sum(t["cpu_s"] for t in threads) or 1
    return {"spread": [{"thread": t["name"], "share": t["cpu_s"] / total} for t in threads],
            "spread_conns_per_s": seen["connections"] / seen["seconds"]}


class Aim:
    """What the project wants of a metric: at most (`more`: at least) `factor` times that of the best peer of `beside`, or
    times another metric of it (`against`); with no peers, `factor` itself. `whose`: of another peer than the task's own."""

    def __init__(self, metric, factor, beside=(), text="", more=False, against=None, whose=None):
        self.metric, self.factor, self.beside, self.text, self.more = metric, factor, beside, text, more
        self.against, self.whose = against or metric, whose


def _haproxy(metric, factor, more=False):
    return Aim(metric, factor, ("haproxy", "haproxy-splice"), "HAProxy, the better of the two", more)


AIMS = []
for _n in (8, 64):
    AIMS += [_haproxy(f"bulk_cpu_{_n}", 1.0), _haproxy(f"bulk_gbps_{_n}", 1.0, more=True)]
AIMS += [_haproxy("conn_us", 0.9), _haproxy("request_us", 1.0), *(Aim(f"idle_kb_{n}", 1.0) for n in IDLE_COUNTS),
         Aim("base_rss_mb", 15)]

# In this order: what starts the peer anew comes last.
ALL = {"bulk": [bulk(streams) for streams in BULK_STREAMS], "conns": [conns], "tls": [tls], "requests": [requests],
       "latency": [latency], "memory": [memory], "spread": [spread]}

# Measures that start the peer anew. The others are run twice per round, there and back through the peers.
ONCE = (memory, spread)
