"""In debug mode a broken view shows its traceback in the browser; and hooks run when the server stops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frameworks.sites import PROJECTS, Can, Project, Shape, Site, serving

# What the framework's own debug page says, and the site's page does not.
MARKS = {
    "flask": "Werkzeug Debugger",
    "django-wsgi": "seeing this error because you have",
    "django-asgi": "seeing this error because you have",
    "starlette": "Traceback",
    "fastapi": "Traceback",
    "quart": '<div class="locals">',
    "litestar": "Litestar exception page",
}


@pytest.fixture(scope="module", params=PROJECTS, ids=lambda project: project.name)
def debugged(request: pytest.FixtureRequest, database: Path) -> Iterator[Site]:
    """A site in debug mode."""
    with serving(Shape(request.param, False, 1), SITE_DEBUG="1", SITE_DB=str(database)) as site:
        yield site


def test_a_broken_view_shows_its_traceback(debugged: Site) -> None:
    debugged.server.expect_log(r"Traceback|\[ERROR\]")
    with debugged.client(headers={"Accept": "text/html"}) as client:
        answer = client.get("/broken")
        assert answer.status_code == 500
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "the view is broken" in answer.text
        assert MARKS[debugged.project.name] in answer.text
        assert "data.py" in answer.text
        assert client.get("/items/1").status_code == 200


@pytest.mark.parametrize(
    "project", [project for project in PROJECTS if Can.LIFESPAN in project.can], ids=lambda project: project.name
)
def test_the_shutdown_hook_runs_in_every_worker(project: Project) -> None:
    with serving(Shape(project, False, 2)) as site:
        assert not site.has_note("stopped")
        site.server.kill(15)
        assert site.server.wait_exit() == 0
        notes = Path(site.server.seen_path).read_text().splitlines()
        assert notes.count("stopped") == 2
