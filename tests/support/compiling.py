"""C programs of the tests, compiled for one of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

TREE = Path(__file__).parent.parent.parent


def compiled(source: str, directory: Path, *flags: str) -> str:
    """The path of a program made of `source`. Raises AssertionError when the compiler has not what `flags` ask for."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "no C compiler: swhttp itself needs one"
    empty = directory / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    command = [compiler, "-std=gnu11", "-O1", "-g", *flags, "-I", str(TREE), "-pthread"]
    empty_program = str(directory / "empty")
    tried = subprocess.run([*command, str(empty), "-o", empty_program], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, f"{compiler} cannot do {' '.join(flags)} (Debian's gcc can): {tried.stderr}"
    program = str(directory / Path(source).stem)
    done = subprocess.run([*command, str(TREE / source), "-o", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program
