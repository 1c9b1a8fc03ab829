"""The domain's key: from a file, never in what a run leaves, lent to a run and taken away again."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import runs
import studies

from agents.authentication import protection
from engines.base import Job, Outcome
from experiments import cli, model, reference, runner
from experiments.catalogue import CATALOGUE
from experiments.declare import declarations, keys, settings
from experiments.declare.deployment import resolve
from experiments.declare.phase import Phase
from experiments.declare.scenario import Run
from experiments.declare.selection import Selection, select
from experiments.measure import results
from experiments.measure.results import Manifest
from experiments.measure.study import Study
from experiments.present.terminal import Progress

KEY = "00112233445566778899aabbccddeeff"
OTHER = "ff" * 16
SHOWN = keys.fingerprint(KEY)
ABOUT_KEY = "authentication.key"


def keyed(run: Run, key: str) -> Run:
    return replace(run, settings={ABOUT_KEY: key})


def test_a_fingerprint_shows_nothing_of_its_key() -> None:
    assert keys.is_fingerprint(SHOWN)
    assert SHOWN == keys.fingerprint(KEY.upper()) != keys.fingerprint(OTHER)
    assert KEY[:8] not in SHOWN


def test_a_key_is_taken_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    chosen = select(CATALOGUE["fig1"], assignments=[f"{ABOUT_KEY}=@{tmp_path}/key"])
    assert chosen is not None
    assert chosen.settings == {ABOUT_KEY: KEY}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        (b"my other secret", "a key is 32 hexadecimal digits"),
        (b"", "a key is 32 hexadecimal digits"),
        (b"\xff" * 32, "a key is 32 hexadecimal digits"),
        (b"0" * 100_000, "has more than"),
    ],
)
def test_a_file_without_a_key_is_refused_and_not_shown(content: bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(settings.SettingError, match=says) as refused:
        settings.key_of([f"{ABOUT_KEY}=@{tmp_path}/key"])
    assert "my other secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_none_is_no_key_and_no_secret() -> None:
    assert settings.key_of([f"{ABOUT_KEY}=none"]) == ""
    assert not keys.stands_in_argument(f"{ABOUT_KEY}=none")


def test_a_key_cannot_be_had_from_a_fingerprint() -> None:
    with pytest.raises(settings.SettingError, match="expected a key, not a fingerprint"):
        settings.key_of([f"{ABOUT_KEY}={SHOWN}"])
    with pytest.raises(settings.SettingError, match="the others are recorded"):
        settings.key_of(["access.delay=3ms"])


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (f"{ABOUT_KEY}={KEY}", f"{ABOUT_KEY}={SHOWN}"),
        (f"--set={ABOUT_KEY}={KEY}", f"--set={ABOUT_KEY}={SHOWN}"),
        (f"{ABOUT_KEY}=almost{KEY}", f"{ABOUT_KEY}=…"),
        (f"{ABOUT_KEY}=@file", f"{ABOUT_KEY}=@file"),
        ("access.delay=3ms", "access.delay=3ms"),
    ],
)
def test_the_command_line_is_published_without_the_key(typed: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/dmmlab", "run", typed])
    assert results.command_line() == f"dmmlab run {shown}"


@pytest.mark.parametrize(("value", "warned"), [(KEY, True), ("@FILE", False)])
def test_a_literal_key_warns_once(
    value: str, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "FILE").write_text(KEY)

    def none(*_: object, **__: object) -> runner.Done:
        return runner.Done((), tmp_path)

    monkeypatch.setattr(runner, "run", none)
    with contextlib.chdir(tmp_path):
        cli.main(["run", "fig1", "fig2", "--set", f"{ABOUT_KEY}={value}"])
    said = capsys.readouterr().err
    assert said.count("give authentication.key=@FILE") == warned
    assert KEY not in said


class Engine:
    """Notes what a run's folder shows while the run goes on."""

    name, kernel, virtual = "virtual", "6.12", True

    def __init__(self) -> None:
        self.unlocked: list[str] = []
        self.modes: list[int] = []

    async def run(self, job: Job) -> Outcome:
        path = job.results / keys.FILE
        self.modes.append(stat.S_IMODE(path.stat().st_mode))
        declared = declarations.load(job.results / "run.json", Run)
        self.unlocked.append(keys.unlocked(declared, job.results).settings[ABOUT_KEY])
        assert not path.exists()
        assert not any(KEY in word for word in job.command)
        return Outcome(True, "", (), 1.0)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()

    async def none(plan: runner.Plan, engine: Engine, places: asyncio.Semaphore, analysts: object, progress: Progress) -> Study:
        for run in plan.runs:
            await runner._emulate(plan, run, engine, places, progress)
        return studies.study(packets=1)

    monkeypatch.setattr(runner, "_experiment", none)
    monkeypatch.setattr(runner, "choose", lambda name, wall_limit=None: made)
    return made


