"""What a configuration may be, what it falls back to, and how addresses are written."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from swhttp import binds, config, cpus, fields, limits, listeners
from swhttp.binds import FdBind, TcpBind, UnixBind
from swhttp.config import OPTIONS, Config
from swhttp.errors import BadValue, ExitCode, ServerError
from swhttp.options import Named

# Configuration


def test_everything_but_the_app_has_a_default() -> None:
    config = Config("myapp:app")
    assert config.bind == ("127.0.0.1:8000",)
    assert config.workers == min(cpus.usable(), limits.MAX_WORKERS)
    assert config.reactors == max(1, -(-config.workers // 8))
    assert config.max_workers == min(2 * config.workers, limits.MAX_WORKERS)
    assert config.slots == 2 * config.max_workers
    assert config.app_dir == os.getcwd()


@pytest.mark.parametrize(("workers", "reactors"), [(1, 1), (8, 1), (9, 2), (64, 8), (256, 32)])
def test_eight_workers_have_one_reactor(workers: int, reactors: int) -> None:
    assert Config("a:b", workers=workers).reactors == reactors


@pytest.mark.parametrize("name", config.MOST)
def test_the_highest_value_of_each_count_is_taken_and_none_above(name: str) -> None:
    most = config.MOST[name]
    more = {"max_workers": most} if name == "workers" else {}
    assert getattr(Config("a:b", **{name: most, **more}), name) == most
    with pytest.raises(BadValue, match=rf"{OPTIONS[name].main}: "):
        Config("a:b", **{name: most + 1})


@pytest.mark.parametrize("name", [name for name in OPTIONS if name.endswith("_s")])
def test_the_longest_of_each_time_is_taken_and_none_above(name: str) -> None:
    most = config.MOST_S.get(name, limits.MAX_WAIT_S)
    more = {"ssl_certfile": "/c"} if name.startswith("ssl_") else {}
    assert getattr(Config("a:b", **{name: most, **more}), name) == most
    with pytest.raises(BadValue, match=rf"{OPTIONS[name].main}: "):
        Config("a:b", **{name: most + 1, **more})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"app": "my-app:app"}, "APP"),
        ({"hooks": "my-hooks"}, "--hooks"),
        ({"hooks": "hooks:module"}, "--hooks"),
        ({"process": ("jobs",)}, "--process"),
        ({"process": ("jobs=jobs",)}, "--process"),
        ({"process": ("=jobs:run",)}, "--process"),
        ({"process": ("my jobs=jobs:run",)}, "--process"),
        ({"process": ("a=jobs:run", "a=jobs:walk")}, "--process"),
        ({"process": (Named("a", 7),)}, "--process"),
        ({"process": tuple(f"p{n}=jobs:run" for n in range(limits.MAX_USER_PROCESSES + 1))}, "--process"),
        ({"reload": True, "app": object()}, "--reload"),
        ({"reload_dir": ("/no/such/directory",)}, "--reload-dir"),
        ({"reload_include": ("",)}, "--reload-include"),
        ({"app": "myapp:"}, "APP"),
        ({"app": ":app"}, "APP"),
        ({"app": "myapp:app:more"}, "APP"),
        ({"app": "myapp:make()"}, "APP"),
        ({"bind": ("127.0.0.1:1",), "port": 2}, "--bind"),
        ({"host": "127.0.0.1", "uds": "/run/s"}, "--host"),
        ({"uds": "/run/s", "fd": 3}, "--uds"),
        ({"host": "[::1]"}, "--host"),
        ({"port": 65536}, "--port"),
        ({"port": -1}, "--port"),
        ({"fd": -1}, "--fd"),
        ({"backlog": 0}, "--backlog"),
        ({"backlog": limits.MOST_BACKLOG + 1}, "--backlog"),
        ({"worker_concurrency": 0}, "--worker-concurrency"),
        ({"queue_size": -1}, "--queue-size"),
        ({"queue_timeout_s": 0.0}, "--queue-timeout"),
        ({"lifespan": "maybe"}, "--lifespan"),
        ({"root_path": "shop"}, "--root-path"),
        ({"root_path": "/a//b"}, "--root-path"),
        ({"root_path": "/a?b"}, "--root-path"),
        ({"root_path": "/a\r\nb"}, "--root-path"),
        ({"root_path": "/\udc80"}, "--root-path"),
        ({"bind": ("127.0.0.1",)}, "--bind"),
        ({"bind": ("fd://3", "fd://3")}, "--bind"),
        ({"bind": ("https://127.0.0.1:1",)}, "--bind"),
        ({"ssl_keyfile": "/k"}, "--ssl-keyfile"),
        ({"ssl_sni": ("a.example=/c",)}, "--ssl-sni"),
        ({"ssl_handshake_timeout_s": 1.0}, "--ssl-handshake-timeout"),
        ({"ssl_certfile": "/c", "bind": ("unix:/s", "http://127.0.0.1:1")}, "--ssl-certfile"),
        ({"ssl_certfile": "/c", "ssl_cert_reqs": "required"}, "--ssl-cert-reqs"),
        ({"ssl_certfile": "/c", "ssl_ca_certs": "/a"}, "--ssl-ca-certs"),
        ({"ssl_certfile": "/c", "ssl_cert_reqs": "3", "ssl_ca_certs": "/a"}, "--ssl-cert-reqs"),
        ({"ssl_certfile": "/c", "ssl_min_version": "TLSv1"}, "--ssl-min-version"),
        ({"ssl_certfile": "/c", "ssl_sni": ("a.example=",)}, "--ssl-sni"),
        ({"ssl_certfile": "/c", "ssl_sni": ("*.a.*=/c",)}, "--ssl-sni"),
        ({"ssl_certfile": "/c", "ssl_sni": ("a.example=/c", "A.example.=/d")}, "--ssl-sni"),
        ({"ssl_certfile": "/c", "ssl_sni": tuple(f"{n}.eu=/c" for n in range(limits.MAX_TLS_NAMES + 1))}, "--ssl-sni"),
        ({"app_dir": "/no/such/directory"}, "--app-dir"),
        ({"workers": -1}, "--workers"),
        ({"workers": limits.MAX_WORKERS + 1}, "--workers"),
        ({"reactors": limits.MAX_REACTORS + 1}, "--reactors"),
        ({"threads": 0}, "--threads"),
        ({"threads": limits.MAX_THREADS + 1}, "--threads"),
        ({"keep_alive_s": 0.0}, "--keep-alive"),
        ({"keep_alive_s": float("nan")}, "--keep-alive"),
        ({"slow_log_s": float("nan")}, "--slow-log"),
        ({"slow_log_s": -1.0}, "--slow-log"),
        ({"request_timeout_s": 1e9}, "--request-timeout"),
        ({"graceful_timeout_s": -1.0}, "--graceful-timeout"),
        ({"graceful_timeout_s": float("inf")}, "--graceful-timeout"),
        ({"dispatch": "random"}, "--dispatch"),
        ({"replay": "always"}, "--replay"),
        ({"interface": "cgi"}, "--interface"),
        ({"log_level": "loud"}, "--log-level"),
        ({"forwarded_headers": "via"}, "--forwarded-headers"),
        ({"proxy_protocol": "v3"}, "--proxy-protocol"),
        ({"ws": "websockets"}, "--ws"),
        ({"ws_handler": "chat:"}, "--ws-handler"),
        ({"ws_handler": "my-chat"}, "--ws-handler"),
        ({"ws_handler": "chat:my-handler"}, "--ws-handler"),
        ({"ws_handler": "chat:handler", "ws": "none"}, "--ws-handler"),
        ({"ws_max_size": 0}, "--ws-max-size"),
        ({"ws_max_queue": 0}, "--ws-max-queue"),
        ({"ws_ping_interval_s": -1.0}, "--ws-ping-interval"),
        ({"websocket_drain_s": 0.0}, "--websocket-drain"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ServerError) as failure:
        Config(**{"app": "myapp:app", **values})
    assert failure.value.exit_code is ExitCode.VALUE
    assert str(failure.value).startswith(f"{named}: ")


@pytest.mark.parametrize("library", config.UVICORNS_WS)
def test_a_library_for_websockets_is_none_of_ours(library: str) -> None:
    with pytest.raises(ServerError, match=rf"^--ws: '{library}' is a library that uvicorn may use.*: say auto$"):
        Config("a:b", ws=library)


def test_pings_can_be_left_out() -> None:
    quiet = Config("a:b", ws_ping_interval_s=0.0, ws_ping_timeout_s=0.0)
    assert (quiet.ws_ping_interval_s, quiet.ws_ping_timeout_s) == (0.0, 0.0)


def test_reload_without_watchfiles_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ServerError, match=r"^--reload: .*: pip install 'swhttp\[reload\]'$") as failure:
        Config("a:b", reload=True)
    assert failure.value.exit_code is ExitCode.VALUE


@pytest.mark.parametrize(
    "app", ["a:b", "module", "package.module", "package.module:app", "module:namespace.app", "módulo:app"])
def test_apps(app: str) -> None:
    assert Config(app).app == app


@pytest.mark.parametrize(
    ("values", "bind"),
    [
        ({"port": 80}, "127.0.0.1:80"),
        ({"port": 0}, "127.0.0.1:0"),
        ({"host": "0.0.0.0"}, "0.0.0.0:8000"),
        ({"host": "::1", "port": 80}, "[::1]:80"),
        ({"uds": "/run/s"}, "unix:/run/s"),
        ({"fd": 0}, "fd://0"),
    ],
)
def test_ways_to_say_where_to_listen(values: dict[str, Any], bind: str) -> None:
    assert Config("a:b", **values).bind == (bind,)


@pytest.mark.parametrize("path", ["", "/"])
def test_a_root_path_of_nothing_is_none(path: str) -> None:
    assert Config("a:b", root_path=path).root_path == ""


# Default response fields


@pytest.mark.parametrize(
    "text",
    [
        "X-A", "", ": b", "X A: b", "X-A : b", " X-A: b", "X-A: b\r\nX-B: c", "X-A: b\nc", "X-A: \0", "X-A: \x7f",
        "X-Ä: b", "X-A: \u20ac", "Content-Length: 5", "transfer-encoding: chunked", "Connection: close",
        "Keep-Alive: 5", "Upgrade: h2c", "Trailer: X", "TE: trailers", "Proxy-Connection: close", "Date: now",
    ],
)
def test_what_cannot_be_a_field_of_every_response_is_refused(text: str) -> None:
    with pytest.raises(ServerError, match=r"^--header: ") as failure:
        Config("a:b", header=(text,))
    assert failure.value.exit_code is ExitCode.VALUE


def test_fields_of_every_response_have_a_bound() -> None:
    Config("a:b", header=("X-A: " + "b" * 3900,))
    with pytest.raises(ServerError, match=f"more than {limits.MAX_DEFAULT_FIELDS_BYTES} bytes"):
        Config("a:b", header=tuple("X-A: " + "b" * 1000 for _ in range(5)))


def test_there_can_be_one_server_field_only() -> None:
    with pytest.raises(ServerError, match="one Server only"):
        Config("a:b", header=("Server: a", "server: b"))


@pytest.mark.parametrize(
    ("texts", "name_server", "server", "others"),
    [
        ((), True, b"swhttp", b""),
        ((), False, b"", b""),
        (("X-A:  b \t",), True, b"swhttp", b"X-A: b\r\n"),
        (("X-A:",), True, b"swhttp", b"X-A: \r\n"),
        (("X-A: \xe4", "X-A: 2"), False, b"", b"X-A: \xe4\r\nX-A: 2\r\n"),
        (("SERVER: mine", "X-A: b"), False, b"mine", b"X-A: b\r\n"),
    ],
)
def test_fields_of_every_response(texts: tuple[str, ...], name_server: bool, server: bytes, others: bytes) -> None:
    fields.check(texts)
    assert fields.lines(texts, name_server) == (server, others)


# CPUs


def group(root: Path, lines: str, files: dict[str, str]) -> Path:
    """A made-up /proc and /sys below `root`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


