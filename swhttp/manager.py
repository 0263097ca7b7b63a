"""The manager process: the hands of `swhttp.supervision`.

It owns the workers' processes: forks them, reaps them through pidfds, listens to them and to the master, and carries
out what the supervisor decides. What else runs beside the workers is in `swhttp.attendants`. It has one thread, for
only such a process may fork. It decides nothing itself, never imports the application, never logs (the master does it),
and ignores every signal: the master decides what they mean. When the master dies the kernel kills it, and then its
workers.
"""

from __future__ import annotations

import functools
import gc
import logging
import math
import secrets
import selectors
import signal
import time
from collections import deque
from collections.abc import Iterable
from socket import socket
from typing import Final, assert_never

from swhttp import affinity, daemon, hygiene, limits, privileges
from swhttp.attendants import Attendants
from swhttp.children import Child, Children
from swhttp.config import Config
from swhttp.errors import ExitCode
from swhttp.ipc.memory import SharedMemory
from swhttp.masterlog import MasterLog
from swhttp.messages import Channel, Message, end_of, fitting
from swhttp.procinfo import rss_anon_bytes
from swhttp.stacks import Request, Stacks, StacksFile, Subject
from swhttp.supervision import BOOT_FAILURES, Supervisor
from swhttp.wear import Wear
from swhttp.worker.context import NO_SLOT, WorkerContext
from swhttp.worker.firstword import FirstWord
from swhttp.workerlife import Action, Finish, Kill, Log, Spawn, Tell, WorkerState
from swhttp.zygotes import Order, Zygotes

# What the terminal, service managers and administrators may send to a whole group. The manager ignores them all.
IGNORED: Final = hygiene.GROUP_SIGNALS | {signal.SIGTERM}
_IN_SERVICE: Final = (WorkerState.STARTING, WorkerState.STAGED, WorkerState.READY)
"""A worker that ends in one of these was not told to."""


