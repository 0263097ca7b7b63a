"""What wsproto makes of a client's bytes, and what our codec makes of them, in the same words.

Where the two differ on purpose is said here, and nowhere else:

- We judge a header's first two bytes as soon as they are there, wsproto with its length; whether a frame may come where
  it comes it judges when its payload does. So the code may be another one where that is corrupt besides (ORDER).
- wsproto has no bounds. Ours are set out of reach, but for that of empty fragments (BOUNDS).
- Close code 1014 is registered at IANA, later than wsproto.
- Python's decoder of UTF-8, wsproto's, takes the first two bytes of a surrogate, and refuses the third: mended in
  `_Early`.
- After a control frame wsproto takes the fragments that follow as not compressed: mended in `_Mended`.
- Where a client has ended its deflate stream (RFC 7692 §7.2.3.5), wsproto hears nothing more: it is no oracle for that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import (
    CloseReason,
    Frame,
    FrameDecoder,
    FrameProtocol,
    MessageDecoder,
    Opcode,
    ParseFailed,
    RsvBits,
)

from swhttp.reactor import wsprobe
from swhttp.reactor.wsdeflate import Deflation

ORDER = ("ws-nothing-to-continue", "ws-message-not-ended")
BOUNDS = ("ws-too-many-empty-fragments",)
NO_LIMIT = (1 << 64) - 1
LATER_CODE = 1014
UNKNOWN_CODE = "CLOSE with unknown reserved code"
PROTOCOL_ERROR = 1002
SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")
TEXT, BINARY = 1, 2


@dataclass
class Outcome:
    """What a stream came to. `whole`: messages and control frames in order; `partial`: bytes of the one under way.

    `held`: bytes of a character that is not whole, which wsproto keeps to itself.
    `verdict`: "open", "closed", or the code to fail the connection with; `why`: ours, or wsproto's words.
    """

    whole: list[tuple[str, int, bytes]] = field(default_factory=list)
    partial: bytes = b""
    held: bytes = b""
    verdict: str | int = "open"
    why: str = ""


class _Mended(PerMessageDeflate):
    ended = False

    def frame_inbound_header(self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits,
                             payload_length: int) -> CloseReason | RsvBits:
        around = self._inbound_compressed
        found = super().frame_inbound_header(proto, opcode, rsv, payload_length)
        if opcode.iscontrol():
            self._inbound_compressed = around  # it says nothing about the message around it
        return found

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        if not self._inbound_is_compressible:
            return None
        unpacker = self._decompressor if self._inbound_compressed else None
        found = super().frame_inbound_complete(proto, fin)
        self.ended = self.ended or (unpacker is not None and unpacker.eof)
        return found


class _Early(MessageDecoder):
    def process_frame(self, frame: Frame) -> Frame:
        found = super().process_frame(frame)
        if self.decoder is not None and SURROGATE.fullmatch(self.decoder.getstate()[0]):
            raise ParseFailed("a surrogate", CloseReason.INVALID_FRAME_PAYLOAD_DATA)
        return found


@dataclass(frozen=True)
class Agreed:
    """Parameters of permessage-deflate, as `Deflation` takes them."""

    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False

    def ours(self) -> Deflation:
        """The codec's."""
        return Deflation(self.server_max_window_bits, self.client_max_window_bits, self.server_no_context_takeover,
                         self.client_no_context_takeover)

    def extension(self) -> PerMessageDeflate:
        """wsproto's, for either side."""
        extension = _Mended(self.client_no_context_takeover, self.client_max_window_bits,
                            self.server_no_context_takeover, self.server_max_window_bits)
        extension._enabled = True  # as after a handshake
        return extension


def ours(pieces: list[bytes], agreed: Agreed | None = None) -> Outcome:
    """What our decoder makes of these pieces."""
    decoder = wsprobe.Decoder(max_message_bytes=NO_LIMIT, deflation=agreed.ours() if agreed else None)
    outcome = Outcome()
    message = bytearray()
    under_way = False
    for event in (event for piece in pieces for event in decoder.feed(piece)):
        assert outcome.verdict == "open", "something comes after the end"
        if isinstance(event, wsprobe.Data):
            assert event.first is not under_way, "pieces of messages do not follow one another"
            message += event.data
            under_way = not event.last
            if event.last:
                outcome.whole.append(("message", event.opcode, bytes(message)))
                message.clear()
        elif isinstance(event, wsprobe.Close):
            outcome.whole.append(("close", event.code, event.reason))
            outcome.verdict = "closed"
        elif isinstance(event, wsprobe.Bad):
            outcome.verdict, outcome.why = event.code, event.why
        else:
            outcome.whole.append((type(event).__name__.lower(), 0, event.data))
    outcome.partial = bytes(message)
    return outcome


def wsprotos(data: bytes, agreed: Agreed | None = None, *, client: bool = False) -> Outcome | None:
    """What wsproto makes of it, as a server or as a client. None: it is no oracle for this."""
    extension = agreed.extension() if agreed else None
    peer = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER, [extension] if extension else [])
    peer._proto._message_decoder = _Early()
    outcome = Outcome()
    message = bytearray()
    peer.receive_data(data)
    for event in peer.events():
        if isinstance(event, TextMessage | BytesMessage):
            message += event.data.encode() if isinstance(event.data, str) else event.data
            if event.message_finished:
                outcome.whole.append(("message", TEXT if isinstance(event, TextMessage) else BINARY, bytes(message)))
                message.clear()
        elif isinstance(event, Ping | Pong):
            outcome.whole.append((type(event).__name__.lower(), 0, bytes(event.payload)))
        elif isinstance(event, CloseConnection):
            if peer.state is ConnectionState.OPEN:  # it is no frame: wsproto says so what it refuses
                outcome.verdict, outcome.why = int(event.code), event.reason or ""
            else:
                outcome.whole.append(("close", int(event.code), (event.reason or "").encode()))
                outcome.verdict = "closed"
            break
    outcome.partial = bytes(message)
    characters = peer._proto._message_decoder.decoder
    if characters is not None:
        outcome.held = characters.getstate()[0]
    if isinstance(extension, _Mended):
        unpacker = extension._decompressor
        if extension.ended or (unpacker is not None and unpacker.eof):
            return None
    return outcome


def difference(data: bytes, pieces: list[bytes], agreed: Agreed | None = None) -> str:
    """Where our decoder, given `data` in pieces, differs from wsproto and ought not to; "": nowhere."""
    mine, theirs = ours(pieces, agreed), wsprotos(data, agreed)
    if theirs is None or mine.why in BOUNDS:
        return ""
    if mine.verdict == PROTOCOL_ERROR and theirs.verdict == "open":
        theirs = wsprotos(data + bytes(16), agreed)  # it has not judged the header
    if theirs is None:
        return ""
    if mine.why in ORDER:
        return "" if isinstance(theirs.verdict, int) and mine.whole == theirs.whole else f"{mine} {theirs}"
    if theirs.why == UNKNOWN_CODE:
        closed = mine.verdict == "closed" and mine.whole.pop()[1] == LATER_CODE
        closed = closed or mine.why in ("ws-bad-close-code", "ws-bad-close-reason")
        return "" if closed and mine.whole == theirs.whole else f"{mine} {theirs}"
    same = mine.verdict == theirs.verdict and mine.whole == theirs.whole
    if same and mine.verdict == "open":
        same = mine.partial == theirs.partial + theirs.held
    return "" if same else f"{mine} {theirs}"
