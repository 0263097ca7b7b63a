"""The documents keep to what there is: options and keys exist, tables are whole, links lead somewhere.

What they claim about behaviour is held by the tests of that behaviour.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from swhttp import accessformat, cli, config, sources, verbs
from swhttp.errors import ExitCode
from tests.conformance.checker import load_cases, load_deferred
from tests.support import peer_options
from tests.test_past_vulnerabilities import PAST

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "loadtest" / "README.md",
             *sorted((ROOT / "docs").glob("*.md"))]
FLAG = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
VERDICTS = ("not needed", "not in this version", "not planned")
CLICKS_OWN = frozenset({"--help", "-h"})
MISTAKES = frozenset({"--wokers"})
"""Shown in order to show what is said about them."""


def all_flags() -> frozenset[str]:
    """Every flag that the command accepts."""
    commands = [cli.command(), *map(verbs.command, verbs.VERBS)]
    return CLICKS_OWN | {flag for command in commands for parameter in command.params
                         for flag in (*parameter.opts, *parameter.secondary_opts)}


def main_flags() -> frozenset[str]:
    """Every flag that --help shows."""
    return all_flags() - {alias for option in config.OPTIONS.values() for alias in option.aliases}


def rows(document: str, title: str) -> Iterator[tuple[str, str, str]]:
    """The rows of all tables in `document` whose first heading is `title`: three cells each."""
    inside = False
    for line in (ROOT / "docs" / document).read_text("utf-8").splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        first, second, third = (cell.strip() for cell in line.strip("|").split("|"))
        if first == title:
            inside = True
        elif inside and not first.startswith("-"):
            yield first, second, third


GUNICORN = list(rows("migrating-from-gunicorn.md", "gunicorn"))
UVICORN = list(rows("migrating-from-uvicorn.md", "uvicorn"))


def named(table: list[tuple[str, str, str]]) -> list[str]:
    return [word for first, _, _ in table for word in CODE.findall(first)]


def test_the_table_for_gunicorn_has_every_setting_and_flag_once() -> None:
    assert sorted(named(GUNICORN)) == sorted(peer_options.GUNICORN_SETTINGS | peer_options.GUNICORN_FLAGS)
    text = (ROOT / "docs" / "migrating-from-gunicorn.md").read_text("utf-8")
    assert f"All {len(peer_options.GUNICORN_SETTINGS)} settings of gunicorn {peer_options.GUNICORN_VERSION}" in text


def test_the_table_for_uvicorn_has_every_flag_once() -> None:
    assert sorted(named(UVICORN)) == sorted(peer_options.UVICORN_FLAGS | {"APP"})
    text = (ROOT / "docs" / "migrating-from-uvicorn.md").read_text("utf-8")
    assert f"uvicorn {peer_options.UVICORN_VERSION}" in text


def faults(row: tuple[str, str, str]) -> Iterator[str]:
    """What is wrong with a row of the tables."""
    first, second, third = row
    instead = CODE.fullmatch(second)
    if second not in VERDICTS and not (instead and (instead[1] == "APP" or instead[1] in main_flags())):
        yield f"{first}: {second!r} is neither an option nor a verdict"
    if third.startswith("Same."):
        if second in VERDICTS:
            yield f"{first}: the same as nothing"
        yield from (f"{flag} is not accepted" for flag in CODE.findall(first)
                    if flag.startswith("-") and flag not in all_flags())
    yield from (f"{first}: there is no {flag}" for code in CODE.findall(third) if code.startswith("-")
                for flag in FLAG.findall(code)[:1] if flag not in main_flags())


@pytest.mark.parametrize("table", [GUNICORN, UVICORN], ids=["gunicorn", "uvicorn"])
def test_every_row_says_what_to_write_or_that_there_is_nothing(table: list[tuple[str, str, str]]) -> None:
    assert [fault for row in table for fault in faults(row)] == []


def options_in_code(text: str) -> set[str]:
    """Flags in `code` that stands alone, and in commands that start the server."""
    found = {word.split()[0] for word in CODE.findall(FENCE.sub("", text)) if re.match("--[a-z]", word)}
    for line in text.replace("\\\n", " ").splitlines():
        _, command, arguments = line.partition("swhttp ")
        if command and line.startswith(("    ", "$", "swhttp", "ExecStart", "CMD")):
            found.update(FLAG.findall(arguments))
    return found


# Those about other servers name options that we do not have, and so does the reference.
@pytest.mark.parametrize("document", [path for path in DOCUMENTS if not path.name.startswith(("migrating-", "options"))
                                      and path.parent.name != "loadtest"],
                         ids=lambda path: path.name)
def test_the_options_in_a_document_exist(document: Path) -> None:
    assert options_in_code(document.read_text("utf-8")) - all_flags() - MISTAKES == set()


@pytest.mark.parametrize("name", ["configuration.md", "migrating-from-gunicorn.md", "tutorial.md"])
def test_the_files_in_a_document_can_be_read(name: str) -> None:
    texts = TOML.findall((ROOT / "docs" / name).read_text("utf-8"))
    assert texts
    for text in texts:
        data = tomllib.loads(text)
        assert (sources.project if "tool" in data else sources.document)(name, data)


def test_readme_has_every_exit_code() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [int(code) for code in re.findall(r"^\| ([0-9]+) \|", text, re.MULTILINE)] == sorted(ExitCode)


def test_the_access_log_has_the_formats_and_atoms_that_its_document_says() -> None:
    text = (ROOT / "docs" / "logging.md").read_text("utf-8")
    for name in ("common", "combined"):
        assert f"`{accessformat.NAMED[name]}`" in text
    assert all(f"`{field}`" in text for field in re.findall(r'"(\w+)":', accessformat.NAMED["json"]))
    atoms = [atom for line in text.splitlines() if line.startswith("| `%") for atom in CODE.findall(line)
             if atom.startswith("%")]
    assert {atom[-1] for atom in atoms} >= set(accessformat.PLAIN)
    for atom in atoms:
        accessformat.parse(atom.replace("NAME", "user-agent").replace("FORMAT", "%H:%M"))


def anchors(document: Path) -> set[str]:
    """The ids that GitHub gives the headings of `document`."""
    found: set[str] = set()
    for line in FENCE.sub("", document.read_text("utf-8")).splitlines():
        if line.startswith("#"):
            words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line.lstrip("#").strip()).lower()
            found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    lost = []
    for target in LINK.findall(FENCE.sub("", document.read_text("utf-8"))):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = (document.parent / path).resolve() if path else document
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(target)
    assert lost == []


def test_every_document_is_in_the_index() -> None:
    linked = set(LINK.findall((ROOT / "docs" / "index.md").read_text("utf-8")))
    documents = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert documents - {target.partition("#")[0] for target in linked} == set()


def test_what_shows_that_it_is_secure_exists() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    tests = {name for path in (ROOT / "tests").rglob("test_*.py")
             for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)}
    cases = {case.id: case.keys.get("cve", []) for case in load_cases() if case.id not in load_deferred()}
    past = {case.id for case in PAST}
    assert {word for word in CODE.findall(text) if word.startswith("test_")} - tests == set()
    answered, named = set(), set()
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        heading, _, *rows = (line.strip("|").split("|") for line in table.splitlines())
        for cells in rows if heading[-1].strip() == "shown by" else []:
            shown = set(CODE.findall(cells[-1]))
            assert shown, cells
            assert shown - tests - cases.keys() - past == set(), cells
            named |= shown
            answered |= set(re.findall(r"CVE-\d+-\d+", cells[0]))
    assert past - named == set(), "shown, but not said"
    assert {number for numbers in cases.values() for number in numbers} - answered == set(), "of the corpus"
