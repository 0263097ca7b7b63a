"""TLS at the socket's edge: what the app and the client see, and what becomes of clients that break the rules."""

from __future__ import annotations

import base64
import contextlib
import hmac
import itertools
import os
import re
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from swhttp import limits
from swhttp.belongings import Belongings
from swhttp.certificates import leaf_of
from swhttp.config import Config
from tests.support import processes, proxying, tls
from tests.support.bodies import Check, body
from tests.support.client import Closed, Connection, Reset, request_bytes
from tests.support.counters import Since, gauge
from tests.support.fleet import Start
from tests.support.gate import Gate
from tests.support.memory import private_bytes
from tests.support.server import APPS, Server
from tests.support.tls import TlsSocket, authority
from tests.test_control import run
from tests.test_privileges import by_root
from tests.test_privileges import start as as_nobody

ONE = ("--workers", "1", "--reactors", "1")
SIZE = 20 << 20
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SMALL_BUFFER = 16 << 10
ETHERNET_BYTES = 1448  # of content in a packet: the buffers that the kernel has for a connection follow from it


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """HTTPS, and plain HTTP beside it."""
    return module_server(f"reference:{request.param}", *ONE, *tls.options(), tls=authority().client(),
                         binds=("127.0.0.1:0", "http://127.0.0.1:0"))


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def paths(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """Every response path."""
    return module_server(f"paths:{request.param}", *ONE, *tls.options(), tls=authority().client())


@contextlib.contextmanager
def raw(site: Server) -> Iterator[socket.socket]:
    """A TCP connection on which nothing has been said."""
    with socket.create_connection(site.tcp_addresses()[0], timeout=10) as connection:
        yield connection


def refuses(site: Server) -> bool:
    """Whether nobody listens there any more."""
    with socket.socket() as connection:
        return connection.connect_ex(site.tcp_addresses()[0]) != 0


# What is seen


def test_both_sides_see_https(site: Server) -> None:
    assert [address.split(":")[0] for address in site.addresses] == ["https", "http"]
    answer = site.get("/")
    if answer["interface"] == "asgi":
        assert answer["scheme"] == "https"
        facts = answer["tls"]
        assert facts["tls_version"] == 0x0304
        assert facts["cipher_suite"] in (0x1301, 0x1302, 0x1303)
        with open(tls.usual().cert) as file:
            shown = file.read()
        assert shown.startswith(facts["server_cert"].strip())
        assert (facts["client_cert_chain"], facts["client_cert_name"], facts["client_cert_error"]) == ([], None, None)
    else:
        environ = answer["environ"]
        assert (environ["wsgi.url_scheme"], environ["HTTPS"]) == ("https", "on")
        assert (environ["SSL_PROTOCOL"], environ["SSL_CLIENT_VERIFY"]) == ("TLSv1.3", "NONE")
        assert environ["SSL_CIPHER"].startswith("TLS_")


def test_a_plain_bind_beside_it_is_plain(site: Server) -> None:
    with Connection(site.tcp_addresses()[1]) as client:
        answer = client.get("/").json()
    assert answer.get("scheme", answer.get("environ", {}).get("wsgi.url_scheme")) == "http"
    assert not answer.get("tls")
    assert "HTTPS" not in answer.get("environ", {})


def test_a_trusted_proxy_may_say_http_of_its_client(site: Server) -> None:
    with site.connect() as client:
        answer = client.get("/", X_Forwarded_Proto="http").json()
    assert answer.get("scheme", answer.get("environ", {}).get("wsgi.url_scheme")) == "http"


def test_http_1_1_is_agreed_upon(site: Server) -> None:
    context = authority().client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with raw(site) as connection:
        assert TlsSocket(connection, context).session.selected_alpn_protocol() == "http/1.1"


def test_a_session_is_taken_up_again(site: Server) -> None:
    context = authority().client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with raw(site) as connection:
        first = TlsSocket(connection, context)
        first.sendall(request_bytes())
        assert first.recv(1 << 16).startswith(b"HTTP/1.1 200")
    with raw(site) as connection:
        second = TlsSocket(connection, context, resumes=first.session.session)
        assert second.session.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_a_client_with_a_certificate_is_taken_up_again(server: Start, version: ssl.TLSVersion) -> None:
    mine = authority().issue("me@example.com")
    context = authority().client(mine)
    context.maximum_version = version
    site = server("reference:wsgi", *ONE, *tls.options(), "--ssl-ca-certs", authority().file,
                  "--ssl-cert-reqs", "required", tls=context)
    session = None
    for _ in range(2):
        with raw(site) as connection:
            client = TlsSocket(connection, context, resumes=session)
            client.sendall(request_bytes(headers=[("Connection", "close")]))
            answer = b""
            while piece := client.recv(1 << 16):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"-----BEGIN CERTIFICATE-----" in answer
            assert client.session.session_reused == (session is not None)
            session = client.session.session


# How bytes come and go


def test_keep_alive_and_pipelining(site: Server) -> None:
    with site.connect() as client:
        for number in range(3):
            assert client.get(f"/{number}").json()["target"] == f"/{number}"
        client.send(b"".join(request_bytes(target=f"/p{number}") for number in range(50)))
        assert [client.response().json()["target"] for _ in range(50)] == [f"/p{number}" for number in range(50)]


def test_records_come_byte_by_byte(site: Server) -> None:
    with site.connect() as client:
        sent = client.socket.encrypted(request_bytes("POST", "/slowly", body=b"x" * 500))
        for at in range(len(sent)):
            client.socket.raw.sendall(sent[at:at + 1])
        assert client.response().json()["body"] == "x" * 500


@pytest.mark.parametrize("size", [1 << 16, 3 << 20])
def test_a_body_in_small_and_in_large_records(site: Server, size: int) -> None:
    content = b"0123456789abcdef" * (size // 16)
    with site.connect() as client:
        client.send(request_bytes("POST", "/b", body=content))
        assert client.response().json()["body"] == content.decode()
        client.send(request_bytes("POST", "/c", [("Transfer-Encoding", "chunked")], b""))
        for at in range(0, size, size // 4):
            client.send(b"%x\r\n" % (size // 4), content[at:at + size // 4], b"\r\n")
        client.send(b"0\r\n\r\n")
        assert client.response().json()["body"] == content.decode()


def test_a_slow_reader_gets_all_of_a_large_body(paths: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("files") / "large"
    path.write_bytes(body(SIZE))
    for target in (f"/memory?size={SIZE}", f"/memory?size={SIZE}&piece=100000&framing=none", f"/file?path={path}"):
        with paths.connect(buffer_bytes=SMALL_BUFFER) as client:
            client.send_request(target=target)
            check = Check()
            for piece in client.pieces(client.head()):
                check.feed(piece)
            assert check.taken == SIZE
            assert client.get("/").status == 200
    gauge(paths, "arena_held")


def test_who_was_found_slow_has_little_kept_twice(server: Start) -> None:
    """Until it has caught up, also when what it holds of the arena has been moved. Of WSGI, which is far ahead of it:
    an ASGI app waits, so that the client catches up as soon as it reads a little."""
    paths = server("paths:wsgi", *ONE, *tls.options(), tls=authority().client())
    since, count, size = Since(paths), 12, 6 << 20
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(paths.connect(buffer_bytes=SMALL_BUFFER)) for _ in range(count)]
        for client in clients:
            client.send_request(target=f"/memory?size={size}")
        since.passes("clients_slow", count)
        gauge(paths, "arena_held")
        before, sent = private_bytes(paths.pid), since["sent_bytes"]
        for client in clients:
            client.raw(2_500_000)
        since.passes("sent_bytes", sent + (count << 20))  # so each was encrypted for anew
        assert (private_bytes(paths.pid) - before) / count < 20 << 10  # a record of 16 KiB, and not four of them


def test_a_client_that_reads_nothing_is_cut_at_its_deadline(server: Start) -> None:
    site = server("paths:wsgi", *ONE, *tls.options(), "--write-timeout", "1", tls=authority().client())
    with site.connect(buffer_bytes=SMALL_BUFFER) as client:
        client.send_request(target=f"/memory?size={SIZE}")
        gauge(site, "open")
        cut = client.expect_cut(30)
        assert isinstance(cut, Reset)


# Ends


def test_an_end_in_order_says_so(site: Server) -> None:
    with site.connect() as client:
        client.send_request(headers=[("Connection", "close")])
        assert client.response().status == 200
        client.expect_end()


def test_a_cut_response_does_not_end_in_order(site: Server) -> None:
    site.expect_log("Traceback|ERROR")
    with site.connect() as client:
        client.send_request(target="/raise-later?size=100000&pieces=4", version="HTTP/1.0")
        with pytest.raises(Reset):
            client.response()


def test_an_idle_connection_ends_in_order(server: Start) -> None:
    site = server("reference:wsgi", *ONE, *tls.options(), "--keep-alive", "0.3", tls=authority().client())
    with site.connect() as client:
        assert client.get("/").status == 200
        client.expect_end()


def test_a_client_that_says_its_end_and_waits_gets_its_answer(site: Server) -> None:
    with site.connect() as client:
        client.send_request(target="/last")
        client.socket.say_end()
        assert client.response().json()["target"] == "/last"
        client.expect_end()


def test_a_client_that_leaves_in_order_is_noticed(site: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its close_notify lies unread in the socket, which is not another request."""
    with Gate(str(tmp_path_factory.mktemp("g"))) as gate, site.connect() as client:
        client.send_request(target=f"/hold?gate={gate.path}")
        holding = gate.entered()
        client.half_close()
        gauge(site, "open", 0)
        holding.release()
        with pytest.raises(Closed):
            client.response()


def test_a_pipelined_request_before_the_end_is_served(site: Server, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Gate(str(tmp_path_factory.mktemp("g"))) as gate, site.connect() as client:
        client.send_request(target=f"/hold?gate={gate.path}")
        holding = gate.entered()
        client.send_request(target="/behind")
        client.half_close()
        holding.release()
        assert client.response().status == 200
        assert client.response().json()["target"] == "/behind"
        client.expect_end()


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
def test_what_comes_while_a_part_of_a_record_waits_is_read(server: Start, leaves: bool) -> None:
    """A record holds a body's end and a byte more, which the session keeps while the request is served. The socket,
    which was empty when that record was read, is not when its rest is."""
    site = server("reference:wsgi", *ONE, *tls.options(), tls=authority().client())
    with site.gate() as gate, site.connect() as client:
        behind = request_bytes(target="/behind")
        client.send_request("POST", gate.target, [("Content-Length", "5"), ("Expect", "100-continue")])
        assert client.raw(len(CONTINUE)) == CONTINUE  # from here on the body goes to its place, and no byte further
        client.send(b"hello" + behind[:1])
        holding = gate.entered()
        since = Since(site)
        client.send(behind[1:])
        if leaves:
            client.half_close()
        since.passes("turns", 2)  # epoll has told, and tells no second time
        holding.release()
        assert client.response().status == 200
        assert client.response().json()["target"] == "/behind"
        if leaves:
            client.expect_end()
        else:
            assert client.get("/on").json()["target"] == "/on"


def test_of_a_body_the_end_may_be_in_half_a_record(server: Start) -> None:
    """An app does not read on: as much of a body as may be ahead has been read, and half a record behind it. The other
    half, which is less than the body lacks, waits in the socket with one more request when the client's end comes."""
    site = server("bodies:asgi", *ONE, *tls.options(), tls=authority().client())
    chunk, last = bytes(9000), bytes(16000)
    length = 1 + limits.MAX_CHUNKS_AHEAD * len(chunk) + len(last)
    assert length > limits.INLINE_BODY_BYTES
    with site.gate() as gate, site.connect() as client:
        client.send_request("POST", f"/upload?gate={gate.path}", [("Content-Length", str(length))])
        client.send(b"\0")
        holding = gate.entered()
        since = Since(site)
        for nth in range(1, limits.MAX_CHUNKS_AHEAD):
            client.send(chunk)
            since.becomes(received_bytes=nth * len(chunk))
        sent = [client.socket.encrypted(part) for part in (chunk, last, request_bytes(target="/pid"))]
        client.socket.raw.sendall(b"".join(sent))
        since.becomes(received_bytes=limits.MAX_CHUNKS_AHEAD * len(chunk))
        turns = since["turns"]
        client.half_close()
        since.passes("turns", turns + 1)
        holding.release()
        assert client.response().json()["length"] == length
        assert client.response().status == 200
        client.expect_end()


def test_half_a_record_at_the_end_may_become_a_request(server: Start) -> None:
    site = server("reference:wsgi", *ONE, "--threads", "2", *tls.options(), tls=authority().client())
    with site.gate() as gate, site.connect() as busy, site.connect() as client:
        busy.send_request(target=gate.target)  # so that the server is there for as long as this takes
        visitor = gate.entered()
        assert client.get("/").keeps_open
        sent = client.socket.encrypted(request_bytes(target="/half"))
        site.kill(signal.SIGTERM)
        processes.wait_until(lambda: refuses(site), "idle connections to be looked at, and the listener shut")
        since = Since(site)
        client.socket.raw.sendall(sent[:20])
        since.passes("turns", 2)  # it has looked, and seen nothing that it could read
        client.socket.raw.sendall(sent[20:])
        answer = client.response()
        assert (answer.status, answer.json()["target"], answer.keeps_open) == (200, "/half", False)
        visitor.release()
        assert busy.response().status == 200
    site.finish()


def test_a_handshake_under_way_keeps_its_place_and_silence_does_not(server: Start) -> None:
    site = server("reference:wsgi", *ONE, *tls.options(), "--max-connections", "2", tls=authority().client())
    with raw(site) as connection:
        client = TlsSocket(connection, authority().client(), shake=False)
        with pytest.raises(ssl.SSLWantReadError):
            client.session.do_handshake()
        hello = client.outgoing.read()
        connection.sendall(hello[:100])
        gauge(site, "open", 1)
        with raw(site) as silent:
            gauge(site, "open", 2)
            assert site.get("/")["target"] == "/"  # in the place of the silent one
            assert silent.recv(1) == b""
        connection.sendall(hello[100:])
        client.shake()
        client.sendall(request_bytes())
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")


# Handshakes that come to nothing


def test_a_handshake_has_a_deadline(server: Start) -> None:
    site = server("reference:wsgi", *ONE, *tls.options(), "--ssl-handshake-timeout", "0.5", "--log-level", "debug")
    since = Since(site)
    hello = TlsSocket(socket.socket(), authority().client(), shake=False)
    with pytest.raises(ssl.SSLWantReadError):
        hello.session.do_handshake()
    with raw(site) as silent, raw(site) as slow:
        slow.sendall(hello.outgoing.read()[:100])
        assert slow.recv(1) == silent.recv(1) == b""
    hello.raw.close()
    site.wait_for_log("reason=tls-handshake-timeout.* client=127.0.0.1")
    assert (since["tls_timeout"], since["tls_handshakes"]) == (2, 0)


def test_a_handshake_that_has_begun_keeps_its_place_in_a_crowd(server: Start) -> None:
    site = server("reference:wsgi", *ONE, *tls.options(), "--max-connections", "2", tls=authority().client())
    hello = TlsSocket(socket.socket(), authority().client(), shake=False)
    hello.raw.close()
    with raw(site) as slow, raw(site) as silent:
        hello.raw = slow
        with pytest.raises(ssl.SSLWantReadError):
            hello.session.do_handshake()
        first = hello.outgoing.read()
        since = Since(site)
        slow.sendall(first[:100])
        since.passes("turns")
        with site.connect() as other:  # has the place of the silent one, which is the younger of the two
            assert silent.recv(1) == b""
            assert other.get("/").status == 200
        slow.sendall(first[100:])
        hello._until_done(hello.session.do_handshake)
        slow.sendall(hello.outgoing.read())
        hello.sendall(request_bytes())
        assert hello.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")


def test_clients_that_leave_during_a_handshake_leave_nothing(site: Server) -> None:
    hello = TlsSocket(socket.socket(), authority().client(), shake=False)
    with pytest.raises(ssl.SSLWantReadError):
        hello.session.do_handshake()
    data = hello.outgoing.read()
    hello.raw.close()
    for length in (0, 1, 5, 60, len(data) - 1, len(data)):
        with raw(site) as client:
            client.sendall(data[:length])
    gauge(site, "open")


def test_what_is_no_tls_is_refused(site: Server) -> None:
    since = Since(site)
    with raw(site) as client:
        client.sendall(b"\x16\x03\x01\x00\x10" + b"\xff" * 64)
        while piece := client.recv(100):
            assert piece[0] == 0x15  # an alert
    assert since["tls_failed"] == 1


def test_a_connection_on_which_nothing_was_asked_has_no_line(server: Start, tmp_path: Path) -> None:
    log = tmp_path / "access"
    site = server("reference:wsgi", *ONE, *tls.options(), "--access-log", str(log), "--access-log-format", "%s %U",
                  tls=authority().client())
    with raw(site) as client:
        client.sendall(b"\x16\x03\x01\x00\x10" + b"\xff" * 64)
        while client.recv(100):
            pass
    with site.connect():
        pass  # agrees upon TLS, and says its end
    site.get("/asked")
    gauge(site, "open")
    site.stop()
    assert log.read_text().splitlines() == ["200 /asked"]


def test_plain_http_is_told_so_in_plain_text(site: Server) -> None:
    site.expect_log("reason=http-to-tls-port")
    with Connection(site.tcp_addresses()[0]) as client:
        client.send_while_open(request_bytes())
        answer = client.response()
        assert (answer.status, answer.body) == (400, b"http-to-tls-port")
        client.expect_end()


def test_an_odd_server_name_is_refused_without_a_traceback(server: Start) -> None:
    named = authority().issue("other.example")
    site = server("reference:wsgi", *ONE, *tls.options(), "--ssl-sni", f"other.example={named.both}",
                  tls=authority().client())
    hello = TlsSocket(socket.socket(), authority().client(), "odd.example", shake=False)
    with pytest.raises(ssl.SSLWantReadError):
        hello.session.do_handshake()
    with raw(site) as client:
        client.sendall(hello.outgoing.read().replace(b"odd.example", b"\xff\xfe\xfd.example"))
        assert client.recv(1) == b"\x15"
    hello.raw.close()
    assert site.get("/")["target"] == "/"
    assert "Traceback" not in site.log.text()


# Options


def peer_of(site: Server, name: str, context: ssl.SSLContext | None = None) -> dict[str, object]:
    """The certificate that is shown to those who want `name`."""
    with raw(site) as connection:
        found = TlsSocket(connection, context or authority().client(), name)
        found.sendall(request_bytes(host=name))
        assert found.recv(1 << 16).startswith(b"HTTP/1.1 200")
        certificate = found.session.getpeercert()
    assert certificate is not None
    return certificate


def names_of(certificate: dict[str, object]) -> list[str]:
    return [value for _, value in certificate["subjectAltName"]]  # type: ignore[attr-defined]


def test_certificates_by_server_name(server: Start) -> None:
    one, many = authority().issue("one.example"), authority().issue("*.many.example")
    site = server("reference:asgi", *ONE, *tls.options(), "--ssl-sni", f"One.example={one.cert},{one.key}",
                  "--ssl-sni", f"*.many.example={many.both}", tls=authority().client())
    assert names_of(peer_of(site, "one.example")) == ["one.example"]
    assert names_of(peer_of(site, "a.many.example")) == ["*.many.example"]
    assert "localhost" in names_of(peer_of(site, "localhost"))
    with pytest.raises(ssl.SSLCertVerificationError):
        peer_of(site, "a.b.many.example")
    with raw(site) as connection:
        client = TlsSocket(connection, authority().client(), "one.example")
        client.sendall(request_bytes())
        shown = ssl.DER_cert_to_PEM_cert(client.session.getpeercert(True) or b"")
        assert shown.strip().splitlines()[1].encode() in client.recv(1 << 16)  # the app sees that very one


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_client_certificates(server: Start, interface: str) -> None:
    mine = authority().issue("me@example.com", common_name="me, myself")
    ask = ("--ssl-ca-certs", authority().file, "--ssl-cert-reqs")
    site = server(f"reference:{interface}", *ONE, *tls.options(), *ask, "required", tls=authority().client(mine))
    answer = site.get("/")
    if interface == "asgi":
        with open(mine.cert) as file:
            assert answer["tls"]["client_cert_chain"][0] == file.read()
        assert answer["tls"]["client_cert_name"].startswith("CN=me\\, myself,")
    else:
        assert answer["environ"]["SSL_CLIENT_S_DN"].startswith("CN=me\\, myself,")
        assert answer["environ"]["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert answer["environ"]["SSL_CLIENT_CERT"].startswith("-----BEGIN CERTIFICATE-----\n")
    since = Since(site)
    with raw(site) as connection:
        nobody = TlsSocket(connection, authority().client())  # in TLS 1.3 the client is done before the server looks
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            nobody.recv(1)
    assert since["tls_failed"] == 1
    site.stop()
    site = server(f"reference:{interface}", *ONE, *tls.options(), *ask, "1", tls=authority().client())
    answer = site.get("/")
    assert (answer.get("tls") or {}).get("client_cert_chain", []) == []
    assert answer.get("environ", {}).get("SSL_CLIENT_VERIFY", "NONE") == "NONE"


def test_versions_and_ciphers(server: Start) -> None:
    old = authority().client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    site = server("reference:wsgi", *ONE, *tls.options(), "--ssl-ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", tls=old)
    environ = site.get("/")["environ"]
    assert (environ["SSL_PROTOCOL"], environ["SSL_CIPHER"]) == ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")
    site.stop()
    site = server("reference:wsgi", *ONE, *tls.options(), "--ssl-min-version", "TLSv1.3")
    with raw(site) as connection, pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        TlsSocket(connection, old)


def test_an_encrypted_key_and_its_password(server: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    site = server("reference:wsgi", *ONE, "--ssl-certfile", tls.usual().cert, "--ssl-keyfile", encrypted_key(),
                  env={"SWHTTP_SSL_KEYFILE_PASSWORD": "secret"}, tls=authority().client())
    assert site.get("/")["target"] == "/"


def encrypted_key() -> str:
    """The usual key, encrypted with the password "secret"."""
    from cryptography.hazmat.primitives import serialization as form

    with open(tls.usual().key, "rb") as file:
        key = form.load_pem_private_key(file.read(), None)
    path = tls.usual().key + ".encrypted"
    with open(path, "wb") as file:
        file.write(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8,
                                     form.BestAvailableEncryption(b"secret")))
    return path


def bad(name: str) -> list[str]:
    """Options that cannot work."""
    cert, key, other = tls.usual().cert, tls.usual().key, authority().issue("other.example")
    with open(tls.usual().key + ".text", "w") as file:
        file.write("no PEM")
    broken = tls.usual().key + ".broken"
    with open(broken, "w") as half:
        half.write("-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n")
    return {
        "no file": ["--ssl-certfile", "/no/such.pem"],
        "no key file": ["--ssl-certfile", cert, "--ssl-keyfile", "/no/such.pem"],
        "no certificate": ["--ssl-certfile", file.name, "--ssl-keyfile", key],
        "no key": ["--ssl-certfile", cert],
        "no key in its file": ["--ssl-certfile", cert, "--ssl-keyfile", file.name],
        "no key for a name": [*tls.options(), "--ssl-sni", f"a.example={cert}"],
        "a broken key": ["--ssl-certfile", cert, "--ssl-keyfile", broken],
        "another key": ["--ssl-certfile", cert, "--ssl-keyfile", other.key],
        "no password": ["--ssl-certfile", cert, "--ssl-keyfile", encrypted_key()],
        "a wrong password": ["--ssl-certfile", cert, "--ssl-keyfile", encrypted_key(), "--ssl-keyfile-password", "x"],
        "no ciphers": [*tls.options(), "--ssl-ciphers", "quux"],
        "no authority": [*tls.options(), "--ssl-cert-reqs", "required", "--ssl-ca-certs", file.name],
        "another key for a name": [*tls.options(), "--ssl-sni", f"a.example={cert},{other.key}"],
    }[name]


@pytest.mark.parametrize(("name", "said"), [
    ("no file", "--ssl-certfile: '/no/such.pem': No such file"),
    ("no key file", "--ssl-keyfile: '/no/such.pem': No such file"),
    ("no certificate", "--ssl-certfile: there is no certificate in"),
    ("no key", "--ssl-certfile: there is no key in .*: say --ssl-keyfile$"),
    ("no key in its file", "--ssl-keyfile: there is no key in '.*text'$"),
    ("no key for a name", "--ssl-sni: there is no key in .*: say a.example=.*,KEYFILE$"),
    ("a broken key", r"--ssl-certfile: no certificate in .* that OpenSSL takes: [^()]*$"),
    ("another key", "--ssl-certfile: the key in .* is not that of the certificate"),
    ("no password", "--ssl-keyfile-password: the key in .* is encrypted, and none is given"),
    ("a wrong password", "--ssl-keyfile-password: it is not that of the key in"),
    ("no ciphers", "--ssl-ciphers: OpenSSL knows no cipher in 'quux'"),
    ("no authority", "--ssl-ca-certs: there is no certificate in"),
    ("another key for a name", "--ssl-sni: the key in .* is not that of the certificate"),
])  # fmt: skip
def test_what_cannot_be_loaded_is_said_before_the_start(name: str, said: str) -> None:
    done = run("reference:wsgi", "--check-config", "--app-dir", str(APPS), *bad(name))
    assert done.returncode == 8
    assert re.search(said, done.stderr, re.MULTILINE), done.stderr
    assert "_ssl.c" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_cannot_be_loaded_ends_the_start(server: Start) -> None:
    site = server("reference:wsgi", *ONE, *bad("another key"), ready=False)
    site.expect_log("--ssl-certfile: the key in")
    site.finish(expect=8)
    assert "Traceback" not in site.log.text()


def test_a_password_is_not_shown() -> None:
    done = run("reference:wsgi", "--check-config", "--app-dir", str(APPS), "--ssl-certfile", tls.usual().cert,
               "--ssl-keyfile", encrypted_key(), SWHTTP_SSL_KEYFILE_PASSWORD="secret")
    assert done.returncode == 0
    assert re.search(r"ssl-keyfile-password +\*\*\* ", done.stdout)
    assert "secret" not in done.stdout.replace("SSL_KEYFILE_PASSWORD", "")


def test_a_client_that_asks_for_new_keys_and_reads_nothing_is_cut(server: Start, tmp_path: Path) -> None:
    site = server("reference:wsgi", *ONE, *tls.options(), tls=authority().client())
    context = authority().client()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.keylog_filename = str(tmp_path / "keys")
    since = Since(site)
    with socket.socket() as raw_socket:
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET_BYTES)
        raw_socket.settimeout(10.0)
        raw_socket.connect(site.tcp_addresses()[0])
        client = TlsSocket(raw_socket, context)
        secret = re.search(r"CLIENT_TRAFFIC_SECRET_0 \S+ (\S+)", (tmp_path / "keys").read_text())
        assert secret
        updates = key_updates(client.session.cipher()[0], bytes.fromhex(secret[1]))
        sent = 0
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < 100 * limits.MAX_TLS_UNSENT_BYTES:
                piece = b"".join(itertools.islice(updates, 100))
                raw_socket.sendall(piece)
                sent += len(piece)
    assert limits.MAX_TLS_UNSENT_BYTES < sent < 100 * limits.MAX_TLS_UNSENT_BYTES
    gauge(site, "open")
    assert since["tls_handshakes"] == 1


def key_updates(cipher: str, secret: bytes) -> Iterator[bytes]:
    """Records by which a client, whose traffic secret this is, changes its keys and asks for new ones (RFC 8446
    §4.6.3, §7.1 to 7.3): no library sends so many."""
    digest, key_bytes = {"TLS_AES_256_GCM_SHA384": ("sha384", 32), "TLS_AES_128_GCM_SHA256": ("sha256", 16)}[cipher]

    def expanded(label: bytes, length: int) -> bytes:
        label = b"tls13 " + label
        info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0\1"
        return hmac.digest(secret, info, digest)[:length]

    message, size = b"\x18\0\0\1\1" + b"\x16", 6 + 16
    while True:
        header = b"\x17\3\3" + size.to_bytes(2, "big")
        yield header + AESGCM(expanded(b"key", key_bytes)).encrypt(expanded(b"iv", 12), message, header)
        secret = expanded(b"traffic upd", len(secret))


# With others


def test_a_proxy_header_comes_before_tls(server: Start) -> None:
    site = server("reference:asgi", *ONE, *tls.options(), "--proxy-protocol", "v2", tls=authority().client())
    header = proxying.v2(("192.0.2.7", 7))
    for cuts in ((len(header),), (5, len(header) + 40)):
        hello = TlsSocket(socket.socket(), authority().client(), shake=False)
        hello.raw.close()
        with raw(site) as connection:
            hello.raw = connection
            with pytest.raises(ssl.SSLWantReadError):
                hello.session.do_handshake()
            first, at = header + hello.outgoing.read(), 0
            for cut in (*cuts, len(first)):  # parts that come by themselves, the last two across the border
                connection.sendall(first[at:cut])
                at = cut
            hello._until_done(hello.session.do_handshake)
            connection.sendall(hello.outgoing.read())
            hello.sendall(request_bytes())
            answer = hello.recv(1 << 16)
            assert b'"client": ["192.0.2.7", 7]' in answer
            assert b'"scheme": "https"' in answer
    site.expect_log("reason=bad-proxy-header")
    with raw(site) as connection:  # what could be said to it would be no TLS, so nothing is
        connection.sendall(b"x" * 100)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def replaced(site: Server, workers: list[int]) -> None:
    """Wait until a reload has brought others for these workers, and they are gone."""
    site.wait_for_workers(len(workers), set(workers))
    assert not processes.wait_gone(workers, 10.0)
    processes.wait_until(
        lambda: all(one.state != "Z" for one in processes.descendants_of(site.pid)), "them to be reaped")
    site.remember()


def replace(files: tls.Files, by: tls.Files) -> None:
    """As certbot does it: other files at the same paths."""
    for name in ("cert", "key"):
        os.replace(getattr(by, name), getattr(files, name))


def test_new_certificates_on_reload_under_load(server: Start) -> None:
    files, fresh = authority().issue("localhost"), authority().issue("localhost", "new.example")
    site = server("reference:asgi", "--workers", "1", "--reactors", "2", "--ssl-certfile", files.cert, "--ssl-keyfile",
                  files.key, "--control", "{dir}/control", tls=authority().client())
    stop, failures, served = threading.Event(), [], []

    def load(keep: bool) -> None:
        try:
            while not stop.is_set():
                with Connection(site.tcp_addresses()[0], tls=authority().client()) as client:
                    for _ in range(50 if keep else 1):
                        assert client.get("/").status == 200
                        served.append(1)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=load, args=(keep,)) for keep in (True, False)]
    with site.connect() as old:
        assert old.get("/").status == 200
        for thread in threads:
            thread.start()
        processes.wait_until(lambda: len(served) > 20, "load")
        replace(files, fresh)
        before = site.workers()
        site.kill(signal.SIGUSR1)
        site.wait_for_log("Reloaded")
        at = len(served)
        processes.wait_until(lambda: len(served) > at + 20, "load after it")
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert "new.example" in names_of(peer_of(site, "localhost"))
        assert "new.example" not in names_of(old.socket.session.getpeercert())
        assert old.get("/").status == 200  # with what it has begun with
    replaced(site, before)


@by_root
def test_a_user_who_cannot_read_the_key_keeps_what_root_has_read(server: Start) -> None:
    site = as_nobody(server, "reference:wsgi", *tls.options(), tls=authority().client())
    site.wait_for_log("cannot be read by user nobody .*: new certificates need a new server")
    workers = site.workers()
    site.kill(signal.SIGUSR1)
    site.wait_for_log("Reloaded")
    assert site.get("/")["target"] == "/"
    replaced(site, workers)


def test_a_server_that_takes_over_loads_its_own(server: Start) -> None:
    files, fresh = authority().issue("localhost"), authority().issue("localhost", "new.example")
    old = server("reference:wsgi", *ONE, "--ssl-certfile", files.cert, "--ssl-keyfile", files.key,
                 "--control", "{dir}/control", tls=authority().client())
    replace(files, fresh)
    heir = server("", heir_of=old, tls=authority().client())
    assert heir.addresses == old.addresses
    assert old.wait_exit() == 0
    assert "new.example" in names_of(peer_of(heir, "localhost"))


def test_memory_of_connections_that_are_gone_is_used_again(server: Start) -> None:
    site = server("reference:wsgi", *ONE, *tls.options())
    context = authority().client()

    def some() -> int:
        with contextlib.ExitStack() as opened:
            for number in range(60):
                connection = opened.enter_context(socket.create_connection(site.tcp_addresses()[0], timeout=10))
                client = TlsSocket(connection, context)
                client.sendall(request_bytes() if number % 2 else b"")
        gauge(site, "open")
        with open(f"/proc/{site.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

    some()
    before_kib = some()
    for _ in range(3):
        after_kib = some()
    assert after_kib - before_kib < 60 * 10, "of what is left of 180 connections, at 18 KiB each"


def test_certificates_that_are_no_good_keep_the_old_ones_and_the_workers(server: Start) -> None:
    files, other = authority().issue("localhost"), authority().issue("localhost")
    site = server("reference:wsgi", *ONE, "--ssl-certfile", files.cert, "--ssl-keyfile", files.key,
                  "--control", "{dir}/control", tls=authority().client())
    os.replace(other.key, files.key)  # half of a renewal
    workers = site.workers()
    site.expect_log("not reloading")
    done = run("reload", "--control", os.path.join(site.directory, "control"), "--wait")
    assert done.returncode == 12
    assert "is not that of the certificate" in done.stderr
    assert site.workers() == workers
    assert site.get("/")["target"] == "/"
    os.replace(other.cert, files.cert)  # the other half
    with open(files.cert, "r+b") as file:  # with a comment that OpenSSL reads over
        text = file.read()
        file.seek(0)
        file.write(b"was: -----BEGIN CERTIFICATE----- of last year\n" + text)
    site.kill(signal.SIGHUP)
    site.wait_for_log("Reloaded")
    assert peer_of(site, "localhost")
    replaced(site, workers)


@pytest.mark.parametrize("comment", [b"", b"see -----BEGIN CERTIFICATE----- of last year\n"])
@pytest.mark.parametrize("kind", [b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"])
def test_the_certificate_that_is_told_of_is_the_one_that_openssl_takes(
    tmp_path_factory: pytest.TempPathFactory, comment: bytes, kind: bytes
) -> None:
    files, other = authority().issue("localhost"), authority().issue("other.example")
    with open(files.cert, "rb") as file:
        own = file.read().partition(b"-----END CERTIFICATE-----\n")[0]
    with open(other.cert, "rb") as file:
        rest = file.read()
    der = ssl.PEM_cert_to_DER_cert(own.decode() + "-----END CERTIFICATE-----")
    trust = b"0\x00" if kind.startswith(b"TRUSTED") else b""  # an empty sequence behind it
    block = b"-----BEGIN %s-----\n%s-----END %s-----\n" % (kind, base64.encodebytes(der + trust), kind)
    path = tmp_path_factory.mktemp("pem") / "cert.pem"
    path.write_bytes(comment + block + rest)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, files.key)  # it does take it
    assert leaf_of(path.read_bytes()) == der


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\nMA\n", (
    b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"),
    b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_one_readable_error(pem: bytes) -> None:
    with pytest.raises(ValueError, match=r"no block of PEM|ends too soon|Incorrect padding"):
        leaf_of(pem)


def test_whatever_goes_wrong_a_reload_keeps_the_old_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    files = authority().issue("localhost")
    belongings = Belongings(Config("a:b", ssl_certfile=files.cert, ssl_keyfile=files.key), None)
    assert belongings.reload_certificates() == ""
    before = belongings.certificates

    def fails(*_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("swhttp.certificates.Certificates", fails)
    assert belongings.reload_certificates() == "the certificates stay as they are: out of luck"
    assert belongings.certificates is before
