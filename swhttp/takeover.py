"""`swhttp takeover`: the part of the new server. It gets the listening sockets of one that runs, and its place.

It owns the connection to the old server's control socket. What is said there (swhttp.controlproto):

    takeover    -> {"command": [...], "directory": ..., "pid": N, "listeners": [{"bind", "text", "kind", ...}, ...]} and
                   as many fds, in that order. From now on both may accept; the old one shuts none of them down
    took-over   -> {}: the pid file, the control socket and the files of unix sockets are the new one's; the old drains

If the connection ends before that, the old one goes on as if nothing had been.
"""

from __future__ import annotations

import array
import socket
import time
from dataclasses import dataclass, field
from typing import Final

from swhttp import limits, verbs
from swhttp.controlproto import Decoder, Message, encode
from swhttp.errors import ExitCode, ServerError
from swhttp.listeners import Listener

_MOST_FDS: Final = 253  # of one message: SCM_MAX_FD, unix(7)


@dataclass
class Predecessor:
    """The server whose place is taken.

    `pid`: of its master; `command`: its arguments, None if it was started otherwise; `directory`: where; `listeners`:
    by the bind that it was given.
    """

    pid: int
    command: list[str] | None
    directory: str
    listeners: dict[str, Listener]
    _connection: socket.socket = field(repr=False)

    @property
    def fds(self) -> list[int]:
        """That are open because of it."""
        return [self._connection.fileno(), *(listener.socket.fileno() for listener in self.listeners.values())]

    def release(self) -> bool:
        """We serve: have the old server let go of its files and drain. False: it is gone, or does not answer."""
        try:
            return _ask(self._connection, {"verb": "took-over"})[0]["ok"] is True
        except (OSError, ServerError):
            return False

    def let_go(self) -> None:
        """In a child: it is the master's."""
        self._connection.close()


def find(path: str) -> Predecessor:
    """Ask the server whose control socket is at `path` for its place. Raises ServerError."""
    connection = verbs.connect(path)
    try:
        answer, fds = _ask(connection, {"verb": "takeover"})
        if not answer["ok"]:
            raise ServerError(f"The server at {path!r} cannot be taken over: {answer.get('error')}", ExitCode.REFUSED)
        given = {one["bind"]: Listener.of(one, fd) for one, fd in zip(answer["listeners"], fds, strict=True)}
        return Predecessor(answer["pid"], answer["command"], answer["directory"], given, connection)
    except OSError as error:
        raise verbs.no_answer(path, error.strerror or str(error)) from None
    except (KeyError, TypeError, ValueError):
        raise verbs.no_answer(path, "what it says cannot be understood") from None


def _ask(connection: socket.socket, request: Message) -> tuple[Message, list[int]]:
    """The answer, and the fds that came with it."""
    connection.settimeout(limits.CONTROL_ANSWER_S)
    connection.sendall(encode(request))
    decoder, fds = Decoder(limits.CONTROL_ANSWER_BYTES), array.array("i")
    until_s = time.monotonic() + limits.CONTROL_ANSWER_S
    while (answer := decoder.next()) is None:
        if time.monotonic() >= until_s:
            raise TimeoutError(0, f"not within {limits.CONTROL_ANSWER_S:g} s")
        # Not recv_fds(), which forgets its flags.
        data, ancillary, _, _ = connection.recvmsg(
            decoder.missing, socket.CMSG_SPACE(_MOST_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
        if not data:
            raise OSError(0, "it has ended the connection")
        decoder.feed(data)
    if not isinstance(answer.get("ok"), bool):
        raise ValueError("no answer")
    return answer, list(fds)
