"""The master's main thread: the order of start and stop, and the link between reactors and manager.

It owns the listening sockets, the shared memory, the manager's process and the reactor threads, and it alone may
touch these. It never imports the application, never forks once threads run, and never does work in a signal handler.

    start   bind, open the logs -> become --user for good -> map shared memory -> fork the manager
                -> start the reactors -> all workers READY: "Listening at"
    reload  USR1, HUP -> the manager boots new workers: STAGED -> all of them: switch -> the old ones drain
            TTIN, TTOU: one worker more, one fewer; RTMIN opens the log files again
    stop    SERVING --TERM, INT--> DRAINING (reactors empty the backlog, take no more, finish what is in flight)
                --drained--> STOPPING (workers are told, the manager waits for them)
                --the manager is gone--> SETTLING (last answers go out) --> threads end, sockets are removed
            QUIT, a second TERM or INT, or the end of --graceful-timeout kills the workers on the way
            the manager is gone unasked: every request in flight is answered 502, and the exit code says so

It is long because the order of start and stop stands in one place; what is done at each step is elsewhere.
"""

from __future__ import annotations

import enum
import errno
import gc
import math
import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from swhttp import (
    about,
    accessfile,
    accessformat,
    daemon,
    fields,
    hygiene,
    limits,
    logs,
    networks,
    notify,
    places,
    statics,
)
from swhttp.answers import STOPPING, Answers
from swhttp.belongings import Belongings
from swhttp.config import Config
from swhttp.control import Control
from swhttp.controlproto import Message
from swhttp.errors import ExitCode, ServerError
from swhttp.heir import Heir
from swhttp.ipc.geometry import Geometry
from swhttp.ipc.memory import SharedMemory
from swhttp.ipc.scoreboard import Scoreboard
from swhttp.logs import log
from swhttp.manager import IGNORED, Manager
from swhttp.messages import Channel
from swhttp.reactor.accesswriter import AccessWriter
from swhttp.reactor.iothreads import IoThreads
from swhttp.reactor.reactors import Reactors
from swhttp.reactor.settings import ReactorSettings
from swhttp.reloads import Reloads, Waiter
from swhttp.signals import SignalInbox
from swhttp.startedby import StartedBy
from swhttp.workerlife import describe

if TYPE_CHECKING:
    from swhttp.takeover import Predecessor

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
                  signal.SIGTTIN, signal.SIGTTOU, signal.SIGRTMIN)


class Phase(enum.IntEnum):
    """How far the master's life has gone; it only grows."""

    SERVING = 0
    DRAINING = 1
    STOPPING = 2
    SETTLING = 3


