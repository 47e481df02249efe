"""Bad input and bad surroundings: the daemon says precisely what is wrong, exits with 1, and has changed nothing.

    rules.toml with one mistake ── sluice run / check ── FILE:LINE:COLUMN: error: …
    gateway without a right, without io_uring, with its port taken ── sluice run ── the cause by name
"""

import contextlib
import errno
import pathlib
import re
import socket
import subprocess
import sys

import pytest
from lab import TPROXY_PORT, deadline_s, rule, tls_rule

# What is wrong -> (text appended to a good file, line of the mistake counted from the appended text, what the message
# must name). Where the column is certain, it is given as well.
RULE = '[[tls.rules]]\nname = "r"\naction = "tunnel-sni"\n'
MISTAKES = {
    "unknown table": ("[getaway]\nx = 1\n", 1, "getaway"),
    "unknown key in a rule": (RULE + 'wehn = { host = "x.example" }\n', 4, "wehn"),
    "unknown condition": (RULE + 'when = { hots = "x.example" }\n', 4, "hots"),
    "near miss is suggested": (RULE + 'when = { hots = "x.example" }\n', 4, "host"),
    "unknown action": ('[[tls.rules]]\nname = "r"\naction = "tunel"\n', 3, "tunel"),
    "wrong type for a name": ('[[tls.rules]]\nname = 7\naction = "tunnel-sni"\n', 2, "name"),
    "wrong type for a condition": (RULE + 'when = { port = "https" }\n', 4, "port"),
    "port out of range": (RULE + "when = { port = 70000 }\n", 4, "70000"),
    "bad address": (RULE + 'when = { destination = "300.1.2.3" }\n', 4, "300.1.2.3"),
    "bad prefix length": (RULE + 'when = { client = "10.0.0.0/40" }\n', 4, "10.0.0.0/40"),
    "host bits set": (RULE + 'when = { destination = "10.0.0.1/8" }\n', 4, "10.0.0.1/8"),
    "bad host pattern": (RULE + 'when = { host = "a.*.example" }\n', 4, "a.*.example"),
    "missing list file": (RULE + 'when = { host = "@no/such/list.txt" }\n', 4, "no/such/list.txt"),
    "bad tls version": (RULE + 'when = { tls_version = "1.4" }\n', 4, "1.4"),
    "bad ja4": (RULE + 'when = { ja4 = "nonsense" }\n', 4, "nonsense"),
    "bad schedule": (RULE + 'when = { schedule = "Mon-Fry 08:00-18:00" }\n', 4, "Fry"),
    "bad sni word": (RULE + 'when = { sni = "maybe" }\n', 4, "maybe"),
    "except of the wrong type": (RULE + 'except = "x.example"\n', 4, "except"),
    "redirect without a target": ('[[access.rules]]\nname = "r"\naction = "redirect"\nwhen = { port = 443 }\n', None, "to"),
    "a rule without an action": ('[[tls.rules]]\nname = "r"\nwhen = { port = 443 }\n', None, "action"),
    "bump without a CA": ('[[tls.rules]]\nname = "r"\naction = "bump"\n', 3, "bump"),
    "not TOML": ("[[tls.rules]\n", 1, ""),
    "string without an end": ('[[tls.rules]]\nname = "r\n', 2, ""),
    "the same key twice": (RULE + 'name = "again"\n', 4, ""),
}

TABLE_MISTAKES = {
    "tproxy_port": ("gateway", {"tproxy_port": 0}, "tproxy_port"),
    "workers of the wrong type": ("gateway", {"workers": "many"}, "workers"),
    "client_source": ("gateway", {"client_source": "both"}, "both"),
    "when_down": ("gateway", {"when_down": "ajar"}, "ajar"),
    "default action tunnel": ("tls", {"default_action": "tunnel"}, "tunnel"),
    "terminate_with": ("tls", {"terminate_with": "fire"}, "fire"),
    "non_tls": ("tls", {"non_tls": "bump"}, "bump"),
    "a duration without a unit": ("limits", {"idle_timeout": "soon"}, "soon"),
    "log format": ("log", {"format": "xml"}, "xml"),
    "access default": ("access", {"default": "maybe"}, "maybe"),
}


