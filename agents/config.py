"""What an agent is told when it starts: who it is, who its peers are, the nodes' policy profiles and the domain's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from agents.profiles import ProfileStore
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


_WAIT = (0.001, 3600.0)
_PERIOD = (0.0, 3600.0)
_LIFETIME = (4.0, 4.0 * 0xFFFF)
"""What a lifetime field holds, in units of 4 s (RFC 6275, 6.1.7)."""
_TRIES = (1, 100)
_REPEATS = (0, 100)


def _about(meaning: str, limits: tuple[float, float] | None = None, unit: str = "") -> dict[str, Any]:
    """What there is to know of a setting: what it means, the least and the most that can work, and the unit of what is no time."""
    return {"meaning": meaning, "limits": limits, "unit": unit}


@dataclass(frozen=True, slots=True)
class Settings:
    """The protocol's settings; all times in seconds. The metadata of each field says what it means and where it can work."""

    binding_lifetime: float = field(
        default=300.0,
        metadata=_about("lifetime that a MAG asks for in a PBU; it is refreshed before that ends", _LIFETIME),
    )
    binding_timeout: float = field(
        default=1.0,
        metadata=_about(
            "when an unanswered PBU is sent again for the first time, doubled each time (RFC 6275 INITIAL_BINDACK_TIMEOUT)",
            _WAIT,
        ),
    )
    binding_timeout_max: float = field(
        default=32.0,
        metadata=_about("the most that doubling binding.timeout reaches (RFC 6275 MAX_BINDACK_TIMEOUT)", _WAIT),
    )
    binding_delete_delay: float = field(
        default=10.0,
        metadata=_about("how long an LMA keeps a de-registered binding (RFC 5213 MinDelayBeforeBCEDelete)", _PERIOD),
    )
    binding_assign_delay: float = field(
        default=1.5,
        metadata=_about(
            "how long an LMA waits for a de-registration before it begins another session instead; 0 for not at all (RFC 5213 "
            "MaxDelayBeforeNewBCEAssign)",
            _PERIOD,
        ),
    )
    message_order: MessageOrder = field(default=MessageOrder.TIMESTAMP, metadata=_about("what keeps PBUs in order"))
    timestamp_window: float = field(
        default=0.3,
        metadata=_about("how far a PBU's timestamp may be from the LMA's clock (RFC 5213 TimestampValidityWindow)", _WAIT),
    )
    link_local: IPv6Address = field(
        default=FIXED_LINK_LOCAL,
        metadata=_about(
            "the MAGs' address on all access links; with :: the LMA gives one for each session (RFC 5213 "
            "FixedMAGLinkLocalAddressOnAllAccessLinks)",
        ),
    )
    link_layer: str = field(
        default=FIXED_LINK_LAYER,
        metadata=_about(
            "the MAGs' link-layer address on all access links; all zero where links have none (RFC 5213 "
            "FixedMAGLinkLayerAddressOnAllAccessLinks)",
        ),
    )
    local_routing: bool = field(
        default=False,
        metadata=_about(
            "whether PMIP's MAG delivers between its own nodes past the LMA (RFC 5213 EnableMAGLocalRouting); with localized "
            "routing, whether it does where the LMA says so (RFC 6705, 5)",
        ),
    )
    lr_lifetime: float = field(
        default=300.0,
        metadata=_about("how long localized routing lasts; 65535s for as long as both nodes are bound (RFC 6705, 10.1)", (1.0, 65535.0)),
    )
    lr_wait_time: float = field(default=3.0, metadata=_about("when an unacknowledged LRI is sent again (RFC 6705 LRA_WAIT_TIME)", _WAIT))
    lr_retries: int = field(default=3, metadata=_about("how often an LRI is sent again (RFC 6705 LRI_RETRIES)", _REPEATS))
    path_probe: float = field(
        default=0.0,
        metadata=_about(
            "how long from one probe of the path to the LMA to the next, the first at the start; 0 for none (RFC 5213, 6.9.5)",
            _PERIOD,
        ),
    )
    query_lifetime: float = field(default=8.0, metadata=_about("how long a PBQ asks its answer to hold", _LIFETIME))
    query_margin: float = field(
        default=1.0,
        metadata=_about("how long before the end of an answer a route in use is queried again", _PERIOD),
    )
    query_timeout: float = field(
        default=0.2,
        metadata=_about(
            "when an unanswered PBQ or Handover Initiate is sent again for the first time, doubled each time; and how long packets "
            "wait for a node that was handed over before it is asked where it is",
            _WAIT,
        ),
    )
    query_tries: int = field(default=5, metadata=_about("how often a PBQ or Handover Initiate is sent before it fails", _TRIES))
    query_failure: float = field(default=1.0, metadata=_about("how long it is remembered that a query failed", _PERIOD))
    query_rate: float = field(default=100.0, metadata=_about("queries that one access link may cause", (0.001, 1e6), "queries/s"))
    buffer_packets: int = field(
        default=1000,
        metadata=_about("packets held for one home address; 0 turns buffering off", (0, 10**6), "packets"),
    )
    buffer_bytes: int = field(default=1_000_000, metadata=_about("bytes held for one home address", (0, 10**9), "bytes"))
    buffer_total: int = field(
        default=32_000_000,
        metadata=_about(
            "bytes held for all home addresses together, 256 more for each packet; what comes from one /64 gets at most as much as is left",
            (0, 10**10),
            "bytes",
        ),
    )
    buffer_time: float = field(default=7.0, metadata=_about("how long a packet is held", _PERIOD))
    update_timeout: float = field(
        default=1.0,
        metadata=_about("when an unacknowledged Update Notification is sent again for the first time (RFC 7077)", _WAIT),
    )
    update_tries: int = field(
        default=2,
        metadata=_about(
            "how often an Update Notification is sent until it is acknowledged (RFC 7077 MAX_UPDATE_NOTIFICATION_RETRANSMIT_COUNT, and 1)",
            _TRIES,
        ),
    )
    update_announcements: int = field(
        default=3,
        metadata=_about("how often an Update Notification goes to the group of all MAGs, which do not acknowledge it", _TRIES),
    )
    handover_time: float = field(
        default=1.0,
        metadata=_about(
            "how long a MAG expects a node that another has handed over to it (RFC 5949)",
            _PERIOD,
        ),
    )
    heartbeat_interval: float = field(
        default=0.0,
        metadata=_about("how long from one heartbeat to the next; 0 for no heartbeats (RFC 5847 HEARTBEAT_INTERVAL)", _PERIOD),
    )
    heartbeat_missing: int = field(
        default=3,
        metadata=_about("how many heartbeats in a row may go unanswered (RFC 5847 MISSING_HEARTBEATS_ALLOWED)", _REPEATS),
    )
    revocation_timeout: float = field(
        default=1.0,
        metadata=_about(
            "when an unanswered Binding Revocation Indication is sent again for the first time, doubled each time (RFC 5846 "
            "InitMINDelayBRIs)",
            _WAIT,
        ),
    )
    revocation_timeout_max: float = field(
        default=2.0,
        metadata=_about("the most that doubling revocation.timeout reaches (RFC 5846 MAX_BRACK_TIMEOUT)", _WAIT),
    )
    revocation_tries: int = field(
        default=2,
        metadata=_about("how often a Binding Revocation Indication is sent (RFC 5846 BRIMaxRetriesNumber, and 1)", _TRIES),
    )
    revocation_on_handover: bool = field(
        default=False,
        metadata=_about("whether the LMA revokes a binding at the MAG that its node has left, where that has not de-registered it"),
    )
    revocation_bulk: bool = field(
        default=False,
        metadata=_about("whether a MAG may revoke all its bindings by one message, and does when it stops"),
    )
    first_packet: FirstPacket = field(
        default=FirstPacket.BUFFER,
        metadata=_about("what SD-PMIP does with packets that wait for an answer: hold them, or send them to the group (draft 3.3.1)"),
    )
    query_flag: QueryFlag = field(
        default=QueryFlag.DRAFT,
        metadata=_about("which bits carry Q: next after P as the draft reads, or bits that no RFC assigns"),
    )
    authentication_key: str = field(
        default="",
        metadata=_about("what the agents authenticate their messages with, 32 hexadecimal digits, or none for not at all (RFC 4285)"),
    )
    authentication_spi: int = field(default=256, metadata=_about("the key's Mobility SPI (RFC 4285, 5.1)", (256, 2**32 - 1)))
    authentication_window: float = field(
        default=7.0,
        metadata=_about("how far an authenticated message's time of sending may be from the receiver's clock (RFC 4285, 6)", _WAIT),
    )

    @property
    def link_layer_octets(self) -> bytes:
        """The link-layer address that MAGs advertise on access links; none where those have none."""
        octets = bytes.fromhex(self.link_layer.replace(":", ""))
        return octets if any(octets) else b""


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
    profiles: ProfileStore
    home: IPv6Network = HOME_NETWORK
    group: IPv6Address = MAG_GROUP
    settings: Settings = Settings()

    @property
    def agents(self) -> frozenset[IPv6Address]:
        """All agents of the domain, this one too."""
        return self.mags if self.lma is None else self.mags | {self.lma}

    @property
    def peers(self) -> frozenset[IPv6Address]:
        """The other agents of the domain."""
        return self.agents - {self.address}


def is_gateway(config: AgentConfig) -> bool:
    """Whether the agent is a MAG; otherwise it is the LMA."""
    return config.address != config.lma
