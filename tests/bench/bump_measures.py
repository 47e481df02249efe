"""What is measured of one bumping peer in one round. Each measure returns {metric: number}; METRICS says what they mean."""

import lab
import measures
import peers
from lab import BenchError
from measures import Aim

BULK_STREAMS = (1, 8)
CONNECTING_AT_ONCE = 32
REQUESTING_AT_ONCE = 32
IDLE_COUNT = 1000

# metric: (text, decimals, what is better)
METRICS = {
    "bump_conn_us": ("bumped connection, full handshakes: µs CPU", 0, "less"),
    "bump_conn_lab_us": ("  whole lab: µs CPU", 0, "less"),
    "bump_conns_per_s": ("bumped connections per s", 0, "more"),
    "bump_resumed_us": ("bumped connection, resumed: µs CPU", 0, "less"),
    "bump_resumed_client_percent": ("  resumed by the client, %", 0, "more"),
    "bump_resumed_origin_percent": ("  resumed with the origin, %", 0, "more"),
    "bump_resumed_per_s": ("bumped connections per s, resumed", 0, "more"),
    "bump_resumed12_us": ("bumped connection, resumed, TLS 1.2: µs CPU", 0, "less"),
    "bump_resumed12_client_percent": ("  resumed by the client, %", 0, "more"),
    "bump_resumed12_origin_percent": ("  resumed with the origin, %", 0, "more"),
}
for _n in BULK_STREAMS:
    METRICS[f"bump_bulk_cpu_{_n}"] = (f"bumped bulk, {_n} stream{'s' * (_n > 1)}: CPU-s per GB", 3, "less")
for _n in BULK_STREAMS:
    METRICS[f"bump_bulk_gbps_{_n}"] = (f"bumped bulk, {_n} stream{'s' * (_n > 1)}: Gb/s", 2, "more")
METRICS |= {
    "bump_request_us": ("bumped 1 KB request, kept alive: µs CPU", 1, "less"),
    "bump_requests_per_s": ("bumped 1 KB requests per s", 0, "more"),
    "bump_base_rss_mb": ("resident at start, MB", 1, "less"),
    "bump_idle_kb": (f"user-space KB per idle bumped connection at {IDLE_COUNT:,}", 1, "less"),
}

AIMS = [Aim("bump_conn_us", 0.25, ("sslsplit",), "SSLsplit"), Aim("bump_conn_us", 0.15, ("squid-bump",), "Squid"),
        # SSLsplit resumes with the origin under TLS 1.2 only; so its full handshakes are a third thing to compare with.
        Aim("bump_resumed_us", 0.15, ("sslsplit",), "SSLsplit"), Aim("bump_resumed12_us", 0.15, ("sslsplit",), "SSLsplit"),
        Aim("bump_resumed_us", 0.15, ("sslsplit",), "SSLsplit with full handshakes", against="bump_conn_us"),
        *(Aim(f"bump_bulk_cpu_{_n}", 0.27, (peer,), text) for _n in BULK_STREAMS
          for peer, text in (("sslsplit", "SSLsplit"), ("squid-bump", "Squid"))),
        Aim("bump_request_us", 0.35, ("squid-bump",), "Squid"),
        Aim("bump_request_us", 1.10, ("sluice-bump",), "the same without traffic rules", whose="sluice-bump-rules"),
        Aim("bump_idle_kb", 14)]


def window(the_lab, peer, load, port, path, connections, seconds):
    warm_s = 0.5
    process = the_lab.tls_client(load, f"{lab.origin_address(0)}:{port}", lab.ORIGIN_ADDRESSES, path, connections, warm_s,
                                 seconds, *peer.pids(), "/", *the_lab.beside())
    return measures.parse(process, f"{peer.name}, {load}")


def conns(the_lab, peer, seconds):
    seen = window(the_lab, peer, "conns", lab.FULL_TLS_PORT, "/tiny", CONNECTING_AT_ONCE, seconds)
    if seen["client_resumed"] or seen["origin_resumed"]:
        raise BenchError(f"{peer.name}: handshakes that should be full were resumed: {seen}")
    done = max(seen["connections"], 1)
    return {"bump_conn_us": seen["gateway_cpu_s"] / done * 1e6, "bump_conns_per_s": done / seen["seconds"],
            "bump_conn_lab_us": seen["lab_cpu_s"] / done * 1e6, "failures_bump_conns": seen["failures"]}


