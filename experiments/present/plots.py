"""Plots of a study: the delay of every packet, what happens around each handover, why packets were lost, and the metrics as bars.

Each function returns a matplotlib figure; ``save`` writes it as PNG and SVG, the same bytes for the same study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from experiments.present import canvas

# isort: split
import matplotlib.lines
import matplotlib.patches
import matplotlib.ticker
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.declare.scenario import Case, Move
from experiments.measure.records import Reason
from experiments.measure.study import RunResult, Study
from experiments.present import style

WIDTH = 10.0
DENSE = 5000
_LOG_FROM = 8.0
_MS = 1e6
_DASHES = (0, (6, 3))
_INCHES_A_LETTER = 0.075
_NAME = 0.09
"""The part of a panel's width that the name of a move takes."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Series:
    """The packets of a run as arrays: when each was sent, in s of scenario time, and its delay in ms, NaN where it was lost."""

    sent: Floats
    delay: Floats

    @property
    def lost(self) -> Floats:
        return self.sent[np.isnan(self.delay)]


def _series(result: RunResult, host: str | None = None) -> _Series:
    """The packets of a run or, where a host is named, those of its flows."""
    flows = {number for number, flow in enumerate(result.run.scenario.flows) if host in (None, flow.source, flow.destination)}
    packets = [packet for packet in result.trace.packets if packet.flow in flows]
    sent = np.array([packet.sent - result.run.epoch for packet in packets], dtype=np.float64) / 1e9
    delay = np.array([np.nan if packet.received is None else (packet.received - packet.sent) / _MS for packet in packets], dtype=np.float64)
    return _Series(sent, delay)


def _away(move: Move, result: RunResult) -> tuple[float, float]:
    """When the node was without a link, in s of scenario time; the end is what the captures show, where they do."""
    associated = (
        (entry.time - result.run.epoch) / 1e9 for entry in result.trace.associations if entry.node == move.mn and entry.mag == move.to
    )
    return move.at, next((time for time in associated if time >= move.at), move.at + move.l2_gap)


