"""The examples of WebSockets in the documentation of Starlette, FastAPI, Quart, Litestar and Django Channels."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from tests.support.fleet import starting
from tests.support.processes import wait_until
from tests.support.server import Server

TIMEOUT_S = 20.0
APPS = {
    "starlette": "starlette_sockets:app", "fastapi": "fastapi_sockets:app", "quart": "quart_sockets:app",
    "litestar": "litestar_sockets:app", "channels": "channels_site.asgi:application"}


class Talk:
    """What a test says to a client, and hears."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, data: str | bytes) -> None:
        self.connection.send(data)

    def say_json(self, value: Any) -> None:
        self.say(json.dumps(value))

    def hear(self) -> str | bytes:
        return self.connection.recv(TIMEOUT_S)

    def hear_json(self) -> Any:
        return json.loads(self.hear())

    def hear_end(self) -> tuple[int | None, str | None]:
        """(code, reason), with which the app has closed."""
        with pytest.raises(ConnectionClosed):
            self.hear()
        return self.connection.close_code, self.connection.close_reason


class Site:
    """A server with one of the apps."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @contextmanager
    def talk(self, target: str, **options: Any) -> Iterator[Talk]:
        """Open a WebSocket; it is closed with 1000 when the context ends."""
        host = f"localhost:{self.server.port}"
        raw = socket.create_connection(("127.0.0.1", self.server.port))
        with connect(f"ws://{host}{target}", sock=raw, **{"origin": f"http://{host}", **options}) as connection:
            yield Talk(connection)

    def refusal(self, target: str, **options: Any) -> Response:
        """The answer to who is not let in."""
        with pytest.raises(InvalidStatus) as refusal, self.talk(target, **options):
            pass
        return refusal.value.response

    def wait_for_note(self, line: str) -> None:
        """Wait until the app has left this note (site_parts.note)."""
        wait_until(lambda: line in self.server.notes(), f"the note {line!r}")


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The site of a framework."""
    with starting() as start:
        yield Site(start(APPS[request.param], "--workers", "1", "--reactors", "1"))


def of(framework: str) -> pytest.MarkDecorator:
    """A test of this framework's site."""
    return pytest.mark.parametrize("site", [framework], indirect=True)


@of("starlette")
def test_starlette_texts_and_json(site: Site) -> None:
    with site.talk("/hello/w%C3%B6rld") as talk:
        assert talk.hear() == "Hello, wörld, at /hello/wörld!"
        assert talk.hear_end() == (1000, "")
    with site.talk("/texts") as talk:
        for text in ("one", "zwei", ""):
            talk.say(text)
        assert [talk.hear() for _ in range(3)] == ["1: one", "2: zwei", "3: "]
    site.wait_for_note("3 texts")
    with site.talk("/json") as talk:
        talk.say_json({"a": [1, "ä"]})
        data = talk.hear()
        assert isinstance(data, bytes)
        assert json.loads(data) == {"a": [1, "ä"]}


@of("starlette")
def test_starlette_endpoint_and_denial(site: Site) -> None:
    with site.talk("/sums", subprotocols=["other", "sums"]) as talk:
        assert talk.connection.subprotocol == "sums"
        assert talk.connection.response is not None
        assert talk.connection.response.headers["x-total"] == "0"
        for number in range(4):
            talk.say_json({"add": number})
            assert talk.hear_json() == {"total": sum(range(number + 1))}
        talk.connection.close(4321)
    site.wait_for_note("total 6 code 4321")
    answer = site.refusal("/members")
    assert (answer.status_code, answer.headers["x-price"], answer.body) == (402, "3", b"members only")
    assert site.refusal("/nowhere").status_code in (403, 404)


