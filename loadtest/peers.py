"""How each server is run: one worker, its best known settings for these loads; no access log, unless its name says so.

The table `PEERS` is the whole truth about a comparison, with `embed.py` for the two servers that are libraries.
Rules for a setting here: its makers document it for production, it is the fastest we found for the server that
it belongs to, and it costs no correctness.
Common to all: 1 worker, keep-alive 75 s (so that no idle connection ends during a run), backlog 4096,
warnings and errors only in the log, `Date` and `Server` headers as the server does by default.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtest import wsload
from loadtest.scenario import CALLBACKS, WEBSOCKET_FLOOR

KEEP_ALIVE_S = 75
BACKLOG = 4096
MAX_CONNECTIONS = 16_384
UWSGI_THREADS = 512


@dataclass(frozen=True)
class Start:
    """What a server is started with. scratch: a directory of its own, deleted afterwards.

    file: what is to be answered with, in scenarios about files: by the app, or, if `static`, by the server without it.
    post: what is POSTed, in scenarios that do.
    certificate: it and its key, in scenarios over TLS.
    websockets: whether the connections are WebSockets. handler: import string of swhttp's callbacks for them.
    """

    app: str
    interface: str
    port: int
    scratch: Path
    file: Path | None = None
    post: Path | None = None
    static: bool = False
    certificate: tuple[Path, Path] | None = None
    websockets: bool = False
    handler: str = ""

    @property
    def bind(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def tls(self, certfile: str = "--ssl-certfile") -> list[str]:
        """The options for TLS, if it is spoken. certfile: how the server calls the first."""
        if self.certificate is None:
            return []
        return [certfile, str(self.certificate[0]), "--ssl-keyfile", str(self.certificate[1])]


@dataclass(frozen=True)
class Peer:
    """A server. package: the distribution that `importlib.metadata` knows its version by ("" if none).
    coroutines: whether an open WebSocket has one of the app."""

    name: str
    package: str
    command: Callable[[Start], list[str]]
    coroutines: bool = True


def tool(name: str) -> str:
    """Return the path of a console script of this interpreter's environment."""
    return str(Path(sys.executable).parent / name)


def swhttp(start: Start) -> list[str]:
    """The server under test, with its defaults; with WebSockets, as many at once as the others take."""
    line = [sys.executable, "-m", "swhttp", start.app, "-w", "1", "--bind", start.bind]
    line += ["--interface", start.interface, "--keep-alive", str(KEEP_ALIVE_S), *start.tls()]
    if start.static and start.file:
        line += ["--static", f"/={start.file.parent}", "--static-index", start.file.name]
    if start.websockets:
        line += ["--worker-concurrency", str(MAX_CONNECTIONS)]
    return [*line, "--log-level", "warning"]


def swhttp_access_log(start: Start) -> list[str]:
    """The same, with its access log on, to a file."""
    return [*swhttp(start), "--access-log", str(start.scratch / "access.log")]


def swhttp_callbacks(start: Start) -> list[str]:
    """The same, its WebSockets served by callbacks instead of the app."""
    return [*swhttp(start), "--ws-handler", start.handler]


def uvicorn(websockets: str) -> Callable[[Start], list[str]]:
    """httptools and uvloop; proxy headers off, and WebSocket where there is none, for neither is used and the first
    costs. websockets: the implementation. `websockets-sansio` is what uvicorn takes by itself with `websockets`
    installed; its older one on that library is deprecated, and cost more."""

    def command(start: Start) -> list[str]:
        line = [sys.executable, "-m", "uvicorn", start.app, "--host", "127.0.0.1", "--port", str(start.port)]
        line += ["--workers", "1", "--http", "httptools", "--loop", "uvloop", "--ws", websockets]
        line += ["--no-proxy-headers", "--no-access-log", "--log-level", "warning", "--interface"]
        line += ["asgi3", "--backlog", str(BACKLOG), "--timeout-keep-alive", str(KEEP_ALIVE_S)]
        return [*line, *start.tls()]

    return command


def granian(start: Start) -> list[str]:
    """uvloop, HTTP/1 only, one runtime thread, WebSocket only where there are any; backpressure lifted to take every
    connection.

    Not used: `--task-impl rust` and `--http1-pipeline-flush`, experimental by its makers' word (each saved it
    some 5 % of CPU); `--runtime-mode mt`, the same within noise with one runtime thread.
    """
    line = [tool("granian"), "--interface", start.interface, "--host", "127.0.0.1", "--port", str(start.port)]
    line += ["--workers", "1", "--loop", "uvloop", "--http", "1"]
    line += ["--ws" if start.websockets else "--no-ws", "--runtime-mode", "st"]
    line += ["--backlog", str(BACKLOG), "--backpressure", str(MAX_CONNECTIONS), *start.tls("--ssl-certificate")]
    if start.interface == "wsgi":
        line += ["--blocking-threads", "1"]
    if start.static and start.file:
        line += ["--static-path-route", "/", "--static-path-mount", str(start.file.parent)]
        line += ["--static-path-dir-to-file", start.file.name]
    return [*line, "--no-access-log", "--log-level", "warning", start.app]


