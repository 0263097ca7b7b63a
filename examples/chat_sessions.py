"""A chat that a reload leaves alone: `swhttp chat_sessions:app --ws-handler chat_sessions:Chat --app-dir examples`.

Shows the callback API: between two messages a session is with no worker, so a new one goes on where the old one was.
What has to be remembered of a session is its state, which the server keeps. The page is from a WSGI app. Open it twice,
say something, `kill -USR1` the server, go on.

    curl http://127.0.0.1:8000/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import swhttp

PAGE = Path(__file__).with_name("chat.html").read_bytes()
ROOM = "room"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The page."""
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(PAGE)))])
    return [PAGE]


def say(text: str, who: str = "") -> None:
    """To all in the room, whichever worker has talked to them last."""
    swhttp.broadcast(ROOM, json.dumps({"who": who, "text": text}))


class Chat:
    """What is called for all WebSockets, in any worker. The first message is a name, the others are said under it."""

    def on_open(self, session: swhttp.Session) -> None:
        """Somebody has opened the page."""
        session.join(ROOM)

    def on_message(self, session: swhttp.Session, data: str | bytes) -> None:
        """Somebody has said something."""
        if not isinstance(data, str):
            session.close(1003, "texts only")
        elif session.state:
            say(data, who=session.state.decode())
        else:
            session.state = data[:40].encode()
            say(f"{data[:40]} has come")

    def on_close(self, session: swhttp.Session, code: int) -> None:
        """The page is closed."""
        if session.state:
            say(f"{session.state.decode()} has left")
