"""Association and handover: a wire whose MAG end moves between namespaces, as a radio moves between access points."""

from __future__ import annotations

from ipaddress import IPv6Address

from topologies.domain import Host
from topologies.layer_2_update import layer_2_update
from topologies.linux import netlink
from topologies.linux.nodes import NetworkNode, Wires
from topologies.linux.wire import Wire


class Radio:
    """The radio of ``host``; ``mag`` is the MAG that it is associated with, or None."""

    def __init__(self, host: Host, wire: Wire) -> None:
        self.host = host
        self.mag: NetworkNode | None = None
        self._wires: Wires = wire.wires
        self._own, self._air = wire.intf1, wire.intf2
        self._announced = False
        self._wires.namespace.queue(netlink.set_alias(self._air.index, host.alias))
        self._own.node.namespace.queue(netlink.keep_neighbours(self._own.index))

    def attach(self, mag: NetworkNode) -> None:
        """Associate with ``mag``, leaving another first; the host's carrier is there, and the Layer 2 Update sent, when this returns."""
        self.detach()
        station: NetworkNode = self._own.node
        station.namespace.queue(netlink.set_up(self._own.index))
        station.namespace.flush()
        self._wires.namespace.queue(
            netlink.move(self._air.index, mag.namespace, up=True),
            netlink.set_up(self._air.inner_index),
            netlink.set_up(self._own.inner_index),
        )
        self._wires.namespace.flush()
        mag.namespace.queue(netlink.keep_neighbours(self._air.index))
        mag.namespace.flush()
        mag.namespace.settle(self._air.name)
        self._settle(station)
        self._air.relocate(mag)
        self.mag = mag
        self._wires.send_frame(self._air.inner, layer_2_update(self.host.mac))

    def announce(self, to: IPv6Address) -> None:
        """Have the link layer tell the MAG that the host is about to leave for the MAG with the address ``to``."""
        if self.mag is not None:
            self._announced = True
            self.mag.namespace.queue(netlink.set_alias(self._air.index, f"{self.host.alias} next={to}"))
            self.mag.namespace.flush()

    def detach(self) -> None:
        """Leave the MAG, if there is one: the host's carrier is gone, and what was in the air with it, when this returns."""
        if self.mag is None:
            return
        self._wires.namespace.queue(
            netlink.set_up(self._own.inner_index, up=False),
            netlink.set_up(self._air.inner_index, up=False),
        )
        self._wires.namespace.flush()
        self.mag.namespace.queue(netlink.move(self._air.index, self._wires.namespace, up=False))
        self.mag.namespace.flush()
        self._settle(self._own.node)
        self._air.relocate(self._wires)
        self.mag = None
        if self._announced:
            self._announced = False
            self._wires.namespace.queue(netlink.set_alias(self._air.index, self.host.alias))

    def _settle(self, station: NetworkNode) -> None:
        self._wires.namespace.settle(self._air.inner)
        self._wires.namespace.settle(self._own.inner)
        station.namespace.settle(self._own.name)
