from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "swhttp/ipc/ring.h" nogil:
    enum:
        SW_AWAKE
        SW_ASLEEP
        SW_ASLEEP_WITH_TICK
    ctypedef struct sw_ring:
        pass
    ctypedef struct sw_sleeping:
        pass
    ctypedef struct sw_ring_end:
        uint64_t size
        uint64_t own
        uint64_t peer
    void sw_ring_attach(sw_ring_end *end, void *ring, void *data, uint64_t size)
    void sw_ring_reset(void *memory)
    uint64_t sw_ring_max_frame(uint64_t size)
    unsigned char *sw_ring_reserve(sw_ring_end *end, uint64_t length)
    bint sw_ring_has_room(sw_ring_end *end, uint64_t length)
    void sw_ring_publish(sw_ring_end *end, uint64_t length)
    void sw_ring_want_space(sw_ring_end *end)
    bint sw_ring_head_is(sw_ring_end *end, uint64_t head)
    bint sw_ring_tail_is(sw_ring_end *end, uint64_t tail)
    uint64_t sw_ring_unread(sw_ring_end *end)
    bint sw_ring_has_more(sw_ring_end *end)
    int64_t sw_ring_peek(sw_ring_end *end, unsigned char **at)
    void sw_ring_advance(sw_ring_end *end, uint64_t length)
    bint sw_ring_release(sw_ring_end *end)
    void sw_sleep_say(sw_sleeping *word, uint32_t how)
    void sw_sleep_fence()
    void sw_sleep_begin(sw_sleeping *word, uint32_t how)
    void sw_sleep_end(sw_sleeping *word)
    bint sw_wake_claim(sw_sleeping *word, bint quiet)
    void sw_eventfd_write(int fd)
    void sw_eventfd_drain(int fd)
