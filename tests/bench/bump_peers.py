"""The gateways that are compared when they bump. All have the same task: take TLS connections from TPROXY, do the handshake
with their original destination, mint a certificate like the origin's with the lab's CA, relay HTTP/1.1, write one line per
connection or request to a file. Beyond that each runs as its packages and its own manual have it.
"""

import os
import pathlib
import re
import shutil
import subprocess
import time

import lab
import peers
from lab import BenchError

# Bumped at step 2, so that the certificate is minted after the origin's.
SQUID_BUMPS = """ssl_bump bump all
tls_outgoing_options cafile={dir}/root.pem
sslcrtd_program {certgen} -s {dir}/certificates -M 4MB"""

SLUICE_BUMP = """
[gateway]
tproxy_port = {port}
tls_ports   = [8443, 8444, 8445]
workers     = {workers}

[tls]
default_action = "tunnel-sni"
ca_cert        = "{scratch}/bump-ca.pem"
ca_key         = "{scratch}/bump-ca.key"
extra_roots    = ["{scratch}/root.pem"]

[[tls.rules]]
name   = "Decrypted names"
when   = {{ host = ".bench.example" }}
action = "bump"

[log]
to = "{dir}/access.log"
"""


# Ten of each kind over both stages, and nothing of what the bench asks for matches one: what every request of a gateway with a
# grown rule table pays.
TRAFFIC_RULES = [
    'when = {{ host = [".news{n}.example", "shop{n}.example"] }}',
    'when = {{ url = ["games{n}.example/play/*", "*/track{n}*.gif"] }}',
    'when = {{ mime = "video/x-kind{n}", method = ["GET", "POST"] }}',
    'when = {{ file_name = ["*.e{n}", "setup{n}*"], direction = "response" }}',
    'when = {{ client = "10.80.{n}.0/24" }}',
    'when = {{ user_agent = "(?i)robot{n}/" }}',
    'when = {{ method = "PURGE{n}", client = "10.0.0.0/8" }}',
    'when = {{ host = ".files{n}.example", file_type = "executable" }}\nexcept = [ {{ client = "10.0.0.7" }} ]',
    'when = {{ schedule = "Mon-Sun 00:00-24:00", destination = "198.51.{n}.0/24" }}',
    'when = {{ port = {port}, host = ".late{n}.example", schedule = "Mon-Fri 08:00-18:00" }}',
]


def traffic_rules(count):
    kinds = len(TRAFFIC_RULES)
    rules = (TRAFFIC_RULES[i % kinds].format(n=i, port=8000 + i) for i in range(count))
    stages = ("bypass", "access")
    return "".join(f"\n[[{stages[i // kinds % 2]}.rules]]\n{rule}\n" for i, rule in enumerate(rules))


class BumpPeer(peers.Peer):
    """One gateway that bumps. `keeps_alive`: whether a connection serves more than one request."""

    keeps_alive = True

    def __init__(self, scratch, port):
        super().__init__(scratch, port)
        self.scratch = pathlib.Path(scratch)

    def wait_until_it_works(self, the_lab, patience_s=20):
        """Until a name is answered under a certificate of the lab's CA: the peer really decrypts."""
        if not the_lab.tls_origin:
            raise BenchError("the bump measures need nginx as their origin")
        deadline = time.monotonic() + patience_s
        while True:
            probe = the_lab.tls_client("check", f"{lab.origin_address(0)}:{lab.FULL_TLS_PORT}", lab.NAMES[0], "/tiny",
                                       self.scratch / "bump-ca.pem")
            said = probe.communicate()[0].strip()
            if said.startswith("ok "):
                self.seen = "with the client " + said.removeprefix("ok ").replace("; origin .", "; with the origin")
                return
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended: {self.last_words()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} does not bump: {said}; {self.last_words()}")
            time.sleep(0.05)


class SSLsplit(BumpPeer):
    """Its https mode, which reads HTTP as the others do, closes every connection after one answer. It has as many threads
    as it likes, and no option for that. By itself it makes an RSA leaf key; it gets a P-256 key, which is what the others
    have (Squid after its CA's) and makes it a third cheaper."""

    name = "sslsplit"
    keeps_alive = False

    def version(self):
        if not shutil.which("sslsplit"):
            return None
        done = subprocess.run(["sslsplit", "-V"], capture_output=True, text=True)
        return (done.stderr + done.stdout).split("\n")[0].split(" (")[0] + ", https mode, P-256 leaf key"

    def prepare(self):
        leaf_key = str(self.dir / "leaf.key")
        lab.make_key(leaf_key)
        return ["sslsplit", "-e", "tproxy", "-K", leaf_key, "-k", str(self.scratch / "bump-ca.key"), "-c",
                str(self.scratch / "bump-ca.pem"), "-l", str(self.dir / "access.log"), "https", "0.0.0.0", str(self.port)]


class SquidBump(BumpPeer):
    name = "squid-bump"
    certgen = "/usr/lib/squid/security_file_certgen"

    def version(self):
        version = peers.Squid.version(self)
        return version and f"{version}, peek and bump" if os.access(self.certgen, os.X_OK) else None

    def prepare(self):
        for name, copy in (("bump-ca.pem", "ca.pem"), ("bump-ca.key", "ca.key"), ("root.pem", "root.pem")):
            shutil.copy(self.scratch / name, self.dir / copy)
        lab.run(self.certgen, "-c", "-s", str(self.dir / "certificates"), "-M", "4MB")
        return peers.write_squid(self, mints="on", decision=SQUID_BUMPS.format(dir=self.dir, certgen=self.certgen))

    def ports(self):
        return peers.Squid.ports(self)


class SluiceBump(BumpPeer):
    name = "sluice-bump"
    workers = 1
    traffic_rules = 0

    def version(self):
        return peers.Sluice.version(peers.Sluice(self.scratch, self.port))

    def refuses(self):
        """What `sluice check` says against the configuration, or None."""
        self.dir.mkdir(parents=True, exist_ok=True)
        config = self.write_config()
        done = subprocess.run([peers.Sluice.binary, "check", "-c", str(config)], capture_output=True, text=True)
        if done.returncode == 0:
            return None
        said = re.sub(r"^\S*rules\.toml:", "", (done.stderr + done.stdout).strip(), flags=re.M)
        return f"it refuses its configuration: {said}"

    def prepare(self):
        return [str(pathlib.Path(peers.Sluice.binary).resolve()), "run", "-c", str(self.write_config())]

    def write_config(self):
        config = self.dir / "rules.toml"
        text = SLUICE_BUMP.format(port=self.port, dir=self.dir, scratch=self.scratch, workers=self.workers)
        config.write_text(text + traffic_rules(self.traffic_rules))
        return config


class SluiceBumpRules(SluiceBump):
    """The same with a table of traffic rules, for what those cost."""

    name = "sluice-bump-rules"
    traffic_rules = 100
    measures = ("bump-requests",)


ALL = [SSLsplit, SquidBump, SluiceBump, SluiceBumpRules]