@pytest.mark.usefixtures("sixteen_cpus")
@pytest.mark.parametrize(
    ("lines", "files", "count"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "500000 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "max 100000\n", "a/b/cpu.max": "500000 100000\n"}, 5),
        ("3:cpu,cpuacct:/c\n", {"cpu/c/cpu.cfs_quota_us": "600000\n", "cpu/c/cpu.cfs_period_us": "100000\n"}, 6),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        ("0::/\n", {"cpu.max": "400000 0\n"}, 16),
        ("rubbish\n", {"cpu.max": "rubbish"}, 16),
    ],
)
def test_usable_cpus(tmp_path: Path, lines: str, files: dict[str, str], count: int) -> None:
    assert cpus.usable(group(tmp_path, lines, files)) == count


# Addresses


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8000", TcpBind("127.0.0.1", 8000)),
        ("http://127.0.0.1:8000", TcpBind("127.0.0.1", 8000, "http")),
        ("https://[::1]:0", TcpBind("::1", 0, "https")),
        ("localhost:0", TcpBind("localhost", 0)),
        ("[::1]:8000", TcpBind("::1", 8000)),
        ("[::]:65535", TcpBind("::", 65535)),
        ("unix:/run/app.sock", UnixBind("/run/app.sock")),
        ("unix:relative:1", UnixBind("relative:1")),
        ("fd://3", FdBind(3)),
    ],
)
def test_binds(text: str, bind: binds.Bind) -> None:
    assert binds.parse(text) == bind


