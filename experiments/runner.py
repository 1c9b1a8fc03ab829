"""Emulate, then analyse: every run of the chosen experiments on all cores, each in a kernel of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from engines import Engine, choose
from engines.base import Outcome
from engines.process import die_with_parent
from experiments import declarations, deploy, results
from experiments.analyse import analyse
from experiments.present import report, terminal
from experiments.present.study import Study
from experiments.results import Manifest, RunRecord
from experiments.scenario import Run
from experiments.selection import Selection


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment's folder, its manifest so far and its runs."""

    folder: Path
    manifest: Manifest
    runs: tuple[Run, ...]


def run(
    chosen: Sequence[Selection],
    *,
    engine_name: str,
    runs: int,
    seed: int,
    results_folder: Path,
    jobs: int | None,
    wall_limit: float | None = None,
) -> int:
    """Run and analyse the experiments; returns 0, or 1 where a run failed. What is complete stays whatever happens later."""
    engine = choose(engine_name, wall_limit)
    plans = [_plan(selection, engine, runs, seed, results_folder) for selection in chosen]
    studies = asyncio.run(_all(plans, engine, jobs or os.cpu_count() or 1))
    for plan, study in zip(plans, studies, strict=True):
        terminal.show(study)
        print(f"report: {plan.folder / 'index.html'}\n")
    latest = plans[-1].folder
    if len(plans) > 1:
        latest = results.new_folder(results_folder, "overview", datetime.now(UTC))
        report.write_index(studies, latest)
        print(f"all of them: {latest / 'index.html'}")
    results.point_latest(latest)
    return 1 if any(study.failed for study in studies) else 0


def _plan(selection: Selection, engine: Engine, runs: int, seed: int, results_folder: Path) -> Plan:
    experiment, now = selection.experiment, datetime.now(UTC)
    folder = results.new_folder(results_folder, experiment.name, now)
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
    )
    results.write_manifest(folder, manifest)
    planned = tuple(
        Run(experiment.name, experiment.domain, case, experiment.scenario, number, seed + number - 1, engine.name, selection.settings)
        for case in experiment.cases
        for number in range(1, runs + 1)
    )
    for run in planned:
        target = results.run_folder(folder, run)
        target.mkdir(parents=True)
        (target / "run.json").write_bytes(declarations.to_json(run))
    return Plan(folder, manifest, planned)


async def _all(plans: Sequence[Plan], engine: Engine, at_once: int) -> list[Study]:
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
) -> Study:
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_emulate(plan.folder, run, engine, places, progress)) for run in plan.runs]
    manifest = replace(plan.manifest, runs=tuple(task.result() for task in tasks), wall_seconds=round(time.monotonic() - began, 3))
    results.write_manifest(plan.folder, manifest)
    async with places:
        return await asyncio.get_running_loop().run_in_executor(analysts, analyse, plan.folder)


async def _emulate(folder: Path, run: Run, engine: Engine, places: asyncio.Semaphore, progress: terminal.Progress) -> RunRecord:
    target = results.run_folder(folder, run)
    name = str(target.relative_to(folder.parent))
    async with places:
        progress.started(name)
        outcome = await engine.run(deploy.job(run, target, engine.virtual))
        progress.finished(name, outcome.reason)
    return RunRecord(str(target.relative_to(folder)), _failure(outcome), round(outcome.wall, 3))


def _failure(outcome: Outcome) -> str | None:
    return None if outcome.ok else "\n".join((outcome.reason, *outcome.console))


def _analyst() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)
