"""The switch of generations in reactors that are late: two of them, and mail that they find all at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from swhttp.ipc.geometry import Geometry
from swhttp.ipc.memory import SharedMemory
from swhttp.ipc.ring import DescriptorReader
from swhttp.reactor.reactors import Reactors
from swhttp.reactor.settings import ReactorSettings
from tests.support.processes import wait_until

STOP = 4  # EVENT_STOP of frame.h
REACTORS = 2
CLIENTS = 12


class Workers:
    """What the slots get, read by nobody but this."""

    def __init__(self, memory: SharedMemory, slots: int) -> None:
        self._readers = {(slot, reactor): DescriptorReader(memory, slot, reactor)
                         for slot in range(slots) for reactor in range(REACTORS)}
        self.stops = dict.fromkeys(range(slots), 0)
        self.requests = dict.fromkeys(range(slots), 0)

    def read(self) -> None:
        """Take what has come."""
        for (slot, _), reader in self._readers.items():
            while (descriptor := reader.pop()) is not None:
                if descriptor.type == STOP:
                    self.stops[slot] += 1
                else:
                    self.requests[slot] += 1

    def stopped(self) -> list[int]:
        """Slots that every reactor has told to leave."""
        self.read()
        return [slot for slot, count in self.stops.items() if count == REACTORS]


@contextmanager
def not_started(slots: int) -> Iterator[tuple[Reactors, Workers, tuple[str, int]]]:
    """Reactors whose threads do not run yet, so that commands wait for them; what the slots get; where they listen."""
    memory = SharedMemory(Geometry(reactors=REACTORS, slots=slots))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        reactors = Reactors(memory, ReactorSettings(), [(listener.fileno(), "tcp", "test")])
        reactors.admit(memory.geometry.sessions, 0, b"rows")
        for slot in range(slots):
            memory.reset_slot(slot)
        try:
            yield reactors, Workers(memory, slots), listener.getsockname()
        finally:
            reactors.stop()
            assert reactors.join(10.0)
            os.close(reactors.report_fd)
            memory.close()


def ask(address: tuple[str, int], workers: Workers) -> None:
    """Requests by so many connections that each reactor has some."""
    with ExitStack() as clients:
        for _ in range(CLIENTS):
            client = clients.enter_context(socket.create_connection(address))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        def all_came() -> bool:
            workers.read()
            return sum(workers.requests.values()) == CLIENTS

        wait_until(all_came, "every request to be with a worker")


def test_of_two_switches_at_once_the_second_counts_and_the_generation_between_leaves() -> None:
    with not_started(3) as (reactors, workers, address):
        reactors.slot_up(0, 1, "asgi")
        reactors.slot_stage(1, 1, "asgi")
        reactors.switch("asgi")
        reactors.slot_stage(2, 1, "asgi")
        reactors.switch("asgi")
        reactors.start()
        wait_until(lambda: workers.stopped() == [0, 1], "both old generations to be told to leave")
        ask(address, workers)
        assert workers.requests == {0: 0, 1: 0, 2: CLIENTS}


def test_who_is_staged_for_the_next_switch_is_given_nothing_by_this_one() -> None:
    with not_started(3) as (reactors, workers, address):
        reactors.slot_up(0, 1, "asgi")
        reactors.slot_stage(1, 1, "asgi")
        reactors.switch("asgi")
        reactors.slot_stage(2, 1, "asgi")
        reactors.start()
        wait_until(lambda: workers.stopped() == [0], "the old generation to be told to leave")
        ask(address, workers)
        assert workers.requests == {0: 0, 1: CLIENTS, 2: 0}


def test_a_worker_that_becomes_ready_during_a_switch_is_one_of_the_new() -> None:
    with not_started(3) as (reactors, workers, address):
        reactors.slot_up(0, 1, "asgi")
        reactors.slot_stage(1, 1, "asgi")
        reactors.switch("asgi")
        reactors.slot_up(2, 1, "asgi")
        reactors.start()
        wait_until(lambda: workers.stopped() == [0], "the old generation to be told to leave")
        ask(address, workers)
        assert workers.requests[0] == 0
        assert min(workers.requests[1], workers.requests[2]) > 0
