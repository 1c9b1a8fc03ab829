"""What became of an attack: where captures show its packets, for what reason agents refused them, and what it changed (docs/security.md).

A run is compared with one of the same scheme and policy in which nobody attacks: each packet of its flows, and the routes and rules that
the agents' nodes have in the end. A packet is refused by an agent, whose events say why, or by its node's kernel: a capture shows it
coming in that its rules do not let in, and no capture shows it going out.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from agents.actions import IgnoreReason
from agents.config import MAG_GROUP
from agents.messages import PROTOCOL, BindingErrorStatus, Status
from experiments.declare import files
from experiments.declare.deployment import Deployment
from experiments.declare.forgeries import (
    ECHO_HEADER,
    ECHO_REPLY,
    FIRST_NO_ERROR,
    FLOOD,
    ICMPV6,
    IPV6_IN_IPV6,
    MARK,
    MARKS,
    REPLAY,
    STRANGER,
    TUNNELLED,
    mark,
    upper_layer,
)
from experiments.declare.scenario import Attack
from experiments.declare.tolerance import TOLERANCES
from experiments.measure import node_state
from experiments.measure.pcap import Capture, CaptureFileError, Integers, Mask, find_capture, read_capture
from experiments.measure.records import Packet, Trace
from topologies.domain import Host

KERNEL = "a rule of the kernel"
"""Why a packet was refused that no agent was given."""

_SLL2, _IPV6_HEADER = 20, 40
_ETHERNET, _ETH_P_IPV6 = 1, 0x86DD
_OTHER_HOST, _OUTGOING = 3, 4
_GIVEN = frozenset({"received", "malformed", "packet", "tunnelled packet"})
_OF_REPLAYS = frozenset({IgnoreReason.REPLAYED, IgnoreReason.UNTIMELY, IgnoreReason.NOT_AUTHENTICATED})
"""Of what was heard, an answer to what was not authenticated is not authenticated itself (RFC 4285, 5.3)."""
_UNDER_WAY = 0.05
"""s that a packet may take to where it is refused."""


@dataclass(frozen=True, slots=True)
class AttackOutcome:
    """What became of an attack.

    Attributes:
        arrived: how many of its packets the agents' captures show coming in.
        refused: for what reason, and how many.
        passed: how many were sent on.
        disturbed: how many packets of the flows had another fate, or another delay, than without attacks.
        changed: what the kernels of the agents' nodes hold at the end of the run and would not without attacks, or the reverse.
    """

    attack: Attack
    run: Deployment
    arrived: int
    refused: Mapping[str, int]
    passed: int
    disturbed: int
    changed: tuple[str, ...]

    @property
    def harmless(self) -> bool:
        """Whether every packet arrived and was refused and counted, and nothing else is changed."""
        complete = self.attack.count <= self.arrived == sum(self.refused.values())
        return complete and not (self.passed or self.disturbed or self.changed)

    @property
    def good(self) -> bool:
        """Whether it did harm where it was to, and nowhere else."""
        return self.harmless != self.attack.succeeds


@dataclass(frozen=True, slots=True)
class Played:
    """A run, what its captures show, and its folder."""

    run: Deployment
    trace: Trace
    folder: Path


def outcomes(attacked: Played, undisturbed: Played) -> tuple[AttackOutcome, ...]:
    """What became of each attack of a run; DeclarationError where what the kernels held in the end cannot be read."""
    run = attacked.run
    seen = sights(run, attacked.folder)
    changed = tuple(_differences(node_state.read(attacked.folder), node_state.read(undisturbed.folder)))
    disturbed = sorted(_disturbed(attacked, undisturbed))
    lines = list(_lines(attacked))
    found = []
    for number, (attack, until) in enumerate(_until_the_next(run.attacks)):
        label = mark(number)
        refused = (_drops if attack.kind == FLOOD else _refusals)(attack, run, lines)
        if seen.barred[label]:
            refused[KERNEL] += seen.barred[label]
        struck = sum(attack.at <= at < until for at in disturbed)
        found.append(AttackOutcome(attack, run, seen.arrived[label], dict(refused), seen.passed[label], struck, changed))
    return tuple(found)


def _until_the_next(attacks: Iterable[Attack]) -> Iterator[tuple[Attack, float]]:
    attacks = tuple(attacks)
    starts = (*(attack.at for attack in attacks[1:]), inf)
    return zip(attacks, starts, strict=True)


# What captures show of it


@dataclass(slots=True)
class Sights:
    """Packets by their mark: those that came in at agents' nodes, those of them that the rules there do not let in, and what went out."""

    arrived: Counter[int] = field(default_factory=Counter)
    barred: Counter[int] = field(default_factory=Counter)
    passed: Counter[int] = field(default_factory=Counter)


