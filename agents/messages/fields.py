"""What each message says: a frozen dataclass whose fields are the header's own and those of its mobility options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Authentication:
    """A Mobility Message Authentication option (RFC 4285, 5): subtype 1 is MN-HA, 2 is MN-AAA."""

    subtype: int
    spi: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MobilityOptions:
    """The mobility options that any message here may carry.

    Attributes:
        mn_id: the mobile node's NAI (RFC 4283, subtype 1); empty in an answer to what had none (RFC 5213, 5.3.6).
        home_network_prefixes: the HNPs (RFC 5213, 8.3); in a PBQ the HoA, as a prefix of length 128.
        handoff_indicator: a HandoffIndicator (RFC 5213, 8.4).
        access_technology: an AccessTechnologyType (RFC 5213, 8.5).
        link_layer_identifier: the mobile node's link-layer address (RFC 5213, 8.6).
        link_local_address: the MAG's link-local address on the access link (RFC 5213, 8.7).
        timestamp: 64 bits, seconds since 1970 in 48.16 fixed point (RFC 5213, 8.8).
        alternate_care_of: a care-of address other than the source (RFC 6275, 6.2.5); in a PQA the CoA asked for.
        replay_protection: 64 bits, when the message was sent, as NTP has it (RFC 4285, 6).
        authentication: RFC 4285, 5; always the last option.
    """

    mn_id: str | None = None
    home_network_prefixes: tuple[IPv6Network, ...] = ()
    handoff_indicator: int | None = None
    access_technology: int | None = None
    link_layer_identifier: bytes | None = None
    link_local_address: IPv6Address | None = None
    timestamp: int | None = None
    alternate_care_of: IPv6Address | None = None
    replay_protection: int | None = None
    authentication: Authentication | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyBindingUpdate(MobilityOptions):
    """A PBU (RFC 5213, 8.1), sent with flags A, H and P; with ``query`` a PBQ. ``lifetime`` in units of 4 s."""

    sequence: int
    lifetime: int
    query: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyBindingAcknowledgement(MobilityOptions):
    """A PBA (RFC 5213, 8.2), sent with flag P; with ``query`` a PQA. ``status`` a Status, ``lifetime`` in units of 4 s."""

    status: int
    sequence: int
    lifetime: int
    query: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingError(MobilityOptions):
    """A Binding Error (RFC 6275, 6.1.9); ``status`` a BindingErrorStatus."""

    status: int
    home_address: IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNotification(MobilityOptions):
    """A UPN (RFC 7077, 4.1): flag A asks for an acknowledgement, flag D marks a retransmission."""

    sequence: int
    notification_reason: int
    acknowledge: bool = False
    retransmit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNotificationAcknowledgement(MobilityOptions):
    """A UPA (RFC 7077, 4.2); ``status`` an UpdateNotificationStatus."""

    sequence: int
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(MobilityOptions):
    """A Heartbeat (RFC 5847, 3.3): a request, or with flag R (``response``) its answer; flag U marks an answer to no request.

    Attributes:
        sequence: 32 bits.
        restart_counter: of a response: how often its sender has lost its state (RFC 5847, 3.4).
    """

    sequence: int
    response: bool = False
    unsolicited: bool = False
    restart_counter: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingRevocationIndication(MobilityOptions):
    """A BRI (RFC 5846, 5.1): flags P (``proxy``), V (``ipv4_only``) and G (``all_bindings``); ``trigger`` a RevocationTrigger."""

    sequence: int
    trigger: int
    proxy: bool = True
    ipv4_only: bool = False
    all_bindings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BindingRevocationAcknowledgement(MobilityOptions):
    """A BRA (RFC 5846, 5.2), its flags those of the BRI; ``status`` a RevocationStatus."""

    sequence: int
    status: int
    proxy: bool = True
    ipv4_only: bool = False
    all_bindings: bool = False


@dataclass(frozen=True, slots=True)
class MobileNode:
    """A mobile node's NAI and its home network prefixes, as they follow each other in RFC 6705 (10.1)."""

    mn_id: str
    home_network_prefixes: tuple[IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizedRouting(MobilityOptions):
    """What an LRI and an LRA have in common (RFC 6705, 10 and 11).

    Attributes:
        sequence: 16 bits.
        lifetime: of the localized route, in s; INFINITE_LIFETIME does not end, 0 ends it.
        correspondent: the second mobile node; the first is ``mn_id`` with ``home_network_prefixes``.
        mag_address: the MAG at the other end of the route, where it is not the same.
    """

    sequence: int
    lifetime: int
    correspondent: MobileNode | None = None
    mag_address: IPv6Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizedRoutingInitiation(LocalizedRouting):
    """An LRI (RFC 6705, 10.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizedRoutingAcknowledgment(LocalizedRouting):
    """An LRA (RFC 6705, 10.2), unsolicited with flag U; ``status`` a LocalizedRoutingStatus."""

    status: int
    unsolicited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverInitiate(MobilityOptions):
    """An HI between MAGs (RFC 5949, 6.1.1), sent with flag P and without S: flags U (``buffer``) and F (``forward``).

    ``code`` is a HandoverInitiateCode, ``anchor_address`` that of the LMA at which the node is registered (6.2.2).
    """

    sequence: int
    code: int
    buffer: bool = False
    forward: bool = False
    anchor_address: IPv6Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverAcknowledge(MobilityOptions):
    """A HAck between MAGs (RFC 5949, 6.1.2), sent with flag P; flags as in the HI, ``code`` a HandoverAcknowledgeCode."""

    sequence: int
    code: int
    buffer: bool = False
    forward: bool = False


Message = (
    ProxyBindingUpdate
    | ProxyBindingAcknowledgement
    | BindingError
    | Heartbeat
    | HandoverInitiate
    | HandoverAcknowledge
    | BindingRevocationIndication
    | BindingRevocationAcknowledgement
    | LocalizedRoutingInitiation
    | LocalizedRoutingAcknowledgment
    | UpdateNotification
    | UpdateNotificationAcknowledgement
)

_KINDS: Mapping[type[MobilityOptions], str] = MappingProxyType(
    {
        ProxyBindingUpdate: "PBU",
        ProxyBindingAcknowledgement: "PBA",
        BindingError: "BE",
        Heartbeat: "HB",
        HandoverInitiate: "HI",
        HandoverAcknowledge: "HACK",
        BindingRevocationIndication: "BRI",
        BindingRevocationAcknowledgement: "BRA",
        LocalizedRoutingInitiation: "LRI",
        LocalizedRoutingAcknowledgment: "LRA",
        UpdateNotification: "UPN",
        UpdateNotificationAcknowledgement: "UPA",
    }
)
_QUERY_KINDS = MappingProxyType({"PBU": "PBQ", "PBA": "PQA"})
_LIFETIME_UNITS: Mapping[type[MobilityOptions], float] = MappingProxyType(
    {
        ProxyBindingUpdate: 4.0,
        ProxyBindingAcknowledgement: 4.0,
        LocalizedRoutingInitiation: 1.0,
        LocalizedRoutingAcknowledgment: 1.0,
    }
)


def kind(message: Message) -> str:
    """The short name of a message: PBU, PBA, PBQ, PQA, BE, HB, HI, HACK, BRI, BRA, LRI, LRA, UPN or UPA."""
    name = _KINDS[type(message)]
    return _QUERY_KINDS[name] if getattr(message, "query", False) else name


def lifetime_of(message: Message) -> float | None:
    """The seconds that a message's lifetime field stands for; None where it has no such field."""
    unit = _LIFETIME_UNITS.get(type(message))
    return None if unit is None else unit * message.lifetime  # type: ignore[union-attr]
