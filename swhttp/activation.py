"""Sockets that systemd listens on for us (sd_listen_fds(3)): which, and that no child takes them for its own.

They are one of the ways to say where to listen, of the rank of a variable that other servers read too. A bind from
anywhere else counts instead, as `--bind fd://3` may have been written for these very sockets.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

from swhttp import limits
from swhttp.errors import BadValue

FIRST_FD: Final = 3
VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


@dataclass(frozen=True)
class Passed:
    """A socket that was passed. `name`: what systemd calls it, by default the unit."""

    fd: int
    name: str

    @property
    def bind(self) -> str:
        """As --bind calls it."""
        return f"fd://{self.fd}"


def take(variables: MutableMapping[str, str], pid: int) -> tuple[Passed, ...]:
    """What was passed to the process `pid`, which is this one. Takes the variables away. Raises BadValue."""
    values = {name: variables.pop(name, "") for name in VARIABLES}
    if values["LISTEN_PID"] != str(pid):
        return ()
    text = values["LISTEN_FDS"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and int(text) <= limits.MOST_PASSED_SOCKETS):
        raise BadValue("LISTEN_FDS", f"a number from 0 to {limits.MOST_PASSED_SOCKETS} is needed, not {text!r}")
    names = values["LISTEN_FDNAMES"].split(":")
    passed = [Passed(FIRST_FD + at, names[at] if at < len(names) else "") for at in range(int(text))]
    for one in passed:
        with contextlib.suppress(OSError):  # it is not there: whoever listens on it will say so
            os.set_inheritable(one.fd, False)
    return tuple(passed)


def unused(passed: tuple[Passed, ...], binds: tuple[str, ...]) -> list[str]:
    """Notes on those that are not listened on: whoever connects to them waits for ever."""
    return [f"systemd listens on a socket for this server, {one.bind}{f' ({one.name})' if one.name else ''}, that it "
            "does not serve: another bind is given" for one in passed if one.bind not in binds]
