"""Files between two processes: in order, each with its request, and none that is left over in either process."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swhttp.ipc.memory import SharedMemory
from swhttp.ipc.ring import (
    BrokenRing,
    DescriptorWriter,
    drain_files,
    is_regular,
    receive_file,
    send_file,
    temp_file,
    write_all,
)
from tests.ipc.conftest import Make

EIGHT = (77).to_bytes(8, "little")


@pytest.fixture
def ends(memory: SharedMemory) -> tuple[int, int]:
    """A channel: the worker's end, and the reactor's."""
    return memory.worker_channels[0][0], memory.reactor_channels[0][0]


def held() -> list[str]:
    """What this process has open."""
    return sorted(os.listdir("/proc/self/fd"))


@pytest.fixture
def nothing_kept(ends: tuple[int, int]) -> Iterator[None]:
    """The test has closed what it got, and so did the code under test."""
    before = held()
    yield
    assert held() == before


def file_of(text: bytes) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(fd, text)
    return fd


def pass_on(channel: int, text: bytes, request_id: int) -> bool:
    fd = file_of(text)
    try:
        return send_file(channel, fd, request_id)
    finally:
        os.close(fd)


def text_of(fd: int) -> bytes:
    try:
        return os.pread(fd, 100, 0)
    finally:
        os.close(fd)


def raw(channel: int, message: bytes, *fds: int) -> None:
    """What our own code would never send."""
    with socket.socket(fileno=os.dup(channel)) as end:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        end.sendmsg([message], rights)


@contextmanager
def no_fd_free() -> Iterator[None]:
    """A process that has all the fds that it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("nothing_kept")
def test_files_come_in_order_and_name_their_requests(ends: tuple[int, int]) -> None:
    worker, reactor = ends
    ids = [1 << 16, (1 << 64) - 1, 0, 3]
    for request_id in ids:
        assert pass_on(worker, b"%d" % request_id, request_id)
    for request_id in ids:
        found = receive_file(reactor)
        assert found is not None
        assert found[1] == request_id
        assert text_of(found[0]) == b"%d" % request_id
    assert receive_file(reactor) is None


@pytest.mark.usefixtures("nothing_kept")
def test_both_ways_and_channels_are_apart(memory_of: Make) -> None:
    memory = memory_of(reactors=2)
    for slot in range(2):
        for reactor in range(2):
            assert pass_on(memory.worker_channels[slot][reactor], b"up", slot * 2 + reactor)
            assert pass_on(memory.reactor_channels[slot][reactor], b"down", 10 + slot * 2 + reactor)
    for slot in range(2):
        for reactor in range(2):
            up = receive_file(memory.reactor_channels[slot][reactor])
            down = receive_file(memory.worker_channels[slot][reactor])
            assert up is not None
            assert down is not None
            assert (up[1], down[1]) == (slot * 2 + reactor, 10 + slot * 2 + reactor)
            assert (text_of(up[0]), text_of(down[0])) == (b"up", b"down")
    memory.close()


