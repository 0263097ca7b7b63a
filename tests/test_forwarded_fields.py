"""What X-Forwarded-* and Forwarded say, and who is trusted, without a server."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swhttp import limits, networks
from swhttp.reactor.forwarded import read
from swhttp.reactor.trusted import Trusted
from tests.support.forwarding import NOTHING, Fields, expected

NETWORKS = "127.0.0.1,::1,10.0.0.0/8,2001:db8:1::/48"
TRUSTED = Trusted(networks.parse(NETWORKS))


def same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Equal, addresses as values: there are two right ways to write some of IPv6."""

    def client(report: dict[str, Any]) -> Any:
        return report["client"] and (ipaddress.ip_address(report["client"][0]), report["client"][1])

    return client(found) == client(wanted) and {**found, "client": 0} == {**wanted, "client": 0}


# What is drawn: mostly what proxies send, and every kind of what they should not

ADDRESSES = st.one_of(
    st.sampled_from(["127.0.0.1", "10.1.2.3", "192.0.2.7", "::1", "2001:db8::7", "2001:db8:1::7", "::ffff:10.0.0.9",
                     "::ffff:192.0.2.1", "fe80::1%eth0", "01.2.3.4", "1.2.3", "256.1.1.1", "1.2.3.4.5", ":::"]),
    st.ip_addresses().map(str),
)
PORTS = st.sampled_from(["", ":0", ":80", ":65535", ":65536", ":", ":1x", ":_hidden", ":123456", ":-1", ": 1"])
NODES = st.one_of(
    st.builds(lambda address, end: (f"[{address}]" if ":" in address else address) + end, ADDRESSES, PORTS),
    st.builds(str.__add__, ADDRESSES, PORTS),
    st.sampled_from(["unknown", "_hidden", "", "[", "[]", "[::1", "::1]", "[1.2.3.4]", "x" * 300, "localhost", "[::1]x",
                     "[::1]:", "1.2.3.4:5:6"]),
).map(str.encode)
HOSTS = st.sampled_from([b"example.com", b"example.com:8443", b"[2001:db8::1]:443", b"a b", b"", b"x" * 261, b"x" * 262,
                         b"h:65536", b"h:", b"xn--bcher-kva.example", b"a,b", b"[::1]"])
