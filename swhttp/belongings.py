"""What the master has in the world: listening sockets, log files, the pid file, the control socket.

It owns them from their opening to their removal, and who has them: this process, with another user's rights from some
point on, and with another server for a while, when one takes the place of the other (`swhttp.takeover`).

    heir         has the old one's listening sockets lent, and none of its files until all its workers are READY; what
                 it makes itself is its own from the start
    predecessor  lends its sockets, and shuts none down meanwhile; gives up its files when it hands over; or has all
                 back, if the heir leaves before
"""

from __future__ import annotations

import codecs
import os
import time
from typing import TYPE_CHECKING

from swhttp import about, accessfile, binds, listeners, logs, ownership, privileges, slowlog
from swhttp.config import Config, check_tmp_dir, inside
from swhttp.controlproto import Message
from swhttp.errors import ExitCode, ServerError
from swhttp.listeners import Listener
from swhttp.logs import log
from swhttp.pidfile import PidFile

if TYPE_CHECKING:
    from swhttp.certificates import Certificates
    from swhttp.takeover import Predecessor


class Belongings:
    """Those of one master. `predecessor`: a server whose place is taken. Nothing is open before `open`."""

    def __init__(self, config: Config, predecessor: Predecessor | None) -> None:
        self._config = config
        self.predecessor = predecessor
        """None again, once its place is ours."""
        self._pid_file = PidFile(config.pid) if config.pid else None
        self._deaf = False
        self._reads_certificates_again = True
        self._handed_over = False
        self.listeners: list[Listener] = []
        self.access_fd = -1
        """Of the access log, until somebody has taken it."""
        self.slow_log: slowlog.SlowLog | None = None
        self.control: Listener | None = None
        self.tls = config.tls
        """Where its certificates are, as this process sees them; None: no TLS."""
        self.certificates: Certificates | None = None
        """What was loaded last."""

    # Start

    def open(self, identity: privileges.Identity | None = None) -> None:
        """Open all, before anything is forked: what cannot be opened is the only thing that is said. What was opened
        is `close`d by the caller even then. `identity`: whom this process will be, if that is another. Raises
        ServerError."""
        config = self._config
        taken = self.predecessor.chosen if self.predecessor is not None else []
        self._load_certificates()
        self.listeners = listeners.open_all(config.bind, config.backlog, config.reuse_port, taken)
        for bind, listener in zip(config.bind, self.listeners, strict=True):
            listener.secure = self.tls is not None and listener.kind == "tcp" and binds.may_be_secure(bind)
        if config.access_log:
            try:
                self.access_fd = accessfile.open_log(config.access_log, identity)
            except OSError as error:
                raise ServerError(
                    f"Cannot write the access log {config.access_log!r}: {error.strerror}", ExitCode.FILE) from None
        self.slow_log = slowlog.SlowLog(config.slow_log_file, config.log_format, identity)
        if self.predecessor is None:
            self._claim_pid_file()
            self._claim_control()

    def _load_certificates(self) -> None:
        """Raises BadValue."""
        if self.tls is not None:
            from swhttp.certificates import Certificates, tolerate_odd_names

            tolerate_odd_names()
            self.certificates = Certificates(self.tls)

    def reload_certificates(self) -> str:
        """Load them anew. Returns why not, or "": then `certificates` has them; where they are not to be read again,
        these are still the old ones."""
        if self.tls is None or not self._reads_certificates_again:
            return ""
        from swhttp.certificates import Certificates

        try:
            self.certificates = Certificates(self.tls)
        except Exception as error:  # whatever is in a file that somebody has changed: no reload ends the server
            return f"the certificates stay as they are: {error}"
        return ""

    def _claim_pid_file(self) -> None:
        """Whose server this is. Raises ServerError."""
        if self._pid_file is not None and not self._pid_file.is_ours:
            self._pid_file.claim()

    def _claim_control(self) -> None:
        """Where it hears commands. Raises ServerError."""
        if self._config.control and self.control is None:
            self.control = listeners.open_control(self._config.control)

    def claim_again(self) -> str:
        """The same, of what is not ours yet, one after the other. Returns why not, or ""."""
        if self._handed_over:
            return ""
        reasons = []
        for claim in (self._claim_pid_file, self._claim_control):
            try:
                claim()
            except ServerError as error:
                reasons.append(str(error))
        return "; ".join(reasons)

    def become(self, identity: privileges.Identity) -> Config:
        """Be somebody else from here on, with what is open; hand over what is removed or opened again later.

        Returns the configuration as it is seen then, from the new root. Raises ServerError.
        """
        before, self._config = self._config, self._config.seen_from_its_root()

        def path_of(path: str) -> str:
            return inside(before.chroot, path) if before.chroot else path

        logs.becomes(identity, self._config.error_log)
        if self.access_fd >= 0:
            ownership.give(self.access_fd, before.access_log, identity)
        if self.slow_log is not None:
            self.slow_log.becomes(identity, self._config.slow_log_file)
        if self.control is not None:  # root's: a worker, which may be in somebody's hands, does not command the server
            self.control.moved(path_of)
        for listener in self.listeners:
            try:
                listener.becomes(identity, path_of)
            except OSError as error:
                raise ServerError(
                    f"Cannot give {listener.text} to its user: {error.strerror}", ExitCode.PRIVILEGES) from None
        if self._pid_file is not None:
            self._pid_file.moved(path_of(before.pid))
        tls = self.tls.moved(path_of) if self.tls is not None else None
        if before.chroot:
            load_before_chroot()
        privileges.become(identity)
        if not before.chroot:
            privileges.check_modules(identity, (os.__file__, about.__file__))
        check_tmp_dir(self._config.tmp_dir)
        logs.became(self._config.app_dir)
        if tls is not None:
            self.tls = tls
            if path := self.tls.unreadable():
                self._reads_certificates_again = False
                log.warning("%s cannot be read by %s: new certificates need a new server, a reload does not bring them",
                            path, identity.described)
        log.info("Running as %s", identity.described)
        return self._config

    def let_go(self) -> None:
        """In a child: close what is the master's, and no more. It keeps no private key either."""
        if self.certificates is not None:
            from swhttp.certificates import tolerate_no_more

            tolerate_no_more()
            self.certificates.forget()
            self.certificates = None
        for listener in (*self.listeners, *([self.control] if self.control is not None else [])):
            listener.socket.close()
        if self.predecessor is not None:
            self.predecessor.let_go()
            for _, listener in self.predecessor.dropped:
                listener.socket.close()

    # From one server to another

    def take_over(self) -> None:
        """The old server goes, and its sockets are ours alone."""
        predecessor, self.predecessor = self.predecessor, None
        if predecessor is None:
            return
        predecessor.let_go()
        ours = list(zip(self._config.bind, self.listeners, strict=True))
        for bind, listener in ours + predecessor.dropped:
            if listener.lent:
                listener.lent = False
                listeners.claim_file(bind, listener, predecessor.cwd)
        for _, listener in predecessor.dropped:
            listener.close()

    def lend(self) -> tuple[list[Message], list[int]] | None:
        """Another server is to have the listening sockets too: what `takeover` says of each, and their fds; None: they
        are not ours yet."""
        if self.predecessor is not None:
            return None
        for listener in self.listeners:
            listener.lent = True
        return ([{"bind": bind, "inode": listener.file and listener.file[1:]}
                 for bind, listener in zip(self._config.bind, self.listeners, strict=True)],
                [listener.socket.fileno() for listener in self.listeners])

    def take_back(self) -> None:
        """The other server is not to be: they are ours alone. Never after `hand_over`: it serves on them."""
        if self._handed_over:
            return
        for listener in self.listeners:
            listener.lent = False
        if self._deaf:
            self.stop_listening()

    def hand_over(self) -> None:
        """The other server serves, and has the files from now on."""
        self._handed_over = True
        if self._pid_file is not None:
            self._pid_file.release()
        if self.control is not None:
            self.control.close()
            self.control = None  # what is at its path soon may look the same

    # End

    def stop_listening(self) -> None:
        """The backlog is empty: whom the kernel takes from now on it must refuse."""
        self._deaf = True
        for listener in self.listeners:
            listener.stop_listening()

    def close(self) -> None:
        """Close and remove all."""
        for listener in self.listeners:
            listener.close()
        if self.access_fd >= 0:
            os.close(self.access_fd)
        if self.control is not None:
            self.control.close()
        if self._pid_file is not None:
            self._pid_file.release()


def load_before_chroot() -> None:
    """Load what this server needs in any of its processes, and cannot read any more once it has another root."""
    import swhttp.worker.asgi_loop
    import swhttp.worker.main
    import swhttp.worker.wsgi_loop
    import swhttp.worker.zygote  # noqa: F401

    for encoding in ("ascii", "latin-1", "utf-8", "utf-16-le", "idna"):
        codecs.lookup(encoding)
    time.tzset()
