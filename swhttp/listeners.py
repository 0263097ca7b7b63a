"""The listening sockets: made, checked or inherited before anything else starts, and removed at the end.

Only the master has them. Unix sockets are files: a stale one (nobody answers) is replaced, a live one is not, and at
the end only our own is removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from swhttp import limits
from swhttp.binds import NO_SOCKET, Bind, FdBind, TcpBind, UnixBind, parse, tcp_text
from swhttp.errors import ExitCode, ServerError
from swhttp.ownership import give_socket
from swhttp.privileges import Identity


@dataclass
class Listener:
    """One listening, non-blocking socket.

    `kind`: "tcp" or "unix"; `text`: as in "127.0.0.1:8000", "[::1]:8000" or "unix:/path".
    """

    socket: socket.socket
    kind: str
    text: str
    inherited: bool
    file: tuple[str, int, int] | None = None
    """Path, device and inode of a unix socket that we have made."""
    inode: tuple[object, ...] | None = None
    """Device and inode of one that another server has made, as it says."""
    lent: bool = False
    """Another server has it too at the moment: it is not ours to shut down or remove."""
    secure: bool = False
    """TLS is spoken on it."""

    @property
    def url(self) -> str:
        """How it is shown to people."""
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{self.text}" if self.kind == "tcp" else self.text

    def becomes(self, identity: Identity, path_of: Callable[[str], str]) -> None:
        """This process will be `identity`: give it the socket's file, and let it find that. Raises OSError."""
        if self.file is not None:
            give_socket(*self.file, identity)
        self.moved(path_of)

    def moved(self, path_of: Callable[[str], str]) -> None:
        """This process finds the socket's file at `path_of` the path of today (empty: nowhere) from now on."""
        if self.file is not None:
            path, device, inode = self.file
            self.file = (path_of(path), device, inode)

    def stop_listening(self) -> None:
        """Refuse new connections from now on, without closing the fd, which reactors may be using.

        A socket that was inherited is another's too (systemd's, for the next start): it goes on listening.
        """
        if not (self.inherited or self.lent):
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it did not listen any more
            self._remove_file()

    def close(self) -> None:
        """Close it, and remove a file of ours: first, for an inode's number is another's once ours is closed."""
        self._remove_file()
        self.socket.close()

    def _remove_file(self) -> None:
        if self.file is None or self.lent:
            return
        path, device, inode = self.file
        try:
            found = os.stat(path, follow_symlinks=False)
            if (found.st_dev, found.st_ino) == (device, inode):
                os.unlink(path)
        except OSError:
            return  # somebody has removed it already


def open_all(
    texts: Sequence[str], backlog: int = limits.BACKLOG, reuse_port: bool = False,
    taken: Sequence[Listener | None] = (),
) -> list[Listener]:
    """Listen on every bind.

    `backlog`: connections that may wait in the kernel; `reuse_port`: others may bind a TCP port too; `taken`: for each
    bind the listener of another server, or None. Raises ServerError (ExitCode.BIND) and leaves none open when one
    fails.
    """
    opened: list[Listener] = []
    try:
        for at, text in enumerate(texts):
            opened.append((taken[at] if taken else None) or _open(text, parse(text), backlog, reuse_port))
    except BaseException:
        for listener in opened:
            listener.close()
        raise
    return opened


def _open(text: str, bind: Bind, backlog: int, reuse_port: bool) -> Listener:
    try:
        match bind:
            case TcpBind():
                return _open_tcp(bind, backlog, reuse_port)
            case UnixBind():
                return _open_unix(bind.path, backlog)
            case FdBind():
                return _inherit(bind)
    except OSError as error:
        raise ServerError(f"Cannot listen on {text}: {error.strerror or error}", ExitCode.BIND) from None
    except UnicodeError:  # from IDNA, which no host with an empty or very long label passes
        raise ServerError(f"Cannot listen on {text}: that is no host's name", ExitCode.BIND) from None


def _open_tcp(bind: TcpBind, backlog: int, reuse_port: bool) -> Listener:
    found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM)
    # One bind is one socket. A name with addresses of both families ("localhost") means the IPv4 one.
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what is accepted
        if family == socket.AF_INET6:
            # [::] and 0.0.0.0 can be bound side by side, and clients never show as ::ffff:1.2.3.4.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(backlog)
        listener.setblocking(False)
        return Listener(listener, "tcp", _text_of(listener), inherited=False)
    except BaseException:
        listener.close()
        raise


def open_control(path: str) -> Listener:
    """Listen at `path` for those who may command the server: its mode is 0600 before anybody can connect.

    Raises ServerError (ExitCode.FILE), also when a running server has it.
    """
    try:
        return _open_unix(path, limits.CONTROL_BACKLOG, 0o600)
    except OSError as error:
        why = error.strerror or str(error)
        raise ServerError(f"Cannot make the control socket {path!r}: {why}", ExitCode.FILE) from None


