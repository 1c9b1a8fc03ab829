"""What the command line shows: progress while runs go on, and a study's numbers beside what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from experiments.measure.comparison import Comparison
from experiments.measure.records import Reason, SummaryRow
from experiments.measure.study import Study, agrees
from experiments.present import streams, style
from experiments.present.attack_table import AttackTable, table_of_attacks

_GOOD, _BAD = "green", "bold red"
_CONSOLE_LINES = 5
_ANY_WIDTH = 10_000
_REMARK = "dim"


class Printable(Console):
    """A console on which only styles of our own steer the terminal: texts are taken as they are, without control characters and markup."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is printed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=streams.printable(segment.text))


class Progress:
    """How many of ``total`` runs are done and which are going on: a bar on a terminal, a line a run elsewhere."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self._console = console or Printable(stderr=True)
        self._total = total
        self._done = 0
        self._running: dict[str, None] = {}
        self._bar = Bar(
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def started(self, name: str) -> None:
        """The run ``name`` began."""
        self._running[name] = None
        self._show()

    def finished(self, name: str, failure: str | None) -> None:
        """The run ``name`` is over; ``failure`` is why it failed, or None or empty where it did not."""
        self._running.pop(name, None)
        self._done += 1
        if failure:
            self._console.print(Text(f"{name}: failed: {failure.partition(chr(10))[0]}", style=_BAD), soft_wrap=True)
        elif not self._console.is_terminal:
            self._console.print(Text(f"[{self._done}/{self._total}] {name}"), soft_wrap=True)
        self._bar.advance(self._task)
        self._show()

    def _show(self) -> None:
        self._bar.update(self._task, description=escape(", ".join(self._running)))


def show(study: Study, console: Console | None = None) -> None:
    """Print a study: a row a case, the draft's steps and Table 1 where it has them, what failed and what was cut short."""
    console = console or Printable()
    console.print(Text(study.experiment.title, style="bold"))
    console.print(Group(*summary_tables(study, console), *_parts(study)))


def show_shortcomings(lines: Sequence[str], console: Console | None = None) -> None:
    """Print what is not as expected, a line an experiment, or that all is."""
    console = console or Printable()
    if not lines:
        console.print(Text("all is as expected", style=_GOOD))
    for line in lines:
        console.print(Text(f"not as expected: {line}", style=_BAD), soft_wrap=True)


def show_comparison(found: Comparison, console: Console | None = None) -> None:
    """Print how a run differs from the reference, whether that matters, and what does not."""
    console = console or Printable()

    def say(text: str, good: bool | None = None) -> None:
        console.print(Text(text, style={True: _GOOD, False: _BAD, None: ""}[good]), soft_wrap=True)

    differ = f"captures that differ: {len(found.captures)} of {found.compared}"
    if not found.compared:
        say(f"{found.name}: {found.kernel}; only numbers are compared")
    elif found.kernel:
        say(f"{found.name}: {found.kernel}; {differ}, which another kernel may do")
    else:
        say(f"{found.name}: the reference's kernel; {differ}", not found.captures)
        if found.captures:
            say("  this matters: the same kernel gives the same bytes for the same code; `git log` since the reference says what changed")
    for name in found.captures:
        say(f"  {name}")
    say(f"{found.name}: numbers that differ: {len(found.metrics)} of {found.values}", not found.metrics)
    for line in found.metrics:
        say(f"  {line}")
    if found.noise:
        say(f"  times within the tolerance differ by up to {found.noise:.6f} ms, which does not matter")
    for name in found.failed:
        say(f"  {name} failed", False)
    for note in found.notes:
        say(f"  {note}")


def _parts(study: Study) -> Iterable[Table | Text]:
    yield _verdict(study)
    within = [within for _, _, within in study.bounded()]
    if within:
        yield Text(f"{sum(within)} of {len(within)} values are within the model's bounds", style=_GOOD if all(within) else _BAD)
    yield from _uneven(study)
    yield from _lost(study)
    if study.steps:
        yield steps_table(study)
    if study.table1:
        yield table1_table(study)
    if study.verdicts:
        yield verdicts_table(study)
    if (attacks := table_of_attacks(study.outcomes)) is not None:
        yield attacks_table(attacks)
    for result in study.failed:
        reason, *console = (result.failure or "").splitlines()
        where = f"{style.label(result.run.case)}, run {result.run.number}"
        yield Text(f"{where} failed: {reason}", style=_BAD)
        yield Text("\n".join(f"  {line}" for line in console[-_CONSOLE_LINES:]))
    for result in study.results:
        for capture in result.trace.truncated:
            yield Text(f"{style.label(result.run.case)}, run {result.run.number}: {capture}", style="yellow")


def summary_tables(study: Study, console: Console) -> Iterable[Table]:
    """The headline metrics, in as many tables one below the other as it takes for none to be wider than the console."""
    names = [name for name in style.HEADLINE if any(row.metric == name for row in study.summary)]
    while names:
        shown = next((n for n in range(len(names), 1, -1) if _width(summary_table(study, names[:n]), console) <= console.width), 1)
        yield summary_table(study, names[:shown])
        names = names[shown:]


def _width(table: Table, console: Console) -> int:
    return Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table).maximum


