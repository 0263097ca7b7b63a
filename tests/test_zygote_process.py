"""What a zygote does that the manager tells: in this process, with processes that do nothing for workers."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from swhttp import hygiene
from swhttp.messages import Channel
from swhttp.worker.context import NO_SLOT, Loaded, WorkerContext
from swhttp.worker.zygote import _Zygote


class Rig:
    """A zygote that forks what is in `pids`, and the manager's end of its channel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, theirs = Channel.pair()
        self.manager = Channel(ours)
        memory: Any = SimpleNamespace(worker_fds=lambda slot: [])
        self.channel = Channel(theirs, takes_ends=True)
        self.zygote = _Zygote(
            WorkerContext(NO_SLOT, 0, memory, "", False, None, "auto", 1, theirs, ()), Loaded(None, "wsgi", {}),
            self.channel)
        self.pids: list[int] = []
        monkeypatch.setattr(hygiene, "fork", lambda *args: self.spawn())

    def spawn(self) -> int:
        self.pids.append(os.posix_spawn("/bin/sleep", ["sleep", "infinity"], {}))
        return self.pids[-1]

    def order(self, slot: int) -> None:
        ours, theirs = Channel.pair()
        ours.close()
        self.manager.hand_over(theirs, "fork", slot=slot, generation=1, first=1)
        self.turn()

    def turn(self) -> None:
        self.zygote._on_manager()

    def said(self) -> list[Any]:
        return [tuple(message.values()) for message in self.manager.receive()[0]]

    def close(self) -> None:
        for worker in self.zygote._workers.values():
            os.close(worker.pidfd)
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self.zygote._selector.close()
        self.manager.close()
        self.channel.close()


@pytest.fixture
def rig(leaves_nothing_behind: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig(monkeypatch)
    yield made
    made.close()


def test_a_worker_that_cannot_be_watched_is_refused_and_gone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", none_left)
        rig.order(3)
    assert rig.said() == [("refused", 3, 1, "[Errno 24] Too many open files")]
    with pytest.raises(ProcessLookupError):
        os.kill(rig.pids[0], 0)


def test_the_manager_has_a_worker_killed_that_it_cannot_watch(rig: Rig) -> None:
    rig.order(3)
    assert rig.said() == [("forked", 3, 1, rig.pids[0])]
    rig.manager.send("kill", slot=3, generation=1)
    rig.turn()
    assert os.waitpid(rig.pids[0], 0) == (rig.pids[0], signal.SIGKILL)
    rig.manager.send("kill", slot=3, generation=1)
    rig.turn()


def test_a_zygote_that_ends_leaves_no_zombie(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "setitimer", lambda *args: None)  # it would end the tests
    rig.order(3)
    os.kill(rig.pids[0], signal.SIGKILL)
    os.waitid(os.P_PID, rig.pids[0], os.WEXITED | os.WNOWAIT)
    rig.manager.send("end")
    assert rig.zygote.serve() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(rig.pids[0], 0)
