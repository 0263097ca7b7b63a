"""Servers that root starts and that become another user, as which nothing of root's may be read.

An interpreter below /root (pyenv, uv) cannot be read by anybody else; then its standard library is copied, once a
session, to where everybody can. The rest (site-packages, this tree) has to be readable as it is.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sysconfig
import tempfile
from pathlib import Path

NOBODY = 65534
LEFT_OUT = shutil.ignore_patterns(
    "test", "tests", "site-packages", "config-*", "idlelib", "tkinter", "lib2to3", "ensurepip", "turtledemo",
    "distutils", "pydoc_data")


def readable_by_all(path: str) -> bool:
    """Whether everybody may read the directory `path`."""
    return all(os.stat(part).st_mode & 0o005 == 0o005 for part in (Path(path), *Path(path).parents))


@functools.cache
def environment() -> dict[str, str]:
    """Variables for an interpreter of which everybody can read the modules."""
    library = sysconfig.get_path("stdlib")
    if readable_by_all(library):
        return {}
    home = tempfile.mkdtemp(prefix="swt-python-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.chmod(home, 0o755)
    shutil.copytree(library, os.path.join(home, "lib", os.path.basename(library)), ignore=LEFT_OUT)
    tree = Path(__file__).resolve().parents[2]
    return {"PYTHONHOME": home, "PYTHONPATH": os.pathsep.join([str(tree), sysconfig.get_path("purelib")])}
