"""Mobility Header messages (protocol 135) of Proxy Mobile IPv6, and their octets.

Formats: RFC 6275 section 6 (header, padding, Binding Error), RFC 5213 section 8 (proxy binding messages and their
options), RFC 4283 (MN-ID), RFC 4285 (authentication), RFC 7077 section 4 (update notifications). A Proxy Binding Query
and its acknowledgement (draft-jikim-dmm-pmip-00, section 4) are the proxy binding messages with one more flag, Q.

Options that a message carries are its fields, None or empty where absent. ``decode`` skips options that it does not know;
of an option that should be there once, the first counts. Whatever is wrong with octets or values raises MessageError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from math import ceil
from operator import attrgetter
from struct import Struct, error
from types import MappingProxyType
from typing import Any

from agents.config import QueryFlag

PROTOCOL = 135
"""IPv6 next header value of the Mobility Header (RFC 6275, 6.1.1)."""


class MessageError(ValueError):
    """Octets that are no message of ours, or values that no message can carry."""


class MobilityHeaderType(IntEnum):
    """The MH Type field of the messages known here."""

    BINDING_UPDATE = 5
    BINDING_ACKNOWLEDGEMENT = 6
    BINDING_ERROR = 7
    UPDATE_NOTIFICATION = 19
    UPDATE_NOTIFICATION_ACKNOWLEDGEMENT = 20


class Status(IntEnum):
    """Status of a (Proxy) Binding Acknowledgement (RFC 6275, 6.1.8; RFC 5213, 8.9); 128 and more reject."""

    ACCEPTED = 0
    ACCEPTED_PREFIX_DISCOVERY_NECESSARY = 1
    REASON_UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INSUFFICIENT_RESOURCES = 130
    HOME_REGISTRATION_NOT_SUPPORTED = 131
    NOT_HOME_SUBNET = 132
    NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE = 133
    DUPLICATE_ADDRESS_DETECTION_FAILED = 134
    SEQUENCE_NUMBER_OUT_OF_WINDOW = 135
    EXPIRED_HOME_NONCE_INDEX = 136
    EXPIRED_CARE_OF_NONCE_INDEX = 137
    EXPIRED_NONCES = 138
    REGISTRATION_TYPE_CHANGE_DISALLOWED = 139
    PROXY_REG_NOT_ENABLED = 152
    NOT_LMA_FOR_THIS_MOBILE_NODE = 153
    MAG_NOT_AUTHORIZED_FOR_PROXY_REG = 154
    NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX = 155
    TIMESTAMP_MISMATCH = 156
    TIMESTAMP_LOWER_THAN_PREV_ACCEPTED = 157
    MISSING_HOME_NETWORK_PREFIX_OPTION = 158
    BCE_PBU_PREFIX_SET_DO_NOT_MATCH = 159
    MISSING_MN_IDENTIFIER_OPTION = 160
    MISSING_HANDOFF_INDICATOR_OPTION = 161
    MISSING_ACCESS_TECH_TYPE_OPTION = 162
    INVALID_CARE_OF_ADDRESS = 174


class BindingErrorStatus(IntEnum):
    """Status of a Binding Error (RFC 6275, 6.1.9)."""

    UNKNOWN_BINDING = 1
    UNRECOGNIZED_MH_TYPE = 2


class UpdateNotificationStatus(IntEnum):
    """Status of an Update Notification Acknowledgement (RFC 7077, 4.2)."""

    SUCCESS = 0
    FAILED_TO_UPDATE_SESSION_PARAMETERS = 128
    MISSING_VENDOR_SPECIFIC_OPTION = 129


class NotificationReason(IntEnum):
    """Why an Update Notification is sent (RFC 7077, 4.1)."""

    FORCE_REREGISTRATION = 1
    UPDATE_SESSION_PARAMETERS = 2
    VENDOR_SPECIFIC_REASON = 3
    ANI_PARAMS_REQUESTED = 4


class HandoffIndicator(IntEnum):
    """What a MAG knows of a handoff (RFC 5213, 8.4)."""

    NEW_INTERFACE = 1
    BETWEEN_INTERFACES = 2
    BETWEEN_MAGS = 3
    UNKNOWN = 4
    NOT_CHANGED = 5


class AccessTechnologyType(IntEnum):
    """The technology of an access link (RFC 5213, 8.5)."""

    VIRTUAL = 1
    PPP = 2
    ETHERNET = 3
    WIRELESS_LAN = 4
    WIMAX = 5


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
        mn_id: the mobile node's NAI (RFC 4283, subtype 1).
        home_network_prefixes: the HNPs (RFC 5213, 8.3); in a PBQ the HoA, as a prefix of length 128.
        handoff_indicator: a HandoffIndicator (RFC 5213, 8.4).
        access_technology: an AccessTechnologyType (RFC 5213, 8.5).
        link_layer_identifier: the mobile node's link-layer address (RFC 5213, 8.6).
        link_local_address: the MAG's link-local address on the access link (RFC 5213, 8.7).
        timestamp: 64 bits, seconds since 1970 in 48.16 fixed point (RFC 5213, 8.8).
        alternate_care_of: a care-of address other than the source (RFC 6275, 6.2.5); in a PQA the CoA asked for.
        authentication: RFC 4285; always the last option.
    """

    mn_id: str | None = None
    home_network_prefixes: tuple[IPv6Network, ...] = ()
    handoff_indicator: int | None = None
    access_technology: int | None = None
    link_layer_identifier: bytes | None = None
    link_local_address: IPv6Address | None = None
    timestamp: int | None = None
    alternate_care_of: IPv6Address | None = None
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


