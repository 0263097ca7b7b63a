from collections.abc import Sequence
from typing import Any

from swhttp.reactor.trusted import Trusted

def read(fields: Sequence[tuple[bytes, bytes]], trusted: Trusted, mode: str = "auto") -> dict[str, Any]: ...
