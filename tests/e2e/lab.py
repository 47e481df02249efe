"""The lab: a client, a guest, a gateway and an origin in network namespaces of their own, real kernel redirection
between them, and the daemon under test.

    client (10.1.0.2, .3)  eth0 ───── lan0 ┐
           (fd00:1::2, ::3)                │             wan0 ───── eth0  origin (10.9.0.2, fd00:9::2)
                                           ├─ gateway ─┤                  every address of 10.10.0.0/16 and
    guest  (10.2.0.2)      eth0 ───── lan1 ┘                              fd00:10::/64 is the origin's own
           (fd00:2::2)

Each run has its own namespaces (their names end in the number of this process), so runs side by side do not meet.
Everything is taken down by `Lab.close()`, also after a failure or Ctrl-C; what a killed run left behind is swept by the
next one. Only the standard library; root is needed.

Environment:
    SLUICE_BIN              the program under test (default: build/sluice)
    SLUICE_DEADLINE_SCALE   multiplies every deadline (default: 1; 4 for sanitizer builds, found by the binary's name)
    SLUICE_E2E_WORKERS      workers of a daemon whose test names no number (default: 1; 2 in a TSan build)
    SLUICE_E2E_KEEP         1: keep the folder with logs and rules after the run
"""

import atexit
import contextlib
import ctypes
import errno
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
KERNEL_SETUP = REPO / "kernel-setup" / "sluice-kernel-setup"
BINARY = pathlib.Path(os.environ.get("SLUICE_BIN") or REPO / "build" / "sluice").resolve()

V4, V6 = 4, 6
TPROXY_PORT = 12345
TLS_PORTS = (443, 8443)  # redirected by the lab's rules
UNBOUND_TLS_PORT = 4443  # and this one, for origins that cannot be told which address to listen on
PLAIN_PORT = 8080        # not redirected: plain forwarding
PLAIN_TLS_PORT = 9443    # nginx listens here too; not redirected

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


SANITIZED = bool({"asan", "tsan", "ubsan"} & set(BINARY.parts))
DEADLINE_SCALE = float(os.environ.get("SLUICE_DEADLINE_SCALE") or (4 if SANITIZED else 1))
# A sanitizer keeps notes beside every byte, and ASan what was freed, too: what a bound on resident memory is multiplied by.
MEMORY_SCALE = 4 if SANITIZED else 1
# ThreadSanitizer sees nothing of what two workers share when there is only one.
WORKERS = int(os.environ.get("SLUICE_E2E_WORKERS") or (2 if "tsan" in BINARY.parts else 1))


def deadline_s(seconds):
    """A deadline in seconds, stretched for slow builds. Deadlines only bound a failure; no test asserts timing."""
    return seconds * DEADLINE_SCALE


class LabError(AssertionError):
    """Something the test waited for did not happen, or a tool of the lab failed."""


_never = threading.Event()


def wait_until(condition, what, seconds=10):
    """Returns the first true value of condition(); fails, naming `what`, when the deadline passes."""
    end = time.monotonic() + deadline_s(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"gave up waiting for: {what() if callable(what) else what}")
        _never.wait(0.005)  # the pace of the polling, not a wait for anything


def run(*argv, check=True, **kwargs):
    kwargs.setdefault("timeout", deadline_s(60))
    done = subprocess.run([str(a) for a in argv], text=True, capture_output=True, **kwargs)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def tls_features(binary):
    """What `sluice version` says that the TLS library can do; builds with an older one can do less."""
    said = next(line for line in run(binary, "version").stdout.splitlines() if line.split()[:1] == ["wolfSSL"])
    return said.partition(": ")[2].partition("; missing: ")[0].split(", ")


# --- namespaces -----------------------------------------------------------------------------------------------------


class Namespace:
    """A network namespace. Owns the processes that were started in it through `popen`."""

    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        self._fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        self.processes = []
        self.run("ip", "link", "set", "lo", "up")

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is in this namespace inside the `with`. Sockets made there stay there."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._setns(self._fd)
            try:
                yield self
            finally:
                self._setns(before)
        finally:
            os.close(before)

    @staticmethod
    def _setns(fd):
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def run(self, *argv, check=True, **kwargs):
        return run("ip", "netns", "exec", self.name, *argv, check=check, **kwargs)

    def popen(self, *argv, **kwargs):
        process = subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, argv)], **kwargs)
        self.processes.append(process)
        return process

    def socket(self, family, kind=socket.SOCK_STREAM, protocol=0):
        with self.entered():
            return socket.socket(family, kind, protocol)

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        if self._fd is None:
            return
        for pid in run("ip", "netns", "pids", self.name, check=False).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                if int(pid) != os.getpid():
                    os.kill(int(pid), signal.SIGKILL)
        os.close(self._fd)
        self._fd = None
        run("ip", "netns", "del", self.name, check=False)


