"""A thousand WebSockets while workers are reloaded and killed: does any of them notice?

    python -m tests.soak.sockets calls --clients 1000 --reloads 20 --kills 20 [--interface wsgi]
    python -m tests.soak.sockets asgi --clients 1000 --reloads 5 --drain 3

All clients send numbered messages all the time. `calls`: to a handler of the callback API, whose state is the last
sequence that was handled, under reloads and SIGKILLs of random workers in a random order, some of them during reloads.
It fails, with exit status 1, unless

- every client keeps its one connection, but every tenth, which passes by again and again, loses none; and each of their
  messages is answered, in order;
- an answer that comes twice is marked as that to a message that was delivered again, and each finds the state that the
  message before has left;
- in the end a broadcast reaches every client once (groups are kept, too), and every session's on_close is called, and
  finds its last state.

`asgi`: to an echo. It fails unless with each reload every client stays with its worker until it leaves by itself, as
every third does, or is closed with 1012 when --drain is over, not earlier, nor LATE_S later; who connects anew is with
a new worker at once; and `swhttp status` and `swhttp workers` tell how many are still with the old ones.

Neither may leave an error in the log. `tests/test_websocket_reload.py` runs both in short, `make soak` whole.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import struct
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swhttp.supervision import WorkerState
from swhttp.verbs import ask
from tests.soak.wscrowd import BINARY, LOST, TEXT, Client, Crowd
from tests.support import processes
from tests.support.fleet import Start, starting
from tests.support.server import Server

WORKERS = 4
REACTORS = 2
WINDOW = 4  # messages that a client has out
ASKED = struct.Struct("!QQ")  # as tests/apps/lasting.py has them
ANSWERED = struct.Struct("!QQQQB")
PERIOD_S = 0.08  # between two messages of a client
WAIT_S = 60.0  # for anything
LATE_S = 1.0
PASSERS = 10  # every tenth client of the handler passes by,
PASSING = 3  # with so many messages
MOST_AT_ONCE = 20  # handlers of on_close on which one worker can die, in all likelihood
LEAVERS = 3  # every third leaves by itself
LEFT, RESTARTED = "left by themselves", "closed with 1012"
EVERYBODY = "everybody hears this"


@dataclass
class Step:
    """What came of the time after something was done, until the next was."""

    name: str
    answers: int = 0
    redelivered: int = 0
    twice: int = 0
    slowest_s: float = 0.0

    def __str__(self) -> str:
        return (f"{self.name}: {self.answers} answers, {self.redelivered} of messages that were delivered again, "
                f"{self.twice} of them twice; the slowest after {self.slowest_s:.2f} s")


@dataclass
class Outcome:
    """What came of one run; `failures` is empty when all is as it must be."""

    title: str
    steps: list[Step] = field(default_factory=list)
    answers: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    closed_s: list[float] = field(default_factory=list)  # after the end of the drain
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"  {step}" for step in self.steps]
        if self.steps:
            lines.append(str(Step(
                self.title, sum(step.answers for step in self.steps), sum(step.redelivered for step in self.steps),
                sum(step.twice for step in self.steps), max(step.slowest_s for step in self.steps))))
            lines.append("  " + ", ".join(f"{count} {what}" for what, count in self.ends.items()))
        else:
            ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))
            span = f", {min(self.closed_s):+.2f} to {max(self.closed_s):+.2f} s off" if self.closed_s else ""
            lines.append(f"{self.title}: {self.answers} answers; {ends}{span}")
        return "\n".join([*lines, *(f"  FAILED: {failure}" for failure in self.failures)])


@contextlib.contextmanager
def _noting(outcome: Outcome, crowd: Crowd | None = None) -> Iterator[None]:
    """What fails within is noted."""
    try:
        yield
    except AssertionError as error:
        outcome.failures.append(str(error))
    finally:
        if crowd is not None:
            outcome.failures += crowd.failures


# The callback API


class Calling(Client):
    """A client of the handler: one connection for all time, but those who pass by have one after the other."""

    crowd: CallingCrowd

    def __init__(self, crowd: CallingCrowd, number: int) -> None:
        super().__init__(crowd, number)
        self.asked = self.answered = 0
        self.heard = 0
        self.ceasing = False  # it asks no more
        self.finishing = False  # it leaves for good
        self.over = False
        self.passes = number % PASSERS == PASSERS - 1
        self.ends: list[str] = []  # what on_close is to note
        self._asked_s: deque[float] = deque()
        self._was_marked = False

    def opened(self) -> None:
        self.asked = self.answered = 0
        self._was_marked = False

    def due(self, now_s: float) -> None:
        if self.passes and not self.ceasing and self.asked >= PASSING:
            if self.is_idle():
                self.leave()
        elif not (self.ceasing and self.asked) and len(self._asked_s) < WINDOW:
            self._asked_s.append(now_s)
            self.asked += 1
            self.send(BINARY, ASKED.pack(self.number, self.asked))

    def has_answers_to(self, session: int, asked: int) -> bool:
        """To so many of that session, which may be over?"""
        return self.session > session or self.answered >= asked

    def is_idle(self) -> bool:
        """Has all been answered?"""
        return self.open and not self._asked_s and self.answered > 0

    def message(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self.heard += payload == EVERYBODY.encode()
            return
        client, number, sequence, state, marked = ANSWERED.unpack(payload)
        step = self.crowd.step
        expected = self.answered + 1
        if number == expected and self._asked_s:
            self.answered = number
            step.answers += 1
            step.redelivered += marked
            step.slowest_s = max(step.slowest_s, time.monotonic() - self._asked_s.popleft())
        elif number == self.answered and marked:
            step.twice += 1
            step.redelivered += not self._was_marked
        else:
            self.fail(f"the answer to {number} came, marked {marked}, instead of that to {expected}")
        if (client, sequence, state) != (self.number, number, number - 1):
            self.fail(f"message {number}: of client {client}, sequence {sequence}, state {state}")
        self._was_marked = bool(marked)

    def ended(self, code: int) -> None:
        self.ends.append(f"1000 {self.answered} /socket?{self.number}-{self.session}")
        if not self.leaving or code != 1000:
            self.fail(f"its connection ended, with {code}, after {self.answered} answers")
        elif self.finishing:
            self.over = True
        else:
            self.dial()


class CallingCrowd(Crowd):
    """With the step that goes on."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.step = Step("before")


