"""S26, S31: the block page in a real Chromium: over plain HTTP, and over HTTPS below our CA; light and dark, wide and narrow.

What is compared of a screenshot is what it shows: the colour of its paper, and that there is ink on it.
"""

import base64
import collections
import struct
import zlib

import pytest
from lab import V4, V6, access_rule
from test_14_chromium import Chromium, chromium  # noqa: F401  (a fixture)

BLOCKED, MOVED = "blocked.example", "moved.example"
LIGHT, DARK = (0xF4, 0xF5, 0xF7), (0x14, 0x17, 0x1A)
RULES = (access_rule("no games", "block", {"host": BLOCKED}, [{"method": "CONNECT"}]) +
         access_rule("moved away", "redirect", {"host": MOVED}, [{"method": "CONNECT"}], to="@SCHEME@://www.example.com/?from=%URL%") +
         '[page]\nserver = "gw.example"\n')


def pixels(png):
    """width, height, and a function (x, y) -> (r, g, b), of an 8-bit PNG without interlace (PNG specification, section 9)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, header = 8, b"", None
    while at < len(png):
        size, kind = struct.unpack("!I4s", png[at:at + 8])
        data = png[at + 8:at + 8 + size]
        header = struct.unpack("!IIBBBBB", data) if kind == b"IHDR" else header
        packed += data if kind == b"IDAT" else b""
        at += size + 12
    width, height, depth, colour, _, _, interlace = header
    assert depth == 8 and colour in (2, 6) and interlace == 0
    step = 3 if colour == 2 else 4
    data, stride = zlib.decompress(packed), width * step
    rows, above = [], bytes(stride)
    for y in range(height):
        kind, line = data[y * (stride + 1)], bytearray(data[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            left, up = line[i - step] if i >= step else 0, above[i]
            corner = above[i - step] if i >= step else 0
            if kind == 1:
                add = left
            elif kind == 2:
                add = up
            elif kind == 3:
                add = (left + up) // 2
            elif kind == 4:
                guess = left + up - corner
                add = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
            else:
                add = 0
            line[i] = (line[i] + add) & 255
        rows.append(bytes(line))
        above = line
    return width, height, lambda x, y: tuple(rows[y][x * step:x * step + 3])


def look(browser, scheme, width, height):
    """What a screenshot of that size shows: the colour of its corner, and how many pixels are of another."""
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    png = base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"])
    seen_width, seen_height, at = pixels(png)
    assert (seen_width, seen_height) == (width, height)
    colours = collections.Counter(at(x, y) for x in range(0, width, 2) for y in range(0, height, 2))
    return at(0, height - 1), colours


def luminance(colour):
    """Relative luminance (WCAG 2.2)."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def check_that_text_is_seen(browser):
    """A screenshot of a light page that is not ours: nearly all of it paper, and some lines of ink."""
    paper, colours = look(browser, "light", 600, 400)
    assert luminance(paper) > 0.9, paper
    ink = sum(count for colour, count in colours.items() if contrast(colour, paper) > 4.5)
    assert 20 < ink < sum(colours.values()) // 2, colours.most_common(5)


STYLES = """[...document.querySelectorAll("h1, p, dt, dd")].map(it => {
  const style = getComputedStyle(it);
  return [it.tagName, style.color, getComputedStyle(document.querySelector("main")).backgroundColor, parseFloat(style.fontSize)];
})"""


def rgb(text):
    return tuple(int(number) for number in text[text.index("(") + 1:-1].split(",")[:3])


@pytest.fixture(params=[("http", V4), ("https", V6)], ids=["plain", "bumped"])
def visited(request, bump, site, pki, chromium):  # noqa: F811
    """A Chromium that trusts our CA, in front of a gateway that blocks one name and redirects another."""
    scheme, version = request.param
    identity = pki.issue("pages", sans=f"DNS:www.example.com,DNS:{BLOCKED},DNS:{MOVED}")
    origin = site(version, identity if scheme == "https" else None)
    daemon = bump(RULES.replace("@SCHEME@", scheme))
    browser = chromium(dict.fromkeys(("www.example.com", BLOCKED, MOVED), origin.address), trusted=pki.gateway_ca.certificate)
    return scheme, daemon, origin, browser


