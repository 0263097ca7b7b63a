"""What the control socket is told: one function for each verb (docs/control.md has them all).

It reads the scoreboard and /proc, and asks the master for everything else: it owns nothing but the questions that wait
for an answer. All of it runs in the master's main thread, so nothing here waits, and what could be long lets the
reactors have the GIL in between.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from swhttp import __version__, limits
from swhttp.config import Config
from swhttp.control import Question
from swhttp.controlproto import Message, encode_rows
from swhttp.ipc.scoreboard import Scoreboard
from swhttp.procinfo import rss_anon_bytes, uptime_s
from swhttp.reactor.reactors import Reactors
from swhttp.reloads import Reloads, Waiter
from swhttp.startedby import NO_TAKEOVER, StartedBy, current_directory, has_own_user
from swhttp.workerlife import WorkerState

ROWS_WITH_THE_GIL: Final = 16  # some 0.1 ms
_ENVELOPE_BYTES: Final = 256  # of an answer, around its rows
_ANSWERED_LATER: Final = ("scale", "requests")
_WHO: Final = "Control socket"
STOPPING: Final = "the server is stopping"


class Host(Protocol):
    """The master, as the answers see it. `workers`: how many are wanted; `interface`: of the app, empty until a worker
    has found out; `urls`: where it listens; `waiter` of `scale`: is told how many are wanted then, or None."""

    @property
    def config(self) -> Config: ...
    @property
    def scoreboard(self) -> Scoreboard: ...
    @property
    def reactors(self) -> Reactors: ...
    @property
    def reloads(self) -> Reloads: ...
    @property
    def started_s(self) -> float: ...
    @property
    def workers(self) -> int: ...
    @property
    def interface(self) -> str: ...
    @property
    def phase_name(self) -> str: ...
    @property
    def stopping(self) -> bool: ...
    @property
    def urls(self) -> list[str]: ...
    @property
    def started_by(self) -> StartedBy: ...
    def ask_to_stop(self, who: str, quick: bool) -> None: ...
    def reopen(self) -> str: ...
    def reload(self, who: str, waiter: Waiter | None = None) -> None: ...
    def scale(self, workers: int, who: str, waiter: Callable[[int | None], None] | None = None) -> None: ...
    def lend_listeners(self) -> tuple[list[Message], list[int]] | None: ...
    def keep_listeners(self) -> None: ...
    def hand_over(self) -> None: ...


class Answers:
    """Answers every question. `host`: whom to ask."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._requests: list[Question] = []
        self._verbs: dict[str, Callable[[Question], None]] = {
            "status": self._status, "workers": self._workers, "requests": self._in_flight, "reload": self._reload,
            "stop": self._stop, "reopen": self._reopen, "scale": self._scale, "takeover": self._takeover,
            "took-over": self._took_over}
        self._heir: Question | None = None
        self._heir_since_s = 0.0

    def ask(self, question: Question) -> None:
        """Answer it, at once or when there is an answer."""
        verb = self._verbs.get(question.verb)
        if verb is None:
            question.refuse(f"there is no such verb; there are {', '.join(self._verbs)}")
        elif question.crowded and (question.fields.get("wait") or question.verb in _ANSWERED_LATER):
            question.refuse("too many wait for an answer already")
        else:
            verb(question)

    # What the master hears of the reactors

    def snapshot(self) -> None:
        """The reactors have listed what is in flight."""
        there_were = self._host.reactors.snapshot_size()
        rows = list(_encoded(self._host.reactors))
        message = encode_rows(
            {"ok": True, "in_flight": there_were, "truncated": len(rows) < there_were}, "requests", rows)
        asked, self._requests = self._requests, []
        for question in asked:
            question.answer_bytes(message)

    # Verbs

    def _status(self, question: Question) -> None:
        host, now_s = self._host, time.monotonic()
        states = Counter(_state_name(slot["state"]) for slot in host.scoreboard.slots if slot["state"])
        reloads = host.reloads
        question.answer(
            version=__version__, pid=os.getpid(), uptime_s=round(now_s - host.started_s, 3), phase=host.phase_name,
            app=str(host.config.app), interface=host.interface, binds=host.urls,
            workers={
                "wanted": host.workers, "most": host.config.max_workers, "ready": states.pop("ready", 0), **states},
            reactors=[
                {"connections": one["open"], "in_flight": one["in_flight"], "waiting": one["waiting"],
                 "requests": one["requests"], "responses": one["responses"], "websockets": one["websockets"]}
                for one in host.scoreboard.reactors],
            websockets={
                "open": sum(one["websockets"] for one in host.scoreboard.reactors),
                # Of workers that are replaced: these are closed when --websocket-drain is over.
                "draining": sum(slot["websockets"] for slot in host.scoreboard.slots
                                if slot["state"] == WorkerState.STOPPING.value)},
            reload={
                "running": reloads.running, "count": reloads.count,
                **({"ok": reloads.ok, "error": reloads.text, "ended_ago_s": round(now_s - reloads.ended_s, 3)}
                   if reloads.count else {})})

    def _workers(self, question: Question) -> None:
        booted_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        question.answer(workers=[
            {"slot": number, "pid": slot["pid"], "generation": slot["generation"], "state": _state_name(slot["state"]),
             "taken": slot["taken"], "done": slot["done"], "in_flight": max(0, slot["taken"] - slot["done"]),
             "websockets": slot["websockets"], "service_s": slot["service_ns"] / 1e9 or None,
             "app_errors": slot["app_errors"],
             "rss_bytes": rss_anon_bytes(slot["pid"]) or None, "uptime_s": uptime_s(slot["pid"], booted_s)}
            for number, slot in enumerate(self._host.scoreboard.slots) if slot["state"]])

    def _in_flight(self, question: Question) -> None:
        self._requests.append(question)
        self._host.reactors.snapshot()

    def _reload(self, question: Question) -> None:
        if question.fields.get("wait") or self._host.stopping:
            self._host.reload(_WHO, lambda ok, text: question.answer() if ok else question.refuse(text))
        else:
            self._host.reload(_WHO)
            question.answer()

    def _stop(self, question: Question) -> None:
        if question.fields.get("wait"):
            question.keep()
        question.answer(pid=os.getpid())
        self._host.ask_to_stop(_WHO, quick=bool(question.fields.get("quick")))

    def _reopen(self, question: Question) -> None:
        if why_not := self._host.reopen():
            question.refuse(why_not)
        else:
            question.answer()

    def _scale(self, question: Question) -> None:
        workers, most = question.fields.get("workers"), self._host.config.max_workers
        if not isinstance(workers, int) or isinstance(workers, bool) or not 1 <= workers <= most:
            question.refuse(f"the number of workers is one from 1 to {most}")
        else:
            self._host.scale(
                workers, _WHO, lambda now: question.refuse(STOPPING) if now is None else question.answer(workers=now))

    def _takeover(self, question: Question) -> None:
        now_s = time.monotonic()
        if has_own_user(self._host.config):
            question.refuse(NO_TAKEOVER)
            return
        if self._heir is not None and now_s < self._heir_since_s + limits.TAKEOVER_SILENCE_S:
            question.refuse(f"another takeover has begun {now_s - self._heir_since_s:.0f} s ago; it may take "
                            f"{limits.TAKEOVER_SILENCE_S:g} s")
            return
        lent = self._host.lend_listeners()
        if lent is None:
            question.refuse("it is starting or ending")
            return
        if self._heir is not None:
            self._heir.give_up(f"this takeover took more than {limits.TAKEOVER_SILENCE_S:g} s, and another has begun")
        binds, fds = lent
        self._heir, self._heir_since_s = question, now_s
        question.hand_over(fds, self._heir_left)
        by = self._host.started_by
        question.answer(pid=os.getpid(), command=by.command, directory=by.directory, cwd=current_directory(),
                        listeners=binds)

    def _heir_left(self) -> None:
        self._heir = None
        self._host.keep_listeners()

    def _took_over(self, question: Question) -> None:
        if self._heir is None or not question.follows(self._heir):
            question.refuse("first say takeover, on the same connection")
            return
        self._heir = None
        question.keep()  # first: whatever becomes of the heir, there is no way back
        self._host.hand_over()
        question.answer()


def _state_name(state: int) -> str:
    try:
        return WorkerState(state).name.lower()
    except ValueError:
        return str(state)


def _encoded(reactors: Reactors) -> Iterator[bytes]:
    """The requests in flight as JSON, until the answer is full."""
    room_bytes = limits.CONTROL_ANSWER_BYTES - _ENVELOPE_BYTES
    for number, row in enumerate(reactors.snapshot_rows(), 1):
        reactor, age_ns, slot, pid, state, method, target, target_bytes, client, port = row
        encoded = json.dumps({
            "age_s": round(age_ns / 1e9, 6), "state": state, "slot": slot if slot >= 0 else None, "pid": pid or None,
            "method": printable(method), "target": printable(target), "target_bytes": target_bytes,
            "truncated": len(target) < target_bytes, "client": client or None, "client_port": port,
            "reactor": reactor}).encode()
        room_bytes -= len(encoded) + 2
        if room_bytes < 0:
            return
        yield encoded
        if number % ROWS_WITH_THE_GIL == 0:
            time.sleep(0)


def printable(raw: bytes) -> str:
    """Bytes from the wire as ASCII, with escapes for what is none or would be a command to a terminal."""
    return raw.decode("latin-1").encode("unicode_escape").decode("ascii")
