"""S18: `sluice ca init`, `show` and `export`, judged by openssl. Needs no network.

    sluice ca init  ->  ca.pem, ca.key  ->  openssl signs and verifies with them
"""

import os
import re
import stat
import subprocess

import pytest

from lab import BINARY

pytestmark = pytest.mark.no_daemon


def run(*args, **kwargs):
    return subprocess.run([str(a) for a in args], capture_output=True, timeout=60, **kwargs)


def ok(*args, **kwargs):
    done = run(*args, **kwargs)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


class Ca:
    def __init__(self, directory):
        self.cert, self.key = directory / "ca.pem", directory / "ca.key"

    def init(self, *args):
        return run(BINARY, "ca", "init", "--cert", self.cert, "--key", self.key, *args)

    def show(self):
        return run(BINARY, "ca", "show", "--cert", self.cert, "--key", self.key)

    def text(self):
        return ok("openssl", "x509", "-noout", "-text", "-in", self.cert)

    def sign(self, directory, names):
        """A server's certificate for these, by openssl."""
        (directory / "san").write_text(f"subjectAltName={names}\n")
        ok("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=x",
           "-keyout", directory / "leaf.key", "-out", directory / "leaf.csr")
        ok("openssl", "x509", "-req", "-in", directory / "leaf.csr", "-CA", self.cert, "-CAkey", self.key, "-days", "1",
           "-extfile", directory / "san", "-out", directory / "leaf.pem")
        return run("openssl", "verify", "-x509_strict", "-CAfile", self.cert, directory / "leaf.pem").returncode == 0


@pytest.fixture
def ca(tmp_path):
    return Ca(tmp_path)


