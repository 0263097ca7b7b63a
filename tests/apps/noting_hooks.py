"""Hooks of every kind that say on stderr what they were told: "hook NAME PID {fields}". And one that is misspelt."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any


def say(name: str, told: Any) -> None:
    fields = {key: value for key, value in vars(told).items() if key != "app"}
    assert dataclasses.is_dataclass(told)
    os.write(2, f"hook {name} {os.getpid()} {json.dumps(fields)}\n".encode())


def on_start(told: Any) -> None:
    say("on_start", told)


def on_manager_start(told: Any) -> None:
    say("on_manager_start", told)


def on_worker_start(told: Any) -> None:
    say("on_worker_start", told)


async def on_worker_exit(told: Any) -> None:
    say("on_worker_exit", told)


def on_worker_stop(told: Any) -> None:
    say("on_worker_stop", told)


async def on_worker_error(told: Any) -> None:
    say("on_worker_error", told)


def on_before_reload(told: Any) -> None:
    say("on_before_reload", told)


def on_after_reload(told: Any) -> None:
    say("on_after_reload", told)


def on_manager_stop(told: Any) -> None:
    say("on_manager_stop", told)


def on_shutdown(told: Any) -> None:
    say("on_shutdown", told)


def on_worker_strat(told: Any) -> None:
    raise AssertionError("there is no such hook")
