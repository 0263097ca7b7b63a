"""What a client sends, in any pieces, through a real reactor to a worker: accepted, refused or awaited as h11 does.

    how u8 | cut u8 | cut u8 | the bytes of one connection, first to last

`how`: which of STANDS, and bits of HOW. The bytes are written in up to three pieces, or one by one. What differs from
h11 on purpose is in `tests.differential.differences`; beyond that table each request must reach the worker as h11 read
it, what is refused must say so, and at the end nothing may be held.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
from typing import Any

from swhttp import accessformat
from swhttp.ipc.geometry import Geometry
from swhttp.reactor.accesswriter import AccessWriter
from swhttp.reactor.settings import ReactorSettings
from tests.differential.differences import MAX_BODY_BYTES, Ruling, rulings
from tests.differential.oracle import ACCEPTED, INCOMPLETE, REFUSED
from tests.differential.presentation import STEPS, expected_report, first_view
from tests.differential.witness import CONTINUE, REFUSALS
from tests.fuzz.stand import Stand
from tests.fuzz.worker import Worker

ROOMY = ((1024, 8), (8192, 4), (32768, 4), (147456, 4))
TIGHT = ((1024, 6),)
STANDS = (  # asgi, bytes that are not streamed, sizes of request blocks
    (True, MAX_BODY_BYTES, ROOMY),
    (True, 16, ROOMY),
    (False, MAX_BODY_BYTES, ROOMY),
    (True, 64, TIGHT),
    (False, MAX_BODY_BYTES, TIGHT),
)
BYTEWISE, LATE, WARM = 32, 64, 128  # of HOW: one byte a time; answers when all is sent; a request goes before
MOST_BYTEWISE = 512
PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n"

_stands: dict[int, tuple[Any, Worker]] = {}


def one(data: bytes) -> None:
    """Judge one connection."""
    if len(data) < 4:
        return
    how, raw = data[0], data[3:]
    which = how % 32 % len(STANDS)
    if which not in _stands:
        _stands[which] = _stand(*STANDS[which])
    stand, worker = _stands[which]
    demanded = rulings(raw)
    client = stand.connect()
    received = bytearray()
    if how & WARM:
        _deliver(stand, worker, client, PROBE, received, False)
        assert received.endswith(b"\r\n\r\nok"), "the first request is not answered"
    skipped, before = len(worker.taken), len(received)
    if how & BYTEWISE:
        bounds = [*range(min(len(raw), MOST_BYTEWISE)), len(raw)]
    else:
        bounds = [0, *sorted((data[1] * len(raw) // 256, data[2] * len(raw) // 256)), len(raw)]
    for start, end in itertools.pairwise(bounds):
        if start < end and not _deliver(stand, worker, client, raw[start:end], received, bool(how & LATE)):
            break
    _exchange(stand, worker, client, received, False)
    ended = _receive(client, received)
    problem = _judge(demanded, worker.taken[skipped:], bytes(received[before:]), ended, which)
    if not problem and demanded[-1].verdict == ACCEPTED and demanded[-1].persists and not ended:
        had = len(worker.taken)
        _deliver(stand, worker, client, PROBE, received, False)
        if len(worker.taken) != had + 1 or worker.taken[-1].head["target"] != b"/probe":
            problem = "what follows is taken for something else"
    client.close()
    stand.settle()
    worker.look()
    worker.give_up()
    stand.settle()
    worker.taken.clear()
    held = {name: count for name, count in stand.held().items() if count}
    assert not problem, f"{problem}\nsent: {raw!r}\nreceived: {bytes(received)!r}"
    assert not held, f"still held: {held}\nsent: {raw!r}"


def _stand(asgi: bool, inline: int, blocks: tuple[tuple[int, int], ...]) -> tuple[Any, Worker]:
    settings = ReactorSettings(max_body_bytes=MAX_BODY_BYTES, inline_body_bytes=inline, keep_alive_s=3600,
                               head_timeout_s=3600, body_timeout_s=3600, ws=False)  # h11 knows no handshakes
    geometry = Geometry(slots=1, request_ring_bytes=4096, response_ring_bytes=16384, table_entries=16, sessions=16,
                        block_classes=blocks, arena_classes=((4096, 2),))
    log = AccessWriter("/dev/null", os.open("/dev/null", os.O_WRONLY), accessformat.parse("json"), 1)
    stand = Stand(settings, geometry, asgi=asgi, access=log)
    return stand, Worker(stand)


def _deliver(stand: Any, worker: Worker, client: socket.socket, piece: bytes, received: bytearray, late: bool) -> bool:
    """Send, and let everybody do what there is to do. False: the server takes nothing more."""
    while piece:
        try:
            piece = piece[client.send(piece) :]
        except BlockingIOError:
            late = False
        except (BrokenPipeError, ConnectionResetError):
            return False
        _exchange(stand, worker, client, received, late)
        if late and piece:
            late = False  # no more goes in before an answer
    return True


def _exchange(stand: Any, worker: Worker, client: socket.socket, received: bytearray, late: bool) -> None:
    for _ in range(20000):
        stand.settle()
        had = len(worker.taken)
        worker.look()
        if late or not worker.answer():
            stand.settle()
            worker.look()
            if len(worker.taken) == had and not stand.turn() and (late or not worker.answer()):
                _receive(client, received)
                return
        _receive(client, received)
    raise AssertionError("it does not end")


def _receive(client: socket.socket, received: bytearray) -> bool:
    """Read what there is. True: the server has ended the connection."""
    try:
        while piece := client.recv(65536):
            received += piece
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def _judge(demanded: list[Ruling], taken: list[Any], received: bytes, ended: bool, which: int) -> str:
    """Where this departs from the rulings, in words."""
    requests = iter(taken)
    for ruling in demanded:
        head_only = ruling.reading.raw.startswith(b"HEAD ")
        if received.startswith(CONTINUE) and ruling.reading.options(b"expect") == {b"100-continue"}:
            received = received.removeprefix(CONTINUE)
        if ruling.verdict == INCOMPLETE and not received and not ended:
            return ""
        if not received:
            return f"no answer; h11: {ruling.verdict}, ended: {ended}"
        status, slug, keeps_open, received = _response(received, head_only)
        if status == 503 and which >= 3 and slug in (b"request-blocks-full", b""):
            return ""  # there is little room, and it says so
        if status != 200:
            if (ruling.verdict == ACCEPTED and not ruling.may_refuse) or (
                    ruling.verdict == INCOMPLETE and not ruling.may_refuse):
                return f"h11: {ruling.verdict}, the server answers {status} {slug!r}"
            if status not in REFUSALS:
                return f"refused with {status} {slug!r}"
            if ruling.verdict != INCOMPLETE and ruling.slugs and slug and slug.decode() not in ruling.slugs:
                return f"refused as {slug!r}, ought to be one of {sorted(ruling.slugs)}"
            if keeps_open or not ended or received:
                return f"a refused request's connection goes on: {keeps_open}, {ended}, {received!r}"
            return ""
        if ruling.verdict == REFUSED:
            return f"must be refused ({ruling.reading.error or ruling.entries}), and is answered"
        if ruling.verdict == INCOMPLETE:
            return "h11 waits for more, the server answers"
        problem = _compare(ruling, next(requests, None))
        if problem:
            return problem
        if keeps_open != ruling.persists:
            return f"kept open: {keeps_open}, ought to be {ruling.persists}"
    if received or next(requests, None) is not None:
        return f"more than there ought to be: {received!r}"
    if ended == (demanded[-1].persists or demanded[-1].may_refuse):
        return f"ended: {ended}, persists: {demanded[-1].persists}"
    return ""


def _response(received: bytes, head_only: bool) -> tuple[int, bytes, bool, bytes]:
    head, _, rest = received.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 \d{3} ", head), f"no response: {received!r}"
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields[b"content-length"])
    body = b"" if head_only and not rest.startswith(b"bad-") else rest[:length]
    status = int(head[9:12])
    if body and len(body) < length:
        raise AssertionError(f"a response is cut: {received!r}")
    return status, body if status != 200 else b"", fields.get(b"connection") != b"close", rest[len(body) :]


def _compare(ruling: Ruling, request: Any) -> str:
    view = first_view(ruling.reading)
    for step in STEPS:
        if step.interface == "":
            view = step.apply(view, ruling.reading)
    if request is None:
        return "answered, and no worker has seen it"
    head = request.head
    wanted = (view.method, view.target, view.path, view.query, view.version, list(view.fields), view.body)
    seen = (head["method"], head["target"], head["path"], head["query"], b"1.%d" % head["http_minor"], head["headers"],
            bytes(request.body))
    if wanted != seen:
        return f"h11 has {wanted!r}, the worker saw {seen!r}"
    fields = [[name.decode("ascii"), value.decode("latin-1")] for name, value in request.fields]
    if fields != expected_report(ruling.reading, "asgi")["fields"]:
        return f"h11 has {view.fields!r}, an ASGI app saw {fields!r}"
    environ = expected_report(ruling.reading, "wsgi")["fields"]
    environ.pop("CONTENT_LENGTH", None)  # the adapter makes it of the body, if that was chunked
    request.environ.pop("CONTENT_LENGTH", None)
    return "" if environ == request.environ else f"h11 has {environ!r}, a WSGI app saw {request.environ!r}"
