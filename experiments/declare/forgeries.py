"""What attackers make, octet by octet, and the marks by which captures tell it from all else (docs/security.md)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, IPv6Network

from agents.config import HOME_NETWORK, QueryFlag
from agents.messages import (
    AccessTechnologyType,
    BindingError,
    BindingErrorStatus,
    BindingRevocationIndication,
    HandoffIndicator,
    Message,
    NotificationReason,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    RevocationTrigger,
    UpdateNotification,
    encode,
    ipv6_packet,
    timestamp_from_seconds,
)
from topologies.addresses import INFRASTRUCTURE, mac_octets
from topologies.domain import Host

STRANGER = INFRASTRUCTURE[0xBAD]
"""The address of an attacker in the core, which no node has."""

MARK = 0x0FFFFFFF
"""The bits of an IPv6 header's first word that are its traffic class and its flow label."""

MARKS = 0x0FFFF000
"""Those of them that all marks have in common."""

_MARK = 0x04A70000
_VERSION = 6 << 28
IPV6_HEADER = 40
_IPV4_IN_IPV6, IPV6_IN_IPV6, _NO_NEXT_HEADER = 4, 41, 59
TUNNELLED = frozenset({_IPV4_IN_IPV6, IPV6_IN_IPV6})
"""What a tunnel may carry."""

ICMPV6, _PACKET_TOO_BIG, _ECHO_REQUEST, ECHO_REPLY = 58, 2, 128, 129
FIRST_NO_ERROR = 128
"""The first type of an ICMPv6 message that is no error."""

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS = 0, 43, 44, 60
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS})
_EIGHT_OCTETS_OF_PADDING = bytes((1, 4, 0, 0, 0, 0))
_ALL_ROUTERS = IPv6Address("ff05::2")
_LEAST_MTU = 1280
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
ECHO_HEADER = 8
"""Octets of an Echo message before its data; the mark is in the last four of them."""
_UNASSIGNED_TYPE = 255
_LIFETIME = 75
_FIRST_UNKNOWN_PREFIX = 0x10000


def mark(number: int) -> int:
    """The mark of the packets of a run's ``number``-th attack."""
    return _MARK + number


@dataclass(frozen=True, slots=True)
class Forgery:
    """What an attacker knows when it makes a packet.

    Attributes:
        source: the address that it sends from, or pretends to.
        agent: where it sends to.
        host: whose session it is to harm.
        hoa: that host's address.
        home: another host's address, from which packets for the first are to seem to come.
        accomplice: the MAG to which the session is to go.
        number: counted from 0.
        now: s since 1970.
    """

    source: IPv6Address
    agent: IPv6Address
    host: Host
    hoa: IPv6Address
    home: IPv6Address
    accomplice: IPv6Address
    number: int
    now: float


def _update(forgery: Forgery) -> Message:
    return ProxyBindingUpdate(
        sequence=forgery.number,
        lifetime=_LIFETIME,
        mn_id=forgery.host.mn_id,
        home_network_prefixes=(forgery.host.home_network_prefix,),
        handoff_indicator=HandoffIndicator.BETWEEN_MAGS,
        access_technology=AccessTechnologyType.WIRELESS_LAN,
        link_layer_identifier=mac_octets(forgery.host.mac),
        timestamp=timestamp_from_seconds(forgery.now),
        alternate_care_of=forgery.accomplice,
    )


def _query(forgery: Forgery) -> Message:
    return ProxyBindingUpdate(
        sequence=forgery.number,
        lifetime=2,
        query=True,
        home_network_prefixes=(IPv6Network(forgery.hoa),),
        timestamp=timestamp_from_seconds(forgery.now),
    )


def _answer(forgery: Forgery) -> Message:
    return ProxyBindingAcknowledgement(
        status=0,
        sequence=forgery.number,
        lifetime=_LIFETIME,
        query=True,
        home_network_prefixes=(forgery.host.home_network_prefix,),
        timestamp=timestamp_from_seconds(forgery.now),
        alternate_care_of=forgery.accomplice,
    )


def _error(forgery: Forgery) -> Message:
    return BindingError(status=BindingErrorStatus.UNKNOWN_BINDING, home_address=forgery.hoa)


def _revocation(forgery: Forgery) -> Message:
    return BindingRevocationIndication(
        sequence=forgery.number,
        trigger=RevocationTrigger.ADMINISTRATIVE_REASON,
        mn_id=forgery.host.mn_id,
        home_network_prefixes=(forgery.host.home_network_prefix,),
        timestamp=timestamp_from_seconds(forgery.now),
    )


