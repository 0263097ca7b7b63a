"""The access log of a real server: one line for each request, with what was really sent, whatever became of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from swhttp import limits
from tests.support.accesslog import AccessLog
from tests.support.client import chunked, request_bytes
from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.server import Server

ONE = ("--workers", "1", "--reactors", "1")
INTERFACES = ["wsgi", "asgi"]
ATOMS = "%>s %B %O %X %k %P %D %r"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the module's server logs."""
    return str(tmp_path_factory.mktemp("log") / "access.log")


@pytest.fixture(scope="module")
def site(module_server: Start, path: str) -> Server:
    """One worker, low limits, short deadlines."""
    return module_server(
        "reference:asgi", *ONE, "--access-log", path, "--limit-request-line", "200", "--limit-request-fields", "10",
        "--limit-request-body", "5000000", "--head-timeout", "0.5", "--body-timeout", "0.5",
    )  # fmt: skip


@pytest.fixture
def log(site: Server, path: str) -> AccessLog:
    """The lines of one test."""
    return AccessLog(path)


# What a line says


def test_a_request_is_one_combined_line(site: Server, log: AccessLog) -> None:
    before = time.time()
    with site.connect() as client:
        answer = client.get("/a/b?c=d", Referer="http://here/", User_Agent="me/1.0")
        port = client.socket.getsockname()
    [line] = log.lines(1)
    assert (line.client, line.request, line.status) == (port[0], "GET /a/b?c=d HTTP/1.1", 200)
    assert (line.body_bytes, line.referer, line.agent) == (len(answer.body), "http://here/", "me/1.0")
    at = time.mktime(time.strptime(line.time.split()[0], "%d/%b/%Y:%H:%M:%S"))
    assert int(before) <= at <= time.time()


def test_what_a_request_does_not_say_is_a_dash(site: Server, log: AccessLog) -> None:
    with site.connect() as client:
        client.get("/")
    assert log.texts(1)[0].endswith(' "-" "-"')


def test_pipelined_requests_have_a_line_each_in_order(site: Server, log: AccessLog) -> None:
    with site.connect() as client:
        client.send(b"".join(request_bytes(target=f"/{number}") for number in range(20)))
        for _ in range(20):
            assert client.response().status == 200
    assert [line.request for line in log.lines(20)] == [f"GET /{number} HTTP/1.1" for number in range(20)]


def test_answers_that_come_all_at_once_have_their_own_lines(server: Start, tmp_path: Path) -> None:
    form = ("--access-log-format", "%{remote}p %U %X %{X-Number}i")
    site = server("reference:asgi", *ONE, "--access-log", str(tmp_path / "log"), *form)
    log = AccessLog(str(tmp_path / "log"))
    [worker] = site.workers()
    wanted = []
    for _ in range(3):  # rows of connections that have ended are used again
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(site.connect()) for _ in range(150)]
            site.kill(signal.SIGSTOP, worker)
            for number, client in enumerate(clients):
                port = client.socket.getsockname()[1]
                last = number % 3 == 0
                fields = [("X-Number", str(number)), ("Connection", "close" if last else "keep-alive")]
                client.send_request(target=f"/{port}", headers=fields)
                wanted.append(f"{port} /{port} {'-' if last else '+'} {number}")
            site.kill(signal.SIGCONT, worker)
            for client in clients:
                assert client.response().status == 200
    assert sorted(log.texts(450)) == sorted(wanted)


def test_a_refused_head_has_its_line_after_those_before_it(site: Server, log: AccessLog) -> None:
    with site.connect() as client:
        client.send(b"".join(request_bytes(target=f"/{number}") for number in range(5)) + b"BAD\r\n\r\n")
        assert [client.response().status for _ in range(6)] == [200] * 5 + [400]
    assert [line.request for line in log.lines(6)] == [*(f"GET /{number} HTTP/1.1" for number in range(5)), "BAD"]


def test_a_head_request_sends_no_body(site: Server, log: AccessLog) -> None:
    with site.connect() as client:
        client.request("HEAD", "/stream?size=1000")
        client.request("GET", "/stream?status=304")
        client.request("GET", "/stream?status=204&framing=none")
    assert [(line.status, line.body_bytes) for line in log.lines(3)] == [(200, 0), (304, 0), (204, 0)]


