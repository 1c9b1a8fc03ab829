"""Emulate, then analyse: every run of the chosen experiments on all cores, each in a kernel of its own."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import shutil
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from engines import Engine, choose
from engines.base import Outcome
from engines.process import die_with_parent
from experiments.analyse import analyse
from experiments.declare import declarations, files, keys
from experiments.declare.deployment import resolve
from experiments.declare.jobs import job_of
from experiments.declare.phase import Phase
from experiments.declare.scenario import FAILED, Run
from experiments.declare.selection import Selection, SelectionError
from experiments.measure import results
from experiments.measure.results import Manifest, Overview, ResultsError, ResumptionError, RunRecord
from experiments.measure.study import Study
from experiments.present import report, streams, terminal
from experiments.status import shortcomings


class Plan:
    """An experiment's folder and manifest, which is complete at every moment; the runs that are left, and how many of them failed."""

    def __init__(self, folder: Path, manifest: Manifest, key: str = "") -> None:
        """``key`` is the domain's, of which the manifest has the fingerprint."""
        self.key = key
        done = {record.folder for record in manifest.runs if record.failure is None}
        self.folder = folder
        self.manifest = replace(manifest, runs=tuple(record for record in manifest.runs if record.folder in done))
        self.runs = tuple(run for run in manifest.planned if results.record_name(run) not in done)
        self.total = len(manifest.planned)
        self.failed = len(manifest.runs) - len(done)
        self._began = time.monotonic()

    def begin(self) -> None:
        """Lay out what a run needs for each that is left; whatever an earlier try left of it goes. ResultsError where that fails."""
        self._began = time.monotonic()
        try:
            for run in self.runs:
                target = files.place(self.folder, results.record_name(run))
                shutil.rmtree(target, ignore_errors=True)
                target.mkdir(parents=True)
                files.write(target / "run.json", declarations.to_json(run))
        except OSError as error:
            raise ResultsError(f"cannot write {self.folder}: {error.strerror}; make room, or name another folder with --results") from None
        results.write_manifest(self.folder, self.manifest)

    def ended(self, record: RunRecord) -> None:
        """Note how a run went, at once."""
        order = [results.record_name(run) for run in self.manifest.planned]
        runs = sorted((*self.manifest.runs, record), key=lambda record: order.index(record.folder))
        now = time.monotonic()
        manifest = replace(self.manifest, runs=tuple(runs), wall_seconds=round(self.manifest.wall_seconds + now - self._began, 3))
        results.write_manifest(self.folder, manifest)
        self.manifest, self._began = manifest, now


@dataclass(frozen=True, slots=True)
class Unanalysed:
    """An experiment whose captures could not be analysed, and why, in one line."""

    folder: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a command's experiments, in order, and the folder that stands for all of them."""

    studies: tuple[Study | Unanalysed, ...]
    folder: Path

    def shortcomings(self) -> Iterator[str]:
        """What is not as expected, a line an experiment."""
        for study in self.studies:
            if isinstance(study, Unanalysed):
                yield f"{study.folder.name}: {study.reason}"
            elif said := shortcomings(study):
                yield f"{study.experiment.name}: {said}"


def run(
    chosen: Sequence[Selection],
    *,
    engine_name: str,
    runs: int,
    seed: int,
    phase: Phase,
    results_folder: Path,
    jobs: int | None,
    wall_limit: float | None = None,
) -> Done:
    """Run and analyse the experiments. What is complete stays whatever happens later."""
    engine, now = choose(engine_name, wall_limit), datetime.now(UTC)
    plans = [_plan(selection, engine, runs, seed, phase, results_folder, now) for selection in chosen]
    folder = plans[0].folder
    if len(plans) > 1:
        folder = results.new_folder(results_folder, "overview", now)
        names = tuple(plan.folder.name for plan in plans)
        results.write_overview(folder, Overview(results.command_line(), now.isoformat(timespec="seconds"), names))
    return _carry_out(plans, engine, folder, jobs)


def resume(folder: Path, *, jobs: int | None, wall_limit: float | None = None, key: str = "") -> Done:
    """Do the runs that are missing from ``folder``, an experiment's or an overview's, or that failed, and analyse all; ``key`` is theirs.

    Raises:
        NoResultsError: ``folder`` is none that a run left.
        ResumptionError: its runs cannot be had here as the others were.
    """
    folder = folder.resolve()
    plans = [Plan(place, results.read_manifest(place), key) for place in results.experiments(folder)]
    manifests = [plan.manifest for plan in plans]
    engine = choose(manifests[0].engine, wall_limit)
    for plan, manifest in zip(plans, manifests, strict=True):
        recorded = manifest.settings.get(keys.SETTING, "")
        if plan.runs and keys.is_fingerprint(recorded) and (not key or keys.fingerprint(key) != recorded):
            raise ResumptionError(f"{plan.folder} was begun with the key {recorded}; give it again with --set {keys.SETTING}=@FILE")
        if manifest.kernel != engine.kernel:
            raise ResumptionError(f"{plan.folder} was begun on the kernel {manifest.kernel} and this is {engine.kernel}; run it anew")
    if any(manifest.revision != results.revision() for manifest in manifests):
        streams.say(f"begun with the project's revision {manifests[0].revision}; this is {results.revision()}", error=True)
    left, failed = sum(len(plan.runs) for plan in plans), sum(plan.failed for plan in plans)
    total = sum(plan.total for plan in plans)
    said = (
        f"{left} of {total} runs are left; {failed} of them failed and are done again"
        if left
        else f"all {total} runs are done; they are analysed anew"
    )
    streams.say(said, error=True)
    return _carry_out(plans, engine, folder, jobs)


