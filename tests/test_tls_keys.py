"""The keys of certificates are the master's alone: what runs an app has been forked from it, and remembers none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.fleet import Start
from tests.support.tls import authority


def memory_of(pid: int) -> Iterator[bytes]:
    """What a process may write to, and has not shared with others."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights = line.split()[:2]
            if rights == "rw-p":
                start, end = (int(part, 16) for part in place.split("-"))
                with contextlib.suppress(OSError):
                    memory.seek(start)
                    yield memory.read(end - start)


def secret_of(path: str) -> set[bytes]:
    """The number that a key is, in each order of its bytes."""
    key: Any = load_pem_private_key(Path(path).read_bytes(), None)
    numbers = key.private_numbers()
    value = numbers.private_value if hasattr(numbers, "private_value") else numbers.p
    length = (value.bit_length() + 7) // 8
    return {value.to_bytes(length, "little"), value.to_bytes(length, "big")}


def has(pid: int, secret: set[bytes]) -> bool:
    return any(number in piece for piece in memory_of(pid) for number in secret)


@pytest.mark.unsanitized  # to look through terabytes
def test_no_process_but_the_master_has_a_key(server: Start) -> None:
    first, other = authority().issue("localhost", "127.0.0.1"), authority().issue("other.example")
    site = server("reference:wsgi", "--workers", "2", "--reactors", "1", "--ssl-certfile", first.cert,
                  "--ssl-keyfile", first.key, "--ssl-sni", f"other.example={other.both}", tls=authority().client())
    assert site.get("/")["target"] == "/"
    for secret in (secret_of(first.key), secret_of(other.key)):
        assert has(site.pid, secret), "it is looked for in the wrong way"
        assert [pid for pid in (site.manager(), *site.workers()) if has(pid, secret)] == []
