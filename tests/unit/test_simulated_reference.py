"""The simulator's numbers are the emulation's: every metric of the committed reference runs, counts equal, times within 100 ns."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from experiments import reference
from experiments.declare import declarations
from experiments.declare.deployment import resolve
from experiments.declare.scenario import Run
from experiments.measure import metrics, results
from experiments.measure.records import Reason
from experiments.measure.trace import read_trace
from experiments.simulate.play import simulate

EXPERIMENTS = ("fig1", "fig2", "table1", "handover")
APART = {"ms": 1e-4, "1": 1e-4}
"""How far a simulated value may be from the emulated one, by unit; counts are equal."""

UNEQUAL: dict[str, str] = {}
"""Metrics that cannot be equal, ``experiment/scheme/policy/metric`` to the reason: none."""

RUNS = [
    pytest.param(experiment, run, id=f"{experiment}/{results.record_name(run)}")
    for experiment in EXPERIMENTS
    for run in results.read_manifest(reference.FOLDER / experiment).planned
]


@cache
def emulated(experiment: str) -> dict[tuple[str, str, int], dict[str, float]]:
    """The reference's values by scheme, policy and number of the run."""
    found: dict[tuple[str, str, int], dict[str, float]] = defaultdict(dict)
    for row in metrics.read_metrics(reference.FOLDER / experiment / "metrics.csv"):
        found[row.scheme, row.policy, row.run][row.metric] = row.value
    return found


@pytest.mark.parametrize(("experiment", "run"), RUNS)
def test_every_metric_is_the_emulations(experiment: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(declarations.to_json(run))
    simulate(tmp_path)
    played = resolve(declarations.load(tmp_path / "run.json", Run))
    trace = read_trace(tmp_path, played)
    assert trace.truncated == ()
    known = emulated(experiment)[run.case.scheme, run.case.label, run.number]
    measured = metrics.measure(trace, played)
    assert {metric.name for metric in measured if metric.name in known} == known.keys()
    idle = {reason.metric for reason in Reason}
    differing = {
        metric.name: (metric.value, known.get(metric.name, 0.0))
        for metric in measured
        if metric.name in known or metric.name in idle
        if abs(metric.value - known.get(metric.name, 0.0)) > APART.get(metric.unit, 0.0)
        if f"{experiment}/{run.case.scheme}/{run.case.label}/{metric.name}" not in UNEQUAL
    }
    assert differing == {}


def test_no_exception_is_left_over() -> None:
    names = {
        f"{experiment}/{scheme}/{policy}/{name}"
        for experiment in EXPERIMENTS
        for (scheme, policy, _), of in emulated(experiment).items()
        for name in of
    }
    assert UNEQUAL.keys() <= names
