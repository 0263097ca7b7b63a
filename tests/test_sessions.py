"""The callback API with the real server: a session is with no worker, so no worker's end is its own."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.counters import Since
from tests.support.fleet import Start
from tests.support.frames import Peer, opened
from tests.support.processes import wait_until, wait_until_stopped
from tests.support.server import Server

PATIENCE_S = 20.0


@pytest.fixture(params=["wsgi:handler", "asgi:handler", "asgi:coroutines"])
def site(request: pytest.FixtureRequest, server: Start) -> Server:
    interface, handler = request.param.split(":")
    return server(f"sessions:{interface}", "--ws-handler", f"sessions:{handler}", "--workers", "2", "--reactors", "2")


class Client:
    """A WebSocket to a site, whose messages are JSON or plain."""

    def __init__(self, site: Server, path: str = "/") -> None:
        self._stack = contextlib.ExitStack()
        self.socket: ClientConnection = self._stack.enter_context(
            connect(f"ws://127.0.0.1:{site.port}{path}", proxy=None, max_size=None))
        self.id: int = json.loads(self.hear())["id"]

    def close(self) -> None:
        self._stack.close()

    def hear(self) -> str:
        heard = self.socket.recv(timeout=PATIENCE_S)
        assert isinstance(heard, str)
        return heard

    def ask(self, text: str) -> dict[str, Any]:
        self.socket.send(text)
        answer: dict[str, Any] = json.loads(self.hear())
        return answer


@pytest.fixture
def clients(site: Server) -> Iterator[tuple[Client, Client]]:
    first, second = Client(site), Client(site)
    yield first, second
    first.close()
    second.close()


def test_a_session_outlives_reload_and_death_of_its_workers(site: Server, clients: tuple[Client, Client]) -> None:
    client, _ = clients
    before = client.ask("one")
    assert (before["sequence"], before["count"]) == (1, 1)
    pids = set(site.workers())
    site.kill(signal.SIGUSR1)
    site.wait_for_log("Reloaded in")
    after = client.ask("two")
    assert (after["sequence"], after["count"]) == (2, 2)
    assert after["pid"] not in pids
    site.expect_log(r"Worker died: slot \d+, pid \d+, signal 9")
    client.socket.send("before")
    client.socket.send("die")
    client.socket.send("after")
    heard = [json.loads(client.hear()) for _ in range(3)]
    assert [(one["data"], one["sequence"], one["count"]) for one in heard] == [
        ("before", 3, 3), ("die", 4, 4), ("after", 5, 5)]
    assert [one["again"] for one in heard[:2]] == [False, True]  # "after" may have been with that worker, too


def test_what_a_handler_has_said_of_pushes_the_next_one_sees(clients: tuple[Client, Client]) -> None:
    client, other = clients
    assert client.ask("one")["overflow"] == "drop"
    for said, policy in (("block", "block"), ("close session", "close"), ("drop", "drop")):
        client.ask(said)
        assert client.ask("and then?")["overflow"] == policy
    client.ask("block")
    assert other.ask("one")["overflow"] == "drop"


def test_all_that_a_dead_worker_may_have_handled_is_marked(server: Start) -> None:
    """Its handlers go on while the master takes nothing, and what says so is lost with it."""
    many = 40  # echoes of these do not fit the ring
    site = server("reference:asgi", "--workers", "1", "--reactors", "1", "--ws-handler", "handled:handler")
    site.expect_log("Worker died")

    def heard(last: int) -> list[str]:
        wait_until(lambda: any(line.startswith(f"heard {last}") for line in site.notes()), f"{last} to be handled")
        return site.notes()

    since = Since(site)
    with site.gate() as gate, Peer(site, f"/heavy?{gate.path}") as peer:
        peer.say("1")
        visitor = gate.entered()
        for number in range(2, many + 2):
            peer.say(str(number))
        since.becomes(ws_received=many + 1)
        visitor.release()
        visitor = gate.entered()  # with the second, and all but it wait in the worker
        peer.say("one that the worker has not got")
        since.becomes(ws_received=many + 2)
        site.kill(signal.SIGSTOP)
        wait_until_stopped(site.pid)
        visitor.release()
        before = heard(many + 1)
        assert before == [f"heard {number}" for number in range(1, many + 2)]
        site.kill(signal.SIGKILL, visitor.pid)
        site.kill(signal.SIGCONT)
        after = heard(many + 2)[len(before):]
        assert 1 < len(after) - 1 < many, "some are done, several are not"
        assert after == [*(f"heard {number} again" for number in range(many + 3 - len(after), many + 2)),
                         f"heard {many + 2}"]


def test_messages_are_handled_in_order_however_many_wait(site: Server, clients: tuple[Client, Client]) -> None:
    client, _ = clients
    for number in range(500):
        client.socket.send(str(number))
    heard = [json.loads(client.hear()) for _ in range(500)]
    assert [int(one["data"]) for one in heard] == list(range(500))
    assert [one["count"] for one in heard] == list(range(1, 501))


def test_groups_and_threads_and_the_end(site: Server, clients: tuple[Client, Client]) -> None:
    first, second = clients
    site.get("/?hello")
    assert first.hear() == second.hear() == "hello"
    first.socket.send("thread")
    assert {first.hear(), first.hear()} >= {"from a thread"}
    first.socket.send("close")
    with pytest.raises(ConnectionClosed) as closed:
        first.hear()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "enough")
    assert json.loads(second.hear()) == {"closed": 4000, "count": "1"}


def test_on_open_can_refuse(site: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Client(site, "/refused")
    assert refused.value.response.status_code == 403


def test_a_module_can_be_the_handler(server: Start) -> None:
    site = server("reference:wsgi", "--ws-handler", "handled", "--workers", "1", "--reactors", "1")
    opened(site)
    wait_until(lambda: site.notes() == ["closed 1000"], "its on_close to be called")


def test_the_class_is_there_for_annotations_and_costs_nothing_until_then() -> None:
    program = ("import sys, swhttp\n"
               "before = [name for name in sys.modules if name.startswith('swhttp.adapters')]\n"
               "print(before, swhttp.Session.__module__, hasattr(swhttp, 'Sessions'))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[] swhttp.adapters.sessions False\n"


def test_a_user_process_pushes_and_its_nonsense_hurts_nobody(server: Start) -> None:
    site = server("sessions:wsgi", "--ws-handler", "sessions:handler", "--process", "talk=sessions:speaks",
                  "--workers", "1", "--reactors", "2")
    client = Client(site)
    heard = set()
    while len(heard) < 2:
        heard.add(client.hear())
    assert heard == {"from a process", "L" * 300000}
    client.close()
