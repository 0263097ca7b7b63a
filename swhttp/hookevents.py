"""What hooks are to be called for: the manager's end of the process that calls them (`swhttp.hookhost`).

It owns the events that wait for that process, one of which is with it at a time. Whoever has to know that a hook has
ended says what is to be done then; it is done after HOOK_TIMEOUT_S in any case, and at once when the process dies:
nothing that a hook does can stop supervision. Without --hooks what is to be done is done at once.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from swhttp import limits
from swhttp.attendant import Attendant
from swhttp.children import Child
from swhttp.messages import Message, fitting


def leave(child: Child) -> None:
    """Ask the process to leave: it ignores what a service manager sends to all, for the last hooks come last."""
    child.send("leave")


@dataclass(eq=False)
class _Event:
    hook: str
    fields: dict[str, int | str]
    lines: list[str]
    then: Callable[[], None] | None
    deadline_s: float
    child: Child | None = field(default=None, init=False)  # that has it


class HookEvents:
    """All of them. `log`: level and text; `clock`: seconds, for `tick` too. `attendant` is set once the process's is
    made; None: there are no hooks."""

    def __init__(self, log: Callable[[int, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.attendant: Attendant | None = None
        self._clock = clock
        self._log = log
        self._waiting: deque[_Event] = deque()
        self._running: _Event | None = None
        self._grace_s = limits.HOOK_TIMEOUT_S
        self._full = False

    def call(
        self, hook: str, then: Callable[[], None] | None = None, lines: Iterable[str] = (), **fields: int | str,
    ) -> None:
        """Have `hook` called. `then`: what has to wait for its end; `lines`, `fields`: what it is told."""
        if self.attendant is None:
            if then is not None:
                then()
            return
        if then is None and len(self._waiting) >= limits.HOOK_EVENTS:
            if not self._full:
                self._full = True
                self._log(logging.WARNING, f"Hook {hook} is not called: {limits.HOOK_EVENTS} calls wait already")
            return
        deadline_s = self._clock() + self._grace_s if then is not None else math.inf
        self._waiting.append(_Event(hook, fields, list(lines)[:limits.HOOK_LINES], then, deadline_s))
        self.proceed()

    def hurry(self) -> None:
        """The server ends without patience, for hooks too."""
        self._grace_s = limits.KILL_GRACE_S
        soon_s = self._clock() + self._grace_s
        for event in (*self._waiting, *([self._running] if self._running else ())):
            if event.then is not None:
                event.deadline_s = min(event.deadline_s, soon_s)

    def heard(self, message: Message) -> bool:
        """A message from the process; returns whether it is understood."""
        if message != {"kind": "done"} or self._running is None:
            return False
        self._end_running()
        self.proceed()
        return True

    def proceed(self) -> None:
        """The process may have started or ended, or be free: go on with what is next."""
        if self.attendant is None:
            return
        if self._running is not None and not self.attendant.has(self._running.child):
            self._log(logging.WARNING, f"Hook {self._running.hook} has ended its process")
            self._end_running()
        child = self.attendant.child
        if self._running is None and self._waiting and child is not None:
            event = self._running = self._waiting.popleft()
            event.child = child
            self._full = False
            if event.then is None:
                event.deadline_s = self._clock() + limits.HOOK_TIMEOUT_S
            for line in event.lines:
                child.send("line", text=fitting(line))
            child.send("hook", name=event.hook, **event.fields)

    def tick(self, now_s: float) -> None:
        """Time has passed: let nobody wait any more who has waited long enough."""
        running = self._running
        if running is not None and running.deadline_s <= now_s:
            running.deadline_s = math.inf
            self._log(logging.WARNING, f"Hook {running.hook} has not ended in time"
                                       + (": going on without it" if running.then is not None else ""))
            self._release(running)
        for event in [event for event in self._waiting if event.deadline_s <= now_s]:
            self._waiting.remove(event)
            self._log(logging.WARNING, f"Hook {event.hook} is not called: "
                                       + (f"{running.hook} still runs" if running else "its process has not started"))
            self._release(event)

    def next_tick_s(self) -> float:
        """When `tick` has something to do next."""
        events = (*self._waiting, *([self._running] if self._running is not None else ()))
        return min((event.deadline_s for event in events), default=math.inf)

    @property
    def is_busy(self) -> bool:
        """Whether a hook runs."""
        return self._running is not None

    def _end_running(self) -> None:
        event, self._running = self._running, None
        if event is not None:
            self._release(event)

    @staticmethod
    def _release(event: _Event) -> None:
        then, event.then = event.then, None
        if then is not None:
            then()