def sweep():
    """Removes the namespaces of runs whose process is gone."""
    for line in run("ip", "netns", "list", check=False).stdout.splitlines():
        name = line.split()[0] if line.split() else ""
        match = re.fullmatch(r"sluice-e2e-(\d+)-\d+-[a-z]+", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", name, check=False)


# --- addresses ------------------------------------------------------------------------------------------------------


def family_of(version):
    return socket.AF_INET if version == V4 else socket.AF_INET6


def endpoint_text(address, port):
    """As the access log writes it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def port_of(endpoint):
    return int(endpoint.rsplit(":", 1)[1])


def address_of(endpoint):
    return endpoint.rsplit(":", 1)[0].strip("[]")


# --- TOML -----------------------------------------------------------------------------------------------------------


def toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(str(value))


def toml_table(name, values):
    return f"[{name}]\n" + "".join(f"{k} = {toml_value(v)}\n" for k, v in values.items()) + "\n"


def rule(table, name, action, when=None, except_=None, **more):
    """One [[table.rules]] block."""
    lines = [f"[[{table}.rules]]", f"name = {toml_value(name)}", f"action = {toml_value(action)}"]
    if when is not None:
        lines.append(f"when = {toml_value(when)}")
    if except_ is not None:
        lines.append(f"except = {toml_value(except_)}")
    lines += [f"{k} = {toml_value(v)}" for k, v in more.items()]
    return "\n".join(lines) + "\n\n"


def tls_rule(name, action, when=None, except_=None, **more):
    return rule("tls", name, action, when, except_, **more)


def access_rule(name, action, when=None, except_=None, **more):
    return rule("access", name, action, when, except_, **more)


# --- what sanitizers report -----------------------------------------------------------------------------------------


class SanitizerReports:
    """Every program that a test starts, `sluice check` as well as the daemon, writes a sanitizer's report to a file in
    `folder`: there no killed process, closed stderr or expected exit status can hide it. Programs without a sanitizer
    know nothing of it. What ASAN_OPTIONS and its kin held before comes last, so it wins."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-reports-"))
        self.folder.chmod(0o777)  # the daemon is nobody
        common = f"log_path={self.folder}/report:exitcode=66"
        for name, options in (("ASAN", "detect_leaks=1:detect_stack_use_after_return=1"), ("UBSAN", "print_stacktrace=1"),
                              ("TSAN", "second_deadlock_stack=1")):
            before = os.environ.get(f"{name}_OPTIONS")
            os.environ[f"{name}_OPTIONS"] = ":".join(filter(None, (options, common, before)))

    def take(self):
        """What has been reported since the last call."""
        said = []
        for path in sorted(self.folder.iterdir()):
            said.append(path.read_text(errors="replace"))
            path.unlink()
        return "\n".join(said)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


# What a sanitizer that cannot even start, or cannot write its report, says on stderr.
SANITIZER_REPORT = re.compile(
    r"((ERROR|WARNING|SUMMARY|FATAL): \w*Sanitizer|Sanitizer: |runtime error:|ERROR: Can't open file)")


# --- the daemon -----------------------------------------------------------------------------------------------------

# SPEC section 6, "Log keys", and what S5 and S35 add to them. Dotted names are nested objects or flat keys.
RECORD_KEYS = {
    "time", "type", "id", "mode", "client", "destination", "user", "interface", "sni", "host", "alpn", "tls_version", "ja4",
    "ech", "action", "tls_rule", "bypass_rule", "access_rule", "protection_rule", "origin_cert", "origin_fingerprint",
    "bytes_up", "bytes_down", "ms.peek", "ms.connect", "ms.origin_handshake", "ms.client_handshake", "ms.total",
    "scan", "reason", "close", "close_side", "detail",
}
RECORD_KEYS_ALWAYS = {"time", "type", "id", "mode", "client", "destination", "bytes_up", "bytes_down", "ms.total",
                      "close", "close_side"}