def gunicorn(worker_class: str, *more: str) -> Callable[[Start], list[str]]:
    """gunicorn with a worker class; the heartbeat file in memory, as its FAQ advises."""

    def command(start: Start) -> list[str]:
        line = [tool("gunicorn"), start.app, "--bind", start.bind, "--workers", "1", "-k", worker_class, *more]
        line += ["--keep-alive", str(KEEP_ALIVE_S), "--backlog", str(BACKLOG), "--no-control-socket"]
        line += ["--worker-connections", str(MAX_CONNECTIONS), "--worker-tmp-dir", "/dev/shm"]
        return [*line, "--log-level", "warning"]

    return command


def gunicorn_asgi(start: Start) -> list[str]:
    """uvloop; asyncio's own loop where bodies are POSTed.

    On uvloop gunicorn 27.0.1 with its C parser closes kept-alive connections now and then when bodies are 64 KiB
    long. asyncio's loop with the C parser does not, nor does uvloop with the Python parser, which cost more CPU.
    """
    return gunicorn("asgi", "--asgi-loop", "asyncio" if start.post else "uvloop")(start)


def hypercorn(start: Start) -> list[str]:
    """uvloop."""
    line = [tool("hypercorn"), start.app, "--bind", start.bind, "--workers", "1", "-k", "uvloop"]
    line += ["--keep-alive", str(KEEP_ALIVE_S), "--backlog", str(BACKLOG)]
    return [*line, "--log-level", "warning"]


def embedded(name: str) -> Callable[[Start], list[str]]:
    """A server that is a library: started by `loadtest.embed`."""

    def command(start: Start) -> list[str]:
        return [sys.executable, "-m", "loadtest.embed", name, start.app, str(start.port), str(BACKLOG)]

    return command


def uwsgi(start: Start) -> list[str]:
    """HTTP/1.1 keep-alive spoken by the worker itself.

    A thread stays with its connection for as long as that lives. With fewer threads than connections the
    rest would get no answer at all and the others fine figures, so there is a thread for each of wrk's
    connections.
    """
    line = [tool("uwsgi"), "--http11-socket", start.bind, "--module", start.app, "--need-app", "--master"]
    line += ["--processes", "1", "--threads", str(UWSGI_THREADS), "--single-interpreter"]
    return [*line, "--disable-logging", "--listen", str(BACKLOG), "--die-on-term"]


NGINX_CONF = """\
daemon off;
master_process on;
worker_processes 1;
worker_rlimit_nofile {files};
pid {scratch}/pid;
error_log stderr warn;
{user}
events {{
    worker_connections {connections};
    multi_accept on;
}}
http {{
    access_log off;
    default_type text/plain;
    keepalive_timeout {keep_alive};
    keepalive_requests 1000000000;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog={backlog};
        location / {{ {answer} }}
    }}
}}
"""


def nginx(start: Start) -> list[str]:
    """`return 200`, or sendfile: no app at all, the floor of what answering costs."""
    answer = 'return 200 "Hello, World!";'
    if start.file:
        answer = f"root {start.file.parent}; rewrite ^ /{start.file.name} break;"
        if start.static:  # 100 KiB took a third less of its CPU in packets as they come
            answer += " tcp_nopush off;"
    conf = start.scratch / "nginx.conf"
    conf.write_text(
        NGINX_CONF.format(
            files=MAX_CONNECTIONS + 512,
            connections=MAX_CONNECTIONS,
            scratch=start.scratch,
            answer=answer,
            user="user root;" if os.geteuid() == 0 else "",
            keep_alive=KEEP_ALIVE_S,
            port=start.port,
            backlog=BACKLOG,
        )
    )
    return ["nginx", "-e", "stderr", "-p", str(start.scratch), "-c", str(conf)]


def wsfloor(start: Start) -> list[str]:
    """A thread of C without any app: the floor of what messages cost here."""
    return [str(wsload.program(wsload.FLOOR)), "broadcast" if "broadcast" in start.app else "echo", str(start.port)]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("swhttp", "swhttp", swhttp),
        Peer("swhttp-access-log", "swhttp", swhttp_access_log),
        Peer(CALLBACKS, "swhttp", swhttp_callbacks, coroutines=False),
        Peer("uvicorn", "uvicorn", uvicorn("none")),
        Peer("uvicorn-websockets", "uvicorn", uvicorn("websockets-sansio")),
        Peer("uvicorn-wsproto", "uvicorn", uvicorn("wsproto")),
        Peer("granian", "granian", granian),
        Peer("gunicorn-sync", "gunicorn", gunicorn("sync")),
        Peer("gunicorn-gthread", "gunicorn", gunicorn("gthread", "--threads", "4")),
        Peer("gunicorn-asgi", "gunicorn", gunicorn_asgi),
        Peer("hypercorn", "hypercorn", hypercorn),
        Peer("bjoern", "bjoern", embedded("bjoern")),
        Peer("fastpysgi", "fastpysgi", embedded("fastpysgi")),
        Peer("uwsgi", "uWSGI", uwsgi),
        Peer("nginx", "", nginx),
        Peer(*WEBSOCKET_FLOOR, "", wsfloor, coroutines=False),
    )
}
