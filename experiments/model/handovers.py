"""``predict``: the MAG that a host is about to leave tells the one to which it goes (RFC 5949)."""

from __future__ import annotations

from agents.messages import HandoverAcknowledge, HandoverInitiate
from experiments.model.network import Handover, Network
from experiments.model.packets import Packets
from topologies.timing import nanoseconds


class Handovers:
    """Hosts that are announced to the MAG to which they go."""

    def __init__(self, network: Network, packets: Packets) -> None:
        self._network = network
        self._packets = packets

    def going(self, host: str, to: str) -> None:
        """The link layer tells the MAG where the host is about to go, and the MAG tells that one (RFC 5949, 4.1)."""
        network, attachment = self._network, self._network.at[host]
        if attachment is None or not attachment.served or attachment.mag == to:
            return
        mag, handover = attachment.mag, Handover(to)
        network.handovers[mag, host] = handover

        def forget() -> None:
            if network.handovers.get((mag, host)) is handover:
                del network.handovers[mag, host]

        network.later(network.now + nanoseconds(network.settings.query_lifetime), forget)
        initiate = HandoverInitiate(
            sequence=network.next_sequence(mag),
            code=3,
            buffer=True,
            forward=True,
            mn_id=network.hosts[host].mn_id,
            home_network_prefixes=(network.prefix(host),),
            anchor_address=network.run.agent[network.lma].address if network.lma else None,
            link_layer_identifier=network.link_layer_identifier(host),
            timestamp=0,
        )
        network.send(initiate, mag, [to], lambda _: self._initiated(mag, host, handover, initiate))

    def _initiated(self, mag: str, host: str, handover: Handover, initiate: HandoverInitiate) -> None:
        """The next MAG expects the host, for some time, after which it asks where the host is, if packets wait for it."""
        network, queries, to = self._network, self._packets.queries, handover.to
        network.expected[to, host] = handover

        def give_up() -> None:
            if network.expected.get((to, host)) is handover:
                del network.expected[to, host]
                if queries.waiting(to, host):
                    queries.ask(to, host)

        def accepted(_: str) -> None:
            handover.accepted = True
            if handover.left and network.handovers.get((mag, host)) is handover:
                for datagram in queries.take(mag, host):
                    self._packets.to_mag(mag, to, datagram)

        network.later(network.now + nanoseconds(network.settings.handover_time), give_up)
        answer = HandoverAcknowledge(
            sequence=initiate.sequence,
            code=5,
            forward=True,
            mn_id=initiate.mn_id,
            link_layer_identifier=initiate.link_layer_identifier,
            timestamp=0,
        )
        network.send(answer, to, [mag], accepted)