@pytest.mark.parametrize("interface", INTERFACES)
def test_the_bytes_of_each_way_that_a_body_goes_are_counted(server: Start, tmp_path: Path, interface: str) -> None:
    site = server(f"reference:{interface}", *ONE, "--access-log", str(tmp_path / "log"))
    log = AccessLog(str(tmp_path / "log"))
    sizes = [(0, 1), (1, 1), (2048, 1), (2049, 1), (30_000, 3), (100_000, 1), (100_000, 7), (3_000_000, 4)]
    for framing in ("length", "none"):
        for size, pieces in sizes:
            with site.connect() as client:
                answer = client.get(f"/stream?size={size}&pieces={pieces}&framing={framing}")
                assert len(answer.body) == size
    assert [line.body_bytes for line in log.lines(2 * len(sizes))] == [size for size, _ in sizes] * 2


def test_files_of_the_apps_are_counted(server: Start, tmp_path: Path) -> None:
    site = server("reference:wsgi", *ONE, "--access-log", str(tmp_path / "log"), "--access-log-format", "%B %O %X")
    log = AccessLog(str(tmp_path / "log"))
    with site.connect() as client:
        client.send_request(target="/stream?size=5000000&pieces=50")  # the client is slow: it waits in files
        wait_until(lambda: site.counters().slots[0]["spilled_bytes"] > 0, "the response to go to a file")
        assert len(client.response().body) == 5_000_000
    [text] = log.texts(1)
    body, wire, end = text.split()
    assert (int(body), end) == (5_000_000, "+")
    assert 5_000_000 < int(wire) < 5_000_500


