"""Runs one conformance case against a running reference app and judges it.

Owns the meaning of the keys in h1_cases.json. Each case is delivered four ways (one write, one byte a write,
split behind each CRLF, random splits from a seed); `observe` does one delivery and reports what came back,
`judge` compares that with what the case allows and returns the broken rules in words. Neither asserts: the
test does.

How the end of an exchange is told without waiting for silence: where the case lets the connection live, a
probe request with a target of its own is sent behind the last response. What is answered before the probe
belongs to the case; if the probe is answered the connection was kept.
"""

from __future__ import annotations

import base64
import json
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.client import Closed, Connection, Reset, Response, request_bytes
from tests.support.server import Server

CASES_PATH = Path(__file__).with_name("h1_cases.json")
DEFERRED_PATH = Path(__file__).with_name("deferred.txt")
MODES = ("one write", "single bytes", "at each CRLF", "random splits")
ANSWER_TIMEOUT_S = 6.0
# How long silence must last to count as the outcome "timeout", or as the end of an exchange that may stay
# open.
SILENCE_S = 0.7
PROBE_TARGET = "/conformance-probe"


@dataclass(frozen=True)
class Case:
    """One entry of h1_cases.json; `keys` are the entry as it stands."""

    id: str
    raw: bytes
    kind: str
    expect: tuple[str, ...]
    final: str
    max_responses: int
    keys: dict[str, Any]

    def __str__(self) -> str:
        return self.id

    def method_of(self, number: int) -> str:
        """Method of the request that response `number` (from 0) answers, as far as it frames the response."""
        return "HEAD" if number == 0 and self.raw.startswith(b"HEAD ") else "GET"

    @property
    def awaited(self) -> int:
        """How many responses to wait for before probing: the listed ones, or one, or a whole pipeline."""
        if "statuses" in self.keys:
            return len(self.keys["statuses"])
        return self.max_responses if self.kind != "bad" else min(1, self.max_responses)


@dataclass
class Observation:
    """What came of one delivery."""

    responses: list[Response] = field(default_factory=list)
    end: str = ""  # "close", "reset", "keep" (the probe was answered), "silence"
    partial: bytes = b""
    elapsed_ms: float = 0.0
    problems: list[str] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    log: str = ""

    @property
    def outcome(self) -> str:
        """Outcome of the first final response, in the words of `expect`."""
        if self.responses:
            return str(self.responses[0].status)
        return {"close": "close", "reset": "reset", "silence": "timeout"}.get(self.end, self.end)

    @property
    def verdict(self) -> tuple[Any, ...]:
        """What must be the same however the bytes were delivered."""
        return (self.outcome, tuple(response.status for response in self.responses), self.end)


def load_cases() -> list[Case]:
    """All cases."""
    cases = []
    for entry in json.loads(CASES_PATH.read_text(encoding="utf-8")):
        cases.append(
            Case(
                entry["id"],
                base64.b64decode(entry["raw_b64"]),
                entry["kind"],
                tuple(entry["expect"]),
                entry["final"],
                entry["max_responses"],
                entry,
            )
        )
    return cases


