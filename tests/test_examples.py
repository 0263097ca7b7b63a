"""Every example starts by the command in its docstring, and answers the requests there as it says."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.fleet import Start
from tests.support.server import TESTS, Server

EXAMPLES = TESTS.parent / "examples"
ADDRESS = "http://127.0.0.1:8000"
CURL_MAX_TIME = 28  # its exit status when --max-time ends a stream
# What each of the docstring's requests is answered, in their order.
ANSWERS = {
    "chat_asgi": [r"<!doctype html>[\s\S]*new WebSocket[\s\S]*"],
    "chat_sessions": [r"<!doctype html>[\s\S]*new WebSocket[\s\S]*"],
    "django_app": [r"This is your visit number 1\.\n", r"Hello, Ada!\n", r'\{"sum": 6\}'],
    "fastapi_app": [r'\{"total":10\.0\}', r"\{\"slow\":\"but in nobody's way\"\}"],
    "flask_app": [r"<!doctype html>[\s\S]*<form [\s\S]*", r"Hello, Ada!\n", r'\{"sum":6\}\n'],
    "litestar_app": [r'\{"text":"buy tea"\}', r'\[\{"text":"buy tea"\}\]'],
    "quart_app": [r"<!doctype html>[\s\S]*EventSource[\s\S]*", r"(data: \d\d:\d\d:\d\d\n\n){2,4}"],
    "starlette_app": [r"Hello! I have been up for \d+ s\.\n", r'\{"sum":6\}'],
}


def _docstring(name: str) -> str:
    text = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text()))
    assert text
    return text


def _start(server: Start, name: str) -> Server:
    found = re.search(r"`swhttp ([^`]+)`", _docstring(name))
    assert found, f"{name} does not say how to start it"
    app, *options = shlex.split(found[1])
    return server(app, *(str(EXAMPLES) if option == "examples" else option for option in options))


def _ask(running: Server, command: str, directory: Path) -> str:
    arguments = shlex.split(command.replace(ADDRESS, f"http://127.0.0.1:{running.port}"))
    arguments[1:1] = ["--silent", "--show-error", "--fail"]
    environment = os.environ | {"LD_PRELOAD": ""}  # `make asan` has one that curl does not get beyond
    done = subprocess.run(
        arguments, capture_output=True, cwd=directory, env=environment, check=False, text=True, timeout=20)
    assert done.returncode in (0, CURL_MAX_TIME), done.stderr
    return done.stdout


def test_all_examples_are_tried() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_example_does_what_its_docstring_says(server: Start, tmp_path: Path, name: str) -> None:
    running = _start(server, name)
    commands = re.findall(r"^ {4}(curl .*)$", _docstring(name), re.MULTILINE)
    assert len(commands) == len(ANSWERS[name])
    for command, expected in zip(commands, ANSWERS[name], strict=True):
        answer = _ask(running, command, tmp_path)
        assert re.fullmatch(expected, answer), f"{command}\n{answer}"


def test_the_work_after_the_answer_of_fastapi_is_logged(server: Start, tmp_path: Path) -> None:
    running = _start(server, "fastapi_app")
    command = next(line for line in _docstring("fastapi_app").splitlines() if "orders" in line and "curl" in line)
    _ask(running, command.strip(), tmp_path)
    running.wait_for_log("confirmed: 4 of tea")


def test_a_visitor_of_django_is_known_again(server: Start, tmp_path: Path) -> None:
    running = _start(server, "django_app")
    command = f"curl -b visits.txt -c visits.txt {ADDRESS}/"
    answers = [_ask(running, command, tmp_path) for _ in range(3)]
    assert [answer.split()[-1] for answer in answers] == ["1.", "2.", "3."]
