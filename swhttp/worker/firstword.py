"""Who fails first says why, and who fails after it need not repeat it: one word for the workers of a first boot.

It owns a file without a name, whose first byte says whether somebody has spoken, and whose lock holds the others back
while somebody does. The lock of a process that dies goes with it, so nobody waits for the dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator


class FirstWord:
    """Made before the workers are forked, which inherit `fd`."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("swhttp-first-word", os.MFD_CLOEXEC)

    @contextlib.contextmanager
    def turn(self) -> Iterator[bool]:
        """While it is this process's turn: has nobody spoken before? Who takes a turn speaks in it.

        Raises OSError when the file is gone: foreign code may close any fd.
        """
        fcntl.lockf(self.fd, fcntl.LOCK_EX)
        try:
            yield os.pread(self.fd, 1, 0) == b""
            os.pwrite(self.fd, b"!", 0)
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file here, if nobody has."""
        with contextlib.suppress(OSError):
            os.close(self.fd)
