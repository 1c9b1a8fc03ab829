"""The report of an experiment: one self-contained index.html with its figures, and a page that links several."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from experiments.declare import files
from experiments.declare.declarations import DeclarationError
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Case
from experiments.measure import metrics
from experiments.measure.records import Reason, SummaryRow
from experiments.measure.study import RunResult, Step, Study, agrees, by_case
from experiments.present import explanation, style
from experiments.present.attack_table import table_of_attacks
from experiments.present.attempts import Attempts
from experiments.present.ladder import ladder
from topologies.domain import shorten

T = TypeVar("T")
Otherwise = TypeVar("Otherwise")

_TABLES = ("metrics.csv", "summary.csv", "manifest.json")
_CONSOLE_LINES = 20
_MOST_NAMED = 20
_MANY_ROWS = 12
LADDER = "ladder"
_SECTIONS = {
    "undrawn": "What could not be made",
    "failed": "Failed runs",
    "findings": "What was found",
    "values": "The table of what was found",
    "table1": "The draft's Table 1, as measured",
    "verdicts": "After each fault",
    "attacks": "What became of each attack",
    "steps": "The draft's steps",
    "expected": "Where the expected delays come from",
    "losses": "The loss ledger",
    "handovers": "Each handover",
    "others": "All other metrics",
    "run": "What was run, and how to run it again",
    "origin": "Where each number comes from",
}
"""What the parts of the page are called; figures have names of their own."""

_ORIGIN = (
    ("manifest.json", "what was run, with which versions, where and when"),
    ("*.pcap", "one capture per node: every number in this report comes from these"),
    ("events.jsonl", "what each agent says it did, with times; read by people, never measured"),
    ("state.json", "interfaces, routes and rules of the agents' nodes at the end, as their kernels list them"),
    ("metrics.csv", "a line per run and metric"),
    ("summary.csv", "a line per case and metric: mean, standard deviation, 95 % interval, expected value"),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A measured value beside what is expected, as text; ``state`` is good, bad or none (nothing is expected)."""

    measured: str
    expected: str
    difference: str
    state: str


@dataclass(frozen=True, slots=True)
class CaseLine:
    """A line of the findings: a case and its values in the order of the columns."""

    case: Case
    label: str
    colour: str
    policy: str
    values: tuple[Value | None, ...]


@dataclass(frozen=True, slots=True)
class LossLine:
    """A line of the loss ledger: so many packets of a case were last seen at ``place``, doing this, and lost for this reason."""

    case: str
    colour: str
    place: str
    sight: str
    reason: style.ReasonStyle
    packets: str
    unexplained: bool


@dataclass(frozen=True, slots=True)
class FigurePart:
    """A figure: its inline SVG (None where it could not be drawn), its caption, the paragraphs that explain it, and its files."""

    name: str
    heading: str
    svg: Markup | None
    caption: str
    reasons: tuple[str, ...]
    files: tuple[str, ...]


