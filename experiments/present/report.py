"""The report of an experiment: one self-contained index.html with its figures, and a page that links several."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from experiments.measure.records import Reason, SummaryRow
from experiments.present import explanation, style
from experiments.present.attacks import table_of_attacks
from experiments.present.ladder import ladder
from experiments.present.study import RunResult, Study, agrees, by_case
from experiments.scenario import Case
from experiments.settings import agent_settings

_TABLES = ("metrics.csv", "summary.csv", "manifest.json")
_CONSOLE_LINES = 20
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
    """A figure: its inline SVG, its caption, the paragraphs that explain it, and its files."""

    name: str
    heading: str
    svg: Markup
    caption: str
    reasons: tuple[str, ...]
    files: tuple[str, ...]


def write_report(study: Study, folder: Path) -> Path:
    """Draw the study's figures into ``folder`` and write index.html there, which needs no network; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = tuple(name for name in style.HEADLINE if any(row.metric == name for row in study.summary))
    figures = tuple(figure for name in study.experiment.figures for figure in _figures(name, study, folder))
    page = _render(
        "report.html",
        study=study,
        command=_command(study),
        facts=_facts(study),
        findings=tuple(_findings(study)),
        columns=[_heading(study, name) for name in columns],
        lines=[_line(study, case, columns) for case in study.experiment.cases],
        meanings=[(style.metric_style(name).title, style.metric_style(name).meaning) for name in _known(study)],
        others=_others(study, columns),
        figures=figures,
        steps=_steps(study),
        attacks=table_of_attacks(study.outcomes),
        losses=_losses(study),
        links=explanation.LEGEND,
        failures=[(_name(result), *_failure(result)) for result in study.failed],
        truncated=[(_name(result), capture) for result in study.results for capture in result.trace.truncated],
        runs=[_files(result, folder) for result in study.results],
        tables=[name for name in _TABLES if (folder / name).exists()],
        origin=_ORIGIN,
    )
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def write_index(studies: Sequence[Study], folder: Path) -> Path:
    """Write index.html into ``folder``: a page that links the reports of several studies; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {
            "study": study,
            "href": _relative(study.folder / "index.html", folder),
            "findings": tuple(_findings(study)),
            "failed": len(study.failed),
        }
        for study in studies
    ]
    path = folder / "index.html"
    path.write_text(_render("overview.html", entries=entries), encoding="utf-8")
    return path


def _render(template: str, **values: object) -> str:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["scheme_title"] = style.title
    return environment.get_template(template).render(values)


# What was found


def _engine(study: Study) -> str:
    return str(study.manifest.get("engine", ""))


def _findings(study: Study) -> Iterable[str]:
    """The main results in sentences, from the numbers."""
    judged = [(row, agreed) for row in study.summary if (agreed := agrees(row, _engine(study))) is not None]
    if judged:
        wrong = [row for row, agreed in judged if not agreed]
        yield f"{len(judged) - len(wrong)} of {len(judged)} measured values are what arithmetic expects."
        for row in wrong:
            expected = style.number(row.expected or 0.0, row.metric)
            heading = _heading(study, row.metric)
            yield f"{_who(study, row)}: {heading[0].lower()}{heading[1:]} is {style.number(row.mean, row.metric)}, expected {expected}."
    yield from _compared(study, "one_way_delay_ms", "Once routes stand, a packet takes", "ms")
    yield from _compared(study, "handover_interruption_ms", "A handover keeps the node out of reach for", "ms")
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


def _who(study: Study, row: SummaryRow) -> str:
    return next(style.label(case) for case in study.experiment.cases if (case.scheme, case.label) == (row.scheme, row.policy))


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


def _value(row: SummaryRow | None, engine: str) -> Value | None:
    if row is None:
        return None
    spread = f" ± {style.number(row.ci95, row.metric)}" if row.n > 1 else ""
    measured = style.number(row.mean, row.metric) + spread
    if row.expected is None:
        return Value(measured, "", "", "none")
    difference = style.number(row.mean - row.expected, row.metric)
    signed = difference if row.mean < row.expected else f"+{difference}"
    return Value(measured, style.number(row.expected, row.metric), signed, "good" if agrees(row, engine) else "bad")


def _others(study: Study, columns: Sequence[str]) -> list[tuple[str, list[Value | None]]]:
    """The metrics that are not among the headlines, each with its value for every case."""
    names = dict.fromkeys(row.metric for row in study.summary if row.metric not in columns)
    return [(name, [_value(study.summary_of(case, name), _engine(study)) for case in study.experiment.cases]) for name in names]


# What was run


def _command(study: Study) -> str:
    return str(study.manifest.get("command", ""))


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
    facts.append(("Security", _security(study)))
    versions = manifest.get("versions", {})
    return [*facts, ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items()))] if versions else facts


def _security(study: Study) -> str:
    run = study.results[0].run
    settings = agent_settings({**run.settings, **run.case.settings})
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
    epoch = study.results[0].run.epoch
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


def _figures(name: str, study: Study, folder: Path) -> Iterable[FigurePart]:
    if name == "table1":
        return
    if name == "ladder":
        yield from _ladders(study, folder)
        return
    from experiments.present import plots

    png, svg = plots.save(name, study, folder)
    heading, caption = _CAPTIONS[name]
    label = f"{heading}. {caption}"
    reasons = tuple(_reasons(study)) if name == "bars" else ()
    yield FigurePart(name, heading, inline(svg.read_text(encoding="utf-8"), name, label), caption, reasons, (svg.name, png.name))


_CAPTIONS = {
    "delays": (
        "Delay of every packet",
        "Each dot is a test packet of the case's first complete run: when its source sent it, and how long it took from the source's "
        "capture to the destination's. Ticks along the bottom are packets that never arrived. A vertical line marks a handover, grey the "
        "time without a link, the dashed line the delay that arithmetic expects once routes stand.",
    ),
    "handovers": (
        "The moments around each handover",
        "The same packets from shortly before the node loses its link until service is back. A case that has not recovered by the right "
        "edge waits for something slower: the table has its whole interruption.",
    ),
    "losses": (
        "Why packets were lost",
        "Each bar is all that a case lost; its parts are reasons, with their numbers of packets where there is room. At the right, how "
        "many packets that is, of how many sent. Where runs were repeated, means over the runs.",
    ),
    "bars": (
        "What it costs",
        "Bars are means over the runs, whiskers their 95 % interval where runs were repeated, diamonds what arithmetic expects.",
    ),
}


def _ladders(study: Study, folder: Path) -> Iterable[FigurePart]:
    for index, (case, result) in enumerate(study.first_runs):
        if result is None:
            continue
        steps = study.steps if index == _case_of_steps(study) else ()
        name = f"ladder-{case.scheme}-{case.label}"
        drawing = ladder(result, steps)
        path = folder / f"{name}.svg"
        path.write_text(drawing, encoding="utf-8")
        caption = (
            "Each arrow runs from when a message left its sender to when it arrived, as the captures of both show; times are ms of "
            "scenario time. Rows are in order of time but not to scale. Data packets are coloured; double arrows travel IP-in-IP; a bar on "
            "a node's line is a packet that waits there." + (" Numbers are the draft's steps." if steps else "")
        )
        heading = f"Message ladder: {style.label(case)}"
        yield FigurePart(name, heading, inline(drawing, name, f"{heading}. {caption}"), caption, (), (path.name,))


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
    return Markup(f'{tag} role="img" data-figure="{name}" aria-label="{escape(label)}"{rest}')
