"""Signals that are sent to whole groups do nothing to workers and user processes, but to programs that these start."""

from __future__ import annotations

import os
import signal

import pytest

from swhttp.hygiene import GROUP_SIGNALS
from tests.apps import starter
from tests.support.client import Connection
from tests.support.fleet import Start

OPTIONS = ("--workers", "1", "--reactors", "1")
ALL = "".join(f"{one}\n" for one in starter.SIGNALS).encode()


@pytest.mark.parametrize(
    "options", [("wsgi",), ("wsgi", "--threads", "3"), ("asgi",), ("asgi", "--preload")], ids=" ".join)
def test_programs_of_an_app_get_them_and_its_worker_serves_on(server: Start, options: tuple[str, ...]) -> None:
    site = server(f"starter:{options[0]}", *OPTIONS, *options[1:])
    [worker] = site.workers()
    with site.connect() as client:
        assert client.get("/import").body == ALL
        for number in GROUP_SIGNALS:
            for _ in range(3):
                site.kill(number, worker)
            assert client.get("/").body == ALL
        if site.zygotes() if "--preload" in options else ():
            site.kill(signal.SIGHUP, site.zygotes()[0])
        sent_during(client, worker)
    assert site.workers() == [worker]


def sent_during(client: Connection, worker: int) -> None:
    """While a body is on its way to the app, and the answer from it."""
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000))
    for number in GROUP_SIGNALS:
        os.kill(worker, number)
    client.send(bytes(100_000))
    assert client.response().body == ALL


def test_programs_of_user_processes_get_them_and_these_run_on(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--process", "jobs=starter:process")
    [match] = site.wait_for_log(r"^program got (.*)$")
    assert match[1].split() == list(starter.SIGNALS)
    [waits] = site.wait_for_log(r"^program waits (\d+)$")
    for number in GROUP_SIGNALS:
        site.kill(number, int(waits[1]))
    site.wait_ready()
    site.stop()
    site.wait_for_log(rf"Process jobs: ended, pid {waits[1]}, signal 15$")
