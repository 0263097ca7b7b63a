"""Logging in, cookies, forms with a token, work after the answer: what spans more than one request."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import httpx

from tests.frameworks.sites import Can, Site, needs

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]*)"')


def _log_in(client: httpx.Client, name: str) -> httpx.Response:
    form = client.get("/login")
    assert form.status_code == 200
    token = TOKEN.search(form.text)
    assert token
    return client.post("/login", data={"name": name, "csrfmiddlewaretoken": token[1]})


def test_logging_in_sets_two_cookies_and_redirects(site: Site) -> None:
    with site.client() as client:
        answer = _log_in(client, "Ada")
        assert answer.status_code == 303
        assert answer.headers["Location"].removeprefix(site.url) == "/me"
        names = [cookie.partition("=")[0] for cookie in answer.headers.get_list("Set-Cookie")]
        assert {"theme", "session"} <= {name.removesuffix("id") for name in names}
        assert client.get("/me").json()["name"] == "Ada"
        assert "Hello, Ada!" in client.get("/").text


def test_a_session_counts_in_every_worker(site: Site) -> None:
    with site.client() as client:
        _log_in(client, "Grace Hoppér")
        cookies = dict(client.cookies)
    # Each connection's requests may go to any worker; all of them know the cookie's key.
    pids = set()
    for _ in range(50 if site.workers > 1 else 3):
        with site.client(cookies=cookies) as other:
            answer = other.get("/me").json()
        assert answer["name"] == "Grace Hoppér"
        pids.add(answer["pid"])
        if len(pids) == site.workers:
            break
    assert pids <= set(site.server.workers())


def test_who_is_not_logged_in_or_logs_out_is_refused(site: Site) -> None:
    with site.client(follow_redirects=True) as client:
        assert client.get("/me").status_code == 401
        _log_in(client, "Ada")
        assert client.get("/me").status_code == 200
        assert "Hello, stranger!" in client.post("/logout").text
        assert client.get("/me").status_code == 401


def test_a_cookie_that_somebody_has_changed_is_no_session(site: Site) -> None:
    with site.client() as client:
        _log_in(client, "Ada")
        name = next(name for name in client.cookies if name.startswith("session"))
        value = client.cookies[name].strip('"')
    changed = value[:5] + ("A" if value[5] != "A" else "B") + value[6:]
    answer = site.curl("/me", "--cookie", f"{name}={changed}")
    assert answer.status == 401
    assert site.curl("/me", "--cookie", f"{name}={value}").status == 200


def test_work_goes_on_after_the_answer(site: Site) -> None:
    with site.server.gate() as gate, site.pool() as pool:
        answer = pool.request("POST", "/later/mail?" + urlencode({"gate": gate.path}))
        assert answer.status == 202
        assert answer.json() == {"later": "mail"}
        inside = gate.entered()  # the answer is here, and the work is not done
        assert not site.has_note("later mail")
        inside.release()
        site.wait_for_note("later mail")


@needs(Can.DATABASE)
def test_a_form_without_its_token_is_refused(site: Site) -> None:
    site.server.expect_log("Forbidden")
    with site.client() as client:
        assert client.post("/login", data={"name": "Mallory"}).status_code == 403
        assert client.get("/me").status_code == 401


@needs(Can.DATABASE)
def test_what_is_written_to_the_database_is_read_by_every_worker(site: Site) -> None:
    written = f"from {site.url}"
    with site.client(follow_redirects=True) as client:
        token = TOKEN.search(client.get("/entries").text)
        assert token
        answer = client.post("/entries", data={"text": written, "csrfmiddlewaretoken": token[1]})
        assert answer.status_code == 200
        assert "Thank you." in answer.text
        assert "Thank you." not in client.get("/entries").text
    for _ in range(8):
        answer = site.curl("/entries")
        assert answer.status == 200
        assert answer.body.decode().count(f"<li>{written}</li>") == 1