Message = ProxyBindingUpdate | ProxyBindingAcknowledgement | BindingError | UpdateNotification | UpdateNotificationAcknowledgement

_KINDS: Mapping[type[MobilityOptions], str] = MappingProxyType(
    {
        ProxyBindingUpdate: "PBU",
        ProxyBindingAcknowledgement: "PBA",
        BindingError: "BE",
        UpdateNotification: "UPN",
        UpdateNotificationAcknowledgement: "UPA",
    }
)
_QUERY_KINDS = MappingProxyType({"PBU": "PBQ", "PBA": "PQA"})


def kind(message: Message) -> str:
    """The short name of a message: PBU, PBA, PBQ, PQA, BE, UPN or UPA."""
    name = _KINDS[type(message)]
    return _QUERY_KINDS[name] if getattr(message, "query", False) else name


def lifetime_units(seconds: float) -> int:
    """A lifetime in units of 4 s, rounded up; what does not fit the field becomes its largest value."""
    if not seconds >= 0:
        raise MessageError(f"a lifetime cannot be {seconds} s")
    return ceil(min(seconds / 4, 0xFFFF))


def lifetime_seconds(units: int) -> int:
    """The seconds of a lifetime field."""
    return units * 4


def timestamp_from_seconds(seconds: float) -> int:
    """A time, in seconds since 1970, as the Timestamp option carries it, rounded down (RFC 5213, 8.8)."""
    if not 0 <= seconds < 1 << 48:
        raise MessageError(f"no Timestamp option holds {seconds} s")
    return int(seconds * 65536)


def seconds_from_timestamp(timestamp: int) -> float:
    """The time of a Timestamp option, in seconds since 1970."""
    return timestamp / 65536


# Options: each is aligned to ``multiple`` n + ``offset`` octets from the start of the Mobility Header (RFC 6275, 6.2.1).

_PADDING = (b"", b"\0", *(bytes((1, n)) + bytes(n) for n in range(6)))
_HNP = Struct("!BBBB16s")
_BYTE_OPTION = Struct("!BBBB")
_ADDRESS_OPTION = Struct("!BB16s")
_TIMESTAMP = Struct("!BBQ")
_AUTHENTICATION = Struct("!BBBI")

_ALTERNATE_CARE_OF = 3
_MN_ID = 8
_MESSAGE_AUTHENTICATION = 9
_HOME_NETWORK_PREFIX = 22
_HANDOFF_INDICATOR = 23
_ACCESS_TECHNOLOGY_TYPE = 24
_LINK_LAYER_IDENTIFIER = 25
_LINK_LOCAL_ADDRESS = 26
_TIMESTAMP_OPTION = 27
_NAI = 1


def _put(out: bytearray, multiple: int, offset: int, option: bytes) -> None:
    out += _PADDING[(offset - len(out)) % multiple]
    out += option


