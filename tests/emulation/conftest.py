"""Emulated runs for the tests: each declaration is played once a session, side by side, in a guest of its own."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engines import choose
from engines.base import Job, Outcome
from experiments.catalogue import CATALOGUE
from experiments.declare import declarations
from experiments.declare.deployment import Deployment, resolve
from experiments.declare.jobs import job_of
from experiments.declare.scenario import Run
from experiments.measure import metrics
from experiments.measure.records import Trace
from experiments.measure.trace import read_trace

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""The processes among which the session's tests are distributed."""


@dataclass(frozen=True, slots=True)
class Played:
    """A run that was played: its declaration as the guest left it, its folder and what its captures say."""

    run: Deployment
    folder: Path
    trace: Trace

    @property
    def metrics(self) -> dict[str, float]:
        return {metric.name: metric.value for metric in metrics.measure(self.trace, self.run)}


def job(run: Run, folder: Path) -> Job:
    """Lay a run's declaration down in ``folder``; the job that plays it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_bytes(declarations.to_json(run))
    return job_of(resolve(run), folder, virtual=True)


async def outcomes(jobs: Iterable[Job], engine: str = "virtual") -> list[Outcome]:
    """Play jobs, as many at once as this process has cores."""
    places, kernel = asyncio.Semaphore(max(1, (os.cpu_count() or 1) // WORKERS)), choose(engine)

    async def play(job: Job) -> Outcome:
        async with places:
            return await kernel.run(job)

    return await asyncio.gather(*map(play, jobs))


class Emulation:
    """Plays runs and keeps what they left for the session, in a folder that all processes of the session share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._played: dict[str, Played] = {}

    def play(self, *runs: Run) -> list[Played]:
        """What each run left; those that were not played yet are played now, side by side."""
        wanted = {_name(run): run for run in runs}
        self._play({name: run for name, run in wanted.items() if name not in self._played})
        return [self._played[_name(run)] for run in runs]

    def again(self, run: Run) -> Played:
        """The run played once more, whatever was played before."""
        name = f"{_name(run)}-again"
        self._play({name: run})
        return self._played.pop(name)

    def _play(self, runs: dict[str, Run]) -> None:
        with contextlib.ExitStack() as locks:
            for name in sorted(runs):
                locks.enter_context(self._locked(name))
            jobs = {name: job(run, self._folder / name) for name, run in runs.items() if not self._ended(name).exists()}
            for name, outcome in zip(jobs, asyncio.run(outcomes(jobs.values())), strict=True):
                assert outcome.ok, "\n".join((outcome.reason, *outcome.console))
                self._ended(name).touch()
        for name in runs:
            folder = self._folder / name
            run = resolve(declarations.load(folder / "run.json", Run))
            self._played[name] = Played(run, folder, read_trace(folder, run))

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ended(self, name: str) -> Path:
        return self._folder / f"{name}.ended"


def _name(run: Run) -> str:
    return hashlib.sha256(declarations.to_json(run)).hexdigest()[:16]


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
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if WORKERS > 1 else own) / "emulation"
    folder.mkdir(exist_ok=True)
    return Emulation(folder)
