from asyncio import AbstractEventLoop
from contextvars import Context

from swhttp.adapters.asgi import AsgiAdapter

class Runners:
    loop: AbstractEventLoop
    context: Context
    made: int
    def __init__(self, adapter: AsgiAdapter, loop: AbstractEventLoop) -> None: ...

class Runner:
    coroutine: object
