"""Static files, as they are asked for: --static, the types of files, and the directories that stay open.

It owns what `/prefix=DIR` means, which type a suffix has, and the fds of the directories, which reactors and I/O
threads use. It never looks for a file: the reactors do, below these directories and never outside of them.

    start    the directories are opened when the server is who it will be (--user, --chroot), before it forks
    reload   looked at before anything else: if one cannot be opened, there is no reload. Opened again before new
             workers serve: a release that was renamed, or a symlink that was switched, takes the place of the old one
             under the same fd, so that nobody has to be told. What cannot be opened even then, for it has gone
             meanwhile, stays as it was, and the log says so. `rolling` and `sync` have no moment at which all new
             workers begin: there it is opened at the end. By the main thread, which waits for a mount that hangs
"""

from __future__ import annotations

import ctypes
import errno
import mimetypes
import os
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from swhttp import limits
from swhttp.errors import ExitCode, ServerError
from swhttp.logs import log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swhttp.reactor.staticsite import Site

INDEX: Final = "index.html"
OTHER: Final = "application/octet-stream"
MORE_TYPES: Final = {
    "avif": "image/avif", "br": "application/x-brotli", "cjs": "text/javascript", "csv": "text/csv",
    "eot": "application/vnd.ms-fontobject", "flac": "audio/flac", "geojson": "application/geo+json",
    "glb": "model/gltf-binary", "gltf": "model/gltf+json", "gz": "application/gzip", "heic": "image/heic",
    "ico": "image/x-icon", "jar": "application/java-archive", "js": "text/javascript", "jsonld": "application/ld+json",
    "jxl": "image/jxl", "m4a": "audio/mp4", "m4v": "video/mp4", "map": "application/json", "markdown": "text/markdown",
    "md": "text/markdown", "mjs": "text/javascript", "mkv": "video/x-matroska", "mpd": "application/dash+xml",
    "ogg": "audio/ogg", "ogv": "video/ogg", "opus": "audio/opus", "otf": "font/otf", "rss": "application/rss+xml",
    "atom": "application/atom+xml", "svg": "image/svg+xml", "toml": "application/toml", "ts": "video/mp2t",
    "ttc": "font/collection", "ttf": "font/ttf", "vtt": "text/vtt", "wasm": "application/wasm", "wav": "audio/wav",
    "webm": "video/webm", "webmanifest": "application/manifest+json", "webp": "image/webp", "woff": "font/woff",
    "woff2": "font/woff2", "xml": "application/xml", "xsl": "application/xml", "yaml": "application/yaml",
    "yml": "application/yaml", "zst": "application/zstd", "7z": "application/x-7z-compressed",
}
"""What Python's own table lacks, in some versions at least, or calls by another name than IANA."""
DENSE: Final = re.compile(
    r"(image/(?!svg\+xml|bmp|x-ms-bmp|x-icon|vnd\.microsoft\.icon)|video/|audio/(?!x-wav|wav|basic)|font/woff"
    r"|application/(gzip|zip|zstd|x-brotli|x-7z-compressed|x-bzip2?|x-xz|java-archive|pdf|vnd\.rar|x-rar)).*")
"""Types of files that no coding makes smaller, so that no siblings are looked for."""
FAR: Final = frozenset({
    0x6969, 0x65735546, 0xFF534D42, 0xFE534D42, 0x517B, 0x01021997, 0x00C36400, 0x5346414F, 0x0BD00BD0, 0x01161970,
    0x7461636F, 0x786F4256})
"""File systems (statfs(2)) that another machine or a process serves: NFS, FUSE, CIFS, SMB, 9p, Ceph, AFS, ..."""
_PREFIX: Final = re.compile(r"/|(/[^/?#%\x00-\x20\x7f]+)+/?")
_CACHE_CONTROL: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_OPENAT2: Final = 437
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_CACHED: Final = 0x20


@dataclass(frozen=True)
class Mount:
    """`prefix`: decoded, with a slash at the end only if it is nothing else; `directory`: an absolute path."""

    prefix: str
    directory: str

    def __str__(self) -> str:
        return f"{self.prefix}={self.directory}"


def parse(texts: Iterable[str]) -> tuple[Mount, ...]:
    """What --static says. Raises ValueError: why not, for a person."""
    mounts: list[Mount] = []
    for text in texts:
        prefix, equals, directory = text.partition("=")
        if not (equals and directory):
            raise ValueError(f"{text!r} is not of the form /PREFIX=DIR, as in /static=public")
        if not prefix.startswith("/"):
            raise ValueError(f"{prefix!r} does not begin with a slash, as in /static=public")
        if "%" in prefix:
            raise ValueError(f"{prefix!r}: write the prefix as people read it, without escapes")
        segments = prefix.strip("/").split("/")
        if not _PREFIX.fullmatch(prefix) or "." in segments or ".." in segments:
            raise ValueError(f"{prefix!r} cannot be the beginning of a path")
        try:
            prefix.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{prefix!r} is not UTF-8") from None
        directory = os.path.abspath(directory)
        if not os.path.isdir(directory):
            raise ValueError(f"{directory!r} is not a directory")
        mount = Mount(prefix.rstrip("/") or "/", directory)
        if mount.prefix in [other.prefix for other in mounts]:
            raise ValueError(f"there are two for {mount.prefix!r}")
        mounts.append(mount)
    if len(mounts) > limits.MAX_STATIC_MOUNTS:
        raise ValueError(f"there are {len(mounts)}, and at most {limits.MAX_STATIC_MOUNTS} can be")
    return tuple(mounts)


