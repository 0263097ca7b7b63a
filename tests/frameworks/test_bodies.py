"""Uploads, downloads, streams, events, static files, compression."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
import json
import random
import re
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.apps.site_parts import BOOK, LINES, LONG_TEXT, STATIC
from tests.frameworks.sites import Can, Site, needs

MIB = 1024 * 1024
STYLE = (STATIC / "site.css").read_bytes()
LARGE = random.Random(1).randbytes(3 * MIB + 77)


def _report(data: bytes) -> dict[str, object]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("data", [b"", b"a few bytes\r\n--x--\r\n", LARGE], ids=["empty", "small", "3-mib"])
def test_a_multipart_upload(site: Site, data: bytes) -> None:
    with site.client() as client:
        files = {"file": ("räksmörgås.bin", data, "application/octet-stream")}
        answer = client.post("/files", data={"title": "Ein Brötchen"}, files=files)
        assert answer.status_code == 200
        assert answer.json() == {"title": "Ein Brötchen", "name": "räksmörgås.bin", **_report(data)}


def test_a_multipart_upload_by_curl_which_waits_for_100_continue(site: Site) -> None:
    fields = ("--form", "title=from curl", "--form", "file=@-;filename=big.bin", "--header", "Expect: 100-continue")
    answer = site.curl("/files", *fields, data=LARGE)
    assert answer.status == 200
    assert json.loads(answer.body) == {"title": "from curl", "name": "big.bin", **_report(LARGE)}


def test_a_large_body_of_known_length(site: Site) -> None:
    with site.pool() as pool:
        answer = pool.request("PUT", "/uploads/large", body=LARGE)
        assert answer.status == 200
        assert answer.json() == {"name": "large", **_report(LARGE)}


def test_a_large_body_in_chunks(site: Site) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(LARGE), 100_000):
            yield LARGE[start : start + 100_000]

    with site.client() as client:
        answer = client.put("/uploads/chunked", content=pieces())
        assert answer.status_code == 200
        assert answer.json() == {"name": "chunked", **_report(LARGE)}


def test_several_uploads_at_once(site: Site) -> None:
    bodies = [random.Random(number).randbytes(400_000 + number) for number in range(6)]

    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]
            await asyncio.sleep(0)

    async def send() -> None:
        async with site.async_client() as client:
            sent = (client.put(f"/uploads/u{n}", content=pieces(body)) for n, body in enumerate(bodies))
            answers = await asyncio.gather(*sent)
            assert [answer.json() for answer in answers] == [
                {"name": f"u{n}", **_report(body)} for n, body in enumerate(bodies)
            ]

    asyncio.run(send())


def test_a_streamed_answer_arrives_whole(site: Site) -> None:
    with site.pool() as pool:
        answer = pool.request("GET", "/lines")
        assert answer.status == 200
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.data.decode().splitlines() == [f"line {number}" for number in range(LINES)]
        assert pool.request("GET", "/items/1").status == 200


def test_events_come_as_they_happen_and_the_site_notices_that_the_client_has_left(site: Site) -> None:
    # The response has no end: what arrives at all arrives before it.
    with site.client() as client, client.stream("GET", "/events/httpx") as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines()  # kept: an iterator that is dropped closes the connection
        data = (line.removeprefix("data:") for line in lines if line.startswith("data:"))
        assert [json.loads(text)["number"] for text in itertools.islice(data, 5)] == [0, 1, 2, 3, 4]
        assert not site.has_note("gone httpx")
    site.wait_for_note("gone httpx")


def test_events_to_many_clients_at_once(site: Site) -> None:
    # With WSGI each has a thread for itself as long as it is there.
    count = site.workers if site.project.app.startswith(("flask", "django_site.wsgi")) else 10

    async def listen(number: int) -> None:
        async with site.async_client() as client, client.stream("GET", f"/events/many{number}") as answer:
            seen = 0
            async for line in answer.aiter_lines():
                seen += line.startswith("data:")
                if seen == 3:
                    return

    async def all_of_them() -> None:
        await asyncio.gather(*(listen(number) for number in range(count)))

    asyncio.run(all_of_them())
    for number in range(count):
        site.wait_for_note(f"gone many{number}")


def test_a_download_by_the_frameworks_own_way(site: Site) -> None:
    answer = site.curl("/download")
    assert answer.status == 200
    assert re.fullmatch('attachment; filename="?book.py"?', answer.all("content-disposition")[0])
    assert answer.all("content-length") == [str(BOOK.stat().st_size)]
    assert answer.body == BOOK.read_bytes()


def test_a_static_file(site: Site) -> None:
    with site.pool() as pool:
        answer = pool.request("GET", "/static/site.css")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/css")
        assert answer.data == STYLE


@needs(Can.CONDITIONAL)
def test_a_static_file_that_the_client_has_is_a_304(site: Site) -> None:
    with site.client() as client:
        first = client.get("/static/site.css", headers={"Accept-Encoding": "identity"})
        again = {"If-Modified-Since": first.headers["Last-Modified"]}
        if Can.ASK_BY_TAG in site.project.can:
            again["If-None-Match"] = first.headers["ETag"]
        answer = client.get("/static/site.css", headers={"Accept-Encoding": "identity", **again})
        assert answer.status_code == 304
        assert answer.content == b""
        assert client.get("/static/site.css").content == STYLE


def test_a_part_of_a_static_file(site: Site) -> None:
    answer = site.curl("/static/site.css", "--range", "100-199")
    if Can.RANGES in site.project.can:
        assert answer.status == 206
        assert answer.all("content-range") == [f"bytes 100-199/{len(STYLE)}"]
        assert answer.body == STYLE[100:200]
    else:
        assert answer.status == 200
        assert answer.body == STYLE


@needs(Can.RANGES)
def test_a_range_past_the_end_of_a_static_file_is_a_416(site: Site) -> None:
    assert site.curl("/static/site.css", "--range", f"{len(STYLE)}-").status == 416


@needs(Can.GZIP)
def test_the_framework_compresses_for_who_wants_it(site: Site) -> None:
    with site.pool() as pool:
        packed = pool.request("GET", "/text", headers={"Accept-Encoding": "gzip"}, decode_content=False)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data).decode() == LONG_TEXT
        assert len(packed.data) < len(LONG_TEXT) / 4
        plain = pool.request("GET", "/text", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert plain.data.decode() == LONG_TEXT


@needs(Can.GZIP)
def test_a_stream_is_compressed_on_its_way(site: Site) -> None:
    answer = site.curl("/lines", "--compressed")
    assert answer.status == 200
    assert answer.all("content-encoding") == ["gzip"]
    assert answer.body.decode().splitlines() == [f"line {number}" for number in range(LINES)]
