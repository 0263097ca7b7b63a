"""Starts one server, waits until it answers right, and ends it with every process that it made.

Contract: `running` yields only a server that has answered as the scenario says, and when the
block is left, by Ctrl-C too, no process of the server's session is alive. Processes are ended by pid, and a
pid is signalled only while its start time is still the one seen: a number given out again is never hit.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import resource
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from loadtest import proctree
from loadtest.peers import PEERS, Start
from loadtest.scenario import FILE, Scenario, numbered

START_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.02
MAX_SHOWN_OUTPUT = 4_000

# Below the kernel's ephemeral range, so that a client's port is never the server's.
PORTS = range(20_000, 32_000)

PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).resolve().parent.parent


class ServerError(Exception):
    """A server that does not start, does not answer or answers wrong; carries what it printed."""


@dataclass(frozen=True)
class Server:
    """A server that runs. root: the first process, leader of its session. post: the file that a request POSTs."""

    name: str
    root: int
    port: int
    post: Path | None = None

    def tree(self) -> list[proctree.Stat]:
        """Return the server's live processes."""
        return proctree.tree(self.root)


def raise_file_limit(files: int) -> None:
    """Let this process and the servers it starts open `files` files; OSError when the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, hard)))


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError("no free port")


def fetch(port: int, timeout_s: float, post: bytes = b"", secure: bool = False) -> tuple[str, bytes]:
    """GET /, or POST to it, on a connection of its own; return the status line and the body. OSError when that
    fails.

    The request does not ask the server to close: uWSGI would not, and fastpysgi 0.6 serving ASGI crashes
    under the load that follows such a request. So the answer ends by its length, by its chunks, or by the
    end of file. A server that answers before it has read the whole body is heard too.
    """
    length = f"Content-Length: {len(post)}\r\n" if post else ""
    head = f"{'POST' if post else 'GET'} / HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n".encode()
    with ExitStack() as opened:
        client = opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=timeout_s))
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client = opened.enter_context(context.wrap_socket(client))
        with suppress(ConnectionError):
            client.sendall(head + post)
        return read_answer(client)


def read_answer(client: socket.socket) -> tuple[str, bytes]:
    """Read one answer; return its status line and its body, as much of it as came."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        chunk = client.recv(65_536)
        if not chunk:
            return data.decode("latin-1"), b""
        data += chunk
    head = bytes(data[:end])
    del data[: end + 4]
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    chunked = b"\r\ntransfer-encoding: chunked" in head.lower()
    while not (len(data) >= int(length[1]) if length else chunked and data.endswith(b"0\r\n\r\n")):
        chunk = client.recv(1 << 20)
        if not chunk:
            break
        data += chunk
    return head.split(b"\r\n", 1)[0].decode("latin-1"), dechunk(data) if chunked else bytes(data)


def dechunk(data: bytes | bytearray) -> bytes:
    """Return the content of a chunked body (RFC 9112, 7.1); enough for the answers checked here."""
    pieces = []
    at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        length = int(data[at:end].split(b";")[0], 16)
        pieces.append(bytes(data[end + 2 : end + 2 + length]))
        at = end + 2 + length + 2
        if length == 0:
            break
    return b"".join(pieces)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll `condition` until it holds; False when it did not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def prepare_child(parent: int) -> Callable[[], None]:
    """Return what runs in the child before exec: the server gets TERM when the harness dies."""
    libc = ctypes.CDLL(None, use_errno=True)

    def run() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return run


def end(members: Iterable[proctree.Stat], number: signal.Signals) -> None:
    """Signal those of the processes that are still the ones listed."""
    for member in members:
        now = proctree.read_stat(member.pid)
        if now is not None and now.start_ticks == member.start_ticks and now.state != "Z":
            with suppress(ProcessLookupError):
                os.kill(member.pid, number)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and its session: TERM, then KILL. Ctrl-C is held off until that is done."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        known = {member.pid: member for member in proctree.tree(process.pid)}

        def gone() -> bool:
            process.poll()
            known.update((member.pid, member) for member in proctree.tree(process.pid))
            alive = [proctree.read_stat(pid) for pid in known]
            return not any(
                s is not None and s.state != "Z" and s.start_ticks == known[s.pid].start_ticks for s in alive
            )

        if process.poll() is None:
            process.terminate()
        if not wait_until(gone, STOP_TIMEOUT_S):
            end(known.values(), signal.SIGKILL)
            wait_until(gone, STOP_TIMEOUT_S)
        process.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def await_answer(process: subprocess.Popen[bytes], port: int, scenario: Scenario, output: TextIO) -> None:
    """Return once the server has answered as the scenario says; ServerError when it does not."""
    last = "no answer"
    answer, post = scenario.answer, numbered(scenario.post_bytes)

    def ready() -> bool:
        nonlocal last
        if process.poll() is not None:
            raise ServerError(f"ended with {process.returncode} at start\n{shown(output)}")
        try:
            status, body = fetch(port, ANSWER_TIMEOUT_S, post, scenario.secure)
        except OSError as error:
            last = repr(error)
            return False
        last = f"{status}, {len(body)} bytes of {len(answer)}, {body[:100]!r}"
        return " 200 " in f"{status} " and body == answer

    if not wait_until(ready, START_TIMEOUT_S):
        raise ServerError(f"not ready after {START_TIMEOUT_S:.0f} s: {last}\n{shown(output)}")


def shown(output: TextIO) -> str:
    """Return the end of what the server printed."""
    output.seek(0)
    return output.read()[-MAX_SHOWN_OUTPUT:]


def laid_down(path: Path, size: int) -> Path | None:
    """Write `size` numbered bytes to `path` and return it; None when there is nothing to write."""
    if not size:
        return None
    path.write_bytes(numbered(size))
    return path


def certificate(scratch: Path) -> tuple[Path, Path]:
    """Make a certificate and its key; ServerError without openssl."""
    made = scratch / "cert.pem", scratch / "key.pem"
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    line += ["-subj", "/CN=localhost", "-out", str(made[0]), "-keyout", str(made[1])]
    try:
        subprocess.run(line, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServerError(f"no certificate: {error}") from None
    return made


@contextmanager
def running(name: str, scenario: Scenario) -> Iterator[Server]:
    """Run the server called `name` with the scenario's app; see the module's contract."""
    with tempfile.TemporaryDirectory(prefix="loadtest-") as scratch:
        file = laid_down(Path(scratch, "file"), scenario.file_bytes)
        post = laid_down(Path(scratch, "post"), scenario.post_bytes)
        shown_to_clients = certificate(Path(scratch)) if scenario.secure else None
        start = Start(
            scenario.app, scenario.interface, free_port(), Path(scratch), file, post, scenario.static,
            shown_to_clients, scenario.messages is not None, scenario.handler)
        with open(Path(scratch, "output"), "w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(
                PEERS[name].command(start),
                stdin=subprocess.DEVNULL,
                stdout=output.fileno(),
                stderr=output.fileno(),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), FILE: str(file or "")},
                start_new_session=True,
                preexec_fn=prepare_child(os.getpid()),
            )
            try:
                await_answer(process, start.port, scenario, output)
                yield Server(name, process.pid, start.port, post)
            except ServerError as error:
                raise ServerError(f"{name} with {scenario.name}: {error}") from None
            finally:
                stop(process)