def _kill(site: Server, busy: bool) -> int:
    """Kill a random worker; `busy`: one that has a handler at work. Its pid."""
    board, victims = site.counters(), []

    def held() -> bool:
        up = [(number, slot["pid"]) for number, slot in enumerate(board.slots)
              if slot["state"] in (WorkerState.READY, WorkerState.STOPPING) and slot["pid"]]
        for number, pid in random.sample(up, len(up)):
            with contextlib.suppress(ProcessLookupError):
                site.kill(signal.SIGSTOP, pid)  # it can finish nothing from now on
                now = board.slots[number]
                if now["pid"] == pid and (not busy or now["taken"] > now["done"]):
                    victims.append(pid)
                    site.kill(signal.SIGKILL, pid)
                    return True
                site.kill(signal.SIGCONT, pid)
        return False

    processes.wait_until(held, "a worker to kill", WAIT_S)
    return int(victims[-1])


def _disturb(site: Server, crowd: CallingCrowd, outcome: Outcome, reloads: int, kills: int) -> None:
    """Reload and kill in a random order."""
    plan = ["reload"] * reloads + ["kill"] * kills
    random.shuffle(plan)
    killed, mark = 0, -1  # mark: in the log, of a reload that is under way
    for number, what in enumerate(plan, 1):
        if mark >= 0 and (what == "reload" or random.random() < 0.5):
            site.wait_for_log(r"Reloaded in", WAIT_S, since=mark)
            mark = -1
        # Whatever a worker has died on is answered before the next dies, for two deaths on one message end its session.
        asked = [(client.session, client.asked + 1) for client in crowd.clients]
        crowd.wait(lambda asked=asked: all(  # type: ignore[misc]
            client.has_answers_to(*its) for client, its in zip(crowd.clients, asked, strict=True)),
                   f"answers to all after {crowd.step.name}", WAIT_S)
        crowd.step = Step(f"{number}. {what}{' during a reload' if mark >= 0 else ''}")
        outcome.steps.append(crowd.step)
        if what == "reload":
            mark = site.log.mark()
            site.kill(signal.SIGUSR1)
        else:
            killed += 1
            victim = _kill(site, busy=killed % 2 == 1)
            site.wait_for_log(rf"Worker (died|left): .*\bpid {victim}\b", WAIT_S)
    if mark >= 0:
        site.wait_for_log(r"Reloaded in", WAIT_S, since=mark)


def _cease(crowd: Crowd) -> None:
    def cease() -> None:
        for client in crowd.clients:
            client.ceasing = True

    crowd.do(cease)
    crowd.wait(lambda: all(client.ceasing and client.is_idle() for client in crowd.clients), "the last answers", WAIT_S)


def _leave(crowd: Crowd) -> None:
    def leave() -> None:
        for client in crowd.clients:
            client.finishing = True
            client.leave()

    crowd.do(leave)
    crowd.wait(lambda: all(client.over for client in crowd.clients), "the end of all", WAIT_S)


