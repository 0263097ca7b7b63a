"""C programs of the tests, compiled for one of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent.parent


def compiled(source: str, directory: Path, *flags: str) -> str:
    """The path of a program made of `source`. Skips the test when the compiler has not what `flags` ask for."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    empty = directory / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    command = [compiler, "-std=gnu11", "-O1", "-g", *flags, "-I", str(TREE), "-pthread"]
    tried = subprocess.run([*command, str(empty), "-o", str(directory / "empty")], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"the compiler does not know {' '.join(flags)}")
    program = str(directory / Path(source).stem)
    done = subprocess.run([*command, str(TREE / source), "-o", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program
