"""Localized routing (RFC 6705): the LMA has the MAGs of two nodes that talk to each other send their packets straight.

``Initiator`` is the LMA's part, ``LocalizedRoutes`` that of a MAG. Covered are the scenarios of one LMA: both nodes on one MAG
(A11, section 5) and on two (A21, section 6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from math import ceil

from agents.actions import Action, Ignore, IgnoreReason, InstallLocalRoute, InstallRoute, RemoveLocalRoute, RemoveRoute, Send
from agents.bindings import AccessLinks, Binding, BindingCache
from agents.config import AgentConfig
from agents.messages import (
    INFINITE_LIFETIME,
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    LocalizedRoutingStatus,
    MobileNode,
)
from agents.ordering import Ordering, Recent
from agents.timers import Exchanges, Timers, earliest

_WINDOW = 1 << 10
"""An LRI is behind a later one by less than so many sequence numbers, or comes from an LMA that has begun anew."""

_Pair = tuple[IPv6Network, IPv6Network]
"""Two mobility sessions, each by the first of its prefixes; the lower one first."""


def _pair(one: IPv6Network, other: IPv6Network) -> _Pair:
    return (one, other) if one < other else (other, one)


class _Pairs:
    """Pairs, found by either of their sessions."""

    def __init__(self) -> None:
        self._by_session: dict[IPv6Network, dict[_Pair, None]] = {}

    def add(self, pair: _Pair) -> None:
        for session in pair:
            self._by_session.setdefault(session, {})[pair] = None

    def discard(self, pair: _Pair) -> None:
        for session in pair:
            pairs = self._by_session.get(session, {})
            pairs.pop(pair, None)
            if not pairs:
                self._by_session.pop(session, None)

    def of(self, session: IPv6Network) -> tuple[_Pair, ...]:
        return tuple(self._by_session.get(session, ()))


@dataclass(slots=True)
class _Session:
    """Localized routing between a pair, as the LMA knows it: since when, and from which of the two it has been acknowledged."""

    since: float
    standing: set[IPv6Network] = field(default_factory=set)


_Told = tuple[_Pair, IPv6Address]


class Initiator:
    """Begins localized routing between nodes whose packets come through the LMA, keeps it right when they move, and ends it.

    A session lasts for ``lr_lifetime``; a pair that then still talks does so through the LMA, which begins anew.
    """

    def __init__(self, config: AgentConfig, ordering: Ordering, bindings: BindingCache) -> None:
        """``bindings`` is the LMA's Binding Cache, to look at."""
        settings = config.settings
        self._lifetime = max(1, min(ceil(settings.lr_lifetime), INFINITE_LIFETIME))
        self._patience = settings.lr_wait_time
        self._ordering = ordering
        self._mags = config.mags
        self._bindings = bindings
        self._sessions: dict[_Pair, _Session] = {}
        self._pairs = _Pairs()
        self._expiries: Timers[_Pair] = Timers()
        self._repeats: Exchanges[_Told] = Exchanges(settings.lr_wait_time, settings.lr_wait_time, 1 + settings.lr_retries)
        self._open: dict[_Pair, dict[IPv6Address, LocalizedRoutingInitiation]] = {}
        self._by_sequence: dict[int, _Told] = {}

    def forwarded(self, source: IPv6Address, destination: IPv6Address, mag: IPv6Address, now: float) -> list[Action]:
        """A packet between two home addresses came through the tunnel of ``mag`` (RFC 6705, 3.2, 5 and 6).

        What a MAG still sends while its LRI is under way, or because it has refused, changes nothing.
        """
        sender, receiver = self._bindings.match(source), self._bindings.match(destination)
        if sender is None or receiver is None or sender[1] is receiver[1] or sender[1].care_of != mag:
            return []
        session = sender[1].prefixes[0]
        pair = _pair(session, receiver[1].prefixes[0])
        known = self._sessions.get(pair)
        if known is not None and (session not in known.standing or now < known.since + self._patience):
            return []
        return self._initiate(pair, now)

    def bound(self, binding: Binding, left: IPv6Address | None, now: float) -> list[Action]:
        """A binding has a care-of address that it had not before, or had when it was de-registered (RFC 6705, 5.1 and 6.1).

        ``left`` is the MAG that it was at before, where that has not de-registered it.
        """
        actions: list[Action] = []
        for pair in self._pairs.of(binding.prefixes[0]):
            self._close(pair)
            other = self._other(pair, binding)
            actions += self._initiate(pair, now)
            if left is not None and left != other.care_of:
                actions.append(self._tell(pair, left, _node(binding), _node(other), None, 0, now))
        return actions

    def unbound(self, binding: Binding, now: float) -> list[Action]:
        """A binding has been deleted: its packets have no straight way any longer (RFC 6705, 4)."""
        actions: list[Action] = []
        for pair in self._pairs.of(binding.prefixes[0]):
            other = self._other(pair, binding)
            self._forget(pair)
            serving = dict.fromkeys(end.care_of for end in (other, binding) if not end.leaving)
            actions += [self._tell(pair, mag, _node(other), _node(binding), None, 0, now) for mag in serving]
        return actions

    def receive(self, message: LocalizedRoutingAcknowledgment, source: IPv6Address, now: float) -> list[Action]:
        """Take in an LRA: the MAG forwards straight from now on, does so no longer, or refuses; or it asks for something."""
        if message.unsolicited:
            return self._asked(message, source, now)
        told = self._by_sequence.get(message.sequence)
        if told is None or told[1] != source:
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        pair, _ = told
        request = self._end(told)
        session = self._sessions.get(pair)
        if session is not None and request.lifetime and message.status == LocalizedRoutingStatus.SUCCESS:
            session.standing.update(pair if request.mag_address is None else request.home_network_prefixes[:1])
        return []

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        return earliest(self._expiries.next, self._repeats.next)

    def timeout(self, now: float) -> list[Action]:
        """Forget sessions whose time is over, as the MAGs do on their own, and repeat what was not acknowledged."""
        for pair in self._expiries.due(now):
            self._forget(pair)
        actions: list[Action] = []
        for told, again in self._repeats.due(now):
            pair, mag = told
            if again:
                actions.append(Send(self._open[pair][mag], mag))
            else:
                self._end(told)
        return actions

    def _asked(self, message: LocalizedRoutingAcknowledgment, source: IPv6Address, now: float) -> list[Action]:
        """A MAG asks for the end of a route that leads to it though the node is elsewhere: put it right (RFC 6705, 10.2, U flag).

        An LRI was lost for good, or this LMA has begun anew and knows nothing of the session.
        """
        node, other, mag = message.mn_id, message.correspondent, message.mag_address
        prefixes = message.home_network_prefixes
        if message.lifetime or not node or not prefixes or other is None or not other.home_network_prefixes or mag not in self._mags:
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        gone, sender = self._bindings.of_prefix(prefixes[0]), self._bindings.of_prefix(other.home_network_prefixes[0])
        if gone is not None and gone.care_of == source and not gone.leaving:
            return [Ignore(IgnoreReason.STALE, source)]
        begun: list[Action] = []
        if gone is not None and sender is not None:
            begun = self._initiate(_pair(gone.prefixes[0], sender.prefixes[0]), now)
            if begun and sender.care_of == mag:
                return begun
        pair = _pair(prefixes[0], other.home_network_prefixes[0])
        return [*begun, self._tell(pair, mag, other, MobileNode(node, prefixes), None, 0, now)]

    def _initiate(self, pair: _Pair, now: float) -> list[Action]:
        """Send the LRIs of a pair, unless one of the two is on no link; then they follow its next registration."""
        one, other = (self._binding(session) for session in pair)
        if one.leaving or other.leaving:
            return []
        self._close(pair)
        self._sessions[pair] = _Session(now)
        self._pairs.add(pair)
        if self._lifetime != INFINITE_LIFETIME:
            self._expiries.set(pair, now + self._lifetime)
        if one.care_of == other.care_of:
            return [self._tell(pair, one.care_of, _node(one), _node(other), None, self._lifetime, now)]
        ends = (one, other), (other, one)
        return [self._tell(pair, own.care_of, _node(own), _node(to), to.care_of, self._lifetime, now) for own, to in ends]

    def _tell(
        self, pair: _Pair, mag: IPv6Address, own: MobileNode, other: MobileNode, remote: IPv6Address | None, lifetime: int, now: float
    ) -> Action:
        """An LRI to ``mag`` (RFC 6705, 10.1), in the place of one to it that is not acknowledged."""
        told = pair, mag
        if mag in self._open.get(pair, {}):
            self._end(told)
        sequence = self._ordering.free_sequence(self._by_sequence)
        request = LocalizedRoutingInitiation(
            sequence=sequence,
            lifetime=lifetime,
            mn_id=own.mn_id,
            home_network_prefixes=own.home_network_prefixes,
            correspondent=other,
            mag_address=remote,
        )
        self._open.setdefault(pair, {})[mag] = request
        self._by_sequence[sequence] = told
        self._repeats.begin(told, now)
        return Send(request, mag)

    def _end(self, told: _Told) -> LocalizedRoutingInitiation:
        """Repeat an LRI no more."""
        pair, mag = told
        request = self._open[pair].pop(mag)
        if not self._open[pair]:
            del self._open[pair]
        del self._by_sequence[request.sequence]
        self._repeats.end(told)
        return request

    def _close(self, pair: _Pair) -> None:
        """Repeat the LRIs of a pair no more, but for those that end something."""
        for mag, request in tuple(self._open.get(pair, {}).items()):
            if request.lifetime:
                self._end((pair, mag))

    def _forget(self, pair: _Pair) -> None:
        self._close(pair)
        self._expiries.cancel(pair)
        self._pairs.discard(pair)
        del self._sessions[pair]

    def _other(self, pair: _Pair, binding: Binding) -> Binding:
        return self._binding(next(session for session in pair if session != binding.prefixes[0]))

    def _binding(self, session: IPv6Network) -> Binding:
        binding = self._bindings.of_prefix(session)
        assert binding is not None, "a pair is forgotten when one of its bindings is deleted"
        return binding


