"""What a worker is told when it is forked: one immutable value, made by the manager."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from swhttp import limits
from swhttp.compressing import Compressing
from swhttp.ipc.memory import SharedMemory
from swhttp.worker.firstword import FirstWord
from swhttp.worker.sockethandler import SocketHandler

NO_SLOT: Final = -1
"""Of a zygote."""


@dataclass(frozen=True)
class Loaded:
    """An application that is there already. `interface`: asgi or wsgi."""

    app: Any
    interface: str
    handlers: Mapping[int, Any]
    """Of the signals for which the import has set another: as `signal.signal` takes it."""
    ws_handler: SocketHandler | None = None
    """What takes WebSockets; None: the application."""


@dataclass(frozen=True)
class WorkerContext:
    """A worker's place and task."""

    slot: int
    generation: int
    memory: SharedMemory
    """Narrowed to what the worker in `slot` may see."""
    app: Any
    """An import string (`module:attr`, `module:attr.attr`) or the application itself."""
    factory: bool
    """`app` is to be called without arguments and returns the application."""
    app_dir: str | None
    """Put on sys.path; None: the current directory."""
    interface: str
    """auto, asgi or wsgi."""
    threads: int
    """WSGI: requests at once."""
    channel: socket.socket
    """SEQPACKET, to the manager. Its end means that the manager is gone."""
    binds: tuple[str, ...]
    """Texts of the listeners, "127.0.0.1:8000" or "unix:/path", by the index that sessions carry."""
    tmp_dir: str = tempfile.gettempdir()
    """Where response bodies go that a slow client makes wait."""
    response_spool_max_bytes: int = limits.RESPONSE_SPOOL_MAX_BYTES
    """WSGI: how much of one response may be in a file, ahead of its client."""
    root_path: str = ""
    """Below which the app lives, as in "/shop"; empty: at the root."""
    compressing: Compressing | None = None
    """Which responses are compressed, and how; None: none is."""
    first_word: FirstWord | None = None
    """Of the workers that boot with the server, one says why they cannot. None: it boots later, and says so itself."""
    hooks: Any = ""
    """The module of --hooks, or its name; empty: there are none."""
    stacks_fds: tuple[int, ...] = ()
    """For each slot, where to write what its worker is doing when the manager asks; empty: it never does."""
    lifespan: str = "auto"
    """auto: an app that raises before its first receive() has none; on: it must have one; off: it is not asked."""
    ws_handler: Any = ""
    """What takes all WebSockets, `module:object`, or that object; empty: the application."""
    loaded: Loaded | None = None
    """What the zygote has imported that has forked this worker. None: import it."""
