"""No memory for what the reactor wants to keep: that one connection ends, told or cut, and nothing else.

A preloaded library makes every Nth allocation of the reactor's own fail. Whoever gets an answer gets the right one,
whole; nothing is leaked, which every test checks in the end.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.bodies import body
from tests.support.client import Closed, Connection
from tests.support.counters import gauge
from tests.support.fleet import Start
from tests.support.frames import CLOSE, PING, PONG, NotOpened, Peer, closing, frame, opened
from tests.support.server import TESTS, Server

pytestmark = pytest.mark.unsanitized  # no allocation would reach the library

ROUNDS = 12
EVERY = (1, 2, 3)
MIB = 1 << 20


class Memory:
    """What the preloaded library is told, and tells."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(4096))
        with path.open("r+b") as file:
            self._words = mmap.mmap(file.fileno(), 4096)

    def fail_every(self, nth: int) -> None:
        """0: none."""
        self._words[:4] = struct.pack("i", nth)

    @property
    def asked(self) -> int:
        """How often while some were to fail."""
        return int(struct.unpack("i", self._words[4:8])[0])

    @property
    def failed(self) -> int:
        """How many have."""
        return int(struct.unpack("i", self._words[8:12])[0])

    def close(self) -> None:
        self._words.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library."""
    path = tmp_path_factory.mktemp("enomem") / "enomem.so"
    source = TESTS / "support" / "enomem.c"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(path), str(source), "-ldl"], check=True)
    return path


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    words = Memory(tmp_path / "words")
    yield words
    words.close()


@pytest.fixture(params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, server: Start, library: Path, memory: Memory, tmp_path: Path) -> Server:
    """With an access log that keeps fields of responses, which takes memory, too."""
    return server(
        f"paths:{request.param}", "--workers", "1", "--threads", "8", "--reactors", "1",
        "--access-log", os.devnull, "--access-log-format", "%(s)s %({content-type}o)s %({x-none}o)s",
        env={"LD_PRELOAD": str(library), "SWHTTP_TESTS_ENOMEM": str(tmp_path / "words")})  # fmt: skip


@pytest.mark.parametrize("what", ["state", "group"])
def test_a_session_of_which_something_cannot_be_kept_is_closed(
    server: Start, library: Path, memory: Memory, tmp_path: Path, what: str
) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1", "--ws-handler", "handled:handler",
                  env={"LD_PRELOAD": str(library), "SWHTTP_TESTS_ENOMEM": str(tmp_path / "words")})
    site.expect_log("reason=ws-no-memory")
    with Peer(site, f"/{what}") as peer:
        memory.fail_every(1)
        peer.say("this")
        assert peer.ending() == 1011
        memory.fail_every(0)
        peer.send(closing(1011))
        peer.connection.expect_end()
    assert memory.failed > 0
    site.wait_for_log(rf'reason=ws-no-memory client=127.0.0.1:\d+ request="GET /{what}"')
    opened(site)


def take(client: Connection, expected: bytes) -> None:
    """One answer, the right one or an error of the server's."""
    answer = client.response()
    assert answer.body == expected or answer.status >= 500, answer


def in_two_pieces(client: Connection) -> None:
    """A head whose first part must be kept."""
    client.send(b"GET /memory?size=10 HTTP/1.1\r\nHo")
    client.send_while_open(b"st: x\r\n\r\n")
    take(client, body(10))


def slowly_read(client: Connection) -> None:
    """What the socket does not take must be kept; some of it is framed when its turn comes."""
    client.send_request(target=f"/memory?size={3 * MIB}&piece=100000&framing=none")
    take(client, body(3 * MIB))


def from_a_file(client: Connection) -> None:
    client.send_request(target=f"/file?path={__file__}")
    take(client, Path(__file__).read_bytes())


def sent(client: Connection) -> None:
    """A body that has a state of its own."""
    client.send_while_open(b"POST /memory?size=10 HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n",
                           bytes(2_000_000))
    take(client, body(10))


def pipelined(client: Connection) -> None:
    """What follows a request must be kept."""
    client.send(b"GET /memory?size=100000 HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    for _ in range(3):
        take(client, body(100_000))


@pytest.mark.parametrize("ask", [in_two_pieces, slowly_read, from_a_file, sent, pipelined])
def test_without_memory_a_connection_ends_and_nothing_else(
    site: Server, memory: Memory, ask: Callable[[Connection], None]
) -> None:
    site.expect_log("WARNING|ERROR|Traceback")
    workers = site.workers()
    for every in EVERY:
        memory.fail_every(every)
        for _ in range(ROUNDS):
            with contextlib.suppress(Closed, BrokenPipeError, ConnectionResetError), \
                    site.connect(buffer_bytes=8192) as client:  # fmt: skip
                ask(client)
        memory.fail_every(0)
        with site.connect(buffer_bytes=8192) as client:
            ask(client)
        assert site.get("/next")["pid"] in workers
    assert memory.failed > 0, f"of {memory.asked} none was to fail"
    assert site.workers() == workers
    for name in ("open", "in_flight", "blocks", "files", "arena_held"):
        gauge(site, name)


def test_without_memory_for_a_ping_that_is_cut_its_websocket_is_closed_with_1011(
    server: Start, library: Path, memory: Memory, tmp_path: Path
) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1",
                  env={"LD_PRELOAD": str(library), "SWHTTP_TESTS_ENOMEM": str(tmp_path / "words")})
    site.expect_log("WARNING|ERROR")
    ping = frame(PING, bytes(range(125)))
    with Peer(site) as peer:
        memory.fail_every(1)
        peer.send(ping[:50])
        assert peer.ended() == 1011
    site.wait_for_log("ws-no-memory")
    for every in EVERY:
        memory.fail_every(every)
        for _ in range(ROUNDS):
            with contextlib.suppress(NotOpened, Closed, BrokenPipeError, ConnectionResetError), Peer(site) as peer:
                peer.send(ping[:50])
                peer.connection.send_while_open(ping[50:])
                assert peer.next()[:2] in ((PONG, bytes(range(125))), (CLOSE, b"\x03\xf3"))
        memory.fail_every(0)
        opened(site)
    for name in ("open", "in_flight", "blocks", "websockets"):
        gauge(site, name)
