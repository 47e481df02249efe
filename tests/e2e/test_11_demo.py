"""`make demo` does what it promises: it ends well, and leaves nothing behind, also when it is interrupted.

    demo/run makes its own three namespaces: client ── gateway ── origin
"""

import os
import pathlib
import re
import signal
import subprocess
import tempfile

import pytest
from lab import BINARY, REPO, deadline_s, run, wait_until

DEMO = REPO / "demo" / "run"


def start_demo(folder):
    """In a session of its own, so that a signal to the group is what Ctrl-C in a terminal is."""
    return subprocess.Popen([DEMO], env={**os.environ, "SLUICE_BIN": str(BINARY), "TMPDIR": str(folder)}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def left_behind(process, folder):
    namespaces = [line for line in run("ip", "netns", "list").stdout.splitlines() if f"-demo-{process.pid}-" in line]
    etc = [str(path) for path in pathlib.Path("/etc/netns").glob(f"*-demo-{process.pid}-*")]
    return namespaces + etc + [str(path) for path in pathlib.Path(folder).iterdir()]


@pytest.fixture
def folder():
    """A temporary folder that every user can enter (pytest's own are root's alone)."""
    with tempfile.TemporaryDirectory(prefix="sluice-e2e-demo-") as name:
        os.chmod(name, 0o755)
        yield name


def test_the_demo_ends_as_expected(folder):
    process = start_demo(folder)
    output, _ = process.communicate(timeout=deadline_s(60))
    assert process.returncode == 0, output
    good = re.findall(r"^  ok  (IPv4 IPv6|IPv4|IPv6)  ", output, re.M)
    assert len(" ".join(good).split()) == 2 * 28, output  # each case over both
    for line in (r"decrypted +200 .* Gateway CA +bump ",
                 r"asks inside for another host +421 .* Gateway CA +bump .* finished",
                 r"the client trusts only its own CA .* ok +client_rejected_certificate",
                 r"the origin wants a client certificate +200 .* Internet CA +tunnel +client_cert",
                 r'unknown CA: "untrusted" .* bump +- +untrusted +client_rejected_certificate',
                 r'expired: "page" +502 .* Gateway CA .* expired +origin_cert_invalid',
                 r'wrong name: "terminate" +connection reset .* name_mismatch +origin_cert_invalid',
                 r'self-signed: "tunnel" +200 .* nas\.office\.example +tunnel +invalid_origin',
                 r'not yet valid: "allow" +200 .* Gateway CA +bump .* not_yet_valid +finished',
                 r"GET https://wiki\.office\.example/search\?q=owls +200 allow",
                 r"GET http://www\.shop\.example/offers\?today +200 allow",
                 r"a program, by what is in it +403 .* allow",
                 r"redirected +302 Go to",
                 r"HTTPS: the connection is blocked +connection reset .* no trackers +rule_block",
                 r"HTTPS: with a page +403 .* Gateway CA +bump",
                 r"a listed page +403 .*",
                 r"a listed host, over HTTPS +connection reset .* phishing +threat_block",
                 r"a listed directory of a site that may be read +403 .* Gateway CA +bump",
                 r"blocked: a bare close +Proxy CONNECT aborted .* explicit +block +rule_block",
                 r"GET http://www\.shop\.example/holiday\.jpg +403 block +\(no programs\)",
                 r"GET http://pixel\.tracker\.example/p\.gif +403 block +\(no trackers\)"):
        assert re.search(rf"^ .* {line}", output, re.M), f"{line}\n{output}"
    assert left_behind(process, folder) == []


@pytest.mark.parametrize("moment", ["three namespaces", "the origin: nginx", "sluice ca init", "the client asks"])
def test_ctrl_c_leaves_nothing_behind(folder, moment):
    process = start_demo(folder)
    seen = []

    def reached():
        seen.append(process.stdout.readline())
        assert seen[-1], "".join(seen)
        return moment in seen[-1]

    wait_until(reached, moment)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=deadline_s(30))
    assert process.returncode == 130, output
    assert left_behind(process, folder) == []
