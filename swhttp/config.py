"""What the server is told to do: one immutable, validated value, and the one source of all options.

Each field carries its option (flags, help, group), so that an option and what it means cannot drift apart; the command
line, the variables, the keys of files and the reference are made from it. Nothing here touches sockets, processes or
the application, or knows where a value came from. It is long because every option has its place here, and only here.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import math
import os
import re
import tempfile
from dataclasses import dataclass
from typing import Any, Final, cast

from swhttp import (
    accessfile,
    accessformat,
    affinity,
    binds,
    compressing,
    cpus,
    fields,
    limits,
    logs,
    networks,
    privileges,
    reloading,
    statics,
    tlssettings,
)
from swhttp.errors import BadValue
from swhttp.options import Named, Option, meant

DISPATCH_MODES: Final = ("least", "round-robin", "fixed", "ip", "idle")
REPLAYS: Final = ("safe", "never")
FORWARDED_HEADERS: Final = ("auto", "x-forwarded", "forwarded")
PROXY_PROTOCOLS: Final = ("off", "v1", "v2", "auto")
RELOAD_MODES: Final = reloading.MODES
INTERFACES: Final = ("auto", "asgi", "wsgi")
WS: Final = ("auto", "none")
UVICORNS_WS: Final = ("websockets", "websockets-sansio", "wsproto")
"""Values of its --ws that name a library."""
LIFESPANS: Final = ("auto", "on", "off")
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000
WORKERS_PER_REACTOR: Final = 8
MOST: Final = {
    "workers": limits.MAX_WORKERS, "reactors": limits.MAX_REACTORS, "threads": limits.MAX_THREADS,
    "limit_request_line": limits.MAX_HEAD_BYTES, "limit_request_fields": limits.MOST_FIELDS,
    "limit_request_field_size": limits.MAX_HEAD_BYTES, "limit_request_body": limits.MOST_BODY_BYTES,
    "inline_body_bytes": limits.MAX_INLINE_BODY_BYTES, "response_spool_max_bytes": limits.MOST_BODY_BYTES,
    "backlog": limits.MOST_BACKLOG, "worker_concurrency": limits.MOST_WORKER_CONCURRENCY,
    "queue_size": limits.MOST_QUEUE_SIZE, "max_workers": limits.MAX_WORKERS, "max_requests": limits.MOST_REQUESTS,
    "max_worker_memory_mib": limits.MOST_WORKER_MEMORY_MIB, "boot_retries": limits.MOST_BOOT_RETRIES,
    "compress_min_bytes": limits.MOST_COMPRESS_MIN_BYTES,
    "max_connections": limits.MOST_CONNECTIONS,
    "ws_max_size": limits.MOST_WS_BYTES, "ws_max_queue": limits.MOST_WS_QUEUE,
}
"""The highest value of each of these options."""
FILLED_IN: Final = ("workers", "reactors", "max_workers")
"""Counts of which 0 means: not given."""
WAYS_TO_LISTEN: Final = (("bind",), ("host", "port"), ("uds",), ("fd",))
"""Only one of these can be given."""
MAY_BE_ZERO: Final = frozenset({
    "limit_request_body", "inline_body_bytes", "response_spool_max_bytes", "queue_size", "max_requests",
    "max_connections", "max_worker_memory_mib",
    "max_worker_lifetime_s", "boot_retries", "slow_log_s", "request_timeout_s",
    "ws_ping_interval_s", "ws_ping_timeout_s"})
MOST_S: Final = {"max_worker_lifetime_s": limits.MOST_LIFETIME_S}
"""The highest value of options in seconds that is not limits.MAX_WAIT_S."""
UMASK: Final = re.compile(r"(0o)?[0-7]{1,4}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ROOT_PATH: Final = re.compile(r"(/[^/?#\x00-\x1f\x7f]+)*")


def _option(default: Any, *flags: str, **about: Any) -> Any:
    return dataclasses.field(default=default, metadata={"option": Option(flags, **about)})


@dataclass(frozen=True)
class Config:
    """The configuration of one server. Raises BadValue for a value that cannot work.

    `app`: `module`, `module:attribute` (the attribute may have dots), with `factory` that of a function, or the
    application itself. What depends on the machine, or on another option, is filled in: a count of 0 workers or
    reactors, no `bind`, empty directories.
    """

    app: Any
    bind: tuple[str, ...] = _option(
        (), "--bind", "-b", group="Listening", metavar="ADDRESS", repeatable=True,
        default_text=f"{DEFAULT_HOST}:{DEFAULT_PORT}",
        help="Where to listen: host:port, [address]:port, unix:path or fd://number; repeatable. http:// or "
             "https:// before a host says which of the two it is, where there is a certificate. Port 0: any that is "
             "free, the log says which.")
    host: str = _option(
        "", "--host", group="Listening", metavar="HOST", default_text=DEFAULT_HOST,
        help="With --port another way to write one --bind: the name or address to listen on, an IPv6 one without "
             "brackets.")
    port: int | None = _option(
        None, "--port", group="Listening", metavar="N", default_text=str(DEFAULT_PORT), common_variable="PORT",
        help="The port of --host. If the variable PORT is what counts, --host is 0.0.0.0, unless it is given.")
    uds: str = _option(
        "", "--uds", group="Listening", metavar="PATH", default_text="none",
        help="The same as --bind unix:PATH.")
    fd: int | None = _option(
        None, "--fd", group="Listening", metavar="N", default_text="none",
        help="The same as --bind fd://N: a listening socket that was inherited.")
    backlog: int = _option(
        limits.BACKLOG, "--backlog", group="Listening", metavar="N",
        help="How many connections may wait in the kernel until they are accepted; it takes no more than "
             "net.core.somaxconn. An inherited socket keeps its own.")
    max_connections: int = _option(
        0, "--max-connections", group="Listening", metavar="N", default_text="as many as open files allow",
        help="How many client connections may be open at once; 0: as many as open files allow. More wait in the "
             "kernel; while some do, idle connections are closed and answers end theirs, so that all have their turn.")
    reuse_port: bool = _option(
        False, "--reuse-port", group="Listening",
        help="Other servers of the same user may listen on the same TCP port at the same time (SO_REUSEPORT); the "
             "kernel spreads connections over them.")
    keep_alive_s: float = _option(
        5.0, "--keep-alive", group="Listening", metavar="SECONDS", aliases=("--timeout-keep-alive",),
        help="How long a connection may be idle between two requests; then it is closed.")
    head_timeout_s: float = _option(
        limits.HEAD_TIMEOUT_S, "--head-timeout", group="Listening", metavar="SECONDS",
        help="How long a request's head may take to arrive, in all; past it 408.")
    body_timeout_s: float = _option(
        limits.BODY_TIMEOUT_S, "--body-timeout", group="Listening", metavar="SECONDS",
        help=f"How long a request's body may come at less than {limits.MIN_RATE_BYTES_S} bytes a second; past it 408. "
             "The same of a message of a WebSocket; past it 1008.")
    write_timeout_s: float = _option(
        limits.WRITE_TIMEOUT_S, "--write-timeout", group="Listening", metavar="SECONDS",
        help=f"How long a client may take what it is sent at less than {limits.MIN_RATE_BYTES_S} bytes a second; then "
             "the connection is cut.")
    limit_request_line: int = _option(
        limits.MAX_REQUEST_LINE_BYTES, "--limit-request-line", group="Limits", metavar="BYTES",
        help="Longest request line, with its CRLF; past it 414.")
    limit_request_fields: int = _option(
        limits.MAX_FIELDS, "--limit-request-fields", group="Limits", metavar="N",
        help="Most header fields of a request; past it 431.")
    limit_request_field_size: int = _option(
        limits.MAX_FIELD_BYTES, "--limit-request-field-size", group="Limits", metavar="BYTES",
        aliases=("--limit-request-field_size",),
        help="Longest header field line, with its CRLF; past it 431.")
    limit_request_body: int = _option(
        limits.MAX_BODY_BYTES, "--limit-request-body", group="Limits", metavar="BYTES",
        help="Largest request body; past it 413. 0: no limit.")
    inline_body_bytes: int = _option(
        limits.INLINE_BODY_BYTES, "--inline-body", group="Limits", metavar="BYTES",
        help="A body up to this is received whole before an ASGI app is called; a larger one is streamed to it.")
    response_spool_max_bytes: int = _option(
        limits.RESPONSE_SPOOL_MAX_BYTES, "--response-spool-max", group="Limits", metavar="BYTES",
        help="How much of a WSGI response may wait in a file for a slow client, before the thread waits too. "
             "0: no file.")
    queue_size: int = _option(
        limits.QUEUE_SIZE, "--queue-size", group="Limits", metavar="N",
        help="How many requests of one reactor may wait for a worker with room; past it 503. 0: none waits.")
    queue_timeout_s: float = _option(
        limits.QUEUE_TIMEOUT_S, "--queue-timeout", group="Limits", metavar="SECONDS",
        help="How long a request may wait for a worker with room; past it 503.")
    ssl_certfile: str = _option(
        "", "--ssl-certfile", group="TLS", metavar="FILE", aliases=("--certfile",), default_text="none",
        help="A PEM file with the server's certificate and those that lead from it to a known one. With it every TCP "
             "bind speaks HTTPS, except those that begin with http://. Read again on reload.")
    ssl_keyfile: str = _option(
        "", "--ssl-keyfile", group="TLS", metavar="FILE", aliases=("--keyfile",), default_text="that of --ssl-certfile",
        help="The PEM file with its private key.")
    ssl_keyfile_password: str = _option(
        "", "--ssl-keyfile-password", group="TLS", metavar="TEXT", default_text="none", secret=True,
        help="Of encrypted keys. Better in a variable or a file: everybody on the machine can read a command line.")
    ssl_ca_certs: str = _option(
        "", "--ssl-ca-certs", group="TLS", metavar="FILE", aliases=("--ca-certs",), default_text="none",
        help="A PEM file with the certificates of those who have signed the clients'.")
    ssl_cert_reqs: str = _option(
        "none", "--ssl-cert-reqs", group="TLS", choices=tlssettings.CERT_REQS, aliases=("--cert-reqs",),
        help="Whether clients are asked for a certificate, and must have one. 0, 1 and 2 mean the same.")
    ssl_ciphers: str = _option(
        "", "--ssl-ciphers", group="TLS", metavar="LIST", aliases=("--ciphers",), default_text="OpenSSL's",
        help="Ciphers of TLS 1.2, as OpenSSL writes them. Those of TLS 1.3 are always all there.")
    ssl_min_version: str = _option(
        "TLSv1.2", "--ssl-min-version", group="TLS", choices=tlssettings.MIN_VERSIONS,
        help="The oldest version that is spoken.")
    ssl_sni: tuple[str, ...] = _option(
        (), "--ssl-sni", group="TLS", metavar="NAME=CERTFILE[,KEYFILE]", repeatable=True, default_text="none",
        separator=";",
        help="Another certificate, for clients that ask for this server name; *.example.com means all names one label "
             "longer than example.com; repeatable.")
    ssl_handshake_timeout_s: float = _option(
        limits.HANDSHAKE_TIMEOUT_S, "--ssl-handshake-timeout", group="TLS", metavar="SECONDS",
        help="How long a TLS handshake may take from the connection on; then it is closed.")
    forwarded_allow_ips: str = _option(
        "127.0.0.1,::1", "--forwarded-allow-ips", group="Proxies", metavar="LIST",
        common_variable="FORWARDED_ALLOW_IPS",
        help="Addresses and networks of proxies, with commas between them: only these are believed in what they say "
             "of a client. *: everybody; empty: nobody. Peers on unix sockets always are.")
    forwarded_headers: str = _option(
        "auto", "--forwarded-headers", group="Proxies", choices=FORWARDED_HEADERS,
        help="Which fields of theirs: X-Forwarded-*, or Forwarded. auto: X-Forwarded-* when one of these is there, "
             "else Forwarded; never both, for a proxy that sets one passes the other on as the client wrote it.")
    proxy_protocol: str = _option(
        "off", "--proxy-protocol", group="Proxies", choices=PROXY_PROTOCOLS,
        help="Their connections begin with a header of this version of the PROXY protocol; auto: of either.")
    tmp_dir: str = _option(
        "", "--tmp-dir", group="Processes", metavar="DIR", default_text="TMPDIR or /tmp",
        help="Where large bodies and what slow clients make wait is kept, in files without a name.")
    workers: int = _option(
        0, "--workers", "-w", group="Processes", metavar="N", default_text="usable CPUs",
        common_variable="WEB_CONCURRENCY",
        help="Worker processes, each with an application of its own.")
    max_workers: int = _option(
        0, "--max-workers", group="Processes", metavar="N", default_text="twice --workers",
        help="How many workers SIGTTIN and `swhttp scale` can make of them.")
    threads: int = _option(
        1, "--threads", group="Processes", metavar="N",
        help="Threads of a worker that serves WSGI: that many requests at once. A worker that serves ASGI has one "
             "event loop.")
    worker_concurrency: int = _option(
        limits.WORKER_CONCURRENCY, "--worker-concurrency", group="Processes", metavar="N",
        aliases=("--worker-connections",),
        help="How many requests a worker that serves ASGI has at once; more wait in the master.")
    reactors: int = _option(
        0, "--reactors", group="Processes", metavar="N", default_text=f"one for {WORKERS_PER_REACTOR} workers",
        help="Threads of the master that own the connections.")
    dispatch: str = _option(
        "least", "--dispatch", group="Processes", choices=DISPATCH_MODES,
        help="Which worker gets a request: the least loaded, each in turn, one by connection, one by the client's "
             "address, or only an idle one.")
    replay: str = _option(
        "safe", "--replay", group="Processes", choices=REPLAYS,
        help="What becomes of a request whose worker died before any of its response was sent. safe: GET, HEAD, "
             "OPTIONS and TRACE are tried once more, others get 502; never: all get 502. What no worker had begun is "
             "always dispatched again.")
    graceful_timeout_s: float = _option(
        30.0, "--graceful-timeout", group="Processes", metavar="SECONDS", aliases=("--timeout-graceful-shutdown",),
        help="How long requests in flight may take to end when the server stops; then workers are killed.")
    reload_mode: str = _option(
        "atomic", "--reload-mode", group="Life of a worker", choices=RELOAD_MODES,
        help="How SIGUSR1 or SIGHUP brings new code: boot all new workers beside the old and switch at once, replace "
             "one by one, or stop each before its successor boots, for want of memory.")
    boot_timeout_s: float = _option(
        limits.BOOT_TIMEOUT_S, "--boot-timeout", group="Life of a worker", metavar="SECONDS",
        help="How long a worker may take to import and start the application.")
    boot_retries: int = _option(
        limits.BOOT_RETRIES, "--boot-retries", group="Life of a worker", metavar="N",
        help="After how many boots that failed in a row, while no worker serves, the server ends. 0: it tries for "
             "ever. A first boot that fails ends it at once.")
    max_requests: int = _option(
        0, "--max-requests", group="Life of a worker", metavar="N", aliases=("--limit-max-requests",),
        help="After about how many requests a worker is replaced. 0: never.")
    max_requests_jitter: int | None = _option(
        None, "--max-requests-jitter", group="Life of a worker", metavar="N", needs=("max_requests",),
        aliases=("--limit-max-requests-jitter",), default_text="half of --max-requests",
        help="Up to how many requests more, at random for each worker, so that they are not all due at the same time.")
    max_worker_memory_mib: int = _option(
        0, "--max-worker-memory", group="Life of a worker", metavar="MIB",
        help="From how much memory of its own on (RssAnon) a worker is replaced. 0: never.")
    max_worker_lifetime_s: float = _option(
        0.0, "--max-worker-lifetime", group="Life of a worker", metavar="SECONDS",
        help="After how long a worker is replaced. 0: never.")
    process: tuple[str, ...] = _option(
        (), "--process", group="Processes", metavar="NAME=MODULE:CALLABLE", repeatable=True, default_text="none",
        code=True,
        help="A process of your own, which calls that without arguments; it is started again when it ends, and stopped "
             "with the server; repeatable.")
    request_timeout_s: float = _option(
        0.0, "--request-timeout", group="Processes", metavar="SECONDS", default_text="none",
        help="How long a worker may have a request before it begins to answer; past it 504, and the worker is "
             "replaced. Streams may take any time. 0: no limit.")
    pid: str = _option(
        "", "--pid", "-p", group="Processes", metavar="FILE", default_text="none",
        help="A file that holds the master's process id while it runs. A server whose file it is and that still runs "
             "keeps another from starting.")
    control: str = _option(
        "", "--control", group="Processes", metavar="PATH", default_text="none",
        help="A unix socket by which swhttp status, reload, stop and the other verbs reach the running server; only "
             "root and the user that started the server may use it.")
    daemon: bool = _option(
        False, "--daemon", "-D", group="Processes",
        help="Go to the background: the command ends when the server listens, or with its exit code when it fails.")
    user: str = _option(
        "", "--user", "-u", group="Processes", metavar="USER", default_text="who starts it",
        help="Name or number of the user that all processes, the master too, run as once it has opened its sockets, "
             "logs and pid file; with all groups of that user. There is no way back to root, by setuid programs "
             "neither.")
    group: str = _option(
        "", "--group", "-g", group="Processes", metavar="GROUP", default_text="that of the user",
        help="Name or number of the group that takes the place of the user's primary one.")
    umask: str = _option(
        "", "--umask", "-m", group="Processes", metavar="MODE", default_text="as it is",
        help="File mode creation mask, octal as in 007, set before any file or unix socket is made.")
    chroot: str = _option(
        "", "--chroot", group="Processes", metavar="DIR", default_text="none",
        help="The directory that becomes the root of all processes, with --user. Everything that the app needs while "
             "it is imported and runs has to be in it.")
    cpu_affinity: str = _option(
        affinity.OFF, "--cpu-affinity", group="Processes", metavar="CPUS",
        help="Pin each worker to one CPU, evenly: of all that may be used (auto), or of a list as in 0-3,8. off: the "
             "kernel decides.")
    interface: str = _option(
        "auto", "--interface", group="Application", choices=INTERFACES,
        help="What APP is; auto finds out by looking at it.")
    factory: bool = _option(
        False, "--factory", group="Application",
        help="APP is a function without arguments that returns the application.")
    preload: bool = _option(
        False, "--preload", group="Application",
        help="Import APP once for all workers: in a process from which they are forked, and with which they share "
             "memory until they write to it.")
    app_dir: str = _option(
        "", "--app-dir", group="Application", metavar="DIR", default_text="the current directory",
        help="Where APP is looked for, before the rest of sys.path.")
    lifespan: str = _option(
        "auto", "--lifespan", group="Application", choices=LIFESPANS, aliases=("--asgi-lifespan",),
        help="ASGI's start and stop messages: auto serves an app that does not know them, on does not, off sends none.")
    hooks: str = _option(
        "", "--hooks", group="Application", metavar="MODULE", default_text="none", code=True,
        help="A module with functions that are called when something happens to the server or its workers: on_start, "
             "on_worker_start, on_worker_error, ...")
    root_path: str = _option(
        "", "--root-path", group="Application", metavar="PATH", default_text="none",
        help="The path below which the app lives, as in /shop; requests may have it or not, as the proxy before us "
             "does it. It is scope['root_path'] and SCRIPT_NAME.")
    server_header: bool = _option(
        True, "--server-header", group="Responses", help="Send the field Server, unless the app does.")
    date_header: bool = _option(
        True, "--date-header", group="Responses", help="Send the field Date, unless the app does.")
    header: tuple[str, ...] = _option(
        (), "--header", group="Responses", metavar='"NAME: VALUE"', repeatable=True, separator="\n",
        default_text="none",
        help="A field for every response, the server's own answers too; repeatable. It comes in addition to one of the "
             "same name from the app; only a Server takes the place of the server's, and the app's of both.")
    compress: str = _option(
        compressing.OFF, "--compress", group="Responses", metavar="CODINGS",
        help="Compress the app's responses for clients that accept it: by zstd, br or gzip, with commas between them, "
             "what is preferred first. auto: by all whose libraries are there; off: not at all. zstd and br need "
             "libraries: pip install 'swhttp[compress]'.")
    compress_level: int | None = _option(
        None, "--compress-level", group="Responses", metavar="N", needs=("compress",),
        default_text=", ".join(f"{coding} {level}" for coding, level in compressing.USUAL.items()),
        help=f"How hard to try, for every coding: from {compressing.LEVELS[0]} to {compressing.LEVELS[-1]}.")
    compress_min_bytes: int = _option(
        limits.COMPRESS_MIN_BYTES, "--compress-min-bytes", group="Responses", metavar="BYTES", needs=("compress",),
        help="A body that is known to be smaller is not compressed.")
    compress_types: str = _option(
        ",".join(compressing.TYPES), "--compress-types", group="Responses", metavar="TYPES", needs=("compress",),
        help="Media types that are compressed, with commas between them: type/subtype, type/* or +suffix. "
             "text/event-stream is only if it is named.")
    ws: str = _option(
        "auto", "--ws", group="WebSocket", choices=WS,
        help="Whether WebSockets are served: by an app that is ASGI, or by --ws-handler. none: a request for one is "
             "plain HTTP.")
    ws_handler: str = _option(
        "", "--ws-handler", group="WebSocket", metavar="MODULE[:OBJECT]", default_text="none", code=True,
        method="on_message",
        help="A module or an object with on_open, on_message and on_close, which gets all WebSockets instead of APP. "
             "They stay open while workers are reloaded, or die.")
    ws_max_size: int = _option(
        limits.WS_MAX_BYTES, "--ws-max-size", group="WebSocket", metavar="BYTES",
        aliases=("--websocket-max-message-size",),
        help="Largest message of a client, decompressed; past it the WebSocket is closed with 1009.")
    ws_max_queue: int = _option(
        limits.WS_MAX_QUEUE, "--ws-max-queue", group="WebSocket", metavar="N",
        help="How many messages of a client may wait for the app; with so many its socket is not read.")
    ws_ping_interval_s: float = _option(
        limits.WS_PING_INTERVAL_S, "--ws-ping-interval", group="WebSocket", metavar="SECONDS",
        help="After how long a silence a client is sent a ping. 0: never.")
    ws_ping_timeout_s: float = _option(
        limits.WS_PING_TIMEOUT_S, "--ws-ping-timeout", group="WebSocket", metavar="SECONDS",
        help="How long it may take to show any sign of life after one; then the connection is closed. 0: any time.")
    ws_per_message_deflate: bool = _option(
        True, "--ws-per-message-deflate", group="WebSocket",
        help="Compress messages where the client offers it.")
    websocket_drain_s: float = _option(
        limits.WEBSOCKET_DRAIN_S, "--websocket-drain", group="WebSocket", metavar="SECONDS",
        help="How long the WebSockets of an ASGI app may stay open on a reload; then they are closed with 1012, and "
             "clients connect to the new workers.")
    static: tuple[str, ...] = _option(
        (), "--static", group="Static files", metavar="/PREFIX=DIR", repeatable=True, separator="\n",
        default_text="none",
        help="Files below this directory answer requests below this path, without any worker; repeatable, and the "
             "longest path that fits counts. A reload opens the directories anew.")
    static_index: str = _option(
        statics.INDEX, "--static-index", group="Static files", metavar="NAME", needs=("static",),
        help="The file that answers for a directory. Empty: none does.")
    static_cache_control: str = _option(
        "", "--static-cache-control", group="Static files", metavar="TEXT", needs=("static",), default_text="none",
        help="The field Cache-Control of their answers, as in 'public, max-age=3600'.")
    log_level: str = _option(
        "info", "--log-level", group="Logging", choices=logs.LEVELS,
        help="What the server's own log shows: lines of this level and above.")
    access_log: str = _option(
        "", "--access-log", group="Logging", metavar="PATH", default_text="none",
        aliases=("--access-logfile",),
        help="Where each request is logged, one line each; - is stdout. SIGRTMIN opens the file again.")
    access_log_format: str = _option(
        "combined", "--access-log-format", group="Logging", metavar="FORMAT",
        aliases=("--access-logformat",),
        help=f"{', '.join(accessformat.NAMED)}, or a format of Apache's (%h %>s %{{Referer}}i) or gunicorn's atoms "
             "(%(h)s).")
    error_log: str = _option(
        logs.STDERR, "--error-log", group="Logging", metavar="PATH",
        aliases=("--error-logfile", "--log-file"),
        help="File for the server's own log; -: stderr.")
    log_format: str = _option(
        "text", "--log-format", group="Logging", choices=logs.FORMATS, help="What a line of the server's own log is.")
    slow_log_s: float = _option(
        0.0, "--slow-log", group="Logging", metavar="SECONDS", default_text="none",
        help="A request that a worker has for longer, and has not begun to answer, is logged with the stacks of the "
             "worker's threads and tasks. 0: none is.")
    slow_log_file: str = _option(
        "", "--slow-log-file", group="Logging", metavar="PATH", default_text="the server's own log",
        needs=("slow_log_s", "request_timeout_s"),
        help="Where that goes, and the stacks of workers that did not keep to --request-timeout; - is stderr. SIGRTMIN "
             "opens the file again.")
    log_config: str = _option(
        "", "--log-config", group="Logging", metavar="FILE", default_text="none", table=True,
        help="Logging configuration for the master and every worker: a dictionary (.json, .toml, .yaml), or INI.")
    reload: bool = _option(
        False, "--reload", group="Development",
        help="Watch files, and reload when one has changed. It needs watchfiles: pip install 'swhttp[reload]'.")
    reload_dir: tuple[str, ...] = _option(
        (), "--reload-dir", group="Development", metavar="DIR", repeatable=True, default_text="that of --app-dir",
        needs=("reload",),
        help="Where files are watched, in the directories below as well; repeatable.")
    reload_include: tuple[str, ...] = _option(
        (), "--reload-include", group="Development", metavar="PATTERN", repeatable=True, default_text="none",
        needs=("reload",),
        help="Files to watch besides *.py, *.pyx and *.pyd, as in *.html; repeatable.")
    reload_exclude: tuple[str, ...] = _option(
        (), "--reload-exclude", group="Development", metavar="PATTERN", repeatable=True, default_text="none",
        needs=("reload",),
        help="Files and directories not to watch, whatever --reload-include says; repeatable.")
    config: str = _option(
        "", "--config", "-c", group="Configuration", metavar="FILE", not_in_file=True, default_text="none",
        help="A TOML file with options.")
    env_file: str = _option(
        "", "--env-file", group="Configuration", metavar="FILE", not_in_file=True, default_text="none",
        help="A file of NAME=value lines, for variables that are not set already; the app gets them too.")
    chdir: str = _option(
        "", "--chdir", group="Configuration", metavar="DIR", default_text="the current directory",
        help="Go to this directory first. --config and --env-file are looked for before that, all else after it.")
    check_config: bool = _option(
        False, "--check-config", group="Configuration", not_in_file=True,
        help="Show what is in force and where each value comes from, and end. APP is not imported.")

    def __post_init__(self) -> None:
        _check_app(self.app)
        if isinstance(self.hooks, str) and self.hooks and not _is_dotted(self.hooks):
            raise _bad("--hooks", f"{self.hooks!r} is no module's name, as in myapp.hooks")
        self._fill("process", tuple(_process(one) for one in self.process))
        _check_processes(self.processes)
        self._check_ws()
        self._check_ways_to_listen()
        self._fill("bind", self.bind or self._composed_bind())
        for text in self.bind:
            try:
                binds.parse(text)
            except ValueError as error:
                raise _bad("--bind", str(error)) from None
            if self.bind.count(text) > 1 and not text.endswith(":0"):
                raise _bad("--bind", f"{text!r} is given more than once")
        self._check_tls()
        try:
            networks.parse(self.forwarded_allow_ips)
        except ValueError as error:
            raise _bad("--forwarded-allow-ips", str(error)) from None
        self._fill("app_dir", os.path.abspath(self.app_dir or os.curdir))
        if not os.path.isdir(self.app_dir):
            raise _bad("--app-dir", f"{self.app_dir!r} is not a directory")
        self._check_reload()
        self._fill("tmp_dir", os.path.abspath(self.tmp_dir or tempfile.gettempdir()))
        check_tmp_dir(self.tmp_dir)
        if self.workers == 0:
            self._fill("workers", min(cpus.usable(), limits.MAX_WORKERS))
        if self.max_workers == 0:
            self._fill("max_workers", min(2 * self.workers, limits.MAX_WORKERS))
        if self.reactors == 0:
            self._fill("reactors", min(math.ceil(self.workers / WORKERS_PER_REACTOR), limits.MAX_REACTORS))
        for name, most in MOST.items():
            least = 0 if name in MAY_BE_ZERO else 1
            _check_count(OPTIONS[name].flags[0], getattr(self, name), most, least)
        for name in OPTIONS:
            if name.endswith("_s"):
                _check_seconds(OPTIONS[name].main, getattr(self, name), MOST_S.get(name, limits.MAX_WAIT_S),
                               name in MAY_BE_ZERO)
        if self.max_workers < self.workers:
            raise _bad("--max-workers", f"{self.max_workers} is less than the {self.workers} of --workers")
        if self.max_requests_jitter is not None:
            _check_count("--max-requests-jitter", self.max_requests_jitter, limits.MOST_REQUESTS, 0)
        for name, option in OPTIONS.items():
            value = getattr(self, name)
            if option.choices and value not in option.choices:
                known = ", ".join(option.choices)
                raise _bad(option.main, f"{value!r} is none of {known}{meant(value, option.choices)}")
        self._fill("root_path", self.root_path.rstrip("/"))
        if not _ROOT_PATH.fullmatch(self.root_path):
            raise _bad("--root-path", f"{self.root_path!r} is no path of the form /shop or /a/b")
        try:
            self.root_path.encode()
        except UnicodeEncodeError:
            raise _bad("--root-path", f"{self.root_path!r} is not UTF-8") from None
        try:
            fields.check(self.header)
        except ValueError as error:
            raise _bad("--header", str(error)) from None
        self._check_compression()
        self._check_static()
        try:
            accessformat.parse(self.access_log_format)
        except ValueError as error:
            raise _bad("--access-log-format", str(error)) from None
        if self.pid:
            self._fill("pid", os.path.abspath(self.pid))
        if not self.error_log:
            raise _bad("--error-log", "a path is needed, or - for stderr")
        if self.error_log != logs.STDERR:
            self._fill("error_log", os.path.abspath(self.error_log))
        if self.access_log and not accessfile.is_stream(self.access_log):
            self._fill("access_log", os.path.abspath(self.access_log))
        if self.slow_log_file not in ("", logs.STDERR):
            self._fill("slow_log_file", os.path.abspath(self.slow_log_file))
        if self.pid and self.pid in (self.error_log, self.access_log, self.slow_log_file):
            raise _bad("--pid", f"{self.pid!r} is where a log goes")
        if self.control:
            self._fill("control", os.path.abspath(self.control))
            try:
                binds.parse(f"unix:{self.control}")
            except ValueError as error:
                raise _bad("--control", str(error)) from None
            if self.control in (self.pid, self.error_log, self.access_log):
                raise _bad("--control", f"{self.control!r} is where the pid file or a log goes")
            if self.control in [os.path.abspath(bind.path) for bind in map(binds.parse, self.bind)
                                if isinstance(bind, binds.UnixBind)]:
                raise _bad("--control", f"{self.control!r} is where clients connect")
        self._check_where_and_as_whom()
        given: object = self.log_config  # a program that embeds us may give a dictionary
        if isinstance(given, str):
            self._fill("log_config", given and os.path.abspath(given))
        elif not isinstance(given, dict):
            raise _bad("--log-config", f"a file or a dictionary is needed, not {given!r}")

    def _check_tls(self) -> None:
        for name in ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs"):
            if value := getattr(self, name):
                self._fill(name, os.path.abspath(value))
        if self.ssl_cert_reqs in ("0", "1", "2"):  # as ssl.CERT_NONE and its kin are given elsewhere
            self._fill("ssl_cert_reqs", tlssettings.CERT_REQS[int(self.ssl_cert_reqs)])
        if not self.ssl_certfile:
            for name, option in OPTIONS.items():
                if name.startswith("ssl_") and getattr(self, name) != getattr(type(self), name):
                    raise _bad(option.main, "it needs --ssl-certfile")
            if any(getattr(binds.parse(text), "scheme", "") == "https" for text in self.bind):
                raise _bad("--bind", "https:// needs --ssl-certfile")
            return
        if not any(binds.may_be_secure(text) for text in self.bind):
            raise _bad("--ssl-certfile", "no bind can speak TLS: unix sockets and http:// do not")
        asks = self.ssl_cert_reqs != "none"
        if asks and not self.ssl_ca_certs:
            raise _bad("--ssl-cert-reqs", "it needs --ssl-ca-certs: whose certificates are good?")
        if self.ssl_ca_certs and not asks:
            raise _bad("--ssl-ca-certs", "no client is asked for a certificate: say --ssl-cert-reqs")
        if len(self.ssl_sni) > limits.MAX_TLS_NAMES:
            raise _bad("--ssl-sni", f"there are {len(self.ssl_sni)}, and at most {limits.MAX_TLS_NAMES} can be")
        try:
            self._fill("ssl_sni", tuple(map(tlssettings.parse_name, self.ssl_sni)))
        except ValueError as error:
            raise _bad("--ssl-sni", str(error)) from None
        names = [pair.name for pair in self.tls_names]
        if len(set(names)) < len(names):
            raise _bad("--ssl-sni", f"there are two for {max(names, key=names.count)!r}")

    def _check_ws(self) -> None:
        if self.ws in UVICORNS_WS:
            raise _bad("--ws", f"{self.ws!r} is a library that uvicorn may use, and none is needed here: say auto")
        given: object = self.ws_handler  # in a call it may be the object
        if not given:
            return
        if isinstance(given, str):
            module, colon, attribute = given.partition(":")
            if not _is_dotted(module) or (colon and not _is_dotted(attribute)):
                raise _bad("--ws-handler", f"{given!r} is not of the form module or module:object, as in chat:handler")
        if self.ws == "none":
            raise _bad("--ws-handler", "it gets no WebSocket with --ws none")

    def _check_where_and_as_whom(self) -> None:
        if self.umask and not UMASK.fullmatch(self.umask):
            raise _bad("--umask", f"an octal number as in 007 is needed, not {self.umask!r}")
        if self.umask and int(self.umask, 8) > 0o777:
            raise _bad("--umask", f"at most 777 is needed, not {self.umask!r}")
        try:
            affinity.parse(self.cpu_affinity, frozenset(os.sched_getaffinity(0)))
        except ValueError as error:
            raise _bad("--cpu-affinity", str(error)) from None
        identity = privileges.resolve(self.user, self.group)
        if self.chroot:
            self._fill("chroot", os.path.realpath(self.chroot))
            if not os.path.isdir(self.chroot):
                raise _bad("--chroot", f"{self.chroot!r} is not a directory")
            if identity is None or identity.user == privileges.ROOT:
                raise _bad("--chroot", "root can leave it: say --user, with another user")
            for flag, path in (("--app-dir", self.app_dir), ("--tmp-dir", self.tmp_dir),
                               ("--error-log", self.error_log), ("--access-log", self.access_log),
                               ("--slow-log-file", self.slow_log_file),
                               *(("--static", mount.directory) for mount in self.mounts)):
                if path and not accessfile.is_stream(path) and not inside(self.chroot, path):
                    raise _bad(flag, f"{path!r} is not in {self.chroot!r}, which becomes the root")
            for name in ("preload", "max_worker_memory_mib", "slow_log_s", "request_timeout_s"):
                if getattr(self, name) and not os.path.exists(f"{self.chroot}/proc/self/fd"):
                    raise _bad(OPTIONS[name].main, f"it needs /proc, which is not in {self.chroot!r}")
        if self.daemon and accessfile.is_stream(self.access_log):
            raise _bad("--access-log", f"{self.access_log} leads nowhere from the background: name a file")

    def _check_compression(self) -> None:
        for flag, check, text in (("--compress", compressing.parse_codings, self.compress),
                                  ("--compress-types", compressing.parse_types, self.compress_types)):
            try:
                check(text)
            except ValueError as error:
                raise _bad(flag, str(error)) from None
        if self.compress_level is not None:
            _check_count("--compress-level", self.compress_level, compressing.LEVELS[-1], compressing.LEVELS[0])

    def _check_static(self) -> None:
        try:
            self._fill("static", tuple(map(str, statics.parse(self.static))))
        except ValueError as error:
            raise _bad("--static", str(error)) from None
        try:
            statics.check_index(self.static_index)
        except ValueError as error:
            raise _bad("--static-index", str(error)) from None
        try:
            statics.check_cache_control(self.static_cache_control)
        except ValueError as error:
            raise _bad("--static-cache-control", str(error)) from None

    def _check_reload(self) -> None:
        self._fill("reload_dir", tuple(map(os.path.abspath, self.reload_dir)) or (self.app_dir,))
        for directory in self.reload_dir:
            if not os.path.isdir(directory):
                raise _bad("--reload-dir", f"{directory!r} is not a directory")
        for name in ("reload_include", "reload_exclude"):
            if "" in getattr(self, name):
                raise _bad(OPTIONS[name].main, "a pattern is needed, as in *.html")
        if self.reload and not isinstance(self.app, str):
            raise _bad("--reload", "an app that is an object cannot be imported afresh: name it as module:attribute")
        if self.reload and importlib.util.find_spec("watchfiles") is None:
            raise _bad("--reload", "it needs watchfiles, which is not installed: pip install 'swhttp[reload]'")

    def _check_ways_to_listen(self) -> None:
        names = [name for way in WAYS_TO_LISTEN for name in way]
        used = [OPTIONS[name].main for name in names if getattr(self, name) not in ("", None, ())]
        if len(used) > 1 and set(used) != {"--host", "--port"}:
            raise _bad(used[0], f"cannot be given together with {used[-1]}: each says where to listen")

    def _composed_bind(self) -> tuple[str, ...]:
        """The one bind that --host and --port, --uds or --fd stand for."""
        if self.uds:
            try:
                binds.parse(f"unix:{self.uds}")
            except ValueError as error:
                raise _bad("--uds", str(error)) from None
            return (f"unix:{self.uds}",)
        if self.fd is not None:
            _check_count("--fd", self.fd, 2**31 - 1, 0)
            return (f"fd://{self.fd}",)
        port = DEFAULT_PORT if self.port is None else self.port
        _check_count("--port", port, 65535, 0)
        bind = binds.tcp_text(self.host or DEFAULT_HOST, port)
        try:
            binds.parse(bind)
        except ValueError as error:
            raise _bad("--host", str(error)) from None
        return (bind,)

    def _fill(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def identity(self) -> privileges.Identity | None:
        """Who the server becomes; None: it stays who it is."""
        return privileges.resolve(self.user, self.group, self.chroot)

    @property
    def worker_cpus(self) -> tuple[int, ...]:
        """The CPUs to which workers are pinned; none: they are not."""
        return affinity.parse(self.cpu_affinity, frozenset(os.sched_getaffinity(0)))

    def seen_from_its_root(self) -> Config:
        """The same, with paths as they are once --chroot is the root."""
        moved = copy.copy(self)
        for name in ("app_dir", "tmp_dir", "error_log", "access_log", "slow_log_file"):
            if self.chroot and (path := inside(self.chroot, getattr(self, name))):
                moved._fill(name, path)
        if self.chroot:
            moved._fill("static", tuple(
                f"{mount.prefix}={inside(self.chroot, mount.directory)}" for mount in self.mounts))
        return moved

    @property
    def mounts(self) -> tuple[statics.Mount, ...]:
        """Where files are served from."""
        return tuple(statics.Mount(*text.split("=", 1)) for text in self.static)

    @property
    def tls_names(self) -> tuple[tlssettings.Pair, ...]:
        """The certificates for server names."""
        return cast("tuple[tlssettings.Pair, ...]", self.ssl_sni)

    @property
    def tls(self) -> tlssettings.TlsSettings | None:
        """What TLS clients are shown and must show; None: there are none."""
        if not self.ssl_certfile:
            return None
        return tlssettings.TlsSettings(
            (tlssettings.Pair(self.ssl_certfile, self.ssl_keyfile), *self.tls_names),
            self.ssl_keyfile_password, self.ssl_ca_certs, self.ssl_cert_reqs, self.ssl_ciphers, self.ssl_min_version)

    @property
    def log_settings(self) -> logs.LogSettings:
        """What the server's own log is like."""
        return logs.LogSettings(
            level=self.log_level, path=self.error_log, form=self.log_format, config=self.log_config,
            app_dir=self.app_dir, identity=self.identity)

    @property
    def compression(self) -> compressing.Compressing | None:
        """Which responses are compressed, and how; None: none is."""
        if not (codings := compressing.parse_codings(self.compress)):
            return None
        return compressing.Compressing(
            codings, self.compress_level, self.compress_min_bytes, compressing.parse_types(self.compress_types))

    @property
    def preloads(self) -> bool:
        """Whether there is something to import, and it is imported once for all workers."""
        return self.preload and isinstance(self.app, str)

    @property
    def processes(self) -> tuple[Named, ...]:
        """The user processes: `module:callable`, or the callable."""
        return cast("tuple[Named, ...]", self.process)

    @property
    def slots(self) -> int:
        """Places for worker processes: a replacement boots beside its predecessor."""
        return 2 * self.max_workers