def run_with_key(folder: Path) -> Path:
    chosen = [Selection(CATALOGUE["table1"], {ABOUT_KEY: KEY})]
    done = runner.run(chosen, engine_name="virtual", runs=1, seed=1, phase=Phase.DECLARED, results_folder=folder, jobs=1)
    return done.folder


def test_a_run_is_lent_its_key_and_leaves_the_fingerprint(tmp_path: Path, engine: Engine) -> None:
    folder = run_with_key(tmp_path)
    assert engine.unlocked == [KEY] * 3
    assert engine.modes == [0o600] * 3
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert len(left) == 4
    assert all(KEY not in path.read_text() and SHOWN in path.read_text() for path in left)


def test_runs_are_resumed_with_the_same_key_only(tmp_path: Path, engine: Engine) -> None:
    folder = run_with_key(tmp_path)
    results.write_manifest(folder, replace(results.read_manifest(folder), runs=()))
    for wrong in ("", OTHER):
        with pytest.raises(results.ResumptionError, match=f"was begun with the key {SHOWN}; give it again"):
            runner.resume(folder, jobs=1, key=wrong)
    runner.resume(folder, jobs=1, key=KEY)
    assert engine.unlocked == [KEY] * 6


@pytest.mark.parametrize("lent", [None, OTHER, "no key"])
def test_no_run_goes_on_with_another_key_than_its_own(lent: str | None, tmp_path: Path) -> None:
    if lent:
        (tmp_path / keys.FILE).write_text(lent)
    with pytest.raises(keys.KeyMissingError, match=SHOWN):
        keys.unlocked(keyed(runs.run("s-pmip").declared, SHOWN), tmp_path)


def test_no_agent_starts_with_a_fingerprint_for_a_key() -> None:
    config = resolve(keyed(runs.run("s-pmip").declared, SHOWN)).configurations()["mag1"]
    with pytest.raises(ValueError, match="a key is 32 hexadecimal digits"):
        protection(config.settings)


@pytest.mark.parametrize("scheme", ["pmip", "s-pmip", "sd-pmip"])
def test_the_model_needs_no_key(scheme: str) -> None:
    shown, known = (resolve(keyed(runs.run(scheme).declared, key)) for key in (SHOWN, KEY))
    assert model.expect(shown) == model.expect(known)


def test_a_fingerprint_is_compared_as_a_setting(tmp_path: Path) -> None:
    manifest = Manifest("", CATALOGUE["table1"], 1, 1, "virtual", "6.12", "", "", {}, settings=keys.published({ABOUT_KEY: KEY}))
    kept = tmp_path / "reference" / "table1"
    kept.mkdir(parents=True)
    results.write_manifest(kept, replace(manifest, settings=keys.published({ABOUT_KEY: OTHER})))
    results.write_manifest(tmp_path, manifest)
    with pytest.raises(reference.NotComparable, match="other settings"):
        reference.compare(tmp_path, tmp_path / "reference")
