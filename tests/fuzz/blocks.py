"""Request blocks: as a master reads those that may be another request's by now, and back and forth.

    what u8 | bytes

what % 2 = 0    the bytes stand in the arena where a block is looked for: it is read, or it is said to be none
           1    a request made of the bytes is laid out as a block, and read again: it is the same, for apps too

What a worker reads it believes: the master alone writes there. That what the reactor writes holds together is for the
target `http`.
"""

from __future__ import annotations

from typing import Any

from swhttp.ipc import ring
from swhttp.ipc.geometry import Geometry
from swhttp.reactor.settings import ReactorSettings
from tests.fuzz.stand import Stand

ARENA_BYTES = 4096
TOKEN = b"abcdefghijklmnopqrstuvwxyz0123456789-_"

_rig: list[Any] = []


def one(data: bytes) -> None:
    """Do what the first byte says."""
    if len(data) < 4:
        return
    if not _rig:
        geometry = Geometry(slots=1, request_ring_bytes=1024, response_ring_bytes=1024, table_entries=2, sessions=2,
                            block_classes=((ARENA_BYTES, 1),), arena_classes=((4096, 1),))
        stand = Stand(ReactorSettings(), geometry)
        stand.give_up_blocks()
        _rig.extend((stand, stand.memory.blocks[0].view()))
    stand, arena = _rig
    if data[0] % 2 == 0:
        place = data[1] % (ARENA_BYTES // 64)
        piece = data[2 : 2 + ARENA_BYTES - place * 64]
        arena[place * 64 : place * 64 + len(piece)] = memoryview(piece)
        try:
            seen = ring.read_block(stand.memory, 0, place)
        except ValueError:
            return
        assert all(len(seen[part]) <= ARENA_BYTES for part in ("method", "target", "path", "query", "body"))
        return
    method, target, *lines = [*data[1:].split(b"\n")[:40], b"", b""]
    headers = [(_name(name), value) for name, _, value in (line.partition(b":") for line in lines)]
    body = data[1 : 1 + data[1]]
    origin = (method[:40], 80, target[:40], 443) if data[0] & 2 else None
    try:
        size = ring.write_block(stand.memory, 0, 0, method=method, target=target, headers=headers, body=body,
                                origin=origin)
    except ValueError:
        return  # it is too long
    seen = ring.read_block(stand.memory, 0, 0)
    path, _, query = target.partition(b"?")
    wanted = (method, target, path, query, headers, body, origin)
    assert wanted == tuple(seen[key] for key in ("method", "target", "path", "query", "headers", "body", "origin"))
    assert size <= ARENA_BYTES
    asgi, environ, shown = stand.shown(0)
    plain = {name for name, _ in headers if b"_" not in name}
    assert asgi == [field for field in headers if b"_" not in field[0] or field[0].replace(b"_", b"-") not in plain]
    assert environ == _environ(headers), f"{environ} of {headers}"
    assert shown[1:] == (path or b"/", query)


def _name(text: bytes) -> bytes:
    """A token made of `text`: nothing else is a field's name by the time that it is in a block."""
    return bytes(TOKEN[byte % len(TOKEN)] if byte not in TOKEN else byte for byte in text[:300])


def _environ(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """PEP 3333 and RFC 3875 §4.1.18, without what must not be there."""
    found: dict[str, str] = {}
    for name, raw in headers:
        key, value = name.decode().upper().replace("-", "_"), raw.decode("latin-1")
        if b"_" in name or name in (b"proxy", b"transfer-encoding"):
            continue
        if name not in (b"content-type", b"content-length"):
            key = "HTTP_" + key
        if key not in found:
            found[key] = value
        elif key.startswith("HTTP_"):
            found[key] += ("; " if name == b"cookie" else ",") + value
    return found
