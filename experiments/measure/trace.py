"""From the captures of one run to what happened in it: every test packet, signalling message and association."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import numpy as np

from agents import messages
from agents.config import QueryFlag
from experiments.declare.deployment import Deployment
from experiments.measure.dissect import Dissected, SignalRecord, TestPackets, dissect
from experiments.measure.ledger import ledger
from experiments.measure.pcap import MOST_OCTETS, Bytes, CaptureFileError, Integers, Mask, find_capture, read_capture
from experiments.measure.records import Packet, Refusal, SeenAssociation, Signal, Trace
from topologies.addresses import ALL_MAGS_MAC

_BURST = 100_000_000
"""Identical messages sent within this many ns are matched with their arrivals first to first; later ones are new sendings."""

_GROUP = 0xFF
"""The first octet of a group's address."""

_NOWHERE = -1
_NEVER = np.iinfo(np.int64).max
_MOBILITY_NAMES = {
    5: "PBU",
    6: "PBA",
    7: "BE",
    13: "HB",
    14: "HI",
    15: "HACK",
    16: "BRI",
    17: "LRI",
    18: "LRA",
    19: "UPN",
    20: "UPA",
}
_DISCOVERY_NAMES = {133: "RS", 134: "RA"}
_ROUTER_ADVERTISEMENT = 134
_PREFIX_INFORMATION = 3


def read_trace(folder: Path, run: Deployment) -> Trace:
    """Read the capture of every node of the run: ``<node>.pcap``, or as pcapng or in gzip under the name that goes with it.

    A capture that breaks off is read up to there, one whose packets were cut as far as they go, one that is missing or is no capture
    counts as empty; ``truncated`` names them all.

    Raises:
        CaptureFileError: not one capture can be read.
    """
    captures: dict[str, Dissected] = {}
    data: dict[str, Bytes] = {}
    truncated: list[str] = []
    settings = run.settings
    macs = [ALL_MAGS_MAC, settings.link_layer, *(host.mac for host in run.domain.hosts)]
    room = MOST_OCTETS
    for node in run.captured:
        path = find_capture(folder, node)
        try:
            capture = read_capture(path, room)
            room -= len(capture.data)
            captures[node] = dissect(capture, macs)
        except CaptureFileError as error:
            truncated.append(str(error) if str(error).startswith(path.name) else f"{path.name}: {error}")
            continue
        data[node] = capture.data
        truncated += [f"{path.name}: {what}" for what in capture.incomplete]
    if not captures:
        raise CaptureFileError("; ".join(truncated))
    lma = _lma_load(run, captures)
    trace = Trace(
        packets=_packets(run, captures),
        signals=_signals(run, captures, data),
        associations=_associations(run, captures),
        lma_data_packets=len(lma),
        lma_data_bytes=int(lma.sum()),
        truncated=tuple(truncated),
        refusals=_refusals(captures),
    )
    return replace(trace, losses=ledger(trace, run, {node: dissected.packets for node, dissected in captures.items()}))


# Test packets


def _keys(packets: TestPackets, rows: Mask) -> Integers:
    return (packets.flows[rows] << 32) | packets.sequences[rows]


def _first_rows(packets: TestPackets, rows: Mask, keys: Integers) -> Integers:
    """For each of the sorted ``keys`` the first of ``rows``, or _NOWHERE."""
    firsts = np.full(len(keys), _NOWHERE, dtype=np.int64)
    found, first = np.unique(_keys(packets, rows), return_index=True)
    place, known = _places(found, keys)
    firsts[place[known]] = np.flatnonzero(rows)[first[known]]
    return firsts


def _places(found: Integers, keys: Integers) -> tuple[Integers, Mask]:
    """Where each of ``found`` is among the sorted ``keys``, and whether it is there."""
    place = np.searchsorted(keys, found)
    return place, (place < len(keys)) & (keys[np.minimum(place, len(keys) - 1)] == found)


def _first_times(packets: TestPackets, rows: Mask, keys: Integers) -> Integers:
    """For each of the sorted ``keys`` the first time among ``rows``, or _NEVER."""
    return _times(packets, _first_rows(packets, rows, keys))


