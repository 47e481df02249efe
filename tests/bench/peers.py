"""The gateways that are compared as tunnels (those that bump: bump_peers.py). All have the same task: take connections from TPROXY, read the SNI, close those to
names under .blocked.example, pass all others on to their original destination, write one log line per connection
to a file. One worker each. Beyond that each runs as its packages and its own manual have it.
"""

import os
import pathlib
import pwd
import re
import resource
import shutil
import socket
import subprocess
import time

import lab
from lab import BenchError

# With `option splice-auto`, the usual advice, strace shows recv and send only. Forced splicing is far cheaper in bulk
# and can be dearer for small flows. Both are measured, so that each measure has the better HAProxy to compare with.
HAPROXY = """
global
  nbthread 1
  maxconn {connections}
  maxpipes 150
  tune.pipesize 1048576
  log stdout format raw local0
defaults
  mode tcp
  log global
  option tcplog
  {splice}
  timeout connect 10s
  timeout client 1h
  timeout server 1h
frontend tls
  bind 0.0.0.0:{port} transparent
  tcp-request inspect-delay 10s
  tcp-request content reject if {{ req.ssl_sni -i -m end .blocked.example }}
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  tcp-request content reject
  default_backend original_destination
backend original_destination
  server origin 0.0.0.0:0
"""

# nginx has no `listen … transparent`: it inherits a transparent socket through the environment variable NGINX, as it
# does when its binary is upgraded, and then $server_addr is the original destination.
NGINX = """
load_module modules/ngx_stream_module.so;
daemon off;
user root;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
worker_processes 1;
events {{ worker_connections 65536; }}
stream {{
  log_format one_line '$remote_addr [$time_local] $ssl_preread_server_name $upstream_addr $status '
                      '$bytes_sent $bytes_received $session_time';
  access_log {dir}/access.log one_line;
  map $ssl_preread_server_name $target {{
    hostnames;
    .blocked.example "";
    default $server_addr:$server_port;
  }}
  server {{
    listen 0.0.0.0:{port};
    ssl_preread on;
    preread_timeout 10s;
    proxy_connect_timeout 10s;
    proxy_timeout 1h;
    proxy_pass $target;
  }}
}}
"""

# Both Squids, this one and the one that bumps (bump_peers.py). Squid looks every SNI up to compare it with the original
# destination: a hosts file answers, so that no name server is measured. spoof_client_ip is off as no other peer here keeps
# the client's address. peek, so that the SNI is known.
SQUID = """
https_port {port} tproxy ssl-bump generate-host-certificates={mints} tls-cert={dir}/ca.pem tls-key={dir}/ca.key
http_port {forward_port}
spoof_client_ip deny all
acl hello at_step SslBump1
ssl_bump peek hello
{decision}
http_access allow all
hosts_file {dir}/hosts
dns_nameservers 127.0.0.1
cache deny all
cache_mem 8 MB
max_filedescriptors {descriptors}
workers 1
pinger_enable off
cache_log {dir}/cache.log
access_log stdio:{dir}/access.log
pid_filename {dir}/squid.pid
coredump_dir {dir}
cache_effective_user proxy
shutdown_lifetime 0 seconds
"""
SQUID_SPLICES = """acl blocked ssl::server_name .blocked.example
ssl_bump terminate blocked
ssl_bump splice all
sslcrtd_program /bin/false
sslcrtd_children 1 startup=0"""


def write_squid(peer, **how):
    """squid.conf and what it names, for the user that Squid becomes; returns the command line."""
    addresses = map(lab.origin_address, range(lab.ORIGIN_ADDRESSES))
    (peer.dir / "hosts").write_text("".join(f"{a} {n}\n" for a, n in zip(addresses, lab.NAMES)))
    config = peer.dir / "squid.conf"
    config.write_text(SQUID.format(port=peer.port, forward_port=lab.SQUID_FORWARD_PORT, dir=peer.dir,
                                   descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0], **how))
    user = pwd.getpwnam("proxy")
    for path in [peer.dir, *peer.dir.rglob("*")]:
        os.chown(path, user.pw_uid, user.pw_gid)
    return ["squid", "-N", "-f", str(config)]


SLUICE = """
[gateway]
tproxy_port = {port}
tls_ports   = [443, 8443]
workers     = {workers}

[tls]
default_action = "tunnel-sni"

[[tls.rules]]
name   = "Blocked names"
when   = {{ host = ".blocked.example" }}
action = "terminate"

[log]
to = "{dir}/access.log"
"""


