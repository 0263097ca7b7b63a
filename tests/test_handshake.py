"""Which opening handshakes are good, and what is answered: the decision by itself, without any socket."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.protocol import State
from websockets.uri import parse_uri
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, Request
from wsproto.extensions import PerMessageDeflate
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from swhttp import limits
from swhttp.reactor import handshake
from swhttp.reactor.handshake import Accepted, Deflate, Refused, Verdict, negotiate
from tests.support.server import TESTS

KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"sec-websocket-version", b"13")
UPGRADE = [(b"host", b"localhost"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
GOOD = [*UPGRADE, KEY, VERSION]
HEAD = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")


def offered(*values: str) -> list[tuple[bytes, bytes]]:
    """A handshake with these fields Sec-WebSocket-Extensions."""
    return GOOD + [(b"sec-websocket-extensions", value.encode("latin-1")) for value in values]


def extension(verdict: Verdict) -> str | None:
    """What is answered on extensions."""
    assert isinstance(verdict, Accepted)
    found = re.search(rb"\r\nSec-WebSocket-Extensions: (.*)\r\n", verdict.head)
    return found[1].decode() if found else None


# Key, version, subprotocols


def test_the_handshake_of_rfc_6455() -> None:
    assert negotiate(GOOD, deflate=True) == Accepted(HEAD, None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([KEY], "ws-bad-version"),
        ([KEY, VERSION, VERSION], "ws-bad-version"),
        ([(b"sec-websocket-key", b""), (b"sec-websocket-version", b"8")], "ws-bad-version"),
        *(([KEY, (b"sec-websocket-version", value)], "ws-bad-version")
          for value in (b"", b"8", b"777", b"013", b"13, 8", b"13,13", b"+13", b"\xb113", b"13;a")),
        ([VERSION], "ws-bad-key"),
        ([KEY, KEY, VERSION], "ws-many-keys"),
        *(([(b"sec-websocket-key", value), VERSION], "ws-bad-key")
          for value in (b"", base64.b64encode(bytes(15)), base64.b64encode(bytes(17)), b"dGhlIHNhbXBsZSBub25jZQ",
                        b"dGhlIHNhbXBsZSBub25jZQ=", b"dGhlIHNhbXBs ZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25j_Q==",
                        b"dGhlIHNhbXBsZSBub25jZQ==\xe4", b"dGhlIHNhbXBsZSBub25jZQ==, a", b"=" * 24)),
        *(([KEY, VERSION, (b"sec-websocket-protocol", value)], "ws-bad-subprotocol")
          for value in (b"caf\xc3\xa9", b"", b",", b"a b", b"a, b c", b'"a"', b"a;b", b"a\tb", b"a/b", b"a, \xff")),
        *(([KEY, VERSION, (b"sec-websocket-extensions", value)], "ws-bad-extension")
          for value in (b"", b",", b";a", b"a b", b"a;", b"a; b=", b"a; =b", b"a; b=c d", b'a; b="c d"', b'a; b="c',
                        b'a; b="c, d"', b'a; b=""', b"a; b; ;c", b"caf\xc3\xa9", b'"a"', b"a=b", b'a; b="\\"')),
    ],
)
def test_a_bad_handshake_is_refused_by_its_reason(fields: list[tuple[bytes, bytes]], reason: str) -> None:
    for deflate in (True, False):
        assert negotiate(UPGRADE + fields, deflate=deflate) == Refused(reason)


def test_every_refusal_has_its_row() -> None:
    slugs = re.findall(r'X\(WS_\w+, \d+, "[^"]+", "([\w-]+)"\)',
                       (TESTS.parent / "swhttp/reactor/reasons.h").read_text("utf-8"))
    assert sorted([*(refused.reason for refused in handshake.REFUSALS), "ws-not-get"]) == sorted(slugs)


def test_a_wsproto_that_is_stricter_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: H11Handshake, data: bytes | None) -> None:
        raise RemoteProtocolError("no")

    monkeypatch.setattr(H11Handshake, "receive_data", refuse)
    assert negotiate(GOOD, deflate=True) == Refused("ws-bad-handshake")


@pytest.mark.parametrize(
    "values", [[b"chat"], [b"chat, superchat"], [b"chat", b"superchat,v1.json"], [b" ,chat,\t, b ,"], [b"", b"chat"]])
def test_subprotocols_are_for_the_app_to_choose_from(values: list[bytes]) -> None:
    fields = [(b"sec-websocket-protocol", value) for value in values]
    assert negotiate(GOOD + fields, deflate=True) == Accepted(HEAD, None)


def test_lists_have_a_bound() -> None:
    for name, reason in ((b"sec-websocket-protocol", "ws-bad-subprotocol"),
                         (b"sec-websocket-extensions", "ws-bad-extension")):
        most = b"a" * limits.MAX_WS_LIST_BYTES
        assert isinstance(negotiate([*GOOD, (name, most)], deflate=True), Accepted)
        assert negotiate([*GOOD, (name, most + b"a")], deflate=True) == Refused(reason)
        assert negotiate([*GOOD, (name, most), (name, b"a")], deflate=True) == Refused(reason)


def test_space_around_values_is_none_of_theirs() -> None:
    fields = [(name, b" \t" + value + b"\t ") for name, value in GOOD]
    assert negotiate(fields, deflate=True) == Accepted(HEAD, None)


@given(st.lists(st.tuples(
    st.sampled_from([b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol",
                     b"sec-websocket-extensions", b"sec-websocket-accept", b"upgrade", b"host"]),
    st.one_of(st.sampled_from([KEY[1], b"13", b"chat", b"permessage-deflate"]), st.binary(max_size=40).map(
        lambda value: bytes(byte for byte in value if byte in b"\t" or 32 <= byte != 127))))), st.booleans())
def test_whatever_fields_say_there_is_a_verdict(fields: list[tuple[bytes, bytes]], good: bool) -> None:
    verdict = negotiate(fields + (GOOD if good else []), deflate=True)
    assert isinstance(verdict, Refused) or verdict.head.count(b"\r\n") in (4, 5)


# Compression


@pytest.mark.parametrize(
    ("values", "answer", "agreed"),
    [
        (["permessage-deflate"], "server_max_window_bits=12", Deflate(12, 15, False, False)),
        (["permessage-deflate; client_max_window_bits"],
         "server_max_window_bits=12; client_max_window_bits=12", Deflate(12, 12, False, False)),
        (["permessage-deflate; client_max_window_bits=15"],
         "server_max_window_bits=12; client_max_window_bits=12", Deflate(12, 12, False, False)),
        (["permessage-deflate;client_max_window_bits=8;server_max_window_bits=8"],
         "server_max_window_bits=8; client_max_window_bits=8", Deflate(8, 8, False, False)),
        (["permessage-deflate; server_max_window_bits=15"], "server_max_window_bits=12", Deflate(12, 15, False, False)),
        (['permessage-deflate; server_max_window_bits="1\\0"'],
         "server_max_window_bits=10", Deflate(10, 15, False, False)),
        (["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
         "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
         Deflate(12, 15, True, True)),
        (["x-webkit-deflate-frame, permessage-deflate; server_max_window_bits = 9"],
         "server_max_window_bits=9", Deflate(9, 15, False, False)),
        (["permessage-deflate; server_no_context_takeover, permessage-deflate; client_no_context_takeover"],
         "server_no_context_takeover; server_max_window_bits=12", Deflate(12, 15, True, False)),
        (["permessage-deflate; mystery", "permessage-bzip2; a=1,permessage-deflate; client_no_context_takeover"],
         "client_no_context_takeover; server_max_window_bits=12", Deflate(12, 15, False, True)),
        (["permessage-deflate; client_no_context_takeover; mystery, permessage-deflate"],
         "server_max_window_bits=12", Deflate(12, 15, False, False)),
    ],
)
def test_the_first_good_offer_is_taken(values: list[str], answer: str, agreed: Deflate) -> None:
    verdict = negotiate(offered(*values), deflate=True)
    assert extension(verdict) == f"permessage-deflate; {answer}"
    assert verdict == Accepted(verdict[0], agreed)


@pytest.mark.parametrize(
    "parameters",
    [
        "mystery", "server_max_window_bits", "server_max_window_bits=7", "server_max_window_bits=16",
        "server_max_window_bits=08", "server_max_window_bits=ten", "client_max_window_bits=0",
        "client_max_window_bits=99999999999999999999", "client_max_window_bitsy=10",
        "server_no_context_takeover=1", "client_no_context_takeover=true", "client_no_context_takeover_too",
        "server_no_context_takeover; server_no_context_takeover", "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits=10; server_max_window_bits=10", "Server_Max_Window_Bits=10",
    ],
)
def test_a_bad_offer_is_passed_over(parameters: str) -> None:
    assert negotiate(offered(f"permessage-deflate; {parameters}"), deflate=True) == Accepted(HEAD, None)


def test_without_compression_no_offer_is_taken() -> None:
    assert negotiate(offered("permessage-deflate"), deflate=False) == Accepted(HEAD, None)


BITS = st.integers(9, 15)


@given(BITS, BITS, st.booleans(), st.booleans())
def test_wsprotos_client_agrees(server: int, client: int, server_alone: bool, client_alone: bool) -> None:
    theirs = PerMessageDeflate(client_no_context_takeover=client_alone, client_max_window_bits=client,
                               server_no_context_takeover=server_alone, server_max_window_bits=server)
    shaker = H11Handshake(ConnectionType.CLIENT)
    sent = shaker.send(Request(host="localhost", target="/", extensions=[theirs], subprotocols=["chat"]))
    verdict = negotiate(fields_of(sent), deflate=True)
    assert isinstance(verdict, Accepted)
    shaker.receive_data(verdict.head + b"sec-websocket-protocol: chat\r\n\r\n")
    (event,) = shaker.events()
    assert isinstance(event, AcceptConnection)
    assert event.subprotocol == "chat"
    assert verdict.deflate == Deflate(min(server, 12), min(client, 12), server_alone, client_alone) == (
        theirs.server_max_window_bits, theirs.client_max_window_bits,
        theirs.server_no_context_takeover, theirs.client_no_context_takeover)


@given(st.none() | st.integers(8, 15), st.none() | st.just(True) | BITS, st.booleans(), st.booleans())
def test_the_client_of_websockets_agrees(
    server: int | None, client: int | bool | None, server_alone: bool, client_alone: bool
) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=server_alone, client_no_context_takeover=client_alone,
        server_max_window_bits=server, client_max_window_bits=client)
    protocol = ClientProtocol(parse_uri("ws://localhost/"), extensions=[factory])
    protocol.send_request(protocol.connect())
    (sent,) = protocol.data_to_send()
    verdict = negotiate(fields_of(sent), deflate=True)
    assert isinstance(verdict, Accepted)
    protocol.receive_data(verdict.head + b"\r\n")
    assert protocol.handshake_exc is None
    assert protocol.state is State.OPEN
    (theirs,) = protocol.extensions
    assert verdict.deflate == Deflate(
        min(server or 15, 12), 15 if client is None else 12 if client is True else min(client, 12),
        server_alone, client_alone)
    assert verdict.deflate == (
        theirs.remote_max_window_bits, theirs.local_max_window_bits,
        theirs.remote_no_context_takeover, theirs.local_no_context_takeover)


def fields_of(sent: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a request, as the reactor has them."""
    lines = sent.decode("ascii").rstrip("\r\n").split("\r\n")[1:]
    return [(name.lower().encode(), value.strip().encode()) for name, _, value in
            (line.partition(":") for line in lines)]
