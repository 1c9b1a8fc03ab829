"""What an agent's journal says of what it was told and did, in the words of events.jsonl, whoever carries its packets.

Of what others send in vain, or has to wait, it has the first of a second one by one and then counts (agents/tally.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents.actions import (
    AssignLinkLocal,
    Drop,
    Effect,
    Ignore,
    InstallAccessRoute,
    InstallLocalRoute,
    InstallRoute,
    InstallUplink,
    RemoveAccessRoute,
    RemoveLocalRoute,
    RemoveRoute,
    RemoveUplink,
    RouteAction,
)
from agents.tally import Kind, Tally

_HELD = frozenset({"packet", "tunnelled packet"})
_FROM_OTHERS = _HELD | {"received", "malformed", "solicited"}
_OUTCOMES: Mapping[type, str] = {Ignore: "ignored", Drop: "dropped"}
_ROUTES: Mapping[type, tuple[str, tuple[str, ...]]] = {
    InstallRoute: ("route installed", ("prefix", "care_of")),
    RemoveRoute: ("route removed", ("prefix",)),
    InstallLocalRoute: ("local route installed", ("prefix",)),
    RemoveLocalRoute: ("local route removed", ("prefix",)),
    InstallAccessRoute: ("access route installed", ("prefix", "link")),
    RemoveAccessRoute: ("access route removed", ("prefix", "link")),
    InstallUplink: ("uplink installed", ("link", "anchor")),
    RemoveUplink: ("uplink removed", ("link",)),
    AssignLinkLocal: ("link-local address assigned", ("link", "address")),
}
"""What the journal says of what changes routes: the event, and which fields it has."""

Record = Callable[[int, str, Mapping[str, Any]], None]
"""Writes that an event happened at a time, in ns since 1970, with its details."""


def of_route(action: RouteAction) -> tuple[str, dict[str, Any]]:
    """The event that an action on routes is, and its details."""
    event, names = _ROUTES[type(action)]
    return event, {name: getattr(action, name) for name in names}


class Account:
    """The journal's entries of one agent, of which those of others' doing may only be counted."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._tally = Tally()

    @property
    def ends(self) -> int | None:
        """When ``tell`` is to be called at the latest, in ns since 1970; None where nothing was counted."""
        return self._tally.ends

    def note(self, event: str, effects: Sequence[Effect], details: Mapping[str, Any], now: int) -> bool:
        """Write an event that led to ``effects``; False where it was counted instead, and nothing is to be done about it."""
        if event in _FROM_OTHERS and not self._writes(event, effects, details, now):
            return False
        self._record(now, event, details)
        return True

    def _writes(self, event: str, effects: Sequence[Effect], details: Mapping[str, Any], now: int) -> bool:
        """Whether the journal is to have this event by itself."""
        if any(type(effect) not in _OUTCOMES for effect in effects) or not (effects or event in _HELD):
            return True
        self.tell(now, now)
        became: Any = next((effect for effect in effects if isinstance(effect, Drop)), effects[0] if effects else None)
        outcome, reason = (_OUTCOMES[type(became)], str(became.reason)) if became is not None else (None, None)
        kind = Kind(event, details.get("link"), outcome, reason)
        return self._tally.writes(kind, details.get("source"), now)

    def tell(self, until: int | None, now: int) -> None:
        """Write at ``now`` what was counted in seconds that are over at ``until``, or, with None, all of it: what came, and what became of
        it."""
        for kind, source, last, times in self._tally.take(until):
            told = {name: value for name, value in (("link", kind.link), ("source", source)) if value is not None}
            counted = {"times": times, "last": last}
            self._record(now, kind.event, {**told, **counted})
            if kind.outcome is not None:
                packets = {"packets": times} if kind.outcome == _OUTCOMES[Drop] else {}
                self._record(now, kind.outcome, {**told, **packets, "reason": kind.reason, **counted})
