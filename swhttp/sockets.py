"""Push from anywhere: what application code says about WebSockets that it does not hold, from any of our processes.

It owns the functions of the package that do so, their checks and their words. How a frame leaves this process is its
way, which a worker or a user process gives (`use`); without one there is no server to say it to. A worker's way has
no use in a process that the application forks, which has not the worker's memory.

A session is named by its id, a number; one that is gone by now is nobody, and what is said to it is dropped.
"""

from __future__ import annotations

import os
from typing import Any, Final, Protocol

from swhttp import limits
from swhttp.ipc import words

NOT_AT_ALL: Final = 0
AS_IT_HAS: Final = 1
IN_ANY_CASE: Final = 2
"""Three `waits` of `Way.send`: whether its caller waits for a slow client. AS_IT_HAS: if the session's policy is
"block"; IN_ANY_CASE: whatever that is."""

POLICIES: Final = {"drop": words.SW_WS_DROP, "close": words.SW_WS_CUT, "block": words.SW_WS_BLOCK}
"""What becomes of a push for a session whose client is slow."""

Data = str | bytes | bytearray | memoryview


class Way(Protocol):
    """How frames leave this process."""

    reactors: int

    def send(
        self, reactor: int, flags: int, status: int, target: int, head: bytes, body: bytes, waits: int, /,
    ) -> None:
        """Send one: fields of sw_frame (frame.h), the number of a reactor before them. `target`: a session's id, or
        SW_NO_LENGTH; `waits`: NOT_AT_ALL, AS_IT_HAS or IN_ANY_CASE. Waits for room."""

    async def asend(self, *frame: Any) -> None:
        """The same on an event loop, which goes on meanwhile. `frame`: the arguments of `send`."""


_way: Way | None = None


def use(way: Way, *, also_in_children: bool = False) -> None:
    """From now on this process has a way. `also_in_children`: those that it forks have it too."""
    global _way
    _way = way
    if not also_in_children:
        os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    global _way
    _way = None


def _the_way() -> Way:
    if _way is None:
        raise RuntimeError("no swhttp server to push to: this is neither one of its workers that serves, nor a process "
                           "of its --process")
    return _way


def push(session_id: int, data: Data, *, overflow: str | None = None) -> None:
    """Send a message to a WebSocket, from any thread of a worker or user process.

    session_id: `Session.id`, or scope["swhttp.session"] of ASGI; data: str is sent as text, bytes as binary, 512 KiB
    at most; overflow: what to do when its client is slow, "drop" this message, "close" the session or "block" until it
    is not; None: as the session has it. A session that is gone is passed over. Waits while there is no room for more,
    except in the thread of an ASGI worker's event loop, where it raises BufferError rather than wait: there `await
    apush()`. Raises TypeError and ValueError for what can be no id, message or policy, RuntimeError where there is no
    server to push to, BrokenPipeError in a user process whose server is gone.
    """
    way = _the_way()
    frame = _push(way, session_id, data, overflow)
    if frame is not None:
        way.send(*frame)


async def apush(session_id: int, data: Data, *, overflow: str | None = None) -> None:
    """`push()`, awaiting room: it never raises BufferError."""
    way = _the_way()
    frame = _push(way, session_id, data, overflow)
    if frame is not None:
        await way.asend(*frame)


def broadcast(group: str, data: Data, *, but: int | None = None) -> None:
    """Send a message to all WebSockets of a group.

    group: as `join()` takes it; data: as `push()` takes it; but: the id of a session to leave out. It never waits for
    a slow client: what `push()` would wait for is dropped for that session. Waits for room, and raises, as `push()`.
    """
    way = _the_way()
    for frame in _broadcast(way, group, data, but):
        way.send(*frame)


async def abroadcast(group: str, data: Data, *, but: int | None = None) -> None:
    """`broadcast()`, awaiting room: it never raises BufferError."""
    way = _the_way()
    for frame in _broadcast(way, group, data, but):
        await way.asend(*frame)


def join(session_id: int, group: str) -> None:
    """Have a session be one of a group. session_id: as `push()` takes it; group: 1 to 255 bytes of UTF-8. Raises what
    `push()` does."""
    _say(words.SW_WS_JOIN, session_id, 0, _group(group), b"")


