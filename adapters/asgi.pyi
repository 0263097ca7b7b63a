from asyncio import AbstractEventLoop
from typing import Any

from swhttp.adapters.outlet import Outlet

class AsgiAdapter:
    active: int
    def __init__(
        self,
        outlet: Outlet,
        app: Any,
        loop: AbstractEventLoop,
        state: dict[str, Any],
        binds: tuple[str, ...],
        reactors: int,
    ) -> None: ...
