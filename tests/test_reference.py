"""docs/options.md is what the tables say today, and it says all of it."""

from __future__ import annotations

from swhttp import reference, swoole
from swhttp.cli import all_flags
from swhttp.config import OPTIONS
from tests.support.server import TESTS


def test_the_committed_reference_is_not_stale() -> None:
    committed = (TESTS.parent / "docs/options.md").read_text()
    assert committed == reference.markdown(), "run `make docs`"


def test_every_name_of_every_option_is_in_it() -> None:
    text = reference.markdown()
    for name, option in OPTIONS.items():
        names = [*all_flags(name, option), option.variable, *([] if option.not_in_file else [option.key])]
        assert [name for name in names if f"`{name}`" not in text] == []
        assert f"\n## {option.group}\n" in text
        assert option.help in text
    for setting in (*swoole.SETTINGS, *swoole.ADVICE):
        assert f"`{setting}`" in text
