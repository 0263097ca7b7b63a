"""A gate that an app's request waits at, so that a test knows it is inside and decides when it goes on.

The app connects to the gate's unix socket, sends its pid and a newline, and waits for the end of the stream.
The test's `entered()` returns when a request arrived, `release()` lets it go. No sleep, no guess; if the
worker is killed, the gate sees the end of its connection (`left()`).
"""

from __future__ import annotations

import contextlib
import os
import socket
from types import TracebackType
from urllib.parse import quote

WAIT_S = 10.0


class Visitor:
    """One request that waits at the gate."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.settimeout(WAIT_S)
        line = b""
        while not line.endswith(b"\n"):
            piece = connection.recv(64)
            assert piece, "a request left the gate before it said who it was"
            line += piece
        self.pid = int(line)

    def release(self) -> None:
        """Let the request go on."""
        self._connection.close()

    def left(self) -> None:
        """Wait until the request is gone without having been released (its process died)."""
        try:
            rest = self._connection.recv(1)
        except ConnectionResetError:
            rest = b""
        assert rest == b"", "the request is still at the gate"


class Gate:
    """A listening unix socket in `directory`; use as a context manager, leaving releases everybody."""

    def __init__(self, directory: str, name: str = "gate") -> None:
        self.path = os.path.join(directory, name)
        self._visitors: list[Visitor] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(128)
        self._listener.settimeout(WAIT_S)

    @property
    def target(self) -> str:
        """Request target of the reference app that waits here."""
        return "/hold?gate=" + quote(self.path)

    def entered(self) -> Visitor:
        """Wait for the next request to arrive at the gate."""
        connection, _ = self._listener.accept()
        visitor = Visitor(connection)
        self._visitors.append(visitor)
        return visitor

    def has_arrival(self) -> bool:
        """Whether a request that `entered()` has not returned yet is waiting, without waiting for one."""
        self._listener.setblocking(False)
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        finally:
            self._listener.settimeout(WAIT_S)
        connection.setblocking(True)
        self._visitors.append(Visitor(connection))
        return True

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for visitor in self._visitors:
            visitor.release()
        with contextlib.suppress(FileNotFoundError):  # a server that ended within took its directory along
            os.unlink(self.path)
