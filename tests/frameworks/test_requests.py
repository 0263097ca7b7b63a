"""Routing, queries, forms, JSON, errors: what every page of a site needs."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from tests.frameworks.sites import Can, Site, behind_nginx


def test_a_typed_parameter_and_a_query_with_repeated_names(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/items/42?tag=a&tag=b%20c&text=%C3%A4%26%3D")
        assert answer.status_code == 200
        assert answer.json()["item"] == 42
        assert answer.json()["query"] == {"tag": ["a", "b c"], "text": ["ä&="]}
        assert answer.json()["pid"] in site.server.workers()


@pytest.mark.parametrize("target", ["/items/abc", "/nowhere", "/static/nothing.css"])
def test_what_is_not_there_is_the_sites_own_404(site: Site, target: str) -> None:
    with site.pool() as pool:
        answer = pool.request("GET", target)
        assert answer.status == 404
        assert b"This site says: nothing is here" in answer.data
        assert pool.request("GET", "/items/1").status == 200


def test_a_method_that_is_not_served_is_a_405_with_allow(site: Site) -> None:
    answer = site.curl("/json")
    assert answer.status == 405
    assert "POST" in answer.all("allow")[0]


@pytest.mark.parametrize("path", ["über/tee", "日本語", "a b/c%d", "é+é&x=y"])
def test_a_path_in_any_script_reaches_the_view_as_text(site: Site, path: str) -> None:
    with site.pool() as pool:
        quoted = "".join(f"%{byte:02X}" for byte in path.encode())
        answer = pool.request("GET", "/pages/" + quoted.replace("%2F", "/"))
        assert answer.status == 200
        assert answer.json() == {"page": path}


def test_a_urlencoded_form(site: Site) -> None:
    fields = {"name": ["Ada Lovelace"], "sign": ["ä&=+%", "second"], "long": ["x" * 20_000]}
    with site.client() as client:
        answer = client.post("/form", data=fields)
        assert answer.status_code == 200
        # Litestar gives a single value without its list.
        shown = {name: value if isinstance(value, list) else [value] for name, value in answer.json()["form"].items()}
        assert shown == fields


def test_json_in_and_out(site: Site) -> None:
    value = {"name": "tea", "count": 3, "tags": ["a", "ü", "x" * 5_000]}
    answer = site.curl(
        "/json", "--header", "Content-Type: application/json", "--data-binary", "@-", data=json.dumps(value).encode()
    )
    assert answer.status == 200
    assert json.loads(answer.body)["json"] == value


def test_json_that_is_none_is_the_frameworks_4xx(site: Site) -> None:
    with site.client() as client:
        answer = client.post("/json", content=b"{nonsense", headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
        assert client.get("/items/1").status_code == 200


def test_a_redirect_is_followed_to_its_page(site: Site) -> None:
    with site.client(follow_redirects=True) as client:
        answer = client.get("/old")
        assert [step.status_code for step in answer.history] == [301]
        assert answer.json()["item"] == 1


def test_an_absolute_url_is_made_of_the_host_that_the_client_used(site: Site) -> None:
    with site.client() as client:
        assert client.get("/links").json() == {"item": f"{site.url}/items/7"}
        port = urlsplit(site.url).port
        answer = client.get("/links", headers={"Host": f"localhost:{port}"})
        assert answer.json() == {"item": f"http://localhost:{port}/items/7"}


@behind_nginx
def test_a_client_cannot_choose_the_host_by_forwarding_fields(site: Site) -> None:
    fields = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "444",
              "X-Forwarded-For": "192.0.2.66", "Forwarded": "for=192.0.2.66;host=evil.example;proto=https"}
    with site.client() as client:
        assert client.get("/links", headers=fields).json() == {"item": f"{site.url}/items/7"}


def test_head_is_get_without_its_body(site: Site) -> None:
    with site.pool() as pool:
        whole = pool.request("GET", "/items/5")
        answer = pool.request("HEAD", "/items/5")
        assert answer.data == b""
        if Can.HEAD in site.project.can:
            assert answer.status == 200
            assert answer.headers["Content-Length"] == whole.headers["Content-Length"]
        else:
            assert answer.status == 405
        assert pool.request("GET", "/items/6").json()["item"] == 6


def test_a_broken_view_is_the_sites_own_500_and_the_connection_lives(site: Site) -> None:
    # Flask and Quart log the traceback themselves before they answer.
    site.server.expect_log(r"Traceback|\[ERROR\]")
    log = site.server.log.mark()
    with site.pool() as pool:
        answer = pool.request("GET", "/broken")
        assert answer.status == 500
        assert b"This site says: that went wrong" in answer.data
        assert pool.request("GET", "/items/1").status == 200
    if Can.RAISES in site.project.can:
        site.server.wait_for_log("RuntimeError: the view is broken", since=log)


def test_the_startup_hook_has_run_before_the_first_request(site: Site) -> None:
    with site.client() as client:
        expected = "lifespan" if Can.LIFESPAN in site.project.can else None
        assert client.get("/started").json() == {"started": expected}


def test_many_clients_at_once_get_each_its_own_answer(site: Site) -> None:
    async def ask() -> None:
        async with site.async_client() as client:
            for _ in range(2):
                answers = await asyncio.gather(*(client.get(f"/items/{number}") for number in range(50)))
                assert [answer.json()["item"] for answer in answers] == list(range(50))

    asyncio.run(ask())
