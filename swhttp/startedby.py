"""How this server was started: what one that takes its place repeats, or why it cannot."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from swhttp.config import Config

NO_TAKEOVER: Final = (
    "with --user, --group or --chroot a server has not the rights that it was started with; let systemd hold the "
    "sockets (socket activation), and restart it")


def has_own_user(config: Config) -> bool:
    """Whether it was told as whom, or where, it is to run. That is not undone for a successor."""
    return bool(config.user or config.group or config.chroot)


def current_directory() -> str:
    """Empty: it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


@dataclass(frozen=True)
class StartedBy:
    """`command`: the arguments of the command line, None if a program has started it (`swhttp.run`); `directory`: the
    current one then."""

    command: list[str] | None = None
    directory: str = field(default_factory=current_directory)
