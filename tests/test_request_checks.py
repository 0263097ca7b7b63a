"""What the HTTP parser leaves to us, seen from outside: a bad request costs its own connection only."""

from __future__ import annotations

import pytest

from swhttp import limits
from tests.support.client import request_bytes
from tests.support.fleet import Start
from tests.support.server import Server

BAD_HOSTS = [
    b"", b"Host:\r\n", b"Host: \t \r\n", b"Host: a b\r\n", b"Host: a\tb\r\n", b"Host: a/b\r\n",
    b"Host: user@a\r\n",
    b"Host: a:b\r\n", b"Host: a:80:81\r\n", b"Host: a:-1\r\n", b"Host: a:99999999\r\n", b"Host: [::1\r\n",
    b"Host: ::1\r\n", b"Host: [::g]\r\n", b"Host: a\\b\r\n", b"Host: a,b\r\n", b"Host: \xffa\r\n",
    b"Host: a?b\r\n",
    b"Host: a#b\r\n", b"Host: <a>\r\n", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nhost: b\r\n",
    b"Host: a\r\nHOST:\r\n",
]  # fmt: skip
GOOD_HOSTS = [
    "a", "a.example", "a.example.", "a:80", "a:", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000",
    "xn--bcher-kva.de",
    "under_score", "a-b", "A.EXAMPLE", "[fe80::1]", "[::ffff:1.2.3.4]:1",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(module_server: Start) -> Server:
    """The reference app with one worker; which app it is makes no difference to checks in the master."""
    return module_server("reference:wsgi", "--workers", "1", "--reactors", "1")


def refused(site: Server, data: bytes, *statuses: int) -> str:
    """Send bytes; one answer of these statuses, then the end; others are served. Returns its reason."""
    since = site.log.mark()
    seen = len(site.seen())
    with site.connect() as client:
        client.send(data)
        answer = client.response()
        assert answer.status in statuses, answer
        assert answer.header("connection") == "close"
        client.half_close()
        client.expect_end()
    assert len(site.seen()) == seen, "the app saw it"
    reason = answer.body.decode().strip()
    site.wait_for_log(rf"\[WARNING\] {answer.status} reason={reason}\b", since=since)
    assert site.get("/after")["target"] == "/after"
    return reason


@pytest.mark.parametrize("fields", BAD_HOSTS, ids=repr)
def test_anything_but_one_valid_host_is_400(site: Server, fields: bytes) -> None:
    assert "host" in refused(site, b"GET / HTTP/1.1\r\n" + fields + b"\r\n", 400)


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_a_valid_host_reaches_the_app_as_sent(site: Server, host: str) -> None:
    with site.connect() as client:
        answer = client.request(host=host)
        assert answer.status == 200
        assert answer.json()["host"] == host


@pytest.mark.parametrize("target", ["/a\\b", "/a%00b", "/a%00?b", "http://a/\\"])
def test_a_path_that_would_be_another_for_a_file_system_is_refused(site: Server, target: str) -> None:
    assert refused(site, request_bytes(target=target), 400) == "bad-target"


def test_a_query_may_hold_what_browsers_and_bittorrent_send(site: Server) -> None:
    target = "/announce?info_hash=%00%12\\x&dir=C:\\a"
    assert site.get(target)["target"] == target


def test_a_bad_host_is_bad_in_http_1_0_too(site: Server) -> None:
    refused(site, b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400)


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/1.2", "HTTP/9.9"])
def test_other_versions_are_505_or_400(site: Server, version: str) -> None:
    refused(site, request_bytes(version=version), 505, 400)


@pytest.mark.parametrize(
    "version", ["HTTP/1", "HTTP/1.", "HTTP/11", "HTTP/1.1.1", "http/1.1", "HTTP/ 1.1", "HTTP1.1", ""]
)
def test_malformed_versions_are_refused(site: Server, version: str) -> None:
    refused(site, request_bytes(version=version), 505, 400)


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1", b"GET\t/ HTTP/1.1",
        b"GET /\tHTTP/1.1", b"GET / a HTTP/1.1", b"GET HTTP/1.1", b"GET  HTTP/1.1", b"GET",
        b"GET /", b"/ HTTP/1.1",
        b"GET / HTTP/1.1\t", b"GET /\x0bHTTP/1.1", b"GET /\xc2\xa0HTTP/1.1",
    ],
    ids=repr,
)  # fmt: skip
def test_a_request_line_has_exactly_two_single_spaces(site: Server, line: bytes) -> None:
    refused(site, line + b"\r\nHost: a\r\n\r\n", 400, 501)


