from swhttp.compressing import Compressing

class Compression:
    active: int
    most: int
    def __init__(self, settings: Compressing, most: int = ...) -> None: ...
