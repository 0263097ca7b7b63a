"""To an app, its request has a Task and a context of its own; receive() and send() return coroutines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swhttp.ipc import ring
from tests.adapters.rig import working
from tests.adapters.test_sessions import event
from tests.support import processes
from tests.support.fleet import Start
from tests.support.server import Server

APPS = str(Path(__file__).parent / "apps")


@pytest.fixture
def site(server: Start) -> Server:
    """The probes, with one worker, so that requests meet."""
    return server("asgi_probes:app", "--app-dir", APPS, "--workers", "1", "--reactors", "1")


def look(site: Server) -> dict[str, Any]:
    seen: dict[str, Any] = site.get("/look")
    assert seen["is_task"]
    assert seen["listed"]
    assert seen["coroutine"] == "app"
    assert "app" in seen["frames"]
    assert seen["state"] == "CORO_RUNNING"
    return seen


@pytest.mark.parametrize("how", ["keep", "weak", "name", "mark", "callback", "cancel", "variable", "late"])
def test_what_a_request_does_to_its_task_no_other_request_sees(site: Server, how: str) -> None:
    before = look(site)
    assert site.get(f"/notice?{how}") == {"how": how, "same": True}
    for _ in range(3):
        after = look(site)
        assert not after["kept_before"]
        assert not after["weak_before"]
        assert after["name"] != "noticed"
        assert after["mark"] is None
        assert after["cancelling"] == 0
        assert after["variable"] == before["variable"] == "fresh"
    # A callback has its turn when the loop has it, which may be behind the next requests.
    ended = ["callback"] if how == "callback" else []
    processes.wait_until(lambda: look(site)["ended"] == ended, "the task's callbacks")


def test_task_and_context_stay_over_suspensions(site: Server) -> None:
    for value in ("first", "second"):
        seen = site.get(f"/suspends?{value}")
        assert seen == {"seen": [[True, value]] * 4, "inner": value}
    assert look(site)["variable"] == "fresh"


def test_timeouts_groups_and_cancellation(site: Server) -> None:
    for _ in range(2):
        assert site.get("/cancels") == {
            "done": ["timeout", "group", "anyio", "thread", "cancelled", "raised"],
            "cancelling": 0,
        }
    assert look(site)["cancelling"] == 0


def test_receive_and_send_are_coroutines(site: Server) -> None:
    with site.connect() as client:
        for _ in range(3):
            seen = client.request("POST", "/calls", body=b"the body").json()
            assert seen == {
                "is_coroutine": True,
                "iscoroutine": True,
                "isawaitable": True,
                "task": ["http.request", "the body", False],
                "again": "cannot reuse already awaited coroutine",
                "closed": True,
                "throw": "thrown",
                "waits": True,
                "cancelled": True,
                "by_hand": None,
            }
        expected = ["http.disconnect"] * 3
        processes.wait_until(lambda: client.get("/notes").json()["waiting"] == expected, "receive() after the response")


def test_requests_that_wait_are_all_there_at_once(site: Server) -> None:
    clients = [site.connect() for _ in range(40)]
    for number, client in enumerate(clients):
        client.send_request("GET", f"/wait?{number}")
    processes.wait_until(lambda: site.get("/notes")["waiting"].count("open") == 40, "40 waiting requests")
    assert site.get("/opens") == {"waited": 40}
    for number, client in enumerate(clients):
        assert client.response().json() == {"opened": str(number)}
        client.close()


def test_an_app_hears_that_its_client_is_gone(site: Server) -> None:
    client = site.connect()
    client.send_request("GET", "/disconnect")
    processes.wait_until(lambda: "disconnect" in site.get("/notes")["waiting"], "the probe to wait")
    client.close()
    expected = ["http.disconnect", "http.disconnect", "ClientDisconnected"]
    processes.wait_until(lambda: site.get("/notes")["gone"] == expected, "the probe to hear of it")


@pytest.mark.parametrize("how", ["turns", "flow"])
def test_who_listens_can_cancel_who_sends_before_its_send_raises(site: Server, how: str) -> None:
    for count in range(1, 6):  # both hear of it at nearly the same time
        client = site.connect()
        client.send_request("GET", f"/watched?{how}")
        client.raw(200)
        client.close()
        expected = ["http.disconnect", "CancelledError"] * count
        processes.wait_until(
            lambda expected=expected: len(site.get("/notes")["gone"]) == len(expected), "both to hear of it"
        )
        assert site.get("/notes")["gone"] == expected


@pytest.mark.parametrize(
    ("how", "logged"), [("context", False), ("cause", False), ("own", True), ("bug", True), ("mixed", True)]
)
def test_an_exception_is_logged_unless_it_is_what_a_framework_made_of_ours(
    site: Server, how: str, logged: bool
) -> None:
    # "own" cannot be told from any other exception: it says itself that it did not come of ours.
    if logged:
        site.expect_log(r"exception in the ASGI app|Traceback")
    client = site.connect()
    client.send_request("GET", f"/translates?{how}")
    client.raw(200)
    client.close()
    processes.wait_until(lambda: site.get("/notes")["gone"] == [how], "the probe to end")
    assert site.get("/look")
    site.log.catch_up()
    assert ("exception in the ASGI app" in site.log.text()) == logged


def test_the_scope(site: Server) -> None:
    with site.connect() as client:
        for _ in range(2):  # the second comes from the caches
            answer = client.get("/shows/caf%C3%A9%2F%zz?a=%20&b", **{"x-twice": "1", "accept": "*/*"})
            seen = answer.json()
            headers = seen.pop("headers")
            client_address = seen.pop("client")
            assert seen == {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.5"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": "/shows/café/%zz",
                "raw_path": "/shows/caf%C3%A9%2F%zz",
                "query_string": "a=%20&b",
                "root_path": "",
                "server": ["127.0.0.1", site.port],
                "types": ["list", "bytes", "bytes", "dict"],
                "extensions": {
                    name: {}
                    for name in ("http.response.trailers", "http.response.early_hint", "http.response.pathsend")
                },
            }
            assert ["x-twice", "1"] in headers
            assert client_address[0] == "127.0.0.1"
            assert isinstance(client_address[1], int)
    with site.connect() as other:
        assert other.get("/shows").json()["client"] != client_address


@pytest.mark.parametrize("target", [b"/early", b"/late"])
@pytest.mark.parametrize("kind", ["request", "websocket", "session"])
def test_what_fails_ends_although_its_log_fails_as_well(kind: str, target: bytes) -> None:
    with working("unloggable:app", "asgi", ws_handler="unloggable:handler" if kind == "session" else "") as rig:
        body = event(ring.WS_OPEN) if kind == "session" else b""
        flight = rig.answer(target, type=ring.PACKAGE if kind == "request" else ring.WS_OPEN, body=body)
        assert flight.last.status == (1011 if kind == "websocket" else 500)
        assert rig.answer(b"/left").body == b"[]"
        assert rig.log().count("ValueError: a filter that fails") == 1
