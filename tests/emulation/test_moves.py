"""Every handover policy of every scheme under moves that are harder than one at a time, against the model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.policies import POLICIES
from experiments import model
from experiments.catalogue.moves import EXPERIMENTS
from experiments.measure.records import Reason
from experiments.scenario import Case
from tests.emulation.conftest import Emulation, declare

TOLERANCE_MS = 0.05


@pytest.mark.parametrize("name", [experiment.name for experiment in EXPERIMENTS])
def test_moves_are_what_the_model_expects(emulation: Emulation, name: str) -> None:
    experiment = next(experiment for experiment in EXPERIMENTS if experiment.name == name)
    for played in emulation.play(*(declare(name, case) for case in range(len(experiment.cases)))):
        case, expected = played.run.case, model.expect(played.run)
        assert {name for name in expected if name not in played.metrics} == set(), case
        for metric, value in played.metrics.items():
            tolerance = TOLERANCE_MS if metric.partition("[")[0].endswith("_ms") else 1e-2 if metric == "path_stretch" else 0
            assert value == pytest.approx(expected.get(metric, value if metric == "packets_reordered" else None), abs=tolerance), (
                case,
                metric,
            )
        assert played.metrics["packets_duplicated"] == 0, case


def test_localized_routing_that_lapses_in_use_begins_anew_as_the_model_expects(emulation: Emulation) -> None:
    moves, settings = declare("both-ends"), {"lr.lifetime": "1s"}
    (played,) = emulation.play(replace(moves, case=Case("pmip-lr", "anchor", settings)))
    expected = model.expect(played.run)
    for metric, value in played.metrics.items():
        tolerance = TOLERANCE_MS if metric.partition("[")[0].endswith("_ms") else 1e-2 if metric == "path_stretch" else 0
        assert value == pytest.approx(expected.get(metric, value if metric == "packets_reordered" else None), abs=tolerance), metric
    assert [signal.kind for signal in played.trace.signals].count("LRI") == 6


@pytest.mark.parametrize("name", [experiment.name for experiment in EXPERIMENTS])
def test_forward_and_predict_lose_only_what_was_in_the_air(emulation: Emulation, name: str) -> None:
    experiment = next(experiment for experiment in EXPERIMENTS if experiment.name == name)
    forwarding = [number for number, case in enumerate(experiment.cases) if POLICIES[case.policy].forwards]
    assert len(forwarding) == 4
    for played in emulation.play(*(declare(name, case) for case in forwarding)):
        assert {loss.reason for loss in played.trace.losses} <= {Reason.IN_THE_AIR}, played.run.case
