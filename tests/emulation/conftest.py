"""Emulated runs for the tests: each declaration is played once a session, two at a time, in a guest of its own."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engines import choose
from engines.base import Job, Outcome
from experiments import declarations
from experiments.catalogue import CATALOGUE
from experiments.measure import metrics
from experiments.measure.records import Trace
from experiments.measure.trace import read_trace
from experiments.scenario import Run


@dataclass(frozen=True, slots=True)
class Played:
    """A run that was played: its declaration as the guest left it, its folder and what its captures say."""

    run: Run
    folder: Path
    trace: Trace

    @property
    def metrics(self) -> dict[str, float]:
        return {metric.name: metric.value for metric in metrics.measure(self.trace, self.run)}


def job(run: Run, folder: Path) -> Job:
    """Lay a run's declaration down in ``folder``; the job that plays it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_bytes(declarations.to_json(run))
    command = (sys.executable, "-m", "experiments.emulate", str(folder))
    return Job(command=command, results=folder, seed=run.seed, wall_limit=600.0, log=folder / "console.log")


async def outcomes(jobs: Iterable[Job], engine: str = "virtual") -> list[Outcome]:
    """Play jobs, as many at once as there are cores."""
    places, kernel = asyncio.Semaphore(os.cpu_count() or 1), choose(engine)

    async def play(job: Job) -> Outcome:
        async with places:
            return await kernel.run(job)

    return await asyncio.gather(*map(play, jobs))


class Emulation:
    """Plays runs and keeps what they left for the session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._played: list[Played] = []

    def play(self, *runs: Run) -> list[Played]:
        """What each run left; those that were not played yet are played now, side by side."""
        known = [played.run for played in self._played]
        fresh = [run for run in dict.fromkeys(map(repr, runs)) if run not in map(repr, map(_as_given, known))]
        wanted = [next(run for run in runs if repr(run) == text) for text in fresh]
        self._play(wanted)
        return [next(played for played in self._played if _as_given(played.run) == run) for run in runs]

    def again(self, run: Run) -> Played:
        """The run played once more, whatever was played before."""
        self._play([run])
        return self._played.pop()

    def _play(self, runs: list[Run]) -> None:
        folders = [self._folder / f"{len(list(self._folder.iterdir())) + i:03}" for i in range(len(runs))]
        jobs = [job(run, folder) for run, folder in zip(runs, folders, strict=True)]
        for outcome, folder in zip(asyncio.run(outcomes(jobs)), folders, strict=True):
            assert outcome.ok, "\n".join((outcome.reason, *outcome.console))
            run = declarations.load(folder / "run.json", Run)
            self._played.append(Played(run, folder, read_trace(folder, run)))


def _as_given(run: Run) -> Run:
    return replace(run, epoch=0)


def tshark(capture: Path, display_filter: str, *fields: str) -> list[list[str]]:
    """The ``fields`` of each packet of a capture that ``display_filter`` passes, as tshark reads them."""
    columns = [part for field in fields for part in ("-e", field)]
    command = ["tshark", "-n", "-r", str(capture), "-Y", display_filter, "-T", "fields", *columns]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in shown.splitlines()]


def declare(name: str, case: int = 0, seed: int = 1) -> Run:
    """A run of a catalogue experiment's case."""
    experiment = CATALOGUE[name]
    return Run(name, experiment.domain, experiment.cases[case], experiment.scenario, number=1, seed=seed, engine="virtual")


@pytest.fixture(scope="session")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Emulation:
    if platform.machine() != "x86_64":
        pytest.skip("the virtual engine needs an x86-64 machine")
    return Emulation(tmp_path_factory.mktemp("emulation"))
