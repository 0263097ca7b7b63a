"""Options of gunicorn and uvicorn that mean nothing here: what to do instead.

Those that mean the same under another name are aliases of that option (`swhttp.config`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_RELOAD = "there is no reload in this version: restart the server"
_INTERFACE = "there are no worker classes: workers serve ASGI or WSGI, as the app needs; --interface says which"
_LOOP = "ASGI workers run on uvloop: leave it out"
_HTTP = "HTTP is parsed by the master: leave it out"
_WEBSOCKET = "there are no WebSockets in this version"
_TLS = "there is no TLS in this version: let a proxy do it"
_RECYCLE = "workers are not recycled in this version"
_ROOT = "privileges are not dropped in this version: start it as the user it should run as"
_STATSD = "there is no statsd in this version"

ADVICE: Final[Mapping[str, str]] = {
    "-k": _INTERFACE, "--worker-class": _INTERFACE,
    "--reload": _RELOAD, "--reload-dir": _RELOAD, "--reload-delay": _RELOAD, "--reload-include": _RELOAD,
    "--reload-exclude": _RELOAD, "--reload-engine": _RELOAD, "--reload-extra-file": _RELOAD,
    "--preload": "the app is imported in each worker, so that the master stays free of its code: leave it out",
    "--loop": _LOOP, "--http": _HTTP, "--asgi-loop": _LOOP, "--http-parser": _HTTP,
    "--ws": _WEBSOCKET, "--ws-max-size": _WEBSOCKET, "--ws-max-queue": _WEBSOCKET,
    "--ws-ping-interval": _WEBSOCKET, "--ws-ping-timeout": _WEBSOCKET, "--ws-per-message-deflate": _WEBSOCKET,
    "-t": "a slow client never holds a worker, and a slow app is not killed in this version: leave it out",
    "--timeout": "a slow client never holds a worker, and a slow app is not killed in this version: leave it out",
    "--worker-tmp-dir": "workers show no sign of life in a file: leave it out; --tmp-dir is for large bodies",
    "--limit-concurrency": "say --worker-concurrency, for each worker, and --queue-size",
    "--limit-max-requests": _RECYCLE, "--max-requests": _RECYCLE, "--max-requests-jitter": _RECYCLE,
    "--h11-max-incomplete-event-size": "say --limit-request-line and --limit-request-field-size",
    "--keyfile": _TLS, "--certfile": _TLS, "--ca-certs": _TLS, "--cert-reqs": _TLS, "--ciphers": _TLS,
    "--ssl-keyfile": _TLS, "--ssl-certfile": _TLS, "--ssl-keyfile-password": _TLS, "--ssl-version": _TLS,
    "--ssl-cert-reqs": _TLS, "--ssl-ca-certs": _TLS, "--ssl-ciphers": _TLS,
    "-u": _ROOT, "--user": _ROOT, "-g": _ROOT, "--group": _ROOT, "--initgroups": _ROOT,
    "-m": "say umask in the shell or the service manager", "--umask": "say umask in the shell or the service manager",
    "-D": "it stays in the foreground: a service manager such as systemd keeps it running",
    "--daemon": "it stays in the foreground: a service manager such as systemd keeps it running",
    "-n": "processes keep their names in this version", "--name": "processes keep their names in this version",
    "-e": "set it in the shell, or say --env-file FILE", "--env": "set it in the shell, or say --env-file FILE",
    "--pythonpath": "say --app-dir DIR, or set PYTHONPATH",
    "--print-config": "say --check-config", "--spew": "there is no such thing here",
    "--statsd-host": _STATSD, "--statsd-prefix": _STATSD, "--dogstatsd-tags": _STATSD,
    "--no-sendfile": "files are always sent by sendfile", "--paste": "name the app as module:attribute",
    "--paster": "name the app as module:attribute",
}
"""Flag to advice."""


def advice(name: str) -> str | None:
    """What to say about a flag, a key or a keyword that belongs to them; None when it does not."""
    flag = name if name.startswith("-") else "--" + name.replace("_", "-")
    return ADVICE.get(flag)