@pytest.mark.usefixtures("nothing_kept")
def test_a_received_file_does_not_survive_exec(ends: tuple[int, int]) -> None:
    assert pass_on(ends[0], b"x", 1)
    found = receive_file(ends[1])
    assert found is not None
    assert fcntl.fcntl(found[0], fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.close(found[0])


@pytest.mark.usefixtures("nothing_kept")
def test_an_empty_channel_has_nothing_and_says_so_at_once(ends: tuple[int, int]) -> None:
    assert receive_file(ends[1]) is None
    drain_files(ends[1])


@pytest.mark.usefixtures("nothing_kept")
def test_a_full_channel_takes_no_more_until_one_is_received(ends: tuple[int, int]) -> None:
    worker, reactor = ends
    with socket.socket(fileno=os.dup(worker)) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    fd, sent = file_of(b"x"), 0
    while send_file(worker, fd, sent):
        sent += 1
    assert sent > 1
    received = 0
    while not send_file(worker, fd, sent):
        found = receive_file(reactor)
        assert found is not None
        assert found[1] == received
        os.close(found[0])
        received += 1
    assert received <= sent
    drain_files(reactor)
    assert receive_file(reactor) is None
    os.close(fd)


@pytest.mark.usefixtures("nothing_kept")
def test_a_file_that_cannot_be_sent_is_not_half_sent(ends: tuple[int, int]) -> None:
    closed = file_of(b"x")
    os.close(closed)
    assert not send_file(ends[0], closed, 1)
    assert receive_file(ends[1]) is None


@pytest.mark.usefixtures("nothing_kept")
def test_without_a_free_fd_the_file_is_lost_and_the_next_one_is_not(ends: tuple[int, int]) -> None:
    worker, reactor = ends
    assert pass_on(worker, b"lost", 5)
    assert pass_on(worker, b"next", 6)
    with no_fd_free(), pytest.raises(BrokenRing, match="in the name of 5"):
        receive_file(reactor)
    found = receive_file(reactor)
    assert found is not None
    assert found[1] == 6
    assert text_of(found[0]) == b"next"


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("files", [0, 1, 2, 3, 100])
@pytest.mark.parametrize("message", [EIGHT[:7], EIGHT + b"x", EIGHT * 512, b""], ids=["7", "9", "4096", "0"])
def test_a_message_of_another_length_is_refused_and_its_files_closed(
    ends: tuple[int, int], message: bytes, files: int
) -> None:
    worker, reactor = ends
    fd = file_of(b"x")
    raw(worker, message, *[fd] * files)
    assert pass_on(worker, b"next", 8)
    with pytest.raises(BrokenRing):
        receive_file(reactor)
    found = receive_file(reactor)
    assert found is not None
    assert found[1] == 8
    os.close(found[0])
    os.close(fd)


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("files", [0, 2, 3, 100])
def test_a_message_with_no_file_or_many_is_refused_and_all_are_closed(ends: tuple[int, int], files: int) -> None:
    worker, reactor = ends
    fd = file_of(b"x")
    raw(worker, EIGHT, *[fd] * files)
    with pytest.raises(BrokenRing):
        receive_file(reactor)
    assert receive_file(reactor) is None
    os.close(fd)


@pytest.mark.usefixtures("nothing_kept")
def test_draining_closes_everything_whatever_lies_in_between(ends: tuple[int, int]) -> None:
    worker, reactor = ends
    fd = file_of(b"x")
    for message, files in [(EIGHT, 1), (b"", 0), (EIGHT, 2), (b"junk", 1), (b"", 1), (EIGHT, 0), (EIGHT, 1)]:
        raw(worker, message, *[fd] * files)
    drain_files(reactor)
    assert receive_file(reactor) is None
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)


@pytest.mark.usefixtures("nothing_kept")
def test_draining_a_channel_whose_other_end_is_closed_comes_to_an_end(ends: tuple[int, int]) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        assert pass_on(theirs.fileno(), b"x", 1)
        theirs.close()
        drain_files(ours.fileno())


@pytest.mark.usefixtures("nothing_kept")
def test_a_slot_is_given_to_a_new_worker_without_the_files_of_the_old(memory: SharedMemory) -> None:
    fd = file_of(b"x")
    assert DescriptorWriter(memory).post(1, fd=fd)
    memory.reset_slot(0)
    assert receive_file(memory.worker_channels[0][0]) is None
    os.close(fd)


# ---- files without a name


@pytest.mark.usefixtures("nothing_kept")
def test_a_temp_file_has_no_name_is_ours_alone_and_does_not_survive_exec(tmp_path: Path) -> None:
    fd = temp_file(os.fsencode(tmp_path))
    try:
        assert os.fstat(fd).st_nlink == 0
        assert os.fstat(fd).st_mode & 0o777 == 0o600
        assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        assert list(tmp_path.iterdir()) == []
        write_all(fd, b"hello", 3)
        assert os.pread(fd, 100, 0) == b"\0\0\0hello"
        assert is_regular(fd)
    finally:
        os.close(fd)


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(
    ("directory", "error"),
    [("/proc/no-such-directory", FileNotFoundError), ("/dev/null", NotADirectoryError), ("/proc", FileNotFoundError)],
)
def test_a_directory_that_cannot_be_used_is_an_error(directory: str, error: type[OSError]) -> None:
    with pytest.raises(error):
        temp_file(os.fsencode(directory))


@pytest.mark.usefixtures("nothing_kept")
def test_a_full_disk_is_an_error() -> None:
    fd = os.open("/dev/full", os.O_RDWR | os.O_CLOEXEC)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write_all(fd, b"x", 0)
    finally:
        os.close(fd)


@pytest.mark.usefixtures("nothing_kept")
def test_a_file_that_reached_its_limit_is_an_error_not_an_endless_loop() -> None:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 100)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    try:
        with pytest.raises(PermissionError):
            write_all(fd, b"x" * 200, 0)
    finally:
        os.close(fd)


@pytest.mark.usefixtures("nothing_kept")
def test_pipes_sockets_directories_and_devices_are_no_regular_files(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    ours, theirs = socket.socketpair()
    opened = [os.open(tmp_path, os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY), reading, writing]
    with ours, theirs:
        assert not any(is_regular(fd) for fd in [*opened, ours.fileno(), theirs.fileno()])
    for fd in opened:
        os.close(fd)
    assert not is_regular(reading), "closed"
