"""What the harness concludes from what it read: no server, no load, no clock."""

from __future__ import annotations

import pytest

from loadtest import gate, proctree, scenario, wrk
from loadtest.lines import LINES, Line, decide
from loadtest.peers import PEERS
from loadtest.rounds import Sample
from loadtest.stats import rows

REPORT = """\
Running 2s test @ http://127.0.0.1:20000/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.14ms  210.00us   9.00ms   91.00%
    Req/Sec    54.70k     1.00k   56.00k    70.00%
  Latency Distribution
     50%  980.00us
     75%    1.20ms
     90%    1.40ms
     99%    2.26ms
  110000 requests in 2.00s, 15.00MB read
Requests/sec:  55000.00
Transfer/sec:      7.50MB
"""


def test_wrk_report_is_read_in_microseconds() -> None:
    seen = wrk.parse(REPORT)
    assert (seen.requests, seen.per_second, seen.p50_us, seen.p99_us) == (110_000, 55_000.0, 980.0, 2_260.0)
    assert seen.faults == ()


@pytest.mark.parametrize(
    "fault", ["Non-2xx or 3xx responses: 7", "Socket errors: connect 0, read 3, write 0, timeout 1"]
)
def test_errors_that_wrk_saw_are_faults(fault: str) -> None:
    assert wrk.parse(REPORT.replace("Requests/sec", f"  {fault}\nRequests/sec")).faults == (fault,)


def test_a_run_without_an_answer_is_a_fault() -> None:
    assert wrk.parse(REPORT.replace("110000 requests", "0 requests")).faults


def test_a_report_that_lacks_a_figure_is_refused() -> None:
    with pytest.raises(wrk.WrkError):
        wrk.parse(REPORT.replace("99%", "98%"))


def stat(pid: int, parent: int, session: int) -> proctree.Stat:
    return proctree.Stat(pid, "S", parent, session, 0, 0)


def test_a_tree_is_descendants_and_orphans_of_the_session_only() -> None:
    listed = [stat(13, 12, 12), stat(12, 10, 10), stat(10, 1, 10), stat(14, 1, 10), stat(20, 1, 20)]
    assert {member.pid for member in proctree.closure(10, listed)} == {10, 12, 13, 14}


def test_a_command_name_with_blanks_and_parentheses_is_no_field() -> None:
    tail = "S 7 42 42 0 -1 0 0 0 0 0 500 60 11 22 20 0 1 0 9999 0 0"
    read = proctree.parse_stat(f"42 (a) b (c) {tail}")
    assert read == proctree.Stat(42, "S", 7, 42, 33, 9999)


def sample(server: str, connections: int, cpu_us: float, *faults: str) -> Sample:
    return Sample("raw-asgi", server, connections, cpu_us=cpu_us, per_second=100 / cpu_us, faults=faults)


RATIO = Line("ratio", "raw-asgi", "cpu_us", 0.5, "granian")


@pytest.mark.parametrize(("cpu_us", "passed"), [(5.0, True), (5.1, False)])
def test_a_ratio_passes_up_to_its_limit(cpu_us: float, passed: bool) -> None:
    found = rows([sample("swhttp", 64, cpu_us), sample("granian", 64, 10.0)])
    assert decide(RATIO, found, "swhttp").passed is passed


def test_medians_decide_not_means() -> None:
    runs = [sample("swhttp", 64, cpu) for cpu in (4.0, 5.0, 90.0)]
    verdict = decide(RATIO, rows([*runs, *[sample("granian", 64, 10.0)] * 3]), "swhttp")
    assert (verdict.value, verdict.per_round) == (0.5, (0.4, 9.0))


@pytest.mark.parametrize(("cpu_us", "passed"), [(66.0, True), (67.0, False)])
def test_a_throughput_line_is_a_lower_bound(cpu_us: float, passed: bool) -> None:
    line = Line("rate", "raw-asgi", "per_second", 1.5, "granian", at_most=False)
    found = rows([sample("swhttp", 64, cpu_us), sample("granian", 64, 100.0)])
    assert decide(line, found, "swhttp").passed is passed


@pytest.mark.parametrize(("many", "passed"), [(13.4, True), (13.6, False)])
def test_growth_is_measured_against_the_growth_of_the_peer(many: float, passed: bool) -> None:
    line = Line("growth", "raw-asgi", "cpu_us", 0.15, "nginx", kind="growth")
    ours = [sample("swhttp", 64, 10.0), sample("swhttp", 5_000, many)]
    verdict = decide(line, rows([*ours, sample("nginx", 64, 4.0), sample("nginx", 5_000, 4.8)]), "swhttp")
    assert verdict.passed is passed
    assert verdict.limit == pytest.approx(1.35)


@pytest.mark.parametrize("server", ["swhttp", "granian"])
def test_one_round_at_fault_fails_the_line_and_says_why(server: str) -> None:
    good = [sample("swhttp", 64, 1.0), sample("granian", 64, 10.0)]
    verdict = decide(RATIO, rows([*good, sample(server, 64, 1.0, "Socket errors: read 1")]), "swhttp")
    assert not verdict.passed
    assert "Socket errors: read 1" in verdict.detail


def test_a_row_never_measured_fails_the_line() -> None:
    assert not decide(RATIO, {}, "swhttp").passed


def test_the_gate_visits_every_row_that_its_lines_need_once() -> None:
    planned = [(v.scenario, v.server, n) for v in gate.visits(LINES, "swhttp") for n in v.connections]
    assert len(planned) == len(set(planned))
    assert set(planned) == {key for line in LINES for key in line.needs("swhttp")}


@pytest.mark.parametrize("name", scenario.NAMES)
def test_scenarios_name_themselves_and_known_servers(name: str) -> None:
    what = scenario.load(name)
    assert what.name == name
    assert set(what.servers) <= set(PEERS)
