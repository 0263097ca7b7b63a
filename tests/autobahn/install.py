"""Installs the Autobahn test suite into an environment of its own: it is Python 2.7, which hardly any system still has.

    python -m tests.autobahn.install .venv/autobahn

Exit status 1, with one message, where there is no Python 2.7 or the installation fails; `--look` only says whether
there is one. It is `$PYTHON2`, or else `python2.7` in PATH or the newest of pyenv's. Nothing outside the directory and
the one beside it changes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SUITE = "autobahntestsuite==25.10.1"
# The last that makes environments of Python 2.7. It runs on what runs this.
VIRTUALENV = "virtualenv<20.22"
MISSING = """\
The Autobahn test suite needs Python 2.7, and there is none here. To get it:
    Debian 11, Ubuntu 22.04 or older: apt-get install python2.7
    elsewhere: pyenv install 2.7.18
or set PYTHON2 to the path of one, and run `make autobahn` again."""


def candidates(environment: dict[str, str], home: Path) -> Iterator[str]:
    """Programs that may be Python 2.7, the likeliest first. pyenv's own `python2.7` asks which version it shall be."""
    if environment.get("PYTHON2"):
        yield environment["PYTHON2"]
        return
    yield "python2.7"
    versions = Path(environment.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    for directory in sorted(versions.glob("2.7.*"), reverse=True):
        yield str(directory / "bin" / "python2.7")


def works(program: str) -> bool:
    """Whether it is Python 2.7, and runs."""
    try:
        done = subprocess.run([program, "-c", "import sys, ssl, zlib; print(sys.version_info[:2] == (2, 7))"],
                              capture_output=True, check=False, timeout=60)
    except OSError:
        return False
    return done.stdout.strip() == b"True"


def install(program: str, directory: Path) -> None:
    """Make the environment and install the suite; CalledProcessError when that fails."""
    tools = directory.with_name(directory.name + "-virtualenv")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", tools, VIRTUALENV], check=True)
    # Not by the path of virtualenv's own script, which would have this environment's sys.path as well.
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", "--clear", "--python", program, directory],
                   check=True, env=os.environ | {"PYTHONPATH": str(tools)})
    subprocess.run([directory / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-python-version-warning",
                    SUITE], check=True)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--look", action="store_true")
    chosen = parser.parse_args()
    program = next(filter(works, candidates(dict(os.environ), Path.home())), None)
    if program is None:
        print(MISSING, file=sys.stderr)
        return 1
    if chosen.look:
        return 0
    if chosen.directory is None:
        parser.error("a directory is needed")
    try:
        install(program, chosen.directory)
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"The Autobahn test suite could not be installed: this failed: {command}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
