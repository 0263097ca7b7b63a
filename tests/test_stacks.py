"""Questions to workers about their stacks, with files in place of workers; and how tasks are told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from swhttp import limits
from swhttp.stacks import MARK, SIGNAL, Request, Stacks, StacksFile, Subject, parse, told
from swhttp.worker import stacks


class Worker:
    """What the manager has of one: it writes when a test says so."""

    def __init__(self) -> None:
        self.file = StacksFile()
        self.pid = os.getpid()
        self.signals: list[int] = []
        self.tokens: list[int] = []
        self.subject = Subject(0, cast("Any", self), self.file, "asgi")

    def kill(self, number: int) -> None:
        self.signals.append(number)

    def send(self, kind: str, token: int, **fields: int) -> None:
        assert kind == "tasks"
        self.tokens.append(token)

    def write(self, text: str) -> None:
        os.write(self.file.fd, text.encode())


@pytest.fixture
def worker(leaves_nothing_behind: None) -> Iterator[Worker]:
    made = Worker()
    yield made
    os.close(made.file.fd)


def test_one_that_does_not_answer_is_not_asked_again_until_it_does(worker: Worker) -> None:
    entries: list[str] = []
    desk = Stacks(lambda headline, body: entries.append(body))
    now_s = 100.0
    for _ in range(3):
        desk.slow(worker.subject, Request("GET /"), now_s)
        desk.tick(now_s + limits.STACKS_WAIT_S)
        now_s += 10
    assert (worker.signals, worker.tokens) == ([SIGNAL], [1])
    assert all(entry.startswith("No stacks: the worker has written nothing") for entry in entries)
    desk.slow(worker.subject, Request("GET /"), now_s)
    worker.write("threads\n")
    worker.write(f"{MARK}1\nof an earlier request{MARK}")
    desk.tick(now_s + limits.STACKS_POLL_S)
    assert worker.tokens == [1, 4], "it is asked as soon as it answers"
    worker.write(f"{MARK}4\nof this request{MARK}")
    desk.tick(now_s + 0.1)
    desk.tick(now_s + 0.2)
    assert entries[3:] == ["threads\nof this request"]
    desk.slow(worker.subject, Request("GET /"), now_s + 10)
    assert (worker.signals, worker.tokens) == ([SIGNAL] * 2, [1, 4, 5])


@pytest.mark.parametrize("before", [0, 1, limits.MAX_STACKS_BYTES])
def test_long_stacks_of_threads_do_not_hide_those_of_tasks(worker: Worker, before: int) -> None:
    worker.write(f"{MARK}6\n{'t' * before}")
    worker.write("x" * limits.MAX_STACKS_BYTES + MARK + f"{MARK}7\ntasks{MARK}")
    text, is_cut = worker.file.read(7)
    assert is_cut
    assert parse(text, 7) == ("", "tasks")
    worker.write("y" * 2 * limits.MAX_STACKS_BYTES)
    text, is_cut = worker.file.read(7)
    said = told("threads", parse(text, 7)[1], True, 1.0, "S", is_cut)
    assert said == "threads\n... cut at 256 KiB", "nothing is known of the loop"


# Tasks


class Odd:
    """An awaitable that is asked for what it has not."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the app's code was called for {name}")

    def __await__(self) -> Generator[Any, None, None]:
        return (yield from asyncio.sleep(0, None).__await__())


class OddTask(asyncio.Task[Any]):
    def get_coro(self) -> Any:
        raise AssertionError("the app's code was called")

    get_name = get_coro


async def the_inner() -> None:
    await Odd()


async def the_outer() -> None:
    await the_inner()


def test_tasks_are_told_without_calling_what_is_the_apps() -> None:
    async def look() -> str:
        task = OddTask(the_outer(), loop=asyncio.get_running_loop(), name="odd")
        await asyncio.sleep(0)
        text = stacks.describe([task, cast("Any", SimpleNamespace())], None)
        await task
        return text

    text = asyncio.run(look())
    assert "Task 'odd' (most recent call first):" in text
    assert [line.rpartition(" ")[2] for line in text.split("\n") if "test_stacks.py" in line] == [
        "Odd.__await__", "the_inner", "the_outer"]
    assert "Task 'types.SimpleNamespace'" in text


def test_what_is_waited_for_is_named_and_not_asked() -> None:
    assert stacks.stack(Odd()) == [f"  waits for {__name__}.Odd"]

    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise AssertionError("the app's code was called")

        def __eq__(cls, other: object) -> bool:
            raise AssertionError("the app's code was called")

        __hash__ = type.__hash__

    class Odder(metaclass=Meta):
        pass

    [line] = stacks.stack(Odder())
    assert line.endswith("<locals>.Odder")


async def the_deep(frames: int) -> None:
    if frames > 1:
        await the_deep(frames - 1)
    await asyncio.sleep(0)


def test_of_many_tasks_and_frames_so_many_are_told() -> None:
    async def look() -> str:
        many = [asyncio.create_task(the_deep(limits.MAX_TASK_FRAMES + 5)) for _ in range(limits.MAX_TASKS_SHOWN + 5)]
        await asyncio.sleep(0)
        text = stacks.describe(many, None)
        await asyncio.gather(*many)
        return text

    text = asyncio.run(look())
    assert text.count("(most recent call first):") == limits.MAX_TASKS_SHOWN
    assert text.endswith("... and 5 other tasks")
    assert text.count("in the_deep") == limits.MAX_TASKS_SHOWN * limits.MAX_TASK_FRAMES