@pytest.mark.parametrize(
    "text",
    [
        "", "8000", "localhost", ":8000", "localhost:", "localhost:http", "localhost:65536", "localhost:-1",
        "localhost:+1", "localhost: 1", "localhost:1_0", "localhost:\u0661", "::1:8000", "[::1]", "[localhost]:1",
        "[1.2.3.4]:1", "unix:", "unix:" + "x" * 108, "unix:a\0b", "fd://", "fd://x", "fd://-1", "fd:three",
    ],
)
def test_what_is_no_bind_is_refused_and_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as failure:
        binds.parse(text)
    assert repr(text) in str(failure.value) or repr(text)[1:-1] in str(failure.value)


# Listening sockets


def test_a_stale_unix_socket_is_replaced_and_removed_at_the_end(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(path)
        crashed.listen()
    [listener] = listeners.open_all((f"unix:{path}",))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    listener.close()
    assert not os.path.lexists(path)


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as running:
        running.bind(path)
        running.listen()
        with pytest.raises(ServerError, match=r"Cannot listen on unix:.*in use") as failure:
            listeners.open_all((f"unix:{path}",))
        assert failure.value.exit_code is ExitCode.BIND
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ServerError, match="a file that is no socket is in the way"):
        listeners.open_all((f"unix:{path}",))
    assert path.read_text() == "data"


