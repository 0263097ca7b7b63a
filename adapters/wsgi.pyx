"""WSGI (PEP 3333): environ, start_response, and the walk over what the app returns.

It owns the exchanges of one worker. It runs the app on the thread that calls `run`, and blocks that thread (through
its outlet, without the GIL) when a client is slow. It never touches a ring except through its outlet.

Where PEP 3333 leaves a choice: a body is whole before the app is called, so `wsgi.input_terminated` is true and
CONTENT_LENGTH is always right when there is a body; fields of one name are joined by ',' (cookies by '; ');
what `wsgi.file_wrapper` wraps is sent by the reactor when it is a regular file (files.py), and read here otherwise.
"""

import io
import logging
import os
import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_SetItem
from cpython.list cimport PyList_CheckExact
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact

from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from swhttp.adapters.cache cimport CacheRow
from swhttp.adapters.compression cimport Compression
from swhttp.adapters.exchange cimport WAIT_NONE, WAIT_SPACE, Exchange
from swhttp.adapters.fields cimport WsgiFields
from swhttp.adapters.input cimport EmptyInput
from swhttp.adapters.outlet cimport Outlet
from swhttp.adapters.peers cimport PeerRow, Peers
from swhttp.adapters.sharing cimport SW_KEPT_REFERENCES, sw_references, sw_unshared
from swhttp.adapters.targets cimport WsgiTargets
from swhttp.ipc.frame cimport (SW_BLOCK_BODY_FILE, SW_BLOCK_ORIGIN, SW_BLOCK_TLS, SW_BLOCK_TLS_FACTS, sw_block,
                               sw_descriptor)
from swhttp.ipc.request_table cimport sw_request_want_ack
from swhttp.ipc.scoreboard cimport SLOT_APP_ERRORS

from swhttp.adapters import tls
from swhttp.adapters.errors import InvalidResponse
from swhttp.adapters.files import FileWrapper, part_of

cdef extern from "Python.h":
    int PyUnicode_KIND(object text)
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    enum:
        PyUnicode_1BYTE_KIND

cdef enum:
    MAX_SPARE = 64  # exchanges kept for the next request

cdef object logger = logging.getLogger("swhttp.worker")
cdef object new_input = io.BytesIO
cdef object read_tls = tls.environ
cdef dict METHODS = {method.encode(): method for method in
                     ("HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")}
cdef str REQUEST_METHOD = "REQUEST_METHOD"
cdef str PATH_INFO = "PATH_INFO"
cdef str QUERY_STRING = "QUERY_STRING"
cdef str RAW_URI = "RAW_URI"
cdef str REQUEST_URI = "REQUEST_URI"
cdef str REMOTE_ADDR = "REMOTE_ADDR"
cdef str REMOTE_PORT = "REMOTE_PORT"
cdef str SERVER_NAME = "SERVER_NAME"
cdef str SERVER_PORT = "SERVER_PORT"


cdef const unsigned char *_octets(object text, Py_ssize_t *length) except NULL:
    """The octets of a "native string" (a str, or of a subclass of it) whose code points are octets."""
    if PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND:
        raise InvalidResponse(f"{text!r:.100} is not Latin-1")
    length[0] = PyUnicode_GET_LENGTH(text)
    return <const unsigned char *>PyUnicode_DATA(text)


