"""Hooks of --hooks: who calls which when, with what; and that none of them can do the server harm."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support import processes
from tests.support.fleet import Start
from tests.support.server import APPS, EXIT_BOOT_FAILED, Server

OPTIONS = ("--workers", "1", "--reactors", "1")
NOTING = (*OPTIONS, "--hooks", "noting_hooks")
MISTAKE = r"\[WARNING\] Hooks: noting_hooks\.on_worker_strat is never called: .* did you mean 'on_worker_start'\?"
INTERFACES = pytest.mark.parametrize("interface", ["wsgi", "asgi"])


def calls(site: Server) -> list[tuple[str, int, dict[str, Any]]]:
    """Name, pid and fields of every call so far, in order."""
    found = [re.fullmatch(r"hook (\w+) (\d+) (.+)", line) for line in list(site.log.lines)]
    return [(match[1], int(match[2]), json.loads(match[3])) for match in found if match]


def called(site: Server, name: str) -> dict[str, Any]:
    """The fields of the first call of this hook, which may still have to come."""
    site.wait_for_log(rf"^hook {name} \d+ ")
    return next(fields for one, _, fields in calls(site) if one == name)


@pytest.mark.parametrize("options", [("wsgi",), ("asgi",), ("asgi", "--preload")], ids=" ".join)
def test_each_hook_is_called_in_its_time_with_what_it_has_to_know(server: Start, options: tuple[str, ...]) -> None:
    interface = options[0]
    site = server(f"reference:{interface}", *NOTING, *options[1:])
    assert len(site.wait_for_log(MISTAKE)) == 1
    manager = site.manager()
    site.stop()
    told = calls(site)
    assert [name for name, _, _ in told] == [
        "on_start", "on_manager_start", "on_worker_start", "on_worker_exit", "on_worker_stop", "on_manager_stop",
        "on_shutdown"]
    start, worker = told[0][2], told[2][2]
    assert start == {
        "pid": site.pid, "manager_pid": manager, "workers": 1, "binds": [site.addresses[0].removeprefix("http://")]}
    assert worker == {"slot": 0, "generation": 1, "pid": told[2][1], "interface": interface}
    assert all(fields == (worker if "worker" in name else start) for name, _, fields in told)
    hosts = {pid for name, pid, _ in told if "worker" not in name}
    assert len(hosts) == 1
    assert not hosts & {site.pid, manager, worker["pid"]}


@INTERFACES
def test_on_worker_exit_is_called_while_the_worker_still_has_requests(server: Start, interface: str) -> None:
    site = server(f"reference:{interface}", *NOTING, "--threads", "2")
    with site.gate() as gate:
        client = site.connect()
        client.send_request(target=gate.target)
        request = gate.entered()
        site.kill(signal.SIGTERM, called(site, "on_worker_start")["pid"])
        called(site, "on_worker_exit")
        assert "on_worker_stop" not in [name for name, _, _ in calls(site)]
        request.release()
        assert client.response().status == 200
        called(site, "on_worker_stop")


def test_on_worker_error_is_told_which_worker_ended_how_and_on_what(server: Start) -> None:
    site = server("reference:asgi", *NOTING)
    worker = called(site, "on_worker_start")
    with site.gate() as gate, site.connect() as one, site.connect() as two:
        for client in (one, two):
            client.send_request("POST", gate.target)
            gate.entered()
        site.kill(signal.SIGKILL, worker["pid"])
        assert {one.response().status, two.response().status} == {502}
        error = called(site, "on_worker_error")
        what = f"POST {gate.target} (127.0.0.1:"
    del worker["interface"]
    assert error == worker | {"exit_code": None, "signal": 9, "requests": error["requests"]}
    assert [line.rstrip("0123456789)") for line in error["requests"]] == [what, what]
    site.wait_for_log("Worker booted", count=2)
    site.stop()
    assert [name for name, _, _ in calls(site)].count("on_worker_error") == 1, "who was told to leave has not failed"


def test_on_worker_error_is_called_whatever_the_status_of_one_that_was_not_told_to_leave(server: Start) -> None:
    site = server("endings:exits", *NOTING)
    worker = called(site, "on_worker_start")
    with site.connect() as client:
        client.send_request(target="/exit?0")
        assert client.response().status == 502
    error = called(site, "on_worker_error")
    assert (error["pid"], error["exit_code"], error["signal"]) == (worker["pid"], 0, None)
    site.wait_for_log("Worker booted", count=2)


REFUSING = """
import os, threading

def refuse(thread):
    raise RuntimeError("no more threads")

def on_worker_start(told):
    threading.Thread.start = refuse

def on_worker_stop(told):
    os.write(2, b"stopped all the same\\n")
