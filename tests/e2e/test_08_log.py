"""S35: what the access log says, in each format, whatever bytes a client sends, and however slow its reader is.

    client ── hostile SNI and ALPN ── gateway ── origin
                                        └── access log: file, stdout, a FIFO that nobody reads
"""

import contextlib
import datetime
import json
import os
import re
import stat
import threading
import time

import hello
import pytest
from lab import V4, Lab, access_rule, check_record, endpoint_text, tls_rule, wait_until
from peers import assert_ends_in_order, assert_passes

HELLO = hello.client_hello("www.example.com")


def one_connection(connect, listen, version, first=HELLO, down=b"answer"):
    origin = listen(version)
    client = connect(version, origin.address)
    served = assert_passes(origin, client, first)
    assert_ends_in_order(client, served)
    return client, origin


def test_S35_the_exact_keys_of_a_tunnelled_connection(start, version, listen, connect):
    daemon = start(tls_rule("examples", "tunnel-sni", {"host": ".example.com"}) +
                   access_rule("everybody", "allow", {"client": Lab.CLIENT_NET[version]}))
    begun = datetime.datetime.now(datetime.timezone.utc)
    client, origin = one_connection(connect, listen, version)
    record = daemon.record_of(client)
    assert record.pop("interface", "lan0") == "lan0"
    assert {k: v for k, v in record.items() if k not in ("time", "id") and not k.startswith("ms.")} == {
        "type": "connection", "mode": "transparent",
        "client": endpoint_text(Lab.CLIENT[version], client.port), "destination": endpoint_text(origin.address, 443),
        "sni": "www.example.com", "host": "www.example.com", "alpn": "h2,http/1.1", "tls_version": "1.3",
        "ja4": hello.ja4(HELLO), "ech": False, "action": "tunnel-sni", "tls_rule": "examples",
        "access_rule": "everybody", "bytes_up": len(HELLO), "bytes_down": 6, "scan": "skipped", "reason": "tunnel",
        "close": "finished", "close_side": "none"}
    assert {k for k in record if k.startswith("ms.")} == {"ms.peek", "ms.connect", "ms.total"}
    assert record["ms.peek"] <= record["ms.total"] and record["ms.connect"] <= record["ms.total"]
    written = datetime.datetime.fromisoformat(record["time"].replace("Z", "+00:00"))
    assert begun - datetime.timedelta(seconds=1) <= written <= datetime.datetime.now(datetime.timezone.utc)


def test_S35_after_a_long_idle_wait_the_time_is_that_of_the_connection(start, version, listen, connect):
    """The daemon reads the clock once a round: when it has waited, before it looks at what came. Rules with a schedule
    ask the same reading."""
    daemon = start()
    origin = listen(version)
    idle_until = time.monotonic() + 2.2
    wait_until(lambda: time.monotonic() >= idle_until, "a while in which nothing happens")
    begun = datetime.datetime.now(datetime.timezone.utc)
    client = connect(version, origin.address)
    assert_ends_in_order(client, assert_passes(origin, client, HELLO))
    accepted = datetime.datetime.fromisoformat(daemon.record_of(client)["time"].replace("Z", "+00:00"))
    assert begun - datetime.timedelta(milliseconds=100) <= accepted <= datetime.datetime.now(datetime.timezone.utc)


def test_S35_one_record_per_connection_each_with_an_id_of_its_own(start, version, listen, connect):
    daemon = start()
    ports = [one_connection(connect, listen, version)[0].port for _ in range(20)]
    records = [daemon.record_of(port) for port in ports]
    assert len({r["id"] for r in records}) == 20
    assert len(daemon.records()) == 20


HOSTILE = {
    "quotes": b'a".example\\',
    "a second line": b'x.example\n{"type":"connection","action":"tunnel"}',
    "not UTF-8": b"\xff\xfe\x80.example",
    "half a character": b"caf\xc3",
    "controls": b"\x00\x01\x1b[31mred\x7f.example",
    "direction marks": "\u202eelpmaxe.live".encode(),
    "line separator": "a\u2028b.example".encode(),
    "surrogate": b"\xed\xa0\x80.example",
    "very long": b"a" * 4000,
    "cef and key=value": b"a|b=c d\\n act=allow.example",
}


