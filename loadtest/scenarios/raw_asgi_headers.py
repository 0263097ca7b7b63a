"""The raw ASGI app, asked as a browser asks: 15 headers, some 900 bytes of them."""

from __future__ import annotations

from dataclasses import replace

from loadtest.scenarios import raw_asgi

SCENARIO = replace(
    raw_asgi.SCENARIO,
    name="raw-asgi-headers",
    about="raw ASGI app, 13-byte body, 15 browser headers",
    headers=(
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Referer", "https://shop.example.com/catalogue/garden/chairs?page=3&sort=price"),
        ("Cookie", "session=6f1d0c9b7e5a4b3c8d2e1f0a9b8c7d6e; csrftoken=Qm9ZtX4vLw2sKp8r; theme=dark"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-User", "?1"),
        ("DNT", "1"),
        ("Priority", "u=0, i"),
        ("If-None-Match", 'W/"5f2b-18c3a9d7e40"'),
    ),
)
