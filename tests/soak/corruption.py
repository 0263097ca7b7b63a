"""A worker spoils what it may write, at random: what becomes of everybody else's requests?

    python -m tests.soak.corruption --seconds 300 [--seed N]

One server with two workers. Again and again one of them spoils a part of its shared memory (tests/apps/hostile.py), and
then either blocks, or goes on serving with what is left. It fails, with exit status 1, unless

- while it blocks, every GET is answered 200 and byte for byte, those too that had been queued for it;
- while it goes on, a request that the other one has begun is finished by that;
- the reactor does not spin; the culprit is replaced, or was unhurt and is killed in the end; and the new worker
  serves by every way there is;
- the server is as it was at first: no block, file or fd more.

A case follows from its seed alone, which the failure tells. `tests/test_corruption.py` runs one of each kind, `make
soak` five minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from urllib.parse import quote

from tests.apps.bodies import content
from tests.support import processes
from tests.support.client import Connection
from tests.support.fleet import Start, starting
from tests.support.server import Server
from tests.support.survivors import Bystander, both_serve

PARTS = ("sleeping word", "descriptors", "frames", "ring indices", "request table", "returned blocks", "blocks",
         "the reactor's sleeping word", "scoreboard")
HOWS = ("bits", "bytes", "words", "zeros", "ones")
SIZES = (1, 100, 10_000, 100_000, 1_000_000)
CLIENTS, ROUNDS = 4, 3
POKES, POKE_S = 6, 0.3
QUIET_S = 0.25
MOST_TURNS_S = 4000  # of a reactor, with nothing to do but its ticks; one that spins makes hundreds of thousands


@dataclass(frozen=True)
class Case:
    """What one worker does."""

    seed: int
    part: str
    how: str
    count: int
    blocks: bool

    @staticmethod
    def of(seed: int, part: str | None = None) -> Case:
        """The case of a seed; `part`: of that part."""
        rng = random.Random(seed)
        chosen = rng.choice(PARTS)
        return Case(seed, part or chosen, rng.choice(HOWS), rng.choice((1, 3, 20, 1000)), rng.random() < 0.5)

    def target(self, gate: str = "") -> str:
        """The request that has it done. `gate`: which is told when it is."""
        plan: list[list[object]] = [["scribble", self.seed, self.part, self.how, self.count]]
        plan += [["tell", gate], ["block"]] if self.blocks else [["answer"]]
        return "/hostile?plan=" + quote(json.dumps(plan))


def start(server: Start) -> Server:
    """Two workers and one reactor, of which nothing that workers log is an alarm."""
    site = server("hostile:asgi", "--workers", "2", "--reactors", "1")
    site.expect_log("")
    return site


def run(site: Server, case: Case, watches: bool = False) -> bool:
    """Whether the culprit was found out. Raises AssertionError, which tells the case. `watches`: that nothing spins."""
    site.expect_log("")
    try:
        return _blocked(site, case, watches) if case.blocks else _serving(site, case)
    except (AssertionError, OSError, ValueError) as error:
        raise AssertionError(f"{case}: {type(error).__name__}: {error}\n{site.log.text()[-2000:]}") from error


def _blocked(site: Server, case: Case, watches: bool) -> bool:
    before = set(site.workers())
    with site.gate() as gate, site.connect() as own:
        own.send_request("POST", case.target(gate.path))
        culprit = gate.entered().pid
        clients = [site.connect() for _ in range(CLIENTS)]
        for _ in range(ROUNDS):
            _ask_all(clients)
        if watches:
            _does_not_spin(site)
        was_found = _end(site, culprit)
    [new] = site.wait_for_workers(1, other_than=before)
    both_serve(site, new)
    return was_found


def _end(site: Server, culprit: int) -> bool:
    """Kill it, if it has not been. Returns whether it had."""
    was_found = culprit not in site.workers()
    with contextlib.suppress(ProcessLookupError):
        site.kill(signal.SIGKILL, culprit)
    return was_found


def _does_not_spin(site: Server) -> None:
    before = site.counters().reactors[0]["turns"]
    time.sleep(QUIET_S)
    turns = site.counters().reactors[0]["turns"] - before
    assert turns < MOST_TURNS_S * QUIET_S, f"{turns} turns in {QUIET_S} s"


def _ask_all(clients: list[Connection]) -> None:
    asked = []
    for nth, client in enumerate(clients):
        size = SIZES[nth % len(SIZES)]
        client.send_request(target=f"/big?seed={nth}&size={size}")
        asked.append((client, nth, size))
    for client, nth, size in asked:
        answer = client.response()
        assert (answer.status, answer.body == content(nth, size)) == (200, True), (answer.status, answer.body[:100])


def _serving(site: Server, case: Case) -> bool:
    bystander = Bystander(site)
    with site.connect() as own:
        own.send_request("POST", case.target())
        own.wait_readable(POKE_S)
        pokes = [site.connect() for _ in range(POKES)]
        for nth, client in enumerate(pokes):
            client.send_request(target=f"/big?seed=1&size={SIZES[nth % len(SIZES)]}")
        until = time.monotonic() + POKE_S
        for client in pokes:  # whatever they are answered: the culprit may have them
            client.wait_readable(max(0.0, until - time.monotonic()))
        for client in pokes:
            client.close()
        was_found = _end(site, bystander.victim)
    bystander.end()
    return was_found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first case; the next has the next")
    options = parser.parse_args()
    processes.become_subreaper()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    found: Counter[str] = Counter()
    cases: Counter[str] = Counter()
    with starting() as server:
        site = start(server)
        until_s = time.monotonic() + options.seconds
        while time.monotonic() < until_s:
            case = Case.of(seed)
            cases[case.part] += 1
            found[case.part] += run(site, case, watches=True)
            site.settle()
            seed += 1
    for part in PARTS:
        print(f"{part}: {cases[part]} times spoilt, {found[part]} times found out")
    print(f"{sum(cases.values())} cases, the last of seed {seed - 1}: nobody else has noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
