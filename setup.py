"""Builds the compiled core: every `.pyx` below `swhttp/` and `adapters/` is one extension module.

`pyproject.toml` holds everything else. `SWHTTP_EXT` (comma-separated module names) builds only those; `-`: none. Those
in `tests` (harnesses that reach into the core) are built only if they are named there, or for a fuzzer.

`SWHTTP_SANITIZE` (comma-separated: address, undefined, thread, fuzzer) builds with these checks of the compiler, to be
run by `make asan` and `make fuzz` in a copy of the tree. A finding of theirs ends the process.
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
         "swhttp/worker": "swhttp.worker", "adapters": "swhttp.adapters", "tests/fuzz": "tests.fuzz"}
FLAGS = ["-std=gnu11", "-O3", "-g1", "-Wall", "-Wno-unused-function"]


def sanitizers() -> list[str]:
    return [name for name in os.environ.get("SWHTTP_SANITIZE", "").split(",") if name]


def sanitizer_flags() -> list[str]:
    """-O1: reports should name the lines of the source. -fno-wrapv: what overflows must not do so by definition. Not
    pointer-overflow: Cython's own code adds 0 to NULL."""
    chosen = ["fuzzer-no-link" if name == "fuzzer" else name for name in sanitizers()]
    if not chosen:
        return []
    return [f"-fsanitize={','.join(chosen)}", "-fno-sanitize-recover=undefined",
            "-fno-sanitize=pointer-overflow", "-fno-omit-frame-pointer", "-fno-wrapv",
            "-O1", "-g"]


def extensions() -> list[Extension]:
    only = {name for name in os.environ.get("SWHTTP_EXT", "").split(",") if name}
    found = []
    for folder, package in ROOMS.items():
        headers = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "swhttp").glob("*/*.h"))]
        for source in sorted((ROOT / folder).glob("*.pyx")):
            name = f"{package}.{source.stem}"
            if name not in only and (only or (package.startswith("tests.") and "fuzzer" not in sanitizers())):
                continue
            found.append(Extension(
                name, [str(source.relative_to(ROOT))], depends=headers, include_dirs=["."],
                extra_compile_args=FLAGS + sanitizer_flags(), extra_link_args=sanitizer_flags()[:1],
                define_macros=[("CYTHON_CLINE_IN_TRACEBACK", "0")]))
    return found


setup(options={"build_ext": {"parallel": len(os.sched_getaffinity(0))}}, ext_modules=cythonize(
    extensions(), include_path=["."],
    compiler_directives={
        "language_level": 3, "boundscheck": False, "wraparound": False, "initializedcheck": False,
        "cdivision": True, "embedsignature": False, "binding": False,
    }))
