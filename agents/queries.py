"""Finding the MAG of a mobile node: queries, the packets that wait for them, and the routes that answers give.

This is the querying side of S-PMIP and SD-PMIP (draft, 3.2.3 and 3.3.2); whom it asks is the scheme's "Binding Query" column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from agents.actions import (
    Action,
    Drop,
    DropReason,
    Ignore,
    IgnoreReason,
    InstallRoute,
    Multicast,
    Release,
    RemoveRoute,
    Send,
    Unreachable,
)
from agents.bindings import Answer
from agents.buffering import Buffers
from agents.config import AgentConfig, FirstPacket
from agents.messages import ProxyBindingAcknowledgement, ProxyBindingUpdate, Status, lifetime_seconds, lifetime_units
from agents.ordering import Ordering, Recent, TokenBuckets
from agents.prefixes import AddressIndex, PrefixTable
from agents.schemes import Query
from agents.timers import Exchanges, Timers, earliest

_MOST_OPEN = 1 << 15
"""Queries under way at one time; half of the sequence numbers there are."""

_MOST_FAILURES = 1 << 14
"""Home addresses whose queries are remembered to have failed."""

_Asker = str | IPv6Address | None
"""Whose packets cause a query, for the rate limit: an access link, a MAG, or nobody known."""

_Wait = Callable[[IPv6Address, bytes, float], list[Action]]


@dataclass(frozen=True, slots=True)
class _Open:
    """A query that waits for its answer; ``began`` is when it was first sent."""

    sequence: int
    began: float


class Resolver:
    """The queries, buffers and learnt routes of one MAG."""

    def __init__(self, config: AgentConfig, ordering: Ordering) -> None:
        settings = config.settings
        self._config = config
        self._settings = settings
        self._ordering = ordering
        self._multicast = config.scheme.query is Query.MULTICAST
        self._buffers = Buffers(settings)
        self._answers: PrefixTable[Answer] = PrefixTable()
        self._lapses: Timers[IPv6Network] = Timers()
        self._open: dict[IPv6Address, _Open] = {}
        self._by_sequence: dict[int, IPv6Address] = {}
        self._index = AddressIndex()
        self._exchanges: Exchanges[IPv6Address] = Exchanges(settings.query_timeout, tries=settings.query_tries)
        self._failures: Recent[IPv6Address] = Recent(settings.query_failure, _MOST_FAILURES)
        self._buckets: TokenBuckets[_Asker] = TokenBuckets(settings.query_rate)

    def packet_for(self, hoa: IPv6Address, packet: bytes, link: str | None, now: float) -> list[Action]:
        """Route a packet from the access link ``link`` that the kernel had no route for, or let it wait for one."""
        return self._route(hoa, packet, link, now, self._wait)

    def forward(self, hoa: IPv6Address, packet: bytes, source: IPv6Address, now: float) -> list[Action]:
        """Route a packet that ``source`` tunnelled here for a node that is elsewhere, or let it wait for a route."""
        return self._route(hoa, packet, source, now, self.hold)

    def hold(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        """Let a packet wait for a node that is attached here but not yet served."""
        return self._buffers.add(hoa, packet, now)

    def answered(self, message: ProxyBindingAcknowledgement, source: IPv6Address, now: float) -> list[Action]:
        """Take in a PQA: failure gives the waiting packets up; success releases them first and then sets up the route.

        Its prefix holds the address that was asked for and is one of a node's profile; who speaks to a group speaks of nobody else.
        """
        hoa = self._by_sequence.get(message.sequence)
        if hoa is None:
            return [Ignore(IgnoreReason.UNMATCHED, source)]
        if not self._multicast and source != self._config.lma:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        if message.status >= Status.REASON_UNSPECIFIED:
            return [Ignore(IgnoreReason.NOT_OURS, source)] if self._multicast else self._fail(hoa, now)
        prefix = next((prefix for prefix in message.home_network_prefixes if hoa in prefix), None)
        care_of = message.alternate_care_of or (source if self._multicast else None)
        if prefix is None or care_of is None:
            return [Ignore(IgnoreReason.MALFORMED, source)]
        if care_of not in self._config.mags or (self._multicast and care_of != source):
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        if prefix not in self._config.profiles.prefixes:
            return [Ignore(IgnoreReason.NO_SUCH_PREFIX, source)]
        if care_of == self._config.address:
            return [Ignore(IgnoreReason.STALE, source)]
        query = self._open[hoa]
        known = self._answers.get(prefix)
        if known is not None and known.heard > query.began and known.care_of != care_of:
            self._close(hoa)
            return [Ignore(IgnoreReason.STALE, source)]
        heard, news = (max(query.began, known.heard), known.news) if known else (query.began, {})
        lifetime = min(lifetime_seconds(message.lifetime), self._settings.query_lifetime)
        actions = self._release(prefix, care_of)
        for asked in self._index.within(prefix):
            self._close(asked)
        return actions + self._point(Answer(prefix, care_of, query.began + lifetime, heard, news), lifetime, now)

    def mistaken(self, hoa: IPv6Address, care_of: IPv6Address, now: float) -> list[Action] | None:
        """``care_of`` has no binding for ``hoa``: give the route up and ask again; None where nothing points there."""
        answer = self._answers.lookup(hoa)
        if answer is None or answer.care_of != care_of:
            return None
        actions = self._forget(answer)
        if hoa not in self._open and len(self._open) < _MOST_OPEN:
            actions.append(self._ask(hoa, now))
        return actions

    def moved(self, prefix: IPv6Network, care_of: IPv6Address, sender: IPv6Address, timestamp: int, now: float) -> list[Action] | None:
        """``sender`` says, at ``timestamp``, that ``prefix`` is at ``care_of`` now: re-point its route, or let packets go that wait for an
        answer.

        The news do not say how long they hold: a route keeps its answer's lifetime, a query goes on until it is answered.
        None where later news are known, or where these name no other MAG.
        """
        answer = self._answers.get(prefix)
        if care_of == self._config.address or care_of not in self._config.mags:
            return None
        if answer is not None:
            changed = answer.care_of != care_of
            if answer.is_older(sender, timestamp, self._settings.timestamp_window):
                return None if changed else []
            answer.care_of, answer.heard, answer.news[sender] = care_of, now, timestamp
            return [InstallRoute(prefix, care_of)] if changed and answer.routed else []
        if not self._index.within(prefix):
            return []
        lifetime = self._settings.query_lifetime
        return self._release(prefix, care_of) + self._point(
            Answer(prefix, care_of, now + lifetime, now, {sender: timestamp}), lifetime, now
        )

    def at_home(self, prefixes: Iterable[IPv6Network]) -> list[Action]:
        """These prefixes are attached here now: forget what was learnt of them and ask no more; packets still wait."""
        actions: list[Action] = []
        for prefix in prefixes:
            if (answer := self._answers.get(prefix)) is not None:
                actions += self._forget(answer)
            for hoa in self._index.within(prefix):
                self._close(hoa)
                self._failures.forget(hoa)
        return actions

    def deliver(self, prefixes: Iterable[IPv6Network], care_of: IPv6Address | None = None) -> list[Action]:
        """Let go what waits for these prefixes, which have an access route now, or are to be forwarded to ``care_of``."""
        held = (self._buffers.take(hoa) for prefix in prefixes for hoa in self._buffers.within(prefix))
        return [Release(packets, care_of) for packets in held]

    def link_gone(self, link: str) -> None:
        """Forget the rate limit of an access link."""
        self._buckets.forget(link)

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called."""
        return earliest(self._lapses.next, self._exchanges.next, self._buffers.next_timeout)

    def timeout(self, now: float) -> list[Action]:
        """Withdraw answers that lapse, repeat queries or give them up, drop packets held for too long."""
        actions = self._lapse(now)
        for hoa, again in self._exchanges.due(now):
            if again:
                actions.append(self._query(hoa, self._open[hoa].sequence, now))
            else:
                actions += self._fail(hoa, now)
        return actions + self._buffers.timeout(now)

    def seek(self, prefixes: Iterable[IPv6Network], now: float) -> list[Action]:
        """Ask where these prefixes are, for the packets that wait for them and whose query has not begun."""
        waiting = (hoa for prefix in prefixes for hoa in self._buffers.within(prefix) if hoa not in self._open)
        return [self._ask(hoa, now) for hoa in waiting if len(self._open) < _MOST_OPEN]

    def stop(self) -> list[Action]:
        """Withdraw every route and give every waiting packet up."""
        actions: list[Action] = [action for answer in tuple(self._answers.values()) for action in self._forget(answer)]
        for hoa in tuple(self._open):
            self._close(hoa)
        if packets := self._buffers.drain():
            actions.append(Drop(packets, DropReason.STOPPED))
        return actions

    def _route(self, hoa: IPv6Address, packet: bytes, asker: _Asker, now: float, wait: _Wait) -> list[Action]:
        actions = self._lapse(now)
        answer = self._answers.lookup(hoa)
        if answer is not None:
            return [*actions, Release((packet,), answer.care_of), *self._renew(hoa, answer, asker, now)]
        if hoa in self._open:
            return [*actions, *wait(hoa, packet, now)]
        if self._failures.knows(hoa, now):
            return [*actions, Drop((packet,), DropReason.UNREACHABLE), Unreachable(packet)]
        if not self._may_ask(asker, now):
            return [*actions, Drop((packet,), DropReason.RATE_LIMITED)]
        return [*actions, self._ask(hoa, now), *wait(hoa, packet, now)]

    def _may_ask(self, asker: _Asker, now: float) -> bool:
        return len(self._open) < _MOST_OPEN and self._buckets.take(asker, now)

    def _wait(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        if self._multicast and self._settings.first_packet is FirstPacket.MULTICAST:
            return [Multicast(packet, self._config.group)]
        return self._buffers.add(hoa, packet, now)

    def _ask(self, hoa: IPv6Address, now: float) -> Action:
        sequence = self._ordering.free_sequence(self._by_sequence)
        query = self._query(hoa, sequence, now)
        self._open[hoa] = _Open(sequence, now)
        self._by_sequence[sequence] = hoa
        self._index.add(hoa)
        self._exchanges.begin(hoa, now)
        return query

    def _query(self, hoa: IPv6Address, sequence: int, now: float) -> Send:
        message = ProxyBindingUpdate(
            sequence=sequence,
            lifetime=lifetime_units(self._settings.query_lifetime),
            query=True,
            home_network_prefixes=(IPv6Network(hoa),),
            timestamp=self._ordering.timestamp(now),
        )
        if self._multicast:
            return Send(message, self._config.group, tunnelled=True)
        assert self._config.lma is not None, "a scheme of unicast queries has an LMA"
        return Send(message, self._config.lma)

    def _close(self, hoa: IPv6Address) -> None:
        query = self._open.pop(hoa, None)
        if query is not None:
            del self._by_sequence[query.sequence]
            self._index.discard(hoa)
            self._exchanges.end(hoa)

    def _release(self, prefix: IPv6Network, care_of: IPv6Address) -> list[Action]:
        held = [packets for hoa in self._index.within(prefix) if (packets := self._buffers.take(hoa))]
        return [Release(packets, care_of) for packets in held]

    def _point(self, answer: Answer, lifetime: float, now: float) -> list[Action]:
        known = self._answers.get(answer.prefix)
        if answer.expires <= now:
            return self._forget(known) if known else []
        self._answers[answer.prefix] = answer
        self._lapses.set(answer.prefix, answer.expires - min(self._settings.query_margin, lifetime / 2))
        answer.routed = True
        if known is not None and known.routed and known.care_of == answer.care_of:
            return []
        return [InstallRoute(answer.prefix, answer.care_of)]

    def _renew(self, hoa: IPv6Address, answer: Answer, asker: _Asker, now: float) -> list[Action]:
        if answer.routed or not self._may_ask(asker, now):
            return []
        answer.routed = True
        actions: list[Action] = [InstallRoute(answer.prefix, answer.care_of)]
        if hoa not in self._open:
            actions.append(self._ask(hoa, now))
        return actions

    def _lapse(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for prefix in self._lapses.due(now):
            answer = self._answers.get(prefix)
            assert answer is not None, "every timer has its answer"
            if now >= answer.expires:
                actions += self._forget(answer)
            else:
                answer.routed = False
                actions.append(RemoveRoute(prefix))
                self._lapses.set(prefix, answer.expires)
        return actions

    def _forget(self, answer: Answer) -> list[Action]:
        self._answers.pop(answer.prefix)
        self._lapses.cancel(answer.prefix)
        return [RemoveRoute(answer.prefix)] if answer.routed else []

    def _fail(self, hoa: IPv6Address, now: float) -> list[Action]:
        self._close(hoa)
        self._failures.note(hoa, now)
        answer = self._answers.lookup(hoa)
        actions = self._forget(answer) if answer else []
        packets = self._buffers.take(hoa)
        if packets:
            actions.append(Drop(packets, DropReason.QUERY_FAILED))
        first_of_source = {packet[8:24]: packet for packet in reversed(packets)}
        return actions + [Unreachable(first_of_source[source]) for source in dict.fromkeys(packet[8:24] for packet in packets)]
