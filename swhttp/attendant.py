"""A process beside the workers that the manager keeps running: the hands of `swhttp.restarts`.

It owns the process and its state. It decides nothing but when to say what in the log. A child begins by saying
`started` or `unfit`; the latter ends the server if this attendant's first process says it: the server's operator is
watching. What else it says is its owner's.
"""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Collection

from swhttp import hygiene
from swhttp.children import Child, Children
from swhttp.errors import ExitCode
from swhttp.messages import Message, fitting
from swhttp.restarts import Restarts, State, Step
from swhttp.workerlife import describe

UNFIT = (ExitCode.APP, ExitCode.APP_MISSING, ExitCode.CONFIG)
"""As what a child can say that it cannot start."""


def terminate(child: Child) -> None:
    """The usual way to ask a process to leave."""
    child.kill(signal.SIGTERM)


class Attendant:
    """One of them.

    `what`: how the log calls it; `run`: as for `Children.fork`; `let_go`: in the child, of what is the manager's;
    `grace_s`: how long it may take to leave; `log`: level and text; `give_up`: called with an exit code and a text
    when the server cannot start without it; `heard`: gets what else it says, and False when it is not understood;
    `changed`: called when it has started or ended; `leave`: asks it to leave; `ignore`: signals that it never sees;
    `keep_fds`: of the manager's, that it has.
    """

    def __init__(
        self,
        what: str,
        children: Children,
        run: Callable[[socket.socket], int],
        let_go: Callable[[], None],
        *,
        grace_s: float,
        log: Callable[[int, str], None],
        give_up: Callable[[ExitCode, str], None],
        changed: Callable[[], None],
        heard: Callable[[Message], bool] = lambda message: False,
        leave: Callable[[Child], None] = terminate,
        ignore: Collection[signal.Signals] = hygiene.GROUP_SIGNALS,
        keep_fds: Collection[int] = (),
    ) -> None:
        self.what = what
        self._children = children
        self._run = run
        self._let_go = let_go
        self._log = log
        self._give_up = give_up
        self._changed = changed
        self._heard = heard
        self._leave = leave
        self._ignore = ignore
        self._keep_fds = keep_fds
        self._restarts = Restarts(grace_s)
        self._child: Child | None = None
        self._started = False  # this process has said so
        self._ever_started = False
        self._is_first = True  # no other process has ended before this one
        self._babbles = False  # it has said what is not understood
        self._survives_reload = False
        self._reason = ""

    @property
    def child(self) -> Child | None:
        """The process, when it can be told something: it has started and was not asked to leave."""
        return self._child if self._started and self._restarts.state is State.RUNNING else None

    def has(self, child: Child | None) -> bool:
        """Whether this is its process, whatever it can be told."""
        return child is not None and self._child is child

    @property
    def ever_started(self) -> bool:
        """Whether one of its processes has said that it has started."""
        return self._ever_started

    @property
    def ended(self) -> bool:
        """Whether there is no process and there will be none."""
        return self._restarts.state is State.ENDED

    def start(self) -> None:
        """Have it run from now on."""
        now_s = time.monotonic()
        self._do(self._restarts.start(now_s), now_s)

    def renew(self) -> None:
        """A reload has succeeded: have another process run the new code."""
        if not (self._survives_reload and self._started):
            now_s = time.monotonic()
            self._do(self._restarts.renew(now_s), now_s)

    def stop(self) -> None:
        """The server ends, with patience."""
        now_s = time.monotonic()
        self._do(self._restarts.stop(now_s), now_s)

    def kill(self) -> None:
        """The server ends, without."""
        now_s = time.monotonic()
        self._do(self._restarts.kill(now_s), now_s)

    def tick(self, now_s: float) -> None:
        """Time has passed."""
        self._do(self._restarts.tick(now_s), now_s)

    def next_tick_s(self) -> float:
        """When `tick` has something to do next."""
        return self._restarts.next_tick_s()

    def _do(self, steps: list[Step], now_s: float) -> None:
        for step in steps:
            if step is Step.START:
                self._fork(now_s)
            elif self._child is not None:
                if step is Step.LEAVE:
                    self._leave(self._child)
                else:
                    self._log(logging.WARNING, f"{self.what}: not gone in time, killed: pid {self._child.pid}")
                    self._child.kill(signal.SIGKILL)

    def _fork(self, now_s: float) -> None:
        self._started = False
        self._reason = ""
        self._babbles = False
        try:
            self._child = self._children.fork(
                self._run, self._keep_fds, self._let_go, self._on_message, self._on_end, self._ignore)
        except OSError as error:
            self._log(logging.ERROR, f"{self.what}: cannot be forked: {error}")
            self._do(self._restarts.exited(now_s), now_s)
            return
        self._log(logging.DEBUG, f"{self.what}: forked, pid {self._child.pid}")

    def _on_message(self, message: Message) -> None:
        match message:
            case {"kind": "started", "survives_reload": 0 | 1 as survives} if not self._started:
                self._started = self._ever_started = True
                self._survives_reload = bool(survives)
                if self._child is not None:
                    self._log(logging.INFO, f"{self.what}: started, pid {self._child.pid}")
                self._changed()
            case {"kind": "unfit", "code": int(code), "text": str(text)} if code in UNFIT and not self._started:
                self._reason = text = fitting(text)
                if self._is_first:
                    self._give_up(ExitCode(code), f"{self.what}: cannot start" + (f": {text}" if text else ""))
            case _ if not self._heard(message) and not self._babbles:
                self._babbles = True
                self._log(logging.WARNING, f"{self.what}: said what is not understood")

    def _on_end(self, status: int) -> None:
        assert self._child is not None
        pid, self._child = self._child.pid, None
        self._is_first = False
        now_s = time.monotonic()
        was_asked = self._restarts.state is State.LEAVING
        steps = self._restarts.exited(now_s)
        text = f"{self.what}: ended, pid {pid}, {describe(status)}"
        if not was_asked:
            text += f": {self._reason}" if self._reason else ""
            text += f"; again in {self._restarts.again_in_s(now_s):g} s"
        # At SIGTERM most just end by it; what was killed for being late was said before.
        self._log(logging.INFO if was_asked or status == 0 else logging.WARNING, text)
        self._do(steps, now_s)
        self._changed()