def _open_unix(path: str, backlog: int, mode: int | None = None) -> Listener:
    # Of servers that start together each would find a stale file, and the last would remove the socket of the first.
    with _alone_in(os.path.dirname(path) or os.curdir):
        return _make_unix(path, backlog, mode)


@contextlib.contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """Keep other servers of ours from making a socket there meanwhile, if that can be.

    Whoever may look into a directory may lock it, for as long as he likes, and not every file system has locks: that
    must not keep a server from its start.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # one may write there, and not look
        yield
        return
    try:
        _lock(fd, time.monotonic() + limits.SOCKET_LOCK_S)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, until_s: float) -> None:
    while time.monotonic() < until_s:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(limits.SOCKET_LOCK_TRY_S)  # there is nothing to wait for that has an end of its own
        except OSError:
            return
        else:
            return


def _make_unix(path: str, backlog: int, mode: int | None) -> Listener:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if mode is not None:
            os.fchmod(listener.fileno(), mode)  # bind(2) makes the file with it; the umask can only take from it
        listener.bind(path)
        made = os.stat(path, follow_symlinks=False)
        try:
            listener.listen(backlog)
            listener.setblocking(False)
        except BaseException:
            os.unlink(path)
            raise
        return Listener(listener, "unix", f"unix:{path}", False, (os.path.abspath(path), made.st_dev, made.st_ino))
    except BaseException:
        listener.close()
        raise


def _remove_stale(path: str) -> None:
    """Remove a socket file at which nobody listens; one that is in use makes `bind` fail, as it should. Raises OSError
    for a file of another kind: that address is in use, bind(2) would say of it."""
    try:
        if not stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
            raise OSError(errno.EEXIST, NO_SOCKET)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            return  # a full backlog, another type of socket, no permission: in use


def adopt(text: str, fd: int, inode: object) -> Listener:
    """The listener that another server has for the bind `text`, lent to us. Whatever that server says of it, the socket
    itself says what it is. `inode`: device and inode of its file, as that server says. Raises ValueError when it is
    something else; the fd is the caller's then."""
    bind = parse(text)
    try:
        listener = _inherit(FdBind(fd))
    except OSError as error:
        raise ValueError(f"{text}: {error.strerror or error}") from None
    if not _fits(bind, listener.socket):
        listener.socket.detach()
        raise ValueError(f"{text}: the socket listens on {listener.text}")
    listener.inherited, listener.lent = isinstance(bind, FdBind), True
    listener.inode = tuple(inode) if isinstance(inode, list) else None
    return listener


def _fits(bind: Bind, listener: socket.socket) -> bool:
    name = listener.getsockname()
    match bind:
        case TcpBind():
            if listener.family == socket.AF_UNIX or bind.port not in (0, name[1]):
                return False
            try:
                version = ipaddress.ip_address(bind.host).version
            except ValueError:  # a name
                return True
            return listener.family == (socket.AF_INET6 if version == 6 else socket.AF_INET)
        case UnixBind():
            return listener.family == socket.AF_UNIX and os.fsdecode(name) == bind.path
        case FdBind():
            return True


def claim_file(text: str, listener: Listener, directory: str) -> None:
    """It is going to be ours alone: find the file that its bind `text` names, which is then ours to remove, if it is
    still the one that was made for it. `directory`: where `text` was written."""
    bind = parse(text)
    if isinstance(bind, UnixBind):
        path = os.path.abspath(os.path.join(directory, bind.path))
        with contextlib.suppress(OSError):  # it is not there any more
            found = os.stat(path, follow_symlinks=False)
            if stat.S_ISSOCK(found.st_mode) and (found.st_dev, found.st_ino) == listener.inode:
                listener.file = (path, found.st_dev, found.st_ino)


def _inherit(bind: FdBind) -> Listener:
    try:
        os.fstat(bind.fd)
        inherited = socket.socket(fileno=bind.fd)
    except OSError as error:
        raise OSError(error.errno, f"file descriptor {bind.fd}: {error.strerror}") from None
    if inherited.type != socket.SOCK_STREAM or not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        inherited.detach()
        raise OSError(None, "the file descriptor is not a listening stream socket")
    inherited.set_inheritable(False)
    inherited.setblocking(False)
    if inherited.family == socket.AF_UNIX:
        return Listener(inherited, "unix", _text_of(inherited), inherited=True)
    if inherited.family in (socket.AF_INET, socket.AF_INET6):
        inherited.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Listener(inherited, "tcp", _text_of(inherited), inherited=True)
    inherited.detach()
    raise OSError(None, f"the address family {inherited.family} is not served")


def _text_of(listener: socket.socket) -> str:
    name = listener.getsockname()
    if listener.family != socket.AF_UNIX:
        return tcp_text(name[0], name[1])
    path = os.fsdecode(name)
    # An abstract name begins with a NUL, which is written "@" (unix(7), as ss and systemd do).
    return "unix:" + (f"@{path[1:]}" if path.startswith("\0") else path)
