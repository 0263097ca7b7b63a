"""Runs wrk once and reads what it says.

A run with a status other than 2xx/3xx or any socket error is still a result, but an invalid one:
`Load.faults` says why, and no figure of it may be compared.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Makes each request a POST of the file that its argument names.
POST_SCRIPT = Path(__file__).resolve().parent / "post.lua"
# A late answer is a bad p99, not an error, until it is this late.
ANSWER_TIMEOUT_S = 10
# wrk is given this much longer than the load before it is taken for hung.
GRACE_S = 30

US_PER = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}


class WrkError(Exception):
    """wrk could not run or said something that cannot be read."""


@dataclass(frozen=True)
class Load:
    """What one wrk run saw; latencies in microseconds."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    faults: tuple[str, ...]

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


def parse(text: str) -> Load:
    """Read wrk's report (with --latency); WrkError when a figure is missing."""
    total = re.search(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h),", text, re.MULTILINE)
    p50 = re.search(r"^\s*50%\s+([\d.]+)(us|ms|s|m|h)", text, re.MULTILINE)
    p99 = re.search(r"^\s*99%\s+([\d.]+)(us|ms|s|m|h)", text, re.MULTILINE)
    if total is None or p50 is None or p99 is None:
        raise WrkError(f"wrk's report cannot be read:\n{text}")
    faults = re.findall(r"^\s*(Non-2xx or 3xx responses: .+|Socket errors: .+)$", text, re.MULTILINE)
    if int(total[1]) == 0:
        faults.append("no request was answered")
    return Load(
        requests=int(total[1]),
        seconds=float(total[2]) * US_PER[total[3]] / 1e6,
        p50_us=float(p50[1]) * US_PER[p50[2]],
        p99_us=float(p99[1]) * US_PER[p99[2]],
        faults=tuple(faults),
    )


def command(
    port: int,
    connections: int,
    seconds: int,
    threads: int,
    headers: Sequence[tuple[str, str]] = (),
    post: Path | None = None,
    secure: bool = False,
) -> list[str]:
    """Return wrk's command line; wrk takes whole seconds and at least one connection per thread."""
    line = ["wrk", "--latency", "-t", str(min(threads, connections)), "-c", str(connections)]
    line += ["-d", f"{seconds}s", "--timeout", f"{ANSWER_TIMEOUT_S}s"]
    for name, value in headers:
        line += ["-H", f"{name}: {value}"]
    url = f"{'https' if secure else 'http'}://127.0.0.1:{port}/"
    return [*line, url] if post is None else [*line, "-s", str(POST_SCRIPT), url, "--", str(post)]


def run(
    port: int,
    connections: int,
    seconds: int,
    threads: int,
    headers: Sequence[tuple[str, str]] = (),
    post: Path | None = None,
    secure: bool = False,
) -> Load:
    """Load 127.0.0.1:port and return what wrk saw; WrkError when wrk fails, wrk never outlives the call.

    post: the file that each request POSTs; None: each is a GET. secure: over TLS.
    """
    line = command(port, connections, seconds, threads, headers, post, secure)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as wrk:
        try:
            output, _ = wrk.communicate(timeout=seconds + GRACE_S)
        except subprocess.TimeoutExpired as error:
            raise WrkError(f"wrk did not end within {seconds + GRACE_S} s") from error
        finally:
            wrk.kill()
    if wrk.returncode != 0:
        raise WrkError(f"wrk ended with {wrk.returncode}:\n{output}")
    return parse(output)
