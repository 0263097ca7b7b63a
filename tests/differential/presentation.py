"""What an app must have seen of a request that h11 read: as an ASGI scope and body, and as a WSGI environ.

The other half of the allowed differences: where an interface, or our server, shows a request otherwise than h11 does,
a step with a name and a reason turns one into the other, and is counted in `fired` when it changed anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_to_bytes

from tests.differential import grammar
from tests.differential.differences import fired
from tests.differential.oracle import Reading


@dataclass(frozen=True)
class View:
    """A request as h11 gives it, and then as an app sees it. path: the target's, still escaped; fields: in order."""

    method: bytes
    target: bytes
    path: bytes
    query: bytes
    version: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True)
class Step:
    """A named difference in how a request is shown. interface: whose it is, "" for both."""

    name: str
    reason: str
    interface: str
    apply: Callable[[View, Reading], View]


def first_view(reading: Reading) -> View:
    """The request as h11 gives it."""
    request = reading.request
    assert request is not None
    path, _, query = request.target.partition(b"?")
    fields = tuple((name, value) for name, value in request.headers)
    return View(request.method, request.target, path, query, request.http_version, fields, reading.body)


def _absolute(view: View, reading: Reading) -> View:
    absolute = grammar.ABSOLUTE.fullmatch(view.target)
    if absolute is None:
        return view
    path, _, query = absolute["rest"].partition(b"?")
    fields = tuple((name, absolute["authority"] if name == b"host" else value) for name, value in view.fields)
    return replace(view, path=path or b"/", query=query, fields=fields)


def _values_as_sent(view: View, reading: Reading) -> View:
    sent = dict(grammar.field_lines(reading.head))
    fields = tuple((n, sent[n] if n == b"transfer-encoding" else value) for n, value in view.fields)
    return replace(view, fields=fields)


def _scope_target(view: View, reading: Reading) -> View:
    return replace(view, target=view.path + (b"?" + view.query if view.query else b""))


def _alone(view: View, reading: Reading) -> View:
    plain = {name for name, _ in view.fields if b"_" not in name}
    return replace(view, fields=tuple((n, v) for n, v in view.fields
                                      if b"_" not in n or n.replace(b"_", b"-") not in plain))


def _hidden(view: View, reading: Reading) -> View:
    hidden = (b"proxy", b"transfer-encoding")
    fields = tuple((n, v) for n, v in view.fields if b"_" not in n and n not in hidden)
    return replace(view, fields=fields)


def _joined(view: View, reading: Reading) -> View:
    joined: dict[bytes, bytes] = {}
    for name, value in view.fields:
        if name not in joined:
            joined[name] = value
        elif name != b"content-type":
            joined[name] += (b"; " if name == b"cookie" else b",") + value
    return replace(view, fields=tuple(joined.items()))


def _length(view: View, reading: Reading) -> View:
    others = tuple((n, v) for n, v in view.fields if n != b"content-length" or not view.body)
    length = ((b"content-length", b"%d" % len(view.body)),) if view.body else ()
    return replace(view, fields=others + length)


STEPS = (
    Step("absolute-form", "RFC 9112 §3.2.2: the target's authority replaces what Host says", "", _absolute),
    Step("coding-as-sent", "h11 gives the transfer coding in lower case; we give what was sent", "", _values_as_sent),
    Step("scope-target", "ASGI: path and query_string have no scheme, no authority, and no '?' before nothing", "asgi",
         _scope_target),
    Step("scope-twins", "no name with '_' beside its twin: frameworks take the one for the other", "asgi", _alone),
    Step("environ-hides", "no name with '_' (it would be taken for its twin), no HTTP_PROXY (httpoxy), no framing",
         "wsgi", _hidden),
    Step("environ-joins", "PEP 3333, RFC 3875 §4.1.18: one variable for all fields of a name", "wsgi", _joined),
    Step("environ-length", "PEP 3333: CONTENT_LENGTH is that of wsgi.input, chunked bodies' too", "wsgi", _length),
)


def expected_report(reading: Reading, interface: str) -> dict[str, Any]:
    """What the reference app must report, of the keys that `observed_report` takes."""
    view = first_view(reading)
    for step in STEPS:
        if step.interface in ("", interface):
            changed = step.apply(view, reading)
            if (changed if interface == "asgi" else _as_environ(changed)) != (
                view if interface == "asgi" else _as_environ(view)
            ):
                fired[step.name] += 1
            view = changed
    path = unquote_to_bytes(view.path)
    report: dict[str, Any] = {
        "method": view.method.decode("ascii"),
        "target": view.target.decode("ascii"),
        "path": path.decode("utf-8", "replace") if interface == "asgi" else path.decode("latin-1"),
        "query": view.query.decode("ascii"),
        "version": view.version.decode("ascii"),
        "body": view.body.decode("latin-1"),
    }
    if interface == "asgi":
        report["fields"] = [[name.decode("ascii"), value.decode("latin-1")] for name, value in view.fields]
    else:
        report["fields"] = _as_environ(view)
    return report


def _as_environ(view: View) -> dict[str, str]:
    return {_variable(name.decode("ascii")): value.decode("latin-1") for name, value in view.fields}


def _variable(name: str) -> str:
    bare = name.upper().replace("-", "_")
    return bare if name in ("content-type", "content-length") else "HTTP_" + bare


def observed_report(report: dict[str, Any]) -> dict[str, Any]:
    """The same keys of what the reference app reported."""
    if report["interface"] == "asgi":
        names = {"version": "http_version", "fields": "headers"}
        return {key: report[names.get(key, key)] for key in ("method", "target", "path", "query", "version", "body",
                                                             "fields")}
    environ = report["environ"]
    fields = {key: value for key, value in environ.items()
              if key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH")}
    return {
        "method": environ["REQUEST_METHOD"],
        "target": environ["RAW_URI"],
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "version": environ["SERVER_PROTOCOL"].removeprefix("HTTP/"),
        "body": report["body"],
        "fields": fields,
    }