def calls(start: Start, interface: str, clients: int, reloads: int, kills: int) -> Outcome:
    """Start a server with a handler, disturb it, and see what anybody noticed."""
    outcome = Outcome(f"{interface}, {clients} clients of a handler, {reloads} reloads, {kills} kills")
    handler = "Plain" if interface == "wsgi" else "Coroutines"
    with tempfile.TemporaryDirectory(prefix="sws-") as directory:
        noted = Path(directory) / "noted"
        site = start(f"lasting:{interface}", "--ws-handler", f"lasting:{handler}", "--workers", str(WORKERS),
                     "--reactors", str(REACTORS), env={"NOTED_PATH": str(noted)})
        with CallingCrowd(site.tcp_addresses()[0], clients, Calling, PERIOD_S) as crowd, _noting(outcome, crowd):
            outcome.steps.append(crowd.step)
            crowd.wait(lambda: all(client.has_answers_to(1, 1) for client in crowd.clients),
                       "everybody's first answer", WAIT_S)
            _disturb(site, crowd, outcome, reloads, kills)
            _cease(crowd)
            crowd.do(lambda: crowd.clients[0].send(TEXT, EVERYBODY.encode()))
            crowd.wait(lambda: all(client.heard for client in crowd.clients), "a broadcast to reach all", WAIT_S)
            _leave(crowd)
            wanted = {end for client in crowd.clients for end in client.ends}
            outcome.ends["sessions"] = len(wanted)
            with _noting(outcome):
                processes.wait_until(lambda: set(noted.read_text().splitlines()) >= wanted, "on_close of all")
            found = Counter(noted.read_text().splitlines())
            outcome.ends["on_close called again"] = found.total() - len(wanted)
            if found.keys() != wanted:
                outcome.failures.append(f"on_close: {found.keys() - wanted} instead of {wanted - found.keys()}")
            if found.total() - len(wanted) > kills * MOST_AT_ONCE or max(found.values()) > 2:
                outcome.failures.append(f"on_close was called again {found.total() - len(wanted)} times")
            if kills and not any(step.redelivered for step in outcome.steps):
                outcome.failures.append("no message was delivered again")
            if any(client.heard != 1 for client in crowd.clients):
                outcome.failures.append("a broadcast came twice")
        with _noting(outcome):
            site.wait_for_workers(WORKERS)
            site.settle()  # no error is in the log, and nothing is left
    return outcome


# ASGI


class Echoing(Client):
    """A client of the echo, which connects anew when it has left, or was closed with 1012."""

    crowd: EchoingCrowd

    def __init__(self, crowd: EchoingCrowd, number: int) -> None:
        super().__init__(crowd, number)
        self.pid = 0
        self.ceasing = False  # it leaves when all is answered
        self.finishing = False  # for good
        self.over = False
        self._sent = self._answered = 0

    def opened(self) -> None:
        self.pid = self._sent = self._answered = 0
        self.ceasing = self.finishing

    def due(self, now_s: float) -> None:
        if self.ceasing and self._sent == self._answered > 0:
            self.leave()
        elif not (self.ceasing and self._sent) and self._sent - self._answered < WINDOW:
            self._sent += 1
            self.send(BINARY, b"%d" % self._sent)

    def message(self, opcode: int, payload: bytes) -> None:
        pid, number = map(int, payload.split())
        self._answered += 1
        self.crowd.answers += 1
        if number != self._answered:
            self.fail(f"{number} came instead of {self._answered}")
        if self.pid not in (0, pid):
            self.fail(f"has been with {self.pid}, and now with {pid}")
        if self.pid == 0 and pid in self.crowd.old:
            self.fail(f"connected anew, and is with the old worker {pid}")
        self.pid = pid

    def closing(self, code: int) -> None:
        crowd = self.crowd
        if self.leaving:
            crowd.ends[LEFT] += 1  # `ended` looks at the code
            return
        now_s = time.monotonic()
        crowd.ends[RESTARTED] += 1
        crowd.closed_s.append(now_s - crowd.drained_s)
        if code != 1012 or self.pid not in crowd.old or now_s < crowd.earliest_s:
            self.fail(f"with {self.pid} was closed with {code}, {now_s - crowd.drained_s:.2f} s after the drain's end")

    def ended(self, code: int) -> None:
        if code == LOST or (self.leaving and code != 1000):
            self.fail(f"its connection ended, with {code}")
        elif self.finishing:
            self.over = True
        else:
            self.dial()


class EchoingCrowd(Crowd):
    """With what is known of the last reload. old: workers that were replaced; earliest_s, drained_s: before when no
    socket may be closed, and when they will be."""

    old: frozenset[int] = frozenset()
    earliest_s = drained_s = float("inf")
    answers = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ends: Counter[str] = Counter()
        self.closed_s: list[float] = []

    def of(self, workers: frozenset[int]) -> int:
        """How many clients are with these workers."""
        return sum(client.open and client.pid in workers for client in self.clients)


