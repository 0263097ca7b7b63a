"""Exit codes, and the error that carries one: everything that ends the server with a message of its own."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of the master, a contract with service managers."""

    OK = 0
    USAGE = 2  # a bad option or value; click's own
    APP = 3  # the application cannot be found, imported or started
    BIND = 4  # an address cannot be listened on
    MANAGER_DIED = 5  # to be restarted by the service manager: the master must not fork again
    INTERNAL = 6
    VALUE = 8  # an option's value cannot work


class ServerError(Exception):
    """A failure that ends the server with one readable message instead of a traceback.

    `message`: for the person who started the server; `exit_code`: the master's exit status.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code
