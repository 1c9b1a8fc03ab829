"""Hosts that leave a MAG and come to another, and how these register them with the LMA (RFC 5213)."""

from __future__ import annotations

from agents import messages
from agents.messages import ProxyBindingAcknowledgement, ProxyBindingUpdate
from experiments.measure.records import SeenAssociation
from experiments.model.localized import LocalizedRouting
from experiments.model.network import ModelledAttachment, ModelledBinding, Network
from experiments.model.notifications import Notifications
from experiments.model.packets import Packets
from topologies.timing import crossing, nanoseconds

_ROUTER_ADVERTISEMENT = 104


class Mobility:
    """The moves of the hosts.

    Attributes:
        associations: every coming of a host to a MAG, in order of time.
    """

    def __init__(self, network: Network, packets: Packets, localized: LocalizedRouting) -> None:
        self.associations: list[SeenAssociation] = []
        self._network = network
        self._packets = packets
        self._localized = localized
        self._notifications = Notifications(network, packets.queries)

    def leave(self, host: str, to: str, back: int) -> None:
        """The host loses its MAG and is associated with ``to`` at ``back``."""
        network, left = self._network, self._network.at[host]
        network.at[host] = None
        if left is not None:
            if (handover := network.handovers.get((left.mag, host))) is not None:
                handover.left = True
            self._localized.left(left.mag, host)
            if network.scheme.binding_update:
                self._register(host, left.mag, leaving=True)
        last_frame = left.last_frame if left is not None and left.mag != to else None
        network.later(back, lambda: self._attach(host, to, last_frame))

    def _attach(self, host: str, mag: str, last_frame: int | None) -> None:
        network = self._network
        self.associations.append(SeenAssociation(host, mag, network.now, last_frame))
        attachment = network.at[host] = ModelledAttachment(mag)
        self._packets.queries.arrived(mag, host)
        self._localized.arrived(mag, host)
        if network.scheme.binding_update:
            self._register(host, mag, leaving=False)
        if not network.scheme.binding_update or (mag, host) in network.expected:
            self._serve(host, attachment)

    def _serve(self, host: str, attachment: ModelledAttachment) -> None:
        network, mag = self._network, attachment.mag
        attachment.served = True
        network.expected.pop((mag, host), None)
        network.handovers.pop((mag, host), None)
        heard = network.now + crossing(network.domain.access, _ROUTER_ADVERTISEMENT)
        network.later(heard, lambda: self._packets.advertised(host, attachment))
        for datagram in self._packets.queries.take(mag, host):
            datagram.released.setdefault(mag, network.now)
            self._packets.deliver(mag, datagram)
        self._notifications.served(host, attachment)

    def _register(self, host: str, mag: str, leaving: bool) -> None:
        network = self._network
        update = ProxyBindingUpdate(
            sequence=network.next_sequence(mag),
            lifetime=0 if leaving else messages.lifetime_units(network.settings.binding_lifetime),
            mn_id=network.hosts[host].mn_id,
            home_network_prefixes=(network.prefix(host),),
            handoff_indicator=4,
            access_technology=4,
            link_layer_identifier=network.link_layer_identifier(host),
            timestamp=0,
        )
        attachment = network.at[host]

        def registered(lma: str) -> None:
            acknowledgement = ProxyBindingAcknowledgement(
                status=0,
                sequence=update.sequence,
                lifetime=update.lifetime,
                mn_id=update.mn_id,
                home_network_prefixes=update.home_network_prefixes,
                handoff_indicator=update.handoff_indicator,
                access_technology=update.access_technology,
                timestamp=0,
                link_layer_identifier=update.link_layer_identifier,
            )
            network.send(acknowledgement, lma, [mag], acknowledged)
            if leaving:
                self._unbind(host, mag)
            else:
                self._bind(host, mag)

        def acknowledged(_: str) -> None:
            if not leaving and attachment is not None and network.at[host] is attachment and not attachment.served:
                self._serve(host, attachment)

        network.send(update, mag, [network.lma], registered)

    def _bind(self, host: str, mag: str) -> None:
        bindings = self._network.bindings
        before, bindings[host] = bindings.get(host), ModelledBinding(mag)
        moved = before is None or before.mag != mag
        if moved:
            self._notifications.bound(host, mag)
        if before is None or before.leaving:
            self._localized.came(host, None)
        elif moved:
            self._localized.came(host, before.mag)
        self._packets.queries.answer_held(host)

    def _unbind(self, host: str, mag: str) -> None:
        """The LMA deletes the binding after ``binding.delete_delay``, if nothing comes between."""
        network, binding = self._network, self._network.bindings.get(host)
        if binding is None or binding.mag != mag:
            return
        expires = network.now + nanoseconds(network.settings.binding_delete_delay)
        gone = network.bindings[host] = ModelledBinding(mag, leaving=True, expires=expires)

        def delete() -> None:
            if network.bindings.get(host) is gone:
                del network.bindings[host]
                self._localized.gone(host)
                self._packets.queries.answer_held(host)

        network.later(expires, delete)
