"""The bench's network: three namespaces in a row, made anew for every run and removed at its end.

    benchc (clients)              benchg (gateway)               bencho (origin)
    10.71.1.2 … .9  lan ------- lan 10.71.1.1   wan 10.71.2.1 ------- wan  10.71.2.2 … .17
                              TPROXY of TCP 443, 8443 … 8445 to the peer's port

Several addresses at the origin, so that ports in TIME_WAIT never run out. Nothing here touches the host's own network.
"""

import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

CLIENT, GATEWAY, ORIGIN = "benchc", "benchg", "bencho"
FIRST_TPROXY_PORT = 12345
SQUID_FORWARD_PORT = 3128  # it insists on one
ORIGIN_ADDRESSES = 16
TLS_PORT = 8443  # real TLS, by nginx, with session tickets; 443 is the scripted origin
FULL_TLS_PORT = 8444  # the same, every handshake a full one
TLS12_PORT = 8445  # TLS 1.2 only, with tickets
NAMES = [f"o{i}.bench.example" for i in range(ORIGIN_ADDRESSES)]
BLOCKED = "www.blocked.example"
LOCK_PATH = "/run/lock/sluice-bench.lock"

# Replaced as a whole when another peer's turn comes. The divert rule first, so that packets of accepted connections
# skip the tproxy rule; the same for every peer.
RULES = """
table inet bench
delete table inet bench
table inet bench {{
  chain intercept {{
    type filter hook prerouting priority mangle; policy accept;
    iifname "lan" meta l4proto tcp socket transparent 1 socket wildcard 0 meta mark set 1 accept
    iifname "lan" meta nfproto ipv4 tcp dport {{ 443, 8443-8445 }} tproxy ip to :{port} meta mark set 1 accept
  }}
}}
"""
NO_RULES = """
table inet bench
delete table inet bench
"""

# Bigger queues and port ranges than the defaults, so that no measure runs into them. The same in all namespaces.
SYSCTLS = {
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
    "net.ipv4.ip_local_port_range": "1024 65535",
    "net.ipv4.tcp_tw_reuse": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}


# The gateways' own ports are no source ports: a connection to an origin that has left one in TIME_WAIT keeps a listener from
# it for a minute, and a bench makes so many connections that every port gets its turn.
GATEWAY_SYSCTLS = {"net.ipv4.ip_local_reserved_ports": f"{SQUID_FORWARD_PORT},{FIRST_TPROXY_PORT}-{FIRST_TPROXY_PORT + 31}"}

# One key exchange and one cipher, so that every gateway does the same work towards it. It tells in X-Origin how its
# handshake with the gateway went ("r": resumed), which the client cannot see.
ORIGIN_NGINX = """
daemon off;
user root;
worker_processes 1;
pid {dir}/origin.pid;
error_log {dir}/origin-error.log;
events {{ worker_connections 32768; }}
http {{
  access_log off;
  sendfile on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  ssl_certificate {dir}/origin.pem;
  ssl_certificate_key {dir}/origin.key;
  ssl_ecdh_curve X25519:prime256v1;
  ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  server {{
    listen 0.0.0.0:8443 ssl;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets on;
    ssl_session_cache shared:origin:4m;
    include {dir}/locations.conf;
  }}
  server {{
    listen 0.0.0.0:8444 ssl;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets off;
    ssl_session_cache off;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_conf_command NumTickets 0;
    include {dir}/locations.conf;
  }}
  server {{
    listen 0.0.0.0:8445 ssl;
    ssl_protocols TLSv1.2;
    ssl_session_tickets on;
    ssl_session_cache shared:origin12:4m;
    include {dir}/locations.conf;
  }}
}}
"""
ORIGIN_LOCATIONS = """
location / {{ return 200 "{kilobyte}"; }}
location = /tiny {{ add_header X-Origin "$ssl_session_reused $ssl_protocol $ssl_cipher"; return 200 "ok"; }}
location = /big {{ alias {dir}/big; }}
"""
BIG_BYTES = 64 << 20


class BenchError(Exception):
    """Something in the lab does not work; the text says what."""


def origin_address(index):
    return f"10.71.2.{2 + index}"


