"""Holds many idle keep-alive connections open: a client of one thread on epoll.

Each connection has had one whole request and answer, so what it costs the server is what a browser's kept
connection costs. At most `MAX_OPENING` are opened at a time, so that no backlog decides the result.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

MAX_OPENING = 64
OPEN_TIMEOUT_S = 60.0
# One loopback address has some 28,000 client ports; closed connections keep theirs for a minute.
PER_SOURCE_ADDRESS = 5_000
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: choose the port at connect, by the whole 4-tuple


class IdleError(Exception):
    """The connections could not be opened."""


@dataclass
class Held:
    """Connections that are open and silent."""

    clients: list[socket.socket]

    def lost(self) -> int:
        """Return how many the server has closed, or written to, since their answer."""
        watch = select.epoll(len(self.clients))
        try:
            for client in self.clients:
                watch.register(client, select.EPOLLIN | select.EPOLLRDHUP)
            return len(watch.poll(0, len(self.clients)))
        finally:
            watch.close()


def answer_length(data: bytes) -> int | None:
    """Return the length of the whole answer that `data` begins with, None while its head is incomplete.

    IdleError when the answer is not a 200 with a Content-Length: scenarios answer nothing else.
    """
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end:
        return None
    status, *lines = head.split(b"\r\n")
    fields = dict(line.lower().split(b":", 1) for line in lines)
    if b" 200 " not in status + b" " or b"content-length" not in fields:
        raise IdleError(f"unexpected answer: {head[:200]!r}")
    return len(head) + 4 + int(fields[b"content-length"])


class Opening:
    """Connections on their way to idle."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self.request = request
        self.watch = select.epoll()
        self.underway: dict[int, tuple[socket.socket, bytes]] = {}

    def begin(self, number: int) -> socket.socket:
        """Connect the connection of this number and send its request."""
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((f"127.0.0.{2 + number // PER_SOURCE_ADDRESS}", 0))
        client.connect(("127.0.0.1", self.port))
        client.sendall(self.request)
        client.setblocking(False)
        self.underway[client.fileno()] = client, b""
        self.watch.register(client, select.EPOLLIN)
        return client

    def advance(self, timeout_s: float) -> None:
        """Read what has arrived; connections whose answer is whole are idle from now on."""
        for number, _ in self.watch.poll(timeout_s):
            client, data = self.underway[number]
            piece = client.recv(65_536)
            if not piece:
                raise IdleError("the server closed a connection that it should keep")
            data += piece
            length = answer_length(data)
            if length is not None and len(data) >= length:
                self.watch.unregister(client)
                del self.underway[number]
            else:
                self.underway[number] = client, data


@contextmanager
def connections(port: int, count: int, headers: Sequence[tuple[str, str]] = ()) -> Iterator[Held]:
    """Open `count` connections to 127.0.0.1:port, one request each, and hold them within the block.

    IdleError when one cannot be opened or answered, or all of them take longer than OPEN_TIMEOUT_S.
    """
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    opening = Opening(port, f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode())
    held = Held([])
    deadline = time.monotonic() + OPEN_TIMEOUT_S
    try:
        try:
            while len(held.clients) < count or opening.underway:
                while len(held.clients) < count and len(opening.underway) < MAX_OPENING:
                    held.clients.append(opening.begin(len(held.clients)))
                if time.monotonic() > deadline:
                    raise IdleError(f"{len(held.clients)} of {count} connections after {OPEN_TIMEOUT_S:.0f} s")
                opening.advance(1.0)
        except OSError as error:
            raise IdleError(f"connection {len(held.clients)} of {count}: {error}") from error
        finally:
            opening.watch.close()
        yield held
    finally:
        for client in held.clients:
            client.close()
