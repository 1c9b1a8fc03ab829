"""The draft's procedures and its Table 1, looked for in what the captures show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType

from agents.schemes import Architecture, Delivery, Query, Scheme
from experiments.declare.deployment import Deployment
from experiments.measure.metrics import Places
from experiments.measure.records import Packet, Signal, Trace
from experiments.measure.study import Step, Table1Cell, Table1Row


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows a step: when it left which node, when its effect was there, and that in words."""

    time: int
    node: str
    done: int
    text: str


@dataclass(frozen=True, slots=True)
class View:
    """What a step is looked for in: the trace, and who is who in the first flow of the run."""

    trace: Trace
    run: Deployment
    mn: str
    mn_mag: str
    cn: str
    cn_mag: str
    lma: str | None

    @property
    def prefix(self) -> IPv6Network:
        """The MN's home network prefix."""
        return self.run.host[self.mn].home_network_prefix

    @property
    def mn_id(self) -> str:
        """The MN's identifier."""
        return self.run.host[self.mn].mn_id

    def address(self, mag: str) -> str:
        """A MAG's Proxy-CoA."""
        return str(self.run.care_of[mag])

    def clock(self, time: int) -> str:
        """A time, in ms from the scenario's zero."""
        return f"{(time - self.run.epoch) / 1e6:.3f} ms"


Finder = Callable[[View, int], Evidence | None]


@dataclass(frozen=True, slots=True)
class ProcedureStep:
    """A numbered step: what happens, what to look for, and how: in a view, not before a time (ns), or None where it is not there."""

    number: int
    text: str
    wanted: str
    find: Finder


@dataclass(frozen=True, slots=True)
class Procedure:
    """A figure of the draft: its numbered steps, each of which begins after the one before is done."""

    name: str
    title: str
    steps: tuple[ProcedureStep, ...]


def find(procedure: Procedure, trace: Trace, run: Deployment) -> tuple[Step, ...]:
    """Look for each step in turn; one that is missing is reported with what was looked for, and the next is looked for all the same."""
    view = _view(trace, run)
    done = 0
    steps = []
    for step in procedure.steps:
        evidence = step.find(view, done) if view else None
        if evidence is None:
            steps.append(Step(step.number, step.text, f"missing: {step.wanted}"))
        else:
            done = evidence.done
            steps.append(Step(step.number, step.text, evidence.text, evidence.time, evidence.node))
    return tuple(steps)


def _view(trace: Trace, run: Deployment) -> View | None:
    if not run.scenario.flows:
        return None
    flow = run.scenario.flows[0]
    places, start = Places(run, trace), run.epoch + round(flow.start * 1e9)
    lma = run.anchors[0].name if run.anchors else None
    return View(trace, run, flow.destination, places.at(flow.destination, start), flow.source, places.at(flow.source, start), lma)


# What steps are made of


def _connection(view: View, after: int) -> Evidence | None:
    """The MN's association with its MAG, and the advertisement from which it makes its HoA."""
    for association in view.trace.associations:
        if (association.node, association.mag) == (view.mn, view.mn_mag):
            for signal in view.trace.signals:
                if signal.kind == "RA" and signal.sender == view.mn_mag and signal.home == str(view.prefix):
                    heard = next((time for node, time in signal.arrivals if node == view.mn and time >= association.time), None)
                    if heard is not None:
                        text = f"{view.mn} associates with {view.mn_mag}, which then advertises {signal.home} to it"
                        return Evidence(association.time, view.mn, association.time, text)
    return None


def _message(
    view: View, after: int, kind: str, sender: str | None, receiver: str | None, fits: Callable[[Signal], bool]
) -> Evidence | None:
    for signal in view.trace.signals:
        if signal.kind != kind or signal.sender != sender or signal.sent < after or signal.malformed is not None or not fits(signal):
            continue
        heard = next((time for node, time in signal.arrivals if node == receiver), None)
        if heard is not None:
            text = f"{kind} {sender} → {receiver}, on its way {(heard - signal.sent) / 1e6:.3f} ms"
            return Evidence(signal.sent, signal.sender, heard, text)
    return None


def _about_mn(view: View) -> Callable[[Signal], bool]:
    return lambda signal: signal.mn_id == view.mn_id and signal.lifetime != 0


def _asks_for_mn(view: View) -> Callable[[Signal], bool]:
    return lambda signal: _within(signal.home, view.prefix)


def _within(home: str | None, prefix: IPv6Network) -> bool:
    return home is not None and IPv6Network(home).subnet_of(prefix)


