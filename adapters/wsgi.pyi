from typing import Any

from swhttp.adapters.compression import Compression
from swhttp.adapters.outlet import Outlet

class WsgiAdapter:
    def __init__(
        self,
        outlet: Outlet,
        app: Any,
        binds: tuple[str, ...],
        multithread: bool,
        software: str,
        spool_dir: str,
        spool_max_bytes: int,
        root_path: str = "",
        compression: Compression | None = None,
    ) -> None: ...
