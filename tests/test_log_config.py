"""Logging configurations of the user's: all forms, what they do to the server's own log, and all that can be wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from swhttp import logconfig
from swhttp.config import Config
from swhttp.errors import ExitCode, ServerError
from tests.support import processes
from tests.support.fleet import Start
from tests.support.server import APPS, LISTENING, Server, wait_for_lines

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = ("--workers", "1", "--reactors", "1")
EXIT_CONFIG = 9

INI = """
[loggers]
keys = root, site

[handlers]
keys = file

[formatters]
keys = marked

[logger_root]
level = WARNING
handlers =

[logger_site]
qualname = site
level = INFO
handlers = file

[handler_file]
class = FileHandler
args = ({path!r},)
formatter = marked

[formatter_marked]
format = <%(message)s>
"""


def dictionary(path: Path, **loggers: Any) -> dict[str, Any]:
    """A configuration with a file handler, and these loggers; `root` too is one."""
    return {
        "version": 1,
        "formatters": {"marked": {"format": "<%(levelname)s %(message)s>"}},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "marked"}},
        "loggers": {name: entry for name, entry in loggers.items() if name != "root"},
        "root": loggers.get("root", {"level": "WARNING"}),
    }


def toml(table: dict[str, Any], prefix: str = "") -> str:
    """The dictionary as TOML: tables, strings, numbers, booleans and arrays of strings."""
    values = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items() if not isinstance(value, dict))
    tables = "".join(
        f"[{prefix}{name}]\n{toml(value, f'{prefix}{name}.')}" for name, value in table.items()
        if isinstance(value, dict))
    return values + tables


def written(directory: Path, text: str | dict[str, Any], suffix: str = ".json") -> Path:
    path = directory / f"logging{suffix}"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def ask(site: Server, target: str, status: int = 200) -> None:
    with site.connect() as client:
        assert client.get(target).status == status


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


# What it does


@pytest.mark.parametrize("form", [".json", ".toml", ".yaml", ".yml", ".ini", ".conf"])
def test_the_loggers_of_the_app_are_as_the_file_says_and_the_server_logs_as_before(
    server: Start, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "site.log"
    said = dictionary(path, site={"level": "INFO", "handlers": ["file"]})
    text = {
        ".json": json.dumps(said), ".toml": toml(said), ".yaml": yaml.safe_dump(said), ".yml": yaml.safe_dump(said),
    }.get(form, INI.format(path=str(path)))
    site = server("log_site:site", *OPTIONS, "--log-config", str(written(tmp_path, text, form)))
    ask(site, "/say/hello")
    site.expect_log("")
    ask(site, "/raise", status=500)
    site.stop()
    (line,) = lines_of(path)
    assert re.fullmatch("<(INFO )?site says hello>", line)
    assert site.log.text().count("exception in the WSGI app") == 1


def test_a_configuration_may_take_the_log_of_all_processes(server: Start, tmp_path: Path) -> None:
    path = tmp_path / "all.log"
    said = dictionary(path, swhttp={"handlers": ["file"]}, root={"level": "DEBUG", "handlers": ["file"]})
    site = server("log_site:site", *OPTIONS, "--log-config", str(written(tmp_path, said)), ready=False)
    site.wait_ready(path, r"<INFO Listening at: (\S+) \((\d+)\)>")
    ask(site, "/raise", status=500)
    worker = site.workers()[0]
    site.kill(signal.SIGKILL, worker)
    wait_for_lines(path, "Worker booted", count=2)
    site.stop()
    lines = lines_of(path)
    for said_once in ("Listening at", "exception in the WSGI app", "Worker died", "SIGTERM: stopping"):
        assert len([line for line in lines if said_once in line]) == 1, said_once
    assert site.log.text() == ""


def test_in_an_ini_file_propagation_is_said_or_there_is_none(server: Start, tmp_path: Path) -> None:
    path = tmp_path / "all.log"
    text = INI.format(path=str(path)).replace("handlers =\n", "handlers = file\n").replace("site", "swhttp")
    site = server("log_site:site", *OPTIONS, "--log-config", str(written(tmp_path, text, ".ini")), ready=False)
    site.wait_ready(path, r"<Listening at: (\S+) \((\d+)\)>")
    ask(site, "/raise", status=500)
    site.stop()
    for said_once in ("Listening at", "exception in the WSGI app"):
        assert path.read_text().count(said_once) == 1, said_once


def test_the_server_may_log_by_the_root_logger(server: Start, tmp_path: Path) -> None:
    path = tmp_path / "root.log"
    said = dictionary(path, swhttp={"propagate": True}, root={"level": "INFO", "handlers": ["file"]})
    site = server("log_site:site", *OPTIONS, "--log-config", str(written(tmp_path, said)), ready=False)
    site.wait_ready(path, r"<INFO Listening at: (\S+) \((\d+)\)>")
    ask(site, "/raise", status=500)
    site.stop()
    for said_once in ("Listening at", "exception in the WSGI app"):
        assert path.read_text().count(said_once) == 1, said_once
    assert site.log.text() == ""


def test_a_root_handler_does_not_get_what_the_server_logs(server: Start, tmp_path: Path) -> None:
    path = tmp_path / "root.log"
    said = dictionary(path, root={"level": "DEBUG", "handlers": ["file"]})
    site = server("log_site:site", *OPTIONS, "--log-config", str(written(tmp_path, said)))
    site.expect_log("")
    ask(site, "/raise", status=500)
    site.stop()
    assert path.read_text() == ""
    assert site.log.text().count("exception in the WSGI app") == 1


def listens(path: Path) -> bool:
    """Is there a socket, and does somebody listen already?"""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_a_level_of_its_own_goes_before_the_option(server: Start, tmp_path: Path) -> None:
    path = tmp_path / "unused.log"
    error_log = tmp_path / "error.log"
    said = dictionary(path, swhttp={"level": "WARNING"})
    site = server(
        "log_site:site", *OPTIONS, "--log-config", str(written(tmp_path, said)), "--log-level", "debug",
        "--error-log", str(error_log), "--bind", f"unix:{tmp_path}/s", ready=False)
    processes.wait_until(lambda: listens(tmp_path / "s"), "the socket")  # nothing in the log says so
    with site.connect(address=str(tmp_path / "s")) as client:
        assert client.get("/raise").status == 500
    site.stop()
    assert "[INFO]" not in error_log.read_text()
    assert "[ERROR] exception in the WSGI app" in error_log.read_text()


def test_handlers_are_opened_anew_in_a_worker_and_the_manager_has_none(server: Start, tmp_path: Path) -> None:
    path = tmp_path / "site.log"
    said = dictionary(path, site={"level": "INFO", "handlers": ["file"]})
    site = server("log_site:site", *OPTIONS, "--log-config", str(written(tmp_path, said)))
    holders = {
        pid: list(processes.fds_of(pid).values()).count(str(path))
        for pid in (site.pid, site.manager(), *site.workers())}
    assert holders == {site.pid: 1, site.manager(): 0, site.workers()[0]: 1}


def test_an_app_that_configures_logging_itself_neither_silences_nor_doubles_the_server(
    server: Start, tmp_path: Path
) -> None:
    path = tmp_path / "error.log"
    site = server("log_site:site", *OPTIONS, "--error-log", str(path), env={"RECONFIGURE": "1"}, ready=False)
    site.wait_ready(path, LISTENING)
    ask(site, "/say/hello")
    ask(site, "/raise", status=500)
    site.stop()
    assert path.read_text().count("exception in the WSGI app") == 1
    assert "app's own form: site says hello" in site.log.lines
    assert "exception" not in site.log.text()


# What is wrong


def fails(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Run the command, which must end with EXIT_CONFIG before it listens; its stderr."""
    finished = subprocess.run(
        [sys.executable, "-m", "swhttp", "log_site:site", "--app-dir", str(APPS), "--bind", "127.0.0.1:0", *OPTIONS,
         *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), (env or {}).get("PYTHONPATH", "")])}, text=True,
        capture_output=True, timeout=60, check=False)
    assert finished.returncode == EXIT_CONFIG, finished.stderr
    assert "Traceback" not in finished.stderr
    assert "Listening at" not in finished.stderr
    return finished.stderr


