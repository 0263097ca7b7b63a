cdef extern from "swhttp/ipc/rfc6455.h" nogil:
    enum:
        SW_WS_CONTINUATION
        SW_WS_TEXT
        SW_WS_BINARY
        SW_WS_CLOSE
        SW_WS_PING
        SW_WS_PONG
        SW_CLOSE_NORMAL
        SW_CLOSE_GOING_AWAY
        SW_CLOSE_PROTOCOL_ERROR
        SW_CLOSE_NO_CODE
        SW_CLOSE_ABNORMAL
        SW_CLOSE_BAD_DATA
        SW_CLOSE_POLICY_VIOLATION
        SW_CLOSE_TOO_BIG
        SW_CLOSE_INTERNAL_ERROR
        SW_CLOSE_SERVICE_RESTART
        SW_CLOSE_TRY_AGAIN_LATER
        SW_WS_CONTROL_BYTES
        SW_WS_REASON_BYTES
        SW_WS_HEADER_BYTES
    bint sw_close_code_is_sendable(int code)
