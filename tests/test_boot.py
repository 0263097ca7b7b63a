"""Boots: apps of every shape, lifespans, and failures that say in one place what is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.fleet import Start
from tests.support.server import EXIT_APP_MISSING, EXIT_BOOT_FAILED, TESTS, Server

OPTIONS = ("--workers", "1", "--reactors", "1")


def body_of(site: Server) -> bytes:
    """Body of GET /."""
    with site.connect() as client:
        answer = client.get("/")
        assert answer.status == 200
        return answer.body


@pytest.mark.parametrize(
    "name", ["wsgi_function", "WsgiClass", "wsgi_object", "wsgi_partial", "namespace.app"]
)
def test_auto_recognises_wsgi(server: Start, name: str) -> None:
    assert body_of(server(f"shapes:{name}", *OPTIONS)) == b"wsgi"


@pytest.mark.parametrize("name", ["asgi_function", "asgi_object", "asgi_partial", "asgi_method"])
def test_auto_recognises_asgi(server: Start, name: str) -> None:
    assert body_of(server(f"shapes:{name}", *OPTIONS)) == b"asgi"


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_factories_are_called(server: Start, interface: str) -> None:
    assert body_of(server(f"shapes:make_{interface}", *OPTIONS, "--factory")) == interface.encode()


def test_the_interface_can_be_said(server: Start) -> None:
    assert body_of(server("shapes:sync_asgi", *OPTIONS, "--interface", "asgi")) == b"asgi"


def test_an_app_dir_is_searched(server: Start) -> None:
    site = server("apps.reference:wsgi", *OPTIONS, "--app-dir", str(TESTS))
    assert site.get("/found")["target"] == "/found"


def test_what_is_there_before_an_app_is_none_of_the_collectors_business(server: Start, tmp_path: Path) -> None:
    # It would write to all of that, and so make each process a copy of what they have in common.
    (tmp_path / "counts.py").write_text(
        "import gc\n"
        "found = b'%d %d' % (gc.get_freeze_count(), len(gc.get_objects()))\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('content-length', str(len(found)))])\n"
        "    return [found]\n")
    before, others = body_of(server("counts:app", *OPTIONS, "--app-dir", str(tmp_path))).split()
    assert int(others) < 1000 < int(before)


def test_what_is_there_before_the_manager_is_none_of_the_collectors_business(server: Start, tmp_path: Path) -> None:
    # Or the master's collector would write to what the two have in common, whatever the manager does about its own.
    (tmp_path / "sitecustomize.py").write_text(
        "import gc, os\n"
        "def note():\n"
        "    with open(os.environ['SEEN_PATH'], 'a') as notes:\n"
        "        print(os.getpid(), gc.get_freeze_count(), len(gc.get_objects()), file=notes)\n"
        "os.register_at_fork(before=note)\n")
    site = server("shapes:wsgi_function", *OPTIONS,
                  env={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(TESTS.parent)])})
    forked = [(int(before), int(others)) for pid, before, others in map(str.split, site.notes())
              if int(pid) == site.pid]
    assert len(forked) == 1
    assert forked[0][1] < 1000 < forked[0][0]


def test_workers_log_that_they_booted(server: Start) -> None:
    site = server("reference:wsgi", "--workers", "3", "--reactors", "1")
    booted = site.wait_for_log(r"\[INFO\] Worker booted: slot (\d+), generation (\d+), pid (\d+)", count=3)
    assert sorted(int(match[3]) for match in booted) == sorted(site.workers())
    assert len({match[1] for match in booted}) == 3
    lines = site.log.lines
    last_boot = max(number for number, line in enumerate(lines) if "Worker booted" in line)
    assert last_boot < next(number for number, line in enumerate(lines) if "Listening at" in line)


def test_log_lines_have_their_form(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS)
    site.stop()
    form = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \[\d+\] \[(DEBUG|INFO|WARNING)\] \S.*")
    assert [line for line in site.log.lines if not form.fullmatch(line)] == []


def fails(site: Server, status: int) -> str:
    """Wait for the end of a boot that fails; its log."""
    site.expect_log("")  # the app's own traceback is what is wanted
    assert site.wait_exit() == status, site.log.text()
    site.finish(expect=status)
    assert "Listening at" not in site.log.text()
    return site.log.text()


def assert_traceback_of_the_app_only(log: str) -> None:
    """Every frame of every traceback is a file of the apps."""
    files = re.findall(r'File "([^"]+)"', log)
    assert files, log
    foreign = [file for file in files if "/tests/apps/" not in file]
    assert foreign == [], log


@pytest.mark.parametrize("workers", ["1", "3"])
def test_an_app_that_cannot_be_imported_shows_its_traceback_and_none_of_ours(
    server: Start, workers: str
) -> None:
    log = fails(server("broken_import:app", "--workers", workers, ready=False), EXIT_BOOT_FAILED)
    assert "ZeroDivisionError" in log
    assert "broken_import.py" in log
    assert_traceback_of_the_app_only(log)


@pytest.mark.parametrize("app", ["no_such_module:app", "reference:no_such_app", "reference.nothing:app"])
def test_an_app_that_is_not_there_is_said_without_a_traceback(server: Start, app: str) -> None:
    log = fails(server(app, *OPTIONS, ready=False), EXIT_APP_MISSING)
    assert app.split(":")[0].split(".")[-1] in log or "no_such_app" in log
    assert "Traceback" not in log


def test_a_factory_that_raises_shows_its_traceback(server: Start) -> None:
    log = fails(server("broken_import:divide", *OPTIONS, "--factory", ready=False), EXIT_BOOT_FAILED)
    assert_traceback_of_the_app_only(log)


def test_an_app_without_lifespan_is_served(server: Start) -> None:
    with server("lifespans:unsupported", *OPTIONS).connect() as client:
        assert client.get("/").status == 200


def test_lifespan_state_is_copied_shallowly_for_each_request(server: Start) -> None:
    site = server("lifespans:with_state", *OPTIONS)
    with site.connect() as client:
        answers = [client.get("/").json() for _ in range(3)]
    assert answers == [{"plain": 1, "shared": number} for number in (1, 2, 3)]


def test_lifespan_starts_before_readiness_and_shuts_down_at_the_end(server: Start) -> None:
    site = server("lifespans:with_state", "--workers", "2", "--reactors", "1")
    assert site.seen() == ["startup", "startup"]
    site.kill(15)
    site.wait_exit()
    assert site.seen() == ["startup", "startup", "shutdown", "shutdown"]
    site.finish()


@pytest.mark.parametrize("app", ["startup_failed", "startup_failed_and_waits"])
def test_a_startup_that_says_it_failed_is_a_failed_boot(server: Start, app: str) -> None:
    log = fails(server(f"lifespans:{app}", *OPTIONS, ready=False), EXIT_BOOT_FAILED)
    assert "the database is not there" in log


def test_a_startup_that_is_cancelled_is_a_failed_boot(server: Start) -> None:
    log = fails(server("lifespans:cancelled_in_startup", *OPTIONS, ready=False), EXIT_BOOT_FAILED)
    assert "startup took too long" in log
    assert_traceback_of_the_app_only(log)


def test_a_startup_that_raises_is_a_failed_boot_with_its_traceback(server: Start) -> None:
    log = fails(server("lifespans:raises_in_startup", *OPTIONS, ready=False), EXIT_BOOT_FAILED)
    assert "startup broke in the middle" in log
    assert_traceback_of_the_app_only(log)


def test_a_lifespan_that_goes_on_after_its_last_word_is_ended(server: Start) -> None:
    site = server("lifespans:goes_on_after_shutdown", *OPTIONS)
    site.stop()
    assert "lifespan goes on" in site.log.text()


def test_tasks_that_do_not_end_when_cancelled_are_left_behind(server: Start) -> None:
    site = server("lifespans:leaves_a_stubborn_task", *OPTIONS)
    site.stop()
    assert "1 tasks of the application do not end" in site.log.text()


def test_a_shutdown_that_raises_is_logged_and_the_stop_goes_on(server: Start) -> None:
    site = server("lifespans:raises_in_shutdown", *OPTIONS)
    site.expect_log(r"\[ERROR\]|Traceback")
    with site.connect() as client:
        assert client.get("/").status == 200
    site.stop()
    assert "shutdown broke" in site.log.text()


@pytest.mark.parametrize(
    ("name", "options", "said"), [
        ("make_wsgi", (), "2 arguments, as WSGI has it: say --factory"),
        ("make_asgi", ("--interface", "asgi"), "3 arguments, as ASGI has it: say --factory"),
        ("wsgi_function", ("--interface", "asgi"), "3 arguments, as ASGI has it"),
        ("asgi_function", ("--interface", "wsgi"), "2 arguments, as WSGI has it")])
def test_an_app_that_cannot_be_called_does_not_boot(
    server: Start, name: str, options: tuple[str, ...], said: str
) -> None:
    site = server(f"shapes:{name}", *OPTIONS, *options, ready=False)
    log = fails(site, EXIT_BOOT_FAILED)
    assert f"cannot be called with {said}" in log
    assert "Traceback" not in log