OPTIONS: Final[dict[str, Option]] = {
    field.name: field.metadata["option"] for field in dataclasses.fields(Config) if "option" in field.metadata}


def inside(root: str, path: str) -> str:
    """What `path` is called once the directory `root` is /; empty when it is not in it, or is no absolute path."""
    if not os.path.isabs(path):
        return ""
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    relative = os.path.relpath(path, root)
    return "" if relative.split(os.sep)[0] == os.pardir else os.path.normpath(os.path.join(os.sep, relative))


def _check_app(app: object) -> None:
    if not isinstance(app, str):
        return
    module, colon, attribute = app.partition(":")
    for name in (module, attribute) if colon else (module,):
        if not _is_dotted(name):
            raise _bad("APP", f"{app!r} is not of the form module:attribute, as in myapp:app")


def check_tmp_dir(path: str) -> None:
    """Whether this process, as the user that it is, can make files there. Raises BadValue."""
    try:
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise _bad("--tmp-dir", f"no file can be made in {path!r}: {error.strerror}") from None


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _process(given: str | Named) -> Named:
    if isinstance(given, Named):
        return given
    name, _, value = given.partition("=")
    return Named(name, value)


def _check_processes(processes: tuple[Named, ...]) -> None:
    if len(processes) > limits.MAX_USER_PROCESSES:
        raise _bad("--process", f"there are {len(processes)}, and at most {limits.MAX_USER_PROCESSES} can be")
    for process in processes:
        if not _NAME.fullmatch(process.name):
            raise _bad("--process", f"'{process}' is not of the form NAME=module:callable, as in mailer=jobs:send")
        if [other.name for other in processes].count(process.name) > 1:
            raise _bad("--process", f"there are two with the name {process.name!r}")
        if isinstance(process.value, str):
            module, _, attribute = process.value.partition(":")
            if not (_is_dotted(module) and _is_dotted(attribute)):
                raise _bad("--process", f"'{process}' is not of the form NAME=module:callable, as in mailer=jobs:send")
        elif not callable(process.value):
            raise _bad("--process", f"'{process}': that cannot be called")


def _check_count(flag: str, count: int, most: int, least: int = 1) -> None:
    if not least <= count <= most:
        raise _bad(flag, f"a number from {least} to {most} is needed, not {count}")


def _check_seconds(flag: str, seconds: float, most_s: float, may_be_zero: bool) -> None:
    if not (0 < seconds <= most_s or (may_be_zero and seconds == 0)):  # nan is refused too
        least = "0 or more" if may_be_zero else "more than 0"
        raise _bad(flag, f"seconds, {least} and at most {most_s:g}, are needed, not {seconds:g}")


def _bad(what: str, why: str) -> BadValue:
    return BadValue(what, why)
