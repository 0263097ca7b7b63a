"""Headers of the PROXY protocol, versions 1 and 2, as a proxy writes them (HAProxy's proxy-protocol.txt)."""

from __future__ import annotations

import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
UNSPEC, TCP4, UDP4, TCP6, UDP6, UNIX = 0x00, 0x11, 0x12, 0x21, 0x22, 0x31
TYPE_AUTHORITY, TYPE_CRC32C, TYPE_NOOP, TYPE_SSL = 0x02, 0x03, 0x04, 0x20
SOURCE, TARGET = ("192.0.2.7", 51234), ("198.51.100.1", 443)

End = tuple[str, int]


def v1(source: End = SOURCE, target: End = TARGET) -> bytes:
    """A header of version 1."""
    family = "TCP6" if ":" in source[0] else "TCP4"
    return f"PROXY {family} {source[0]} {target[0]} {source[1]} {target[1]}\r\n".encode()


def v2(source: End = SOURCE, target: End = TARGET, tlvs: bytes = b"") -> bytes:
    """A header of version 2."""
    ends = [ipaddress.ip_address(source[0]), ipaddress.ip_address(target[0])]
    addresses = b"".join(end.packed for end in ends) + struct.pack(">HH", source[1], target[1])
    return v2_raw(PROXY, TCP6 if ends[0].version == 6 else TCP4, addresses + tlvs)


def v2_raw(command: int, family: int, rest: bytes) -> bytes:
    """A header of version 2 with whatever it is to hold."""
    return SIGNATURE + struct.pack(">BBH", command, family, len(rest)) + rest


def tlv(kind: int, value: bytes = b"") -> bytes:
    """One type-length-value of a version 2 header."""
    return struct.pack(">BH", kind, len(value)) + value


def tls(client: int = 1) -> bytes:
    """The TLV of a client that came by TLS."""
    return tlv(TYPE_SSL, struct.pack(">BI", client, 0) + tlv(0x21, b"TLSv1.3"))


def with_checksum(header: bytes, wrong: int = 0) -> bytes:
    """The same header with a CRC32C of all of it; `wrong` is added to the sum."""
    longer = struct.unpack(">H", header[14:16])[0] + 7
    header = header[:14] + struct.pack(">H", longer) + header[16:] + tlv(TYPE_CRC32C, bytes(4))
    return header[:-4] + struct.pack(">I", (crc32c(header) + wrong) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """RFC 4960, appendix B, by long division."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ 0x82F63B78 if remainder & 1 else remainder >> 1
    return remainder ^ 0xFFFFFFFF
