"""The verbs of the command line: ask a running server by its control socket, show the answer, leave with a status.

    swhttp VERB --control PATH [OPTIONS]

It knows the protocol (swhttp.controlproto) and nothing of how a server works. It never waits for ever but where it was
asked to wait for an end: for a reload's, or the server's, without --timeout. Status: ExitCode.OK; REFUSED when the
server says no, or what it was asked to do has failed; NO_ANSWER when there is no server there, or none that answers.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import click

from swhttp import launch, limits, tables
from swhttp.config import OPTIONS
from swhttp.controlproto import BadMessage, Decoder, Message, encode
from swhttp.errors import BadValue, ExitCode, ServerError
from swhttp.logforms import escaped_lines, one_line

_CONTROL: Final = OPTIONS["control"]
_RECEIVE_BYTES: Final = 65536


@dataclass(frozen=True)
class Verb:
    """`help`: what it does; `show`: an answer as people want it; `waits`: it can wait for an end; `quick`, `workers`:
    it has that option, that argument."""

    help: str
    show: Callable[[Message], str] = lambda answer: ""
    waits: str = ""
    quick: bool = False
    workers: bool = False


VERBS: Final[dict[str, Verb]] = {
    "status": Verb("Show what the server is and does.", tables.status),
    "workers": Verb("Show each worker: what it has done, what it has, its memory.", tables.workers),
    "requests": Verb("Show the requests that are in flight, oldest first.", tables.requests),
    "reload": Verb("Replace the workers by new ones, which import the app afresh.",
                   waits="End when the new workers serve, or have failed: then with their traceback and status "
                         f"{int(ExitCode.REFUSED)}."),
    "scale": Verb("Have N workers from now on.", lambda answer: one_line(f"{answer['workers']} workers are wanted"),
                  workers=True),
    "reopen": Verb("Open the log files again, after they have been renamed."),
    "stop": Verb("Stop the server; requests in flight may end, within its --graceful-timeout.",
                 waits="End when the server has ended.", quick=True),
}


def command(name: str) -> click.Command:
    """The command of a verb."""
    verb = VERBS[name]
    parameters: list[click.Parameter] = [
        click.Option(["--control", "control"], metavar=_CONTROL.metavar, default="",
                     help=f"The server's control socket.  [variable: {_CONTROL.variable}]"),
        click.Option(["--json", "as_json"], is_flag=True, help="Show the server's answer, as JSON.")]
    if verb.workers:
        parameters.insert(0, click.Argument(["workers"], metavar="N", type=int))
    if verb.quick:
        parameters.append(click.Option(["--quick", "quick"], is_flag=True, help="Do not wait for requests in flight."))
    if verb.waits:
        parameters += [
            click.Option(["--wait", "wait"], is_flag=True, help=verb.waits),
            click.Option(["--timeout", "timeout_s"], metavar="SECONDS", type=float, default=math.inf,
                         help="With --wait: wait no longer than this.")]
    return click.Command(
        name, params=parameters, callback=functools.partial(_run, name), help=verb.help,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})


def _run(
    name: str, control: str, as_json: bool, wait: bool = False, timeout_s: float = math.inf, **fields: Any
) -> NoReturn:
    if timeout_s != math.inf and not wait:
        raise BadValue("--timeout", "it is for --wait")
    path = needed(control or os.environ.get(_CONTROL.variable, ""))
    if not (timeout_s == math.inf or 0 < timeout_s <= limits.MAX_WAIT_S):  # nan is refused too
        raise BadValue("--timeout", f"seconds, more than 0 and at most {limits.MAX_WAIT_S:g}, are needed")
    try:
        answer = ask(path, {"verb": name, **fields, **({"wait": True} if wait else {})},
                     timeout_s if wait else limits.CONTROL_ANSWER_S, to_its_end=wait and name == "stop")
    except KeyboardInterrupt:
        raise ServerError("Interrupted; the server goes on with it", ExitCode.NO_ANSWER) from None
    if as_json:
        launch.show(json.dumps(answer))
    elif answer["ok"]:
        try:
            text = VERBS[name].show(answer)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise no_answer(path, "what it says cannot be shown; it may be of another version") from None
        if text:
            launch.show(text)
    else:
        error = str(answer.get("error") or "no reason given").rstrip("\n")
        has_traceback = "\n" in error
        launch.complain(f"Error: {f'the {name} has failed' if has_traceback else escaped_lines(error)}")
        if has_traceback:
            launch.complain(escaped_lines(error))
    sys.exit(ExitCode.OK if answer["ok"] else ExitCode.REFUSED)


def needed(path: str) -> str:
    """The same, unless it is empty. Raises ServerError."""
    if not path:
        raise ServerError(f"Where is the server? Say --control PATH, or set {_CONTROL.variable}", ExitCode.USAGE)
    return path


def ask(path: str, request: Message, timeout_s: float, to_its_end: bool = False) -> Message:
    """What the server at `path` answers. `timeout_s`: how long that may take; `to_its_end`: and the end of the server,
    too. Raises ServerError (ExitCode.NO_ANSWER)."""
    until_s = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _connect(connection, path, min(timeout_s, limits.CONTROL_CONNECT_S))
        decoder = Decoder(limits.CONTROL_ANSWER_BYTES)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who refuses us does not read
                connection.sendall(encode(request))
            while (answer := decoder.next()) is None:
                if not (data := _receive(connection, until_s)):
                    raise no_answer(path, "the server has ended the connection")
                decoder.feed(data)
            if not isinstance(answer.get("ok"), bool):
                raise no_answer(path, "what answers is no swhttp")
            while to_its_end and answer["ok"] and _receive(connection, until_s):
                pass
        except BadMessage as error:
            raise no_answer(path, f"what it says cannot be understood: {error}") from None
        except TimeoutError:
            raise no_answer(path, f"not within {timeout_s:g} s") from None
        except OSError as error:
            raise no_answer(path, error.strerror or str(error)) from None
    return answer


def connect(path: str) -> socket.socket:
    """A connection to the server at `path`. Raises ServerError (ExitCode.NO_ANSWER)."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(connection, path, limits.CONTROL_CONNECT_S)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(connection: socket.socket, path: str, timeout_s: float) -> None:
    # Not settimeout(): without blocking, connect(2) gives up at once where the backlog is full.
    whole_s, rest = divmod(timeout_s, 1)
    connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(whole_s), max(1, int(rest * 1e6))))
    try:
        connection.connect(path)
    except BlockingIOError:
        raise no_answer(path, "it is busy with others") from None
    except OSError as error:
        raise no_answer(path, error.strerror or str(error)) from None


def _receive(connection: socket.socket, until_s: float) -> bytes:
    """Some of what comes; nothing: the server has left. Raises TimeoutError."""
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    connection.settimeout(None if left_s == math.inf else left_s)
    try:
        return connection.recv(_RECEIVE_BYTES)
    except ConnectionResetError:
        return b""


def no_answer(path: str, why: str) -> ServerError:
    """What is said of a server that does not answer."""
    return ServerError(f"No answer from {path!r}: {why}", ExitCode.NO_ANSWER)
