"""The include graph, and that the reader of it would notice an offence."""

import pathlib

import pytest

import include_graph

SRC = pathlib.Path(__file__).resolve().parents[2] / "src"
ROOMS = sorted({include_graph.room_of(path.relative_to(SRC)) for path in include_graph.sources(SRC)})


def test_there_are_sources_to_look_at():
    assert "base" in ROOMS and len(include_graph.sources(SRC)) > 10


@pytest.mark.parametrize("room", ROOMS)
def test_room_includes_only_what_it_may(room):
    mine = [offence for offence in include_graph.offences(SRC) if include_graph.room_of(offence.split(":")[0]) == room]
    assert not mine, "\n".join(mine)


BAD = {
    "a room includes one above it": {"io/a.h": '#include "flow/b.h"', "flow/b.h": ""},
    "two rooms of L1 meet": {"rules/a.h": '#include "hello/b.h"', "hello/b.h": ""},
    "tls meets io": {"tls/a.cc": '#include "io/b.h"', "io/b.h": ""},
    "io meets tls": {"io/a.cc": '#include "tls/b.h"', "tls/b.h": ""},
    "rules reads config": {"rules/a.cc": '#include "config/b.h"', "config/b.h": ""},
    "a pure room sees sockets": {"hello/a.cc": "#include <sys/socket.h>"},
    "a pure room sees the ring": {"record/a.cc": "#  include <liburing.h>"},
    "a pure room sees wolfSSL": {"rules/a.cc": "#include <wolfssl/ssl.h>"},
    "flow sees sockets": {"flow/a.cc": "#include <sys/socket.h>"},
    "flow sees llhttp": {"flow/a.cc": "#include <llhttp.h>"},
    "flow sees wolfSSL": {"flow/a.cc": "#include <wolfssl/ssl.h>"},
    "a pure room reads a clock": {"rules/a.cc": "auto t = std::chrono::steady_clock::now();"},
    "a pure room throws dice": {"http/a.cc": "int n = rand ();"},
    "a room nobody drew": {"attic/a.cc": ""},
    "a header that is not there": {"io/a.cc": '#include "b.h"'},
    "rooms of L4 in a ring": {"cli/a.cc": '#include "control/b.h"', "control/b.h": '#include "cli/c.h"', "cli/c.h": ""},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_an_offence_is_noticed(name, tmp_path):
    for path, text in BAD[name].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    assert include_graph.offences(tmp_path)


def test_what_is_allowed_is_not_an_offence(tmp_path):
    files = {
        "base/a.h": "#include <arpa/inet.h>",
        "hello/a.h": '#include "base/a.h"\n// never std::time(nullptr) here\n',
        "rules/a.h": '#include "base/a.h"',
        "config/a.h": '#include "rules/a.h"',
        "io/a.h": '#include <liburing.h>\n#include <sys/socket.h>\n#include "base/a.h"',
        "tls/a.h": '#include <wolfssl/ssl.h>\n#include "base/a.h"',
        "flow/a.h": '#include "io/a.h"\n#include "tls/a.h"\n#include "hello/a.h"\n#include "config/a.h"',
        "worker/a.h": '#include "flow/a.h"',
        "control/a.h": '#include "worker/a.h"',
        "main.cc": '#include "control/a.h"',
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    assert include_graph.offences(tmp_path) == []
