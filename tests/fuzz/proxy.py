"""What proxies say: PROXY headers and forwarding fields, by themselves and through a real reactor that believes them.

    what u8 | bytes

what % 4 = 0    a PROXY header, read from each of its beginnings: the verdict may only ripen
           1    forwarding fields, as the block has them: what is made of them is an address, a scheme, a host, a port
           2, 3 the bytes of a connection, PROXY header first: whole, and cut at the second byte, it comes to the same
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from swhttp.ipc.geometry import Geometry
from swhttp.networks import EVERYBODY
from swhttp.reactor import forwarded, proxyprotocol
from swhttp.reactor.settings import ReactorSettings
from swhttp.reactor.trusted import Trusted
from tests.fuzz.stand import Stand
from tests.fuzz.worker import Worker

MODES = ("auto", "v1", "v2")
FORWARDING = ("auto", "x-forwarded", "forwarded")
NAMES = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded",
         b"x-forwarded-ssl", b"x-real-ip", b"host")
HOST = re.compile(rb"[!-~]+")
REFUSAL = re.compile(rb"HTTP/1\.1 [45].*", re.DOTALL)  # when, and for which reason, may depend on what had come
MOST_PREFIXES = 600
NOT_COMPARED = ("ready_ns", "session_generation", "body")  # the last: what came with the head

_trusted = (Trusted(EVERYBODY), Trusted(()), Trusted((ipaddress.ip_network("192.0.2.0/24"),)))
_stands: list[tuple[Any, Worker]] = []


def one(data: bytes) -> None:
    """Do what the first byte says."""
    if len(data) < 3:
        return
    what = data[0] % 4
    if what == 0:
        _header(data[2:], MODES[data[1] % 3])
    elif what == 1:
        _fields(data[2:], FORWARDING[data[1] % 3], _trusted[data[1] // 3 % 3])
    else:
        _connection(data[2:], data[1])


def _header(data: bytes, mode: str) -> None:
    last: Any = "more"
    for length in range(min(len(data), MOST_PREFIXES) + 1):
        found = proxyprotocol.decode(data[:length], mode)
        assert last in ("more", found), f"{last} of {length - 1} bytes becomes {found}"
        last = found
    found = proxyprotocol.decode(data, mode)
    assert last in ("more", found), f"{last} becomes {found}"
    if isinstance(found, dict):
        assert 0 < found["length"] <= len(data)
        for end in (found["source"], found["target"]):
            if end is not None:
                ipaddress.ip_address(end[0])
                assert 0 <= end[1] <= 65535


def _fields(data: bytes, mode: str, trusted: Trusted) -> None:
    fields = []
    for line in data.split(b"\n")[:32]:
        if line:
            fields.append((NAMES[line[0] % len(NAMES)], line[1:]))
    said = forwarded.read(fields, trusted, mode)
    if said["client"] is not None:
        ipaddress.ip_address(said["client"][0])
        assert 0 <= said["client"][1] <= 65535
    assert said["host"] is None or HOST.fullmatch(said["host"]), said
    assert said["port"] is None or 0 < said["port"] <= 65535


def _connection(data: bytes, cut: int) -> None:
    if not _stands:
        for proxy_protocol in ("auto", "off"):
            settings = ReactorSettings(proxy_protocol=proxy_protocol, trusted=EVERYBODY, date_header=False,
                                       keep_alive_s=3600, head_timeout_s=3600, body_timeout_s=3600)
            geometry = Geometry(slots=1, request_ring_bytes=4096, response_ring_bytes=16384, table_entries=8,
                                sessions=8, block_classes=((1024, 4), (8192, 2), (147456, 2)),
                                arena_classes=((4096, 2),))
            stand = Stand(settings, geometry)
            _stands.append((stand, Worker(stand)))
    at = cut * len(data) // 256
    stand, worker = _stands[cut & 1]
    whole, bodies = _converse(stand, worker, [data])
    cut_up, other_bodies = _converse(stand, worker, [data[:at], data[at:]])
    assert whole == cut_up, f"{whole}\nbut cut at {at}:\n{cut_up}"
    for (body, ended), (other, other_ended) in zip(bodies, other_bodies, strict=True):
        # Of one that has not ended the reactor may have passed on less.
        assert ended == other_ended, f"cut at {at} it ends otherwise: {body!r}"
        same = body == other if ended else body[: len(other)] == other[: len(body)]
        assert same, f"{body!r}\nbut cut at {at}:\n{other!r}"


def _converse(stand: Any, worker: Worker, pieces: list[bytes]) -> Any:
    """What comes of it: the requests that reached the worker, and the answers; and of each request its body as far as
    it has come, and whether it has ended."""
    client = stand.connect()
    received = b""
    for piece in pieces:
        if piece:
            try:
                client.sendall(piece)
            except OSError:
                break  # it has closed, or takes no more
        more = True
        while more:
            stand.settle()
            worker.look()
            more = worker.answer()
        received += _receive(client)
    seen = [{key: value for key, value in request.head.items() if key not in NOT_COMPARED} for request in worker.taken]
    bodies = [(bytes(request.body), request.whole) for request in worker.taken]
    client.close()
    stand.settle()
    worker.look()
    worker.give_up()
    stand.settle()
    worker.taken.clear()
    held = {name: count for name, count in stand.held().items() if count}
    assert not held, f"still held: {held}"
    return (seen, REFUSAL.sub(b"", received)), bodies


def _receive(client: Any) -> bytes:
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except OSError:
        return received  # there is nothing more, for now or for ever
    return received