def _times(packets: TestPackets, rows: Integers) -> Integers:
    """The time of each row; _NEVER for _NOWHERE."""
    return np.append(packets.times, _NEVER)[rows]


def _of_flows(packets: TestPackets, flows: Iterable[int]) -> Mask:
    return np.isin(packets.flows, np.array(list(flows), dtype=np.int64))


def _flows_by(run: Deployment, end: str) -> Mapping[str, list[int]]:
    flows: dict[str, list[int]] = defaultdict(list)
    for number, flow in enumerate(run.scenario.flows):
        flows[getattr(flow, end)].append(number)
    return flows


def _packets(run: Deployment, captures: Mapping[str, Dissected]) -> tuple[Packet, ...]:
    tables = {node: dissected.packets for node, dissected in captures.items()}
    sendings: dict[int, int] = {}
    for source, flows in _flows_by(run, "source").items():
        if source in tables:
            table = tables[source]
            rows = _of_flows(table, flows) & table.wire & table.outgoing
            for key, time in zip(_keys(table, rows).tolist(), table.times[rows].tolist(), strict=True):
                sendings.setdefault(key, time)
    keys = np.array(sorted(sendings), dtype=np.int64)
    if not len(keys):
        return ()
    received = np.full(len(keys), _NEVER, dtype=np.int64)
    orders = np.zeros(len(keys), dtype=np.int64)
    copies = np.zeros(len(keys), dtype=np.int64)
    for destination, flows in _flows_by(run, "destination").items():
        if destination in tables:
            table = tables[destination]
            rows = _of_flows(table, flows) & table.wire & ~table.outgoing
            first = _first_rows(table, rows, keys)
            received = np.minimum(received, _times(table, first))
            orders = np.maximum(orders, first)
            found, counts = np.unique(_keys(table, rows), return_counts=True)
            place, known = _places(found, keys)
            copies[place[known]] += counts[known]
    seen = _sights(tables, {node: np.ones(len(table.times), dtype=np.bool_) for node, table in tables.items()}, keys)
    tunnelled = _sights(
        tables,
        {node: table.wire & table.outgoing & table.encapsulated for node, table in tables.items() if node in run.domain_agents},
        keys,
    )
    released = _sights(tables, {node: table.tun & ~table.outgoing for node, table in tables.items() if node in run.domain_agents}, keys)
    delivered = _sights(tables, {node: table.access & table.outgoing for node, table in tables.items() if node in run.domain_agents}, keys)
    arrivals = [None if time == _NEVER else time for time in received.tolist()]
    return tuple(
        Packet(key >> 32, key & 0xFFFFFFFF, sendings[key], arrival, count, at, left, order, back, out)
        for key, arrival, count, at, left, order, back, out in zip(
            keys.tolist(), arrivals, copies.tolist(), seen, tunnelled, orders.tolist(), released, delivered, strict=True
        )
    )


def _sights(tables: Mapping[str, TestPackets], rows: Mapping[str, Mask], keys: Integers) -> list[dict[str, int]]:
    """For each key, which nodes saw it among their ``rows`` and when first, in order of time."""
    nodes = list(rows)
    if not nodes:
        return [{} for _ in keys]
    times = np.stack([_first_times(tables[node], rows[node], keys) for node in nodes], axis=1)
    order = np.argsort(times, axis=1, kind="stable")
    counts = (times != _NEVER).sum(axis=1).tolist()
    ordered = np.take_along_axis(times, order, axis=1).tolist()
    names = [[nodes[node] for node in row[:count]] for row, count in zip(order.tolist(), counts, strict=True)]
    return [dict(zip(row, moments, strict=False)) for row, moments in zip(names, ordered, strict=True)]


def _lma_load(run: Deployment, captures: Mapping[str, Dissected]) -> Integers:
    """The sizes of the test packets that LMAs took in."""
    tables = [captures[name].packets for name in sorted(run.lma_names) if name in captures]
    return np.concatenate([np.zeros(0, dtype=np.int64), *(table.sizes[table.wire & ~table.outgoing] for table in tables)])


