"""Load while a random worker is killed every 200 ms: what becomes of the requests?

    python -m tests.soak.storm --seconds 60 --interface asgi

One server with four workers and `--replay safe`; keep-alive clients ask for small answers, send POSTs whose ids the app
notes before it answers, and ask for longer answers in two pieces. One in a hundred takes 10 ms.
Meanwhile SIGKILL goes to a random worker that is up.
It fails, with exit status 1, unless

- every GET is answered 200, whole, but those whose quarantine the log tells of, each by its target;
- every POST is answered: by 200, and then it was done exactly once, or by 502, and then at most once, and the log says
  that a dead worker had begun it: whatever none had begun has succeeded;
- a connection ends in nothing but the middle of a response in two pieces;
- nobody waits for an answer longer than HANG_S, and in the end the server is as it was at first.

`tests/test_storm.py` runs it for seconds, `make soak` for a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from swhttp.supervision import WorkerState
from tests.support import processes
from tests.support.counters import totals
from tests.support.fleet import Start, starting
from tests.support.server import Server

WORKERS = 4
CLIENTS = 24
KILL_EVERY_S = 0.2
HANG_S = 20.0  # for one answer: a bound of waits, no claim about speed
MOST_FAILURES = 20  # are told
STREAM_BYTES = 60_000  # as tests/apps/stormy.py has it
KINDS = ["GET"] * 9 + ["POST"] * 9 + ["STREAM"]
SLOW_SHARE = 0.01  # takes a while, so that workers die on some


@dataclass
class Storm:
    """What came of one run. answers: by what was asked and how it went."""

    interface: str
    seconds: float
    seed: int
    answers: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    nobody_to_kill: int = 0
    slowest_s: float = 0.0
    replayed: int = 0
    noted_of_lost: int = 0
    posts_answered: set[str] = field(default_factory=set)
    posts_lost: set[str] = field(default_factory=set)
    quarantined: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def fail(self, text: str) -> None:
        """Note what must not be."""
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(text)

    def __str__(self) -> str:
        answers = ", ".join(f"{count} {what}" for what, count in sorted(self.answers.items()))
        text = (f"{self.interface}, {self.seconds:g} s, seed {self.seed}: {self.kills} kills "
                f"({self.nobody_to_kill} times no worker was up); {answers}; {self.replayed} replayed; of the POSTs "
                f"lost {self.noted_of_lost} had been done; the slowest answer after {self.slowest_s:.2f} s")
        return "\n".join([text, *(f"  FAILED: {failure}" for failure in self.failures)])


class Client:
    """One keep-alive connection after the other, and one request after the other on it."""

    def __init__(self, site: Server, storm: Storm, number: int) -> None:
        self._address = site.tcp_addresses()[0]
        self._storm = storm
        self._number = number
        self._random = random.Random(storm.seed + number)

    async def run(self, until_s: float) -> None:
        """Until the time has come and the last answer is here."""
        asked = 0
        while time.monotonic() < until_s:
            reader, writer = await asyncio.open_connection(*self._address)
            try:
                while time.monotonic() < until_s:
                    asked += 1
                    name = f"{'slow/' if self._random.random() < SLOW_SHARE else ''}{self._number}-{asked}"
                    if not await self._ask(reader, writer, self._random.choice(KINDS), name):
                        break
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str, name: str) -> bool:
        """One exchange, judged; whether the connection goes on."""
        storm = self._storm
        target = f"/stream/{name}" if kind == "STREAM" else f"/{name}"
        body = "Content-Length: 4\r\n\r\nbody" if kind == "POST" else "\r\n"
        writer.write(f"{'POST' if kind == 'POST' else 'GET'} {target} HTTP/1.1\r\nHost: x\r\n{body}".encode())
        began_s = time.monotonic()
        got = b""
        try:
            async with asyncio.timeout(HANG_S):
                got = await reader.readuntil(b"\r\n\r\n")
                head = got.decode("latin-1").lower()
                status = int(got[9:12])
                length = re.search(r"content-length: (\d+)", head)
                assert length is not None, head
                content = await reader.readexactly(int(length[1]))
        except TimeoutError:
            storm.fail(f"{kind} {target}: no answer after {HANG_S:g} s")
            return False
        except (asyncio.IncompleteReadError, ConnectionError) as end:
            if kind == "STREAM" and got.startswith(b"HTTP/1.1 200 "):
                storm.answers["streams cut"] += 1
            else:
                storm.fail(f"{kind} {target}: closed after {got!r}: {end!r}")
            return False
        storm.slowest_s = max(storm.slowest_s, time.monotonic() - began_s)
        self._judge(kind, name, target, status, content)
        if "connection: close" in head:
            storm.fail(f"{kind} {target}: {status} ended the connection")
            return False
        return True

    def _judge(self, kind: str, name: str, target: str, status: int, content: bytes) -> None:
        storm = self._storm
        if status == 200 and kind == "STREAM" and len(content) == STREAM_BYTES:
            storm.answers["streams"] += 1
        elif status == 200 and content == name.encode():
            storm.answers[f"{kind}s"] += 1
            if kind == "POST":
                storm.posts_answered.add(name)
        elif (status, content, kind) == (502, b"worker-lost", "POST"):
            storm.answers["POSTs lost"] += 1
            storm.posts_lost.add(name)
        elif (status, content) == (502, b"quarantined") and kind != "POST":
            storm.answers["GETs quarantined"] += 1
            storm.quarantined.add(target)
        else:
            storm.fail(f"{kind} {target}: {status} {content[:100]!r}")


async def _kill(site: Server, storm: Storm, until_s: float) -> None:
    board, chance = site.counters(), random.Random(storm.seed)
    next_s = time.monotonic()
    while (next_s := next_s + KILL_EVERY_S) < until_s:
        await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        up = [slot["pid"] for slot in board.slots if slot["state"] == WorkerState.READY and slot["pid"]]
        if not up:
            storm.nobody_to_kill += 1
            continue
        with contextlib.suppress(ProcessLookupError):
            site.kill(signal.SIGKILL, chance.choice(up))
            storm.kills += 1


async def _storm(site: Server, storm: Storm) -> None:
    until_s = time.monotonic() + storm.seconds
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_kill(site, storm, until_s))
        for number in range(CLIENTS):
            tasks.create_task(Client(site, storm, number).run(until_s))


def _look_back(site: Server, storm: Storm, noted: Path) -> None:
    """Compare what the clients saw with what the app has noted, and with the log."""
    times = Counter(noted.read_text().split())
    for name, count in times.items():
        if count > 1:
            storm.fail(f"POST /{name} was done {count} times")
    for name in storm.posts_answered - times.keys():
        storm.fail(f"POST /{name} was answered and not done")
    for name in times.keys() - storm.posts_answered - storm.posts_lost:
        storm.fail(f"POST /{name} was done and not answered")
    storm.noted_of_lost = len(storm.posts_lost & times.keys())
    log = site.log.text()
    on = "\n".join(re.findall(r"Worker was on: (.*)", log))
    unnamed = sum(int(count) for count in re.findall(r" and (\d+) more$", on, re.MULTILINE))
    untold = storm.posts_lost - set(re.findall(r"POST /(\S+) \(", on))
    if len(untold) > unnamed:
        storm.fail(f"answered 502 though no dead worker had begun them: POST {sorted(untold)}")
    told = set(re.findall(r'reason=quarantined client=\S+ request="GET (\S+)"', log))
    if told != storm.quarantined:
        storm.fail(f"quarantined: {sorted(storm.quarantined)}, and according to the log {sorted(told)}")
    figures = totals(site)
    storm.replayed = figures["replayed"]
    counted = (figures["worker_lost"], figures["quarantined"])
    if counted != (len(storm.posts_lost), len(storm.quarantined)):
        storm.fail(f"worker_lost, quarantined are {counted}")
    if not (storm.kills and storm.answers["GETs"] and storm.answers["POSTs"]):
        storm.fail("no storm")


def run(start: Start, interface: str, seconds: float) -> Storm:
    """Start a server, and storm it."""
    storm = Storm(interface, seconds, random.SystemRandom().randrange(1 << 32))
    with tempfile.TemporaryDirectory(prefix="swt-") as directory:
        noted = Path(directory) / "noted"
        site = start(
            f"stormy:{interface}", "--workers", str(WORKERS), "--reactors", "1", env={"NOTED_PATH": str(noted)})
        asyncio.run(_storm(site, storm))
        site.wait_for_workers(WORKERS)
        site.settle()  # the log is whole, too
        _look_back(site, storm, noted)
    return storm


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.storm")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--interface", action="append", choices=["asgi", "wsgi"], help="repeatable; default: asgi")
    options = parser.parse_args()
    processes.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through `starting`, which stops the servers
    failed = False
    for interface in options.interface or ["asgi"]:
        with starting() as start:
            storm = run(start, interface, options.seconds)
        print(storm, flush=True)
        failed = failed or bool(storm.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
