"""The files in examples/deploy: what docs/deploy-nginx.md quotes is in them, and their command lines are ours.

nginx.conf itself is what tests/frameworks run nginx with. systemd and Docker are not needed here: the units and the
Dockerfile are read, and the command in them is started.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from swhttp.config import OPTIONS
from swhttp.errors import ExitCode
from tests.support.activation import activated
from tests.support.fleet import Start
from tests.support.server import TESTS

DEPLOY = TESTS.parent / "examples" / "deploy"
GUIDE = (TESTS.parent / "docs" / "deploy-nginx.md").read_text()
FENCED = re.compile(r"^```(nginx|ini|dockerfile)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


def _unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((DEPLOY / name).read_text().replace("\\\n", " "))  # a line goes on after a backslash
    return parser


def _dockerfile(instruction: str) -> list[str]:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    return [line.removeprefix(instruction).strip() for line in lines if line.startswith(instruction + " ")]


class Command(NamedTuple):
    """A command line that one of the files has."""

    file: str
    program: str
    arguments: list[str]


def _commands() -> list[Command]:
    found = []
    for name in ("swhttp.service", "socket.conf"):
        program, *arguments = shlex.split(_unit(name)["Service"]["ExecStart"])
        found.append(Command(name, program, arguments))
    (entry,), (command,) = _dockerfile("ENTRYPOINT"), _dockerfile("CMD")
    program, *arguments = json.loads(entry) + json.loads(command)  # JSON: the exec form, without a shell
    found.append(Command("Dockerfile", program, arguments))
    return found


COMMANDS = _commands()


def _value(command: Command, flag: str) -> str:
    return command.arguments[command.arguments.index(flag) + 1]


def test_the_guide_quotes_every_file_and_nothing_else() -> None:
    files = {path.name: path.read_text() for path in DEPLOY.iterdir()}
    quoted = [text for _, text in FENCED.findall(GUIDE)]
    for text in quoted:
        assert any(text in content for content in files.values()), f"no file has:\n{text}"
    rest = files["nginx.conf"]
    for text in quoted:
        rest = rest.replace(text, "")
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == [], "not in the guide"
    for name in ("swhttp.service", "swhttp.socket", "socket.conf", "Dockerfile"):
        assert files[name].strip("\n") in quoted, f"{name} is not in the guide"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.file)
def test_a_command_line_has_only_options_that_there_are(command: Command) -> None:
    assert Path(command.program).name == "swhttp"
    known = {flag for option in OPTIONS.values() for flag in option.flags}
    given = {argument for argument in command.arguments if argument.startswith("-")}
    assert given <= known, f"unknown: {given - known}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.file)
def test_a_command_line_starts_a_server_that_answers(
    server: Start, tmp_path: Path, command: Command
) -> None:
    app, *arguments = command.arguments
    bind = ""
    if "--bind" in arguments:
        at = arguments.index("--bind")
        bind = arguments[at + 1]
        del arguments[at : at + 2]
    if app == "myapp:app":  # whoever copies the unit puts the own there
        app = "flask_app:app"
    options = (*arguments, "--app-dir", str(DEPLOY.parent), "--workers", "1")
    if not bind:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "http.sock"))
            listener.listen()
            running = activated(server, [listener], app, *options, listening=1)
    else:
        running = server(app, *options, binds=("unix:{dir}/s" if bind.startswith("unix:") else "127.0.0.1:0",))
    address = None if bind else str(tmp_path / "http.sock")
    with running.connect(address=address) as client:
        assert client.get("/").status == 200


def test_the_unit_gives_the_server_time_to_stop_and_restarts_what_a_restart_can_mend() -> None:
    service = _unit("swhttp.service")["Service"]
    assert int(service["TimeoutStopSec"]) > float(_value(COMMANDS[0], "--graceful-timeout"))
    assert service["KillMode"] == "mixed"
    assert service["Type"] == "notify"
    kept_down = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert kept_down.isdisjoint({ExitCode.OK, ExitCode.APP, ExitCode.BIND, ExitCode.MANAGER_DIED, ExitCode.INTERNAL})
    assert kept_down >= {code for code in ExitCode if code in (2, 7, 8, 9, 10, 11, 14)}


def test_unit_and_nginx_agree_about_the_socket_and_its_idle_connections() -> None:
    site = (DEPLOY / "nginx.conf").read_text()
    for command in COMMANDS:
        idle = re.search(r"^ +keepalive_timeout (\d+)s;", site, re.MULTILINE)
        assert idle
        assert int(idle[1]) < float(_value(command, "--keep-alive"))
    path = _value(COMMANDS[0], "--bind")
    assert f"server {path};" in site
    service = _unit("swhttp.service")["Service"]
    assert os.path.dirname(path.removeprefix("unix:")) == "/run/" + service["RuntimeDirectory"]
    assert _unit("swhttp.socket")["Socket"]["ListenStream"] == re.findall(r"unix:(/run/swhttp\.sock)", GUIDE)[0]


def test_the_container_is_stopped_before_docker_kills_it() -> None:
    assert _dockerfile("STOPSIGNAL") == ["SIGTERM"]
    assert float(_value(COMMANDS[-1], "--graceful-timeout")) < 10  # seconds, docker stop's default
    assert _dockerfile("USER") == ["www-app"]
    bases = {line.split()[0] for line in _dockerfile("FROM")}
    assert len(bases) == 1, "a compiled module needs the Python that it was compiled for"