def _refusals(captures: Mapping[str, Dissected]) -> tuple[Refusal, ...]:
    """Each ICMPv6 error once, at the node that showed it first; others forwarded it."""
    sights = [(node, error) for node, dissected in captures.items() for error in dissected.errors]
    first: dict[tuple[int, int, int, int], Refusal] = {}
    for node, error in sorted(sights, key=lambda sight: sight[1].time):
        key = (error.flow, error.sequence, error.type, error.code)
        first.setdefault(key, Refusal(error.flow, error.sequence, node, error.time, error.type, error.code))
    return tuple(first.values())


# Associations


def _associations(run: Deployment, captures: Mapping[str, Dissected]) -> tuple[SeenAssociation, ...]:
    """What the MAGs' captures show of Layer 2 Updates, but for those that hosts' captures show going out: only an access point says who
    associates."""
    hosts = {host.mac.lower(): host for host in run.domain.hosts}
    updates = sorted(
        (update.time, hosts[update.mac].name, mag.name)
        for mag in run.mags
        if mag.name in captures
        for update in captures[mag.name].updates
        if update.mac in hosts and not update.outgoing
    )
    last_frame = partial(_last_frame, captures, _flows_by(run, "destination"), _flows_by(run, "source"))
    at = {host.name: host.mag for host in run.domain.hosts}
    since = dict.fromkeys(at, 0)
    forged: dict[tuple[str, str], deque[int]] = defaultdict(deque)
    for sender in at:
        for update in captures[sender].updates if sender in captures else ():
            if update.outgoing and update.mac in hosts:
                forged[sender, hosts[update.mac].name].append(update.time)
    associations = []
    for time, node, mag in updates:
        if any(_came_from(forged[sender, node], since[sender], time) for sender in at if at[sender] == mag and (sender, node) in forged):
            continue
        associations.append(SeenAssociation(node, mag, time, last_frame(at[node], node, time) if at[node] != mag else None))
        at[node], since[node] = mag, time
    return tuple(associations)


def _came_from(sent: deque[int], since: int, time: int) -> bool:
    """Whether a frame that came in at ``time`` was sent by a host, which has been there ``since``; a frame accounts for one."""
    while sent and sent[0] < since:
        sent.popleft()
    if not sent or sent[0] > time:
        return False
    sent.popleft()
    return True


def _last_frame(
    captures: Mapping[str, Dissected],
    towards: Mapping[str, list[int]],
    away: Mapping[str, list[int]],
    mag: str,
    node: str,
    before: int,
) -> int | None:
    """When the MAG last saw a test packet on its access link to the node, before that time."""
    if mag not in captures:
        return None
    table = captures[mag].packets
    down = _of_flows(table, towards.get(node, ())) & table.outgoing
    up = _of_flows(table, away.get(node, ())) & ~table.outgoing
    times = table.times[(down | up) & table.access & ~table.encapsulated & (table.times < before)]
    return int(times[-1]) if len(times) else None


# Signalling


@dataclass(frozen=True, slots=True)
class _Sight:
    node: str
    record: SignalRecord
    source: bytes
    destination: bytes
    message: bytes
    size: int

    @property
    def identity(self) -> tuple[bytes, bytes, bool, bytes]:
        return self.source, self.destination, self.record.tunnelled, self.message

    @property
    def cut(self) -> bool:
        """Whether the capture holds only the first part of the packet."""
        return self.record.end - self.record.at < self.size


def _sight(node: str, record: SignalRecord, data: Bytes) -> _Sight:
    header = data[record.at : record.at + 40].tobytes()
    message = data[record.message_at : record.end].tobytes()
    return _Sight(node, record, header[8:24], header[24:40], message, int.from_bytes(header[4:6], "big") + 40)


