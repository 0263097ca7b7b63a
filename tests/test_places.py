"""How many connections there may be, of what the system allows and what was asked for. Pure."""

from __future__ import annotations

import pytest

from swhttp import limits, places
from swhttp.errors import ServerError
from swhttp.ipc.geometry import Geometry


@pytest.mark.parametrize("limit", [100, 1024, 20_000])
def test_no_connection_gets_the_last_fds(limit: int) -> None:
    count = places.connections(0, limit, 40, Geometry())
    kept = limit - 40 - count
    assert kept >= limits.KEPT_FDS + (limit - 40 - limits.KEPT_FDS) // limits.KEPT_FDS_SHARE
    assert count > (limit - 40 - limits.KEPT_FDS) // 2


def test_without_a_limit_of_open_files_memory_decides() -> None:
    for reactors in (1, 3):
        geometry = Geometry(reactors=reactors)
        assert places.connections(0, limits.MOST_FDS, 40, geometry) == limits.MAX_SESSIONS * reactors


def test_fewer_may_be_asked_for_and_more_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert places.connections(10, 1024, 40, Geometry()) == 10
    assert not caplog.records
    most = places.connections(0, 1024, 40, Geometry())
    assert places.connections(most + 1, 1024, 40, Geometry()) == most


def test_what_bounds_them_is_named() -> None:
    assert places.bound(10, 10, Geometry()) == "--max-connections"
    for asked in (0, 2000):
        assert places.bound(asked, places.connections(asked, 1024, 40, Geometry()), Geometry()) == "ulimit -n"
    most = places.connections(0, limits.MOST_FDS, 40, Geometry())
    assert places.bound(0, most, Geometry()) == "the most that the server has"


def test_none_at_all_is_no_start() -> None:
    with pytest.raises(ServerError, match="No file descriptor is left for connections: 64 may be open"):
        places.connections(0, 64, 64 - limits.KEPT_FDS, Geometry())
    assert places.connections(0, 65, 64 - limits.KEPT_FDS, Geometry()) == 1


def test_fds_are_counted_with_proc_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = places.fds_in_use()
    monkeypatch.setattr("os.listdir", lambda path: (_ for _ in ()).throw(FileNotFoundError(path)))
    assert places.fds_in_use() == counted
