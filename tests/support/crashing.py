"""A copy of the server whose workers kill themselves at a named step (swhttp/ipc/crashpoint.h).

It is links to the tree, and for what a worker publishes with, extension modules of its own, compiled from the C files
that the build has left: without optimisation, which takes seconds. The master's end has no such points.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.server import TESTS

TREE = TESTS.parent
VARIABLE = "SWHTTP_CRASH_POINT"
MODULES = ("swhttp/worker/channel", "swhttp/worker/asgi_loop", "swhttp/worker/wsgi_loop", "adapters/asgi",
           "adapters/wsgi")


def build(directory: Path) -> dict[str, str]:
    """Make it in `directory`; returns the environment in which `Server` starts it."""
    for package, place in (("swhttp", "swhttp"), ("adapters", "swhttp/adapters")):
        for source in [TREE / package, *(path for path in (TREE / package).iterdir() if path.is_dir())]:
            if source.is_symlink() or source.name == "__pycache__":
                continue
            copy = directory / place / source.relative_to(TREE / package)
            copy.mkdir(parents=True)
            for path in source.iterdir():
                if path.suffix in (".py", ".so") or path.name == "__pycache__":
                    (copy / path.name).symlink_to(path)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda module: _compile(module, directory), MODULES))
    return {"PYTHONPATH": os.pathsep.join([str(directory), str(TREE)])}


def _compile(module: str, directory: Path) -> None:
    place = module if module.startswith("swhttp/") else f"swhttp/{module}"
    target = directory / f"{place}{sysconfig.get_config_var('EXT_SUFFIX')}"
    target.unlink()
    subprocess.run(
        [*shlex.split(sysconfig.get_config_var("CC")), "-shared", "-fPIC", "-std=gnu11", "-O0", "-w",
         "-DSW_CRASH_POINTS", "-I.", f"-I{sysconfig.get_paths()['include']}", f"{module}.c", "-o", str(target)],
        cwd=TREE, check=True)