def _put_mn_id(out: bytearray, mn_id: str) -> None:
    try:
        identifier = mn_id.encode()
    except UnicodeEncodeError as reason:
        raise MessageError(f"no NAI: {mn_id!r}") from reason
    if not 0 < len(identifier) < 255:
        raise MessageError(f"an NAI has 1 to 254 octets, not {len(identifier)}")
    out += bytes((_MN_ID, len(identifier) + 1, _NAI)) + identifier


def _put_prefixes(out: bytearray, prefixes: tuple[IPv6Network, ...]) -> None:
    for prefix in prefixes:
        _put(out, 8, 4, _HNP.pack(_HOME_NETWORK_PREFIX, 18, 0, prefix.prefixlen, prefix.network_address.packed))


def _put_handoff_indicator(out: bytearray, value: int) -> None:
    out += _BYTE_OPTION.pack(_HANDOFF_INDICATOR, 2, 0, value)


def _put_access_technology(out: bytearray, value: int) -> None:
    out += _BYTE_OPTION.pack(_ACCESS_TECHNOLOGY_TYPE, 2, 0, value)


def _put_link_layer_identifier(out: bytearray, identifier: bytes) -> None:
    size = len(identifier)
    if not 0 < size < 254:
        raise MessageError(f"a link-layer identifier has 1 to 253 octets, not {size}")
    width = min(size & -size, 8)
    _put(out, width, -4 % width, bytes((_LINK_LAYER_IDENTIFIER, size + 2, 0, 0)) + identifier)


def _put_link_local_address(out: bytearray, address: IPv6Address) -> None:
    _put(out, 8, 6, _ADDRESS_OPTION.pack(_LINK_LOCAL_ADDRESS, 16, address.packed))


def _put_timestamp(out: bytearray, timestamp: int) -> None:
    _put(out, 8, 2, _TIMESTAMP.pack(_TIMESTAMP_OPTION, 8, timestamp))


def _put_alternate_care_of(out: bytearray, address: IPv6Address) -> None:
    _put(out, 8, 6, _ADDRESS_OPTION.pack(_ALTERNATE_CARE_OF, 16, address.packed))


def _put_authentication(out: bytearray, authentication: Authentication) -> None:
    size = len(authentication.data)
    if size > 250:
        raise MessageError(f"authentication data has at most 250 octets, not {size}")
    head = _AUTHENTICATION.pack(_MESSAGE_AUTHENTICATION, size + 5, authentication.subtype, authentication.spi)
    _put(out, 4, 1, head + authentication.data)


_WRITERS: tuple[tuple[str, Callable[[bytearray, Any], None]], ...] = (
    ("mn_id", _put_mn_id),
    ("home_network_prefixes", _put_prefixes),
    ("handoff_indicator", _put_handoff_indicator),
    ("access_technology", _put_access_technology),
    ("link_layer_identifier", _put_link_layer_identifier),
    ("link_local_address", _put_link_local_address),
    ("timestamp", _put_timestamp),
    ("alternate_care_of", _put_alternate_care_of),
    ("authentication", _put_authentication),
)
_PUT = tuple(put for _, put in _WRITERS)
_values = attrgetter(*(name for name, _ in _WRITERS))


def _expect(name: str, data: bytes, least: int, most: int) -> None:
    if not least <= len(data) <= most:
        raise MessageError(f"the {name} option has {len(data)} octets of data")


@lru_cache(maxsize=4096)
def _network(prefix: bytes, length: int) -> IPv6Network:
    return IPv6Network((prefix, length), strict=False)


def _get_mn_id(data: bytes) -> str | None:
    _expect("MN-ID", data, 2, 255)
    if data[0] != _NAI:
        return None
    try:
        return data[1:].decode()
    except UnicodeDecodeError as reason:
        raise MessageError("the MN-ID option holds no NAI") from reason


def _get_prefix(data: bytes) -> IPv6Network:
    _expect("Home Network Prefix", data, 18, 18)
    if data[1] > 128:
        raise MessageError(f"a home network prefix has no length {data[1]}")
    return _network(data[2:], data[1])


def _get_handoff_indicator(data: bytes) -> int:
    _expect("Handoff Indicator", data, 2, 2)
    return data[1]


def _get_access_technology(data: bytes) -> int:
    _expect("Access Technology Type", data, 2, 2)
    return data[1]


