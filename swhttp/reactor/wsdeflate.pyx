"""Messages of WebSockets, compressed: permessage-deflate (RFC 7692), by Python's own zlib.

It owns the two contexts of one connection: what has been sent and received before, to which deflate refers. Both are
made when they are first needed. A compressed message is a raw deflate stream, ended by a sync flush whose last four
bytes, TAIL, are left out on the wire.

It must never inflate more than it is asked to: `inflate` gives out at most `most` bytes a call, and the caller adds up
and stops where a message has grown too large. It knows nothing of frames. Everything here needs the GIL.

A context may be let go of whenever the other side will not notice: that of what we send always, between two messages,
for what comes next then only refers to itself; that of what we receive only if the client has promised to refer to
nothing (client_no_context_takeover).

How hard to try was measured (zlib 1.2.13; chat messages of some 150 bytes as JSON, and JSON of 64 KiB), with a context
that is kept: share of the bytes that is left, CPU a message, memory of the context:

    level  window  memLevel    chat          64 KiB          memory
      1      12       5        0.40, 5 us    0.38,  710 us    32 KiB
      3      12       5        0.38, 5 us    0.36,  810 us    32 KiB      what is kept
      3      12       8        0.38, 5 us    0.36,  830 us   144 KiB
      3      15       5        0.31, 5 us    0.33,  950 us   144 KiB      what is not
      6      12       5        0.37, 8 us    0.34, 1470 us    32 KiB
      6      15       8        0.29, 7 us    0.30, 1910 us   256 KiB      zlib's own choice

A sender may use a smaller window than was agreed upon, so a context that stays with its connection has one of 4 KiB at
most. One that is for a single message has what that message needs: where it is short, making it costs less, too.
"""

import zlib

from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory

from swhttp import limits as bounds

cdef object compressobj = zlib.compressobj
cdef object decompressobj = zlib.decompressobj
cdef object ZlibError = zlib.error
cdef int RAW = zlib.DEFLATED
cdef int SYNC = zlib.Z_SYNC_FLUSH
cdef bytes TAIL = b"\x00\x00\xff\xff"
cdef bytes EMPTY_MESSAGE = b"\x00"  # RFC 7692 §7.2.3.6

cdef enum:
    LEVEL = 3
    MEMORY_LEVEL = 5
    KEPT_BITS = 12
    # zlib's matcher looks 262 bytes ahead, so that a message must be this much shorter than the window for all of it
    # to be within reach.
    LOOKAHEAD = 262

cdef int max_ends = bounds.MAX_WS_STREAM_ENDS

# Where the message that is being inflated stands.
cdef enum:
    BETWEEN = 0  # there is none
    WITHIN = 1
    TAIL_DUE = 2  # all of its bytes are there, but not its tail
    TAIL_GIVEN = 3


cdef inline bytes _without_tail(bytes packed):
    return packed[:len(packed) - 4]


cdef object _packer(int bits):
    if bits <= 8:
        # zlib has no raw streams with a window of 256 bytes. With 9 bits it refers to what is 250 bytes back at most,
        # which it does not promise, nor do its successors: runs of one byte are within reach for certain.
        return compressobj(LEVEL, RAW, -9, MEMORY_LEVEL, zlib.Z_RLE)
    return compressobj(LEVEL, RAW, -bits, MEMORY_LEVEL)


cdef int _bits_for(size_t n, int bits):
    """The least window, of at most `bits`, in which all of a message of `n` bytes is within reach."""
    while bits > 9 and n + LOOKAHEAD <= <size_t>1 << (bits - 1):
        bits -= 1
    return bits


cdef bytes ws_deflate_shared(const unsigned char *data, size_t n, int bits):
    """A message for many receivers, each of which has agreed to a window of at least `bits`. It refers to nothing
    before it; for what comes after it, see `forget_deflate`."""
    if n == 0:
        return EMPTY_MESSAGE
    packer = _packer(_bits_for(n, bits))
    cdef bytes packed = packer.compress(PyMemoryView_FromMemory(<char *>data, n, PyBUF_READ))
    cdef bytes rest = packer.flush(SYNC)
    return _without_tail(packed + rest if packed else rest)