@pytest.mark.parametrize("field", ["sni", "alpn"])
@pytest.mark.parametrize("kind", HOSTILE, ids=lambda k: k.replace(" ", "-"))
def test_S35_hostile_names_stay_inside_their_field(start, version, listen, connect, field, kind):
    """Whatever is done with the connection, it leaves one line, and the line is JSON with its fields in place."""
    text = HOSTILE[kind]
    daemon = start(tls={"non_tls": "terminate"})
    origin = listen(version).serve(lambda peer: peer.receive_all())
    client = connect(version, origin.address)
    client.send(hello.client_hello(text if field == "sni" else "www.example.com",
                                   alpn=(text[:255], b"h2") if field == "alpn" else ("h2",)))
    with contextlib.suppress(OSError):
        client.finish()
    client.ending()  # a name like that may be refused, or let through; the log is what this test is about
    record = daemon.record_of(client)
    assert len(daemon.lines()) == 1
    raw = daemon.log.read_bytes()
    raw.decode("utf-8")  # strict
    assert raw.count(b"\n") == 1 and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", raw)
    assert "\u202e" not in raw.decode() and "\u2028" not in raw.decode()
    if field == "alpn":
        assert record["sni"] == "www.example.com"
        assert "alpn" in record
    assert record["action"] in ("tunnel-sni", "terminate") if "action" in record else record["close_side"] == "client"


def parse_key_value(line):
    """key=value, values in quotes with backslash escapes when they need it."""
    fields, at = {}, 0
    pattern = re.compile(r'([a-z0-9_.]+)=(?:"((?:[^"\\]|\\.)*)"|([^ "]*))(?: |$)')
    while at < len(line):
        match = pattern.match(line, at)
        assert match, f"not key=value at {line[at:]!r}"
        assert match.group(1) not in fields
        fields[match.group(1)] = match.group(2) if match.group(2) is not None else match.group(3)
        at = match.end()
    return fields


def parse_cef(line):
    """Common Event Format 25: seven header fields separated by unescaped |, then key=value with \\= and \\\\."""
    parts = re.split(r"(?<!\\)\|", line[line.index("CEF:"):], maxsplit=7)
    assert len(parts) == 8, line
    assert re.fullmatch(r"CEF:[01]", parts[0])
    assert re.fullmatch(r"\d+|Low|Medium|High|Very-High|Unknown", parts[6])
    extension, fields = parts[7], {}
    keys = list(re.finditer(r"(?:^| )([A-Za-z0-9_.]+)(?<!\\)=", extension))
    for found, following in zip(keys, [*keys[1:], None]):
        fields[found.group(1)] = extension[found.end():following.start() if following else None]
    return parts[:7], fields


def wait_for_lines(path, count):
    def complete():
        return path.exists() and path.read_text().count("\n") >= count
    wait_until(complete, f"{count} lines in {path}")
    return path.read_text().splitlines()


@pytest.mark.parametrize("alpn", ["h2", b'sp ace"|=\\\n'], ids=["plain", "hostile"])
def test_S35_key_value(start, version, listen, connect, alpn):
    daemon = start(log={"format": "kv"}, log_format="key_value")
    client, origin = one_connection(connect, listen, version, hello.client_hello("www.example.com", alpn=(alpn,)))
    lines = wait_for_lines(daemon.log, 1)
    assert len(lines) == 1
    fields = parse_key_value(lines[0])
    assert fields["client"] == endpoint_text(Lab.CLIENT[version], client.port)
    assert fields["destination"] == endpoint_text(origin.address, 443)
    assert (fields["sni"], fields["action"], fields["close"]) == ("www.example.com", "tunnel-sni", "finished")
    assert fields["bytes_down"] == "6"