def summary_table(study: Study, present: Sequence[str]) -> Table:
    """A row a case, a column a metric; what disagrees with its expected value shows both."""
    cases = study.experiment.cases
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("scheme", no_wrap=True)
    table.add_column("policy", no_wrap=True)
    columns = [[_measured(study.summary_of(case, name), _engine(study)) for case in cases] for name in present]
    for name, values in zip(present, columns, strict=True):
        unit = next(row.unit for row in study.summary if row.metric == name)
        heading = style.metric_style(name).title + (" (ms)" if unit == "ms" else "")
        width = max([*(len(value) for value in values), *(len(word) for word in heading.split())])
        table.add_column(heading, justify="right", width=width)
    for index, case in enumerate(cases):
        scheme = Text(style.title(case.scheme), style=style.colour(case.scheme))
        table.add_row(scheme, case.label, *(values[index] for values in columns))
    return table


def _verdict(study: Study) -> Text:
    judged = [agreed for row in study.summary if (agreed := agrees(row, _engine(study))) is not None]
    judged += [False for result in study.results for _ in result.unmeasured]
    if not judged:
        return Text("the model expects nothing")
    return Text(f"{sum(judged)} of {len(judged)} values are what the model expects", style=_GOOD if all(judged) else _BAD)


def _uneven(study: Study) -> Iterable[Text]:
    """A line a case whose interruptions differ much, of which the table has the mean."""
    for case, least, most, number in study.uneven_interruptions():
        ends = " to ".join(_number(value, "handover_interruption_ms") for value in (least, most))
        yield Text(f"{style.label(case)}: interruptions from {ends} ms; the table has the mean of {number}", style=_REMARK)


def _lost(study: Study) -> Iterable[Text]:
    """A line a case that lost packets: for which reasons, and how many."""
    for case in study.experiment.cases:
        said = [
            Text(f"{style.REASONS[reason].title} {_number(mean, reason.metric)}", style=_BAD if reason is Reason.UNEXPLAINED else "")
            for reason, mean in study.lost(case).items()
        ]
        if said:
            yield Text(f"{style.label(case)} lost: ").append_text(Text(", ").join(said))


def _engine(study: Study) -> str:
    return str(study.manifest.get("engine", ""))


def _measured(row: SummaryRow | None, engine: str) -> Text:
    if row is None:
        return Text("\N{EN DASH}", style="dim")
    value = _number(row.mean, row.metric)
    spread = f" ± {_number(row.ci95, row.metric)}" if row.n > 1 and row.ci95 else ""
    match agrees(row, engine):
        case None:
            return Text(value + spread)
        case True:
            return Text(value + spread, style=_GOOD)
    return Text(f"{value}{spread} ≠ {_number(row.expected or 0.0, row.metric)}", style=_BAD)


def _number(value: float, metric: str) -> str:
    """As in the report, but without spaces, at which a narrow terminal would break it."""
    return style.number(value, metric).replace("\N{THIN SPACE}", "")


def steps_table(study: Study) -> Table:
    """The draft's numbered steps, each with what shows it, in ms of scenario time."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("step", "", "the draft says", "time (ms)", "the captures show"):
        table.add_column(heading, justify="right" if heading in ("step", "time (ms)") else "left")
    epoch = study.results[0].run.epoch
    for step in study.steps:
        found = step.time is not None
        time = "" if step.time is None else f"{(step.time - epoch) / 1e6:.3f}"
        table.add_row(str(step.number), _mark(found), Text(step.text), time, Text(step.evidence, style="" if found else _BAD))
    return table


def table1_table(study: Study) -> Table:
    """The draft's Table 1; a cell that the captures contradict shows both."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("scheme")
    for cell in study.table1[0].cells:
        table.add_column(cell.column)
    for row in study.table1:
        cells = (
            _mark(cell.agrees).append(f" {cell.measured}" if cell.agrees else f" {cell.measured}; the draft: {cell.draft}")
            for cell in row.cells
        )
        table.add_row(style.title(row.scheme), *cells)
    return table


def verdicts_table(study: Study) -> Table:
    """How each run with faults ended: s until packets flowed again, the bound, and what stayed behind."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "scheme", "fault", "recovery (s)", "at most (s)", "left behind"):
        table.add_column(heading, justify="right" if heading.endswith("(s)") else "left")
    for verdict in study.verdicts:
        case = verdict.run.case
        taken = "never" if verdict.recovery is None else f"{verdict.recovery:.3f}"
        left = Text("\n".join(verdict.stale) or "nothing", style=_BAD if verdict.stale else "")
        table.add_row(_mark(verdict.good), style.title(case.scheme), case.variant, taken, f"{verdict.bound:.3f}", left)
    return table


def attacks_table(attacks: AttackTable) -> Table:
    """What became of each kind of attack under each scheme."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("case", "attack", "from", "as", *map(style.title, attacks.schemes)):
        table.add_column(heading)
    for row in attacks.rows:
        cells = (Text("-") if cell is None else _mark(cell.good).append(f" {cell.text}", style="default") for cell in row.cells)
        table.add_row(row.case, row.kind, row.place, row.claim, *cells)
    return table


def show_bench(rows: Iterable[tuple[str, str, str, str, float]], console: Console | None = None) -> None:
    """Print what a benchmark measured: what, the measured value, what it comes from, the goal, and how many times better it is."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("what", "measured", "", "goal", "ratio", ""):
        table.add_column(heading, justify="right" if heading in ("measured", "ratio") else "left")
    for what, measured, detail, goal, ratio in rows:
        table.add_row(what, measured, detail, goal, f"{ratio:.2f}", _mark(ratio >= 1))
    (console or Printable()).print(table)


def _mark(good: bool) -> Text:
    return Text("✓", style=_GOOD) if good else Text("✗", style=_BAD)