def write_report(study: Study, folder: Path) -> tuple[str, ...]:
    """Draw the study's figures into ``folder`` and write index.html there, which needs no network.

    Returns what could not be drawn or written, a line each, with its reason: the page says so where it would stand, and has all the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    attempts = Attempts()

    def made(section: str, part: Callable[[], T], otherwise: Otherwise) -> T | Otherwise:
        return attempts.make(_SECTIONS[section], part, otherwise)

    columns = tuple(name for name in style.HEADLINE if any(row.metric == name for row in study.summary))
    values = {
        "figures": list(_figures(study, folder, attempts)),
        "findings": made("findings", lambda: _found(study), ()),
        "lines": made("values", lambda: [_line(study, case, columns) for case in study.experiment.cases], []),
        "steps": made("steps", lambda: _steps(study), []),
        "attacks": made("attacks", lambda: table_of_attacks(study.outcomes), None),
        "losses": made("losses", lambda: _losses(study), []),
        "handovers": made("handovers", lambda: _handovers(study), []),
        "others": made("others", lambda: _others(study, columns), []),
        "facts": made("run", lambda: _facts(study), []),
        "runs": made("origin", lambda: [_files(result, folder) for result in study.results], []),
    }
    page = _render(
        "report.html",
        study=study,
        sections=_SECTIONS,
        unmade=attempts.failures,
        undrawn=study.undrawn + attempts.lines(),
        command=_command(study),
        network=_network(study),
        columns=[_heading(study, name) for name in columns],
        cases=[(style.title(case.scheme), case.label) for case in study.experiment.cases],
        many=_MANY_ROWS,
        meanings=[(style.metric_style(name).title, style.metric_style(name).meaning) for name in _known(study)],
        links=explanation.LEGEND,
        failures=[(_name(result), *_failure(result)) for result in study.failed],
        truncated=[(_name(result), capture) for result in study.results for capture in result.trace.truncated],
        tables=[name for name in _TABLES if (folder / name).exists()],
        origin=_ORIGIN,
        **values,
    )
    files.write(folder / "index.html", page)
    return attempts.lines()


def write_index(studies: Sequence[Study], folder: Path) -> Path:
    """Write index.html into ``folder``: a page that links the reports of several studies; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for study in studies:
        attempts = Attempts()
        findings = attempts.make(_SECTIONS["findings"], partial(_found, study), ())
        href = attempts.make("The link to its report", partial(_link, study, folder), "#")
        entries.append({"study": study, "href": href, "findings": findings + attempts.lines(), "failed": len(study.failed)})
    path = folder / "index.html"
    files.write(path, _render("overview.html", entries=entries))
    return path


def _link(study: Study, folder: Path) -> str:
    return _relative(study.folder / "index.html", folder)


def _render(template: str, **values: object) -> str:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["scheme_title"] = style.title
    return environment.get_template(template).render(values)


# What was found


def _engine(study: Study) -> str:
    return str(study.manifest.get("engine", ""))


def _found(study: Study) -> tuple[str, ...]:
    return tuple(_findings(study))


def _findings(study: Study) -> Iterable[str]:
    """The main results in sentences, from the numbers."""
    judged = [(row, agreed) for row in study.summary if (agreed := agrees(row, _engine(study))) is not None]
    if judged:
        wrong = sorted((row for row, agreed in judged if not agreed), key=lambda row: "[" in row.metric)
        yield f"{len(judged) - len(wrong)} of {len(judged)} measured values are what the model expects."
        for result in study.results:
            if result.unmeasured:
                names = ", ".join(result.unmeasured)
                yield f"{style.label(result.run.case)}, run {result.run.number}: the captures do not show {names}, which the model expects."
        for row in wrong[:_MOST_NAMED]:
            expected = style.number(row.expected or 0.0, row.metric)
            heading = _heading(study, row.metric)
            case = _case_of(study, row)
            who = ", ".join(part for part in (style.label(case), _occasions(study, case).get(row.metric)) if part)
            yield f"{who}: {heading[0].lower()}{heading[1:]} is {style.number(row.mean, row.metric)}, expected {expected}."
        if len(wrong) > _MOST_NAMED:
            yield f"{len(wrong) - _MOST_NAMED} further values are not what the model expects: the tables below mark them with ✗."
    within = [within for _, _, within in study.bounded()]
    if within:
        yield f"{sum(within)} of {len(within)} values that chance decides, by links' jitter, are within the model's bounds."
    yield from _compared(study, "one_way_delay_ms", "Once routes stand, a packet takes", "ms")
    yield from _compared(study, "handover_interruption_ms", "A handover keeps the node out of reach for", "ms")
    yield from _uneven(study)
    yield from _compared(study, "packets_lost", "Lost in all:", "packets")
    yield from _accounts(study)
    found = [step.number for step in study.steps if step.time is not None]
    if study.steps:
        missing = [str(step.number) for step in study.steps if step.time is None]
        tail = f"; missing: {', '.join(missing)}" if missing else ""
        yield f"{len(found)} of the draft's {len(study.steps)} steps are found in the captures{tail}."
    if study.outcomes:
        refused = [outcome for outcome in study.outcomes if not outcome.attack.succeeds]
        open_to = [outcome for outcome in study.outcomes if outcome.attack.succeeds]
        yield f"{sum(outcome.harmless for outcome in refused)} of {len(refused)} attacks were refused and counted to the last packet."
        yield f"{sum(not outcome.harmless for outcome in open_to)} of {len(open_to)} attacks did the harm that the domain is open to."
    if study.verdicts:
        yield f"After {sum(verdict.good for verdict in study.verdicts)} of {len(study.verdicts)} runs with faults all is well."
    cells = [cell for row in study.table1 for cell in row.cells]
    if cells:
        yield f"{sum(cell.agrees for cell in cells)} of {len(cells)} cells of Table 1 are as the draft has them."


