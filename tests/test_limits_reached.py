"""Each bound in swhttp/limits.py has a test that reaches it, or a reason why none does; docs/limits.md says which."""

from __future__ import annotations

import ast

from swhttp import limits
from tests.support import limitdocs
from tests.support.server import TESTS


def test_every_bound_names_the_test_that_reaches_it() -> None:
    names = [bound.name for bound in limitdocs.bounds()]
    assert set(names) == {name for name in vars(limits) if name.isupper()}, "a line that limitdocs does not understand"
    assert set(limitdocs.reached()) ^ set(names) == set()


def test_every_bound_says_of_what_it_is() -> None:
    assert [bound.name for bound in limitdocs.bounds() if not bound.about] == []


def test_the_tests_are_there() -> None:
    missing = []
    for name, test in limitdocs.reached().items():
        module, _, function = test.partition("::")
        if test.startswith("- "):
            continue
        tree = ast.parse((TESTS / f"{module}.py").read_text("utf-8"))
        if function not in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}:
            missing.append(f"{name}: {test}")
    assert missing == []


def test_the_document_is_not_stale() -> None:
    assert (TESTS.parent / "docs/limits.md").read_text("utf-8") == limitdocs.markdown(), "run `make docs`"