cdef class WsgiAdapter:
    """Runs requests.

    outlet: where frames go; app: the WSGI callable; binds: texts of the listeners; multithread: does the worker
    have several threads; software: for SERVER_SOFTWARE; spool_dir, spool_max_bytes: where, and how far, a response may
    be ahead of a slow client, 0: not in files; root_path: below which the app lives; compression: what is compressed,
    None: nothing is.
    """

    def __init__(self, Outlet outlet, app, tuple binds, bint multithread, str software, str spool_dir,
                 uint64_t spool_max_bytes, str root_path="", Compression compression=None):
        self.outlet = outlet
        self.app = app
        self.fields = WsgiFields()
        self.peers = Peers(outlet, binds)
        self.origins = WsgiOrigins()
        self.targets = WsgiTargets(root_path)
        self.spare = []
        self.spool_dir = spool_dir
        self.spool_max_bytes = spool_max_bytes
        self.compression = compression
        # Its copies get HTTP_ variables added. A dict grows at the 22nd key, and copies as it is: with more keys
        # than that here, no copy has to grow for the usual request.
        self.template = {
            REQUEST_METHOD: "GET", "SCRIPT_NAME": root_path.encode().decode("latin-1"), PATH_INFO: "/",
            QUERY_STRING: "", RAW_URI: "/", REQUEST_URI: "/", "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": software, SERVER_NAME: "localhost", SERVER_PORT: "80", REMOTE_ADDR: "", REMOTE_PORT: "",
            "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": EmptyInput(),
            "wsgi.input_terminated": True, "wsgi.errors": sys.stderr, "wsgi.multithread": multithread,
            "wsgi.multiprocess": True, "wsgi.run_once": False, "wsgi.file_wrapper": FileWrapper,
        }
        self.template["swhttp.room"] = None
        del self.template["swhttp.room"]

    cdef int run(self, int reactor, const sw_descriptor *descriptor) except -1:
        """Run the app on a request that has just been taken, to the final frame and close().

        The app's exceptions end here, SystemExit too: one request must not take the worker from the others.
        """
        cdef WsgiExchange exchange
        if self.spare:
            exchange = <WsgiExchange>self.spare.pop()
        else:
            exchange = WsgiExchange(self.outlet, self.spool_dir, self.spool_max_bytes, self.compression)
        exchange.open(reactor, descriptor)
        try:
            try:
                if exchange.block.flags & SW_BLOCK_BODY_FILE:
                    self._respond_to_file(exchange)
                else:
                    self._respond(exchange, self._environ(reactor, exchange.block))
            except BaseException as error:
                self.outlet.line[SLOT_APP_ERRORS] += 1
                logger.error("exception in the WSGI app", exc_info=error)
        finally:  # a filter of the log's may be the app's, and fail as well
            if not exchange.complete:
                exchange.settle()
        if exchange.spool is not None:
            exchange.spool = None
        if exchange.packer is not None:
            exchange.unpack()
        if (sw_references(<PyObject *>exchange) == SW_KEPT_REFERENCES and len(self.spare) < MAX_SPARE
                and sw_unshared(<PyObject *>exchange.start_method) and sw_unshared(<PyObject *>exchange.write_method)):
            self.spare.append(exchange)
        else:
            exchange.start_method = exchange.write_method = None
        return 0

    cdef int _respond_to_file(self, WsgiExchange exchange) except -1:
        """The request's body came in a file."""
        cdef int fd = self.outlet.body_file(exchange.reactor, exchange.request_id)
        cdef dict environ
        if fd < 0:
            logger.error("reason=body-file-lost: a request body came in a file, and no fd was free for it")
            return 0
        with io.open(fd, "rb") as body:
            body.seek(0)
            environ = self._environ(exchange.reactor, exchange.block)
            environ["wsgi.input"] = body
            environ["CONTENT_LENGTH"] = str(os.fstat(fd).st_size)
            return self._respond(exchange, environ)

    cdef int _respond(self, WsgiExchange exchange, dict environ) except -1:
        cdef object result = self.app(environ, exchange.start_method)
        cdef object close
        if PyList_CheckExact(result) or PyTuple_CheckExact(result):
            return exchange.answer(result)
        try:
            if type(result) is FileWrapper:
                exchange.answer_file(result)
            else:
                exchange.answer(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        return 0

    cdef dict _environ(self, int reactor, const sw_block *block):
        cdef const unsigned char *base = <const unsigned char *>block
        cdef dict environ = PyDict_Copy(self.template)
        cdef CacheRow *target
        cdef PeerRow *peer
        if block.method_len != 3 or memcmp(base + sizeof(sw_block), b"GET", 3) != 0:
            method = base[sizeof(sw_block):sizeof(sw_block) + block.method_len]
            environ[REQUEST_METHOD] = METHODS.get(method) or method.decode("latin-1")
        if block.http_minor == 0:
            environ["SERVER_PROTOCOL"] = "HTTP/1.0"
        if block.flags & SW_BLOCK_TLS:
            environ["wsgi.url_scheme"] = "https"
            environ["HTTPS"] = "on"
        if block.flags & SW_BLOCK_TLS_FACTS:
            environ.update(self.peers.tls(reactor, block, read_tls))
        target = self.targets.read(block)
        if target != NULL:  # else "/", as in the template
            PyDict_SetItem(environ, PATH_INFO, <object>target.first)
            PyDict_SetItem(environ, QUERY_STRING, <object>target.second)
            PyDict_SetItem(environ, RAW_URI, <object>target.third)
            PyDict_SetItem(environ, REQUEST_URI, <object>target.third)
        peer = self.peers.find(reactor, block.session, block.session_generation)
        if peer.client_host != NULL:
            PyDict_SetItem(environ, REMOTE_ADDR, <object>peer.client_host)
            PyDict_SetItem(environ, REMOTE_PORT, <object>peer.client_port)
        if peer.server_host != NULL:
            PyDict_SetItem(environ, SERVER_NAME, <object>peer.server_host)
            PyDict_SetItem(environ, SERVER_PORT, <object>peer.server_port)
        if block.flags & SW_BLOCK_ORIGIN:
            self._set_origin(block, environ)
        self.fields.read(base + block.headers_off, block.headers_count, environ)
        if block.body_len:
            environ["wsgi.input"] = new_input(
                PyBytes_FromStringAndSize(<const char *>base + block.body_off, block.body_len))
            environ["CONTENT_LENGTH"] = str(block.body_len)
        return environ

    cdef int _set_origin(self, const sw_block *block, dict environ) except -1:
        """A proxy has said who is at the ends."""
        cdef CacheRow *row = self.origins.read(block)
        cdef object client = <object>row.first, server = <object>row.second
        if client is not None:
            environ[REMOTE_ADDR], environ[REMOTE_PORT] = client
        if server is not None:
            environ[SERVER_NAME], environ[SERVER_PORT] = server
        return 0


cdef class WsgiExchange(Exchange):
    """One request: the two callables that the app gets, and the body on its way out."""

    def __cinit__(self, Outlet outlet, str spool_dir, uint64_t spool_max_bytes, Compression compression):
        self.compression = compression
        self.spool_dir = spool_dir
        self.spool_max_bytes = spool_max_bytes
        self.start_method = self.start_response
        self.write_method = self.write

    def start_response(self, status, headers, exc_info=None):
        """PEP 3333: take status and headers, again only with `exc_info`; the write() callable is the answer.

        Raises InvalidResponse for what cannot go on the wire, the exception of `exc_info` when the head is out.
        """
        cdef const unsigned char *name
        cdef const unsigned char *value
        cdef Py_ssize_t name_len, value_len
        cdef object pair
        if exc_info is not None:
            try:
                if self.opened:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.started:
            raise RuntimeError("start_response was called twice without exc_info")
        self.started = False
        if self.weighed:  # the head that was, which never went out
            self.weighed = self.coded = False
            if self.packer is not None:
                self.unpack()
        if not isinstance(status, str):
            raise InvalidResponse(f"status {status!r:.100} is not a string")
        name = _octets(status, &name_len)
        self.head.begin_text(name, name_len)
        for pair in headers:
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise InvalidResponse(f"header {pair!r:.100} is not a pair")
            raw_name, raw_value = pair
            if not isinstance(raw_name, str) or not isinstance(raw_value, str):
                raise InvalidResponse(f"header {pair!r:.100} is not a pair of strings")
            name = _octets(raw_name, &name_len)
            value = _octets(raw_value, &value_len)
            self.head.add(name, name_len, value, value_len)
        self.started = True
        return self.write_method

    def write(self, data):
        """PEP 3333's write(): send body bytes at once."""
        if not isinstance(data, bytes):
            raise TypeError(f"write() takes bytes, not {data!r:.100}")
        self.out(data, False)

    cdef int answer(self, object result) except -1:
        """Send what the app returned."""
        cdef object item
        if PyList_CheckExact(result) or PyTuple_CheckExact(result):
            if len(result) == 1 and isinstance(result[0], bytes):
                return self.out(result[0], True)
            if len(result) == 0:
                return self.out(b"", True)
        for item in result:
            if not isinstance(item, bytes):
                raise TypeError(f"the app's iterable gave {item!r:.100}, not bytes")
            if item:
                self.out(item, False)
                if self.gone:
                    return 0
        return self.out(b"", True)

    cdef int out(self, object data, bint last) except -1:
        """Publish `data`, which are bytes or of a subclass, and wait as long as it takes. Dropped without a client."""
        cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t rest = PyBytes_GET_SIZE(data), done
        if not self.started:
            raise RuntimeError("the app sent its body before it called start_response")
        done = self.push(at, rest, last)
        if self.blocked == WAIT_NONE:
            return 0
        return self._go_on(at + done, rest - done, last)

    cdef int _go_on(self, const unsigned char *at, Py_ssize_t rest, bint last) except -1:
        cdef Py_ssize_t done = 0
        self.outlet.watch(self.reactor, self.request_id)
        try:
            while True:
                at += done
                rest -= done
                if self.blocked == WAIT_SPACE:
                    self.outlet.want_space(self.reactor)
                else:
                    sw_request_want_ack(self.request)
                done = self.push(at, rest, last)
                if self.blocked == WAIT_NONE:
                    return 0
                if done == 0:
                    self.outlet.wait(self.reactor, self.request_id, self.need if self.blocked == WAIT_SPACE else 0)
        finally:
            self.outlet.unwatch(self.reactor, self.request_id)

    cdef int answer_file(self, object wrapper) except -1:
        """Send what a FileWrapper wraps: the file itself, if that can be done."""
        part = part_of(wrapper.filelike)
        if part is None or self.packer is not None:
            return self.answer(wrapper)
        if not self.started:
            raise RuntimeError("the app sent its body before it called start_response")
        try:
            return self.out_file(part[0], part[1], part[2])
        except OSError as error:
            logger.warning("reason=file-not-passed: %s", error)
        return self.answer(wrapper)

    cdef int out_file(self, int fd, uint64_t offset, uint64_t length) except -1:
        """Publish a part of a file, the rest of the response, and wait as long as it takes."""
        if self.push_file(fd, offset, length, True):
            return 0
        self.outlet.watch(self.reactor, self.request_id)
        try:
            while True:
                self.outlet.want_space(self.reactor)
                if self.push_file(fd, offset, length, True):
                    return 0
                self.outlet.wait(self.reactor, self.request_id, self.need)
        finally:
            self.outlet.unwatch(self.reactor, self.request_id)

    cdef int settle(self) except -1:
        """See that the final frame goes out: the app is through."""
        if self.fail():
            return 0
        self.outlet.watch(self.reactor, self.request_id)
        try:
            while True:
                self.outlet.want_space(self.reactor)
                if self.fail():
                    return 0
                self.outlet.wait(self.reactor, self.request_id, self.need)
        finally:
            self.outlet.unwatch(self.reactor, self.request_id)