def sights(run: Deployment, folder: Path) -> Sights:
    """The packets of a run's attacks in the agents' captures, of which one that cannot be read counts as empty, as in a trace."""
    attacks = {mark(number): attack for number, attack in enumerate(run.attacks)}
    hosts = run.host
    agents = run.agents
    found = Sights()
    for agent in agents:
        peers = frozenset(other.address for other in agents) - {agent.address}
        try:
            capture = read_capture(find_capture(folder, agent.name))
        except CaptureFileError:
            continue
        for label, packet, sent in _marked_packets(capture):
            if label not in attacks:
                continue
            if sent:
                found.passed[label] += 1
                continue
            found.arrived[label] += 1
            host = hosts.get(attacks[label].attacker)
            found.barred[label] += _is_foreign(packet, host) or _is_barred(packet, agent.address, peers, host is not None)
    return found


def _is_foreign(packet: bytes, host: Host | None) -> bool:
    """Whether a host sends with a source that is not its own."""
    source = IPv6Address(packet[8:24])
    return host is not None and source not in host.home_network_prefix and not source.is_link_local


def _is_barred(packet: bytes, own: IPv6Address, peers: frozenset[IPv6Address], from_access: bool) -> bool:
    """Whether the node of the agent ``own`` takes in no such packet, from an access link or from the core (agents/linux/guard.py)."""
    protocol, at = upper_layer(packet)
    source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    if protocol in TUNNELLED:
        return from_access or source not in peers or destination not in (own, MAG_GROUP)
    if protocol == ICMPV6 and packet[at] < FIRST_NO_ERROR:
        return from_access or packet[at + 16 : at + 32] != own.packed
    return protocol == PROTOCOL and from_access and destination != own


def _marked_packets(capture: Capture) -> Iterator[tuple[int, bytes, bool]]:
    """The packets on links that bear a mark, on their own, in a tunnel or as an answer to an Echo Request that bore it: the mark, the
    packet, and whether it is sent; none that was cut before its mark."""
    starts, ends = capture.starts, capture.ends
    link = (capture.integers(starts, 2, ends) == _ETH_P_IPV6) & (capture.integers(starts + 8, 2, ends) == _ETHERNET)
    way = capture.integers(starts + 10, 1, ends)
    at = starts + _SLL2
    inside = capture.integers(at + 6, 1, ends) == IPV6_IN_IPV6
    outer, inner = _is_marked(capture, at, ends), inside & _is_marked(capture, at + _IPV6_HEADER, ends)
    reply = (capture.integers(at + 6, 1, ends) == ICMPV6) & (capture.integers(at + _IPV6_HEADER, 1, ends) == ECHO_REPLY)
    answer = reply & _is_marked(capture, at + _IPV6_HEADER + ECHO_HEADER - 4, ends, 4)
    for record in np.flatnonzero(link & (way != _OTHER_HOST) & (outer | inner | answer)).tolist():
        packet = capture.frame(record)[_SLL2:]
        packet = packet if outer[record] or answer[record] else packet[_IPV6_HEADER:]
        shown = packet[_IPV6_HEADER + ECHO_HEADER - 4 :] if answer[record] else packet
        yield int.from_bytes(shown[:4], "big") & MARK, packet, bool(way[record] == _OUTGOING)


def _is_marked(capture: Capture, at: Integers, ends: Integers, size: int = _IPV6_HEADER) -> Mask:
    """Whether a header of ``size`` octets that bears a mark lies, whole, at each position."""
    marked: Mask = (capture.integers(at, 4, ends) & MARKS == mark(0)) & (ends - at >= size)
    return marked


# Why it was refused


