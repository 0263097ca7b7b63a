"""`wsgi.input` of a request without a body.

It owns nothing and has no state, so one object serves all requests of a worker. Bodies are in an io.BytesIO.
"""


cdef class EmptyInput:
    """A binary file, readable, seekable, at its end (PEP 3333: read, readline, readlines, iteration)."""

    closed = False

    def read(self, size=None):
        """Nothing."""
        return b""

    def read1(self, size=None):
        """Nothing."""
        return b""

    def readline(self, size=None):
        """Nothing."""
        return b""

    def readlines(self, hint=None):
        """No lines."""
        return []

    def readinto(self, buffer):
        """0 bytes."""
        return 0

    def readable(self):
        return True

    def writable(self):
        return False

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        """There is one place to be."""
        return 0

    def tell(self):
        return 0

    def close(self):
        """It is shared: stays as it is."""

    def flush(self):
        """Nothing to flush."""

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration
