from collections.abc import Callable
from typing import Any

from swhttp.adapters.compression import Compression
from swhttp.worker.context import WorkerContext
from swhttp.worker.hookcalls import HookCalls

def serve(
    context: WorkerContext, app: Any, ready: Callable[[], None], stopping: Callable[[], None], hooks: HookCalls,
    compression: Compression | None,
) -> None: ...