def _told(site: Server) -> tuple[int, int]:
    """What the control socket says: how many are open, and how many with workers that are replaced."""
    path = f"{site.directory}/c"
    sockets = ask(path, {"verb": "status"}, WAIT_S)["websockets"]
    return sockets["open"], sockets["draining"]


def _told_of(site: Server, workers: frozenset[int]) -> int:
    """What the control socket says: how many are with these workers."""
    answer = ask(f"{site.directory}/c", {"verb": "workers"}, WAIT_S)
    return sum(one["websockets"] for one in answer["workers"] if one["pid"] in workers)


def _replace(site: Server, crowd: EchoingCrowd, drain_s: float) -> None:
    """One reload, until the last of the old workers has left."""
    old, count = frozenset(site.workers()), len(crowd.clients)
    leavers = crowd.clients[::LEAVERS]
    mark = site.log.mark()
    crowd.earliest_s = time.monotonic() + drain_s
    site.kill(signal.SIGUSR1)
    site.wait_for_log(r"Reloaded in", WAIT_S, since=mark)
    crowd.drained_s = time.monotonic() + drain_s
    crowd.old = old
    crowd.wait(lambda: _told(site) == (count, count), f"status to tell of {count} old sockets")

    def leave() -> None:
        for client in leavers:
            client.ceasing = True

    crowd.do(leave)
    stayers = count - len(leavers)
    crowd.wait(lambda: _told(site) == (count, stayers) and _told_of(site, old) == stayers == crowd.of(old),
               f"status and workers to tell of {stayers} old sockets, and everybody to be connected")
    site.wait_for_log(r"Worker left", WAIT_S, since=mark, count=WORKERS)
    new = frozenset(site.workers())
    assert len(new) == WORKERS, f"the workers {sorted(old)} became {sorted(new)}"
    assert not new & old, f"the workers {sorted(old)} became {sorted(new)}"
    crowd.wait(lambda: crowd.of(new) == count and _told(site) == (count, 0), "everybody to be with a new worker")


def asgi(start: Start, clients: int, reloads: int, drain_s: float, late_s: float = LATE_S) -> Outcome:
    """Start a server with an echo, reload it, and see how each socket has ended."""
    outcome = Outcome(f"asgi, {clients} clients of an echo, {reloads} reloads, --websocket-drain {drain_s:g}")
    with tempfile.TemporaryDirectory(prefix="sws-") as directory:
        noted = Path(directory) / "noted"
        site = start("lasting:asgi", "--workers", str(WORKERS), "--reactors", str(REACTORS), "--control", "c",
                     "--websocket-drain", f"{drain_s:g}", env={"NOTED_PATH": str(noted)})
        with EchoingCrowd(site.tcp_addresses()[0], clients, Echoing, PERIOD_S) as crowd, _noting(outcome, crowd):
            crowd.wait(lambda: all(client.pid for client in crowd.clients), "everybody's first answer", WAIT_S)
            for _ in range(reloads):
                _replace(site, crowd, drain_s)

            def finish() -> None:
                for client in crowd.clients:
                    client.finishing = client.ceasing = True

            crowd.do(finish)
            crowd.wait(lambda: all(client.over for client in crowd.clients), "the end of all", WAIT_S)
            outcome.ends, outcome.closed_s, outcome.answers = crowd.ends, crowd.closed_s, crowd.answers
            leaving = len(crowd.clients[::LEAVERS])
            if crowd.ends != {LEFT: clients + reloads * leaving, RESTARTED: reloads * (clients - leaving)}:
                outcome.failures.append(f"the ends were {crowd.ends}")
            if max(map(abs, crowd.closed_s)) > late_s:
                outcome.failures.append(f"a socket was closed more than {late_s:g} s off the drain's end")
            wanted = Counter({"1000": crowd.ends[LEFT], "1012": crowd.ends[RESTARTED]})
            with _noting(outcome):
                processes.wait_until(
                    lambda: len(noted.read_text().split()) >= wanted.total(), "the app to know all ends")
            if (found := Counter(noted.read_text().split())) != wanted:
                outcome.failures.append(f"the app knows of the ends {dict(found)} instead of {dict(wanted)}")
        with _noting(outcome):
            site.settle()  # no error is in the log, and nothing is left
    return outcome


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.sockets")
    parser.add_argument("scenario", choices=["calls", "asgi"])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20, help="calls: SIGKILLs of workers")
    parser.add_argument("--interface", choices=["asgi", "wsgi"], default="asgi", help="calls: what the application is")
    parser.add_argument("--drain", type=float, default=3.0, help="asgi: --websocket-drain")
    options = parser.parse_args()
    processes.become_subreaper()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through `starting`, which stops the servers
    with starting(settled=False) as start:
        if options.scenario == "calls":
            outcome = calls(start, options.interface, options.clients, options.reloads, options.kills)
        else:
            outcome = asgi(start, options.clients, options.reloads, options.drain)
        print(outcome, flush=True)
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
