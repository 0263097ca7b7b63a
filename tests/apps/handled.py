"""A handler of the callback API beside tests/apps/reference.py. Its sessions echo; their paths:

    /held?GATE     opens when the gate does
    /denied?GATE   is refused when the gate opens
    /fickle?FILE   is accepted, and its worker dies, if the file is not there; else it is refused
    /busy?GATE     the handler of its first message waits at the gate
    /state         each message is its state
    /group         it joins the group that each message names
    /heavy?GATE    the same of the first two; each is noted as "heard SEQUENCE", with "again", and its echo is long

Each end is noted as "closed CODE".
"""

from __future__ import annotations

import os
import signal
from typing import Any

from site_parts import note, wait_at

LONG = 16_000


class Handler:
    """What swhttp calls."""

    def on_open(self, session: Any) -> bool:
        """Welcome."""
        if session.path in ("/held", "/denied"):
            wait_at(session.query_string)
        if session.path == "/fickle" and not os.path.exists(session.query_string):
            session.accept()
            with open(session.query_string, "x"):
                os.kill(os.getpid(), signal.SIGKILL)
        return session.path not in ("/denied", "/fickle")

    def on_message(self, session: Any, data: Any) -> None:
        """Send it back."""
        if session.path == "/busy" and session.sequence == 1:
            wait_at(session.query_string)
        if session.path == "/heavy":
            if session.sequence <= 2:
                wait_at(session.query_string)
            note(f"heard {session.sequence}" + " again" * session.redelivered)
            data = data.ljust(LONG)
        if session.path == "/state":
            session.state = data.encode()
        elif session.path == "/group":
            session.join(data)
        else:
            session.push(data)

    def on_close(self, session: Any, code: int) -> None:
        """Farewell."""
        note(f"closed {code}")


handler = Handler()
on_open, on_message, on_close = handler.on_open, handler.on_message, handler.on_close  # this module is a handler, too
