"""A worker's death, replacement or stop in the middle of large bodies, in either direction: what was published whole
arrives, what was not is seen to be missing, and nothing stays behind."""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from swhttp import limits
from swhttp.limits import ARENA_CLASSES
from swhttp.workerlife import WorkerState
from tests.apps.bodies import content, report_of
from tests.support.bodies import body
from tests.support.client import Connection, Reset
from tests.support.counters import gauge, totals
from tests.support.fleet import Start
from tests.support.gate import Gate
from tests.support.processes import fds_of, wait_until
from tests.support.server import Server
from tests.support.upload import gated, head, upload

KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20
BLOCK = ARENA_CLASSES[-1][0]
"""Of the response arena, the largest: a response of so much is whole in one, and its worker free."""
INTERFACES = ["wsgi", "asgi"]
# What sockets do not take on their way to a client that reads nothing: of a unix socket the buffer does not grow.
UNIX = ("unix:{dir}/s",)
MORE_THAN_SOCKETS_TAKE = 24 * MEBIBYTE
FRAMINGS = ["length", "chunked"]


def done(site: Server) -> int:
    """Responses that workers have published whole."""
    return totals(site)["slot_done"]


def slot_of(site: Server, pid: int) -> int:
    return [slot["pid"] for slot in site.counters().slots].index(pid)


def files_under_way(site: Server) -> int:
    """Files that are in channels, sent to workers and not received."""
    found = 0
    for fd in fds_of(manager := site.manager()):
        with contextlib.suppress(FileNotFoundError):
            about = Path(f"/proc/{manager}/fdinfo/{fd}").read_text()
            found += sum(int(count) for count in re.findall(r"^scm_fds:\s*(\d+)$", about, re.MULTILINE))
    return found


def kill_and_wait(site: Server, pid: int) -> int:
    """Kill a server's only worker; the pid of the next."""
    site.kill(signal.SIGKILL, pid)
    (successor,) = site.wait_for_workers(1, other_than={pid})
    return successor


def is_whole(client: Connection, expected: bytes) -> None:
    """The response is here to its last byte, and the connection goes on."""
    answer = client.response()
    assert answer.status == 200
    assert answer.body == expected
    assert answer.keeps_open
    assert client.get("/pid").status == 200


def pass_through_all_slots(site: Server, first: int, pid: int) -> int:
    """Kill workers until the slot `first` is used again, each after it has filled blocks of its arena; the last pid."""
    while True:
        pid = kill_and_wait(site, pid)
        with site.connect() as client:
            for seed in range(3):
                answer = client.get(f"/big?seed={seed}&size={MEBIBYTE}")
                assert answer.body == content(seed, MEBIBYTE)
        if slot_of(site, pid) == first:
            return pid


# ---- responses that were published whole


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_response_in_the_arena_outlives_its_worker_and_the_next_one_there(server: Start, interface: str) -> None:
    site = server(f"bodies:{interface}", "--workers", "1", "--reactors", "1", binds=UNIX)
    (pid,) = site.workers()
    first = slot_of(site, pid)
    with site.connect() as slow, site.connect() as slower:
        for seed, client in ((71, slow), (72, slower)):
            client.send_request(target=f"/big?seed={seed}&size={BLOCK}")
        wait_until(lambda: done(site) == 2 and totals(site)["arena_held"] == 2, "both in the arena, the worker free")
        pass_through_all_slots(site, first, pid)
        assert totals(site)["arena_held"] == 0, "a dead worker's arena is still being read"
        assert totals(site)["moved_bytes"] > BLOCK
        is_whole(slower, content(72, BLOCK))
        is_whole(slow, content(71, BLOCK))
        wait_until(lambda: totals(site)["files"] == 0, "the temp files to be closed")