cdef class Deflation:
    """What was negotiated, with windows of 8 to 15 bits, and the contexts of one connection."""

    def __init__(self, int server_max_window_bits=15, int client_max_window_bits=15,
                 bint server_no_context_takeover=False, bint client_no_context_takeover=False):
        if not 8 <= server_max_window_bits <= 15 or not 8 <= client_max_window_bits <= 15:
            raise ValueError(f"windows of {server_max_window_bits} and {client_max_window_bits} bits")
        self.server_bits, self.client_bits = server_max_window_bits, client_max_window_bits
        self.server_fresh, self.client_fresh = server_no_context_takeover, client_no_context_takeover

    cdef bytes deflate(self, const unsigned char *data, size_t n, bint last):
        """A piece of a message; `last`: the last one. What is to be sent of it now, for one that is not the last
        perhaps nothing."""
        cdef bytes packed = b""
        cdef bytes rest
        if n:
            if self.packer is None:
                self.packer = _packer(_bits_for(n, self.server_bits) if self.server_fresh and last
                                      else min(self.server_bits, <int>KEPT_BITS))
            self.packing = True
            packed = self.packer.compress(PyMemoryView_FromMemory(<char *>data, n, PyBUF_READ))
        if not last:
            return packed
        if not self.packing:
            return EMPTY_MESSAGE
        rest = self.packer.flush(SYNC)
        self.packing = False
        if self.server_fresh:
            self.packer = None
        return _without_tail(packed + rest if packed else rest)

    cdef bytes inflate(self, const unsigned char *data, size_t n, bint last, size_t most, bint *more):
        """At most `most` bytes (1 at least) of a message. `data`: its next bytes as they came; `last`: they are the
        last ones. `more`: call again, with nothing, before anything else comes. None: it is corrupt, and so is whatever
        would come after it."""
        cdef object source = b""
        cdef bytes out = None
        cdef bytes piece
        cdef size_t room = most if most else 1
        if n:
            source = PyMemoryView_FromMemory(<char *>data, n, PyBUF_READ)
        if self.kept is not None:
            source = self.kept + bytes(source) if n else self.kept
        if last and (n or self.kept is None):
            self.stage = TAIL_DUE
        elif self.stage == BETWEEN:
            self.stage = WITHIN
        self.kept, more[0] = None, False
        while True:
            if self.unpacker is None:
                # A larger window than the client's takes its messages as well; zlib is not fond of 8 bits.
                self.unpacker = decompressobj(-max(self.client_bits, 9))
            try:
                piece = self.unpacker.decompress(source, room)
            except ZlibError:
                return None
            out = piece if out is None else out + piece
            room -= <size_t>len(piece)
            if self.unpacker.eof:
                # The client has ended its stream (§7.2.3.5): what follows is another one.
                self.ends += 1
                if self.ends > max_ends:
                    return None
                source, self.unpacker = self.unpacker.unused_data, None
            else:
                source = self.unpacker.unconsumed_tail
            if room == 0:
                # zlib may hold more, even where it has read everything.
                self.kept, more[0] = source, True
                return out
            if source:
                continue
            if self.stage != TAIL_DUE:
                break
            self.stage = TAIL_GIVEN
            if self.unpacker is None:
                break  # there is no block that the tail would end
            source = TAIL
        if self.stage == TAIL_GIVEN:
            self.stage, self.ends = BETWEEN, 0
            if self.client_fresh:
                self.unpacker = None
        return out

    cdef void rest(self) noexcept:
        """Let go of what can be made again: to be called where the connection has been idle for a while."""
        if not self.packing:
            self.packer = None
        if self.client_fresh and self.stage == BETWEEN:
            self.unpacker = None

    cdef void forget_deflate(self) noexcept:
        """The client was sent a message that this context has not seen: begin anew with the next one."""
        self.packer = None