def _notification(forgery: Forgery) -> Message:
    return UpdateNotification(
        sequence=forgery.number,
        notification_reason=NotificationReason.UPDATE_SESSION_PARAMETERS,
        acknowledge=True,
        mn_id=forgery.host.mn_id,
        home_network_prefixes=(forgery.host.home_network_prefix,),
        timestamp=timestamp_from_seconds(forgery.now),
        alternate_care_of=forgery.accomplice,
    )


MESSAGES: Mapping[str, Callable[[Forgery], Message]] = {
    "PBU": _update,
    "PBQ": _query,
    "PQA": _answer,
    "BE": _error,
    "BRI": _revocation,
    "UPN": _notification,
}
"""Kind of message to the one that would do harm: a session or its packets go to the accomplice, or its binding ends."""


def _signalling(kind: str, flag: QueryFlag, forgery: Forgery) -> bytes:
    return ipv6_packet(encode(MESSAGES[kind](forgery), flag), forgery.source, forgery.agent)


def _tunnelled(forgery: Forgery) -> bytes:
    inner = _packet(_NO_NEXT_HEADER, forgery.home, forgery.hoa, b"")
    return _packet(IPV6_IN_IPV6, forgery.source, forgery.agent, inner)


def _unknown(forgery: Forgery) -> bytes:
    prefix = int(HOME_NETWORK.network_address) + (_FIRST_UNKNOWN_PREFIX + forgery.number << 64)
    return _packet(_NO_NEXT_HEADER, forgery.source, IPv6Address(prefix + 1), b"")


def _unrecognized(forgery: Forgery) -> bytes:
    return ipv6_packet(bytes((_NO_NEXT_HEADER, 1, _UNASSIGNED_TYPE)) + bytes(13), forgery.source, forgery.agent)


def _echo_request(forgery: Forgery) -> bytes:
    request = struct.pack("!BBHI", _ECHO_REQUEST, 0, 0, 0)
    return _packet(ICMPV6, forgery.source, forgery.agent, request)


def _hidden(protocol: int, payload: bytes) -> tuple[int, bytes]:
    """``payload`` behind a Fragment header of a packet that is whole, and options without a meaning: the first header's number, and all."""
    options = bytes((protocol, 0)) + _EIGHT_OCTETS_OF_PADDING
    return _FRAGMENT, struct.pack("!BBHI", _DESTINATION_OPTIONS, 0, 0, 0) + options + payload


def _hidden_tunnel(forgery: Forgery, inner: bytes) -> bytes:
    first, payload = _hidden(IPV6_IN_IPV6, inner)
    return _packet(first, forgery.source, forgery.agent, payload)


def _hidden_update(forgery: Forgery) -> bytes:
    """A PBU of another MAG that seems to come out of the tunnel from there."""
    inner = ipv6_packet(encode(_update(forgery)), forgery.accomplice, forgery.agent)
    return _hidden_tunnel(forgery, inner)


def _tunnel_to_routers(forgery: Forgery) -> bytes:
    inner = _packet(_NO_NEXT_HEADER, forgery.home, forgery.hoa, b"")
    return _packet(IPV6_IN_IPV6, forgery.source, _ALL_ROUTERS, inner)