def _get_link_layer_identifier(data: bytes) -> bytes:
    _expect("Mobile Node Link-layer Identifier", data, 3, 255)
    return data[2:]


def _get_link_local_address(data: bytes) -> IPv6Address:
    _expect("Link-local Address", data, 16, 16)
    return IPv6Address(data)


def _get_timestamp(data: bytes) -> int:
    _expect("Timestamp", data, 8, 8)
    return int.from_bytes(data, "big")


def _get_alternate_care_of(data: bytes) -> IPv6Address:
    _expect("Alternate Care-of Address", data, 16, 16)
    return IPv6Address(data)


def _get_authentication(data: bytes) -> Authentication:
    _expect("Mobility Message Authentication", data, 5, 255)
    return Authentication(data[0], int.from_bytes(data[1:5], "big"), data[5:])


_READERS: Mapping[int, tuple[str, Callable[[bytes], Any]]] = MappingProxyType(
    {
        _ALTERNATE_CARE_OF: ("alternate_care_of", _get_alternate_care_of),
        _MN_ID: ("mn_id", _get_mn_id),
        _MESSAGE_AUTHENTICATION: ("authentication", _get_authentication),
        _HOME_NETWORK_PREFIX: ("home_network_prefixes", _get_prefix),
        _HANDOFF_INDICATOR: ("handoff_indicator", _get_handoff_indicator),
        _ACCESS_TECHNOLOGY_TYPE: ("access_technology", _get_access_technology),
        _LINK_LAYER_IDENTIFIER: ("link_layer_identifier", _get_link_layer_identifier),
        _LINK_LOCAL_ADDRESS: ("link_local_address", _get_link_local_address),
        _TIMESTAMP_OPTION: ("timestamp", _get_timestamp),
    }
)