@of("fastapi")
def test_fastapi_dependencies_and_parameters(site: Site) -> None:
    assert site.refusal("/items/7/ws").status_code == 403
    assert site.refusal("/items/7/ws?token=x&size=huge").status_code == 403
    with site.talk("/items/7/ws?token=ada&size=3") as talk:
        talk.say("hi")
        assert talk.hear_json() == {"name": "ada", "item": "7", "size": 3, "text": "hi"}
    with site.talk("/items/8/ws", additional_headers={"Cookie": "session=grace"}) as talk:
        talk.say("ho")
        assert talk.hear_json() == {"name": "grace", "item": "8", "size": None, "text": "ho"}


@of("fastapi")
def test_fastapi_manager(site: Site) -> None:
    with site.talk("/chat/1") as one:
        one.say("alone")
        assert one.hear() == "client 1: alone"
        with site.talk("/chat/2") as two:
            two.say("hello")
            assert one.hear() == two.hear() == "client 2: hello"
        assert one.hear() == "client 2 has left"


@of("quart")
def test_quart(site: Site) -> None:
    with site.talk("/ws") as one, site.talk("/ws") as two:
        # Who hears itself is subscribed, and hears others from then on.
        one.say("from one")
        assert one.hear() == "from one"
        two.say("from two")
        assert one.hear() == "from two"
    with site.talk("/json", subprotocols=["json"]) as talk:
        assert talk.connection.response is not None
        assert (talk.connection.subprotocol, talk.connection.response.headers["x-quart"]) == ("json", "yes")
        talk.say_json([1, {"b": None}])
        assert talk.hear_json() == {"you sent": [1, {"b": None}]}
    assert site.refusal("/private").status_code == 401
    basic = {"Authorization": "Basic OnNlc2FtZQ=="}
    assert site.refusal("/private", additional_headers=basic).status_code == 401
    with site.talk("/private", additional_headers={"Authorization": "Basic YWRhOm9wZW4gc2VzYW1l"}) as talk:
        assert talk.hear() == "welcome"
        assert talk.hear_end() == (4000, "that is all")


@of("litestar")
def test_litestar(site: Site) -> None:
    with site.talk("/texts") as talk:
        talk.say("hello")
        assert talk.hear() == "HELLO"
    with site.talk("/json") as talk:
        talk.say_json({"a": 1, "b": 2})
        assert talk.hear_json() == {"a": 2, "b": 3}
    with site.talk("/listener") as talk:
        assert talk.hear() == "come in"
        talk.say("abc")
        assert talk.hear() == "cba"
    site.wait_for_note("listener left")
    with site.talk("/count") as talk:
        assert [talk.hear() for _ in range(3)] == ["0", "1", "2"]
        assert talk.hear_end()[0] == 1000
    with site.talk("/socket/ada") as talk:
        talk.say_json({"x": 1})
        assert talk.hear_json() == {"got": {"x": 1}}
        assert talk.hear_end() == (4001, "enough")
    assert site.refusal("/socket/nobody").status_code == 403


@of("channels")
@pytest.mark.parametrize(("first", "second"), [("sync", "sync"), ("async", "async"), ("sync", "async")])
def test_the_chat_of_channels(site: Site, first: str, second: str) -> None:
    room = f"{first}{second}"
    with site.talk(f"/ws/{first}/{room}/") as one, site.talk(f"/ws/{first}/elsewhere/") as other:
        with site.talk(f"/ws/{second}/{room}/") as two:
            one.say_json({"message": "hello"})
            assert one.hear_json() == two.hear_json() == {"message": "somebody: hello"}
            two.say_json({"message": "ho"})
            assert one.hear_json() == two.hear_json() == {"message": "somebody: ho"}
            two.connection.close(4004)
        assert one.hear_json() == {"message": "somebody has left with 4004"}
        other.say_json({"message": "nobody here"})
        assert other.hear_json() == {"message": "somebody: nobody here"}


@of("channels")
def test_channels_lets_only_pages_of_its_own_site_in(site: Site) -> None:
    assert site.refusal("/ws/sync/room/", origin="http://evil.example").status_code == 403
    with site.server.connect() as client:
        answer = client.request(target="/chat/lobby/", host="localhost")
        assert (answer.status, answer.body) == (200, b"the room lobby")
