"""What waits in a MAG, played from its capture: which packets came to its agent, when each left again, and why one never did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Network
from itertools import groupby

import numpy as np

from agents.messages import Status
from agents.schemes import Query
from experiments.declare.deployment import Deployment
from experiments.declare.scenario import DRAIN
from experiments.measure.dissect import TestPackets, address_number
from experiments.measure.records import Reason, Signal, Trace
from experiments.measure.stays import Stays
from topologies.timing import SECOND, nanoseconds

PROMPT = 5_000_000
"""An agent that runs has reacted within this many ns."""

_ALIVE = SECOND
"""An agent that gives no sign of itself for this many ns does not run."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """A time in which a MAG lets packets for a host wait, for an answer or for the host; ``end`` is why it then dropped them, if it did."""

    began: int
    over: int
    end: Reason | None

    def holds(self, time: int) -> bool:
        """Whether packets that come at ``time`` wait; an agent may be about to send its message, or about to read the answer."""
        return self.began - PROMPT <= time <= self.over + (PROMPT if self.end is None else 0)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A packet that a MAG's agent had, and when it let it go, or None where it never did."""

    key: int
    time: int
    size: int
    left: int | None = None


class Waits:
    """Why agents never gave packets back that they had, in one run."""

    def __init__(self, trace: Trace, run: Deployment, tables: Mapping[str, TestPackets], stays: Stays) -> None:
        self._trace = trace
        self._run = run
        self._tables = tables
        self._stays = stays
        self._scheme = run.scheme
        self._forwards = run.policy.forwards
        self._settings = run.settings
        self._end = run.epoch + nanoseconds(run.scenario.duration + DRAIN)
        self._hosts = run.host
        self._addresses = {mag.name: str(mag.address) for mag in run.mags}
        self._numbers = frozenset(address_number(mag.address) for mag in run.mags)
        self._known: dict[tuple[str, str], Mapping[int, Reason]] = {}

    def reason(self, mag: str, host: str, key: int) -> Reason:
        """Why a MAG's agent never gave back the packet ``key`` for a host."""
        if (mag, host) not in self._known:
            self._known[mag, host] = self._play(mag, host)
        return self._known[mag, host].get(key, Reason.UNEXPLAINED)

    def _play(self, mag: str, host: str) -> Mapping[int, Reason]:
        """The agent's buffer for one host, as bounded as the settings say."""
        settings = self._settings
        waits = [*self._queries(mag, host), *self._handovers(mag, host)]
        reasons: dict[int, Reason] = {}
        held: list[tuple[int, int]] = []
        for packet in self._arrivals(mag, host):
            held = [(gone, octets) for gone, octets in held if gone >= packet.time]
            if packet.left is not None:
                held.append((packet.left, packet.size))
                continue
            stay = self._stays.at(host, packet.time)
            if not ((stay is not None and stay.mag == mag) or any(wait.holds(packet.time) for wait in waits)):
                reasons[packet.key] = self._turned_away(mag, packet.time, waits)
            elif len(held) >= settings.buffer_packets or sum(octets for _, octets in held) + packet.size > settings.buffer_bytes:
                reasons[packet.key] = Reason.BUFFER_FULL
            else:
                gone, reasons[packet.key] = self._fate(packet.time, waits)
                held.append((gone, packet.size))
        return reasons

    def _arrivals(self, mag: str, host: str) -> list[_Arrival]:
        """What came to the agent, in order: handed to it, or, where its policy sends such packets on, through a tunnel for a host not
        served there. It lets a packet go into a tunnel or back to the kernel."""
        table = self._tables[mag]
        flows = [number for number, flow in enumerate(self._run.scenario.flows) if flow.destination == host]
        rows = np.flatnonzero(np.isin(table.flows, np.array(flows, dtype=np.int64)))
        keys = (table.flows << 32) | table.sequences
        handed = table.tun & table.outgoing
        tunnelled = ~table.tun & ~table.wire & ~table.outgoing & self._forwards
        gone = (table.tun & ~table.outgoing) | (table.wire & table.outgoing & table.encapsulated)
        columns = (keys, table.times, table.sizes, table.towards, handed, tunnelled, gone)
        found: list[_Arrival] = []
        inside: dict[int, int] = {}
        outer: dict[int, int] = {}
        for key, time, size, towards, to_agent, stray, leaves in zip(*(column[rows].tolist() for column in columns), strict=True):
            outer[key] = towards or outer.get(key, 0)
            if leaves and key in inside:
                number = inside.pop(key)
                found[number] = replace(found[number], left=time)
            elif to_agent or (stray and outer[key] in self._numbers and not self._served(mag, host, time)):
                inside[key] = len(found)
                found.append(_Arrival(key, time, size))
        return found

    def _served(self, mag: str, host: str, time: int) -> bool:
        stay = self._stays.at(host, time)
        return stay is not None and stay.mag == mag and stay.served(time)

    def _fate(self, time: int, waits: Iterable[_Wait]) -> tuple[int, Reason]:
        """When and why a packet that was held and never released went: whatever came first."""
        ends = [(wait.over, wait.end) for wait in waits if wait.end is not None and wait.over >= time]
        timeout = time + nanoseconds(self._settings.buffer_time)
        return min([*ends, (timeout, Reason.BUFFER_TIMEOUT), (self._end, Reason.UNDER_WAY)], key=lambda end: end[0])

    def _turned_away(self, mag: str, time: int, waits: Iterable[_Wait]) -> Reason:
        """Why an agent did not even hold a packet: no query was under way, and none was begun."""
        settings = self._settings
        remembered = nanoseconds(settings.query_failure)
        if any(wait.end is Reason.REFUSED and wait.over <= time < wait.over + remembered for wait in waits):
            return Reason.REFUSED
        refill = round(SECOND / settings.query_rate)
        if any(0 <= time - first.sent < refill for first, *_ in self._sendings(mag, "PBQ")):
            return Reason.REFUSED
        return Reason.UNEXPLAINED if self._alive(mag, time) else Reason.AGENT_DOWN

    def _alive(self, mag: str, time: int) -> bool:
        """Whether a MAG's agent signals, or gives packets back, soon after ``time``."""
        if any(signal.sender == mag and 0 <= signal.sent - time <= _ALIVE for signal in self._trace.signals):
            return True
        table = self._tables[mag]
        given = table.times[table.tun & ~table.outgoing]
        return bool(((given >= time) & (given <= time + _ALIVE)).any())

    def _sendings(self, mag: str, kind: str) -> Iterator[list[Signal]]:
        """The sendings of each message of a MAG, which it repeats until it is answered."""
        sent = [signal for signal in self._trace.signals if signal.kind == kind and signal.sender == mag]
        sent.sort(key=lambda s: (s.home or "", s.sequence or 0, s.sent))
        for _, sendings in groupby(sent, key=lambda s: (s.home, s.sequence)):
            yield list(sendings)

    def _due(self, sendings: list[Signal]) -> int:
        """When the next repetition is due, after ever longer times, or the message has failed."""
        return sendings[-1].sent + (nanoseconds(self._settings.query_timeout) << len(sendings) - 1)

    def _answers(self, mag: str, kind: str, asked: Signal) -> Iterator[tuple[int, Signal]]:
        """What came back, and when."""
        for answer in self._trace.signals:
            if answer.kind == kind and answer.sequence == asked.sequence:
                yield from ((at, answer) for node, at in answer.arrivals if node == mag and at >= asked.sent)

    def _queries(self, mag: str, host: str) -> Iterator[_Wait]:
        """A MAG's queries for a host. One without an answer fails after the last try, and is given up where the host comes to the MAG
        itself; where a repetition that is due never comes, the agent does not run."""
        came = [stay.since for stay in self._stays.of(host) if stay.mag == mag]
        for sendings in self._sendings(mag, "PBQ"):
            first = sendings[0]
            if not IPv6Network(first.home or "::").subnet_of(self._hosts[host].home_network_prefix):
                continue
            failed = len(sendings) >= self._settings.query_tries
            ends: list[tuple[int, Reason | None]] = [(self._due(sendings), Reason.REFUSED if failed else Reason.AGENT_DOWN)]
            ends += [(since, None) for since in came if since > first.sent]
            for at, answer in self._answers(mag, "PQA", first):
                denied = (answer.status or 0) >= Status.REASON_UNSPECIFIED
                if answer.care_of != self._addresses.get(mag) and not (denied and self._scheme.query is Query.MULTICAST):
                    ends.append((at, Reason.REFUSED if denied else None))
            over, end = min(ends, key=lambda end: end[0])
            yield _Wait(first.sent, over, end if over + PROMPT < self._end else None)

    def _handovers(self, mag: str, host: str) -> Iterator[_Wait]:
        """Handovers of a host that a MAG announces, until they are answered, and those that are announced to it, while it expects the host
        (RFC 5949, 4.1)."""
        patience = nanoseconds(self._settings.handover_time)
        for other in self._addresses:
            for sendings in self._sendings(other, "HI"):
                first = sendings[0]
                if first.mn_id != self._hosts[host].mn_id:
                    continue
                if other == mag:
                    answered = (at for at, _ in self._answers(mag, "HACK", first))
                    yield _Wait(first.sent, min(answered, default=self._due(sendings)), None)
                yield from (_Wait(at, at + patience, None) for sent in sendings for node, at in sent.arrivals if node == mag)
