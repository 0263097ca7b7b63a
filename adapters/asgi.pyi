from asyncio import AbstractEventLoop
from typing import Any

from swhttp.adapters.compression import Compression
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
        root_path: str = "",
        compression: Compression | None = None,
    ) -> None: ...
