"""The command line: check, explain, version. Needs neither root nor a network: captures and logs are made here.

    capture, log or options  ->  sluice explain  ->  what each connection would meet
"""

import gzip
import json
import os
import random
import re
import socket
import struct
import subprocess

import pytest

import hello
from lab import BINARY

pytestmark = pytest.mark.no_daemon

RULES = """\
[tls]
default_action = "tunnel-sni"

[[tls.rules]]
name = "Printers"
when = { client = ["192.0.2.99", "2001:db8::99"] }
action = "tunnel"

[[tls.rules]]
name = "No casinos"
when = { host = ".casino.example" }
action = "terminate"

[[tls.rules]]
name = "Nights"
when = { host = "night.example", schedule = "22:00-06:00" }
action = "terminate"

[[access.rules]]
name = "Guests"
when = { client = "203.0.113.0/24" }
action = "block"
"""


def run(*args, stdin=None, env=None):
    return subprocess.run([BINARY, *args], input=stdin, capture_output=True, timeout=60,
                          env={**os.environ, "TZ": "UTC", **(env or {})})


def ok(*args, **kwargs):
    done = run(*args, **kwargs)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


# --- the command line itself


def test_help_and_version_say_what_there_is():
    text = ok("--help")
    for command in ("run", "check", "explain", "ca", "version"):
        assert re.search(rf"^  {command} ", text, re.M), text
        assert "--help" in ok(command, "--help")
    assert re.fullmatch(r"sluice \d+\.\d+\.\d+\n", ok("--version"))
    versions = ok("version")
    for line in ("wolfSSL", "accelerations", "liburing", "libpcap", "c-ares", "kernel", "io_uring", "transparent proxy"):
        assert re.search(rf"^  {line} +\S", versions, re.M), versions


@pytest.mark.parametrize("command", ["reload", "status", "sessions", "top", "kill", "doctor", "chek"])
def test_commands_of_other_versions_do_not_pretend_to_exist(command):
    done = run(command)
    assert done.returncode == 2
    assert f"no command '{command}'" in done.stderr.decode()
    assert done.stdout == b""


@pytest.mark.parametrize("args,hint", [
    (["reload"], "systemctl reload sluice"), (["status"], "systemctl status sluice"), (["stop"], "systemctl stop sluice"),
    (["chek"], "did you mean 'check'?"), (["check", "rules.toml"], "'rules.toml' is not expected here; a configuration is given with -c FILE"),
    (["explain", "lan.pcap"], "a capture with --pcap FILE"), (["explain", "-sni", "x.example"], "did you mean --sni?"),
    (["check", "-config", "rules.toml"], "did you mean --config?"), (["check", "--confg", "x"], "there is no option --confg; did you mean --config?"),
    (["-c", "rules.toml", "check"], "sluice check -c"), (["ca", "init", "--days", "1y"], "Try 'sluice ca init --help'"),
    (["explain", "--client", "192.0.2.7", "--url", "http://a.example/", "--file-type", "exe"], "docs/file-types.md"),
    (["explain", "--client", "192.0.2.7", "--url", "http://a.example/", "--file-type", "executable"], "a class of file types"),
])
def test_a_wrong_command_line_says_what_may_be_meant(args, hint):
    done = run(*args)
    assert done.returncode == 2 and done.stdout == b""
    assert hint in done.stderr.decode()


@pytest.mark.parametrize("option,data,message", [
    ("--pcap", b"not a capture, but long enough to be one", "neither pcap nor pcapng"),
    ("--pcap", gzip.compress(b"x"), "compressed with gzip"),
    ("--log", gzip.compress(b"{}"), "compressed with gzip"),
    ("--log", b'Nov 21 18:00:00 gw sluice[77]: {"time":"2026"}\n' * 9, "journalctl -u sluice -o cat"),
    ("--log", b"-- Boot 0123 --\n" * 9, "journalctl -u sluice -o cat"),
    ("--log", b'{"__REALTIME_TIMESTAMP":"1","MESSAGE":"{}"}\n' * 9, "journalctl -u sluice -o cat"),
    ("--log", b"CEF:0|Sluice|\n" * 9, "only access logs in JSON"), ("--log", b"time=2026 type=connection\n" * 9, "only access logs in JSON"),
], ids=["no capture", "gzipped capture", "gzipped log", "syslog", "journalctl", "journalctl -o json", "cef", "kv"])  # gzip has the time in it
def test_a_file_that_is_something_else_is_one_line_that_says_so(rules, tmp_path, option, data, message):
    path = tmp_path / "file"
    path.write_bytes(data)
    done = run("explain", "-c", rules, option, path)
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.decode().startswith(f"sluice explain: {path}: ") and done.stderr.count(b"\n") == 1
    assert message in done.stderr.decode()


