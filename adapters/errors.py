"""What an adapter raises into an app, or because of it."""

from __future__ import annotations


class InvalidResponse(ValueError):
    """The app's response cannot go on the wire: a bad field name or value, status, length or message.

    Raised where the app handed it over; when the app lets it out, the client gets a 500 and the log the reason.
    """


class ClientDisconnected(OSError):
    """The client is gone. `send()` raises it (ASGI specification 2.4: a subclass of OSError)."""
