"""The lab itself: before anything is blamed on the gateway, the wires, the peers and the tap are right.

    client 10.1.0.2 ── lan0 ┐
           fd00:1::2        ├─ gateway (no daemon) ── wan0 ── origin 10.10.0.0/16, fd00:10::/64
    guest  10.2.0.2 ── lan1 ┘                                 nginx 10.10.0.1, fd00:10::1
"""

import shutil
import signal
import ssl
import subprocess

import hello
import pytest
from lab import PLAIN_PORT, PLAIN_TLS_PORT, Lab
from peers import tls_get

pytestmark = pytest.mark.no_daemon


def test_forwarding_reaches_the_origin(lab, version, listen, connect):
    origin = listen(version, PLAIN_PORT)
    client = connect(version, origin.address, PLAIN_PORT)
    served = origin.accept()
    assert served.other_end()[0] == Lab.CLIENT[version]
    client.send(b"up").finish()
    assert served.receive_all() == b"up"
    served.send(b"down").close()
    assert client.ending() == ("end", b"down")


def test_a_reset_is_seen_as_a_reset(lab, version, listen, connect):
    origin = listen(version, PLAIN_PORT)
    client = connect(version, origin.address, PLAIN_PORT)
    origin.accept().reset()
    assert client.ending() == ("reset", b"")


def test_the_guest_has_a_wire_of_its_own(lab, version, listen, connect):
    origin = listen(version, PLAIN_PORT)
    connect(version, origin.address, PLAIN_PORT, space=lab.guest)
    assert origin.accept().other_end()[0] == Lab.GUEST[version]


def test_the_tap_sees_every_syn(lab, version, listen, connect, syns):
    origin = listen(version, PLAIN_PORT)
    assert syns.until_now() == []
    connect(version, origin.address, PLAIN_PORT)
    assert (Lab.CLIENT[version], origin.address, PLAIN_PORT) in syns.until_now()


def test_unreachable_and_blackhole(lab, version):
    with pytest.raises(OSError) as caught:
        lab.connect(version, Lab.UNREACHABLE[version], PLAIN_PORT)
    assert not isinstance(caught.value, TimeoutError)
    with pytest.raises(TimeoutError):
        lab.connect(version, Lab.BLACKHOLE[version], PLAIN_PORT, seconds=0.3)


def test_nginx_has_a_certificate_for_each_name(lab, version):
    for name in Lab.NAMES:
        answer = tls_get(lab, version, name, port=PLAIN_TLS_PORT)
        assert answer.body == f"{name} {name} {Lab.CLIENT[version]}\n"
        assert answer.certificate == ssl.PEM_cert_to_DER_cert(lab.certificates[name].read_text())


def test_hand_made_hellos_are_hellos(lab):
    """OpenSSL, as a server, gets as far as its ServerHello with what hello.py makes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lab.certificates["allowed.example"],
                            lab.certificates["allowed.example"].with_suffix(".key"))
    seen = []
    context.sni_callback = lambda tls, name, _: seen.append(name)
    for size in (16384, 1):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(hello.client_hello("made.example", key_shares={0x1D: 32, 0x11EC: 1216}, record_size=size,
                                          versions=(0x0303,), grease=True, ech=True))
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        assert outgoing.read()[0] == 22
    assert seen == ["made.example", "made.example"]


def test_ja4_of_a_published_example():
    """The algorithm check of FoxIO's text: the parts of t13d1516h2_8daaf6152771_… for Chrome's cipher list."""
    ciphers = (0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C, 0x009D,
               0x002F, 0x0035)
    found = hello.ja4(hello.client_hello("x.example", ciphers=ciphers, grease=True))
    assert found.startswith("t13d1507h2_8daaf6152771_")


FAULTS = {
    "address": ("address", "volatile char* p = new char[1]; p[1] = 1;"),
    "leak": ("address", "p = new char[1]; p = nullptr;"),
    "undefined": ("undefined", "volatile int big = 2147483647; big = big + 1;"),
    "thread": ("thread", "std::thread a([] { n = 1; }); n = 2; a.join();"),
}


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
@pytest.mark.parametrize("kind", FAULTS)
def test_no_program_hides_what_a_sanitizer_says(tmp_path, sanitizer_reports, kind):
    """Nobody reads its stderr, and it may be killed before its exit status tells."""
    sanitizer, fault = FAULTS[kind]
    source, program = tmp_path / "fault.cc", tmp_path / "fault"
    then = "printf(\"going on\\n\"); fflush(stdout); if (argc > 1) pause();"
    source.write_text(f"#include <cstdio>\n#include <thread>\n#include <unistd.h>\nvolatile char* p;\nint n;\n"
                      f"int main(int argc, char**) {{ {fault} {then} }}\n")
    subprocess.run(["g++", "-g", "-pthread", f"-fsanitize={sanitizer}", "-o", program, source], check=True)
    command = ["setarch", "--addr-no-randomize", program]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    assert "fault.cc" in sanitizer_reports.take()
    if kind == "thread":  # it goes on after its report, and is killed before it can tell by its exit status
        with subprocess.Popen([*command, "wait"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        assert "fault.cc" in sanitizer_reports.take()
    assert sanitizer_reports.take() == ""
