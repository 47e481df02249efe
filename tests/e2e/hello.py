"""ClientHellos made by hand (RFC 8446 section 4.1.2), cut into records and segments as a test likes, and an
independent reading of them: JA4 after FoxIO's definition, written apart from the daemon's so that they check each other.
"""

import hashlib
import ssl
import struct

GREASE = 0x0A0A
VERSIONS = {"1.0": 0x0301, "1.1": 0x0302, "1.2": 0x0303, "1.3": 0x0304}

SNI, GROUPS, POINT_FORMATS, SIGNATURES, ALPN, PADDING, SESSION_TICKET = 0, 10, 11, 13, 16, 21, 35
SUPPORTED_VERSIONS, KEY_SHARE, ECH = 43, 51, 0xFE0D


def _vector(width, data):
    return len(data).to_bytes(width, "big") + data


def _u16s(values):
    return b"".join(struct.pack("!H", v) for v in values)


def sni_extension(name):
    name = name if isinstance(name, bytes) else name.encode()
    return SNI, _vector(2, b"\0" + _vector(2, name))


def message(sni="allowed.example", *, versions=(0x0304, 0x0303), legacy_version=0x0303, alpn=("h2", "http/1.1"),
            ciphers=(0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F), groups=(0x001D, 0x0017), key_shares=None, ech=False,
            grease=False, padding=0, more=()):
    """The handshake message of a ClientHello. `key_shares`: {group: the key, or its size}; `more`: further extensions."""
    extensions = []
    if grease:
        extensions.append((GREASE, b""))
    if sni is not None:
        extensions.append(sni_extension(sni))
    extensions.append((GROUPS, _vector(2, _u16s(([GREASE] if grease else []) + list(groups)))))
    extensions.append((POINT_FORMATS, b"\x01\x00"))
    extensions.append((SIGNATURES, _vector(2, _u16s([0x0403, 0x0804, 0x0401]))))
    if alpn:
        names = [a if isinstance(a, bytes) else a.encode() for a in alpn]
        extensions.append((ALPN, _vector(2, b"".join(_vector(1, a) for a in names))))
    if versions:
        extensions.append((SUPPORTED_VERSIONS, _vector(1, _u16s(([GREASE] if grease else []) + list(versions)))))
    if VERSIONS["1.3"] in (versions or ()):
        shares = key_shares or {0x001D: 32}
        body = b"".join(struct.pack("!H", group) + _vector(2, bytes(share)) for group, share in shares.items())
        extensions.append((KEY_SHARE, _vector(2, body)))
    if ech:
        # Outer ECHClientHello (RFC 9849 section 5): HKDF-SHA256, AES-128-GCM, config 7, an enc and a payload.
        extensions.append((ECH, b"\x00" + _u16s([1, 1]) + b"\x07" + _vector(2, bytes(32)) + _vector(2, bytes(144))))
    extensions += list(more)
    if padding:
        extensions.append((PADDING, bytes(padding)))
    body = struct.pack("!H", legacy_version) + bytes(range(32)) + _vector(1, bytes(32))
    body += _vector(2, _u16s(([GREASE] if grease else []) + list(ciphers))) + b"\x01\x00"
    body += _vector(2, b"".join(struct.pack("!H", kind) + _vector(2, data) for kind, data in extensions))
    return b"\x01" + _vector(3, body)


def records(handshake, size=16384, version=0x0301):
    """The message in TLS records of at most `size` bytes each."""
    pieces = [handshake[i:i + size] for i in range(0, len(handshake), size)]
    return b"".join(b"\x16" + struct.pack("!H", version) + _vector(2, piece) for piece in pieces)


def client_hello(*args, record_size=16384, **kwargs):
    return records(message(*args, **kwargs), record_size)


def from_openssl(name, alpn=None):
    """The bytes that Python's own TLS stack (OpenSSL) would send first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def is_grease(value):
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def ja4(stream):
    """JA4 over TCP of a ClientHello given as records."""
    handshake, at = b"", 0
    while at < len(stream):
        size = int.from_bytes(stream[at + 3:at + 5], "big")
        handshake += stream[at + 5:at + 5 + size]
        at += 5 + size
    body = handshake[4:4 + int.from_bytes(handshake[1:4], "big")]
    at = 34
    at += 1 + body[at]
    size = int.from_bytes(body[at:at + 2], "big")
    ciphers = list(struct.unpack(f"!{size // 2}H", body[at + 2:at + 2 + size]))
    at += 2 + size
    at += 1 + body[at]
    end = at + 2 + int.from_bytes(body[at:at + 2], "big")
    at += 2
    extensions = []
    while at < end:
        kind, size = struct.unpack("!HH", body[at:at + 4])
        extensions.append((kind, body[at + 4:at + 4 + size]))
        at += 4 + size
    by_kind = dict(extensions)
    ciphers = [c for c in ciphers if not is_grease(c)]
    kinds = [k for k, _ in extensions if not is_grease(k)]
    version = struct.unpack("!H", body[:2])[0]
    if SUPPORTED_VERSIONS in by_kind:
        data = by_kind[SUPPORTED_VERSIONS][1:]
        version = max(v for v in struct.unpack(f"!{len(data) // 2}H", data) if not is_grease(v))
    version = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}.get(version, "00")
    alpn = "00"
    if len(by_kind.get(ALPN, b"")) > 3:
        first = by_kind[ALPN][3:3 + by_kind[ALPN][2]]
        def printable(byte):
            return chr(byte).isascii() and chr(byte).isalnum()
        alpn = chr(first[0]) + chr(first[-1]) if printable(first[0]) and printable(first[-1]) \
            else first.hex()[0] + first.hex()[-1]
    signatures = []
    if SIGNATURES in by_kind:
        data = by_kind[SIGNATURES][2:]
        signatures = [s for s in struct.unpack(f"!{len(data) // 2}H", data) if not is_grease(s)]

    def digest(text):
        return hashlib.sha256(text.encode()).hexdigest()[:12] if text else "0" * 12

    def hexes(values):
        return ",".join(f"{v:04x}" for v in values)

    last = hexes(sorted(k for k in kinds if k not in (SNI, ALPN)))
    if last and signatures:
        last += "_" + hexes(signatures)
    return (f"t{version}{'d' if SNI in by_kind else 'i'}{min(len(ciphers), 99):02}{min(len(kinds), 99):02}{alpn}_"
            f"{digest(hexes(sorted(ciphers)))}_{digest(last)}")
