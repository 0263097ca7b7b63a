"""A few reloads under load, of what `make soak` does a hundred times, directly and through nginx."""

from __future__ import annotations

import pytest

from tests.soak.reloads import run
from tests.support.fleet import starting


@pytest.mark.unsanitized  # what is freed stays for a while, and counts as a leak
@pytest.mark.parametrize(("app", "nginx"), [("starlette", False), ("flask", True)])
def test_nobody_notices_reloads_under_load(app: str, nginx: bool) -> None:
    with starting(settled=False) as start:
        outcome = run(start, app, reloads=3, nginx=nginx, calm_s=0.5)
    assert outcome.failures == []
    assert outcome.careful_answers > 0
