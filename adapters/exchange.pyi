from swhttp.adapters.outlet import Outlet

class Exchange:
    def __init__(self, outlet: Outlet) -> None: ...