_MOST_COMPARED = 16


def _compared(study: Study, metric: str, lead: str, unit: str) -> Iterable[str]:
    """A sentence that sets the cases' values of one metric side by side, equal values once; of more cases than can be read so, the ends."""
    measured = [(row.mean, style.label(case)) for case in study.experiment.cases if (row := study.summary_of(case, metric)) is not None]
    if len(measured) > _MOST_COMPARED:
        ends = (min(measured), max(measured))
        least, most = (f"{style.number(mean, metric)} {unit} ({label})" for mean, label in ends)
        yield f"{lead} from {least} to {most}, over {len(measured)} cases."
        return
    groups: dict[str, list[str]] = {}
    for mean, label in measured:
        groups.setdefault(style.number(mean, metric), []).append(label)
    if groups:
        yield f"{lead} " + "; ".join(f"{value} {unit} ({', '.join(labels)})" for value, labels in groups.items()) + "."


def _uneven(study: Study) -> Iterable[str]:
    """Of cases whose interruptions differ much the ends, since the mean is like none of them."""
    for case, least, most, number in study.uneven_interruptions():
        ends = (style.number(value, "handover_interruption_ms") for value in (least, most))
        yield f"{style.label(case)}: its {number} interruptions are from {' to '.join(ends)} ms, of which the value above is the mean."


def _accounts(study: Study) -> Iterable[str]:
    """What packets were lost for, over all cases."""
    lost = [study.lost(case) for case in study.experiment.cases]
    totals = ((reason, sum(reasons.get(reason, 0.0) for reasons in lost)) for reason in style.REASONS)
    said = [f"{style.REASONS[reason].title} {style.number(total, 'packets_lost')}" for reason, total in totals if total]
    if said:
        yield f"Of the packets lost, by reason: {'; '.join(said)}."


def _losses(study: Study) -> list[LossLine]:
    """Where each case lost packets and why, on average over its runs that did not fail."""
    lines = []
    for case, results in by_case(study.experiment, study.results):
        complete = [result for result in results if result.failure is None]
        found = Counter((loss.reason, loss.place, loss.sight) for result in complete for loss in result.trace.losses)
        order = list(style.REASONS)
        for (reason, place, sight), packets in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1:])):
            lines.append(
                LossLine(
                    style.label(case),
                    style.colour(case.scheme),
                    place,
                    str(sight or ""),
                    style.REASONS[reason],
                    style.number(packets / len(complete), "packets_lost"),
                    reason is Reason.UNEXPLAINED,
                )
            )
    return lines


def _case_of(study: Study, row: SummaryRow) -> Case:
    return next(case for case in study.experiment.cases if (case.scheme, case.label) == (row.scheme, row.policy))


def _occasions(study: Study, case: Case) -> dict[str, str]:
    """The case's metrics with a number, each with what it is about in words: the move and, where the node has several flows, which."""
    result = next((result for of, result in study.first_runs if of == case), None)
    return {} if result is None else {name: _in_words(of, result) for name, of in metrics.occasions(result.trace, result.run).items()}


