"""`python -m tests.support.hasty` is the `swhttp` command with short waits for clients that owe an end."""

from __future__ import annotations

from typing import Final

SHORT: Final = {"WS_CLOSE_TIMEOUT_S": 0.3, "LINGER_TIMEOUT_S": 0.3}


def main() -> None:
    """The command. The compiled parts read their limits when they are imported, which is later."""
    from swhttp import limits

    vars(limits).update(SHORT)
    from swhttp import __main__

    __main__.main()


if __name__ == "__main__":
    main()
