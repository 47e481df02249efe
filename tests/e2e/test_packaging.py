"""make install, uninstall and deb, into folders; nothing of this machine is touched. Any program stands in for sluice."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.no_daemon

INSTALLED = {
    "etc/logrotate.d/sluice",
    "etc/sluice/rules.toml",
    "usr/lib/systemd/system/sluice-kernel-setup.service",
    "usr/lib/systemd/system/sluice.service",
    "usr/lib/sysusers.d/sluice.conf",
    "usr/sbin/sluice",
    "usr/sbin/sluice-kernel-setup",
    "usr/share/man/man5/rules.toml.5",
    "usr/share/man/man8/sluice-kernel-setup.8",
    "usr/share/man/man8/sluice.8",
} | {f"usr/share/doc/sluice/{page.name}" for page in (REPO / "docs").glob("*.md")}


def make(build, *argv):
    build.mkdir(exist_ok=True)
    if not (build / "sluice").exists():
        shutil.copy("/bin/true", build / "sluice")
    done = subprocess.run(["make", "-C", REPO, "-o", build / "sluice", f"BUILD={build}", *argv], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_install_keeps_the_configuration_and_uninstall_leaves_only_that(tmp_path):
    root = tmp_path / "root"
    make(tmp_path / "build", "install", f"DESTDIR={root}")
    assert files(root) == INSTALLED
    assert os.access(root / "usr/sbin/sluice-kernel-setup", os.X_OK)
    rules = root / "etc/sluice/rules.toml"
    rules.write_text("# mine\n")
    assert "kept:" in make(tmp_path / "build", "install", f"DESTDIR={root}")
    assert rules.read_text() == "# mine\n"
    assert "left in place" in make(tmp_path / "build", "uninstall", f"DESTDIR={root}")
    assert files(root) == {"etc/sluice/rules.toml"}


def test_units_follow_the_prefix(tmp_path):
    root = tmp_path / "root"
    make(tmp_path / "build", "install", f"DESTDIR={root}", "PREFIX=/usr/local")
    for unit in ("sluice.service", "sluice-kernel-setup.service"):
        text = (root / "usr/local/lib/systemd/system" / unit).read_text()
        commands = re.findall(r"^Exec\w+=(/\S+)", text, re.M)
        assert commands
        assert all(c.startswith("/usr/local/sbin/") or c == "/bin/kill" for c in commands)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_understands_every_line_of_the_units(tmp_path):
    units = [tmp_path / name for name in ("sluice.service", "sluice-kernel-setup.service")]
    for unit in units:  # programs that exist; everything else as shipped
        text = re.sub(r"/usr/sbin/sluice\S*", "/bin/true", (REPO / "systemd" / unit.name).read_text())
        unit.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], text=True, capture_output=True, check=False)
    assert [line for line in done.stderr.splitlines() if "sluice" in line] == []


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
def test_deb(tmp_path):
    build = tmp_path / "build"
    make(build, "deb")
    [deb] = build.glob("sluice_*.deb")
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tmp_path / "out"], check=True)
    out = tmp_path / "out"
    control = (out / "DEBIAN/control").read_text()
    depends = re.search(r"^Depends: (.*)$", control, re.M).group(1)
    assert "libc6 (>=" in depends and "nftables" in depends and "iproute2" in depends
    assert "@" not in control.replace("sluice@localhost", "")
    assert (out / "DEBIAN/conffiles").read_text() == "/etc/sluice/rules.toml\n/etc/logrotate.d/sluice\n"
    packed = {re.sub(r"\.gz$", "", name) for name in files(out)}
    assert INSTALLED <= packed
    assert subprocess.run(["md5sum", "-c", "--quiet", "DEBIAN/md5sums"], cwd=out, check=False).returncode == 0
    for script in ("postinst", "prerm", "postrm"):
        assert os.access(out / "DEBIAN" / script, os.X_OK)
        assert subprocess.run(["sh", "-n", out / "DEBIAN" / script], check=False).returncode == 0


def test_installing_never_starts_or_enables_anything():
    text = (REPO / "packaging/debian/postinst").read_text()
    text = re.sub(r"^\s*echo .*$", "", text, flags=re.M)  # what it advises
    assert not re.search(r"systemctl (--\S+ )*(enable|start|restart)\b", text)
