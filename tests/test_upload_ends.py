"""The end of a streamed upload, when it comes by itself: an empty chunk of its own, behind data that has been read."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from swhttp.limits import INLINE_BODY_BYTES, MAX_CHUNKS_AHEAD
from tests.apps.bodies import content, report_of
from tests.support.fleet import Start
from tests.support.processes import wait_until
from tests.support.server import Server

STEP = 1000
BODY = content(1, INLINE_BODY_BYTES + MAX_CHUNKS_AHEAD // 2 * STEP)  # the last of so many chunks brings credit


def counter(site: Server, name: str) -> int:
    return int(site.counters().reactors[0][name])


@pytest.mark.parametrize("others", [1, 5])
def test_an_end_that_is_not_read_yet_keeps_its_block_though_all_bytes_are(server: Start, others: int) -> None:
    """The app reads all data, so that credit gives the blocks back; the end waits in a block that others would take."""
    site = server("bodies:asgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate, site.connect() as client:
        stops = f"&at=1&at={len(BODY)}"
        client.send_request("POST", f"/upload?gate={quote(gate.path)}{stops}", [("Transfer-Encoding", "chunked")])
        client.send(b"%x\r\n%s" % (len(BODY), BODY[: INLINE_BODY_BYTES + STEP]))
        at_first_part = gate.entered()
        for chunks, at in enumerate(range(INLINE_BODY_BYTES + STEP, len(BODY) + 1, STEP), 1):
            wait_until(lambda: counter(site, "chunks") == chunks, f"chunk {chunks}")  # noqa: B023
            client.send(BODY[at : at + STEP])
        client.send(b"\r\n0\r\n\r\n")
        wait_until(lambda: counter(site, "chunks") == chunks + 1, "the end, for itself")
        blocks = counter(site, "blocks")
        at_first_part.release()
        before_the_end = gate.entered()
        wait_until(lambda: counter(site, "blocks") < blocks, "credit to give blocks back")
        for connection in [site.connect() for _ in range(others)]:
            with connection:
                assert connection.get("/pid").status == 200
        before_the_end.release()
        report = client.response().json()
        assert (report["length"], report["sha256"]) == (len(BODY), report_of(BODY)["sha256"])