def test_init_makes_a_ca_that_openssl_signs_and_verifies_with(ca, tmp_path):
    done = ca.init()
    assert done.returncode == 0, done.stderr
    assert b"ca_cert = " in done.stdout and b"ca_key = " in done.stdout
    assert b"PRIVATE KEY-----" not in done.stdout + done.stderr
    assert stat.S_IMODE(ca.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(ca.cert.stat().st_mode) == 0o644
    assert "ASN1 OID: prime256v1" in ok("openssl", "pkey", "-in", ca.key, "-noout", "-text")
    text = ca.text()
    for part in ("CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "Subject Key Identifier", "ecdsa-with-SHA256"):
        assert part in text, text
    assert "Name Constraints" not in text
    assert ok("openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", ca.cert, ca.cert)
    assert ca.sign(tmp_path, "DNS:www.example.com,IP:192.0.2.1")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("ca")) == ["ca.key", "ca.pem"]


def test_init_prints_absolute_names_and_the_right_command(tmp_path):
    done = run(BINARY, "ca", "init", "--cert", "ca.pem", "--key", "./ca.key", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert f'ca_cert = "{tmp_path}/ca.pem"\n' in text and f'ca_key = "{tmp_path}/ca.key"\n' in text
    assert "'sluice ca export --cert ca.pem --for all'" in text
    done = run(BINARY, "ca", "export", "--cert", "my ca.pem", "--for", "all", cwd=tmp_path)
    commands = re.findall(r"sluice ca export.*", done.stdout.decode())
    assert len(commands) > 9 and all(command.startswith("sluice ca export --cert 'my ca.pem' ") for command in commands)


def test_one_file_cannot_be_both(tmp_path):
    done = run(BINARY, "ca", "init", "--cert", tmp_path / "ca.pem", "--key", tmp_path / "x" / ".." / "ca.pem")
    assert done.returncode == 2 and b"the same file" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(ca, umask):
    done = run(BINARY, "ca", "init", "--cert", ca.cert, "--key", ca.key, umask=umask)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(ca.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(ca.cert.stat().st_mode) == 0o644


def test_init_takes_name_organization_and_days(ca):
    assert ca.init("--name", "Žltý CA", "--organization", "Example, Ltd", "--days", "30").returncode == 0
    subject = ok("openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253,utf8,-esc_msb", "-in", ca.cert)
    assert subject == "subject=CN=Žltý CA,O=Example\\, Ltd\n"
    assert run("openssl", "x509", "-noout", "-checkend", str(29 * 86400), "-in", ca.cert).returncode == 0
    assert run("openssl", "x509", "-noout", "-checkend", str(31 * 86400), "-in", ca.cert).returncode == 1


@pytest.mark.parametrize("only_for, good, bad", [
    (["example.com"], ["DNS:example.com", "DNS:a.b.example.com"], ["DNS:example.org", "IP:192.0.2.1", "IP:2001:db8::1"]),
    (["192.0.2.0/24"], ["IP:192.0.2.77"], ["IP:192.0.3.1", "DNS:example.com", "IP:2001:db8::1"]),
    (["*.Example.com", "2001:db8::/32"], ["DNS:x.example.com", "IP:2001:db8::1"], ["DNS:example.net", "IP:192.0.2.1"]),
])
def test_only_for_binds_the_ca(ca, tmp_path, only_for, good, bad):
    assert ca.init(*(word for name in only_for for word in ("--only-for", name))).returncode == 0
    assert "Name Constraints: critical" in ca.text()
    for names in good:
        assert ca.sign(tmp_path, names), names
    for names in bad:
        assert not ca.sign(tmp_path, names), names


@pytest.mark.parametrize("there", ["ca.pem", "ca.key"])
def test_init_never_overwrites(ca, tmp_path, there):
    (tmp_path / there).write_text("precious")
    done = ca.init()
    assert done.returncode == 1
    assert f"{there}: exists already".encode() in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_init_leaves_no_half_of_a_ca(ca, tmp_path):
    ca.cert = tmp_path / "missing" / "ca.pem"
    done = ca.init()
    assert done.returncode == 1
    assert b"missing/ca.pem: cannot create it: No such file or directory" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("args", [["--days", "0"], ["--days", "x"], ["--name", ""], ["--name", "x" * 65], ["--only-for", "a b"],
                                  ["--only-for", "192.0.2.1/24"], ["--only-for", ""], ["--frobnicate"]])
def test_wrong_options_are_exit_code_2_and_make_nothing(ca, tmp_path, args):
    done = ca.init(*args)
    assert done.returncode == 2, done.stdout
    assert list(tmp_path.iterdir()) == []


def test_show_says_what_openssl_says(ca):
    assert ca.init("--name", "Shown").returncode == 0
    shown = ca.show()
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout.decode()
    fingerprint = ok("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", ca.cert).split("=")[1].strip()
    for part in ("CN=Shown", fingerprint, "EC P-256", "days left", str(ca.cert), str(ca.key)):
        assert part in text, text


def test_show_names_file_and_fault(ca):
    done = ca.show()
    assert done.returncode == 1
    assert f"{ca.cert}: cannot read it: No such file or directory".encode() in done.stderr
    assert ca.init().returncode == 0
    ca.key.chmod(0o644)
    done = ca.show()
    assert done.returncode == 1
    assert f"{ca.key}: everybody on this machine can read or change the private key; its mode is 0644".encode() in done.stderr
    assert b"CN=Sluice CA of" in done.stdout  # the certificate can be looked at all the same
    ca.key.unlink()
    ok("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", ca.key)
    ca.key.chmod(0o600)
    assert b"the private key does not belong to" in ca.show().stderr


def test_export_gives_the_certificate_and_never_the_key(ca, tmp_path):
    assert ca.init().returncode == 0
    with open(ca.cert, "ab") as both:  # a file with both in it
        both.write(ca.key.read_bytes())
    pem = ok(BINARY, "ca", "export", "--cert", ca.cert)
    assert pem.count("-----BEGIN ") == 1 and ca.cert.read_text().startswith(pem)
    out = tmp_path / "out.cer"
    assert ok(BINARY, "ca", "export", "--cert", ca.cert, "--format", "der", "--out", out) == ""
    assert ok("openssl", "x509", "-inform", "DER", "-in", out) == pem
    done = run(BINARY, "ca", "export", "--cert", ca.cert, "--out", out)
    assert done.returncode == 1 and b"exists already" in done.stderr


def test_export_of_an_intermediate_gives_the_root(ca, tmp_path):
    top, below = Ca(tmp_path), tmp_path / "both.pem"
    assert top.init("--name", "Top").returncode == 0
    ok("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Below", "-keyout", tmp_path / "b.key", "-out",
       tmp_path / "b.csr")
    (tmp_path / "ext").write_text("basicConstraints=critical,CA:TRUE\n")
    below.write_text(ok("openssl", "x509", "-req", "-in", tmp_path / "b.csr", "-CA", top.cert, "-CAkey", top.key, "-days", "9",
                        "-extfile", tmp_path / "ext") + top.cert.read_text())
    assert ok(BINARY, "ca", "export", "--cert", below) == top.cert.read_text()
    # A root of ours has path length 0: it may not have an intermediate below it.
    os.chmod(tmp_path / "b.key", 0o600)
    done = run(BINARY, "ca", "show", "--cert", below, "--key", tmp_path / "b.key")
    assert done.returncode == 1 and b"path length" in done.stderr


def test_export_tells_how_on_each_platform():
    everything = ok(BINARY, "ca", "export", "--for", "all")
    listed = re.search(r"Instructions instead: (.*?)all", " ".join(ok(BINARY, "ca", "export", "--help").split())).group(1)
    platforms = [word.strip() for word in listed.split(",") if word.strip()]
    assert {"windows", "macos", "ios", "android", "debian", "fedora", "firefox"} <= set(platforms)
    for platform in platforms:
        text = ok(BINARY, "ca", "export", "--for", platform)
        assert "sluice ca export" in text and text in everything
    done = run(BINARY, "ca", "export", "--for", "toaster")
    assert done.returncode == 2 and done.stdout == b""