class Master:
    """One server. `run` may be called once, in the main thread.

    `started_by`: how; `predecessor`: a server whose listening sockets are used, and that is told to go when all workers
    are READY.
    """

    def __init__(self, config: Config, started_by: StartedBy, predecessor: Predecessor | None = None) -> None:
        self._config = config
        self.started_by = started_by
        self._has = Belongings(config, predecessor)
        self._heir = Heir(
            self._has, config.boot_timeout_s, self._hear_commands, self._look_whether_listening, self._give_up)
        self._phase = Phase.SERVING
        self._deadline_s = math.inf
        self._stopping_since_s = -math.inf
        self._exit_code = ExitCode.OK
        self._manager_status = ExitCode.OK  # with which it leaves when it was asked to
        self._listening = False
        self._up: set[int] = set()
        self._staged: set[int] = set()  # of these: those that wait for the switch
        self._told_to_stop: set[int] = set()
        self._unsettled: set[int] = set()
        self._drained = False
        self._killed = False
        self._access: AccessWriter | None = None
        self._files: statics.Directories | None = None
        self._io: IoThreads | None = None
        self._uid = os.geteuid()
        self._control: Control | None = None
        self._answers = Answers(self)
        self._scales: deque[Callable[[int | None], None] | None] = deque()  # whom each `scaled` to come answers
        self.reloads = Reloads()
        self.started_s = time.monotonic()
        self.workers = config.workers
        self.interface = ""

    def run(self) -> int:
        """Serve until told to stop; returns the exit status. Raises ServerError for what the operator can mend."""
        places.raise_fd_limit()
        places.room(places.fd_limit(), places.fds_in_use())  # or one or another of what is opened below fails
        blocked_before = hygiene.block_signals()  # one that comes before there is a handler waits for it
        notify.connect(os.environ, os.getpid())
        identity = self._config.identity
        try:
            self._has.open(identity)
            if identity is not None:
                self._config = self._has.become(identity)
            if self._config.mounts:
                self._files = statics.Directories(self._config.mounts)
            self._start()
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before - set(SIGNALS))
            self._loop()
            self._end()
            return self._exit_code
        finally:
            self._has.close()
            if self._files is not None:
                self._files.close()

    # Start

    def _start(self) -> None:
        config = self._config
        try:
            self._memory = SharedMemory(Geometry(reactors=config.reactors, slots=config.slots))
            self._pid, self._manager = self._fork_manager()
            self._pidfd = os.pidfd_open(self._pid)
            self._memory.keep_for_master()
        except OSError as error:
            if error.errno == errno.EMFILE:
                raise places.too_few() from None
            raise ServerError(f"Cannot start: {error}", ExitCode.INTERNAL) from None
        try:
            self._reactors = self._start_reactors()
            self._signals = SignalInbox(SIGNALS)
        except BaseException:
            self._manager.close()  # it ends by itself then; nobody of ours is to be left
            os.waitpid(self._pid, 0)
            raise

    def _hear_commands(self) -> None:
        if self._has.control is not None:
            self._control = Control(
                self._has.control, self._answers.ask, frozenset({self._uid}), time.monotonic)
            self._selector.register(self._control, selectors.EVENT_READ, self._control.on_events)

    def _fork_manager(self) -> tuple[int, Channel]:
        ours, theirs = Channel.pair()
        texts = tuple(listener.text for listener in self._has.listeners)

        def let_go() -> None:
            ours.close()
            self._has.let_go()
            self._memory.keep_for_manager()

        def manage() -> int:
            if self._config.user:  # away from root's terminal, into which its members could type (TIOCSTI)
                os.setsid()
            return Manager(self._config, self._memory, texts, Channel(theirs)).run()

        keep = [theirs.fileno(), *self._memory.manager_fds()]
        gc.freeze()  # or the collector, which writes to all that it looks at, would end the sharing of these pages
        with theirs:
            return hygiene.fork(manage, keep, let_go, IGNORED), Channel(ours)

    def _start_reactors(self) -> Reactors:
        """Start the reactor threads. Signals are blocked here, so they are blocked there for good."""
        config = self._config
        server_header, extra_fields = fields.lines(config.header, config.server_header)
        settings = ReactorSettings(
            dispatch=config.dispatch, threads=config.threads, keep_alive_s=config.keep_alive_s,
            worker_concurrency=config.worker_concurrency, queue_size=config.queue_size,
            queue_timeout_s=config.queue_timeout_s, replay=config.replay, server_header=server_header,
            date_header=config.date_header, extra_fields=extra_fields,
            head_timeout_s=config.head_timeout_s, body_timeout_s=config.body_timeout_s,
            write_timeout_s=config.write_timeout_s, max_line_bytes=config.limit_request_line,
            max_field_bytes=config.limit_request_field_size, max_fields=config.limit_request_fields,
            max_body_bytes=config.limit_request_body, inline_body_bytes=config.inline_body_bytes,
            tmp_dir=config.tmp_dir, trusted=networks.parse(config.forwarded_allow_ips),
            forwarded_headers=config.forwarded_headers, proxy_protocol=config.proxy_protocol,
            slow_after_s=config.slow_log_s, request_timeout_s=config.request_timeout_s,
            secure=tuple(at for at, listener in enumerate(self._has.listeners) if listener.secure),
            handshake_timeout_s=config.ssl_handshake_timeout_s,
            ws=config.ws != "none", ws_handler=bool(config.ws_handler), ws_max_bytes=config.ws_max_size,
            ws_max_queue=config.ws_max_queue, ws_ping_interval_s=config.ws_ping_interval_s,
            ws_ping_timeout_s=config.ws_ping_timeout_s, ws_deflate=config.ws_per_message_deflate,
            websocket_drain_s=config.websocket_drain_s)
        if self._has.access_fd >= 0:
            self._access = AccessWriter(
                config.access_log, self._has.access_fd, accessformat.parse(config.access_log_format), config.reactors)
            self._has.access_fd = -1
        ears = [(listener.socket.fileno(), listener.kind, listener.text) for listener in self._has.listeners]
        site = None
        if self._files is not None:
            site = self._files.site(config.static_index, config.static_cache_control)
            self._io = IoThreads()
            self._io.start()
        reactors = Reactors(self._memory, settings, ears, self._access, self._heir.waits, site, self._io,
                            self._has.certificates)
        limit, in_use = places.fd_limit(), places.fds_in_use()
        connections = places.connections(config.max_connections, limit, in_use, self._memory.geometry)
        reactors.admit(connections, limit - in_use - connections - limits.STATIC_SPARED_FDS,
                       places.bound(config.max_connections, connections, self._memory.geometry).encode())
        if self._access is not None:
            self._access.start()
        reactors.start()
        return reactors

    # Events

    def _loop(self) -> None:
        with selectors.DefaultSelector() as selector:
            self._selector = selector
            selector.register(self._signals, selectors.EVENT_READ, self._on_signals)
            selector.register(self._manager, selectors.EVENT_READ, self._on_manager)
            selector.register(self._pidfd, selectors.EVENT_READ, self._on_manager_exit)
            selector.register(self._reactors.report_fd, selectors.EVENT_READ, self._on_reports)
            self._hear_commands()
            while not self._over():
                if self._phase < Phase.SETTLING:
                    events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._manager.wants_write else 0)
                    selector.modify(self._manager, events, self._on_manager)
                elif self._pidfd in selector.get_map():
                    selector.unregister(self._pidfd)
                    selector.unregister(self._manager)
                now_s = time.monotonic()
                control_s = self._control.next_tick_s() if self._control else math.inf
                wait_s = min(self._deadline_s, control_s, self._heir.next_tick_s(), notify.tick(now_s)) - now_s
                for key, _ in selector.select(None if wait_s == math.inf else max(0.0, wait_s)):
                    key.data()
                if self._control is not None:
                    self._control.tick()
                self._heir.tick()
                if time.monotonic() >= self._deadline_s:
                    self._on_deadline()

    def _over(self) -> bool:
        """Whether nothing is left to wait for."""
        if self._phase < Phase.SETTLING:
            return False
        return self._deadline_s == -math.inf or (self._drained and not self._unsettled)

    def _on_signals(self) -> None:
        for number in self._signals.receive():
            now_s = time.monotonic()
            if number == signal.SIGRTMIN:
                self.reopen()
            elif number in (signal.SIGUSR1, signal.SIGHUP):
                self.reload(number.name)
            elif number == signal.SIGUSR2:
                log.info("%s: there are no task workers to reload", number.name)
            elif number in (signal.SIGTTIN, signal.SIGTTOU):
                self.scale(self.workers + (1 if number == signal.SIGTTIN else -1), number.name)
            elif self._phase == Phase.SERVING and number != signal.SIGQUIT:
                self.ask_to_stop(number.name, quick=False)
            # timeout(1) and others signal the process and then its group: that is not a second wish.
            elif number == signal.SIGQUIT or now_s >= self._stopping_since_s + limits.SIGNAL_REPEAT_S:
                self.ask_to_stop(number.name, quick=True)

    def _on_manager(self) -> int:
        """Returns how many messages there were. The channel's end means nothing: the pidfd tells the manager's."""
        self._manager.flush()
        messages, _ = self._manager.receive()
        for message in messages:
            match message:
                case {"kind": "ready", "slot": int(slot), "generation": int(generation), "pid": int(pid),
                      "interface": str(interface)}:
                    self._on_ready(slot, generation, pid, interface)
                case {"kind": "staged", "slot": int(slot), "generation": int(generation), "pid": int(pid),
                      "interface": str(interface)}:
                    self._on_staged(slot, generation, pid, interface)
                case {"kind": "switch"}:
                    self._on_switch()
                case {"kind": "reloading"}:
                    self._on_reloading()
                case {"kind": "reloaded", "asked": int(asked), "ok": int(ok), "text": str(text)}:
                    self._on_reloaded(asked, bool(ok), text)
                case {"kind": "scaled", "workers": int(workers)}:
                    self._on_scaled(workers)
                case {"kind": "stopping", "slot": int(slot)}:
                    self._stop_slot(slot)
                case {"kind": "gone", "slot": int(slot)}:
                    self._on_gone(slot)
                case {"kind": "log", "level": int(level), "text": str(text)}:
                    log.log(level, "%s", text)
                case {"kind": "changed", "text": str(text)}:
                    self.reload(f"{text} changed")
                case {"kind": "entry", "text": str(text), "more": int(more)}:
                    if self._has.slow_log is not None:
                        self._has.slow_log.add(text, bool(more))
                case {"kind": "failed", "code": int(code), "text": str(text)}:
                    log.error("%s", text)
                    self._manager_status = ExitCode(code)
                    if self._phase == Phase.SERVING:  # else the end that was asked for has merely come sooner
                        self._exit_code = ExitCode(code)
                    self._drain()
                    self._phase = Phase.STOPPING
                    self._stop_slots()
                case _:
                    raise ValueError(f"unknown message from the manager: {message}")
        return len(messages)

    def _on_ready(self, slot: int, generation: int, pid: int, interface: str) -> None:
        self.interface = interface
        self._reactors.slot_up(slot, generation, interface)
        self._up.add(slot)
        self._heir.booted(len(self._up))
        log.info("Worker booted: slot %d, generation %d, pid %d", slot, generation, pid)
        if self._phase >= Phase.STOPPING:  # it became ready while the manager was being told to stop
            self._stop_slot(slot)
        self._look_whether_listening()

    def _look_whether_listening(self) -> None:
        """The first time that all workers serve it is said."""
        ready = len(self._up - self._staged - self._told_to_stop)
        if self._listening or self._phase >= Phase.STOPPING or ready < (1 if self._heir.is_alone else self.workers):
            return
        if self._heir.waits:
            if self.stopping or not self._heir.take_over():
                return
            self._reactors.listen()
        self._listening = True
        log.info("%s", about.what_runs(self._config, self.interface))
        for listener in self._has.listeners:
            log.info("Listening at: %s (%d)", listener.url, os.getpid())
        logs.booted()
        daemon.booted()
        daemon.reports(ExitCode.OK)
        self._notify_ready()

    def _notify_ready(self, what_is_wrong: str = "") -> None:
        notify.ready()
        notify.status(what_is_wrong or f"Listening at {', '.join(listener.url for listener in self._has.listeners)}")

    def _on_staged(self, slot: int, generation: int, pid: int, interface: str) -> None:
        self.interface = interface
        self._reactors.slot_stage(slot, generation, interface)
        self._up.add(slot)
        self._staged.add(slot)
        log.info("Worker booted: slot %d, generation %d, pid %d", slot, generation, pid)
        if self._phase >= Phase.STOPPING:
            self._stop_slot(slot)

    def _on_switch(self) -> None:
        self._told_to_stop |= self._up - self._staged
        self._staged.clear()
        if self._files is not None:  # with the code that names them
            self._files.reopen()
        self._reactors.switch(self.interface)
        self._look_whether_listening()

    def _on_scaled(self, workers: int) -> None:
        waiter = self._scales.popleft() if self._scales else None
        if not self._scales:  # else another number has been asked for meanwhile
            self.workers = workers
        if waiter is not None:
            waiter(workers)

    def _on_reloading(self) -> None:
        self.reloads.began()
        if self._listening and self._phase == Phase.SERVING:
            notify.reloading()

    def _on_reloaded(self, asked: int, ok: bool, text: str) -> None:
        if self._files is not None and ok and self._config.reload_mode != "atomic":  # else they were, at the switch
            self._files.reopen()
        self.reloads.ended(asked, ok, text, time.monotonic())
        if self._listening and self._phase == Phase.SERVING:
            self._notify_ready("" if ok else f"The last reload has failed: {text}")

    def _on_gone(self, slot: int) -> None:
        if slot in self._up:
            self._up.discard(slot)
            self._staged.discard(slot)
            self._told_to_stop.discard(slot)
            self._unsettled.add(slot)
            self._reactors.slot_dead(slot)
        else:  # it died before READY: no reactor has ever heard of it
            self._manager.send("settled", slot=slot)

    def _on_reports(self) -> None:
        for report in self._reactors.reports():
            match report:
                case ("settled", int(slot)):
                    self._unsettled.discard(slot)
                    self._manager.send("settled", slot=slot)
                case ("lost", int(slot), int(generation), int(pid), texts, int(count)):
                    self._on_lost(slot, generation, pid, texts, count)
                case ("deaf", _):
                    self._has.stop_listening()
                case ("drained", _):
                    self._drained = True
                    if self._phase == Phase.DRAINING:
                        self._stop()
                case ("snapshot", _):
                    self._answers.snapshot()
                case ("corrupt", int(slot)):
                    self._manager.send("corrupt", slot=slot)
                case ("slow" | "stuck" as kind, dict(overdue)):
                    self._manager.send(kind, **overdue)
                case ("log", int(level), str(text)):
                    log.log(level, "%s", text)
                case _:
                    raise ValueError(f"unknown report from a reactor: {report}")

    def _on_lost(self, slot: int, generation: int, pid: int, texts: list[str], count: int) -> None:
        """A worker died with `count` requests that it had begun. `texts`: the latest of them."""
        named = texts[:limits.LOST_NAMED]
        others = f" and {count - len(named)} more" if count > len(named) else ""
        log.warning("Worker was on: slot %d, pid %d: %s%s", slot, pid, ", ".join(named), others)
        for text in texts:
            self._manager.send("lost", slot=slot, generation=generation, text=text)

    def _on_manager_exit(self) -> None:
        while self._on_manager():
            pass  # what it said last comes before its end
        _, status = os.waitpid(self._pid, 0)
        asked = self._phase >= Phase.STOPPING and os.waitstatus_to_exitcode(status) == self._manager_status
        self._phase = Phase.SETTLING
        self._change_nothing_more()
        self._deadline_s = time.monotonic() + limits.SETTLE_TIMEOUT_S
        if not asked:
            log.critical("Manager died: pid %d, %s", self._pid, describe(os.waitstatus_to_exitcode(status)))
            self._exit_code = ExitCode.MANAGER_DIED
            self._unsettled.clear()  # the reactors settle all at once now, and nobody is left to hear of it
            self._reactors.manager_dead()
        else:
            self._reactors.drain(orphaned=True)

    def _on_deadline(self) -> None:
        if self._phase == Phase.SETTLING:
            self._deadline_s = -math.inf
        else:
            log.warning("The graceful timeout is over: killing %d workers", len(self._up))
            self._kill()

    # What may be asked of it, by signals and by the control socket: swhttp.answers.Host, with the attributes

    @property
    def config(self) -> Config:
        """What it was told."""
        return self._config

    @property
    def scoreboard(self) -> Scoreboard:
        """Of all slots and reactors."""
        return self._memory.scoreboard

    @property
    def reactors(self) -> Reactors:
        """All of them."""
        return self._reactors

    @property
    def urls(self) -> list[str]:
        """Where it listens."""
        return [listener.url for listener in self._has.listeners]

    @property
    def stopping(self) -> bool:
        """Whether it is on its way to its end."""
        return self._phase > Phase.SERVING

    @property
    def phase_name(self) -> str:
        """What it does at the moment, in a word."""
        if self.stopping:
            return self._phase.name.lower()
        if self.reloads.running:
            return "reloading"
        return "serving" if self._listening else "starting"

    def ask_to_stop(self, who: str, quick: bool) -> None:
        """End the server, with patience for what is in flight or without. `who`: asks for it, for the log. To ask for
        patience a second time changes nothing."""
        if quick:
            log.info("%s: stopping at once", who)
            self._kill()
        elif not self.stopping:
            log.info("%s: stopping, requests in flight have %g s", who, self._config.graceful_timeout_s)
            self._stopping_since_s = time.monotonic()
            self._deadline_s = self._stopping_since_s + self._config.graceful_timeout_s
            self._drain()

    def reopen(self) -> str:
        """Go on in new log files where the old ones were moved away. Returns why not, or ""."""
        reasons = [logs.reopen(), self._has.slow_log.reopen() if self._has.slow_log is not None else ""]
        if self._access is not None:
            reasons.append(accessfile.why_not(self._config.access_log))
            self._access.reopen()
        return "; ".join(filter(None, reasons))

    def reload(self, who: str, waiter: Waiter | None = None) -> None:
        """Have new workers with the application as it is now. `waiter`: is told how it has ended."""
        if self.stopping:
            log.info("%s: not reloading, for the server ends", who)
            if waiter is not None:
                waiter(False, STOPPING)
            return
        if why := (self._files.why_not() if self._files is not None else "") or self._has.reload_certificates():
            log.error("%s: not reloading: %s", who, why)
            self.reloads.refused(why, time.monotonic())
            if self._listening:
                self._notify_ready(f"The last reload has failed: {why}")
            if waiter is not None:
                waiter(False, why)
            return
        if self._has.certificates is not None:
            self._reactors.certify(self._has.certificates)
        log.info("%s: reloading", who)
        self.reloads.asked(waiter)
        self._manager.send("reload")

    def scale(self, workers: int, who: str, waiter: Callable[[int | None], None] | None = None) -> None:
        """Have this many workers, from 1 to --max-workers. `waiter`: is told how many are wanted from now on; None: the
        server is stopping."""
        if not 1 <= workers <= self._config.max_workers:
            log.warning("%s: there can be 1 to %d workers, not %d", who, self._config.max_workers, workers)
            return
        if self.stopping:
            if waiter is not None:
                waiter(None)
            return
        log.info("%s: %d workers instead of %d", who, workers, self.workers)
        self.workers = workers
        self._scales.append(waiter)
        self._manager.send("scale", workers=workers)

    def lend_listeners(self) -> tuple[list[Message], list[int]] | None:
        """Another server is to have the listening sockets too: what they are, and their fds; None: not now."""
        return None if self.stopping or not self._listening else self._has.lend()

    def keep_listeners(self) -> None:
        """The other server is not to be."""
        log.warning("The takeover has failed: going on")
        self._has.take_back()

    def hand_over(self) -> None:
        """The other server serves: this one drains."""
        if self._control is not None:
            self._control.stop_listening()
        self._has.hand_over()
        notify.close()  # what ends is not the service
        self.ask_to_stop("Taken over", quick=False)

    # Decisions

    def _give_up(self, why: str, code: ExitCode) -> None:
        """This server is not to be, for another one goes on in its place."""
        if not self.stopping:
            log.error("%s", why)
            self._exit_code = code
            self._kill()

    def _drain(self) -> None:
        """Take what waits in the backlog, then no new connections and requests."""
        if self._phase == Phase.SERVING:
            self._phase = Phase.DRAINING
            if not self._heir.waits:  # else the service goes on, with the old server
                notify.stopping()
            self._heir.stop()
            self._change_nothing_more()
            self._reactors.drain()

    def _change_nothing_more(self) -> None:
        """Whoever waits for a change that will not be is told so."""
        self.reloads.abandon(STOPPING)
        while self._scales:
            if (waiter := self._scales.popleft()) is not None:
                waiter(None)

    def _stop(self) -> None:
        """Let all workers go; the manager leaves when they are gone."""
        self._phase = max(self._phase, Phase.STOPPING)
        self._manager.send("stop")  # first, so that no worker can leave before the manager expects it
        self._stop_slots()

    def _kill(self) -> None:
        """The same, with force: who does not leave at once is killed."""
        if self._phase == Phase.SETTLING:  # everybody is gone: only the last answers are waited for
            self._deadline_s = -math.inf
            return
        self._deadline_s = math.inf
        self._drain()
        if not self._killed:
            self._killed = True
            self._stop()
        self._manager.send("kill")

    def _stop_slots(self) -> None:
        for slot in sorted(self._up):
            self._stop_slot(slot)

    def _stop_slot(self, slot: int) -> None:
        if slot in self._up and slot not in self._told_to_stop:
            self._told_to_stop.add(slot)
            self._reactors.slot_stop(slot)

    # End

    def _end(self) -> None:
        """Everything is answered and everybody gone: stop the threads."""
        self._signals.close()
        if self._control is not None:
            self._control.close()
        self._reactors.stop()
        if not self._reactors.join(limits.JOIN_TIMEOUT_S):
            raise RuntimeError("the reactor threads do not end")
        if self._io is not None and not self._io.stop():
            self._reactors.outlive()
            log.warning("A file is still being read: its disk does not answer")
        if self._access is not None and not self._access.stop():
            log.error("The access log is not written to its end: its file takes nothing")
        self._on_reports()
        self._manager.close()
        os.close(self._pidfd)
        if self._listening:  # else the last line says why it never did
            log.info("Stopped after %.1f s", time.monotonic() - self.started_s)
        notify.close()