def test_a_response_in_the_spool_outlives_its_worker(server: Start) -> None:
    site = server("bodies:wsgi", "--workers", "1", "--reactors", "1")
    (pid,) = site.workers()
    size = MORE_THAN_SOCKETS_TAKE
    with site.connect() as length, site.connect() as chunks:
        length.send_request(target=f"/big?seed=1&size={size}&pieces=50")
        chunks.send_request(target=f"/big?seed=2&size={size}&pieces=70&framing=chunked")
        wait_until(lambda: done(site) == 2, "the thread to be free, though nobody reads")
        assert sum(slot["spilled_bytes"] for slot in site.counters().slots) > MEBIBYTE
        kill_and_wait(site, pid)
        is_whole(length, content(1, size))
        is_whole(chunks, content(2, size))


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_file_on_its_way_outlives_its_worker_and_its_name(
    server: Start, interface: str, tmp_path: Path
) -> None:
    site = server(f"bodies:{interface}", "--workers", "1", "--reactors", "1")
    (pid,) = site.workers()
    file = tmp_path / "file"
    file.write_bytes(content(3, MORE_THAN_SOCKETS_TAKE))
    with site.connect() as client:
        client.send_request(target=f"/file?path={quote(str(file))}")
        wait_until(lambda: done(site) == 1 and totals(site)["files"] == 1, "the file to be with the master")
        kill_and_wait(site, pid)
        file.unlink()
        is_whole(client, content(3, MORE_THAN_SOCKETS_TAKE))
        wait_until(lambda: totals(site)["files"] == 0, "the file to be closed")


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_client_that_gives_up_after_the_death_leaves_nothing(server: Start, interface: str, tmp_path: Path) -> None:
    site = server(f"bodies:{interface}", "--workers", "1", "--reactors", "1", binds=UNIX)
    (pid,) = site.workers()
    file = tmp_path / "file"
    file.write_bytes(content(3, 4 * MEBIBYTE))
    with site.connect() as arena, site.connect() as sent:
        arena.send_request(target=f"/big?seed=4&size={BLOCK}")
        sent.send_request(target=f"/file?path={quote(str(file))}")
        wait_until(lambda: done(site) == 2 and totals(site)["arena_held"] == 1, "both to be on their way")
        kill_and_wait(site, pid)
        assert totals(site)["files"] == 2
    # That the gauges are back at 0 is looked at after every test.


# ---- in the middle of a response


@pytest.mark.parametrize("framing", [*FRAMINGS, "close"])
@pytest.mark.parametrize("interface", INTERFACES)
def test_a_large_response_whose_worker_dies_half_way_is_cut(server: Start, interface: str, framing: str) -> None:
    site = server(f"bodies:{interface}", "--workers", "1", "--reactors", "1")
    (pid,) = site.workers()
    with site.gate() as gate, site.connect() as client:
        target = f"/big?seed=5&size={2 * BLOCK}&pieces=2&framing={framing}&gate={quote(gate.path)}"
        client.send_request(target=target, version="HTTP/1.0" if framing == "close" else "HTTP/1.1")
        gate.entered()
        beginning = client.raw(100 * KIBIBYTE)
        site.kill(signal.SIGKILL, pid)
        client.buffer = beginning + client.buffer
        cut = client.expect_cut()
        assert framing != "close" or isinstance(cut, Reset), "an end in order would make it look whole"
        head, _, body = cut.partial.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.")
        if framing != "chunked":
            assert content(5, 2 * BLOCK).startswith(body)
        site.wait_for_workers(1, other_than={pid})


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_slow_client_of_a_worker_that_dies_half_way_is_cut_and_holds_nothing(server: Start, interface: str) -> None:
    site = server(f"bodies:{interface}", "--workers", "1", "--reactors", "1", binds=UNIX)
    (pid,) = site.workers()
    with site.gate() as gate, site.connect() as client:
        client.send_request(target=f"/big?seed=5&size={2 * BLOCK}&pieces=2&gate={quote(gate.path)}")
        gate.entered()
        wait_until(lambda: totals(site)["arena_held"] + totals(site)["files"] > 0, "a part to wait for the client")
        kill_and_wait(site, pid)
        wait_until(lambda: totals(site)["arena_held"] + totals(site)["files"] == 0, "nothing to be held for it")
        cut = client.expect_cut()
        assert content(5, 2 * BLOCK).startswith(cut.partial.partition(b"\r\n\r\n")[2])


# ---- in the middle of an upload


def send_head(client: Connection, target: str, length: int | None) -> None:
    """An upload's head: of known length, or chunked."""
    framing = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
    client.send_request("POST", target, [framing])


def part_of(framing: str, data: bytes) -> bytes:
    return data if framing == "length" else b"%x\r\n%s\r\n" % (len(data), data)


