"""What a takeover believes of the other side: next to nothing, over real sockets, with a test in the other's place."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swhttp import limits, listeners, takeover
from swhttp.answers import Answers
from swhttp.config import Config
from swhttp.controlproto import Decoder, encode
from swhttp.errors import ExitCode, ServerError
from tests.support.otheruser import NOBODY

GOOD: dict[str, Any] = {"ok": True, "pid": 7, "command": None, "directory": "/", "cwd": "/", "listeners": []}


class Old:
    """A control socket at `path`. It answers each request by the next of `answers`: bytes, and fds that go along; when
    there is none left it is silent."""

    def __init__(self, path: str, *answers: tuple[bytes, list[int]]) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._answers = answers
        self._ends: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        end, _ = self._listener.accept()
        self._ends.append(end)
        for data, fds in self._answers:
            decoder = Decoder(limits.CONTROL_REQUEST_BYTES)
            while decoder.next() is None:
                decoder.feed(end.recv(decoder.missing))
            socket.send_fds(end, [data], fds)

    def close(self) -> None:
        self._thread.join()
        for one in (self._listener, *self._ends):
            one.close()


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Puts an old server there; returns the path of its control socket."""
    made: list[Old] = []

    def put(*answers: tuple[bytes, list[int]]) -> str:
        made.append(Old(str(tmp_path / "control"), *answers))
        return str(tmp_path / "control")

    yield put
    for one in made:
        one.close()


@contextlib.contextmanager
def tcp(host: str = "127.0.0.1", listens: bool = True) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET) as made:
        made.bind((host, 0))
        if listens:
            made.listen()
        yield made


# The old server, as the new one sees it


@pytest.mark.parametrize(
    "changed", [
        {"pid": "7"}, {"pid": True}, {"command": "rm"}, {"command": [1]}, {"command": ["a\0"]}, {"directory": None},
        {"directory": "a\0"}, {"listeners": {}}, {"listeners": ["unix:/a"]}, {"listeners": [{}]},
        {"listeners": [{"bind": 1}]}, {"listeners": [{"bind": "unix:/a"}]}, {"ok": 1}])
