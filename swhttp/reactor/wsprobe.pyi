from typing import Final, NamedTuple

from swhttp.reactor.wsdeflate import Deflation

UTF8_WHOLE: Final[int]
UTF8_BAD: Final[int]
INFLATE_STEP_BYTES: Final[int]
STATE_BYTES: Final[int]
SOCKET_BYTES: Final[int]
CONNECTION_BYTES: Final[int]

class Data(NamedTuple):
    opcode: int
    data: bytes
    first: bool
    last: bool

class Ping(NamedTuple):
    data: bytes

class Pong(NamedTuple):
    data: bytes

class Close(NamedTuple):
    code: int
    reason: bytes

class Bad(NamedTuple):
    code: int
    why: str

Event = Data | Ping | Pong | Close | Bad

class Decoder:
    def __init__(self, *, max_message_bytes: int = ..., max_fragments: int = ...,
                 deflation: Deflation | None = ...) -> None: ...
    def feed(self, data: bytes) -> list[Event]: ...

def header(opcode: int, length: int, *, fin: bool = ..., compressed: bool = ...) -> bytes: ...
def close_code_is_sendable(code: int) -> bool: ...
def unmask(data: bytes, key: bytes, phase: int = ..., *, offset: int = ..., in_place: bool = ...) -> bytes: ...
def utf8(state: int, data: bytes) -> int: ...
def deflate(deflation: Deflation, data: bytes, *, last: bool = ...) -> bytes: ...
def inflate(deflation: Deflation, data: bytes, *, last: bool = ..., most: int = ...) -> tuple[bytes | None, bool]: ...
def deflate_shared(data: bytes, bits: int = ...) -> bytes: ...
def rest(deflation: Deflation) -> None: ...
def forget_deflate(deflation: Deflation) -> None: ...
