"""The ASGI connection scope of a request, or of a WebSocket (ASGI specification, "HTTP & WebSocket").

It owns what scopes are made of and what is remembered from one to the next. Each request gets dictionaries of its own,
which an app may change. The small ones in it are used again, when nobody but we holds them any more and they are as
they were: to copy them took more time than to fill in all the rest.
"""

from cpython.dict cimport PyDict_Copy, PyDict_Next, PyDict_SetItem, PyDict_Size
from cpython.ref cimport PyObject

from libc.string cimport memcmp

from swhttp.adapters.cache cimport CacheRow
from swhttp.adapters.outlet cimport Outlet
from swhttp.adapters.peers cimport PeerRow
from swhttp.adapters.sharing cimport sw_references
from swhttp.ipc.frame cimport SW_BLOCK_ORIGIN, SW_BLOCK_TLS, SW_BLOCK_TLS_FACTS, sw_ws_session_id

from swhttp.adapters import tls

cdef str GET = "GET"
cdef dict METHODS = {method.encode(): method for method in
                     ("HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")}
cdef str HTTP_1_0 = "1.0"
cdef str ASGI = "asgi"
cdef dict VERSIONS = {"version": "3.0", "spec_version": "2.5"}
# The inner dicts are everybody's: a fresh copy of each for each request would cost more than all else in its scope.
cdef dict EXTENSIONS_1_1 = {"http.response.trailers": {}, "http.response.early_hint": {}, "http.response.pathsend": {}}
cdef dict EXTENSIONS_1_0 = {"http.response.pathsend": {}}
cdef dict EXTENSIONS_SOCKET = {"websocket.http.response": {}}
cdef str METHOD = "method"
cdef str PATH = "path"
cdef str RAW_PATH = "raw_path"
cdef str QUERY_STRING = "query_string"
cdef str HEADERS = "headers"
cdef str CLIENT = "client"
cdef str SERVER = "server"
cdef str STATE = "state"
cdef str EXTENSIONS = "extensions"
cdef object read_tls = tls.asgi


cdef bint _is_ours(PyObject *part, dict model) noexcept:
    """Has no app kept this dictionary, or changed it? (`is` is enough: we put those very objects in, in that order.)"""
    cdef Py_ssize_t at = 0, model_at = 0
    cdef PyObject *key
    cdef PyObject *value
    cdef PyObject *model_key
    cdef PyObject *model_value
    if part == <PyObject *>None or sw_references(part) != 1 or PyDict_Size(<object>part) != PyDict_Size(model):
        return False
    while PyDict_Next(<object>part, &at, &key, &value):
        if not PyDict_Next(model, &model_at, &model_key, &model_value) or key != model_key or value != model_value:
            return False
    return True


cdef class ScopeParts:
    """The inner dictionaries of a scope, kept for the next one."""