def test_an_answer_that_is_none_is_said_to_be(old: Callable[..., str], changed: dict[str, Any]) -> None:
    path = old((encode({**GOOD, **changed}), []))
    with pytest.raises(ServerError, match="cannot be understood") as raised:
        takeover.find(path)
    assert raised.value.exit_code == ExitCode.NO_ANSWER


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\2{,"])
def test_bytes_that_are_no_message_are_said_to_be(old: Callable[..., str], data: bytes) -> None:
    path = old((data, []))
    with pytest.raises(ServerError, match="cannot be understood"):
        takeover.find(path)


def test_a_socket_that_is_not_what_it_is_said_to_be_is_refused(old: Callable[..., str]) -> None:
    with tcp() as listener:
        path = old((encode({**GOOD, "listeners": [{"bind": "unix:/etc/passwd", "inode": [1, 2]}]}),
                    [listener.fileno()]))
        with pytest.raises(ServerError, match="the socket listens on 127"):
            takeover.find(path)


@pytest.mark.parametrize(
    ("bind", "why"), [
        ("127.0.0.1:1", "the socket listens on 127"), ("[::1]:0", "the socket listens on 127"),
        ("unix:/a", "the socket listens on 127"), ("nonsense", "is none of host:port")])
def test_a_socket_must_fit_its_bind(bind: str, why: str) -> None:
    with tcp() as listener, pytest.raises(ValueError, match=why):
        listeners.adopt(bind, listener.fileno(), None)


def test_a_socket_must_listen() -> None:
    with tcp(listens=False) as bound, pytest.raises(ValueError, match="not a listening stream socket"):
        listeners.adopt("127.0.0.1:0", bound.fileno(), None)


@pytest.mark.parametrize("relative", [False, True])
def test_only_the_socket_at_the_path_of_its_own_bind_is_removed(tmp_path: Path, relative: bool) -> None:
    path, other = f"{tmp_path}/s", f"{tmp_path}/other"
    for bind, name in ((f"unix:{'s' if relative else path}", path), ("127.0.0.1:0", None)):
        with socket.socket(socket.AF_UNIX if name else socket.AF_INET) as listener:
            listener.bind(name or ("127.0.0.1", 0))
            listener.listen()
            made = os.stat(name) if name else None
            # What it is bound to is not relative.
            inode = made and [made.st_dev, made.st_ino]
            taken = listeners.adopt(bind if name is None else f"unix:{path}", os.dup(listener.fileno()), inode)
            Path(other).touch()
            assert taken.lent
            taken.lent = False
            listeners.claim_file(bind, taken, str(tmp_path))
            taken.close()
            assert os.listdir(tmp_path) == ["other"]


@pytest.mark.parametrize("there", ["a file", "another socket"])
def test_what_is_at_the_path_by_now_is_left(tmp_path: Path, there: str) -> None:
    path = f"{tmp_path}/s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        made = os.stat(path)
        taken = listeners.adopt(f"unix:{path}", os.dup(listener.fileno()), [made.st_dev, made.st_ino])
    os.rename(path, f"{path}.old")  # its inode's number is not given out again
    with socket.socket(socket.AF_UNIX) as another:
        if there == "a file":
            Path(path).touch()
        else:
            another.bind(path)
        taken.lent = False
        listeners.claim_file(f"unix:{path}", taken, "/")
        taken.close()
        assert os.path.exists(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be asked to do what another user says")
def test_root_does_not_do_what_another_users_server_says(tmp_path: Path) -> None:
    path = str(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.seteuid(NOBODY)
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        with pytest.raises(ServerError, match=f"that of user {NOBODY}, who is neither root") as raised:
            takeover.find(path)
    assert raised.value.exit_code == ExitCode.REFUSED


def test_one_that_has_given_the_new_server_up_is_believed(old: Callable[..., str]) -> None:
    predecessor = takeover.find(old((encode(GOOD), []), (encode({"ok": False, "error": "too late"}), [])))
    with pytest.raises(ServerError, match="The old server goes on: too late"):
        predecessor.release()
    predecessor.let_go()


@pytest.mark.parametrize("last", [None, b"\0\0\0\0", b"\0\0\0\2[]"])
def test_one_that_hangs_or_babbles_is_not_waited_for(
    old: Callable[..., str], monkeypatch: pytest.MonkeyPatch, last: bytes | None
) -> None:
    monkeypatch.setattr(limits, "TAKEOVER_ANSWER_S", 0.05)
    predecessor = takeover.find(old((encode(GOOD), []), *([(last, [])] if last else [])))
    assert predecessor.release() is False
    predecessor.let_go()


# What of its listeners is taken


def predecessor(*binds: str, cwd: str = "/", repeats: bool = False) -> takeover.Predecessor:
    """With a listener for each bind; its text is where in the order it was."""
    mute = socket.socket()
    mute.close()
    had = [(bind, listeners.Listener(mute, "tcp", str(at), inherited=False)) for at, bind in enumerate(binds)]
    return takeover.Predecessor(7, None, "/", cwd, had, mute, repeats)


def test_binds_of_one_text_are_told_apart_by_their_order() -> None:
    both = predecessor("127.0.0.1:0", "127.0.0.1:80", "127.0.0.1:0")
    notes = both.suit(Config(app="a", bind=("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0")))
    assert [one and one.text for one in both.chosen] == ["0", "2", None]
    assert [bind for bind, _ in both.dropped] == ["127.0.0.1:80"]
    assert notes == ["The old server listens on 127.0.0.1:80, and this one does not"]


def test_a_command_line_that_does_not_say_where_the_old_one_listens_is_not_repeated() -> None:
    with pytest.raises(ServerError, match=r"listens on fd://3, which its command line does not say"):
        predecessor("fd://3", repeats=True).suit(Config(app="a"))


def test_a_relative_path_is_another_one_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for cwd, taken in ((str(tmp_path), ["0"]), ("/", [None]), ("", [None])):
        there = predecessor("unix:s", cwd=cwd)
        there.suit(Config(app="a", bind=("unix:s",)))
        assert [one and one.text for one in there.chosen] == taken


def test_a_server_of_another_user_takes_nothing_over() -> None:
    config = Config(app="a", user=str(os.geteuid()), group=str(os.getegid()))
    with pytest.raises(ServerError, match=r"cannot take over another: .*socket activation"):
        predecessor().suit(config)


# The new server, as the old one sees it


class Asked:
    """A question that notes what becomes of it."""

    def __init__(self, verb: str, connection: object) -> None:
        self.verb, self.fields, self.connection = verb, {"verb": verb}, connection
        self.crowded = False
        self.said: list[str] = []
        self.left: Callable[[], None] | None = None

    def follows(self, other: Asked) -> bool:
        return self.connection is other.connection

    def hand_over(self, fds: list[int], left: Callable[[], None]) -> None:
        self.left = left

    def keep(self) -> None:
        self.said.append("keep")

    def give_up(self, error: str) -> None:
        self.said.append("give up")

    def answer(self, **fields: object) -> None:
        self.said.append("yes")

    def refuse(self, error: str) -> None:
        self.said.append(error)


def test_one_that_is_silent_for_long_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    host = SimpleNamespace(
        config=Config(app="a"), lend_listeners=lambda: ([], []), hand_over=lambda: None,
        started_by=SimpleNamespace(command=None, directory="/"))
    answers = Answers(host)  # type: ignore[arg-type]

    def ask(verb: str, connection: object) -> Asked:
        asked = Asked(verb, connection)
        answers.ask(asked)  # type: ignore[arg-type]
        return asked

    first = ask("takeover", "one")
    assert first.said == ["yes"]
    now_s[0] += limits.TAKEOVER_SILENCE_S - 1
    assert ask("takeover", "two").said == ["another takeover has begun 299 s ago; it may take 300 s"]
    now_s[0] += 1
    assert ask("takeover", "two").said == ["yes"]
    assert first.said == ["yes", "give up"]
    assert ask("took-over", "one").said == ["first say takeover, on the same connection"]
    assert ask("took-over", "two").said == ["keep", "yes"]
