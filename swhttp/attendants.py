"""The processes of the manager that are no workers: hooks, user processes, the file watcher. When each runs.

It owns their order, in the start, in a reload and in the end; `swhttp.attendant` keeps each of them running, and
`swhttp.hookevents` has what hooks are called for. The manager says when, and none of this is there when no option
asks for it.

    start    hooks: on_start, on_manager_start --> workers are forked --> user processes, watcher
    reload   on_before_reload --> the supervisor reloads --> it has succeeded: user processes and hooks are renewed
             --> on_after_reload
    end      user processes and watcher are told to leave together with the workers; all are gone
             --> on_manager_stop, on_shutdown --> the manager leaves
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence

from swhttp import hookevents, limits
from swhttp.attendant import Attendant
from swhttp.children import Children
from swhttp.config import Config
from swhttp.errors import ExitCode
from swhttp.hookevents import HookEvents
from swhttp.hooks import Server
from swhttp.messages import Message


class Attendants:
    """All of them.

    `binds`: where the server listens; `pushes`, `slowness`: what user processes push by; `let_go`: as for Attendant,
    by whether a user process is the one; `log`: level and text; `give_up`: the server cannot start; `changed`: files
    have; what it is told names them.
    """

    def __init__(
        self,
        config: Config,
        binds: tuple[str, ...],
        children: Children,
        pushes: Sequence[int],
        slowness: Callable[[int], int],
        let_go: Callable[[bool], None],
        log: Callable[[int, str], None],
        give_up: Callable[[ExitCode, str], None],
        changed: Callable[[str], None],
    ) -> None:
        self._changed = changed
        self._events = HookEvents(log)
        make = functools.partial(
            Attendant, children=children, let_go=functools.partial(let_go, False), log=log, give_up=give_up,
            changed=self._on_change)
        # What they are made of is imported here, in the manager: it is not the master's.
        self._hooks: Attendant | None = None
        if config.hooks:
            from swhttp import hookhost

            server = Server(os.getppid(), os.getpid(), config.app, config.workers, binds)
            self._hooks = self._events.attendant = make(
                "Hooks", run=functools.partial(hookhost.run, config.hooks, config.app_dir, server),
                grace_s=limits.HOOK_TIMEOUT_S, heard=self._events.heard, leave=hookevents.leave,
                ignore=hookhost.NOTHING_TO_US)
        self._users: list[Attendant] = []
        for one in config.processes:
            from swhttp import userprocess

            self._users.append(make(
                f"Process {one.name}", let_go=functools.partial(let_go, True), keep_fds=pushes,
                run=functools.partial(userprocess.run, one.name, one.value, config.app_dir, pushes, slowness),
                grace_s=config.graceful_timeout_s))
        self._watcher: Attendant | None = None
        if config.reload:
            from swhttp import watcher

            self._watcher = make(
                "File watcher", run=functools.partial(
                    watcher.run, config.reload_dir, config.reload_include, config.reload_exclude),
                grace_s=limits.KILL_GRACE_S, heard=self._on_watcher)
        self._when_ended: Callable[[], None] | None = None
        self._last_hooks = False  # they are called for
        self._hooks_leave = False
        self._killed = False

    # Start

    def open(self, then: Callable[[], None]) -> None:
        """The first hooks; `then`: when they have ended."""
        if self._hooks is not None:
            self._hooks.start()
        self._events.call("on_start")
        self._events.call("on_manager_start", then)

    def serve(self) -> None:
        """The workers are forked: start the others."""
        for attendant in self._serving():
            attendant.start()

    # Events

    def worker_error(self, slot: int, generation: int, pid: int, status: int, requests: Iterable[str]) -> None:
        """A worker has ended unasked. `status`: exit code, or minus the number of the signal."""
        self._events.call("on_worker_error", None, requests, slot=slot, generation=generation, pid=pid, status=status)

    def before_reload(self, then: Callable[[], None]) -> None:
        """A reload is asked for; `then`: begin it."""
        self._events.call("on_before_reload", then)

    def after_reload(self, ok: bool, text: str) -> None:
        """A reload has ended. `text`: why it has failed."""
        if ok:
            for attendant in (*self._users, *([self._hooks] if self._hooks else ())):
                attendant.renew()
        size = limits.MAX_REASON_CHARS // 2  # characters, of which some are two units of UTF-16
        pieces = [text[at:at + size] for at in range(0, len(text), size)]
        self._events.call("on_after_reload", None, pieces, ok=int(ok))

    def tick(self, now_s: float) -> None:
        """Time has passed."""
        for attendant in self._all():
            attendant.tick(now_s)
        self._events.tick(now_s)

    def next_tick_s(self) -> float:
        """When `tick` has something to do next."""
        return min([self._events.next_tick_s(), *(attendant.next_tick_s() for attendant in self._all())])

    # End

    def stop(self) -> None:
        """The server ends; they may finish what they do."""
        for attendant in self._serving():
            attendant.stop()

    def kill(self) -> None:
        """The server ends at once."""
        self._killed = True
        self._events.hurry()
        for attendant in self._serving():
            attendant.kill()
        if self._hooks_leave and self._hooks is not None:
            self._hooks.kill()

    def end(self, then: Callable[[], None]) -> None:
        """All workers are gone. `then`: when the others are gone too, and the last hooks have ended."""
        self.stop()
        self._when_ended = then
        self._on_change()

    def _on_change(self) -> None:
        self._events.proceed()
        if self._when_ended is None or not all(attendant.ended for attendant in self._serving()):
            return
        if self._hooks is not None and not self._last_hooks:
            self._last_hooks = True
            if self._hooks.ever_started:
                self._events.call("on_manager_stop")
                self._events.call("on_shutdown", self._end_hooks)
            else:  # the server does not start, for want of them perhaps
                self._end_hooks()
        then = self._when_ended  # None: a hook's end has brought us here and further
        if then is not None and (self._hooks is None or self._hooks.ended):
            self._when_ended = None
            then()

    def _end_hooks(self) -> None:
        assert self._hooks is not None
        self._hooks_leave = True
        self._hooks.stop()
        if self._killed or self._events.is_busy:
            self._hooks.kill()
        self._on_change()

    def _on_watcher(self, message: Message) -> bool:
        match message:
            case {"kind": "changed", "text": str(text)}:
                self._changed(text)
                return True
        return False

    def _serving(self) -> list[Attendant]:
        """Those that are there while workers serve."""
        return [*self._users, *([self._watcher] if self._watcher is not None else ())]

    def _all(self) -> list[Attendant]:
        return [*self._serving(), *([self._hooks] if self._hooks is not None else ())]
