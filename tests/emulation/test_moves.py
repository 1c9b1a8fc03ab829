"""Every handover policy of every scheme under moves that are harder than one at a time, against the model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.policies import POLICIES
from experiments import model
from experiments.catalogue.moves import EXPERIMENTS
from experiments.declare.scenario import Case
from experiments.measure.records import Reason
from tests.emulation.conftest import Emulation, Played, declare

TOLERANCE_MS = 0.05


def assert_expected(played: Played) -> None:
    """Every value is what the model expects."""
    expected = model.expect(played.run)
    assert {name for name in expected if name not in played.metrics} == set(), played.run.case
    for metric, value in played.metrics.items():
        tolerance = TOLERANCE_MS if metric.partition("[")[0].endswith("_ms") else 1e-2 if metric == "path_stretch" else 0
        wanted = expected.get(metric, value if metric == "packets_reordered" else None)
        assert value == pytest.approx(wanted, abs=tolerance), (played.run.case, metric)


@pytest.mark.parametrize("name", [experiment.name for experiment in EXPERIMENTS])
def test_moves_are_what_the_model_expects(emulation: Emulation, name: str) -> None:
    experiment = next(experiment for experiment in EXPERIMENTS if experiment.name == name)
    for played in emulation.play(*(declare(name, case) for case in range(len(experiment.cases)))):
        assert_expected(played)
        assert played.metrics["packets_duplicated"] == 0, played.run.case


def test_a_host_that_sends_before_it_is_served_anew_loses_nothing_more(emulation: Emulation) -> None:
    """Its new MAG does not answer for the router's address until then, so that its kernel keeps what it has to send."""
    experiment = next(experiment for experiment in EXPERIMENTS if experiment.name == "both-ends")
    runs = [declare("both-ends", number) for number, case in enumerate(experiment.cases) if case.scheme in ("pmip", "s-pmip")]
    scenario = runs[0].scenario
    slow = tuple(replace(flow, rate=20.0) for flow in scenario.flows)
    quick = replace(scenario, flows=slow, moves=tuple(replace(move, l2_gap=0.02) for move in scenario.moves))
    for played in emulation.play(*(replace(run, scenario=quick) for run in runs)):
        assert_expected(played)
        assert Reason.NO_ROUTE not in {loss.reason for loss in played.trace.losses}


def test_localized_routing_that_lapses_in_use_begins_anew_as_the_model_expects(emulation: Emulation) -> None:
    moves, settings = declare("both-ends"), {"lr.lifetime": "1s"}
    (played,) = emulation.play(replace(moves, case=Case("pmip-lr", "anchor", settings)))
    assert_expected(played)
    assert [signal.kind for signal in played.trace.signals].count("LRI") == 6


@pytest.mark.parametrize("name", [experiment.name for experiment in EXPERIMENTS])
def test_forward_and_predict_lose_only_what_was_in_the_air(emulation: Emulation, name: str) -> None:
    experiment = next(experiment for experiment in EXPERIMENTS if experiment.name == name)
    forwarding = [number for number, case in enumerate(experiment.cases) if POLICIES[case.policy].forwards]
    assert len(forwarding) == 4
    for played in emulation.play(*(declare(name, case) for case in forwarding)):
        assert {loss.reason for loss in played.trace.losses} <= {Reason.IN_THE_AIR}, played.run.case
