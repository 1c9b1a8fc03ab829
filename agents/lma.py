"""The Local Mobility Anchor as a plain object: PMIP (RFC 5213, 5) and the answering side of S-PMIP (draft, 3.2.2)."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.actions import Action, Ignore, IgnoreReason, InstallRoute, RemoveRoute, Send
from agents.bindings import Binding, BindingCache
from agents.config import AgentConfig, profiles_by_mn_id
from agents.messages import (
    HandoffIndicator,
    Message,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    Status,
    lifetime_seconds,
    lifetime_units,
    seconds_from_timestamp,
    timestamp_from_seconds,
)
from agents.ordering import Ordering
from agents.policies import POLICIES
from agents.schemes import Query
from agents.timers import Timers, earliest


class Lma:
    """One LMA. Its methods return what is to be done, in order; ``now`` is its own clock, in s since 1970."""

    def __init__(self, config: AgentConfig, now: float, sequence: int = 0) -> None:
        self._config = config
        self._settings = config.settings
        self._profiles = profiles_by_mn_id(config.profiles)
        self._cache = BindingCache()
        self._expiries: Timers[IPv6Network] = Timers()
        self._policy = POLICIES[config.policy].lma(config, Ordering(sequence))

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The Binding Cache."""
        return tuple(self._cache)

    def receive(self, message: Message, source: IPv6Address, now: float, link: str | None = None) -> list[Action]:
        """Take in a message from ``source``; ``link`` names the access link that it came from, if it did."""
        if link is not None:
            return [Ignore(IgnoreReason.FROM_ACCESS_LINK, source)]
        if source not in self._config.mags:
            return [Ignore(IgnoreReason.UNKNOWN_SENDER, source)]
        if isinstance(message, ProxyBindingUpdate):
            return self._asked(message, source, now) if message.query else self._update(message, source, now)
        if isinstance(message, ProxyBindingAcknowledgement):
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        return self._policy.receive(message, source, now)

    def malformed(self, source: IPv6Address, now: float) -> list[Action]:
        """Octets came from ``source`` that are no message."""
        return [Ignore(IgnoreReason.MALFORMED, source)]

    @property
    def next_timeout(self) -> float | None:
        """When ``timeout`` is to be called, or None where nothing waits."""
        return earliest(self._expiries.next, self._policy.next_timeout)

    def timeout(self, now: float) -> list[Action]:
        """Delete bindings whose time is over, and repeat what was not acknowledged."""
        actions: list[Action] = []
        for prefix in self._expiries.due(now):
            binding = self._cache.of_prefix(prefix)
            assert binding is not None, "every timer has its binding"
            self._cache.remove(binding)
            actions += _routes_removed(binding)
        return actions + self._policy.timeout(now)

    def stop(self, now: float) -> list[Action]:
        """Withdraw every route."""
        return [action for binding in self._cache for action in _routes_removed(binding)]

    def _asked(self, query: ProxyBindingUpdate, source: IPv6Address, now: float) -> list[Action]:
        """Answer a PBQ from the Binding Cache (draft, 3.2.2)."""
        if self._config.scheme.query is not Query.UNICAST:
            return [Ignore(IgnoreReason.UNEXPECTED, source)]
        if not query.home_network_prefixes:
            return [self._answer(query, source, Status.MISSING_HOME_NETWORK_PREFIX_OPTION)]
        found = self._cache.match(query.home_network_prefixes[0].network_address)
        if found is None or found[1].expires <= now:
            return [self._answer(query, source, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)]
        prefix, binding = found
        lifetime = min(query.lifetime, int((binding.expires - now) // 4))
        self._policy.asked(prefix, source, lifetime_seconds(lifetime), now)
        return [self._answer(query, source, Status.ACCEPTED, prefix, binding.care_of, lifetime)]

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
        objection = self._objection(request, now)
        if objection is not None:
            return [_acknowledge(request, source, objection, now)]
        care_of = request.alternate_care_of or source
        found = self._session(request, care_of)
        if request.lifetime == 0:
            if not isinstance(found, Binding):
                return [Ignore(IgnoreReason.NOT_OURS, source)]
            return self._deregister(found, request, source, care_of, now)
        if isinstance(found, Status):
            return [_acknowledge(request, source, found, now)]
        prefixes = found.prefixes if found else self._allocate(request)
        if not prefixes:
            return [_acknowledge(request, source, Status.INSUFFICIENT_RESOURCES, now)]
        return self._register(found, prefixes, request, source, care_of, now)

    def _objection(self, request: ProxyBindingUpdate, now: float) -> Status | None:
        if request.mn_id is None:
            return Status.MISSING_MN_IDENTIFIER_OPTION
        if request.alternate_care_of is not None and request.alternate_care_of not in self._config.mags:
            return Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
        if request.mn_id not in self._profiles:
            return Status.NOT_LMA_FOR_THIS_MOBILE_NODE
        disorder = self._disorder(request, self._cache.of_mn_id(request.mn_id), now)
        if disorder is not None:
            return disorder
        if not request.home_network_prefixes:
            return Status.MISSING_HOME_NETWORK_PREFIX_OPTION
        if request.handoff_indicator is None:
            return Status.MISSING_HANDOFF_INDICATOR_OPTION
        if request.access_technology is None:
            return Status.MISSING_ACCESS_TECH_TYPE_OPTION
        return None

    def _disorder(self, request: ProxyBindingUpdate, sessions: tuple[Binding, ...], now: float) -> Status | None:
        """What is wrong with the order of a PBU (RFC 5213, 5.5; by sequence number RFC 6275, 9.5.1)."""
        if request.timestamp is None:
            late = any((request.sequence - session.sequence - 1) & 0x8000 for session in sessions)
            return Status.SEQUENCE_NUMBER_OUT_OF_WINDOW if late else None
        if any(session.timestamp is not None and request.timestamp <= session.timestamp for session in sessions):
            return Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED
        if abs(seconds_from_timestamp(request.timestamp) - now) > self._settings.timestamp_window:
            return Status.TIMESTAMP_MISMATCH
        return None

    def _session(self, request: ProxyBindingUpdate, care_of: IPv6Address) -> Binding | Status | None:
        """The session that a PBU is about, None for a new one, or why it is refused (RFC 5213, 5.4.1)."""
        wanted = _wanted(request)
        if not wanted:
            return self._session_of_node(request)
        binding = next((binding for prefix in wanted if (binding := self._cache.of_prefix(prefix)) is not None), None)
        if binding is None:
            allowed = self._profiles[request.mn_id or ""].home_network_prefixes
            return None if set(wanted) <= set(allowed) else Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
        if binding.mn_id != request.mn_id:
            return Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
        if sorted(binding.prefixes) != sorted(wanted):
            return Status.BCE_PBU_PREFIX_SET_DO_NOT_MATCH
        same_technology = binding.access_technology == request.access_technology
        same_interface = binding.link_layer_identifier == request.link_layer_identifier and same_technology
        known_interface = request.link_layer_identifier is not None or request.handoff_indicator == HandoffIndicator.BETWEEN_MAGS
        if (
            (same_interface and known_interface)
            or request.handoff_indicator == HandoffIndicator.BETWEEN_INTERFACES
            or (binding.care_of == care_of and same_technology)
            or binding.leaving
        ):
            return binding
        return Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX

    def _session_of_node(self, request: ProxyBindingUpdate) -> Binding | None:
        """The session of a PBU that names no prefix (RFC 5213, 5.4.1.2 and 5.4.1.3); no new one waits for a de-registration."""
        sessions = self._cache.of_mn_id(request.mn_id or "")
        interface = (request.access_technology, request.link_layer_identifier)
        if request.link_layer_identifier is not None:
            for session in sessions:
                if (session.access_technology, session.link_layer_identifier) == interface:
                    return session
        if len(sessions) != 1:
            return None
        moves = {HandoffIndicator.BETWEEN_INTERFACES}
        if request.link_layer_identifier is None:
            moves.add(HandoffIndicator.BETWEEN_MAGS)
        handed_over = request.handoff_indicator == HandoffIndicator.UNKNOWN and sessions[0].leaving
        return sessions[0] if request.handoff_indicator in moves or handed_over else None

    def _allocate(self, request: ProxyBindingUpdate) -> tuple[IPv6Network, ...]:
        """The prefixes of a new session: those asked for, or those of the profile that no other session has (RFC 5213, 5.3.2)."""
        wanted = _wanted(request)
        if wanted:
            return wanted
        owned = self._profiles[request.mn_id or ""].home_network_prefixes
        return tuple(prefix for prefix in owned if self._cache.of_prefix(prefix) is None)

    def _register(
        self,
        binding: Binding | None,
        prefixes: tuple[IPv6Network, ...],
        request: ProxyBindingUpdate,
        source: IPv6Address,
        care_of: IPv6Address,
        now: float,
    ) -> list[Action]:
        lifetime = min(request.lifetime, lifetime_units(self._settings.binding_lifetime))
        before = binding
        binding = Binding(
            mn_id=request.mn_id or "",
            prefixes=prefixes,
            care_of=care_of,
            access_technology=request.access_technology or 0,
            link_layer_identifier=request.link_layer_identifier,
            link_local_address=request.link_local_address,
            sequence=request.sequence,
            timestamp=request.timestamp,
            expires=now + lifetime_seconds(lifetime),
        )
        if before is not None:
            self._cache.remove(before)
        self._cache.add(binding)
        self._expiries.set(prefixes[0], binding.expires)
        moved = before is None or before.care_of != care_of
        routed = not moved and before is not None and not before.leaving
        actions: list[Action] = [] if routed else [InstallRoute(prefix, care_of) for prefix in prefixes]
        actions.append(_acknowledge(request, source, Status.ACCEPTED, now, lifetime, prefixes))
        return actions + (self._policy.moved(binding, now) if moved else [])

    def _deregister(
        self, binding: Binding, request: ProxyBindingUpdate, source: IPv6Address, care_of: IPv6Address, now: float
    ) -> list[Action]:
        """Let a binding end (RFC 5213, 5.3.5); until it is deleted its packets have no route, but it can be taken up again."""
        if binding.care_of != care_of:
            return [Ignore(IgnoreReason.STALE, source)]
        binding.sequence, binding.timestamp = request.sequence, request.timestamp
        acknowledgement = _acknowledge(request, source, Status.ACCEPTED, now, 0, binding.prefixes)
        if binding.leaving:
            return [acknowledgement]
        removed = _routes_removed(binding)
        binding.leaving = True
        binding.expires = now + self._settings.binding_delete_delay
        self._expiries.set(binding.prefixes[0], binding.expires)
        return [*removed, acknowledgement]


def _wanted(request: ProxyBindingUpdate) -> tuple[IPv6Network, ...]:
    """The prefixes that a PBU names, each once; ALL_ZERO names none (RFC 5213, 8.3)."""
    return tuple(dict.fromkeys(prefix for prefix in request.home_network_prefixes if int(prefix.network_address)))


def _routes_removed(binding: Binding) -> list[Action]:
    return [] if binding.leaving else [RemoveRoute(prefix) for prefix in binding.prefixes]


def _acknowledge(
    request: ProxyBindingUpdate,
    destination: IPv6Address,
    status: Status,
    now: float,
    lifetime: int = 0,
    prefixes: tuple[IPv6Network, ...] = (),
) -> Action:
    """The PBA to a PBU (RFC 5213, 5.3.6)."""
    timestamp = request.timestamp
    if status in (Status.TIMESTAMP_MISMATCH, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED):
        timestamp = timestamp_from_seconds(now)
    acknowledgement = ProxyBindingAcknowledgement(
        status=status,
        sequence=request.sequence,
        lifetime=lifetime,
        mn_id=request.mn_id,
        home_network_prefixes=prefixes or request.home_network_prefixes or (IPv6Network("::/0"),),
        handoff_indicator=request.handoff_indicator or 0,
        access_technology=request.access_technology or 0,
        timestamp=timestamp,
        link_layer_identifier=request.link_layer_identifier,
        link_local_address=request.link_local_address,
    )
    return Send(acknowledgement, destination)