def _lines(played: Played) -> Iterator[dict[str, Any]]:
    """The events, with their times in s of the scenario; of events that are only counted, that of the last of them."""
    for text in files.read(played.folder / "events.jsonl", files.MOST_JOURNAL).decode().splitlines():
        line = json.loads(text)
        yield {**line, "at": (line.get("last", line["time"]) - played.run.epoch) / 1e9}


def _refusals(attack: Attack, run: Deployment, lines: Iterable[dict[str, Any]]) -> Counter[str]:
    """What agents did, by reason; a message that was taken in is none."""
    is_its_own = _source(attack, run)
    handled: dict[tuple[object, ...], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        if attack.at <= line["at"] < attack.end + _UNDER_WAY:
            counted = (line["times"], line["last"], line.get("source")) if "times" in line else ()
            handled[line["node"], line["time"], *counted].append(line)
    reasons: Counter[str] = Counter()
    for events in handled.values():
        its_own = any(e["event"] in _GIVEN and "source" in e and is_its_own(e["source"]) for e in events)
        if its_own and (reason := _refusal(events)) is not None:
            reasons[reason] += events[0].get("times", 1)
    return Counter({reason: reasons[reason] for reason in reasons if attack.kind != REPLAY or reason in _OF_REPLAYS})


def _refusal(events: list[dict[str, Any]]) -> str | None:
    """Why an agent refused what it was given, by what it did; None where it did not, or said that it knows no such type."""
    if any(event.get("status") == BindingErrorStatus.UNRECOGNIZED_MH_TYPE for event in events if event.get("message") == "BE"):
        return None
    for event in events:
        if event["event"] in ("ignored", "dropped"):
            return str(event["reason"])
    answers = (event["status"] for event in events if event["event"] == "sent" and "status" in event)
    return next((f"status {status}" for status in answers if status >= Status.REASON_UNSPECIFIED), None)


def _drops(attack: Attack, run: Deployment, lines: Iterable[dict[str, Any]]) -> Counter[str]:
    """What the target dropped, by reason: the queries that a flood causes fail later than it ends."""
    reasons: Counter[str] = Counter()
    for line in lines:
        if line["event"] == "dropped" and line["node"] == attack.target and line["at"] >= attack.at:
            reasons[line["reason"]] += line["packets"]
    return reasons


def _source(attack: Attack, run: Deployment) -> Callable[[str], bool]:
    """Tells by the source address what may be a packet of the attack."""
    agents = {agent.name: str(agent.address) for agent in run.agents}
    if attack.kind == REPLAY:
        return lambda source: source in agents.values()
    if attack.claims:
        return lambda source: source == agents[attack.claims]
    host = run.host.get(attack.attacker)
    if host is None:
        return lambda source: source == str(STRANGER)
    prefix = host.home_network_prefix
    return lambda source: IPv6Address(source) in prefix


# What it changed


def _disturbed(attacked: Played, undisturbed: Played) -> Iterator[float]:
    """When the packets were sent, in s of the scenario, that had another fate or another delay than where nobody attacks."""
    usual = {(packet.flow, packet.sequence): packet for packet in undisturbed.trace.packets}
    noise = round((TOLERANCES[attacked.run.engine].of("first_packet_delay_ms", "ms") or 0.0) * 1e6)
    for packet in attacked.trace.packets:
        if not _alike(packet, usual.get((packet.flow, packet.sequence)), noise):
            yield (packet.sent - attacked.run.epoch) / 1e9


def _alike(packet: Packet, usual: Packet | None, noise: int) -> bool:
    if usual is None or packet.copies != usual.copies:
        return False
    if packet.received is None or usual.received is None:
        return packet.received is usual.received
    return abs((packet.received - packet.sent) - (usual.received - usual.sent)) <= noise


def _differences(found: Mapping[str, node_state.NodeState], usual: Mapping[str, node_state.NodeState]) -> Iterator[str]:
    for node in sorted(found.keys() | usual.keys()):
        here, there = ({*s.links, *s.routes, *s.rules} if s else set() for s in (found.get(node), usual.get(node)))
        yield from sorted(f"{node}: also {what}" for what in here - there)
        yield from sorted(f"{node}: no {what}" for what in there - here)