def kernel_state(lab):
    """Everything that kernel-setup may change in the gateway. Link-local addresses come by themselves, some seconds after a link."""
    text = "\n".join(lab.gateway.run(*command).stdout for command in (
        ("nft", "--stateless", "list", "ruleset"), ("ip", "rule"), ("ip", "-6", "rule"), ("ip", "route", "show", "table", "all"),
        ("ip", "-6", "route", "show", "table", "all"), ("sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter",
                                                       "net.ipv4.conf.all.src_valid_mark")))
    return "\n".join(line for line in text.splitlines() if "fe80:" not in line)


def run_daemon(lab, config, *prefix, name="bad.toml"):
    path = lab.folder / name
    path.write_text(config.replace("@LOG@", str(lab.folder / "bad.log")))
    return lab.gateway.run(*prefix, str(lab.binary), "run", "-c", str(path), check=False, timeout=deadline_s(15)), path


def error_lines(text, path):
    """[(line, column, message)] of "FILE:LINE:COLUMN: error: MESSAGE"."""
    return [(int(m[1]), int(m[2]), m[3]) for m in
            re.finditer(rf"^{re.escape(str(path))}:(\d+):(\d+): (?:error: )?(.*)$", text, re.M)]


def assert_reported(done, path, line, word):
    assert done.returncode == 1, done.stderr
    errors = error_lines(done.stderr + done.stdout, path)
    assert errors, f"no FILE:LINE:COLUMN in {done.stderr!r}"
    assert [e for e in errors if (line is None or e[0] == line) and e[1] >= 1 and word in e[2]], \
        f"line {line} and {word!r} wanted, got {errors}"


@pytest.mark.parametrize("kind", MISTAKES, ids=lambda k: k.replace(" ", "-"))
def test_a_mistake_in_the_rules_is_named_with_its_place(lab, kind):
    text, line, word = MISTAKES[kind]
    good = lab.config()
    if kind == "bump without a CA":
        word = "CA"
    before = kernel_state(lab)
    done, path = run_daemon(lab, good + text)
    assert_reported(done, path, good.count("\n") + line if line else None, word)
    assert kernel_state(lab) == before


@pytest.mark.parametrize("kind", TABLE_MISTAKES, ids=lambda k: k.replace(" ", "-"))
def test_a_mistake_in_a_table_is_named_with_its_place(lab, kind):
    table, values, word = TABLE_MISTAKES[kind]
    config = lab.config(**{table: values})
    key = next(iter(values))
    line = next(n for n, text in enumerate(config.splitlines(), 1) if text.startswith(f"{key} ="))
    done, path = run_daemon(lab, config)
    assert_reported(done, path, line, word)


def test_the_column_points_at_the_value(lab):
    good = lab.config()
    done, path = run_daemon(lab, good + RULE + 'when = { port = 443, hots = "x.example" }\n')
    assert (good.count("\n") + 4, 22) in [e[:2] for e in error_lines(done.stderr, path)], done.stderr


def test_all_mistakes_are_reported_in_one_go(lab):
    done, path = run_daemon(lab, lab.config() + RULE + 'when = { hots = "x" }\n' + RULE.replace("tunnel-sni", "tunel").replace('"r"', '"s"'))
    assert done.returncode == 1
    assert len({e[0] for e in error_lines(done.stderr, path)}) == 2, done.stderr


def test_a_missing_file_is_named(lab):
    missing = lab.folder / "no-such-rules.toml"
    done = lab.gateway.run(str(lab.binary), "run", "-c", str(missing), check=False)
    assert done.returncode == 1
    assert str(missing) in done.stderr and "No such file" in done.stderr