cdef class Scopes:
    """Makes scopes. outlet: where addresses are read; state: of the lifespan, copied for each request; binds: texts of
    the listeners; root_path: below which the app lives, or empty."""

    def __init__(self, Outlet outlet, dict state, tuple binds, str root_path=""):
        self.state = state
        self.fields = AsgiFields()
        self.socket_parts = ScopeParts()
        self.peers = Peers(outlet, binds)
        self.origins = AsgiOrigins()
        self.targets = AsgiTargets(root_path)
        # Every key that a scope has, so that filling it in never makes the copy grow.
        self.template = {
            "type": "http", ASGI: None, "http_version": "1.1", METHOD: GET, "scheme": "http",
            PATH: root_path + "/", RAW_PATH: self.targets.raw_root + b"/", QUERY_STRING: b"", "root_path": root_path,
            HEADERS: None, CLIENT: None, SERVER: None,
            STATE: None, EXTENSIONS: None,
        }

    cdef dict make(self, ScopeParts parts, int reactor, const sw_block *block):
        """The scope of the request in `block`, out of `parts` if they are free."""
        cdef const unsigned char *base = <const unsigned char *>block
        cdef CacheRow *target
        cdef CacheRow *origin
        cdef PeerRow *peer
        cdef dict scope = PyDict_Copy(self.template)
        if block.method_len != 3 or memcmp(base + sizeof(sw_block), b"GET", 3) != 0:
            method = base[sizeof(sw_block):sizeof(sw_block) + block.method_len]
            scope[METHOD] = METHODS.get(method) or method.decode("latin-1")
        if block.http_minor == 0:
            scope["http_version"] = HTTP_1_0
            PyDict_SetItem(scope, EXTENSIONS, PyDict_Copy(EXTENSIONS_1_0))
        else:
            if not _is_ours(<PyObject *>parts.extensions, EXTENSIONS_1_1):
                parts.extensions = PyDict_Copy(EXTENSIONS_1_1)
            PyDict_SetItem(scope, EXTENSIONS, parts.extensions)
        if block.flags & SW_BLOCK_TLS:
            scope["scheme"] = "https"
        if block.flags & SW_BLOCK_TLS_FACTS:
            extensions = PyDict_Copy(scope[EXTENSIONS])
            extensions["tls"] = PyDict_Copy(self.peers.tls(reactor, block, read_tls))
            PyDict_SetItem(scope, EXTENSIONS, extensions)
        target = self.targets.read(block)
        if target != NULL:  # else "/", as in the template
            PyDict_SetItem(scope, PATH, <object>target.first)
            PyDict_SetItem(scope, RAW_PATH, <object>target.second)
            PyDict_SetItem(scope, QUERY_STRING, <object>target.third)
        PyDict_SetItem(scope, HEADERS, self.fields.read(base + block.headers_off, block.headers_count))
        peer = self.peers.find(reactor, block.session, block.session_generation)
        PyDict_SetItem(scope, CLIENT, <object>peer.client)
        PyDict_SetItem(scope, SERVER, <object>peer.server)
        if block.flags & SW_BLOCK_ORIGIN:
            origin = self.origins.read(block)
            if <object>origin.first is not None:
                PyDict_SetItem(scope, CLIENT, <object>origin.first)
            if <object>origin.second is not None:
                PyDict_SetItem(scope, SERVER, <object>origin.second)
        if not _is_ours(<PyObject *>parts.versions, VERSIONS):
            parts.versions = PyDict_Copy(VERSIONS)
        PyDict_SetItem(scope, ASGI, parts.versions)
        if not _is_ours(<PyObject *>parts.state, self.state):
            parts.state = PyDict_Copy(self.state)
        PyDict_SetItem(scope, STATE, parts.state)
        return scope

    cdef dict make_socket(self, int reactor, const sw_block *block):
        """The scope of the WebSocket whose handshake is in `block`. It lives as long as that, so the dictionaries that
        no app changes are everybody's: copies would be a third of what the server has of an idle WebSocket."""
        cdef dict scope = self.make(self.socket_parts, reactor, block)
        cdef dict extensions = EXTENSIONS_SOCKET
        if "tls" in scope[EXTENSIONS]:
            extensions = PyDict_Copy(EXTENSIONS_SOCKET)
            extensions["tls"] = scope[EXTENSIONS]["tls"]
        self.socket_parts.versions = self.socket_parts.extensions = self.socket_parts.state = None
        scope[ASGI] = VERSIONS
        del scope[METHOD]
        scope["swhttp.session"] = sw_ws_session_id(reactor, block.session, block.session_generation)
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if block.flags & SW_BLOCK_TLS else "ws"
        scope["subprotocols"] = offered_subprotocols(scope[HEADERS])
        scope[EXTENSIONS] = extensions
        return scope


cdef list offered_subprotocols(list headers):
    """What the client offers, as it prefers them (RFC 6455 §11.3.4)."""
    found = []
    for name, value in headers:
        if name == b"sec-websocket-protocol":
            found += [one.strip() for one in value.decode("latin-1").split(",")]
    return [one for one in found if one]
