"""Builds the compiled core: every `.pyx` below `swhttp/` and `adapters/` is one extension module.

`pyproject.toml` holds everything else. `SWHTTP_EXT` (comma-separated module names) builds only those; `-`: none.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
# `adapters` is the package swhttp.adapters. Cython looks for its .pxd files by that name, through this link; a source
# archive holds no links, so it is made where it is missing.
LINK = ROOT / "swhttp" / "adapters"
if not LINK.exists():
    LINK.symlink_to("../adapters")
ROOMS = {"swhttp/ipc": "swhttp.ipc", "swhttp/reactor": "swhttp.reactor",
         "swhttp/worker": "swhttp.worker", "adapters": "swhttp.adapters"}


def extensions() -> list[Extension]:
    only = {name for name in os.environ.get("SWHTTP_EXT", "").split(",") if name}
    found = []
    for folder, package in ROOMS.items():
        headers = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "swhttp").glob("*/*.h"))]
        for source in sorted((ROOT / folder).glob("*.pyx")):
            name = f"{package}.{source.stem}"
            if only and name not in only:
                continue
            found.append(Extension(
                name, [str(source.relative_to(ROOT))], depends=headers, include_dirs=["."],
                extra_compile_args=["-std=gnu11", "-O3", "-g1", "-Wall", "-Wno-unused-function"],
                define_macros=[("CYTHON_CLINE_IN_TRACEBACK", "0")]))
    return found


setup(options={"build_ext": {"parallel": len(os.sched_getaffinity(0))}}, ext_modules=cythonize(
    extensions(), include_path=["."],
    compiler_directives={
        "language_level": 3, "boundscheck": False, "wraparound": False, "initializedcheck": False,
        "cdivision": True, "embedsignature": False, "binding": False,
    }))
