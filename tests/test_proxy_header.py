"""The header of the PROXY protocol, read without a server: every split, every truncation, and any bytes at all."""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swhttp import limits
from swhttp.reactor.proxyprotocol import decode
from tests.support import proxying
from tests.support.proxying import SOURCE, TARGET, tlv, v1, v2, v2_raw

ADDRESSES = struct.pack(">4s4sHH", bytes([192, 0, 2, 7]), bytes([198, 51, 100, 1]), SOURCE[1], TARGET[1])
OVER_TCP4 = {"source": SOURCE, "target": TARGET, "local": False, "tls": False}
OWN = {"source": None, "target": None, "local": False, "tls": False}
LONGEST = limits.MAX_PROXY_HEADER_BYTES - 16

RIGHT = [
    (v1(), OVER_TCP4),
    (v1(("2001:db8::7", 0), ("::1", 65535)), {**OVER_TCP4, "source": ("2001:db8::7", 0), "target": ("::1", 65535)}),
    (v1(("::ffff:192.0.2.7", 1), ("::1", 2)), {**OVER_TCP4, "source": ("192.0.2.7", 1), "target": ("::1", 2)}),
    (b"PROXY UNKNOWN\r\n", OWN),
    (b"PROXY UNKNOWN ffff:f...f:ffff \r 1 2\r\n", OWN),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", OWN),
    (v2(), OVER_TCP4),
    (v2(("2001:db8::7", 1), ("::1", 2)), {**OVER_TCP4, "source": ("2001:db8::7", 1), "target": ("::1", 2)}),
    (v2(("::ffff:192.0.2.7", 1), ("::1", 2)), {**OVER_TCP4, "source": ("192.0.2.7", 1), "target": ("::1", 2)}),
    (v2(tlvs=proxying.tls()), {**OVER_TCP4, "tls": True}),
    (v2(tlvs=proxying.tls(client=6)), OVER_TCP4),
    (v2(tlvs=tlv(0x02, b"example.com") + tlv(0x04) + tlv(0xE0, b"x" * 300)), OVER_TCP4),
    (proxying.with_checksum(v2()), OVER_TCP4),
    (proxying.with_checksum(v2(tlvs=proxying.tls())), {**OVER_TCP4, "tls": True}),
    (v2(tlvs=tlv(0x04, bytes(LONGEST - 15))), OVER_TCP4),
    (v2_raw(proxying.LOCAL, 0, b""), {**OWN, "local": True}),
    (v2_raw(proxying.LOCAL, 0xFF, b"whatever"), {**OWN, "local": True}),
    (v2_raw(proxying.PROXY, 0, b"whatever"), OWN),
    (v2_raw(proxying.PROXY, proxying.UDP4, ADDRESSES + b"whatever"), OWN),
    (v2_raw(proxying.PROXY, 0x10, ADDRESSES), OWN),
    (v2_raw(proxying.PROXY, proxying.UNIX, bytes(216)), OWN),
    (v2_raw(proxying.PROXY, proxying.UNIX, bytes(216) + proxying.tls()), {**OWN, "tls": True}),
]
WRONG = [
    b"GET / HTTP/1.1\r\n",
    b"proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
    b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
    b"PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n",
    b"PROXY TCP4\r\n",
    b"PROXY \r\n",
    b"PROXY\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    b"\r\n\r\n\0\r\nQUIT\r\n",
    v2_raw(0x11, proxying.TCP4, ADDRESSES),
    v2_raw(0x31, proxying.TCP4, ADDRESSES),
    v2_raw(0x22, proxying.TCP4, ADDRESSES),
    v2_raw(proxying.PROXY, 0x41, ADDRESSES),
    v2_raw(proxying.PROXY, 0x13, ADDRESSES),
    v2_raw(proxying.PROXY, proxying.TCP4, ADDRESSES[:-1]),
    v2_raw(proxying.PROXY, proxying.TCP6, ADDRESSES),
    v2_raw(proxying.PROXY, proxying.UNIX, bytes(215)),
    v2(tlvs=b"\x04"),
    v2(tlvs=b"\x04\x00"),
    v2(tlvs=b"\x04\x00\x01"),
    v2(tlvs=tlv(0x04) + b"\x04\xff\xff"),
    v2(tlvs=tlv(0x20, b"\x01\0\0\0")),
    v2(tlvs=tlv(0x03, b"\0\0\0")),
    proxying.with_checksum(v2(), wrong=1),
    proxying.with_checksum(v2(tlvs=tlv(0x03, bytes(4)))),
    proxying.with_checksum(v2(tlvs=proxying.tls()), wrong=0x80000000),
    v2(tlvs=tlv(0x04, bytes(LONGEST - 14))),
]


def growing(data: bytes, mode: str = "auto") -> list[Any]:
    """The verdicts on each beginning of `data`."""
    return [decode(data[:length], mode) for length in range(len(data) + 1)]