def _update(view: View, after: int) -> Evidence | None:
    return _message(view, after, "PBU", view.mn_mag, view.lma, _about_mn(view))


def _acknowledgement(view: View, after: int) -> Evidence | None:
    return _message(view, after, "PBA", view.lma, view.mn_mag, lambda signal: _about_mn(view)(signal) and signal.status == 0)


def _unicast_query(view: View, after: int) -> Evidence | None:
    return _message(view, after, "PBQ", view.cn_mag, view.lma, _asks_for_mn(view))


def _multicast_query(view: View, after: int) -> Evidence | None:
    def fits(signal: Signal) -> bool:
        everyone = {mag.name for mag in view.run.mags} - {view.cn_mag}
        to_group = signal.tunnelled and IPv6Address(signal.destination).is_multicast
        return to_group and _asks_for_mn(view)(signal) and everyone <= {node for node, _ in signal.arrivals}

    found = _message(view, after, "PBQ", view.cn_mag, view.mn_mag, fits)
    return found and Evidence(found.time, found.node, found.done, f"PBQ {view.cn_mag} → every other MAG, IP-in-IP to the group")


def _answer(view: View, after: int, sender: str | None) -> Evidence | None:
    def fits(signal: Signal) -> bool:
        care_of = signal.care_of or signal.source
        return signal.status == 0 and care_of == view.address(view.mn_mag) and _within(signal.home, view.prefix)

    return _message(view, after, "PQA", sender, view.cn_mag, fits)


def _answer_of_lma(view: View, after: int) -> Evidence | None:
    return _answer(view, after, view.lma)


def _answer_of_mag(view: View, after: int) -> Evidence | None:
    return _answer(view, after, view.mn_mag)


def _of_first_flow(view: View) -> Iterator[Packet]:
    return (packet for packet in view.trace.packets if packet.flow == 0)


def _first_data(view: View, after: int) -> Evidence | None:
    for packet in _of_first_flow(view):
        if packet.sent >= after and view.cn_mag in packet.seen:
            text = f"packet {packet.sequence} of {view.cn} comes to {view.cn_mag}"
            return Evidence(packet.sent, view.cn, packet.seen[view.cn_mag], text)
    return None


def _tunnelled_data(view: View, after: int) -> Evidence | None:
    for packet in _of_first_flow(view):
        left, came = packet.tunnelled.get(view.cn_mag), packet.seen.get(view.mn_mag)
        if left is not None and came is not None and after <= left <= came:
            text = f"packet {packet.sequence}, encapsulated, {view.cn_mag} → {view.mn_mag}, on its way {(came - left) / 1e6:.3f} ms"
            return Evidence(left, view.cn_mag, came, text)
    return None


def _delivered_data(view: View, after: int) -> Evidence | None:
    for packet in _of_first_flow(view):
        came = packet.seen.get(view.mn_mag)
        if came is not None and packet.received is not None and after <= came <= packet.received:
            text = f"packet {packet.sequence} reaches {view.mn}, {(packet.received - packet.sent) / 1e6:.3f} ms after {view.cn} sent it"
            return Evidence(came, view.mn_mag, packet.received, text)
    return None


_CONNECTION = "an association of the MN with its MAG and an advertisement of its home network prefix"
_DATA = "a packet from the CN at its MAG"
_TUNNELLED = "a packet that leaves the CN's MAG encapsulated and comes to the MN's MAG, once the answer was there"
_DELIVERED = "a packet from the MN's MAG at the MN"

FIGURE_1 = Procedure(
    "fig1",
    "S-PMIP operations (draft, 3.2.1)",
    (
        ProcedureStep(1, "The MN connects to its MAG and gets its HoA", _CONNECTION, _connection),
        ProcedureStep(2, "The MN's MAG sends a PBU to the LMA: HoA and CoA", "a PBU for the MN from its MAG at the LMA", _update),
        ProcedureStep(3, "The LMA makes a binding and answers with a PBA", "an accepting PBA from the LMA", _acknowledgement),
        ProcedureStep(4, "The CN sends a packet to the MN", _DATA, _first_data),
        ProcedureStep(5, "The CN's MAG asks the LMA for the CoA: PBQ", "a PBQ for the MN from the CN's MAG at the LMA", _unicast_query),
        ProcedureStep(6, "The LMA answers with the CoA: PQA", "a PQA with the CoA of the MN's MAG from the LMA", _answer_of_lma),
        ProcedureStep(7, "The CN's MAG sends the packets through a tunnel to the MN's MAG", _TUNNELLED, _tunnelled_data),
        ProcedureStep(8, "The MN's MAG forwards them to the MN", _DELIVERED, _delivered_data),
    ),
)

