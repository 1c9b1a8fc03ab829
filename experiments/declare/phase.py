"""Where the moves, faults and flows of a run fall in relation to each other: as declared, or drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

import msgspec

from experiments.declare.scenario import Fault, Run, WrongClock

_DIGITS = 9
"""Times are drawn in whole nanoseconds."""


class Phase(StrEnum):
    """``declared``: every run does the same at the same time. ``drawn``: each run's seed shifts it a little, so that the spread between
    runs shows what depends on the moment at which things happen."""

    DECLARED = "declared"
    DRAWN = "drawn"


def with_drawn_phase(run: Run) -> Run:
    """The run with its phase drawn from its seed, and from nothing else.

    Each flow begins later by at most one of its intervals. All moves and faults, those of the case too, come earlier or later together, by
    at most half of the scenario's ``phase`` (where that is 0, of the longest interval of a flow), and none before the scenario's zero.
    """
    scenario, draw = run.scenario, random.Random(f"{run.seed} phase")
    width = scenario.phase or max((1 / flow.rate for flow in scenario.flows), default=0.0)
    flows = tuple(replace(flow, start=_later(flow.start, draw.uniform(0, min(width, 1 / flow.rate)))) for flow in scenario.flows)
    shift = max(draw.uniform(-width / 2, width / 2), -_earliest(run))
    moves = tuple(replace(move, at=_later(move.at, shift)) for move in scenario.moves)
    faults, of_case = (tuple(_shifted(faults, shift)) for faults in (scenario.faults, run.case.faults))
    drawn = replace(scenario, flows=flows, moves=moves, faults=faults)
    return replace(run, scenario=drawn, case=replace(run.case, faults=of_case))


def _earliest(run: Run) -> float:
    moves = [move.at - move.notice for move in run.scenario.moves]
    return min([*moves, *(fault.at for fault in run.faults if not isinstance(fault, WrongClock))], default=0.0)


def _shifted(faults: Iterable[Fault], shift: float) -> Iterable[Fault]:
    for fault in faults:
        times = {name: _later(getattr(fault, name), shift) for name in ("at", "end") if name in fault.__struct_fields__}
        yield msgspec.structs.replace(fault, **times)


def _later(time: float, shift: float) -> float:
    return round(time + shift, _DIGITS)
