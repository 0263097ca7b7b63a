"""A raw HTTP/1.1 client for tests: sends exactly the bytes it is given, reads exactly one response at a time.

Knows nothing that it was not told: no retries, no redirects, no connection pool, and the strictness of RFC
9112 about what a *server* sends (CRLF line ends, no field twice that frames, chunked read to its last CRLF).
A wait that exceeds its time is an AssertionError, never a reason to go on.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

TIMEOUT_S = 10.0
RECEIVE_BYTES = 1 << 18
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00\r\n]*?)[ \t]*")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(;.*)?")


class Closed(Exception):
    """The server closed in order (end of stream). `partial` are the bytes of an unfinished response."""

    def __init__(self, partial: bytes = b"") -> None:
        super().__init__(f"closed with {len(partial)} bytes of an unfinished response: {partial[:200]!r}")
        self.partial = partial


class Reset(Closed):
    """The server reset the connection."""


@dataclass(repr=False)
class Response:
    """One final response and the interim ones before it."""

    status: int
    reason: str
    minor_version: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    framing: str = "none"  # none, length, chunked or close
    interim: list[int] = field(default_factory=list)
    interim_headers: list[list[tuple[str, str]]] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def __repr__(self) -> str:
        shown = self.body if len(self.body) <= 300 else self.body[:300] + b"..."
        return f"<{self.status} {self.reason} {self.headers} {len(self.body)} bytes: {shown!r}>"

    def header(self, name: str) -> str | None:
        """The one value of a field, None when absent; AssertionError when it stands twice."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def keeps_open(self) -> bool:
        """Whether the connection may carry another request (RFC 9112 section 9.3)."""
        options = {option.strip().lower() for value in self.all("connection") for option in value.split(",")}
        if "close" in options or self.framing == "close":
            return False
        return self.minor_version == 1 or "keep-alive" in options


