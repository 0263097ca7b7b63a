"""Coders: a body goes in piece by piece, and comes out compressed. The libraries are known here, and nowhere else.

A coder is for one body. FLUSH has everything out that went in, for a client to read at once; END finishes.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

MORE: Final = 0
FLUSH: Final = 1
END: Final = 2
MAX_SPARE: Final = 4
"""Contexts of zstd that are kept for the next body: a new one costs more than a small body does."""
ZSTD_WINDOW_LOG: Final = 19
"""512 KiB. More makes nothing less of pages, and takes twice the memory."""
UNKNOWN: Final = -1
"""The length of a body that nobody has told."""


COSTS_KIB: Final = {"gzip": ((9, 280),), "br": ((8, 1331), (9, 34816)), "zstd": (
    (3, 1536), (6, 3277), (8, 5939), (9, 11264))}
"""What a body takes that goes out piece by piece, its output included: up to which level, how much. Measured."""


class Coder(Protocol):
    """One body."""

    def feed(self, data: bytes, how: int) -> bytes:
        """Take `data`; what comes out by now. `how`: MORE, FLUSH or END."""


Maker = Callable[[int], Coder]
"""Gives a coder for a body of so many bytes, or of UNKNOWN length."""


def cost_bytes(coding: str, level: int) -> int:
    """The memory that a coder takes at most."""
    return next(kib for most, kib in COSTS_KIB[coding] if level <= most) * 1024


def maker(coding: str, level: int) -> Maker:
    """Of coders of `coding`: gzip, br or zstd. Raises ImportError."""
    if coding == "gzip":
        return lambda length: Gzip(level, length)
    if coding == "br":
        library = _first_of("brotli", "brotlicffi")
        return lambda length: Brotli(library, level, length)
    if sys.version_info >= (3, 14):
        try:
            return standard_zstd(importlib.import_module("compression.zstd"), level)
        except ImportError:  # a Python that was built without it
            pass
    return zstandard(importlib.import_module("zstandard"), level)


def zstandard(library: Any, level: int) -> Maker:
    """Of coders by zstandard."""
    parameters = library.ZstdCompressionParameters.from_level(level, window_log=ZSTD_WINDOW_LOG)
    contexts = Contexts(lambda: library.ZstdCompressor(compression_params=parameters))
    return lambda length: Zstd(contexts, length, library.COMPRESSOBJ_FLUSH_BLOCK)


def standard_zstd(library: Any, level: int) -> Maker:
    """Of coders by Python's own compression.zstd."""
    names = library.CompressionParameter
    options = {names.compression_level: level, names.window_log: ZSTD_WINDOW_LOG}
    contexts = Contexts(lambda: library.ZstdCompressor(options=options))
    return lambda length: StandardZstd(contexts, length)


def _first_of(*names: str) -> Any:
    for name in names[:-1]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            pass
    return importlib.import_module(names[-1])


class Gzip:
    """RFC 1952. Window and tables are as large as the body needs: to set up the usual ones costs three times what a
    body of 2 KiB does."""

    def __init__(self, level: int, length: int) -> None:
        bits = 15 if length == UNKNOWN else min(max(length.bit_length(), 9), 15)
        self._zlib = zlib.compressobj(level, zlib.DEFLATED, 16 + bits, max(1, bits - 7))

    def feed(self, data: bytes, how: int) -> bytes:
        out = self._zlib.compress(data)
        if how == MORE:
            return out
        return out + self._zlib.flush(zlib.Z_FINISH if how == END else zlib.Z_SYNC_FLUSH)


class Brotli:
    """RFC 7932, by brotli or brotlicffi. A larger window makes little less of pages, and takes a megabyte more."""

    def __init__(self, library: Any, quality: int, length: int) -> None:
        window = 18 if length == UNKNOWN else min(max(length.bit_length(), 16), 18)
        self._brotli = library.Compressor(quality=quality, lgwin=window)

    def feed(self, data: bytes, how: int) -> bytes:
        out: bytes = self._brotli.process(data)
        if how == MORE:
            return out
        rest: bytes = self._brotli.finish() if how == END else self._brotli.flush()
        return out + rest


class Contexts:
    """Contexts of zstd. One whose body was left half-way does not come back."""

    def __init__(self, new: Callable[[], Any]) -> None:
        self._new = new
        self._spare: list[Any] = []

    def take(self) -> Any:
        return self._spare.pop() if self._spare else self._new()

    def give_back(self, context: Any) -> None:
        if len(self._spare) < MAX_SPARE:
            self._spare.append(context)


class Zstd:
    """RFC 8878, by zstandard."""

    def __init__(self, contexts: Contexts, length: int, flush_block: int) -> None:
        self._contexts = contexts
        self._flush_block = flush_block
        self._context = contexts.take()
        self._frame = self._context.compressobj(size=length)

    def feed(self, data: bytes, how: int) -> bytes:
        out: bytes = self._frame.compress(data)
        if how == MORE:
            return out
        if how == FLUSH:
            return out + bytes(self._frame.flush(self._flush_block))
        out += self._frame.flush()
        self._contexts.give_back(self._context)
        return out


class StandardZstd:
    """RFC 8878, by Python's own compression.zstd."""

    def __init__(self, contexts: Contexts, length: int) -> None:
        self._contexts = contexts
        self._context = contexts.take()
        self._modes = (self._context.CONTINUE, self._context.FLUSH_BLOCK, self._context.FLUSH_FRAME)
        if length != UNKNOWN:
            self._context.set_pledged_input_size(length)

    def feed(self, data: bytes, how: int) -> bytes:
        out: bytes = self._context.compress(data, self._modes[how])
        if how == END:
            self._contexts.give_back(self._context)
        return out
