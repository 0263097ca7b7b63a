"""`python -m tests.support.hasty` is the `swhttp` command with short waits for clients that owe an end: shorter ones
would cut a client that does what it owes, on a machine that has much to do."""

from __future__ import annotations

from typing import Final

SHORT: Final = {"WS_CLOSE_TIMEOUT_S": 1.0, "LINGER_TIMEOUT_S": 1.0}


def main() -> None:
    """The command. The compiled parts read their limits when they are imported, which is later."""
    from swhttp import limits

    vars(limits).update(SHORT)
    from swhttp import __main__

    __main__.main()


if __name__ == "__main__":
    main()