def run(*command, text_in=None, check=True):
    done = subprocess.run(command, input=text_in, text=True, capture_output=True)
    if check and done.returncode != 0:
        raise BenchError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def make_certificate(path):
    """A self-signed P-256 certificate: path.pem and path.key."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=bench", "-keyout", f"{path}.key", "-out", f"{path}.pem")


def make_key(path):
    """A P-256 key."""
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)


def make_pki(scratch):
    """root.pem; origin.pem and .key: a leaf for all NAMES with its intermediate; bump-ca.pem and .key: the CA that every
    bumping gateway signs with. All P-256, as sites and CAs have it today."""

    def root(name, subject):
        make_key(f"{scratch}/{name}.key")
        run("openssl", "req", "-x509", "-new", "-key", f"{scratch}/{name}.key", "-sha256", "-days", "30", "-subj", subject,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", f"{scratch}/{name}.pem")

    def signed(name, subject, issuer, extensions):
        make_key(f"{scratch}/{name}.key")
        (pathlib.Path(scratch) / f"{name}.ext").write_text(extensions)
        request = run("openssl", "req", "-new", "-key", f"{scratch}/{name}.key", "-subj", subject)
        run("openssl", "x509", "-req", "-sha256", "-days", "20", "-CA", f"{scratch}/{issuer}.pem", "-CAkey",
            f"{scratch}/{issuer}.key", "-CAcreateserial", "-extfile", f"{scratch}/{name}.ext", "-out",
            f"{scratch}/{name}.pem", text_in=request)

    root("bump-ca", "/O=Bench/CN=Bench gateway CA")
    root("root", "/O=Bench/CN=Bench origins root")
    signed("intermediate", "/O=Bench/CN=Bench origins intermediate", "root",
           "basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
           "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    names = ",".join(f"DNS:{name}" for name in NAMES)
    signed("origin", f"/CN={NAMES[0]}", "intermediate",
           "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
           f"subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nsubjectAltName={names}\n")
    with open(f"{scratch}/origin.pem", "a") as chain:
        chain.write((pathlib.Path(scratch) / "intermediate.pem").read_text())


def spawn(namespace, command, cpus=None, **options):
    """Starts a program in a namespace. `cpus`: the CPUs it may use, or None for all."""

    def before():
        os.setpgid(0, 0)  # Ctrl-C reaches the driver alone, which then stops the others
        if cpus:
            os.sched_setaffinity(0, cpus)

    return subprocess.Popen(["ip", "netns", "exec", namespace, *command], preexec_fn=before, **options)


def stop(process, patience_s=5):
    """Ends a program that spawn() started, with all that it started itself, and returns when all of them have gone."""
    everybody = family(process.pid) if process.poll() is None else []
    if everybody:
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    wait_until(lambda: not any(is_running(pid) for pid in everybody), f"the end of {' '.join(process.args)}")


def wait_until(condition, what, patience_s=20):
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"waited {patience_s} s for {what}")
        time.sleep(0.01)


def is_running(pid):
    """A zombie, which only waits for its parent to look, has closed everything."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_free(namespace, ports):
    """Until nobody in the namespace listens on any of these ports."""
    listening = [f"sport = :{port}" for port in ports]
    wait_until(lambda: not run("ip", "netns", "exec", namespace, "ss", "-Hlnt", " or ".join(listening)).strip(),
               f"ports {', '.join(map(str, ports))} in {namespace}")


def family(pid):
    """A process with all its descendants."""
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            queue += map(int, task.read_text().split())
    return found


def softirq_threads():
    """When a CPU has too much network work in interrupts, ksoftirqd does it; its time belongs to no process."""
    found = []
    for name in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if name.read_text().startswith("ksoftirqd/"):
                found.append(int(name.parent.name))
        except OSError:  # that process has ended
            pass
    return found


