"""What each target begins with: `seeds(target)`. What a fuzzer has found is added here, once it is mended.

    python -m tests.fuzz.seeds TARGET DIRECTORY      writes them there, a file each, named for its content
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path

from swhttp import controlproto
from tests.differential.differences import EARLIER, LATER, LAXER, OPTIONS, STRICTER
from tests.fuzz.frames import Rig, program
from tests.fuzz.websocket import frame
from tests.fuzz.worker import FRAME

CASES = Path(__file__).parent.parent / "conformance" / "h1_cases.json"
MOST_BYTES = 4096  # longer ones are for other tests: a fuzzer is slow with them


def seeds(target: str) -> list[bytes]:
    """The inputs that the target begins with. Raises KeyError."""
    made = {"http": _http, "frames": _frames, "proxy": _proxy, "blocks": _blocks, "control": _control,
            "octets": _octets, "websocket": _websocket}
    return made[target]()


def _requests() -> list[bytes]:
    cases = [base64.b64decode(case["raw_b64"]) for case in json.loads(CASES.read_text())]
    examples = [entry.example for entry in (*STRICTER, *LAXER, *EARLIER, *LATER, *OPTIONS)]
    return [raw for raw in (*cases, *examples) if len(raw) <= MOST_BYTES]


def _http() -> list[bytes]:
    """Every request in another way: stand, order of things, cuts."""
    long_length = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000000000000001\r\n\r\nx"  # it was taken
    requests = [*_requests(), long_length]
    return [bytes((nth * 37 % 256, nth * 101 % 256, nth * 59 % 256)) + raw for nth, raw in enumerate(requests)]


def _frames() -> list[bytes]:
    """Programs in which the worker does what it ought to, or nearly, in each of its ways to answer."""
    last, whole, interim, trailers = 2, 3, 128, 66
    name, small, shm, file, credit = 0, 0, 1, 2, 3
    get, put, streamed, rest, chunked, end, expect = 0, 3, 4, 5, 6, 7, 8
    begin = (Rig.take, Rig.answer, small, 1, 0, 127, name, 0, 5)  # a head, and a first piece
    programs = [
        (Rig.say, 0, get, Rig.take, Rig.answer, small, whole, 0, 5, name, 0, 5, Rig.turn, Rig.read, 0, 255),
        (Rig.say, 0, put, *begin, Rig.answer, small, 0, 0, 0, name, 9, Rig.answer, small, last, 0, 0, name, 9,
         Rig.turn),
        (Rig.say, 0, get, *begin, Rig.answer, shm, last, 0, 0, name, 100, 0, Rig.turn, Rig.read, 0, 255, Rig.turn),
        (Rig.say, 0, get, Rig.take, Rig.answer, shm, whole, 0, 138, 0, name, 0, 138, 0, 4, Rig.turn, Rig.read, 0, 255),
        (Rig.say, 0, get, Rig.take, Rig.pass_file, 0, name, 9, Rig.answer, file, whole, 0, 100, name, 0, 0, 100, 1,
         Rig.turn, Rig.read, 0, 255, Rig.turn),
        (Rig.say, 0, get, Rig.take, Rig.pass_file, 0, name, 17, Rig.answer, file, 1, 0, 145, 0, name, 0, 0, 145, 0, 1,
         Rig.turn, Rig.answer, file, last, 0, 0, name, 0, 50, 0, Rig.read, 0, 255, Rig.turn),
        (Rig.say, 0, get, Rig.take, Rig.answer, small, interim, 3, 0, name, 0, 0, Rig.answer, small, whole, 0, 5, name,
         0, 5, Rig.turn),
        (Rig.say, 0, get, *begin, Rig.answer, small, trailers, 0, 0, name, 0, 0, Rig.turn, Rig.read, 0, 255),
        (Rig.say, 0, streamed, Rig.take, Rig.answer, credit, 0, 0, 144, 0, name, Rig.say, 0, rest, Rig.take, Rig.answer,
         small, whole, 0, 5, name, 0, 5, Rig.turn, Rig.read, 0, 255),
        (Rig.say, 0, chunked, Rig.take, Rig.answer, credit, 0, 0, 144, 0, name, Rig.say, 0, end, Rig.take, Rig.answer,
         small, whole, 0, 5, name, 0, 5, Rig.turn),
        (Rig.say, 0, streamed, Rig.take, Rig.answer, small, whole, 0, 5, name, 0, 5, Rig.say, 0, rest, Rig.turn),
        (Rig.say, 0, expect, Rig.take, Rig.answer, credit, 0, 0, 100, name, Rig.turn, Rig.say, 0, 200, 100),
        (Rig.say, 0, get, Rig.take, Rig.restart, Rig.turn, Rig.take, Rig.restart, Rig.turn),
        (Rig.say, 0, get, *begin, Rig.leave, 0, 0, Rig.turn, Rig.answer, small, last, 0, 0, name, 9, Rig.turn),
        (Rig.say, 0, get, Rig.say, 1, put, Rig.say, 2, 9, Rig.take, Rig.answer, small, whole, 0, 5, 1, 0, 5,
         Rig.answer, small, whole, 0, 5, 0, 0, 5, Rig.answer, small, 7, 4, 5, 2, 0, 5, Rig.turn),
        (Rig.say, 0, get, Rig.take, Rig.babble, 4, *bytes(40), 1, Rig.turn, Rig.restart),
        (Rig.say, 0, get, Rig.take, Rig.scribble_words, 1, 255, *bytes(8), Rig.turn),
        (Rig.say, 0, get, Rig.scribble_table, 0, *bytes(8), Rig.turn, Rig.take, Rig.restart),
    ]
    return [program(*parts) for parts in programs]


def _proxy() -> list[bytes]:
    """Right headers of both versions and right fields, each in each place."""
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    v4 = bytes((192, 0, 2, 1, 192, 0, 2, 2)) + b"\x12\x67\x00\x50"
    v6 = bytes(15) + b"\1" + bytes(15) + b"\2" + b"\x12\x67\x00\x50"
    tls = b"\x20\x00\x05\x01\0\0\0\0"
    headers = [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n",
        b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n",
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ff ff 1 1\r\n",
        signature + b"\x21\x11\x00\x0c" + v4,
        signature + b"\x21\x11\x00\x14" + v4 + tls,
        signature + b"\x21\x21\x00\x24" + v6,
        signature + b"\x21\x11\x00\x13" + v4 + b"\x03\x00\x04\0\0\0\0",
        signature + b"\x20\x00\x00\x00",
        signature + b"\x21\x31\x00\xd8" + bytes(216),
    ]
    fields = [
        b"\x00192.0.2.1, 198.51.100.7\n\x01https\n\x02a.example:443\n\x03443",
        b'\x04for="[2001:db8::1]:4711";proto=https;host=a.example, for=192.0.2.1;by=_x',
        b"\x04for=unknown;host=\"a\\\"b\"\n\x04for=192.0.2.7:80",
        b"\x06192.0.2.1\n\x05on\n\x00::ffff:192.0.2.1",
    ]
    request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n\r\n"
    other = (b"GET /b HTTP/1.1\r\nHost: a\r\nForwarded: for=192.0.2.9;proto=https;host=b:1\r\n"
             b"Connection: close\r\n\r\n")
    alone = [bytes((0, 0)) + header for header in headers]
    said = [bytes((1, nth)) + field for nth, field in enumerate(fields)]
    whole = [bytes((2, 60 * (nth % 4))) + header + request + other for nth, header in enumerate(headers)]
    # What is written for the logs of a refused head was put where the body before it had ended.
    long = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + bytes(3000)
    refused = b"\x02\x81" + long + other.replace(b"Host:", b"Hos\xff:")
    # Its body is streamed, and does not end.
    begun = b"\x02\x81POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 92460\r\n\r\n" + bytes(76)
    return [*alone, *said, *whole, b"\x02\x81" + request + other, refused, begun]


def _blocks() -> list[bytes]:
    """Requests to lay out, and a block as it is."""
    numbers = (3, 1, 67, 1, 0, 0, 68, 9, 77, 2)
    block = b"".join(number.to_bytes(4, "little") for number in numbers) + b"\1\0\1\1" + bytes(20) \
        + b"GET/" + b"\4\0\1\0hosta" + b"ok"
    texts = [b"GET\n/a?b=c\nhost:a\ncookie:a=b\nx_a:1\nproxy:x", b"POST\n/%41%zz\ncontent-type:a\ncontent-length:2",
             b"A" * 30 + b"\n/" + b"b" * 300 + b"\n" + b"n" * 280 + b":" + b"v" * 300]
    return [b"\0\0" + block, b"\0\3" + block, *(b"\1" + text for text in texts), *(b"\3" + text for text in texts)]


def _control() -> list[bytes]:
    """Messages that are, and some that are none."""
    asked = [controlproto.encode(message) for message in ({"verb": "status"}, {"verb": "scale", "workers": 4})]
    stream = b"".join(asked) + controlproto.framed(b"[1]") + controlproto.framed(b'{"a": "\\ud800"}')
    packets = [b'{"kind": "ready", "slot": 1}', b"[]", b'{"kind": 1}', b"\xff", b"[" * 200]
    return [b"\0" + stream, b"\x99" + stream, b"\1" + b"".join(bytes([len(p)]) + p for p in packets),
            b"\2Traceback\n" + b"\xe4\xff" * 100, b"\2" + b'"\\' * 900]


def _octets() -> list[bytes]:
    """For tests/fuzz/octets.c: frames in a ring, blocks that are named, texts."""
    small = FRAME.pack(48, 1, 3, 200, 0x10000, 2, 8, 2) + b"HTTP/1.1ok".ljust(16, b"\0")
    shm = FRAME.pack(48, 2, 3, 200, 0x10000, 9, 8, 4096) + b"HTTP/1.1" + bytes(8)
    wrap = small * 5 + b"\xff\xff\xff\xff".ljust(16, b"\0")
    texts = [b"a.example:80", b"[::1]:80", b"/a%20b?c", b"192.0.2.1", b"2001:db8::1", b"a, b ,, c",
             b"0000000000000000017", b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT",
             b"Sun Nov  6 08:49:37 1994", b"content-type", b'"\\\x1b[31m\xff\r\n plain text of some length']
    return [b"\0\0" + (small + shm).ljust(256, b"\0") + b"\x30\x30", b"\0\0" + wrap + b"\x30\xc0\x10\x30",
            b"\1\0" + bytes((1, 0, 0, 1, 0, 16, 0, 0)) * 3, *(b"\2\0" + text for text in texts),
            *(bytes((3 + 4 * (nth & 1), 16)) + text for nth, text in enumerate(texts))]


def _websocket() -> list[bytes]:
    """Streams of frames, and programs of them, right ones and each way to be wrong."""
    text, binary, close, ping, rest, more = 0x81, 0x82, 0x88, 0x89, 0x80, 0x01
    packed = 3  # and flushed
    hello = "h\u00e4llo \u20ac \U0001f600".encode()
    programs = [
        [(text, 0, hello), (ping, 0, b"ping"), (binary, 0, bytes(100)), (close, 0, b"\x03\xe8bye")],
        [(more, 0, hello[:2]), (ping, 0, b""), (0, 0, hello[2:9]), (0, 0, b""), (rest, 0, hello[9:])],
        [(0xc1, packed, b"hello hello hello"), (0xc1, packed, b"hello again"), (0xc2, packed, b""),
         (text, 0, b"plain")],
        [(0x41, 1, b"hello"), (0x8a, 0, b"pong"), (0, 1, b"hello"), (rest, packed, b"hello"), (text, 0, b"plain")],
        [(0xc2, packed | 32, bytes(200)), (0xc2, 0, b"\xff\xff\xff")],
        [(text, 0, b"\xed\xa0\x80")], [(text, 0, hello[:-1])], [(rest, 0, b"x")], [(more, 0, b"x"), (text, 0, b"y")],
        [(0x09, 0, b"")], [(ping, 8, b"")], [(ping, 32, b"x")], [(text, 4, b"x")], [(0x83, 0, b"")], [(0x91, 0, b"")],
        [(text, 8, b"x")], [(text, 16, b"x")], [(close, 0, b"x")], [(close, 0, b"\x03\xed")],
        [(close, 0, b"\x03\xe8\xff")], [(close, 0, b"")], [(close, 0, b"\x03\xf6")], [(0xc9, 0, b"")], [(0xc0, 0, b"")],
    ]
    written = [b"".join(bytes((first, what, len(payload))) + payload for first, what, payload in program)
               for program in programs]
    streams = [b"".join(frame(first, payload) for first, what, payload in program) for program in programs]
    huge = b"\x82\xff" + b"\xff" * 8 + b"keyk"
    return [*(bytes((nth * 5 % 4 + 4 + 8 * (nth & 1), nth, nth * 101 % 256, nth * 59 % 256)) + program
              for nth, program in enumerate(written * 2)),
            *(bytes((nth * 3 % 4 + 8 * (nth & 1), nth, nth * 101 % 256, nth * 59 % 256)) + stream
              for nth, stream in enumerate(streams)), b"\0\0\x80\x90" + huge]


def main(target: str, directory: str) -> None:
    """Write the seeds of `target`."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (Path(directory) / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


if __name__ == "__main__":
    main(*sys.argv[1:])
