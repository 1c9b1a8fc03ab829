"""The way of the test packets: out of their host, from node to node as the MAGs and the LMA send them, and over the last access link."""

from __future__ import annotations

from collections import defaultdict

from agents.config import FirstPacket
from agents.messages import BindingError
from agents.schemes import Delivery
from experiments.measure.records import Reason
from experiments.model.localized import LocalizedRouting
from experiments.model.network import IPV6, Datagram, ModelledAttachment, Network
from experiments.model.queries import Queries
from topologies.timing import SECOND, crossing, nanoseconds

_NEIGHBOUR_DISCOVERY = 72
_RESOLUTION = 3 * SECOND
_BINDING_ERROR_INTERVAL = SECOND // 20
_LONG_AGO = -3600 * SECOND


class Packets:
    """The test packets of a run, and what each node does with them.

    Attributes:
        queries: what MAGs know of hosts elsewhere, and the packets that wait at them.
        submitted: every packet that a host has sent.
        lma_load: the size of each that came to the LMA, with its tunnel's header.
    """

    def __init__(self, network: Network, localized: LocalizedRouting) -> None:
        self.queries = Queries(network, self.to_mag)
        self.submitted: list[Datagram] = []
        self.lma_load: list[int] = []
        self._network = network
        self._localized = localized
        self._waiting: dict[str, list[Datagram]] = defaultdict(list)
        self._delivered = 0
        self._told: dict[tuple[str, str, str], int] = {}

    def submit(self, host: str, datagram: Datagram) -> None:
        """A host that knows its router sends; another lets packets wait for an advertisement, until address resolution is given up."""
        attachment = self._network.at[host]
        if attachment is not None and attachment.router_known:
            self._emit(host, attachment, datagram)
            return
        waiting = self._waiting[host]
        waiting.append(datagram)
        if len(waiting) == 1:
            self._network.later(self._network.now + _RESOLUTION, lambda: waiting.clear() if waiting[:1] == [datagram] else None)

    def advertised(self, host: str, attachment: ModelledAttachment) -> None:
        """The MAG's advertisement tells the host its router's link-layer address; what waited goes out."""
        if self._network.at[host] is attachment:
            attachment.router_known = True
            for datagram in self._waiting[host]:
                self._emit(host, attachment, datagram)
            self._waiting[host].clear()

    def _emit(self, host: str, attachment: ModelledAttachment, datagram: Datagram) -> None:
        network = self._network
        datagram.sent = datagram.seen[host] = network.now
        self.submitted.append(datagram)

        def arrive() -> None:
            if network.at[host] is attachment:
                attachment.last_frame = network.now
                self._from_access(attachment, datagram)
            else:
                datagram.lost = Reason.IN_THE_AIR

        network.later(network.now + crossing(network.domain.access, datagram.size), arrive, packet=True)

    def _from_access(self, source: ModelledAttachment, datagram: Datagram) -> None:
        network, mag, host = self._network, source.mag, datagram.destination
        datagram.seen.setdefault(mag, network.now)
        there = network.here(mag, host)
        if network.scheme.delivery is Delivery.ROUTED:
            self._routed(mag, datagram)
        elif network.scheme.delivery is Delivery.DATA_DRIVEN:
            if not source.served:
                datagram.lost = Reason.NO_ROUTE
            elif (past_anchor := self._localized.past_anchor(mag, host)) is None:
                network.tunnel(mag, network.lma, datagram, self._at_lma)
            elif past_anchor != mag:
                self.to_mag(mag, past_anchor, datagram)
            else:
                self.deliver(mag, datagram)
        elif there is None:
            self.queries.resolve(mag, datagram, self._wait)
        elif there.served:
            self.deliver(mag, datagram)
        else:
            self.queries.hold(mag, datagram)

    def _routed(self, mag: str, datagram: Datagram) -> None:
        """Without mobility management the destination's address stays that of the MAG at which it was at first."""
        network, home = self._network, self._network.hosts[datagram.destination].mag

        def arrive() -> None:
            datagram.seen.setdefault(home, network.now)
            self.deliver(home, datagram)

        network.later(network.now + network.transit(mag, home, datagram.size), arrive, packet=True)

    def _wait(self, mag: str, datagram: Datagram) -> None:
        """A packet from an access link, until its query is answered."""
        if self._network.group and self._network.settings.first_packet is FirstPacket.MULTICAST:
            for other in self._network.others(mag):
                self._network.tunnel(mag, other, datagram, self._from_group)
        else:
            self.queries.hold(mag, datagram)

    def to_mag(self, sender: str, mag: str, datagram: Datagram) -> None:
        """Through the tunnel to a MAG."""
        self._network.tunnel(sender, mag, datagram, self._from_tunnel)

    def _at_lma(self, sender: str, lma: str, datagram: Datagram) -> None:
        network = self._network
        self.lma_load.append(datagram.size + IPV6)
        binding = network.bindings.get(datagram.destination)
        if binding is not None and not binding.leaving:
            self.to_mag(lma, binding.mag, datagram)
        else:
            datagram.lost = Reason.NO_ROUTE
        if network.scheme.localized_routing:
            self._localized.detected(network.run.scenario.flows[datagram.flow].source, datagram.destination, sender)

    def _from_tunnel(self, sender: str, mag: str, datagram: Datagram) -> None:
        network, host = self._network, datagram.destination
        there = network.here(mag, host)
        datagram.lost = Reason.NODE_LEFT if there is None else Reason.NO_ROUTE
        if there is not None:
            if there.served:
                self.deliver(mag, datagram)
            elif network.policy.forwards:
                self.queries.hold(mag, datagram)
        elif network.policy.forwards:
            self._forward(sender, mag, datagram)
        elif network.policy.reports and network.now - self._told.get((mag, sender, host), _LONG_AGO) >= _BINDING_ERROR_INTERVAL:
            self._told[mag, sender, host] = network.now
            error = BindingError(status=1, home_address=network.home_address(host))
            network.send(error, mag, [sender], lambda _: self.queries.mistaken(sender, host, mag))

    def _forward(self, sender: str, mag: str, datagram: Datagram) -> None:
        """What a MAG does with a packet for a host that it does not have, if the policy is to send it on."""
        network, host = self._network, datagram.destination
        handover = network.handovers.get((mag, host))
        if (mag, host) in network.expected or (handover is not None and handover.left and not handover.accepted):
            if not self.queries.waiting(mag, host):
                overdue = network.now + nanoseconds(network.settings.query_timeout)
                network.later(overdue, lambda: self._ask_after(mag, host))
            self.queries.hold(mag, datagram)
            return
        if handover is not None and handover.left and handover.to != sender:
            self.to_mag(mag, handover.to, datagram)
            return
        if handover is not None and handover.left:
            del network.handovers[mag, host]
        self.queries.mistaken(mag, host, sender)
        self.queries.resolve(mag, datagram, self.queries.hold)

    def _ask_after(self, mag: str, host: str) -> None:
        """A MAG that has held packets for a while for a host that is announced, or for the next MAG's answer, asks where it is."""
        if self.queries.waiting(mag, host):
            self.queries.ask(mag, host)

    def _from_group(self, _: str, mag: str, datagram: Datagram) -> None:
        there = self._network.here(mag, datagram.destination)
        if there is not None and there.served:
            self.deliver(mag, datagram)
        elif datagram.lost is Reason.UNDER_WAY:
            datagram.lost = Reason.NO_ROUTE

    def deliver(self, mag: str, datagram: Datagram) -> None:
        """Over the access link, once neighbour discovery there is done; what has not arrived when the node leaves is lost."""
        network, host = self._network, datagram.destination
        attachment = network.here(mag, host)
        if attachment is None:
            datagram.lost = Reason.NODE_LEFT
            return
        datagram.lost = Reason.IN_THE_AIR
        access = network.domain.access
        if attachment.resolved is None:
            attachment.resolved = network.now + 2 * crossing(access, _NEIGHBOUR_DISCOVERY)
        leaves = max(network.now, attachment.resolved)

        def forward() -> None:
            if network.at[host] is attachment:
                attachment.last_frame = network.now
                datagram.delivered.setdefault(mag, network.now)
                network.later(network.now + crossing(access, datagram.size), arrive, packet=True)

        def arrive() -> None:
            if network.at[host] is attachment:
                datagram.seen.setdefault(host, network.now)
                if datagram.received is None:
                    datagram.received, datagram.order = network.now, self._delivered
                self._delivered += 1
                datagram.copies += 1

        network.later(leaves, forward, packet=True)
