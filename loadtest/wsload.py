"""The client for WebSockets: compiles wsload.c when it is first needed, runs it, and reads what it says.

`python -m loadtest.wsload echo --port 8000` loads a server that you started, and says what came of it.

Contract: `opened` yields only when every connection is open and has had its first message back; within the block
`Client.load` may be called again and again on the same connections. A load in which something came that should not,
or did not come that should, is still a result, but an invalid one: `Load.faults` says why, and no figure of it may be
compared. The client never outlives the block.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.scenario import Messages

SOURCE = Path(__file__).resolve().parent / "wsload.c"
FLOOR = SOURCE.parent / "wsfloor.c"
PROGRAMS = SOURCE.parent.parent / "build" / "loadtest"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra")
MODES = ("echo", "broadcast", "idle")
# More than the client gives itself: it gives up sooner, when nothing goes on.
OPEN_TIMEOUT_S = 130.0
GRACE_S = 20.0
END_TIMEOUT_S = 10.0


class WsloadError(Exception):
    """The client could not be compiled, could not open its connections, or said something that cannot be read."""


@dataclass(frozen=True)
class Load:
    """What the client saw in one load. messages: those that came in, each one right. cpu_s: of the client."""

    messages: int
    seconds: float
    cpu_s: float
    p50_us: float
    p99_us: float
    faults: tuple[str, ...]

    @property
    def per_second(self) -> float:
        """Messages received per second."""
        return self.messages / self.seconds if self.seconds else 0.0

    @property
    def client_us(self) -> float:
        """The client's CPU per message."""
        return self.cpu_s * 1e6 / max(self.messages, 1)


def program(source: Path = SOURCE) -> Path:
    """Return the program that a file of C makes, as a rule the client; WsloadError when it cannot be compiled.

    It lies in build/, under the digest of what it was made of, and comes there whole: several may make it at once.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise WsloadError("no C compiler (Debian: apt-get install gcc)")
    digest = hashlib.sha256(" ".join((compiler, *FLAGS)).encode() + source.read_bytes()).hexdigest()[:16]
    made = PROGRAMS / f"{source.stem}-{digest}"
    if made.exists():
        return made
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PROGRAMS) as scratch:
        fresh = Path(scratch, source.stem)
        done = subprocess.run(
            [compiler, *FLAGS, str(source), "-o", str(fresh)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise WsloadError(f"{compiler} cannot compile {source.name}:\n{done.stderr}")
        fresh.rename(made)
    return made


def parse(line: str, expects_messages: bool) -> Load:
    """Read one report; WsloadError when a figure is missing."""
    try:
        told = json.loads(line)
        faults = [f"{told[name]} {what}" for name, what in (
            ("wrong", "wrong answers"), ("lost", "connections lost"), ("unanswered", "messages without an answer"),
        ) if told[name]]
        if faults and told["first_fault"]:
            faults[0] += f", the first: {told['first_fault']}"
        if expects_messages and not told["messages"]:
            faults.append("no message was answered")
        seconds, cpu_s, p50_us, p99_us = (float(told[name]) for name in ("seconds", "cpu_s", "p50_us", "p99_us"))
        return Load(int(told["messages"]), seconds, cpu_s, p50_us, p99_us, tuple(faults))
    except (ValueError, KeyError, TypeError) as error:
        raise WsloadError(f"wsload's report cannot be read ({error!r}): {line!r}") from None


class Client:
    """A running client, to be had from `opened`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.heard = b""

    def line(self, timeout_s: float) -> str:
        """Return the next line that the client says; WsloadError when it ends, or says none in time."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self.heard:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise WsloadError(f"wsload has said nothing for {timeout_s:.0f} s")
            piece = os.read(self.process.stdout.fileno(), 65_536)
            if not piece:
                raise WsloadError(self.heard.decode(errors="replace").strip() or "wsload ended without a word")
            self.heard += piece
        line, _, self.heard = self.heard.partition(b"\n")
        return line.decode(errors="replace")

    def load(self, seconds: float, at_most: int = 0) -> Load:
        """Load for so long, sending no more than `at_most` messages unless that is 0; return what was seen."""
        return self.ordered(seconds, at_most, expects_messages=True)

    def look(self) -> Load:
        """Return what has been seen since: for connections that are idle, whether any was lost."""
        return self.ordered(0, 0, expects_messages=False)

    def ordered(self, seconds: float, at_most: int, expects_messages: bool) -> Load:
        """Give an order and return the report."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{seconds} {at_most}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words say why
        line = self.line(seconds + GRACE_S)
        if not line.startswith("{"):
            raise WsloadError(line)
        return parse(line, expects_messages)


@contextmanager
def opened(port: int, connections: int, what: Messages) -> Iterator[Client]:
    """Open so many WebSockets to 127.0.0.1:port and hold them within the block; WsloadError when that fails."""
    words = [what.mode, port, connections, what.size, what.depth, "binary" if what.binary else "text"]
    with subprocess.Popen(
        [program(), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            client = Client(process)
            said = client.line(OPEN_TIMEOUT_S)
            if said != "open":
                raise WsloadError(said)
            yield client
            assert process.stdin is not None
            process.stdin.close()
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise WsloadError("wsload does not end") from None
        finally:
            process.kill()


def told(seen: Load) -> str:
    """Return what was seen as one line for people."""
    return (
        f"{seen.messages:,} messages in {seen.seconds:.2f} s: {seen.per_second:,.0f}/s, p50 {seen.p50_us:,.0f} µs, "
        f"p99 {seen.p99_us:,.0f} µs; the client took {seen.client_us:.2f} µs of CPU a message"
        + "".join(f"\nINVALID: {fault}" for fault in seen.faults)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; return the exit status: 1 when something was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.wsload", description="Load a server with WebSockets.")
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=64, help="(%(default)s)")
    parser.add_argument("--size", type=int, default=32, help="bytes of a message (%(default)s)")
    parser.add_argument("--depth", type=int, default=1, help="messages underway at once (%(default)s)")
    parser.add_argument("--binary", action="store_true", help="binary messages instead of text")
    parser.add_argument("--seconds", type=float, default=3, help="of load, or of silence (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        with opened(given.port, given.connections, Messages(given.mode, given.size, given.depth, given.binary)) as run:
            seen = run.ordered(given.seconds, 0, given.mode != "idle")
    except WsloadError as error:
        print(error)
        return 1
    if given.mode == "idle":
        lost = "".join(f"\nINVALID: {fault}" for fault in seen.faults)
        print(f"{given.connections:,} connections were silent for {given.seconds:g} s{lost}")
    else:
        print(told(seen))
    return 1 if seen.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
