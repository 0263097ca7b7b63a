"""How this server was started: what one that takes its place repeats."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return ""


@dataclass(frozen=True)
class StartedBy:
    """`command`: the arguments of the command line, None if a program has started it (`swhttp.run`); `directory`: the
    current one then."""

    command: list[str] | None = None
    directory: str = field(default_factory=_here)
