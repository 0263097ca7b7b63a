"""The numbers that Python spells are those of the headers."""

from __future__ import annotations

import re

from swhttp.ipc import words
from swhttp.reactor import wsprobe
from tests.support.server import TESTS

DEFINED = re.compile(r"^#define (\w+) \(?(-?\d+)\)?(?:\s|$)", re.MULTILINE)


def test_they_are_those_of_the_headers() -> None:
    headers = [TESTS.parent / "swhttp" / "ipc" / name for name in ("frame.h", "session.h", "rfc6455.h")]
    defined = {name: int(number) for path in headers for name, number in DEFINED.findall(path.read_text())}
    spelt = {name: value for name, value in vars(words).items() if name.isupper()}
    assert len(spelt) > 10
    assert spelt == {name: defined[name] for name in spelt}


def test_a_close_may_hold_the_same_codes() -> None:
    codes = range(-1, 6000)
    assert [code for code in codes if words.close_code_is_sendable(code)] == [
        code for code in codes if wsprobe.close_code_is_sendable(code)]
