"""Events that others cause, for a journal that does not grow by each: of one kind the first of a second are written, the others counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

REFUSED = 20
"""Refusals of one kind that are written one by one in a second."""

HELD = 200
"""Packets that wait for a route, and are written one by one in a second."""

_SECOND = 1_000_000_000
_MOST_SOURCES = 8


class Kind(NamedTuple):
    """What was told: the event, the access link if any, and what became of it: an event and its reason, or None where it waits."""

    event: str
    link: str | None
    outcome: str | None
    reason: str | None


@dataclass(slots=True)
class _Counted:
    last: int
    times: int = 0


class Count(NamedTuple):
    """``times`` events of a kind from one source, or several where that is None; the last of them at ``last`` ns since 1970."""

    kind: Kind
    source: object
    last: int
    times: int


class Tally:
    """Counts by whole seconds of the agent's clock; what it holds does not grow by what is counted."""

    def __init__(self) -> None:
        self._second = 0
        self._written: dict[Kind, int] = {}
        self._counted: dict[tuple[Kind, object], _Counted] = {}
        self._sources: dict[Kind, int] = {}

    def writes(self, kind: Kind, source: object, now: int) -> bool:
        """Whether an event at ``now`` (ns since 1970) is to be written; otherwise it has been counted. What was counted in an earlier
        second is to be taken before."""
        if now // _SECOND != self._second:
            self._second = now // _SECOND
            self._written.clear()
        written = self._written.get(kind, 0)
        if written < (HELD if kind.outcome is None else REFUSED):
            self._written[kind] = written + 1
            return True
        if (kind, source) not in self._counted:
            known = self._sources.get(kind, 0)
            source = source if known < _MOST_SOURCES else None
            self._sources[kind] = known + 1
        counted = self._counted.setdefault((kind, source), _Counted(now))
        counted.last, counted.times = now, counted.times + 1
        return False

    @property
    def ends(self) -> int | None:
        """When the second ends in which something was counted, in ns since 1970; None where nothing was."""
        return (self._second + 1) * _SECOND if self._counted else None

    def take(self, now: int | None = None) -> Iterator[Count]:
        """What was counted in seconds that are over at ``now``, or, with None, all of it."""
        if self._counted and (now is None or now // _SECOND != self._second):
            counted, self._counted = self._counted, {}
            self._sources.clear()
            for (kind, source), found in counted.items():
                yield Count(kind, source, found.last, found.times)
