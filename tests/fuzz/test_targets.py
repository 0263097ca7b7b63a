"""Every fuzz target holds over its seeds, what was found before among them, and over some bent ones: `make fuzz` for
more. In a process of its own each: a reactor on a stand keeps its fds and memory.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import replay, seeds
from tests.support.compiling import compiled

TREE = Path(__file__).parent.parent.parent
BENT = {"http": 400, "frames": 400, "proxy": 400, "blocks": 400, "control": 300, "websocket": 1000}
needs_stand = pytest.mark.skipif(
    importlib.util.find_spec("tests.fuzz.stand") is None, reason="tests/fuzz/stand.pyx is compiled by `make test`"
)


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=TREE, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True,
                          text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@needs_stand
@pytest.mark.parametrize("target", replay.TARGETS)
def test_a_target_holds(target: str) -> None:
    found = _run(sys.executable, "-m", "tests.fuzz.replay", target, "--bent", str(BENT[target]))
    assert int(re.fullmatch(r"(\d+) inputs\n", found)[1]) == len(seeds.seeds(target)) + BENT[target]


@needs_stand
def test_a_finding_ends_it(tmp_path: Path) -> None:
    # The target's own judgement must reach whoever runs it, else it finds nothing.
    (tmp_path / "seed").write_bytes(b"\0\0\0GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    code = ("from tests.fuzz import http, worker\n"
            "worker.OK = b'HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: 2\\r\\n'\n"
            f"http.one(open({str(tmp_path / 'seed')!r}, 'rb').read())")
    done = subprocess.run([sys.executable, "-c", code], cwd=TREE, capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 1
    assert "kept open: False, ought to be True" in done.stderr


def test_the_headers_hold(tmp_path: Path) -> None:
    program = compiled("tests/fuzz/octets.c", tmp_path, "-fsanitize=address,undefined",
                       "-fno-sanitize-recover=undefined", "-DWITHOUT_FUZZER")
    files = []
    for nth, seed in enumerate(seeds.seeds("octets")):
        files.append(str(tmp_path / str(nth)))
        (tmp_path / str(nth)).write_bytes(seed)
    assert _run(program, "5000", *files) == f"{5000 * len(files)} inputs\n"