def test_interim_responses_do_not_count(server: Start, tmp_path: Path) -> None:
    site = server("reference:asgi", *ONE, "--access-log", str(tmp_path / "log"), "--access-log-format", ATOMS)
    log = AccessLog(str(tmp_path / "log"))
    with site.connect() as client:
        client.send(b"POST /stream?size=10 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc")
        plain = client.response()
        client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.raw(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        answer = client.response()
    first, second = (text.split() for text in log.texts(2))
    assert first[:2] == ["200", str(len(plain.body))]
    assert second[:2] == ["200", str(len(answer.body))]
    assert 100 < int(second[2]) - len(answer.body) < 200


def test_what_a_connection_has_served_and_who_served_it(server: Start, tmp_path: Path) -> None:
    site = server("reference:asgi", *ONE, "--access-log", str(tmp_path / "log"), "--access-log-format", ATOMS)
    log = AccessLog(str(tmp_path / "log"))
    [worker] = site.workers()
    with site.connect() as client:
        client.get("/1")
        client.get("/2")
        client.get("/3", Connection="close")
    found = [text.split() for text in log.texts(3)]
    assert [fields[3:6] for fields in found] == [
        ["+", "0", str(worker)], ["+", "1", str(worker)], ["-", "2", str(worker)]]  # fmt: skip


def test_a_duration_is_that_of_the_answer(server: Start, tmp_path: Path) -> None:
    form = "%D %{ms}T %T %(L)s"
    site = server("reference:asgi", *ONE, "--access-log", str(tmp_path / "log"), "--access-log-format", form)
    log = AccessLog(str(tmp_path / "log"))
    began = time.monotonic()
    site.get("/sleep/1.05")
    most_s = time.monotonic() - began
    microseconds, milliseconds, seconds, decimal = log.texts(1)[0].split()
    assert 1_050_000 <= int(microseconds) <= most_s * 1e6
    assert int(milliseconds) == int(microseconds) // 1000
    assert int(seconds) == int(microseconds) // 1_000_000
    assert decimal == f"{int(microseconds) / 1e6:.6f}"


def test_every_atom_has_its_value(server: Start, tmp_path: Path) -> None:
    atoms = ("%a %A %H %m %p %{remote}p %q %U %u %l %v %V %% %{X-Twice}i %{Content-Type}o %{Content-Length}o "
             "%{Server}o %{No}o %{sec}t %{usec}t %{%Y}t %{end:%Y}t")
    site = server("reference:asgi", *ONE, "--access-log", str(tmp_path / "log"), "--access-log-format", atoms)
    log = AccessLog(str(tmp_path / "log"))
    twice = [("X-Twice", "one"), ("Other", "x"), ("x-twice", "two")]
    with site.connect() as client:
        answer = client.request("GET", "/p?q=1", twice, host="name.test:81")
        peer = client.socket.getsockname()
    fields = log.texts(1)[0].split(" ")
    year = time.strftime("%Y")
    assert fields[:18] == [
        *("127.0.0.1", "127.0.0.1", "HTTP/1.1", "GET", str(site.port), str(peer[1]), "?q=1", "/p", "-", "-"),
        *("name.test", "name.test", "%", "one,", "two", "application/json", str(len(answer.body)), "swhttp"),
    ]  # fmt: skip
    assert fields[18] == "-"
    assert abs(int(fields[19]) - time.time()) < 60
    assert int(fields[20]) // 1_000_000 == int(fields[19])
    assert fields[21:] == [year, year]


def test_response_fields_of_our_own_answers_are_there(server: Start, tmp_path: Path) -> None:
    form = "%s %{Content-Type}o %{Connection}o"
    site = server("reference:asgi", *ONE, "--access-log", str(tmp_path / "log"), "--access-log-format", form)
    log = AccessLog(str(tmp_path / "log"))
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.response().status == 400
    assert log.texts(1) == ["400 text/plain close"]


# One line for each, however it ends

REFUSED = {
    "no Host": (b"GET /a HTTP/1.1\r\nReferer: r\r\n\r\n", 400, "GET /a HTTP/1.1"),
    "a bad field": (b"GET /a HTTP/1.1\r\nHost: t\r\nb a d: x\r\n\r\n", 400, "GET /a HTTP/1.1"),
    "no version": (b"GET /a\r\n\r\n", 400, "GET /a"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, r"\x16\x03\x01"),
    "another version": (b"GET /a HTTP/2.0\r\n", 505, "GET /a HTTP/2.0"),
    "an unknown method": (b"NOSUCH /a HTTP/1.1\r\nHost: t\r\n\r\n", 501, "NOSUCH /a HTTP/1.1"),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "CONNECT a:1 HTTP/1.1"),
    "a long line": (b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n", 414, "GET /" + "a" * 190),
    "many fields": (b"GET /a HTTP/1.1\r\nHost: t\r\n" + b"A: b\r\n" * 11, 431, "GET /a HTTP/1.1"),
    "a body too large": (
        b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 9999999\r\n\r\n", 413, "POST /a HTTP/1.1"),
    "a bad chunk": (
        b"POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "POST /a HTTP/1.1"),
    "a head that does not end": (b"GET /a HTTP/1.1\r\nHo", 408, "GET /a HTTP/1.1"),
    "a line that does not end": (b"GET /a", 408, "GET /a"),
    "a body that does not come": (
        b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc", 408, "POST /a HTTP/1.1"),
    "HEAD": (b"HEAD /a HTTP/1.1\r\n\r\n", 400, "HEAD /a HTTP/1.1"),
}  # fmt: skip


@pytest.mark.parametrize("deliver", ["whole", "in pieces"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_we_answer_ourselves_is_logged_too(site: Server, log: AccessLog, case: str, deliver: str) -> None:
    data, status, request = REFUSED[case]
    with site.connect() as client:
        client.send_while_open(*([data] if deliver == "whole" else (data[:3], data[3:7], data[7:])))
        answer = client.response(data.split(b" ")[0].decode("latin-1"))
        assert answer.status == status
        client.half_close()
        client.expect_end()
    [line] = log.lines(1)
    assert line.request.startswith(request)
    assert (line.status, line.body_bytes) == (status, len(answer.body))


def test_the_fields_of_a_request_that_its_checks_refused_are_there(site: Server, log: AccessLog) -> None:
    with site.connect() as client:
        client.send(b"GET /a HTTP/1.1\r\nReferer: r\r\nUser-Agent: u\r\n\r\n")
        assert client.response().status == 400
    [line] = log.lines(1)
    assert (line.referer, line.agent) == ("r", "u")


def test_a_refusal_behind_a_good_request_has_a_line_of_its_own(site: Server, log: AccessLog) -> None:
    with site.connect() as client:
        client.send(request_bytes(target="/good") + b"GET /bad HTTP/1.1\r\n\r\n")
        assert (client.response().status, client.response().status) == (200, 400)
    assert [(line.request, line.status) for line in log.lines(2)] == [
        ("GET /good HTTP/1.1", 200), ("GET /bad HTTP/1.1", 400)]  # fmt: skip


def test_a_connection_that_says_nothing_has_no_line(site: Server, log: AccessLog) -> None:
    with site.connect() as silent, site.connect() as empty_lines, site.connect() as idle:
        empty_lines.send(b"\r\n\r\n")
        idle.get("/one")
        wait_until(lambda: site.counters().reactors[0]["received_bytes"] > 0, "the bytes")
        silent.close()
    wait_until(lambda: site.counters().reactors[0]["open"] == 0, "the connections to end")
    site.get("/two")
    assert [line.request for line in log.lines(2)] == ["GET /one HTTP/1.1", "GET /two HTTP/1.1"]


@pytest.mark.parametrize(
    "sent", [b"GET /a HTTP/1.1\r\nHost: t\r\n", b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc"])
def test_a_client_that_leaves_while_it_asks_is_499(site: Server, log: AccessLog, sent: bytes) -> None:
    received = site.counters().reactors[0]["received_bytes"]
    with site.connect() as client:
        client.send(sent)
        wait_until(lambda: site.counters().reactors[0]["received_bytes"] == received + len(sent), "the bytes")
    [line] = log.lines(1)
    assert (line.status, line.body_bytes, line.request.split()[1]) == (499, 0, "/a")


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_client_that_leaves_before_its_answer_is_499_once(server: Start, tmp_path: Path, interface: str) -> None:
    site = server(f"reference:{interface}", *ONE, "--access-log", str(tmp_path / "log"))
    log = AccessLog(str(tmp_path / "log"))
    with site.gate() as gate:
        with site.connect() as client:
            client.send_request("POST", gate.target, body=b"x")
            visitor = gate.entered()
            client.reset()
        [line] = log.lines(1)  # while its worker still has it
        visitor.release()
        site.get("/after")
    assert (line.status, line.body_bytes) == (499, 0)
    assert [line.status for line in log.lines(2)] == [499, 200]


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_client_that_leaves_a_response_is_logged_with_what_it_was_sent(
    server: Start, tmp_path: Path, interface: str
) -> None:
    form = ("--access-log-format", ATOMS)
    site = server(f"reference:{interface}", *ONE, "--access-log", str(tmp_path / "log"), *form)
    log = AccessLog(str(tmp_path / "log"))
    with site.gate() as gate:
        with site.connect() as client:
            client.send_request(target=f"/stream?size=100000&pieces=10&gate={gate.path}")
            visitor = gate.entered()
            assert client.head().status == 200
            client.raw(10_000)
            client.reset()
        [text] = log.texts(1)
        visitor.release()
    status, body, _, end, *_ = text.split()
    assert (status, body, end) == ("200", "10000", "X")


def test_an_app_that_fails_half_way_is_a_cut_line(server: Start, tmp_path: Path) -> None:
    form = ("--access-log-format", ATOMS)
    site = server("reference:wsgi", *ONE, "--access-log", str(tmp_path / "log"), *form)
    site.expect_log("Traceback|ERROR")
    log = AccessLog(str(tmp_path / "log"))
    with site.connect() as client:
        client.send_request(target="/raise-later?size=100&pieces=4")
        client.expect_cut()
    with site.connect() as client:
        assert client.get("/raise-first").status == 500
    cut, failed = (text.split() for text in log.texts(2))
    assert (cut[:2], cut[3]) == (["200", "25"], "X")
    assert (failed[0], failed[3]) == ("500", "+")


@pytest.mark.parametrize("interface", INTERFACES)
def test_a_worker_that_dies_leaves_one_line_for_each(server: Start, tmp_path: Path, interface: str) -> None:
    form = ("--access-log-format", ATOMS)
    site = server(f"reference:{interface}", *ONE, "--access-log", str(tmp_path / "log"), *form)
    log = AccessLog(str(tmp_path / "log"))
    with site.gate() as gate, site.connect() as lost, site.connect() as begun:
        if interface == "asgi":  # a WSGI worker has one thread
            begun.send_request(target=f"/stream?size=1000&pieces=10&gate={gate.path}")
            gate.entered()
            begun.raw(10)
        lost.send_request("POST", gate.target)
        victim = gate.entered()
        waiting = [site.connect() for _ in range(20)]
        if interface == "wsgi":
            for client in waiting:
                client.send_request(target="/again")
            wait_until(lambda: site.counters().reactors[0]["requests"] == 21, "the requests to arrive")
        site.kill(signal.SIGKILL, victim.pid)
        assert lost.response().status == 502
        [successor] = site.wait_for_workers(1, other_than={victim.pid})
        if interface == "wsgi":
            for client in waiting:
                assert client.response().status == 200
    found = sorted(text.split() for text in log.texts(21 if interface == "wsgi" else 2))
    if interface == "wsgi":
        assert {(fields[0], fields[5]) for fields in found[:20]} == {("200", str(successor))}
    else:
        assert (found[0][0], found[0][3], found[0][5]) == ("200", "X", str(victim.pid))
    assert found[-1][0] == "502"
    assert (found[-1][1], found[-1][5]) == (str(len("worker-lost")), str(victim.pid))


@pytest.mark.parametrize("interface", INTERFACES)
def test_an_upload_has_one_line(server: Start, tmp_path: Path, interface: str) -> None:
    site = server(f"reference:{interface}", *ONE, "--access-log", str(tmp_path / "log"))
    log = AccessLog(str(tmp_path / "log"))
    body = b"x" * 300_000
    with site.connect() as client:
        assert client.request("POST", "/small", body=b"x").status == 200
        assert client.request("POST", "/large", body=body).status == 200
        client.send(request_bytes("POST", "/chunked", [("Transfer-Encoding", "chunked")]), chunked(body, body))
        assert client.response().status == 200
    with site.connect() as client:  # answered before its end
        client.send(request_bytes("POST", "/ignore-body", [("Content-Length", "3000000")]))
        client.send_while_open(*[body] * 10)
        assert client.response().status == 200
    with site.connect() as client:  # and one whose client leaves within
        client.send(request_bytes("POST", "/left", [("Content-Length", "3000000")]), body)
    found = log.lines(5)
    assert sorted((line.request.split()[1], line.status) for line in found) == [
        ("/chunked", 200), ("/ignore-body", 200), ("/large", 200), ("/left", 499), ("/small", 200)]  # fmt: skip


def test_a_body_that_goes_wrong_behind_its_answer_is_no_request(site: Server, log: AccessLog) -> None:
    with site.connect() as client:
        piece = b"%x\r\n%s\r\n" % (70_000, b"x" * 70_000)  # more than comes whole
        client.send(request_bytes("POST", "/ignore-body", [("Transfer-Encoding", "chunked")]), piece)
        assert client.response().status == 200
        client.send(b"no chunk\r\n")
        client.half_close()
        client.expect_end()
    site.get("/after")
    assert [line.request.split()[1] for line in log.lines(2)] == ["/ignore-body", "/after"]


def test_a_client_without_an_address_has_the_unspecified_one(server: Start, tmp_path: Path) -> None:
    site = server("reference:wsgi", *ONE, "--access-log", str(tmp_path / "log"), binds=("unix:{dir}/http.sock",))
    log = AccessLog(str(tmp_path / "log"))
    site.get("/")
    assert log.lines(1)[0].client == "::"


def test_all_reactors_write_into_one_file(server: Start, tmp_path: Path) -> None:
    options = ("--workers", "2", "--reactors", "2", "--access-log", str(tmp_path / "log"))
    site = server("reference:asgi", *options)
    log = AccessLog(str(tmp_path / "log"))
    clients = [site.connect() for _ in range(20)]
    for number in range(10):
        for which, client in enumerate(clients):
            client.send_request(target=f"/{number}/{which}")
        for client in clients:
            assert client.response().status == 200
    assert {reactor["responses"] > 0 for reactor in site.counters().reactors} == {True}
    targets = {line.request.split()[1] for line in log.lines(200)}
    assert targets == {f"/{number}/{which}" for number in range(10) for which in range(20)}


# The end


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGQUIT])
def test_at_the_end_nothing_that_was_answered_is_missing(server: Start, tmp_path: Path, signum: int) -> None:
    site = server("reference:asgi", "--workers", "1", "--reactors", "2", "--access-log", str(tmp_path / "log"))
    clients = [site.connect() for _ in range(50)]
    with site.gate() as gate, site.connect() as busy:
        busy.send_request("POST", gate.target)
        visitor = gate.entered()
        for client in clients:
            client.send(b"".join(request_bytes(target=f"/{number}") for number in range(10)))
        for client in clients:
            for _ in range(10):
                assert client.response().status == 200
        site.kill(signum)
        if signum == signal.SIGTERM:
            visitor.release()
        last = busy.response().status
    site.finish()
    found = AccessLog.whole(str(tmp_path / "log"))
    assert sorted(line.status for line in found) == [200] * 500 + [last]


# Lines that somebody would like to forge

FORGED = [
    'q" 200 1 "-" "x',
    "\\",
    '\\"',
    "back\\\\slashes\\",
    "tab\tin it",
    "\x80\xff\xe9 high",
    "%0d%0a127.0.0.1 - - forged",
    "\\r\\n\\x0a",
    "{}[]:,\\u000a",
]


@pytest.mark.parametrize("form", ["combined", "json"])
def test_no_value_leaves_its_place(server: Start, tmp_path: Path, form: str) -> None:
    site = server("reference:wsgi", *ONE, "--access-log", str(tmp_path / "log"), "--access-log-format", form)
    log = AccessLog(str(tmp_path / "log"))
    answered = []
    for value in FORGED:
        target = "/" + re.sub("[\t ]", "+", value)
        for data in (
            request_bytes(target="/", headers=[("User-Agent", value), ("Referer", value)]),
            request_bytes(target=target),
            request_bytes(target=target, host=None),
            request_bytes(method="X" + value),
            value.encode("latin-1") + b"\r\n\r\n",
        ):
            with site.connect() as client:
                client.send_while_open(data)
                answered.append(client.response().status)
    texts = log.texts(len(answered))
    assert all(text.isascii() and text.isprintable() for text in texts)
    if form == "json":
        assert [json.loads(text)["status"] for text in texts] == answered
        agents = [json.loads(text)["user_agent"] for text in texts]
        assert agents[::5] == [value.strip() for value in FORGED]
    else:
        assert [line.status for line in log.lines(len(answered))] == answered


def test_what_is_long_is_cut_within_its_quotes(server: Start, tmp_path: Path) -> None:
    options = ("--limit-request-line", "60000", "--limit-request-field-size", "60000", "--access-log-format", "json")
    site = server("reference:wsgi", *ONE, "--access-log", str(tmp_path / "log"), *options)
    log = AccessLog(str(tmp_path / "log"))
    with site.connect() as client:
        client.request("GET", "/" + "a" * 20_000, [("User-Agent", "\xe9" * 20_000), ("Referer", "b" * 20_000)])
    [text] = log.texts(1)
    found = json.loads(text)
    assert len(text) < limits.ACCESS_LINE_BYTES
    for name, beginning in {"request": "GET /a", "path": "/a", "user_agent": "\xe9\xe9", "referer": "bb"}.items():
        assert found[name].startswith(beginning)
        assert found[name].endswith("..."), (name, len(found[name]))
    assert found["status"] == 200


def test_the_log_is_the_writers_alone(server: Start, tmp_path: Path) -> None:
    site = server("reference:wsgi", "--workers", "2", "--access-log", str(tmp_path / "log"))
    for pid in (site.manager(), *site.workers()):
        names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert str(tmp_path / "log") not in names
