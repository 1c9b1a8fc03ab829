"""From a results folder's captures to metrics, figures and report; no kernel, no privileges, as often as one likes.

An error in one run, one judgement or one figure costs nothing else: a run that cannot be measured has failed, all else is named in the
study's ``undrawn``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from experiments import model
from experiments.declare import declarations
from experiments.declare.deployment import resolve
from experiments.declare.tolerance import TOLERANCES
from experiments.measure import harm, metrics, procedures, results
from experiments.measure.pcap import CaptureFileError
from experiments.measure.records import Metric, Trace
from experiments.measure.recovery import Verdict, judge
from experiments.measure.results import Manifest, RunRecord
from experiments.measure.study import RunResult, Step, Study, Table1Row
from experiments.measure.trace import read_trace
from experiments.present import report
from experiments.present.attempts import Attempts, reason

_NOTHING = Trace(packets=(), signals=(), associations=(), lma_data_packets=0, lma_data_bytes=0)


def analyse(folder: Path) -> Study:
    """Read every run of ``folder`` from its captures and write metrics.csv, summary.csv, the figures and index.html there.

    Raises:
        ResultsError: ``folder`` is not one that a run left, no run in it has ended yet, or it cannot be written to.
    """
    try:
        return _analyse(folder)
    except OSError as error:
        raise results.ResultsError(f"cannot write {error.filename}: {error.strerror}; move away what is there, or make room") from None


def _analyse(folder: Path) -> Study:
    manifest = results.read_manifest(folder)
    if not manifest.runs:
        raise results.ResultsError(f"{folder} has no run that has ended; `dmmlab run --resume {folder}` does them")
    attempts = Attempts()
    read = (attempts.make(f"What {record.folder} shows", partial(_read, folder, record, attempts), None) for record in manifest.runs)
    runs = metrics.without_idle_reasons([result for result in read if result is not None])
    if not runs:
        raise results.ResultsError(f"{folder}: no run can be read; {next(iter(attempts.lines()))}")
    summary = metrics.summarise(runs)
    metrics.write_metrics(folder / "metrics.csv", runs)
    metrics.write_summary(folder / "summary.csv", summary)
    study = Study(
        experiment=manifest.experiment,
        results=runs,
        manifest=_plain(manifest),
        summary=summary,
        steps=attempts.make("The table of the draft's steps", partial(_steps, manifest, runs), ()),
        table1=attempts.make("The draft's Table 1", partial(_table1, manifest, runs), ()),
        verdicts=_verdicts(runs, attempts),
        outcomes=_all_outcomes(runs, attempts),
    )
    study = replace(study, undrawn=attempts.lines())
    return replace(study, undrawn=study.undrawn + report.write_report(study, folder))


def measure(folder: Path) -> None:
    """Write metrics.csv of ``folder`` alone, from the captures of the runs that have ended; ResultsError as for ``analyse``."""
    manifest = results.read_manifest(folder)
    runs = metrics.without_idle_reasons([_read(folder, record, Attempts()) for record in manifest.runs])
    metrics.write_metrics(folder / "metrics.csv", runs)


def _read(folder: Path, record: RunRecord, attempts: Attempts) -> RunResult:
    declared, where = results.read_run(folder, record)
    run = resolve(declared)
    try:
        trace = read_trace(where, run)
        measured = metrics.measure(trace, run) if trace.packets else ()
    except CaptureFileError as error:
        return RunResult(run, _NOTHING, (), record.failure or str(error), where)
    except Exception as error:
        return RunResult(run, _NOTHING, (), record.failure or f"its captures could not be measured: {reason(error)}", where)
    expected = attempts.make(f"What the model expects of {record.folder}", partial(model.expect, run), {})
    bounds = attempts.make(f"What the model bounds of {record.folder}", partial(model.bounds, run), {})
    values = tuple(Metric(m.name, m.value, m.unit, expected.get(m.name), bounds.get(m.name)) for m in measured)
    comparable = TOLERANCES[run.engine].exact and not record.failure
    unmeasured = tuple(sorted(expected.keys() - {metric.name for metric in measured})) if comparable else ()
    return RunResult(run, trace, values, record.failure, where, unmeasured)


def _verdicts(runs: tuple[RunResult, ...], attempts: Attempts) -> tuple[Verdict, ...]:
    """How each run with faults ended that did not fail."""
    judged = [r for r in runs if len(r.run.attacks) < len(r.run.faults) and r.failure is None]
    verdicts = (attempts.make(f"The verdict on {_name(r)}", partial(judge, r.run, r.trace, r.folder), None) for r in judged)
    return tuple(verdict for verdict in verdicts if verdict is not None)


def _all_outcomes(runs: tuple[RunResult, ...], attempts: Attempts) -> tuple[harm.AttackOutcome, ...]:
    """What became of the attacks of each run that did not fail."""
    complete = [result for result in runs if result.failure is None]
    found = (attempts.make(f"What became of the attacks of {_name(r)}", partial(_outcomes, r, runs), ()) for r in complete)
    return tuple(outcome for outcomes in found for outcome in outcomes)


def _name(result: RunResult) -> str:
    run = result.run
    return f"{run.case.scheme}/{run.case.label}/{run.number}"


def _steps(manifest: Manifest, runs: tuple[RunResult, ...]) -> tuple[Step, ...]:
    procedure = next((procedures.PROCEDURES[part] for part in manifest.experiment.draft if part in procedures.PROCEDURES), None)
    first = next((result for result in runs if result.failure is None), None)
    return procedures.find(procedure, first.trace, first.run) if procedure and first else ()


def _table1(manifest: Manifest, runs: tuple[RunResult, ...]) -> tuple[Table1Row, ...]:
    if procedures.TABLE_1 not in manifest.experiment.draft:
        return ()
    first = {result.run.case.scheme: result for result in reversed(runs) if result.failure is None}
    return tuple(procedures.table1_row(result.trace, result.run) for result in reversed(first.values()))


def _outcomes(result: RunResult, runs: tuple[RunResult, ...]) -> tuple[harm.AttackOutcome, ...]:
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
    return harm.outcomes(*(harm.Played(played.run, played.trace, played.folder) for played in (result, usual)))


def _plain(manifest: Manifest) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(declarations.to_json(manifest))
    return plain
