"""Which sites there are, what their frameworks can do, and one that runs: the server, nginx before it or not.

The table of abilities is about the frameworks, not about us: where one cannot do a thing, a test asks for the answer
that the framework gives instead, or is not there for this site (`needs`).
"""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import urllib3

from tests.support.fleet import starting
from tests.support.nginx import NGINX_CONF, Nginx
from tests.support.processes import wait_until
from tests.support.server import APPS, Server

TIMEOUT_S = 20.0


class Can(enum.Flag):
    """What not every framework can."""

    HEAD = enum.auto()  # answers HEAD where there is a GET
    RANGES = enum.auto()  # a part of a static file
    CONDITIONAL = enum.auto()  # 304 for a static file
    ASK_BY_TAG = enum.auto()  # If-None-Match for a static file
    GZIP = enum.auto()  # compresses
    LIFESPAN = enum.auto()  # runs hooks when the server starts and stops
    DATABASE = enum.auto()  # the site has a database, and forms with a token
    RAISES = enum.auto()  # once it has answered 500, raises what its view has raised: the server logs it
    DEBUG_PAGE = enum.auto()  # a page with the traceback


class Project(NamedTuple):
    """A site and how it is found."""

    name: str
    app: str
    can: Can


FILES = Can.RANGES | Can.CONDITIONAL | Can.ASK_BY_TAG
PROJECTS = [
    Project("flask", "flask_site:app", Can.HEAD | FILES),
    Project("django-wsgi", "django_site.wsgi:application", Can.HEAD | Can.CONDITIONAL | Can.GZIP | Can.DATABASE),
    Project("django-asgi", "django_site.asgi:application", Can.HEAD | Can.CONDITIONAL | Can.GZIP | Can.DATABASE),
    Project("starlette", "starlette_site:app", Can.HEAD | FILES | Can.GZIP | Can.LIFESPAN | Can.RAISES),
    Project("fastapi", "fastapi_site:app", FILES | Can.GZIP | Can.LIFESPAN | Can.RAISES),
    Project("quart", "quart_site:app", Can.HEAD | FILES | Can.LIFESPAN),
    Project("litestar", "litestar_site:app", Can.GZIP | Can.LIFESPAN),
]


class Shape(NamedTuple):
    """One way to serve a project."""

    project: Project
    through_nginx: bool
    workers: int

    def __str__(self) -> str:
        return f"{self.project.name}-{'nginx' if self.through_nginx else 'direct'}-{self.workers}"


SHAPES = [
    Shape(project, through_nginx, workers)
    for project in PROJECTS
    for through_nginx in (False, True)
    for workers in (1, 4)
]


def needs(ability: Can) -> pytest.MarkDecorator:
    """A test for the sites whose framework can do this."""
    return pytest.mark.needs(ability)


behind_nginx = pytest.mark.behind_nginx
"""A test of what nginx.conf does."""


class Site:
    """A running site. `url`: where clients ask."""

    def __init__(self, shape: Shape, server: Server, nginx: Nginx | None) -> None:
        self.project = shape.project
        self.workers = shape.workers
        self.server = server
        self.nginx = nginx
        self.url = nginx.url if nginx else f"http://127.0.0.1:{server.port}"

    def client(self, **options: Any) -> httpx.Client:
        """An httpx client for this site; use it as a context manager."""
        return httpx.Client(base_url=self.url, timeout=TIMEOUT_S, trust_env=False, **options)

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """The same for asyncio."""
        return httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT_S, trust_env=False, **options)

    def pool(self) -> urllib3.HTTPConnectionPool:
        """urllib3's connections to this site, without redirects and retries; use it as a context manager."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return urllib3.HTTPConnectionPool(host, int(port), timeout=TIMEOUT_S, retries=False)

    def curl(self, target: str, *arguments: str, data: bytes | None = None) -> CurlAnswer:
        """One request by curl; `data` is its standard input."""
        command = ["curl", "--silent", "--show-error", "--include", "--max-time", "20", *arguments, self.url + target]
        done = subprocess.run(command, input=data, capture_output=True, check=False, env={"PATH": "/usr/bin:/bin"})
        assert done.returncode == 0, done.stderr.decode()
        return CurlAnswer(done.stdout)

    def wait_for_note(self, line: str) -> None:
        """Wait until the site has left this note (site_parts.note)."""
        wait_until(lambda: self.has_note(line), f"the note {line!r}")

    def has_note(self, line: str) -> bool:
        """Whether the note is there already."""
        return line in self.server.notes()


class CurlAnswer:
    """What curl --include has shown: `status`, `headers` (lower case names), `body` of the last response."""

    def __init__(self, shown: bytes) -> None:
        while True:
            head, _, shown = shown.partition(b"\r\n\r\n")
            status_line, *lines = head.decode("latin-1").split("\r\n")
            self.status = int(status_line.split(" ")[1])
            if self.status >= 200:
                break
        pairs = (line.partition(":") for line in lines)
        self.headers = [(name.lower(), value.strip()) for name, _, value in pairs]
        self.body = shown

    def all(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for key, value in self.headers if key == name]


def migrate(database: Path) -> None:
    """Make the database of the Django site, as one does before a deployment."""
    subprocess.run(
        [sys.executable, "-m", "django_site.manage", "migrate", "--verbosity", "0"],
        env={"PYTHONPATH": str(APPS), "SITE_DB": str(database), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )


@contextmanager
def serving(shape: Shape, **env: str) -> Iterator[Site]:
    """Serve a project until the context ends. `env` goes to the app.

    Behind nginx connections stay open between requests, so what is left behind is looked at when nginx has ended.
    """
    nginx: Nginx | None = None
    with starting(settled=not shape.through_nginx) as start:
        options = ["--workers", str(shape.workers), "--reactors", "1"]
        if not shape.through_nginx:
            yield Site(shape, start(shape.project.app, *options, env=env), None)
            return
        options += ["--keep-alive", "75"]
        server = start(shape.project.app, *options, binds=("unix:{dir}/http.sock",), env=env)
        places = {"unix:/run/swhttp/http.sock": server.addresses[0], "example.org": "localhost"}
        nginx = Nginx(NGINX_CONF, places)
        try:
            yield Site(shape, server, nginx)
        finally:
            nginx.stop()
