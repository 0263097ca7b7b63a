"""Sends bytes to a running server and says where it departs from the rulings.

Owns one connection of its own beside those that it examines. Two exchanges on it, made after bytes were sent
elsewhere, tell without waiting for silence that the server (one reactor, one worker) has dealt with those bytes: what
it has not answered by then it holds for incomplete.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

from tests.differential.differences import Ruling, fired, rulings
from tests.differential.oracle import INCOMPLETE, REFUSED
from tests.differential.presentation import expected_report, observed_report
from tests.support.client import Closed, Connection, Response, request_bytes
from tests.support.server import Server

ANSWER_TIMEOUT_S = 5.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PROBE = request_bytes(target="/differential-probe", host="probe")
REFUSALS = frozenset({400, 405, 413, 414, 417, 431, 501, 505})


@dataclass(frozen=True)
class Delivery:
    """Bytes of one connection and how they are written.

    cuts: where a new write begins. apart: an exchange elsewhere between the writes, so that they are read apart.
    warm: a request before them on their connection.
    """

    data: bytes
    cuts: tuple[int, ...] = ()
    apart: bool = False
    warm: bool = False

    def pieces(self) -> Iterator[bytes]:
        """The writes."""
        bounds = [0, *sorted(set(self.cuts)), len(self.data)]
        return (self.data[a:b] for a, b in itertools.pairwise(bounds) if a < b)


class Witness:
    """Examines one server that runs the reference app as `interface`, with one reactor and one worker."""

    def __init__(self, site: Server, interface: str) -> None:
        self.site = site
        self.interface = interface
        self._beside: Connection | None = None
        self._seen_bytes = 0

    def departures(self, delivery: Delivery) -> list[str]:
        """Deliver the bytes; where the server departs from what h11 and the table of differences demand, in words."""
        demanded = rulings(delivery.data)
        self._skip_seen()
        with Connection(self.site.tcp_addresses()[0]) as client:
            try:
                if delivery.warm:
                    client.send(PROBE)
                    assert client.response().status == 200
                for piece in delivery.pieces():
                    client.send_while_open(piece)
                    if delivery.apart:
                        self._exchange_beside()
                return self._judge(client, demanded, delivery)
            except (Closed, AssertionError) as error:
                return [f"{type(error).__name__}: {error}"]

    def _judge(self, client: Connection, demanded: list[Ruling], delivery: Delivery) -> list[str]:
        for ruling in demanded:
            method = "HEAD" if ruling.reading.raw.startswith(b"HEAD ") else "GET"
            if ruling.verdict == INCOMPLETE:
                return self._judge_silence(client, ruling, method)
            response = client.response(method, ANSWER_TIMEOUT_S)
            refused = response.header("content-type") != "application/json" or response.status != 200
            if ruling.verdict == REFUSED or (refused and ruling.may_refuse):
                fired.update(ruling.entries)
                return self._judge_refusal(client, ruling, response, method)
            problems = self._judge_acceptance(ruling, response, method)
            if problems or ruling.may_refuse:
                return problems
            fired.update(ruling.entries)
        if not demanded[-1].persists:
            return _no_more(client)
        return self._judge_what_follows(client)

    def _judge_acceptance(self, ruling: Ruling, response: Response, method: str) -> list[str]:
        if response.status != 200:
            return [f"h11 accepts, the server answers {response.status} {response.body!r}"]
        expected = expected_report(ruling.reading, self.interface)
        problems = []
        if method == "HEAD":
            line = f"HEAD {expected['target']}\n".encode()
            if self.interface == "asgi" and line not in self._new_seen():
                problems.append(f"the app has not seen {line!r}")
        else:
            observed = observed_report(response.json())
            problems += [f"{key}: h11 has {expected[key]!r}, the app saw {observed[key]!r}"
                         for key in expected if expected[key] != observed[key]]
        if response.keeps_open != ruling.persists:
            problems.append(f"kept open: {response.keeps_open}, ought to be {ruling.persists}")
        return problems

    def _judge_silence(self, client: Connection, ruling: Ruling, method: str) -> list[str]:
        self._exchange_beside()
        self._exchange_beside()
        client.take_in_now()
        if not client.buffer and not client.ended:
            client.half_close()
            client.expect_end(ANSWER_TIMEOUT_S)
            fired.update(ruling.late)
            return []
        if ruling.reading.options(b"expect") == {b"100-continue"} and client.buffer == CONTINUE:
            return []
        if ruling.may_refuse:
            response = client.response(method, ANSWER_TIMEOUT_S)
            fired.update(ruling.entries)
            return self._judge_refusal(client, ruling, response, method)
        return [f"h11 waits for more, the server says {client.buffer[:200]!r}, ended: {client.ended}"]

    def _judge_what_follows(self, client: Connection) -> list[str]:
        """The server must be at the same place in the stream as h11: it takes what comes now for a request."""
        client.send(PROBE)
        response = client.response(timeout_s=ANSWER_TIMEOUT_S)
        if response.status != 200 or response.json()["path"] != "/differential-probe":
            return [f"what follows is taken for something else: {response.status} {response.body[:200]!r}"]
        return []

    def _exchange_beside(self) -> None:
        if self._beside is None or self._beside.socket.fileno() < 0:
            self._beside = self.site.connect()
        self._beside.send(PROBE)
        answer = self._beside.response()
        if answer.status != 200:
            self._beside.close()
        assert answer.status == 200, f"another client's request is answered {answer.status} {answer.body!r}"

    def _skip_seen(self) -> None:
        if os.path.exists(self.site.seen_path):
            self._seen_bytes = os.path.getsize(self.site.seen_path)

    def _new_seen(self) -> bytes:
        with open(self.site.seen_path, "rb") as file:
            file.seek(self._seen_bytes)
            return file.read()

    def _judge_refusal(self, client: Connection, ruling: Ruling, response: Response, method: str) -> list[str]:
        """The status of a refusal, its reason where the table names some, and that it closes."""
        if method == "HEAD":  # has no body, but for what was refused before its method was looked at
            with contextlib.suppress(OSError):
                client.half_close()
            while not client.ended and client.wait_readable(ANSWER_TIMEOUT_S) and client.take_in_now():
                pass
            response.body, client.buffer = client.buffer, b""
        problems = []
        if response.status not in REFUSALS:
            why = ruling.reading.error or ", ".join(ruling.entries)
            problems.append(f"must be refused ({why}), the server answers {response.status} {response.body[:300]!r}")
        slug = response.body.decode("latin-1").strip()
        known = ruling.slugs | {""} if method == "HEAD" else ruling.slugs
        if ruling.verdict != INCOMPLETE and ruling.slugs and slug not in known:
            problems.append(f"refused as {slug!r}, ought to be one of {sorted(ruling.slugs)} ({ruling.entries})")
        if response.keeps_open:
            problems.append("the connection of a refused request is kept open")
        return problems + _no_more(client)


def _no_more(client: Connection) -> list[str]:
    """After the last answer: the end, and nothing before it."""
    with contextlib.suppress(OSError):  # the server has closed already
        client.half_close()
    while not client.ended and client.wait_readable(ANSWER_TIMEOUT_S):
        if not client.take_in_now():
            break
        if client.buffer:
            return [f"bytes behind the last answer: {client.buffer[:200]!r}"]
    if client.was_reset:
        return ["reset instead of closed"]
    return [] if client.ended else ["the connection stays open"]
