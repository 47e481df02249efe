"""S19, S21: every condition, through real traffic.

    client 10.1.0.2, .3 ── lan0 ┐
           fd00:1::2, ::3       ├─ gateway: one rule per case, told apart by the SNI ── origin
    guest  10.2.0.2, fd00:2::2 ─┘ lan1
"""

import datetime

import hello
import pytest
from lab import V4, V6, Daemon, Lab, tls_rule
from peers import assert_closed_unserved, assert_passes

ADDRESS = Lab.CLIENT
SECOND = Lab.CLIENT_SECOND
EVERY_DAY = "Mon-Sun 00:00-24:00"
YESTERDAY, TOMORROW = (str(datetime.date.today() + datetime.timedelta(days=d)) for d in (-1, 1))
# A weekday that is neither today nor a neighbour of it, whatever the clock does during the run.
ANOTHER_DAY = (datetime.date.today() + datetime.timedelta(days=3)).strftime("%a")
OTHER_HELLO = dict(alpn=("imap",), ciphers=(0x1301, 0xC02B))
JA4_OF_OTHER = hello.ja4(hello.client_hello("x.example", **OTHER_HELLO))


class Case:
    """A condition, and connections for which it holds and for which it does not. A connection is a dict: source, space,
    port, and `hello` with arguments of hello.message()."""

    def __init__(self, name, when, holds=(), fails=(), except_=None):
        self.name, self.when, self.holds, self.fails, self.except_ = name, when, holds, fails, except_
        self.host = name.replace(" ", "-").replace("_", "-") + ".case.example"


def cases(v):
    net = Lab.CLIENT_NET[v]
    here, second, guest = dict(source=ADDRESS[v]), dict(source=SECOND[v]), dict(space="guest")
    return [
        Case("client address", {"client": ADDRESS[v]}, [here], [second, guest]),
        Case("client net", {"client": net}, [here, second], [guest]),
        Case("client list", {"client": [SECOND[v], Lab.GUEST[v]]}, [second, guest], [here]),
        Case("client of the other family", {"client": Lab.CLIENT_NET[V6 if v == V4 else V4]}, [], [here, guest]),
        Case("interface", {"client": "lan1"}, [guest], [here]),
        Case("interface list", {"client": ["lan1", SECOND[v]]}, [guest, second], [here]),
        Case("destination net", {"destination": "10.10.0.0/16" if v == V4 else "fd00:10::/64"}, [here], []),
        Case("destination elsewhere", {"destination": "10.11.0.0/16" if v == V4 else "fd00:11::/64"}, [], [here]),
        Case("port", {"port": 8443}, [dict(port=8443)], [dict(port=443)]),
        Case("port list", {"port": [443, 9999]}, [dict(port=443)], [dict(port=8443)]),
        Case("alpn", {"alpn": "imap"}, [dict(hello=dict(alpn=("h2", "imap")))], [dict(hello=dict(alpn=("h2",))),
                                                                                  dict(hello=dict(alpn=()))]),
        Case("version 1_2", {"tls_version": "1.2"}, [dict(hello=dict(versions=None))],
             [dict(hello=dict(versions=(0x0304,)))]),
        Case("version 1_0", {"tls_version": ["1.0", "1.1"]}, [dict(hello=dict(versions=None, legacy_version=0x0301))],
             [here]),
        Case("version 1_3", {"tls_version": "1.3"}, [here], [dict(hello=dict(versions=None))]),
        Case("ech", {"ech": True}, [dict(hello=dict(ech=True))], [dict(hello=dict(ech=False))]),
        Case("no ech", {"ech": False}, [dict(hello=dict(ech=False))], [dict(hello=dict(ech=True))]),
        Case("ja4", {"ja4": JA4_OF_OTHER}, [dict(hello=OTHER_HELLO)], [here]),
        Case("sni present", {"sni": "present"}, [here], []),
        Case("schedule always", {"schedule": EVERY_DAY}, [here], []),
        Case("schedule never", {"schedule": f"{ANOTHER_DAY} 00:00-24:00"}, [], [here]),
        Case("all must hold", {"client": ADDRESS[v], "port": 443, "alpn": "h2"}, [here],
             [second, dict(port=8443), dict(hello=dict(alpn=("imap",)))]),
        Case("except a client", {}, [second], [here], except_=[{"client": ADDRESS[v]}]),
        Case("except two sets", {}, [dict(source=ADDRESS[v], port=443)],
             [dict(source=ADDRESS[v], port=8443), second], except_=[{"client": SECOND[v]}, {"port": 8443}]),
        Case("except needs all of one set", {}, [dict(source=ADDRESS[v], port=443), dict(source=SECOND[v], port=8443)],
             [dict(source=ADDRESS[v], port=8443)], except_=[{"client": ADDRESS[v], "port": 8443}]),
        Case("except by alpn", {"client": net}, [here], [dict(hello=dict(alpn=("imap",)))], except_=[{"alpn": "imap"}]),
    ]


def rules_of(all_cases):
    return "".join(tls_rule(c.name, "terminate", {"host": c.host, **c.when}, c.except_) for c in all_cases)


ALL = [(v, case.name) for v in (V4, V6) for case in cases(v)]


@pytest.fixture(scope="module")
def many_rules(lab):
    """One daemon for all cases: each has a host of its own, so they do not get in each other's way."""
    config = lab.config(rules_of(cases(V4)).replace('name = "', 'name = "v4 ').replace(".case.", ".case4.") +
                        rules_of(cases(V6)).replace('name = "', 'name = "v6 ').replace(".case.", ".case6."))
    lab.kernel_up(config)
    daemon = Daemon(lab, config)
    yield daemon
    daemon.stop()


@pytest.mark.parametrize("v,name", ALL, ids=[f"{name.replace(' ', '-')}-ipv{v}" for v, name in ALL])
def test_S19_S21_conditions(lab, many_rules, listen, connect, syns, v, name):
    lab.kernel_up(many_rules.config)
    case = next(c for c in cases(v) if c.name == name)
    host = case.host.replace(".case.", f".case{v}.")
    for wanted, connections in (("terminate", case.holds), ("tunnel-sni", case.fails)):
        for how in connections:
            port = how.get("port", 443)
            origin = listen(v, port)
            space = lab.guest if how.get("space") == "guest" else None
            client = connect(v, origin.address, port, source=how.get("source"), space=space)
            first = hello.client_hello(host, **how.get("hello", {}))
            if wanted == "terminate":
                assert_closed_unserved(client, syns, origin, first)
            else:
                assert_passes(origin, client, first).close()
            client.close()
            record = many_rules.record_of(client)
            assert (record["action"], record["tls_rule"]) == \
                (wanted, f"v{v} {name}" if wanted == "terminate" else "default"), how
            assert record["interface"] == ("lan1" if space else "lan0")