def _options(data: bytes, at: int, end: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    prefixes: list[IPv6Network] = []
    while at < end:
        option = data[at]
        if option == 0:
            at += 1
            continue
        start = at + 2
        if start > end or (at := start + data[at + 1]) > end:
            raise MessageError(f"option {option} reaches beyond the header")
        if option not in _READERS:
            continue
        name, read = _READERS[option]
        value = read(data[start:at])
        if option == _HOME_NETWORK_PREFIX:
            prefixes.append(value)
        elif value is not None:
            fields.setdefault(name, value)
    fields["home_network_prefixes"] = tuple(prefixes)
    return fields


# Messages: what lies between the header's first six octets and the options.

_HEADER_SIZE = 6
_UPDATE = Struct("!HHH")
_ACKNOWLEDGEMENT = Struct("!BBHH")
_ERROR = Struct("!Bx16s")
_NOTIFICATION = Struct("!HHH")
_NOTIFICATION_ACKNOWLEDGEMENT = Struct("!HB3x")

_NO_NEXT_HEADER = 59
_PBU_FLAGS_AHP = 0xC200
_PBU_P = 0x0200
_PBA_P = 0x20
_UPN_A = 0x8000
_UPN_D = 0x4000
_PBU_Q: Mapping[QueryFlag, int] = MappingProxyType({QueryFlag.DRAFT: 0x0100, QueryFlag.UNASSIGNED: 0x0008})
_PBA_Q: Mapping[QueryFlag, int] = MappingProxyType({QueryFlag.DRAFT: 0x10, QueryFlag.UNASSIGNED: 0x01})


def _encode_update(message: ProxyBindingUpdate, query_flag: QueryFlag) -> bytes:
    flags = _PBU_FLAGS_AHP | (_PBU_Q[query_flag] if message.query else 0)
    return _UPDATE.pack(message.sequence, flags, message.lifetime)


def _encode_acknowledgement(message: ProxyBindingAcknowledgement, query_flag: QueryFlag) -> bytes:
    flags = _PBA_P | (_PBA_Q[query_flag] if message.query else 0)
    return _ACKNOWLEDGEMENT.pack(message.status, flags, message.sequence, message.lifetime)


def _encode_error(message: BindingError, query_flag: QueryFlag) -> bytes:
    return _ERROR.pack(message.status, message.home_address.packed)


def _encode_notification(message: UpdateNotification, query_flag: QueryFlag) -> bytes:
    flags = (_UPN_A if message.acknowledge else 0) | (_UPN_D if message.retransmit else 0)
    return _NOTIFICATION.pack(message.sequence, message.notification_reason, flags)


def _encode_notification_acknowledgement(message: UpdateNotificationAcknowledgement, query_flag: QueryFlag) -> bytes:
    return _NOTIFICATION_ACKNOWLEDGEMENT.pack(message.sequence, message.status)


_ENCODERS: Mapping[type[MobilityOptions], tuple[MobilityHeaderType, Callable[[Any, QueryFlag], bytes]]] = MappingProxyType(
    {
        ProxyBindingUpdate: (MobilityHeaderType.BINDING_UPDATE, _encode_update),
        ProxyBindingAcknowledgement: (MobilityHeaderType.BINDING_ACKNOWLEDGEMENT, _encode_acknowledgement),
        BindingError: (MobilityHeaderType.BINDING_ERROR, _encode_error),
        UpdateNotification: (MobilityHeaderType.UPDATE_NOTIFICATION, _encode_notification),
        UpdateNotificationAcknowledgement: (
            MobilityHeaderType.UPDATE_NOTIFICATION_ACKNOWLEDGEMENT,
            _encode_notification_acknowledgement,
        ),
    }
)


def encode(message: Message, query_flag: QueryFlag = QueryFlag.DRAFT) -> bytes:
    """The Mobility Header of ``message``, options aligned and padded, checksum zero.

    Raises:
        MessageError: a value does not fit its field, or the options do not fit one header.
    """
    mh_type, encode_data = _ENCODERS[type(message)]
    out = bytearray((_NO_NEXT_HEADER, 0, mh_type, 0, 0, 0))
    try:
        out += encode_data(message, query_flag)
        for value, put in zip(_values(message), _PUT, strict=True):
            if value is not None:
                put(out, value)
    except error as reason:
        raise MessageError(f"a value of the {kind(message)} does not fit its field: {reason}") from reason
    out += _PADDING[-len(out) % 8]
    units = len(out) // 8 - 1
    if units > 255:
        raise MessageError(f"{len(out)} octets are more than a Mobility Header holds")
    out[1] = units
    return bytes(out)


def _decode_update(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    sequence, flags, lifetime = _UPDATE.unpack_from(data, _HEADER_SIZE)
    if not flags & _PBU_P:
        raise MessageError("a Binding Update without flag P is no proxy registration")
    query = bool(flags & _PBU_Q[query_flag])
    return ProxyBindingUpdate(sequence=sequence, lifetime=lifetime, query=query, **options)


def _decode_acknowledgement(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    status, flags, sequence, lifetime = _ACKNOWLEDGEMENT.unpack_from(data, _HEADER_SIZE)
    if not flags & _PBA_P:
        raise MessageError("a Binding Acknowledgement without flag P answers no proxy registration")
    query = bool(flags & _PBA_Q[query_flag])
    return ProxyBindingAcknowledgement(status=status, sequence=sequence, lifetime=lifetime, query=query, **options)


def _decode_error(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    status, home_address = _ERROR.unpack_from(data, _HEADER_SIZE)
    return BindingError(status=status, home_address=IPv6Address(home_address), **options)


def _decode_notification(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    sequence, reason, flags = _NOTIFICATION.unpack_from(data, _HEADER_SIZE)
    acknowledge, retransmit = bool(flags & _UPN_A), bool(flags & _UPN_D)
    return UpdateNotification(sequence=sequence, notification_reason=reason, acknowledge=acknowledge, retransmit=retransmit, **options)


def _decode_notification_acknowledgement(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    sequence, status = _NOTIFICATION_ACKNOWLEDGEMENT.unpack_from(data, _HEADER_SIZE)
    return UpdateNotificationAcknowledgement(sequence=sequence, status=status, **options)


_DECODERS: Mapping[int, tuple[Struct, Callable[[bytes, QueryFlag, Mapping[str, Any]], Message]]] = MappingProxyType(
    {
        MobilityHeaderType.BINDING_UPDATE: (_UPDATE, _decode_update),
        MobilityHeaderType.BINDING_ACKNOWLEDGEMENT: (_ACKNOWLEDGEMENT, _decode_acknowledgement),
        MobilityHeaderType.BINDING_ERROR: (_ERROR, _decode_error),
        MobilityHeaderType.UPDATE_NOTIFICATION: (_NOTIFICATION, _decode_notification),
        MobilityHeaderType.UPDATE_NOTIFICATION_ACKNOWLEDGEMENT: (
            _NOTIFICATION_ACKNOWLEDGEMENT,
            _decode_notification_acknowledgement,
        ),
    }
)


def _header_end(data: bytes) -> int:
    if len(data) < 8:
        raise MessageError(f"{len(data)} octets are no Mobility Header")
    end = (data[1] + 1) * 8
    if end > len(data):
        raise MessageError(f"the Mobility Header has {end} octets, of which {len(data)} are here")
    return end


def decode(data: bytes, query_flag: QueryFlag = QueryFlag.DRAFT) -> Message:
    """The message that a Mobility Header holds; octets after the header are ignored, the checksum is not looked at.

    Raises:
        MessageError: the octets are malformed (RFC 6275, 9.2), or of a type or purpose not known here.
    """
    end = _header_end(data)
    if data[0] != _NO_NEXT_HEADER:
        raise MessageError(f"payload protocol {data[0]} after a Mobility Header")
    if data[2] not in _DECODERS:
        raise MessageError(f"unknown Mobility Header type {data[2]}")
    fixed, decode_data = _DECODERS[data[2]]
    options_start = _HEADER_SIZE + fixed.size
    if options_start > end:
        raise MessageError(f"a Mobility Header of type {data[2]} has at least {options_start} octets, not {end}")
    return decode_data(data, query_flag, _options(data, options_start, end))


# IPv6: the checksum and the packet around it.

_IPV6 = Struct("!IHBB16s16s")
_VERSION = 6 << 28


def _sum(data: bytes, source: IPv6Address, destination: IPv6Address) -> int:
    pseudo = source.packed + destination.packed + len(data).to_bytes(4, "big") + PROTOCOL.to_bytes(4, "big")
    return int.from_bytes(pseudo + data + bytes(len(data) % 2), "big") % 0xFFFF


def checksum(data: bytes, source: IPv6Address, destination: IPv6Address) -> int:
    """The checksum of the Mobility Header ``data`` in a packet with these addresses, as if its field were zero."""
    if len(data) < 6:
        raise MessageError(f"{len(data)} octets hold no checksum")
    return -_sum(data[:4] + b"\0\0" + data[6:], source, destination) % 0xFFFF


def with_checksum(data: bytes, source: IPv6Address, destination: IPv6Address) -> bytes:
    """``data`` with its checksum filled in."""
    return data[:4] + checksum(data, source, destination).to_bytes(2, "big") + data[6:]


def ipv6_packet(data: bytes, source: IPv6Address, destination: IPv6Address, hop_limit: int = 64) -> bytes:
    """An IPv6 packet that carries the Mobility Header ``data``, checksum filled in."""
    try:
        header = _IPV6.pack(_VERSION, len(data), PROTOCOL, hop_limit, source.packed, destination.packed)
    except error as reason:
        raise MessageError(f"no IPv6 packet has {len(data)} octets and hop limit {hop_limit}") from reason
    return header + with_checksum(data, source, destination)


def parse_ipv6_mobility(packet: bytes) -> tuple[IPv6Address, IPv6Address, bytes]:
    """Source, destination and Mobility Header of an IPv6 packet; what follows the header is cut off.

    Raises:
        MessageError: no whole IPv6 packet, no Mobility Header right after the IPv6 header, or its checksum is wrong.
    """
    if len(packet) < _IPV6.size:
        raise MessageError(f"{len(packet)} octets are no IPv6 packet")
    first, length, protocol, _, source_octets, destination_octets = _IPV6.unpack_from(packet)
    if first >> 28 != 6 or protocol != PROTOCOL:
        raise MessageError("no IPv6 packet with a Mobility Header")
    if _IPV6.size + length > len(packet):
        raise MessageError(f"the packet carries {length} octets, of which {len(packet) - _IPV6.size} are here")
    payload = packet[_IPV6.size : _IPV6.size + length]
    data = payload[: _header_end(payload)]
    source, destination = IPv6Address(source_octets), IPv6Address(destination_octets)
    if _sum(data, source, destination):
        raise MessageError("wrong checksum")
    return source, destination, data
