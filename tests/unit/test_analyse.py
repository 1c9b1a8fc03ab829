"""Analysis: what one run, judgement or expectation fails at costs nothing else, and is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from folders import NAMES, leave

from experiments import analyse, model
from experiments.declare.scenario import Flow, Kill, Scenario
from experiments.measure import metrics, procedures
from experiments.measure.trace import read_trace


def measured(folder: Path) -> set[str]:
    """The schemes that metrics.csv has numbers of."""
    return {row.scheme for row in metrics.read_metrics(folder / "metrics.csv")}


def fail(*_: object) -> NoReturn:
    raise IndexError("list index\nout of range")


def fail_for(name: str, function: Callable[..., object]) -> Callable[..., object]:
    return lambda first, *rest: fail() if name in str(first) else function(first, *rest)


def test_all_is_well(tmp_path: Path) -> None:
    study = analyse.analyse(leave(tmp_path))
    assert (study.undrawn, study.failed) == ((), ())
    assert measured(tmp_path) == {"pmip", "s-pmip"}
    assert "What could not be made" not in (tmp_path / "index.html").read_text()


def test_a_run_that_cannot_be_measured_has_failed_and_the_others_have_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyse, "read_trace", fail_for("s-pmip", read_trace))
    study = analyse.analyse(leave(tmp_path))
    (failed,) = study.failed
    assert failed.failure is not None
    assert failed.failure.startswith("its captures could not be measured: IndexError: list index out of range (test_analyse.py, line ")
    assert measured(tmp_path) == {"pmip"}
    assert study.undrawn == ()


def test_a_run_without_its_declaration_is_named(tmp_path: Path) -> None:
    (leave(tmp_path) / NAMES[0] / "run.json").unlink()
    study = analyse.analyse(tmp_path)
    (line,) = study.undrawn
    assert line.startswith(f"“What {NAMES[0]} shows” could not be made: ")
    assert "No such file or directory" in line
    assert measured(tmp_path) == {"s-pmip"}
    assert line in (tmp_path / "index.html").read_text().replace("&#39;", "'")


def test_numbers_stay_where_nothing_is_expected_and_nothing_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = leave(tmp_path, Scenario(3.0, (Flow("cn1", "mn1", 0.0, 2.5),), faults=(Kill("mag3", 1.0, 1.5),)))
    for module, name in (
        (model, "expect"),
        (procedures, "find"),
        (procedures, "table1_row"),
        (analyse, "judge"),
        (analyse, "_outcomes"),
    ):
        monkeypatch.setattr(module, name, fail)
    study = analyse.analyse(folder)
    assert measured(tmp_path) == {"pmip", "s-pmip"}
    assert [line.partition(" could not be made: IndexError")[0] for line in study.undrawn] == [
        *(f"“What the model expects of {name}”" for name in NAMES),
        "“The table of the draft's steps”",
        "“The draft's Table 1”",
        *(f"“The verdict on {name}”" for name in NAMES),
        *(f"“What became of the attacks of {name}”" for name in NAMES),
    ]
    page = (tmp_path / "index.html").read_text()
    assert page.count("IndexError: list index out of range (test_analyse.py, line ") == len(study.undrawn)
    assert (tmp_path / "bars.svg").exists()


def test_figures_that_cannot_be_drawn_come_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.present import plots

    monkeypatch.setattr(plots, "PLOTS", {**plots.PLOTS, "bars": fail})
    monkeypatch.setattr(procedures, "find", fail)
    study = analyse.analyse(leave(tmp_path))
    assert [line.partition("” ")[0] for line in study.undrawn] == ["“The table of the draft's steps", "“What it costs"]