def check_index(name: str) -> None:
    """Whether this can be the name of a directory's file. Raises ValueError."""
    if "/" in name or "\0" in name or name in (".", "..") or len(os.fsencode(name)) > 255:
        raise ValueError(f"{name!r} is no file's name, as in {INDEX}")


def check_cache_control(text: str) -> None:
    """Whether this can be a field's value. Raises ValueError."""
    if text and (not _CACHE_CONTROL.fullmatch(text) or len(text) > limits.MAX_CACHE_CONTROL_BYTES):
        raise ValueError(f"{text!r} is no field value, as in 'public, max-age=3600'")


def types() -> list[tuple[bytes, bytes, bool]]:
    """(suffix, media type as it is sent, whether siblings with a coding are looked for) of every type that is known.

    They are the same on every machine: the system's own tables, which differ, are not read.
    """
    known = {suffix[1:].lower(): media for suffix, media in mimetypes.MimeTypes().types_map[True].items()}
    known |= MORE_TYPES
    return [(suffix.encode(), _sent(media), DENSE.fullmatch(media) is None) for suffix, media in sorted(known.items())]


def _sent(media: str) -> bytes:
    return (f"{media}; charset=utf-8" if media.startswith("text/") else media).encode()


class Directories:
    """The directories of `mounts`, open. Raises ServerError when one cannot be, or the kernel is too old."""

    def __init__(self, mounts: tuple[Mount, ...]) -> None:
        self._mounts = mounts
        self._fds: list[int] = []
        try:
            for mount in mounts:
                self._fds.append(_open(mount))
            self._cached = _knows_cached(self._fds[0])
        except OSError as error:
            self.close()
            raise ServerError(f"--static: cannot open {mount.directory!r}: {error.strerror}", ExitCode.FILE) from None
        except ServerError:
            self.close()
            raise

    def site(self, index: str, cache_control: str) -> Site:
        """What reactors need to know of them."""
        from swhttp.reactor.staticsite import Site

        lines = b"x-content-type-options: nosniff\r\n"
        if cache_control:
            lines += b"cache-control: " + cache_control.encode() + b"\r\n"
        mounts = [(mount.prefix.rstrip("/").encode(), fd, self._cached and _is_near(fd))
                  for mount, fd in zip(self._mounts, self._fds, strict=True)]
        return Site(mounts, types(), (OTHER.encode(), True), os.fsencode(index), lines)

    def why_not(self) -> str:
        """Whether `reopen` would find them now: why not, or ""."""
        for mount in self._mounts:
            try:
                os.close(_open(mount))
            except OSError as error:
                return f"--static: {mount.directory!r} cannot be opened again: {error.strerror}"
        return ""

    def reopen(self) -> None:
        """Have what is at their paths now take their place."""
        for mount, fd in zip(self._mounts, self._fds, strict=True):
            try:
                new = _open(mount)
            except OSError as error:
                log.error("--static: %r cannot be opened again, and stays as it was: %s", mount.directory,
                          error.strerror)
                continue
            os.dup2(new, fd, inheritable=False)
            os.close(new)

    def close(self) -> None:
        """Close them, when nobody uses them any more."""
        while self._fds:
            os.close(self._fds.pop())


def _open(mount: Mount) -> int:
    """Raises OSError when this user may not look up what is in it. To list it nobody needs."""
    fd = os.open(mount.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.stat("./.", dir_fd=fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _is_near(fd: int) -> bool:
    """Whether a file that the kernel knows is opened without asking somebody else, another machine or process."""
    about = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fstatfs(fd, about) != 0:
        return False
    kind: int = struct.unpack_from("l", about)[0] & 0xFFFFFFFF
    return kind not in FAR


def _knows_cached(fd: int) -> bool:
    """Whether the kernel has openat2 with RESOLVE_CACHED (Linux 5.12). Raises ServerError when it has none at all."""
    for resolve in (_RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS, _RESOLVE_CACHED):
        how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY, 0, resolve)
        libc = ctypes.CDLL(None, use_errno=True)
        found = libc.syscall(ctypes.c_long(_OPENAT2), ctypes.c_long(fd), b".", how, ctypes.c_size_t(len(how)))
        if found >= 0:
            os.close(found)
        elif resolve == _RESOLVE_CACHED:
            return ctypes.get_errno() == errno.EAGAIN
        else:
            raise ServerError(
                "--static needs openat2, which Linux has since 5.6, and which no sandbox may forbid: "
                f"{os.strerror(ctypes.get_errno())}", ExitCode.PLATFORM)
    return True
