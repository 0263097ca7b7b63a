"""Where values come from: which source counts, how each is written, and how a mistake in it is named."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from swhttp import foreign, limits, sources, swoole
from swhttp.cli import all_flags
from swhttp.config import OPTIONS
from swhttp.errors import ExitCode, ServerError
from swhttp.options import Option, from_object, from_text
from swhttp.sources import Layer, Loaded, command_line, keywords


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that is the current one, also after a test that goes elsewhere."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(values: Mapping[str, Any] | None = None, **variables: str) -> Loaded:
    """What is in force with this command line and these variables only."""
    return sources.load(command_line({"app": "a:b", **(values or {})}), dict(variables))


def refused(code: ExitCode, values: Mapping[str, Any] | None = None, **variables: str) -> str:
    """What is said of a configuration that cannot be."""
    with pytest.raises(ServerError) as failure:
        load(values, **variables)
    assert failure.value.exit_code is code
    return str(failure.value)


# Precedence


RANKS: list[tuple[str, str]] = [
    ("default", "default"), ("common", "variable WEB_CONCURRENCY"), ("project", "pyproject.toml"), ("file", "s.toml"),
    ("env file", "variable SWHTTP_WORKERS"), ("variable", "variable SWHTTP_WORKERS"), ("line", "command line"),
]


@pytest.mark.parametrize("rank", range(len(RANKS)))
def test_the_highest_source_counts(here: Path, rank: int) -> None:
    said = [name for name, _ in RANKS[:rank + 1]]
    variables: dict[str, str] = {}
    values: dict[str, Any] = {}
    if "common" in said:
        variables["WEB_CONCURRENCY"] = "1"
    if "project" in said:
        (here / "pyproject.toml").write_text("[tool.swhttp]\nworkers = 2\n")
    if "file" in said:
        (here / "s.toml").write_text("workers = 3\n")
        values["config"] = "s.toml"
    if "env file" in said:
        (here / "env").write_text("SWHTTP_WORKERS=4\n")
        values["env_file"] = "env"
    if "variable" in said:
        variables["SWHTTP_WORKERS"] = "5"
    if "line" in said:
        values["workers"] = "6"
    loaded = load(values, **variables)
    if rank == 0:
        assert "workers" not in loaded.given
    else:
        assert (loaded.config.workers, loaded.given["workers"].source) == (rank, RANKS[rank][1])


def test_sources_complete_each_other(here: Path) -> None:
    (here / "s.toml").write_text("workers = 3\nkeep-alive = 7\n")
    config = load({"config": "s.toml", "threads": "2"}, SWHTTP_WORKERS="4").config
    assert (config.workers, config.threads, config.keep_alive_s) == (4, 2, 7.0)


def test_an_env_file_is_seen_by_the_app_and_yields_to_what_is_set(here: Path) -> None:
    (here / "env").write_text('# ours\nexport ONE=1\nTWO="a b"\nSWHTTP_THREADS=3\nSWHTTP_WORKERS=2\nBARE\n')
    variables = {"TWO": "set before", "SWHTTP_WORKERS": "5"}
    loaded = sources.load(command_line({"app": "a:b", "env_file": "env"}), variables)
    assert (loaded.config.threads, loaded.config.workers) == (3, 5)
    assert variables == {"ONE": "1", "TWO": "set before", "SWHTTP_THREADS": "3", "SWHTTP_WORKERS": "5"}


def test_the_app_can_be_named_by_every_source(here: Path) -> None:
    (here / "s.toml").write_text('app = "from:file"\n')
    assert sources.load({}, {"SWHTTP_APP": "from:variable"}).config.app == "from:variable"
    assert sources.load({}, {"SWHTTP_CONFIG": "s.toml"}).config.app == "from:file"
    assert sources.load(command_line({"app": "from:line"}), {"SWHTTP_CONFIG": "s.toml"}).config.app == "from:line"


def test_the_directory_is_changed_before_the_project_is_read(here: Path) -> None:
    (here / "site").mkdir()
    (here / "site/pyproject.toml").write_text("[tool.swhttp]\nworkers = 2\n")
    (here / "s.toml").write_text('chdir = "site"\n')
    loaded = load({"config": "s.toml"})
    assert (loaded.config.workers, loaded.config.app_dir, os.getcwd()) == (2, str(here / "site"), str(here / "site"))


def test_a_project_cannot_say_in_which_directory_it_is_read(here: Path) -> None:
    (here / "pyproject.toml").write_text('[tool.swhttp]\nchdir = "/"\n')
    assert refused(ExitCode.CONFIG).startswith("pyproject.toml: chdir: ")


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1\n", "tool = 1\n"])
def test_a_project_that_says_nothing_of_us(here: Path, text: str) -> None:
    (here / "pyproject.toml").write_text(text)
    assert "workers" not in load().given


@pytest.mark.parametrize(
    ("owners", "trusted"),
    [([1000, 1000], True), ([0, 1000], True), ([0, 0], True), ([1001, 1001], False), ([1001, 1000], False),
     ([1000, 1001], False), ([0, 1001], False)])
def test_a_file_that_nobody_has_named_counts_if_it_is_ours_or_roots(owners: list[int], trusted: bool) -> None:
    assert sources.trusted(owners, 1000) is trusted


@pytest.mark.parametrize("link", [False, True])
def test_a_project_of_another_user_is_not_read_unless_it_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    path = here / "pyproject.toml"
    named = here / "project.toml" if link else path
    named.write_text("[tool.swhttp]\nworkers = 2\n")
    if link:  # of another user's, to a file of ours
        path.symlink_to(named)
    if os.geteuid() == 0:
        os.chown(path, 65534, -1, follow_symlinks=False)
    else:  # who cannot give a file away can only be another
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
    loaded = load()
    assert "workers" not in loaded.given
    assert loaded.notes == (
        "pyproject.toml: not read, for it is another user's; --config pyproject.toml reads it",)
    assert load({"config": "pyproject.toml"}).config.workers == 2


# Where to listen

PASSED = {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}

@pytest.mark.parametrize(
    ("line", "variables", "file", "bind"),
    [
        ({}, {"PORT": "5000"}, "", ("0.0.0.0:5000",)),
        ({}, {"PORT": "5000", **PASSED}, "", ("fd://3", "fd://4")),
        ({"uds": "/s"}, PASSED, "", ("unix:/s",)),
        ({}, {**PASSED, "LISTEN_PID": "1"}, "", ("127.0.0.1:8000",)),
        ({"host": "127.0.0.2"}, {"PORT": "5000"}, "", ("127.0.0.2:5000",)),
        ({"port": "1"}, {"PORT": "5000"}, "", ("0.0.0.0:1",)),
        ({"uds": "/s"}, {"PORT": "5000"}, "", ("unix:/s",)),
        ({"bind": ("127.0.0.1:1",)}, {"PORT": "5000"}, "", ("127.0.0.1:1",)),
        ({"port": "1"}, {"SWHTTP_BIND": "127.0.0.1:2"}, "", ("127.0.0.1:1",)),
        ({"bind": ("127.0.0.1:1",)}, {"SWHTTP_PORT": "2"}, "", ("127.0.0.1:1",)),
        ({}, {"SWHTTP_BIND": "127.0.0.1:2, unix:/s"}, 'host = "127.0.0.3"', ("127.0.0.1:2", "unix:/s")),
        ({"port": "1"}, {}, 'host = "127.0.0.3"', ("127.0.0.3:1",)),
        ({}, {}, 'bind = "127.0.0.1:3"', ("127.0.0.1:3",)),
        ({}, {}, 'bind = ["127.0.0.1:3", "fd://3"]', ("127.0.0.1:3", "fd://3")),
        ({"fd": "3"}, {"SWHTTP_UDS": "/s"}, 'host = "127.0.0.3"', ("fd://3",)),
        # What Kubernetes sets for a Service of the name "swhttp".
        ({}, {"SWHTTP_PORT": "tcp://10.0.0.1:80"}, "", ("127.0.0.1:8000",)),
    ],
)
def test_the_highest_source_that_says_where_to_listen_counts(
    here: Path, line: dict[str, Any], variables: dict[str, str], file: str, bind: tuple[str, ...]
) -> None:
    (here / "s.toml").write_text(file)
    assert load({**line, "config": "s.toml"}, **variables).config.bind == bind


def test_one_source_must_not_say_it_in_two_ways(here: Path) -> None:
    said = refused(ExitCode.VALUE, SWHTTP_BIND="127.0.0.1:1", SWHTTP_PORT="2")
    assert said == "SWHTTP_BIND: cannot be given together with SWHTTP_PORT: each says where to listen"
    (here / "s.toml").write_text('uds = "/s"\nfd = 3\n')
    assert refused(ExitCode.VALUE, {"config": "s.toml"}).startswith("s.toml: uds: cannot be given together with s.toml")


# How values are written


def test_every_option_has_a_name_of_its_own_everywhere() -> None:
    flags = [flag for name, option in OPTIONS.items() for flag in all_flags(name, option)]
    variables = ["SWHTTP_APP", *(option.variable for option in OPTIONS.values())]
    assert len(flags) == len(set(flags))
    assert len(variables) == len(set(variables))
    assert not set(flags) & set(foreign.ADVICE)
    assert not {name for name in swoole.ADVICE if name.replace("-", "_") in sources.KEYWORDS}
    assert {setting.option for setting in swoole.SETTINGS.values()} <= set(OPTIONS)
    assert not set(swoole.SETTINGS) & set(swoole.ADVICE)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "12", 12), ("int | None", "0", 0), ("float", "1.5", 1.5), ("str", "x", "x"),
        ("bool", "1", True), ("bool", "True", True), ("bool", "yes", True), ("bool", "ON", True),
        ("bool", "0", False), ("bool", "false", False), ("bool", "No", False), ("bool", "off", False),
        ("tuple[str, ...]", "a", ("a",)), ("tuple[str, ...]", "a, b,,c", ("a", "b", "c")),
    ],
)
def test_texts(kind: str, text: str, value: object) -> None:
    assert from_text(kind, Option(("--x",), "", ""), text) == value


@pytest.mark.parametrize(("kind", "text"), [("int", "1.0"), ("int", "one"), ("float", "fast"), ("bool", "maybe")])
def test_texts_that_are_no_such_value(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"is needed, not '{text}'"):
        from_text(kind, Option(("--x",), "", ""), text)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("int", 12, 12), ("float", 3, 3.0), ("float", 1.5, 1.5), ("bool", True, True), ("str", "x", "x"),
        ("tuple[str, ...]", "a,b", ("a,b",)), ("tuple[str, ...]", ["a", "b"], ("a", "b")),
    ],
)
def test_objects(kind: str, given: object, value: object) -> None:
    assert from_object(kind, Option(("--x",), "", ""), given) == value


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("int", 1.0), ("int", True), ("int", "1"), ("float", "1"), ("float", False), ("bool", 1), ("bool", "true"),
        ("str", 1), ("str", {}), ("tuple[str, ...]", [1]), ("tuple[str, ...]", {"a": "b"}),
    ],
)
def test_objects_that_are_no_such_value(kind: str, given: object) -> None:
    with pytest.raises(ValueError, match="is needed, not "):
        from_object(kind, Option(("--x",), "", ""), given)


def test_an_option_may_take_a_table() -> None:
    assert from_object("str", Option(("--x",), "", "", table=True), {"version": 1}) == {"version": 1}


def test_response_fields_stand_in_lines_of_a_variable() -> None:
    config = load(SWHTTP_HEADER="X-A: 1, 2\nX-B: 3\n").config
    assert config.header == ("X-A: 1, 2", "X-B: 3")


def test_choices_are_the_same_in_capitals(here: Path) -> None:
    (here / "s.toml").write_text('dispatch = "Least"\n')
    config = load({"config": "s.toml", "interface": "ASGI"}, SWHTTP_LOG_LEVEL="INFO").config
    assert (config.dispatch, config.interface, config.log_level) == ("least", "asgi", "info")


def test_an_empty_variable_says_nothing() -> None:
    loaded = load(SWHTTP_WORKERS="", WEB_CONCURRENCY="", PORT="", SWHTTP_CONFIG="", SWHTTP_ENV_FILE="")
    assert set(loaded.given) == {"app"}


def test_a_variable_that_is_nearly_an_option_is_noted_and_another_is_not() -> None:
    loaded = load(SWHTTP_WORKRES="2", SWHTTP_DATABASE_URL="x", WORKERS="3")
    assert loaded.notes == ("SWHTTP_WORKRES is no option; did you mean SWHTTP_WORKERS?",)


# Files


@pytest.mark.parametrize("name", ["s.toml", "pyproject.toml"])
@pytest.mark.parametrize("key", ["keep-alive", "keep_alive"])
def test_keys_have_dashes_or_underscores_and_files_have_one_table(here: Path, name: str, key: str) -> None:
    table = "tool.swhttp" if name == "pyproject.toml" else "swhttp"
    (here / name).write_text(f"[{table}]\n{key} = 3\n[other]\nkeep-alive = 4\n")
    assert load({"config": name}).config.keep_alive_s == 3.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wrokers = 2\n", "s.toml: wrokers: unknown key; did you mean 'workers'?"),
        ("quux = 2\n", "s.toml: quux: unknown key"),
        ("[server]\nworkers = 2\n", "s.toml: server: unknown key"),
        ("keep_alive_s = 2\n", "s.toml: keep_alive_s: unknown key; did you mean 'keep-alive'?"),
        ("threads = 1\n[swhttp]\nworkers = 2\n", "s.toml: threads: options are either all in [swhttp] or all outside"),
        ("keep-alive = 1\nkeep_alive = 2\n", "s.toml: keep_alive: the same as keep-alive, which is there too"),
        ("worker_num = 1\nworkers = 2\n", "s.toml: workers: the same as worker_num, which is there too"),
        ("reload_engine = 'poll'\n", "s.toml: reload_engine: watchfiles watches: leave it out"),
        ("worker_class = 'gevent'\n", "s.toml: worker_class: there are no worker classes"),
        ("tcp_fastopen = true\n", "s.toml: tcp_fastopen: not in this version"),
        ("task_worker_num = 1\n", "s.toml: task_worker_num: there are no task workers"),
        ("config = 'x'\n", "s.toml: config: this cannot be said in a file"),
        ("check-config = true\n", "s.toml: check-config: this cannot be said in a file"),
        ("workers = \n", "s.toml: not TOML: "),
    ],
)
def test_a_file_that_is_not_understood_is_named_with_its_key(here: Path, text: str, said: str) -> None:
    (here / "s.toml").write_text(text)
    assert refused(ExitCode.CONFIG, {"config": "s.toml"}).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workers = 'four'\n", "s.toml: workers: a whole number is needed, not the text 'four'"),
        ("workers = true\n", "s.toml: workers: a whole number is needed, not true"),
        ("workers = 1000\n", "s.toml: workers: a number from 1 to 256 is needed, not 1000"),
        ("workers = 0\n", "s.toml: workers: a number of 1 or more is needed, not 0"),
        ("keep-alive = [1]\n", "s.toml: keep-alive: a number is needed, not [1]"),
        ("factory = 1\n", "s.toml: factory: true or false is needed, not 1"),
        ("bind = 8000\n", "s.toml: bind: a text, or a list of texts, is needed, not 8000"),
        ("bind = '8000'\n", "s.toml: bind: '8000' is none of host:port"),
        ("app = 1\n", "s.toml: app: a text is needed, not 1"),
        ("header = ['Date: x']\n", "s.toml: header: Date is the server's to set"),
        ("dispatch_mode = 5\n", "s.toml: dispatch_mode: 5, by user id, has no counterpart"),
        ("dispatch_mode = 42\n", "s.toml: dispatch_mode: 42 is none of 1, 2, 3, 4, 9, 10"),
        ("log_level = 3\n", "s.toml: log_level: 3, notice, has no counterpart"),
    ],
)
def test_a_bad_value_in_a_file_is_named_with_its_key(here: Path, text: str, said: str) -> None:
    (here / "s.toml").write_text(text)
    assert refused(ExitCode.VALUE, {"config": "s.toml"}).startswith(said)


@pytest.mark.parametrize("source", ["config", "env_file"])
def test_a_file_that_is_not_there_is_named_with_what_asked_for_it(here: Path, source: str) -> None:
    option = OPTIONS[source]
    assert refused(ExitCode.CONFIG, {source: "gone"}) == f"{option.main}: cannot read 'gone': No such file or directory"
    said = refused(ExitCode.CONFIG, None, **{option.variable: "."})
    assert said == f"{option.variable}: cannot read '.': Is a directory"


def test_an_env_file_that_is_not_understood_is_named_with_its_line(here: Path) -> None:
    (here / "env").write_text("ONE=1\n'two\nTHREE=3\n")
    assert refused(ExitCode.CONFIG, {"env_file": "env"}) == "env: line 2 is not of the form NAME=value"
    (here / "env").write_bytes(b"ONE=\xff\n")
    assert refused(ExitCode.CONFIG, {"env_file": "env"}).startswith("env: not UTF-8: ")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SWHTTP_WORKERS": "four"}, "SWHTTP_WORKERS: a whole number is needed, not 'four'"),
        ({"SWHTTP_WORKERS": "1000"}, "SWHTTP_WORKERS: a number from 1 to 256 is needed, not 1000"),
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY: a number of 1 or more is needed, not 0"),
        ({"PORT": "http"}, "PORT: a whole number is needed, not 'http'"),
        ({"PORT": "65536"}, "PORT: a number from 0 to 65535 is needed, not 65536"),
        ({"SWHTTP_HEADER": "X"}, "SWHTTP_HEADER: 'X' is not of the form \"Name: value\""),
        ({"SWHTTP_FACTORY": "maybe"}, "SWHTTP_FACTORY: true or false is needed, not 'maybe'"),
        ({"SWHTTP_CHDIR": "/no/such"}, "SWHTTP_CHDIR: '/no/such': No such file or directory"),
    ],
)
def test_a_bad_value_in_a_variable_is_named_with_it(variables: dict[str, str], said: str) -> None:
    assert refused(ExitCode.VALUE, **variables) == said


# Swoole's names


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("worker_num = 3", "workers", 3), ("reactor_num = 2", "reactors", 2),
        ("max_wait_time = 9", "graceful_timeout_s", 9.0), ("worker_max_concurrency = 7", "worker_concurrency", 7),
        ("dispatch_mode = 1", "dispatch", "round-robin"), ("dispatch_mode = 2", "dispatch", "fixed"),
        ("dispatch_mode = 3", "dispatch", "idle"), ("dispatch_mode = 4", "dispatch", "ip"),
        ("dispatch_mode = 10", "dispatch", "least"), ("log_level = 0", "log_level", "debug"),
        ("log_level = 5", "log_level", "error"), ("log_level = 'warning'", "log_level", "warning"),
        ("package_max_length = 1000", "limit_request_body", 1000), ("request_slowlog_timeout = 2", "slow_log_s", 2.0),
        ("request_slowlog_file = '/run/s'", "slow_log_file", "/run/s"), ("pid_file = '/run/p'", "pid", "/run/p"),
        ("enable_reuse_port = true", "reuse_port", True), ("backlog = 64", "backlog", 64),
        ("upload_tmp_dir = '/'", "tmp_dir", "/"), ("daemonize = true", "daemon", True),
        ("daemonize = 1", "daemon", True), ("open_cpu_affinity = 1", "cpu_affinity", "auto"),
        ("open_cpu_affinity = false", "cpu_affinity", "off"), ("user = 'nobody'", "user", "nobody"),
        ("http_compression = true", "compress", "auto"), ("http_compression = false", "compress", "off"),
        ("http_compression_level = 3", "compress_level", 3), ("compression_min_length = 20", "compress_min_bytes", 20),
    ],
)
def test_names_of_swoole_are_understood_in_files(here: Path, text: str, field: str, value: object) -> None:
    (here / "s.toml").write_text(text)
    assert getattr(load({"config": "s.toml"}).config, field) == value


# Keywords of swhttp.run


def test_keywords_are_keys_with_underscores() -> None:
    layer: Layer = keywords({"app": "a:b", "keep_alive": 3, "bind": ["127.0.0.1:0", "unix:/s"], "server_header": False})
    config = sources.load(layer, {"SWHTTP_KEEP_ALIVE": "9", "SWHTTP_THREADS": "2"}).config
    assert (config.keep_alive_s, config.threads, config.server_header) == (3.0, 2, False)
    assert config.bind == ("127.0.0.1:0", "unix:/s")


def test_code_can_be_given_itself_and_a_table_names_processes(here: Path) -> None:
    handler = types.SimpleNamespace(on_message=print)
    layer = keywords({
        "app": "a:b", "hooks": sources, "ws_handler": handler, "process": {"a": keywords, "b": "jobs:run"}})
    config = sources.load(layer, {}).config
    assert config.hooks is sources
    assert config.ws_handler is handler
    assert [(one.name, one.value) for one in config.processes] == [("a", keywords), ("b", "jobs:run")]
    (here / "s.toml").write_text('[process]\na = "jobs:walk"\n')
    assert str(load({"config": "s.toml"}).config.process[0]) == "a=jobs:walk"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"wrokers": 2}, ExitCode.USAGE, "run(wrokers=): there is no such option; did you mean 'workers'?"),
        ({"worker_num": 2}, ExitCode.USAGE, "run(worker_num=): there is no such option"),
        ({"reload_delay": 1}, ExitCode.USAGE, "run(reload_delay=): what changes at about the same time is one reload"),
        ({"process": {"jobs": 7}}, ExitCode.VALUE, "run(process=): 'jobs=7': that cannot be called"),
        ({"ws_handler": object}, ExitCode.VALUE, "run(ws_handler=): a text is needed, not <class 'object'>"),
        ({"hooks": 7}, ExitCode.VALUE, "run(hooks=): a text is needed, not 7"),
        ({"workers": "2"}, ExitCode.VALUE, "run(workers=): a whole number is needed, not the text '2'"),
        ({"workers": 1000}, ExitCode.VALUE, "run(workers=): a number from 1 to 256"),
    ],
)
def test_a_bad_keyword_is_named(options: dict[str, Any], code: ExitCode, said: str) -> None:
    with pytest.raises(ServerError) as failure:
        sources.load(keywords({"app": "a:b", **options}), {})
    assert failure.value.exit_code is code
    assert str(failure.value).startswith(said)


# What does nothing alone


IDLE = {name: option for name, option in OPTIONS.items() if option.needs}


def test_what_does_nothing_alone_is_refused_where_somebody_has_just_written_it(here: Path) -> None:
    assert refused(ExitCode.VALUE, {"static_index": "x"}) == "--static-index: it does nothing without --static"
    assert refused(ExitCode.VALUE, {"slow_log_file": "x"}) == (
        "--slow-log-file: it does nothing without --slow-log or --request-timeout")
    with pytest.raises(ServerError, match=re.escape("run(compress_level=): it does nothing without --compress")):
        sources.load(keywords({"app": "a:b", "compress_level": 5}), {})


def test_it_may_wait_for_the_other_one_and_that_one_may_be_off(here: Path) -> None:
    load({"compress_level": "5"}, SWHTTP_COMPRESS="off")
    load({"request_timeout_s": "3", "slow_log_file": "x"})
    load({"compress_min_bytes": str(limits.COMPRESS_MIN_BYTES)})
    load({}, SWHTTP_STATIC_INDEX="x", SWHTTP_COMPRESS_LEVEL="5")
    (here / "s.toml").write_text("reload-dir = ['.']\nmax-requests-jitter = 5\n")
    load({"config": "s.toml"})


@pytest.mark.parametrize("name", IDLE)
def test_what_it_needs_is_an_option(name: str) -> None:
    assert set(IDLE[name].needs) <= set(OPTIONS)
