"""What a client holds of the master's memory follows what it has sent, not what it has promised."""

from __future__ import annotations

import contextlib
import os

from swhttp import limits
from swhttp.reactor.wsprobe import CONNECTION_BYTES
from tests.support.bodies import body
from tests.support.client import request_bytes
from tests.support.fleet import Start
from tests.support.memory import private_bytes
from tests.support.processes import wait_until

# As many heads as would take every block that a body of 64 KiB fits in.
PROMISES = 1 + sum(count for size, count in limits.BLOCK_CLASSES if size > 65_536)
PROMISED = 65_000
CROWD = 60
MANY = 700
ROWS_BYTES = MANY * CONNECTION_BYTES * 9 // 10  # pages at either end are others' as well


def test_promised_bodies_leave_the_blocks_to_those_that_come(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "1")
    with contextlib.ExitStack() as stack:
        promising = [stack.enter_context(site.connect()) for _ in range(PROMISES)]
        for client in promising:
            client.send(request_bytes("POST", "/", [("Content-Length", str(PROMISED))]))
        wait_until(lambda: site.counters().reactors[0]["blocks"] == PROMISES, "all heads to have come")
        with site.connect() as client:
            for size in (40_000, 65_536, 300_000):
                assert len(client.request("POST", "/", body=b"x" * size).json()["body"]) == size
        for at in range(0, PROMISED, 13_000):  # it grows with what comes
            promising[0].send(body(13_000, at))
        assert promising[0].response().json()["body"].encode("latin-1") == body(PROMISED)


def test_the_memory_of_a_crowd_goes_back_to_the_kernel(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "1")
    fds = [f"/proc/{site.pid}/fd/{fd}" for fd in os.listdir(f"/proc/{site.pid}/fd")]
    (blocks,) = [fd for fd in fds if os.readlink(fd).startswith("/memfd:swhttp-blocks-0")]

    def held_bytes() -> int:
        return os.stat(blocks).st_blocks * 512

    with contextlib.ExitStack() as stack:
        for _ in range(CROWD):
            stack.enter_context(site.connect()).send(
                request_bytes("POST", "/", [("Content-Length", str(PROMISED))]), body(PROMISED - 1))
        wait_until(lambda: held_bytes() >= CROWD * PROMISED, "it to have come")
    kept = (len(limits.BLOCK_CLASSES) + 4) * limits.KEEP_BLOCK_BYTES
    wait_until(lambda: held_bytes() <= kept, "its memory to be given back")


def test_one_that_stays_keeps_the_rows_of_a_crowd_from_nobody(server: Start) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "1")
    request = request_bytes("POST", "/", [("Content-Length", "1")])
    with site.connect() as staying:
        with contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(site.connect()) for _ in range(MANY)]
            for client in crowd:
                client.send(request)
            wait_until(lambda: site.counters().reactors[0]["blocks"] == MANY, "them to have come")
            staying.send(request)  # so its block is the highest
            wait_until(lambda: site.counters().reactors[0]["blocks"] == MANY + 1, "the last of them to have come")
            most_bytes = private_bytes(site.pid)
        wait_until(lambda: most_bytes - private_bytes(site.pid) > ROWS_BYTES, "their rows to be given back")
        staying.send(b"x")
        assert staying.response().json()["body"] == "x"


def test_a_request_holds_nothing_while_its_answer_is_on_its_way(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    size = 30_000_000
    with site.connect() as client:
        client.send_request("POST", f"/stream?size={size}&pieces=3", body=b"x" * 60_000)
        wait_until(lambda: site.counters().reactors[0]["responses"] == 1, "the answer to be in a file")
        assert site.counters().reactors[0]["blocks"] == 0
        assert len(client.response().body) == size


def test_a_client_that_went_with_its_request_is_not_waited_for(server: Start) -> None:
    site = server("uploads:asgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate:
        for size in (10, 200_000):
            for _ in range(10):
                with site.connect() as client:
                    client.send(request_bytes("POST", f"/upload?gate={gate.path}&at={size}", body=body(size)))
        wait_until(lambda: site.counters().reactors[0]["open"] == 0, "the reactor to see that they are gone")
    wait_until(lambda: site.counters().reactors[0]["in_flight"] == 0, "the app to be through with them")
