from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

from swhttp.adapters.outlet import Outlet

class Pusher:
    reactors: int
    def __init__(self, outlet: Outlet, reactors: int) -> None: ...

class BlockingPusher(Pusher):
    def send(
        self, reactor: int, flags: int, status: int, target: int, head: bytes, body: bytes, waits: int, /,
    ) -> None: ...
    async def asend(self, *frame: Any) -> None: ...

class LoopPusher(Pusher):
    waiting: int
    drain: Callable[[], None]
    def __init__(self, outlet: Outlet, reactors: int, loop: AbstractEventLoop) -> None: ...
    def send(
        self, reactor: int, flags: int, status: int, target: int, head: bytes, body: bytes, waits: int, /,
    ) -> None: ...
    async def asend(self, *frame: Any) -> None: ...
