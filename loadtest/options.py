"""Command-line options that the bench and the gate share, and the way a run ends on a signal."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from loadtest import servers
from loadtest.rounds import Effort

# What 10,000 connections take on either side, with room for the rest.
FILES = 12_000


def add_effort(parser: argparse.ArgumentParser, rounds: int, seconds: int) -> None:
    """Add --rounds, --seconds, --warm-up and --wrk-threads."""
    parser.add_argument("--rounds", type=positive, default=rounds, help="interleaved rounds (%(default)s)")
    parser.add_argument("--seconds", type=positive, default=seconds, help="of each load (%(default)s)")
    parser.add_argument("--warm-up", type=positive, default=1, help="seconds, once per start (%(default)s)")
    parser.add_argument("--wrk-threads", type=positive, default=1, help="threads of wrk (%(default)s)")


def effort(given: argparse.Namespace) -> Effort:
    """Return the effort that the options ask for."""
    return Effort(given.rounds, given.seconds, given.warm_up, given.wrk_threads)


def positive(text: str) -> int:
    """Read a whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def chosen(text: str, known: Sequence[str]) -> list[str]:
    """Read a comma-separated choice of known names."""
    names = text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"unknown: {name}; known: {', '.join(known)}")
    return names


def prepare() -> None:
    """Make TERM end the run as Ctrl-C does, raise the file limit, and look for wrk."""

    def end(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed (Debian: apt-get install wrk)")
    try:
        servers.raise_file_limit(FILES)
    except (OSError, ValueError) as error:
        sys.exit(f"needs {FILES} open files, and the limit cannot be raised: {error}")
