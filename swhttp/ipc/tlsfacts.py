"""What was agreed upon with a TLS client, on its way to the worker: frame.h, `sw_tls` and what follows it. Pure.

The master writes it once a connection, and puts a copy into each request block.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

_HEAD: Final = struct.Struct("=HHHHII")
_LENGTH: Final = struct.Struct("=I")


@dataclass(frozen=True)
class Facts:
    """`version`, `cipher`: numbers on the wire; `name`: the cipher's, as OpenSSL calls it; `server`: the certificate
    that was shown; `clients`: those that came, the client's own first. All DER."""

    version: int
    cipher: int
    name: str
    server: bytes
    clients: tuple[bytes, ...]


def pack(facts: Facts) -> bytes:
    """As it stands in a request block."""
    chain = b"".join(_LENGTH.pack(len(one)) + one for one in facts.clients)
    name = facts.name.encode("ascii")
    head = _HEAD.pack(facts.version, facts.cipher, len(name), len(facts.clients), len(facts.server), len(chain))
    return head + name + facts.server + chain


def unpack(record: bytes) -> Facts:
    """The opposite."""
    version, cipher, name_len, count, server_len, _ = _HEAD.unpack_from(record)
    at = _HEAD.size + name_len
    name, server = record[_HEAD.size:at].decode("ascii"), record[at:at + server_len]
    at += server_len
    clients = []
    for _ in range(count):
        length = _LENGTH.unpack_from(record, at)[0]
        at += _LENGTH.size
        clients.append(record[at:at + length])
        at += length
    return Facts(version, cipher, name, server, tuple(clients))
