"""What the reactor says of a connection's TLS (frame.h, `sw_tls`), as apps see it: ASGI's `tls` extension, and the
variables that mod_ssl made usual.

It owns the texts that certificates become. The certificates of clients were verified in the master; their bytes are
read only here, in the worker. Pure, and once a connection.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

from swhttp.ipc.tlsfacts import unpack

_PROTOCOLS: Final = {0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_VERSION_TAG: Final = 0xA0  # [0], before the serial number of a certificate of version 2 or 3
_TEXTS: Final = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}
_SHORT_NAMES: Final = {
    "2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C",
    "2.5.4.9": "STREET", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID"}
"""RFC 4514 §3"""


def asgi(record: bytes) -> dict[str, Any]:
    """ASGI's TLS extension (https://asgi.readthedocs.io/en/latest/specs/tls.html).

    There is no `client_cert_error`: with a certificate that cannot be verified there is no connection.
    """
    facts = unpack(record)
    return {
        "server_cert": pem(facts.server), "client_cert_chain": tuple(map(pem, facts.clients)),
        "client_cert_name": subject(facts.clients[0]) if facts.clients else None, "client_cert_error": None,
        "tls_version": facts.version, "cipher_suite": facts.cipher}


def environ(record: bytes) -> dict[str, str]:
    """mod_ssl's variables."""
    facts = unpack(record)
    found = {"SSL_PROTOCOL": _PROTOCOLS.get(facts.version, ""), "SSL_CIPHER": facts.name}
    if facts.clients:
        name = subject(facts.clients[0]) or ""
        found |= {"SSL_CLIENT_CERT": pem(facts.clients[0]), "SSL_CLIENT_VERIFY": "SUCCESS",
                  "SSL_CLIENT_S_DN": name.encode("utf-8").decode("latin-1")}
    else:
        found["SSL_CLIENT_VERIFY"] = "NONE"
    return found


def pem(der: bytes) -> str:
    """RFC 7468 §5"""
    text = base64.b64encode(der).decode("ascii")
    lines = [text[at:at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


# ---- a certificate's subject (RFC 5280 §4.1) as text (RFC 4514)

def subject(certificate: bytes) -> str | None:
    """The subject's name; None: it cannot be read."""
    try:
        (_, outer, _), = _values(certificate)
        (_, inner, _), *_ = _values(outer)
        fields = list(_values(inner))
        if fields[0][0] == _VERSION_TAG:
            del fields[0]
        # serial number, signature, issuer, validity, subject
        return _name(fields[4][1])
    except (ValueError, IndexError):
        return None


def _values(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, content and the whole encoding of each value (X.690 §8.1, DER). Raises ValueError."""
    at = 0
    while at < len(data):
        if len(data) - at < 2 or data[at] & 0x1F == 0x1F:
            raise ValueError("cut short, or a tag of several bytes")
        start, tag, length = at, data[at], data[at + 1]
        at += 2
        if length >= 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise ValueError("no definite length")
            length = int.from_bytes(data[at:at + size], "big")
            at += size
        if length > len(data) - at:
            raise ValueError("cut short")
        yield tag, data[at:at + length], data[start:at + length]
        at += length


def _name(data: bytes) -> str:
    """The last part comes first (RFC 4514 §2.1)."""
    parts = []
    for tag, content, _ in _values(data):
        if tag != _SET:
            raise ValueError("no relative distinguished name")
        parts.append("+".join(_attribute(pair) for one, pair, _ in _values(content) if one == _SEQUENCE))
    return ",".join(reversed(parts))


def _attribute(pair: bytes) -> str:
    (_, numbers, _), (tag, content, whole) = _values(pair)
    oid = _oid(numbers)
    if oid in _SHORT_NAMES and tag in _TEXTS:
        return f"{_SHORT_NAMES[oid]}={_escaped(content.decode(_TEXTS[tag]))}"
    return f"{oid}=#{whole.hex()}"


def _oid(content: bytes) -> str:
    numbers, value = [], 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))


def _escaped(text: str) -> str:
    """RFC 4514 §2.4"""
    shown = "".join(f"\\{one}" if one in '"+,;<>\\' else "\\00" if one == "\0" else one for one in text)
    if shown.endswith(" ") and len(shown) > 1:
        shown = shown[:-1] + "\\ "
    return "\\" + shown if shown[:1] in ("#", " ") else shown
