"""websockets, wsproto and aiohttp, compressed and not, get each message as it was sent, and say the same of the end."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.support import tls
from tests.support.fleet import Start, starting
from tests.support.nginx import NGINX_CONF, Nginx
from tests.support.processes import wait_until
from tests.support.server import Server
from tests.websockets.clients import KINDS, Dial, Ended, Refused, dial

OPTIONS = ("--workers", "1", "--reactors", "1")
TIMEOUT_S = 30.0
NOISE = random.Random(7).randbytes(1 << 20)
WORDS = "Wörter, ダ, 🎈 \x00" * 5_000
MESSAGES: list[str | bytes] = [
    "hello", b"\x00\xff", "", b"", WORDS[:125], NOISE[:125], NOISE[:126], NOISE[:1 << 16], WORDS, NOISE, bytes(1 << 20)]


@pytest.fixture(scope="module")
def running(module_server: Start) -> Server:
    """One server for all tests here that ask for nothing special."""
    return module_server("sockets:app", *OPTIONS)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which client."""
    return str(request.param)


compressed_and_not = pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "plain"])


def talk(kind: str, wanted: Dial, conversation: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Have it with a client."""

    async def whole() -> None:
        async with asyncio.timeout(TIMEOUT_S), dial(kind, wanted) as client:
            await conversation(client)

    asyncio.run(whole())
    gc.collect()  # a transport that was still closing when its loop ended leaves its socket to this


async def echo_all(client: Any) -> None:
    """Messages of all sizes, one after another, and all at once."""
    for message in MESSAGES:
        await client.send(message)
        assert await client.receive() == message

    async def send() -> None:
        for message in MESSAGES:
            await client.send(message)

    sending = asyncio.create_task(send())
    assert [await client.receive() for _ in MESSAGES] == MESSAGES
    await sending


@compressed_and_not
def test_messages_of_all_kinds_come_back(running: Server, kind: str, compressed: bool) -> None:
    async def conversation(client: Any) -> None:
        assert client.compressed is compressed
        await client.ping(b"are you there?")
        await echo_all(client)
        await client.ping(b"")

    talk(kind, Dial(("127.0.0.1", running.port), compressed=compressed), conversation)


@compressed_and_not
@pytest.mark.parametrize("kind", ["websockets", "wsproto"], indirect=True)
def test_a_message_in_pieces_comes_back_whole(running: Server, kind: str, compressed: bool) -> None:
    async def conversation(client: Any) -> None:
        for whole, cuts in ((WORDS, (0, 3, 3, 70_000, len(WORDS))), (NOISE, (0, 1, 100_000, len(NOISE), len(NOISE)))):
            await client.send_pieces([whole[start:end] for start, end in itertools.pairwise(cuts)])
            assert await client.receive() == whole

    talk(kind, Dial(("127.0.0.1", running.port), compressed=compressed), conversation)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "leaving"), (3999, "ende gut 🎈"), (4999, "x" * 123)])
def test_how_the_client_closes_is_what_the_app_is_told(running: Server, kind: str, code: int, reason: str) -> None:
    before = len(running.notes())

    async def conversation(client: Any) -> None:
        await client.send("one")
        assert await client.receive() == "one"
        await client.close(code, reason)
        assert client.ending[0] == code

    talk(kind, Dial(("127.0.0.1", running.port)), conversation)
    wait_until(lambda: len(running.notes()) > before, "the app to note the end")
    assert running.notes()[before:] == [f"/echo {code} {reason}"]


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (4000, "🎈"), (3000, "y" * 123)])
def test_how_the_app_closes_is_what_the_client_is_told(running: Server, kind: str, code: int, reason: str) -> None:
    async def conversation(client: Any) -> None:
        assert await client.receive() == "one"
        with pytest.raises(Ended):
            await client.receive()
        assert client.ending == (code, reason)

    query = "".join(f"%{octet:02x}" for octet in f"{code}-{reason}".encode())
    talk(kind, Dial(("127.0.0.1", running.port), f"/bye?{query}"), conversation)


def test_an_app_that_fails_closes_with_1011(running: Server, kind: str) -> None:
    running.expect_log("RuntimeError: after it has accepted|exception in the ASGI app|Traceback")

    async def conversation(client: Any) -> None:
        with pytest.raises(Ended):
            await client.receive()
        assert client.ending[0] == 1011

    talk(kind, Dial(("127.0.0.1", running.port), "/raise/later"), conversation)


def test_the_app_chooses_a_subprotocol(running: Server, kind: str) -> None:
    async def conversation(client: Any) -> None:
        assert client.protocol == "superchat"
        await client.send("one")
        assert await client.receive() == "one"

    talk(kind, Dial(("127.0.0.1", running.port), "/choose", protocols=["chat", "superchat"]), conversation)


def test_fields_go_both_ways(running: Server, kind: str) -> None:
    async def conversation(client: Any) -> None:
        assert await client.receive() == "hi"
        assert (client.fields["x-one"], client.fields["set-cookie"]) == ("1", "seen=yes")

    talk(kind, Dial(("127.0.0.1", running.port), "/fields", fields={"X-Said": "hi"}), conversation)


@pytest.mark.parametrize(("target", "status", "body"), [
    ("/no", 403, b""), ("/no/page", 401, b"<p>You must log in."), ("/raise", 500, None)])
def test_a_refusal_is_an_ordinary_response(
    running: Server, kind: str, target: str, status: int, body: bytes | None
) -> None:
    running.expect_log("RuntimeError: before it has accepted|exception in the ASGI app|Traceback")

    async def conversation(client: Any) -> None:
        raise AssertionError("accepted")

    with pytest.raises(Refused) as refusal:
        talk(kind, Dial(("127.0.0.1", running.port), target), conversation)
    assert refusal.value.status == status
    assert body is None or refusal.value.body in (body, None)
    assert target != "/no/page" or refusal.value.fields["x-realm"] == "here"


def test_through_tls(server: Start, kind: str) -> None:
    running = server("sockets:app", *OPTIONS, *tls.options(), tls=tls.authority().client())
    address = ("127.0.0.1", running.port)
    talk(kind, Dial(address, compressed=False, context=tls.authority().client()), echo_all)


def test_on_a_unix_socket(server: Start, kind: str) -> None:
    running = server("sockets:app", *OPTIONS, binds=("unix:{dir}/s",))
    talk(kind, Dial(running.addresses[0].removeprefix("unix:")), echo_all)


@pytest.fixture
def nginx() -> Iterator[Nginx]:
    """nginx, as we recommend it, before the app."""
    with starting(settled=False) as start:
        running = start("sockets:app", *OPTIONS, "--keep-alive", "75", binds=("unix:{dir}/http.sock",))
        nginx = Nginx(NGINX_CONF, {"unix:/run/swhttp/http.sock": running.addresses[0], "example.org": "localhost"})
        try:
            yield nginx
        finally:
            nginx.stop()


def test_behind_nginx(nginx: Nginx) -> None:
    async def conversation(client: Any) -> None:
        assert client.compressed
        await client.ping(b"past nginx")
        await echo_all(client)
        await client.close(4000, "enough")

    for kind in KINDS:
        talk(kind, Dial(nginx.address), conversation)
    with pytest.raises(Refused, match="403"):
        talk("websockets", Dial(nginx.address, "/no"), conversation)
