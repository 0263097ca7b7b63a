"""Commands to a running server: who may give them, what they say, and what they do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import swhttp
from swhttp import limits, verbs
from swhttp.controlproto import Decoder, encode
from swhttp.errors import ServerError
from swhttp.verbs import ask
from tests.support import processes
from tests.support.fleet import Start
from tests.support.server import TESTS, Server, wait_for_lines

ROOT = TESTS.parent
OPTIONS = ("--workers", "1", "--reactors", "1", "--control", "c")
NOBODY = 65534
TIMEOUT_S = 30.0


def path(site: Server) -> str:
    return f"{site.directory}/c"


def told(site: Server, verb: str, **fields: object) -> dict[str, Any]:
    """The server's answer, which must be a yes."""
    answer = ask(path(site), {"verb": verb, **fields}, TIMEOUT_S)
    assert answer["ok"], answer
    return answer


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "swhttp", *arguments]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command line, to its end."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(
        command(*arguments), env=environment, text=True, capture_output=True, timeout=60, check=False)


def begun(*arguments: str) -> subprocess.Popen[str]:
    """The same, without waiting for its end."""
    return subprocess.Popen(
        command(*arguments), env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    return module_server("reference:wsgi", *OPTIONS)


# Who is heard


def test_only_its_owner_may_connect(site: Server) -> None:
    status = os.stat(path(site))
    assert (stat.S_ISSOCK(status.st_mode), stat.S_IMODE(status.st_mode)) == (True, 0o600)


def test_only_the_master_has_it(site: Server) -> None:
    with open("/proc/net/unix") as file:
        [inode] = [line.split()[6] for line in file if line.rstrip().endswith(path(site))]
    held = {pid for pid in (site.pid, site.manager(), *site.workers())
            if f"socket:[{inode}]" in processes.fds_of(pid).values()}
    assert held == {site.pid}


if os.geteuid() == 0:  # nobody else can be somebody else

    def test_another_user_is_refused_even_if_the_file_lets_him(site: Server) -> None:
        os.chmod(site.directory, 0o755)
        os.chmod(path(site), 0o666)
        mine, theirs = socket.socketpair()
        with mine, theirs:
            pid = os.fork()
            if pid == 0:
                try:
                    os.setresgid(NOBODY, NOBODY, NOBODY)
                    os.setresuid(NOBODY, NOBODY, NOBODY)
                    theirs.sendall(json.dumps(ask(path(site), {"verb": "stop"}, TIMEOUT_S)).encode())
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
            assert json.loads(mine.recv(4096)) == {
                "ok": False, "error": "this is for root, and for the user that has started the server"}
        site.expect_log(rf"\[WARNING\] Control socket: refused a process of user {NOBODY}$")
        site.wait_for_log(rf"Control socket: refused a process of user {NOBODY}$")
        os.chmod(path(site), 0o600)
        assert told(site, "status")["phase"] == "serving"


@pytest.mark.parametrize("sent", [b"\xff" * 100, b"\0\1\0\1" + b"x" * 65537, encode({"verb": "status"})[:-3]])
def test_who_talks_nonsense_or_stays_silent_disturbs_nobody(site: Server, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(path(site))
        other.sendall(sent)
        assert site.get("/")["method"] == "GET"
        assert told(site, "status")["pid"] == site.pid


@pytest.mark.parametrize(
    ("request_", "why"), [
        ({}, "there is no such verb; there are status, "), ({"verb": ["status"]}, "there is no such verb"),
        ({"verb": "scale"}, "the number of workers is one from 1 to 2"),
        ({"verb": "scale", "workers": 0}, "from 1 to"), ({"verb": "scale", "workers": 1000000}, "from 1 to"),
        ({"verb": "scale", "workers": True}, "from 1 to"), ({"verb": "scale", "workers": "1"}, "from 1 to")])
def test_what_cannot_be_is_refused_with_a_reason(site: Server, request_: dict[str, Any], why: str) -> None:
    answer = ask(path(site), request_, TIMEOUT_S)
    assert answer["ok"] is False
    assert why in answer["error"]


# What is told


def test_status(site: Server) -> None:
    answer = told(site, "status")
    expected = {"version": swhttp.__version__, "pid": site.pid, "phase": "serving", "app": "reference:wsgi",
                "interface": "wsgi", "binds": site.addresses, "workers": {"wanted": 1, "most": 2, "ready": 1},
                "reload": {"running": False, "count": 0}}
    assert {name: answer[name] for name in expected} == expected
    assert 0 < answer["uptime_s"] < 1000
    [before] = answer["reactors"]
    with site.connect() as client:
        client.get("/")
        [after] = told(site, "status")["reactors"]
    assert {name: after[name] - before[name] for name in after} == {
        "connections": 1, "in_flight": 0, "waiting": 0, "requests": 1, "responses": 1, "websockets": 0}


def test_workers(site: Server) -> None:
    [before] = told(site, "workers")["workers"]
    with site.gate() as gate, site.connect() as client:
        client.send_request(target=gate.target)
        visitor = gate.entered()
        [worker] = told(site, "workers")["workers"]
        assert (worker["taken"] - before["taken"], worker["in_flight"]) == (1, 1)
        assert {name: worker[name] for name in ("slot", "pid", "generation", "state", "app_errors")} == {
            "slot": before["slot"], "pid": visitor.pid, "generation": 1, "state": "ready", "app_errors": 0}
        assert 1 << 20 < worker["rss_bytes"] < 1 << 30
        assert 0 <= worker["uptime_s"] < 1000
        visitor.release()
        client.response()


def test_requests(server: Start) -> None:
    """With one thread: one is with the app, one is behind it, and the third has no worker. A worker that was seen to be
    quick would have it, too."""
    site = server("reference:wsgi", *OPTIONS)
    later = "/later?" + "x" * 300
    with site.gate() as gate, site.connect() as one, site.connect() as two, site.connect() as three:
        one.send_request(target=gate.target)
        visitor = gate.entered()
        two.send_request(method="DELETE", target="/%1b[2J")
        in_flight(site, 2)
        three.send_request(target=later, headers=[("X-Forwarded-For", "2001:db8::7")])
        in_flight(site, 3)
        answer = told(site, "requests")
        assert (answer["in_flight"], answer["truncated"]) == (3, False)
        rows = answer["requests"]
        ages = [row.pop("age_s") for row in rows]
        assert ages == sorted(ages, reverse=True)
        assert all(0 <= age < 1000 for age in ages)
        with_worker = {"slot": told(site, "workers")["workers"][0]["slot"], "pid": visitor.pid, "reactor": 0}
        assert rows == [
            {**with_worker, "state": "taken", "method": "GET", **target(gate.target), **peer(one.socket)},
            {**with_worker, "state": "queued", "method": "DELETE", **target("/%1b[2J"), **peer(two.socket)},
            {"slot": None, "pid": None, "reactor": 0, "state": "waiting", "method": "GET", "target": later[:256],
             "target_bytes": len(later), "truncated": True, "client": "2001:db8::7", "client_port": 0}]
        one.close()
        processes.wait_until(lambda: states(site) == ["abandoned", "queued", "waiting"], "the client's end")
        visitor.release()
        assert [client.response().status for client in (two, three)] == [200, 200]
    assert told(site, "requests")["requests"] == []


def test_a_request_that_is_being_answered(site: Server) -> None:
    with site.gate() as gate, site.connect() as client:
        client.send_request(target=f"/stream?size=100000&pieces=2&framing=chunked&gate={gate.path}")
        visitor = gate.entered()
        processes.wait_until(lambda: states(site) == ["answering"], "the first piece")
        visitor.release()
        assert client.response().status == 200


def test_of_many_requests_the_oldest_are_listed(server: Start) -> None:
    site = server(
        "reference:asgi", *OPTIONS, "--reactors", "2", "--worker-concurrency", "3", binds=("unix:{dir}/s",))
    gate = site.gate()
    count = limits.SNAPSHOT_REQUESTS + 4
    clients = [site.connect() for _ in range(count)]
    # One that is received in the turn in which it is accepted is as old as that turn.
    processes.wait_until(lambda: sum(one["open"] for one in site.counters().reactors) == count, "all connections")
    for number, client in enumerate(clients):
        client.send_request(target=f"{gate.target}&{number:04}{'x' * 300}")
        if number < 3:
            gate.entered()
        elif number == count - 5:
            in_flight(site, count - 4)  # else those of one reactor may be older than earlier ones of the other
    in_flight(site, count)
    answer = told(site, "requests")
    assert (answer["in_flight"], answer["truncated"], len(answer["requests"])) == (count, True, count - 4)
    ages = [row["age_s"] for row in answer["requests"]]
    assert ages == sorted(ages, reverse=True)
    assert [row["state"] for row in answer["requests"][:4]] == ["taken", "taken", "taken", "waiting"]
    assert {row["client"] for row in answer["requests"]} == {None}
    assert {row["reactor"] for row in answer["requests"]} == {0, 1}
    numbers = [int(row["target"].partition("&")[2][:4]) for row in answer["requests"]]
    assert sorted(numbers) == list(range(count - 4))
    site.stop(signal.SIGQUIT)


def states(site: Server) -> list[str]:
    return [row["state"] for row in told(site, "requests")["requests"]]


def in_flight(site: Server, count: int) -> None:
    """Wait until there are so many requests."""
    def there() -> bool:
        return sum(one["in_flight"] + one["waiting"] for one in site.counters().reactors) == count

    processes.wait_until(there, f"{count} requests")


def target(text: str) -> dict[str, Any]:
    return {"target": text[:256], "target_bytes": len(text), "truncated": len(text) > 256}


def peer(client: socket.socket) -> dict[str, Any]:
    address, port = client.getsockname()
    return {"client": address, "client_port": port}


# What is done


def test_log_files_are_opened_again(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--error-log", "log", "--access-log", "access", ready=False)
    directory = Path(site.directory)
    site.wait_ready(directory / "log")
    for name in ("log", "access"):
        os.rename(directory / name, directory / f"{name}.old")
    told(site, "reopen")
    site.get("/after")
    wait_for_lines(directory / "access", "GET /after")
    told(site, "stop")
    wait_for_lines(directory / "log", "Control socket: stopping")
    site.finish()


def test_stop_lets_requests_end_and_waits_for_the_process(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS)
    with site.gate() as gate, site.connect() as client:
        client.send_request(target=gate.target)
        visitor = gate.entered()
        with begun("stop", "--wait", "--control", path(site)) as stopping:
            site.wait_for_log("Control socket: stopping, requests in flight have 30 s")
            assert told(site, "status")["phase"] == "draining"
            for verb in ("reload", "scale"):
                refused = ask(path(site), {"verb": verb, "workers": 1}, TIMEOUT_S)
                assert refused == {"ok": False, "error": "the server is stopping"}
            told(site, "stop")  # is no second wish
            assert stopping.poll() is None
            visitor.release()
            assert client.response().status == 200
            assert stopping.wait(TIMEOUT_S) == 0
        state = processes.read_process(site.pid)
        assert state is None or state.state == "Z", "it has ended when we are told so"
    site.finish()


def test_stop_quick_waits_for_nobody(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS)
    with site.gate() as gate, site.connect() as client:
        client.send_request(target=gate.target)
        gate.entered()
        told(site, "stop", quick=True)
        assert client.response().status == 502
    site.wait_for_log("Control socket: stopping at once")
    site.expect_log("Worker died")
    site.finish()


# Reload and scale


SAYS = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [{!r}]\n"


@pytest.fixture
def changing(server: Start, tmp_path: Path) -> Server:
    """Serves changing.py, which tests write anew."""
    (tmp_path / "changing.py").write_text(SAYS.format(b"old"))
    return server("changing:app", *OPTIONS, "--app-dir", str(tmp_path))


def text_of(site: Server) -> bytes:
    with site.connect() as client:
        return client.get("/").body


def test_reload_ends_when_the_new_code_serves(changing: Server, tmp_path: Path) -> None:
    [old] = changing.workers()
    (tmp_path / "changing.py").write_text(SAYS.format(b"new!"))
    done = run("reload", "--wait", "--control", path(changing))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert text_of(changing) == b"new!"
    changing.wait_for_workers(1, other_than={old})
    reload = told(changing, "status")["reload"]
    assert (reload["running"], reload["count"], reload["ok"], reload["error"]) == (False, 1, True, "")
    assert "1 reload, the last succeeded" in run("status", "--control", path(changing)).stdout


def test_reload_to_code_that_fails_says_why_and_the_old_serves_on(changing: Server, tmp_path: Path) -> None:
    changing.expect_log("")
    (tmp_path / "changing.py").write_text("def broken():\n    return 1 / 0\n\nbroken()\n")
    failed = run("reload", "--wait", "--control", path(changing))
    assert (failed.returncode, failed.stdout) == (12, "")
    assert failed.stderr.startswith("Error: the reload has failed\nTraceback (most recent call last):\n")
    assert 'changing.py", line 2, in broken' in failed.stderr
    assert failed.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert text_of(changing) == b"old"
    status = told(changing, "status")
    assert (status["phase"], status["reload"]["ok"]) == ("serving", False)
    assert "failed (ZeroDivisionError: division by zero)" in run("status", "--control", path(changing)).stdout


def test_who_asks_during_a_reload_waits_for_the_next(changing: Server, tmp_path: Path) -> None:
    """The first new worker is held at its import, and two more ask meanwhile: that is one reload more."""
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    (tmp_path / "changing.py").write_text(f"open({str(fifo)!r}).read()\n" + SAYS.format(b"second"))
    with contextlib.ExitStack() as asked:
        with begun("reload", "--wait", "--control", path(changing)) as first, fifo.open("w"):  # until it is read
            assert told(changing, "status")["phase"] == "reloading"
            (tmp_path / "changing.py").write_text(SAYS.format(b"the third"))
            mark = changing.log.mark()
            others = [asked.enter_context(begun("reload", "--wait", "--control", path(changing))) for _ in range(2)]
            changing.wait_for_log("Control socket: reloading", since=mark, count=2)
            told(changing, "scale", workers=1)  # the manager answers, so it has heard all that was before
            assert [one.poll() for one in (first, *others)] == [None] * 3
            assert told(changing, "status")["reload"] == {"running": True, "count": 0}
        assert first.returncode == 0
        assert [one.wait(TIMEOUT_S) for one in others] == [0, 0]
    assert text_of(changing) == b"the third"
    assert told(changing, "status")["reload"]["count"] == 2


def test_who_waits_for_a_reload_hears_of_the_servers_end(changing: Server, tmp_path: Path) -> None:
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    (tmp_path / "changing.py").write_text(f"open({str(fifo)!r}).read()\n")
    with begun("reload", "--wait", "--control", path(changing)) as waiting, fifo.open("w"):
        told(changing, "stop")
        assert waiting.wait(TIMEOUT_S) == 12
        assert waiting.stderr is not None
        assert waiting.stderr.read() == "Error: the server is stopping\n"
    changing.expect_log("")
    changing.finish()


def test_many_who_wait_do_not_keep_others_out(changing: Server, tmp_path: Path) -> None:
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    (tmp_path / "changing.py").write_text(f"open({str(fifo)!r}).read()\n")
    with contextlib.ExitStack() as waiting:
        for _ in range(limits.CONTROL_WAITING):
            waiter = waiting.enter_context(socket.socket(socket.AF_UNIX))
            waiter.connect(path(changing))
            waiter.sendall(encode({"verb": "reload", "wait": True}))
        changing.wait_for_log("Control socket: reloading", count=limits.CONTROL_WAITING)
        refused = {"ok": False, "error": "too many wait for an answer already"}
        for verb in ("reload", "stop", "scale"):
            request = {"verb": verb, "wait": verb != "scale", "workers": 1}
            assert ask(path(changing), request, TIMEOUT_S) == refused
        told(changing, "reload")
        told(changing, "stop", quick=True)
    changing.expect_log("")
    changing.finish()


def test_scale(changing: Server) -> None:
    done = run("scale", "2", "--control", path(changing))
    assert (done.returncode, done.stdout) == (0, "2 workers are wanted\n")
    processes.wait_until(
        lambda: told(changing, "status")["workers"] == {"wanted": 2, "most": 2, "ready": 2}, "two workers")
    assert told(changing, "scale", workers=1) == {"ok": True, "workers": 1}
    processes.wait_until(lambda: len(changing.workers()) == 1, "one worker")


# The file


def test_the_socket_of_a_server_that_runs_is_refused(server: Start) -> None:
    first = server("reference:wsgi", *OPTIONS)
    inode = os.stat(path(first)).st_ino
    second = server("reference:wsgi", *OPTIONS[:-1], path(first), ready=False)
    second.expect_log("control socket")
    second.finish(expect=10)
    assert len(second.log.lines) == 1
    assert "Cannot make the control socket" in second.log.lines[0]
    assert "Address already in use" in second.log.lines[0]
    assert os.stat(path(first)).st_ino == inode
    assert told(first, "status")["pid"] == first.pid


def test_one_that_was_left_is_replaced_and_removed_at_the_end(server: Start) -> None:
    first = server("reference:wsgi", *OPTIONS)
    left = f"{first.directory}-control"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(left)
    os.chmod(left, 0o777)
    second = server("reference:wsgi", *OPTIONS[:-1], left)
    assert stat.S_IMODE(os.stat(left).st_mode) == 0o600
    assert ask(left, {"verb": "status"}, TIMEOUT_S)["pid"] == second.pid
    second.stop()
    assert not os.path.exists(left)


# The command line


def test_tables_and_json(site: Server) -> None:
    shown = run("status", "--control", path(site))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"pid {site.pid}, serving" in shown.stdout
    assert "1 of 1 ready" in shown.stdout
    shown = run("workers", SWHTTP_CONTROL=path(site))
    heads, row = shown.stdout.splitlines()
    assert heads.split()[:4] == ["slot", "pid", "generation", "state"]
    assert row.split()[1] == str(site.workers()[0])
    shown = run("requests", "--json", "--control", path(site))
    assert json.loads(shown.stdout) == {"ok": True, "in_flight": 0, "truncated": False, "requests": []}


def test_a_no_has_a_status_and_a_reason(site: Server) -> None:
    refused = run("scale", "99", "--control", path(site))
    assert (refused.returncode, refused.stdout) == (12, "")
    assert refused.stderr == "Error: the number of workers is one from 1 to 2\n"
    refused = run("scale", "99", "--json", "--control", path(site))
    assert (refused.returncode, refused.stderr) == (12, "")
    assert json.loads(refused.stdout)["ok"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "said"), [
        (["status", "--control", "/no/such/socket"], 13, "No answer from '/no/such/socket': No such file or directory"),
        (["reload"], 2, "Where is the server? Say --control PATH, or set SWHTTP_CONTROL"),
        (["reload", "--wiat"], 2, "--wiat: there is no such option; did you mean --wait?"),
        (["scale", "two"], 2, "Invalid value for 'N': 'two' is not a valid integer"),
        (["stop", "--control", "x", "--wait", "--timeout", "0"], 8, "--timeout: seconds, more than 0")])
def test_a_verb_that_cannot_be_done_is_one_line(arguments: list[str], code: int, said: str) -> None:
    finished = run(*arguments)
    assert (finished.returncode, finished.stdout) == (code, "")
    [line] = finished.stderr.splitlines()
    assert line.startswith(f"Error: {said}")


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\2{}", b"\0\0\0\x0b"])
def test_whatever_else_listens_there_is_no_answer(tmp_path: Path, answer: bytes | None) -> None:
    """The last one has a time to end in."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with begun("stop", "--wait", "--timeout", "0.3", "--control", str(tmp_path / "s")) as asking:
            connection, _ = listener.accept()
            decoder = Decoder(limits.CONTROL_REQUEST_BYTES)
            while (request := decoder.next()) is None:
                decoder.feed(connection.recv(decoder.missing))
            assert request == {"verb": "stop", "quick": False, "wait": True}
            if answer is None:
                connection.close()
            else:
                connection.sendall(answer)
            _, said = asking.communicate(timeout=30)
            connection.close()
    assert asking.returncode == 13
    assert said.startswith(f"Error: No answer from '{tmp_path}/s': ")


@pytest.mark.parametrize("name", ["status", "workers", "requests", "scale"])
@pytest.mark.parametrize("answer", [{"ok": True}, {"ok": True, "workers": 3, "requests": [None]}])
def test_an_answer_of_another_version_is_shown_or_is_none(
    name: str, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "ask", lambda *arguments, **more: answer)
    number = ["3"] if name == "scale" else []
    with pytest.raises((ServerError, SystemExit)) as end:
        verbs.command(name).main([*number, "--control", "c"], standalone_mode=False)
    if name == "scale" and "workers" in answer:
        assert end.value.args == (0,)
    else:
        assert isinstance(end.value, ServerError)
        assert end.value.exit_code == 13
        assert str(end.value) == "No answer from 'c': what it says cannot be shown; it may be of another version"


def test_nothing_that_scale_is_told_commands_the_terminal() -> None:
    assert verbs.VERBS["scale"].show({"workers": "\x1b[2J\n"}) == "\\x1b[2J\\n workers are wanted"


def test_a_server_that_is_busy_with_others_is_no_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as other:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        other.connect(str(tmp_path / "s"))
        with pytest.raises(ServerError, match="it is busy with others") as failure:
            ask(str(tmp_path / "s"), {"verb": "status"}, 0.05)
    assert failure.value.exit_code == 13


def test_a_module_whose_name_is_a_verb_can_be_served(server: Start, tmp_path: Path) -> None:
    (tmp_path / "status.py").write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'mine']\n")
    site = server("status:app", "--app-dir", str(tmp_path), "--workers", "1")
    with site.connect() as client:
        assert client.get("/").body == b"mine"
