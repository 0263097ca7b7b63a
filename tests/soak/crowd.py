"""A crowd of slow clients in a process of its own, with one epoll loop that costs little CPU.

    python -m tests.soak.crowd HOST:PORT KIND COUNT --rate BYTES_S --size BYTES [--ramp S] [--once] [--target TARGET]

    head      sends a request line and fields that never end, at that rate
    body      POSTs a body of that size, all of the head at once
    chunked   the same in chunks of one byte, without an end
    read      asks for that many bytes, with the smallest receive buffer there is, and reads them at that rate
    download  the same with an ordinary buffer
    idle      sends nothing

Who has been cut, or has got all, comes again, so that there are always COUNT of them; not with `--once`. They take
their turns spread over the interval in which a byte (or as many as a turn brings) is due. It writes a line when all
are connected, one a second of what came of them so far, and ends, with a last one, when its stdin does. `Crowd` is the
other side of it: it starts one and reads the lines.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

KINDS = ("head", "body", "chunked", "read", "download", "idle")
READING = ("read", "download")
TURNS_S = 50  # of the loop
LEAST_TURN_BYTES = 8192  # a faster client takes its turn more often than once a second, but moves at least this much
SMALLEST_BUFFER = 1  # the kernel makes it what it allows
ETHERNET_BYTES = 1448  # of content in a packet
MOST_CONNECTS_S = 1000
REPORT_S = 1.0
START_S = 60.0
END_S = 30.0
ZEROS = bytes(1 << 20)


@dataclass
class Seen:
    """What has come of a crowd. ended: how many, by what they were told (a status, `reset`, `closed`; `whole`: they got
    or sent all); shortest_s, longest_s: lives of those that did not get all."""

    connected: int = 0
    moved_bytes: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    shortest_s: float = float("inf")
    longest_s: float = 0.0
    cpu_s: float = 0.0

    def note(self, what: str, life_s: float) -> None:
        """One has ended."""
        self.ended[what] += 1
        if what != "whole":
            self.shortest_s = min(self.shortest_s, life_s)
            self.longest_s = max(self.longest_s, life_s)

    def line(self) -> str:
        """As it is told."""
        return json.dumps(self.__dict__ | {"ended": dict(self.ended), "cpu_s": time.process_time()})


class _Client:
    """One of them. `moved`: bytes of what it sends or reads."""

    __slots__ = ("begun", "moved", "socket", "status")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.begun = time.monotonic()
        self.moved = 0
        self.status = ""


class _Loop:
    """Runs the crowd."""

    def __init__(self, options: argparse.Namespace) -> None:
        host, _, port = options.address.rpartition(":")
        self.address = (host, int(port))
        self.kind: str = options.kind
        self.count: int = options.count
        self.once: bool = options.once
        self.connects_s = self.count / options.ramp if options.ramp else MOST_CONNECTS_S
        self.size: int = options.size
        rate: float = options.rate
        per_s = max(1.0, min(TURNS_S / 4, rate / LEAST_TURN_BYTES))  # turns that each client takes in a second
        self.step = max(1, round(rate / per_s))
        self.slots: list[list[_Client]] = [[] for _ in range(round(TURNS_S / per_s))]
        self.clients: dict[int, tuple[_Client, list[_Client]]] = {}
        self.epoll = select.epoll()
        self.seen = Seen()
        self.due = self.count
        target = options.target.encode()
        self.opening = {
            "head": b"",
            "idle": b"",
            "body": b"POST %s HTTP/1.1\r\nHost: slow\r\nContent-Length: %d\r\n\r\n" % (target, self.size),
            "chunked": b"POST %s HTTP/1.1\r\nHost: slow\r\nTransfer-Encoding: chunked\r\n\r\n" % target,
        }.get(self.kind, b"GET %s HTTP/1.1\r\nHost: slow\r\nConnection: close\r\n\r\n" % target)
        self.text = (b"GET %s HTTP/1.1\r\nHost: slow\r\n" % target + b"X-Slow: " + b"slow" * 1024) * 4
        if self.kind == "chunked":
            self.text = b"1\r\nx\r\n" * 100_000
        elif self.kind == "body":
            self.text = ZEROS

    def run(self) -> None:
        """Until stdin ends."""
        self.epoll.register(0, select.EPOLLIN | select.EPOLLHUP)
        turn, begun, owed = 0, time.monotonic(), 0.0
        reported, full = begun, False
        while True:
            for fd, events in self.epoll.poll(max(0.0, begun + turn / TURNS_S - time.monotonic()), 512):
                if fd == 0:
                    return
                self._heard(fd, events)
            now = time.monotonic()
            if now >= begun + turn / TURNS_S:
                slot = self.slots[turn % len(self.slots)]
                for client in slot[:]:
                    self._turn(client, slot)
                owed += self.connects_s / TURNS_S
                for _ in range(min(self.due, int(owed))):
                    self._connect()
                owed -= int(owed)
                turn += 1
                if turn / TURNS_S < now - begun - 1.0:  # it was stopped, or starved: not all at once now
                    begun = now - turn / TURNS_S
            if now >= reported + REPORT_S or (not full and self.seen.connected >= self.count):
                full = self.seen.connected >= self.count
                reported = now
                print(self.seen.line(), flush=True)

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if self.kind in READING:  # else the kernel's buffers for them would be those for packets of 64 KiB
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET_BYTES)
            if self.kind == "read":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_BUFFER)
            sock.connect(self.address)
            sock.setblocking(False)
            if self.opening:
                sock.send(self.opening)
        except OSError:
            sock.close()  # it is tried again
            return
        client = _Client(sock)
        slot = min(self.slots, key=len) if len(self.slots) <= TURNS_S else self.slots[sock.fileno() % len(self.slots)]
        slot.append(client)
        self.clients[sock.fileno()] = (client, slot)
        self.due -= 1
        self.seen.connected += 1
        # Those who read do it in their turn, and hear here of a cut alone.
        self.epoll.register(sock.fileno(), 0 if self.kind in READING else select.EPOLLIN)

    def _turn(self, client: _Client, slot: list[_Client]) -> None:
        if self.kind == "idle":
            return
        try:
            if self.kind in READING:
                data = client.socket.recv(self.step)
                if not data:
                    self._end(client, slot, client.status)
                    return
                if client.moved == 0:
                    client.status = data[9:12].decode("latin-1") if self.step > 1 else "closed"
                client.moved += len(data)
                self.seen.moved_bytes += len(data)
                if client.moved > self.size:  # and its head
                    client.status = "whole"
            else:
                at = client.moved % len(self.text)
                left = self.size - client.moved if self.kind == "body" else self.step
                sent = client.socket.send(self.text[at : at + min(self.step, left)]) if left else 0
                client.moved += sent
                self.seen.moved_bytes += sent
        except BlockingIOError:
            pass
        except OSError as error:
            self._end(client, slot, "reset" if error.errno in (errno.ECONNRESET, errno.EPIPE) else str(error.errno))

    def _heard(self, fd: int, events: int) -> None:
        if fd not in self.clients:
            return
        client, slot = self.clients[fd]
        if self.kind in READING:
            if events & (select.EPOLLERR | select.EPOLLHUP):
                self._end(client, slot, "reset")
            return
        try:
            data = client.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            self._end(client, slot, client.status or "reset")
            return
        if data and not client.status:
            client.status = data[9:12].decode("latin-1")
        done = client.status == "200" and self.kind == "body"
        if not data or done:
            self._end(client, slot, "whole" if done else client.status or "closed")

    def _end(self, client: _Client, slot: list[_Client], what: str) -> None:
        del self.clients[client.socket.fileno()]
        client.socket.close()
        slot.remove(client)
        self.seen.connected -= 1
        self.seen.note(what, time.monotonic() - client.begun)
        if not self.once:
            self.due += 1


class Crowd:
    """Starts a crowd, and ends it with the block."""

    def __init__(self, address: tuple[str, int], kind: str, count: int, *, rate: float = 1.0, size: int = 0,
                 ramp_s: float = 0.0, once: bool = False, target: str = "/") -> None:  # fmt: skip
        self.kind, self.count, self._ramp_s = kind, count, ramp_s
        command = [sys.executable, "-m", "tests.soak.crowd", f"{address[0]}:{address[1]}", kind, str(count)]
        command += ["--rate", str(rate), "--size", str(size), "--ramp", str(ramp_s), "--target", target]
        command += ["--once"] if once else []
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        self.seen = Seen()
        self._said = b""

    def look(self) -> Seen:
        """Wait for the next line, or take the latest of those that wait."""
        assert self._process.stdout is not None
        while True:
            said = os.read(self._process.stdout.fileno(), 1 << 20)
            assert said, f"the crowd {self.kind} has ended by itself"
            self._said += said
            *lines, self._said = self._said.split(b"\n")
            if lines:
                self._take(lines[-1])
                return self.seen

    def _take(self, line: bytes) -> None:
        said: dict[str, Any] = json.loads(line)
        said["ended"] = Counter(said["ended"])
        self.seen = Seen(**said)

    def wait_full(self) -> None:
        """Wait until all are connected."""
        end = time.monotonic() + self._ramp_s + START_S
        while self.look().connected < self.count:
            assert time.monotonic() < end, f"only {self.seen.connected} of {self.count} {self.kind} are connected"

    def wait_ended(self, count: int, timeout_s: float) -> None:
        """Wait until so many have ended."""
        end = time.monotonic() + timeout_s
        while self.look().ended.total() < count:
            assert time.monotonic() < end, f"{self.kind}: only {self.seen.ended} after {timeout_s} s"

    def leave(self) -> Seen:
        """Let them all leave at once."""
        if self._process.poll() is None:
            output, _ = self._process.communicate(timeout=END_S)
            if lines := (self._said + output).splitlines():
                self._take(lines[-1])
        return self.seen

    def __enter__(self) -> Crowd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.leave()
        finally:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.crowd")
    parser.add_argument("address")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("count", type=int)
    parser.add_argument("--rate", type=float, default=1.0, help="bytes a second of each")
    parser.add_argument("--size", type=int, default=0, help="bytes of a body")
    parser.add_argument("--target", default="/")
    parser.add_argument("--ramp", type=float, default=0.0, help="seconds in which they come")
    parser.add_argument("--once", action="store_true", help="nobody comes again")
    options = parser.parse_args()
    os.set_blocking(0, False)
    loop = _Loop(options)
    loop.run()
    print(loop.seen.line(), flush=True)


if __name__ == "__main__":
    main()