class Connection:
    """One client connection. address: (host, port) or a unix socket's path; source: local IP address.

    buffer_bytes: for a client that is to be slow, the kernel's buffer for what it has not read (0: the kernel's choice,
    which grows to megabytes). tls: how a client speaks that, if it does.
    """

    def __init__(
        self, address: tuple[str, int] | str, source: str | None = None, buffer_bytes: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket: Any
        self._tls = tls is not None
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            self.socket = socket.socket(
                socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM
            )
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source is not None:
                self.socket.bind((source, 0))
        if buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.receive_bytes = buffer_bytes or RECEIVE_BYTES  # taken from the socket at once, at most
        self.socket.settimeout(TIMEOUT_S)
        self.buffer = b""
        self.ended = False
        self.was_reset = False
        try:
            self.socket.connect(address)
            if tls is not None:
                from tests.support.tls import TlsSocket

                self.socket = TlsSocket(self.socket, tls)
        except BaseException:
            self.socket.close()
            raise

    # Sending

    def send(self, *pieces: bytes) -> None:
        """Each piece in a write of its own."""
        for piece in pieces:
            self.socket.sendall(piece)

    def send_while_open(self, *pieces: bytes) -> None:
        """As send, but ends quietly when the server has closed: it may refuse before it has heard all."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send(*pieces)

    def send_request(
        self,
        method: str = "GET",
        target: str = "/",
        headers: list[tuple[str, str]] | None = None,
        body: bytes | None = None,
        version: str = "HTTP/1.1",
        host: str | None = "test",
    ) -> None:
        """One request in one write; a body brings its Content-Length unless `headers` frame it."""
        self.send(request_bytes(method, target, headers, body, version, host))

    def half_close(self) -> None:
        """Shut down the sending side."""
        self.socket.shutdown(socket.SHUT_WR)

    # Receiving

    def _receive(self, deadline: float) -> bool:
        """Take in some bytes; False at the end of the stream."""
        if self.ended:
            return False
        left_s = deadline - time.monotonic()
        try:
            if left_s <= 0:
                raise TimeoutError
            self.socket.settimeout(left_s)
            piece = self.socket.recv(self.receive_bytes)
        except TimeoutError:
            raise AssertionError(f"no answer in time; unread so far: {self.buffer[:300]!r}") from None
        except (ConnectionResetError, BrokenPipeError):
            self.was_reset = True
            piece = b""
        if not piece:
            self.ended = True
            return False
        self.buffer += piece
        return True

    def take_in_now(self) -> bool:
        """Take in what has arrived, without waiting; whether anything (or the end) had."""
        if self.ended or not self._poll(0.0):
            return False
        self._receive(time.monotonic() + 1.0)
        return True

    def wait_readable(self, timeout_s: float) -> bool:
        """Whether bytes or the end of the stream are there, or arrive in time."""
        return bool(self.buffer) or self.ended or self._poll(timeout_s)

    def _poll(self, timeout_s: float) -> bool:
        if self._tls:
            return bool(self.socket.wait_readable(timeout_s))
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))

    def _end(self, partial: bytes) -> Closed:
        return Reset(partial) if self.was_reset else Closed(partial)

    def _take_until(self, mark: bytes, taken: bytearray, deadline: float) -> bytes:
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark) + 1)
            if not self._receive(deadline):
                raise self._end(bytes(taken) + self.buffer)
        piece, self.buffer = self.buffer[: at + len(mark)], self.buffer[at + len(mark) :]
        taken += piece
        return piece[: -len(mark)]

    def _take(self, count: int, taken: bytearray, deadline: float) -> bytes:
        pieces = [self.buffer]
        missing = count - len(self.buffer)
        while missing > 0:
            self.buffer = b""
            if not self._receive(deadline):
                raise self._end(bytes(taken) + b"".join(pieces))
            pieces.append(self.buffer)
            missing -= len(self.buffer)
        whole = b"".join(pieces)
        self.buffer = whole[count:]
        taken += whole[:count]
        return whole[:count]

    def response(self, method: str = "GET", timeout_s: float = TIMEOUT_S) -> Response:
        """Read the next final response. Raises Closed or Reset when the stream ends before it is complete."""
        deadline = time.monotonic() + timeout_s
        taken = bytearray()
        response = self._final_head(taken, deadline)
        self._body(response, method, taken, deadline)
        return response

    def head(self, timeout_s: float = TIMEOUT_S) -> Response:
        """Read the next final response's head alone; `pieces` reads its body."""
        return self._final_head(bytearray(), time.monotonic() + timeout_s)

    def pieces(self, response: Response, timeout_s: float = TIMEOUT_S) -> Iterator[bytes]:
        """The body that belongs to a `head`, as it comes; not read any further than it is asked for.

        timeout_s: for each piece. Raises Closed or Reset when the stream ends before the body does.
        """
        length, coding = response.header("content-length"), response.header("transfer-encoding")
        if coding is not None:
            assert (coding, length) == ("chunked", None), f"framed by {coding!r} and {length!r}"
            response.framing = "chunked"
            while size := self._chunk_size(time.monotonic() + timeout_s):
                yield from self._exactly(size, timeout_s)
                assert self.raw(2, timeout_s) == b"\r\n", "a chunk ends in something else than CRLF"
            self._trailers(response, bytearray(), time.monotonic() + timeout_s)
        else:
            assert length is not None, "no framing"
            response.framing = "length"
            yield from self._exactly(int(length), timeout_s)

    def _exactly(self, count: int, timeout_s: float) -> Iterator[bytes]:
        while count:
            if not self.buffer and not self._receive(time.monotonic() + timeout_s):
                raise self._end(b"")
            piece, self.buffer = self.buffer[:count], self.buffer[count:]
            count -= len(piece)
            yield piece

    def _final_head(self, taken: bytearray, deadline: float) -> Response:
        interim: list[Response] = []
        while True:
            response = self._head(taken, deadline)
            if response.status >= 200 or response.status == 101:
                response.interim = [before.status for before in interim]
                response.interim_headers = [before.headers for before in interim]
                return response
            interim.append(response)
            taken.clear()

    def _head(self, taken: bytearray, deadline: float) -> Response:
        lines = self._take_until(b"\r\n\r\n", taken, deadline).split(b"\r\n")
        status_line = STATUS_LINE.fullmatch(lines[0])
        assert status_line, f"not a status line: {lines[0][:200]!r}"
        return Response(
            int(status_line[2]),
            status_line[3].decode("latin-1"),
            int(status_line[1]),
            parse_fields(lines[1:]),
        )

    def _body(self, response: Response, method: str, taken: bytearray, deadline: float) -> None:
        length, coding = response.header("content-length"), response.header("transfer-encoding")
        if response.status in (204, 304) or response.status < 200 or method == "HEAD":
            if response.status == 204 or response.status < 200:
                assert (length, coding) == (None, None), (
                    f"a {response.status} with framing: {response.headers}"
                )
            return
        if coding is not None:
            assert (coding, length) == ("chunked", None), f"framed by {coding!r} and {length!r}"
            assert response.minor_version == 1, "chunked to an HTTP/1.0 client"
            response.framing = "chunked"
            response.body = self._chunked(response, taken, deadline)
        elif length is not None:
            assert re.fullmatch("[0-9]+", length), f"Content-Length {length!r}"
            response.framing = "length"
            response.body = self._take(int(length), taken, deadline)
        else:
            response.framing = "close"
            while self._receive(deadline):
                pass
            if self.was_reset:
                raise Reset(bytes(taken) + self.buffer)
            response.body, self.buffer = self.buffer, b""

    def _chunked(self, response: Response, taken: bytearray, deadline: float) -> bytes:
        pieces = []
        while size := self._chunk_size(deadline, taken):
            piece = self._take(size + 2, taken, deadline)
            assert piece.endswith(b"\r\n"), f"a chunk ends in {piece[-2:]!r}"
            pieces.append(piece[:-2])
        self._trailers(response, taken, deadline)
        return b"".join(pieces)

    def _chunk_size(self, deadline: float, taken: bytearray | None = None) -> int:
        line = self._take_until(b"\r\n", bytearray() if taken is None else taken, deadline)
        match = CHUNK_LINE.fullmatch(line)
        assert match, f"not a chunk line: {line[:80]!r}"
        return int(match[1], 16)

    def _trailers(self, response: Response, taken: bytearray, deadline: float) -> None:
        trailer_lines = []
        while line := self._take_until(b"\r\n", taken, deadline):
            trailer_lines.append(line)
        response.trailers = parse_fields(trailer_lines)

    def raw(self, count: int, timeout_s: float = TIMEOUT_S) -> bytes:
        """Exactly so many bytes, unparsed."""
        return self._take(count, bytearray(), time.monotonic() + timeout_s)

    def expect_end(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait for the server to close in order, without another byte and without a reset."""
        deadline = time.monotonic() + timeout_s
        while self._receive(deadline):
            pass
        assert self.buffer == b"", f"bytes before the end: {self.buffer[:300]!r}"
        assert not self.was_reset, "reset instead of closed"

    def expect_cut(self, timeout_s: float = TIMEOUT_S) -> Closed:
        """Wait for the response under way to be cut short (closed or reset); what there was of it."""
        try:
            response = self.response(timeout_s=timeout_s)
        except Closed as cut:
            return cut
        raise AssertionError(f"complete, although its worker died: {response}")

    # Whole exchanges

    def get(self, target: str = "/", **headers: str) -> Response:
        """GET and its response; keyword names are field names with _ for -."""
        return self.request(
            "GET", target, [(name.replace("_", "-"), value) for name, value in headers.items()]
        )

    def request(
        self,
        method: str = "GET",
        target: str = "/",
        headers: list[tuple[str, str]] | None = None,
        body: bytes | None = None,
        version: str = "HTTP/1.1",
        host: str | None = "test",
    ) -> Response:
        """A request and its response."""
        self.send_request(method, target, headers, body, version, host)
        return self.response(method)

    def reset(self) -> None:
        """Close by RST, as a client that crashed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Close; harmless when closed."""
        self.socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def request_bytes(
    method: str = "GET",
    target: str = "/",
    headers: list[tuple[str, str]] | None = None,
    body: bytes | None = None,
    version: str = "HTTP/1.1",
    host: str | None = "test",
) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    names = {name.lower() for name, _ in headers or ()}
    lines += [f"{name}: {value}" for name, value in headers or ()]
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(*pieces: bytes, trailers: tuple[bytes, ...] = (), extension: bytes = b"") -> bytes:
    """A chunked body of these pieces."""
    chunks = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return chunks + b"0\r\n" + b"".join(trailer + b"\r\n" for trailer in trailers) + b"\r\n"


def parse_fields(lines: list[bytes]) -> list[tuple[str, str]]:
    """Field lines of a server's head or trailer, strictly."""
    fields = []
    for line in lines:
        match = FIELD.fullmatch(line)
        assert match, f"not a field line: {line[:200]!r}"
        fields.append((match[1].decode("ascii"), match[2].decode("latin-1")))
    return fields
