"""The wire (docs/architecture.md): a Mininet link whose delay, rate and loss lie between the two nodes' captures."""

from __future__ import annotations

from typing import Any

from mininet.link import Intf, Link

from topologies.addresses import mac
from topologies.domain import INNER, LinkSettings
from topologies.linux import netlink
from topologies.linux.nodes import NetworkNode, Wires


class WireEnd(Intf):  # type: ignore[misc]
    """A node's end of a wire.

    Attributes:
        index: its interface index.
        inner: the name of its peer in the hidden namespace; ``inner_index`` is that one's index.
    """

    link: Wire
    node: NetworkNode
    index: int
    inner_index: int

    @property
    def far(self) -> WireEnd:
        """The other end of the wire."""
        far: WireEnd = self.link.intf2 if self.link.intf1 is self else self.link.intf1
        return far

    def config(self, **_params: Any) -> dict[str, Any]:
        """Nothing in the kernel: the wire has made the interface as it is to be."""
        self.inner = INNER + self.name
        self.index, self.inner_index = self.link.indices[self.name]
        return {}

    def updateIP(self) -> str | None:
        """The interface's first global IPv6 address, asked of the kernel, or None."""
        found = [] if self.node.namespace.closed else self.node.namespace.addresses(self.index)
        self.ip = str(found[0]) if found else None
        return self.ip

    def IP(self) -> str | None:
        """As ``updateIP``: a host's address comes and goes."""
        return self.updateIP()

    def updateMAC(self) -> str:
        """The link-layer address that the wire gave it."""
        return str(self.mac)

    def ifconfig(self, *args: str) -> str:
        """As Mininet's; but ``up`` and ``down`` plug the wire in and pull it out, after which addresses and routes are as before.

        Linux would take both from an interface that is shut down itself, and nothing gives them back to a router.
        """
        if args not in (("up",), ("down",)):
            answer: str = super().ifconfig(*args)
            return answer
        hidden = self.link.wires.namespace
        hidden.queue(netlink.set_up(self.inner_index, args == ("up",)))
        hidden.flush()
        return ""

    def relocate(self, node: NetworkNode) -> None:
        """Tell Mininet that the interface is another node's now."""
        self.node.delIntf(self)
        self.node = node
        node.addIntf(self, moveIntfFn=Link._ignore)

    def delete(self) -> None:
        """Remove the interface and its inner end."""
        self.node.namespace.queue(netlink.delete(self.index))
        self.node.namespace.flush()
        self.node.delIntf(self)


class Wire(Link):  # type: ignore[misc]
    """Two veth pairs whose inner ends lie in the hidden namespace and hand on whatever comes in; the requests are queued, not sent.

    A wire that is ``plugged`` is up and bridge ports join their bridge; a radio's is neither, until it is associated.
    """

    def __init__(
        self,
        node1: NetworkNode,
        node2: NetworkNode,
        wires: Wires,
        settings: LinkSettings | None = None,
        plugged: bool = True,
        **params: Any,
    ) -> None:
        self.wires = wires
        self.settings = settings or LinkSettings()
        self.plugged = plugged
        self.indices: dict[str, tuple[int, int]] = {}
        super().__init__(node1, node2, **{**params, "intf": WireEnd})
        if plugged:
            for end in (self.intf1, self.intf2):
                end.node.plugged(end.index)

    def makeIntfPair(
        self,
        intfname1: str,
        intfname2: str,
        addr1: str = "",
        addr2: str = "",
        node1: Any = None,
        node2: Any = None,
        deleteIntfs: bool = True,
    ) -> None:
        """Queue the requests that make both veth pairs and join them."""
        queue = self.wires.namespace.queue
        for name, address, node in ((intfname1, addr1, node1), (intfname2, addr2, node2)):
            index, inner = self.indices[name] = (self.wires.new_index(), self.wires.new_index())
            queue(netlink.veth(INNER + name, inner, mac(2, inner), name, index, address, node.namespace))
        inner1, inner2 = (inner for _, inner in self.indices.values())
        for inner, other in ((inner1, inner2), (inner2, inner1)):
            if self.settings != LinkSettings():
                queue(netlink.netem(inner, self.settings))
            queue(netlink.ingress(inner), netlink.redirect(inner, other))
        if self.plugged:
            queue(netlink.set_up(inner1), netlink.set_up(inner2))

    def ready(self) -> None:
        """Once it is made: let its ends send complete packets, and wait until it carries them."""
        for end in (self.intf1, self.intf2):
            end.node.namespace.disable_checksum_offload(end.name)
            end.node.namespace.settle(end.name)
            self.wires.namespace.settle(end.inner)
