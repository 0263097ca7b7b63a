from libc.stdint cimport uint32_t, uint64_t


cdef extern from "swhttp/ipc/request_table.h" nogil:
    enum:
        SW_REQUEST_FREE
        SW_REQUEST_QUEUED
        SW_REQUEST_TAKEN
        SW_REQUEST_REVOKED
        SW_REQUEST_MAX_ENTRIES
    ctypedef struct sw_request_entry:
        pass
    uint64_t sw_request_id(uint64_t serial, uint32_t index)
    uint32_t sw_request_index(uint64_t request_id)
    void sw_request_queue(sw_request_entry *entry, uint64_t request_id)
    bint sw_request_revoke(sw_request_entry *entry, uint64_t request_id)
    uint32_t sw_request_state(sw_request_entry *entry, uint64_t request_id)
    bint sw_request_is_sound(sw_request_entry *entry, uint64_t request_id)
    void sw_request_free(sw_request_entry *entry)
    bint sw_request_ack(sw_request_entry *entry, uint64_t acked, bint closed)
    bint sw_request_take(sw_request_entry *entry, uint64_t request_id)
    bint sw_request_closed(sw_request_entry *entry)
    uint64_t sw_request_acked(sw_request_entry *entry)
    void sw_request_want_ack(sw_request_entry *entry)
    bint sw_request_set_full(sw_request_entry *entry, uint32_t full)
    bint sw_request_is_full(sw_request_entry *entry)
    uint32_t sw_request_read(sw_request_entry *entry)
    void sw_request_set_read(sw_request_entry *entry, uint32_t read)
