"""`--reload`: a file changes, and the new code answers on the connections that are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swhttp import watcher
from tests.support.fleet import Start
from tests.support.server import Server

APP = """
from pathlib import Path

def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [ANSWER, Path(__file__).with_name("page.html").read_bytes()]
"""


@pytest.mark.parametrize(
    ("path", "patterns", "is_one"),
    [
        ("shop/page.html", ("*.html",), True),
        ("shop/page.html", ("*.txt", "shop/*.html"), True),
        ("shop/page.html", ("shop",), True),
        ("shop/page.html", ("sh",), False),
        ("shop/page.html", ("*.htm",), False),
        ("shop/page.html", (), False),
    ],
)
def test_patterns_are_those_of_files_and_of_the_directories_that_they_are_in(
    path: str, patterns: tuple[str, ...], is_one: bool
) -> None:
    assert watcher.matches(path, patterns) is is_one


def test_what_is_above_the_watched_directories_does_not_count() -> None:
    directories = ("/srv/.git/site", "/srv/.git/site/inner", "/")
    assert watcher.within("/srv/.git/site/inner/a.py", directories) == "a.py"
    assert watcher.within("/srv/.git/sites/a.py", directories) == "srv/.git/sites/a.py"


def watched(server: Start, directory: Path, *options: str) -> Server:
    """A server for an app in `directory` that answers 1, once changes are seen."""
    (directory / "site_app.py").write_text("ANSWER = b'1'" + APP)
    (directory / "page.html").write_text(" page")
    site = server(
        "site_app:app", "--workers", "1", "--reactors", "1", "--app-dir", str(directory), "--reload", *options)
    site.wait_for_log("File watcher: started")
    site.wait_ready()
    return site


def replace(path: Path, text: str) -> None:
    """As editors do: the file is whole at any time."""
    path.with_suffix(".tmp").write_text(text)
    os.rename(path.with_suffix(".tmp"), path)


def test_a_changed_file_brings_its_code_and_one_that_does_not_work_only_a_traceback(
    server: Start, tmp_path: Path
) -> None:
    site = watched(server, tmp_path)
    app = tmp_path / "site_app.py"
    with site.connect() as client:
        assert client.get("/").body == b"1 page"
        for directory in ("__pycache__", ".git", "node_modules"):
            (tmp_path / directory).mkdir()
            (tmp_path / directory / "changed.py").write_text("")
        (tmp_path / "page.html").write_text(" leaf")
        replace(app, "ANSWER = b'2'" + APP)
        site.wait_for_log(r"\[INFO\] \S*site_app\.py changed: reloading$")
        site.wait_for_log(r"\[INFO\] Reloaded")
        assert client.get("/").body == b"2 leaf"

        site.expect_log(r"Traceback|\[ERROR\] (Cannot serve the app|The reload failed)")
        replace(app, "ANSWER = nothing" + APP)
        site.wait_for_log(r"NameError: name 'nothing' is not defined")
        site.wait_for_log(r"\[ERROR\] The reload failed")
        assert client.get("/").body == b"2 leaf"
        replace(app, "ANSWER = b'3'" + APP)
        site.wait_for_log(r"\[INFO\] Reloaded", count=2)
        assert client.get("/").body == b"3 leaf"
    assert len(site.wait_for_log("changed: reloading$")) == 3


def test_other_files_can_be_included_and_excluded(server: Start, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    site = watched(server, tmp_path, "--reload-include", "*.html", "--reload-exclude", "old")
    (tmp_path / "old" / "old.py").write_text("")
    (tmp_path / "old" / "old.html").write_text("")
    (tmp_path / "page.html").write_text(" leaf")
    site.wait_for_log(r"page\.html changed: reloading$")
    site.wait_for_log(r"\[INFO\] Reloaded")
