"""S19, S25, S33: rules over what a body is, whatever it is called, however it is coded and cut, in both directions.

    client ◄─ the page (403), or the body as it came ── gateway: decodes a copy, looks at 8 KiB ── origin: body, in any Content-Encoding
"""

import gzip
import hashlib
import itertools
import zlib

import pytest
from bump_peers import answer
from lab import access_rule

PROGRAM = b"MZ".ljust(60, b"\0") + (128).to_bytes(4, "little") + bytes(64) + b"PE\0\0" + bytes(300)
TEXT = b"just words, and nothing that runs. " * 30
RULE = access_rule("no programs", "block", {"file_type": "executable", "direction": "response"})


def bare_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def brotli(data):
    """One block of bytes as they are (RFC 7932 section 9.2), and the empty last one."""
    assert 1 < len(data) <= 65536
    return ((len(data) - 1) << 4 | 1 << 20).to_bytes(3, "little") + data + b"\x03"


def zstd(data):
    """A frame of one raw block (RFC 8878 section 3.1.1): its size in two bytes, minus 256."""
    assert 256 <= len(data) < 65536
    return b"\x28\xb5\x2f\xfd\x60" + (len(data) - 256).to_bytes(2, "little") + (1 | len(data) << 3).to_bytes(3, "little") + data


CODINGS = {
    "identity": lambda data: data,
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:]),  # two members
    "deflate": zlib.compress,
    "Deflate": bare_deflate,
    "br": brotli,
    "zstd": zstd,
    "gzip, br": lambda data: brotli(gzip.compress(data)),
    "zstd , identity,deflate": lambda data: zlib.compress(zstd(data)),
}