def _node(binding: Binding) -> MobileNode:
    return MobileNode(binding.mn_id, binding.prefixes)


_Entries = dict[IPv6Network, IPv6Address]
"""The Localized Routing Entries of a pair (RFC 6705, 4): for each destination the MAG where it is, which may be this one."""


class LocalizedRoutes:
    """What a MAG forwards past the LMA because the LMA has told it to.

    The kernel's routes are for a destination, whoever sends to it; one stands as long as any pair wants it. A copy of an LRI that is late
    is told by its sequence number, also where a later LRI has ended the route, for as long as an LRI is sent again; then the number may
    be that of an LMA which has begun anew.
    """

    def __init__(self, config: AgentConfig, ordering: Ordering, links: AccessLinks) -> None:
        """``links`` are the MAG's access links, to look at."""
        settings = config.settings
        self._config = config
        self._ordering = ordering
        self._links = links
        self._late = settings.lr_wait_time * settings.lr_retries
        self._last: dict[_Pair, int] = {}
        self._memory: Timers[_Pair] = Timers()
        self._just_left: Recent[str] = Recent(settings.lr_wait_time)
        self._entries: dict[_Pair, _Entries] = {}
        self._pairs = _Pairs()
        self._expiries: Timers[_Pair] = Timers()
        self._wanted: dict[IPv6Network, dict[_Pair, IPv6Address]] = {}
        self._routed: dict[IPv6Network, IPv6Address] = {}

    def receive(self, message: LocalizedRoutingInitiation, source: IPv6Address, now: float) -> list[Action]:
        """Take in an LRI and acknowledge it (RFC 6705, 5 and 6); what is not of the LMA, or no longer true, is not answered."""
        if source != self._config.lma:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        other, remote = message.correspondent, message.mag_address
        if not message.mn_id or not message.home_network_prefixes or other is None or not other.home_network_prefixes:
            return [Ignore(IgnoreReason.MALFORMED, source)]
        own = MobileNode(message.mn_id, message.home_network_prefixes)
        pair = _pair(own.home_network_prefixes[0], other.home_network_prefixes[0])
        last = self._last.get(pair)
        if last is not None and 0 < (last - message.sequence) % (1 << 16) < _WINDOW:
            return [Ignore(IgnoreReason.STALE, source)]
        self._last[pair] = message.sequence
        self._memory.set(pair, now + self._late)
        if message.lifetime == 0:
            named = {_pair(mine, its) for mine in own.home_network_prefixes for its in other.home_network_prefixes}
            return [*(action for ended in sorted(named) for action in self._end(ended)), _acknowledge(message, source)]
        if not all(self._config.profiles.prefixes_of(node.mn_id).issuperset(node.home_network_prefixes) for node in (own, other)):
            return [Ignore(IgnoreReason.NO_SUCH_PREFIX, source)]
        if remote is not None and (refusal := self._distrust(other, remote)) is not None:
            return [Ignore(refusal, source)]
        status = self._objection(own, other, remote)
        if status is not None:
            refused = LocalizedRoutingAcknowledgment(sequence=message.sequence, status=status, lifetime=0)
            return [*self._end(pair), Send(refused, source)]
        hops = dict.fromkeys(other.home_network_prefixes, remote or self._config.address)
        if remote is None:
            hops |= dict.fromkeys(own.home_network_prefixes, self._config.address)
        if message.lifetime == INFINITE_LIFETIME:
            self._expiries.cancel(pair)
        else:
            self._expiries.set(pair, now + message.lifetime)
        return [*self._put(pair, hops), _acknowledge(message, source)]

    def at_home(self, prefixes: Iterable[IPv6Network]) -> list[Action]:
        """These prefixes are attached here now: what leads elsewhere is wrong."""
        here = self._config.address
        pairs = (pair for prefix in prefixes for pair in self._pairs.of(prefix) if self._entries[pair].get(prefix, here) != here)
        return [action for pair in pairs for action in self._end(pair)]

    def left(self, prefixes: Iterable[IPv6Network], now: float) -> list[Action]:
        """These prefixes are served here no longer, so neither are the pairs that they are in (RFC 6705, 5.1)."""
        actions: list[Action] = []
        for prefix in prefixes:
            if (profile := self._config.profiles.of_address(prefix[0])) is not None:
                self._just_left.note(profile.mn_id, now)
            actions += [action for pair in self._pairs.of(prefix) for action in self._end(pair)]
        return actions

    def stray(self, source: IPv6Address, destination: IPv6Address, mag: IPv6Address, now: float) -> list[Action]:
        """``mag`` still tunnels a packet here whose node is elsewhere, though the LMA has had the time to tell it: ask the LMA to
        (RFC 6705, 10.2, U flag), no more often than an LRI is sent again."""
        lma = self._config.lma
        gone, sender = (self._config.profiles.of_address(address) for address in (destination, source))
        if lma is None or mag == lma or gone is None or sender is None or self._just_left.knows(gone.mn_id, now):
            return []
        self._just_left.note(gone.mn_id, now)
        request = LocalizedRoutingAcknowledgment(
            sequence=self._ordering.sequence(),
            unsolicited=True,
            status=LocalizedRoutingStatus.SUCCESS,
            lifetime=0,
            mn_id=gone.mn_id,
            home_network_prefixes=gone.home_network_prefixes,
            correspondent=MobileNode(sender.mn_id, sender.home_network_prefixes),
            mag_address=mag,
        )
        return [Send(request, lma)]

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        return earliest(self._expiries.next, self._memory.next)

    def timeout(self, now: float) -> list[Action]:
        """Go back to the LMA where the time is over (RFC 6705, 4)."""
        for pair in self._memory.due(now):
            del self._last[pair]
        return [action for pair in self._expiries.due(now) for action in self._end(pair)]

    def stop(self) -> list[Action]:
        """Withdraw every route: the agent ends, or the LMA knows of none any longer."""
        return [action for pair in tuple(self._entries) for action in self._end(pair)]

    def _distrust(self, other: MobileNode, remote: IPv6Address) -> IgnoreReason | None:
        if remote not in self._config.mags:
            return IgnoreReason.UNKNOWN_SENDER
        overtaken = remote == self._config.address or self._attached(other)
        return IgnoreReason.STALE if overtaken else None

    def _objection(self, own: MobileNode, other: MobileNode, remote: IPv6Address | None) -> LocalizedRoutingStatus | None:
        """Why the MAG cannot, or may not, do as told; in the order of RFC 6705, 5."""
        if not self._attached(own) or (remote is None and not self._attached(other)):
            return LocalizedRoutingStatus.MN_NOT_ATTACHED
        if remote is None and not self._config.settings.local_routing:
            return LocalizedRoutingStatus.LOCALIZED_ROUTING_NOT_ALLOWED
        return None

    def _attached(self, node: MobileNode) -> bool:
        here = self._links.of_prefix(node.home_network_prefixes[0])
        return here is not None and here.mn_id == node.mn_id

    def _put(self, pair: _Pair, entries: _Entries) -> list[Action]:
        before = self._entries.get(pair)
        self._entries[pair] = entries
        self._pairs.add(pair)
        for prefix, hop in entries.items():
            wanted = self._wanted.setdefault(prefix, {})
            wanted.pop(pair, None)
            wanted[pair] = hop
        gone = [prefix for prefix in before if prefix not in entries] if before else []
        return self._unwant(pair, gone) + [action for prefix in entries for action in self._route(prefix)]

    def _end(self, pair: _Pair) -> list[Action]:
        entries = self._entries.pop(pair, None)
        if entries is None:
            return []
        self._pairs.discard(pair)
        self._expiries.cancel(pair)
        return self._unwant(pair, entries)

    def _unwant(self, pair: _Pair, prefixes: Iterable[IPv6Network]) -> list[Action]:
        actions: list[Action] = []
        for prefix in prefixes:
            wanted = self._wanted[prefix]
            del wanted[pair]
            if not wanted:
                del self._wanted[prefix]
            actions += self._route(prefix)
        return actions

    def _route(self, prefix: IPv6Network) -> list[Action]:
        """Have the kernel forward to ``prefix`` as the last LRI about it says."""
        here, before = self._config.address, self._routed.pop(prefix, None)
        hop = next(reversed(self._wanted.get(prefix, {}).values()), None)
        if hop is not None:
            self._routed[prefix] = hop
        if hop == before:
            return []
        actions: list[Action] = []
        if before is not None and (hop is None or here in (hop, before)):
            actions.append(RemoveLocalRoute(prefix) if before == here else RemoveRoute(prefix))
        if hop is not None:
            actions.append(InstallLocalRoute(prefix) if hop == here else InstallRoute(prefix, hop))
        return actions


def _acknowledge(message: LocalizedRoutingInitiation, source: IPv6Address) -> Action:
    """An LRA of status 0, which repeats the LRI (RFC 6705, 10.2; figures 2 and 4)."""
    acknowledgment = LocalizedRoutingAcknowledgment(
        sequence=message.sequence,
        status=LocalizedRoutingStatus.SUCCESS,
        lifetime=message.lifetime,
        mn_id=message.mn_id,
        home_network_prefixes=message.home_network_prefixes,
        correspondent=message.correspondent,
        mag_address=message.mag_address,
    )
    return Send(acknowledgment, source)
