"""What makes the command's exit status: the one place that says which results are not as expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice

from experiments.measure.study import Study, agrees
from experiments.present import style

_NAMED = 3


class Status(IntEnum):
    """The exit status of the command."""

    AS_EXPECTED = 0
    NOT_AS_EXPECTED = 1
    """Something failed, differs or is missing; a last line says what."""
    WRONG_ARGUMENTS = 2
    """What was asked for does not exist, cannot work or cannot be compared; nothing was run or changed."""
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Check:
    """A kind of result that is not as expected: what to call it, and which of a study's results are of that kind, in words."""

    what: str
    find: Callable[[Study], Iterable[str]]


def _failed(study: Study) -> Iterator[str]:
    for result in study.failed:
        reason, *_ = (result.failure or "").splitlines() or ["for no known reason"]
        yield f"{style.label(result.run.case)}, run {result.run.number} ({reason})"


def _values(study: Study) -> Iterator[str]:
    """What differs from the model, but for packets that links lose by chance: of those the model has the average only."""
    domain = study.experiment.domain
    lossy = any(link.loss for link in (domain.access, *(link.settings for link in domain.links)))
    labels = {(case.scheme, case.label): style.label(case) for case in study.experiment.cases}
    for row in study.summary:
        if agrees(row, str(study.manifest["engine"])) is False and not (lossy and row.metric == "packets_lost"):
            measured, expected = (style.number(value, row.metric) for value in (row.mean, row.expected or 0.0))
            yield f"{row.metric} of {labels[row.scheme, row.policy]} is {measured}, not {expected}"


def _unbounded(study: Study) -> Iterator[str]:
    for result, metric, within in study.bounded():
        if not within and metric.bounds is not None:
            value, least, most = (style.number(number, metric.name) for number in (metric.value, *metric.bounds))
            yield f"{metric.name} of {style.label(result.run.case)}, run {result.run.number}, is {value}, not from {least} to {most}"


def _unmeasured(study: Study) -> Iterator[str]:
    for result in study.results:
        for metric in result.unmeasured:
            yield f"{metric} of {style.label(result.run.case)}, run {result.run.number}"


def _missing(study: Study) -> Iterator[str]:
    done = {(result.run.case.scheme, result.run.case.label, result.run.number) for result in study.results}
    for case in study.experiment.cases:
        for number in range(1, int(study.manifest["runs_per_case"]) + 1):
            if (case.scheme, case.label, number) not in done:
                yield f"{style.label(case)}, run {number}"


def _outcomes(study: Study) -> Iterator[str]:
    for outcome in study.outcomes:
        if not outcome.good:
            yield f"{outcome.attack.kind} on {style.label(outcome.run.case)}"


CHECKS = (
    Check("runs that failed", _failed),
    Check("runs that are missing", _missing),
    Check("values that differ from the model", _values),
    Check("values beyond the model's bounds", _unbounded),
    Check("values that the model expects and captures do not show", _unmeasured),
    Check("steps of the draft that are missing", lambda study: (str(step.number) for step in study.steps if step.time is None)),
    Check(
        "cells of Table 1 that the captures contradict",
        lambda study: (f"{style.title(row.scheme)}, {cell.column}" for row in study.table1 for cell in row.cells if not cell.agrees),
    ),
    Check(
        "faults after which all is not well",
        lambda study: (style.label(verdict.run.case) for verdict in study.verdicts if not verdict.good),
    ),
    Check("attacks that ended otherwise than they should", _outcomes),
    Check("captures that are not whole", lambda study: (note for result in study.results for note in result.trace.truncated)),
    Check("figures that could not be drawn", lambda study: study.undrawn),
)
"""All that makes a study not as expected. What the model expects nothing of is in none of them."""


def shortcomings(study: Study) -> str:
    """What is not as expected in a study, in one line; empty where all is."""
    return "; ".join(said for check in CHECKS if (said := _listed(check.what, check.find(study))))


def _listed(what: str, names: Iterable[str]) -> str:
    names = iter(names)
    first = list(islice(names, _NAMED))
    more = sum(1 for _ in names)
    return f"{what}: {', '.join(first)}{f' and {more} more' if more else ''}" if first else ""
