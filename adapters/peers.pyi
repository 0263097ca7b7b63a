from swhttp.adapters.outlet import Outlet

class Peers:
    def __init__(self, outlet: Outlet, binds: tuple[str, ...]) -> None: ...
