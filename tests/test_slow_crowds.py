"""Slow clients by the hundred, of what `make soak` does with thousands; and what who knows the server might try."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import pytest

from swhttp import limits
from tests.soak import slowclients, slowloris
from tests.support.bodies import body
from tests.support.client import request_bytes
from tests.support.counters import Since, gauge
from tests.support.fleet import Start, starting
from tests.support.frames import Peer
from tests.support.memory import mapped_bytes
from tests.support.processes import fds_of, wait_until
from tests.support.quiet import becomes_idle
from tests.support.upload import head

PATIENCE_S = 10.0  # how much later a client on a busy machine may hear of a deadline; no claim about speed
LARGE = 10 << 20
ARENAS_MIB = 6.0  # that two workers have not touched while all clients were fast; of a server of thousands it is little
ETHERNET_BYTES = 1448  # of content in a packet: the buffers that the kernel has for a connection follow from it


@pytest.mark.unsanitized  # what is freed stays for a while
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_three_hundred_that_move_a_byte_a_second(interface: str) -> None:
    with starting(settled=False) as start:
        outcome = slowloris.run(start, interface, 300, 1, 1.0, {"head": 1.5, "body": 1.5, "read": 1.5}, PATIENCE_S,
                                ARENAS_MIB)
    assert outcome.failures == [], outcome


def test_dozens_that_download_and_upload_at_their_pace() -> None:
    with starting(settled=False) as start:
        outcome = slowclients.run(start, 30, 30, 2 << 20, 512 << 10, 1, 1.5, of_pace=0.0)
    assert outcome.failures == [], outcome


# Blocks are scarce, and slow bodies must not hold them


def test_slow_bodies_that_find_no_larger_block_go_on_in_files(server: Start) -> None:
    site = server("uploads:wsgi", "--workers", "1", "--reactors", "1")
    size, here = limits.MEMORY_BODY_BYTES, 200_000
    since = Since(site)
    largest = limits.BLOCK_CLASSES[-1][1]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(largest + 3)]
        for client in clients:
            client.send(head("/upload", size), body(1000))
        since.passes("received_bytes", len(clients) * 1000)
        for client in clients:
            client.send(body(here - 1000, 1000))
        since.passes("body_files", 3)
        for client in clients[:1] + clients[-1:]:
            client.send(body(size - here, here))
            assert client.response().json()["total"] == size


def test_a_body_for_which_there_is_no_block_reaches_an_asgi_app_in_pieces(server: Start) -> None:
    site = server("uploads:asgi", "--workers", "1", "--reactors", "1")
    since, here, size = Since(site), 34_000, 65_000
    largest = sum(count for block_bytes, count in limits.BLOCK_CLASSES if block_bytes > here)
    with contextlib.ExitStack() as stack:
        for _ in range(largest):
            stack.enter_context(site.connect()).send(head("/upload", size), body(here))
        since.passes("received_bytes", largest * here)
        for framing, chunk in ((size, None), (None, 34_000)):
            client = stack.enter_context(site.connect())
            client.send(head("/upload", framing))
            for at in (0, here):
                piece = body(min(here, size - at), at)
                client.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunk else piece)
            if chunk:
                client.send(b"0\r\n\r\n")
            assert client.response().json()["total"] == size


# Memory


def test_blocks_of_a_crowd_that_has_left_go_back_to_the_kernel(server: Start) -> None:
    site = server("uploads:wsgi", "--workers", "1", "--reactors", "1")
    since, crowd, here = Since(site), 120, 60_000
    (blocks,) = [f"/proc/{site.pid}/fd/{fd}" for fd, path in fds_of(site.pid).items() if "swhttp-blocks" in path]
    with contextlib.ExitStack() as stack:
        for _ in range(crowd):
            stack.enter_context(site.connect()).send(head("/upload", 65_000), body(here))
        since.passes("received_bytes", crowd * here)
        assert os.stat(blocks).st_blocks * 512 > limits.TRIM_BYTES  # so it takes more than one time
    kept = (len(limits.BLOCK_CLASSES) + 4) * limits.KEEP_BLOCK_BYTES
    wait_until(lambda: os.stat(blocks).st_blocks * 512 <= kept, f"{kept} bytes of blocks to be left")
    assert os.stat(blocks).st_blocks > 0


def test_what_was_made_for_hundreds_of_requests_at_once_is_let_go(server: Start) -> None:
    site = server("crowded:asgi", "--workers", "1", "--reactors", "1")
    since, many = Since(site), 300

    def kept() -> int:
        with site.connect() as client:
            return int(client.request("GET", "/kept").body)

    with contextlib.ExitStack() as stack:
        for _ in range(many):
            stack.enter_context(site.connect()).send(head("/upload", LARGE))
        since.passes("slot_taken", many)
        assert kept() > 2 * many
    gauge(site, "in_flight")
    wait_until(lambda: kept() <= 2, "tasks and exchanges to be let go")
    with contextlib.ExitStack() as stack:  # and made again
        clients = [stack.enter_context(site.connect()) for _ in range(many)]
        for client in clients:
            client.send(head("/upload", LARGE))
        since.passes("slot_taken", 2 * many)
        assert kept() > 2 * many


def test_a_worker_that_has_given_back_rests_though_a_request_stays(server: Start) -> None:
    site = server("crowded:asgi", "--workers", "1", "--reactors", "1")
    since, many, [worker] = Since(site), 300, site.workers()
    with site.connect() as staying:
        staying.send(head("/upload", LARGE))
        with contextlib.ExitStack() as stack:
            for _ in range(many):
                stack.enter_context(site.connect()).send(head("/upload", LARGE))
            since.passes("slot_taken", many + 1)
        becomes_idle(worker)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_what_downloads_have_left_in_the_arena_goes_back(server: Start, interface: str) -> None:
    options = ["--threads", "16"] if interface == "wsgi" else []
    site = server(f"crowded:{interface}", "--workers", "1", "--reactors", "1", *options)
    size, [worker] = 2 << 20, site.workers()
    usual = (len(limits.ARENA_CLASSES) + 1) * limits.KEEP_ARENA_BYTES + (512 << 10)  # and the rings

    def arena_bytes() -> int:
        return mapped_bytes(worker, "swhttp-slot-")

    def downloaded() -> bool:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(site.connect(buffer_bytes=16 << 10)) for _ in range(16)]
            for client in clients:
                client.send(request_bytes("GET", f"/large?size={size}"))
            for client in clients:
                assert len(client.response().body) == size
        return arena_bytes() > usual + (512 << 10)

    wait_until(downloaded, "downloads to leave something in the arena")
    wait_until(lambda: arena_bytes() <= usual, "it to go back")
    assert site.workers() == [worker]


# Deadlines


def test_bytes_that_fill_all_places_do_not_renew_the_deadline(server: Start) -> None:
    site = server("uploads:asgi", "--workers", "1", "--reactors", "1", "--body-timeout", "0.5")
    drips = 0
    with site.connect() as client:
        # Faster than the app reads, so time and again there is no place for another byte, and the server waits for it.
        client.send(head("/slow?pause=0.05", 200_000), body(1))
        while not client.wait_readable(0.025):
            client.send_while_open(body(1, drips + 1))
            drips += 1
            assert drips < 40 * PATIENCE_S
        assert client.response().status == 408
    gauge(site, "in_flight")


# Workers


@pytest.mark.parametrize("way", ["sending", "reading"])
def test_requests_that_wait_for_their_clients_leave_an_asgi_app_to_others(server: Start, way: str) -> None:
    site = server("uploads:asgi", "--workers", "1", "--reactors", "1", "--worker-concurrency", "3")
    since = Since(site)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(site.connect(buffer_bytes=16 << 10))
            if way == "sending":
                client.send(head("/upload", LARGE), body(limits.INLINE_BODY_BYTES))
            else:
                client.send(head(f"/stream?at=10&size={LARGE}", 10), body(10))
        since.passes("slot_taken", 10)
        with site.connect() as other:
            assert other.request("GET", "/").status == 200
    gauge(site, "in_flight")


def test_of_requests_that_wait_for_their_clients_an_app_has_so_many_and_no_more(server: Start) -> None:
    site = server("uploads:asgi", "--workers", "1", "--reactors", "1", "--worker-concurrency", "1",
                  "--queue-timeout", "3")
    since, most, more = Since(site), 1 + limits.ASIDE_TIMES, 3
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(most + more)]
        for client in clients:
            client.send(head("/upload", LARGE), body(limits.INLINE_BODY_BYTES))
        since.passes("queue_timeout")
        gauge(site, "waiting")
        assert since["queue_timeout"] == more
    site.expect_log("reason=queue-timeout")


def test_sessions_whose_clients_are_slow_leave_an_asgi_app_to_others_however_often(server: Start) -> None:
    site = server("flooding:asgi", "--ws-handler", "flooding:awaiting", "--workers", "1", "--reactors", "1",
                  "--worker-concurrency", "1", "--queue-timeout", "3")
    with Peer(site, buffer_bytes=4096) as peer:
        peer.heard()
        for _ in range(limits.ASIDE_TIMES + 1):
            peer.say("96")
            with site.connect() as other:
                assert other.request("GET", "/").status == 200
            for _ in range(96):
                peer.next()
            gauge(site, "in_flight")


def test_bodies_that_trickle_leave_an_asgi_app_to_others(server: Start) -> None:
    site = server("uploads:asgi", "--workers", "1", "--reactors", "1", "--worker-concurrency", "3")
    since, ended = Since(site), threading.Event()
    with contextlib.ExitStack() as stack:
        trickling = [stack.enter_context(site.connect()) for _ in range(10)]
        for client in trickling:
            client.send(head("/upload", LARGE), body(limits.INLINE_BODY_BYTES))

        def trickle() -> None:
            at = limits.INLINE_BODY_BYTES
            while not ended.wait(limits.ASIDE_AFTER_S / 4):  # so that it never looks as if nothing came any more
                for client in trickling:
                    client.send_while_open(body(1, at))
                at += 1

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            since.passes("slot_taken", 10)
            with site.connect() as other:
                assert other.request("GET", "/").status == 200
        finally:
            ended.set()
            thread.join()
    gauge(site, "in_flight")


def test_a_client_that_is_slow_once_more_holds_no_worker(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "1", "--reactors", "1")
    since = Since(site)
    with site.gate() as gate, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel makes it what it allows
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET_BYTES)
        client.settimeout(PATIENCE_S)
        client.connect(site.tcp_addresses()[0])
        client.sendall(request_bytes("GET", f"/stream?size={LARGE}&pieces={LARGE // 100_000}&gate={gate.path}"))
        since.passes("clients_slow")  # of the first piece the socket has taken a part
        visitor = gate.entered()
        sent = since["sent_bytes"]
        end = time.monotonic() + PATIENCE_S
        while since["sent_bytes"] == sent:  # and takes some more of it, but not all
            assert time.monotonic() < end
            client.recv(4096)
        visitor.release()
        wait_until(lambda: since["responses"] == 1, "the worker to be through with it")
        with site.connect() as other:
            assert other.request("GET", "/").status == 200
