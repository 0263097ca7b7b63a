"""What the harness concludes from what it read: no server, no load, no clock."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest import bench, gate, proctree, report, rounds, scenario, servers, wrk
from loadtest.lines import BULK, LINES, Line, decide
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


def test_a_scenario_that_posts_hands_wrk_the_file_and_one_that_does_not_no_script() -> None:
    assert wrk.command(20_000, 64, 2, 1)[-1] == "http://127.0.0.1:20000/"
    script = ["-s", str(wrk.POST_SCRIPT), "http://127.0.0.1:20000/", "--", "/x/post"]
    assert wrk.command(20_000, 64, 2, 1, post=Path("/x/post"))[-5:] == script
    assert wrk.POST_SCRIPT.is_file()


def test_numbered_content_is_as_long_as_asked_and_repeats_no_word() -> None:
    content = scenario.numbered(64 * scenario.KIB)
    words = {content[at : at + 8] for at in range(0, len(content), 8)}
    assert (len(content), len(words)) == (65_536, 8_192)


@pytest.mark.parametrize(
    ("wire", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n0\r\n\r", "HTTP/1.1 200 OK", b"0\r\n\r"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n\r\n\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
         "HTTP/1.1 200 OK", b"\r\n0123456789"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", "HTTP/1.0 200 OK", b"to the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", "HTTP/1.1 200 OK", b"cut"),
        (b"HTTP/1.1 2", "HTTP/1.1 2", b""),
    ],
)  # fmt: skip
def test_an_answer_is_read_by_its_own_framing(wire: bytes, status: str, body: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(wire)
        there.shutdown(socket.SHUT_WR)
        assert servers.read_answer(here) == (status, body)


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


RATIO = Line("ratio", "raw-asgi", "cpu_us", 0.5, ("granian",))


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
    line = Line("rate", "raw-asgi", "per_second", 1.5, ("granian",), at_most=False)
    found = rows([sample("swhttp", 64, cpu_us), sample("granian", 64, 100.0)])
    assert decide(line, found, "swhttp").passed is passed


def moved(server: str, *mib_per_cpu_s: float, faults: tuple[str, ...] = ()) -> list[Sample]:
    return [Sample("asgi-64k", server, 64, cpu_us=1.0, mib_per_cpu_s=mib, faults=faults) for mib in mib_per_cpu_s]


BEST = Line("best", "asgi-64k", "mib_per_cpu_s", 0.9, ("uvicorn", "granian"), at_most=False)


@pytest.mark.parametrize(("mib_per_cpu_s", "passed"), [(1_800.0, True), (1_799.0, False)])
def test_the_best_of_several_peers_sets_the_measure(mib_per_cpu_s: float, passed: bool) -> None:
    found = rows([*moved("swhttp", mib_per_cpu_s), *moved("uvicorn", 1_500.0), *moved("granian", 2_000.0)])
    verdict = decide(BEST, found, "swhttp")
    assert verdict.passed is passed
    assert "granian" in verdict.detail


def test_the_best_peer_is_the_one_with_the_least_where_less_is_better() -> None:
    line = Line("best", "raw-asgi", "cpu_us", 0.5, ("granian", "uvicorn"))
    found = rows([sample("swhttp", 64, 5.0), sample("granian", 64, 10.0), sample("uvicorn", 64, 9.0)])
    verdict = decide(line, found, "swhttp")
    assert (verdict.passed, verdict.value) == (False, pytest.approx(5 / 9))


def test_the_best_peer_is_chosen_by_its_median_and_the_range_by_each_round() -> None:
    ours, uvicorn, granian = (
        moved("swhttp", *[1.0] * 3),
        moved("uvicorn", 1.0, 2.0, 8.0),
        moved("granian", 4.0, 1.0, 1.0),
    )
    verdict = decide(BEST, rows([*ours, *uvicorn, *granian]), "swhttp")
    assert (verdict.value, verdict.per_round) == (0.5, (0.125, 0.5))


def test_a_fault_of_any_of_several_peers_fails_the_line() -> None:
    found = rows([*moved("swhttp", 9.0), *moved("uvicorn", 1.0), *moved("granian", 1.0, faults=("read 1",))])
    verdict = decide(BEST, found, "swhttp")
    assert not verdict.passed
    assert "granian" in verdict.detail


def test_bytes_per_cpu_second_count_both_ways() -> None:
    echo, upload = scenario.load("asgi-echo"), scenario.load("wsgi-upload")
    assert echo.payload_bytes == 2 * 64 * scenario.KIB
    assert upload.payload_bytes == 10 * scenario.MIB + len("10485760")
    assert rounds.mib_per_cpu_s(echo.payload_bytes, 100.0) == pytest.approx(1_250.0)
    assert rounds.mib_per_cpu_s(echo.payload_bytes, 0.0) == 0.0


def test_a_file_is_answered_whole_though_the_scenario_holds_none_of_it() -> None:
    what = scenario.load("wsgi-file")
    assert what.body == b""
    assert what.answer == scenario.numbered(10 * scenario.MIB)
    assert what.payload_bytes == 10 * scenario.MIB


def test_only_scenarios_about_bytes_show_them() -> None:
    others = [name for name in scenario.NAMES if not scenario.load(name).bulk]
    assert others == [*scenario.NAMES[:9], *(name for name in scenario.NAMES if name.startswith("ws-"))]
    shown = report.scenario_tables("asgi-64k", list(rows(moved("swhttp", 1_234.5)).values()), "swhttp")
    assert "| MiB/CPU s |" in shown
    assert "1,234" in shown
    small = report.scenario_tables("raw-asgi", list(rows([sample("swhttp", 64, 5.0)]).values()), "swhttp")
    assert "MiB/CPU s" not in small


def test_a_row_has_a_cell_for_each_head() -> None:
    good, bad = rows([*moved("swhttp", 1.0), *moved("uvicorn", 1.0, faults=("read 1",))]).values()
    for columns in map(report.further, map(scenario.load, ("flask", "asgi-64k", "ws-echo-32"))):
        heads = report.load_head("swhttp", columns)
        assert len(report.load_cells(good, good, columns)) == len(report.load_cells(bad, good, columns)) == len(heads)


def test_the_bench_loads_a_scenario_with_its_own_connections_unless_told_otherwise() -> None:
    small, large = scenario.load("flask"), scenario.load("wsgi-10m")
    assert {visit.connections for visit in bench.visits(small, ["swhttp"])} == {bench.CONNECTIONS}
    assert {visit.connections for visit in bench.visits(large, ["swhttp"])} == {(8,)}
    assert {visit.connections for visit in bench.visits(large, ["swhttp"], (2, 3))} == {(2, 3)}


@pytest.mark.parametrize(("many", "passed"), [(13.4, True), (13.6, False)])
def test_growth_is_measured_against_the_growth_of_the_peer(many: float, passed: bool) -> None:
    line = Line("growth", "raw-asgi", "cpu_us", 0.15, ("nginx",), kind="growth")
    ours = [sample("swhttp", 64, 10.0), sample("swhttp", 5_000, many)]
    verdict = decide(line, rows([*ours, sample("nginx", 64, 4.0), sample("nginx", 5_000, 4.8)]), "swhttp")
    assert verdict.passed is passed
    assert verdict.limit == pytest.approx(1.35)


@pytest.mark.parametrize(("share", "passed"), [(0.98, True), (0.96, False)])
def test_a_duel_is_decided_by_the_median_of_its_pairs(share: float, passed: bool) -> None:
    line = Line("log", "raw-asgi", "per_second", 0.97, ("swhttp",), at_most=False, kind="duel", own="swhttp-log")
    runs = []
    for pair, speed in enumerate([100.0, 50.0, 120.0] * 8):  # the machine varies by more than the servers do
        ours = share if pair % 6 else 2.0  # and some pairs are spoiled
        both = [replace(sample("swhttp-log", 64, 5.0), per_second=speed * ours)]
        both += [replace(sample("swhttp", 64, 5.0), per_second=speed)]
        runs += both if pair % 2 else both[::-1]
    verdict = decide(line, rows(runs), "swhttp")
    assert (verdict.value, verdict.per_round) == (pytest.approx(share), (pytest.approx(share), pytest.approx(share)))
    assert verdict.passed is passed


@pytest.mark.parametrize(("own_kib", "passed"), [(2.0, True), (2.1, False)])
def test_memory_of_a_websocket_is_judged_without_the_apps_and_all_of_it_told(own_kib: float, passed: bool) -> None:
    line = Line("idle", "ws-idle", "own_kib", 2.0, connections=10_000, kind="own")
    ours = Sample("ws-idle", "swhttp", 10_000, idle_kib=4.41, root_kib=0.62, own_kib=own_kib)
    verdict = decide(line, rows([ours]), "swhttp")
    assert (verdict.passed, verdict.value) == (passed, own_kib)
    assert "4.41" in verdict.detail
    assert "0.62" in verdict.detail


@pytest.mark.parametrize(("per_cpu_s", "passed"), [(800_000.0, True), (799_000.0, False)])
def test_a_broadcast_is_judged_by_messages_per_cpu_second(per_cpu_s: float, passed: bool) -> None:
    line = Line("broadcast", "ws-broadcast-16", "per_cpu_s", 8.0, ("uvicorn-wsproto",), 1_000, at_most=False)
    both = [Sample("ws-broadcast-16", "swhttp", 1_000, cpu_us=1.0, per_cpu_s=per_cpu_s)]
    both += [Sample("ws-broadcast-16", "uvicorn-wsproto", 1_000, cpu_us=10.0, per_cpu_s=100_000.0)]
    assert decide(line, rows(both), "swhttp").passed is passed


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


def test_a_duel_gives_servers_and_client_a_cpu_each_for_its_time() -> None:
    ours = os.sched_getaffinity(0)
    with rounds.on_cpu(0):
        assert os.sched_getaffinity(0) == {min(ours)}
    assert os.sched_getaffinity(0) == ours
    with rounds.on_cpu(len(ours)):  # there are not so many
        assert os.sched_getaffinity(0) == ours


def test_a_duel_is_not_among_the_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    visited: list[rounds.Visit] = []
    monkeypatch.setattr(rounds, "run", lambda visits, *_: visited.extend(visits) or [])
    effort = rounds.Effort()
    gate.measure(LINES, "swhttp", effort, effort)
    assert "swhttp-access-log" in {line.own for line in LINES if line.kind == "duel"}
    assert "swhttp-access-log" not in {visit.server for visit in visited}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_a_line_asks_for_servers_that_take_part_and_bytes_at_the_scenarios_own_connections(line: Line) -> None:
    what = scenario.load(line.scenario)
    assert {"swhttp", *line.peers, *([line.own] if line.own else [])} <= set(what.servers)
    assert line.bulk is what.bulk
    assert not line.bulk or line.connections in what.connections


def test_no_peer_in_a_line_about_bytes_is_the_floor() -> None:
    assert not {peer for line in BULK for peer in line.peers} & set(scenario.FLOOR)


@pytest.mark.parametrize("name", scenario.NAMES)
def test_scenarios_name_themselves_and_known_servers(name: str) -> None:
    what = scenario.load(name)
    assert what.name == name
    assert set(what.servers) <= set(PEERS)
