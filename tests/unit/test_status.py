"""The exit status: every kind of result that is not as expected is named, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import studies

from engines.choose import NAMES
from experiments.declare.scenario import Attack
from experiments.declare.tolerance import TOLERANCES
from experiments.measure.harm import AttackOutcome
from experiments.measure.records import Metric, Reason, SummaryRow
from experiments.measure.recovery import Verdict
from experiments.measure.study import Study
from experiments.status import CHECKS, shortcomings

STUDY = studies.study(packets=10, steps=tuple(step for step in studies.STEPS if step.time is not None))
RUN = STUDY.results[1].run
ATTACK = Attack("stranger", "cn1", "mag1", "mn1", at=1.0)


def failed(study: Study) -> Study:
    return replace(study, results=(replace(study.results[0], failure="guest hung\nconsole"), *study.results[1:]))


def disagreeing(study: Study) -> Study:
    return replace(study, summary=tuple(replace(row, mean=54.2) if row.mean == 54.004 else row for row in study.summary))


def unexplained(study: Study) -> Study:
    """A study with a packet of whose loss nothing is known, which the model never expects."""
    row = SummaryRow("handover", "pmip", "anchor", Reason.UNEXPLAINED.metric, 1, 1.0, 0.0, 0.0, 0.0, "packets")
    return replace(study, summary=(*study.summary, row))


def cut(study: Study) -> Study:
    first = study.results[0]
    return replace(study, results=(replace(first, trace=replace(first.trace, truncated=("lma.pcap: breaks off",))), *study.results[1:]))


def lossy(study: Study) -> Study:
    """A study whose links lose packets by chance, one less than on average."""
    domain = study.experiment.domain
    summary = tuple(replace(row, mean=row.mean - 1) if row.metric == "packets_lost" else row for row in study.summary)
    return replace(
        study,
        summary=summary,
        experiment=replace(study.experiment, domain=replace(domain, access=replace(domain.access, loss=0.1))),
    )


AS_EXPECTED = [
    lossy(STUDY),
    STUDY,
    replace(STUDY, verdicts=(Verdict(RUN, 1.0, 2.0, ()),)),
    replace(STUDY, outcomes=(AttackOutcome(ATTACK, RUN, 5, {"unknown sender": 5}, 0, 0, ()),)),
    replace(
        STUDY,
        outcomes=(AttackOutcome(Attack("stranger", "cn1", "mag1", "mn1", at=1.0, succeeds=True), RUN, 5, {}, 5, 9, ()),),
    ),
    replace(STUDY, summary=tuple(replace(row, expected=None) for row in disagreeing(STUDY).summary)),
    replace(disagreeing(STUDY), manifest={**STUDY.manifest, "engine": "uml"}),
]
BEYOND = Metric("one_way_delay_ms", 14.2, "ms", bounds=(10.0, 14.0))
NOT_AS_EXPECTED = [
    (failed(STUDY), "runs that failed: no mobility, run 1 (guest hung)"),
    (
        replace(STUDY, results=STUDY.results[:3]),
        "runs that are missing: S-PMIP · expire, run 1, SD-PMIP · error, run 1, SD-PMIP · expire, run 1",
    ),
    (disagreeing(STUDY), "values that differ from the model: one_way_delay_ms of PMIP is 54.200, not 54.000"),
    (unexplained(STUDY), "values that differ from the model: lost_unexplained of PMIP is 1, not 0"),
    (
        replace(STUDY, results=(replace(STUDY.results[0], unmeasured=("l2_gap_ms",)), *STUDY.results[1:])),
        "values that the model expects and captures do not show: l2_gap_ms of no mobility, run 1",
    ),
    (
        replace(STUDY, results=(replace(STUDY.results[0], metrics=(BEYOND,)), *STUDY.results[1:])),
        "values beyond the model's bounds: one_way_delay_ms of no mobility, run 1, is 14.200, not from 10.000 to 14.000",
    ),
    (replace(STUDY, steps=studies.STEPS), "steps of the draft that are missing: 8"),
    (replace(STUDY, table1=studies.TABLE1), "cells of Table 1 that the captures contradict: S-PMIP, Binding Query"),
    (replace(STUDY, verdicts=(Verdict(RUN, None, 2.0, ()),)), "faults after which all is not well: PMIP"),
    (
        replace(STUDY, outcomes=(AttackOutcome(ATTACK, RUN, 5, {}, 5, 0, ()),)),
        "attacks that ended otherwise than they should: stranger on PMIP",
    ),
    (cut(STUDY), "captures that are not whole: lma.pcap: breaks off"),
    (replace(STUDY, undrawn=("ladder",)), "figures that could not be drawn: ladder"),
]


@pytest.mark.parametrize("study", AS_EXPECTED)
def test_nothing_is_said_where_all_is_as_expected(study: Study) -> None:
    assert shortcomings(study) == ""


@pytest.mark.parametrize(("study", "said"), NOT_AS_EXPECTED)
def test_what_is_not_as_expected_is_named(study: Study, said: str) -> None:
    assert shortcomings(study) == said


def test_every_check_is_tried() -> None:
    assert {said.partition(":")[0] for _, said in NOT_AS_EXPECTED} == {check.what for check in CHECKS}


def test_several_are_counted_and_all_kinds_said_in_one_line() -> None:
    everything = replace(failed(STUDY), undrawn=("a", "b", "c", "d", "e"))
    assert (
        shortcomings(everything) == "runs that failed: no mobility, run 1 (guest hung); figures that could not be drawn: a, b, c and 2 more"
    )


def test_every_engine_has_a_documented_tolerance() -> None:
    assert ("auto", *TOLERANCES) == NAMES
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")
    for tolerance in TOLERANCES.values():
        assert all(f"{value:g}" in page for value in (*tolerance.units.values(), *tolerance.metrics.values()))
