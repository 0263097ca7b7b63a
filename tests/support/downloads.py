"""Downloads of the app `paths` that stop and go on, compared while they are read (`tests.support.bodies`)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.bodies import Check
from tests.support.client import Connection, Response

SMALL_BUFFER = 16 << 10  # of a client that is to be slow


def memory(size: int, **query: object) -> str:
    """Target of a response from memory."""
    return "/memory?" + "&".join(f"{name}={value}" for name, value in ({"size": size} | query).items())


def begin(client: Connection, target: str, version: str = "HTTP/1.1") -> Response:
    """Send a request and read the head of its answer."""
    client.send_request(target=target, version=version)
    response = client.head()
    assert response.status == 200
    return response


def stall(client: Connection, target: str, check: Check) -> Iterator[bytes]:
    """Read the first piece of a response and no more; what there is to go on with."""
    pieces = client.pieces(begin(client, target))
    check.feed(next(pieces))
    return pieces


def resume(pieces: Iterator[bytes], check: Check, size: int) -> None:
    """Read the rest of a stalled response."""
    for piece in pieces:
        check.feed(piece)
    assert check.taken == size