def leave(session_id: int, group: str) -> None:
    """Have it be one no more. It leaves all groups by itself when it ends. Arguments and errors: as of `join()`."""
    _say(words.SW_WS_LEAVE, session_id, 0, _group(group), b"")


def close_session(session_id: int, code: int = words.SW_CLOSE_NORMAL, reason: str = "") -> None:
    """Close a WebSocket, after what was pushed before. code: 1000 to 1014 but for 1004 to 1006, or 3000 to 4999;
    reason: at most 123 bytes of UTF-8. Raises what `push()` does."""
    if not words.close_code_is_sendable(code):
        raise ValueError(f"{code!r} is no code that a WebSocket can be closed with")
    if not isinstance(reason, str):
        raise TypeError(f"a reason is a str, not {reason!r:.100}")
    text = reason.encode()
    if len(text) > words.SW_WS_REASON_BYTES:
        raise ValueError(f"a reason of {len(text)} bytes is longer than {words.SW_WS_REASON_BYTES}")
    _say(words.SW_WS_END, session_id, code, b"", text)


def set_overflow(session_id: int, policy: str) -> None:
    """Say what becomes of pushes to a session whose client is slow, from now on. policy: "drop", "close" or "block", as
    `push()` takes it. Raises what `push()` does."""
    _say(words.SW_WS_OVERFLOW, session_id, _policy(policy), b"", b"")


def _push(way: Way, session_id: int, data: Data, overflow: str | None) -> tuple[Any, ...] | None:
    reactor = _reactor(way, session_id)
    opcode, body = message(data)
    flags = words.SW_WS_PUSH
    if overflow is not None:
        flags |= (_policy(overflow) + 1) << words.SW_WS_POLICY_SHIFT
    if reactor is None:
        return None
    waits = AS_IT_HAS if overflow is None else IN_ANY_CASE if overflow == "block" else NOT_AT_ALL
    return reactor, flags, opcode, session_id, b"", body, waits


def _broadcast(way: Way, group: str, data: Data, but: int | None) -> list[tuple[Any, ...]]:
    opcode, body = message(data)
    if but is not None:
        _reactor(way, but)
    target = words.SW_NO_LENGTH if but is None else but
    name = _group(group)
    return [(reactor, words.SW_WS_BROADCAST, opcode, target, name, body, NOT_AT_ALL)
            for reactor in range(way.reactors)]


def _say(verb: int, session_id: int, status: int, head: bytes, body: bytes) -> None:
    way = _the_way()
    reactor = _reactor(way, session_id)
    if reactor is not None:
        way.send(reactor, verb, status, session_id, head, body, NOT_AT_ALL)


def _reactor(way: Way, session_id: int) -> int | None:
    """Whose session it is; None: nobody's, by now: ids may be older than this server."""
    if not isinstance(session_id, int):
        raise TypeError(f"a session's id is an int, not {session_id!r:.100}")
    if not 0 <= session_id < 1 << 63:
        raise ValueError(f"{session_id} is no session's id")
    reactor = session_id % (1 << words.SW_SESSION_REACTOR_BITS)
    return reactor if reactor < way.reactors else None


def message(data: Data) -> tuple[int, bytes]:
    """Opcode and bytes of what is to be sent. Raises TypeError, ValueError."""
    if isinstance(data, str):
        opcode, body = words.SW_WS_TEXT, data.encode()
    elif isinstance(data, (bytes, bytearray, memoryview)):
        opcode, body = words.SW_WS_BINARY, bytes(data)
    else:
        raise TypeError(f"a message is str or bytes, not {data!r:.100}")
    if len(body) > limits.WS_PUSH_BYTES:
        raise ValueError(f"a message of {len(body)} bytes is longer than {limits.WS_PUSH_BYTES}")
    return opcode, body


def _group(name: str) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"a group's name is a str, not {name!r:.100}")
    text = name.encode()
    if not 1 <= len(text) <= limits.WS_GROUP_NAME_BYTES:
        raise ValueError(f"a group's name has 1 to {limits.WS_GROUP_NAME_BYTES} bytes, not {len(text)}")
    return text


def _policy(name: str) -> int:
    if name not in POLICIES:
        raise ValueError(f"overflow is one of {', '.join(map(repr, POLICIES))}, not {name!r:.100}")
    return POLICIES[name]