UNKNOWN_HANDLER = {"version": 1, "handlers": {"h": {"class": "no_such_module.Handler"}}, "root": {"handlers": ["h"]}}
NO_DIRECTORY = {
    "version": 1, "handlers": {"h": {"class": "logging.FileHandler", "filename": "/no/such/directory/log"}}}
# Applied in this order: when the root logger is wrong, the server's own has been changed already.
HALF = {
    "version": 1, "handlers": {"h": {"class": "logging.NullHandler"}}, "loggers": {"swhttp": {"handlers": ["h"]}},
    "root": {"handlers": ["of no name"]}}


@pytest.mark.parametrize(
    ("suffix", "text", "why"),
    [
        (".json", "{", "Expecting property name"),
        (".json", "[]", "a dictionary is needed, not a list"),
        (".json", "{}", "version"),
        (".json", json.dumps(UNKNOWN_HANDLER), "No module named 'no_such_module'"),
        (".json", json.dumps(NO_DIRECTORY), "No such file or directory: '/no/such/directory/log'"),
        (".json", json.dumps(HALF), "Unable to configure root logger"),
        (".toml", "version = ", "Invalid value"),
        (".yaml", "version: [", "while parsing"),
        (".yaml", "just words", "a dictionary is needed, not a str"),
        (".ini", "no section", "no section headers"),
        (".ini", "[loggers]\nkeys = root\n[handlers]\nkeys =\n", "there is no section [formatters]"),
        (".ini", INI.format(path="/no/such/directory/log"), "No such file or directory: '/no/such/directory/log'"),
        (".json", b"\xff\xfe", "'utf-8' codec can't decode"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    tmp_path: Path, suffix: str, text: str | bytes, why: str
) -> None:
    path = tmp_path / f"logging{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    log = fails("--log-config", str(path), "--bind", f"unix:{tmp_path}/socket")
    assert len(log.splitlines()) == 1
    assert f"[ERROR] Cannot use the logging configuration {path}: " in log
    assert why in log
    assert not (tmp_path / "socket").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/none.ini: No such file or directory" in fails("--log-config", f"{tmp_path}/none.ini")


def test_what_is_wrong_is_in_the_error_log_too(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    log = fails("--log-config", f"{tmp_path}/none.ini", "--error-log", str(path))
    assert path.read_text() == log


def test_without_pyyaml_its_absence_is_said(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise ImportError('as if it were not installed')\n")
    log = fails("--log-config", str(written(tmp_path, "version: 1", ".yaml")), env={"PYTHONPATH": str(tmp_path)})
    assert "logging.yaml: PyYAML is needed to read it, and is not installed" in log


def test_a_handler_that_starts_a_thread_is_refused_because_the_master_forks(tmp_path: Path) -> None:
    said = {"version": 1, "handlers": {"h": {"class": "log_handlers.Threaded"}}, "root": {"handlers": ["h"]}}
    assert "one of its handlers starts a thread" in fails("--log-config", str(written(tmp_path, said)))


def not_in_workers(directory: Path) -> Path:
    """A configuration that fails in workers while there is a file `flag` in the directory."""
    handler = {"class": "log_handlers.NotInWorkers", "flag": f"{directory}/flag", "made": f"{directory}/made"}
    return written(directory, {"version": 1, "handlers": {"h": handler}, "root": {"handlers": ["h"]}})


def test_a_configuration_that_fails_in_the_first_worker_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "flag").touch()
    log = fails("--log-config", str(not_in_workers(tmp_path)))
    assert re.search(r"Cannot use the logging configuration \S+/logging.json: Unable to configure handler 'h': "
                     "RuntimeError: not in a worker", log)
    assert "[ERROR] A worker cannot use the logging configuration" in log


def test_a_configuration_that_fails_in_a_later_worker_is_said_each_time_until_it_works(
    server: Start, tmp_path: Path
) -> None:
    site = server("log_site:site", *OPTIONS, "--log-config", str(not_in_workers(tmp_path)))
    site.expect_log("Worker died: .*Cannot use the logging configuration|Worker died: .* signal 9")
    (tmp_path / "flag").touch()
    site.kill(signal.SIGKILL, site.workers()[0])
    site.wait_for_log(r"Worker died: .*: Cannot use the logging .*: RuntimeError: not in a worker", count=2)
    (tmp_path / "flag").unlink()
    site.wait_for_log("Worker booted", count=2)
    ask(site, "/say/hello")


# What is read


@pytest.mark.parametrize(
    ("entry", "takes", "propagates", "sets_level"),
    [
        (None, False, False, False),
        ({}, False, False, False),
        ({"level": "DEBUG"}, False, False, True),
        ({"handlers": ["h"]}, True, False, False),
        ({"handlers": [], "propagate": False}, False, False, False),
        ({"propagate": True}, True, True, False),
        ({"handlers": ["h"], "propagate": True, "level": "INFO"}, True, True, True),
    ],
)
def test_what_a_dictionary_says_of_the_server_log(
    entry: dict[str, Any] | None, takes: bool, propagates: bool, sets_level: bool
) -> None:
    read = logconfig.read({"version": 1, "loggers": {} if entry is None else {"swhttp": entry}}, "")
    assert (read.takes_server_log, read.propagates, read.sets_level) == (takes, propagates, sets_level)


@pytest.mark.parametrize(
    ("section", "takes", "propagates", "sets_level"),
    [
        ("qualname = other\nhandlers = h", False, False, False),
        ("qualname = swhttp\nhandlers =", False, False, False),
        ("qualname = swhttp\nhandlers = h\nlevel = INFO", True, False, True),
        ("qualname = swhttp\nhandlers =\npropagate = 1", True, True, False),
    ],
)
def test_what_an_ini_file_says_of_the_server_log(
    tmp_path: Path, section: str, takes: bool, propagates: bool, sets_level: bool
) -> None:
    path = written(
        tmp_path, f"[loggers]\nkeys = root, own\n[handlers]\n[formatters]\n[logger_own]\n{section}\n", ".ini")
    read = logconfig.read(str(path), "")
    assert (read.takes_server_log, read.propagates, read.sets_level) == (takes, propagates, sets_level)


def test_a_program_may_give_a_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "all.log"
    said = dictionary(path, swhttp={"handlers": ["file"]})
    program = (
        "from swhttp import logs\n"
        "from swhttp.config import Config\n"
        "from swhttp.master import Master\n"
        "from swhttp.startedby import StartedBy\n"
        f"config = Config('broken_import:app', bind=('127.0.0.1:0',), workers=1, app_dir={str(APPS)!r},\n"
        f"                log_config={said!r})\n"
        "logs.configure(config.log_settings)\n"
        "raise SystemExit(Master(config, StartedBy()).run())\n")
    finished = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, capture_output=True,
        timeout=60, check=False)
    assert finished.returncode == ExitCode.APP, finished.stderr
    assert "<ERROR The application did not boot>" in lines_of(path)
    assert "ZeroDivisionError: division by zero" in lines_of(path)


@pytest.mark.parametrize(("name", "value"), [("log_config", 5), ("log_format", "xml"), ("error_log", "")])
def test_values_that_cannot_work_are_refused_with_the_option_named(name: str, value: Any) -> None:
    with pytest.raises(ServerError, match="--" + name.replace("_", "-")):
        Config("log_site:site", **{name: value})


def test_a_dictionary_that_is_wrong_is_an_error_like_a_file() -> None:
    with pytest.raises(ServerError, match=r"given as a dictionary: .*version") as failure:
        logconfig.read({"version": 7}, "").apply(threads_allowed=True)
    assert failure.value.exit_code is ExitCode.CONFIG
