"""A zygote process: imports the application once, then forks workers that have it (--preload).

It owns the import, and the processes that it has forked until the manager lets it reap them: so a pid that it has told
is nobody else's while the manager may signal it. It has one thread of ours, never runs the application, and
ignores what is sent to whole groups, as the manager does. When it dies the kernel kills its workers.

    boots     loaded, or unfit and the end
    then      fork -> forked or refused;  kill -> it is killed;  a worker ends -> ended;  reap -> it is reaped;
              end -> the end

What the import has left behind is a worker's as if it had been imported there: open files, signal handlers. Its
threads are not, for a fork has only the thread that forks; that is logged. Nor are its timers, which are stopped: a
signal of theirs would end the zygote. It is frozen for the garbage collector,
which would write into the pages of all it looks at, and so end their sharing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from typing import Any

from swhttp import daemon, hygiene, limits, logs
from swhttp.errors import ExitCode
from swhttp.logs import worker_log
from swhttp.messages import Channel
from swhttp.worker import boot, main
from swhttp.worker.context import Loaded, WorkerContext


def run(context: WorkerContext) -> int:
    """Be a zygote. `context`: as for the workers, but without a slot. Returns its exit status: 0, or why there is no
    application."""
    hygiene.do_nothing_at(hygiene.GROUP_SIGNALS | {signal.SIGTERM})  # programs that the import starts see them
    ours = hygiene.open_fds()
    handlers = _handlers()
    manager = Channel(context.channel, takes_ends=True)
    try:
        loaded = boot.load(context, manager)
    except boot.Unfit as why:
        return why.exit_code
    importlib.import_module(f"swhttp.worker.{loaded.interface}_loop")  # each worker would
    hygiene.keep_what_is_open(but=ours)
    _stop_timers()  # while there are the handlers of what they send
    loaded = dataclasses.replace(loaded, handlers=_take_back(handlers))
    _report_threads()
    logs.booted()
    daemon.booted()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # an application may have put anything there
            stream.flush()  # or each worker would write what is held back
    gc.collect()
    gc.freeze()
    return _Zygote(context, loaded, manager).serve()


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _take_back(before: dict[int, Any]) -> dict[int, Any]:
    """Go back to our own handlers; returns those that the import has set, and that Python knows of."""
    signal.set_wakeup_fd(-1)
    changed = {number: handler for number, handler in _handlers().items() if handler != before[number]}
    for number in changed:
        signal.signal(number, before[number])
    return {number: handler for number, handler in changed.items() if handler is not None}


def _stop_timers() -> None:
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)


def _report_threads() -> None:
    known = threading.enumerate()
    others = [thread.name for thread in known if thread is not threading.main_thread()]
    if others:
        worker_log.warning(
            "The import of the application has started threads, which no worker will have (--preload): %s",
            ", ".join(others))
    with contextlib.suppress(OSError):  # the root of a chroot has no /proc
        foreign = {int(name) for name in os.listdir("/proc/self/task")}.difference(
            [os.getpid(), *(thread.native_id for thread in known)])
        if foreign:  # some libraries make them anew after a fork
            worker_log.info(
                "The import of the application has started threads outside of Python's threading, which no worker will "
                "have (--preload), unless their library makes them anew: %d", len(foreign))


@dataclass
class _Worker:
    pid: int
    pidfd: int


class _Zygote:
    """What it is once it has the application."""

    def __init__(self, context: WorkerContext, loaded: Loaded, manager: Channel) -> None:
        self._context = context
        self._loaded = loaded
        self._manager = manager
        self._workers: dict[tuple[int, int], _Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._exit_code: ExitCode | None = None

    def serve(self) -> int:
        """Fork whatever is wanted, until that is nothing more."""
        self._selector.register(self._manager, selectors.EVENT_READ, self._on_manager)
        self._manager.send("loaded")
        while self._exit_code is None:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._manager.wants_write else 0)
            self._selector.modify(self._manager, events, self._on_manager)
            for key, _ in self._selector.select():
                key.data()
        # All have ended. Who is not reaped here is left to PID 1, which in a container may be our master.
        for worker in self._workers.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(worker.pid, os.WNOHANG)
        # The application's exit functions, and threads that do not end, get no longer than this.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, limits.KILL_GRACE_S)
        return self._exit_code

    def _on_manager(self) -> None:
        self._manager.flush()
        messages, is_open = self._manager.receive()
        for message in messages:
            match message:
                case {"kind": "fork", "slot": int(slot), "generation": int(generation), "first": int(first),
                      "end": socket.socket() as end}:
                    self._fork(slot, generation, bool(first), end)
                case {"kind": "kill", "slot": int(slot), "generation": int(generation)}:
                    with contextlib.suppress(ProcessLookupError):  # foreign code has reaped it
                        signal.pidfd_send_signal(self._workers[slot, generation].pidfd, signal.SIGKILL)
                case {"kind": "reap", "slot": int(slot), "generation": int(generation)}:
                    self._reap(slot, generation)
                case {"kind": "end"}:
                    self._exit_code = ExitCode.OK
                case _:
                    raise ValueError(f"unknown message from the manager: {message}")
        if not is_open and self._exit_code is None:  # it is dead, or the application has closed what it does not own
            self._exit_code = ExitCode.INTERNAL

    def _fork(self, slot: int, generation: int, first: bool, end: socket.socket) -> None:
        if not first and self._context.first_word is not None:  # the server has booted
            self._context.first_word.close()
            self._context = dataclasses.replace(self._context, first_word=None)
        context = dataclasses.replace(
            self._context, slot=slot, generation=generation, channel=end, loaded=self._loaded)
        first_word = [context.first_word.fd] if context.first_word is not None else []
        with end:
            pid = 0
            try:
                pid = hygiene.fork(
                    functools.partial(main.run, context),
                    [end.fileno(), *first_word, *context.memory.worker_fds(slot),
                     *context.stacks_fds[slot:slot + 1]],
                    functools.partial(self._let_go, slot))
                worker = _Worker(pid, os.pidfd_open(pid))
            except OSError as error:
                if pid:  # a worker that cannot be watched is worse than none
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                self._manager.send("refused", slot=slot, generation=generation, text=str(error))
                return
        self._workers[slot, generation] = worker
        self._selector.register(
            worker.pidfd, selectors.EVENT_READ, functools.partial(self._on_end, slot, generation, worker))
        self._manager.send("forked", slot=slot, generation=generation, pid=pid)

    def _on_end(self, slot: int, generation: int, worker: _Worker) -> None:
        """Tell how it has ended, and leave it the zombie that it is."""
        self._selector.unregister(worker.pidfd)
        status: int = -signal.SIGKILL
        with contextlib.suppress(ChildProcessError):  # foreign code has reaped it
            result = os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
            if result is not None:
                status = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        self._manager.send("ended", slot=slot, generation=generation, status=status)

    def _reap(self, slot: int, generation: int) -> None:
        worker = self._workers.pop((slot, generation))
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker.pid, 0)
        os.close(worker.pidfd)

    def _let_go(self, slot: int) -> None:
        """In a worker: close what it has inherited of the zygote, and may not see."""
        self._manager.close()
        self._selector.close()
        for worker in self._workers.values():
            os.close(worker.pidfd)
        self._workers.clear()
        self._context.memory.keep_for_worker(slot)
