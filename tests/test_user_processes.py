"""User processes: `--process NAME=module:callable` keeps it running beside the workers, and ends it with them."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

from tests.support import processes
from tests.support.fleet import Start
from tests.support.gate import Gate
from tests.support.server import APPS, EXIT_BOOT_FAILED, EXIT_MANAGER_DIED, Server
from tests.test_run import script, stopped

OPTIONS = ("--workers", "1", "--reactors", "1")


def program(site: Server, said: str) -> int:
    """The pid of the user process that has said this. What the server has returned to is measured anew."""
    [match, *_] = site.wait_for_log(rf"^program {said} (\d+)$")
    site.wait_ready()
    return int(match[1])


def test_a_process_runs_beside_the_workers_with_little_of_the_server(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--process", "jobs=programs:waits")
    pid = program(site, "waits")
    process = processes.read_process(pid)
    assert process is not None
    assert process.parent == site.manager()
    assert len(set(processes.fds_of(pid)) - {0, 1, 2}) == 1, "more than its way to the one reactor"
    with open(f"/proc/{pid}/maps") as maps:
        ours = [line.split() for line in maps if "swhttp-" in line]
    assert [(line[1], line[5]) for line in ours] == [("r--s", "/memfd:swhttp-sessions-0")], "it sees more"
    site.stop()
    site.wait_for_log(rf"\[INFO\] Process jobs: ended, pid {pid}, signal 15$")


def test_one_with_a_handler_for_sigterm_leaves_as_it_wants_to(server: Start) -> None:
    site = server("reference:asgi", *OPTIONS, "--process", "jobs=programs:waits_with_a_handler")
    pid = program(site, "has a handler")
    site.stop()
    site.wait_for_log(rf"^program says good-bye {pid}$")
    site.wait_for_log(rf"Process jobs: ended, pid {pid}, exit code 0$")


def test_one_that_stays_is_killed(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--process", "jobs=programs:stays", "--graceful-timeout", "0.5")
    pid = program(site, "stays")
    site.stop()
    site.wait_for_log(rf"\[WARNING\] Process jobs: not gone in time, killed: pid {pid}")


def test_what_ends_is_started_again_ever_later_whatever_its_end(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--process", "a=programs:returns", "--process", "b=programs:raises",
                  "--process", "c=programs:waits")
    site.expect_log(r"\[ERROR\] Process b: ended by an exception|Traceback")
    site.kill(signal.SIGKILL, program(site, "waits"))
    for what, how in (("a", "INFO.*exit code 0"), ("b", "WARNING.*exit code 3"), ("c", "WARNING.*signal 9")):
        level, how = how.split(".*")
        site.wait_for_log(rf"\[{level}\] Process {what}: ended, pid \d+, {how}; again in 0\.1 s$")
    site.wait_for_log(r"Process a: ended, pid \d+, exit code 0; again in 0\.2 s$")
    frames = site.wait_for_log(r'^    File "(.+)", line \d+, in (.+)$')
    assert (os.path.basename(frames[0][1]), frames[0][2]) == ("programs.py", "raises"), "a frame of ours"
    site.wait_for_log(r"^program waits (\d+)$", count=2)
    site.stop()


def test_a_process_dies_with_the_manager(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--process", "jobs=programs:stays")
    program(site, "stays")
    site.expect_log(r"\[CRITICAL\] Manager died")
    site.kill(signal.SIGKILL, site.manager())
    site.finish(expect=EXIT_MANAGER_DIED, killed=True)


def test_one_whose_import_fails_ends_the_start_with_its_traceback(server: Start) -> None:
    site = server("reference:wsgi", *OPTIONS, "--process", "jobs=broken_import:app", ready=False)
    site.expect_log(r"Process jobs: cannot be started|Traceback|\[ERROR\] Process jobs: cannot start$")
    site.finish(expect=EXIT_BOOT_FAILED)
    assert site.log.text().count("Traceback") == 1


def test_workers_that_are_up_leave_when_one_cannot_start(server: Start, tmp_path: Path) -> None:
    (tmp_path / "late_jobs.py").write_text(
        "import os\nfrom reference import wait_at_gate\nwait_at_gate(os.environ['GATE_PATH'])\nraise ValueError\n")
    with tempfile.TemporaryDirectory(prefix="swt-") as directory, Gate(directory) as gate:
        site = server("reference:wsgi", *OPTIONS, "--process", "jobs=late_jobs:jobs", "--app-dir", str(tmp_path),
                      env={"PYTHONPATH": f"{APPS.parent.parent}:{APPS}", "GATE_PATH": gate.path})
        site.expect_log(r"Process jobs: cannot be started|Traceback|\[ERROR\] Process jobs: cannot start$")
        gate.entered().release()
        site.finish(expect=EXIT_BOOT_FAILED)
    assert "Worker left: slot 0" in site.log.text()
    assert "Worker not finished" not in site.log.text()


def test_an_import_that_fails_ends_only_the_start(server: Start, tmp_path: Path) -> None:
    """Here the first one has died by itself: the server serves by then."""
    (tmp_path / "site_jobs.py").write_text(
        "import os\nif not os.path.exists('been'):\n    open('been', 'w').close()\n    os.kill(os.getpid(), 9)\n"
        "raise ValueError('not any more')\n")
    site = server("reference:wsgi", *OPTIONS, "--process", "jobs=site_jobs:jobs", "--app-dir", str(tmp_path),
                  env={"PYTHONPATH": f"{APPS.parent.parent}:{APPS}"})
    site.expect_log(r"Process jobs: cannot be started|Traceback")
    site.wait_for_log(r"Process jobs: ended, pid \d+, signal 9; again in 0\.1 s$")
    site.wait_for_log(r"Process jobs: ended, pid \d+, exit code 3; again in 0\.2 s$")
    assert site.get("/")
    site.stop()


def test_a_function_of_the_calling_program_is_run(tmp_path: Path) -> None:
    call = ('import os, time\ndef jobs():\n    os.write(2, b"jobs of the program\\n")\n    threading.Event().wait()\n'
            'swhttp.run(app, bind="127.0.0.1:0", workers=1, process={"jobs": jobs, "more": "site_script:jobs"}) '
            'if __name__ == "__main__" else None')
    with script(tmp_path, call) as (process, log):
        log.wait_for("Listening at", 30)
        log.wait_for("^jobs of the program$", count=2)
        assert stopped(process) == 0


def test_a_reload_brings_new_code_when_the_old_has_left_unless_it_is_not_wanted(server: Start, tmp_path: Path) -> None:
    module = tmp_path / "site_jobs.py"
    text = ("import fcntl\nfrom programs import say, waits\n\ndef jobs():\n    file = open(__file__)\n"
            "    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n    say('{0} jobs')\n    waits()\n")
    module.write_text(text.format("old"))
    site = server("reference:wsgi", *OPTIONS, "--process", "jobs=site_jobs:jobs", "--process", "calm=programs:survives",
                  "--app-dir", str(tmp_path), env={"PYTHONPATH": f"{APPS.parent.parent}:{APPS}"})
    old = program(site, "old jobs")
    calm = program(site, "survives")
    module.write_text(text.format("new"))
    site.kill(signal.SIGUSR1)
    site.wait_for_log("Worker left")
    new = program(site, "new jobs")
    site.wait_for_log(rf"\[INFO\] Process jobs: ended, pid {old}, signal 15$")
    assert new != old
    assert processes.read_process(calm) is not None
    assert len(site.wait_for_log("^program survives")) == 1
