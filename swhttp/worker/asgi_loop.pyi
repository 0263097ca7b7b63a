from collections.abc import Callable
from typing import Any

from swhttp.worker.context import WorkerContext
from swhttp.worker.hookcalls import HookCalls

def serve(
    context: WorkerContext, app: Any, ready: Callable[[], None], stopping: Callable[[], None], hooks: HookCalls,
) -> None: ...
