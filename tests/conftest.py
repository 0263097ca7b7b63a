"""Fixtures of all tests: servers, and the proof after every test that nothing was left behind.

`server(...)` starts a server for one test, `module_server(...)` one that the tests of a module share (same
configuration, so most tests cost no boot). After *every* test `leaves_nothing_behind` checks the test process (fds,
children, zombies) and every server that still runs (processes, fds, temp files, log); a server that ends is checked by
its own `finish()`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.support import processes
from tests.support.server import Server

Start = Callable[..., Server]

running: list[Server] = []


def pytest_configure(config: pytest.Config) -> None:
    """Orphans of a killed server become our children, so that they can be seen."""
    processes.become_subreaper()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let stalled clients wait for their deadlines while all other tests run: they start first and are looked at last."""

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("runs_first"):
            return 0
        return 2 if item.get_closest_marker("runs_last") else 1

    items.sort(key=rank)


def _starter(scope_servers: list[Server]) -> Start:
    def start(*arguments: str, **options: object) -> Server:
        server = Server(*arguments, **options)  # type: ignore[arg-type]
        scope_servers.append(server)
        running.append(server)
        return server

    return start


def _stop_all(servers: list[Server]) -> None:
    """Stop those that still run, all of them even if one fails, and report the first failure."""
    failure: BaseException | None = None
    for server in reversed(servers):
        running.remove(server)
        if server.exit_status is not None:
            server.abandon()
            continue
        try:
            server.settle()
            server.stop()
        except BaseException as error:  # the others must still be stopped
            failure = failure or error
            server.abandon()
    if failure is not None:
        raise failure


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """After the test: no fd, child or zombie of ours, and every running server back at its first figures."""
    fds_before = processes.fds_of("self")
    children_before = {p.pid for p in processes.children_of(os.getpid())}
    yield
    for server in running:
        server.settle()
    fds_after = processes.fds_of("self")
    leaked = {fd: target for fd, target in fds_after.items() if fds_before.get(fd) != target and "/proc/" not in target}
    children = [p for p in processes.children_of(os.getpid()) if p.pid not in children_before]
    assert not leaked, f"fds of the test process left open: {leaked}"
    assert not children, f"children of the test process left: {children}"


@pytest.fixture
def server(leaves_nothing_behind: None) -> Iterator[Start]:
    """Starts servers that are stopped, and checked, after this test."""
    mine: list[Server] = []
    yield _starter(mine)
    _stop_all(mine)


@pytest.fixture(scope="module")
def module_server() -> Iterator[Start]:
    """Starts servers that the tests of one module share."""
    mine: list[Server] = []
    yield _starter(mine)
    _stop_all(mine)


@pytest.fixture(scope="session")
def session_server() -> Iterator[Start]:
    """Starts servers that live as long as the session."""
    mine: list[Server] = []
    yield _starter(mine)
    _stop_all(mine)
