"""`python -m swhttp` is the `swhttp` command."""

from swhttp.cli import main

if __name__ == "__main__":
    main()
