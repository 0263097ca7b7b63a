"""No memory for what the reactor wants to keep: that one connection ends, told or cut, and nothing else. None for what
an app asks for: it is told so, and may ask again.

A preloaded library makes every Nth allocation of the reactor's own fail, or some of a worker's. Whoever gets an answer
gets the right one, whole; nothing is leaked, which every test checks in the end.
"""

from __future__ import annotations

import contextlib
import hashlib
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
from tests.support.frames import BINARY, CLOSE, PING, PONG, TEXT, NotOpened, Peer, closing, frame, opened
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

    def fail_next(self, times: int, pid: int, sizes: range) -> None:
        """The next `times` that are of such a size, in this process."""
        self._words[12:28] = struct.pack("4i", times, sizes.start, sizes.stop - 1, pid)

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


OBJECT = range(33, 65)  # bytes that a bytes or str object has beside what is in it, with a NUL
IN_PIECES = 200_000     # more than a block holds
WITHOUT = {
    "a message in one piece": (5000, range(5000 + OBJECT.start, 5000 + OBJECT.stop)),
    "a message in pieces": (IN_PIECES, range(IN_PIECES + OBJECT.start, IN_PIECES + OBJECT.stop)),
    "the pieces": (IN_PIECES, range(IN_PIECES // 2, IN_PIECES + OBJECT.start)),
}


@pytest.mark.parametrize("what", WITHOUT)
def test_a_message_for_which_there_was_no_memory_is_given_whole_to_who_asks_again(
    server: Start, library: Path, memory: Memory, tmp_path: Path, what: str
) -> None:
    site = server("pressed:app", "--workers", "1", "--reactors", "1",
                  env={"LD_PRELOAD": str(library), "SWHTTP_TESTS_ENOMEM": str(tmp_path / "words")})
    (worker,) = site.workers()
    size, sizes = WITHOUT[what]
    times = 3  # one may be where the app is not told yet
    with Peer(site, "/hashes") as peer:
        for nth, opcode in enumerate((TEXT, BINARY), 1):
            data = (b"%07d," % nth * size)[:size]
            memory.fail_next(times, worker, sizes)
            peer.send(frame(opcode, data) + frame(TEXT, b"behind it"))
            assert peer.heard() == "no memory"
            heard = peer.heard()
            while heard == "no memory":
                heard = peer.heard()
            assert memory.failed == nth * times
            assert heard == hashlib.sha256(data).hexdigest()
            assert peer.heard() == hashlib.sha256(b"behind it").hexdigest()
        peer.send(closing(1000))
        assert peer.ended() == 1000
