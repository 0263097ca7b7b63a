cdef bytes octets(object value)
cdef bytes hint_lines(object links)
cdef bytes accept_lines(object subprotocol, object fields)
cdef bytes trailer_lines(object fields)