def test_a_capture_that_is_not_there_is_named_once(rules, tmp_path):
    done = run("explain", "-c", rules, "--pcap", tmp_path / "gone.pcap")
    assert done.returncode == 1
    assert done.stderr.decode() == f"sluice explain: {tmp_path}/gone.pcap: No such file or directory\n"


@pytest.mark.parametrize("args", [
    [], ["check", "--frobnicate"], ["check", "extra"], ["explain"], ["explain", "--client", "192.0.2.7"],
    ["explain", "--client", "192.0.2.7", "--to", "198.51.100.1"],
    ["explain", "--client", "192.0.2.7", "--to", "[2001:db8::1]:443"],
    ["explain", "--client", "192.0.2.7", "--to", "198.51.100.1:0"],
    ["explain", "--client", "192.0.2.7", "--to", "198.51.100.1:443", "--sni", "https://x.example/"],
    ["explain", "--client", "192.0.2.7", "--to", "198.51.100.1:443", "--sni", "*.example"],
    ["explain", "--client", "192.0.2.7", "--to", "198.51.100.1:443", "--sni", ""],
    ["explain", "--client", "pc7", "--to", "198.51.100.1:443"],
    ["explain", "--client", "192.0.2.7", "--to", "198.51.100.1:443", "--at", "noon"],
    ["explain", "--client", "192.0.2.7", "--to", "198.51.100.1:443", "--tls-version", "1.4"],
    ["explain", "--client", "192.0.2.7", "--to", "198.51.100.1:443", "--sni", "x.example", "--no-tls"],
    ["explain", "--pcap", "x", "--log", "y"], ["explain", "--all-ports", "--log", "y"],
])
def test_a_wrong_command_line_is_exit_code_2_and_one_sentence(args):
    done = run(*args)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.startswith(b"sluice"), done.stderr


def test_output_that_cannot_be_written_is_a_failure(rules):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BINARY, "check", "-c", rules], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1
    assert b"cannot write" in done.stderr


# --- check


def test_check_counts_what_the_configuration_holds(rules):
    assert ok("check", "-c", str(rules)) == \
        "ok: 3 TLS rules (else tunnel-sni), 1 access rule (else allow), 2 host patterns\n"


