"""What an agent's journal says of what it was told and did, in the words of events.jsonl, whoever carries its packets.

Of what others send in vain, or has to wait, it has the first of a second one by one and then counts (agents/tally.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address
from typing import Any

from agents.actions import (
    Advertise,
    AssignLinkLocal,
    Drop,
    Effect,
    Ignore,
    InstallAccessRoute,
    InstallLocalRoute,
    InstallRoute,
    InstallUplink,
    Multicast,
    Note,
    ProbePath,
    Release,
    RemoveAccessRoute,
    RemoveLocalRoute,
    RemoveRoute,
    RemoveUplink,
    Report,
    Transmit,
    Withhold,
)
from agents.descriptions import describe
from agents.endpoint import Heard
from agents.messages import MessageError
from agents.tally import Kind, Tally

Entry = tuple[str, dict[str, Any]]
"""An event and its details."""

_HELD = frozenset({"packet", "tunnelled packet"})
_FROM_OTHERS = _HELD | {"received", "malformed", "solicited"}
_OUTCOMES: Mapping[type, str] = {Ignore: "ignored", Drop: "dropped"}
_FIELDS: Mapping[type, tuple[str, tuple[str, ...]]] = {
    InstallRoute: ("route installed", ("prefix", "care_of")),
    RemoveRoute: ("route removed", ("prefix",)),
    InstallLocalRoute: ("local route installed", ("prefix",)),
    RemoveLocalRoute: ("local route removed", ("prefix",)),
    InstallAccessRoute: ("access route installed", ("prefix", "link")),
    RemoveAccessRoute: ("access route removed", ("prefix", "link")),
    InstallUplink: ("uplink installed", ("link", "anchor")),
    RemoveUplink: ("uplink removed", ("link",)),
    AssignLinkLocal: ("link-local address assigned", ("link", "address")),
    ProbePath: ("path probed", ("destination",)),
    Ignore: ("ignored", ("reason", "source")),
}
"""Of what is told by some of its fields: the event, and which."""

_SAID: Mapping[type, Callable[[Any], Entry]] = {
    Transmit: lambda it: ("sent", {"destination": it.destination, **_where(it, "tunnelled"), **describe(it.message)}),
    Advertise: lambda it: (
        "advertised",
        {"link": it.link, "prefixes": it.prefixes, "lifetime": it.lifetime, **_where(it, "withdrawn")},
    ),
    Release: lambda it: ("released", {"packets": len(it.packets), "care_of": it.care_of}),
    Multicast: lambda it: ("multicast", {"packets": 1, "group": it.group}),
    Drop: lambda it: ("dropped", {"packets": len(it.packets), "reason": it.reason}),
    Report: lambda it: (f"reported {it.what}", {"source": it.source, "destination": it.destination}),
    Withhold: lambda it: ("errors withheld", {"packets": it.errors}),
    Note: lambda it: (it.notice, {"peer": it.peer, "about": it.about}),
}
"""Of all else: the event and its details."""

Record = Callable[[int, str, Mapping[str, Any]], None]
"""Writes that an event happened at a time, in ns since 1970, with its details."""


def of_effect(effect: Effect) -> Entry:
    """What an agent's effect is called once it has been done, and its details."""
    if (said := _SAID.get(type(effect))) is not None:
        return said(effect)
    event, names = _FIELDS[type(effect)]
    return event, {name: getattr(effect, name) for name in names}


def of_heard(heard: Heard) -> Entry:
    """What a Mobility Header that came in is called, and its details."""
    source, link = {"source": heard.source}, _where(heard, "link")
    if isinstance(heard.said, MessageError):
        return "malformed", {**source, "error": str(heard.said), **link}
    return "received", {**source, **link, **describe(heard.said)}


def of_packet(packet: bytes, tunnelled_by: IPv6Address | None = None) -> dict[str, Any]:
    """The details of a data packet that came to the agent: who sent it, or who tunnelled it, and where it goes."""
    source = IPv6Address(packet[8:24]) if tunnelled_by is None else tunnelled_by
    return {"source": source, "destination": IPv6Address(packet[24:40]), "bytes": len(packet)}


def _where(it: Any, name: str) -> dict[str, Any]:
    """A detail that is told only where there is something to tell."""
    value = getattr(it, name)
    return {name: value} if value else {}


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
