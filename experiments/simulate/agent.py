"""An agent as a process on a simulated node: its endpoint, what waits to be read, its timers, and what becomes of what it asks for.

It takes turns as the daemon on Linux does (agents/linux/daemon.py): all that has come at one moment is read port by port, everything that a
port's messages asked for takes effect at once, and messages leave last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import IPv6Address
from typing import Any

from agents import endpoint
from agents.account import Account, of_effect, of_heard, of_packet
from agents.actions import (
    Advertise,
    AssignLinkLocal,
    Drop,
    Effect,
    Ignore,
    InstallRoute,
    Multicast,
    Note,
    ProbePath,
    Release,
    Report,
    RouteAction,
    Transmit,
    Withhold,
)
from agents.associations import known
from agents.commands import CommandError, parse
from agents.config import AgentConfig
from agents.endpoint import AnchorEndpoint, GatewayEndpoint
from agents.fib import tunnel_mtu
from agents.hop_limit import before_crossing
from agents.messages import HandoffIndicator, ipv6_packet
from agents.messages.values import AccessTechnologyType
from agents.router_advertisement import (
    ALL_NODES,
    HOP_LIMIT,
    NeighbourDiscoveryError,
    encode_advertisements,
    encode_echo_request,
)
from agents.timers import earliest
from experiments.simulate import packets
from experiments.simulate.access import Radio
from experiments.simulate.clock import PROCESS, Clock
from experiments.simulate.journal import Journal
from experiments.simulate.node import Node
from experiments.simulate.packets import DESTINATION, HEADER, SOURCE
from experiments.simulate.sleep import nanoseconds, wakes
from topologies.timing import SECOND

MTU = 1500
"""Octets of the largest packet that a link takes."""

_NANOSECOND = 1e-9
_BURST = 64
_HOPS = 64
_SIGNALLING, _STRANGERS, _TUNNEL, _NEIGHBOURS, _TRIGGER, _LINKS, _COMMANDS = range(7)
_PORTS = 7

_Heard = Callable[[], None]


class Agent:
    """An agent that runs on ``node`` from now on, until ``kill`` or ``stop``."""

    def __init__(self, node: Node, clock: Clock, journal: Journal, sequence: int, ahead: int = 0, restarts: int = 0) -> None:
        """``ahead``: by how many ns its clock is wrong; ``sequence`` and ``restarts`` as in ``endpoint.start``."""
        self._node = node
        self._config: AgentConfig = node.config
        self._clock = clock
        self._journal = journal
        self._ahead = ahead
        self._account = Account(self._record)
        self._ports: list[list[_Heard]] = [[] for _ in range(_PORTS)]
        self._woken = -1
        self._alarm: int | None = None
        self._asleep = clock.now
        self._outbox: list[Transmit] = []
        self._link_local: dict[str, IPv6Address] = {}
        self._link_layer = node.config.settings.link_layer_octets
        self._running = True
        self._endpoint = endpoint.start(node.config, self._now * _NANOSECOND, sequence, restarts)
        node.clear()
        node.process = self
        scheme = self._config.scheme
        self._record(self._now, "started", {"scheme": scheme.name, "policy": self._config.policy})
        self._input(None, self._endpoint.timeout)
        self._settle()
        for radio in list(node.links.values()):
            self._attach(radio)
        self._settle()
        self._arm()

    @property
    def _now(self) -> int:
        """What its clock says, in ns since 1970."""
        return self._clock.now + self._ahead

    @property
    def _gateway(self) -> GatewayEndpoint:
        if not isinstance(self._endpoint, GatewayEndpoint):
            raise TypeError("only a MAG has access links and waits for packets")
        return self._endpoint

    # What comes from the kernel waits for the agent's turn.

    def hear(self, octets: bytes, source: IPv6Address, destination: IPv6Address, link: str | None) -> None:
        """A Mobility Header came."""
        port = _SIGNALLING if link is None and self._is_peer(source) else _STRANGERS
        self._wait(port, self._signalled, octets, source, destination, link)

    def _is_peer(self, source: IPv6Address) -> bool:
        config = self._config
        return source != config.address and (source in config.mags or source == config.lma)

    def stray(self, packet: bytes, source: IPv6Address, destination: IPv6Address) -> None:
        """A packet came through a tunnel and has no access route here, or the kernel of an LMA forwards it."""
        call = self._strayed if self._node.gateway else self._forwarded
        self._wait(_TUNNEL, call, packet, source, destination)

    def trigger(self, packet: bytes) -> None:
        """A packet found no route but that to the agent."""
        self._wait(_TRIGGER, self._routed_here, packet)

    def solicited(self, link: str, octets: bytes, source: IPv6Address, hop_limit: int) -> None:
        """A Router Solicitation came."""
        self._wait(_NEIGHBOURS, self._on_solicitation, link, octets, source, hop_limit)

    def link_up(self, radio: Radio) -> None:
        """A host has come."""
        self._wait(_LINKS, self._attach, radio)

    def link_down(self, link: str) -> None:
        """A host has gone."""
        self._wait(_LINKS, self._detach, link)

    def leaves(self, link: str, to: str) -> None:
        """A host is about to leave for the MAG whose address is ``to``."""
        self._wait(_LINKS, self._leaving, link, IPv6Address(to))

    def tell(self, command: str) -> None:
        """Whoever runs the agent gives it a command (agents/commands.py)."""
        self._wait(_COMMANDS, self._told, command)

    def _wait(self, port: int, call: Callable[..., None], *arguments: Any) -> None:
        self._ports[port].append(partial(call, *arguments))
        self._wake()

    def _wake(self) -> None:
        if self._woken != self._clock.now:
            self._woken = self._clock.now
            self._clock.at(self._clock.now, PROCESS, self._turn)

    # Turns

    def _turn(self) -> None:
        """Read all that waits, then do what is due."""
        if not self._running:
            return
        self._woken = -1
        for port in self._ports:
            if port:
                heard, port[:] = port[:_BURST], port[_BURST:]
                for call in heard:
                    call()
                self._settle()
        self._time_out()
        self._arm()
        if any(self._ports):
            self._wake()

    def _time_out(self) -> None:
        when = self._endpoint.next_timeout
        if when is not None and nanoseconds(when) <= self._now:
            self._input(None, lambda now: self._endpoint.timeout(now, when))
            self._settle()
        if (ends := self._account.ends) is not None and ends <= self._now:
            self._account.tell(self._now, self._now)

    def _due(self) -> float | None:
        """When the agent next has something to do by itself, in s since 1970 by its own clock."""
        ends = self._account.ends
        return earliest(self._endpoint.next_timeout, None if ends is None else ends / SECOND)

    def _arm(self) -> None:
        """See to it that the agent has a turn when something is due. There is one alarm: where it comes too early it is set anew."""
        self._asleep = self._clock.now
        when = self._due()
        if when is None:
            return
        due = max(nanoseconds(when) - self._ahead, self._clock.now)
        if self._alarm is None or due < self._alarm:
            self._alarm = due
            self._clock.at(due, PROCESS, self._ring, due)

    def _ring(self, alarm: int) -> None:
        if not self._running or self._alarm != alarm:
            return
        self._alarm = None
        when = self._due()
        if when is None:
            return
        if nanoseconds(when) - self._ahead > alarm:
            self._alarm = nanoseconds(when) - self._ahead
            self._clock.at(self._alarm, PROCESS, self._ring, self._alarm)
            return
        self._clock.at(wakes(self._asleep, when - self._ahead * _NANOSECOND), PROCESS, self._wake_up, self._asleep)

    def _wake_up(self, asleep: int) -> None:
        """End the sleep that began at ``asleep``, if nothing else has ended it."""
        if self._running and self._asleep == asleep:
            self._turn()

    def kill(self) -> None:
        """End it as SIGKILL does: what it held is lost, what it installed stays."""
        self._running = False
        self._node.process = None

    def stop(self) -> None:
        """Let it withdraw everything and end."""
        self._input("stopping", self._endpoint.stop)
        self._settle()
        self._account.tell(None, self._now)
        self._record(self._now, "stopped", {})
        self.kill()
        self._node.clear()

    def _record(self, time: int, event: str, details: Mapping[str, Any]) -> None:
        self._journal.record(self._config.name, time, event, details)

    def _input(self, event: str | None, call: Callable[[float], Sequence[Effect]], **details: Any) -> None:
        """Tell the agent something, and do what it asks for; an event None is noted only if it asks for something."""
        effects = call(self._now * _NANOSECOND)
        if event is not None and not self._account.note(event, effects, details, self._now):
            return
        for effect in effects:
            if isinstance(effect, InstallRoute):
                self._drain_trigger()
            _EFFECTS[type(effect)](self, effect)

    def _drain_trigger(self) -> None:
        """Let the agent have all packets that wait to be read: the next ones take another way, on which they would overtake them."""
        waiting, self._ports[_TRIGGER][:] = self._ports[_TRIGGER][:], []
        for call in waiting:
            call()

    # What it is told

    def _signalled(self, octets: bytes, source: IPv6Address, destination: IPv6Address, link: str | None) -> None:
        heard = self._endpoint.read(octets, source, destination, link)
        event, details = of_heard(heard)
        self._input(event, partial(self._endpoint.receive, heard), **details)

    def _strayed(self, packet: bytes, source: IPv6Address, destination: IPv6Address) -> None:
        details = {**of_packet(packet, tunnelled_by=source), "multicast": destination.is_multicast}
        self._input("tunnelled packet", lambda now: self._gateway.tunnelled(packet, source, destination, now), **details)

    def _forwarded(self, header: bytes, source: IPv6Address, _: IPv6Address) -> None:
        anchor = self._endpoint
        home = self._config.home
        if isinstance(anchor, AnchorEndpoint) and IPv6Address(header[SOURCE]) in home and IPv6Address(header[DESTINATION]) in home:
            self._input(None, lambda now: anchor.forwarded(header, source, now))

    def _routed_here(self, packet: bytes) -> None:
        self._input("packet", partial(self._gateway.routed, packet), **of_packet(packet))

    def _on_solicitation(self, link: str, octets: bytes, source: IPv6Address, hop_limit: int) -> None:
        if link not in self._node.links:
            return
        try:
            effects = self._gateway.solicited(link, octets, source, hop_limit, self._now * _NANOSECOND)
        except NeighbourDiscoveryError as error:
            self._record(self._now, "malformed solicitation", {"link": link, "error": str(error)})
            return
        self._input("solicited", lambda _: effects, link=link)

    def _attach(self, radio: Radio) -> None:
        host, link = radio.host, radio.name
        how: dict[str, Any] = {"handoff": HandoffIndicator.UNKNOWN, "access_technology": AccessTechnologyType.WIRELESS_LAN}
        how |= known(host.association.split())
        self._node.change(self._node.fib.admit(link, self._config.profiles.prefixes_of(host.mn_id)))
        attach = partial(self._gateway.attached, link, host.mn_id, radio.mac, **how)
        self._input("attached", attach, link=link, mn_id=host.mn_id, link_layer=host.mac, **how)

    def _detach(self, link: str) -> None:
        self._node.change(self._node.fib.dismiss(link))
        self._link_local.pop(link, None)
        self._input("detached", lambda now: self._gateway.detached(link, now), link=link)

    def _leaving(self, link: str, to: IPv6Address) -> None:
        self._input("leaving", lambda now: self._gateway.leaving(link, to, now), link=link, to=to)

    def _told(self, command: str) -> None:
        try:
            told = parse(command, self._endpoint.role)
        except CommandError as error:
            self._record(self._now, "told in vain", {"error": str(error)})
            return
        self._input("told", lambda now: self._endpoint.encode(told(now), now), command=command)

    # What it asks for

    def _settle(self) -> None:
        """Let the messages leave that wait: all that was asked for before them stands."""
        outbox, self._outbox = self._outbox, []
        for message in outbox:
            self._transmit(message)

    def _transmit(self, action: Transmit) -> None:
        packet = ipv6_packet(action.octets, self._config.address, action.destination)
        if action.tunnelled:
            self._node.to_group(packet)
        else:
            self._node.send(packet)
        self._note_done(action)

    def _note(self, event: str, **details: Any) -> None:
        self._record(self._now, event, details)

    def _note_done(self, effect: Effect) -> None:
        self._record(self._now, *of_effect(effect))

    def _change_route(self, action: RouteAction) -> None:
        if isinstance(action, AssignLinkLocal):
            self._link_local[action.link] = action.address
        self._node.carry_out(action)
        self._note_done(action)
        if isinstance(action, InstallRoute) and self._node.queries:
            self._settle()

    def _advertise(self, action: Advertise) -> None:
        self._settle()
        radio = self._node.links.get(action.link)
        if radio is None:
            self._note("advertisement failed", error="No such device")
            return
        source = self._link_local.get(action.link, self._config.settings.link_local)
        mtu = tunnel_mtu(MTU) if self._config.scheme.home_prefixes else None
        told = encode_advertisements(action.prefixes, action.lifetime, mtu, action.withdrawn, self._link_layer, MTU - HEADER)
        for octets in told:
            self._node.to_access(radio, packets.icmpv6(source.packed, ALL_NODES.packed, octets, HOP_LIMIT))
        self._note_done(action)

    def _probe_path(self, action: ProbePath) -> None:
        self._settle()
        octets = encode_echo_request(MTU)
        self._node.send(packets.icmpv6(self._config.address.packed, action.destination.packed, octets, _HOPS))
        self._note_done(action)

    def _release(self, action: Release) -> None:
        self._settle()
        for packet in action.packets:
            if action.care_of is None:
                self._node.hand_back(before_crossing(packet))
            else:
                self._node.tunnel(packet, action.care_of.packed)
        self._note_done(action)

    def _multicast(self, action: Multicast) -> None:
        self._settle()
        self._node.to_group(action.packet)
        self._note_done(action)

    def _report(self, action: Report) -> None:
        self._settle()
        self._node.send(packets.icmpv6(self._config.address.packed, action.source.packed, action.octets, _HOPS))
        self._note_done(action)

    def _send(self, action: Transmit) -> None:
        self._outbox.append(action)


_EFFECTS: Mapping[type, Callable[[Agent, Any], None]] = {
    Transmit: Agent._send,
    **dict.fromkeys(RouteAction.__args__, Agent._change_route),
    Advertise: Agent._advertise,
    ProbePath: Agent._probe_path,
    Release: Agent._release,
    Multicast: Agent._multicast,
    Report: Agent._report,
    **dict.fromkeys((Drop, Withhold, Ignore, Note), Agent._note_done),
}
