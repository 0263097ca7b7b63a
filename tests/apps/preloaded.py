"""Notes each of its imports in a file, and answers with what a worker has of the import; /hold is the reference app's.

IMPORT_GATE: a test's gate at which the import waits. IMPORT_THREAD: it starts threads that do not end by themselves.
IMPORT_TIMERS: it has timers that go off all the time.
"""

import _thread
import json
import os
import random
import signal
import threading
from collections.abc import Iterable
from typing import Any

import reference

IMPORTER = os.getpid()
NOTES = open(os.environ["SEEN_PATH"] + ".imports", "a+")  # noqa: SIM115 - each worker goes on with it
print(IMPORTER, file=NOTES, flush=True)
print("written once", end="")  # is held back, for stdout is no terminal
random.seed(1)


def on_usr2(number: int, frame: object) -> None:
    """Of the application's own."""


signal.signal(signal.SIGUSR2, on_usr2)
signal.signal(signal.SIGTERM, on_usr2)  # a server sees to that itself
if "IMPORT_THREAD" in os.environ:
    threading.Thread(target=threading.Event().wait, name="of-the-import", daemon=True).start()
    _thread.start_new_thread(threading.Event().wait, ())  # of which threading does not know
if "IMPORT_TIMERS" in os.environ:
    for alarm, timer in ((signal.SIGALRM, signal.ITIMER_REAL), (signal.SIGVTALRM, signal.ITIMER_VIRTUAL),
                         (signal.SIGPROF, signal.ITIMER_PROF)):
        signal.signal(alarm, on_usr2)
        signal.setitimer(timer, 0.001, 0.001)
if "IMPORT_GATE" in os.environ:
    reference.wait_at_gate(os.environ["IMPORT_GATE"])


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/hold":
        return reference.wsgi(environ, start_response)
    NOTES.seek(0)
    body = json.dumps({
        "pid": os.getpid(), "parent": os.getppid(), "importer": IMPORTER, "notes": NOTES.read().split(),
        "random": random.random(), "handler": getattr(signal.getsignal(signal.SIGUSR2), "__name__", "none")})
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body.encode()]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    await reference.asgi(scope, receive, send)
