"""What should happen in a run, by arithmetic: every test packet and message of a scenario, from the declaration alone.

Time is whole nanoseconds. Links have their declared delays (and what serialisation costs, where they have a rate), computing
takes no time, nothing is lost but what finds its node gone. The agents' code plays no part in this; docs/model.md derives it.
At one moment packets come before everything else: whatever is signalled has been handled by an agent, if only for microseconds. Of packets
that come to a node together the one that has gone through fewer MAGs' tunnels since it waited is first, else the one that set out for there
first, and a host receives them a nanosecond apart.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from math import ceil

from agents import messages
from agents.authentication import protection
from agents.config import FirstPacket, Settings
from agents.messages import (
    BindingError,
    HandoverAcknowledge,
    HandoverInitiate,
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    LocalizedRoutingStatus,
    Message,
    MobileNode,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
)
from agents.policies import POLICIES
from agents.schemes import SCHEMES, Delivery, Query
from experiments.measure.records import Association, Loss, Packet, Reason, Signal, Trace
from experiments.scenario import DRAIN, Flow, Run
from experiments.settings import agent_settings
from topologies.domain import Domain, Host, LinkSettings
from topologies.routing import paths

_SECOND = 1_000_000_000
_NEVER = 1 << 62
_IPV6 = 40
_UNSPECIFIED = IPv6Address("::")
_UDP = 8
_ETHERNET = 14
_NEIGHBOUR_DISCOVERY = 72
_ROUTER_ADVERTISEMENT = 104
_RESOLUTION = 3 * _SECOND
_BINDING_ERROR_INTERVAL = _SECOND // 20
_FAR = 3600 * _SECOND
_AFTER_PACKETS = 1 << 16
_NOTIFYING = frozenset({"notify", "forward", "predict"})


def _ns(seconds: float) -> int:
    return round(seconds * _SECOND)


@dataclass(slots=True)
class _Datagram:
    """A test packet under way; ``straight`` counts the MAGs' tunnels that it has entered since it last waited, ``lost`` is why it came no
    further than it did, if it is not received."""

    flow: int
    sequence: int
    destination: str
    size: int
    sent: int = 0
    received: int | None = None
    copies: int = 0
    straight: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    tunnelled: dict[str, int] = field(default_factory=dict)
    lost: Reason = Reason.UNDER_WAY


@dataclass(slots=True)
class _Attachment:
    """A host on a MAG's access link.

    ``served`` once the MAG forwards for it, ``router_known`` once the host has heard of the MAG; ``resolved`` is when the MAG's neighbour
    discovery of the host is done, or None where it has not begun, ``received`` when the host last received a packet.
    """

    mag: str
    served: bool = False
    router_known: bool = False
    resolved: int | None = None
    last_frame: int | None = None
    received: int = 0


@dataclass(slots=True)
class _Binding:
    """The LMA's binding of a host."""

    mag: str
    leaving: bool = False
    expires: int = _NEVER


@dataclass(slots=True)
class _Route:
    """What a MAG knows of a remote host: its answer, the query under way and the packets that wait."""

    care_of: str | None = None
    expires: int = 0
    since: int = 0
    lapse: int = _NEVER
    query: int | None = None
    began: int = 0
    failed_until: int = 0
    waiting: list[_Datagram] = field(default_factory=list)


@dataclass(slots=True)
class _Localized:
    """Localized routing between a pair of hosts, as the LMA knows it; ``standing`` are the hosts from which it has been acknowledged."""

    since: int
    standing: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Handover:
    """A host that is about to leave a MAG, or has left it, for ``to``, which was told and may have accepted it."""

    to: str
    left: bool = False
    accepted: bool = False


def predict(run: Run) -> Trace:
    """The trace that the captures of the run should give, from the scenario's zero on."""
    return Prediction(run).trace()


