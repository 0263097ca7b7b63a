"""Flask, Django, Starlette and FastAPI sites answer GET and POST with every shape of server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from tests.support.fleet import starting
from tests.support.server import Server


class Shape(NamedTuple):
    """A site and the options it is served with."""

    app: str
    options: tuple[str, ...]

    def __str__(self) -> str:
        return self.app.split(":")[0].removesuffix("_site") + "".join(self.options).replace("--", "-")


ONE = ("--workers", "1", "--reactors", "1")
FOUR = ("--workers", "4", "--reactors", "1")
TWO_REACTORS = ("--workers", "1", "--reactors", "2")
FOUR_AND_TWO = ("--workers", "4", "--reactors", "2")
THREADS = ("--workers", "1", "--threads", "8", "--reactors", "1")
SHAPES = [
    *(Shape("flask_site:app", options) for options in (ONE, FOUR, TWO_REACTORS, FOUR_AND_TWO, THREADS)),
    *(Shape("starlette_site:app", options) for options in (ONE, FOUR, TWO_REACTORS, FOUR_AND_TWO)),
    Shape("django_site:wsgi", FOUR_AND_TWO),
    Shape("django_site:wsgi", THREADS),
    Shape("django_site:asgi", ONE),
    Shape("fastapi_site:app", FOUR_AND_TWO),
]


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def site(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server per shape, stopped before the next starts."""
    with starting() as start:
        yield start(request.param.app, *request.param.options)


def test_get_with_a_query(site: Server) -> None:
    with site.connect() as client:
        for number in range(20):
            answer = client.get(f"/hello/w%C3%B6rld?n={number}&text=a%20b")
            assert answer.status == 200
            assert answer.json()["hello"] == "wörld"
            assert answer.json()["query"] == {"n": str(number), "text": "a b"}
            assert answer.json()["pid"] in site.workers()


def test_post_of_a_form(site: Server) -> None:
    fields = {"name": "Ada Lovelace", "sign": "ä&=+", "long": "x" * 20_000}
    with site.connect() as client:
        for _ in range(5):
            answer = client.request(
                "POST",
                "/form",
                [("Content-Type", "application/x-www-form-urlencoded")],
                urlencode(fields).encode(),
            )
            assert answer.status == 200
            assert answer.json()["form"] == fields


def test_post_of_json(site: Server) -> None:
    value = {"name": "tea", "count": 3, "tags": ["a", "ü", "x" * 5_000]}
    with site.connect() as client:
        for _ in range(5):
            body = json.dumps(value).encode()
            answer = client.request("POST", "/json", [("Content-Type", "application/json")], body)
            assert answer.status == 200
            assert answer.json()["json"] == value


def test_a_redirect_that_sets_two_cookies(site: Server) -> None:
    with site.connect() as client:
        answer = client.get("/login")
        assert answer.status == 302
        assert answer.header("location") == "/hello/you"
        assert [cookie.split(";")[0] for cookie in answer.all("set-cookie")] == [
            "session=s3cret",
            "theme=dark",
        ]


def test_a_streamed_answer_arrives_whole(site: Server) -> None:
    with site.connect() as client:
        answer = client.get("/stream")
        assert answer.status == 200
        assert answer.framing == "chunked"
        assert answer.body.decode().splitlines() == [f"line {number}" for number in range(100)]
        assert client.get("/hello/again").status == 200


def test_an_unknown_path_is_the_frameworks_404(site: Server) -> None:
    with site.connect() as client:
        assert client.get("/nowhere").status == 404
        assert client.get("/hello/again").status == 200


def test_a_broken_view_is_a_500_and_the_connection_lives(site: Server) -> None:
    # Frameworks log the traceback on stderr themselves, Starlette's family raises it to the server as well.
    site.expect_log(r"Traceback|\[ERROR\]")
    with site.connect() as client:
        assert client.get("/broken").status == 500
        assert client.get("/hello/again").status == 200


def test_head_is_get_without_its_body(site: Server) -> None:
    with site.connect() as client:
        answer = client.request("HEAD", "/hello/there")
        # Starlette and Flask add HEAD to GET routes, FastAPI does not: 405 is the framework's own answer.
        assert answer.status in (200, 405)
        assert answer.body == b""
        assert client.get("/hello/again").status == 200


def test_many_connections_at_once(site: Server) -> None:
    clients = [site.connect() for _ in range(64)]
    for round_number in range(3):
        for number, client in enumerate(clients):
            client.send_request("GET", f"/hello/c{number}?round={round_number}")
        for number, client in enumerate(clients):
            answer = client.response()
            assert answer.status == 200
            assert answer.json()["hello"] == f"c{number}"
