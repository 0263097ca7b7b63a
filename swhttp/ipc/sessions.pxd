from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "swhttp/ipc/session.h" nogil:
    enum:
        SW_ADDRESS_TEXT
        SW_SESSION_SLOW
        SW_SESSION_BLOCKS
    ctypedef struct sw_address:
        uint16_t listener
        uint16_t peer_port
        uint16_t local_port
        uint8_t peer_len
        uint8_t local_len
        char peer[46]
        char local[46]
    ctypedef struct sw_session:
        sw_address address
    void sw_session_open(sw_session *row, uint64_t generation, const sw_address *address)
    void sw_session_close(sw_session *row, uint64_t generation)
    void sw_session_set_slow(sw_session *row, uint32_t slow)
    uint32_t sw_session_slow(sw_session *row, uint64_t generation)
    bint sw_session_is_open(sw_session *row, uint64_t generation)
    bint sw_session_address(sw_session *row, uint64_t generation, sw_address *address)
