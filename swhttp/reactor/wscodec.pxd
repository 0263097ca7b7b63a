from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from swhttp.ipc.rfc6455 cimport SW_WS_CONTROL_BYTES

cdef enum:
    WS_NEED = 0  # all input is consumed
    WS_DATA = 1  # a piece of a message
    WS_PING = 2
    WS_PONG = 3
    WS_CLOSED = 4  # the peer's close frame; nothing after it counts
    WS_BAD = 5  # the connection is to be failed; nothing after it counts

cdef struct WsLimits:
    uint64_t max_message_bytes  # of a message's payload, all its frames together
    uint32_t max_fragments  # frames of a message
    bint deflate  # permessage-deflate was negotiated

# The state of one stream; all zero: its beginning. `ws_decoder_free` is due at its end.
cdef struct WsDecoder:
    unsigned char *control  # what has come of the payload of a control frame that the input has cut, unmasked; or NULL
    uint64_t message_bytes  # announced so far by the frames of the message under way
    uint64_t left  # payload bytes of the frame under way that have not come
    uint32_t key  # of the frame under way, as on the wire
    uint32_t fragments  # of the message under way
    uint16_t empty  # of these, without a byte, one after another, up to now
    uint8_t stage  # what comes next: see wscodec.pyx
    uint8_t opcode  # of the message under way; 0: there is none
    uint8_t frame  # first byte of the header of the frame under way
    uint8_t phase  # payload bytes of the frame under way that have come, modulo 4
    uint8_t compressed  # the message under way is
    uint8_t begun  # a piece of the message under way has been given out
    uint8_t header_length  # bytes in `header`
    uint8_t control_length  # payload bytes of the control frame under way that have come
    uint8_t header[14]  # of the frame under way, until it is whole

cdef struct WsPiece:
    int kind
    const unsigned char *data  # WS_DATA: bytes of the message, still masked, where they lie in the input
    size_t length  # 0: of an empty message, or the last of one whose last frame is empty
    uint32_t key  # for sw_ws_unmask
    uint32_t phase
    uint8_t opcode  # WS_DATA: of the message
    bint first  # the first piece of the message
    bint last  # the last one
    bint compressed  # the message is
    unsigned char control[SW_WS_CONTROL_BYTES]  # WS_PING, WS_PONG, WS_CLOSED: payload
    uint32_t control_length  # a close's: 0, or with its code two bytes and more
    uint16_t code  # WS_CLOSED: the peer's, 1005: none; WS_BAD: to close with
    const char *why  # WS_BAD


cdef size_t ws_decode(WsDecoder *d, const WsLimits *limits, const unsigned char *data, size_t length,
                      WsPiece *piece) noexcept nogil
cdef void ws_decoder_free(WsDecoder *d) noexcept nogil
cdef int ws_header(unsigned char *to, uint8_t opcode, bint fin, bint compressed, uint64_t length) noexcept nogil