REQUEST_KEYS = {
    "time", "type", "id", "client", "method", "url", "status", "mime", "bytes_up", "bytes_down", "action",
    "bypass_rule", "access_rule", "protection_rule", "scan", "threat", "ms.total",
}
REQUEST_KEYS_ALWAYS = {"time", "type", "id", "client", "bytes_up", "bytes_down", "ms.total"}
ACTIONS = {"tunnel", "tunnel-sni", "bump", "terminate", "block", "redirect", "allow"}


def close_reasons():
    """name -> side, from the project's own table."""
    text = (REPO / "src" / "record" / "close_reasons.def").read_text()
    return dict(re.findall(r"^SLUICE_CLOSE\((\w+), (\w+),", text, re.M))


def flatten(record, prefix=""):
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat.update(flatten(value, prefix + key + "."))
        else:
            flat[prefix + key] = value
    return flat


def check_record(line):
    """One JSON log line as a flat dict; fails when it is not what S35 and section 6 promise."""
    def no_duplicates(pairs):
        keys = [k for k, _ in pairs]
        assert len(keys) == len(set(keys)), f"a key twice in {line!r}"
        return dict(pairs)

    record = flatten(json.loads(line, object_pairs_hook=no_duplicates))
    is_request = record.get("type") == "request"
    assert is_request or record.get("type") == "connection", line
    known, always = (REQUEST_KEYS, REQUEST_KEYS_ALWAYS) if is_request else (RECORD_KEYS, RECORD_KEYS_ALWAYS)
    assert not set(record) - known, f"unknown keys {set(record) - known} in {line!r}"
    assert not always - set(record), f"missing keys {always - set(record)} in {line!r}"
    if not is_request:
        reasons = close_reasons()
        assert record["close"] in reasons, line
        assert record["close_side"] == reasons[record["close"]], line
    assert record.get("action", "allow") in ACTIONS, line
    for key, value in record.items():
        assert value not in ("", None), f"{key} is empty instead of absent in {line!r}"
        if key.startswith("ms."):
            assert isinstance(value, (int, float)) and 0 <= value, line
    assert isinstance(record["bytes_up"], int) and isinstance(record["bytes_down"], int), line
    return record


