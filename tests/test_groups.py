"""Tests that share a server are in one group, so that one process runs them (tests/support/groups.py)."""

from __future__ import annotations

from tests.frameworks.sites import SHAPES
from tests.support.groups import group_of


def test_a_module_is_a_group_whatever_its_tests_are_called() -> None:
    assert group_of("tests/test_binds.py::test_tcp[a::b]") == group_of("tests/test_binds.py::test_a_unix_socket")
    assert group_of("tests/test_binds.py::test_tcp") != group_of("tests/test_boot.py::test_tcp")


def test_a_site_of_a_framework_is_a_group_across_modules() -> None:
    groups = [
        {group_of(f"tests/frameworks/{module}.py::test_it[{shape}{more}]") for module in "ab" for more in ("", "-1-x")}
        for shape in SHAPES
    ]
    assert all(len(group) == 1 for group in groups)
    assert len(set.union(*groups)) == len(SHAPES)


def test_a_case_of_conformance_is_in_the_group_of_its_server() -> None:
    case = "tests/conformance/test_conformance.py::test_case[{}-cl-lists]"
    groups = {group_of(case.format(site)) for site in ("wsgi-1", "wsgi-2", "asgi-1", "asgi-2")}
    behind_a_proxy = group_of("tests/conformance/test_conformance.py::test_case_behind_a_proxy[cl-lists]")
    assert len(groups | {behind_a_proxy}) == 5
