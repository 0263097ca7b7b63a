"""Tries to be root again, and tells how that went. WSGI; imports nothing that the server has not loaded itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs


def _program(path: str) -> str:
    return subprocess.run([path, "-u"], capture_output=True, text=True, check=True).stdout.strip()


def _raised(call: Callable[[], Any]) -> str:
    try:
        return f"worked: {call()!r}"
    except OSError as error:
        return type(error).__name__


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """/: who this process is; /regain?program=PATH&other=PID: what came of each try."""
    query = {key: value[0] for key, value in parse_qs(environ["QUERY_STRING"]).items()}
    found: dict[str, Any]
    if environ["PATH_INFO"] == "/regain":
        found = {
            "setuid": _raised(lambda: os.setuid(0)),
            "seteuid": _raised(lambda: os.seteuid(0)),
            "setresuid": _raised(lambda: os.setresuid(0, 0, 0)),
            "setgid": _raised(lambda: os.setgid(0)),
            "setgroups": _raised(lambda: os.setgroups([0])),
            "chroot": _raised(lambda: os.chroot("/")),
            "setuid program": _program(query["program"]),
            "memory of the master": _raised(lambda: os.close(os.open(f"/proc/{query['other']}/mem", os.O_RDONLY))),
            "variables of its own": _raised(lambda: os.close(os.open("/proc/self/environ", os.O_RDONLY))),
        }
    else:
        found = {
            "user": os.getresuid(), "group": os.getresgid(), "groups": os.getgroups(), "root": sorted(os.listdir("/")),
            "directory": os.getcwd(), "variables": sorted(os.environ), "cpus": sorted(os.sched_getaffinity(0))}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
