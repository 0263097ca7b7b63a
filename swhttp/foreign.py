"""Options of gunicorn and uvicorn that mean nothing here: what to do instead.

Those that mean the same under another name are aliases of that option (`swhttp.config`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_INTERFACE = "there are no worker classes: workers serve ASGI or WSGI, as the app needs; --interface says which"
_LOOP = "ASGI workers run on uvloop: leave it out"
_HTTP = "HTTP is parsed by the master: leave it out"
_TLS_ALWAYS = "it is always so with TLS: leave it out"
_GROUPS = "all groups of --user are always taken: leave it out"
_NAMES = "processes keep their names in this version"
_TIMEOUT = "say --request-timeout, how long an app may take to begin its answer"
_HTTP2 = "there is no HTTP/2 in this version: let a proxy do it"
_STRICT = "requests that RFC 9112 does not allow are always refused: leave it out"
_SYSLOG = "let the service manager take stderr to syslog"
_STDIO = "what the app prints goes where stdout and stderr go: leave it out"
_HEADERS = "a field whose name has an underscore is never in environ: leave it out"
_DIRTY = "there are no workers for long tasks in this version"
_PASTE = "name the app as module:attribute"
_ENV = "set it in the shell, or say --env-file FILE"
_STATSD = "there is no statsd in this version"

ADVICE: Final[Mapping[str, str]] = {
    "-k": _INTERFACE, "--worker-class": _INTERFACE,
    "--preload-app": "say --preload",
    "--reload-delay": "what changes at about the same time is one reload: leave it out",
    "--reload-engine": "watchfiles watches: leave it out",
    "--reload-extra-file": "say --reload-include, and --reload-dir for where it is",
    "--loop": _LOOP, "--http": _HTTP, "--asgi-loop": _LOOP, "--http-parser": _HTTP,
    "-t": _TIMEOUT, "--timeout": _TIMEOUT,
    "--worker-tmp-dir": "workers show no sign of life in a file: leave it out; --tmp-dir is for large bodies",
    "--limit-concurrency": "say --worker-concurrency, for each worker, and --queue-size",
    "--h11-max-incomplete-event-size": "say --limit-request-line and --limit-request-field-size",
    "--ssl-version": "say --ssl-min-version: TLSv1.2 or TLSv1.3",
    "--initgroups": _GROUPS, "-n": _NAMES, "--name": _NAMES,
    "-e": _ENV, "--env": _ENV,
    "--pythonpath": "say --app-dir DIR, or set PYTHONPATH",
    "--print-config": "say --check-config", "--spew": "there is no trace of every line",
    "--statsd-host": _STATSD, "--statsd-prefix": _STATSD, "--dogstatsd-tags": _STATSD,
    "--enable-backlog-metric": _STATSD,
    "--no-sendfile": "files are always sent by sendfile, but over TLS: leave it out",
    "--paste": _PASTE, "--paster": _PASTE, "--paste-global": _PASTE,
    "--capture-output": _STDIO, "-R": _STDIO, "--enable-stdio-inheritance": _STDIO,
    "--logger-class": "there are no logger classes",
    "--log-syslog": _SYSLOG, "--log-syslog-to": _SYSLOG, "--log-syslog-prefix": _SYSLOG,
    "--log-syslog-facility": _SYSLOG, "--disable-redirect-access-to-syslog": _SYSLOG,
    "--use-colors": "set NO_COLOR for none", "--no-use-colors": "set NO_COLOR for none",
    "--protocol": "HTTP/1.1 is what is spoken", "--uwsgi-allow-from": "HTTP/1.1 is what is spoken",
    "--suppress-ragged-eofs": _TLS_ALWAYS, "--do-handshake-on-connect": _TLS_ALWAYS,
    "--http-protocols": _HTTP2, "--http2-cleartext": _HTTP2, "--http2-max-concurrent-streams": _HTTP2,
    "--http2-initial-window-size": _HTTP2, "--http2-max-frame-size": _HTTP2, "--http2-max-header-list-size": _HTTP2,
    "--permit-obsolete-folding": _STRICT, "--strip-header-spaces": _STRICT, "--casefold-http-method": _STRICT,
    "--permit-unconventional-http-method": _STRICT, "--permit-unconventional-http-version": _STRICT,
    "--header-map": _HEADERS, "--forwarder-headers": _HEADERS,
    "--http2": _HTTP2,
    "--log-config-json": "say --log-config FILE, with a name that ends in .json",
    "--no-access-log": "there is none unless --access-log says where: leave it out",
    "--proxy-headers": "say --forwarded-allow-ips, with the proxies' addresses",
    "--no-proxy-headers": "say --forwarded-allow-ips '', which believes nobody",
    "--proxy-allow-from": "say --forwarded-allow-ips, which is for the PROXY protocol too",
    "--timeout-worker-healthcheck": _TIMEOUT,
    "--reset-contextvars": "each request has a context of its own: leave it out",
    "--asgi-disconnect-grace-period": "an app learns at once that its client is gone: leave it out",
    "--dirty-app": _DIRTY, "--dirty-workers": _DIRTY, "--dirty-timeout": _DIRTY, "--dirty-threads": _DIRTY,
    "--dirty-graceful-timeout": _DIRTY,
    "--control-socket": "say --control PATH, for swhttp's own verbs",
    "--control-socket-mode": "the mode of --control's socket is always 0600: leave it out",
    "--no-control-socket": "there is none unless --control says where: leave it out",
}
"""Flag to advice."""


def advice(name: str) -> str | None:
    """What to say about a flag, a key or a keyword that belongs to them; None when it does not."""
    flag = name if name.startswith("-") else "--" + name.replace("_", "-")
    return ADVICE.get(flag)
