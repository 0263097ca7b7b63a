from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "swhttp/ipc/frame.h" nogil:
    const uint64_t SW_WS_SESSION_NEWS
    enum:
        EVENT_PACKAGE
        EVENT_CLOSE
        EVENT_BUFFER_EMPTY
        EVENT_STOP
        EVENT_PACKAGE_START
        EVENT_PACKAGE_CHUNK
        EVENT_PACKAGE_END
        EVENT_BUFFER_FULL
        EVENT_WS_OPEN
        EVENT_WS_MESSAGE
        EVENT_WS_CLOSE
        RESPONSE_SMALL
        RESPONSE_SHM
        RESPONSE_TMPFILE
        EVENT_CREDIT
        EVENT_WS_MESSAGE_SHM
        EVENT_WS_SESSION
        EVENT_WS_SESSION_SHM
        EVENT_WS_DONE
        EVENT_WS_DONE_SHM
        SW_FRAME_MORE
        SW_FRAME_STATE
        SW_FRAME_BAD
        SW_WS_PUSH
        SW_WS_BROADCAST
        SW_WS_JOIN
        SW_WS_LEAVE
        SW_WS_END
        SW_WS_OVERFLOW
        SW_WS_VERB
        SW_WS_POLICY_SHIFT
        SW_WS_DROP
        SW_WS_CUT
        SW_WS_BLOCK
        SW_WS_MORE
        SW_WS_AGAIN
        SW_DESCRIPTOR_FD
        SW_FRAME_HEAD
        SW_FRAME_LAST
        SW_FRAME_ABORT
        SW_FRAME_CLOSE
        SW_FRAME_HAS_DATE
        SW_FRAME_HAS_SERVER
        SW_FRAME_TRAILERS
        SW_FRAME_INTERIM
        SW_BLOCK_KEEP_ALIVE
        SW_BLOCK_TLS
        SW_BLOCK_HEAD_METHOD
        SW_BLOCK_MORE_BODY
        SW_BLOCK_BODY_FILE
        SW_BLOCK_EXPECTS
        SW_BLOCK_ORIGIN
        SW_BLOCK_TLS_FACTS
        SW_BLOCK_UNIT
        SW_NO_LENGTH
    ctypedef struct sw_descriptor:
        uint64_t request_id
        uint32_t block
        uint16_t type
        uint16_t flags
    ctypedef struct sw_block:
        uint32_t method_len
        uint32_t target_len
        uint32_t path_off
        uint32_t path_len
        uint32_t query_off
        uint32_t query_len
        uint32_t headers_off
        uint32_t headers_len
        uint32_t body_off
        uint32_t body_len
        uint16_t headers_count
        uint8_t http_minor
        uint8_t flags
        uint32_t session
        uint64_t session_generation
        uint64_t ready_ns
    ctypedef struct sw_header:
        uint16_t name_len
        uint16_t value_len
    ctypedef struct sw_origin:
        uint16_t client_port
        uint16_t server_port
        uint16_t client_len
        uint16_t server_len
    ctypedef struct sw_frame:
        uint32_t size
        uint8_t type
        uint8_t flags
        uint16_t status
        uint64_t request_id
        int64_t content_length
        uint32_t head_len
        uint32_t body_len
    ctypedef struct sw_chunk:
        uint32_t length
        uint32_t zero
    ctypedef struct sw_shm_ref:
        uint32_t block
        uint32_t zero
    ctypedef struct sw_file_ref:
        uint64_t offset
        uint64_t length
        uint32_t passed
        uint32_t zero
    const unsigned char *sw_block_tls(const sw_block *block, uint32_t *length)
    const char *sw_block_origin(const sw_block *block, sw_origin *origin)
    uint32_t sw_block_client(const sw_block *block, const char **text, uint16_t *port)
    uint64_t sw_frame_bytes(uint64_t head_len, uint64_t inline_len)
    bint sw_frame_read(sw_frame *frame, const unsigned char *at, uint64_t ready)
    ctypedef struct sw_ws_record:
        uint32_t length
        uint8_t opcode
        uint8_t flags
        uint16_t code
    ctypedef struct sw_ws_event:
        uint64_t session
        uint64_t sequence
        uint32_t state_len
        uint32_t records_len
        uint16_t kind
        uint16_t code
        uint32_t overflow
    uint64_t sw_ws_session_id(uint32_t reactor, uint32_t row, uint64_t generation)
    uint32_t sw_ws_session_reactor(uint64_t id)
    uint32_t sw_ws_session_row(uint64_t id)
    uint64_t sw_ws_session_generation(uint64_t id)
    uint64_t sw_ws_record_bytes(uint64_t length)
    uint32_t sw_ws_event_records(uint32_t state_len)