FIGURE_2 = Procedure(
    "fig2",
    "SD-PMIP operations (draft, 3.3.1)",
    (
        ProcedureStep(1, "The MN connects to its MAG", _CONNECTION, _connection),
        ProcedureStep(2, "The CN sends a packet to the MN", _DATA, _first_data),
        ProcedureStep(
            3, "The CN's MAG asks all MAGs by multicast: PBQ", "a PBQ for the MN, IP-in-IP, at every other MAG", _multicast_query
        ),
        ProcedureStep(4, "The MN's MAG alone answers: PQA", "a PQA from the MN's MAG at the CN's MAG", _answer_of_mag),
        ProcedureStep(5, "The CN's MAG sends packets through a tunnel to the MN's MAG", _TUNNELLED, _tunnelled_data),
        ProcedureStep(6, "The MN's MAG forwards them to the MN", _DELIVERED, _delivered_data),
    ),
)

PROCEDURES: Mapping[str, Procedure] = MappingProxyType({figure.name: figure for figure in (FIGURE_1, FIGURE_2)})


# Table 1

TABLE_1 = "table1"


def table1_row(trace: Trace, run: Deployment) -> Table1Row:
    """The row of the run's scheme in Table 1 of the draft, beside what the captures show."""
    scheme = run.scheme
    measured = _observe(trace, run)
    return Table1Row(scheme.name, tuple(Table1Cell(name, cell, measured[name]) for name, cell in _row_of(scheme).items()))


def _row_of(scheme: Scheme) -> dict[str, str]:
    return _cells(" ".join(scheme.agents), scheme.architecture, scheme.binding_update, scheme.delivery, scheme.query)


def _observe(trace: Trace, run: Deployment) -> dict[str, str]:
    mobility = [signal for signal in trace.signals if signal.kind not in ("RS", "RA")]
    kinds = {mag.name: "MAG" for mag in run.mags} | dict.fromkeys(run.lma_names, "LMA")
    at_work = {node for packet in trace.packets for node in packet.tunnelled} | {signal.sender for signal in trace.signals}
    at_work |= {node for signal in mobility for node, _ in signal.arrivals}
    agents = " ".join(kind for kind in ("MAG", "LMA") if kind in {kinds.get(node) for node in at_work})
    update = any(signal.kind == "PBU" for signal in mobility)
    return _cells(agents, _architecture(trace, run, mobility), update, _delivery(trace, mobility), _query(mobility))


def _cells(agents: str, architecture: Architecture, update: bool, delivery: Delivery, query: Query) -> dict[str, str]:
    return {
        "Agents": agents,
        "Mobility Architecture": architecture.value,
        "Binding Update": "used" if update else "not used",
        "Data Delivery": delivery.value,
        "Binding Query": "not used" if query is Query.NONE else f"used ({query.value})",
    }


def _architecture(trace: Trace, run: Deployment, mobility: list[Signal]) -> Architecture:
    """Centralized where data goes through the LMA, partially distributed where only signalling does, fully distributed without it."""
    if trace.lma_data_packets:
        return Architecture.CENTRALIZED
    lmas = run.lma_names
    if any(signal.sender in lmas or lmas & {node for node, _ in signal.arrivals} for signal in mobility):
        return Architecture.PARTIALLY_DISTRIBUTED
    return Architecture.FULLY_DISTRIBUTED if mobility else Architecture.NONE


def _delivery(trace: Trace, mobility: list[Signal]) -> Delivery:
    """Signal driven where packets are tunnelled once a query is answered, data driven where they are without any."""
    tunnelled = [time for packet in trace.packets for time in packet.tunnelled.values()]
    if not tunnelled:
        return Delivery.ROUTED
    answered = [time for signal in mobility if signal.kind == "PQA" and signal.status == 0 for _, time in signal.arrivals]
    return Delivery.SIGNAL_DRIVEN if answered and min(answered) < max(tunnelled) else Delivery.DATA_DRIVEN


def _query(mobility: list[Signal]) -> Query:
    destinations = [IPv6Address(signal.destination) for signal in mobility if signal.kind == "PBQ"]
    if not destinations:
        return Query.NONE
    return Query.MULTICAST if any(destination.is_multicast for destination in destinations) else Query.UNICAST
