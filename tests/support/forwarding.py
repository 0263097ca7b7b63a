"""What forwarding fields say: an oracle made of regular expressions and `ipaddress`, apart from the server's code.

And what the reference app was told of the ends of a connection, in one form for both interfaces.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from swhttp import limits, networks
from tests.support.client import Connection, Response
from tests.support.server import Server

Fields = list[tuple[bytes, bytes]]

TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
PAIR = re.compile(rb"(%s+)=(%s+|%s)" % (TCHAR, TCHAR, QUOTED))
HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,}\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::(?P<port>[0-9]{0,5}))?"
)
X_FORWARDED = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"}
SCHEMES = {b"http": "http", b"ws": "http", b"https": "https", b"wss": "https"}
NOTHING: dict[str, Any] = {"client": None, "scheme": None, "host": None, "port": None}


def ip(text: bytes, version: int | None = None) -> str | None:
    """Canonical text of an address, an IPv4-mapped one as IPv4."""
    try:
        address = ipaddress.ip_address(text.decode("latin-1"))
    except ValueError:
        return None
    if (version is not None and address.version != version) or b"%" in text:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def port(text: bytes) -> int | None:
    return int(text) if re.fullmatch(rb"[0-9]{1,5}", text) and int(text) <= 65535 else None


def node(text: bytes, strict: bool) -> tuple[str, int] | None:
    """(address, port) of an entry, port 0 when it has none."""
    if len(text) > 128:
        return None
    bracketed = re.fullmatch(rb"\[([^\]]*)\](?::(.*))?", text, re.DOTALL)
    plain = re.fullmatch(rb"([^:\[]*)(?::([^:]*))?", text, re.DOTALL)
    if bracketed:
        address, digits = ip(bracketed[1], 6), bracketed[2]
    elif plain:
        address, digits = ip(plain[1], 4), plain[2]
    else:
        address, digits = (None if strict else ip(text)), None
    if address is None:
        return None
    if digits is None or (strict and re.fullmatch(rb"_[A-Za-z0-9._-]+", digits)):
        return address, 0
    number = port(digits)
    return None if number is None else (address, number)


def is_trusted(address: str, allowed: str) -> bool:
    return any(ipaddress.ip_address(address) in network for network in networks.parse(allowed))


def walk(nodes: list[tuple[str, int] | None], allowed: str) -> tuple[tuple[str, int] | None, int | None]:
    """The client and the place of its entry."""
    client, place = None, None
    for number in range(len(nodes) - 1, max(-1, len(nodes) - 1 - limits.MAX_FORWARDED_HOPS), -1):
        found = nodes[number]
        if found is None:
            break
        client, place = found, number
        if not is_trusted(found[0], allowed):
            break
    return client, place


def good_host(text: bytes) -> bytes | None:
    match = HOST.fullmatch(text)
    if match is None or int(match["port"] or b"0") > 65535 or len(text) > limits.MAX_FORWARDED_HOST_BYTES:
        return None
    return text


def entries(fields: Fields, name: bytes) -> list[bytes]:
    values = [value for key, value in fields if key == name]
    return [entry.strip(b" \t") for entry in b",".join(values).split(b",")] if values else []


def by_x_forwarded(fields: Fields, allowed: str) -> dict[str, Any]:
    hops = entries(fields, b"x-forwarded-for")
    client, place = walk([node(hop, strict=False) for hop in hops], allowed)

    def beside(name: bytes) -> bytes:
        values = entries(fields, name)
        if not values:
            return b""
        return values[place] if place is not None and len(values) == len(hops) else values[-1]

    return {
        "client": client,
        "scheme": SCHEMES.get(beside(b"x-forwarded-proto").lower()),
        "host": good_host(beside(b"x-forwarded-host")),
        "port": port(beside(b"x-forwarded-port")) or None,
    }


def elements(value: bytes) -> list[dict[bytes, bytes]] | None:
    """Parameters of each element of one Forwarded line; None: it is malformed."""
    found: list[dict[bytes, bytes]] = []
    at = 0
    current: dict[bytes, bytes] | None = None
    separated = True
    while at < len(value):
        character = value[at : at + 1]
        if character in (b" ", b"\t"):
            at += 1
        elif character == b",":
            if current is not None:
                found.append(current)
            current, separated, at = None, True, at + 1
        elif character == b";":
            current, separated, at = current or {}, True, at + 1
        else:
            match = PAIR.match(value, at)
            if match is None or not separated:
                return None
            current = current or {}
            name = match[1].lower()
            if name in (b"for", b"proto", b"host") and name in current:
                return None
            text = match[2]
            current[name] = re.sub(rb"\\(.)", rb"\1", text[1:-1], flags=re.DOTALL) if text[:1] == b'"' else text
            separated, at = False, match.end()
    if current is not None:
        found.append(current)
    return found


def by_forwarded(fields: Fields, allowed: str) -> dict[str, Any]:
    all_elements: list[dict[bytes, bytes]] = []
    for key, value in fields:
        if key == b"forwarded":
            of_line = elements(value)
            if of_line is None:
                return NOTHING
            all_elements += of_line
    client, place = walk([node(one.get(b"for", b""), strict=True) for one in all_elements], allowed)
    believed = all_elements[len(all_elements) - 1 if place is None else place :] if all_elements else []
    proto = next((one[b"proto"] for one in believed if b"proto" in one), b"")
    host = next((one[b"host"] for one in believed if b"host" in one), b"")
    return {"client": client, "scheme": SCHEMES.get(proto.lower()), "host": good_host(host), "port": None}


def expected(fields: Fields, allowed: str, mode: str = "auto") -> dict[str, Any]:
    """What the server must read in `fields` (names in lower case) when it trusts the networks in `allowed`.

    client: (address, port), scheme, host, port; each None when nothing is said of it.
    """
    if mode == "auto":
        mode = "x-forwarded" if any(key in X_FORWARDED for key, _ in fields) else "forwarded"
    return by_x_forwarded(fields, allowed) if mode == "x-forwarded" else by_forwarded(fields, allowed)


# What the app was told


def ends(response: Response) -> dict[str, Any]:
    """client, server, scheme and host as the app was told, the same for both interfaces."""
    assert response.status == 200, response
    report = response.json()
    if report["interface"] == "asgi":
        told = {name: report[name] for name in ("client", "server", "scheme", "host")}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    environ = report["environ"]
    return {
        "client": (environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"])) if environ["REMOTE_ADDR"] else None,
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        "scheme": environ["wsgi.url_scheme"],
        "host": report["host"],
    }


def own(client: Connection, server: Server) -> dict[str, Any]:
    """What an app is told of a connection when no proxy says anything."""
    ours = {"client": client.socket.getsockname(), "server": server.tcp_addresses()[0]}
    return {**ours, "scheme": "http", "host": "test"}
