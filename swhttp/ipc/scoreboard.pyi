SLOT_FIELD_NAMES: tuple[str, ...]
REACTOR_FIELD_NAMES: tuple[str, ...]

def size_bytes(reactors: int, slots: int) -> int: ...

class Scoreboard:
    @property
    def slots(self) -> list[dict[str, int]]: ...
    @property
    def reactors(self) -> list[dict[str, int]]: ...
    def set_slot(
        self,
        index: int,
        *,
        pid: int | None = None,
        generation: int | None = None,
        state: int | None = None,
        clear: bool = False,
    ) -> None: ...
    def keep_slot(self, index: int) -> None: ...

def attach(pid: int) -> Scoreboard: ...
