"""From a results folder's captures to metrics, figures and report; no kernel, no privileges, as often as one likes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from experiments import declarations, model, results
from experiments.measure import attacks, metrics, procedures
from experiments.measure.pcap import CaptureFileError
from experiments.measure.records import Metric, Trace
from experiments.measure.recovery import judge
from experiments.measure.trace import read_trace
from experiments.present import report
from experiments.present.study import RunResult, Step, Study, Table1Row
from experiments.results import Manifest, RunRecord
from experiments.scenario import Run
from experiments.tolerance import TOLERANCES

_NOTHING = Trace(packets=(), signals=(), associations=(), lma_data_packets=0, lma_data_bytes=0)


def analyse(folder: Path) -> Study:
    """Read every run of ``folder`` from its captures and write metrics.csv, summary.csv, the figures and index.html there.

    Raises:
        ResultsError: ``folder`` is not one that a run left, or no run in it has ended yet.
    """
    manifest = results.read_manifest(folder)
    if not manifest.runs:
        raise results.ResultsError(f"{folder} has no run that has ended; `dmmlab run --resume {folder}` does them")
    runs = metrics.without_idle_reasons([_read(folder, record) for record in manifest.runs])
    study = Study(
        experiment=manifest.experiment,
        results=runs,
        manifest=_plain(manifest),
        summary=metrics.summarise(runs),
        steps=_steps(manifest, runs),
        table1=_table1(manifest, runs),
        verdicts=tuple(judge(r.run, r.trace, r.folder) for r in runs if len(r.run.attacks) < len(r.run.faults) and r.failure is None),
        outcomes=tuple(outcome for result in runs if result.failure is None for outcome in _outcomes(result, runs)),
    )
    metrics.write_metrics(folder / "metrics.csv", runs)
    metrics.write_summary(folder / "summary.csv", study.summary)
    report.write_report(study, folder)
    return study


def measure(folder: Path) -> None:
    """Write metrics.csv of ``folder`` alone, from the captures of the runs that have ended; ResultsError as for ``analyse``."""
    manifest = results.read_manifest(folder)
    metrics.write_metrics(folder / "metrics.csv", metrics.without_idle_reasons([_read(folder, record) for record in manifest.runs]))


def _read(folder: Path, record: RunRecord) -> RunResult:
    run = declarations.load(folder / record.folder / "run.json", Run)
    try:
        trace = read_trace(folder / record.folder, run)
        expected = model.expect(run)
        measured = metrics.measure(trace, run) if trace.packets else ()
        values = tuple(Metric(m.name, m.value, m.unit, expected.get(m.name)) for m in measured)
        return RunResult(run, trace, values, record.failure, folder / record.folder)
    except CaptureFileError as error:
        return RunResult(run, _NOTHING, (), record.failure or str(error), folder / record.folder)


def _steps(manifest: Manifest, runs: tuple[RunResult, ...]) -> tuple[Step, ...]:
    procedure = procedures.PROCEDURES.get(manifest.experiment.name)
    first = next((result for result in runs if result.failure is None), None)
    return procedures.find(procedure, first.trace, first.run) if procedure and first else ()


def _table1(manifest: Manifest, runs: tuple[RunResult, ...]) -> tuple[Table1Row, ...]:
    if "table1" not in manifest.experiment.figures:
        return ()
    first = {result.run.case.scheme: result for result in reversed(runs) if result.failure is None}
    return tuple(procedures.table1_row(result.trace, result.run) for result in reversed(first.values()))


def _outcomes(result: RunResult, runs: tuple[RunResult, ...]) -> tuple[attacks.Outcome, ...]:
    """What became of a run's attacks, beside a run of the same scheme and policy with nothing wrong.

    Nothing where there is no such run, or where events happened in real time: an agent then handles several packets at one moment.
    """
    case = result.run.case
    alike = (other for other in runs if (other.run.case.scheme, other.run.case.policy) == (case.scheme, case.policy))
    usual = next(
        (other for other in alike if not other.run.faults and other.failure is None and other.run.number == result.run.number), None
    )
    if usual is None or not result.run.attacks or not TOLERANCES[result.run.engine].exact:
        return ()
    return attacks.outcomes(*(attacks.Played(played.run, played.trace, played.folder) for played in (result, usual)))


def _plain(manifest: Manifest) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(declarations.to_json(manifest))
    return plain