@pytest.mark.parametrize("deliver", ["whole", "single bytes"])
@pytest.mark.parametrize("line", [b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET / HTTP/1.1 "], ids=repr)
def test_spaces_are_counted_however_the_line_arrives(site: Server, line: bytes, deliver: str) -> None:
    data = line + b"\r\nHost: a\r\n\r\n"
    with site.connect() as client:
        client.send(*([data] if deliver == "whole" else (data[at : at + 1] for at in range(len(data)))))
        assert client.response().status == 400
    assert site.get("/after")["target"] == "/after"


@pytest.mark.parametrize(
    "fields",
    [b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n"],
    ids=["plain", "keep-alive"],
)
def test_transfer_encoding_in_http_1_0_is_400(site: Server, fields: bytes) -> None:
    refused(site, b"POST / HTTP/1.0\r\nHost: a\r\n" + fields + b"\r\n0\r\n\r\n", 400)


@pytest.mark.parametrize("method", ["BREW", "get", "GETT", "GE", "QUERY2", "X-Y"])
def test_an_unknown_method_is_501(site: Server, method: str) -> None:
    refused(site, request_bytes(method), 501)


@pytest.mark.parametrize(
    "method",
    ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "MKCOL", "REPORT", "M-SEARCH"],
)
def test_known_methods_reach_the_app(site: Server, method: str) -> None:
    with site.connect() as client:
        assert client.request(method).json()["method"] == method


def test_connect_is_405(site: Server) -> None:
    refused(site, b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 405)


def test_options_of_the_server_as_a_whole_reaches_the_app(site: Server) -> None:
    with site.connect() as client:
        assert client.request("OPTIONS", "*").status == 200


@pytest.mark.parametrize("target", ["*", "foo/bar", "!", "*foo", "?a", "a:b", "http:///x", "http://"])
def test_a_target_in_none_of_the_four_forms_is_400(site: Server, target: str) -> None:
    refused(site, request_bytes(target=target), 400)


def test_an_absolute_target_names_the_host_for_the_app(site: Server) -> None:
    with site.connect() as client:
        answer = client.request(target="http://other.example/x?y=1", host="ignored.example").json()
        assert (answer["host"], answer["path"], answer["query"]) == ("other.example", "/x", "y=1")


# Sizes and counts while the head still arrives: each case ends before its head, so no answer waited for it.


def test_a_line_at_its_limit_is_served(site: Server) -> None:
    target = "/" + "a" * (limits.MAX_REQUEST_LINE_BYTES - len("GET / HTTP/1.1") - 2)
    with site.connect() as client:
        assert client.get(target).json()["target"] == target


@pytest.mark.parametrize("pieces", [1, 64, 9000])
def test_a_line_past_8_kib_is_414_before_its_end(site: Server, pieces: int) -> None:
    line = b"GET /" + b"a" * (limits.MAX_REQUEST_LINE_BYTES + 100)
    step = -(-len(line) // pieces)
    seen = len(site.seen())
    with site.connect() as client:
        client.send_while_open(*(line[at : at + step] for at in range(0, len(line), step)))
        assert client.response().status == 414
    assert len(site.seen()) == seen


def test_a_line_past_8_kib_is_414_when_it_is_complete(site: Server) -> None:
    refused(site, request_bytes(target="/" + "a" * limits.MAX_REQUEST_LINE_BYTES), 414)


def test_a_field_at_its_limit_is_served(site: Server) -> None:
    value = "v" * (limits.MAX_FIELD_BYTES - len("X-Long: ") - 2)
    with site.connect() as client:
        answer = client.request(headers=[("X-Long", value)])
        assert answer.status == 200
        assert ["x-long", value] in answer.json()["headers"]


@pytest.mark.parametrize(
    "field", [b"X-Long: " + b"v" * (limits.MAX_FIELD_BYTES + 100), b"n" * (limits.MAX_FIELD_BYTES + 100)]
)
@pytest.mark.parametrize("pieces", [1, 50])
def test_a_field_past_16_kib_is_431_before_its_end(site: Server, field: bytes, pieces: int) -> None:
    step = -(-len(field) // pieces)
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        client.send_while_open(*(field[at : at + step] for at in range(0, len(field), step)))
        assert client.response().status == 431
    assert site.get("/after")["target"] == "/after"


def test_a_head_past_64_kib_is_431_before_its_end(site: Server) -> None:
    fields = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 8000) for number in range(9))
    assert len(fields) > limits.MAX_HEAD_BYTES
    refused(site, b"GET / HTTP/1.1\r\nHost: a\r\n" + fields, 431)


def test_a_head_within_64_kib_is_served(site: Server) -> None:
    fields = [(f"x-{number}", "v" * 8000) for number in range(8)]
    with site.connect() as client:
        answer = client.request(headers=fields)
        assert answer.status == 200
        assert [pair for pair in answer.json()["headers"] if pair[0] != "host"] == [
            list(pair) for pair in fields
        ]


def test_100_fields_are_served_and_the_101st_is_431_before_the_head_ends(site: Server) -> None:
    fields = [(f"x-{number}", "v") for number in range(limits.MAX_FIELDS - 1)]  # and Host
    with site.connect() as client:
        answer = client.request(headers=fields)
        assert answer.status == 200
        assert len(answer.json()["headers"]) == limits.MAX_FIELDS
    refused(site, request_bytes(headers=[*fields, ("x-last", "v"), ("x-more", "v")])[:-2], 431)


def test_a_few_empty_lines_before_a_request_are_skipped_and_many_are_not(site: Server) -> None:
    with site.connect() as client:
        client.send(b"\r\n" + request_bytes())
        assert client.response().status == 200
        client.send(b"\r\n" + request_bytes())
        assert client.response().status == 200
    refused(site, b"\r\n" * 1000, 400)


@pytest.mark.parametrize(
    "name", [b"X Y", b"X\tY", b"X(", b"X\x00", b"X\xff", b"", b"X:Y: a\r\nX Y", b" X", b"X "], ids=repr
)
def test_a_bad_field_name_is_400(site: Server, name: bytes) -> None:
    refused(site, b"GET / HTTP/1.1\r\nHost: a\r\n" + name + b": v\r\n\r\n", 400)


@pytest.mark.parametrize(
    "value", [b"a\x00b", b"a\nb", b"a\rb", b"a\x01b", b"a\x7fb", b"a\r\n folded"], ids=repr
)
def test_a_control_character_in_a_value_is_400(site: Server, value: bytes) -> None:
    refused(site, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + value + b"\r\n\r\n", 400)


@pytest.mark.parametrize(
    "length", [b"abc", b"-1", b"+1", b"1 2", b"1,1", b"0x1", b"1_0", b"", b"9" * 20, b"1\xb9"], ids=repr
)
def test_a_content_length_that_is_no_number_is_refused(site: Server, length: bytes) -> None:
    refused(site, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\n", 400, 413)


def test_length_and_chunked_at_once_are_400(site: Server) -> None:
    for fields in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ):
        refused(site, b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n0\r\n\r\n", 400)


def test_a_bad_request_is_logged_with_its_client(site: Server) -> None:
    since = site.log.mark()
    with site.connect() as client:
        port = client.socket.getsockname()[1]
        client.send(request_bytes(host="a b"))
        assert client.response().body.strip() == b"bad-host"
        site.wait_for_log(rf"\[WARNING\] 400 reason=bad-host client=127\.0\.0\.1:{port}\b", since=since)


def test_environ_carries_no_proxy_and_no_field_with_an_underscore(site: Server) -> None:
    with site.connect() as client:
        answer = client.request(
            "POST",
            headers=[
                ("Proxy", "http://evil"),
                ("Content_Length", "999"),
                ("X_Twin", "bad"),
                ("X-Twin", "good"),
            ],
            body=b"hello",
        )
        environ = answer.json()["environ"]
        assert "HTTP_PROXY" not in environ
        assert environ["CONTENT_LENGTH"] == "5"
        assert environ["HTTP_X_TWIN"] == "good"
