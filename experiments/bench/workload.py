"""What one MAG sends to an LMA that knows many mobile nodes: the LMA's configuration, and octets of PBUs and PBQs."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.config import HOME_NETWORK, AgentConfig, Settings
from agents.messages import (
    AccessTechnologyType,
    HandoffIndicator,
    ProxyBindingUpdate,
    encode,
    lifetime_units,
    timestamp_from_seconds,
)
from agents.profiles import Profile, ProfileStore
from agents.schemes import SCHEMES

LMA, MAG = IPv6Address("2001:db8:0:1::100"), IPv6Address("2001:db8:0:1::1")
CORE = "core"
"""The name of the LMA's interface."""

_SETTINGS = Settings(timestamp_window=3600.0)  # octets are made before they are sent
_FIRST = int(HOME_NETWORK.network_address) >> 64


def configuration(nodes: int) -> AgentConfig:
    """An S-PMIP LMA, under the policy that remembers most, that knows ``nodes`` mobile nodes."""
    scheme = SCHEMES["s-pmip"]
    profiles = ProfileStore(Profile(_mn_id(node), (_prefix(node),)) for node in range(nodes))
    return AgentConfig("lma", LMA, CORE, scheme, scheme.default_policy, LMA, frozenset({MAG}), profiles, settings=_SETTINGS)


def updates(nodes: range, now: float, *, refresh: bool = False) -> list[bytes]:
    """A PBU for each node as a MAG sends it, the first or a later one; ``now`` in s since 1970."""
    handoff = HandoffIndicator.NOT_CHANGED if refresh else HandoffIndicator.UNKNOWN
    return [
        encode(
            ProxyBindingUpdate(
                sequence=node & 0xFFFF,
                lifetime=lifetime_units(_SETTINGS.binding_lifetime),
                mn_id=_mn_id(node),
                home_network_prefixes=(_prefix(node),),
                handoff_indicator=handoff,
                access_technology=AccessTechnologyType.WIRELESS_LAN,
                link_layer_identifier=node.to_bytes(6, "big"),
                timestamp=timestamp_from_seconds(now),
            )
        )
        for node in nodes
    ]


def queries(nodes: range, now: float) -> list[bytes]:
    """A PBQ for an address of each node."""
    return [
        encode(
            ProxyBindingUpdate(
                sequence=node & 0xFFFF,
                lifetime=lifetime_units(_SETTINGS.query_lifetime),
                query=True,
                home_network_prefixes=(IPv6Network(_prefix(node)[1]),),
                timestamp=timestamp_from_seconds(now),
            )
        )
        for node in nodes
    ]


def _mn_id(node: int) -> str:
    return f"mn{node}@dmm.example"


def _prefix(node: int) -> IPv6Network:
    return IPv6Network(((_FIRST + node) << 64, 64))
