"""When a worker has served long enough: pure, from what is counted, measured and timed elsewhere.

Recycling hides what an application leaks; it is off by default. A worker that is worn goes on serving until its
replacement can (`swhttp.supervision`), so these bounds are soft.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Wear:
    """The bounds, each 0 for none. `max_requests`: requests done; `jitter`: up to how many more, at random for each
    worker, None: half of them; `max_memory_mib`: MiB of memory of its own; `max_lifetime_s`: age."""

    max_requests: int
    jitter: int | None
    max_memory_mib: int
    max_lifetime_s: float

    @property
    def matters(self) -> bool:
        """Whether there is any bound."""
        return bool(self.max_requests or self.max_memory_mib or self.max_lifetime_s)

    def requests_for(self, slot: int, generation: int, seed: int) -> int:
        """How many requests this worker may do, 0: any number. The same whenever it is asked. `seed`: the server's."""
        if not self.max_requests:
            return 0
        jitter = self.max_requests // 2 if self.jitter is None else self.jitter
        chance = Random(f"{seed} {slot} {generation}")
        return self.max_requests + (chance.randint(1, jitter) if jitter else 0)

    def why(self, done: int, requests: int, memory_bytes: int, age_s: float) -> str:
        """Why the worker is worn, for the log; "" if it is not. `requests`: as `requests_for` says."""
        if requests and done >= requests:
            return f"after {done} requests"
        if self.max_memory_mib and memory_bytes >= self.max_memory_mib << 20:
            return f"at {memory_bytes >> 20} MiB"
        if self.max_lifetime_s and age_s >= self.max_lifetime_s:
            return f"after {age_s:.0f} s"
        return ""