def _tunnelled_ipv4(forgery: Forgery) -> bytes:
    inner = _IPV4.pack(0x45, 0, _IPV4.size, 0, 0, 64, _NO_NEXT_HEADER, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return _packet(_IPV4_IN_IPV6, forgery.source, forgery.agent, inner)


def _too_big(forgery: Forgery) -> bytes:
    """News of the least MTU on the path of a tunnel between agents, in which the attacker has no part."""
    quoted = _packet(IPV6_IN_IPV6, forgery.agent, forgery.accomplice, _packet(_NO_NEXT_HEADER, forgery.home, forgery.hoa, b""))
    message = struct.pack("!BBHI", _PACKET_TOO_BIG, 0, 0, _LEAST_MTU) + quoted
    return _packet(ICMPV6, forgery.source, forgery.agent, _checked(message, forgery.source.packed + forgery.agent.packed))


FLOOD, REPLAY, UNRECOGNIZED, ECHO = "flood", "replay", "unknown-type", "echo"
TUNNEL, HIDDEN_TUNNEL, HIDDEN_UPDATE = "tunnel", "hidden-tunnel", "hidden-PBU"
ROUTERS_TUNNEL, IPV4_TUNNEL, TOO_BIG = "routers-tunnel", "IPv4-tunnel", "too-big"
HEADERS = (TUNNEL, HIDDEN_TUNNEL, HIDDEN_UPDATE, ROUTERS_TUNNEL, IPV4_TUNNEL, TOO_BIG)
"""The kinds of attack that no agent is to see: its node's kernel refuses them."""

FORGERIES: Mapping[str, Callable[[QueryFlag, Forgery], bytes]] = {
    **{kind: partial(_signalling, kind) for kind in MESSAGES},
    TUNNEL: lambda flag, forgery: _tunnelled(forgery),
    HIDDEN_TUNNEL: lambda flag, forgery: _hidden_tunnel(forgery, _packet(_NO_NEXT_HEADER, forgery.home, forgery.hoa, b"")),
    HIDDEN_UPDATE: lambda flag, forgery: _hidden_update(forgery),
    ROUTERS_TUNNEL: lambda flag, forgery: _tunnel_to_routers(forgery),
    IPV4_TUNNEL: lambda flag, forgery: _tunnelled_ipv4(forgery),
    TOO_BIG: lambda flag, forgery: _too_big(forgery),
    FLOOD: lambda flag, forgery: _unknown(forgery),
    UNRECOGNIZED: lambda flag, forgery: _unrecognized(forgery),
    ECHO: lambda flag, forgery: _echo_request(forgery),
}
"""Kind of attack to the octets of its next packet."""

KINDS = (*FORGERIES, REPLAY)
"""The kinds of attack: messages by their names; ``tunnel``: a packet for the victim that another host seems to have sent; ``flood``:
packets for ever new home addresses; ``replay``: signalling that was heard; ``unknown-type``: signalling of a type that nobody knows;
``echo``: a ping, whose answer shows its mark too; ``hidden-tunnel`` and ``hidden-PBU``: behind a Fragment header a tunnelled packet, and a
PBU that seems to come out of another MAG's tunnel; ``routers-tunnel``: a packet tunnelled to all routers; ``IPv4-tunnel``: one that carries
IPv4; ``too-big``: a Packet Too Big about a tunnel between agents."""


def upper_layer(packet: bytes) -> tuple[int, int]:
    """The protocol that an IPv6 packet carries behind its extension headers, and where that begins."""
    protocol, at = packet[6], IPV6_HEADER
    while protocol in _EXTENSIONS and at + 2 <= len(packet):
        protocol, at = packet[at], at + 8 * (1 if protocol == _FRAGMENT else packet[at + 1] + 1)
    return protocol, at


def marked(packet: bytes, label: int) -> bytes:
    """An IPv6 packet, and one that is inside it, with the mark ``label``."""
    (first,) = struct.unpack_from("!I", packet)
    protocol, at = upper_layer(packet)
    payload = packet[at:]
    if protocol == IPV6_IN_IPV6:
        payload = marked(payload, label)
    elif protocol == ICMPV6 and payload[0] == _ECHO_REQUEST:
        payload = _echo(payload, packet[8:IPV6_HEADER], label)
    return struct.pack("!I", first & ~MARK | label) + packet[4:at] + payload


def _echo(message: bytes, addresses: bytes, label: int) -> bytes:
    """An Echo Request whose identifier and sequence number are ``label``, which its reply repeats; checksum filled in."""
    return _checked(message[:4] + label.to_bytes(4, "big") + message[ECHO_HEADER:], addresses)


def _checked(message: bytes, addresses: bytes) -> bytes:
    """An ICMPv6 message between two addresses, of an even number of octets, with its checksum (RFC 4443, 2.3)."""
    message = message[:2] + bytes(2) + message[4:]
    words = addresses + struct.pack("!II", len(message), ICMPV6) + message
    checksum: int = -sum(struct.unpack(f"!{len(words) // 2}H", words)) % 0xFFFF
    return message[:2] + checksum.to_bytes(2, "big") + message[4:]


def is_marked(packet: bytes) -> bool:
    """Whether a packet bears the mark of an attack."""
    return int.from_bytes(packet[:4], "big") & MARKS == _MARK


def _packet(following: int, source: IPv6Address, destination: IPv6Address, payload: bytes) -> bytes:
    return struct.pack("!IHBB", _VERSION, len(payload), following, 64) + source.packed + destination.packed + payload