def test_check_names_every_error_with_its_place(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text('[tls]\ndefalt_action = "tunnel-sni"\n[gateway]\ntproxy_port = "x"\nlan = ["a b"]\n')
    for args in (["check", "-c", path], ["check", "--kernel-values", "-c", path]):
        done = run(*args)
        assert done.returncode == 1
        assert done.stdout == b"", "a script must not get half of the values"
        places = re.findall(rf"^{re.escape(str(path))}:(\d+):(\d+): error: ", done.stderr.decode(), re.M)
        assert [int(line) for line, _ in places] == [2, 4, 5], done.stderr.decode()


@pytest.mark.parametrize("make", [
    lambda path: None,
    lambda path: path.mkdir(),
    lambda path: os.mkfifo(path),
    lambda path: path.write_bytes(b"\xff\xfe[tls]"),
], ids=["missing", "directory", "fifo", "not-utf8"])
def test_a_file_that_cannot_be_read_is_an_error_and_never_a_hang(tmp_path, make):
    path = tmp_path / "rules.toml"
    make(path)
    done = run("check", "-c", path)
    assert done.returncode == 1
    assert f"{path}:".encode() in done.stderr and b"error: " in done.stderr


def test_kernel_values_are_lines_that_a_shell_reads(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text('[gateway]\nlan = ["eth1", "wg*"]\ntls_ports = [443, 8443]\nexempt_clients = ["2001:db8::/64"]\n')
    script = f'while IFS="=" read -r key value; do eval "v_$key=\\$value"; done < <("{BINARY}" check -c "{path}" ' \
             '--kernel-values); printf "%s|" "$v_lan" "$v_tls_ports" "$v_exempt_clients" "$v_own_traffic" "$v_when_down"'
    done = subprocess.run(["bash", "-fc", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "eth1 wg*|443 8443|2001:db8::/64|0|open|"


# --- explain, one connection


def explain(rules, *args):
    return ok("explain", "-c", str(rules), *args)


@pytest.mark.parametrize("client,to", [("192.0.2.7", "198.51.100.1:443"), ("2001:db8::7", "[2001:db8:1::1]:443")])
def test_explain_names_the_rule_that_decides_and_why_others_do_not(rules, client, to):
    text = explain(rules, "--client", client, "--to", to, "--sni", "www.casino.example")
    assert text.splitlines()[-1].startswith('=> terminate by tls rule "No casinos": closed'), text
    assert re.search(r'^  no +tls rule "Printers" \(line 4, tunnel\): .*client', text, re.M), text
    assert re.search(r'^  MATCH +tls rule "No casinos" \(line 9, terminate\)', text, re.M), text
    text = explain(rules, "--client", client, "--to", to, "--sni", "www.example.com")
    assert text.splitlines()[-1].startswith("=> tunnel-sni by tls.default_action: passed"), text
    assert "casino" in text


def test_explain_tells_what_the_connect_event_leaves_open(rules):
    text = explain(rules, "--client", "192.0.2.7", "--to", "198.51.100.1:443", "--sni", "x.example")
    connect, hello_event = text.split("hello event", 1)
    assert re.search(r'^  not yet +tls rule "No casinos"', connect, re.M), text
    assert "the ClientHello is read" in connect
    decided = explain(rules, "--client", "192.0.2.99", "--to", "198.51.100.1:443", "--sni", "x.casino.example")
    assert "hello event" not in decided
    assert decided.splitlines()[-1].startswith('=> tunnel by tls rule "Printers"'), decided
    blocked = explain(rules, "--client", "203.0.113.4", "--to", "198.51.100.1:443")
    assert blocked.splitlines()[-1].startswith('=> block by access rule "Guests": closed'), blocked


@pytest.mark.parametrize("at,action", [("2026-11-21 23:00", "terminate"), ("2026-11-21 12:00", "tunnel-sni")])
def test_explain_at_a_time(rules, at, action):
    text = explain(rules, "--client", "192.0.2.7", "--to", "198.51.100.1:443", "--sni", "night.example", "--at", at)
    assert text.splitlines()[-1].startswith(f"=> {action} by "), text


def test_explain_without_tls_and_without_sni(rules, tmp_path):
    args = ("--client", "192.0.2.7", "--to", "198.51.100.1:443")
    assert "=> terminate by tls.non_tls" in explain(rules, *args, "--no-tls")
    strict = tmp_path / "strict.toml"
    strict.write_text(RULES.replace("[tls]\n", '[tls]\nrequire_sni = true\nnon_tls = "tunnel"\n', 1))
    assert "=> tunnel by tls.non_tls" in explain(strict, *args, "--no-tls")
    assert "=> terminate by tls.require_sni" in explain(strict, *args)
    assert "=> tunnel-sni by tls.default_action" in explain(strict, *args, "--sni", "WWW.Example.com.")


def test_explain_says_what_never_reaches_the_daemon(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text('[gateway]\nexempt_clients = ["192.0.2.64/26"]\nipv6 = false\n' + RULES)
    for client, to, why in [("192.0.2.7", "198.51.100.1:9999", "port 9999 is in neither"),
                            ("192.0.2.70", "198.51.100.1:443", "the client is in gateway.exempt_clients (192.0.2.64/26)"),
                            ("2001:db8::7", "[2001:db8:1::1]:443", "gateway.ipv6 is false")]:
        note, last = explain(path, "--client", client, "--to", to, "--sni", "www.casino.example").splitlines()[-2:]
        assert note.startswith(f"note: {why}"), note
        assert last == "=> not redirected: forwarded as it is, it never reaches the daemon"
    assert "note:" not in explain(path, "--client", "192.0.2.7", "--to", "198.51.100.1:443")


def test_explain_a_url_in_a_tunnel_says_that_the_request_is_never_seen(rules):
    note, last = explain(rules, "--client", "192.0.2.7", "--url", "https://www.example.com/x").splitlines()[-2:]
    assert note.startswith("note: this request is never seen, because its connection is a tunnel"), note
    assert last.startswith("=> tunnel-sni by tls.default_action"), last
    last = explain(rules, "--client", "192.0.2.7", "--url", "https://www.example.com/x", "--sni", "www.casino.example")
    assert '=> terminate by tls rule "No casinos"' in last
    assert "=> not redirected" in explain(rules, "--client", "192.0.2.7", "--url", "http://www.example.com/x")


def test_explain_reads_an_internationalised_name_as_it_is_on_the_wire(rules):
    args = ("explain", "-c", str(rules), "--client", "192.0.2.7", "--to", "198.51.100.1:443", "--sni")
    assert "SNI xn--bcher-kva.example\n" in ok(*args, "Bücher.example")
    assert "SNI 2001:db8::1\n" in ok(*args, "2001:DB8::1")  # RFC 6066 forbids it, and some clients do it


# --- explain, captures

START = 1795284000  # 2026-11-21 18:00:00 UTC
LINKS = {"ethernet": 1, "vlan": 1, "raw": 101, "sll": 113, "sll2": 276, "loopback": 0}


class Capture:
    """Packets of made-up connections, written as pcap or pcapng."""

    def __init__(self, link="ethernet"):
        self.link = link
        self.packets = []
        self.port = 50000

    def _packet(self, source, destination, segment):
        version = 6 if ":" in source[0] else 4
        if version == 4:
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0x4000, 64, 6, 0)
            ip += socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
        else:
            ip = struct.pack("!IHBB", 0x60000000, len(segment), 6, 64)
            ip += socket.inet_pton(socket.AF_INET6, source[0]) + socket.inet_pton(socket.AF_INET6, destination[0])
        kind = struct.pack("!H", 0x0800 if version == 4 else 0x86DD)
        head = {"ethernet": bytes(12) + kind, "vlan": bytes(12) + b"\x81\x00\x00\x2a" + kind, "raw": b"",
                "sll": bytes(14) + kind, "sll2": kind + bytes(18), "loopback": struct.pack("=I", 2)}[self.link]
        self.packets.append(head + ip + segment)

    def segment(self, source, destination, sequence, flags, payload=b"", acknowledged=0):
        tcp = struct.pack("!HHIIHHHH", source[1], destination[1], sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF,
                          5 << 12 | flags, 65535, 0, 0)
        self._packet(source, destination, tcp + payload)

    def connection(self, payload, *, client="192.0.2.7", to=("198.51.100.1", 443), sizes=1400, shuffle=None, fin=True,
                   isn=0xFFFFFF80):
        self.port += 1
        source = (client, self.port)
        self.segment(source, to, isn, 0x02)
        self.segment(to, source, 77, 0x12, acknowledged=isn + 1)
        pieces = [(at, payload[at:at + sizes]) for at in range(0, len(payload), sizes)]
        if shuffle is not None:
            pieces += shuffle.sample(pieces, len(pieces) // 2)
            shuffle.shuffle(pieces)
        for at, piece in pieces:
            self.segment(source, to, isn + 1 + at, 0x18, piece, 78)
        if fin:
            self.segment(source, to, isn + 1 + len(payload), 0x11, b"", 78)

    def pcap(self, nano=False, order="<"):
        data = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, LINKS[self.link])
        for number, packet in enumerate(self.packets):
            fraction = number * (1000 if nano else 1)
            data += struct.pack(order + "IIII", START, fraction, len(packet), len(packet)) + packet
        return data

    def pcapng(self):
        def block(kind, body):
            body += bytes(-len(body) % 4)
            return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

        data = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        data += block(1, struct.pack("<HHI", LINKS[self.link], 0, 262144))
        for number, packet in enumerate(self.packets):
            us = START * 1000000 + number
            head = struct.pack("<IIIII", 0, us >> 32, us & 0xFFFFFFFF, len(packet), len(packet))
            data += block(6, head + packet)
        return data


def explain_pcap(rules, tmp_path, data, *args, code=0):
    path = tmp_path / "capture"
    path.write_bytes(data)
    done = run("explain", "-c", str(rules), "--pcap", str(path), *args)
    assert done.returncode == code, done.stderr.decode()
    return [line.split(" ", 7) for line in done.stdout.decode().splitlines()], done.stderr.decode()


@pytest.mark.parametrize("client,to", [("192.0.2.7", "198.51.100.1"), ("2001:db8::7", "2001:db8:1::1")],
                         ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("link", LINKS)
def test_pcap_of_every_link_type(rules, tmp_path, link, client, to):
    capture = Capture(link)
    wire = hello.client_hello("www.casino.example")
    capture.connection(wire, client=client, to=(to, 443))
    where = f"[{to}]:443" if ":" in to else f"{to}:443"
    who = f"[{client}]:50001" if ":" in client else f"{client}:50001"
    expected = [["2026-11-21", "18:00:00.000", who, where, "terminate", "www.casino.example", hello.ja4(wire),
                 'tls rule "No casinos"']]
    for data in (capture.pcap(), capture.pcap(nano=True), capture.pcap(order=">"), capture.pcapng()):
        assert explain_pcap(rules, tmp_path, data)[0] == expected


def test_pcap_with_hellos_cut_every_way(rules, tmp_path):
    shuffle = random.Random(15)
    capture = Capture()
    expected = []
    for number in range(40):
        name = f"n{number}.example"
        wire = hello.client_hello(name, key_shares={0x11EC: 1216, 0x001D: 32} if number % 2 else None,
                                  grease=number % 3 == 0, ech=number % 5 == 0,
                                  record_size=[16384, 1, 100][number % 3])
        sizes = 1 if number == 4 else shuffle.randint(20, 1400)
        capture.connection(wire, sizes=sizes, shuffle=shuffle if number % 4 else None)
        expected.append((name, hello.ja4(wire)))
    wire = hello.from_openssl("real.example", ["h2", "http/1.1"])
    capture.connection(wire, sizes=50)
    expected.append(("real.example", hello.ja4(wire)))
    lines, summary = explain_pcap(rules, tmp_path, capture.pcap())
    assert [(line[5], line[6]) for line in lines] == expected
    assert all(line[4] == "tunnel-sni" for line in lines)
    assert summary.startswith("41 connections: 41 tunnel-sni in "), summary


def test_pcap_lists_what_is_not_a_hello_as_such(rules, tmp_path):
    capture = Capture()
    wire = hello.client_hello("www.example.com")
    capture.connection(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    capture.connection(b"")
    capture.connection(wire[:100])
    capture.connection(wire[:3] + b"\x00\x00" + wire[5:])  # an empty record
    capture.connection(wire[:100], fin=False)
    capture.connection(wire, client="192.0.2.99")  # decided without the hello, but shown
    capture.connection(b"", client="192.0.2.99")
    lines, summary = explain_pcap(rules, tmp_path, capture.pcap())
    shown = [(line[4], line[5], line[7]) for line in lines]
    assert shown[0][:2] == ("terminate", "-") and shown[0][2].startswith('tls.non_tls = "terminate": ')
    assert shown[0][2].endswith("(not TLS)")
    assert shown[1] == ("?", "-", "(the client sent nothing)")
    assert shown[2] == ("?", "-", "(closed before the ClientHello was complete)")
    assert shown[3][:2] == ("terminate", "-") and shown[3][2].startswith("malformed ClientHello: ")
    assert shown[4] == ("tunnel", "www.example.com", 'tls rule "Printers"')
    assert shown[5] == ("tunnel", "-", 'tls rule "Printers" (the client sent nothing)')
    assert shown[6] == ("?", "-", "(the capture ends inside the ClientHello)")
    assert "7 connections: 3 undecided, 2 terminate, 2 tunnel in " in summary


def test_pcap_reads_other_ports_only_if_asked(rules, tmp_path):
    capture = Capture()
    capture.connection(hello.client_hello("a.example"), to=("198.51.100.1", 8443))
    capture.connection(hello.client_hello("b.example"), to=("198.51.100.1", 443))
    assert [line[5] for line in explain_pcap(rules, tmp_path, capture.pcap())[0]] == ["b.example"]
    assert [line[4:6] for line in explain_pcap(rules, tmp_path, capture.pcap(), "--all-ports")[0]] == \
        [["not-redirected", "a.example"], ["tunnel-sni", "b.example"]]
    other = tmp_path / "other.toml"
    other.write_text("[gateway]\ntls_ports = [8443]\n" + RULES)
    assert [line[5] for line in explain_pcap(other, tmp_path, capture.pcap())[0]] == ["a.example"]
    lines, summary = explain_pcap(rules, tmp_path, capture.pcap(), "--against", str(other))
    assert [(line[4], line[5]) for line in lines] == [("not-redirected->tunnel-sni", "a.example"),
                                                      ("tunnel-sni->not-redirected", "b.example")]
    assert lines[1][7] == "tls.default_action -> port 443 is in neither gateway.tls_ports nor gateway.http_ports"
    assert summary.startswith("2 of 2 connections would change in ")


def test_pcap_marks_what_is_exempt_and_reads_the_ports_of_plain_http(rules, tmp_path):
    capture = Capture()
    capture.connection(hello.client_hello("a.example"), client="192.0.2.70")
    capture.connection(hello.client_hello("b.example"), to=("198.51.100.9", 443))
    capture.connection(hello.client_hello("c.example"), client="2001:db8::7", to=("2001:db8:1::1", 443))
    capture.connection(b"GET / HTTP/1.1\r\nHost: d.example\r\n\r\n", to=("198.51.100.1", 80))
    other = tmp_path / "other.toml"
    other.write_text('[gateway]\nexempt_clients = ["192.0.2.64/26"]\nexempt_destinations = ["198.51.100.9"]\nipv6 = false\n'
                     'http_ports = [80]\n' + RULES)
    lines = explain_pcap(other, tmp_path, capture.pcap())[0]
    assert [line[4] for line in lines] == ["not-redirected"] * 3 + ["allow"]
    assert [line[7] for line in lines[:3]] == [
        "the client is in gateway.exempt_clients (192.0.2.64/26)",
        "the destination is in gateway.exempt_destinations (198.51.100.9)", "gateway.ipv6 is false"]
    lines, summary = explain_pcap(rules, tmp_path, capture.pcap(), "--against", str(other))
    assert [line[4] for line in lines] == ["tunnel-sni->not-redirected"] * 3 + ["not-redirected->allow"]
    assert summary.startswith("4 of 4 connections would change")


def test_pcap_takes_schedules_at_the_time_of_the_capture_or_as_told(rules, tmp_path):
    capture = Capture()
    capture.connection(hello.client_hello("night.example"))
    assert explain_pcap(rules, tmp_path, capture.pcap())[0][0][4] == "tunnel-sni"  # at 18:00
    assert explain_pcap(rules, tmp_path, capture.pcap(), "--at", "2026-11-21 03:00")[0][0][4] == "terminate"


def test_pcap_that_is_cut_short_or_no_capture_fails_and_says_so(rules, tmp_path):
    capture = Capture()
    capture.connection(hello.client_hello("www.example.com"))
    lines, error = explain_pcap(rules, tmp_path, capture.pcap() + b"\0" * 10, code=1)
    assert [line[5] for line in lines] == ["www.example.com"], "what is there is still told"
    assert "truncated" in error
    for data in (b"", b"not a capture", struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 105)):
        lines, error = explain_pcap(rules, tmp_path, data, code=1)
        assert lines == [] and error.startswith("sluice explain: "), error


def test_pcap_from_standard_input(rules):
    capture = Capture()
    capture.connection(hello.client_hello("www.example.com"))
    assert " www.example.com " in ok("explain", "-c", str(rules), "--pcap", "-", stdin=capture.pcapng())


def test_pcap_against_another_configuration_shows_only_what_changes(rules, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(RULES.replace(".casino.example", ".news.example"))
    capture = Capture()
    for name in ("www.example.com", "www.casino.example", "www.news.example"):
        capture.connection(hello.client_hello(name))
    lines, summary = explain_pcap(rules, tmp_path, capture.pcap(), "--against", str(other))
    assert [(line[4], line[5]) for line in lines] == [("terminate->tunnel-sni", "www.casino.example"),
                                                      ("tunnel-sni->terminate", "www.news.example")]
    assert summary.startswith("2 of 3 connections would change in ")


# --- explain, access logs


def log_line(**fields):
    line = {"time": "2026-11-21T18:00:00.123456Z", "type": "connection", "id": 1, "mode": "transparent",
            "client": "192.0.2.7:50000", "destination": "198.51.100.1:443", "sni": "www.example.com",
            "host": "www.example.com", "alpn": "h2", "tls_version": "1.3", "ech": False, "action": "tunnel-sni",
            "bytes_up": 1, "bytes_down": 2, "ms.total": 1.5, "close": "finished", "close_side": "none", **fields}
    return json.dumps({key: value for key, value in line.items() if value is not None})


def test_log_one_line_for_each_connection_or_only_the_changes(rules, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(RULES.replace('"203.0.113.0/24"', '"198.18.0.0/15"'))
    log = tmp_path / "access.log"
    log.write_text("\n".join([
        log_line(), log_line(sni="x.casino.example"), log_line(client="203.0.113.4:1"),
        log_line(client="[2001:db8::7]:1", destination="[2001:db8:1::1]:443"),
        log_line(sni=None, ech=None, close="non_tls", detail="not_tls"),
        log_line(sni="night.example", time="2026-11-21T23:00:00.000000Z")]) + "\n")
    lines = [line.split(" ", 7) for line in ok("explain", "-c", str(rules), "--log", str(log)).splitlines()]
    assert [line[4] for line in lines] == ["tunnel-sni", "terminate", "block", "tunnel-sni", "terminate", "terminate"]
    assert lines[0][:4] == ["2026-11-21", "18:00:00.123", "192.0.2.7:50000", "198.51.100.1:443"]
    done = run("explain", "-c", str(rules), "--log", str(log), "--against", str(other))
    assert [line.split(" ")[2:5] for line in done.stdout.decode().splitlines()] == \
        [["203.0.113.4:1", "198.51.100.1:443", "block->tunnel-sni"]]
    assert done.stderr.decode() == "1 of 6 connections would change\n"


def test_log_lines_that_are_not_ours_are_named_and_the_rest_is_read(rules):
    log = "\n".join([log_line(), "rubbish", "", log_line(type="audit"), log_line(type="request"),
                     log_line(sni="x.casino.example")]).encode()
    done = run("explain", "-c", str(rules), "--log", "-", stdin=log)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    assert re.search(r"^sluice explain: -:2: ", done.stderr.decode(), re.M)
    assert re.search(r"^sluice explain: -:4: ", done.stderr.decode(), re.M)
    assert "-:5:" not in done.stderr.decode()  # a request's line is ours, and decides nothing


def test_explain_with_a_bad_configuration_says_where(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text("[tls\n")
    done = run("explain", "-c", str(path), "--client", "192.0.2.7", "--to", "198.51.100.1:443")
    assert done.returncode == 1
    assert done.stdout == b""
    assert f"{path}:1:".encode() in done.stderr


# --- requests

TRAFFIC = """\
[gateway]
http_ports = [80]

[[bypass.rules]]
name = "Admin"
when = { client = "192.0.2.99" }
action = "allow"

[[access.rules]]
name = "No programs"
when = { file_type = "executable", direction = "response" }

[[access.rules]]
name = "Moved"
when = { url = "old.example/docs/*" }
action = "redirect"
to = "https://new.example/?u=%URL%"
"""


def test_explain_a_request_stage_by_stage(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(TRAFFIC)
    at = ("explain", "-c", str(path), "--client", "192.0.2.7", "--url")
    text = ok(*at, "http://OLD.example/docs/../docs/a", "--user-agent", "x")
    assert "request event: GET http://old.example/docs/a from 192.0.2.7\n" in text
    assert re.search(r'^  no +bypass rule "Admin" \(line 4, allow\): .*the client is 192.0.2.7', text, re.M), text
    assert re.search(r'^  MATCH +access rule "Moved" \(line 13, redirect\)', text, re.M), text
    assert '=> redirect by access rule "Moved": the client is sent to https://new.example/?u=%URL%\n' in text
    assert "=> cannot be told" in ok(*at, "http://a.example/setup.exe")
    assert '=> block by access rule "No programs"' in ok(*at, "http://a.example/x", "--file-type", "pe")
    assert "=> allow by access.default: passed on" in ok(*at, "http://a.example/x", "--file-type", "pdf")
    admin = ("explain", "-c", str(path), "--client", "192.0.2.99", "--url", "http://a.example/x")
    assert '=> allow by bypass rule "Admin": passed on, unscanned' in ok(*admin, "--file-type", "pe")


@pytest.mark.parametrize("args", [
    ["--url", "nowhere"], ["--url", "http://a.example/", "--size", "big"], ["--url", "http://a.example/", "--md5", "12"],
    ["--url", "http://a.example/", "--file-type", "exee"], ["--url", "http://a.example/", "--sni", "a.example"],
    ["--method", "GET"]])
def test_a_request_that_makes_no_sense_is_refused(rules, args):
    assert run("explain", "-c", str(rules), "--client", "192.0.2.7", *args).returncode == 2


def test_requests_in_a_log_get_the_destination_of_their_connection(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text('[gateway]\nhttp_ports = [80]\n[[access.rules]]\nname = "Net"\n'
                    'when = { destination = "198.51.100.0/24", method = "POST" }\n')
    empty = tmp_path / "empty.toml"
    empty.write_text('[gateway]\nhttp_ports = [80]\n')
    request = {"time": "2026-11-21T18:00:00.000000Z", "type": "request", "id": 5, "client": "192.0.2.7:50000",
               "status": 200, "action": "allow", "bytes_down": 10}
    plain = log_line(id=5, destination="198.51.100.1:80", sni=None, ech=None, alpn=None, tls_version=None, action="allow")
    log = tmp_path / "access.log"
    log.write_text("\n".join([json.dumps({**request, "method": method, "url": "http://a.example/x"}) for method in
                              ("GET", "POST")] + [plain]) + "\n")
    done = run("explain", "-c", str(empty), "--log", str(log), "--against", str(path))
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == [
        '2026-11-21 18:00:00.000 192.0.2.7 POST http://a.example/x allow->block access.default -> access rule "Net"']
    assert done.stderr.decode() == "1 of 1 connection and 2 requests would change\n"


def test_explain_a_port_of_plain_http(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text('[tls]\ndefault_action = "terminate"\n[gateway]\nhttp_ports = [80]\n'
                    '[[access.rules]]\nname = "Guests"\nwhen = { client = "203.0.113.0/24" }\n')
    at = ("explain", "-c", str(path), "--to", "198.51.100.1:80", "--client")
    text = ok(*at, "192.0.2.7")
    assert "tls rules: not read: this port carries plain HTTP\n" in text
    assert text.endswith("=> allow by plain HTTP: each request is judged for itself (--url)\n")
    assert '=> block by access rule "Guests"' in ok(*at, "203.0.113.4")
    assert '=> terminate by http.non_http = "terminate"' in ok(*at, "192.0.2.7", "--sni", "www.example.com")


def test_a_log_of_the_explicit_proxy_is_judged_by_CONNECT_name_SNI_and_user(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text('[explicit]\nlisten = ["127.0.0.1:3128"]\n[[tls.rules]]\nname = "Front"\nwhen = { host = "front.example" }\naction = "terminate"\n'
                    '[[access.rules]]\nname = "Guests"\nwhen = { user = "guest-*" }\n')
    request = {"time": "2026-11-21T18:00:00.000000Z", "type": "request", "client": "192.0.2.7:50000", "method": "GET",
               "url": "https://www.example.com/x", "status": 200, "action": "allow", "bytes_down": 10}
    log = tmp_path / "access.log"
    log.write_text("\n".join([json.dumps({**request, "id": 1}), log_line(id=1, mode="explicit", user="guest-7"),
                              log_line(id=2, mode="explicit", user="alice", host="front.example"),
                              log_line(id=3, mode="explicit", user="alice"), json.dumps({**request, "id": 4})]) + "\n")
    done = run("explain", "-c", str(path), "--log", str(log))
    assert [line.split(" ")[4 if "/x" not in line else 5] for line in done.stdout.decode().splitlines()] == \
        ["block", "block", "terminate", "tunnel-sni", "?"]
    assert done.stderr.decode() == "3 connections and 2 requests: 1 undecided, 2 block, 1 terminate, 1 tunnel-sni\n"


def test_check_names_lists_that_no_rule_uses(tmp_path):
    (tmp_path / "lists").mkdir()
    for name in ("used.txt", "forgotten.txt", "example-plain.txt"):
        (tmp_path / "lists" / name).write_text("a.example\n")
    path = tmp_path / "rules.toml"
    (tmp_path / "lists" / "absolute.txt").write_text("b.example\n")
    path.write_text(f'[[access.rules]]\nwhen = {{ host = ["@lists/used.txt", "@{tmp_path}/x/../lists/absolute.txt"] }}\n')
    (tmp_path / "x").mkdir()
    done = run("check", "-c", str(path))
    assert done.returncode == 0
    assert done.stderr.decode() == f"{tmp_path}/lists/forgotten.txt: warning: no rule uses this list\n"
    assert done.stdout.decode().endswith(", 1 warning\n")


@pytest.mark.parametrize("to,warning", [
    ("{}", "this is a directory"), ("{}/gone/access.log", "there is no directory"), ("{}/access.log", None),
    ("/var/log/sluice/access.log", None)])
def test_check_warns_of_a_log_that_cannot_be_written(tmp_path, to, warning):
    path = tmp_path / "rules.toml"
    path.write_text('[log]\nto = "%s"\n' % to.format(tmp_path))
    done = run("check", "-c", path)
    assert done.returncode == 0
    assert (done.stderr == b"") if warning is None else (warning in done.stderr.decode() and b"warning: log.to" in done.stderr)