def test_an_unreadable_list_is_named(lab):
    """A folder where a file should be: unreadable also for root."""
    (lab.folder / "folder.txt").mkdir(exist_ok=True)
    good = lab.config()
    done, path = run_daemon(lab, good + RULE + f'when = {{ host = "@{lab.folder}/folder.txt" }}\n')
    assert_reported(done, path, good.count("\n") + 4, "folder.txt")


def test_a_bad_list_entry_is_named_with_its_place_in_the_list(lab):
    listed = lab.folder / "bad-list.txt"
    listed.write_text("good.example\n# comment\nbad..example\n")
    done, path = run_daemon(lab, lab.config() + RULE + f'when = {{ host = "@{listed}" }}\n')
    text = done.stderr
    assert re.search(rf"^{re.escape(str(listed))}:3:\d+: ", text, re.M), text


def test_kernel_setup_changes_nothing_for_a_bad_file(lab):
    lab.kernel_up()
    before = kernel_state(lab)
    done = lab.kernel_setup("up", lab.config(gateway={"when_down": "ajar"}), check=False)
    assert done.returncode != 0
    assert re.search(r"kernel-rules\.toml:\d+:\d+: ", done.stderr + done.stdout)
    assert kernel_state(lab) == before


# --- the surroundings -----------------------------------------------------------------------------------------------


def test_without_cap_net_raw_the_message_names_it(lab):
    done, _ = run_daemon(lab, lab.config(log={"to": "stdout"}), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                         "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all")
    assert done.returncode == 1
    assert "CAP_NET_RAW" in done.stderr, done.stderr


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS, errno.EINVAL], ids=["EPERM", "ENOSYS", "EINVAL"])
def test_where_io_uring_is_forbidden_missing_or_too_old_the_message_says_so(lab, code):
    """EINVAL is what kernels before 6.1 say to the ring's flags."""
    wrapper = pathlib.Path(__file__).with_name("without_io_uring.py")
    done, _ = run_daemon(lab, lab.config(), sys.executable, str(wrapper), str(int(code)))
    assert done.returncode == 1
    assert "io_uring" in done.stderr, done.stderr
    if code == errno.EPERM:
        assert "kernel.io_uring_disabled" in done.stderr and "seccomp" in done.stderr, done.stderr
    else:
        assert "Linux 6.1 or newer is needed" in done.stderr, done.stderr
        assert ("too old" in done.stderr) == (code == errno.EINVAL), done.stderr


def test_a_port_that_is_taken_is_named(lab):
    with contextlib.closing(lab.gateway.socket(socket.AF_INET6)) as other:
        other.bind(("::", TPROXY_PORT))
        other.listen()
        done, _ = run_daemon(lab, lab.config())
    assert done.returncode == 1
    assert str(TPROXY_PORT) in done.stderr and "in use" in done.stderr, done.stderr


def test_a_log_that_cannot_be_opened_is_named(lab):
    done, _ = run_daemon(lab, lab.config(log={"to": "/no/such/folder/access.log"}))
    assert done.returncode == 1
    assert "/no/such/folder/access.log" in done.stderr, done.stderr


def test_too_few_descriptors_to_begin_with_is_named(lab):
    done, _ = run_daemon(lab, lab.config(), "prlimit", "--nofile=12")
    assert done.returncode == 1
    assert re.search(r"descriptor|nofile|LimitNOFILE|open files", done.stderr, re.I), done.stderr


def test_check_agrees_with_run(lab):
    """`sluice check`: the same errors, and 0 for a good file."""
    good = lab.folder / "good.toml"
    good.write_text(lab.config().replace("@LOG@", "/dev/null"))
    assert lab.gateway.run(str(lab.binary), "check", "-c", str(good), check=False).returncode == 0
    for text, _, _ in MISTAKES.values():
        done, path = run_daemon(lab, lab.config() + text)
        checked = lab.gateway.run(str(lab.binary), "check", "-c", str(path), check=False)
        assert checked.returncode == 1
        assert error_lines(checked.stdout + checked.stderr, path) == error_lines(done.stderr + done.stdout, path)
