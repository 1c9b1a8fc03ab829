"""The phase of a run that is drawn: a function of the seed alone, within its bounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from experiments.catalogue import CATALOGUE
from experiments.declare.deployment import resolve
from experiments.declare.phase import with_drawn_phase
from experiments.declare.scenario import Kill, Run, WrongClock
from experiments.model.prediction import Prediction


def declared(name: str, case: int = 0, seed: int = 1, number: int = 1) -> Run:
    experiment = CATALOGUE[name]
    return Run(name, experiment.domain, experiment.cases[case], experiment.scenario, number=number, seed=seed, engine="virtual")


def test_a_seed_gives_the_same_phase_whichever_run_it_is() -> None:
    alone, second = (with_drawn_phase(declared("handover", seed=8, number=number)).scenario for number in (1, 2))
    assert alone == second != with_drawn_phase(declared("handover", seed=7)).scenario


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_phase_stays_within_its_bounds(name: str) -> None:
    scenario = CATALOGUE[name].scenario
    width = scenario.phase or max(1 / flow.rate for flow in scenario.flows)
    shifts: list[float] = []
    for seed in range(50):
        drawn = with_drawn_phase(declared(name, seed=seed)).scenario
        for before, after in zip(scenario.flows, drawn.flows, strict=True):
            assert 0 <= after.start - before.start <= min(width, 1 / before.rate)
        together = {round(after.at - before.at, 5) for before, after in zip(scenario.moves, drawn.moves, strict=True)}
        assert len(together) <= 1
        shifts += together
    assert all(abs(shift) <= width / 2 for shift in shifts)
    assert not shifts or max(shifts) - min(shifts) > width / 2, "the whole range is used"


def test_faults_come_with_the_moves_and_never_before_the_scenario() -> None:
    case = list(CATALOGUE["faults"].cases)
    killed = next(number for number, each in enumerate(case) if isinstance(each.faults[0], Kill) and each.faults[0].at < 0.01)
    clock = next(number for number, each in enumerate(case) if isinstance(each.faults[0], WrongClock))
    for seed in range(20):
        run = with_drawn_phase(declared("faults", killed, seed))
        shift = run.scenario.moves[0].at - CATALOGUE["faults"].scenario.moves[0].at
        (fault,), (before,) = run.case.faults, case[killed].faults
        assert isinstance(fault, Kill)
        assert isinstance(before, Kill)
        assert (fault.at - before.at, fault.end - before.end) == pytest.approx((shift, shift))
        (fault,) = with_drawn_phase(declared("faults", clock, seed)).case.faults
        assert fault.end == pytest.approx(case[clock].faults[0].end + shift)
        wide = declared("faults", killed, seed)
        (fault,) = with_drawn_phase(replace(wide, scenario=replace(wide.scenario, phase=5.0))).case.faults
        assert isinstance(fault, Kill)
        assert fault.at >= 0


def test_a_drawn_phase_keeps_a_query_under_way_when_the_node_leaves() -> None:
    for case in range(len(CATALOGUE["mid-query"].cases)):
        for seed in range(10):
            run = with_drawn_phase(declared("mid-query", case, seed))
            (move,) = run.scenario.moves
            asked = [signal for signal in Prediction(resolve(run)).trace().signals if signal.kind in ("PBQ", "PQA")]
            if asked:
                query, answer = asked[0], asked[1]
                assert query.sent < move.at * 1e9 < answer.arrivals[0][1]


def test_what_is_drawn_is_in_order_as_declared() -> None:
    for seed in range(20):
        moves = with_drawn_phase(declared("ping-pong", seed=seed)).scenario.moves
        assert all(second.at - first.at == pytest.approx(0.5) for first, second in pairwise(moves))
