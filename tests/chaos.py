"""Load while workers are killed: nobody hangs, nobody is reset without cause, every answer is whole and 200
or 502.

    python -m tests.chaos --seconds 30 [--interface wsgi|asgi] [--workers 2] [--threads 1] [--clients 24] [--bodies]

With --bodies the requests are small GETs, responses of 200 KiB and 4 MiB, uploads of 300 KiB by length and in chunks,
and some clients do not read for a while. It starts a server, prints the figures, and exits with 1 if one of the
promises was broken. tests/test_chaos.py runs the same for a few seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass, field

from tests.apps.bodies import content, report_of
from tests.support.client import Closed, Connection, Response
from tests.support.processes import become_subreaper
from tests.support.server import Server

KILL_EVERY_S = 0.3
# Nobody may wait longer for an answer. Workers boot in a fraction of it, even while both cores are busy.
HANG_S = 15.0


@dataclass
class Figures:
    """What the clients saw and what was done to the workers."""

    interface: str
    seconds: float
    clients: int
    seed: int
    answers: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)  # answers of status 200 by what was asked
    slowest_ms: dict[int, float] = field(default_factory=dict)  # by status, from the request sent
    cut: int = 0
    kills: int = 0
    in_flight_limit: int = 0
    asked: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def judge(self) -> list[str]:
        """The promises that were broken, in words."""
        broken = list(self.violations)
        strange = set(self.statuses) - {200, 502}
        if strange:
            broken.append(f"answers of status {sorted(strange)}")
        allowed = self.kills * self.in_flight_limit
        if self.statuses.get(502, 0) + self.cut > allowed:
            broken.append(
                f"{self.statuses.get(502, 0)} x 502 and {self.cut} cut; {self.kills} kills allow {allowed}"
            )
        if not self.statuses.get(200):
            broken.append("no answer of status 200")
        if not self.kills:
            broken.append("no kill")
        missing = [kind for kind in self.asked if kind not in self.kinds]
        if missing:
            broken.append(f"no answer of status 200 to {missing}")
        return broken


class Client(threading.Thread):
    """One keep-alive client that asks again as soon as it is answered."""

    def __init__(
        self, server: Server, figures: Figures, lock: threading.Lock, done: threading.Event, number: int
    ) -> None:
        super().__init__(daemon=True, name=f"client-{number}")
        self.address = server.tcp_addresses()[0]
        self.figures, self.lock, self.done, self.number = figures, lock, done, number
        self.random = random.Random(figures.seed + number)

    def run(self) -> None:
        connection: Connection | None = None
        asked = 0
        while not self.done.is_set():
            asked += 1
            tag = f"{self.number}-{asked}"
            try:
                if connection is None:
                    connection = Connection(self.address)
                if not self.ask(connection, tag):
                    connection.close()
                    connection = None
            except (AssertionError, OSError) as error:
                with self.lock:
                    self.figures.violations.append(f"{tag}: {type(error).__name__}: {error}"[:500])
                if connection is not None:
                    connection.close()
                    connection = None
        if connection is not None:
            connection.close()

    def ask(self, connection: Connection, tag: str) -> bool:
        """One exchange, counted; whether the connection can be used again. Raises on a broken promise."""
        size = self.random.choice([0, 0, 100, 20_000, 200_000])
        method = self.random.choice(["GET", "POST"])
        target = f"/stream?size={size}&pieces=3&tag={tag}" if size else f"/{tag}"
        began = time.monotonic()
        connection.send_request(method, target, body=b"b" * 100 if method == "POST" else None)
        answer = self.answer(connection, began)
        if answer is None:
            return False
        if answer.status == 200:
            if size:
                assert len(answer.body) == size, f"{len(answer.body)} bytes instead of {size}"
            else:
                assert answer.json()["target"] == target, f"the answer to {answer.json()['target']}"
        return answer.keeps_open

    def answer(self, connection: Connection, began: float) -> Response | None:
        """The answer, counted; None: it was cut."""
        try:
            answer = connection.response(timeout_s=HANG_S)
        except Closed as end:
            # Only a response that had begun may be cut: its client sees the truncation.
            if not end.partial.startswith(b"HTTP/1.1 200 "):
                raise AssertionError(f"closed without an answer: {end}") from end
            with self.lock:
                self.figures.cut += 1
            return None
        with self.lock:
            self.figures.answers += 1
            self.figures.statuses[answer.status] = self.figures.statuses.get(answer.status, 0) + 1
            took_ms = round((time.monotonic() - began) * 1e3, 1)
            self.figures.slowest_ms[answer.status] = max(
                took_ms, self.figures.slowest_ms.get(answer.status, 0.0)
            )
        return answer


KINDS = ["small", "large", "huge", "huge, slowly", "upload", "chunked upload"]
LARGE_BYTES, HUGE_BYTES, UPLOAD_BYTES = 200 * 1024, 4 * 1024 * 1024, 300 * 1024
SLOW_S = 0.3  # longer than anything may stay in the arena
SLOW_BUFFER_BYTES = 65536


class BodyClient(Client):
    """One whose requests and answers are large (app: tests/apps/bodies.py)."""

    def ask(self, connection: Connection, tag: str) -> bool:
        kind = self.random.choice(KINDS)
        seed = self.random.randrange(1000)
        began = time.monotonic()
        if "upload" in kind:
            body = content(seed, UPLOAD_BYTES)
            self.upload(connection, body, "chunked" in kind)
            expected = json.dumps(report_of(body))
        else:
            size = 100 if kind == "small" else LARGE_BYTES if kind == "large" else HUGE_BYTES
            pieces = self.random.choice([1, 5])
            framing = self.random.choice(["length", "chunked"])
            if "slowly" in kind:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
            connection.send_request(target=f"/big?seed={seed}&size={size}&pieces={pieces}&framing={framing}")
            if "slowly" in kind:
                self.done.wait(SLOW_S)  # the pace of a client, not a wait for luck
        answer = self.answer(connection, began)
        if answer is None:
            return False
        if answer.status == 200:
            with self.lock:
                self.figures.kinds[kind] = self.figures.kinds.get(kind, 0) + 1
            if "upload" in kind:
                report = answer.json()
                del report["pid"]
                assert json.dumps(report) == expected, f"{report} instead of {expected}"
            else:
                assert answer.body == content(seed, size), f"{len(answer.body)} bytes, {size} expected, or other ones"
        return answer.keeps_open

    def upload(self, connection: Connection, body: bytes, chunked: bool) -> None:
        """In pieces, so that workers die in the middle; a 502 may come before all of it is sent."""
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))
        connection.send_request("POST", "/upload", [framing])
        for start in range(0, len(body), 50_000):
            piece = body[start : start + 50_000]
            connection.send_while_open(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            self.done.wait(self.random.choice([0.0, 0.01]))  # the pace of a client
        if chunked:
            connection.send_while_open(b"0\r\n\r\n")


def run(server: Server, figures: Figures) -> Figures:
    """Load the server with clients for figures.seconds while killing a random worker every 300 ms."""
    lock, done = threading.Lock(), threading.Event()
    kind = BodyClient if figures.asked else Client
    clients = [kind(server, figures, lock, done, number) for number in range(figures.clients)]
    for client in clients:
        client.start()
    chooser = random.Random(figures.seed)
    end = time.monotonic() + figures.seconds
    due = time.monotonic() + KILL_EVERY_S
    while due < end:
        # The rhythm of the kills is part of what is asked, not a wait for luck.
        done.wait(max(0.0, due - time.monotonic()))
        due += KILL_EVERY_S
        workers = server.workers()
        if workers:
            try:
                server.kill(signal.SIGKILL, chooser.choice(workers))
            except ProcessLookupError:
                continue
            figures.kills += 1
    done.set()
    for client in clients:
        client.join(HANG_S + 5)
        if client.is_alive():
            figures.violations.append(f"{client.name} hangs")
    return figures


def server_options(workers: int, threads: int = 1, reactors: int = 1) -> list[str]:
    """Command line options for a server of this shape."""
    return ["--workers", str(workers), "--threads", str(threads), "--reactors", str(reactors)]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--interface", choices=["wsgi", "asgi"], default="wsgi")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--reactors", type=int, default=1)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--bodies", action="store_true", help="large requests and responses, slow clients")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    become_subreaper()
    app = "bodies" if options.bodies else "reference"
    server = Server(
        f"{app}:{options.interface}", *server_options(options.workers, options.threads, options.reactors)
    )
    figures = Figures(options.interface, options.seconds, options.clients, options.seed)
    figures.in_flight_limit = options.threads if options.interface == "wsgi" else options.clients
    figures.asked = KINDS if options.bodies else []
    try:
        run(server, figures)
        server.settle()
        server.stop()
    finally:
        server.abandon()
    broken = figures.judge()
    print(json.dumps(asdict(figures), indent=2))
    for promise in broken:
        print("BROKEN:", promise)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
