from swhttp.adapters.outlet import Outlet
from swhttp.ipc.memory import SharedMemory

class Channel(Outlet):
    reactors: int
    stops: int
    eventfd: int
    def __init__(self, memory: SharedMemory, slot: int) -> None: ...