def _in_words(occasion: metrics.Occasion, result: RunResult) -> str:
    association, scenario, epoch = occasion.association, result.run.scenario, result.run.epoch
    seconds = (association.time - epoch) / 1e9
    moves = sorted((move for move in scenario.moves if move.at <= seconds), key=lambda move: move.at)
    number = max((i for i, move in enumerate(moves, 1) if (move.mn, move.to) == (association.node, association.mag)), default=None)
    what = f"{association.node} to {association.mag} at {seconds if number is None else moves[number - 1].at:g} s"
    flows = [flow for flow in scenario.flows if association.node in (flow.source, flow.destination)]
    packets = f", packets from {occasion.flow.source} to {occasion.flow.destination}" if occasion.flow and len(flows) > 1 else ""
    return f"{what if number is None else f'move {number}, {what}'}{packets}"


def _known(study: Study) -> list[str]:
    """The metrics that the study has, by their names without numbers, in the order of the style's table."""
    present = {row.metric.partition("[")[0] for row in study.summary}
    return [name for name in style.METRICS if name in present]


def _heading(study: Study, name: str) -> str:
    unit = next(row.unit for row in study.summary if row.metric == name)
    return style.metric_style(name).title + (" (ms)" if unit == "ms" else "")


def _line(study: Study, case: Case, columns: Sequence[str]) -> CaseLine:
    values = tuple(_value(study.summary_of(case, name), _engine(study)) for name in columns)
    return CaseLine(case, style.title(case.scheme), style.colour(case.scheme), case.label, values)


def _difference(value: float, metric: str) -> str:
    """A difference with its sign, or nothing where it is too small to be seen."""
    size = style.number(abs(value), metric)
    if size == style.number(0.0, metric):
        return ""
    sign = "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{size}"


def _value(row: SummaryRow | None, engine: str) -> Value | None:
    if row is None:
        return None
    spread = f" ± {style.number(row.ci95, row.metric)}" if row.n > 1 else ""
    measured = style.number(row.mean, row.metric) + spread
    if row.expected is None:
        return Value(measured, "", "", "none")
    difference = _difference(row.mean - row.expected, row.metric)
    return Value(measured, style.number(row.expected, row.metric), difference, "good" if agrees(row, engine) else "bad")


def _others(study: Study, columns: Sequence[str]) -> list[tuple[str, list[Value | None]]]:
    """The metrics that are neither headlines nor of one handover, each with its value for every case."""
    names = dict.fromkeys(row.metric for row in study.summary if row.metric not in columns and "[" not in row.metric)
    return [(name, [_value(study.summary_of(case, name), _engine(study)) for case in study.experiment.cases]) for name in names]


def _handovers(study: Study) -> list[tuple[str, list[Value | None]]]:
    """The metrics with a number: what each is and what it is about, with its value for every case that has it."""
    values: dict[str, list[Value | None]] = {}
    for index, case in enumerate(study.experiment.cases):
        about = _occasions(study, case)
        for row in study.summary:
            if "[" in row.metric and _case_of(study, row) == case:
                name = f"{_heading(study, row.metric)}, {about.get(row.metric, row.metric)}"
                values.setdefault(name, [None] * len(study.experiment.cases))[index] = _value(row, _engine(study))
    return list(values.items())


# What was run


def _command(study: Study) -> str:
    return str(study.manifest.get("command", ""))


def _network(study: Study) -> str:
    """What the experiment ran on, in a sentence."""
    domain = study.experiment.domain
    nodes = f"{len(domain.mags)} MAGs, {'no LMA' if domain.lma is None else 'an LMA'}, {len(domain.hosts)} hosts"
    return f"Domain {domain.name}: {nodes}; access links take {domain.access.delay * 1e3:g} ms."


