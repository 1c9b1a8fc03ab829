"""Comparing with the reference: what can be compared, what differs, and whether that matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import reference
from experiments.catalogue import CATALOGUE
from experiments.cli import main
from experiments.declare.scenario import Experiment
from experiments.measure import metrics, results
from experiments.measure.results import Manifest, Overview, RunRecord

MANIFEST = Manifest(
    command="dmmlab run",
    experiment=CATALOGUE["table1"],
    runs_per_case=1,
    seed=1,
    engine="virtual",
    kernel="6.12.117 (User-Mode Linux, 0123456789ab)",
    started="2024-01-01T00:00:00+00:00",
    revision="abc",
    versions={"python": "3.11.2"},
)
COLUMNS = "experiment,scheme,policy,run,metric,value,unit"
Change = Callable[[Manifest], Manifest]


def lay(folder: Path, manifest: Manifest, delay: float = 14.0, lost: int = 0, capture: bytes = b"octets", failed: int = 0) -> Path:
    """A results folder with a capture and two metrics for each case; the last ``failed`` runs failed."""
    names = [results.record_name(run) for run in manifest.planned]
    well = len(names) - failed
    manifest = replace(manifest, runs=tuple(RunRecord(name, None if i < well else "guest hung", 1.0) for i, name in enumerate(names)))
    rows = [COLUMNS]
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "mag1.pcap").write_bytes(capture)
        scheme, policy, run = name.split("/")
        rows += [
            f"{manifest.experiment.name},{scheme},{policy},{run},one_way_delay_ms,{delay},ms",
            f"{manifest.experiment.name},{scheme},{policy},{run},packets_lost,{lost},packets",
        ]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    (folder / "summary.csv").write_text("")
    results.write_manifest(folder, manifest)
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    reference.keep(lay(tmp_path / "origin", MANIFEST), tmp_path / "reference")
    return tmp_path / "reference"


def test_the_same_kernel_gives_the_same_bytes(tmp_path: Path, kept: Path) -> None:
    found = reference.compare(lay(tmp_path / "new", MANIFEST), kept)
    assert (found.kernel, found.compared, found.captures, found.values, found.metrics, found.notes) == ("", 3, (), 6, (), ())
    assert found.same


def test_with_the_same_kernel_every_capture_that_differs_is_named(tmp_path: Path, kept: Path) -> None:
    folder = lay(tmp_path / "new", MANIFEST)
    (folder / "pmip/anchor/1/mag1.pcap").write_bytes(b"others")
    (folder / "s-pmip/notify/1/mag1.pcap").unlink()
    found = reference.compare(folder, kept)
    assert found.captures == ("pmip/anchor/1/mag1.pcap", "s-pmip/notify/1/mag1.pcap")
    assert not found.same


def test_a_capture_in_another_format_is_not_compared(tmp_path: Path, kept: Path) -> None:
    folder = lay(tmp_path / "new", MANIFEST)
    capture = folder / "pmip/anchor/1/mag1.pcap"
    capture.rename(capture.with_suffix(".pcapng"))
    found = reference.compare(folder, kept)
    assert (found.same, found.compared) == (True, 2)
    assert found.notes == ("not compared, for its bytes cannot be: pmip/anchor/1/mag1.pcapng",)


def test_with_another_kernel_bytes_are_compared_and_only_numbers_count(tmp_path: Path, kept: Path) -> None:
    other = replace(MANIFEST, kernel="6.12.115 (User-Mode Linux, fedcba987654)")
    found = reference.compare(lay(tmp_path / "new", other, delay=14.04, capture=b"others"), kept)
    assert found.kernel.startswith("another kernel, 6.12.115 (User-Mode Linux, fedcba987654)")
    assert (found.compared, len(found.captures), found.metrics) == (3, 3, ())
    assert found.noise == pytest.approx(0.04)
    assert found.same


@pytest.mark.parametrize(("delay", "lost", "differing"), [(14.04, 0, 0), (14.06, 0, 3), (14.0, 1, 3)])
def test_numbers_differ_beyond_the_tolerance(tmp_path: Path, kept: Path, delay: float, lost: int, differing: int) -> None:
    found = reference.compare(lay(tmp_path / "new", MANIFEST, delay, lost), kept)
    assert len(found.metrics) == differing
    assert found.same is (differing == 0)


def test_a_reason_for_which_nothing_was_lost_need_not_be_written(tmp_path: Path, kept: Path) -> None:
    for lost, same in ((0, True), (1, False)):
        folder = lay(tmp_path / f"{lost}", MANIFEST)
        with (folder / "metrics.csv").open("a") as file:
            file.write(f"table1,pmip,anchor,1,lost_no_route,{lost},packets\n")
        assert reference.compare(folder, kept).same is same


def test_in_real_time_counts_are_not_compared(tmp_path: Path, kept: Path) -> None:
    folder = lay(tmp_path / "new", replace(MANIFEST, engine="uml"), delay=15.9, lost=20, capture=b"others")
    with (folder / "metrics.csv").open("a") as file:
        file.write("table1,pmip,anchor,1,buffer_wait_ms,3.0,ms\n")
    found = reference.compare(folder, kept)
    assert found.kernel == "another engine, uml; the reference's is virtual"
    assert (found.compared, found.metrics, found.same) == (0, (), True)


def test_other_versions_are_said_and_do_not_matter(tmp_path: Path, kept: Path) -> None:
    found = reference.compare(lay(tmp_path / "new", replace(MANIFEST, versions={"python": "3.13.1"})), kept)
    assert found.notes == ("other versions than the reference's, which does not matter: python 3.13.1",)
    assert found.same


def test_what_only_one_side_has_is_said_and_a_failed_run_counts(tmp_path: Path, kept: Path) -> None:
    fewer = replace(MANIFEST, experiment=replace(MANIFEST.experiment, cases=MANIFEST.experiment.cases[1:]))
    found = reference.compare(lay(tmp_path / "new", fewer, failed=1), kept)
    assert found.notes == ("not compared, for only in the reference: pmip/anchor/1, sd-pmip/error/1",)
    assert found.failed == ("sd-pmip/error/1",)
    assert (found.compared, found.same) == (1, False)


def scenario(experiment: Experiment) -> Experiment:
    return replace(experiment, scenario=replace(experiment.scenario, duration=99.0))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: replace(m, seed=7), "other seed"),
        (lambda m: replace(m, settings={"query.tries": "3"}), "other settings"),
        (lambda m: replace(m, experiment=replace(m.experiment, domain=CATALOGUE["attacks"].domain)), "other network"),
        (lambda m: replace(m, seed=7, experiment=scenario(m.experiment)), "other flows, moves or faults and seed"),
        (lambda m: replace(m, experiment=replace(m.experiment, cases=CATALOGUE["handover"].cases[:1])), "no run of one case"),
        (lambda m: replace(m, experiment=replace(m.experiment, name="fig9")), "the reference has no such experiment; it has table1"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(tmp_path: Path, kept: Path, change: Change, says: str) -> None:
    with pytest.raises(reference.NotComparable, match=says) as refused:
        reference.compare(lay(tmp_path / "new", change(MANIFEST)), kept)
    assert "\n" not in str(refused.value)


def test_the_committed_reference_is_of_today_s_catalogue() -> None:
    for name in ("fig1", "fig2", "table1", "handover"):
        manifest = results.read_manifest(reference.FOLDER / name)
        assert manifest.experiment == CATALOGUE[name]
        assert all(record.failure is None for record in manifest.runs)
        assert metrics.read_metrics(reference.FOLDER / name / "metrics.csv")


@pytest.mark.parametrize(
    ("delays", "status"),
    [((14.0, 14.0), 0), ((14.0, 15.0), 1), ((14.0, None), 2), ((15.0, None), 1)],
    ids=["the same", "one differs", "one cannot be compared", "both"],
)
def test_the_exit_status_of_compare(
    tmp_path: Path, kept: Path, delays: tuple[float, float | None], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference.compare, "__defaults__", (kept,))
    names = []
    for number, delay in enumerate(delays):
        lay(tmp_path / f"{number}", MANIFEST if delay else replace(MANIFEST, seed=7), delay or 14.0)
        names.append(f"{number}")
    (tmp_path / "overview").mkdir()
    results.write_overview(tmp_path / "overview", Overview("dmmlab run", "2024", tuple(names)))
    assert main(["compare", str(tmp_path / "overview")]) == status