def _grid(panels: int, columns: int, height: float, top: float = 0.3) -> tuple[Figure, list[Axes]]:
    """A figure with axes in reading order, all of one size; margins in inches, so that they do not grow with the figure."""
    rows = -(-panels // columns)
    total = rows * height + 0.55 + top
    figure = Figure(figsize=(WIDTH, total))
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(left=0.62 / WIDTH, right=1 - 0.15 / WIDTH, top=1 - top / total, bottom=0.5 / total, wspace=0.05, hspace=0.42)
    cells = [cell for row in axes for cell in row]
    for spare in cells[panels:]:
        spare.set_visible(False)
    for index, axis in enumerate(cells[:panels]):
        if index + columns >= panels:
            axis.tick_params(labelbottom=True)
    return figure, cells[:panels]


def _scale(axis: Axes, delays: Floats) -> None:
    """Linear from zero, or logarithmic where the largest delay dwarfs the usual one."""
    known = delays[np.isfinite(delays)]
    if known.size == 0:
        axis.set_ylim(0, 1)
    elif known.max() > _LOG_FROM * max(np.median(known), 1e-3) and known.min() > 0:
        axis.set_yscale("log")
        axis.set_ylim(known.min() / 3, known.max() * 1.8)
        axis.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
        axis.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    else:
        top = known.max() or 1.0
        axis.set_ylim(-0.14 * top, top * 1.15)


def _lost_ticks(axis: Axes, times: Floats) -> None:
    """A tick along the bottom for every time, all in one path."""
    feet = np.repeat(times, 3)
    heights = np.tile([0.015, 0.085, np.nan], times.size)
    axis.plot(feet, heights, transform=axis.get_xaxis_transform(), color=style.INK, linewidth=0.8, solid_capstyle="butt")


def _nothing(axis: Axes) -> None:
    axis.text(0.5, 0.5, "no complete run", transform=axis.transAxes, ha="center", va="center", color=style.MUTED)


def _expected(axis: Axes, study: Study, case: Case) -> None:
    row = study.summary_of(case, "one_way_delay_ms")
    if row is not None and row.expected is not None:
        axis.axhline(row.expected, color=style.EXPECTED, linewidth=0.7, linestyle=_DASHES, zorder=1)


def _dots(axis: Axes, series: _Series, case: Case, *, factor: float, zero: float, size: float, rasterized: bool) -> None:
    axis.plot(
        (series.sent - zero) * factor,
        series.delay,
        linestyle="none",
        marker="o",
        markersize=size,
        markeredgewidth=0,
        color=style.colour(case.scheme),
        rasterized=rasterized,
        zorder=3,
    )


def _counted(series: _Series) -> str:
    lost = int(series.lost.size)
    return f"{lost} of {series.sent.size} lost" if lost else f"none of {series.sent.size} lost"


def _shade_faults(axis: Axes, result: RunResult) -> bool:
    """Shade when something was wrong by declaration; whether there was such a time."""
    spans = [(getattr(fault, "at", 0.0), fault.end) for fault in result.run.faults]
    for begin, end in spans:
        axis.axvspan(begin, end, color=style.FAULT, linewidth=0, zorder=-1)
    return bool(spans)


def delays(study: Study) -> Figure:
    """The one-way delay of every packet over the time it was sent, a panel per case."""
    cases = study.first_runs
    series = {index: _series(result) for index, (_, result) in enumerate(cases) if result is not None}
    dense = sum(entry.sent.size for entry in series.values()) > DENSE
    moves = study.experiment.scenario.moves
    named = _have_room(moves, study.experiment.scenario.duration)
    figure, axes = _grid(len(cases), 2 if len(cases) > 1 else 1, 1.62 if len(cases) > 2 else 2.4)
    faults = False
    for index, (axis, (case, result)) in enumerate(zip(axes, cases, strict=True)):
        axis.set_title(style.label(case), color=style.colour(case.scheme))
        if result is None:
            _nothing(axis)
            continue
        faults |= _shade_faults(axis, result)
        for move in result.run.scenario.moves:
            left, back = _away(move, result)
            axis.axvspan(left, back, color=style.GAP, linewidth=0, zorder=0)
            axis.axvline(left, color=style.MUTED, linewidth=0.8 if named else 0.3, zorder=1)
            if named:
                where = f" {_whither(move, moves)}"
                axis.text(left, 1.0, where, transform=axis.get_xaxis_transform(), va="top", fontsize=7.5, color=style.MUTED)
        _expected(axis, study, case)
        _dots(axis, series[index], case, factor=1.0, zero=0.0, size=2.4 if dense else 3.2, rasterized=dense)
        _lost_ticks(axis, series[index].lost)
        axis.set_title(_counted(series[index]), loc="right", fontsize=8, fontweight="normal", color=style.INK)
    _scale(axes[0], _joined(series))
    axes[0].margins(x=0.01)
    _annotate(figure, "time sent (s)", moves=bool(moves), faults=faults)
    return figure


def _have_room(moves: Sequence[Move], duration: float) -> bool:
    """Whether the moves are so far apart that each has room for its name in a panel that shows the whole scenario."""
    times = sorted(move.at for move in moves)
    return all(later - earlier >= _NAME * duration for earlier, later in pairwise(times))


def _whither(move: Move, moves: Sequence[Move]) -> str:
    """Where a move leads and, where several nodes move, which it is."""
    return f"to {move.to}" if len({other.mn for other in moves}) == 1 else f"{move.mn} to {move.to}"


def _annotate(figure: Figure, below: str, *, moves: bool, faults: bool = False) -> None:
    """Name the axes and say what the marks mean."""
    marks: list[Artist] = [
        matplotlib.lines.Line2D([], [], color=style.EXPECTED, linewidth=0.8, linestyle=_DASHES, label="expected"),
        matplotlib.lines.Line2D([], [], color=style.INK, linestyle="none", marker="|", markersize=7, label="lost"),
    ]
    if moves:
        marks.append(matplotlib.patches.Patch(color=style.GAP, label="the node has no link"))
    if faults:
        marks.append(matplotlib.patches.Patch(color=style.FAULT, label="a fault"))
    height = figure.get_figheight()
    figure.legend(handles=marks, loc="lower right", ncols=len(marks), frameon=False, fontsize=8, bbox_to_anchor=(1.0, -0.02 / height))
    figure.supxlabel(below, fontsize=9, y=0.08 / height)
    figure.supylabel("one-way delay (ms)", fontsize=9, x=0.1 / WIDTH)


def _joined(series: Mapping[int, _Series]) -> Floats:
    return np.concatenate([entry.delay for entry in series.values()]) if series else np.array([], dtype=np.float64)


def _outage(series: _Series, left: float) -> float:
    """From ``left`` to when the first packet arrives that was sent after it, in s; infinite where none ever does."""
    after = series.sent >= left
    arrivals = (series.sent + series.delay / 1e3)[after]
    arrivals = arrivals[np.isfinite(arrivals)]
    return float(arrivals.min() - left) if arrivals.size else float("inf")


def handovers(study: Study) -> Figure:
    """The moments around each handover, or the first few of many: a row per case, a column per move, in ms since the node lost its link.

    Only packets of the node that moves are drawn. The window is wide enough for all cases that recover within a second; slower ones run
    out of it.
    """
    every = study.experiment.scenario.moves
    if not every:
        raise ValueError(f"{study.experiment.name} has no handover to draw")
    moves = every[: style.MOST_MOVES]
    cases = study.first_runs
    drawn = [(index, result, result.run.scenario.moves[: len(moves)]) for index, (_, result) in enumerate(cases) if result is not None]
    series = {(index, move.mn): _series(result, move.mn) for index, result, its in drawn for move in its}
    outages = [_outage(series[index, move.mn], move.at) for index, _, its in drawn for move in its]
    window = 1.6 * max([outage for outage in outages if outage < 1.0], default=0.5) * 1e3
    before = -0.35 * window
    narrow = len(moves) > 2
    figure, axes = _grid(len(cases) * len(moves), len(moves), *((1.4, 0.45) if narrow else (1.1, 0.3)))
    shown = []
    for index, (case, result) in enumerate(cases):
        its_moves = moves if result is None else result.run.scenario.moves[: len(moves)]
        for column, move in enumerate(its_moves):
            axis = axes[index * len(moves) + column]
            if column == 0:
                axis.annotate(
                    style.label(case),
                    (0, 1),
                    xycoords="axes fraction",
                    xytext=(0, 17 if narrow else 6),
                    textcoords="offset points",
                    fontsize=9.5,
                    fontweight="bold",
                    color=style.colour(case.scheme),
                )
            if result is None:
                _nothing(axis)
                continue
            left, back = _away(move, result)
            entry = series[index, move.mn]
            near = ((entry.sent - left) * 1e3 >= before) & ((entry.sent - left) * 1e3 <= window)
            entry = _Series(entry.sent[near], entry.delay[near])
            shown.append(entry.delay)
            axis.axvspan(0, (back - left) * 1e3, color=style.GAP, linewidth=0, zorder=0)
            axis.axvline(0, color=style.MUTED, linewidth=0.8, zorder=1)
            _expected(axis, study, case)
            _dots(axis, entry, case, factor=1e3, zero=left, size=3.6, rasterized=False)
            _lost_ticks(axis, (entry.lost - left) * 1e3)
            axis.set_title(f"{_whither(move, every)}: {_counted(entry)}", loc="right", fontsize=8, fontweight="normal", color=style.INK)
    axes[0].set_xlim(before, window)
    _scale(axes[0], np.concatenate(shown) if shown else np.array([], dtype=np.float64))
    _annotate(figure, "time sent, since the node lost its link (ms)", moves=True)
    return figure


def interruptions(study: Study) -> Figure:
    """For each case the share of its handovers, over all runs, that interrupted the node's packets for at most so long."""
    found = [(case, np.sort(np.array(study.interruptions(case), dtype=np.float64))) for case in study.experiment.cases]
    height = max(3.2, 0.75 + 0.19 * len(found))
    figure = Figure(figsize=(WIDTH, height))
    axis = figure.subplots()
    figure.subplots_adjust(left=0.72 / WIDTH, right=0.6, top=1 - 0.15 / height, bottom=0.5 / height)
    every = np.concatenate([values for _, values in found])
    low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    if every.size and high > _LOG_FROM * max(low, 1.0):
        axis.set_xscale("symlog", linthresh=10.0)
        axis.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    edge = max(high, 0.0) * 1.3 or 1.0
    complete = [result is not None for _, result in study.first_runs]
    for index, (case, values) in enumerate(found):
        width = 5.5 - 4.3 * index / max(1, len(found) - 1)
        axis.step(
            [min(0.0, low), *values, edge],
            [0.0, *np.arange(1, values.size + 1) / max(1, values.size), 1.0 if values.size else 0.0],
            where="post",
            color=style.colour(case.scheme),
            linestyle=style.dashes(case.policy),
            linewidth=width,
            label=f"{style.label(case)}: {_distribution(values) if complete[index] else 'no complete run'}",
        )
    axis.set_xlim(min(0.0, low), edge)
    axis.set_ylim(0, 1.02)
    axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
    axis.set_xlabel("out of reach for at most (ms)")
    axis.set_ylabel("share of the handovers")
    axis.grid(color=style.RULE, linewidth=0.7)
    axis.set_axisbelow(True)
    axis.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), frameon=False, fontsize=8, handlelength=3.2)
    return figure


