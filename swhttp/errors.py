"""Exit codes, and the errors that carry one: everything that ends the server with a message of its own."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of the master, and of the verbs for a running one; a contract with service managers and scripts."""

    OK = 0
    USAGE = 2  # an unknown option, a missing argument; click's own
    APP = 3  # the application cannot be imported or started
    BIND = 4  # an address cannot be listened on
    MANAGER_DIED = 5  # to be restarted by the service manager: the master must not fork again
    INTERNAL = 6
    APP_MISSING = 7  # there is no such module, or nothing of that name in it
    VALUE = 8  # an option's value cannot work
    CONFIG = 9  # a configuration file cannot be read or understood
    FILE = 10  # the pid file, a log file or the control socket cannot be made
    PLATFORM = 11  # not Linux, or the system withholds what the server needs
    REFUSED = 12  # of a verb: the running server says no, or what it began has failed
    NO_ANSWER = 13  # of a verb: no server answers at the control socket, or not in time
    PRIVILEGES = 14  # it cannot become the user, the group or the root that it was told to


class ServerError(Exception):
    """A failure that ends the server with one readable message instead of a traceback.

    `message`: for the person who started the server; `exit_code`: the master's exit status.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class BadValue(ServerError):
    """A value that cannot work (ExitCode.VALUE).

    `what`: the option, as its main flag or APP; whoever knows that the value came from elsewhere says so in its
    place. `why`: what is wrong with it.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}", ExitCode.VALUE)
        self.what = what
        self.why = why
