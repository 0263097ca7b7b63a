"""Whom we believe: addresses and networks as an option gives them. Their grammar, without any socket.

    networks = "*" / entry *( "," entry )      "*": everybody; empty: nobody
    entry    = address [ "/" bits ]            IPv4 or IPv6

What a reactor compares addresses with is made of this by `packed` (swhttp/reactor/networks.h).
"""

from __future__ import annotations

import ipaddress
from typing import Final

from swhttp import limits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERYBODY: Final[tuple[Network, ...]] = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))
_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"
_MAPPED_BITS: Final = 96


def parse(text: str) -> tuple[Network, ...]:
    """The networks of a comma-separated list. Raises ValueError with a message that names the entry that is wrong."""
    found: list[Network] = []
    entries = [entry.strip() for entry in text.split(",")] if text.strip() else []
    for entry in entries:
        if entry == "*":
            found += EVERYBODY
            continue
        try:
            if "%" in entry:
                raise ValueError("a scope id is no part of an address here")
            found.append(ipaddress.ip_network(entry))
        except ValueError as error:
            raise ValueError(f"{entry!r} is no address, network or '*': {error}") from None
    if len(found) > limits.MAX_TRUSTED_NETWORKS:
        raise ValueError(f"{len(found)} networks; at most {limits.MAX_TRUSTED_NETWORKS}")
    return tuple(dict.fromkeys(found))


def packed(networks: tuple[Network, ...]) -> list[tuple[bytes, int]]:
    """Each as 16 bytes and the number of bits that count: an IPv4 network as the IPv4-mapped one of IPv6."""
    return [
        (_MAPPED_PREFIX + network.network_address.packed, _MAPPED_BITS + network.prefixlen)
        if network.version == 4 else (network.network_address.packed, network.prefixlen)
        for network in networks]
