"""A server in the place of another, from its first worker until the other's files are its own (`swhttp.takeover`).

It owns the order of a takeover and its deadlines. It decides and asks; sockets and files are `swhttp.belongings`', and
without a predecessor nothing here ever happens.

    BOOTING   the old server serves, and nobody else. It goes on alone if an heir's workers do not come up: after
              TAKEOVER_BOOTS times --boot-timeout in which there was not one READY more than ever before
              (and if it has gone meanwhile, the heir serves with what it has)
    all READY the old one is told. If it has given the heir up meanwhile, the heir ends. If it says nothing, it is gone
              or hangs: then the heir serves, for somebody has to
    CLAIMING  pid file and control socket become ours, each for itself: what is not free yet is tried again for a while
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from swhttp import limits
from swhttp.belongings import Belongings
from swhttp.errors import ExitCode, ServerError
from swhttp.logs import log

GIVEN_UP: Final = "Not all workers get READY: the old server goes on"


class Heir:
    """`has`: what is there and what becomes ours; `boot_timeout_s`: of a worker; `hear`: there is a control socket now;
    `serve`: look whether there are workers enough; `give_up`: end this server, with a reason and an exit code."""

    def __init__(
        self, has: Belongings, boot_timeout_s: float, hear: Callable[[], None],
        serve: Callable[[], None], give_up: Callable[[str, ExitCode], None],
    ) -> None:
        self._has = has
        self._serve = serve
        self.is_alone = False
        """The old server has gone before all workers were READY: any number of them is enough."""
        self._patience_s = limits.TAKEOVER_BOOTS * boot_timeout_s
        self._hear = hear
        self._give_up = give_up
        self._most = 0
        self._tries = 0
        self._deadline_s = time.monotonic() + self._patience_s if self.waits else math.inf

    @property
    def waits(self) -> bool:
        """The old server serves, and this one does not yet."""
        return self._has.predecessor is not None

    def next_tick_s(self) -> float:
        """When `tick` has something to do next."""
        return self._deadline_s

    def tick(self) -> None:
        """Time has passed."""
        if time.monotonic() < self._deadline_s:
            return
        if self._has.predecessor is not None:
            self._deadline_s = math.inf
            if self._has.predecessor.is_gone():
                log.warning("The old server is gone: pid %d", self._has.predecessor.pid)
                self.is_alone = True
                self._serve()
            else:
                self._give_up(GIVEN_UP, ExitCode.APP)
        else:
            self._claim()

    def stop(self) -> None:
        """This server ends, whatever has become of the old one."""
        self._deadline_s = math.inf

    def booted(self, ready: int) -> None:
        """There is one worker more; `ready` in all."""
        if self.waits and ready > self._most:
            self._most = ready
            self._deadline_s = time.monotonic() + self._patience_s

    def take_over(self) -> bool:
        """All workers are READY: the old server may go, and its files are ours. False: this server is not to be."""
        predecessor = self._has.predecessor
        if predecessor is None:
            return True
        try:
            if not predecessor.release():
                log.warning("The old server does not say that it goes: pid %d", predecessor.pid)
        except ServerError as error:
            self._deadline_s = math.inf
            self._give_up(str(error), error.exit_code)
            return False
        self._has.take_over()
        self._tries = limits.CLAIM_TRIES
        self._claim()
        log.info("Took over from pid %d", predecessor.pid)
        return True

    def _claim(self) -> None:
        heard = self._has.control is not None
        why = self._has.claim_again()
        if self._has.control is not None and not heard:
            self._hear()
        self._tries -= 1
        self._deadline_s = time.monotonic() + limits.CLAIM_AGAIN_S if why and self._tries > 0 else math.inf
        if why and self._tries == 0:  # we serve nevertheless
            log.error("%s", why)
        elif why and self._tries == limits.CLAIM_TRIES - 1:
            log.warning("%s; trying again", why)