class Manager:
    """Runs in the manager's process. `bind_texts`: the addresses, as the workers show them; `master`: to the master."""

    def __init__(self, config: Config, memory: SharedMemory, bind_texts: tuple[str, ...], master: Channel) -> None:
        self._config = config
        self._memory = memory
        self._bind_texts = bind_texts
        self._master = master
        self._master_log = MasterLog(master)
        self._supervisor = Supervisor(
            config.workers, config.graceful_timeout_s, config.boot_timeout_s, config.max_workers, config.boot_retries,
            config.reload_mode, keeps_code=config.preloads, stuck_grace_s=config.request_timeout_s,
            websocket_drain_s=config.websocket_drain_s,
            holds_sockets=lambda slot: bool(memory.scoreboard.slots[slot]["websockets"]))
        self._wear = Wear(config.max_requests, config.max_requests_jitter, config.max_worker_memory_mib,
                          config.max_worker_lifetime_s)
        self._wear_seed = secrets.randbits(64)
        self._wear_look_s = math.inf
        self._workers: dict[int, Child | Order] = {}
        self._stacks = Stacks(self._master_log.entry)
        self._stacks_files: tuple[StacksFile, ...] = ()  # one a slot, if anybody wants to know what workers do
        self._subjects: dict[int, Subject] = {}
        self._first_word: FirstWord | None = None
        self._shown: list[tuple[int, int, int]] = [(0, 0, 0)] * config.slots
        self._selector = selectors.DefaultSelector()
        self._children = Children(self._selector, self._on_master)
        self._zygotes = Zygotes(self._children, self._preload, lambda: [
            *self._first_word_fds(), *self._stacks_fds(), *memory.manager_fds()],
            self._let_go_for_zygote, IGNORED, self._log)
        self._attendants = Attendants(
            config, bind_texts, self._children, tuple(memory.user_sockets), memory.slowness, self._let_go_of_all,
            self._log, self._give_up, self._changed)
        self._begun = False
        self._scales: list[int] = []  # asked for before
        self._reloads = 0  # asked for, and not begun
        self._errors: dict[tuple[int, int], tuple[int, int]] = {}
        self._exit_code: ExitCode | None = None
        self._lost: dict[tuple[int, int], list[str]] = {}
        """By slot and generation, from a worker's death until the slot is settled: requests that it was on."""
        self._places = affinity.Places(config.worker_cpus)

    def run(self) -> int:
        """Supervise until there is nothing left to supervise; returns the exit status."""
        # Here, not in the master: workers share these pages, and are forked with the imports done.
        import swhttp.worker.main  # noqa: F401

        gc.freeze()  # or the collector of each worker would make all of them its own, by writing to what it looks at
        self._selector.register(self._master, selectors.EVENT_READ, self._on_master)
        self._first_word = FirstWord()
        if self._config.slow_log_s or self._config.request_timeout_s:
            self._stacks_files = tuple(StacksFile() for _ in range(self._config.slots))
        if self._wear.matters:
            self._wear_look_s = time.monotonic()
        self._attendants.open(self._begin)
        while self._exit_code is None:
            self._children.before_wait()
            next_s = min(self._attendants.next_tick_s(), self._wear_look_s, self._stacks.next_tick_s(),
                         self._zygotes.next_tick_s(), self._children.next_tick_s(),
                         self._supervisor.next_tick_s() if self._begun else math.inf)
            wait_s = next_s - time.monotonic()
            for key, _ in self._selector.select(None if wait_s == math.inf else max(0.0, wait_s)):
                key.data()
            self._attendants.tick(time.monotonic())
            self._stacks.tick(time.monotonic())
            self._zygotes.tick(time.monotonic())
            if self._begun:
                self._act(self._supervisor.tick(time.monotonic()))
            if time.monotonic() >= self._wear_look_s:
                self._look_for_worn()
        self._zygotes.end()
        with selectors.DefaultSelector() as last:
            last.register(self._master, selectors.EVENT_WRITE)
            while self._master.wants_write:
                last.select()
                self._master.flush()
        return self._exit_code

    def _begin(self) -> None:
        """The first hooks have ended, if there are any."""
        if not self._supervisor.ending:
            self._begun = True
            self._act(self._supervisor.start(time.monotonic()))
            for workers in self._scales:  # each is answered
                self._act(self._supervisor.scale(workers, time.monotonic()))
            self._attendants.serve()

    # Events

    def _on_master(self) -> None:
        self._master.flush()
        messages, is_open = self._master.receive()
        for message in messages:
            now_s = time.monotonic()
            match message:
                case {"kind": "lost", "slot": int(slot), "generation": int(generation), "text": str(text)}:
                    self._lost.setdefault((slot, generation), []).append(text)
                case {"kind": "settled", "slot": int(slot)}:
                    self._memory.drain_channels(slot)
                    self._memory.give_back(slot)
                    self._worker_error(slot, self._supervisor.slots[slot].generation)
                    self._act(self._supervisor.settled(slot, now_s))
                    for key in [key for key in self._lost if key[0] == slot]:
                        del self._lost[key]
                case {"kind": "corrupt", "slot": int(slot)}:
                    self._act(self._supervisor.corrupt(slot, now_s))
                case {"kind": "reload"}:
                    self._reload()
                case {"kind": "scale", "workers": int(workers)}:
                    if self._begun:
                        self._act(self._supervisor.scale(workers, now_s))
                    else:  # it would begin
                        self._scales.append(workers)
                case {"kind": "slow" | "stuck", "slot": int(slot), "generation": int(generation)}:
                    self._on_overdue(slot, generation, message, now_s)
                case {"kind": "stop"}:
                    self._attendants.stop()
                    self._act(self._supervisor.stop(now_s))
                case {"kind": "kill"}:
                    self._attendants.kill()
                    self._act(self._supervisor.kill(now_s))
                case _:
                    raise ValueError(f"unknown message from the master: {message}")
        if not is_open:
            self._exit_code = ExitCode.MANAGER_DIED  # the master is dead; the workers follow us

    def _on_overdue(self, slot: int, generation: int, message: Message, now_s: float) -> None:
        """A request takes too long there: find out what the worker does, and have it replaced if it is stuck."""
        worker = self._supervisor.slots[slot]
        child = self._child(slot)
        if child is None or worker.generation != generation:
            return
        subject = self._subjects.get(slot)
        if subject is None:
            subject = self._subjects[slot] = Subject(slot, child, self._stacks_files[slot], worker.interface)
        request = Request(message["text"], message["reactor"], message["request"], message["others"])
        if message["kind"] == "slow":
            self._stacks.slow(subject, request, now_s)
        else:
            self._stacks.stuck(subject, request, now_s)  # first, while it can be asked
            self._act(self._supervisor.stuck(slot, generation, now_s))

    def _on_worker(self, slot: int, generation: int, message: Message) -> None:
        now_s = time.monotonic()
        match message:
            case {"kind": "ready", "interface": "asgi" | "wsgi" as interface}:
                daemon.booted()
                if self._first_word is not None:
                    self._first_word.close()
                    self._first_word = None
                self._act(self._supervisor.ready(slot, generation, interface, now_s))
            case {"kind": "unfit", "code": int(code), "text": str(text), "traceback": str(traceback)} if (
                    code in BOOT_FAILURES):
                self._supervisor.unfit(slot, generation, code, fitting(text), end_of(traceback))
            case {"kind": "stopping"}:
                self._act(self._supervisor.stopping(slot, generation, now_s))
            case _:
                self._log(logging.WARNING, "Worker said what is not understood, and is not heard any more: "
                                           f"slot {slot}, pid {self._supervisor.slots[slot].pid}")
                if (child := self._child(slot)) is not None:  # else it is gone, and its zygote has said this
                    child.unheard = True

    def _on_worker_end(self, slot: int, generation: int, status: int) -> None:
        del self._workers[slot]
        if (subject := self._subjects.pop(slot, None)) is not None:
            self._stacks.gone(subject, time.monotonic())
        for mover, _ in self._places.leave(slot):
            self._pin(mover)
        unasked = self._supervisor.slots[slot].state in _IN_SERVICE
        actions = self._supervisor.exited(slot, generation, status, time.monotonic())
        worker = self._supervisor.slots[slot]
        if worker.generation == generation and (unasked or not worker.left_as_told):
            self._errors[slot, generation] = worker.pid, status
        self._act(actions)

    def _worker_error(self, slot: int, generation: int) -> None:
        """All is known of a worker that has ended: if that was unasked, call the hook."""
        error = self._errors.pop((slot, generation), None)
        if error is not None:
            self._attendants.worker_error(slot, generation, *error, self._lost.get((slot, generation), []))

    def _give_up(self, code: ExitCode, text: str) -> None:
        """The server cannot start, by what is no worker's fault."""
        self._attendants.stop()
        self._act(self._supervisor.give_up(code, text, time.monotonic()))

    def _reload(self) -> None:
        """A reload is asked for. Those that are, while a hook is waited for that is told of one, begin with that."""
        self._reloads += 1
        if self._reloads == 1:
            self._attendants.before_reload(self._begin_reload)

    def _begin_reload(self) -> None:
        reloads, self._reloads = self._reloads, 0
        self._act(self._supervisor.reload(time.monotonic(), reloads))

    def _changed(self, files: str) -> None:
        """Files have changed that are watched. The master knows of every reload, and begins this one too."""
        self._master.send("changed", text=files)

    def _look_for_worn(self) -> None:
        """Tell the supervisor of workers that have served long enough. Looking costs requests nothing, and a worker
        that is to be replaced serves on until it is: so it need not be noticed at once."""
        now_s = time.monotonic()
        self._wear_look_s = now_s + limits.WEAR_LOOK_S
        counters = self._memory.scoreboard.slots
        for worker in self._supervisor.slots:
            if worker.state is WorkerState.READY:
                why = self._wear.why(
                    counters[worker.slot]["done"],
                    self._wear.requests_for(worker.slot, worker.generation, self._wear_seed),
                    rss_anon_bytes(worker.pid) if self._wear.max_memory_mib else 0, now_s - worker.spawned_s)
                if why:
                    self._act(self._supervisor.worn(worker.slot, worker.generation, why, now_s))

    def _on_forked(self, slot: int, pid: int) -> None:
        """A zygote has done what was asked of it."""
        self._supervisor.forked(slot, pid)
        self._pin(slot)
        self._show()

    def _child(self, slot: int) -> Child | None:
        """The worker's process, once there is one."""
        process = self._workers.get(slot)
        return process.child if isinstance(process, Order) else process

    # Actions

    def _act(self, actions: Iterable[Action]) -> None:
        waiting = deque(actions)
        while waiting:
            action = waiting.popleft()
            match action:
                case Spawn(slot, generation, epoch):
                    waiting.extend(self._spawn(slot, generation, epoch))
                case Tell(kind, fields):
                    self._master.send(kind, **fields)
                    if kind == "reloaded":
                        self._attendants.after_reload(bool(fields["ok"]), str(fields["text"]))
                case Kill(slot, number):
                    if (worker := self._workers.get(slot)) is not None:  # else its fork has failed meanwhile
                        worker.kill(number)
                case Log(level, text):
                    self._log(level, text)
                case Finish(exit_code):
                    for slot, generation in list(self._errors):  # the master need not say any more what they were on
                        self._worker_error(slot, generation)
                    self._attendants.end(functools.partial(self._leave, exit_code))
                case _:
                    assert_never(action)
        self._zygotes.end_all_but(self._supervisor.epochs)
        self._show()

    def _leave(self, exit_code: ExitCode) -> None:
        """Everybody is gone."""
        self._exit_code = exit_code

    def _spawn(self, slot: int, generation: int, epoch: int) -> list[Action]:
        """Fork a worker into the slot. What follows when that is impossible is returned."""
        self._places.take(slot)
        self._memory.reset_slot(slot)
        self._memory.scoreboard.set_slot(slot, pid=0, generation=generation, state=WorkerState.STARTING, clear=True)
        heard = functools.partial(self._on_worker, slot, generation)
        ended = functools.partial(self._on_worker_end, slot, generation)
        try:
            if self._config.preloads:
                order = self._zygotes.spawn(
                    slot, generation, epoch, self._first_word is not None, heard,
                    functools.partial(self._on_forked, slot), ended)
                self._workers[slot] = order
                self._supervisor.forked(slot, order.pid)
                return []
            worker = self._children.fork(
                functools.partial(self._work, slot, generation), [*self._first_word_fds(),
                *self._memory.worker_fds(slot), *self._stacks_fds()[slot:slot + 1]],
                functools.partial(self._let_go, slot), heard, ended)
        except OSError as error:
            self._places.leave(slot)
            self._log(logging.ERROR, f"Cannot fork a worker into slot {slot}: {error}")
            return self._supervisor.exited(slot, generation, ExitCode.INTERNAL, time.monotonic())
        self._supervisor.forked(slot, worker.pid)
        self._workers[slot] = worker
        self._pin(slot)
        return []

    def _pin(self, slot: int) -> None:
        cpu = self._places.of(slot)
        pid = self._supervisor.slots[slot].pid
        if cpu is not None and pid > 0:  # else a zygote has not forked it yet
            try:
                affinity.move(pid, cpu)
            except OSError as error:
                self._log(logging.WARNING, f"Cannot keep the worker in slot {slot} on CPU {cpu}: {error.strerror}")

    def _first_word_fds(self) -> list[int]:
        return [self._first_word.fd] if self._first_word is not None else []

    def _stacks_fds(self) -> tuple[int, ...]:
        return tuple(file.fd for file in self._stacks_files)

    def _log(self, level: int, text: str) -> None:
        """Have the master log it: handlers of the user's may start a thread with a record, and we fork."""
        self._master_log.line(level, text)

    def _show(self) -> None:
        """Bring the scoreboard up to date."""
        for worker in self._supervisor.slots:
            pid = 0 if worker.state in (WorkerState.EMPTY, WorkerState.DEAD) else worker.pid
            state = (pid, worker.generation, int(worker.state))
            if self._shown[worker.slot] != state:
                self._shown[worker.slot] = state
                self._memory.scoreboard.set_slot(
                    worker.slot, pid=pid, generation=worker.generation, state=worker.state)

    # In the child

    def _let_go_for_zygote(self) -> None:
        self._master.close()
        self._memory.keep_for_zygote()

    def _let_go_of_all(self, pushes: bool) -> None:
        """Close and unmap what one that is no worker has inherited of the manager. `pushes`: but for the way to
        WebSockets."""
        self._master.close()
        if pushes:
            self._memory.keep_for_user()
        else:
            self._memory.close()

    def _let_go(self, slot: int) -> None:
        """Close what a new worker has inherited of the manager, and may not see."""
        self._master.close()
        self._memory.keep_for_worker(slot)

    def _work(self, slot: int, generation: int, channel: socket) -> int:
        from swhttp.worker.main import run

        return run(self._context(slot, generation, channel))

    def _preload(self, channel: socket) -> int:
        from swhttp.worker.zygote import run

        return run(self._context(NO_SLOT, 0, channel))

    def _context(self, slot: int, generation: int, channel: socket) -> WorkerContext:
        config = self._config
        if config.user:
            privileges.make_traceable()
        return WorkerContext(
            slot=slot, generation=generation, memory=self._memory, app=config.app, factory=config.factory,
            app_dir=config.app_dir, interface=config.interface, threads=config.threads, channel=channel,
            binds=self._bind_texts, first_word=self._first_word,
            tmp_dir=config.tmp_dir, response_spool_max_bytes=config.response_spool_max_bytes,
            root_path=config.root_path, compressing=config.compression, lifespan=config.lifespan, hooks=config.hooks,
            stacks_fds=self._stacks_fds(), ws_handler=config.ws_handler)
