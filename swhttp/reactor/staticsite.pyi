class Site:
    address: int
    def __init__(
        self,
        mounts: list[tuple[bytes, int, bool]],
        types: list[tuple[bytes, bytes, bool]],
        other: tuple[bytes, bool],
        index: bytes,
        fields: bytes,
    ) -> None: ...