def test_the_socket_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    [ours] = listeners.open_all((f"unix:{path}",))
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(path)
        ours.close()
        assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_a_bind_that_fails_closes_and_removes_those_before_it(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"Cannot listen on 127.0.0.1:{port}"):
            listeners.open_all((f"unix:{path}", f"127.0.0.1:{port}"))
    assert not os.path.lexists(path)


def test_a_name_that_is_unknown_cannot_be_bound() -> None:
    with pytest.raises(ServerError, match=r"Cannot listen on nowhere\.invalid:80: ") as failure:
        listeners.open_all(("nowhere.invalid:80",))
    assert failure.value.exit_code is ExitCode.BIND


def test_sockets_are_ready_for_the_reactors() -> None:
    [listener] = listeners.open_all(("127.0.0.1:0",))
    try:
        assert listener.kind == "tcp"
        assert listener.text == f"127.0.0.1:{listener.socket.getsockname()[1]}"
        assert listener.url == f"http://{listener.text}"
        assert not listener.socket.getblocking()
        assert not listener.socket.get_inheritable()
        assert listener.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        listener.close()


def test_refusing_new_connections_keeps_the_fd_but_not_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    opened = listeners.open_all(("127.0.0.1:0", f"unix:{path}"))
    address = opened[0].socket.getsockname()
    try:
        for listener in opened:
            listener.stop_listening()
            assert listener.socket.fileno() >= 0
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(address)
        assert not os.path.lexists(path)
    finally:
        for listener in opened:
            listener.close()


def test_an_inherited_socket_goes_on_listening_for_its_owner() -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        [listener] = listeners.open_all((f"fd://{os.dup(owner.fileno())}",))
        listener.stop_listening()
        listener.close()
        with socket.socket() as client:
            client.connect(owner.getsockname())


def test_an_fd_that_does_not_listen_is_refused_and_left_open(tmp_path: Path) -> None:
    with socket.socket() as idle, open(tmp_path / "file", "w") as file:
        for fd in (idle.fileno(), file.fileno()):
            with pytest.raises(ServerError, match=f"Cannot listen on fd://{fd}: ") as failure:
                listeners.open_all((f"fd://{fd}",))
            assert failure.value.exit_code is ExitCode.BIND
            os.fstat(fd)


def test_files_of_names_are_where_they_were_said_wherever_one_is_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "a,b"
    there.mkdir()
    monkeypatch.chdir(there)
    config = Config("a:b", ssl_certfile="c", ssl_sni=("A.example=c", "b.example=d,k"))
    monkeypatch.chdir(tmp_path)
    assert list(map(str, config.ssl_sni)) == [f"a.example={there}/c", f"b.example={there}/d,{there}/k"]
    assert config.tls is not None
    assert [(pair.certfile, pair.keyfile) for pair in config.tls.pairs[1:]] == [
        (f"{there}/c", ""), (f"{there}/d", f"{there}/k")]
