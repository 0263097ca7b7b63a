"""Opening handshakes of WebSockets: which are good, and what is answered (RFC 6455 §4.2, RFC 7692 §7.1).

It owns the decision and the text of the 101. wsproto makes both; what RFC 6455 asks and wsproto does not look at is
looked at before: that the key and the version stand there once, that the key is 16 bytes, that lists are lists of
tokens. It never sees a socket, and never chooses a subprotocol or looks at Origin: these are the app's.

Contract: called in a reactor's phase 2, with the GIL, for a GET over HTTP/1.1 whose Host is good, whose Connection has
`upgrade` and whose Upgrade has `websocket`; names are in lower case. It does not raise, whatever a client sends, and
takes about 60 us. What may be long in it is bounded by limits.MAX_WS_LIST_BYTES, for wsproto is Python and we have the
GIL. wsproto gets a head of our making with what it needs: fed with the whole request, an h11 client would first write
it, and that alone takes 30 us; and its own idea of Upgrade and Host is narrower than HTTP's.

**Compression.** The first offer of permessage-deflate that we can do is taken; one that has a parameter which is
unknown, twice there or out of range is passed over, and without any good one there is no compression (RFC 7692 §7.1).
Context takeover is as the client wants it. Windows are of 2^12 bytes where RFC 7692 lets us have our way: always for
what we compress (§7.1.2.1), for what the client compresses when it offers client_max_window_bits (§7.1.2.2). With 2^15
a compressor takes 256 KiB and a decompressor 40 KiB of each connection, while it is idle too; with 2^12 these are 32
and 11. Messages are mostly shorter than 4 KiB, and then a larger window gains nothing but what older messages give.
A client may demand 2^8, which zlib has no raw compressor for. It is granted: what compresses (wsdeflate.pyx) then
refers to nothing but the byte before.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection
from wsproto.extensions import PerMessageDeflate
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from swhttp import limits

WINDOW_BITS: Final = 12
"""Of either direction, where the client leaves it to us."""

_HEAD: Final = (b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: ")
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
# RFC 9110 §5.6: tokens, and lists of them, in which an element may be empty. Possessive: each byte is looked at once.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_SUBPROTOCOLS: Final = re.compile(rb"(?:[ \t,]*+%b[ \t]*+(?:,|\Z))++[ \t,]*+" % _TOKEN)
# RFC 6455 §9.1: extension-list = 1#( token *( ";" token [ "=" ( token / quoted-string ) ] ) ), and what is quoted is a
# token too. So a comma is always the end of an offer, as wsproto takes it.
_QUOTED: Final = rb"\"(?:\\?+[!#$%&'*+.^_`|~0-9A-Za-z-])++\""
_PARAMETER: Final = rb";[ \t]*+%b[ \t]*+(?:=[ \t]*+(?:%b|%b)[ \t]*+)?+" % (_TOKEN, _TOKEN, _QUOTED)
_EXTENSIONS: Final = re.compile(rb"(?:[ \t,]*+%b[ \t]*+(?:%b)*+(?:,|\Z))++[ \t,]*+" % (_TOKEN, _PARAMETER))
_BITS: Final = {str(bits): bits for bits in range(8, 16)}


class Deflate(NamedTuple):
    """What is agreed on compression. Of the server is what we compress, of the client what we decompress."""

    server_max_window_bits: int
    client_max_window_bits: int
    server_no_context_takeover: bool
    client_no_context_takeover: bool


class Accepted(NamedTuple):
    """`head`: the answer up to its empty line, which is still to come; `deflate`: None: nothing is compressed."""

    head: bytes
    deflate: Deflate | None


class Refused(NamedTuple):
    """`reason`: the slug of a row of reasons.h, which has the status."""

    reason: str


Verdict = Accepted | Refused

BAD_VERSION: Final = Refused("ws-bad-version")
BAD_KEY: Final = Refused("ws-bad-key")
MANY_KEYS: Final = Refused("ws-many-keys")
BAD_SUBPROTOCOL: Final = Refused("ws-bad-subprotocol")
BAD_EXTENSION: Final = Refused("ws-bad-extension")
BAD_HANDSHAKE: Final = Refused("ws-bad-handshake")
REFUSALS: Final = (BAD_VERSION, BAD_KEY, MANY_KEYS, BAD_SUBPROTOCOL, BAD_EXTENSION, BAD_HANDSHAKE)
"""All there are."""


def negotiate(headers: list[tuple[bytes, bytes]], *, deflate: bool) -> Verdict:
    """Whether the handshake with these fields is good, and what is answered. headers: names in lower case, other fields
    than sec-websocket-* do not matter; deflate: whether we compress at all."""
    versions = []
    keys = []
    subprotocols = []
    offers = []
    for name, value in headers:
        value = value.strip(b" \t")
        if name == b"sec-websocket-version":
            versions.append(value)
        elif name == b"sec-websocket-key":
            keys.append(value)
        elif name == b"sec-websocket-protocol":
            subprotocols.append(value)
        elif name == b"sec-websocket-extensions":
            offers.append(value)
    if versions != [b"13"]:  # a client that speaks another one learns of it even when its key is of that one's kind
        return BAD_VERSION
    if len(keys) > 1:
        return MANY_KEYS
    if not keys or not _KEY.fullmatch(keys[0]):
        return BAD_KEY
    head = _HEAD + keys[0]
    if subprotocols:
        listed = b",".join(subprotocols)
        if len(listed) > limits.MAX_WS_LIST_BYTES or not _SUBPROTOCOLS.fullmatch(listed):
            return BAD_SUBPROTOCOL
        head += b"\r\nsec-websocket-protocol: " + listed
    if offers:
        listed = b",".join(offers)
        if len(listed) > limits.MAX_WS_LIST_BYTES or not _EXTENSIONS.fullmatch(listed):
            return BAD_EXTENSION
        head += b"\r\nsec-websocket-extensions: " + listed
    shaker = H11Handshake(ConnectionType.SERVER)
    extension = _Deflate()
    try:
        shaker.receive_data(head + b"\r\n\r\n")
        (_request,) = shaker.events()
    except RemoteProtocolError:  # a wsproto that is stricter than the one we know
        return BAD_HANDSHAKE
    answer = shaker.send(AcceptConnection(extensions=[extension] if deflate and offers else []))
    return Accepted(answer[:-2], extension.agreed)


class _Deflate(PerMessageDeflate):
    """wsproto asks it about one offer after the other. With its own `accept` the last good offer would count, window
    bits that a client leaves to us would be left alone, and parameters would be known by how they begin."""

    def __init__(self) -> None:
        super().__init__()
        self.agreed: Deflate | None = None

    def accept(self, offer: str) -> str | None:
        """The parameters of the answer to this offer, or None."""
        if self.agreed is not None:
            return None
        server_bits = client_bits = None
        flags: set[str] = set()
        answer = []
        for parameter in offer.split(";")[1:]:
            name, equals, value = parameter.partition("=")
            name = name.strip(" \t")
            bits = _BITS.get(value.strip(' \t"').replace("\\", ""))
            if name in flags:
                return None
            flags.add(name)
            if name in ("server_no_context_takeover", "client_no_context_takeover"):
                if equals:
                    return None
                answer.append(name)
            elif name == "server_max_window_bits":
                if bits is None:
                    return None
                server_bits = min(bits, WINDOW_BITS)
            elif name == "client_max_window_bits":
                if equals and bits is None:
                    return None
                client_bits = min(bits or WINDOW_BITS, WINDOW_BITS)
            else:
                return None
        answer.append(f"server_max_window_bits={server_bits or WINDOW_BITS}")
        if client_bits is not None:
            answer.append(f"client_max_window_bits={client_bits}")
        self.agreed = Deflate(server_bits or WINDOW_BITS, client_bits or 15, "server_no_context_takeover" in flags,
                              "client_no_context_takeover" in flags)
        return "; ".join(answer)
