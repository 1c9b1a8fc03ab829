"""A domain built with Mininet, configured over netlink from this one process: ``Testbed(domain).start()``."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from mininet.log import warn
from mininet.net import Mininet
from mininet.topo import Topo

from agents.linux.neighbours import REMEMBERED
from topologies.addresses import ALL_MAGS_LINK_LOCAL, ALL_MAGS_MAC
from topologies.domain import Domain
from topologies.linux import netlink
from topologies.linux.detour import Detour, Treatment, Word
from topologies.linux.nodes import Bridge, NetworkNode, Router, StockHost, Wires, end_children, end_others
from topologies.linux.radio import Radio
from topologies.linux.wire import Wire
from topologies.routing import agents, core_interfaces, multicast_routes, neighbour_count, neighbours, routes

_DISCARD = 9
_NO_IPV4 = {"ip": None, "mac": None}


class DomainTopo(Topo):  # type: ignore[misc]
    """A domain's nodes and core links as Mininet's topology; radios are no part of it, since they move."""

    def build(self, domain: Domain) -> None:
        """Add the nodes and core links of ``domain``."""
        for agent in agents(domain):
            self.addHost(agent.name, cls=Router, **_NO_IPV4)
        for host in domain.hosts:
            self.addHost(host.name, cls=StockHost, **_NO_IPV4)
        for number, core in enumerate(domain.core, 1):
            if core.routed:
                self.addHost(core.name, cls=Router, **_NO_IPV4)
            else:
                self.addSwitch(core.name, cls=Bridge, dpid=f"{number:x}")
        ends = core_interfaces(domain)
        for link, a, b in zip(domain.links, ends[::2], ends[1::2], strict=True):
            self.addLink(link.a, link.b, settings=link.settings, addr1=a.mac, addr2=b.mac)


class Testbed(Mininet):  # type: ignore[misc]
    """A Mininet network made of a domain; hosts are not associated with a MAG until ``attach``.

    Everything of Mininet's works on it: ``net.get('mag1').cmd('ip -6 route')``, ``CLI(net)``, ``net.hosts``, ``net.addLink``. It needs
    CAP_SYS_ADMIN and CAP_NET_ADMIN, /proc writable, and nothing else. A ``with`` statement stops it at its end.

    Attributes:
        domain: the declaration that it was made of.
        wires: the hidden namespace with the inner ends of all links.
        radios: host name to its radio.
    """

    __test__ = False  # not a test, whatever pytest makes of its name
    wires: Wires | None = None

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.radios: dict[str, Radio] = {}
        self._ready = False
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        inited, Mininet.inited = Mininet.inited, True  # Mininet's own set-up changes settings of the whole machine
        try:
            super().__init__(DomainTopo(domain), switch=Bridge, host=StockHost, controller=None, link=Wire, intf=None, build=False)
        finally:
            Mininet.inited = inited

    def __enter__(self) -> Testbed:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def build(self) -> None:
        """Make the network; ``start`` does it where it has not been done."""
        try:
            netlink.make_room_for_neighbours(neighbour_count(self.domain), REMEMBERED * len(self.domain.hosts))
            self.wires = self.nameToNode["wires"] = Wires("wires")
            super().build()
            for host in self.domain.hosts:
                names = {"intfName1": host.interface, "intfName2": host.air}
                addresses = {"addr1": host.mac, "addr2": ALL_MAGS_MAC}
                wire = self.addLink(host.name, "wires", settings=self.domain.access, plugged=False, **names, **addresses)
                self.radios[host.name] = Radio(host, wire)
            self._configure_core()
            self._realise(self.links)
            self._route_multicast()
            self._ready = True
        except BaseException:
            self.stop()
            raise

    def configHosts(self) -> None:
        """Nothing: hosts are stock, and whatever else is configured over netlink."""

    def addLink(self, node1: Any, node2: Any, *args: Any, **params: Any) -> Wire:
        """Join two nodes by a wire with ``settings`` (LinkSettings), also while the network runs."""
        wire: Wire = super().addLink(node1, node2, *args, **{"wires": self.wires, **params})
        if self._ready:
            self._realise([wire])
        return wire

    def _configure_core(self) -> None:
        for end in core_interfaces(self.domain):
            if end.address is not None and end.prefix is not None:
                interface = self[end.node].intf(end.name)
                self[end.node].namespace.queue(netlink.address(interface.index, end.address, end.prefix))
        for name in self._routers():
            node = self[name]
            for route in routes(self.domain, name):
                node.namespace.queue(netlink.route(node.intf(route.interface).index, route.prefix, route.via))

    def _routers(self) -> list[str]:
        return [*(agent.name for agent in agents(self.domain)), *(core.name for core in self.domain.core if core.routed)]

    def _realise(self, links: list[Wire]) -> None:
        assert self.wires is not None
        self.wires.namespace.flush()
        for node in self.values():
            node.namespace.flush()
        for link in links:
            link.ready()

    def _route_multicast(self) -> None:
        for core in self.domain.core:
            if core.routed:
                try:
                    self[core.name].route_multicast(multicast_routes(self.domain, core.name))
                except OSError as error:
                    warn(f"*** {core.name} does not forward multicast, which SD-PMIP needs on a routed core: {error.strerror}\n")

    def stop(self) -> None:
        """End every process that was started in the network, and the network; a second call does nothing."""
        if self.terms:
            self.stopXterms()
        nodes = [*self.values(), *([self.wires] if self.wires else [])]
        end_children(nodes)
        end_others(nodes)
        for node in nodes:
            node.terminate()

    def attach(self, host: str | NetworkNode, mag: str | NetworkNode) -> None:
        """Associate a host's radio with a MAG; names or nodes."""
        self.radios[str(host)].attach(self[str(mag)])

    def announce(self, host: str | NetworkNode, to: str | NetworkNode) -> None:
        """Tell a host's MAG, as its link layer would, that the host is about to leave for the MAG ``to``."""
        address = next(mag.address for mag in self.domain.mags if mag.name == str(to))
        self.radios[str(host)].announce(address)

    def detach(self, host: str | NetworkNode) -> None:
        """End the association of a host's radio."""
        self.radios[str(host)].detach()

    def handover(self, mn: str | NetworkNode, to: str | NetworkNode, l2_gap: float, sleep: Callable[[float], object] = time.sleep) -> None:
        """Move a mobile node: it leaves its MAG and is associated with ``to`` ``l2_gap`` s later."""
        self.detach(mn)
        sleep(l2_gap)
        self.attach(mn, to)

    def detour(
        self, node: str, interface: str, matches: Iterable[Iterable[Word]], treatment: Treatment, inward: bool = False
    ) -> Callable[[], None]:
        """Have packets treated that match and leave ``node`` by ``interface``, or with ``inward`` come in there; returns what ends it."""
        assert self.wires is not None
        end = self[node].intf(interface)
        return Detour(self.wires, end.far if inward else end, matches, treatment).close

    def addresses(self, host: str | NetworkNode) -> list[IPv6Address]:
        """The global addresses that a host can use now."""
        node = self[str(host)]
        return node.namespace.addresses(node.defaultIntf().index)  # type: ignore[no-any-return]

    def wait_for_address(self, host: str | NetworkNode, prefix: IPv6Network | None = None, timeout: float = 30.0) -> IPv6Address:
        """A host's first global address (in ``prefix``), as soon as it can use it; TimeoutError after ``timeout`` s."""
        node = self[str(host)]
        try:
            return node.namespace.wait_for_address(node.defaultIntf().index, prefix, timeout)  # type: ignore[no-any-return]
        except TimeoutError as error:
            raise TimeoutError(f"{node.name} has {error}") from None

    def warm(self) -> None:
        """Have every neighbour resolved: those of the core are written down, since n nodes on a bridge would need n^3 frames to ask each
        other, and from each host's global addresses one empty datagram goes to the discard port of its default router, which answers."""
        for end, other in neighbours(self.domain):
            assert other.address is not None
            self[end.node].namespace.queue(netlink.neighbour(self[end.node].intf(end.name).index, other.address, other.mac))
        for name in self._routers():
            self[name].namespace.flush()
        for host in self.domain.hosts:
            node = self[host.name]
            for source in self.addresses(node):
                with node.within(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
                    sender.bind((str(source), 0))
                    sender.sendto(b"", (str(ALL_MAGS_LINK_LOCAL), _DISCARD, 0, node.defaultIntf().index))


def build(domain: Domain) -> Testbed:
    """The running network of ``domain``, every host associated with the MAG that the domain says."""
    testbed = Testbed(domain)
    testbed.start()
    for host in domain.hosts:
        testbed.attach(host.name, host.mag)
    return testbed
