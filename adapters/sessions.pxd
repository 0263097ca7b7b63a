from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from swhttp.adapters.asgi cimport AsgiExchange
from swhttp.adapters.fields cimport AsgiFields
from swhttp.adapters.origins cimport AsgiOrigins
from swhttp.adapters.outlet cimport Outlet
from swhttp.adapters.peers cimport Peers
from swhttp.adapters.pusher cimport Pusher
from swhttp.adapters.targets cimport AsgiTargets
from swhttp.adapters.socketadapter cimport SocketAdapter
from swhttp.ipc.frame cimport sw_block, sw_descriptor


cdef class Sessions:
    cdef Outlet outlet
    cdef Pusher pusher
    cdef readonly object handler
    cdef Peers peers
    cdef AsgiOrigins origins
    cdef AsgiTargets targets
    cdef AsgiFields fields
    cdef Event event(self, int reactor, const sw_descriptor *descriptor)
    cdef int run(self, int reactor, const sw_descriptor *descriptor) except -1
    cdef int _describe(self, Session session, int reactor, const sw_block *block) except -1


cdef class SessionExchange(AsgiExchange):
    cdef Event event


cdef class SessionAdapter(SocketAdapter):
    cdef public Sessions sessions


cdef class Event:
    cdef Sessions sessions
    cdef int reactor
    cdef uint64_t request_id
    cdef readonly int kind       # EVENT_WS_OPEN, EVENT_WS_MESSAGE, EVENT_WS_CLOSE
    cdef readonly int code       # EVENT_WS_CLOSE: why it has ended
    cdef readonly Session session
    cdef uint64_t sequence       # of the message that its handler has, or will have next
    cdef const unsigned char *at   # the next record
    cdef const unsigned char *stop
    cdef bint accepted           # OPEN: the handshake is answered
    cdef readonly bint over      # the last frame is on its way
    cdef int _put(self, uint8_t type, uint8_t flags, uint16_t status, int64_t length, bytes head, bytes body) except -1
    cdef int _refuse(self, int status) except -1
    cdef int _done(self, uint8_t flags, bint last) except -1
    cdef int accept(self, bytes lines) except -1


cdef class Session:
    cdef readonly object id
    cdef readonly str path
    cdef readonly str query_string
    cdef readonly object client
    cdef readonly object headers
    cdef readonly object subprotocols
    cdef readonly object sequence
    cdef readonly bint redelivered
    cdef Event event             # None: it is over
    cdef bytes memory            # the state
    cdef bint remembers          # it was set since the last frame that has it
    cdef bint ended              # the handler has closed it
    cdef int denied              # on_open: a status, 0: it is not
    cdef str policy
    cdef int _speak(self) except -1
