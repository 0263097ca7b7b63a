"""One running site for all tests of this package, in every shape in turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frameworks.sites import SHAPES, Shape, Site, migrate, serving


def _concerns(item: pytest.Item, shape: Shape) -> bool:
    needed = item.get_closest_marker("needs")
    if needed and needed.args[0] not in shape.project.can:
        return False
    return shape.through_nginx or not item.get_closest_marker("behind_nginx")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a framework does not have: it is not ours to test, and not skipped either."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        shape = item.callspec.params.get("site") if hasattr(item, "callspec") else None
        (kept if not isinstance(shape, Shape) or _concerns(item, shape) else left_out).append(item)
    items[:] = kept
    if left_out:
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The empty database of the Django site."""
    path = tmp_path_factory.mktemp("site") / "db.sqlite3"
    migrate(path)
    return path


@pytest.fixture(scope="package", params=SHAPES, ids=str)
def site(request: pytest.FixtureRequest, database: Path) -> Iterator[Site]:
    """One server (and nginx) per shape, ended before the next starts."""
    with serving(request.param, SITE_DB=str(database)) as running:
        yield running
