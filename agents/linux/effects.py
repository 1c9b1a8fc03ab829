"""What the effects that an agent asks for do: each becomes system calls, and a line in the journal.

Routes and signalling messages gather until ``settle``: the kernel takes all routes at once, and only then do the messages leave. Packets
do not wait: what was asked for before them is settled first (docs/architecture.md, "Signalling in batches").
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address
from typing import Any, get_args

from agents.account import of_effect
from agents.actions import (
    Advertise,
    AssignLinkLocal,
    Drop,
    Effect,
    Ignore,
    InstallAccessRoute,
    InstallRoute,
    Multicast,
    Note,
    ProbePath,
    Release,
    RemoveAccessRoute,
    Report,
    RouteAction,
    Transmit,
    Withhold,
)
from agents.config import AgentConfig, is_gateway
from agents.fib import TRIGGER, TUNNEL, tunnel_mtu
from agents.hop_limit import before_crossing
from agents.linux.arrivals import from_others, from_peers, interface_is, interface_is_not, networks
from agents.linux.journal import Journal
from agents.linux.kernel import DataPlane
from agents.linux.netlink import NetlinkError
from agents.linux.socket_filter import NOTHING, headers_within
from agents.linux.sockets import MobilitySocket, NeighbourSocket, TunnelSocket, link_mtu, path_mtu
from agents.linux.stray_filter import filter_strays
from agents.linux.tun import Tun
from agents.linux.tunnel_fragments import ENOUGH, LargePackets, least_path
from agents.messages import ipv6_packet
from agents.router_advertisement import (
    ALL_NODES,
    HOP_LIMIT,
    PACKET_TOO_BIG,
    ROUTER_SOLICITATION,
    encode_advertisements,
    encode_echo_request,
)
from agents.schemes import Query

_NANOSECOND = 1e-9
_HOP_LIMIT = 64
_IPV6_HEADER = 40
_SMALL = 1 << 16
"""Octets that wait of what anybody may send; older than a second they are of no use."""

_NETWORK_FAULTS = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENOBUFS,
        errno.EAGAIN,
        errno.EMSGSIZE,
        errno.EADDRNOTAVAIL,
        errno.ENODEV,
        errno.ENXIO,
        errno.EPERM,
        errno.EACCES,
        errno.EINVAL,
        errno.EIO,
    }
)
_NO_ROOM = frozenset({errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC})


class Effects:
    """The node that an agent runs on: its kernel state and its sockets.

    Each socket has a queue of its own, so that nothing waits behind a flood that it does not come with: ``mobility`` takes in what peers
    say, ``strangers`` the Mobility Headers of all others, from access links too, ``neighbours`` Router Solicitations of access links and
    ``errors`` Packet Too Big from the core. ``mobility``, ``strangers``, ``tunnel``, ``errors`` and ``trigger`` are None where the agent
    needs no such thing, ``large`` until some path is too narrow.
    """

    def __init__(self, config: AgentConfig, journal: Journal) -> None:
        """Open and install what stands as long as the agent runs; OSError where the kernel cannot."""
        self._config = config
        self._journal = journal
        self._now = 0
        self._outbox: list[Transmit] = []
        self._link_local: dict[str, IPv6Address] = {}
        self._link_layer = config.settings.link_layer_octets
        self._advertised_mtu: int | None = None
        core = socket.if_nametoindex(config.core)
        gateway = is_gateway(config)
        queries = gateway and config.scheme.query is not Query.NONE
        strays = queries or (gateway and config.scheme.localized_routing)
        signals = config.scheme.home_prefixes
        peers = networks(config.peers)
        self.mobility = MobilitySocket(config.address, core, from_peers(peers, (core,))) if signals else None
        self.strangers = MobilitySocket(config.address, core, NOTHING, _SMALL) if signals else None
        watches = config.scheme.localized_routing and not gateway
        program = headers_within(config.home) if watches else NOTHING
        self.tunnel = TunnelSocket(config.address, core, program) if strays or watches else None
        self._strays = filter_strays(self.tunnel, config.home) if strays and self.tunnel else None
        self.neighbours = NeighbourSocket(ROUTER_SOLICITATION, NOTHING)
        self.errors = NeighbourSocket(PACKET_TOO_BIG, interface_is((core,)), _SMALL) if signals else None
        self.trigger = Tun(TRIGGER) if queries else None
        self.large: LargePackets | None = None
        self._plane = DataPlane(config, trigger=queries)
        try:
            self._plane.start()
            if self.mobility and config.scheme.query is Query.MULTICAST:
                self.mobility.join(config.group, (core, self._plane.tunnel))
            self.trusted = frozenset({core, self._plane.tunnel} - {0})
            if self.mobility and self.strangers:
                self.mobility.attach(from_peers(peers, self.trusted))
                self.strangers.attach(from_others(peers, self.trusted))
            if gateway:
                self.neighbours.attach(interface_is_not(self.trusted))
        except OSError:
            self.close()
            raise
        self._methods: Mapping[type, Callable[[Any], None]] = {
            Transmit: self._send,
            **dict.fromkeys(get_args(RouteAction), self._change_route),
            InstallRoute: self._install_route,
            InstallAccessRoute: self._install_access_route,
            RemoveAccessRoute: self._remove_access_route,
            AssignLinkLocal: self._assign_link_local,
            Advertise: self._advertise,
            ProbePath: self._probe_path,
            Release: self._release,
            Multicast: self._multicast,
            Report: self._report,
            **dict.fromkeys((Drop, Withhold, Ignore, Note), self._note_done),
        }

    def carry_out(self, effect: Effect, now: int) -> None:
        """Do what ``effect`` says; ``now`` in ns since 1970. Some of it is done only by ``settle``.

        What the network does not take (no route, a link that left) is noted in the journal; OSError for all else.
        """
        self._now = now
        self._methods[type(effect)](effect)

    def settle(self) -> None:
        """Have the kernel take what was installed and removed, then send the messages that wait; errors as ``carry_out``.

        What the kernel has no room for it does without: those that it has are served further.
        """
        try:
            self._plane.commit()
        except NetlinkError as error:
            self._refused(error)
        outbox, self._outbox = self._outbox, []
        for action in outbox:
            self._transmit(action)

    def _refused(self, error: OSError) -> None:
        if error.errno not in _NO_ROOM:
            raise error
        self._note("the kernel has no room", error=error.strerror)

    def admit(self, link: str, mn_id: str) -> None:
        """An access link came, with a node whose profile says which sources are its own."""
        self._plane.admit(link, self._config.profiles.prefixes_of(mn_id))

    def dismiss(self, link: str) -> None:
        """An access link left."""
        self._plane.dismiss(link)
        self._link_local.pop(link, None)

    def path_changed(self) -> bool:
        """Whether a tunnel's MTU is no longer the one that was last advertised."""
        return self._advertised_mtu is not None and self._tunnel_mtu() != self._advertised_mtu

    def narrow(self, too_big: bytes | None = None) -> bool:
        """Whether from now on large packets go through tunnels in fragments and did not before: as soon as the core, or a path of which an
        ICMPv6 Packet Too Big tells, takes less than a tunnel needs."""
        if self.large is not None or not self._config.scheme.home_prefixes:
            return False
        if (link_mtu(self._config.core) if too_big is None else least_path(too_big)) >= ENOUGH:
            return False
        self.large = LargePackets(TUNNEL, self._config.address, socket.if_nametoindex(self._config.core))
        return True

    def fragment(self, packet: bytes) -> None:
        """Send a packet that the tunnel device has lost for its size once more, in fragments."""
        care_of = self._plane.care_of(IPv6Address(packet[24:40]))
        if care_of is not None and self.large is not None:
            self._attempt("fragmentation", self.large.send, packet, care_of)

    def close(self) -> None:
        """Withdraw everything from the kernel; messages that wait never leave."""
        self._outbox.clear()
        try:
            self._plane.withdraw()
        finally:
            ports = self.mobility, self.strangers, self.tunnel, self.neighbours, self.errors, self.trigger, self.large, self._strays
            for port in ports:
                if port is not None:
                    port.close()

    def _note(self, event: str, **details: Any) -> None:
        self._journal.record(self._now, event, **details)

    def _note_done(self, effect: Effect, **instead: Any) -> None:
        """Note that an effect was carried out, with details that are not as the agent asked."""
        event, details = of_effect(effect)
        self._note(event, **{**details, **instead})

    def _attempt(self, what: str, operation: Callable[..., object], *arguments: Any) -> bool:
        try:
            operation(*arguments)
        except OSError as error:
            if error.errno not in _NETWORK_FAULTS:
                raise
            self._note(f"{what} failed", error=error.strerror)
            return False
        return True

    def _send(self, action: Transmit) -> None:
        self._outbox.append(action)

    def _transmit(self, action: Transmit) -> None:
        data, destination = action.octets, action.destination
        if action.tunnelled:
            packet = ipv6_packet(data, self._config.address, destination)
            sent = self._attempt("send", self._port(self.tunnel).send, packet, destination)
        else:
            sent = self._attempt("send", self._port(self.mobility).send, data, destination)
        if sent:
            self._note_done(action)

    def _change_route(self, action: RouteAction) -> None:
        self._plane.carry_out(action)
        self._note_done(action)

    def _install_route(self, action: InstallRoute) -> None:
        self._change_route(action)
        if self.trigger is not None:
            self.settle()  # from now on packets pass the agent by, behind those that it has released

    def _install_access_route(self, action: InstallAccessRoute) -> None:
        if self._strays is not None:
            try:
                self._strays.add(action.prefix)
            except OSError as error:
                self._refused(error)
                return
        if self._plane.carry_out(action):
            self._note_done(action)
        else:
            self._note("access route not installed", prefix=action.prefix, link=action.link, error="the link has left")

    def _remove_access_route(self, action: RemoveAccessRoute) -> None:
        self._plane.carry_out(action)
        if self._strays is not None:
            self._strays.discard(action.prefix)
        self._note_done(action)

    def _assign_link_local(self, action: AssignLinkLocal) -> None:
        self._link_local[action.link] = action.address
        self._change_route(action)

    def _advertise(self, action: Advertise) -> None:
        self.settle()
        if self._attempt("advertisement", self._to_all_nodes, action):
            self._note_done(action)

    def _to_all_nodes(self, action: Advertise) -> None:
        link, mtu = action.link, None
        if self._config.scheme.home_prefixes:
            self._advertised_mtu = self._tunnel_mtu()
            mtu = min(self._advertised_mtu, link_mtu(link))
        room = link_mtu(link) - _IPV6_HEADER
        source = self._link_local.get(link, self._config.settings.link_local)
        for data in encode_advertisements(action.prefixes, action.lifetime, mtu, action.withdrawn, self._link_layer, room):
            self.neighbours.send_from(source, socket.if_nametoindex(link), HOP_LIMIT, data, ALL_NODES)

    def _tunnel_mtu(self) -> int:
        """The MTU of the tunnel to the LMA, or where there is none of any tunnel through the core (RFC 5213, 6.9.5)."""
        path = path_mtu(self._config.lma) if self._config.lma is not None else None
        return tunnel_mtu(path or link_mtu(self._config.core))

    def _probe_path(self, action: ProbePath) -> None:
        self.settle()
        data = encode_echo_request(link_mtu(self._config.core))
        arguments = self._config.address, 0, _HOP_LIMIT, data, action.destination
        if self._attempt("probe", self.neighbours.send_from, *arguments):
            self._note_done(action)

    def _release(self, action: Release) -> None:
        self.settle()
        sent = sum(self._attempt("release", self._forward, packet, action.care_of) for packet in action.packets)
        self._note_done(action, packets=sent)

    def _forward(self, packet: bytes, care_of: IPv6Address | None) -> None:
        if care_of is None:
            self._port(self.trigger).write(before_crossing(packet))
        else:
            self._port(self.tunnel).send(packet, care_of)

    def _multicast(self, action: Multicast) -> None:
        self.settle()
        if self._attempt("multicast", self._port(self.tunnel).send, action.packet, action.group):
            self._note_done(action)

    def _report(self, action: Report) -> None:
        self.settle()
        source = action.source
        if self._attempt(action.what, self.neighbours.send_from, self._config.address, 0, _HOP_LIMIT, action.octets, source):
            self._note_done(action)

    @staticmethod
    def _port(port: Any) -> Any:
        if port is None:
            raise TypeError("an action needs a socket that the agent's scheme has no use for")
        return port
