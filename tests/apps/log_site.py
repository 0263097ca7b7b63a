"""Apps that log, print, fail and configure logging themselves; as a WSGI app called `site`.

/say/<word>    logs it at info on the logger `site`, and prints it on stderr
/raise         raises an exception whose text has a line end and an escape
/close-fds     closes every fd of the process, of the server's too, that a daemon's start would close
RECONFIGURE    in the environment: the module configures logging as a project's settings do, at its import
"""

from __future__ import annotations

import logging
import logging.config
import os
import stat
import sys
from collections.abc import Callable, Iterable
from typing import Any

if os.environ.get("RECONFIGURE"):
    logging.config.dictConfig({
        "version": 1,
        "disable_existing_loggers": True,
        "formatters": {"marked": {"format": "app's own form: %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "marked"}},
        "root": {"level": "DEBUG", "handlers": ["console"]},
    })


def site(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path.startswith("/say/"):
        word = path.removeprefix("/say/")
        logging.getLogger("site").info("site says %s", word)
        print("printed", word, file=sys.stderr, flush=True)
    elif path == "/raise":
        raise RuntimeError("one line\nanother\x1b[31m line")
    elif path == "/close-fds":
        for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
            if fd > 2 and stat.S_ISREG(_mode(fd)) and "/memfd:" not in os.readlink(f"/proc/self/fd/{fd}"):
                os.close(fd)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def _mode(fd: int) -> int:
    try:
        return os.fstat(fd).st_mode
    except OSError:
        return 0  # the one that listed the directory
