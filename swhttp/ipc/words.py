"""Numbers of frame.h, session.h and rfc6455.h that Python says itself; nothing else in Python spells one of them.

The headers are right: tests/ipc/test_words.py holds these against them, name by name.
"""

from __future__ import annotations

from typing import Final

EVENT_WS_OPEN: Final = 10
EVENT_WS_MESSAGE: Final = 11
EVENT_WS_SESSION: Final = 14
EVENT_WS_SESSION_SHM: Final = 15

SW_NO_LENGTH: Final = -1

SW_WS_PUSH: Final = 1
SW_WS_BROADCAST: Final = 2
SW_WS_JOIN: Final = 3
SW_WS_LEAVE: Final = 4
SW_WS_END: Final = 5
SW_WS_OVERFLOW: Final = 6
SW_WS_POLICY_SHIFT: Final = 4
SW_WS_DROP: Final = 0
SW_WS_CUT: Final = 1
SW_WS_BLOCK: Final = 2
SW_SESSION_REACTOR_BITS: Final = 6
SW_SESSION_SLOW: Final = 1
SW_SESSION_BLOCKS: Final = 2

SW_WS_TEXT: Final = 1
SW_WS_BINARY: Final = 2
SW_CLOSE_NORMAL: Final = 1000
SW_WS_REASON_BYTES: Final = 123


def close_code_is_sendable(code: int) -> bool:
    """As sw_close_code_is_sendable() of rfc6455.h."""
    return code in range(1000, 1004) or code in range(1007, 1015) or code in range(3000, 5000)
