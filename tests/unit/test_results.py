"""Results folders: nothing is overwritten, and latest moves at once."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from experiments.catalogue import CATALOGUE
from experiments.declare.admission import AdmissionError
from experiments.declare.declarations import from_json, to_json
from experiments.declare.scenario import Run
from experiments.measure import results
from experiments.measure.results import Manifest, Overview, RunRecord

NOW = datetime(2024, 1, 1, 12, 30, 15, tzinfo=UTC)


def test_each_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    names = [results.new_folder(tmp_path, "fig1", NOW).name for _ in range(3)]
    assert names == ["20240101T123015Z-fig1", "20240101T123015Z-fig1-2", "20240101T123015Z-fig1-3"]


def test_results_that_cannot_be_written_say_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(results.ResultsError, match=r"cannot write results to .*file.*--results"):
        results.new_folder(tmp_path / "file", "fig1", NOW)


def test_latest_moves_to_the_newest(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        results.point_latest(tmp_path / name)
    assert (tmp_path / "latest").readlink() == Path("two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "one", "two"]


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    records = (RunRecord("s-pmip/notify/1", None, 3.5), RunRecord("s-pmip/notify/2", "kernel panic\nlast line", 1.0))
    manifest = Manifest(
        "dmmlab run",
        CATALOGUE["handover"],
        2,
        7,
        "virtual",
        "6.12",
        "2024",
        "abc",
        {"python": "3"},
        4.5,
        records,
        {"query.lifetime": "12s"},
    )
    results.write_manifest(tmp_path, manifest)
    assert results.read_manifest(tmp_path) == manifest


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_declaration_survives_json(name: str) -> None:
    experiment = CATALOGUE[name]
    for case in experiment.cases:
        run = Run(name, experiment.domain, case, experiment.scenario, 1, 1, "virtual", {"query.lifetime": "12s"})
        assert from_json(to_json(run), Run) == run
        assert from_json(to_json(replace(run, epoch=1704067208 * 10**9)), Run) != run


def test_cases_of_an_experiment_have_folders_of_their_own(tmp_path: Path) -> None:
    for name, experiment in CATALOGUE.items():
        runs = [Run(name, experiment.domain, case, experiment.scenario, 1, 1, "virtual") for case in experiment.cases]
        folders = [results.run_folder(tmp_path, run) for run in runs]
        assert len(set(folders)) == len(folders)


def test_an_overview_stands_for_its_experiments(tmp_path: Path) -> None:
    manifest = Manifest("dmmlab run", CATALOGUE["handover"], 2, 7, "virtual", "6.12", "2024", "abc", {})
    names = ("x-fig1", "x-handover")
    for name in (*names, "x-overview"):
        (tmp_path / name).mkdir()
    for name in names:
        results.write_manifest(tmp_path / name, manifest)
    results.write_overview(tmp_path / "x-overview", Overview("dmmlab run", "2024", names))
    assert results.experiments(tmp_path / "x-overview") == tuple(tmp_path / name for name in names)
    assert results.experiments(tmp_path / "x-fig1") == (tmp_path / "x-fig1",)
    with pytest.raises(results.NoResultsError, match="expected a folder that `dmmlab run` left"):
        results.experiments(tmp_path)


def test_a_manifest_knows_every_run_that_belongs_to_it() -> None:
    manifest = Manifest("dmmlab run", CATALOGUE["fig2"], 2, 7, "virtual", "6.12", "2024", "abc", {}, settings={"query.tries": "3"})
    assert [(results.record_name(run), run.seed, run.settings) for run in manifest.planned] == [
        (f"sd-pmip/{policy}/{number}", 6 + number, {"query.tries": "3"}) for policy in ("error", "error+multicast") for number in (1, 2)
    ]


def test_a_manifest_that_cannot_be_written_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest("dmmlab run", CATALOGUE["fig1"], 1, 7, "virtual", "6.12", "2024", "abc", {})
    results.write_manifest(tmp_path, manifest)

    def full(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(results.ResultsError, match="No space left on device; what was complete is kept"):
        results.write_manifest(tmp_path, replace(manifest, seed=8))
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert results.read_manifest(tmp_path) == manifest


def test_a_folder_of_the_first_format_is_read_as_what_it_was(tmp_path: Path) -> None:
    """It said by an experiment's name, and by the name of a figure, what of the draft it is held against."""
    for name in ("fig1", "table1", "handover"):
        manifest = Manifest("dmmlab run", CATALOGUE[name], 1, 7, "virtual", "6.12", "2024", "abc", {})
        first = json.loads(to_json(manifest))
        del first["format"], first["experiment"]["draft"]
        if name == "table1":
            first["experiment"]["figures"] = ["table1", *first["experiment"]["figures"]]
        (tmp_path / results.MANIFEST).write_text(json.dumps(first))
        assert results.read_manifest(tmp_path) == manifest


@pytest.mark.parametrize("number", [0, 3, 10**30])
def test_a_folder_of_another_format_is_refused_in_a_line(tmp_path: Path, number: int) -> None:
    manifest = Manifest("dmmlab run", CATALOGUE["fig1"], 1, 7, "virtual", "6.12", "2024", "abc", {})
    (tmp_path / results.MANIFEST).write_text(json.dumps({**json.loads(to_json(manifest)), "format": number, "experiment": "new"}))
    with pytest.raises(results.NoResultsError, match=f"is of format {number}; formats 1 to 2 can be read here") as refused:
        results.read_manifest(tmp_path)
    assert "\n" not in str(refused.value)
    assert "expected a folder" not in str(refused.value)


def test_an_experiment_is_held_against_parts_of_the_draft_only() -> None:
    manifest = Manifest("", replace(CATALOGUE["fig1"], draft=("fig3",)), 1, 7, "virtual", "6.12", "2024", "abc", {})
    with pytest.raises(AdmissionError, match="fig1, fig2, table1, not 'fig3'"):
        results.check_manifest(manifest)
