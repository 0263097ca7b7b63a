"""Every conformance case, delivered four ways, to the reference app as WSGI and as ASGI, with 1 and 2 reactors.

And once more behind a proxy that speaks the PROXY protocol, and once through TLS: the verdicts are those of a client
that comes without.

SWHTTP_CONFORMANCE_SEED repeats the random splits of an earlier run; the seed stands in every failure.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.conformance.checker import MODES, Case, judge, load_cases, load_deferred, observe
from tests.support import proxying, tls
from tests.support.fleet import Start
from tests.support.server import Server

SEED = int(os.environ.get("SWHTTP_CONFORMANCE_SEED", random.SystemRandom().randrange(1 << 32)))
DEFERRED = load_deferred()
CASES = load_cases()
PREFACES = {"PROXY 1": proxying.v1(), "PROXY 2": proxying.with_checksum(proxying.v2(tlvs=proxying.tls()))}
DIRECT = "127.0.0.2"


@pytest.fixture(scope="module", params=["wsgi-1", "wsgi-2", "asgi-1", "asgi-2"])
def site(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app with one worker, so that "the same worker" is one pid."""
    interface, _, reactors = request.param.partition("-")
    return module_server(f"reference:{interface}", "--workers", "1", "--reactors", reactors)


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def secured(request: pytest.FixtureRequest, module_server: Start) -> Server:
    """The reference app, and clients that speak TLS."""
    return module_server(f"reference:{request.param}", "--workers", "1", "--reactors", "1", *tls.options(),
                         tls=tls.authority().client())


@pytest.fixture(scope="module")
def proxied(module_server: Start) -> Server:
    """The reference app behind a proxy on 127.0.0.1; who comes from elsewhere speaks plain HTTP."""
    return module_server("reference:wsgi", "--workers", "1", "--reactors", "1", "--proxy-protocol", "auto")


def broken_rules(case: Case, site: Server) -> list[str]:
    """All rules that the case breaks in any of its deliveries."""
    broken = []
    verdicts = {}
    workers = site.workers()
    for mode in MODES:
        observed = observe(case, site, mode, SEED, workers)
        broken += [f"{mode}: {rule}" for rule in judge(case, observed)]
        verdicts[mode] = observed.verdict
    if site.workers() != workers:
        broken.append(f"workers {workers} became {site.workers()}")
    if len(set(verdicts.values())) != 1:
        broken.append(f"the verdict depends on the delivery: {verdicts}")
    return broken


@pytest.mark.parametrize("case", [case for case in CASES if case.id not in DEFERRED], ids=str)
def test_case(site: Server, case: Case) -> None:
    broken = broken_rules(case, site)
    assert broken == [], f"{case.id} ({case.keys['why']}), seed {SEED}:\n" + "\n".join(broken)


@pytest.mark.parametrize("case", [case for case in CASES if case.id not in DEFERRED], ids=str)
def test_case_behind_a_proxy(proxied: Server, case: Case) -> None:
    workers = proxied.workers()
    direct = observe(case, proxied, MODES[0], SEED, workers, source=DIRECT)
    broken = []
    for name, preface in PREFACES.items():
        for mode in (MODES[0], MODES[-1]):
            observed = observe(case, proxied, mode, SEED, workers, preface)
            broken += [f"{name}, {mode}: {rule}" for rule in judge(case, observed)]
            if observed.verdict != direct.verdict:
                broken.append(f"{name}, {mode}: {observed.verdict} instead of {direct.verdict}")
    assert broken == [], f"{case.id} ({case.keys['why']}), seed {SEED}:\n" + "\n".join(broken)


@pytest.mark.parametrize("case", [case for case in CASES if case.id not in DEFERRED], ids=str)
def test_case_through_tls(secured: Server, case: Case) -> None:
    workers = secured.workers()
    broken = []
    for mode in (MODES[0], MODES[-1]):
        observed = observe(case, secured, mode, SEED, workers)
        broken += [f"{mode}: {rule}" for rule in judge(case, observed)]
    assert broken == [], f"{case.id} ({case.keys['why']}), seed {SEED}:\n" + "\n".join(broken)


def test_the_deferred_list_holds_only_cases_that_fail(site: Server) -> None:
    known = {case.id for case in CASES}
    assert set(DEFERRED) <= known
    passing = [case.id for case in CASES if case.id in DEFERRED and not broken_rules(case, site)]
    assert passing == [], "take these off the list"
