"""Which mobility session a PBU is about (RFC 5213, 5.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from agents.bindings import UNKNOWN_INTERFACE, Binding, BindingCache
from agents.messages import HandoffIndicator, ProxyBindingUpdate, Status


@dataclass(frozen=True, slots=True)
class Match:
    """What a look-up found.

    Attributes:
        session: the session to update or de-register, or None where the PBU asks for a new one.
        waits: whether ``session`` is to be de-registered before the PBU may update it.
        refusal: why the PBU is to be refused.
    """

    session: Binding | None = None
    waits: bool = False
    refusal: Status | None = None


NEW_SESSION = Match()


def named_prefixes(request: ProxyBindingUpdate) -> tuple[IPv6Network, ...]:
    """The prefixes that a PBU names, each once; ALL_ZERO names none (RFC 5213, 8.3)."""
    return tuple(dict.fromkeys(prefix for prefix in request.home_network_prefixes if int(prefix.network_address)))


def within(prefix: IPv6Network, network: IPv6Network) -> bool:
    """Whether ``network`` holds all of ``prefix``; ``subnet_of`` says the same, and makes both remember another address for ever."""
    return prefix.prefixlen >= network.prefixlen and prefix.network_address in network


def find(cache: BindingCache, request: ProxyBindingUpdate, care_of: IPv6Address) -> Match:
    """The session that ``request`` is about, ``care_of`` being its Proxy-CoA; options that it lacks match nothing."""
    named = named_prefixes(request)
    return _by_prefix(cache, request, named, care_of) if named else _by_node(cache, request)


def _by_prefix(cache: BindingCache, request: ProxyBindingUpdate, named: tuple[IPv6Network, ...], care_of: IPv6Address) -> Match:
    """By a home network prefix (RFC 5213, 5.4.1.1)."""
    session = next((found for prefix in named if (found := cache.of_prefix(prefix)) is not None), None)
    if session is None:
        return NEW_SESSION
    if session.mn_id != request.mn_id:
        return Match(refusal=Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX)
    if session.prefixes != request.home_network_prefixes and sorted(session.prefixes) != sorted(request.home_network_prefixes):
        return Match(session, refusal=Status.BCE_PBU_PREFIX_SET_DO_NOT_MATCH)
    return Match(session) if _updates(request, session, care_of) else NEW_SESSION


def _updates(request: ProxyBindingUpdate, session: Binding, care_of: IPv6Address) -> bool:
    """Whether a PBU that names the prefixes of ``session`` is for its interface, or hands it over (RFC 5213, 5.4.1.1, 5)."""
    handoff, identifier = request.handoff_indicator, request.link_layer_identifier
    if handoff == HandoffIndicator.BETWEEN_INTERFACES:
        return True
    unknown = identifier is None and session.link_layer_identifier == UNKNOWN_INTERFACE
    return session.access_technology == request.access_technology and (
        session.link_layer_identifier == identifier or (unknown and handoff == HandoffIndicator.BETWEEN_MAGS) or session.care_of == care_of
    )


def _by_node(cache: BindingCache, request: ProxyBindingUpdate) -> Match:
    """By link-layer identifier (RFC 5213, 5.4.1.2), or where that is missing or new by MN-ID alone (5.4.1.3)."""
    sessions = cache.of_mn_id(request.mn_id or "")
    interface = request.access_technology, request.link_layer_identifier
    for session in sessions:
        if (session.access_technology, session.link_layer_identifier) == interface:
            return Match(session)
    if len(sessions) != 1:
        return NEW_SESSION
    match request.handoff_indicator:
        case HandoffIndicator.BETWEEN_INTERFACES:
            return Match(sessions[0])
        case HandoffIndicator.BETWEEN_MAGS if request.link_layer_identifier is None:
            return Match(sessions[0])
        case HandoffIndicator.UNKNOWN:
            return Match(sessions[0], waits=not sessions[0].leaving)
    return NEW_SESSION