def resumed(load, port, prefix):
    """With the share that really was resumed on either side, as not every peer can."""
    def measure(the_lab, peer, seconds):
        seen = window(the_lab, peer, load, port, "/tiny", CONNECTING_AT_ONCE, seconds)
        done = max(seen["connections"], 1)
        return {f"{prefix}_us": seen["gateway_cpu_s"] / done * 1e6, f"{prefix}_per_s": done / seen["seconds"],
                f"{prefix}_client_percent": seen["client_resumed"] / done * 100,
                f"{prefix}_origin_percent": seen["origin_resumed"] / done * 100,
                f"failures_{prefix}": seen["failures"]}
    return measure


def bulk(streams):
    def measure(the_lab, peer, seconds):
        seen = window(the_lab, peer, "bulk", lab.TLS_PORT, "/big", streams, seconds)
        gigabytes = seen["bytes"] / 1e9
        if gigabytes == 0:
            raise BenchError(f"{peer.name}, bumped bulk: no byte arrived")
        return {f"bump_bulk_cpu_{streams}": seen["gateway_cpu_s"] / gigabytes,
                f"bump_bulk_gbps_{streams}": gigabytes * 8 / seen["seconds"],
                f"bump_bulk_lab_cpu_{streams}": seen["lab_cpu_s"] / gigabytes,
                f"reconnects_bump_bulk_{streams}": seen["reconnects"],
                f"failures_bump_bulk_{streams}": seen["failures"]}
    return measure


def requests(the_lab, peer, seconds):
    if not peer.keeps_alive:
        return {}
    seen = window(the_lab, peer, "requests", lab.TLS_PORT, "/", REQUESTING_AT_ONCE, seconds)
    if seen["reconnects"]:
        raise BenchError(f"{peer.name}: closes kept-alive connections: {seen}")
    done = max(seen["answers"], 1)
    return {"bump_request_us": seen["gateway_cpu_s"] / done * 1e6, "bump_requests_per_s": done / seen["seconds"],
            "bump_request_lab_us": seen["lab_cpu_s"] / done * 1e6, "failures_bump_requests": seen["failures"]}


def memory(the_lab, peer, _seconds):
    """Of a process that has just been started and has served one connection. Each held connection has had one answer,
    where the peer keeps it open after that; else its handshakes only."""
    peer.stop()
    peer.start(the_lab)
    base = measures.settled_memory(peer)
    count = min(IDLE_COUNT, peers.connections_max())
    holder = the_lab.tls_client("hold" if peer.keeps_alive else "bare", f"{lab.origin_address(0)}:{lab.TLS_PORT}",
                                lab.ORIGIN_ADDRESSES, "/tiny", stdin=-1)
    try:
        holder.stdin.write(f"{count}\n")
        holder.stdin.flush()
        answer = holder.stdout.readline().split()
        if answer[:2] != ["open", str(count)]:
            raise BenchError(f"{peer.name}, memory: {count} connections wanted, load generator: {answer}")
        grown = measures.settled_memory(peer)
    finally:
        lab.stop(holder)
    return {"bump_base_rss_mb": base["rss_kb"] / 1024, "bump_base_pss_mb": base["pss_kb"] / 1024,
            "bump_idle_kb": (grown["pss_kb"] - base["pss_kb"]) / count,
            "bump_idle_rss_kb": (grown["rss_kb"] - base["rss_kb"]) / count, "failures_bump_memory": int(answer[3])}


# In this order: what starts the peer anew comes last.
ALL = {"bump-conns": [conns],
       "bump-resumed": [resumed("resumed", lab.TLS_PORT, "bump_resumed"),
                        resumed("resumed12", lab.TLS12_PORT, "bump_resumed12")],
       "bump-bulk": [bulk(streams) for streams in BULK_STREAMS],
       "bump-requests": [requests], "bump-memory": [memory]}

ONCE = (memory,)
