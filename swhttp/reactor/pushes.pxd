from swhttp.ipc.frame cimport sw_frame
from swhttp.reactor.state cimport State


ctypedef bint (*Verb)(State *s, int slot, const sw_frame *frame, const unsigned char *head,
                      const unsigned char *body) noexcept nogil  # wspush_verb

cdef int pushes_receive(State *s, int fd, Verb verb) noexcept nogil
