"""--preload: the app is imported once, in a process that forks the workers and that nothing depends on for long."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from swhttp.messages import Channel
from tests.support import processes
from tests.support.fleet import Start
from tests.support.gate import Gate
from tests.support.server import EXIT_APP_MISSING, EXIT_BOOT_FAILED, EXIT_MANAGER_DIED, TESTS, Server

OPTIONS = ("--preload", "--workers", "2", "--reactors", "1", "--dispatch", "round-robin")


def imports(site: Server) -> list[int]:
    """Pids of the processes that have imported the app, in order."""
    return [int(line) for line in Path(site.seen_path + ".imports").read_text().split()]


def test_workers_are_forked_with_what_one_process_has_imported(server: Start, tmp_path: Path) -> None:
    with open(tmp_path / "stdout", "wb") as stdout:
        site = server("preloaded:wsgi", *OPTIONS, stdout=stdout.fileno())
    [zygote] = site.zygotes()
    assert imports(site) == [zygote]
    answers = [site.get(), site.get()]
    assert {answer["pid"] for answer in answers} == set(site.workers())
    for answer in answers:
        assert (answer["parent"], answer["importer"]) == (zygote, zygote)
        assert answer["notes"] == [str(zygote)], "a file that the import has opened is not the worker's"
        assert answer["handler"] == "on_usr2"
    assert answers[0]["random"] != answers[1]["random"]
    site.stop()
    assert (tmp_path / "stdout").read_text() == "written once"


def test_a_worker_that_dies_is_replaced_without_an_import(server: Start) -> None:
    site = server("preloaded:wsgi", *OPTIONS)
    [zygote] = site.zygotes()
    before = site.workers()
    site.kill(signal.SIGKILL, before[0])
    site.wait_for_log(rf"Worker died: slot 0, pid {before[0]}, signal 9")
    [fresh] = site.wait_for_workers(1, other_than=set(before))
    assert site.zygotes() == [zygote]
    site.kill(signal.SIGTERM, before[1])  # it drains and leaves
    site.wait_for_log(rf"Worker left: slot 1, pid {before[1]}")
    site.wait_for_workers(1, other_than={*before, fresh})
    assert imports(site) == [zygote]
    # The zygote reaps them, and may be told of the second a moment after us.
    processes.wait_until(lambda: all(processes.read_process(pid) is None for pid in before), "both to be reaped")


def test_when_the_zygote_dies_all_come_back(server: Start) -> None:
    site = server("preloaded:wsgi", *OPTIONS)
    [zygote] = site.zygotes()
    before = set(site.workers())
    with site.gate() as gate:
        busy = site.connect()
        busy.send_request("POST", gate.target)
        visitor = gate.entered()
        site.kill(signal.SIGKILL, zygote)
        visitor.left()
        assert busy.response().status == 502
    site.wait_for_log(rf"Zygote died, and its workers with it: pid {zygote}, signal 9")
    assert not before & set(site.wait_for_workers(2, other_than=before))
    assert imports(site) == [zygote, *site.zygotes()]
    assert site.get()["parent"] in site.zygotes()


def test_what_a_zygote_has_not_answered_when_it_dies_is_asked_of_the_next(server: Start) -> None:
    site = server("preloaded:wsgi", *OPTIONS)
    [zygote] = site.zygotes()
    before = set(site.workers())
    leaving = min(before)
    site.kill(signal.SIGSTOP, zygote)
    site.kill(signal.SIGTERM, leaving)
    processes.wait_until(lambda: site.counters().slots[2]["state"] == 1, "a replacement to be ordered")
    site.kill(signal.SIGKILL, zygote)
    site.wait_for_workers(2, other_than=before)
    assert imports(site) == [zygote, *site.zygotes()]


def test_a_worker_that_dies_is_missed_though_its_zygote_does_not_run(server: Start) -> None:
    site = server("preloaded:wsgi", *OPTIONS)
    [zygote] = site.zygotes()
    before = set(site.workers())
    with site.gate() as gate:
        busy = site.connect()
        busy.send_request("POST", gate.target)
        visitor = gate.entered()
        site.kill(signal.SIGSTOP, zygote)
        site.kill(signal.SIGKILL, visitor.pid)
        visitor.left()
        assert busy.response().status == 502
        busy.close()
    assert site.get()["pid"] in before - {visitor.pid}
    site.kill(signal.SIGCONT, zygote)
    site.wait_for_workers(1, other_than=before)
    assert imports(site) == [zygote]
    processes.wait_until(lambda: processes.read_process(visitor.pid) is None, "the zombie to be reaped")


def test_a_quick_stop_does_not_depend_on_the_zygote(server: Start) -> None:
    site = server("preloaded:wsgi", *OPTIONS)
    site.kill(signal.SIGSTOP, site.zygotes()[0])
    site.kill(signal.SIGTERM, site.workers()[0])
    processes.wait_until(lambda: site.counters().slots[2]["state"] == 1, "a replacement to be ordered")
    site.stop(signal.SIGQUIT)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_of_the_whole_group_finishes_what_is_in_flight(server: Start, signum: int) -> None:
    site = server("preloaded:wsgi", *OPTIONS)
    with site.gate() as gate:
        busy = site.connect()
        busy.send_request(target=gate.target)
        visitor = gate.entered()
        os.killpg(site.pid, signum)
        site.wait_for_log(": stopping, ")
        visitor.release()
        assert busy.response().status == 200
        busy.close()
    site.finish()


def deploy(directory: Path, version: str, more: str = "") -> None:
    """Put an app in place that answers with its version. `more`: what its import does besides."""
    passing = directory / "passing"
    passing.write_text(
        f"def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{version}']\n{more}")
    passing.rename(directory / "released.py")


def version(site: Server) -> str:
    with site.connect() as client:
        return client.get("/").body.decode()


def reload(site: Server, outcome: str) -> None:
    mark = site.log.mark()
    site.kill(signal.SIGUSR1)
    site.wait_for_log(outcome, timeout_s=20.0, since=mark)


def test_a_reload_makes_a_new_zygote_and_until_then_the_old_one_forks_the_old_code(
    server: Start, tmp_path: Path
) -> None:
    deploy(tmp_path, "1")
    site = server("released:app", *OPTIONS, "--app-dir", str(tmp_path))
    [zygote] = site.zygotes()
    before = set(site.workers())
    with site.gate() as gate, site.connect() as client:
        deploy(tmp_path, "2", (
            "import os, socket\ngate = socket.socket(socket.AF_UNIX)\n"
            f"gate.connect({gate.path!r})\ngate.sendall(b'%d\\n' % os.getpid())\ngate.recv(1)\ngate.close()\n"))
        site.kill(signal.SIGUSR1)
        visitor = gate.entered()
        assert visitor.pid in site.zygotes()
        for worker in before:
            site.kill(signal.SIGKILL, worker)
        site.wait_for_workers(2, other_than=before)
        assert [client.get("/").body, client.get("/").body] == [b"1", b"1"]
        visitor.release()
        site.wait_for_log("Reloaded in")
        assert client.get("/").body == b"2"
        site.wait_for_log(f"Zygote left: pid {zygote}")
        processes.wait_until(lambda: site.zygotes() == [visitor.pid], "the old zygote to be gone")
    assert len(site.workers()) == 2


@pytest.mark.parametrize(
    ("broken", "outcome"),
    [("1 / 0\n", "The reload failed.*"),
     ("import threading\nthreading.Event().wait()\n", "The reload failed.* within 2 s")])
def test_when_the_new_code_is_broken_the_old_zygote_forks_the_old_code(
    server: Start, tmp_path: Path, broken: str, outcome: str
) -> None:
    deploy(tmp_path, "1")
    site = server("released:app", *OPTIONS, "--app-dir", str(tmp_path), "--boot-timeout", "2")
    [zygote] = site.zygotes()
    before = set(site.workers())
    deploy(tmp_path, "2", broken)
    site.expect_log("")
    reload(site, outcome)
    processes.wait_until(lambda: site.zygotes() == [zygote], "the new zygote to end")
    for worker in before:
        site.kill(signal.SIGKILL, worker)
    site.wait_for_workers(2, other_than=before)
    assert {version(site), version(site)} == {"1"}
    assert site.zygotes() == [zygote]


def test_an_asgi_app_is_preloaded_too(server: Start) -> None:
    site = server("preloaded:asgi", *OPTIONS)
    assert site.get("/")["pid"] in site.workers()
    assert imports(site) == site.zygotes()
    site.stop(signal.SIGQUIT)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGQUIT])
def test_a_stop_while_the_app_is_imported_waits_for_nothing(server: Start, signum: int) -> None:
    with tempfile.TemporaryDirectory(prefix="swt-") as directory, Gate(directory) as gate:
        site = server("preloaded:wsgi", *OPTIONS, env={"IMPORT_GATE": gate.path}, ready=False)
        visitor = gate.entered()
        site.kill(signum)
        visitor.left()
        site.finish()


@pytest.mark.parametrize("whom", ["master", "manager"])
def test_whoever_is_killed_leaves_no_orphan(server: Start, whom: str) -> None:
    site = server("preloaded:wsgi", *OPTIONS)
    site.expect_log("Manager died")
    if whom == "master":
        site.kill(signal.SIGKILL)
        site.finish(expect=-signal.SIGKILL, killed=True)
    else:
        site.kill(signal.SIGKILL, site.manager())
        site.finish(expect=EXIT_MANAGER_DIED, killed=True)


def test_an_import_that_fails_ends_the_first_start_with_one_traceback(server: Start) -> None:
    site = server("broken_import:app", "--preload", "--workers", "3", ready=False)
    site.expect_log("")
    site.finish(expect=EXIT_BOOT_FAILED)
    assert site.log.text().count("ZeroDivisionError") == 1
    assert "The application did not boot" in site.log.lines[-1]


@pytest.mark.parametrize(
    ("app", "code", "said"),
    [("no_such_module:app", EXIT_APP_MISSING, "there is no module 'no_such_module'"),
     ("leaves:app", EXIT_BOOT_FAILED, "The application did not boot")])
def test_an_app_that_is_not_there_is_said_once(tmp_path: Path, app: str, code: int, said: str) -> None:
    (tmp_path / "leaves.py").write_text("import os\nos._exit(0)\n")
    finished = subprocess.run(
        [sys.executable, "-m", "swhttp", app, "--preload", "--workers", "3", "--bind", "127.0.0.1:0"], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TESTS.parent)}, text=True, capture_output=True, timeout=60, check=False)
    assert finished.returncode == code
    assert finished.stderr.count(said) == 1
    assert "Traceback" not in finished.stderr


def test_a_lifespan_that_fails_is_told_as_without_preload(server: Start) -> None:
    site = server("lifespans:raises_in_startup", "--preload", "--workers", "3", ready=False)
    site.expect_log("")
    site.finish(expect=EXIT_BOOT_FAILED)
    assert site.log.text().count("Traceback") == 1


def test_an_import_that_hangs_ends_the_first_start(server: Start, tmp_path: Path) -> None:
    deploy(tmp_path, "1", "import time\ntime.sleep(1000)\n")
    site = server("released:app", *OPTIONS, "--app-dir", str(tmp_path), "--boot-timeout", "0.5", ready=False)
    site.expect_log("did not boot: not ready within 0.5 s")
    site.finish(expect=EXIT_BOOT_FAILED)


@pytest.mark.parametrize("options", [OPTIONS, OPTIONS[1:]])
def test_an_import_that_fails_waits_for_none_of_its_threads(
    server: Start, tmp_path: Path, options: tuple[str, ...]
) -> None:
    deploy(tmp_path, "1", "import threading\nthreading.Thread(target=threading.Event().wait).start()\n1 / 0\n")
    site = server("released:app", *options, "--app-dir", str(tmp_path), "--boot-timeout", "600", ready=False)
    site.expect_log("")
    site.finish(expect=EXIT_BOOT_FAILED)
    assert site.log.text().count("The application did not boot") == 1


def test_timers_of_the_import_do_not_end_the_zygote(server: Start) -> None:
    site = server("preloaded:wsgi", *OPTIONS, env={"IMPORT_TIMERS": "1"})
    assert imports(site) == site.zygotes()
    assert site.get()["parent"] in site.zygotes()


def test_threads_of_the_import_are_reported(server: Start) -> None:
    site = server("preloaded:wsgi", *OPTIONS, env={"IMPORT_THREAD": "1"})
    [line] = site.wait_for_log("threads, which no worker will have")
    assert line.string.endswith(": of-the-import")
    [line] = site.wait_for_log("threads outside of Python's threading")
    assert line.string.endswith(": 1")
    assert site.get()["importer"] == site.zygotes()[0]


def logging_configuration(directory: Path) -> str:
    """Of a handler that never writes again when it was closed, as it is by a fork; in a file that is named."""
    form = {
        "version": 1,
        "handlers": {
            "file": {"class": "logging.FileHandler", "filename": str(directory / "log")},
            "memory": {"class": "logging.handlers.MemoryHandler", "capacity": 1, "target": "file"},
        },
        "root": {"level": "INFO", "handlers": ["memory"]},
    }
    path = directory / "logging.json"
    path.write_text(json.dumps(form))
    return str(path)


def test_the_logging_configuration_is_in_force_in_the_workers(server: Start, tmp_path: Path) -> None:
    site = server("log_site:site", *OPTIONS, "--log-config", logging_configuration(tmp_path))
    with site.connect() as client:
        assert client.get("/say/hello").status == 200
    site.stop()
    assert (tmp_path / "log").read_text() == "site says hello\n"


def test_what_the_import_configures_of_logging_counts_more(server: Start, tmp_path: Path) -> None:
    site = server(
        "log_site:site", *OPTIONS, "--log-config", logging_configuration(tmp_path), env={"RECONFIGURE": "1"})
    with site.connect() as client:
        assert client.get("/say/hello").status == 200
    site.wait_for_log("^app's own form: site says hello$")
    site.stop()
    assert (tmp_path / "log").read_text() == ""


def test_a_socket_goes_over_a_channel_with_its_message_only() -> None:
    ours, theirs = map(Channel, Channel.pair())
    taker_end, giver_end = Channel.pair()
    taker, giver = Channel(taker_end, takes_ends=True), Channel(giver_end)
    given, kept = socket.socketpair()
    refused, other = socket.socketpair()
    try:
        giver.send("before")
        giver.hand_over(given, "with", slot=1)
        giver.send("after")
        messages, is_open = taker.receive()
        assert is_open
        assert [message["kind"] for message in messages] == ["before", "with", "after"]
        assert ["end" in message for message in messages] == [False, True, False]
        with messages[1]["end"] as got:
            assert not got.get_inheritable()
            got.send(b"x")
            assert kept.recv(1) == b"x"
        assert kept.recv(1) == b"", "the sender still has it"
        ours.hand_over(refused, "with")  # to one that takes none
        assert theirs.receive() == ([{"kind": "with"}], True)
        assert other.recv(1) == b""
    finally:
        for one in (ours, theirs, taker, giver, kept, other):
            one.close()
