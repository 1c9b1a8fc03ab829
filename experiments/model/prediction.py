"""A run played by arithmetic: its flows and moves, and the trace that they leave."""

from __future__ import annotations

from experiments.declare.deployment import Deployment
from experiments.declare.scenario import DRAIN, Flow, Move
from experiments.measure.records import Loss, Packet, Trace
from experiments.model.handovers import Handovers
from experiments.model.localized import LocalizedRouting
from experiments.model.mobility import Mobility
from experiments.model.network import IPV6, Datagram, Network
from experiments.model.packets import Packets
from topologies.timing import nanoseconds

_UDP = 8


def predict(run: Deployment) -> Trace:
    """The trace that the captures of the run should give, from the scenario's zero on."""
    return Prediction(run).trace()


class Prediction:
    """One run; after ``trace``, ``tied`` says whether packets of one flow came to a node at one moment by different ways: nothing that the
    model knows tells which of them is first."""

    def __init__(self, run: Deployment) -> None:
        self._run = run
        self._network = Network(run)
        localized = LocalizedRouting(self._network)
        self._packets = Packets(self._network, localized)
        self._mobility = Mobility(self._network, self._packets, localized)
        self._handovers = Handovers(self._network, self._packets)

    @property
    def tied(self) -> bool:
        return self._network.tied

    def trace(self) -> Trace:
        """Play the scenario."""
        scenario, network = self._run.scenario, self._network
        for number, flow in enumerate(scenario.flows):
            for sequence in range(flow.packets):
                self._schedule_packet(number, flow, sequence)
        for move in scenario.moves:
            self._schedule_move(move)
        network.play(self._at(scenario.duration + DRAIN))
        datagrams = sorted(self._packets.submitted, key=lambda d: (d.flow, d.sequence))
        packets = tuple(
            Packet(d.flow, d.sequence, d.sent, d.received, d.copies, d.seen, d.tunnelled, d.order, d.released, d.delivered)
            for d in datagrams
        )
        return Trace(
            packets=packets,
            signals=tuple(sorted(network.signals, key=lambda signal: signal.sent)),
            associations=tuple(self._mobility.associations),
            lma_data_packets=len(self._packets.lma_load),
            lma_data_bytes=sum(self._packets.lma_load),
            losses=tuple(
                Loss(d.flow, d.sequence, packet.last_seen, None, d.lost)
                for d, packet in zip(datagrams, packets, strict=True)
                if d.received is None
            ),
        )

    def _schedule_packet(self, number: int, flow: Flow, sequence: int) -> None:
        datagram = Datagram(number, sequence, flow.destination, IPV6 + _UDP + flow.size)
        time = self._run.epoch + flow.sent_at(sequence)
        self._network.later(time, lambda: self._packets.submit(flow.source, datagram), packet=True)

    def _schedule_move(self, move: Move) -> None:
        leaves = self._at(move.at)
        back = leaves + nanoseconds(move.l2_gap)
        if move.notice and self._network.policy.prepares:
            self._network.later(leaves - nanoseconds(move.notice), lambda: self._handovers.going(move.mn, move.to))
        self._network.later(leaves, lambda: self._mobility.leave(move.mn, move.to, back))

    def _at(self, seconds: float) -> int:
        return self._run.epoch + nanoseconds(seconds)