@pytest.mark.parametrize(("header", "said"), RIGHT, ids=range(len(RIGHT)))
def test_a_right_header_is_read_when_it_is_whole_and_no_sooner(header: bytes, said: dict[str, Any]) -> None:
    verdicts = growing(header)
    assert verdicts[:-1] == ["more"] * len(header)
    assert verdicts[-1] == {**said, "length": len(header)}
    assert decode(header + b"GET / HTTP/1.1\r\n\r\n") == verdicts[-1]


@pytest.mark.parametrize("data", WRONG, ids=range(len(WRONG)))
def test_a_wrong_header_is_refused_and_stays_refused(data: bytes) -> None:
    verdicts = growing(data)
    first = verdicts.index("bad")
    assert verdicts == ["more"] * first + ["bad"] * (len(verdicts) - first)
    assert decode(data + b"\r\nGET / HTTP/1.1\r\n\r\n") == "bad"


def test_a_version_1_header_that_does_not_end_is_refused_at_its_longest() -> None:
    data = b"PROXY UNKNOWN " + b"x" * 200
    assert growing(data) == ["more"] * 107 + ["bad"] * (len(data) - 106)


@pytest.mark.parametrize(("mode", "good", "bad"), [("v1", v1(), v2()), ("v2", v2(), v1())])
def test_only_the_version_that_is_asked_for_is_taken(mode: str, good: bytes, bad: bytes) -> None:
    assert decode(good, mode) == {**OVER_TCP4, "length": len(good)}
    assert decode(bad[:1], mode) == "bad"


PORTS = st.integers(0, 65535)
TLVS = st.lists(
    st.builds(tlv, st.integers(0x21, 0xFF), st.binary(max_size=40)) | st.just(proxying.tls()), max_size=4
).map(b"".join)


@given(
    addresses=st.one_of(*(st.tuples(st.ip_addresses(v=v), st.ip_addresses(v=v)) for v in (4, 6))),
    ports=st.tuples(PORTS, PORTS), tlvs=TLVS, checked=st.booleans(), rest=st.binary(max_size=20))
def test_what_a_proxy_writes_is_read_back(
    addresses: tuple[Any, Any], ports: tuple[int, int], tlvs: bytes, checked: bool, rest: bytes
) -> None:
    source, target = ((str(address), port) for address, port in zip(addresses, ports, strict=True))
    binary = v2(source, target, tlvs)
    for header in (v1(source, target), proxying.with_checksum(binary) if checked else binary):
        found = decode(header + rest)
        assert isinstance(found, dict)
        assert found["length"] == len(header)
        for name, address, port in zip(("source", "target"), addresses, ports, strict=True):
            plain = getattr(address, "ipv4_mapped", None) or address
            assert (ipaddress.ip_address(found[name][0]), found[name][1]) == (plain, port)


# Anything, and what is nearly right
NEARLY = st.builds(
    lambda header, at, byte: header[: at % len(header)] + bytes([byte]) + header[at % len(header) + 1 :],
    st.sampled_from([header for header, _ in RIGHT if len(header) < 400]), st.integers(0, 400), st.integers(0, 255))
V1_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\n]*)?|TCP([46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (0|[1-9][0-9]*) (0|[1-9][0-9]*))\r\n")


@settings(max_examples=1000, deadline=None)
@given(data=st.one_of(st.binary(max_size=60), NEARLY, NEARLY.map(lambda data: data + b"GET / HTTP/1.1\r\n")),
       mode=st.sampled_from(["v1", "v2", "auto"]))
@example(b"PROXY ", "v1")
@example(proxying.SIGNATURE, "v2")
def test_any_bytes_have_one_verdict_however_they_come(data: bytes, mode: str) -> None:
    verdicts = growing(data, mode)
    undecided = verdicts.count("more")
    assert verdicts[:undecided] == ["more"] * undecided
    assert all(verdict == verdicts[-1] for verdict in verdicts[undecided:])
    if isinstance(verdicts[-1], dict):
        assert verdicts[-1]["length"] == undecided


@settings(max_examples=1000, deadline=None)
@given(data=st.one_of(NEARLY, st.sampled_from(WRONG)))
def test_a_line_of_version_1_is_read_by_its_grammar(data: bytes) -> None:
    line = data[: data.find(b"\n") + 1]
    match = V1_LINE.fullmatch(line)
    right = match is not None and len(line) <= 107
    if right and match and match[1]:
        try:
            ends = [ipaddress.ip_address(match[place].decode()) for place in (2, 3)]
            right = all(end.version == int(match[1]) for end in ends) and max(int(match[4]), int(match[5])) <= 65535
        except ValueError:
            right = False
    assert isinstance(decode(data, "v1"), dict) == right
