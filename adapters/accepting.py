"""Accept-Encoding: which of our codings a client is sent (RFC 9110 §12.5.3). Pure.

    Accept-Encoding = #( codings [ weight ] )
    codings         = content-coding / "identity" / "*"
    weight          = OWS ";" OWS "q=" qvalue
    qvalue          = ( "0" [ "." *3DIGIT ] ) / ( "1" [ "." *3"0" ] )

The client's weights decide; among equals the order of what is offered does. Without the field nothing is compressed:
the RFC would allow everything then, but who does not say it seldom knows how. What is no weight is taken for 0, and of
a coding that stands twice the lower one counts: a client gets no coding that it may have refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from swhttp import limits

_ELEMENT: Final = re.compile(rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*(;.*)?", re.DOTALL)
_WEIGHT: Final = re.compile(rb";[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*")
_SAME: Final = {b"x-gzip": b"gzip"}  # RFC 9110 §8.4.1.3
FULL: Final = 1000
"""A weight of 1: weights are counted in thousandths."""


def choose(field: bytes, offered: Sequence[str]) -> str | None:
    """The coding for a client that sent `field` (more than one: joined by commas); None: the body stays as it is."""
    if len(field) > limits.MAX_ACCEPT_ENCODING_BYTES:
        return None
    weights = weights_of(field)
    others = weights.get(b"*", 0)
    identity = weights.get(b"identity", 0)
    best, chosen = 0, None
    for coding in offered:
        weight = weights.get(coding.encode(), others)
        if weight > best and weight >= identity:
            best, chosen = weight, coding
    return chosen


def weights_of(field: bytes) -> dict[bytes, int]:
    """Each coding that is named, in lower case, and its weight, from 0 to FULL."""
    weights: dict[bytes, int] = {}
    for element in field.split(b","):
        match = _ELEMENT.fullmatch(element)
        if match is None:
            continue
        name = match[1].lower()
        name = _SAME.get(name, name)
        weight = FULL if match[2] is None else _weight(match[2])
        weights[name] = min(weight, weights.get(name, FULL))
    return weights


def _weight(text: bytes) -> int:
    match = _WEIGHT.fullmatch(text)
    if match is None:
        return 0
    whole, _, fraction = match[1].partition(b".")
    return FULL if whole == b"1" else sum(
        (digit - 48) * place for digit, place in zip(fraction, (100, 10, 1), strict=False))
