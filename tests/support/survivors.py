"""What must be so again when a worker has gone wild or died: the new one serves, by every way there is."""

from __future__ import annotations

from pathlib import Path

from tests.apps.bodies import content
from tests.support.processes import wait_until
from tests.support.server import Server

BIG_BYTES = 100_000


def both_serve(site: Server, new: int) -> None:
    """What needs the ring, the arena and the channel for files; the new worker is among those who answer. The app is
    tests/apps/bodies.py, or has its paths."""
    seen = set()
    for seed in range(50):
        with site.connect() as client:
            seen.add(client.get("/pid").json()["pid"])
            for target, expected in ((f"/big?seed={seed}&size={BIG_BYTES}", content(seed, BIG_BYTES)),
                                     (f"/file?path={__file__}", Path(__file__).read_bytes())):
                assert client.get(target).body == expected
        if new in seen and len(seen) == 2:
            return
    raise AssertionError(f"{seen} answer, {new} is new")


class Bystander:
    """A request that waits in one of two workers while the other one, the `victim`, dies."""

    def __init__(self, site: Server) -> None:
        self.site = site
        self.before = set(site.workers())
        self.gate = site.gate()
        self.client = site.connect()
        self.client.send_request("POST", f"/upload?gate={self.gate.path}", body=b"x")
        self.visitor = self.gate.entered()
        [self.victim] = self.before - {self.visitor.pid}

    def wait_for_death(self) -> None:
        wait_until(lambda: self.victim not in self.site.workers(), "that worker to die")

    def end(self) -> None:
        """It was none of its business."""
        self.visitor.release()
        answer = self.client.response()
        assert (answer.status, answer.json()["pid"]) == (200, self.visitor.pid)
        self.gate.__exit__(None, None, None)
        [new] = self.site.wait_for_workers(1, other_than=self.before)
        both_serve(self.site, new)