def _distribution(values: Floats) -> str:
    if not values.size:
        return "no handover measured"
    return f"median {np.median(values):.0f}, longest {values.max():.0f}, of {values.size}".replace("-", "\N{MINUS SIGN}")


def _label_width(cases: Sequence[Case]) -> float:
    """Inches that the longest name of a case takes beside an axis."""
    return max(1.45, 0.25 + _INCHES_A_LETTER * max((len(style.label(case)) for case in cases), default=0))


def bars(study: Study, metrics: tuple[str, ...] = style.HEADLINE) -> Figure:
    """A panel per metric that the study has: a bar per case, its 95 % interval where runs were repeated, and the expected value."""
    cases = study.experiment.cases
    present = [name for name in metrics if any(row.metric == name for row in study.summary)]
    columns = min(3, max(1, len(present)))
    rows = max(1, -(-len(present) // columns))
    panel, between = 0.06 + 0.24 * len(cases), 0.6
    total = 0.32 + rows * panel + (rows - 1) * between + 0.62
    figure = Figure(figsize=(WIDTH, total))
    axes = [cell for row in figure.subplots(rows, columns, sharey=True, squeeze=False) for cell in row]
    figure.subplots_adjust(
        left=_label_width(cases) / WIDTH,
        right=1 - 0.55 / WIDTH,
        top=1 - 0.32 / total,
        bottom=0.62 / total,
        wspace=0.32,
        hspace=between / panel,
    )
    for axis, name in zip(axes, present, strict=False):
        _bar_panel(axis, study, cases, name)
    for spare in axes[len(present) :]:
        spare.set_visible(False)
    axes[0].set_yticks(range(len(cases)), [style.label(case) for case in cases])
    axes[0].set_ylim(len(cases) - 0.4, -0.6)
    mark = matplotlib.lines.Line2D([], [], **_MARK)
    figure.legend([mark], ["expected by the model"], loc="lower right", frameon=False, fontsize=8, bbox_to_anchor=(1 - 0.1 / WIDTH, 0.0))
    return figure


_OUTLIER = 20
"""So many times the median of a panel's values, and it gets a logarithmic axis."""

_MARK: dict[str, Any] = {
    "linestyle": "none",
    "marker": "D",
    "markersize": 5.5,
    "markerfacecolor": "white",
    "markeredgecolor": style.EXPECTED,
    "zorder": 5,
}


def _bar_panel(axis: Axes, study: Study, cases: tuple[Case, ...], name: str) -> None:
    rows = [study.summary_of(case, name) for case in cases]
    finite = [value for row in rows if row is not None for value in (row.mean + row.ci95, row.expected or 0.0) if np.isfinite(value)]
    top = max([0.0, *finite]) or 1.0
    for index, (case, row) in enumerate(zip(cases, rows, strict=True)):
        if row is None or not np.isfinite(row.mean):
            axis.text(0.01 * top, index, "none" if row is None else "never", va="center", fontsize=8, color=style.MUTED)
            continue
        axis.barh(
            index, row.mean, height=0.66, color=style.colour(case.scheme), hatch=style.hatch(case.policy), edgecolor="white", linewidth=0
        )
        if row.n > 1:
            axis.errorbar(row.mean, index, xerr=row.ci95, color=style.INK, capsize=2.5, linewidth=1, zorder=4)
        if row.expected is not None and np.isfinite(row.expected):
            axis.plot([row.expected], [index], **_MARK)
        end = max(row.mean + (row.ci95 if row.n > 1 else 0), row.expected or 0.0)
        axis.annotate(style.number(row.mean, name), (end, index), xytext=(7, 0), textcoords="offset points", va="center", fontsize=8)
    logarithmic = _is_squashed(finite)
    if logarithmic:
        axis.set_xscale("symlog", linthresh=10.0 ** np.floor(np.log10(min(value for value in finite if value > 0))))
    axis.set_xlim(min([0.0, *finite]) * 1.12, top * (4 if logarithmic else 1.12))
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=style.RULE, linewidth=0.7)
    axis.set_axisbelow(True)
    unit = next(row.unit for row in study.summary if row.metric == name)
    heading = style.metric_style(name).title
    said = ", ".join([unit] * (unit == "ms") + ["log axis"] * logarithmic)
    axis.set_title(f"{heading} ({said})" if said else heading)


def _is_squashed(values: Sequence[float]) -> bool:
    """Whether one value is so much larger than most that bars of these could not be told apart on a linear axis."""
    positive = [value for value in values if value > 0]
    return len(positive) > 2 and max(positive) > _OUTLIER * float(np.median(positive))


def losses(study: Study) -> Figure:
    """A bar per case, as long as it lost packets: a part for each reason, with its number of packets, and the total."""
    cases = study.experiment.cases
    lost = [study.lost(case) for case in cases]
    total = 0.3 + 0.3 * len(cases) + 0.75
    figure = Figure(figsize=(WIDTH, total))
    axis = figure.subplots()
    figure.subplots_adjust(left=_label_width(cases) / WIDTH, right=1 - 1.3 / WIDTH, top=1 - 0.15 / total, bottom=0.9 / total)
    most = max((sum(reasons.values()) for reasons in lost), default=0.0) or 1.0
    for index, (case, reasons) in enumerate(zip(cases, lost, strict=True)):
        if study.summary_of(case, "packets_lost") is None:
            axis.text(0.005 * most, index, "no complete run", va="center", fontsize=8, color=style.MUTED)
            continue
        _loss_bar(axis, index, reasons, most)
        sent = study.summary_of(case, "packets_sent")
        of = "" if sent is None else f" of {style.number(sent.mean, 'packets_sent')}"
        axis.text(1.01 * most, index, f"{style.number(sum(reasons.values()), 'packets_lost')}{of}", va="center", fontsize=8)
    axis.set_xlim(0, most)
    axis.set_yticks(range(len(cases)), [style.label(case) for case in cases])
    axis.set_ylim(len(cases) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axis.set_xlabel("packets lost")
    shown = [reason for reason in style.REASONS if any(reason in reasons for reasons in lost)]
    marks = [matplotlib.patches.Patch(color=style.REASONS[reason].colour, label=style.REASONS[reason].title) for reason in shown]
    figure.legend(handles=marks, loc="lower center", ncols=max(1, min(6, len(marks))), frameon=False, fontsize=8)
    return figure


_LABEL_FROM = 0.04
"""The smallest part of the axis in which there is room for a number."""


def _loss_bar(axis: Axes, index: int, reasons: Mapping[Reason, float], most: float) -> None:
    if not sum(reasons.values()):
        axis.text(0.005 * most, index, "nothing lost", va="center", fontsize=8, color=style.MUTED)
    left = 0.0
    for reason, of in style.REASONS.items():
        lost = reasons.get(reason, 0.0)
        axis.barh(index, lost, left=left, height=0.66, color=of.colour, edgecolor="white", linewidth=0.6)
        if lost >= _LABEL_FROM * most:
            number = style.number(lost, reason.metric)
            axis.text(left + lost / 2, index, number, ha="center", va="center", fontsize=8, color=style.on(of.colour))
        left += lost


PLOTS: Mapping[str, Callable[[Study], Figure]] = MappingProxyType(
    {"delays": delays, "handovers": handovers, "interruptions": interruptions, "losses": losses, "bars": bars}
)


def save(name: str, study: Study, folder: Path) -> tuple[Path, Path]:
    """Draw the plot ``name`` of PLOTS into ``folder`` as ``name``.png and ``name``.svg; returns both paths."""
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    canvas.save(lambda: PLOTS[name](study), png, svg)
    return png, svg
