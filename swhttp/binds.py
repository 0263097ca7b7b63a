"""Addresses to listen on, as the command line gives them: their grammar, without any socket.

    bind = [ scheme ] host ":" port           an IPv4 address or a name
         / [ scheme ] "[" address "]:" port   an IPv6 address
         / "unix:" path
         / "fd://" number          a listening socket that was inherited
    scheme = "http://" / "https://"           without one: HTTPS where there is a certificate, else HTTP
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

MAX_UNIX_PATH_BYTES: Final = 107  # sizeof(sun_path) less the NUL, unix(7)
NO_SOCKET: Final = "a file that is no socket is in the way"
"""Why a unix socket cannot be made where there is such a file; bind(2) would say that the address is in use."""
_FD_PREFIX: Final = "fd://"
_UNIX_PREFIX: Final = "unix:"
_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True)
class TcpBind:
    """`host`: name or address, without brackets; `port`: 0 for any that is free; `scheme`: http, https or ""."""

    host: str
    port: int
    scheme: str = ""


@dataclass(frozen=True)
class UnixBind:
    """`path` of a socket to be made."""

    path: str


@dataclass(frozen=True)
class FdBind:
    """`fd` of a listening socket."""

    fd: int


Bind = TcpBind | UnixBind | FdBind


def parse(text: str) -> Bind:
    """What `text` means. Raises ValueError with a message that says what is wrong with it."""
    if text.startswith(_UNIX_PREFIX):
        path = text.removeprefix(_UNIX_PREFIX)
        if not path or "\0" in path or len(path.encode("utf-8", "surrogateescape")) > MAX_UNIX_PATH_BYTES:
            raise ValueError(f"{text!r}: the path of a unix socket has 1 to {MAX_UNIX_PATH_BYTES} bytes")
        return UnixBind(path)
    if text.startswith(_FD_PREFIX):
        return FdBind(_number(text, text.removeprefix(_FD_PREFIX), "a file descriptor", 2**31 - 1))
    scheme = next((one for one in _SCHEMES if text.startswith(f"{one}://")), "")
    host, colon, port = text.removeprefix(f"{scheme}://").rpartition(":")
    if not colon:
        raise ValueError(f"{text!r} is none of host:port, [address]:port, unix:path, fd://number")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{text!r}: {host!r} is not an IPv6 address") from None
    elif ":" in host or "[" in host or "]" in host:
        raise ValueError(f"{text!r}: an IPv6 address goes in brackets, as in [::1]:8000")
    elif not host:
        raise ValueError(f"{text!r} has no host; 0.0.0.0{text} listens on every IPv4 address")
    return TcpBind(host, _number(text, port, "a port", 65535), scheme)


def may_be_secure(text: str) -> bool:
    """Whether TLS is spoken there, once there is a certificate. An inherited socket may turn out to be a unix one."""
    bind = parse(text)
    return bind.scheme != "http" if isinstance(bind, TcpBind) else isinstance(bind, FdBind)


def _number(text: str, digits: str, what: str, most: int) -> int:
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10 and int(digits) <= most):
        raise ValueError(f"{text!r}: {what} is a number from 0 to {most}, not {digits!r}")
    return int(digits)


def tcp_text(host: str, port: int) -> str:
    """How a TCP address is written: an IPv6 one in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
