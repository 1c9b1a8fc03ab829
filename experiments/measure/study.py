"""One experiment with all that was measured in it: what plots, report and terminal are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Case, Experiment
from experiments.declare.tolerance import TOLERANCES
from experiments.measure.harm import AttackOutcome
from experiments.measure.records import Metric, Reason, SummaryRow, Trace
from experiments.measure.recovery import Verdict

_UNEVEN = 3.0
"""A handover that takes so many times as long as another of its case is of another kind: a renewed route, say, instead of a stale one."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run and what its captures say.

    ``failure`` is None, or why the run failed: the reason on the first line, the console's last lines after it; what the
    captures still held is in ``trace`` and ``metrics``, possibly nothing. ``folder`` holds the run's captures and events.
    ``unmeasured`` names metrics that the model expects and the captures do not show.
    """

    run: Deployment
    trace: Trace
    metrics: tuple[Metric, ...]
    failure: str | None
    folder: Path
    unmeasured: tuple[str, ...] = ()

    def value(self, metric: str) -> float | None:
        """The value of a metric, or None where this run has none."""
        return next((entry.value for entry in self.metrics if entry.name == metric), None)


@dataclass(frozen=True, slots=True)
class Step:
    """A numbered step of the draft's Figure 1 or 2.

    ``evidence`` says what in the captures shows it, or what was looked for in vain. ``time`` is when that left ``node`` in ns
    since 1970 (for a packet or a message: when it was sent; for an association: when it came about at the MAG), or None where
    the step is missing.
    """

    number: int
    text: str
    evidence: str
    time: int | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True)
class Table1Cell:
    """A cell of the draft's Table 1: what the draft says, and what the captures show."""

    column: str
    draft: str
    measured: str

    @property
    def agrees(self) -> bool:
        return self.draft == self.measured


@dataclass(frozen=True, slots=True)
class Table1Row:
    """A row of the draft's Table 1; all rows have the same columns."""

    scheme: str
    cells: tuple[Table1Cell, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """An experiment's results.

    Attributes:
        experiment: the catalogue entry.
        results: its runs, failed ones too.
        manifest: manifest.json as read.
        summary: a row per case and metric, as in summary.csv.
        steps: the draft's numbered steps, found in or missing from the first complete run; empty where the experiment has none.
        table1: the draft's Table 1 beside what was measured; empty where the experiment has none.
        verdicts: how each run with faults ended, those that failed left out.
        outcomes: what became of each attack.
        undrawn: what of the analysis, the figures or the report could not be made, a line each, with its reason; empty where all is well.
    """

    experiment: Experiment
    results: tuple[RunResult, ...]
    manifest: dict[str, Any]
    summary: tuple[SummaryRow, ...]
    steps: tuple[Step, ...] = ()
    table1: tuple[Table1Row, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    outcomes: tuple[AttackOutcome, ...] = ()
    undrawn: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The experiment's results folder: that of each run lies ``<scheme>/<policy>/<run>`` below it."""
        return self.results[0].folder.parents[2]

    @property
    def failed(self) -> tuple[RunResult, ...]:
        return tuple(result for result in self.results if result.failure is not None)

    @property
    def first_runs(self) -> tuple[tuple[Case, RunResult | None], ...]:
        """Every case with its first run that did not fail, or None where all failed: what plots of single packets show."""
        pairs = by_case(self.experiment, self.results)
        return tuple((case, next((result for result in results if result.failure is None), None)) for case, results in pairs)

    def summary_of(self, case: Case, metric: str) -> SummaryRow | None:
        """The summary row of a case and a metric, or None where there is none."""
        wanted = (case.scheme, case.label, metric)
        return next((row for row in self.summary if (row.scheme, row.policy, row.metric) == wanted), None)

    def interruptions(self, case: Case) -> tuple[float, ...]:
        """How long each handover of the case kept a node out of reach, in ms, over all runs that did not fail."""
        name, found = "handover_interruption_ms", []
        for result in self.results:
            if result.run.case == case and result.failure is None:
                each = [metric.value for metric in result.metrics if metric.name.startswith(f"{name}[")]
                found += each or [metric.value for metric in result.metrics if metric.name == name]
        return tuple(found)

    def bounded(self) -> Iterator[tuple[RunResult, Metric, bool]]:
        """The values for which the model has bounds only, each with whether it lies within them, as exactly as the engine allows."""
        tolerance = TOLERANCES[str(self.manifest["engine"])]
        for result in self.results:
            for metric in result.metrics if result.failure is None else ():
                room = tolerance.of(metric.name, metric.unit)
                if metric.bounds is not None and room is not None:
                    least, most = metric.bounds
                    yield result, metric, least - room <= metric.value <= most + room

    def uneven_interruptions(self) -> Iterator[tuple[Case, float, float, int]]:
        """The cases whose interruptions differ so much that their mean is like none of them: the least and the most in ms, of how many."""
        for case in self.experiment.cases:
            found = self.interruptions(case)
            if len(found) > 1 and max(found) > _UNEVEN * max(min(found), 1.0):
                yield case, min(found), max(found), len(found)

    def lost(self, case: Case) -> dict[Reason, float]:
        """How many packets a case lost for each reason, on average over its runs; reasons for which it lost none are left out."""
        rows = ((reason, self.summary_of(case, reason.metric)) for reason in Reason)
        return {reason: row.mean for reason, row in rows if row is not None and row.mean}


def agrees(row: SummaryRow, engine: str) -> bool | None:
    """Whether a measurement is what the model expects, within the engine's tolerance; None where nothing is expected or compared.

    Means of several runs may be off by their 95 % interval as well.
    """
    tolerance = TOLERANCES[engine].of(row.metric, row.unit)
    if row.expected is None or tolerance is None:
        return None
    return abs(row.mean - row.expected) <= tolerance + row.ci95


def by_case(experiment: Experiment, results: Iterable[RunResult]) -> tuple[tuple[Case, tuple[RunResult, ...]], ...]:
    """Pair every case of the experiment, in its order, with its runs in the order of their numbers; a case may have none."""
    runs: dict[tuple[str, str], list[RunResult]] = {(case.scheme, case.label): [] for case in experiment.cases}
    for result in sorted(results, key=lambda result: result.run.number):
        runs[result.run.case.scheme, result.run.case.label].append(result)
    return tuple((case, tuple(runs[case.scheme, case.label])) for case in experiment.cases)
