"""Results folders as a run leaves them, made without a kernel."""

from __future__ import annotations

from pathlib import Path

from captures import render

from experiments import model
from experiments.declare import declarations
from experiments.declare.deployment import resolve
from experiments.declare.scenario import Case, Experiment, Flow, Run, Scenario
from experiments.measure import results
from experiments.measure.results import Manifest, RunRecord
from topologies.presets import star

CASES = (Case("pmip", "anchor"), Case("s-pmip", "notify"))
NAMES = ("pmip/anchor/1", "s-pmip/notify/1")


def leave(folder: Path, scenario: Scenario | None = None) -> Path:
    """A results folder such as a run leaves: the captures are what the model says that they show."""
    scenario = scenario or Scenario(1.0, (Flow("cn1", "mn1", 0.0, 0.5),))
    experiment = Experiment("fig1", "Two schemes", "Which?", star(), CASES, scenario, ("bars",), draft=("fig1", "table1"))
    for case in CASES:
        run = Run("fig1", experiment.domain, case, scenario, 1, 1, "virtual", epoch=1_704_067_205_000_000_000)
        target = results.run_folder(folder, run)
        target.mkdir(parents=True)
        (target / "run.json").write_bytes(declarations.to_json(run))
        (target / "events.jsonl").touch()
        render(model.Prediction(resolve(run)).trace(), resolve(run), target)
    records = tuple(RunRecord(name, None, 1.0) for name in NAMES)
    results.write_manifest(
        folder, Manifest("dmmlab run", experiment, 1, 1, "virtual", "6.12", "2024", "abc", {"python": "3"}, 4.5, records)
    )
    return folder