SCHEME_TEXTS = st.sampled_from([b"http", b"https", b"HTTPS", b"ws", b"wss", b"ftp", b"", b"https " + b"x" * 9])
ANYTHING = st.binary(max_size=40).map(lambda text: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", text).strip(b" \t"))


def lists(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda parts, comma: comma.join(parts), st.lists(values, max_size=4), st.sampled_from([b",", b", ", b"\t,"]))


def field(name: bytes, values: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[bytes, bytes]]:
    return st.tuples(st.just(name), values.map(lambda value: value.strip(b" \t")))


def quoted(value: bytes) -> bytes:
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


PAIRS = st.one_of(
    st.builds(lambda name, value: name + b"=" + quoted(value), st.sampled_from([b"for", b"For"]), NODES),
    st.builds(lambda value: b"for=" + value, NODES),
    st.builds(lambda value: b"proto=" + value, SCHEME_TEXTS),
    st.builds(lambda value: b"host=" + quoted(value), HOSTS),
    st.sampled_from([b"by=_proxy", b"secret=x", b"", b" ", b'for="\\1\\92.0.2.1"', b"for", b"=x", b'for="', b"HOST=h"]),
)
ELEMENTS = st.lists(PAIRS, max_size=3).map(b";".join)
FIELDS = st.lists(
    st.one_of(
        field(b"x-forwarded-for", lists(NODES)),
        field(b"x-forwarded-for", ANYTHING),
        field(b"x-forwarded-proto", lists(SCHEME_TEXTS)),
        field(b"x-forwarded-host", lists(HOSTS)),
        field(b"x-forwarded-port", lists(st.sampled_from([b"1", b"443", b"0", b"65536", b"x"]))),
        field(b"forwarded", lists(ELEMENTS)),
        field(b"forwarded", lists(ELEMENTS)),
        field(b"forwarded", ANYTHING),
        field(b"host", HOSTS),
        field(b"x-forwarded-fox", NODES),
        field(b"x-forwarded-hosts", HOSTS),
    ),
    max_size=6,
)
MODES = st.sampled_from(["auto", "x-forwarded", "forwarded"])


@settings(max_examples=1000, deadline=None)
@given(fields=FIELDS, mode=MODES)
@example([(b"x-forwarded-for", b",".join([b"10.0.0.1"] * 70)), (b"x-forwarded-proto", b"https")], "auto")
@example([(b"forwarded", b",".join([b"for=10.0.0.1;proto=https"] * 70))], "auto")
def test_fields_are_read_as_the_oracle_reads_them(fields: Fields, mode: str) -> None:
    assert same(read(fields, TRUSTED, mode), expected(fields, NETWORKS, mode))


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (b"192.0.2.1", ("192.0.2.1", 0)),
        (b"192.0.2.1:567", ("192.0.2.1", 567)),
        (b"[2001:db8::1]:567", ("2001:db8::1", 567)),
        (b"2001:db8::1", ("2001:db8::1", 0)),
        (b"203.0.113.9, 192.0.2.1, 10.0.0.1", ("192.0.2.1", 0)),
        (b"203.0.113.9, unknown, 10.0.0.1", ("10.0.0.1", 0)),
        (b"203.0.113.9, unknown", None),
        (b"10.0.0.2, 10.0.0.1", ("10.0.0.2", 0)),
        (b"::ffff:192.0.2.1", ("192.0.2.1", 0)),
        (b"192.0.2.1, ::ffff:10.0.0.1", ("192.0.2.1", 0)),
        (b"192.0.2.1,,10.0.0.1", ("10.0.0.1", 0)),
        (b"192.0.2.1 10.0.0.1", None),
        (b"", None),
    ],
)
def test_the_client_is_the_last_entry_that_is_not_trusted(value: bytes, client: tuple[str, int] | None) -> None:
    assert read([(b"x-forwarded-for", value)], TRUSTED)["client"] == client


def test_lines_of_one_field_are_one_list() -> None:
    fields = [(b"x-forwarded-for", b"203.0.113.9"), (b"accept", b"*/*"), (b"x-forwarded-for", b"192.0.2.1, 10.0.0.1")]
    assert read(fields, TRUSTED)["client"] == ("192.0.2.1", 0)
    assert read(fields[:2], TRUSTED)["client"] == ("203.0.113.9", 0)


@pytest.mark.parametrize(
    ("protos", "scheme"),
    [(b"https", "https"), (b"http, https, http", "https"), (b"https, http", "http"), (b"wss", "https"), (b"x", None)],
)
def test_the_scheme_is_that_of_the_clients_entry(protos: bytes, scheme: str | None) -> None:
    fields = [(b"x-forwarded-for", b"203.0.113.9, 192.0.2.1, 10.0.0.1"), (b"x-forwarded-proto", protos)]
    assert read(fields, TRUSTED)["scheme"] == scheme


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        (b'for=192.0.2.1;proto=https;host="example.com:8443"', (("192.0.2.1", 0), "https", b"example.com:8443")),
        (b'For="[2001:db8::1]:4711"', (("2001:db8::1", 4711), None, None)),
        (b'proto=http;by=203.0.113.43;FOR="192.0.2.1:_p"', (("192.0.2.1", 0), "http", None)),
        (b"for=192.0.2.1, for=10.0.0.1;proto=https", (("192.0.2.1", 0), "https", None)),
        (b"for=192.0.2.1;proto=http, for=10.0.0.1;proto=https", (("192.0.2.1", 0), "http", None)),
        (b"for=203.0.113.9;proto=http, for=192.0.2.1", (("192.0.2.1", 0), None, None)),
        (b"for=unknown;proto=https", (None, "https", None)),
        (b"for=192.0.2.1;for=192.0.2.2", (None, None, None)),
        (b"for=192.0.2.1 proto=https", (None, None, None)),
        (b"for=[2001:db8::1];proto=https", (None, None, None)),
        (b'for="192.0.2.1', (None, None, None)),
        (b"for = 192.0.2.1", (None, None, None)),
        (b",for=192.0.2.1; proto=https,,", (("192.0.2.1", 0), "https", None)),
    ],
)
def test_forwarded_is_read_by_its_grammar_or_not_at_all(value: bytes, read_as: tuple[Any, ...]) -> None:
    said = read([(b"forwarded", value)], TRUSTED)
    assert (said["client"], said["scheme"], said["host"]) == read_as


