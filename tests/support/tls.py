"""TLS for tests: an authority and its certificates, and a client's end that hides nothing.

The end of a stream without close_notify is what it is, a reset; half-closing works; and what would go out can be had as
bytes, to be sent in any pieces.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
import ssl
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import trustme


class TlsSocket:
    """A client's TLS over a connected socket, with what `Connection` needs of a socket."""

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, name: str = "localhost",
                 shake: bool = True, resumes: ssl.SSLSession | None = None) -> None:
        self.raw = raw
        self._ahead = b""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name, session=resumes)
        if shake:
            self.shake()

    def shake(self) -> None:
        """Go on with the handshake to its end."""
        self._until_done(self.session.do_handshake)
        self.raw.sendall(self.outgoing.read())

    def _until_done(self, step: Any) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                if self.outgoing.pending:
                    self.raw.sendall(self.outgoing.read())
                piece = self.raw.recv(1 << 16)
                if not piece:
                    raise ConnectionResetError("the end without close_notify") from None
                self.incoming.write(piece)
            except ssl.SSLError:
                if self.outgoing.pending:  # an alert
                    with contextlib.suppress(OSError):
                        self.raw.sendall(self.outgoing.read())
                raise

    def encrypted(self, data: bytes) -> bytes:
        """The bytes that would be sent."""
        for at in range(0, len(data), 1 << 20):
            self.session.write(data[at:at + (1 << 20)])
        return self.outgoing.read()

    def sendall(self, data: bytes) -> None:
        if data:
            self.raw.sendall(self.encrypted(data))

    def recv(self, count: int) -> bytes:
        if self._ahead:
            taken, self._ahead = self._ahead[:count], self._ahead[count:]
            return taken
        try:
            return bytes(self._until_done(lambda: self.session.read(count)))
        except ssl.SSLZeroReturnError:
            return b""

    def wait_readable(self, timeout_s: float) -> bool:
        """Whether plaintext, or the end, is there or comes in time. Tickets are neither."""
        until_s = time.monotonic() + timeout_s
        poller = select.poll()
        poller.register(self.raw, select.POLLIN)
        while not self._ahead:
            try:
                self._ahead = self.session.read(1 << 16)
                return True  # the end, if nothing has come
            except ssl.SSLWantReadError:
                if not poller.poll(max(0.0, until_s - time.monotonic()) * 1000):
                    return False
                try:
                    piece = self.raw.recv(1 << 16)
                except ConnectionResetError:
                    return True
                if not piece:
                    return True
                self.incoming.write(piece)
            except ssl.SSLZeroReturnError:
                return True
        return True

    def say_end(self) -> None:
        """Send close_notify."""
        with contextlib.suppress(ssl.SSLError):
            self.session.unwrap()
        self.raw.sendall(self.outgoing.read())

    def shutdown(self, how: int) -> None:
        self.say_end()
        self.raw.shutdown(how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


@dataclass(frozen=True)
class Files:
    """A certificate with its chain, and its key; `both`: in one file."""

    cert: str
    key: str
    both: str


class Authority:
    """Makes certificates, in a directory that lives as long as it does."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self._directory = tempfile.TemporaryDirectory(prefix="swt-ca-")
        self._count = 0
        self.file = self._path("ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory.name, name)

    def issue(self, *names: str, common_name: str | None = None) -> Files:
        """For these names or addresses."""
        made = self._ca.issue_cert(*names, common_name=common_name)
        self._count += 1
        files = Files(*(self._path(f"{self._count}.{kind}.pem") for kind in ("cert", "key", "both")))
        for pem in made.cert_chain_pems:
            pem.write_to_path(files.cert, append=True)
        made.private_key_pem.write_to_path(files.key)
        made.private_key_and_cert_chain_pem.write_to_path(files.both)
        return files

    def client(self, files: Files | None = None) -> ssl.SSLContext:
        """The context of a client that trusts it. `files`: what it shows."""
        context = ssl.create_default_context(cafile=self.file)
        if files is not None:
            context.load_cert_chain(files.both)
        return context


@functools.cache
def authority() -> Authority:
    """The one of this process."""
    return Authority()


@functools.cache
def usual() -> Files:
    """The certificate that servers of tests have."""
    return authority().issue("localhost", "127.0.0.1", common_name="localhost")


def options() -> tuple[str, ...]:
    """That make a server speak TLS."""
    return "--ssl-certfile", usual().cert, "--ssl-keyfile", usual().key