def _signals(run: Deployment, captures: Mapping[str, Dissected], data: Mapping[str, Bytes]) -> tuple[Signal, ...]:
    query_flag = run.settings.query_flag
    originators = {agent.address.packed: agent.name for agent in run.domain_agents.values()}
    sendings: list[_Sight] = []
    sights: dict[tuple[bytes, bytes, bool, bytes], list[_Sight]] = defaultdict(list)
    for node, dissected in captures.items():
        for record in dissected.signals:
            sight = _sight(node, record, data[node])
            if not record.outgoing:
                if not (node in run.lma_names and record.mobility and sight.destination[0] == _GROUP):  # a bridge hands it to all
                    sights[sight.identity].append(sight)
            elif (
                (originators.get(sight.source) == node)
                if record.mobility
                else node in (run.host if sight.message[0] == 133 else run.care_of)
            ):
                sendings.append(sight)
    sendings.sort(key=lambda sight: sight.record.time)
    alike: dict[tuple[bytes, bytes, bool, bytes], list[int]] = defaultdict(list)
    for number, sending in enumerate(sendings):
        alike[sending.identity].append(number)
    arrivals: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for identity, numbers in alike.items():
        for number, node, time in _match([(number, sendings[number]) for number in numbers], sights.get(identity, [])):
            arrivals[number].append((node, time))
    return tuple(
        _signal(sending, tuple(sorted(arrivals[number], key=lambda arrival: arrival[1])), query_flag)
        for number, sending in enumerate(sendings)
    )


def _match(sendings: list[tuple[int, _Sight]], arrivals: list[_Sight]) -> Iterable[tuple[int, str, int]]:
    """Pair identical messages: each arrival with a sending before it, of the latest burst, and in a burst first to first."""
    taken: set[tuple[int, str]] = set()
    for arrival in sorted(arrivals, key=lambda sight: sight.record.time):
        candidates = [
            ((arrival.record.time - sight.record.time) // _BURST, (number, arrival.node) in taken, sight.record.time, number)
            for number, sight in sendings
            if sight.record.time <= arrival.record.time and sight.node != arrival.node
        ]
        if candidates:
            number = min(candidates)[-1]
            taken.add((number, arrival.node))
            yield number, arrival.node, arrival.record.time


def _signal(sending: _Sight, arrivals: tuple[tuple[str, int], ...], query_flag: QueryFlag) -> Signal:
    describe = partial(_describe_mobility, query_flag=query_flag) if sending.record.mobility else _describe_discovery
    described = describe(sending.message)
    if sending.cut:
        described["malformed"] = "cut short when it was captured"
    return Signal(
        sent=sending.record.time,
        sender=sending.node,
        arrivals=arrivals,
        size=sending.size,
        source=str(IPv6Address(sending.source)),
        destination=str(IPv6Address(sending.destination)),
        tunnelled=sending.record.tunnelled,
        **described,
    )


def _describe_mobility(message: bytes, query_flag: QueryFlag) -> dict[str, Any]:
    try:
        decoded = messages.decode(message, query_flag)
    except messages.MessageError as error:
        number = message[2] if len(message) > 2 else None
        return {"kind": "MH" if number is None else _MOBILITY_NAMES.get(number, f"MH {number}"), "malformed": str(error)}
    home: IPv6Network | IPv6Address | None = next(iter(decoded.home_network_prefixes), getattr(decoded, "home_address", None))
    care_of: IPv6Address | None = decoded.alternate_care_of or getattr(decoded, "mag_address", None)
    return {
        "kind": messages.kind(decoded),
        "sequence": getattr(decoded, "sequence", None),
        "status": getattr(decoded, "status", None),
        "lifetime": messages.lifetime_of(decoded),
        "mn_id": decoded.mn_id,
        "home": None if home is None else str(home),
        "care_of": None if care_of is None else str(care_of),
    }


def _describe_discovery(message: bytes) -> dict[str, Any]:
    kind = _DISCOVERY_NAMES[message[0]]
    if message[0] != _ROUTER_ADVERTISEMENT:
        return {"kind": kind}
    if len(message) < 16:
        return {"kind": kind, "malformed": f"{len(message)} octets are no Router Advertisement"}
    return {"kind": kind, "lifetime": float(int.from_bytes(message[6:8], "big")), "home": _advertised_prefix(message[16:])}


def _advertised_prefix(options: bytes) -> str | None:
    """The first prefix of a Router Advertisement's options (RFC 4861, 4.6.2)."""
    while len(options) >= 8 and options[1]:
        if options[0] == _PREFIX_INFORMATION and len(options) >= 32 and options[2] <= 128:
            return str(IPv6Network((options[16:32], options[2]), strict=False))
        options = options[8 * options[1] :]
    return None
