"""`make fuzz`: links the fuzzers, writes the seeds, runs each target for its time, and says what came of it.

It runs in the tree that was built as usual; the tree that was built for the fuzzer is named. What a target finds stays
in the corpus directory as TARGET-crash-..., to be tried again by `python -m tests.fuzz.replay TARGET FILE`.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.fuzz import replay, seeds

MOST_INPUT_BYTES = 4096
MOST_INPUT_S = 60
MOST_MEMORY_MB = 4096
DICTIONARIES = {"http": "http.dict", "proxy": "http.dict"}
DONE = re.compile(r"^#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
SANITIZED = ("-std=gnu11", "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined", "-I.")


def link(compiler: str, tree: Path, target: str) -> None:
    """Make the program of `target` in the tree."""
    if target not in replay.TARGETS:
        command = [compiler, *SANITIZED, f"tests/fuzz/{target}.c", "-o", target]
    else:
        library = sysconfig.get_config_var("LIBDIR")
        command = [compiler, *SANITIZED, "-rdynamic", f'-DSWHTTP_PYTHON="{sys.executable}"',
                   f"-I{sysconfig.get_path('include')}", "tests/fuzz/main.c", "-o", target, f"-L{library}",
                   f"-Wl,-rpath,{library}", f"-lpython{sysconfig.get_config_var('LDVERSION')}"]
    subprocess.run(command, cwd=tree, check=True)


def run(tree: Path, corpus: Path, target: str, seconds: int) -> bool:
    """Run one target. False: it has found something."""
    directory = corpus / target
    seeds.main(target, str(directory))
    command = [f"./{target}", str(directory), f"-max_total_time={seconds}", f"-max_len={MOST_INPUT_BYTES}",
               f"-timeout={MOST_INPUT_S}", f"-rss_limit_mb={MOST_MEMORY_MB}", "-detect_leaks=0", "-print_final_stats=1",
               f"-artifact_prefix={corpus}/{target}-"]
    if target in DICTIONARIES:
        command.append(f"-dict=tests/fuzz/{DICTIONARIES[target]}")
    environment = os.environ | {"PYTHONMALLOC": "malloc", "UBSAN_OPTIONS": "print_stacktrace=1",
                                "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=tree, env=environment, stderr=subprocess.PIPE, text=True, errors="replace",
                          check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = DONE.search(done.stderr)
    if done.returncode or found is None:
        print(done.stderr[-8000:])
        print(f"{target}: a finding, after {cpu_s:.0f} s of CPU", flush=True)
        return False
    print(f"{target}: {found[1]} inputs in {cpu_s:.0f} s of CPU, {found[2]} places covered, {found[4]} inputs kept",
          flush=True)
    return True


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", choices=(*replay.TARGETS, "octets"))
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    chosen = parser.parse_args()
    for target in chosen.targets:
        link(chosen.compiler, chosen.tree, target)
    results = [run(chosen.tree, chosen.corpus.resolve(), target, chosen.seconds) for target in chosen.targets]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
