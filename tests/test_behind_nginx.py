"""Behind nginx with the configuration that we ship, apps and the access log see the client, whatever it says itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accesslog import AccessLog
from tests.support.client import Connection
from tests.support.fleet import starting
from tests.support.forwarding import ends
from tests.support.nginx import NGINX_CONF, Nginx

CLIENT = "127.0.0.9"  # of no network that is trusted by default
SPOOF = [
    ("X-Forwarded-For", "192.0.2.66"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "444"), ("Forwarded", "for=192.0.2.66;host=evil.example;proto=https")]


@pytest.fixture(params=["wsgi", "asgi"])
def nginx(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nginx]:
    """nginx before the reference app, which logs to tmp_path / "log"."""
    with starting(settled=False) as start:
        server = start(
            f"reference:{request.param}", "--workers", "1", "--keep-alive", "75",
            "--access-log", str(tmp_path / "log"), binds=("unix:{dir}/http.sock",))
        nginx = Nginx(NGINX_CONF, {"unix:/run/swhttp/http.sock": server.addresses[0], "example.org": "localhost"})
        try:
            yield nginx
        finally:
            nginx.stop()


@pytest.mark.parametrize("headers", [[], SPOOF], ids=["honest", "spoofed"])
def test_the_client_is_who_connected_to_nginx(
    nginx: Nginx, tmp_path: Path, headers: list[tuple[str, str]]
) -> None:
    with Connection(nginx.address, CLIENT) as client:
        seen = ends(client.request(headers=headers, host="localhost"))
    assert seen == {"client": (CLIENT, 0), "scheme": "http", "host": "localhost", "server": seen["server"]}
    assert seen["server"][0] != "evil.example"
    assert [line.client for line in AccessLog.whole_after(tmp_path / "log", "", 1)] == [CLIENT]


@pytest.mark.parametrize("nginx", ["wsgi"], indirect=True)
def test_the_host_is_the_one_that_nginx_has_chosen_its_server_by(nginx: Nginx) -> None:
    with Connection(nginx.address, CLIENT) as client:
        for target, host, seen in (("/", "localhost", "localhost"), ("/", "LOCALHOST:8080", "LOCALHOST:8080"),
                                   ("http://localhost/", "evil.example", "localhost"),
                                   ("http://localhost/", "localhost.evil.example", "localhost")):
            assert client.request(target=target, host=host).json()["host"] == seen, (target, host)
        client.send_request(host=None, version="HTTP/1.0")
        assert client.response().json()["host"] == "localhost"
