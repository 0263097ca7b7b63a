"""The client's side of a request body, for the app `uploads`: as it goes on the wire, and sent beside what is read."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from urllib.parse import quote

from tests.support import processes
from tests.support.bodies import body
from tests.support.client import Connection, Response, request_bytes
from tests.support.gate import Gate

CHUNKED = [("Transfer-Encoding", "chunked")]
SEND_BYTES = 256 << 10
# How long a socket that takes no more is seen to take no more.
STUCK_S = 0.3


def head(target: str, size: int | None, *fields: tuple[str, str]) -> bytes:
    """The head of an upload; size None: chunked."""
    framing = CHUNKED if size is None else [("Content-Length", str(size))]
    return request_bytes("POST", target, [*framing, *fields])


def framed(size: int, chunk: int | None, begin: int = 0) -> Iterator[bytes]:
    """Bytes `begin` to `size` of the body as they go on the wire, in chunks of this size, or plain when it is None."""
    step = chunk or SEND_BYTES
    for at in range(begin, size, step):
        piece = body(min(step, size - at), at)
        yield b"%x\r\n%s\r\n" % (len(piece), piece) if chunk else piece
    if chunk:
        yield b"0\r\n\r\n"


def upload(client: Connection, target: str, size: int, chunk: int | None = None) -> Response:
    """Send it all, then read the answer."""
    client.send(head(target, None if chunk else size))
    for piece in framed(size, chunk):
        client.send(piece)
    return client.response()


class Upload:
    """Sends pieces from a thread, as long as the server takes them. `sent`: bytes so far."""

    def __init__(self, client: Connection, pieces: Iterable[bytes]) -> None:
        self.sent = 0
        self._client = client
        self._pieces = pieces
        # A socket of its own: what waits for room here must not change how long the reader waits there.
        self._socket = socket.socket(fileno=os.dup(client.socket.fileno()))
        self._socket.settimeout(60.0)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            for piece in self._pieces:
                at = 0
                while at < len(piece):
                    sent = self._socket.send(piece[at : at + SEND_BYTES])
                    at += sent
                    self.sent += sent
        except OSError:
            pass  # the server has closed: what it said is with the reader

    def wait_stuck(self) -> int:
        """Wait until the server takes no more; how much it and the kernel have taken."""
        seen = -1

        def stuck() -> bool:
            nonlocal seen
            before, seen = seen, self.sent
            return before == seen and not self._ended(STUCK_S)

        processes.wait_until(stuck, "an upload to be stuck", 30.0)
        return self.sent

    def _ended(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait until all is sent, or refused."""
        assert self._ended(60.0), "the server takes no more"

    def __enter__(self) -> Upload:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(60.0)
        self._socket.close()


def gated(gate: Gate, path: str = "/upload", at: int = 0) -> str:
    """Target of an upload that waits at a gate once it has read `at` bytes."""
    return f"{path}?gate={quote(gate.path)}&at={at}"
