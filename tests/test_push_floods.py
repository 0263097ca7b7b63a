"""More is pushed to one client than may wait for it, by all that can push, and each with "block": nothing is lost.

The master is stopped meanwhile, so that nobody can see how slow the client is: who does not wait by itself then has all
of its messages under way when the master goes on.
"""

from __future__ import annotations

from collections import Counter
from concurrent import futures
from pathlib import Path

import pytest

from tests.support import tight_pushes
from tests.support.counters import Since
from tests.support.fleet import Start
from tests.support.frames import BINARY, Peer
from tests.support.memory import MEBIBYTE, Growth
from tests.support.server import Server
from tests.support.standstill import standstill

COUNT = 96  # of 64 KiB: 6 MiB, and 4 may wait for a client
MEMORY = pytest.mark.parametrize("module", ["swhttp", tight_pushes.__name__])


def all_is_heard(peer: Peer, **counts: int) -> None:
    """So many pieces with each tag come, in order."""
    heard: Counter[str] = Counter()
    while heard != counts:
        found = peer.next()
        assert found.opcode == BINARY, found
        tag, number = found.payload.split()
        assert int(number) == heard[tag.decode()]
        heard[tag.decode()] += 1


def asked(site: Server, target: str) -> futures.Future[None]:
    """A request that is answered when all that it asks for is on its way."""
    client = site.connect()
    client.send_request(target=target)

    def answered() -> None:
        with client:
            assert client.response().status == 200

    with_one = futures.ThreadPoolExecutor(1)
    asking = with_one.submit(answered)
    with_one.shutdown(wait=False)  # it ends when that is answered
    return asking


@MEMORY
def test_a_client_gets_all_that_is_pushed_by_however_many(server: Start, tmp_path: Path, module: str) -> None:
    target = tmp_path / "target"
    site = server("flooding:asgi", "--workers", "2", "--reactors", "1", "--process", "jobs=flooding:process",
                  module=module, env={"TARGET_PATH": str(target)})
    since = Since(site)
    with site.gate() as gate, Growth(site) as growth, Peer(site, buffer_bytes=4096) as peer, Peer(site) as other:
        session, another = int(peer.heard()), int(other.heard())
        begin = f"/flood?{session}&"
        requests = [asked(site, f"{begin}{tag}&{COUNT}&{gate.path}{how}")
                    for tag, how in (("a", ""), ("b", "&thread"), ("c", ""), ("d", "&thread"))]
        (tmp_path / "new").write_text(f"{session} {COUNT} {gate.path}")
        (tmp_path / "new").rename(target)
        visitors = [gate.entered() for _ in range(5)]
        with standstill(site):
            for visitor in visitors:
                visitor.release()
        more = asked(site, f"/flood?{another}&more&20&{gate.path}")
        gate.entered().release()
        all_is_heard(other, more=20)
        more.result()
        all_is_heard(peer, a=COUNT, b=COUNT, c=COUNT, d=COUNT, process=COUNT, loop=COUNT)
        for request in requests:
            request.result()
        peer.say("still here")
        assert peer.heard() == "still here"
    assert since["ws_dropped"] == 0
    growth.within(12 * MEBIBYTE)


@MEMORY
def test_a_thread_of_a_wsgi_worker_and_a_handler_alone_in_its_worker_wait(server: Start, module: str) -> None:
    """The handler by the policy of its session, of which it has told the master just before."""
    site = server("flooding:wsgi", "--ws-handler", "flooding:handler", "--workers", "2", "--threads", "1",
                  "--reactors", "1", module=module)
    with site.gate() as gate, Growth(site) as growth, Peer(site, buffer_bytes=4096) as peer:
        session = int(peer.heard())
        peer.say(f"flood {COUNT} {gate.path}")
        handler = gate.entered()
        request = asked(site, f"/flood?{session}&thread&{COUNT}&{gate.path}")
        thread = gate.entered()
        with standstill(site):
            handler.release()
            thread.release()
        all_is_heard(peer, handler=COUNT, thread=COUNT)
        request.result()
        peer.say("still here")
        assert peer.heard() == "still here"
    growth.within(8 * MEBIBYTE)


def test_who_waits_for_a_client_that_leaves_goes_on(server: Start, tmp_path: Path) -> None:
    site = server("flooding:asgi", "--workers", "1", "--reactors", "1")
    with site.gate() as gate:
        with Peer(site, buffer_bytes=4096) as peer:
            session = int(peer.heard())
            requests = [asked(site, f"/flood?{session}&x&{COUNT}&{gate.path}{how}") for how in ("", "&thread")]
            visitors = [gate.entered() for _ in requests]
            with standstill(site):
                for visitor in visitors:
                    visitor.release()
            peer.next()
        for request in requests:
            request.result()