def _facts(study: Study) -> list[tuple[str, str]]:
    manifest = study.manifest
    names = (
        ("started", "Started (UTC)"),
        ("wall_seconds", "Wall time (s)"),
        ("engine", "Engine"),
        ("kernel", "Kernel"),
        ("seed", "Seed"),
        ("runs_per_case", "Runs per case"),
        ("revision", "Project revision"),
    )
    facts = [(title, str(manifest[key])) for key, title in names if key in manifest]
    facts += [("Security", _security(result.run)) for result in study.results[:1]]
    versions = manifest.get("versions", {})
    return [*facts, ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items()))] if versions else facts


def _security(run: Deployment) -> str:
    settings = run.settings
    if not settings.authentication_key:
        return "Signalling is not authenticated: whoever reaches an agent can pose as another."
    return f"Every signalling message is authenticated (RFC 4285) with the domain's key, Mobility SPI {settings.authentication_spi}."


def _name(result: RunResult) -> str:
    return f"{style.label(result.run.case)}, run {result.run.number}"


def _failure(result: RunResult) -> tuple[str, str]:
    reason, *console = (result.failure or "").splitlines() or [""]
    return reason, "\n".join(console[-_CONSOLE_LINES:])


def _files(result: RunResult, folder: Path) -> tuple[str, list[tuple[str, str]]]:
    """A run and its files as (name, link)."""
    kinds = ("*.pcap*", "*.jsonl", "*.json", "*.log")
    found = [path for kind in kinds for path in sorted(result.folder.glob(kind))]
    return _name(result), [(path.name, _relative(path, folder)) for path in found]


def _relative(path: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(path, folder)).as_posix())


def _steps(study: Study) -> list[tuple[int, bool, str, str, str]]:
    epoch = next((result.run.epoch for result in study.results), 0)
    return [
        (
            step.number,
            step.time is not None,
            step.text,
            "" if step.time is None else f"{(step.time - epoch) / 1e6:.3f}".replace("-", "\N{MINUS SIGN}"),
            step.evidence,
        )
        for step in study.steps
    ]


# Figures


def _figures(study: Study, folder: Path, attempts: Attempts) -> Iterable[FigurePart]:
    for name in study.experiment.figures:
        for heading, draw in attempts.make(name, partial(_drawings, name, study, folder, attempts), [(name, None)]):
            missing = FigurePart("", heading, None, "", (), ())
            yield missing if draw is None else attempts.make(heading, partial(draw, heading), missing)


def _drawings(name: str, study: Study, folder: Path, attempts: Attempts) -> list[tuple[str, Callable[[str], FigurePart]]]:
    """What a figure's name stands for: headings, each with the function that draws what belongs below it."""
    if name == LADDER:
        ladders: list[tuple[str, Callable[[str], FigurePart]]] = []
        for index, (case, result) in enumerate(study.first_runs):
            if result is not None:
                steps = study.steps if index == _case_of_steps(study) else ()
                ladders.append((f"Message ladder: {style.label(case)}", partial(_ladder, case, result, steps, folder)))
        return ladders
    if name not in FIGURES:
        raise DeclarationError(f"no figure is called {shorten(name)}; there are {', '.join(FIGURES)}")
    often = name == "handovers" and "interruptions" not in study.experiment.figures and _moves_often(study)
    plots = (name, "interruptions") if often else (name,)
    return [(_CAPTIONS[plot][0] if plot in _CAPTIONS else plot, partial(_plot, plot, study, folder, attempts)) for plot in plots]


def _plot(name: str, study: Study, folder: Path, attempts: Attempts, heading: str) -> FigurePart:
    from experiments.present import plots

    png, svg = plots.save(name, study, folder)
    caption = _CAPTIONS[name][1]
    reasons = attempts.make(_SECTIONS["expected"], lambda: tuple(_reasons(study)), ()) if name == "bars" else ()
    drawing = inline(files.read(svg).decode(), name, f"{heading}. {caption}")
    return FigurePart(name, heading, drawing, caption, reasons, (svg.name, png.name))