def test_one_of_the_two_is_read_and_never_both() -> None:
    both = [(b"forwarded", b"for=192.0.2.1;proto=https;host=evil"), (b"x-forwarded-for", b"192.0.2.2")]
    assert read(both, TRUSTED) == {**NOTHING, "client": ("192.0.2.2", 0)}
    assert read(both, TRUSTED, "x-forwarded") == {**NOTHING, "client": ("192.0.2.2", 0)}
    assert read(both, TRUSTED, "forwarded")["client"] == ("192.0.2.1", 0)
    only_proto = [both[0], (b"x-forwarded-proto", b"http")]
    assert read(only_proto, TRUSTED) == {**NOTHING, "scheme": "http"}


# Networks


@example(address=ipaddress.ip_address("0.0.0.0"), others=[(ipaddress.ip_address("::ffff:0:0"), 96)])
@given(address=st.ip_addresses(), others=st.lists(st.tuples(st.ip_addresses(), st.integers(0, 128)), max_size=5))
def test_trusted_networks_hold_what_ipaddress_says(address: Any, others: list[tuple[Any, int]]) -> None:
    texts = [
        f"{ipaddress.ip_network(f'{other}/{min(bits, other.max_prefixlen)}', strict=False)}" for other, bits in others]
    parsed = networks.parse(",".join(texts))
    # An IPv4 address and its mapped form are the same client, whichever of them a network is written with.
    plain = getattr(address, "ipv4_mapped", None) or address
    mapped = ipaddress.ip_address(f"::ffff:{plain}") if plain.version == 4 else None
    inside = any(
        plain in network
        or (mapped and network.version == 6 and network.prefixlen >= 96 and mapped in network) for network in parsed)
    assert (str(address) in Trusted(parsed)) == bool(inside)


@given(st.ip_addresses(), st.integers(0, 32))
def test_an_address_is_in_each_network_around_it(address: Any, fewer: int) -> None:
    bits = address.max_prefixlen - fewer
    around = networks.parse(str(ipaddress.ip_network(f"{address}/{bits}", strict=False)))
    assert str(address) in Trusted(around)
    if address.version == 4:
        assert f"::ffff:{address}" in Trusted(around)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("*", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"], ["unknown", "", "1.2.3", "fe80::1%lo"]),
        ("", [], ["127.0.0.1", "::1"]),
        ("::/0", ["2001:db8::1"], ["192.0.2.1", "::ffff:192.0.2.1"]),
        ("0.0.0.0/0", ["192.0.2.1", "::ffff:192.0.2.1"], ["2001:db8::1"]),
        (" 10.0.0.0/8 , ::1", ["10.255.0.1", "::1"], ["11.0.0.1", "::2"]),
        ("::ffff:10.0.0.0/104", ["10.0.0.1"], ["11.0.0.1"]),
    ],
)
def test_lists_of_networks(text: str, inside: list[str], outside: list[str]) -> None:
    trusted = Trusted(networks.parse(text))
    assert [address for address in inside if address not in trusted] == []
    assert [address for address in outside if address in trusted] == []


@pytest.mark.parametrize("entry", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "fe80::1%eth0", "1.2.3", "", "unix:"])
def test_an_entry_that_is_no_network_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(entry))):
        networks.parse(f"127.0.0.1,{entry}")


def test_there_is_a_limit_to_networks() -> None:
    texts = [f"10.0.{n // 256}.{n % 256}" for n in range(limits.MAX_TRUSTED_NETWORKS + 1)]
    assert len(networks.parse(",".join(texts[1:]))) == limits.MAX_TRUSTED_NETWORKS
    with pytest.raises(ValueError, match="at most"):
        networks.parse(",".join(texts))
