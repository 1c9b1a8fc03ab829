"""Where hosts are during a run: from associations (captures), departures (declared) and what MAGs then sent about them (captures)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Kill
from experiments.measure.records import Trace
from topologies.addresses import routed_prefix
from topologies.domain import Host
from topologies.timing import nanoseconds

_EVER = -1 << 62
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Stay:
    """A host's time at a MAG: associated from ``since`` until it left; ``heard`` is when the MAG first did something for it, ``turns`` is
    when it began or ceased to serve it, in order of time."""

    mag: str
    since: int
    until: int
    heard: int
    turns: tuple[tuple[int, bool], ...]

    def served(self, time: int) -> bool:
        """Whether the MAG serves the host then: its last word on the host's prefix was an advertisement of it."""
        return next((serves for when, serves in reversed(self.turns) if when <= time), False)


class Stays:
    """The stays of every host of a run, by name and in order."""

    def __init__(self, trace: Trace, run: Deployment) -> None:
        self._trace = trace
        self._run = run
        self._of: Mapping[str, tuple[Stay, ...]] = {host.name: self._stays(host) for host in run.domain.hosts}

    def of(self, host: str) -> tuple[Stay, ...]:
        """Where a host has been."""
        return self._of[host]

    def at(self, host: str, time: int) -> Stay | None:
        """Where a host is, or None where it is on no link."""
        return next((stay for stay in self._of[host] if stay.since <= time < stay.until), None)

    def _stays(self, host: Host) -> tuple[Stay, ...]:
        came = [(_EVER, host.mag), *((a.time, a.mag) for a in self._trace.associations if a.node == host.name)]
        left = [self._run.epoch + nanoseconds(move.at) for move in self._run.scenario.moves if move.mn == host.name]
        ends = [*(time for time, _ in came[1:]), _NEVER]
        return tuple(
            Stay(mag, since, min([end, *(time for time in left if time > since)]), *self._care(host, mag, since, end))
            for (since, mag), end in zip(came, ends, strict=True)
        )

    def _care(self, host: Host, mag: str, since: int, end: int) -> tuple[int, tuple[tuple[int, bool], ...]]:
        """When a MAG first registered or advertised to a host that came at ``since``, and when it began and ceased to serve it: by
        advertisements, of which one without a lifetime withdraws the prefix, and by an agent that starts anew, which clears all away."""
        routed = routed_prefix(self._run.domain, self._run.agent[mag], host)
        prefixes = {str(host.home_network_prefix), str(routed)}
        sent = [signal for signal in self._trace.signals if signal.sender == mag and since <= signal.sent < end]
        advertised = [(signal.sent, bool(signal.lifetime)) for signal in sent if signal.kind == "RA" and signal.home in prefixes]
        kills = [fault for fault in self._run.faults if isinstance(fault, Kill) and fault.node == mag]
        restarted = [(time, False) for fault in kills if since <= (time := self._run.epoch + nanoseconds(fault.end)) < end]
        if since == _EVER:
            return _EVER, ((_EVER, True), *sorted([*advertised, *restarted]))
        registered = [signal.sent for signal in sent if signal.kind == "PBU" and signal.mn_id == host.mn_id]
        served = [time for time, serves in advertised if serves]
        return min([*registered, *served], default=_NEVER), tuple(sorted([*advertised, *restarted]))