class Peer:
    """One gateway under test: started anew in each round, with a port of its own, watched by process id."""

    name = ""
    redirected = True
    measures = None  # names of --what; None: all of its task
    seen = None  # what the start's check learned of the peer, for the report

    def __init__(self, scratch, port):
        self.dir = pathlib.Path(scratch) / self.name
        self.port = port
        self.process = None

    def version(self):
        """A line for the report, or None when the peer is not installed."""
        raise NotImplementedError

    def refuses(self):
        """Why an installed peer cannot take part, or None."""
        return None

    def prepare(self):
        """Writes its configuration; returns the command line."""
        raise NotImplementedError

    def start(self, the_lab):
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        self.select(the_lab)
        self.launch(the_lab)
        self.wait_until_it_works(the_lab)

    def select(self, the_lab):
        """From now on the clients' connections come here."""
        the_lab.redirect(self.port if self.redirected else None)

    def launch(self, the_lab):
        command = self.prepare()
        log = open(self.dir / "stdout.log", "w")
        self.process = lab.spawn(lab.GATEWAY, command, the_lab.pins["gateway"], stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=subprocess.STDOUT)

    def wait_until_it_works(self, the_lab, patience_s=20):
        """Until an allowed name gets through and a blocked one does not: the peer really reads the SNI."""
        expected = {lab.NAMES[0]: "passed", lab.BLOCKED: "closed" if self.redirected else "passed"}
        deadline = time.monotonic() + patience_s
        while True:
            seen = {}
            for sni in expected:
                probe = the_lab.client("check", f"{lab.origin_address(0)}:443", sni)
                seen[sni] = probe.communicate()[0].strip()
            if seen == expected:
                return
            if self.process and self.process.poll() is not None:
                raise BenchError(f"{self.name} ended: {self.last_words()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} does not work as a gateway: {seen}; {self.last_words()}")
            time.sleep(0.05)

    def last_words(self):
        text = ""
        for file in ("stdout.log", "error.log", "cache.log"):
            path = self.dir / file
            text += path.read_text(errors="replace")[-1500:] if path.exists() else ""
        return text.strip() or "it said nothing"

    def ports(self):
        """The ports that its process listens on."""
        return [self.port]

    def stop(self):
        if self.process:
            lab.stop(self.process)
            self.process = None
            lab.wait_until_free(lab.GATEWAY, self.ports())

    def pids(self):
        """The peer's process with all its descendants."""
        return lab.family(self.process.pid) if self.process else []

    def log_lines(self):
        path = self.dir / "access.log"
        return sum(1 for _ in open(path, "rb")) if path.exists() else 0


class NoProxy(Peer):
    name = "none"
    redirected = False

    def version(self):
        return "the router forwards, no rule loaded"

    def launch(self, the_lab):
        pass


class HAProxy(Peer):
    name = "haproxy"
    splice = "option splice-auto"

    def version(self):
        if not shutil.which("haproxy"):
            return None
        return lab.run("haproxy", "-v").split("\n")[0].split(" - ")[0].removesuffix(" ") + ", " + self.splice

    def prepare(self):
        config = self.dir / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=self.port, connections=connections_max(),
                                         splice=self.splice.replace(", ", "\n  ")))
        return ["haproxy", "-db", "-f", str(config)]

    def log_lines(self):
        return sum(1 for _ in open(self.dir / "stdout.log", "rb"))


class HAProxySplice(HAProxy):
    name = "haproxy-splice"
    splice = "option splice-request, option splice-response"


class Nginx(Peer):
    name = "nginx"

    def version(self):
        if not shutil.which("nginx") or not os.path.exists("/usr/lib/nginx/modules/ngx_stream_module.so"):
            return None
        done = subprocess.run(["nginx", "-v"], capture_output=True, text=True)
        return done.stderr.strip().removeprefix("nginx version: ") + " (stream)"

    def launch(self, the_lab):
        config = self.dir / "nginx.conf"
        config.write_text(NGINX.format(port=self.port, dir=self.dir))
        (self.dir / "modules").symlink_to("/usr/lib/nginx/modules")
        log = open(self.dir / "stdout.log", "w")
        listener = self.listener()
        command = ["env", f"NGINX={listener.fileno()};", "nginx", "-p", str(self.dir), "-c", str(config)]
        self.process = lab.spawn(lab.GATEWAY, command, the_lab.pins["gateway"], stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=subprocess.STDOUT, pass_fds=[listener.fileno()])
        listener.close()

    def listener(self):
        """A transparent listening socket, made inside the gateway's namespace."""
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{lab.GATEWAY}") as gateway:
            setns(gateway.fileno())
            try:
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            finally:
                setns(home.fileno())
        ip_transparent = 19  # linux/in.h; not in Python's socket module
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_IP, ip_transparent, 1)
        listener.bind(("0.0.0.0", self.port))
        listener.listen(65535)
        return listener


def setns(fd):
    import ctypes
    clone_newnet = 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, clone_newnet) != 0:
        raise BenchError(f"setns: {os.strerror(ctypes.get_errno())}")


class Squid(Peer):
    name = "squid"

    def version(self):
        binary = shutil.which("squid")
        text = binary and lab.run("squid", "-v")
        # Only the OpenSSL build can peek.
        return text.split("\n")[0].replace("Squid Cache: Version", "Squid") if text and "ssl-crtd" in text else None

    def ports(self):
        return [self.port, lab.SQUID_FORWARD_PORT]

    def prepare(self):
        lab.make_certificate(str(self.dir / "ca"))
        return write_squid(self, mints="off", decision=SQUID_SPLICES)


class Sluice(Peer):
    name = "sluice"
    binary = "build/sluice"
    workers = 1

    def version(self):
        if not os.access(self.binary, os.X_OK):
            return None
        return lab.run(self.binary, "version", check=False).split("\n")[0] or "sluice"

    def prepare(self):
        config = self.dir / "rules.toml"
        config.write_text(SLUICE.format(port=self.port, dir=self.dir, workers=self.workers))
        return [str(pathlib.Path(self.binary).resolve()), "run", "-c", str(config)]


ALL = [NoProxy, HAProxy, HAProxySplice, Nginx, Squid, Sluice]


def memory_kb(pids):
    """Resident and proportional memory of the processes, in KB."""
    rss = pss = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1])
        pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
    return {"rss_kb": rss, "pss_kb": pss}


def raise_descriptor_limit(wanted=65536):
    """What the gateways inherit. Returns what was reached: raising the hard limit needs CAP_SYS_RESOURCE."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted), max(hard, wanted)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def connections_max():
    """Two descriptors per connection; the rest is for HAProxy's pipes, listeners and logs."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(30000, (descriptors - 400) // 2)
