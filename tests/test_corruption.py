"""A worker spoils each part of what it may write, once blocked and once serving on: see tests/soak/corruption.py."""

from __future__ import annotations

import dataclasses

import pytest

from tests.soak.corruption import PARTS, Case, run, start
from tests.support.fleet import Start
from tests.support.server import Server


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    """Two workers and one reactor."""
    return start(module_server)


@pytest.mark.parametrize("blocks", [True, False], ids=["blocked", "serving"])
@pytest.mark.parametrize("part", PARTS)
def test_what_one_worker_spoils_is_its_own_loss(site: Server, part: str, blocks: bool) -> None:
    run(site, dataclasses.replace(Case.of(PARTS.index(part), part), blocks=blocks))
