"""What --compress and the options beside it say: in which codings responses go, and which of them.

Pure, but that it asks whether a library is installed. It never compresses: swhttp.adapters does, in the workers.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from typing import Final

from swhttp.options import closest

OFF: Final = "off"
AUTO: Final = "auto"
LIBRARIES: Final = {"zstd": ("zstandard",), "br": ("brotli", "brotlicffi"), "gzip": ("zlib",)}
"""Each coding and the modules that know it. In this order they are offered by `auto`: at their usual levels all three
make about the same of a page, zstd for a third of the time."""
_CALLED: Final = {"brotli": "br", "zstandard": "zstd", "x-gzip": "gzip"}
"""Other names of theirs."""
USUAL: Final = {"zstd": 3, "br": 4, "gzip": 4}
"""Each one's usual level: past it a few per cent less cost half as much time again, or more."""
LEVELS: Final = range(1, 10)
TYPES: Final = ("text/*", "+json", "+xml", "application/json", "application/javascript", "application/xml",
                "application/x-ndjson", "application/wasm")
"""What shrinks, and is worth it. Images, films, fonts and archives are compressed already."""
_TOKEN: Final = r"[!#$&\-^_.0-9a-z]+"
_TYPE: Final = re.compile(rf"{_TOKEN}/(\*|[!#$&\-^_.+0-9a-z]+)|\+{_TOKEN}")


@dataclass(frozen=True)
class Compressing:
    """What a worker is to compress, and how.

    `codings`: what the server prefers comes first; `level`: of all of them, None: each one's usual; `min_bytes`:
    smaller bodies stay as they are; `types`: media types, as `parse_types` gives them.
    """

    codings: tuple[str, ...]
    level: int | None
    min_bytes: int
    types: tuple[str, ...]


def parse_codings(text: str) -> tuple[str, ...]:
    """The codings that --compress names; none: it is off. Raises ValueError: what is wrong, for a person."""
    if text == OFF:
        return ()
    if text == AUTO:
        return tuple(filter(is_installed, LIBRARIES))
    codings = _listed(text)
    for coding in codings:
        if coding not in LIBRARIES:
            if coding in (AUTO, OFF):
                raise ValueError(f"{coding!r} stands alone, without other names")
            like = _CALLED[coding] if coding in _CALLED else closest(coding, LIBRARIES)
            hint = f"; did you mean {like!r}?" if like else ""
            raise ValueError(f"{coding!r} is none of {', '.join((*LIBRARIES, AUTO, OFF))}{hint}")
        if codings.count(coding) > 1:
            raise ValueError(f"{coding!r} is given more than once")
        if not is_installed(coding):
            raise ValueError(f"{coding} needs {LIBRARIES[coding][0]}, which is not installed: "
                             "pip install 'swhttp[compress]'")
    return codings


def parse_types(text: str) -> tuple[str, ...]:
    """Media types in lower case: `type/subtype`, `type/*`, or `+suffix` of any type. Raises ValueError."""
    types = _listed(text.lower())
    for one in types:
        if not _TYPE.fullmatch(one):
            raise ValueError(f"{one!r} is no media type of the form text/html, text/* or +json")
    return types


def is_installed(coding: str) -> bool:
    """Whether a library is there that knows it."""
    if coding == "zstd" and sys.version_info >= (3, 14) and importlib.util.find_spec("_zstd") is not None:
        return True
    return any(importlib.util.find_spec(name) is not None for name in LIBRARIES[coding])


def _listed(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if "" in parts:
        raise ValueError(f"names with commas between them are needed, not {text!r}")
    return parts
