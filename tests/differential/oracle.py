"""What h11 makes of the bytes of one request: the oracle of the differential test.

It owns a fresh h11 connection for each message, so that one message is judged at a time and nothing that h11 decides
about a connection (it keeps none with HTTP/1.0, pauses at an upgrade) hides what comes next. It knows nothing of our
server; what may differ is in `differences.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import h11

ACCEPTED, REFUSED, INCOMPLETE = "accepted", "refused", "incomplete"
UNLIMITED_BYTES = 1 << 30


@dataclass(frozen=True)
class Reading:
    """h11's reading of one message at the beginning of `raw`.

    verdict: ACCEPTED, REFUSED or INCOMPLETE. used: how many bytes the message has (ACCEPTED).
    head: the head with its last empty line, once h11 has taken it whole; request: what h11 made of it.
    body: content so far. chunked: is the body framed by chunks. tail: bytes that h11 waits for the rest of;
    in_trailer: they follow the last chunk. error: why it was refused.
    """

    verdict: str
    raw: bytes
    used: int
    head: bytes = b""
    request: h11.Request | None = None
    body: bytes = b""
    tail: bytes = b""
    in_trailer: bool = False
    error: str = ""

    @property
    def content(self) -> bytes:
        """The body as it was framed, chunk lines and trailer included, as far as h11 has read it."""
        return self.raw[len(self.head) : self.used] if self.request else b""

    def values(self, name: bytes) -> list[bytes]:
        """The values of a field, in lower case, as h11 gives them."""
        return [] if self.request is None else [v.lower() for n, v in self.request.headers if n == name]

    def options(self, name: bytes) -> set[bytes]:
        """The elements of a field that is a comma-separated list."""
        listed = {part.strip(b" \t") for value in self.values(name) for part in value.split(b",")}
        return listed - {b""}

    @property
    def chunked(self) -> bool:
        """Whether the body is framed by chunks."""
        return bool(self.values(b"transfer-encoding"))

    def persists(self, options: set[bytes]) -> bool:
        """Whether the connection goes on after this message, with these connection options (RFC 9112 §9.3)."""
        assert self.request is not None
        return b"close" not in options and (self.request.http_version == b"1.1" or b"keep-alive" in options)


def read(raw: bytes) -> Reading:
    """h11's reading of the first message in `raw`."""
    connection = h11.Connection(h11.SERVER, UNLIMITED_BYTES)
    if raw:  # no bytes would mean the end of the stream
        connection.receive_data(raw)
    head, request, body, chunks_end, used = b"", None, bytearray(), 0, 0
    try:
        while True:
            event = connection.next_event()
            used = len(raw) - len(connection.trailing_data[0])
            if isinstance(event, h11.Request):
                request, head, chunks_end = event, raw[:used], used
            elif isinstance(event, h11.Data):
                body += event.data
                chunks_end = used + 2 if event.chunk_end else chunks_end
            elif isinstance(event, h11.EndOfMessage):
                return Reading(ACCEPTED, raw, used, head, request, bytes(body))
            else:
                assert event is h11.NEED_DATA, event
                in_trailer = request is not None and bool(raw[used:]) and used > chunks_end
                return Reading(INCOMPLETE, raw, used, head, request, bytes(body), raw[used:], in_trailer)
    except h11.RemoteProtocolError as error:
        return Reading(REFUSED, raw, used, head, request, bytes(body), raw[used:], error=str(error))
