"""`make autobahn`: the Autobahn suite against `swhttp`, one worker, one reactor, the echo of tests/apps/sockets.py.

    python -m tests.autobahn.run --wstest .venv/autobahn/bin/wstest --report .venv/autobahn-report

Prints the counts per verdict, and every case whose verdict is not OK, NON-STRICT or INFORMATIONAL: one such, or one
that was not run, is exit status 1. The suite's own report, a page for each case, is in the directory. `--short` leaves
out what takes long, `--case 12.1.*` runs a part, `--url` asks a server that runs already.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.autobahn import suite
from tests.support.fleet import starting

LARGEST_BYTES = 16 << 20
"""Of the suite's messages."""


def run(wstest: Path, url: str, report: Path, cases: tuple[str, ...], timeout_s: float) -> tuple[bool, list[str]]:
    """Run the cases against the server at `url`; what `suite.summary` says of them, or why there is nothing to say."""
    shutil.rmtree(report, ignore_errors=True)
    report.mkdir(parents=True)
    specification = report / "specification.json"
    specification.write_text(json.dumps(suite.specification(url, str(report), cases), indent=2))
    output = report / "output.txt"
    command = [str(wstest), "--mode", "fuzzingclient", "--spec", str(specification)]
    with output.open("w") as file:
        try:
            status = subprocess.run(command, cwd=report, stdout=file, stderr=subprocess.STDOUT, check=False,
                                    env=os.environ | {"PYTHONUNBUFFERED": "1"}, timeout=timeout_s).returncode
        except subprocess.TimeoutExpired:
            return False, [f"not through after {timeout_s:.0f} s; at: {output.read_text().splitlines()[-1]}"]
    index = report / "index.json"
    if status != 0 or not index.exists():
        return False, [f"wstest ended with {status}, and without a report:", output.read_text()[-4000:]]
    return suite.summary(suite.cases_of(json.loads(index.read_text())), suite.announced(output.read_text()))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wstest", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--timeout", type=float, default=3600.0, metavar="SECONDS")
    parser.add_argument("--url", help="of an echo server, instead of ours")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--short", action="store_true")
    which.add_argument("--case", action="append", metavar="PATTERN")
    chosen = parser.parse_args()
    cases = suite.SHORT if chosen.short else tuple(chosen.case or suite.EVERYTHING)
    report = chosen.report.resolve()
    began = time.monotonic()
    if chosen.url:
        well, lines = run(chosen.wstest.absolute(), chosen.url, report, cases, chosen.timeout)
    else:
        with starting(settled=False) as start:
            server = start("sockets:app", "--workers", "1", "--reactors", "1", "--ws-max-size", str(LARGEST_BYTES))
            url = f"ws://127.0.0.1:{server.port}/echo"
            well, lines = run(chosen.wstest.absolute(), url, report, cases, chosen.timeout)
    print("\n".join(lines))
    print(f"{time.monotonic() - began:.0f} s; the report: {report}/index.html")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
