"""What an agent is told when it starts: who it is, who its peers are, the policy profiles and the domain's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network

from agents.schemes import Scheme

HOME_NETWORK = IPv6Network("2001:db8:100::/40")
"""Holds every home network prefix, unless a domain says otherwise."""

FIXED_LINK_LOCAL = IPv6Address("fe80::200:5eff:fe00:5213")
FIXED_LINK_LAYER = "00:00:5e:00:52:13"
"""The addresses that every MAG uses on every access link (RFC 6543), unless a domain says otherwise; no other node may have them."""

MAG_GROUP = IPv6Address("ff15::5213")
"""The group of all MAGs (transient, site-local scope), unless a domain says otherwise."""


class FirstPacket(StrEnum):
    """What SD-PMIP does with packets that wait for an answer (draft 3.3.1): hold them, or send them to the group."""

    BUFFER = "buffer"
    MULTICAST = "multicast"


class QueryFlag(StrEnum):
    """Which bits carry Q: next after P as the draft reads, or bits that no RFC assigns."""

    DRAFT = "draft"
    UNASSIGNED = "unassigned"


class MessageOrder(StrEnum):
    """How an LMA tells which PBU was sent first (RFC 5213, 5.5): by timestamp, by one of the node's own making, or by sequence number.

    These are the states that TimestampBasedApproachInUse and MobileNodeGeneratedTimestampInUse may be in (RFC 5213, 9.3).
    """

    TIMESTAMP = "timestamp"
    NODE_TIMESTAMP = "node-timestamp"
    SEQUENCE = "sequence"


@dataclass(frozen=True, slots=True)
class Settings:
    """The protocol's settings; all times in seconds.

    Attributes:
        binding_lifetime: lifetime a MAG asks for in a PBU; refreshed before it ends.
        binding_timeout: first retransmission of an unanswered PBU, doubled each time (RFC 6275 INITIAL_BINDACK_TIMEOUT).
        binding_timeout_max: the most that doubling reaches (RFC 6275 MAX_BINDACK_TIMEOUT).
        binding_delete_delay: how long an LMA keeps a de-registered binding (RFC 5213 MinDelayBeforeBCEDelete).
        binding_assign_delay: how long an LMA waits for a de-registration before it begins another session instead
            (RFC 5213 MaxDelayBeforeNewBCEAssign); 0 for not at all.
        message_order: what keeps PBUs in order.
        timestamp_window: how far a PBU's timestamp may be from the LMA's clock (RFC 5213 TimestampValidityWindow).
        link_local: the MAGs' address on all access links, or ``::``: the LMA gives one for each session
            (RFC 5213 FixedMAGLinkLocalAddressOnAllAccessLinks).
        link_layer: the MAGs' link-layer address on all access links; all zero where links have none
            (RFC 5213 FixedMAGLinkLayerAddressOnAllAccessLinks).
        local_routing: whether PMIP's MAG delivers between its own nodes past the LMA (RFC 5213 EnableMAGLocalRouting); with localized
            routing, whether it does where the LMA says so (RFC 6705, 5).
        lr_lifetime: how long localized routing lasts, in whole seconds; 65535 or more for as long as both nodes are bound (RFC 6705, 10.1).
        lr_wait_time: retransmission of an unacknowledged LRI (RFC 6705 LRA_WAIT_TIME).
        lr_retries: how often one is retransmitted (RFC 6705 LRI_RETRIES).
        path_probe: how long from one probe of the path to the LMA to the next, the first at the start (RFC 5213, 6.9.5); 0 for none.
        query_lifetime: how long a PBQ asks its answer to hold.
        query_margin: how long before the end of an answer a route in use is queried again.
        query_timeout: first retransmission of an unanswered PBQ or Handover Initiate, doubled each time.
        query_tries: how often one is sent before it fails.
        query_failure: how long a failure is remembered.
        query_rate: queries a second that one access link may cause.
        buffer_packets: packets held for one home address; 0 turns buffering off.
        buffer_bytes: bytes held for one home address.
        buffer_time: how long a packet is held.
        update_timeout: first retransmission of an unacknowledged Update Notification (RFC 7077).
        update_tries: how often one is sent until it is acknowledged (RFC 7077 MAX_UPDATE_NOTIFICATION_RETRANSMIT_COUNT, and 1).
        update_announcements: how often one goes to the group of all MAGs, which do not acknowledge it.
        handover_time: how long a MAG waits for a node that another has handed over to it (RFC 5949), before it asks where the node is.
        heartbeat_interval: how long from one heartbeat to the next (RFC 5847 HEARTBEAT_INTERVAL); 0 for no heartbeats.
        heartbeat_missing: how many in a row may go unanswered (RFC 5847 MISSING_HEARTBEATS_ALLOWED).
        revocation_timeout: first retransmission of an unanswered Binding Revocation Indication, doubled each time
            (RFC 5846 InitMINDelayBRIs).
        revocation_timeout_max: the most that doubling reaches (RFC 5846 MAX_BRACK_TIMEOUT).
        revocation_tries: how often one is sent (RFC 5846 BRIMaxRetriesNumber, and 1).
        revocation_on_handover: whether the LMA revokes a binding at the MAG that its node has left, where that has not de-registered it.
        revocation_bulk: whether a MAG may revoke all its bindings by one message, and does when it stops.
        first_packet: what happens to packets during a multicast query.
        query_flag: which bits carry Q.
        authentication_key: what the agents authenticate their messages with (RFC 4285), 32 hexadecimal digits; empty for not at all.
        authentication_spi: the key's Mobility SPI, 256 or more (RFC 4285, 5.1).
        authentication_window: how far an authenticated message's time of sending may be from the receiver's clock (RFC 4285, 6).
    """

    binding_lifetime: float = 300.0
    binding_timeout: float = 1.0
    binding_timeout_max: float = 32.0
    binding_delete_delay: float = 10.0
    binding_assign_delay: float = 1.5
    message_order: MessageOrder = MessageOrder.TIMESTAMP
    timestamp_window: float = 0.3
    link_local: IPv6Address = FIXED_LINK_LOCAL
    link_layer: str = FIXED_LINK_LAYER
    local_routing: bool = False
    lr_lifetime: float = 300.0
    lr_wait_time: float = 3.0
    lr_retries: int = 3
    path_probe: float = 0.0
    query_lifetime: float = 8.0
    query_margin: float = 1.0
    query_timeout: float = 0.2
    query_tries: int = 5
    query_failure: float = 1.0
    query_rate: float = 100.0
    buffer_packets: int = 1000
    buffer_bytes: int = 1_000_000
    buffer_time: float = 7.0
    update_timeout: float = 1.0
    update_tries: int = 2
    update_announcements: int = 3
    handover_time: float = 1.0
    heartbeat_interval: float = 0.0
    heartbeat_missing: int = 3
    revocation_timeout: float = 1.0
    revocation_timeout_max: float = 2.0
    revocation_tries: int = 2
    revocation_on_handover: bool = False
    revocation_bulk: bool = False
    first_packet: FirstPacket = FirstPacket.BUFFER
    query_flag: QueryFlag = QueryFlag.DRAFT
    authentication_key: str = ""
    authentication_spi: int = 256
    authentication_window: float = 7.0


@dataclass(frozen=True, slots=True)
class Profile:
    """A mobile node's policy profile (RFC 5213, 6.2), known to every MAG and to the LMA.

    Attributes:
        home_network_prefixes: the prefixes that the node may have, over all its interfaces.
        routed_prefixes: by a MAG's name, the prefix that it advertises to the node under scheme ``none``.
        mags: the MAGs that may register the node, or None for all of the domain.
        mobility: whether the node is entitled to network-based mobility management.
        lifetime: the longest a binding of the node lasts, in s, or None for as long as any.
        session_prefixes: how many prefixes one interface gets where the LMA chooses, or None for all that are free; where there are more,
            they are those of several interfaces, and MAGs leave the choice to the LMA.
    """

    mn_id: str
    home_network_prefixes: tuple[IPv6Network, ...]
    routed_prefixes: dict[str, IPv6Network] = field(default_factory=dict)
    mags: frozenset[IPv6Address] | None = None
    mobility: bool = True
    lifetime: float | None = None
    session_prefixes: int | None = None


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """One agent: ``address`` is the Proxy-CoA of a MAG or the LMAA of an LMA, on interface ``core``.

    ``mags`` are the addresses of all MAGs of the domain, the only ones that may update or ask; ``home`` covers every
    home network prefix; ``group`` is SD-PMIP's multicast group.
    """

    name: str
    address: IPv6Address
    core: str
    scheme: Scheme
    policy: str
    lma: IPv6Address | None
    mags: frozenset[IPv6Address]
    profiles: tuple[Profile, ...]
    home: IPv6Network = HOME_NETWORK
    group: IPv6Address = MAG_GROUP
    settings: Settings = Settings()


class _Profiles:
    """The profiles last indexed; thousands of agents in one process are told the same tuple and share its index."""

    last: tuple[tuple[Profile, ...], dict[str, Profile]] = ((), {})


def profiles_by_mn_id(profiles: tuple[Profile, ...]) -> dict[str, Profile]:
    """The policy profiles by MN-ID; not to be changed."""
    known, index = _Profiles.last
    if known is not profiles:
        index = {profile.mn_id: profile for profile in profiles}
        _Profiles.last = (profiles, index)
    return index
