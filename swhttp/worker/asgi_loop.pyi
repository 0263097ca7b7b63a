from collections.abc import Callable

from swhttp.adapters.compression import Compression
from swhttp.worker.context import Loaded, WorkerContext
from swhttp.worker.hookcalls import HookCalls

def serve(
    context: WorkerContext, loaded: Loaded, ready: Callable[[], None], stopping: Callable[[], None], hooks: HookCalls,
    compression: Compression | None,
) -> None: ...
