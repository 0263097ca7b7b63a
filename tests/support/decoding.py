"""Bodies that are compressed, as their clients read them: piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import zstandard


def reader(coding: str) -> Callable[[bytes], bytes]:
    """Takes pieces of a body in `coding`, gives what can be read by now."""
    if coding == "gzip":
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
    if coding == "br":
        return brotli.Decompressor().process  # type: ignore[no-any-return]
    return zstandard.ZstdDecompressor().decompressobj().decompress


def decoded(body: bytes, coding: str) -> bytes:
    """A whole body; AssertionError when it is not whole, or something follows it."""
    if coding == "gzip":
        gzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
        data = gzip.decompress(body)
        assert gzip.eof
        assert not gzip.unused_data
        return data
    if coding == "br":
        br = brotli.Decompressor()
        data = bytes(br.process(body))
        assert br.is_finished()
        return data
    assert coding == "zstd"
    zstd = zstandard.ZstdDecompressor().decompressobj()
    data = zstd.decompress(body)
    assert zstd.eof
    assert not zstd.unused_data
    return data
