"""wrk against a server for as long as something else goes on, ended by SIGINT, on which it reports."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from loadtest.wrk import Load, command, parse

MOST_S = 1800
END_S = 30.0


@dataclass
class Running:
    """`load`: wrk's report, once it has ended."""

    load: Load | None = field(default=None, init=False)

    @property
    def seen(self) -> Load:
        """The report of a load that has ended."""
        assert self.load is not None, "wrk still runs"
        return self.load


@contextlib.contextmanager
def load(port: int, connections: int) -> Iterator[Running]:
    """Load 127.0.0.1:port with GETs from `connections` keep-alive connections until the end of the block."""
    running = Running()
    with subprocess.Popen(
        command(port, connections, MOST_S, 1), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as wrk:
        try:
            yield running
            assert wrk.poll() is None, "wrk ended by itself"
            wrk.send_signal(signal.SIGINT)
            output, _ = wrk.communicate(timeout=END_S)
            running.load = parse(output)
        finally:
            wrk.kill()