def end_of(framing: str) -> bytes:
    return b"" if framing == "length" else b"0\r\n\r\n"


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_upload_whose_worker_dies_is_502_at_once_and_ends_the_connection(server: Start, framing: str) -> None:
    site = server("bodies:asgi", "--workers", "1", "--reactors", "1")
    (pid,) = site.workers()
    body = content(6, 300 * KIBIBYTE)
    with site.gate() as gate, site.connect() as client:
        send_head(client, f"/upload?gate={quote(gate.path)}", len(body) if framing == "length" else None)
        client.send(part_of(framing, body[: 200 * KIBIBYTE]))
        gate.entered()
        site.kill(signal.SIGKILL, pid)
        answer = client.response()
        assert answer.status == 502
        assert not answer.keeps_open, "the rest of the body would be taken for a request"
        client.send_while_open(part_of(framing, body[200 * KIBIBYTE :]), end_of(framing))
        client.expect_end()
        site.wait_for_workers(1, other_than={pid})
        assert site.get("/pid")["length"] == 0
    assert site.seen().count("/upload") == 1


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    ("interface", "size"), [("asgi", 300 * KIBIBYTE), ("asgi", 2 * MEBIBYTE), ("wsgi", 300 * KIBIBYTE),
                            ("wsgi", 2 * MEBIBYTE)]
)
def test_an_upload_that_was_not_taken_goes_to_the_next_worker_whole(
    server: Start, interface: str, size: int, framing: str
) -> None:
    site = server(f"bodies:{interface}", "--workers", "1", "--reactors", "1")
    (pid,) = site.workers()
    site.kill(signal.SIGSTOP, pid)
    body = content(7, size)
    with site.connect() as client:
        send_head(client, "/upload", len(body) if framing == "length" else None)
        client.send(part_of(framing, body[: size // 2]))
        if interface == "asgi":  # its request is dispatched before its body is here
            wait_until(lambda: totals(site)["in_flight"] == 1, "the request to be with the stopped worker")
            successor = kill_and_wait(site, pid)
            client.send(part_of(framing, body[size // 2 :]), end_of(framing))
        else:
            client.send(part_of(framing, body[size // 2 :]), end_of(framing))
            wait_until(lambda: totals(site)["in_flight"] == 1, "the request to be with the stopped worker")
            assert totals(site)["files"] == (size > MEBIBYTE)
            successor = kill_and_wait(site, pid)
        answer = client.response()
        assert answer.status == 200
        assert answer.json() == {"pid": successor, **report_of(body)}
        assert client.get("/pid").json()["pid"] == successor
    assert site.seen().count("/upload") == 1


def test_many_files_for_a_dead_worker_each_go_to_the_next_with_their_request(server: Start) -> None:
    site = server("bodies:wsgi", "--workers", "1", "--threads", "8", "--reactors", "1")
    (pid,) = site.workers()
    site.kill(signal.SIGUSR1)  # its successor is in another slot, and the next one again in the first: not in that one
    site.wait_for_log(f"Worker left: slot 0, pid {pid}")
    (pid,) = site.workers()
    assert slot_of(site, pid) == 1
    site.kill(signal.SIGSTOP, pid)
    bodies = [content(seed, MEBIBYTE + 1000 * seed) for seed in range(1, 7)]
    clients = [site.connect() for _ in bodies]
    for client, sent in zip(clients, bodies, strict=True):
        client.send_request("POST", "/upload", body=sent)
    wait_until(lambda: totals(site)["in_flight"] == len(bodies), "all to be with the stopped worker")
    assert files_under_way(site) == len(bodies)
    successor = kill_and_wait(site, pid)
    for client, sent in zip(clients, bodies, strict=True):
        assert client.response().json() == {"pid": successor, **report_of(sent)}
    wait_until(lambda: files_under_way(site) == 0, "the channel of the slot that nobody uses to be empty")


def test_an_upload_that_loses_its_asgi_worker_is_502(server: Start) -> None:
    site = server("uploads:asgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate, site.connect() as client:
        client.send(head(gated(gate, at=1), 3 * limits.INLINE_BODY_BYTES), body(50_000))
        pid = gate.entered().pid
        site.kill(signal.SIGKILL, pid)
        answer = client.response()
        assert answer.status == 502
        assert not answer.keeps_open
        client.half_close()
        client.expect_end()
    site.wait_for_workers(1, other_than={pid})
    with site.connect() as other:
        assert upload(other, "/upload", 3 * limits.INLINE_BODY_BYTES).json()["total"] == 3 * limits.INLINE_BODY_BYTES


def test_an_upload_that_wsgi_has_not_seen_survives_its_worker(server: Start) -> None:
    site = server("uploads:wsgi", "--workers", "1", "--reactors", "1")
    size = 3 * MEBIBYTE
    (pid,) = site.workers()
    with site.connect() as client:
        client.send(head("/upload", size), body(size // 2))
        site.kill(signal.SIGKILL, pid)
        site.wait_for_workers(1, other_than={pid})
        client.send(body(size - size // 2, size // 2))
        report = client.response().json()
        assert report["total"] == size
        assert report["pid"] != pid
    gauge(site, "files")


def test_an_upload_in_a_file_that_loses_its_wsgi_worker_is_502(server: Start) -> None:
    site = server("uploads:wsgi", "--workers", "1", "--reactors", "1")
    size = 3 * MEBIBYTE
    with site.gate() as gate, site.connect() as client:
        client.send(head(f"/held?gate={quote(gate.path)}", size), body(size))
        pid = gate.entered().pid
        site.kill(signal.SIGKILL, pid)
        assert client.response().status == 502
    site.wait_for_workers(1, other_than={pid})
    gauge(site, "files")


def test_an_upload_that_waits_for_its_worker_keeps_its_file(server: Start) -> None:
    site = server("uploads:wsgi", "--workers", "1", "--reactors", "1")
    size = 3 * MEBIBYTE
    with site.gate() as gate, site.connect() as first, site.connect() as second:
        first.send(head(f"/held?gate={quote(gate.path)}", size), body(size))
        visitor = gate.entered()
        second.send(head("/upload", size), body(size))
        wait_until(lambda: totals(site)["in_flight"] + totals(site)["waiting"] == 2, "both to be there")
        site.kill(signal.SIGKILL, visitor.pid)
        assert first.response().status == 502
        assert second.response().json()["total"] == size
    site.wait_for_workers(1, other_than={visitor.pid})
    gauge(site, "files")


# ---- a worker that is replaced, a server that is stopped


class UnderWay:
    """An upload and a download that wait at a gate with their worker, each half done."""

    def __init__(self, site: Server, interface: str, gate: Gate) -> None:
        self.body = content(8, 2 * MEBIBYTE)
        self.uploading, self.downloading = site.connect(), site.connect()
        self.uploading.send_request("POST", f"/upload?gate={quote(gate.path)}", [("Content-Length", "2097152")])
        self.uploading.send(self.body[:MEBIBYTE])
        self.rest = self.body[MEBIBYTE:]
        if interface == "wsgi":  # it is collected before its app sees it
            self.uploading.send(self.rest)
            self.rest = b""
        self.visitors = [gate.entered()]
        self.downloading.send_request(target=f"/big?seed=9&size={4 * MEBIBYTE}&pieces=4&gate={quote(gate.path)}")
        self.visitors.append(gate.entered())

    @property
    def pids(self) -> set[int]:
        return {visitor.pid for visitor in self.visitors}

    def finish(self) -> list[Any]:
        """Let both go on: their answers."""
        for visitor in self.visitors:
            visitor.release()
        self.uploading.send(self.rest)
        report, download = self.uploading.response(), self.downloading.response()
        assert (report.status, download.status) == (200, 200)
        assert report.json() == {"pid": self.visitors[0].pid, **report_of(self.body)}
        assert download.body == content(9, 4 * MEBIBYTE)
        return [report, download]

    def close(self) -> None:
        """Both connections have been ended by the server; what it still waits for is that we do so too."""
        self.uploading.expect_end()
        self.uploading.close()
        self.downloading.expect_end()
        self.downloading.close()


def shape(interface: str) -> list[str]:
    return ["--workers", "1", "--reactors", "1", "--threads", "2" if interface == "wsgi" else "1"]


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_worker_that_is_replaced_finishes_the_bodies_under_way(server: Start, interface: str) -> None:
    site = server(f"bodies:{interface}", *shape(interface))
    with site.gate() as gate:
        under_way = UnderWay(site, interface, gate)
        (pid,) = under_way.pids
        site.kill(signal.SIGTERM, pid)
        slot = slot_of(site, pid)
        wait_until(lambda: site.counters().slots[slot]["state"] == WorkerState.STOPPING, "the worker to stop")
        with site.connect() as other:
            other.send_request("POST", "/upload", body=under_way.body)
            assert [answer.keeps_open for answer in under_way.finish()] == [True, True]
            assert other.response().json()["sha256"] == report_of(under_way.body)["sha256"]
        site.wait_for_workers(1, other_than={pid})
    assert "signal 9" not in site.log.text()


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_graceful_stop_finishes_the_bodies_under_way(server: Start, interface: str) -> None:
    site = server(f"bodies:{interface}", *shape(interface))
    with site.gate() as gate:
        under_way = UnderWay(site, interface, gate)
        with site.connect() as idle:
            site.kill(signal.SIGTERM)
            idle.expect_end()
        under_way.finish()
        under_way.close()
    site.finish()


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_graceful_stop_waits_for_a_slow_client(server: Start, interface: str) -> None:
    site = server(f"bodies:{interface}", *shape(interface), binds=UNIX)
    with site.connect() as slow, site.connect() as idle:
        slow.send_request(target=f"/big?seed=10&size={BLOCK}")
        wait_until(lambda: done(site) == 1, "the response to be published")
        site.kill(signal.SIGTERM)
        idle.expect_end()
        answer = slow.response()
        assert answer.body == content(10, BLOCK)
        slow.expect_end()
    site.finish()


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_quick_stop_ends_the_bodies_under_way_and_waits_for_nobody(server: Start, interface: str) -> None:
    site = server(f"bodies:{interface}", *shape(interface))
    with site.gate() as gate:
        under_way = UnderWay(site, interface, gate)
        site.kill(signal.SIGQUIT)
        assert under_way.uploading.response().status == 502
        under_way.downloading.expect_cut()
        under_way.uploading.expect_end()
        under_way.uploading.close()
    site.finish()
