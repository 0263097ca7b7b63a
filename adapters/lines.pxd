cdef bytes octets(object value)
cdef bytes hint_lines(object links)
cdef bytes trailer_lines(object fields)
