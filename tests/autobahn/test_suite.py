"""What `make autobahn` concludes from the suite's reports, and when it says that there is no Python 2.7."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.autobahn import install, suite

OUTPUT = "Ok, will run 3 test cases against 1 servers\nCases = ['1.1.1', u'7.1.5', '10.1.1']\nServers = ['ws://x']\n"


OK = ("OK", "OK")


def conclude(verdicts: dict[str, tuple[str, str]], expected: set[str] | None = None) -> tuple[bool, list[str]]:
    """What is said of a report with these cases."""
    index: dict[str, Any] = {
        name: {"behavior": behaviour, "behaviorClose": ending, "remoteCloseCode": 1000, "duration": 500}
        for name, (behaviour, ending) in verdicts.items()}
    return suite.summary(suite.cases_of({suite.AGENT: index}), set(verdicts) if expected is None else expected)


def test_the_three_good_verdicts_are_counted_and_pass() -> None:
    informational = ("INFORMATIONAL", "INFORMATIONAL")
    well, lines = conclude({"10.1.1": OK, "2.1": ("NON-STRICT", "OK"), "9.1": informational, "7.1": OK})
    assert well
    assert lines == [
        "4 cases in 2 s", "  behaviour: 2 OK, 1 NON-STRICT, 1 INFORMATIONAL", "  ending: 3 OK, 1 INFORMATIONAL"]


@pytest.mark.parametrize("verdicts", [("FAILED", "OK"), ("OK", "WRONG CODE"), ("OK", "UNCLEAN"), ("NONE", "OK")])
def test_any_other_verdict_fails_and_its_case_is_named(verdicts: tuple[str, str]) -> None:
    well, lines = conclude({"1.1": OK, "1.2": verdicts})
    assert not well
    assert lines[-1] == f"  1.2: {verdicts[0]}, ending {verdicts[1]}, close code 1000"


def test_what_was_announced_must_have_been_run() -> None:
    expected = suite.announced(OUTPUT)
    assert expected == {"1.1.1", "7.1.5", "10.1.1"}
    well, lines = conclude({"1.1.1": OK, "10.1.1": OK}, expected)
    assert not well
    assert lines[-1] == "  7.1.5: not run"
    assert not suite.summary([], suite.announced("Traceback"))[0], "a suite that runs nothing does not pass"


def test_cases_stand_in_the_order_of_their_numbers() -> None:
    bad = ("FAILED", "OK")
    _, lines = conclude({"10.1": bad, "9.10": bad, "9.9": bad})
    assert [line.split(":")[0].strip() for line in lines[3:]] == ["9.9", "9.10", "10.1"]


def test_a_python_is_looked_for_where_one_may_be(tmp_path: Path) -> None:
    for version in ("2.7.9", "2.7.18", "3.11.7"):
        (tmp_path / "versions" / version).mkdir(parents=True)
    found = [f"{tmp_path}/versions/{version}/bin/python2.7" for version in ("2.7.9", "2.7.18")]
    assert list(install.candidates({"PYENV_ROOT": str(tmp_path)}, Path("/home/x"))) == ["python2.7", *found]
    assert list(install.candidates({"PYTHON2": "/opt/py"}, Path("/home/x"))) == ["/opt/py"]
    assert not install.works("/no/such/python2.7")
    assert not install.works("/bin/true")
