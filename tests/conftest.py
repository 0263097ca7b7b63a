"""Fixtures of all tests: servers, and the proof after every test that nothing was left behind.

`server(...)` starts a server for one test, `module_server(...)` one that the tests of a module share (same
configuration, so most tests cost no boot). After *every* test `leaves_nothing_behind` checks the test process
(fds, children, zombies) and every server that still runs (processes, fds, temp files, log); a server that
ends is checked by its own `finish()`.
"""

from __future__ import annotations

import compileall
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.fleet import Start, running, starting
from tests.support.groups import group_of
from tests.support.server import APPS, TESTS

REPORTS = Path(os.environ["SANITIZER_REPORTS"]) if "SANITIZER_REPORTS" in os.environ else None


def pytest_configure(config: pytest.Config) -> None:
    """Orphans of a killed server become our children, so that they can be seen; servers find their bytecode."""
    processes.become_subreaper()
    # Servers are started by the hundred, and must not write bytecode: without it each compiles these anew.
    for directory in (TESTS.parent / "swhttp", TESTS.parent / "adapters", APPS):
        compileall.compile_dir(directory, quiet=2)
    config.addinivalue_line(
        "markers", "runs_first: before all other tests, because something then waits for a deadline"
    )
    config.addinivalue_line("markers", "runs_last: after all other tests")
    config.addinivalue_line("markers", "needs(ability): for sites whose framework has it")
    config.addinivalue_line("markers", "behind_nginx: for sites with nginx before them")
    config.addinivalue_line("markers", "alone: needs all CPUs, so that `make test` runs nothing beside it")
    config.addinivalue_line(
        "markers", "unsanitized: not for `make asan`, which has an allocator and a map of memory of its own"
    )
    # What a shell starts in the background ignores it, and so would all servers here.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """That of `--dist loadscope`, with the groups of this suite; None: whatever else was asked for."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling  # it is there when it calls this

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stalled clients wait for their deadlines while other tests run: begun first, looked at last."""

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("runs_first"):
            return 0
        return 2 if item.get_closest_marker("runs_last") else 1

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """After the test: no fd, child or zombie of ours, and every running server back at its first figures."""
    fds_before = processes.fds_of("self")
    children_before = {p.pid for p in processes.children_of(os.getpid())}
    yield
    for running_server in running:
        running_server.settle()
    fds_after = processes.fds_of("self")
    leaked = {
        fd: what for fd, what in fds_after.items() if fds_before.get(fd) != what and "/proc/" not in what
    }
    children = [p for p in processes.children_of(os.getpid()) if p.pid not in children_before]
    assert not leaked, f"fds of the test process left open: {leaked}"
    assert not children, f"children of the test process left: {children}"


@pytest.fixture(autouse=True)
def no_report() -> Iterator[None]:
    """After the test: no process has ended with a sanitizer's report (`make asan`), not even one that nobody missed."""
    yield
    if REPORTS is not None:
        for report in sorted(REPORTS.iterdir()):
            text = report.read_text(errors="replace")
            report.rename(REPORTS.with_name(f"{REPORTS.name}-seen-{report.name}"))
            raise AssertionError(f"a sanitizer's report, of this test or one beside it:\n{text[:20000]}")


@pytest.fixture
def server(leaves_nothing_behind: None) -> Iterator[Start]:
    """Starts servers that are stopped, and checked, after this test."""
    with starting() as start:
        yield start


@pytest.fixture(scope="module")
def module_server() -> Iterator[Start]:
    """Starts servers that the tests of one module share."""
    with starting() as start:
        yield start


@pytest.fixture(scope="session")
def session_server() -> Iterator[Start]:
    """Starts servers that hold connections across tests, so are checked at the end of the session only."""
    with starting(settled=False) as start:
        yield start
