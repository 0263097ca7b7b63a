"""What the verbs show to people: an answer of the control socket as lines of text. Pure.

Texts in an answer may hold what a client has sent: nothing of it reaches the terminal with control characters in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from swhttp.logforms import one_line

_LEFT: Final = frozenset({"state", "method", "client", "path"})
_UNITS: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def status(answer: dict[str, Any]) -> str:
    """`swhttp status`."""
    workers, reactors, reload = answer["workers"], answer["reactors"], answer["reload"]
    sockets = answer["websockets"]
    others = [f"{count} {state}" for state, count in workers.items()
              if state not in ("wanted", "most", "ready") and count]
    sums = {name: sum(one[name] for one in reactors)
            for name in ("connections", "in_flight", "waiting", "requests", "responses")}
    rows = [
        ("swhttp", f"{answer['version']}, pid {answer['pid']}, {answer['phase']}, up {span(answer['uptime_s'])}"),
        ("app", f"{answer['app']}, {answer['interface'] or 'not booted yet'}"),
        ("listening", ", ".join(answer["binds"])),
        ("workers", ", ".join([f"{workers['ready']} of {workers['wanted']} ready", *others])),
        ("requests", f"{sums['in_flight']} with workers, {sums['waiting']} waiting; "
                     f"{sums['requests']} received, {sums['responses']} answered"),
        ("connections", f"{sums['connections']} in {counted(len(reactors), 'reactor')}"),
        *([("websockets", f"{sockets['open']} open, {sockets['draining']} of them with workers that leave")]
          if sockets["open"] else []),
        ("reload", reloads(reload))]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {one_line(text)}" for name, text in rows)


def reloads(reload: dict[str, Any]) -> str:
    """How reloads went."""
    parts = ["under way"] if reload["running"] else []
    if reload["count"] == 0:
        parts.append("none yet")
    else:
        how = "succeeded" if reload["ok"] else f"failed ({last_line(reload['error'])})"
        parts.append(f"{counted(reload['count'], 'reload')}, the last {how} {span(reload['ended_ago_s'])} ago")
    return "; ".join(parts)


def workers(answer: dict[str, Any]) -> str:
    """`swhttp workers`."""
    heads = ("slot", "pid", "generation", "state", "up", "taken", "done", "in flight", "websockets",
             "service", "memory", "errors")
    return table(heads, ((
        one["slot"], one["pid"] or "-", one["generation"], one["state"], span(one["uptime_s"]), one["taken"],
        one["done"], one["in_flight"], one["websockets"], seconds(one["service_s"]), size(one["rss_bytes"]),
        one["app_errors"])
        for one in answer["workers"]))


def requests(answer: dict[str, Any]) -> str:
    """`swhttp requests`."""
    rows = [(
        seconds(one["age_s"]), "-" if one["slot"] is None else one["slot"], one["pid"] or "-", one["state"],
        client(one["client"], one["client_port"]), one["method"], one["target"] + ("..." if one["truncated"] else ""))
        for one in answer["requests"]]
    text = table(("age", "slot", "pid", "state", "client", "method", "path"), rows)
    if answer["truncated"]:
        text += f"\nand {answer['in_flight'] - len(rows)} younger ones"
    return text


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns of one width each: texts to the left, numbers to the right."""
    cells = [tuple(heads), *(tuple(one_line(str(cell)) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return "\n".join("  ".join(
        f"{cell:<{width}}" if head in _LEFT else f"{cell:>{width}}"
        for head, cell, width in zip(heads, row, widths, strict=True)).rstrip() for row in cells)


def span(seconds: float | None) -> str:
    """A stretch of time, in its two largest units."""
    if seconds is None:
        return "-"
    for unit, (length, name) in enumerate(_SPANS):
        if seconds >= length:
            whole, rest = divmod(int(seconds), length)
            smaller_length, smaller = _SPANS[unit + 1] if unit + 1 < len(_SPANS) else (1, "s")
            return f"{whole} {name} {rest // smaller_length} {smaller}"
    return f"{seconds:.0f} s"


def seconds(value: float | None) -> str:
    """A stretch that may be short."""
    if value is None:
        return "-"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.1f} s"


def size(count: int | None) -> str:
    """Bytes."""
    if count is None:
        return "-"
    for length, name in _UNITS:
        if count >= length:
            return f"{count / length:.1f} {name}"
    return f"{count} B"


def client(address: str | None, port: int) -> str:
    """Who asked, as an address is written."""
    if not address:
        return "unix socket"
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def counted(count: int, noun: str) -> str:
    """As in "1 reactor", "2 reactors"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def last_line(text: str) -> str:
    """Of a traceback what it comes to."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"