def load_deferred() -> dict[str, str]:
    """Ids that a later issue brings, each with the reason."""
    lines = DEFERRED_PATH.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(None, 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def pieces_of(case: Case, mode: str, seed: int, preface: bytes = b"") -> Iterator[bytes]:
    """The case's bytes behind the preface, cut as the mode says; each piece is one write."""
    raw = preface + case.raw
    if mode == "one write":
        cuts = []
    elif mode == "single bytes":
        cuts = list(range(1, len(raw)))
    elif mode == "at each CRLF":
        cuts = [match.end() for match in re.finditer(rb"\r\n", raw)]
    else:
        chooser = random.Random(f"{seed} {case.id}")
        count = min(len(raw) - 1, chooser.randint(1, 12)) if len(raw) > 1 else 0
        cuts = sorted(chooser.sample(range(1, len(raw)), count))
    start = 0
    for cut in [*cuts, len(raw)]:
        if cut > start:
            yield raw[start:cut]
            start = cut


def observe(
    case: Case, server: Server, mode: str, seed: int, workers: list[int], preface: bytes = b"",
    source: str | None = None,
) -> Observation:
    """Deliver the case once on a connection of its own. workers: pids of those that there are.

    preface: what a proxy sends before the client's bytes; source: the address that the client comes from.
    """
    result = Observation()
    seen_before = len(server.seen_requests())
    log_before = server.log.mark()
    with server.connect(source=source) as client:
        _send(case, client, pieces_of(case, mode, seed, preface))
        begun = time.monotonic()
        try:
            _read(case, client, result, begun)
        except Closed as end:
            result.end = "reset" if isinstance(end, Reset) else "close"
            result.partial = end.partial
        except AssertionError as error:
            result.problems.append(str(error))
    _follow_up(server, result, workers, preface, source)
    result.seen = [pair for pair in server.seen_requests()[seen_before:] if pair[1] != "/conformance-after"]
    result.log = server.log.text(log_before)
    return result


def _send(case: Case, client: Connection, pieces: Iterator[bytes]) -> None:
    """Write the pieces, taking in what is answered meanwhile; stop once the server has closed."""
    try:
        for piece in pieces:
            if client.take_in_now() and client.ended:
                return
            client.send(piece)
        if case.keys.get("half_close"):
            client.half_close()
    except (BrokenPipeError, ConnectionResetError, OSError):
        return  # refused before its end: what was answered can still be read


def _read(case: Case, client: Connection, result: Observation, begun: float) -> None:
    """Read responses, then find out how the exchange ended. Raises Closed at the end of the stream."""
    silence_is_an_answer = "timeout" in case.expect
    while len(result.responses) < case.awaited:
        if not result.responses and silence_is_an_answer and not client.wait_readable(SILENCE_S):
            result.end = "silence"
            return
        result.responses.append(client.response(case.method_of(len(result.responses)), ANSWER_TIMEOUT_S))
        if len(result.responses) == 1:
            result.elapsed_ms = (time.monotonic() - begun) * 1000
        if not result.responses[-1].keeps_open:
            break
    kept = bool(result.responses) and result.responses[-1].keeps_open
    if not kept or case.final == "close" or case.keys.get("half_close"):
        _read_to_the_end(case, client, result)
    else:
        _probe(case, client, result)


def _read_to_the_end(case: Case, client: Connection, result: Observation) -> None:
    while True:
        # Closed is the way out; a connection that stays open instead runs into the time limit and is a
        # problem.
        result.responses.append(client.response(case.method_of(len(result.responses)), ANSWER_TIMEOUT_S))
        if len(result.responses) > case.max_responses + 2:
            return


def _probe(case: Case, client: Connection, result: Observation) -> None:
    client.send_while_open(request_bytes(target=PROBE_TARGET, host="localhost"))
    while True:
        if case.final == "any" and not client.wait_readable(SILENCE_S):
            result.end = "silence"  # the probe was taken for the rest of a body
            return
        response = client.response(case.method_of(len(result.responses)), ANSWER_TIMEOUT_S)
        if (
            response.status == 200
            and response.body.startswith(b"{")
            and response.json()["target"] == PROBE_TARGET
        ):
            result.end = "keep"
            return
        result.responses.append(response)
        if not response.keeps_open:
            _read_to_the_end(case, client, result)
            return


def _follow_up(
    server: Server, result: Observation, workers: list[int], preface: bytes, source: str | None
) -> None:
    """A fresh connection must be answered by a worker that was there before."""
    try:
        with server.connect(source=source) as client:
            client.send(preface)
            response = client.get("/conformance-after")
        assert response.status == 200, response
        pid = response.json()["pid"]
    except (AssertionError, Closed, OSError) as error:
        result.problems.append(f"a fresh connection is not served: {error}")
        return
    if pid not in workers:
        result.problems.append("a fresh connection is served by another worker than before")


def judge(case: Case, observed: Observation) -> list[str]:
    """The rules of the case that an observation breaks, in words; empty when it conforms."""
    broken = list(observed.problems)
    if not any(_matches(observed.outcome, allowed) for allowed in case.expect):
        broken.append(f"first outcome {observed.outcome}, allowed {list(case.expect)}")
    if len(observed.responses) > case.max_responses:
        broken.append(f"{len(observed.responses)} responses, at most {case.max_responses}")
    if observed.partial:
        broken.append(f"ended within a response: {observed.partial[:100]!r}")
    if observed.end == "reset":
        broken.append("reset instead of closed")
    if case.final == "close" and observed.end not in ("close", "reset") and observed.outcome != "timeout":
        broken.append(f"the connection stays open ({observed.end})")
    if case.final == "keep" and observed.end != "keep" and _matches(observed.outcome, "2xx"):
        broken.append(f"the connection is not kept ({observed.end})")
    broken += _judge_lists(case, observed)
    broken += _judge_traces(case, observed)
    if observed.responses and _matches(observed.outcome, "2xx"):
        broken += _judge_what_the_app_saw(case, observed.responses[0])
    return broken


def _matches(outcome: str, allowed: str) -> bool:
    return outcome == allowed or (
        re.fullmatch("[1-5]xx", allowed) is not None and outcome[0] == allowed[0] and outcome.isdigit()
    )


def _judge_lists(case: Case, observed: Observation) -> list[str]:
    """statuses, order, interim responses."""
    broken = []
    statuses = case.keys.get("statuses")
    if statuses is not None:
        got = [str(response.status) for response in observed.responses]
        if len(got) != len(statuses) or not all(
            any(_matches(status, allowed) for allowed in options)
            for status, options in zip(got, statuses, strict=True)
        ):
            broken.append(f"statuses {got}, allowed {statuses}")
    order = case.keys.get("order")
    if order is not None:
        targets = [
            response.json()["target"] for response in observed.responses if response.body.startswith(b"{")
        ]
        if targets != order:
            broken.append(f"order {targets} instead of {order}")
    allowed_interim = case.keys.get("interim", ["100"] if b"100-continue" in case.raw.lower() else [])
    if case.keys.get("forbid_1xx"):
        allowed_interim = []
    for response in observed.responses:
        if not {str(status) for status in response.interim} <= set(allowed_interim):
            broken.append(f"interim responses {response.interim}, allowed {allowed_interim}")
        if case.keys.get("no_body") and response.body:
            broken.append(f"a body of {len(response.body)} bytes")
    return broken


def _judge_traces(case: Case, observed: Observation) -> list[str]:
    """What reached the app and the log, and how long it took."""
    broken = []
    reached = {target for _, target in observed.seen}
    for target in case.keys.get("forbid_path", ()):
        if any(path == target or path.partition("?")[0] == target for path in reached):
            broken.append(f"{target} reached the app")
    methods = case.keys.get("seen_methods")
    if methods is not None:
        strange = {method for method, target in observed.seen if target != PROBE_TARGET} - set(methods)
        if strange:
            broken.append(f"methods {strange} reached the app")
    if case.kind == "bad" and "2xx" not in case.expect and [s for s in observed.seen if s[1] != PROBE_TARGET]:
        broken.append(f"must not be served, but the app saw {observed.seen}")
    pattern = case.keys.get("log_must_not_match")
    if pattern is not None and re.search(pattern, observed.log):
        broken.append(f"the log matches {pattern!r}: {observed.log!r}")
    limit_ms = case.keys.get("time_limit_ms")
    if limit_ms is not None and observed.elapsed_ms > limit_ms:
        broken.append(f"answered after {observed.elapsed_ms:.0f} ms, limit {limit_ms}")
    return broken


def _judge_what_the_app_saw(case: Case, response: Response) -> list[str]:
    if not response.body.startswith(b"{"):
        return [] if case.method_of(0) == "HEAD" else ["a 2xx that is not the app's"]
    report = response.json()
    keys = case.keys
    broken = []
    for key, reported in (
        ("body", "body"),
        ("body_if_2xx", "body"),
        ("path", "path"),
        ("query", "query"),
        ("method", "method"),
        ("app_host", "host"),
    ):
        if key in keys and keys[key] != report[reported]:
            broken.append(f"the app saw the {reported} {report[reported]!r} instead of {keys[key]!r}")
    if "environ" in report:
        for name in keys.get("environ_absent", ()):
            if name in report["environ"]:
                broken.append(f"environ has {name}")
        for name, value in keys.get("environ_equals", {}).items():
            if report["environ"].get(name) != value:
                broken.append(f"environ[{name!r}] is {report['environ'].get(name)!r} instead of {value!r}")
    return broken