"""


def test_on_worker_stop_is_called_when_the_worker_cannot_begin(server: Start, tmp_path: Path) -> None:
    (tmp_path / "refusing_hooks.py").write_text(REFUSING)
    site = server("reference:wsgi", *OPTIONS, "--threads", "2", "--hooks", "refusing_hooks",
                  "--app-dir", str(tmp_path), env={"PYTHONPATH": f"{APPS.parent.parent}:{APPS}"}, ready=False)
    site.expect_log(r"Internal error|Traceback|The application did not boot")
    site.wait_for_log("^stopped all the same$")
    site.finish(expect=EXIT_BOOT_FAILED)


def test_hooks_that_raise_are_logged_and_the_server_serves(server: Start) -> None:
    site = server("reference:asgi", *OPTIONS, "--hooks", "bad_hooks")
    site.expect_log(r"\[ERROR\] Hook on_\w+ failed|Traceback")
    assert site.get("/")
    site.stop()
    text = site.log.text()
    failed = re.findall(r"\[ERROR\] Hook (\w+) failed\n  Traceback.*\n    File \"(.+)\"", text)
    assert [name for name, _ in failed] == ["on_start", "on_manager_start", "on_worker_start", "on_worker_stop"]
    assert {os.path.basename(file) for _, file in failed} == {"bad_hooks.py"}, "frames of ours"
    assert "ValueError: this hook raises\n" in text
    assert "the last hook" in text.splitlines()


def test_a_hook_that_ends_its_process_stops_neither_the_server_nor_other_hooks(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--hooks", "bad_hooks", env={"ON_ERROR": "end"})
    site.expect_log(r"\[ERROR\] Hook on_\w+ failed|Traceback")
    [(worker)] = site.wait_for_log(r"Worker booted: .* pid (\d+)")
    site.kill(signal.SIGKILL, int(worker[1]))
    site.wait_for_log(r"\[WARNING\] Hooks: ended, pid \d+, exit code 77; again in 0\.1 s")
    site.wait_for_log(r"\[WARNING\] Hook on_worker_error has ended its process")
    site.wait_for_log("Worker booted", count=2)
    site.wait_for_log("Hooks: started", count=2)
    site.wait_ready()
    site.stop()
    assert "the last hook" in site.log.lines


def test_a_hook_that_hangs_stops_neither_supervision_nor_the_end(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--hooks", "bad_hooks", env={"ON_ERROR": "hang"})
    site.expect_log(r"\[ERROR\] Hook on_\w+ failed|Traceback")
    for number in (1, 2):
        worker = site.wait_for_log(r"Worker booted: .* pid (\d+)", count=number)[-1]
        site.kill(signal.SIGKILL, int(worker[1]))
        site.wait_for_log("^a hook hangs$")
    site.wait_for_log("Worker booted", count=3)
    assert site.get("/")
    site.stop(signal.SIGQUIT)
    site.wait_for_log(r"\[WARNING\] Hook on_shutdown is not called: on_worker_error still runs")
    site.wait_for_log(r"\[WARNING\] Hooks: not gone in time, killed")


def test_hooks_are_a_process_only_when_there_are_some(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS)
    assert [one.pid for one in processes.children_of(site.manager())] == site.wait_for_workers(1)


NEW = """
import os
from typing import Any

def on_start(told: Any) -> None:
    os.write(2, b"VERSION starts\\n")

def on_before_reload(told: Any) -> None:
    os.write(2, b"VERSION sees a reload coming\\n")

def on_worker_start(told: Any) -> None:
    os.write(2, b"VERSION in a worker\\n")

def on_after_reload(told: Any) -> None:
    os.write(2, f"VERSION: {told.ok} {told.text.splitlines()[-1:]}\\n".encode())
"""


def test_a_reload_is_told_before_and_after_and_brings_new_hooks(server: Start, tmp_path: Path) -> None:
    module = tmp_path / "site_hooks.py"
    module.write_text(NEW.replace("VERSION", "old"))
    site = server("reference:wsgi", *OPTIONS, "--hooks", "site_hooks", "--app-dir", str(tmp_path),
                  env={"PYTHONPATH": f"{APPS.parent.parent}:{APPS}"})
    site.expect_log(r"Traceback|\[ERROR\] (Cannot serve the app|The reload failed)")
    module.write_text("raise ValueError('no hooks')")
    site.kill(signal.SIGUSR1)
    site.wait_for_log(r"^old: False .*ValueError: no hooks")
    module.write_text(NEW.replace("VERSION", "new"))
    site.kill(signal.SIGUSR1)
    site.wait_for_log(r"^new: True \[\]$")
    lines = [line for line in site.log.lines if line.startswith(("old", "new"))]
    assert [line.partition(":")[0] for line in lines] == [
        "old starts", "old in a worker", "old sees a reload coming", "old", "old sees a reload coming",
        "new in a worker", "new"]
