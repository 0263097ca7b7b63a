"""`python -m swhttp` is the `swhttp` command."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Entry point of both. Ctrl-C ends it quietly from the first moment on, the imports among them."""
    try:
        from swhttp.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
