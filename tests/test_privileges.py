"""--user, --group, --umask, --chroot: whose the processes and their files are, and that nobody gets back to root."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swhttp import config, ownership, privileges
from swhttp.config import Config
from swhttp.errors import BadValue, ExitCode, ServerError
from tests.support import otheruser
from tests.support.accesslog import AccessLog
from tests.support.fleet import Start
from tests.support.otheruser import NOBODY
from tests.support.processes import descendants_of, wait_until
from tests.support.server import APPS, EXIT_MANAGER_DIED, TESTS, Server, wait_for_lines

OPTIONS = ("--workers", "2", "--reactors", "1")
AS_NOBODY = (*OPTIONS, "--user", str(NOBODY), "--group", str(NOBODY))
EXIT_APP_MISSING = 7
EXIT_PRIVILEGES = 14
by_root = pytest.mark.skipif(
    os.geteuid() != 0 or not otheruser.readable_by_all(str(TESTS)),
    reason="only root can become somebody else, who must be able to read the tests' apps")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of root's in which everybody can look; pytest's own cannot be entered."""
    with tempfile.TemporaryDirectory(prefix="swt-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


def start(server: Start, app: str = "regain", *options: str, **more: Any) -> Server:
    """As nobody, in a directory of nobody's."""
    return server(app, *AS_NOBODY, *options, env=otheruser.environment(), owner=NOBODY, **more)


def processes_of(site: Server) -> list[int]:
    return [site.pid, site.manager(), *site.workers()]


def status_of(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text()
    return {key: " ".join(value.split()) for key, _, value in (line.partition(":") for line in text.splitlines())}


# Becoming somebody else


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    return start(module_server)


@by_root
def test_every_process_is_the_user_and_none_has_any_right_left(site: Server) -> None:
    four = " ".join([str(NOBODY)] * 4)
    for pid in processes_of(site):
        status = status_of(pid)
        assert (status["Uid"], status["Gid"], status["Groups"]) == (four, four, str(NOBODY))
        assert status["NoNewPrivs"] == "1"
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert {os.getsid(pid) for pid in processes_of(site)[1:]} == {site.manager()}, "away from root's terminal"
    assert os.getsid(site.pid) == os.getsid(0), "where a Ctrl-C reaches it"
    assert site.get("/")["user"] == [NOBODY] * 3


@by_root
def test_no_worker_can_be_root_again(site: Server, place: Path) -> None:
    program = place / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    usual = subprocess.run([str(program), "-u"], capture_output=True, text=True, user=NOBODY, check=True).stdout
    if usual != "0\n":
        pytest.skip("the temporary directory is mounted nosuid: there is no way to root to be closed")
    assert site.get(f"/regain?program={program}&other={site.pid}") == {
        **dict.fromkeys(("setuid", "seteuid", "setresuid", "setgid", "setgroups", "chroot", "memory of the master"),
                        "PermissionError"),
        "setuid program": str(NOBODY), "variables of its own": "worked: None"}


@by_root
def test_a_killed_master_of_another_user_leaves_no_orphan(server: Start) -> None:
    site = start(server)
    site.kill(signal.SIGKILL)
    site.finish(expect=-signal.SIGKILL, killed=True)


@by_root
def test_a_killed_manager_of_another_user_ends_all(server: Start) -> None:
    site = start(server)
    site.expect_log(r"\[(ERROR|CRITICAL)\]")
    site.kill(signal.SIGKILL, site.manager())
    site.finish(expect=EXIT_MANAGER_DIED, killed=True)


@by_root
def test_workers_of_a_reload_are_that_user_too(site: Server) -> None:
    before = site.workers()
    site.kill(signal.SIGUSR1)
    for pid in site.wait_for_workers(2, other_than=set(before)):
        assert status_of(pid)["Uid"] == " ".join([str(NOBODY)] * 4)
    wait_until(lambda: set(site.workers()).isdisjoint(before), "the end of the old workers")


@by_root
def test_a_zygote_and_its_workers_are_that_user_and_on_their_cpus(server: Start) -> None:
    control = "control"
    site = start(server, "regain", "--preload", "--cpu-affinity", "auto", "--control", control)
    family = descendants_of(site.pid)
    assert len(family) == 4  # manager, zygote, two workers
    for process in family:
        assert status_of(process.pid)["Uid"] == " ".join([str(NOBODY)] * 4)
    seen = site.get("/")
    assert (seen["user"], len(seen["cpus"])) == ([NOBODY] * 3, 1)
    assert os.sched_getaffinity(site.manager()) == os.sched_getaffinity(0)
    path = os.path.join(site.directory, control)
    assert (os.stat(path).st_uid, stat.S_IMODE(os.stat(path).st_mode)) == (0, 0o600)
    os.chmod(path, 0o666)
    site.expect_log("Control socket: refused")
    asking = f"from swhttp.verbs import ask\nprint(ask({path!r}, {{'verb': 'status'}}, 30)['ok'])"
    assert in_a_process(f"os.setgroups([])\nos.setresuid(65534, 65534, 65534)\n{asking}").stdout == "False\n"
    assert in_a_process(asking).stdout == "True\n"
    site.stop()
    assert not os.path.exists(path)


# What is there before, and is needed after


@by_root
def test_sockets_and_logs_are_given_away_and_can_be_opened_again(server: Start, place: Path) -> None:
    logs = place / "logs"
    logs.mkdir()
    os.chown(logs, NOBODY, NOBODY)
    error, access = logs / "error", logs / "access"
    site = start(server, "regain", "--error-log", str(error), "--access-log", str(access), binds=("unix:{dir}/s",),
                 ready=False)
    site.wait_ready(error)
    path = os.path.join(site.directory, "s")
    assert {os.stat(file).st_uid for file in (path, error, access)} == {NOBODY}
    for file in (error, access):
        file.rename(f"{file}.1")
    site.kill(signal.SIGRTMIN)
    wait_until(access.exists, "the new access log")
    site.get("/")
    assert len(AccessLog(str(access), from_start=True).lines(1)) == 1
    site.kill(signal.SIGTERM, site.workers()[0])  # which is the first that is logged then
    wait_for_lines(error, "Worker left")
    assert {os.stat(file).st_uid for file in (error, access)} == {NOBODY}
    site.stop()
    assert not os.path.exists(path)


@by_root
def test_a_log_that_is_a_link_is_written_and_stays_whose_it_is(server: Start, place: Path) -> None:
    theirs, link = place / "theirs", place / "error"
    theirs.touch()
    link.symlink_to(theirs)
    site = start(server, "regain", "--error-log", str(link), ready=False)
    site.wait_ready(link)
    assert theirs.stat().st_uid == 0
    site.stop()


@by_root
@pytest.mark.parametrize(
    ("option", "exists"), [("--error-log", True), ("--access-log", False), ("--slow-log-file", True)])
def test_a_link_of_the_user_s_leads_root_nowhere(server: Start, place: Path, option: str, exists: bool) -> None:
    logs, target = place / "logs", place / "target"
    logs.mkdir()
    if exists:
        target.touch()
    (logs / "log").symlink_to(target)
    os.lchown(logs / "log", NOBODY, NOBODY)
    os.chown(logs, NOBODY, NOBODY)
    site = start(server, "regain", "--slow-log", "1", option, str(logs / "log"), ready=False)
    site.expect_log("Cannot write the")
    site.wait_for_log("Cannot write the .*: its user may not write to it, and root does not: the directory '.*/logs'")
    site.finish(expect=ExitCode.FILE)
    assert target.exists() == exists
    assert not exists or (target.stat().st_uid, target.read_bytes()) == (0, b"")


def opened(path: Path, groups: frozenset[int] = frozenset([NOBODY])) -> str:
    """Whose the file is that a log of nobody's is, or why there is none."""
    identity = privileges.Identity(NOBODY, NOBODY, groups)
    try:
        fd = ownership.open_file(str(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644, identity)
    except OSError as error:
        return error.strerror or ""
    finally:
        assert (os.geteuid(), os.getegid()) == (0, 0)
    try:
        ownership.give(fd, str(path), identity)
        return str(os.fstat(fd).st_uid)
    finally:
        os.close(fd)


@by_root
def test_root_opens_a_log_only_where_nobody_else_decides_what_that_is(place: Path) -> None:
    before = os.getgroups()
    mine, theirs, shared = place / "mine", place / "theirs", place / "shared"
    for directory in (mine, theirs, shared):
        directory.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    assert opened(mine / "a") == str(NOBODY), "made by root, and given"
    assert opened(theirs / "a") == str(NOBODY), "made with the user's rights"
    (mine / "dangling").symlink_to(mine / "made")
    assert opened(mine / "dangling") == "0"
    (mine / "nested").mkdir()
    assert opened(mine / "nested" / ".." / "b") == str(NOBODY)
    (mine / "far").symlink_to("../theirs/nested/deep")
    (theirs / "nested").mkdir()
    assert "theirs' is not root's alone" in opened(mine / "far")
    (theirs / "root_s").touch(0o644)
    assert "theirs' is not root's alone" in opened(theirs / "root_s")
    (mine / "one").touch()
    os.link(mine / "one", mine / "two")
    assert "several names" in opened(mine / "two")
    (mine / "loop").symlink_to("loop")
    assert opened(mine / "loop") == "Too many levels of symbolic links"
    os.chmod(shared, 0o1777)
    (shared / "link").symlink_to(mine / "c")
    os.lchown(shared / "link", NOBODY, NOBODY)
    assert "is a link of somebody else's" in opened(shared / "link")
    os.chown(shared, 0, 4)
    os.chmod(shared, 0o775)
    assert opened(shared / "a") == str(NOBODY), "a group that is not the user's"
    (shared / "b").touch(0o600)
    assert "is not root's alone" in opened(shared / "b", frozenset([4]))
    assert opened(Path("/dev/stderr")) in ("0", str(os.fstat(2).st_uid)), "what is open leads nowhere else"
    assert os.getgroups() == before


@by_root
def test_only_a_socket_of_ours_with_one_name_is_given(place: Path) -> None:
    path = place / "s"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    found = path.stat()
    identity = privileges.Identity(NOBODY, NOBODY, frozenset([NOBODY]))
    os.link(path, place / "other")
    ownership.give_socket(str(path), found.st_dev, found.st_ino, identity)
    assert path.stat().st_uid == 0
    os.unlink(place / "other")
    ownership.give_socket(str(path), found.st_dev, found.st_ino, identity)
    assert path.stat().st_uid == NOBODY


def telling(place: Path, app_dir: Path) -> str:
    """A logging configuration that says who applies it, by a class in `app_dir`."""
    (app_dir / "handlers.py").write_text(
        "import logging, os\n"
        "class Telling(logging.StreamHandler):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        os.write(2, b'applied by %d\\n' % os.geteuid())\n")
    form = place / "log.json"
    form.write_text(json.dumps({
        "version": 1, "handlers": {"telling": {"class": "handlers.Telling"}}, "root": {"handlers": ["telling"]}}))
    return str(form)


def applied_by(site: Server) -> list[str]:
    """Who: the master, and two workers."""
    return [match[1] for match in site.wait_for_log(r"applied by (\d+)", count=3)]


@by_root
def test_a_logging_configuration_is_applied_by_the_user_only(server: Start, place: Path) -> None:
    shutil.copy(APPS / "regain.py", place)
    site = start(server, "regain", "--app-dir", str(place), "--log-config", telling(place, place))
    assert applied_by(site) == [str(NOBODY)] * 3


@by_root
def test_a_directory_that_the_user_may_not_look_into_is_named(server: Start, place: Path) -> None:
    shutil.copy(APPS / "regain.py", place)
    place.chmod(0o700)
    site = start(server, "regain", "--app-dir", str(place), ready=False)
    site.expect_log("there is no module")
    site.finish(expect=EXIT_APP_MISSING)
    assert f"there is no module 'regain' (looked for 'regain'; {str(place)!r} cannot be read)" in site.log.text()


@by_root
def test_a_pid_file_stays_root_s_and_one_that_cannot_be_removed_is_left_empty(server: Start, place: Path) -> None:
    path = place / "pid"
    for _ in range(2):  # the second finds what the first has left
        site = start(server, "regain", "--pid", str(path))
        assert path.read_text() == f"{site.pid}\n"
        assert path.stat().st_uid == 0
        site.stop()
        assert path.read_text() == ""


@by_root
def test_a_tmp_dir_that_the_user_may_not_write_to_is_refused(server: Start, place: Path) -> None:
    site = start(server, "regain", "--tmp-dir", str(place), ready=False)
    site.expect_log("--tmp-dir")
    site.wait_for_log(r"\[ERROR\] --tmp-dir: no file can be made in .*: Permission denied")
    site.finish(expect=ExitCode.VALUE)


def test_the_umask_counts_for_sockets_and_logs(server: Start, place: Path) -> None:
    access = place / "access"
    site = server("regain", *OPTIONS, "--umask", "0o027", "--access-log", str(access), binds=("unix:{dir}/s",))
    assert stat.S_IMODE(os.stat(os.path.join(site.directory, "s")).st_mode) == 0o750
    assert stat.S_IMODE(access.stat().st_mode) == 0o640


@by_root
def test_in_a_chroot_there_is_nothing_else(server: Start, place: Path) -> None:
    root = place / "root"
    for name in ("app", "tmp", "log"):
        (root / name).mkdir(parents=True)
        os.chown(root / name, NOBODY, NOBODY)
    shutil.copy(APPS / "regain.py", root / "app")
    error, pid = root / "log" / "error", root / "log" / "pid"
    site = start(
        server, "regain", "--chroot", str(root), "--app-dir", str(root / "app"), "--tmp-dir", str(root / "tmp"),
        "--error-log", str(error), "--pid", str(pid), "--log-config", telling(place, root / "app"),
        "--static", f"/files={root / 'app'}",
        ready=False, binds=("unix:{dir}/s", "127.0.0.1:0"))
    site.wait_ready(error)
    assert applied_by(site) == [str(NOBODY)] * 3
    seen = site.get("/")
    assert (seen["user"], seen["root"], seen["directory"]) == ([NOBODY] * 3, ["app", "log", "tmp"], "/")
    with site.connect() as client:
        assert client.get("/files/regain.py").body == (APPS / "regain.py").read_bytes()
    error.rename(root / "log" / "old")
    site.kill(signal.SIGTERM, site.workers()[0])  # a child that is forked where there is no /proc
    wait_for_lines(error, "Worker booted")
    site.kill(signal.SIGTERM)
    site.finish(left_behind=("s",))  # it is not in the new root
    assert sorted(os.listdir(root / "log")) == ["error", "old"]


# What is refused


def in_a_process(code: str) -> subprocess.CompletedProcess[str]:
    """Python code, in a process that may change who it is."""
    before = "import os, sys\nfrom swhttp import privileges\nfrom swhttp.errors import ServerError\n"
    after = "\nexcept ServerError as error:\n    print(error)\n    sys.exit(error.exit_code)\n"
    lines = "\n".join(f"    {line}" for line in code.splitlines())
    return subprocess.run(
        [sys.executable, "-c", f"{before}try:\n{lines}{after}"], cwd=TESTS.parent, capture_output=True, text=True,
        env=os.environ | otheruser.environment(), check=False)


@by_root
@pytest.mark.parametrize(
    ("sabotage", "why"),
    [
        ("os.setresuid = lambda *ids: None", r"the users \(0, 0, 0\)"),
        ("os.setresgid = lambda *ids: None", r"the groups \(0, 0, 0\)"),
        ("real = os.setresuid; os.setresuid = lambda *ids: os.seteuid(65534)", r"the users \(0, 65534, 0\)"),
        ("os.setgroups([0, 4]); os.setgroups = lambda groups: None", r"the supplementary groups \[0, 4\]"),
        ("import threading, time; threading.Thread(target=time.sleep, args=[60], daemon=True).start()", "one thread"),
    ],
)
def test_a_drop_that_leaves_anything_is_no_start(sabotage: str, why: str) -> None:
    done = in_a_process(f"{sabotage}\nprivileges.become(privileges.resolve('65534', '65534'))\nprint('went on')")
    assert done.returncode == EXIT_PRIVILEGES, done
    assert done.stdout.startswith("Cannot become user ")
    assert re.search(why, done.stdout)
    assert len(done.stdout.splitlines()) == 1


@by_root
def test_nobody_may_read_its_memory_whatever_setuid_makes_of_that() -> None:
    done = in_a_process(
        "os.setresgid(65534, 65534, 65534)\nos.setgroups([])\nos.setresuid(65534, 65534, 65534)\n"
        "privileges.make_traceable()\nbefore = privileges._prctl(privileges.PR_GET_DUMPABLE)\n"
        "privileges.become(privileges.resolve('65534', '65534'))\n"
        "print(before, privileges._prctl(privileges.PR_GET_DUMPABLE))")
    assert done.stdout == "1 0\n", done


@by_root
def test_modules_that_the_user_cannot_read_are_named(place: Path) -> None:
    file = place / "module.py"
    file.touch(0o600)
    done = in_a_process(
        "identity = privileges.resolve('65534', '65534')\nprivileges.become(identity)\n"
        f"privileges.check_modules(identity, [{str(file)!r}])")
    assert done.returncode == EXIT_PRIVILEGES, done
    assert f"Python's modules cannot be read then: {file}: Permission denied" in done.stdout


@by_root
def test_who_is_not_root_cannot_become_another_and_is_told_so() -> None:
    drop = "os.setgroups([]); os.setgid(65534); os.setuid(65534)\nfrom swhttp import cli\n"
    arguments = ["swhttp", "regain", "--app-dir", str(APPS), "--user", "root", "--bind", "127.0.0.1:0"]
    done = in_a_process(f"{drop}sys.argv = {arguments}\ncli.main()")
    assert done.returncode == EXIT_PRIVILEGES, done
    [line] = done.stderr.splitlines()
    assert "[ERROR] Cannot become user root (0), group 0: that needs root (CAP_SETUID, CAP_SETGID)" in line
    done = in_a_process(f"{drop}sys.argv = {[*arguments, '--check-config']}\ncli.main()")
    assert (done.returncode, len(done.stderr.splitlines())) == (EXIT_PRIVILEGES, 1), done


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"user": "no-such-user"}, "--user: there is no user 'no-such-user'"),
        ({"group": "no-such-group"}, "--group: there is no group 'no-such-group'"),
        ({"user": "4294967295"}, "--user: the number of a user is less than 4294967295"),
        ({"user": "-1"}, "--user: there is no user '-1'"),
        ({"user": "3999999"}, "--user: 3999999 is the number of nobody who is known here: say --group too"),
        ({"umask": "8"}, "--umask: an octal number as in 007 is needed, not '8'"),
        ({"umask": "1777"}, "--umask: at most 777 is needed, not '1777'"),
        ({"chroot": "/no/such/directory", "user": "nobody"}, "--chroot: '/no/such/directory' is not a directory"),
        ({"chroot": "/usr"}, "--chroot: root can leave it: say --user, with another user"),
        ({"chroot": "/usr", "user": "root"}, "--chroot: root can leave it: say --user, with another user"),
        ({"chroot": "/usr", "user": "nobody", "app_dir": "/usr/lib"},
         "--tmp-dir: '/tmp' is not in '/usr', which becomes the root"),
        *(({"chroot": "/usr", "user": "nobody", "app_dir": "/usr/lib", "tmp_dir": "/usr/lib", name: value},
           f"{flag}: it needs /proc, which is not in '/usr'")
          for name, value, flag in (
              ("preload", True, "--preload"), ("max_worker_memory_mib", 100, "--max-worker-memory"),
              ("slow_log_s", 1.0, "--slow-log"), ("request_timeout_s", 1.0, "--request-timeout"))),
        ({"cpu_affinity": "some"}, "--cpu-affinity: off, auto or a list of CPUs as in 0-3,8 is needed, not 'some'"),
        ({"daemon": True, "access_log": "-"}, "--access-log: - leads nowhere from the background: name a file"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadValue) as failure:
        Config("a:b", **{"tmp_dir": "/tmp", **values})
    assert str(failure.value) == message


def test_a_user_brings_all_groups_of_his() -> None:
    entry = pwd.getpwnam("nobody")
    identity = privileges.resolve("nobody", "")
    assert identity is not None
    assert (identity.user, identity.group) == (entry.pw_uid, entry.pw_gid)
    assert identity.groups == set(os.getgrouplist("nobody", entry.pw_gid))
    other = privileges.resolve("nobody", "daemon")
    assert other is not None
    assert other.group == grp.getgrnam("daemon").gr_gid
    assert other.group in other.groups
    assert privileges.resolve("", "") is None


def test_who_is_the_user_already_needs_no_right() -> None:
    identity = privileges.resolve(str(os.geteuid()), str(os.getegid()))
    assert identity is not None
    privileges.check(identity)


@pytest.mark.parametrize(
    ("path", "is_called"),
    [("/usr/lib/x", "/lib/x"), ("/usr", "/"), ("/usr/../etc", ""), ("/usrx/y", ""), ("-", ""), ("", "")])
def test_paths_in_another_root(path: str, is_called: str) -> None:
    assert config.inside("/usr", path) == is_called


def test_the_exit_code_is_its_own() -> None:
    assert ServerError("", ExitCode.PRIVILEGES).exit_code == EXIT_PRIVILEGES
