from typing import Final, NamedTuple

from swhttp.ipc.memory import SharedMemory

PACKAGE: Final[int]
CLOSE: Final[int]
BUFFER_EMPTY: Final[int]
STOP: Final[int]
START: Final[int]
CHUNK: Final[int]
END: Final[int]
BUFFER_FULL: Final[int]
SMALL: Final[int]
SHM: Final[int]
TMPFILE: Final[int]
CREDIT: Final[int]
MORE_BODY: Final[int]
BODY_FILE: Final[int]
EXPECTS: Final[int]
TRAILERS: Final[int]
INTERIM: Final[int]
HEAD: Final[int]
LAST: Final[int]
ABORT: Final[int]
CLOSE_CONNECTION: Final[int]
HAS_DATE: Final[int]
HAS_SERVER: Final[int]
NO_LENGTH: Final[int]
FREE: Final[int]
QUEUED: Final[int]
TAKEN: Final[int]
REVOKED: Final[int]
DESCRIPTOR_BYTES: Final[int]
FRAME_BYTES: Final[int]

class BrokenRing(Exception): ...

class Descriptor(NamedTuple):
    request_id: int
    block: int
    type: int

class Frame(NamedTuple):
    request_id: int
    status: int
    flags: int
    content_length: int
    head: bytes
    body: bytes
    type: int = ...

class RingEnd:
    memory: SharedMemory
    slot: int
    reactor: int
    data_offset: int
    words_offset: int
    def __init__(self, memory: SharedMemory, slot: int = 0, reactor: int = 0, *, responses: bool = False) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def max_frame(self) -> int: ...
    @property
    def state(self) -> dict[str, int]: ...

class Producer(RingEnd):
    def put(self, frame: bytes) -> bool: ...
    @property
    def unread(self) -> int: ...
    def want_space(self) -> None: ...

class Consumer(RingEnd):
    @property
    def has_more(self) -> bool: ...
    def peek(self) -> tuple[int, int] | None: ...
    def take(self, length: int) -> bytes | None: ...
    def release(self) -> bool: ...

class DescriptorWriter(Producer):
    def post(self, request_id: int, block: int = 0, type: int = ..., *, fd: int | None = None) -> bool: ...

class DescriptorReader(Consumer):
    def pop(self) -> Descriptor | None: ...

class FrameWriter(Producer):
    def __init__(self, memory: SharedMemory, slot: int = 0, reactor: int = 0) -> None: ...
    def write(
        self,
        request_id: int,
        *,
        status: int = 200,
        flags: int = ...,
        content_length: int = ...,
        head: bytes = b"",
        body: bytes = b"",
    ) -> bool: ...

class FrameReader(Consumer):
    def __init__(self, memory: SharedMemory, slot: int = 0, reactor: int = 0) -> None: ...
    keeps_blocks: bool
    passed: int
    def read(self) -> Frame | None: ...
    def give_back(self) -> int: ...
    def close(self) -> None: ...

class Sleeper:
    memory: SharedMemory
    fd: int
    def __init__(self, memory: SharedMemory, *, slot: int | None = None, reactor: int | None = None) -> None: ...
    @property
    def value(self) -> int: ...
    def begin(self, *, tick: bool = False) -> None: ...
    def end(self) -> None: ...
    def claim(self, *, quiet: bool = False) -> bool: ...
    def wake(self, *, quiet: bool = False) -> bool: ...
    def drain(self) -> None: ...

class RequestTable:
    memory: SharedMemory
    reactor: int
    def __init__(self, memory: SharedMemory, reactor: int = 0) -> None: ...
    def queue(self, request_id: int) -> None: ...
    def revoke(self, request_id: int) -> bool: ...
    def state(self, request_id: int) -> int: ...
    def free(self, request_id: int) -> None: ...
    def ack(self, request_id: int, acked: int, *, closed: bool = False) -> bool: ...
    def set_full(self, request_id: int, full: bool) -> bool: ...
    def take(self, request_id: int) -> bool: ...
    def want_ack(self, request_id: int) -> None: ...
    def acked(self, request_id: int) -> int: ...
    def closed(self, request_id: int) -> bool: ...

def request_id(serial: int, index: int) -> int: ...
def index_of(request_id: int) -> int: ...
def write_block(
    memory: SharedMemory,
    reactor: int,
    block: int,
    *,
    method: bytes = b"GET",
    target: bytes = b"/",
    headers: tuple[tuple[bytes, bytes], ...] | list[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    http_minor: int = 1,
    flags: int = 0,
    session: int = 0,
    session_generation: int = 0,
    ready_ns: int = 0,
) -> int: ...
def write_chunk(memory: SharedMemory, reactor: int, block: int, body: bytes) -> None: ...
def read_block(memory: SharedMemory, reactor: int, block: int) -> dict[str, object]: ...
