"""Runs that end early: what is kept, and doing the rest. The engine here is one that makes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import studies

from engines.base import EngineError, Job, Outcome
from experiments import runner
from experiments.catalogue import CATALOGUE
from experiments.declare.phase import Phase
from experiments.declare.selection import Selection, SelectionError
from experiments.measure import results
from experiments.measure.study import Study
from experiments.present.terminal import Progress
from experiments.runner import Done, Unanalysed

WELL = Outcome(True, "", (), 1.0)


@dataclass
class Engine:
    """Answers each job in turn as told, and all others well; remembers seeds."""

    answers: list[Outcome | BaseException] = field(default_factory=list)
    kernel: str = "6.12.117"
    seeds: list[int] = field(default_factory=list)
    name: str = "virtual"
    virtual: bool = True

    async def run(self, job: Job) -> Outcome:
        self.seeds.append(job.seed)
        answer = self.answers.pop(0) if self.answers else WELL
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def carry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs or resumes experiments with an engine, one run at a time; analysing is left out."""

    async def none(plan: runner.Plan, engine: Engine, places: asyncio.Semaphore, analysts: object, progress: Progress) -> Study:
        for run in plan.runs:
            await runner._emulate(plan, run, engine, places, progress)
        return studies.study(packets=1)

    monkeypatch.setattr(runner, "_experiment", none)

    def carry(engine: Engine, *names: str, resume: str = "") -> Done:
        monkeypatch.setattr(runner, "choose", lambda name, wall_limit=None: engine)
        if resume:
            return runner.resume(tmp_path / resume, jobs=1)
        chosen = [Selection(CATALOGUE[name], {"query.tries": "3"}) for name in names]
        return runner.run(chosen, engine_name="virtual", runs=2, seed=7, phase=Phase.DECLARED, results_folder=tmp_path, jobs=1)

    return carry


def records(folder: Path) -> list[tuple[str, str | None]]:
    return [(record.folder, record.failure) for record in results.read_manifest(folder).runs]


def test_a_run_that_ends_early_keeps_what_is_complete_and_says_how_to_go_on(tmp_path: Path, carry: Callable[..., Done]) -> None:
    with pytest.raises(EngineError) as ended:
        carry(Engine([WELL, WELL, EngineError("no memory")]), "table1")
    latest = tmp_path / "latest"
    assert ended.value.__notes__ == [f"2 of 6 runs are kept; `dmmlab run --resume {latest.resolve()}` does the rest"]
    assert records(latest) == [("pmip/anchor/1", None), ("pmip/anchor/2", None)]
    assert results.read_manifest(latest).settings == {"query.tries": "3"}


def test_one_that_ends_before_anything_is_complete_leaves_the_latest_alone(tmp_path: Path, carry: Callable[..., Done]) -> None:
    with pytest.raises(EngineError):
        carry(Engine([EngineError("no memory")]), "fig1")
    assert not (tmp_path / "latest").exists()


def test_resuming_does_the_rest_with_the_same_seeds_and_what_failed_again(tmp_path: Path, carry: Callable[..., Done]) -> None:
    failing = Outcome(False, "exit status 1", ("Traceback", "dmmlab: failed: mn1 has no address", "reboot: Power down"), 1.0)
    with pytest.raises(EngineError):
        carry(Engine([failing, WELL, EngineError("no memory")]), "fig1", "table1")
    (fig1,), (table1,) = tmp_path.glob("*-fig1"), tmp_path.glob("*-table1")
    reason = "\n".join(("mn1 has no address", *failing.console))
    assert records(fig1) == [("s-pmip/notify/1", reason), ("s-pmip/notify/2", None)]
    assert records(table1) == []
    (fig1 / "s-pmip/notify/1/old.pcap").touch()
    engine = Engine()
    done = carry(engine, resume="latest")
    assert len(done.studies) == 2
    assert sorted(engine.seeds) == [7, 7, 7, 7, 8, 8, 8]
    assert records(fig1) == [("s-pmip/notify/1", None), ("s-pmip/notify/2", None)]
    assert [name for name, _ in records(table1)] == [results.record_name(run) for run in results.read_manifest(table1).planned]
    assert not (fig1 / "s-pmip/notify/1/old.pcap").exists()
    again = Engine()
    carry(again, resume="latest")
    assert again.seeds == []


def test_the_rest_is_not_done_on_another_kernel(carry: Callable[..., Done]) -> None:
    with pytest.raises(EngineError):
        carry(Engine([WELL, EngineError("no memory")]), "fig1")
    with pytest.raises(results.ResumptionError, match=r"was begun on the kernel 6\.12\.117 and this is 6\.12\.115; run it anew"):
        carry(Engine(kernel="6.12.115"), resume="latest")


def test_an_experiment_that_cannot_be_analysed_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("1-fig1", "2-fig1", "3-fig1")
    for name in (*names, "overview"):
        (tmp_path / name).mkdir()
    results.write_overview(tmp_path / "overview", results.Overview("dmmlab run", "2024", names))

    def analyse(folder: Path) -> Study:
        if folder.name == "1-fig1":
            raise KeyError("mag9")
        if folder.name == "2-fig1":
            raise results.ResultsError("no run has ended")
        return replace(studies.study(packets=10), undrawn=("ladder",))

    monkeypatch.setattr(runner, "analyse", analyse)
    done = runner.analyse_again(tmp_path / "overview")
    log = tmp_path / "1-fig1" / "analysis.log"
    assert done.studies[:2] == (
        Unanalysed(tmp_path / "1-fig1", f"cannot be analysed: KeyError: 'mag9' (see {log}); its captures are kept"),
        Unanalysed(tmp_path / "2-fig1", "no run has ended"),
    )
    assert "Traceback" in log.read_text()
    assert [line.partition(":")[0] for line in done.shortcomings()] == ["1-fig1", "2-fig1", "handover"]


def test_a_figure_that_nobody_can_draw_is_refused_before_anything_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "choose", lambda name, wall_limit=None: Engine())
    experiment = replace(CATALOGUE["fig1"], figures=("ladder", "barrs"))
    with pytest.raises(SelectionError, match="fig1: no figure is called 'barrs'; expected one of"):
        runner.run(
            [Selection(experiment, {})], engine_name="virtual", runs=1, seed=1, phase=Phase.DECLARED, results_folder=tmp_path, jobs=1
        )
    assert list(tmp_path.iterdir()) == []
