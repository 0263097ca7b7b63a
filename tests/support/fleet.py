"""The servers that run at this moment, and the context in which a fixture of any scope starts some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.server import Server

Start = Callable[..., Server]

# Servers that must be back at their first figures after every test.
running: list[Server] = []


@contextmanager
def starting(settled: bool = True) -> Iterator[Start]:
    """Gives a function that starts servers (arguments: Server's); stops and checks them all at the end.

    settled: False for servers that hold connections across tests and so are only checked at their end.
    """
    mine: list[Server] = []

    def start(*arguments: str, **options: object) -> Server:
        server = Server(*arguments, **options)  # type: ignore[arg-type]
        mine.append(server)
        if settled:
            running.append(server)
        return server

    try:
        yield start
    finally:
        _stop_all(mine)


def _stop_all(servers: list[Server]) -> None:
    """Stop those that still run, all of them even if one fails, and report the first failure."""
    failure: BaseException | None = None
    for server in reversed(servers):
        if server in running:
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