def test_S31_chromium_shows_the_page(visited):
    scheme, _, origin, browser = visited
    assert browser.visit(f"{scheme}://{BLOCKED}/games?<b>") is None
    response = browser.responses()[f"{scheme}://{BLOCKED}/games?%3Cb%3E"]
    assert (response["status"], response["mimeType"]) == (403, "text/html")
    if scheme == "https":
        assert (response["securityState"], response["securityDetails"]["issuer"]) == ("secure", "Sluice Test CA")
    shown = browser.shown()
    for text in ("This page is blocked", f"{scheme}://{BLOCKED}/games?%3Cb%3E", "no games", "gw.example"):
        assert text in shown
    assert browser.evaluate("document.title") == "This page is blocked"
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate("document.querySelectorAll('main, h1').length") == 2
    assert [request for request in origin.requests if request.get("host").startswith(BLOCKED)] == []

    # A wide screen, and a phone; each in light and dark.
    for width, height in ((1000, 800), (360, 740)):
        for media, paper in (("light", LIGHT), ("dark", DARK)):
            corner, colours = look(browser, media, width, height)
            assert corner == paper, (media, width)
            ink = sum(count for colour, count in colours.items() if contrast(colour, paper) > 4.5)
            assert ink > 500, (media, width, colours.most_common(5))
            for tag, colour, behind, size in browser.evaluate(STYLES):
                assert contrast(rgb(colour), rgb(behind)) >= 7, (media, tag)  # WCAG 2.2, level AAA
                assert size >= 14, tag
        assert browser.evaluate("document.documentElement.scrollWidth") <= width  # nothing to be scrolled sideways
    # Nothing else was asked for but the icon that browsers want of every site.
    asked = {url for url in browser.responses() if BLOCKED in url}
    assert asked <= {f"{scheme}://{BLOCKED}/games?%3Cb%3E", f"{scheme}://{BLOCKED}/favicon.ico"}


def test_S31_chromium_follows_the_redirect(visited):
    scheme, daemon, origin, browser = visited
    assert browser.visit(f"{scheme}://{MOVED}/old?x=1") is None
    assert browser.evaluate("location.href") == f"{scheme}://www.example.com/?from={scheme}%3A%2F%2F{MOVED}%2Fold%3Fx%3D1"
    assert "hello from the origin" in browser.shown()
    assert {request.get("host") for request in origin.requests} == {"www.example.com"}
    check_that_text_is_seen(browser)  # the origin's page, dark on white
    browser.close()
    assert 302 in {record["status"] for record in daemon.records("request")}


def test_S26_chromium_shows_the_page_of_a_blocked_connection(bump, chromium, site, pki):  # noqa: F811
    """`access.https_page`: the rule blocks the connection itself; a certificate of ours carries the page, and no origin is asked."""
    daemon = bump(access_rule("no games", "block", {"host": BLOCKED}), access={"https_page": True})
    origin = site(V4, pki.site(BLOCKED))
    browser = chromium({BLOCKED: origin.address}, trusted=pki.gateway_ca.certificate)
    assert browser.visit(f"https://{BLOCKED}/games") is None
    response = browser.responses()[f"https://{BLOCKED}/games"]
    assert (response["status"], response["securityState"]) == (403, "secure")
    assert (response["securityDetails"]["issuer"], response["securityDetails"]["sanList"]) == ("Sluice Test CA", [BLOCKED])
    assert "This page is blocked" in browser.shown() and "no games" in browser.shown()
    corner, _ = look(browser, "light", 600, 600)
    assert corner == LIGHT
    browser.close()
    assert origin.visits == []
    assert {record["access_rule"] for record in daemon.records("request")} == {"no games"}


@pytest.mark.parametrize("version", [V4, V6], ids=["ipv4", "ipv6"])
def test_S23_chromium_cannot_reach_what_is_blocked_by_its_name(bump, chromium, site, pki, version):  # noqa: F811
    """Without bump there is nothing that a page could be shown in: the connection is reset, and the browser says so. Another name passes."""
    daemon = bump(access_rule("no games", "block", {"host": BLOCKED}), tls={"default_action": "tunnel-sni"})
    origin = site(version, pki.issue("pages", sans=f"DNS:www.example.com,DNS:{BLOCKED},DNS:{MOVED}"))
    browser = chromium(dict.fromkeys(("www.example.com", BLOCKED), origin.address), trusted=pki.root.certificate)
    assert browser.visit(f"https://{BLOCKED}/games") in ("net::ERR_CONNECTION_RESET", "net::ERR_CONNECTION_CLOSED")
    shown = browser.shown()
    assert "This page is blocked" not in shown and "ERR_CONNECTION_" in shown
    assert f"https://{BLOCKED}/games" not in browser.responses()
    check_that_text_is_seen(browser)
    assert origin.visits == []
    assert browser.visit("https://www.example.com/") is None
    assert "hello from the origin" in browser.shown()
    assert browser.responses()["https://www.example.com/"]["securityDetails"]["issuer"] == "Intermediate"  # no certificate of ours
    browser.close()
    blocked = [record for record in daemon.records() if record["host"] == BLOCKED]
    assert blocked and {(r["action"], r["access_rule"], r["close"], r["bytes_up"]) for r in blocked} == {("block", "no games", "rule_block", 0)}
