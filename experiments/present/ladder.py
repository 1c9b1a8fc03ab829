"""A message ladder from the captures of a run: a vertical line per node, an arrow per message from when it left to when it arrived.

Time runs downwards, not to scale: every sending and arrival has a row of its own with its exact time, long pauses are cut.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network
from xml.sax.saxutils import escape

from experiments.measure.records import Packet, Signal
from experiments.measure.study import RunResult, Step
from experiments.present import style
from experiments.present.streams import printable
from topologies.domain import Domain
from topologies.routing import paths
from topologies.timing import SECOND

_COLUMN = 180.0
_LABEL = 0.43
_RELAYED_LABEL = 0.55
_OTHER_PLACES = (0.5, 0.36, 0.57, 0.64, 0.3)
_HALF_A_LETTER = 3.4
_ABOVE = 7.0
"""How far a label's middle is above its arrow, about half its height."""

_Box = tuple[float, float, float, float]
"""Two opposite corners: x and y of each."""
_LEFT = 100.0
_MARGIN = 430.0
_TOP = 92.0
_SEND_ROW = 27.0
_ARRIVAL_ROW = 16.0
_LONGEST_ROW = 58.0
_PAUSE = 150_000_000
_MESSAGES = 40
_PACKETS = 3
_BYSTANDERS = 4
_NEAR = 1_000_000
_WAIT = 100_000
_NOTICE = SECOND
"""A Handover Initiate so many ns before a node leaves belongs to the ladder of its handover (RFC 5949, 4.1)."""

_DISCOVERY = ("RS", "RA")


@dataclass(slots=True)
class _Mark:
    """Something at a node at a time: one end of an arrow, or an event; ``y`` is set by the layout."""

    time: int
    node: str
    row: float
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class _Arrow:
    """What one node sent to one or more others; one without arrivals was lost.

    ``waited`` is since when the sender had held it; ``relayed`` says that the sender is a router of the core, which sends on at once:
    ``start`` is then the end of the arrow that reached it.
    """

    start: _Mark
    ends: tuple[_Mark, ...]
    label: str
    detail: str
    colour: str
    tunnelled: bool
    waited: _Mark | None = None
    relayed: bool = False


@dataclass(frozen=True, slots=True)
class _Event:
    """Something that happened at a node without a message; ``to`` is the node that it happened to, where that is another."""

    mark: _Mark
    detail: str
    lost: bool = False
    to: str = ""


