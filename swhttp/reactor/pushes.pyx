"""What user processes push: packets from the socket that they share, as many in a turn as others can wait for.

It owns how packets are read (pushes.h) and what is believed of them. It never acts on one: to `verb`, a frame from here
is like one from a worker, but that nobody ends the process that sends nonsense. Runs without the GIL.
"""

from swhttp.ipc.frame cimport EVENT_WS_SESSION, sw_frame

from swhttp import limits

cdef extern from "swhttp/reactor/pushes.h" nogil:
    enum:
        SW_PUSH_PACKET_BYTES
        SW_PUSH_MOST_BYTES
    ctypedef struct sw_push:
        sw_frame frame
        const unsigned char *head
        const unsigned char *body
    int sw_push_receive(int fd, sw_push *push)
    void sw_push_end(sw_push *push)

cdef enum:
    PER_TURN = 64

assert PER_TURN == limits.PUSHES_PER_TURN
assert (SW_PUSH_PACKET_BYTES, SW_PUSH_MOST_BYTES) == (limits.PUSH_PACKET_BYTES, limits.WS_PUSH_BYTES)


cdef int pushes_receive(State *s, int fd, Verb verb) noexcept nogil:
    """Read what there is, at most PER_TURN packets. 0: all was read; 1: there may be more; -1: the socket has ended,
    and is to be watched no more."""
    cdef sw_push push
    cdef int _nth, result
    for _nth in range(PER_TURN):
        result = sw_push_receive(fd, &push)
        if result == -2:
            return -1
        if result == -1:
            return 0
        if result == 1:
            push.frame.type = EVENT_WS_SESSION  # the body is here, wherever it came
            verb(s, -1, &push.frame, push.head, push.body)
            sw_push_end(&push)
    return 1