class Daemon:
    """`sluice run` in the gateway's namespace, as a user without any right but CAP_NET_RAW."""

    def __init__(self, lab, config, *, prefix=(), privileged=False, env=None, log_format="json", expect_ready=True,
                 open_files=None, processors=None):
        self.lab = lab
        self.config = config
        self.log_format = log_format
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="daemon-", dir=lab.folder))
        self.folder.chmod(0o777)
        self.rules = self.folder / "rules.toml"
        self.log = self.folder / "access.log"
        self.stdout = self.folder / "stdout"
        self.stderr = self.folder / "stderr"
        self._killed = False
        self.prefix, self.privileged, self.env = tuple(prefix), privileged, dict(env or {})
        self.open_files, self.processors = open_files, processors
        self.write_rules(config)
        self.process = None
        self.start(expect_ready)

    def write_rules(self, config):
        self.config = config
        self.rules.write_text(config.replace("@LOG@", str(self.log)).replace("@FOLDER@", str(self.folder)))

    # -- starting

    def command(self):
        argv = list(self.prefix)
        if "tsan" in BINARY.parts:
            argv += ["setarch", "--addr-no-randomize"]  # ThreadSanitizer of GCC 12 fails under wide randomization
        if self.processors is not None:
            argv += ["taskset", "--cpu-list", self.processors]
        if self.open_files is not None:
            argv += ["prlimit", f"--nofile={self.open_files}"]
        if not self.privileged:
            argv += ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+net_raw",
                     "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw"]
        argv += ["setpriv", "--pdeathsig", "KILL"]
        return [*argv, str(self.lab.binary), "run", "-c", str(self.rules)]

    def start(self, expect_ready=True):
        notify_path = self.folder / "notify"
        notify_path.unlink(missing_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(notify_path))
        self._notify.setblocking(False)
        self.notifications = []
        notify_path.chmod(0o777)
        env = {**os.environ, "NOTIFY_SOCKET": str(notify_path), **self.env}
        self._killed = False
        with open(self.stdout, "ab") as out, open(self.stderr, "ab") as err:
            self.process = self.lab.gateway.popen(*self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                                  env=env)
        if expect_ready:
            wait_until(lambda: self.process.poll() is not None or self.is_ready(),
                       lambda: "the daemon to be ready\n" + self.tail())
            if self.process.poll() is not None:
                raise LabError(f"the daemon ended with {self.process.returncode} instead of starting\n" + self.tail())

    def is_ready(self):
        self.read_notifications()
        return any("READY=1" in n for n in self.notifications)

    def read_notifications(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.notifications.append(self._notify.recv(4096).decode())
        return self.notifications

    def tail(self):
        return f"--- stderr of {self.process.args}\n{self.errors()[-6000:]}"

    # -- what it says

    def errors(self):
        return self.stderr.read_text(errors="replace") if self.stderr.exists() else ""

    def lines(self):
        if not self.log.exists():
            return []
        return self.log.read_text().split("\n")[:-1]  # only complete lines

    def records(self, kind="connection"):
        """Of connections, or with kind="request" of the requests inside; each line is checked."""
        return [r for r in map(check_record, self.lines()) if r["type"] == kind]

    def record_of(self, client):
        """The log record of the connection that this client socket (or port number) made, once it is written."""
        text = f":{client}\"" if isinstance(client, int) else f"\"{client}\""

        def find():
            records = [check_record(line) for line in self.lines() if text in line]
            return [r for r in records if r["type"] == "connection" and f"\"{r['client']}\"".endswith(text)]

        found = wait_until(find, lambda: f"the log record of {client}; the last are {self.lines()[-5:]}\n"
                           + self.tail())
        assert len(found) == 1, f"one record per connection: {found}"
        return found[0]

    def requests_of(self, client):
        """The log records of the requests on that client's connection, in their order, once it has ended."""
        connection = self.record_of(client)
        return [r for r in self.records("request") if r["id"] == connection["id"]]

    # -- signals and the end

    def signal(self, number):
        self.process.send_signal(number)

    def counters(self):
        """name -> value, as the daemon prints them on SIGUSR1; zeros are left out."""
        before = self.errors().count("counters:")
        self.signal(signal.SIGUSR1)
        wait_until(lambda: self.errors().count("counters:") > before and self.errors().endswith("\n"),
                   lambda: "the counters on SIGUSR1\n" + self.tail())
        line = [line for line in self.errors().splitlines() if "counters:" in line][-1]
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}

    def accepted(self, client):
        """Waits until the daemon has taken this client's connection from its listener."""
        def owned():
            lines = self.lab.gateway.run("ss", "-Htnp").stdout.splitlines()
            return any(f"{client} " in line.replace("::ffff:", "") and f"pid={self.process.pid}," in line
                       for line in lines)
        wait_until(owned, lambda: f"{client} to be accepted\n" + self.tail())

    def reload(self, config):
        """SIGHUP with a new file; returns once the daemon says that it has dealt with it."""
        self.write_rules(config)
        before = len(self.read_notifications())
        self.signal(signal.SIGHUP)
        wait_until(lambda: any("READY=1" in n for n in self.read_notifications()[before:]),
                   lambda: "the reload to be done (READY=1 after SIGHUP)\n" + self.tail())

    def kill(self):
        """SIGKILL. The kernel takes a ring apart in the background, and what it still had in flight (the accepts) holds
        the listeners until then, so the process may be gone before its port is."""
        self._killed = True
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not self.lab.gateway.run("ss", "-Hltn", f"sport = :{TPROXY_PORT}").stdout,
                   "the listeners of the killed daemon to go")

    def wait(self, seconds=15):
        try:
            return self.process.wait(timeout=deadline_s(seconds))
        except subprocess.TimeoutExpired:
            raise LabError(f"the daemon did not end\n{self.tail()}") from None

    def stop(self):
        """Ends the daemon and fails if it had crashed, hung, leaked or printed a sanitizer's report."""
        problems = []
        if self.process.poll() is None:
            def ended():
                with contextlib.suppress(ProcessLookupError):
                    self.signal(signal.SIGTERM)  # the first drains, the next one stops; two at once may count as one
                return self.process.poll() is not None

            try:
                wait_until(ended, "the end after two SIGTERM", 15)
            except LabError as error:
                problems.append(str(error))
                self.kill()
        self._notify.close()
        if SANITIZER_REPORT.search(self.errors()):
            problems.append("a sanitizer reported")
        if self.process.returncode < 0 and not self._killed:
            problems.append(f"it died of {signal.Signals(-self.process.returncode).name}")
        elif self.process.returncode > 0:
            problems.append(f"it ended with {self.process.returncode}")
        if self.log_format == "json":
            for line in self.lines():
                try:
                    check_record(line)
                except (AssertionError, ValueError) as error:
                    problems.append(f"bad log line: {error}")
                    break
        if problems:
            raise LabError("the daemon: " + "; ".join(problems) + "\n" + self.tail())


