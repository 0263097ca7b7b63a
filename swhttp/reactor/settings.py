"""What a reactor needs to know of the configuration: one immutable value."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from swhttp import limits
from swhttp.networks import Network

DISPATCH_MODES = ("least", "round-robin", "fixed", "ip", "idle")
"""The values of --dispatch, in the order of the constants in state.pxd."""
FORWARDED_HEADERS = ("auto", "x-forwarded", "forwarded")
"""The values of --forwarded-headers, in the order of the constants in forwarded.pxd."""
PROXY_PROTOCOLS = ("off", "v1", "v2", "auto")
"""The values of --proxy-protocol, in the order of the constants in proxyprotocol.pxd."""


@dataclass(frozen=True)
class ReactorSettings:
    """`threads`: of each WSGI worker; `keep_alive_s`: how long an idle connection stays open after a response;
    `replay`: safe or never; `max_body_bytes`: 0 for no limit; `inline_body_bytes`: what an ASGI app gets whole;
    `server_header`: empty for no Server field; `extra_fields`: whole field lines, for every response; `trusted`: the
    networks of the proxies that are believed; `slow_after_s`: past it a request is reported, 0: none is;
    `request_timeout_s`: past it one is answered by us, 0: none is; `secure`: which listeners speak TLS, by their place
    among them; `ws`: whether WebSockets are served; `ws_handler`: they are events for workers, not an ASGI app's;
    `ws_ping_interval_s` and `ws_ping_timeout_s`: 0 for none."""

    dispatch: str = "least"
    threads: int = 1
    keep_alive_s: float = 5.0
    worker_concurrency: int = limits.WORKER_CONCURRENCY
    queue_size: int = limits.QUEUE_SIZE
    queue_timeout_s: float = limits.QUEUE_TIMEOUT_S
    replay: str = "safe"
    server_header: bytes = b"swhttp"
    date_header: bool = True
    extra_fields: bytes = b""
    head_timeout_s: float = limits.HEAD_TIMEOUT_S
    body_timeout_s: float = limits.BODY_TIMEOUT_S
    write_timeout_s: float = limits.WRITE_TIMEOUT_S
    max_line_bytes: int = limits.MAX_REQUEST_LINE_BYTES
    max_field_bytes: int = limits.MAX_FIELD_BYTES
    max_fields: int = limits.MAX_FIELDS
    max_body_bytes: int = limits.MAX_BODY_BYTES
    inline_body_bytes: int = limits.INLINE_BODY_BYTES
    tmp_dir: str = tempfile.gettempdir()
    trusted: tuple[Network, ...] = ()
    forwarded_headers: str = "auto"
    proxy_protocol: str = "off"
    slow_after_s: float = 0.0
    request_timeout_s: float = 0.0
    secure: tuple[int, ...] = ()
    handshake_timeout_s: float = limits.HANDSHAKE_TIMEOUT_S
    ws: bool = True
    ws_handler: bool = False
    ws_max_bytes: int = limits.WS_MAX_BYTES
    ws_max_queue: int = limits.WS_MAX_QUEUE
    ws_ping_interval_s: float = limits.WS_PING_INTERVAL_S
    ws_ping_timeout_s: float = limits.WS_PING_TIMEOUT_S
    ws_deflate: bool = True
    websocket_drain_s: float = limits.WEBSOCKET_DRAIN_S
