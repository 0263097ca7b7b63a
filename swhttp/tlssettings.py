"""What the TLS options say: which files, and what is asked of clients. Pure: nothing is read here, and OpenSSL is not
loaded (`swhttp.certificates` does both)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

MIN_VERSIONS: Final = ("TLSv1.2", "TLSv1.3")
CERT_REQS: Final = ("none", "optional", "required")


@dataclass(frozen=True)
class Pair:
    """Files with a certificate, with those that lead from it to a known one, and its key; the key may stand in the same
    file. `name`: for which server name, "" for all others; `*.example.com` means all names one label longer."""

    certfile: str
    keyfile: str
    name: str = ""

    def __str__(self) -> str:
        """As `parse_name` has it."""
        return f"{self.name}={self.certfile}" + (f",{self.keyfile}" if self.keyfile else "")

    @property
    def flag(self) -> str:
        """That names it."""
        return "--ssl-sni" if self.name else "--ssl-certfile"


@dataclass(frozen=True)
class TlsSettings:
    """What the options say. `pairs`: the default one first; `password`: of encrypted keys."""

    pairs: tuple[Pair, ...]
    password: str
    ca_certs: str
    cert_reqs: str
    ciphers: str
    min_version: str

    @property
    def files(self) -> list[str]:
        """All that are read."""
        found = [path for pair in self.pairs for path in (pair.certfile, pair.keyfile)] + [self.ca_certs]
        return list(dict.fromkeys(path for path in found if path))

    def moved(self, path_of: Callable[[str], str]) -> TlsSettings:
        """The same where each file is at `path_of` its path; empty: nowhere."""
        pairs = tuple(replace(pair, certfile=path_of(pair.certfile), keyfile=pair.keyfile and path_of(pair.keyfile))
                      for pair in self.pairs)
        return replace(self, pairs=pairs, ca_certs=self.ca_certs and path_of(self.ca_certs))

    def unreadable(self) -> str:
        """The first file that this process cannot read, or ""."""
        files = [path for pair in self.pairs for path in (pair.certfile, pair.keyfile or pair.certfile)]
        files += [self.ca_certs] if self.ca_certs else []
        missing = (path for path in files if not os.access(path, os.R_OK, effective_ids=True))
        return next((path or "what --ssl-certfile names" for path in missing), "")


def parse_name(text: str) -> Pair:
    """`NAME=CERTFILE[,KEYFILE]`. Raises ValueError."""
    name, equals, files = text.partition("=")
    certfile, _, keyfile = files.partition(",")
    name = name.lower().rstrip(".")
    plain = name.removeprefix("*.")
    if not equals or not certfile:
        raise ValueError(f"{text!r} is not of the form NAME=CERTFILE or NAME=CERTFILE,KEYFILE")
    if not (plain and plain.isascii() and all(plain.split(".")) and len(plain) <= 253
            and all(one.isalnum() or one in "-_." for one in plain)):
        raise ValueError(f"{name!r} is no host name, nor one behind '*.'; others than ASCII begin with xn--")
    return Pair(os.path.abspath(certfile), os.path.abspath(keyfile) if keyfile else "", name)