@dataclass(slots=True)
class _Drawing:
    arrows: list[_Arrow] = field(default_factory=list)
    events: list[_Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def marks(self) -> list[_Mark]:
        """All marks by time; at one time, what comes later in the drawing comes later."""
        found = [(event.mark.time, [event.mark]) for event in self.events]
        for arrow in self.arrows:
            begin = [] if arrow.relayed else [arrow.start]
            found.append((arrow.start.time, [*begin, *arrow.ends, *([arrow.waited] if arrow.waited else [])]))
        found.sort(key=lambda entry: entry[0])
        return sorted((mark for _, marks in found for mark in marks), key=lambda mark: mark.time)


def ladder(
    result: RunResult,
    steps: Sequence[Step] = (),
    *,
    since: int | None = None,
    until: int | None = None,
    packets: Sequence[Packet] | None = None,
) -> str:
    """The ladder of a run as an SVG document, from ``since`` to ``until`` in ns since 1970.

    ``packets`` are the test packets drawn; where not given, the first three sent in that time. Without times, the ladder covers
    ``steps``, else the first handover, else the first packets. Only messages about the hosts at both ends of one flow are drawn, that
    of the handover or the first one, and packets between these hosts. Steps are numbered at the arrows that show them; missing ones
    are listed below. Routers of the core have columns too; nodes that only receive, where they are many, share one.
    """
    hosts = _ends_of_a_flow(result, steps)
    between = [packet for packet in result.trace.packets if set(_ends_of(packet, result)) <= hosts]
    if since is None and until is None and packets is None:
        since, until, packets = _window(result, steps, between)
    begin = since if since is not None else min((signal.sent for signal in result.trace.signals), default=0)
    end = until if until is not None else max((signal.sent for signal in result.trace.signals), default=0)
    if packets is None:
        packets = [packet for packet in between if begin <= packet.sent <= end][:_PACKETS]
    drawing = _drawing(result, steps, begin, end, packets, hosts)
    columns, listening = _columns(result, drawing, hosts)
    shared = [_shared(listening) if node in listening else node for node in columns]
    return _svg(result, _folded(drawing, listening), tuple(dict.fromkeys(shared)), steps)


def _ends_of(packet: Packet, result: RunResult) -> tuple[str, str]:
    flow = result.run.scenario.flows[packet.flow]
    return flow.source, flow.destination


def _ends_of_a_flow(result: RunResult, steps: Sequence[Step]) -> frozenset[str]:
    """Whom the ladder is about: the ends of the first flow, or of the first one of the node that moves where it shows a handover."""
    scenario = result.run.scenario
    moved = [] if steps else [move.mn for move in scenario.moves[:1]]
    ends = [(flow.source, flow.destination) for flow in scenario.flows]
    return frozenset([*moved, *next((pair for pair in ends if set(moved) <= set(pair)), ())])


def _window(result: RunResult, steps: Sequence[Step], packets: Sequence[Packet]) -> tuple[int, int, Sequence[Packet]]:
    times = [step.time for step in steps if step.time is not None]
    if times:
        first = [packet for packet in packets if packet.sent >= result.run.epoch][:_PACKETS]
        arrivals = [packet.received for packet in first if packet.received is not None]
        return min(times), max([*times, *arrivals]), first
    if result.run.scenario.moves:
        return _handover(result, packets)
    first = list(packets[:_PACKETS])
    begin = first[0].sent if first else result.run.epoch
    return begin, max([begin + SECOND, *(packet.received or 0 for packet in first)]), first


def _handover(result: RunResult, packets: Sequence[Packet]) -> tuple[int, int, Sequence[Packet]]:
    """Around the first move: the last packet that still arrived, the first that was lost, and the first that arrived again."""
    left = result.run.epoch + round(result.run.scenario.moves[0].at * 1e9)
    last = [packet for packet in packets if packet.received is not None and packet.received <= left][-1:]
    lost = [packet for packet in packets if packet.received is None and (not last or packet.sent > last[0].sent)][:1]
    again = [packet for packet in packets if packet.received is not None and packet.received > left][:1]
    chosen = [*last, *lost, *again]
    announced = [signal.sent for signal in result.trace.signals if signal.kind == "HI" and left - _NOTICE <= signal.sent <= left]
    begin = min([*(packet.sent for packet in last), *announced[-1:]], default=left)
    bound = left + SECOND
    end = max((packet.received or packet.sent for packet in chosen), default=bound)
    return begin, end if again else bound, chosen


def _drawing(result: RunResult, steps: Sequence[Step], begin: int, end: int, packets: Sequence[Packet], hosts: Collection[str]) -> _Drawing:
    drawing = _Drawing()
    shown = {step.time for step in steps}
    others = result.run.host.keys() - set(hosts)
    during = [signal for signal in result.trace.signals if begin <= signal.sent <= end]
    wanted = [signal for signal in during if signal.sent in shown or _is_about(signal, hosts, result.run.domain)]
    signals = list(_without_repetition(wanted, shown))
    left_out = max(0, len(signals) - _MESSAGES)
    counted = ((len(during) - len(wanted), "messages about other hosts"), (left_out, "further messages"))
    drawing.notes += [f"{count} {what} are not drawn." for count, what in counted if count]
    for signal in signals[:_MESSAGES]:
        drawing.arrows += _signal_arrows(signal, result.run.domain)
    for packet in packets:
        _add_packet(drawing, packet, result)
    for association in result.trace.associations:
        if association.time in shown or (begin <= association.time <= end and association.node not in others):
            mark = _Mark(association.time, association.mag, _SEND_ROW)
            drawing.events.append(_Event(mark, f"{association.node} is associated with {association.mag}", to=association.node))
    for step in steps:
        if step.time is not None and step.node is not None and _at(drawing, step) is None:
            drawing.events.append(_Event(_Mark(step.time, step.node, _SEND_ROW), step.evidence))
    return drawing


def _is_about(signal: Signal, hosts: Collection[str], domain: Domain) -> bool:
    """Whether a message is to, from or about one of ``hosts``, or none of the domain's hosts has to do with it."""
    at = {signal.sender, *(node for node, _ in signal.arrivals)}
    home = None if signal.home is None else IPv6Network(signal.home, strict=False)
    concerned = {
        host.name
        for host in domain.hosts
        if host.name in at or signal.mn_id == host.mn_id or (home is not None and home.subnet_of(host.home_network_prefix))
    }
    return not concerned or not concerned.isdisjoint(hosts)


def _without_repetition(signals: Iterable[Signal], keep: set[int | None]) -> Iterable[Signal]:
    """Router Advertisements and Solicitations only where they say something new."""
    said = set()
    for signal in signals:
        meaning = (signal.kind, signal.sender, tuple(node for node, _ in signal.arrivals), signal.lifetime, signal.home)
        if signal.kind not in _DISCOVERY or meaning not in said or signal.sent in keep:
            yield signal
        said.add(meaning)


def _at(drawing: _Drawing, step: Step) -> _Mark | None:
    """The mark at which a step shows: that of its node nearest in time."""
    if step.time is None:
        return None
    starts = [arrow.start for arrow in drawing.arrows if arrow.start.node == step.node]
    starts += [event.mark for event in drawing.events if step.node in (event.mark.node, event.to)]
    near = [mark for mark in starts if abs(mark.time - step.time) <= _NEAR]
    return min(near, key=lambda mark: abs(mark.time - (step.time or 0)), default=None)


def _signal_arrows(signal: Signal, domain: Domain) -> list[_Arrow]:
    """The message from its sender to all nodes that it reached, in as many arrows as there are nodes that sent it on."""
    label = signal.kind if signal.sequence is None else f"{signal.kind} seq {signal.sequence}"
    fields = (
        f"malformed: {signal.malformed}" if signal.malformed else "",
        f"IP-in-IP to {signal.destination}" if signal.tunnelled else "",
        _home(signal),
        f"CoA {signal.care_of}" if signal.care_of else "",
        f"status {signal.status}" if signal.status is not None else "",
        f"lifetime {signal.lifetime:g} s" if signal.lifetime is not None else "",
        "" if signal.arrivals else "never arrived",
    )
    arrow = _Arrow(
        start=_Mark(signal.sent, signal.sender, _SEND_ROW),
        ends=(),
        label=label,
        detail=" · ".join(part for part in fields if part),
        colour=style.MUTED if signal.kind in _DISCOVERY else style.INK,
        tunnelled=signal.tunnelled,
    )
    reached = {node for node, _ in signal.arrivals}
    ways = paths(domain, signal.sender)
    hops: dict[str, list[tuple[str, int]]] = {signal.sender: []}
    for node, time in signal.arrivals:
        before = [earlier for earlier in ways.get(node, ())[1:-1] if earlier in reached]
        hops.setdefault(before[-1] if before else signal.sender, []).append((node, time))
    arrows = []
    at: dict[str, _Mark] = {}
    for sender, receivers in hops.items():
        ends = _ends(receivers)
        at |= {end.node: end for end in ends}
        if sender == signal.sender:
            arrows.append(replace(arrow, ends=ends))
        else:
            arrows.append(replace(arrow, start=at[sender], ends=ends, detail="", relayed=True))
    return arrows


def _home(signal: Signal) -> str:
    """Whom the message is about: a home address, a home network prefix, or else the MN-ID."""
    if signal.home is None:
        return signal.mn_id or ""
    if signal.kind in _DISCOVERY:
        return f"prefix {signal.home}"
    home = signal.home.removesuffix("/128")
    return f"HNP {home}" if "/" in home else f"HoA {home}"


def _ends(arrivals: Sequence[tuple[str, int]]) -> tuple[_Mark, ...]:
    """The arrow's ends; those at one time share a row."""
    rows = [0.0 if index and time == arrivals[index - 1][1] else _ARRIVAL_ROW for index, (_, time) in enumerate(arrivals)]
    return tuple(_Mark(time, node, row) for (node, time), row in zip(arrivals, rows, strict=True))


def _add_packet(drawing: _Drawing, packet: Packet, result: RunResult) -> None:
    """The hops of a test packet from node to node; one that is lost ends where it was last seen."""
    run = result.run
    name = f"packet {packet.sequence}" if len(run.scenario.flows) < 2 else f"packet {packet.flow}.{packet.sequence}"
    routers = _routers(run.domain)
    path = [node for node in packet.seen if node in {*run.host, *routers, *run.domain_agents}]
    hops: dict[tuple[str, bool], list[str]] = {}
    for index, node in enumerate(path[1:], 1):
        origin = _origin(packet, path[:index], node, result)
        tunnelled = origin in packet.tunnelled and node not in run.host
        hops.setdefault((_relay(packet, origin, path[:index], node, run.domain), tunnelled), []).append(node)
    at: dict[str, _Mark] = {}
    for (sender, tunnelled), receivers in hops.items():
        reached = packet.seen[sender]
        relayed = sender in routers
        left = reached if relayed else max((packet.tunnelled if tunnelled else packet.delivered).get(sender, reached), reached)
        waited = _Mark(reached, sender, 0.0) if left - reached > _WAIT else None
        ends = _ends([(node, packet.seen[node]) for node in receivers])
        at |= {end.node: end for end in ends}
        parts = ("IP-in-IP" if tunnelled else "", _wait(packet, sender, reached, left, tunnelled) if waited else "")
        drawing.arrows.append(
            _Arrow(
                start=at[sender] if relayed else _Mark(left, sender, _SEND_ROW),
                ends=ends,
                label=name,
                detail="" if relayed else " · ".join(part for part in parts if part),
                colour=style.colour(run.case.scheme),
                tunnelled=tunnelled,
                waited=waited,
                relayed=relayed,
            )
        )
    if packet.received is None and path:
        last = path[-1]
        mark = _Mark(max(packet.seen[last], packet.tunnelled.get(last, 0)), last, _SEND_ROW)
        drawing.events.append(_Event(mark, f"{name} is lost: last seen at {last}", lost=True))


def _wait(packet: Packet, node: str, reached: int, left: int, tunnelled: bool) -> str:
    """How long a packet waited in a node; on an access link neighbour discovery has its part, after the agent has let the packet go."""
    said = f"waited {(left - reached) / 1e6:.3f} ms in {node}"
    resolved = left - max(packet.released.get(node, reached), reached)
    if tunnelled or resolved <= _WAIT:
        return said
    if left - reached - resolved <= _WAIT:
        return f"{said} for neighbour discovery"
    return f"{said}, {resolved / 1e6:.3f} ms of it for neighbour discovery"


def _origin(packet: Packet, before: Sequence[str], node: str, result: RunResult) -> str:
    """Who sent the packet to ``node``: for a host the MAG it is associated with, else the latest that sent it through a tunnel."""
    if node in result.run.host:
        at = [entry.mag for entry in result.trace.associations if entry.node == node and entry.time <= packet.seen[node]][-1:]
        return at[0] if at and at[0] in before else before[-1]
    sent = [earlier for earlier in before if packet.tunnelled.get(earlier, packet.seen[node] + 1) <= packet.seen[node]]
    return max(sent, key=lambda earlier: packet.tunnelled[earlier]) if sent else before[-1]


def _relay(packet: Packet, origin: str, before: Sequence[str], node: str, domain: Domain) -> str:
    """The last router on the way from ``origin`` to ``node`` that the packet passed since it left ``origin``, or ``origin``."""
    since = packet.tunnelled.get(origin, packet.seen[origin])
    way = paths(domain, origin).get(node, ())[1:-1]
    return next((router for router in reversed(way) if router in before and packet.seen[router] >= since), origin)


def _routers(domain: Domain) -> tuple[str, ...]:
    return tuple(core.name for core in domain.core if core.routed)


def _columns(result: RunResult, drawing: _Drawing, hosts: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The nodes that take part, from the source and its MAG by way of the LMA to the destination's MAGs and the destination; routers stand
    on the way. Second, those of them that only listen, where they are so many that they share a column."""
    domain = result.run.domain
    marks = drawing.marks()
    taking_part, end = {mark.node for mark in marks}, max((mark.time for mark in marks), default=0)
    sources = [flow.source for flow in result.run.scenario.flows if {flow.source, flow.destination} <= set(hosts)][:1]
    their_mags = [host.mag for host in domain.hosts if host.name in sources]
    others = [host.name for host in domain.hosts if host.name not in sources]
    visited = [host.mag for host in domain.hosts if host.name in hosts and host.name not in sources]
    visited += [a.mag for a in result.trace.associations if a.node in hosts and a.node not in sources and a.time <= end]
    bystanders = [mag.name for mag in domain.mags if mag.name not in (*their_mags, *visited)]
    lma = [domain.lma.name] if domain.lma else []
    routers = _routers(domain)

    def between(starts: Iterable[str], ends: Iterable[str]) -> list[str]:
        ways = (paths(domain, start).get(end, ()) for start in starts for end in ends)
        return [node for way in ways for node in way if node in routers]

    ways = [*between(lma, visited), *between(their_mags, visited)]
    order = dict.fromkeys(
        [*sources, *their_mags, *between(their_mags, lma), *lma, *between(lma, bystanders), *bystanders, *ways, *visited, *routers, *others]
    )
    columns = tuple(node for node in order if node in taking_part)
    listening = _listening(drawing, columns, {*hosts, *their_mags, *lma, *visited})
    return columns, listening if len(listening) > _BYSTANDERS else ()


def _listening(drawing: _Drawing, columns: Iterable[str], parties: Collection[str]) -> tuple[str, ...]:
    """Which nodes neither are among the parties, nor do anything, nor are routers on the way to those that do."""
    active = {*parties, *(event.mark.node for event in drawing.events)}
    active |= {arrow.start.node for arrow in drawing.arrows if not arrow.relayed}
    relays = {(arrow.start.node, end.node) for arrow in drawing.arrows if arrow.relayed for end in arrow.ends}
    while more := {router for router, node in relays if node in active and router not in active}:
        active |= more
    return tuple(node for node in columns if node not in active)


def _folded(drawing: _Drawing, nodes: Collection[str]) -> _Drawing:
    """The drawing with one column for all of ``nodes``, where what reaches them is shown once, when the first has it."""
    if not nodes:
        return drawing
    name = _shared(nodes)
    arrows = []
    for arrow in drawing.arrows:
        first = next((end for end in arrow.ends if end.node in nodes), None)
        ends = tuple(replace(end, node=name) if end is first else end for end in arrow.ends if end is first or end.node not in nodes)
        if arrow.start.node not in nodes:
            arrows.append(replace(arrow, ends=ends))
    return replace(drawing, arrows=arrows)


def _shared(nodes: Collection[str]) -> str:
    return f"{len(nodes)} other nodes"


def _layout(drawing: _Drawing) -> tuple[float, list[float]]:
    """Give every mark its ``y``; returns that of the end and where pauses are cut."""
    y, last = _TOP + 10, None
    pauses: list[float] = []
    for mark in drawing.marks():
        if last is not None:
            gap = mark.time - last.time
            if gap > _PAUSE:
                pauses.append(y + _LONGEST_ROW / 2)
                y += _LONGEST_ROW
            else:
                y += max(mark.row, min(_LONGEST_ROW, 8.5 * math.log2(1 + gap / 1e6)))
        mark.y = y
        last = mark
    return y, pauses


def _svg(result: RunResult, drawing: _Drawing, columns: Sequence[str], steps: Sequence[Step]) -> str:
    bottom, pauses = _layout(drawing)
    zero = result.run.epoch
    at = {node: _LEFT + index * _COLUMN for index, node in enumerate(columns)}
    notes = _notes(drawing, steps)
    width = _LEFT + max(0, len(columns) - 1) * _COLUMN + 90 + _MARGIN
    height = bottom + 44 + 18 * len(notes)
    heading = f"{style.label(result.run.case)}, run {result.run.number}: scenario time in ms at both ends of every arrow"
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" font-family="DejaVu Sans, Verdana, Arial, sans-serif" font-size="11" fill="{style.INK}">',
        f"<title>Message ladder: {escape(style.label(result.run.case))}</title>",
        f"<desc>{escape(_description(drawing, zero))}</desc>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        _text(14, 22, heading, size=11, colour=style.MUTED),
    ]
    detail_x = width - _MARGIN
    for node, x in at.items():
        pieces += _head(result.run.domain, node, x)
        pieces.append(_line(x, _TOP - 8, x, bottom + 14, style.GAP, 1.6))
    for y in pauses:
        pieces.append(f'<rect x="30" y="{y - 7:.1f}" width="{detail_x - 70:.1f}" height="14" fill="#ffffff"/>')
        for x in at.values():
            pieces.append(_text(x, y + 4, "⋮", anchor="middle", size=13, colour=style.MUTED))
    for y, detail in [(arrow.start.y, arrow.detail) for arrow in drawing.arrows] + [(e.mark.y, e.detail) for e in drawing.events]:
        if detail:
            pieces.append(_line(40, y, detail_x - 8, y, style.RULE, 0.7))
            pieces.append(_text(detail_x, y + 4, detail, size=10.5))
    for arrow, place in zip(drawing.arrows, _label_places(drawing.arrows, at), strict=True):
        pieces += _arrow(arrow, at, place)
    for event in drawing.events:
        pieces.append(_event(event, at))
    pieces += _times(drawing, at, zero)
    taken: dict[float, int] = {}
    for step in steps:
        mark = _at(drawing, step)
        if mark is not None:
            place = taken.setdefault(mark.y, 0)
            taken[mark.y] += 1
            pieces += _circle(at[mark.node] + 19 * place, mark.y, str(step.number))
    for index, (note, colour) in enumerate(notes):
        pieces.append(_text(14, bottom + 40 + 18 * index, note, colour=colour))
    pieces.append("</svg>\n")
    return "\n".join(pieces)


def _notes(drawing: _Drawing, steps: Sequence[Step]) -> list[tuple[str, str]]:
    missing = [(f"Missing: step {step.number}. {step.text}: {step.evidence}", "#b00020") for step in steps if step.time is None]
    return [*missing, *((note, style.MUTED) for note in drawing.notes)]


def _description(drawing: _Drawing, zero: int) -> str:
    """The ladder in words, for those who cannot see it."""
    lines = [
        (arrow.start.time, f"{(arrow.start.time - zero) / 1e6:.3f} ms: {arrow.start.node} to "
         f"{' and '.join(end.node for end in arrow.ends) or 'nobody'}: {arrow.label}")
        for arrow in drawing.arrows
    ]  # fmt: skip
    lines += [(event.mark.time, f"{(event.mark.time - zero) / 1e6:.3f} ms: {event.detail}") for event in drawing.events]
    return ". ".join(text for _, text in sorted(lines, key=lambda line: line[0]))


def _head(domain: Domain, node: str, x: float) -> list[str]:
    kinds = {core.name: ("router", "") for core in domain.core} | {mag.name: ("MAG", str(mag.address)) for mag in domain.mags}
    if domain.lma:
        kinds[domain.lma.name] = ("LMA", str(domain.lma.address))
    kinds |= {host.name: ("", str(host.home_network_prefix)) for host in domain.hosts}
    kind, address = kinds.get(node, ("", "the first to receive"))
    name = node if kind in ("", node.upper()) else f"{node} ({kind})"
    hosts = {host.name for host in domain.hosts}
    return [
        f'<rect x="{x - 66:.1f}" y="36" width="132" height="46" rx="6" fill="{"#ffffff" if node in hosts else "#f3f3f3"}" '
        f'stroke="{style.MUTED}"/>',
        _text(x, 55 if address else 63, name, anchor="middle", size=13, weight="bold"),
        _text(x, 72, address, anchor="middle", size=10, colour=style.MUTED),
    ]


def _label_places(arrows: Sequence[_Arrow], at: dict[str, float]) -> list[float]:
    """Where along its longest shaft each arrow has its label, as a part of a column's width: the first place that no other shaft and no
    label crosses, or else the usual one."""
    shafts = [(arrow, (at[arrow.start.node], arrow.start.y, at[end.node], end.y)) for arrow in arrows for end in arrow.ends]
    taken: list[_Box] = []
    places = []
    for arrow in arrows:
        usual = _RELAYED_LABEL if arrow.relayed else _LABEL
        places.append(usual)
        if not arrow.ends:
            continue
        own = max((shaft for of, shaft in shafts if of is arrow), key=lambda shaft: abs(shaft[2] - shaft[0]))
        others = [shaft for of, shaft in shafts if of is not arrow]
        for place in (usual, *_OTHER_PLACES):
            if not any(_is_crossed(box, others, taken) for box in _label_boxes(arrow.label, own, place)):
                places[-1] = place
                break
        taken += _label_boxes(arrow.label, own, places[-1])
    return places


def _label_boxes(label: str, shaft: _Box, place: float) -> list[_Box]:
    """What a label above a shaft covers, a box a letter, since it is turned as the shaft is."""
    x, y, far, bottom = shaft
    slope, middle = (bottom - y) / (far - x), x + math.copysign(place * _COLUMN, far - x)
    letters = (middle + (2 * number + 1 - len(label)) * _HALF_A_LETTER for number in range(len(label)))
    lines = ((centre, y + slope * (centre - x)) for centre in letters)
    return [(centre - _HALF_A_LETTER, line - 2 * _ABOVE, centre + _HALF_A_LETTER, line - _ABOVE / 2) for centre, line in lines]


def _is_crossed(box: _Box, shafts: Iterable[_Box], labels: Iterable[_Box]) -> bool:
    """Whether a shaft, from its first point to its second, goes through a box, or a label's box overlaps it."""
    left, top, right, bottom = box
    if any(left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in labels):
        return True
    for x1, y1, x2, y2 in shafts:
        begin, end = max(left, min(x1, x2)), min(right, max(x1, x2))
        if begin < end:
            heights = [y1 + (x - x1) / (x2 - x1) * (y2 - y1) for x in (begin, end)]
            if min(heights) < bottom and max(heights) > top:
                return True
    return False


def _arrow(arrow: _Arrow, at: dict[str, float], place: float) -> list[str]:
    start, x = arrow.start, at[arrow.start.node]
    pieces = []
    if arrow.waited is not None:
        top = arrow.waited.y
        pieces.append(
            f'<rect x="{x - 4:.1f}" y="{top:.1f}" width="8" height="{start.y - top:.1f}" fill="{arrow.colour}" fill-opacity="0.35"/>'
        )
    if not arrow.ends:
        pieces.append(_line(x, start.y, x + 46, start.y + 8, arrow.colour, 1.4, dashed=True))
        pieces.append(_text(x + 52, start.y + 13, "✕", colour="#b00020", size=13, anchor="middle"))
        pieces.append(_text(x + 24, start.y - 5, arrow.label, anchor="middle", weight="bold", colour=arrow.colour))
        return pieces
    for end in arrow.ends:
        pieces += _shaft(x, start.y, at[end.node], end.y, arrow)
    longest = max(arrow.ends, key=lambda end: abs(at[end.node] - x))
    far = at[longest.node]
    rightwards = far > x
    angle = math.degrees(math.atan2(longest.y - start.y, far - x)) if rightwards else math.degrees(math.atan2(start.y - longest.y, x - far))
    nearest = x + math.copysign(place * _COLUMN, far - x)
    share = (nearest - x) / (far - x)
    label_y = start.y + share * (longest.y - start.y)
    pieces.append(
        f'<g transform="translate({nearest:.1f} {label_y:.1f}) rotate({angle:.2f})">'
        + _text(0, -6, arrow.label, anchor="middle", weight="bold", colour=arrow.colour)
        + "</g>"
    )
    return pieces


def _shaft(x1: float, y1: float, x2: float, y2: float, arrow: _Arrow) -> list[str]:
    length = math.hypot(x2 - x1, y2 - y1)
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    head = 10.0
    base_x, base_y = x2 - head * dx, y2 - head * dy
    points = ((x2, y2), (base_x - 4.2 * dy, base_y + 4.2 * dx), (base_x + 4.2 * dy, base_y - 4.2 * dx))
    tip = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    pieces = [_line(x1, y1, base_x, base_y, arrow.colour, 4.4 if arrow.tunnelled else 1.5)]
    if arrow.tunnelled:
        pieces.append(_line(x1, y1, base_x, base_y, "#ffffff", 1.8))
    return [*pieces, f'<polygon points="{tip}" fill="{arrow.colour}"/>']


def _event(event: _Event, at: dict[str, float]) -> str:
    x, y = at[event.mark.node], event.mark.y
    if event.lost:
        return _text(x, y + 5, "✕", anchor="middle", colour="#b00020", size=15, weight="bold")
    points = f"{x:.1f},{y - 5:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 5:.1f} {x - 5:.1f},{y:.1f}"
    return f'<polygon points="{points}" fill="#ffffff" stroke="{style.INK}" stroke-width="1.4"/>'


def _times(drawing: _Drawing, at: dict[str, float], zero: int) -> list[str]:
    """The time of every mark, where its arrows are not: on the other side of the node's line or, where a router sends on, below the arrow
    that came."""
    found = [_time(event.mark, at[event.mark.node], zero, left=True) for event in drawing.events]
    relayed = [arrow for arrow in drawing.arrows if arrow.relayed]
    for arrow in drawing.arrows:
        x = at[arrow.start.node]
        for end in arrow.ends:
            here = at[end.node]
            leaves_left = [at[to.node] < here for onward in relayed if onward.start is end for to in onward.ends]
            below = bool(leaves_left) and (x < here) not in leaves_left
            found.append(_time(end, here, zero, left=(here < x) is not below, below=below))
        if not arrow.relayed:
            found.append(_time(arrow.start, x, zero, left=all(at[end.node] > x for end in arrow.ends)))
    return found


def _circle(x: float, y: float, number: str) -> list[str]:
    return [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="{style.INK}" stroke="#ffffff" stroke-width="1.5"/>',
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="11" font-weight="bold" fill="#ffffff">{number}</text>',
    ]


def _time(mark: _Mark, x: float, zero: int, *, left: bool, below: bool = False) -> str:
    text = f"{(mark.time - zero) / 1e6:.3f}".replace("-", "\N{MINUS SIGN}")
    x, y = (x - 12 if left else x + 12), mark.y + (14 if below else 4)
    return _text(x, y, text, anchor="end" if left else "start", size=9.5, colour="#444444")


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: float = 11, weight: str = "", colour: str = style.INK) -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}"{bold} fill="{colour}" '
        f'stroke="#ffffff" stroke-width="3" stroke-linejoin="round" paint-order="stroke">{escape(printable(text))}</text>'
    )