def _moves_often(study: Study) -> bool:
    """Whether a case has so many handovers, over its runs, that their distribution says more than each by itself."""
    return any(len(study.interruptions(case)) > style.MOST_MOVES for case in study.experiment.cases)


_CAPTIONS = {
    "delays": (
        "Delay of every packet",
        "Each dot is a test packet of the case's first complete run: when its source sent it, and how long it took from the source's "
        "capture to the destination's. Ticks along the bottom are packets that never arrived. A vertical line marks a handover, grey the "
        "time in which the node has no link, red that of a fault, the dashed line the delay that the model expects once routes stand.",
    ),
    "handovers": (
        "The moments around each handover",
        "The packets of the node that moves, from shortly before it loses its link until service is back; of many moves, the first few. A "
        "case that has not recovered by the right edge waits for something slower: the table has its whole interruption.",
    ),
    "interruptions": (
        "How long handovers interrupt",
        "For each case the share of its handovers, over all runs, that kept the node out of reach for at most so long; further left is "
        "better. Of curves that coincide the later lies in the earlier, wider one. At the right in ms, and of how many handovers.",
    ),
    "losses": (
        "Why packets were lost",
        "Each bar is as long as the case lost packets; its parts are reasons, with their numbers where there is room. At the right, how "
        "many packets that is, of how many sent. Where runs were repeated, means over the runs.",
    ),
    "bars": (
        "What it costs",
        "Bars are means over the runs, whiskers their 95 % interval where runs were repeated, diamonds what the model expects.",
    ),
}
FIGURES = (*_CAPTIONS, LADDER)
"""The figures that a report can draw."""


def _ladder(case: Case, result: RunResult, steps: Sequence[Step], folder: Path, heading: str) -> FigurePart:
    name = f"ladder-{case.scheme}-{case.label}"
    drawing = ladder(result, steps)
    path = folder / f"{name}.svg"
    files.write(path, drawing)
    caption = (
        "Each arrow runs from when a message left its sender, or a router on its way, to when it came to the next, as the captures show; "
        "times are ms of scenario time. Rows are in order of time but not to scale. Data packets are coloured; double arrows travel "
        "IP-in-IP; a bar on a node's line is a packet that waits there." + (" Numbers are the draft's steps." if steps else "")
    )
    return FigurePart(name, heading, inline(drawing, name, f"{heading}. {caption}"), caption, (), (path.name,))


def _case_of_steps(study: Study) -> int | None:
    """Which case the steps were found in: the one with the first complete run."""
    first = next((result.run.case for result in study.results if result.failure is None), None)
    return next((index for index, case in enumerate(study.experiment.cases) if case == first), None)


def _reasons(study: Study) -> Iterable[str]:
    """Each expected delay as arithmetic; cases with one formula share a line."""
    for metric in ("one_way_delay_ms", "first_packet_delay_ms"):
        groups: dict[str, list[str]] = {}
        for case in study.experiment.cases:
            row = study.summary_of(case, metric)
            found = explanation.formula(study.experiment, case, metric, row.expected) if row and row.expected is not None else None
            if found is not None:
                groups.setdefault(found, []).append(style.label(case))
        for found, labels in groups.items():
            yield f"{style.metric_style(metric).title}, {', '.join(labels)}: {found}"


def inline(svg: str, name: str, label: str) -> Markup:
    """An SVG document as an element of an HTML page: without prolog, scaled to the page, its ids and styles its own, labelled."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = body.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    body = body.replace('<style type="text/css">*{', f'<style type="text/css">[data-figure="{name}"] *{{')
    tag, rest = body[: body.index(">")], body[body.index(">") :]
    tag = re.sub(r'\s(?:width|height|role|version|xmlns|xmlns:xlink)="[^"]*"', "", tag)
    return Markup('{} role="img" data-figure="{}" aria-label="{}"{}').format(Markup(tag), name, label, Markup(rest))