def response(coding, body, *, chunked=False):
    fields = ["Content-Type: text/plain", f"Content-Encoding: {coding}"]  # what it says of itself is not believed
    if not chunked:
        return answer(body, "200 OK", *fields)
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *fields]).encode() + b"\r\n\r\n"
    pieces = [body[at:at + 7] for at in range(0, len(body), 7)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_S19_a_program_is_blocked_in_every_coding_and_text_passes(web):
    """The text arrives byte for byte as the origin has coded it, and the connection is used on and on."""
    daemon = web.start(RULE)
    bodies = {}
    for number, (coding, chunked, what) in enumerate(itertools.product(CODINGS, (False, True), (PROGRAM, TEXT))):
        bodies[f"/{number}"] = (what, CODINGS[coding](what), response(coding, CODINGS[coding](what), chunked=chunked), coding)
    site = web.site(lambda request: bodies[request.target][2])
    client = web.open(site)
    for path, (what, coded, _, coding) in bodies.items():
        page = client.get(path, "Accept: text/html")
        if what is PROGRAM:
            assert (path, coding, page.status, page.get("content-encoding")) == (path, coding, 403, None)
            assert b"no programs" in page.body and b"MZ" not in page.body
        else:
            assert (path, page.status, page.get("content-encoding"), page.body) == (path, 200, coding, coded)
    client.stream.close()
    logged = daemon.requests_of(client.port)
    assert [r["status"] for r in logged] == [403 if what is PROGRAM else 200 for what, *_ in bodies.values()]
    assert {r["access_rule"] for r in logged if r["status"] == 403} == {"no programs"}


# Its first 15 bytes, with the MZ, are a whole deflate stream of the word "abc", so that a decoder does not come to the rest.
TWO_THINGS = bytes.fromhex("4d5a810800000062fdff0505970175") + PROGRAM[15:]
IN_DEFLATE = "Content-Encoding: deflate"
NAMED = "Connection: keep-alive, Content-Encoding"


@pytest.mark.parametrize("fields", [(), (IN_DEFLATE,), (IN_DEFLATE, NAMED)])
def test_S19_a_program_is_one_with_and_without_its_coding(web, fields):
    """A client that does not decode what it did not ask for has the program; so would one from which Content-Encoding were taken away."""
    assert zlib.decompressobj(-15).decompress(TWO_THINGS) == b"abc"
    daemon = web.start(access_rule("no programs", "block", {"file_type": "executable"}))
    site = web.site(lambda request: answer(b"ok" if request.body else TWO_THINGS, "200 OK", "Content-Type: text/plain", *fields))
    client = web.open(site)
    assert client.get("/down").status == 403
    assert client.get("/up", *fields, method="POST", body=TWO_THINGS).status == 403
    assert [request.target for request in site.requests] == ["/down"]
    client.stream.close()
    assert [r["access_rule"] for r in daemon.requests_of(client.port)] == ["no programs"] * 2


def test_S19_a_rule_that_allows_goes_by_the_decoded_body(web):
    """Text to a browser, although it looks like a program as it comes: it is not what the rule lets in."""
    bodies = {"/program": zlib.compress(PROGRAM), "/two": TWO_THINGS[:15]}
    web.start(access_rule("programs", "allow", {"file_type": "executable"}) + access_rule("nothing else", "block", {"direction": "response"}))
    client = web.open(web.site(lambda request: answer(bodies[request.target], "200 OK", IN_DEFLATE)))
    assert client.get("/program").body == bodies["/program"]
    assert client.get("/two").status == 403


@pytest.mark.parametrize("digest", ["md5", "sha256"])
def test_S19_a_hash_may_be_that_of_the_body_as_it_came(web, digest):
    web.start(access_rule("that file", "block", {digest: hashlib.new(digest, TWO_THINGS[:15]).hexdigest()}))
    client = web.open(web.site(lambda request: answer(TWO_THINGS[:int(request.target[1:])], "200 OK", IN_DEFLATE)))
    assert client.get("/15").status == 403
    assert client.get("/16").status == 200  # another file


def test_S33_nothing_but_padding_may_follow_a_coded_body(web):
    web.start(RULE)
    forms = itertools.product(["gzip", "deflate", "br"], [b"", bytes(100), b"\r\n", PROGRAM])
    bodies = {f"/{n}": (coding, CODINGS[coding](TEXT) + tail) for n, (coding, tail) in enumerate(forms)}
    client = web.open(web.site(lambda request: response(*bodies[request.target])))
    for path, (coding, body) in bodies.items():
        page = client.get(path)
        assert (path, coding, page.status) == (path, coding, 403 if body.endswith(PROGRAM) else 200)


UNREADABLE = {
    "a coding that nobody knows": ("sdch", PROGRAM),
    "text that claims to be gzip": ("gzip", TEXT),
    "gzip that is broken": ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 50),
    "gzip that ends too soon": ("gzip", gzip.compress(PROGRAM)[:14]),
    "more codings than anybody uses": ("gzip, gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(gzip.compress(TEXT))))),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_S19_what_cannot_be_read_is_not_let_through_by_a_rule_that_forbids(web, name):
    coding, body = UNREADABLE[name]
    daemon = web.start(RULE)
    site = web.site(lambda request: response(coding, body))
    client = web.open(site)
    page = client.get("/", "Accept: text/html")
    assert page.status == 403, name
    assert body not in page.body
    client.stream.close()
    (logged,) = daemon.requests_of(client.port)
    assert (logged["action"], logged["access_rule"]) == ("block", "no programs")


def test_S19_types_by_content_and_their_classes(web):
    """A docx is a zip and no archive; a script is a script whatever it is called."""
    stored = b"PK\x03\x04\x14\0\0\0\0\0" + bytes(16)

    def zip_of(name, data=b"x"):
        size = len(data).to_bytes(4, "little")
        return stored[:18] + size + size + len(name).to_bytes(2, "little") + b"\0\0" + name + data

    files = {
        "/plain.zip": (zip_of(b"a.txt"), "archive"),
        "/letter.docx": (zip_of(b"word/document.xml"), None),
        "/picture.png": (b"#!/bin/sh\necho hi\n", "script"),
        "/script.sh": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None),
        "/film": (b"\0\0\0\x18ftypisom\0\0\0\0mp42avc1", "film"),
        "/none": (b"", None),
    }
    daemon = web.start(access_rule("archive", "block", {"file_type": "archive"}) + access_rule("script", "block", {"file_type": "script"}) +
                       access_rule("film", "redirect", {"file_type": ["mp4", "webm"]}, to="https://intranet.example/?%URL%"))
    site = web.site(lambda request: answer(files[request.target][0]))
    client = web.open(site)
    for path, (body, rule) in files.items():
        page = client.get(path)
        assert (path, page.status) == (path, 200 if rule is None else 302 if rule == "film" else 403)
        assert rule is not None or page.body == body
    client.stream.close()
    logged = daemon.requests_of(client.port)
    assert [r.get("access_rule") if r["status"] != 200 else None for r in logged] == [rule for _, rule in files.values()]


@pytest.mark.parametrize("digest", ["md5", "sha256"])
def test_S19_a_hash_is_of_the_decoded_body(web, digest):
    web.start(access_rule("that file", "block", {digest: hashlib.new(digest, TEXT).hexdigest()}))
    bodies = {"/gzip": gzip.compress(TEXT), "/other": gzip.compress(TEXT + b"x")}
    site = web.site(lambda request: response("gzip", bodies[request.target]))
    client = web.open(site)
    assert client.get("/gzip").status == 403
    other = client.get("/other")
    assert (other.status, other.body) == (200, bodies["/other"])


def test_S19_an_upload_is_judged_before_its_origin_hears_of_it(web):
    daemon = web.start(access_rule("no programs out", "block", {"file_type": "executable", "direction": "request"}))
    site = web.site(lambda request: answer(request.body, "200 OK"))
    client = web.open(site)
    assert client.get("/down-is-fine").status == 200
    page = client.get("/up", "Content-Encoding: gzip", method="POST", body=gzip.compress(PROGRAM))
    assert page.status == 403
    allowed = client.get("/up", method="POST", body=TEXT)
    assert (allowed.status, allowed.body) == (200, TEXT)
    assert [request.target for request in site.requests] == ["/down-is-fine", "/up"]
    client.stream.close()
    assert [r["status"] for r in daemon.requests_of(client.port)] == [200, 403, 200]


def test_S33_a_late_verdict_is_a_cut_and_never_a_clean_end(web):
    """A body longer than http.hold_limit begins before its hash is known: what it ends in stays back, and the end is a reset."""
    body = bytes(i * 7 % 251 for i in range(200_000))
    daemon = web.start(access_rule("that file", "block", {"sha256": hashlib.sha256(body).hexdigest()}), http={"hold_limit": "16 KiB"})
    site = web.site(lambda request: answer(body))
    client = web.open(site)
    client.ask("/big")
    with pytest.raises(ConnectionResetError):
        client.reader.response()
    record = daemon.record_of(client.port)
    assert record["close"] == "rule_block"
    (logged,) = daemon.requests_of(client.port)
    assert (logged["access_rule"], logged["action"]) == ("that file", "block")
    assert logged["bytes_down"] <= len(body) - 16 * 1024
