"""Real TLS 1.3 connections, one after the other, against nginx at the origin: python3 tls_client.py SECONDS [PID…]

The cross-check of the scripted connections of bench_load: a real handshake, one HTTPS request, a real end. Python and
OpenSSL take most of the machine's time here, so the gateway is far from busy, and pays for its wake-ups.
Prints JSON like bench_load.
"""

import json
import os
import socket
import ssl
import sys
import time

import lab


def gateway_cpu_s(pids):
    """utime + stime, fields 14 and 15 of /proc/PID/stat."""
    ticks = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def one_connection(context, number):
    host = lab.NAMES[number % lab.ORIGIN_ADDRESSES]
    address = (lab.origin_address(number % lab.ORIGIN_ADDRESSES), lab.TLS_PORT)
    with socket.create_connection(address, timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname=host) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            while tls.recv(65536):
                pass


def connect_for(context, seconds, first):
    """Returns how many connections succeeded and how many did not."""
    done = failures = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end and failures < 20:
        try:
            one_connection(context, first + done)
            done += 1
        except OSError:
            failures += 1
    return done, failures


def main():
    seconds, pids = float(sys.argv[1]), sys.argv[2:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the origin's certificate is one of the lab
    context.options |= ssl.OP_NO_TICKET
    connect_for(context, 0.3, 0)
    begun_s, begun_cpu_s = time.monotonic(), gateway_cpu_s(pids)
    done, failures = connect_for(context, seconds, 0)
    result = {"connections": done, "failures": failures, "gateway_cpu_s": gateway_cpu_s(pids) - begun_cpu_s,
              "seconds": time.monotonic() - begun_s}
    if failures >= 20:
        result["error"] = "too many failures"
    print(json.dumps(result))


if __name__ == "__main__":
    main()