@pytest.mark.parametrize("alpn", ["h2", b'sp ace"|=\\\n'], ids=["plain", "hostile"])
def test_S35_cef(start, version, listen, connect, alpn):
    daemon = start(log={"format": "cef"}, log_format="cef")
    client, origin = one_connection(connect, listen, version, hello.client_hello("www.example.com", alpn=(alpn,)))
    lines = wait_for_lines(daemon.log, 1)
    assert len(lines) == 1
    header, fields = parse_cef(lines[0])
    assert "luice" in header[1] + header[2]
    values = set(fields.values())
    assert Lab.CLIENT[version] in values and str(client.port) in values
    assert origin.address in values and "443" in values
    assert "www.example.com" in values
    assert fields["act"] == "tunnel-sni"


def test_S35_to_stdout(start, version, listen, connect):
    daemon = start(log={"to": "stdout"})
    client, _ = one_connection(connect, listen, version)
    lines = wait_for_lines(daemon.stdout, 1)
    assert check_record(lines[0])["client"] == str(client)
    assert not daemon.log.exists()


def test_S35_the_log_file_can_be_rotated(start, version, listen, connect):
    """mv, then SIGHUP: new lines go to a new file of the old name, and none is lost."""
    daemon = start()
    first, _ = one_connection(connect, listen, version)
    daemon.record_of(first)
    old = daemon.log.rename(daemon.folder / "access.log.1")
    daemon.reload(daemon.config)
    second, _ = one_connection(connect, listen, version)
    daemon.record_of(second)
    assert len(old.read_text().splitlines()) == 1
    assert len(daemon.lines()) == 1
    assert stat.S_IMODE(daemon.log.stat().st_mode) & 0o007 == 0, "names of visited sites are not for everybody"


def test_S35_the_log_file_can_be_rotated_while_rules_toml_has_an_error(start, listen, connect):
    daemon = start()
    first, _ = one_connection(connect, listen, V4)
    daemon.record_of(first)
    old = daemon.log.rename(daemon.folder / "access.log.1")
    daemon.reload("[gateway]\nlan = 1\n")
    assert "the rules that were running stay" in daemon.errors()
    second, _ = one_connection(connect, listen, V4)
    daemon.record_of(second)
    assert (len(old.read_text().splitlines()), len(daemon.lines())) == (1, 1)


def test_S35_lines_for_which_the_disk_has_no_room_are_counted_and_announced_once(start, version, listen, connect):
    daemon = start(log={"to": "/dev/full"})
    for number in (1, 2):
        one_connection(connect, listen, version)
        wait_until(lambda: daemon.counters().get("log_lines_lost") == number, lambda: f"a lost line: {daemon.tail()}")
        counters = daemon.counters()
        assert (counters["connections_open"], counters["log_lines"], counters.get("log_drops")) == (0, number, None)
    assert daemon.errors().count("the access log cannot be written: No space left on device") == 1


@pytest.mark.slow
def test_S35_a_log_that_nobody_reads_never_blocks_traffic(start, version, lab, listen, connect):
    """The sink is a FIFO whose reader sleeps: traffic goes on, lines are dropped and counted, none is torn."""
    fifo = lab.folder / f"fifo-{version}"
    os.mkfifo(fifo)
    fifo.chmod(0o666)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        daemon = start(tls_rule("all", "tunnel"), log={"to": str(fifo)})
        origin = listen(version).serve(lambda peer: peer.send(b"hi"))
        made = 0

        def connections():
            nonlocal made
            for _ in range(500):
                client = connect(version, origin.address)
                assert client.receive(2) == b"hi"
                client.close()
                made += 1
            return log_drops(daemon) > 0

        wait_until(connections, "drops to be counted", 60)
        text, end = b"", threading.Event()

        def everything_came():
            nonlocal text
            try:
                text += os.read(reader, 1 << 20)
            except BlockingIOError:
                pass
            return text.count(b"\n") + log_drops(daemon) >= made

        wait_until(everything_came, lambda: f"{made} lines: read {text.count(b'%c' % 10)}, dropped {log_drops(daemon)}")
        lines = text.decode().split("\n")
        assert lines.pop() == ""
        for line in lines:
            check_record(line)
        assert len(lines) + log_drops(daemon) == made
    finally:
        os.close(reader)


def log_drops(daemon):
    counters = daemon.counters()
    return counters.get("log_drops", 0) + counters.get("log_lines_lost", 0)
