"""`swhttp takeover`: the part of the new server. It gets the listening sockets of one that runs, and its place.

It owns the connection to the old server's control socket. What is said there (swhttp.controlproto):

    takeover    -> {"pid": N, "command": [...], "directory": ..., "cwd": ..., "listeners": [{"bind": ...}, ...]} and as
                   many fds, in that order. The old one goes on serving, and shuts none of them down
    took-over   -> {}: the pid file, the control socket and the files of unix sockets are the new one's; the old drains

If the connection ends before that, the old one goes on as if nothing had been. What it says is believed as little as
can be: of a socket the kernel tells what it is, and the command line is that of root or of our own user.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Final

from swhttp import limits, verbs
from swhttp.binds import UnixBind, parse
from swhttp.config import Config
from swhttp.control import uid_of_peer
from swhttp.controlproto import BadMessage, Decoder, Message, encode
from swhttp.errors import ExitCode, ServerError
from swhttp.listeners import Listener, adopt
from swhttp.startedby import NO_TAKEOVER, has_own_user

_MOST_FDS: Final = 253  # of one message: SCM_MAX_FD, unix(7)


@dataclass
class Predecessor:
    """The server whose place is taken.

    `pid`: of its master; `command`: its arguments, None if it was started otherwise; `directory`: where that was;
    `cwd`: from where its binds are seen; `listeners`: bind and listener, in its order; `repeats`: its command line is
    ours. After `suit`: `chosen`: for each of our binds its listener or None; `dropped`: those that are left.
    """

    pid: int
    command: list[str] | None
    directory: str
    cwd: str
    listeners: list[tuple[str, Listener]]
    _connection: socket.socket = field(repr=False)
    repeats: bool = False
    chosen: list[Listener | None] = field(default_factory=list, init=False)
    dropped: list[tuple[str, Listener]] = field(default_factory=list, init=False)

    @property
    def fds(self) -> list[int]:
        """That are open because of it."""
        return [self._connection.fileno(), *(listener.socket.fileno() for _, listener in self.listeners)]

    def suit(self, config: Config) -> list[str]:
        """Choose what a server with `config` takes. Returns what should be logged as a warning. Raises ServerError."""
        if has_own_user(config):
            raise ServerError(f"This server cannot take over another: {NO_TAKEOVER}", ExitCode.REFUSED)
        left = self.listeners.copy()
        for bind in config.bind:
            at = next((at for at, (text, _) in enumerate(left) if text == bind and self._means_the_same(bind)), -1)
            self.chosen.append(left.pop(at)[1] if at >= 0 else None)
        self.dropped = left
        if left and self.repeats:
            missing = ", ".join(text for text, _ in left)
            raise ServerError(f"The old server listens on {missing}, which its command line does not say: say APP and "
                              "the options, with every --bind", ExitCode.USAGE)
        return [f"The old server listens on {text}, and this one does not" for text, _ in left]

    def _means_the_same(self, bind: str) -> bool:
        """Whether it does so here."""
        where = parse(bind)
        if not isinstance(where, UnixBind) or os.path.isabs(where.path):
            return True
        with contextlib.suppress(OSError, ValueError):
            return os.path.samefile(self.cwd, os.curdir)
        return False

    def release(self) -> bool:
        """We can serve: have the old server let go of its files and drain. False: it is gone, or does not answer in
        time. Raises ServerError when it has given us up, and goes on."""
        try:
            answer, _ = _ask(self._connection, {"verb": "took-over"}, limits.TAKEOVER_ANSWER_S)
        except (OSError, BadMessage, ValueError):
            return False
        if not answer["ok"]:
            raise ServerError(f"The old server goes on: {answer.get('error')}", ExitCode.REFUSED)
        return True

    def is_gone(self) -> bool:
        """Whether it has ended without a word."""
        try:
            self._connection.setblocking(False)
            return self._connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def let_go(self) -> None:
        """In a child: it is the master's."""
        self._connection.close()


def find(path: str) -> Predecessor:
    """Ask the server whose control socket is at `path` for its place. Raises ServerError."""
    with contextlib.ExitStack() as opened:
        connection = opened.enter_context(verbs.connect(path))
        if (uid := uid_of_peer(connection)) not in (0, os.geteuid()):  # its command line is going to be ours
            raise ServerError(
                f"The server at {path!r} is that of user {uid}, who is neither root nor the one who asks: only that "
                "user may take it over", ExitCode.REFUSED)
        try:
            answer, fds = _ask(connection, {"verb": "takeover"}, limits.CONTROL_ANSWER_S)
            for fd in fds:
                opened.callback(os.close, fd)
            if not answer["ok"]:
                raise ServerError(
                    f"The server at {path!r} cannot be taken over: {answer.get('error')}", ExitCode.REFUSED)
            described = [_of(dict, one) for one in _of(list, answer["listeners"])]
            given = []
            for one, fd in zip(described, fds, strict=True):
                bind = _of(str, one["bind"])
                given.append((bind, adopt(bind, fd, one["inode"])))
                opened.callback(given[-1][1].socket.detach)
            found = _understood(answer, given, connection)
        except OSError as error:
            raise verbs.no_answer(path, error.strerror or str(error)) from None
        except (BadMessage, KeyError, TypeError, ValueError) as error:
            raise verbs.no_answer(path, f"what it says cannot be understood: {error}") from None
        opened.pop_all()
        return found


def _understood(answer: Message, given: list[tuple[str, Listener]], connection: socket.socket) -> Predecessor:
    """Raises KeyError and TypeError for what is no answer."""
    command = answer["command"]
    return Predecessor(
        _of(int, answer["pid"]), None if command is None else [_of(str, one) for one in _of(list, command)],
        _of(str, answer["directory"]), _of(str, answer["cwd"]), given, connection)


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind or (isinstance(value, str) and "\0" in value):
        raise TypeError(f"{type(value).__name__} for {kind.__name__}")
    return value


def _ask(connection: socket.socket, request: Message, timeout_s: float) -> tuple[Message, list[int]]:
    """The answer, and the fds that came with it. `timeout_s`: for all of it. Raises OSError, BadMessage, ValueError."""
    until_s = time.monotonic() + timeout_s
    connection.settimeout(timeout_s)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who has given us up has said so
        connection.sendall(encode(request))
    decoder, fds = Decoder(limits.CONTROL_ANSWER_BYTES), array.array("i")
    while (answer := decoder.next()) is None:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(0, f"not within {timeout_s:g} s")
        connection.settimeout(left_s)
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
