from swhttp.reactor.http1 cimport Http1
from swhttp.reactor.parser cimport Http1Parser
from swhttp.reactor.state cimport Conn


cdef int upgrade(Http1 http1, Conn *c, Http1Parser parser)