class Prediction:
    """One run played by arithmetic; after ``trace``, ``tied`` says whether packets of one flow came to a node at one moment by ways of as
    many tunnels: which of them is first is a matter of microseconds."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._domain = run.domain
        self._scheme = SCHEMES[run.case.scheme]
        self._policy = run.case.policy
        self._forwards = POLICIES[run.case.policy].forwards
        self._settings: Settings = agent_settings({**run.settings, **run.case.settings})
        self._protection = protection(self._settings)
        self._hosts: dict[str, Host] = {host.name: host for host in run.domain.hosts}
        self._mags = [mag.name for mag in run.domain.mags]
        self._coa = {mag.name: mag.address for mag in run.domain.mags}
        self._lma = run.domain.lma.name if run.domain.lma and "LMA" in self._scheme.agents else ""
        self._registers = self._scheme.binding_update
        self._group = self._scheme.query is Query.MULTICAST
        self._events: list[tuple[int, int, int, Callable[[], None]]] = []
        self._serial = 0
        self._now = run.epoch
        self._at: dict[str, _Attachment | None] = {host.name: _Attachment(host.mag, True, True, run.epoch) for host in run.domain.hosts}
        self._bindings = {host.name: _Binding(host.mag) for host in run.domain.hosts}
        self._relying: dict[str, dict[str, int]] = defaultdict(dict)
        self._routes: dict[tuple[str, str], _Route] = defaultdict(_Route)
        self._localized: dict[frozenset[str], _Localized] = {}
        self._entries: dict[tuple[str, frozenset[str]], LocalizedRoutingInitiation] = {}
        self._told: dict[tuple[str, str, str], int] = {}
        self._handovers: dict[tuple[str, str], _Handover] = {}
        self._expected: dict[tuple[str, str], _Handover] = {}
        self._sequences: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, list[_Datagram]] = defaultdict(list)
        self._datagrams: list[_Datagram] = []
        self._signals: list[Signal] = []
        self._associations: list[Association] = []
        self._lma_load: list[int] = []
        self._latest: dict[tuple[str, int], tuple[tuple[int, int], str]] = {}
        self.tied = False

    def trace(self) -> Trace:
        """Play the scenario."""
        for number, flow in enumerate(self._run.scenario.flows):
            first, interval = self._run.epoch + _ns(flow.start), _SECOND / flow.rate
            for sequence in range(flow.packets):
                self._later(first + round(sequence * interval), self._sender(number, flow, sequence), packet=True)
        for move in self._run.scenario.moves:
            leaves = self._run.epoch + _ns(move.at)
            if move.notice and self._policy == "predict":
                self._later(leaves - _ns(move.notice), self._announcer(move.mn, move.to))
            self._later(leaves, self._leaver(move.mn, leaves + _ns(move.l2_gap), move.to))
        end = self._run.epoch + _ns(self._run.scenario.duration + DRAIN)
        while self._events and self._events[0][0] < end:
            self._now, _, _, happen = heapq.heappop(self._events)
            happen()
        datagrams = sorted(self._datagrams, key=lambda d: (d.flow, d.sequence))
        packets = tuple(Packet(d.flow, d.sequence, d.sent, d.received, d.copies, d.seen, d.tunnelled) for d in datagrams)
        return Trace(
            packets=packets,
            signals=tuple(sorted(self._signals, key=lambda signal: signal.sent)),
            associations=tuple(self._associations),
            lma_data_packets=len(self._lma_load),
            lma_data_bytes=sum(self._lma_load),
            losses=tuple(
                Loss(d.flow, d.sequence, packet.last_seen, None, d.lost)
                for d, packet in zip(datagrams, packets, strict=True)
                if d.received is None
            ),
        )

    def _later(self, time: int, happen: Callable[[], None], packet: bool = False, nodes: int = 0) -> None:
        self._serial += 1
        heapq.heappush(self._events, (time, nodes if packet else _AFTER_PACKETS, self._serial, happen))

    # Packets

    def _sender(self, number: int, flow: Flow, sequence: int) -> Callable[[], None]:
        datagram = _Datagram(number, sequence, flow.destination, _IPV6 + _UDP + flow.size)
        return lambda: self._submit(flow.source, datagram)

    def _submit(self, host: str, datagram: _Datagram) -> None:
        """A host that knows its router sends; another lets packets wait for an advertisement, until address resolution is given up."""
        attachment = self._at[host]
        if attachment is not None and attachment.router_known:
            self._emit(host, attachment, datagram)
            return
        waiting = self._waiting[host]
        waiting.append(datagram)
        if len(waiting) == 1:
            self._later(self._now + _RESOLUTION, lambda: waiting.clear() if waiting[:1] == [datagram] else None)

    def _emit(self, host: str, attachment: _Attachment, datagram: _Datagram) -> None:
        datagram.sent = datagram.seen[host] = self._now
        self._datagrams.append(datagram)

        def arrive() -> None:
            if self._at[host] is attachment:
                attachment.last_frame = self._now
                self._from_access(attachment, datagram)
            else:
                datagram.lost = Reason.IN_THE_AIR

        self._later(self._now + crossing(self._domain.access, datagram.size), arrive, packet=True)

    def _advertised(self, host: str, attachment: _Attachment) -> None:
        """The MAG's advertisement tells the host its router's link-layer address; what waited goes out."""
        if self._at[host] is attachment:
            attachment.router_known = True
            for datagram in self._waiting[host]:
                self._emit(host, attachment, datagram)
            self._waiting[host].clear()

    def _from_access(self, source: _Attachment, datagram: _Datagram) -> None:
        mag, host = source.mag, datagram.destination
        datagram.seen.setdefault(mag, self._now)
        there = self._at[host]
        if self._scheme.delivery is Delivery.ROUTED:
            self._routed(mag, datagram)
        elif self._scheme.delivery is Delivery.DATA_DRIVEN:
            if not source.served:
                datagram.lost = Reason.NO_ROUTE
            elif (past_anchor := self._past_anchor(mag, host)) is None:
                self._tunnel(mag, self._lma, datagram, self._at_lma)
            elif past_anchor != mag:
                self._tunnel(mag, past_anchor, datagram, self._from_tunnel)
            else:
                self._deliver(mag, datagram)
        elif there is not None and there.mag == mag:
            if there.served:
                self._deliver(mag, datagram)
            else:
                self._hold(self._routes[mag, host], datagram)
        else:
            self._resolve(mag, datagram, partial(self._wait, mag))

    def _routed(self, mag: str, datagram: _Datagram) -> None:
        """Without mobility management the destination's address stays that of the MAG at which it was at first."""
        home = self._hosts[datagram.destination].mag

        def arrive() -> None:
            datagram.seen.setdefault(home, self._now)
            self._deliver(home, datagram)

        self._later(self._now + self._transit(mag, home, datagram.size), arrive, packet=True)

    def _tunnel(self, sender: str, receiver: str, datagram: _Datagram, handle: Callable[[str, str, _Datagram], None]) -> None:
        datagram.tunnelled.setdefault(sender, self._now)
        datagram.straight += sender != self._lma

        def arrive() -> None:
            datagram.seen.setdefault(receiver, self._now)
            place, way = (receiver, datagram.flow), (self._now, datagram.straight)
            latest_way, latest_sender = self._latest.get(place, (None, sender))
            self.tied |= latest_way == way and latest_sender != sender
            self._latest[place] = way, sender
            handle(sender, receiver, datagram)

        self._later(self._now + self._transit(sender, receiver, datagram.size + _IPV6), arrive, packet=True, nodes=datagram.straight)

    def _at_lma(self, sender: str, lma: str, datagram: _Datagram) -> None:
        self._lma_load.append(datagram.size + _IPV6)
        binding = self._bindings.get(datagram.destination)
        if binding is not None and not binding.leaving:
            self._tunnel(lma, binding.mag, datagram, self._from_tunnel)
        else:
            datagram.lost = Reason.NO_ROUTE
        if self._scheme.localized_routing:
            self._detected(self._run.scenario.flows[datagram.flow].source, datagram.destination, sender)

    def _from_tunnel(self, sender: str, mag: str, datagram: _Datagram) -> None:
        host = datagram.destination
        there = self._at[host]
        here = there is not None and there.mag == mag
        datagram.lost = Reason.NO_ROUTE if here else Reason.NODE_LEFT
        if there is not None and here:
            if there.served:
                self._deliver(mag, datagram)
            elif self._forwards:
                self._hold(self._routes[mag, host], datagram)
        elif self._forwards:
            self._forward(sender, mag, datagram)
        elif self._policy == "error" and self._now - self._told.get((mag, sender, host), -_FAR) >= _BINDING_ERROR_INTERVAL:
            self._told[mag, sender, host] = self._now
            error = BindingError(status=1, home_address=self._prefix(host)[1])
            self._send(error, mag, [sender], lambda _: self._mistaken(sender, host, mag))

    def _forward(self, sender: str, mag: str, datagram: _Datagram) -> None:
        """What a MAG does with a packet for a host that it does not have, if the policy is to send it on."""
        host = datagram.destination
        route, handover = self._routes[mag, host], self._handovers.get((mag, host))
        if (mag, host) in self._expected or (handover is not None and handover.left and not handover.accepted):
            self._hold(route, datagram)
            return
        if handover is not None and handover.left and handover.to != sender:
            self._tunnel(mag, handover.to, datagram, self._from_tunnel)
            return
        if handover is not None and handover.left:
            del self._handovers[mag, host]
        self._mistaken(mag, host, sender)
        self._resolve(mag, datagram, self._hold)

    def _from_group(self, mag: str, datagram: _Datagram) -> None:
        there = self._at[datagram.destination]
        if there is not None and there.mag == mag and there.served:
            self._deliver(mag, datagram)
        elif datagram.lost is Reason.UNDER_WAY:
            datagram.lost = Reason.NO_ROUTE

    def _deliver(self, mag: str, datagram: _Datagram) -> None:
        """Over the access link, once neighbour discovery there is done; what has not arrived when the node leaves is lost."""
        host = datagram.destination
        attachment = self._at[host]
        if attachment is None or attachment.mag != mag:
            datagram.lost = Reason.NODE_LEFT
            return
        datagram.lost = Reason.IN_THE_AIR
        access = self._domain.access
        if attachment.resolved is None:
            attachment.resolved = self._now + 2 * crossing(access, _NEIGHBOUR_DISCOVERY)
        leaves = max(self._now, attachment.resolved)

        def forward() -> None:
            if self._at[host] is attachment:
                attachment.last_frame = self._now
                self._later(self._now + crossing(access, datagram.size), arrive, packet=True)

        def arrive() -> None:
            if self._at[host] is attachment:
                attachment.received = max(self._now, attachment.received + 1)
                datagram.seen.setdefault(host, attachment.received)
                datagram.received = attachment.received if datagram.received is None else datagram.received
                datagram.copies += 1

        self._later(leaves, forward, packet=True)

    # Queries

    def _wait(self, mag: str, route: _Route, datagram: _Datagram) -> None:
        """A packet from an access link, until its query is answered."""
        if self._group and self._settings.first_packet is FirstPacket.MULTICAST:
            self._to_group(mag, datagram)
        else:
            self._hold(route, datagram)

    def _resolve(self, mag: str, datagram: _Datagram, wait: Callable[[_Route, _Datagram], None]) -> None:
        """What a MAG does with a packet for a node elsewhere: the kernel's route, a route about to lapse, or none (draft, 3.2.3, 3.3.2)."""
        host = datagram.destination
        route = self._routes[mag, host]
        if route.care_of is not None and self._now > route.expires:
            self._forget(route)
        if route.care_of is not None:
            self._tunnel(mag, route.care_of, datagram, self._from_tunnel)
            if self._now > route.lapse:
                route.lapse = _NEVER
                if route.query is None:
                    self._ask(mag, host)
            return
        if route.query is None:
            if self._now < route.failed_until:
                datagram.lost = Reason.REFUSED
                return
            self._ask(mag, host)
        wait(route, datagram)

    def _to_group(self, mag: str, datagram: _Datagram) -> None:
        for other in self._mags:
            if other != mag:
                self._tunnel(mag, other, datagram, lambda _, receiver, datagram: self._from_group(receiver, datagram))

    def _hold(self, route: _Route, datagram: _Datagram) -> None:
        settings = self._settings
        size = sum(held.size for held in route.waiting) + datagram.size
        if len(route.waiting) >= settings.buffer_packets or size > settings.buffer_bytes:
            datagram.lost = Reason.BUFFER_FULL
            return
        datagram.straight = 0
        datagram.lost = Reason.UNDER_WAY
        route.waiting.append(datagram)

        def give_up() -> None:
            if any(held is datagram for held in route.waiting):
                datagram.lost = Reason.BUFFER_TIMEOUT
            route.waiting = [held for held in route.waiting if held is not datagram]

        self._later(self._now + _ns(settings.buffer_time), give_up)

    def _ask(self, mag: str, host: str) -> None:
        route = self._routes[mag, host]
        self._sequences[mag] += 1
        route.query, route.began = self._sequences[mag], self._now
        self._query(mag, host, route.query, 1, _ns(self._settings.query_timeout))

    def _query(self, mag: str, host: str, sequence: int, tries: int, wait: int) -> None:
        _, address = self._prefix(host)
        query = ProxyBindingUpdate(
            sequence=sequence,
            lifetime=messages.lifetime_units(self._settings.query_lifetime),
            query=True,
            home_network_prefixes=(IPv6Network(address),),
            timestamp=0,
        )
        others = [other for other in self._mags if other != mag]
        self._send(query, mag, others if self._group else [self._lma], lambda receiver: self._asked(receiver, mag, host, query))

        def again() -> None:
            if self._routes[mag, host].query != sequence:
                return
            if tries < self._settings.query_tries:
                self._query(mag, host, sequence, tries + 1, 2 * wait)
            else:
                self._fail(mag, host)

        self._later(self._now + wait, again)

    def _fail(self, mag: str, host: str) -> None:
        route = self._routes[mag, host]
        self._forget(route)
        for datagram in route.waiting:
            datagram.lost = Reason.REFUSED
        route.query, route.waiting = None, []
        route.failed_until = self._now + _ns(self._settings.query_failure)

    def _asked(self, receiver: str, mag: str, host: str, query: ProxyBindingUpdate) -> None:
        """The LMA answers from its binding cache, a MAG only for a node of its own."""
        prefix, _ = self._prefix(host)
        status, care_of, lifetime = 0, receiver, query.lifetime
        if self._group:
            there = self._at[host]
            if there is None or there.mag != receiver or not there.served:
                return
        elif (binding := self._bindings.get(host)) is None:
            status, lifetime = 153, 0
        else:
            care_of, lifetime = binding.mag, min(query.lifetime, (binding.expires - self._now) // (4 * _SECOND))
            self._relying[host][mag] = self._now + 4 * lifetime * _SECOND
        answer = ProxyBindingAcknowledgement(
            status=status,
            sequence=query.sequence,
            lifetime=lifetime,
            query=True,
            home_network_prefixes=query.home_network_prefixes if status else (prefix,),
            timestamp=0,
            alternate_care_of=None if status else self._coa[care_of],
        )
        self._send(answer, receiver, [mag], lambda _: self._answered(mag, host, query.sequence, answer, care_of))

    def _answered(self, mag: str, host: str, sequence: int, answer: ProxyBindingAcknowledgement, care_of: str) -> None:
        route = self._routes[mag, host]
        if route.query != sequence or (care_of == mag and not answer.status):
            return
        if answer.status:
            self._fail(mag, host)
            return
        route.query = None
        if route.care_of is not None and route.since > route.began and route.care_of != care_of:
            return
        since = max(route.began, route.since if route.care_of is not None else 0)
        lifetime = min(answer.lifetime * 4 * _SECOND, _ns(self._settings.query_lifetime))
        self._point(mag, host, care_of, route.began + lifetime, since, lifetime)

    def _point(self, mag: str, host: str, care_of: str, expires: int, since: int, lifetime: int) -> None:
        """The waiting packets go first; a route in use is asked for again ``query_margin`` before its end."""
        route = self._routes[mag, host]
        waiting, route.waiting = route.waiting, []
        for datagram in waiting:
            self._tunnel(mag, care_of, datagram, self._from_tunnel)
        if expires <= self._now:
            self._forget(route)
            return
        route.care_of, route.expires, route.since = care_of, expires, since
        route.lapse = expires - min(_ns(self._settings.query_margin), lifetime // 2)

    def _forget(self, route: _Route) -> None:
        route.care_of, route.lapse = None, _NEVER

    def _mistaken(self, mag: str, host: str, care_of: str) -> None:
        """A Binding Error: the route goes, and a query."""
        route = self._routes[mag, host]
        if route.care_of == care_of:
            self._forget(route)
            if route.query is None:
                self._ask(mag, host)

    def _moved(self, mag: str, host: str, care_of: str, since: int) -> None:
        """An Update Notification re-points a route, or opens one while a query goes on."""
        route = self._routes[mag, host]
        if care_of == mag:
            return
        if route.care_of is not None:
            if since >= route.since:
                route.care_of, route.since = care_of, since
        elif route.query is not None:
            lifetime = _ns(self._settings.query_lifetime)
            self._point(mag, host, care_of, self._now + lifetime, since, lifetime)

    # Localized routing

    def _past_anchor(self, mag: str, host: str) -> str | None:
        """The MAG to which a MAG sends packets for a host past the LMA, which may be itself; the last LRI about the host counts."""
        there = self._at[host]
        found = None
        for (told, pair), entry in self._entries.items():
            if told != mag or host not in pair:
                continue
            if entry.mag_address is None:
                found = mag if there is not None and there.mag == mag and there.served else None
            elif entry.mn_id != self._hosts[host].mn_id:
                found = next(name for name, address in self._coa.items() if address == entry.mag_address)
        return found

    def _detected(self, source: str, destination: str, mag: str) -> None:
        """A packet from ``mag`` makes the LMA begin, unless it has done so and knows of no reason why that should still come."""
        pair = frozenset((source, destination))
        sender, known = self._bindings.get(source), self._localized.get(pair)
        if sender is None or sender.mag != mag or destination not in self._bindings:
            return
        if known is None or (source in known.standing and self._now >= known.since + _ns(self._settings.lr_wait_time)):
            self._localize(pair)

    def _localize(self, pair: frozenset[str]) -> None:
        """The LMA's LRIs to the MAGs of a pair of which neither has left; the pair is forgotten after their lifetime."""
        one, other = sorted(pair, key=lambda host: self._prefix(host)[0])
        mags = [self._bindings[host].mag for host in (one, other)]
        if any(self._bindings[host].leaving for host in pair):
            return
        lifetime = max(1, min(ceil(self._settings.lr_lifetime), messages.INFINITE_LIFETIME))
        known = self._localized[pair] = _Localized(self._now)

        def forget() -> None:
            if self._localized.get(pair) is known:
                del self._localized[pair]

        if lifetime != messages.INFINITE_LIFETIME:
            self._later(self._now + lifetime * _SECOND, forget)
        if mags[0] == mags[1]:
            self._initiate(pair, mags[0], one, other, None, lifetime)
            return
        self._initiate(pair, mags[0], one, other, mags[1], lifetime)
        self._initiate(pair, mags[1], other, one, mags[0], lifetime)

    def _initiate(self, pair: frozenset[str], mag: str, own: str, other: str, remote: str | None, lifetime: int) -> None:
        self._sequences[self._lma] += 1
        nodes = [MobileNode(self._hosts[host].mn_id, (self._prefix(host)[0],)) for host in (own, other)]
        request = LocalizedRoutingInitiation(
            sequence=self._sequences[self._lma],
            lifetime=lifetime,
            mn_id=nodes[0].mn_id,
            home_network_prefixes=nodes[0].home_network_prefixes,
            correspondent=nodes[1],
            mag_address=None if remote is None else self._coa[remote],
        )
        known = self._localized.get(pair)

        def acknowledged(success: bool) -> None:
            if known is not None and success and lifetime:
                known.standing |= {own} if remote else {own, other}

        self._send(request, self._lma, [mag], lambda _: self._initiated(pair, mag, own, other, request, acknowledged))

    def _initiated(
        self,
        pair: frozenset[str],
        mag: str,
        own: str,
        other: str,
        request: LocalizedRoutingInitiation,
        acknowledged: Callable[[bool], None],
    ) -> None:
        """A MAG does as the LMA says, unless a host is not there; two hosts of its own it must be allowed to connect."""
        here = [there is not None and there.mag == mag for there in (self._at[own], self._at[other])]
        local = request.mag_address is None
        if request.lifetime and not local and here[1]:
            return
        self._entries.pop((mag, pair), None)
        status = LocalizedRoutingStatus.SUCCESS
        if request.lifetime and not (here[0] and (here[1] or not local)):
            status = LocalizedRoutingStatus.MN_NOT_ATTACHED
        elif request.lifetime and local and not self._settings.local_routing:
            status = LocalizedRoutingStatus.LOCALIZED_ROUTING_NOT_ALLOWED
        elif request.lifetime:
            self._entries[mag, pair] = request

            def lapse() -> None:
                if self._entries.get((mag, pair)) is request:
                    del self._entries[mag, pair]

            if request.lifetime != messages.INFINITE_LIFETIME:
                self._later(self._now + request.lifetime * _SECOND, lapse)
        acknowledgment = LocalizedRoutingAcknowledgment(
            sequence=request.sequence,
            status=status,
            lifetime=0 if status else request.lifetime,
            mn_id=None if status else request.mn_id,
            home_network_prefixes=() if status else request.home_network_prefixes,
            correspondent=None if status else request.correspondent,
            mag_address=None if status else request.mag_address,
        )
        self._send(acknowledgment, mag, [self._lma], lambda _: acknowledged(not status))

    def _no_longer_localized(self, host: str, mag: str, only: Callable[[LocalizedRoutingInitiation], bool]) -> None:
        """A MAG whose host has left, or at which it has arrived, gives up what it does for the host past the LMA."""
        gone = [key for key, entry in self._entries.items() if key[0] == mag and host in key[1] and only(entry)]
        for key in gone:
            del self._entries[key]

    # Moves and registration

    def _announcer(self, host: str, to: str) -> Callable[[], None]:
        """``predict``: the link layer tells the MAG where the host is about to go, and the MAG tells that one (RFC 5949, 4.1)."""

        def announce() -> None:
            attachment = self._at[host]
            if attachment is None or not attachment.served or attachment.mag == to:
                return
            mag, handover = attachment.mag, _Handover(to)
            self._handovers[mag, host] = handover
            self._later(self._now + _ns(self._settings.query_lifetime), lambda: self._end_handover(mag, host, handover))
            profile = self._hosts[host]
            self._sequences[mag] += 1
            initiate = HandoverInitiate(
                sequence=self._sequences[mag],
                code=3,
                buffer=True,
                forward=True,
                mn_id=profile.mn_id,
                home_network_prefixes=(self._prefix(host)[0],),
                link_layer_identifier=bytes.fromhex(profile.mac.replace(":", "")),
                timestamp=0,
            )
            self._send(initiate, mag, [to], lambda _: self._handed_over(mag, host, handover, initiate))

        return announce

    def _handed_over(self, mag: str, host: str, handover: _Handover, initiate: HandoverInitiate) -> None:
        """The next MAG expects the host, for some time, after which it asks where the host is, if packets wait for it."""
        to = handover.to
        self._expected[to, host] = handover

        def give_up() -> None:
            if self._expected.get((to, host)) is handover:
                del self._expected[to, host]
                route = self._routes[to, host]
                if route.waiting and route.query is None:
                    self._ask(to, host)

        def accepted(_: str) -> None:
            handover.accepted = True
            if handover.left and self._handovers.get((mag, host)) is handover:
                route = self._routes[mag, host]
                waiting, route.waiting = route.waiting, []
                for datagram in waiting:
                    self._tunnel(mag, to, datagram, self._from_tunnel)

        self._later(self._now + _ns(self._settings.handover_time), give_up)
        answer = HandoverAcknowledge(
            sequence=initiate.sequence,
            code=0,
            forward=True,
            mn_id=initiate.mn_id,
            link_layer_identifier=initiate.link_layer_identifier,
            timestamp=0,
        )
        self._send(answer, to, [mag], accepted)

    def _end_handover(self, mag: str, host: str, handover: _Handover) -> None:
        if self._handovers.get((mag, host)) is handover:
            del self._handovers[mag, host]

    def _leaver(self, host: str, back: int, to: str) -> Callable[[], None]:
        def leave() -> None:
            attachment = self._at[host]
            self._at[host] = None
            if attachment is not None and (handover := self._handovers.get((attachment.mag, host))) is not None:
                handover.left = True
            if attachment is not None:
                self._no_longer_localized(host, attachment.mag, lambda _: True)
            if attachment is not None and self._registers:
                self._register(host, attachment.mag, leaving=True)
            self._later(back, lambda: self._attach(host, to, attachment.last_frame if attachment and attachment.mag != to else None))

        return leave

    def _attach(self, host: str, mag: str, last_frame: int | None) -> None:
        self._associations.append(Association(host, mag, self._now, last_frame))
        attachment = self._at[host] = _Attachment(mag)
        route = self._routes[mag, host]
        self._forget(route)
        route.query, route.failed_until = None, 0
        self._no_longer_localized(host, mag, lambda entry: entry.mag_address is not None and entry.mn_id != self._hosts[host].mn_id)
        if self._registers:
            self._register(host, mag, leaving=False)
        if not self._registers or (mag, host) in self._expected:
            self._serve(host, attachment)

    def _serve(self, host: str, attachment: _Attachment) -> None:
        attachment.served = True
        self._expected.pop((attachment.mag, host), None)
        self._handovers.pop((attachment.mag, host), None)
        heard = self._now + crossing(self._domain.access, _ROUTER_ADVERTISEMENT)
        self._later(heard, lambda: self._advertised(host, attachment))
        route = self._routes[attachment.mag, host]
        waiting, route.waiting = route.waiting, []
        for datagram in waiting:
            self._deliver(attachment.mag, datagram)
        if self._policy in _NOTIFYING and self._group:
            self._announce(host, attachment, self._now, self._settings.update_announcements)

    def _announce(self, host: str, attachment: _Attachment, since: int, tries: int) -> None:
        """SD-PMIP's ``notify``: the new MAG tells the group, some times over."""
        if tries == 0 or self._at[host] is not attachment:
            return
        mag = attachment.mag
        others = [other for other in self._mags if other != mag]
        self._send(self._news(mag, mag, host, False), mag, others, lambda receiver: self._moved(receiver, host, mag, since))
        self._later(self._now + _ns(self._settings.update_timeout), lambda: self._announce(host, attachment, since, tries - 1))

    def _register(self, host: str, mag: str, leaving: bool) -> None:
        profile = self._hosts[host]
        prefix, _ = self._prefix(host)
        self._sequences[mag] += 1
        update = ProxyBindingUpdate(
            sequence=self._sequences[mag],
            lifetime=0 if leaving else messages.lifetime_units(self._settings.binding_lifetime),
            mn_id=profile.mn_id,
            home_network_prefixes=(prefix,),
            handoff_indicator=4,
            access_technology=4,
            link_layer_identifier=bytes.fromhex(profile.mac.replace(":", "")),
            timestamp=0,
        )
        attachment, sent = self._at[host], self._now

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
            self._send(acknowledgement, lma, [mag], acknowledged)
            self._bind(host, mag, leaving, sent)

        def acknowledged(_: str) -> None:
            if not leaving and attachment is not None and self._at[host] is attachment and not attachment.served:
                self._serve(host, attachment)

        self._send(update, mag, [self._lma], registered)

    def _bind(self, host: str, mag: str, leaving: bool, sent: int) -> None:
        binding = self._bindings.get(host)
        if not leaving:
            self._bindings[host] = _Binding(mag)
            if self._policy in _NOTIFYING and (binding is None or binding.mag != mag):
                self._notify(host, mag)
            if binding is None or binding.leaving or binding.mag != mag:
                self._localize_again(host, None if binding is None or binding.leaving or binding.mag == mag else binding.mag)
        elif binding is not None and binding.mag == mag:
            gone = self._bindings[host] = _Binding(mag, True, self._now + _ns(self._settings.binding_delete_delay))

            def delete() -> None:
                if self._bindings.get(host) is gone:
                    del self._bindings[host]
                    self._delocalize(host)

            self._later(gone.expires, delete)

    def _localize_again(self, host: str, left: str | None) -> None:
        """A host has come to another MAG, or back: the LMA tells both ends, and the MAG that has not said that the host left."""
        for pair in [pair for pair in self._localized if host in pair]:
            self._localize(pair)
            (other,) = pair - {host}
            if left not in (None, self._bindings[other].mag):
                self._initiate(pair, str(left), host, other, None, 0)

    def _delocalize(self, host: str) -> None:
        """A host has not come back: the LMA ends what leads to it."""
        for pair in [pair for pair in self._localized if host in pair]:
            del self._localized[pair]
            (other,) = pair - {host}
            if not self._bindings[other].leaving:
                self._initiate(pair, self._bindings[other].mag, other, host, None, 0)

    def _notify(self, host: str, care_of: str) -> None:
        """S-PMIP's ``notify``: the LMA tells every MAG that relies on an answer."""
        since = self._now
        for mag, until in self._relying[host].items():
            if mag == care_of or until <= self._now:
                continue
            news = self._news(self._lma, care_of, host, True)

            def told(receiver: str, news: UpdateNotification = news) -> None:
                self._moved(receiver, host, care_of, since)
                acknowledgement = UpdateNotificationAcknowledgement(
                    sequence=news.sequence, status=0, mn_id=news.mn_id, home_network_prefixes=news.home_network_prefixes
                )
                self._send(acknowledgement, receiver, [self._lma], lambda _: None)

            self._send(news, self._lma, [mag], told)

    def _news(self, sender: str, care_of: str, host: str, acknowledge: bool) -> UpdateNotification:
        self._sequences[sender] += 1
        return UpdateNotification(
            sequence=self._sequences[sender],
            notification_reason=2,
            acknowledge=acknowledge,
            mn_id=self._hosts[host].mn_id,
            home_network_prefixes=(self._prefix(host)[0],),
            timestamp=0,
            alternate_care_of=self._coa[care_of],
        )

    # Messages

    def _prefix(self, host: str) -> tuple[IPv6Network, IPv6Address]:
        prefix = self._hosts[host].home_network_prefix
        return prefix, prefix[1]

    def _send(self, message: Message, sender: str, receivers: list[str], handle: Callable[[str], None]) -> None:
        """Send a message to one agent, or IP-in-IP to the group; ``handle`` is called when it reaches each receiver."""
        to_group = self._group and isinstance(message, ProxyBindingUpdate | UpdateNotification)
        size = len(self._protection.octets(message, _UNSPECIFIED, _UNSPECIFIED, 0.0)) + _IPV6 * (2 if to_group else 1)
        arrivals = sorted(((receiver, self._now + self._transit(sender, receiver, size)) for receiver in receivers), key=lambda a: a[1])
        for receiver, time in arrivals:
            self._later(time, lambda receiver=receiver: handle(receiver))  # type: ignore[misc]
        home = next(iter(message.home_network_prefixes), getattr(message, "home_address", None))
        care_of = message.alternate_care_of or getattr(message, "mag_address", None)
        self._signals.append(
            Signal(
                kind=messages.kind(message),
                sent=self._now,
                sender=sender,
                arrivals=tuple(arrivals),
                size=size,
                source=self._address(sender),
                destination="ff15::5213" if to_group else self._address(receivers[0]),
                tunnelled=to_group,
                sequence=getattr(message, "sequence", None),
                status=getattr(message, "status", None),
                lifetime=messages.lifetime_of(message),
                mn_id=message.mn_id,
                home=None if home is None else str(home),
                care_of=None if care_of is None else str(care_of),
            )
        )

    def _address(self, agent: str) -> str:
        lma = self._domain.lma
        return str(lma.address if lma is not None and agent == lma.name else self._coa[agent])

    def _transit(self, a: str, b: str, size: int) -> int:
        return transit(self._domain, a, b, size)


def crossing(link: LinkSettings, size: int) -> int:
    """How long an IPv6 packet of ``size`` bytes takes over a link, in ns: the delay, and its frame at the link's rate."""
    return _ns(link.delay) + (round((size + _ETHERNET) * 8 * _SECOND / link.rate) if link.rate else 0)


def transit(domain: Domain, a: str, b: str, size: int) -> int:
    """How long an IPv6 packet takes from one agent to another, in ns."""
    return 0 if a == b else sum(crossing(link, size) for link in _links(domain, a, b))


@lru_cache(maxsize=4096)
def _links(domain: Domain, a: str, b: str) -> tuple[LinkSettings, ...]:
    settings = {frozenset((link.a, link.b)): link.settings for link in reversed(domain.links)}
    path = paths(domain, a)[b]
    return tuple(settings[frozenset(hop)] for hop in pairwise(path))