def analyse_again(folder: Path) -> Done:
    """Analyse the captures of ``folder``, an experiment's or an overview's, as far as it got; NoResultsError where it is neither."""
    folder = folder.resolve()
    studies: list[Study | Unanalysed] = []
    for place in results.experiments(folder):
        try:
            studies.append(analyse(place))
        except Exception as error:
            studies.append(unanalysed(place, error))
    return Done(tuple(studies), folder)


def _plan(selection: Selection, engine: Engine, runs: int, seed: int, phase: Phase, results_folder: Path, now: datetime) -> Plan:
    experiment = selection.experiment
    manifest = Manifest(
        command=results.command_line(),
        experiment=experiment,
        runs_per_case=runs,
        seed=seed,
        engine=engine.name,
        kernel=engine.kernel,
        started=now.isoformat(timespec="seconds"),
        revision=results.revision(),
        versions=results.versions(),
        settings=keys.published(selection.settings),
        phase=phase,
    )
    if unknown := [figure for figure in experiment.figures if figure not in report.FIGURES]:
        raise SelectionError(f"{experiment.name}: no figure is called {unknown[0]!r}; expected one of {', '.join(report.FIGURES)}")
    try:
        results.check_manifest(manifest)
    except ValueError as error:
        raise SelectionError(f"{experiment.name}: {error}") from None
    folder = results.new_folder(results_folder, experiment.name, now)
    results.write_manifest(folder, manifest)
    return Plan(folder, manifest, selection.settings.get(keys.SETTING, ""))


def _carry_out(plans: Sequence[Plan], engine: Engine, folder: Path, jobs: int | None) -> Done:
    """All that is left of the plans; whoever ends it before is told what is kept and how to go on."""
    try:
        for plan in plans:
            plan.begin()
        studies = asyncio.run(_all(plans, engine, jobs or os.cpu_count() or 1))
    except BaseException as error:
        kept = sum(len(plan.manifest.runs) for plan in plans if (plan.folder / results.MANIFEST).exists())
        error.add_note(f"{kept} of {sum(plan.total for plan in plans)} runs are kept; `dmmlab run --resume {folder}` does the rest")
        if kept:
            with contextlib.suppress(OSError):
                results.point_latest(folder)
        raise
    results.point_latest(folder)
    return Done(tuple(studies), folder)


async def _all(plans: Sequence[Plan], engine: Engine, at_once: int) -> list[Study | Unanalysed]:
    """All runs through as many places as there are cores; an experiment is analysed in a place of its own once its last run is done."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    places = asyncio.Semaphore(at_once)
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(at_once, mp_context=spawn, initializer=_analyst) as analysts,
        terminal.Progress(sum(len(plan.runs) for plan in plans)) as progress,
    ):
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_experiment(plan, engine, places, analysts, progress)) for plan in plans]
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        except BaseExceptionGroup as group_of_errors:
            raise _first(group_of_errors) from None
    return [task.result() for task in tasks]


def _first(error: BaseException) -> BaseException:
    """What went wrong first; the rest of a group followed from its cancelling."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _experiment(
    plan: Plan, engine: Engine, places: asyncio.Semaphore, analysts: ProcessPoolExecutor, progress: terminal.Progress
) -> Study | Unanalysed:
    async with asyncio.TaskGroup() as group:
        for run in plan.runs:
            group.create_task(_emulate(plan, run, engine, places, progress))
    async with places:
        try:
            return await asyncio.get_running_loop().run_in_executor(analysts, analyse, plan.folder)
        except Exception as error:
            return unanalysed(plan.folder, error)


def unanalysed(folder: Path, error: Exception) -> Unanalysed:
    """An experiment whose analysis failed; where that was not foreseen, the whole story goes to analysis.log."""
    if isinstance(error, ResultsError):
        return Unanalysed(folder, str(error))
    log = folder / "analysis.log"
    with contextlib.suppress(OSError):
        files.write(log, "".join(traceback.format_exception(error)))
    last = traceback.format_exception_only(error)[-1].strip().replace("\n", " ")
    return Unanalysed(folder, f"cannot be analysed: {last} (see {log}); its captures are kept")


async def _emulate(plan: Plan, run: Run, engine: Engine, places: asyncio.Semaphore, progress: terminal.Progress) -> None:
    target = results.run_folder(plan.folder, run)
    name = str(target.relative_to(plan.folder.parent))
    async with places:
        progress.started(name)
        with keys.lent(target, plan.key):
            outcome = await engine.run(job_of(resolve(run), target, engine.virtual))
        failure = _failure(outcome)
        plan.ended(RunRecord(results.record_name(run), failure, round(outcome.wall, 3)))
        progress.finished(name, failure)


def _failure(outcome: Outcome) -> str | None:
    """Why a run failed, in the words of its emulation where it said so, with the console's last lines; None where it did not."""
    if outcome.ok:
        return None
    said = (line.removeprefix(FAILED) for line in outcome.console if line.startswith(FAILED))
    return "\n".join((next(said, outcome.reason), *outcome.console))


def _analyst() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)
