"""The Local Mobility Anchor as a plain object: PMIP (RFC 5213, 5; RFC 6705) and the answering side of S-PMIP (draft, 3.2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network

from agents.actions import Action, Ignore, IgnoreReason, InstallRoute, RemoveRoute, Send
from agents.bindings import UNKNOWN_INTERFACE, Binding, BindingCache
from agents.config import AgentConfig, MessageOrder
from agents.heartbeat import Heartbeats, Sessions
from agents.localized_routing import Initiator
from agents.lookup import find, named_prefixes, within
from agents.messages import (
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    Heartbeat,
    LocalizedRoutingAcknowledgment,
    Message,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    RevocationStatus,
    RevocationTrigger,
    Status,
    lifetime_seconds,
    lifetime_units,
    timestamp_from_seconds,
)
from agents.ordering import Ordering, Recent
from agents.policies import POLICIES
from agents.revocation import Responder, RevocationOutcome, Revocations, concerns, revoked
from agents.schemes import Query
from agents.timers import Timers, earliest
from agents.validation import Validator
from agents.waiting import Waiting, WaitingRoom

_ALL_ZERO = IPv6Address("::")
_LINK_LOCAL = int(IPv6Address("fe80::"))
_INTERFACE_IDENTIFIER = (1 << 64) - 1 - (1 << 57)
"""The bits of an interface identifier but for the universal bit, which those made of link-layer addresses mostly have."""


_AUTHENTICATION_FAILURES = 1.0
"""s from one answer to a MAG whose PBU is not authenticated to the next."""

_Asked = tuple[IPv6Address, IPv6Network]
"""Who asked, and about which home address."""


class Lma:
    """One LMA. Its methods return what is to be done, in order; ``now`` is its own clock, in s since 1970."""

    def __init__(self, config: AgentConfig, now: float, sequence: int = 0, restarts: int = 0) -> None:
        """``restarts`` is how often it has started before and lost its state (RFC 5847, 3.2)."""
        self._config = config
        self._settings = config.settings
        self._profiles = config.profiles.by_mn_id
        self._validator = Validator(config)
        self._cache = BindingCache()
        self._queries: dict[IPv6Network, dict[_Asked, ProxyBindingUpdate]] = {}
        self._told: Recent[IPv6Address] = Recent(_AUTHENTICATION_FAILURES)
        self._waiting = WaitingRoom(self._settings.binding_assign_delay)
        self._expiries: Timers[IPv6Network] = Timers()
        ordering = Ordering(sequence)
        self._policy = POLICIES[config.policy].lma(config, ordering)
        self._initiator = Initiator(config, ordering, self._cache)
        sessions = Sessions(self._registered, self._forgotten)
        self._heartbeats = Heartbeats(self._settings, config.mags, sessions, restarts, now)
        self._revocations = Revocations(self._settings, ordering, Responder(self._revoke, self._revoked))

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The Binding Cache."""
        return tuple(self._cache)

    def receive(self, message: Message, source: IPv6Address, now: float, link: str | None = None) -> list[Action]:
        """Take in a message from ``source``; ``link`` names the access link that it came from, if it did."""
        if link is not None:
            return [Ignore(IgnoreReason.FROM_ACCESS_LINK, source)]
        if source == self._config.address or source.is_unspecified:
            return [Ignore(IgnoreReason.NOT_OURS, source)]
        if isinstance(message, ProxyBindingUpdate) and not message.query:
            return self._update(message, source, now)
        if source not in self._config.mags:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        if isinstance(message, ProxyBindingUpdate):
            return self._asked(message, source, now)
        if isinstance(message, ProxyBindingAcknowledgement):
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        if isinstance(message, LocalizedRoutingAcknowledgment) and self._config.scheme.localized_routing:
            return self._initiator.receive(message, source, now)
        if isinstance(message, Heartbeat):
            return self._heartbeats.receive(message, source, now)
        if isinstance(message, BindingRevocationIndication | BindingRevocationAcknowledgement):
            return self._revocations.receive(message, source, now)
        return self._heartbeats.unsupported(message, source, now) or self._policy.receive(message, source, now)

    def revoke(self, mn_id: str, now: float) -> list[Action]:
        """End every session of a node, for an administrative reason (RFC 5846, 8.1)."""
        sessions = [binding for binding in self._cache.of_mn_id(mn_id) if not binding.leaving]
        for binding in sessions:
            binding.revoked = True
        trigger = RevocationTrigger.ADMINISTRATIVE_REASON
        return [action for binding in sessions for action in self._indicate(binding, trigger, now)]

    def revoke_all(self, mag: IPv6Address, now: float) -> list[Action]:
        """End every session that ``mag`` has registered (RFC 5846, 8.1)."""
        sessions = self._cache.of_care_of(mag)
        for binding in sessions:
            binding.revoked = True
        return self._revocations.begin(mag, RevocationTrigger.PER_PEER_POLICY, now) if sessions else []

    def forwarded(self, source: IPv6Address, destination: IPv6Address, mag: IPv6Address, now: float) -> list[Action]:
        """The kernel has a packet between two home addresses to forward, which ``mag`` tunnelled here."""
        return self._initiator.forwarded(source, destination, mag, now) if self._config.scheme.localized_routing else []

    def malformed(self, source: IPv6Address, now: float) -> list[Action]:
        """Octets came from ``source`` that are no message."""
        return [Ignore(IgnoreReason.MALFORMED, source)]

    def refused(self, reason: IgnoreReason, message: Message, source: IPv6Address, now: float) -> list[Action]:
        """A message came from ``source`` that is not to be trusted: to a PBU of a MAG it is said why (RFC 4285, 5.3 and 6).

        The answer to one that is not authenticated is so neither: it is as short as can be, and sent at most once a second.
        """
        ignored = Ignore(reason, source)
        if source not in self._config.mags or not isinstance(message, ProxyBindingUpdate) or message.query:
            return [ignored]
        if reason is IgnoreReason.UNTIMELY:
            dated = message.replay_protection is not None
            status = Status.MIPV6_ID_MISMATCH if dated else Status.MIPV6_MESG_ID_REQD
            return [ignored, self._refusal(message, source, status, None, now)]
        if reason is not IgnoreReason.NOT_AUTHENTICATED or self._told.knows(source, now):
            return [ignored]
        self._told.note(source, now)
        failed = ProxyBindingAcknowledgement(status=Status.MIPV6_AUTH_FAIL, sequence=message.sequence, lifetime=0)
        return [ignored, Send(failed, source, unsigned=True)]

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called, or None where nothing waits."""
        parts = self._policy, self._initiator, self._heartbeats, self._revocations
        return earliest(self._expiries.next, self._waiting.next, *(part.next_timeout for part in parts))

    def timeout(self, now: float) -> list[Action]:
        """Delete bindings whose time is over, answer PBUs that have waited, and repeat what was not acknowledged."""
        actions = self._heartbeats.timeout(now)
        for prefix in self._expiries.due(now):
            binding = self._cache.of_prefix(prefix)
            assert binding is not None, "every timer has its binding"
            actions += self._delete((binding,), now)
        for waiting in self._waiting.due(now):
            actions += self._accept(waiting, None, now)
        return actions + self._policy.timeout(now) + self._initiator.timeout(now) + self._revocations.timeout(now)

    def stop(self, now: float) -> list[Action]:
        """Withdraw every route."""
        return [action for binding in self._cache for action in _routes_removed(binding)]

    def _asked(self, query: ProxyBindingUpdate, source: IPv6Address, now: float) -> list[Action]:
        """Answer a PBQ from the Binding Cache (draft, 3.2.2): of a node that has left its MAG, once it is registered anew or its binding
        ends, since all that could be said before is where it is no longer."""
        if self._config.scheme.query is not Query.UNICAST:
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        if not query.home_network_prefixes:
            return [self._answer(query, source, Status.MISSING_HOME_NETWORK_PREFIX_OPTION)]
        found = self._cache.match(query.home_network_prefixes[0].network_address)
        if found is None or found[1].expires <= now:
            return [self._answer(query, source, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)]
        prefix, binding = found
        if binding.leaving:
            self._queries.setdefault(prefix, {})[source, query.home_network_prefixes[0]] = query
            return []
        lifetime = min(query.lifetime, int((binding.expires - now) // 4))
        self._policy.asked(prefix, source, lifetime_seconds(lifetime), now)
        return [self._answer(query, source, Status.ACCEPTED, prefix, binding.care_of, lifetime)]

    def _answer_waiting(self, binding: Binding, now: float) -> list[Action]:
        """Answer the queries that waited for a binding to be taken up again, or to end."""
        waiting = [item for prefix in binding.prefixes for item in self._queries.pop(prefix, {}).items()]
        return [action for (source, _), query in waiting for action in self._asked(query, source, now)]

    def _answer(
        self,
        query: ProxyBindingUpdate,
        destination: IPv6Address,
        status: Status,
        prefix: IPv6Network | None = None,
        care_of: IPv6Address | None = None,
        lifetime: int = 0,
    ) -> Action:
        answer = ProxyBindingAcknowledgement(
            status=status,
            sequence=query.sequence,
            lifetime=lifetime,
            query=True,
            home_network_prefixes=query.home_network_prefixes if prefix is None else (prefix,),
            timestamp=query.timestamp,
            alternate_care_of=care_of,
        )
        return Send(answer, destination)

    def _update(self, request: ProxyBindingUpdate, source: IPv6Address, now: float) -> list[Action]:
        """Process a PBU, in the order of RFC 5213, 5.3.1."""
        asked = Waiting(request, source, request.alternate_care_of or source)
        match = find(self._cache, request, asked.care_of)
        session = None if match.waits else match.session
        status = self._validator.objection(request, source, asked.care_of, session, now) or match.refusal
        if status is not None:
            return [self._refusal(request, source, status, session, now)]
        if _overtaken(asked, self._waiting.before(asked)):
            return [Ignore(IgnoreReason.STALE, source)]
        if request.lifetime == 0:
            self._waiting.leave(asked)
            return [Ignore(IgnoreReason.NOT_OURS, source)] if session is None else self._deregister(session, asked, now)
        if match.waits and self._settings.binding_assign_delay > 0:
            self._waiting.put(asked, now)
            return self._seek(match.session, asked, now)
        self._waiting.leave(asked)
        return self._accept(asked, session, now)

    def _resume(self, mn_id: str, now: float) -> list[Action]:
        """Go on with the PBUs that waited for a session which has now ended."""
        actions: list[Action] = []
        for waiting in self._waiting.of_mn_id(mn_id):
            match = find(self._cache, waiting.request, waiting.care_of)
            if not match.waits:
                self._waiting.leave(waiting)
                actions += self._accept(waiting, match.session, now)
        return actions

    def _accept(self, asked: Waiting, session: Binding | None, now: float) -> list[Action]:
        """Update ``session``, or begin one if there are prefixes for it (RFC 5213, 5.3.2 to 5.3.4)."""
        prefixes = self._allocate(asked.request) if session is None else session.prefixes
        if isinstance(prefixes, Status):
            return [self._refusal(asked.request, asked.source, prefixes, session, now)]
        return self._register(session, prefixes, asked, now)

    def _allocate(self, request: ProxyBindingUpdate) -> tuple[IPv6Network, ...] | Status:
        """The prefixes of a new session, which no other has (RFC 5213, 5.3.2): those asked for, or a choice of the node's.

        They are the profile's objects, and those of the request can go.
        """
        profile = self._profiles[request.mn_id or ""]
        owned = (prefix for prefix in profile.home_network_prefixes if within(prefix, self._config.home))
        free = {prefix: prefix for prefix in owned if self._cache.of_prefix(prefix) is None}
        named = named_prefixes(request)
        if len(named) < len(set(request.home_network_prefixes)):
            return tuple(free)[: profile.session_prefixes] or Status.INSUFFICIENT_RESOURCES
        return tuple(free[prefix] for prefix in named) if free.keys() >= set(named) else Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX

    def _register(self, before: Binding | None, prefixes: tuple[IPv6Network, ...], asked: Waiting, now: float) -> list[Action]:
        request, care_of = asked.request, asked.care_of
        profile = self._profiles[request.mn_id or ""]
        limits = [self._settings.binding_lifetime] if profile.lifetime is None else [self._settings.binding_lifetime, profile.lifetime]
        lifetime = min(request.lifetime, *map(lifetime_units, limits))
        binding = Binding(
            mn_id=profile.mn_id,
            prefixes=prefixes,
            care_of=care_of,
            access_technology=request.access_technology or 0,
            link_layer_identifier=request.link_layer_identifier or UNKNOWN_INTERFACE,
            link_local_address=_link_local_address(profile.mn_id, prefixes[0]) if before is None else before.link_local_address,
            sequence=request.sequence,
            timestamp=request.timestamp or 0,
            expires=now + lifetime_seconds(lifetime),
            accepted=now,
        )
        if before is not None:
            self._cache.remove(before)
        self._cache.add(binding)
        self._expiries.set(prefixes[0], binding.expires)
        moved = before is None or before.care_of != care_of
        routed = not moved and before is not None and not before.leaving
        actions: list[Action] = [] if routed else [InstallRoute(prefix, care_of) for prefix in prefixes]
        actions.append(self._acceptance(asked, binding, lifetime))
        self._heartbeats.watch(care_of, now)
        if routed:
            return actions
        left = before.care_of if before is not None and moved and not before.leaving else None
        news = self._policy.moved(binding, now) + self._tell_previous(before, binding, now) if moved else []
        return actions + news + self._initiator.bound(binding, left, now) + self._answer_waiting(binding, now)

    def _deregister(self, binding: Binding, asked: Waiting, now: float) -> list[Action]:
        """Let a binding end (RFC 5213, 5.3.5); until it is deleted its packets have no route, but it can be taken up again."""
        if binding.care_of != asked.care_of:
            return [Ignore(IgnoreReason.STALE, asked.source)]
        actions = [*_routes_removed(binding), self._acceptance(asked, binding, 0)]
        binding.sequence, binding.timestamp = asked.request.sequence, asked.request.timestamp or 0
        self._let_end(binding, now)
        return actions + self._resume(binding.mn_id, now)

    def _let_end(self, binding: Binding, now: float) -> None:
        binding.leaving, binding.revoked = True, False
        binding.expires = now + self._settings.binding_delete_delay
        self._expiries.set(binding.prefixes[0], binding.expires)

    def _end(self, bindings: Sequence[Binding], now: float) -> list[Action]:
        """Let bindings end as if they had been de-registered."""
        actions = [action for binding in bindings for action in _routes_removed(binding)]
        for binding in bindings:
            self._let_end(binding, now)
        return actions + self._resume_all(bindings, now)

    def _delete(self, bindings: Sequence[Binding], now: float) -> list[Action]:
        for binding in bindings:
            self._cache.remove(binding)
            self._expiries.cancel(binding.prefixes[0])
        ended: list[Action] = []
        for binding in bindings:
            ended += _routes_removed(binding) + self._initiator.unbound(binding, now) + self._answer_waiting(binding, now)
        return ended + self._resume_all(bindings, now)

    def _resume_all(self, bindings: Sequence[Binding], now: float) -> list[Action]:
        return [action for mn_id in dict.fromkeys(binding.mn_id for binding in bindings) for action in self._resume(mn_id, now)]

    def _registered(self, mag: IPv6Address) -> bool:
        return bool(self._cache.of_care_of(mag))

    def _forgotten(self, mag: IPv6Address, before: float, now: float) -> list[Action]:
        """A MAG has restarted and lost what it had registered; what it may have registered since then stands (RFC 5847, 3)."""
        return self._end([binding for binding in self._cache.of_care_of(mag) if binding.accepted < before], now)

    def _indicate(self, binding: Binding, trigger: RevocationTrigger, now: float) -> list[Action]:
        return self._revocations.begin(binding.care_of, trigger, now, binding.mn_id, binding.prefixes)

    def _seek(self, session: Binding | None, asked: Waiting, now: float) -> list[Action]:
        """A PBU waits for a session to end: ask the MAG that has it whether the node is still there (RFC 5846, 8.1)."""
        if session is None or session.care_of == asked.care_of or not self._settings.revocation_on_handover:
            return []
        return self._indicate(session, RevocationTrigger.INTER_MAG_HANDOVER_UNKNOWN, now)

    def _tell_previous(self, before: Binding | None, binding: Binding, now: float) -> list[Action]:
        """A node has moved: revoke its binding at the MAG that has not de-registered it (RFC 5846, 3.4.1)."""
        if before is None or before.leaving or not self._settings.revocation_on_handover:
            return []
        return self._indicate(before, _MOVED[before.access_technology == binding.access_technology], now)

    def _revoke(self, indication: BindingRevocationIndication, source: IPv6Address, now: float) -> RevocationOutcome:
        """A MAG revokes bindings of its own: they end as if it had de-registered them (RFC 5846, 8.2)."""
        if indication.trigger == RevocationTrigger.REVOKING_MOBILITY_NODE_LOCAL_POLICY:
            return RevocationOutcome(RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED)
        if indication.all_bindings and not (self._settings.revocation_bulk and indication.mn_id):
            return RevocationOutcome(RevocationStatus.GLOBAL_REVOCATION_NOT_AUTHORIZED)
        hosted = self._cache.of_care_of(indication.alternate_care_of or source)
        ended = [binding for binding in hosted if concerns(indication, source, binding.mn_id, binding.prefixes, binding.care_of)]
        if not ended:
            return RevocationOutcome(RevocationStatus.BINDING_DOES_NOT_EXIST)
        return revoked(indication, (prefix for binding in ended for prefix in binding.prefixes), self._end(ended, now))

    def _revoked(self, indication: BindingRevocationIndication, mag: IPv6Address, status: int | None, now: float) -> list[Action]:
        """A BRI was answered, or given up (None): go on as RFC 5846, 8.1, says."""
        hosted = self._cache.of_care_of(mag)
        meant = [binding for binding in hosted if concerns(indication, mag, binding.mn_id, binding.prefixes, mag)]
        if indication.trigger == RevocationTrigger.INTER_MAG_HANDOVER_UNKNOWN:
            return self._found(indication, meant, status, now)
        return self._delete([binding for binding in meant if binding.revoked], now)

    def _found(self, indication: BindingRevocationIndication, previous: list[Binding], status: int | None, now: float) -> list[Action]:
        """It is known whether a node is still at the MAG of its session: if so, what waits is for another of its interfaces."""
        if status in _GONE:
            return self._end(previous, now)
        actions: list[Action] = []
        for waiting in self._waiting.of_mn_id(indication.mn_id or ""):
            self._waiting.leave(waiting)
            actions += self._accept(waiting, None, now)
        return actions

    def _acceptance(self, asked: Waiting, binding: Binding, lifetime: int) -> Action:
        """Note that a PBU is accepted for ``binding``, and acknowledge it (RFC 5213, 5.3.6)."""
        request = asked.request
        self._validator.accepted(request)
        if request.link_local_address not in (None, _ALL_ZERO):
            binding.link_local_address = request.link_local_address
        link_local_address = None if request.link_local_address is None else binding.link_local_address
        return Send(_acknowledgement(request, Status.ACCEPTED, link_local_address, lifetime, binding.prefixes), asked.source)

    def _refusal(self, request: ProxyBindingUpdate, source: IPv6Address, status: Status, session: Binding | None, now: float) -> Action:
        """Refuse a PBU (RFC 5213, 5.3.6, 5.5; RFC 6275, 9.5.1)."""
        acknowledgement = _acknowledgement(request, status, request.link_local_address)
        if status is Status.MIPV6_ID_MISMATCH:
            acknowledgement = replace(acknowledgement, replay_protection=request.replay_protection)
        if status in _BY_TIMESTAMP and self._settings.message_order is not MessageOrder.NODE_TIMESTAMP:
            acknowledgement = replace(acknowledgement, timestamp=timestamp_from_seconds(now))
        elif status is Status.SEQUENCE_NUMBER_OUT_OF_WINDOW and session is not None:
            acknowledgement = replace(acknowledgement, sequence=session.sequence)
        return Send(acknowledgement, source)


_MOVED = (RevocationTrigger.INTER_MAG_HANDOVER_DIFFERENT_ACCESS_TYPE, RevocationTrigger.INTER_MAG_HANDOVER_SAME_ACCESS_TYPE)
_GONE = frozenset({RevocationStatus.SUCCESS, RevocationStatus.PARTIAL_SUCCESS, RevocationStatus.BINDING_DOES_NOT_EXIST})
_BY_TIMESTAMP = frozenset({Status.TIMESTAMP_MISMATCH, Status.MIPV6_ID_MISMATCH, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED})


def _overtaken(asked: Waiting, waiting: Waiting | None) -> bool:
    return waiting is not None and (asked.request.timestamp or 0) < (waiting.request.timestamp or 0)


def _link_local_address(mn_id: str, prefix: IPv6Network) -> IPv6Address:
    """The link-local address of whichever MAG serves a session (RFC 5213, 6.8): the same each time, and another for each session."""
    digest = sha256(f"{mn_id} {prefix}".encode()).digest()
    return IPv6Address(_LINK_LOCAL | int.from_bytes(digest[:8], "big") & _INTERFACE_IDENTIFIER)


def _routes_removed(binding: Binding) -> list[Action]:
    return [] if binding.leaving else [RemoveRoute(prefix) for prefix in binding.prefixes]


def _acknowledgement(
    request: ProxyBindingUpdate,
    status: Status,
    link_local_address: IPv6Address | None,
    lifetime: int = 0,
    prefixes: tuple[IPv6Network, ...] = (),
) -> ProxyBindingAcknowledgement:
    """A PBA, which repeats much of its PBU (RFC 5213, 5.3.6)."""
    return ProxyBindingAcknowledgement(
        status=status,
        sequence=request.sequence,
        lifetime=lifetime,
        mn_id=request.mn_id or "",
        home_network_prefixes=prefixes or request.home_network_prefixes or (IPv6Network("::/0"),),
        handoff_indicator=request.handoff_indicator or 0,
        access_technology=request.access_technology or 0,
        timestamp=request.timestamp,
        link_layer_identifier=request.link_layer_identifier,
        link_local_address=link_local_address,
    )