class Lab:
    """Owns the namespaces and the origin. A lock keeps two benches from measuring each other."""

    def __init__(self, build, scratch, pins):
        self.load = str(build / "bench_load")
        self.tls_load = str(build / "bench_tls_load")
        self.scratch = scratch
        self.pins = pins  # role -> set of CPUs or None
        self.lock = None
        self.origin = self.tls_origin = None

    def __enter__(self):
        self.lock = open(LOCK_PATH, "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("bench: another bench is running here; waiting for it", file=sys.stderr)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            self.build()
            self.origin = spawn(ORIGIN, [self.load, "origin", "0.0.0.0:443"], self.pins["origin"])
            if shutil.which("nginx"):
                self.start_tls_origin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in (self.origin, self.tls_origin):
            if process:
                stop(process)
        self.remove()
        self.lock.close()

    def build(self):
        self.remove()  # what a killed run may have left
        for namespace in (CLIENT, GATEWAY, ORIGIN):
            run("ip", "netns", "add", namespace)
            for key, value in SYSCTLS.items():
                self.sysctl(namespace, key, value)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        for key, value in GATEWAY_SYSCTLS.items():
            self.sysctl(GATEWAY, key, value)
        self.link(CLIENT, "lan", [f"10.71.1.{i}/24" for i in range(2, 10)], "10.71.1.1/24")
        self.link(ORIGIN, "wan", [f"10.71.2.{2 + i}/24" for i in range(ORIGIN_ADDRESSES)], "10.71.2.1/24")
        run("ip", "-n", CLIENT, "route", "add", "default", "via", "10.71.1.1")
        run("ip", "-n", ORIGIN, "route", "add", "default", "via", "10.71.2.1")
        run("ip", "-n", GATEWAY, "rule", "add", "fwmark", "1", "lookup", "100")
        run("ip", "-n", GATEWAY, "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100")

    def link(self, namespace, name, addresses, gateway_address):
        run("ip", "-n", namespace, "link", "add", name, "type", "veth", "peer", "name", name, "netns", GATEWAY)
        for address in addresses:
            run("ip", "-n", namespace, "address", "add", address, "dev", name)
        run("ip", "-n", GATEWAY, "address", "add", gateway_address, "dev", name)
        run("ip", "-n", namespace, "link", "set", name, "up")
        run("ip", "-n", GATEWAY, "link", "set", name, "up")

    def sysctl(self, namespace, key, value):
        run("ip", "netns", "exec", namespace, "sysctl", "-qw", f"{key}={value}")

    def remove(self):
        for namespace in (CLIENT, GATEWAY, ORIGIN):
            run("ip", "netns", "delete", namespace, check=False)

    def start_tls_origin(self):
        """make_pki() must have made its certificate."""
        directory = pathlib.Path(self.scratch)
        with open(directory / "big", "wb") as big:
            big.truncate(BIG_BYTES)
        (directory / "locations.conf").write_text(ORIGIN_LOCATIONS.format(dir=self.scratch, kilobyte="x" * 1024))
        config = f"{self.scratch}/origin.conf"
        with open(config, "w") as out:
            out.write(ORIGIN_NGINX.format(dir=self.scratch))
        self.tls_origin = spawn(ORIGIN, ["nginx", "-p", self.scratch, "-c", config], self.pins["origin"],
                                stderr=subprocess.DEVNULL)  # it warns of a log path that it does not use

    def redirect(self, port):
        """To a port: TCP 443 and 8443 to 8445 go there and nothing is forwarded, so a peer that does not answer is seen at once.
        To None: the router forwards."""
        self.sysctl(GATEWAY, "net.ipv4.ip_forward", "1" if port is None else "0")
        run("ip", "netns", "exec", GATEWAY, "nft", "-f", "-",
            text_in=NO_RULES if port is None else RULES.format(port=port))

    def beside(self):
        """Process ids of what works in the lab beside gateway and client: the origins, and the kernel's softirq threads."""
        return [*(pid for origin in (self.origin, self.tls_origin) if origin for pid in family(origin.pid)),
                *softirq_threads()]

    def client(self, *arguments, **options):
        return spawn(CLIENT, [self.load, *map(str, arguments)], self.pins["client"], stdout=subprocess.PIPE,
                     text=True, **options)

    def tls_client(self, *arguments, **options):
        return spawn(CLIENT, [self.tls_load, *map(str, arguments)], self.pins["client"], stdout=subprocess.PIPE,
                     text=True, **options)
