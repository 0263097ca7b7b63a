"""The thread sanitizer sees no unordered access in what processes and threads share: a short run of `make tsan`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.compiling import compiled


def test_no_access_is_unordered(tmp_path: Path) -> None:
    program = compiled("tests/ipc/threads.c", tmp_path, "-fsanitize=thread", "-Wno-tsan")
    environment = os.environ | {"TSAN_OPTIONS": "halt_on_error=1", "LD_PRELOAD": ""}  # there may be another sanitizer
    done = subprocess.run([program, "10000"], env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith("answered 10")