# --- sockets of the peers -------------------------------------------------------------------------------------------


class Peer:
    """A connected TCP socket at one end. Every call has a deadline; bytes that came early are kept."""

    def __init__(self, sock, reset=False):
        self.sock = sock
        self._reset = reset  # the other side has reset it already, and a call has said so
        self.sock.settimeout(deadline_s(15))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = sock.getsockname()
        self.address, self.port = name[0], name[1]

    def send(self, data):
        try:
            self.sock.sendall(data)
        except ConnectionError:
            self._reset = True  # the kernel tells only once
            raise
        return self

    def receive(self, count):
        """Exactly `count` bytes, or fewer when the stream ended before."""
        data = bytearray()
        while len(data) < count:
            piece = self.sock.recv(min(count - len(data), 1 << 18))
            if not piece:
                break
            data += piece
        return bytes(data)

    def receive_all(self):
        """Everything up to the orderly end; ConnectionResetError when there is none."""
        data = bytearray()
        while piece := self.sock.recv(1 << 18):
            data += piece
        return bytes(data)

    def ending(self):
        """How the stream ends: ("end", bytes before) or ("reset", bytes before)."""
        data = bytearray()
        try:
            while piece := self.sock.recv(1 << 18):
                data += piece
        except ConnectionResetError:
            self._reset = True
        return "reset" if self._reset else "end", bytes(data)

    def finish(self):
        """No more from this side (FIN); the other direction stays open."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ConnectionResetError(*error.args) from None  # ENOTCONN: it had been reset
        return self

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def __str__(self):
        return endpoint_text(self.address, self.port)

    def other_end(self):
        name = self.sock.getpeername()
        return name[0], name[1]


class Origin:
    """A listening socket in the origin's namespace, on an address of its own."""

    def __init__(self, lab, version, port=443, backlog=4096, address=None):
        self.version, self.port = version, port
        self.address = address or lab.new_origin_address(version)
        self.listener = lab.origin.socket(family_of(version))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with lab.origin.entered():
            self.listener.bind((self.address, port))
            self.listener.listen(backlog)
        self.peers = []

    def accept(self, seconds=15):
        self.listener.settimeout(deadline_s(seconds))
        try:
            sock, _ = self.listener.accept()
        except socket.timeout:
            raise LabError(f"no connection arrived at the origin {self.address}") from None
        self.peers.append(Peer(sock))
        return self.peers[-1]

    def serve(self, handler):
        """Answers every connection with handler(peer) in a thread of its own, until close()."""
        def one(peer):
            try:
                handler(peer)
            except (OSError, LabError):
                pass
            finally:
                peer.close()

        def loop():
            self.listener.settimeout(None)
            while True:
                try:
                    sock, _ = self.listener.accept()
                except OSError:
                    return
                peer = Peer(sock)
                self.peers.append(peer)
                threading.Thread(target=one, args=(peer,), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        return self

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            peer.close()


class SynTap:
    """Sees every TCP SYN that reaches the origin's interface, in order."""

    def __init__(self, lab):
        self.lab = lab
        # Classic BPF over the network header: TCP, SYN set, ACK clear; IPv4, and IPv6 without extension headers.
        program = [
            (0x30, 0, 0, 0),      # 0  A = first byte
            (0x54, 0, 0, 0xF0),   # 1  A &= 0xf0
            (0x15, 0, 5, 0x40),   # 2  IPv4? else 8
            (0x30, 0, 0, 9),      # 3  A = protocol
            (0x15, 0, 9, 6),      # 4  TCP? else reject (14)
            (0xB1, 0, 0, 0),      # 5  X = 4 * (first byte & 0xf)
            (0x50, 0, 0, 13),     # 6  A = TCP flags
            (0x05, 0, 0, 3),      # 7  goto 11
            (0x30, 0, 0, 6),      # 8  A = next header
            (0x15, 0, 4, 6),      # 9  TCP? else reject (14)
            (0x30, 0, 0, 53),     # 10 A = TCP flags
            (0x54, 0, 0, 0x12),   # 11 A &= SYN | ACK
            (0x15, 0, 1, 0x02),   # 12 SYN alone? else reject (14)
            (0x06, 0, 0, 0xFFFF), # 13 accept
            (0x06, 0, 0, 0),      # 14 reject
        ]
        code = b"".join(struct.pack("HBBI", *step) for step in program)
        self._code = ctypes.create_string_buffer(code)
        self.sock = lab.origin.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        so_attach_filter = 26
        self.sock.setsockopt(socket.SOL_SOCKET, so_attach_filter,
                             struct.pack("HL", len(program), ctypes.addressof(self._code)))
        self.sock.bind(("eth0", 0x0003))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self.sock.settimeout(deadline_s(10))
        self.drain()

    def drain(self):
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sock.recv(65536)
        self.sock.settimeout(deadline_s(10))

    def until_now(self):
        """(source address, destination address, destination port) of every SYN up to this call. A marked connection
        from the gateway comes last and tells us that we have seen all before it."""
        with contextlib.closing(self.lab.gateway.socket(socket.AF_INET)) as marker:
            marker.setblocking(False)
            marker.connect_ex((self.lab.ORIGIN[V4], 9))
            own_port = marker.getsockname()[1]
            seen = []
            while True:
                source, source_port, destination, port = self._parse(self.sock.recv(65536))
                if port == 9 and source_port == own_port:
                    return seen
                seen.append((source, destination, port))

    @staticmethod
    def _parse(packet):
        if packet[0] >> 4 == 4:
            tcp = packet[4 * (packet[0] & 15):]
            source, destination = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        else:
            tcp = packet[40:]
            source = socket.inet_ntop(socket.AF_INET6, packet[8:24])
            destination = socket.inet_ntop(socket.AF_INET6, packet[24:40])
        source_port, port = struct.unpack("!HH", tcp[:4])
        return source, source_port, destination, port

    def close(self):
        self.sock.close()


# --- the whole ------------------------------------------------------------------------------------------------------


class Lab:
    """The namespaces, the wires, nginx at the origin. One per pytest session; tests start daemons in it."""

    CLIENT = {V4: "10.1.0.2", V6: "fd00:1::2"}
    CLIENT_SECOND = {V4: "10.1.0.3", V6: "fd00:1::3"}
    CLIENT_NET = {V4: "10.1.0.0/24", V6: "fd00:1::/64"}
    GUEST = {V4: "10.2.0.2", V6: "fd00:2::2"}
    GATEWAY_LAN = {V4: "10.1.0.1", V6: "fd00:1::1"}
    GATEWAY_WAN = {V4: "10.9.0.1", V6: "fd00:9::1"}
    ORIGIN = {V4: "10.9.0.2", V6: "fd00:9::2"}
    NGINX = {V4: "10.10.0.1", V6: "fd00:10::1"}
    UNREACHABLE = {V4: "10.9.2.1", V6: "fd00:9:2::1"}  # the origin's router answers "host unreachable"
    BLACKHOLE = {V4: "10.9.3.1", V6: "fd00:9:3::1"}    # nobody answers
    NAMES = ("allowed.example", "blocked.example", "www.example.com", "example.com", "other.example")

    _serial = itertools.count(1)

    def __init__(self):
        sweep()
        self._closing = contextlib.ExitStack()
        self._closed = False
        atexit.register(self.close)
        self._addresses = itertools.count(16)
        # A client's port is how its record is found, so none comes twice.
        self._client_ports = itertools.count(10_000 + os.getpid() % 1000)
        self.kernel_config = None
        self.workers = WORKERS  # what config() says where a test does not
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-e2e-"))
        self.folder.chmod(0o755)
        if not os.environ.get("SLUICE_E2E_KEEP"):
            self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.state = self.folder / "state"
        self.state.mkdir()
        # The daemon runs as a user who may not be able to reach the source tree.
        self.binary = self.folder / "sluice"
        if BINARY.exists():
            shutil.copy2(BINARY, self.binary)
            self.binary.chmod(0o755)
        self._make_namespaces()
        self._make_wires()

    def _make_namespaces(self):
        stem = f"sluice-e2e-{os.getpid()}-{next(self._serial)}"
        spaces = []
        for role in ("client", "guest", "gateway", "origin"):
            space = Namespace(f"{stem}-{role}")
            self._closing.callback(space.close)
            spaces.append(space)
        self.client, self.guest, self.gateway, self.origin = spaces

    def _make_wires(self):
        def wire(a, a_if, b, b_if):
            run("ip", "link", "add", a_if, "netns", a.name, "type", "veth", "peer", "name", b_if, "netns", b.name)
            for space, interface in ((a, a_if), (b, b_if)):
                space.run("ip", "link", "set", interface, "up")

        def address(space, interface, *texts):
            for text in texts:
                space.run("ip", "address", "add", text, "dev", interface, *(["nodad"] if ":" in text else []))

        wire(self.gateway, "lan0", self.client, "eth0")
        wire(self.gateway, "lan1", self.guest, "eth0")
        wire(self.gateway, "wan0", self.origin, "eth0")
        address(self.gateway, "lan0", "10.1.0.1/24", "fd00:1::1/64")
        address(self.gateway, "lan1", "10.2.0.1/24", "fd00:2::1/64")
        address(self.gateway, "wan0", "10.9.0.1/24", "fd00:9::1/64")
        address(self.client, "eth0", "10.1.0.2/24", "10.1.0.3/24", "fd00:1::2/64", "fd00:1::3/64")
        address(self.guest, "eth0", "10.2.0.2/24", "fd00:2::2/64")
        address(self.origin, "eth0", "10.9.0.2/24", "fd00:9::2/64")
        for space, gateway4, gateway6 in ((self.client, "10.1.0.1", "fd00:1::1"), (self.guest, "10.2.0.1", "fd00:2::1"),
                                          (self.origin, "10.9.0.1", "fd00:9::1")):
            space.run("ip", "route", "add", "default", "via", gateway4)
            space.run("ip", "-6", "route", "add", "default", "via", gateway6)
        for net in ("10.10.0.0/16", "10.9.2.0/24", "10.9.3.0/24"):
            self.gateway.run("ip", "route", "add", net, "via", "10.9.0.2")
        for net in ("fd00:10::/64", "fd00:9:2::/64", "fd00:9:3::/64"):
            self.gateway.run("ip", "-6", "route", "add", net, "via", "fd00:9::2")
        # Every address of these two nets is the origin's own, so each test can have a fresh one.
        self.origin.run("ip", "route", "add", "local", "10.10.0.0/16", "dev", "lo")
        self.origin.run("ip", "-6", "route", "add", "local", "fd00:10::/64", "dev", "lo")
        self.origin.run("ip", "route", "add", "unreachable", "10.9.2.0/24")
        self.origin.run("ip", "-6", "route", "add", "unreachable", "fd00:9:2::/64")
        self.origin.run("ip", "route", "add", "blackhole", "10.9.3.0/24")
        self.origin.run("ip", "-6", "route", "add", "blackhole", "fd00:9:3::/64")
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.gateway.run("sysctl", "-qw", f"{key}=1")
            self.origin.run("sysctl", "-qw", f"{key}=1")  # a router that says "unreachable", too
        self.origin.run("sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1", "net.ipv4.icmp_ratelimit=0",
                        "net.ipv6.icmp.ratelimit=0")
        for space in (self.client, self.origin):
            space.run("sysctl", "-qw", "net.ipv4.ip_local_port_range=10000 65000")

    # -- rules.toml

    def config(self, rules="", *, gateway=None, tls=None, http=None, limits=None, log=None, access=None):
        """A complete rules.toml for this lab; `rules` is appended as it is."""
        tables = {
            "gateway": {"tproxy_port": TPROXY_PORT, "tls_ports": [*TLS_PORTS, UNBOUND_TLS_PORT], "workers": self.workers,
                        "lan": ["lan0", "lan1"], **(gateway or {})},
            "tls": {"decrypt": True, "default_action": "tunnel-sni", **(tls or {})},
            "http": dict(http or {}),
            "limits": dict(limits or {}),
            "log": {"format": "json", "to": "@LOG@", **(log or {})},
            "access": {"default": "allow", **(access or {})},
        }
        return "".join(toml_table(name, values) for name, values in tables.items() if values) + rules

    # -- the kernel's part

    def kernel_setup(self, verb, config=None, check=True):
        argv = ["env", f"SLUICE_STATE_DIR={self.state}", f"SLUICE_BIN={self.binary}", str(KERNEL_SETUP), verb]
        if config is not None:
            path = self.folder / "kernel-rules.toml"
            path.write_text(config.replace("@LOG@", "/dev/null"))
            argv += ["-c", str(path)]
        return self.gateway.run(*argv, check=check)

    def kernel_up(self, config=None):
        """kernel-setup's own rules, from the [gateway] table of `config`. Does nothing when they are in place."""
        config = config if config is not None else self.config()
        match = re.search(r"^\[gateway\]\n(?:[^\[].*\n)*", config, re.M)
        wanted = match.group(0) if match else ""
        if wanted != self.kernel_config:
            self.kernel_setup("up", config)
            self.kernel_config = wanted

    def kernel_down(self):
        self.kernel_config = None
        self.kernel_setup("down")

    # -- peers

    def new_origin_address(self, version):
        number = next(self._addresses)
        assert number < 65000
        return f"fd00:10::{number:x}" if version == V6 else f"10.10.{number >> 8}.{number & 255}"

    def listen(self, version, port=443):
        """A fresh origin with nothing but a listening socket."""
        return Origin(self, version, port)

    def connect(self, version, address, port=443, *, source=None, space=None, seconds=15, may_be_reset=False):
        """A client's TCP connection to an origin (through the gateway). `may_be_reset`: the gateway may close it so soon
        that connect(2) reports the reset; then the Peer's ending() does."""
        sock = (space or self.client).socket(family_of(version))
        sock.settimeout(deadline_s(seconds))
        try:
            source = source or (self.CLIENT[version] if space in (None, self.client) else None)
            if source:
                self._bind_to_fresh_port(sock, source)
            sock.connect((address, port))
        except BaseException as error:
            if may_be_reset and isinstance(error, ConnectionResetError):
                return Peer(sock, reset=True)
            sock.close()
            raise
        return Peer(sock)

    def _bind_to_fresh_port(self, sock, source):
        for port in self._client_ports:
            assert port < 65_000, "one lab has had 54,000 connections"
            try:
                return sock.bind((source, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise

    # -- nginx

    def start_nginx(self):
        """A real nginx with a certificate for each of NAMES, answering with the name it was asked for."""
        folder = self.folder / "nginx"
        folder.mkdir()
        self.certificates = {}
        servers = []
        for number, name in enumerate(self.NAMES):
            certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", certificate)
            self.certificates[name] = certificate
            default = " default_server" if number == 0 else ""
            listens = "".join(f"    listen {self.NGINX[V4]}:{port} ssl{default};\n"
                              f"    listen [{self.NGINX[V6]}]:{port} ssl{default};\n" for port in (*TLS_PORTS, PLAIN_TLS_PORT))
            servers.append(f"  server {{\n{listens}    server_name {name};\n"
                           f"    ssl_certificate {certificate};\n    ssl_certificate_key {key};\n"
                           f"    location / {{ return 200 \"{name} $ssl_server_name $remote_addr\\n\"; }}\n"
                           f"    location /big {{ alias {folder}/big; }}\n  }}\n")
        (folder / "big").write_bytes(bytes(range(256)) * 4096)
        config = folder / "nginx.conf"
        config.write_text(f"daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;\n"
                          f"worker_processes 1; events {{ worker_connections 4096; }}\n"
                          f"http {{\n  access_log off;\n"
                          f"  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2;\n"
                          f"  fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;\n"
                          f"  ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_ciphers ALL:@SECLEVEL=0;\n"
                          f"  ssl_early_data on;\n"
                          + "".join(servers) + "}\n")
        with open(folder / "stderr", "wb") as errors:
            nginx = self.origin.popen("setpriv", "--pdeathsig", "TERM", "nginx", "-p", folder, "-c", config, stderr=errors)

        def stop():
            nginx.terminate()
            nginx.wait()
        self._closing.callback(stop)

        def answers():
            assert nginx.poll() is None, (folder / "stderr").read_text()
            try:
                with contextlib.closing(self.origin.socket(socket.AF_INET6)) as probe:
                    probe.connect((self.NGINX[V6], 443))
                    return True
            except ConnectionRefusedError:
                return False
        wait_until(answers, "nginx to listen")

    def close(self):
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._closing.close()
