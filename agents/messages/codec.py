"""From messages to octets and back: the Mobility Header (RFC 6275, 6.1.1), each message's fixed part, then its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from struct import Struct, error
from types import MappingProxyType
from typing import Any

from agents.config import QueryFlag
from agents.messages.errors import HeaderLengthError, MessageError, PayloadProtocolError, UnknownTypeError
from agents.messages.fields import (
    BindingError,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    HandoverAcknowledge,
    HandoverInitiate,
    Heartbeat,
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    Message,
    MobilityOptions,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    kind,
)
from agents.messages.options import PADDING, OptionSet, of_two_nodes
from agents.messages.values import BindingRevocationType, MobilityHeaderType

_HEADER_SIZE = 6
_UPDATE = Struct("!HHH")
_ACKNOWLEDGEMENT = Struct("!BBHH")
_ERROR = Struct("!Bx16s")
_HEARTBEAT = Struct("!HI")
_HANDOVER = Struct("!HBB")
_REVOCATION = Struct("!BBHH")
_ROUTING_INITIATION = Struct("!HxxH")
_ROUTING_ACKNOWLEDGMENT = Struct("!HBBH")
_NOTIFICATION = Struct("!HHH")
_NOTIFICATION_ACKNOWLEDGEMENT = Struct("!HB3x")

_NO_NEXT_HEADER = 59
_PBU_FLAGS_AHP = 0xC200
_PBU_P = 0x0200
_PBA_P = 0x20
_HEARTBEAT_U = 0x0002
_HEARTBEAT_R = 0x0001
_HI_S = 0x80
_HI_U = 0x40
_HI_P = 0x20
_HI_F = 0x10
_HACK_U = 0x80
_HACK_P = 0x40
_HACK_F = 0x20
_REVOCATION_P = 0x8000
_REVOCATION_V = 0x4000
_REVOCATION_G = 0x2000
_LRA_U = 0x80
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


def _encode_heartbeat(message: Heartbeat, query_flag: QueryFlag) -> bytes:
    flags = (_HEARTBEAT_U if message.unsolicited else 0) | (_HEARTBEAT_R if message.response else 0)
    return _HEARTBEAT.pack(flags, message.sequence)


def _encode_handover_initiate(message: HandoverInitiate, query_flag: QueryFlag) -> bytes:
    flags = _HI_P | (_HI_U if message.buffer else 0) | (_HI_F if message.forward else 0)
    return _HANDOVER.pack(message.sequence, flags, message.code)


def _encode_handover_acknowledge(message: HandoverAcknowledge, query_flag: QueryFlag) -> bytes:
    flags = _HACK_P | (_HACK_U if message.buffer else 0) | (_HACK_F if message.forward else 0)
    return _HANDOVER.pack(message.sequence, flags, message.code)


def _revocation_flags(message: BindingRevocationIndication | BindingRevocationAcknowledgement) -> int:
    return (
        (_REVOCATION_P if message.proxy else 0)
        | (_REVOCATION_V if message.ipv4_only else 0)
        | (_REVOCATION_G if message.all_bindings else 0)
    )


def _encode_revocation_indication(message: BindingRevocationIndication, query_flag: QueryFlag) -> bytes:
    return _REVOCATION.pack(BindingRevocationType.INDICATION, message.trigger, message.sequence, _revocation_flags(message))


def _encode_revocation_acknowledgement(message: BindingRevocationAcknowledgement, query_flag: QueryFlag) -> bytes:
    return _REVOCATION.pack(BindingRevocationType.ACKNOWLEDGEMENT, message.status, message.sequence, _revocation_flags(message))


def _encode_routing_initiation(message: LocalizedRoutingInitiation, query_flag: QueryFlag) -> bytes:
    return _ROUTING_INITIATION.pack(message.sequence, message.lifetime)


def _encode_routing_acknowledgment(message: LocalizedRoutingAcknowledgment, query_flag: QueryFlag) -> bytes:
    return _ROUTING_ACKNOWLEDGMENT.pack(message.sequence, _LRA_U if message.unsolicited else 0, message.status, message.lifetime)


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


def _decode_heartbeat(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    flags, sequence = _HEARTBEAT.unpack_from(data, _HEADER_SIZE)
    return Heartbeat(sequence=sequence, response=bool(flags & _HEARTBEAT_R), unsolicited=bool(flags & _HEARTBEAT_U), **options)


def _decode_handover_initiate(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    sequence, flags, code = _HANDOVER.unpack_from(data, _HEADER_SIZE)
    if flags & _HI_S:
        raise MessageError("a Handover Initiate of flag S is none between MAGs")
    if not flags & _HI_P:
        raise MessageError("a Handover Initiate without flag P is not between MAGs")
    return HandoverInitiate(sequence=sequence, code=code, buffer=bool(flags & _HI_U), forward=bool(flags & _HI_F), **options)


def _decode_handover_acknowledge(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    sequence, flags, code = _HANDOVER.unpack_from(data, _HEADER_SIZE)
    if not flags & _HACK_P:
        raise MessageError("a Handover Acknowledge without flag P is not between MAGs")
    return HandoverAcknowledge(sequence=sequence, code=code, buffer=bool(flags & _HACK_U), forward=bool(flags & _HACK_F), **options)


def _decode_revocation(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    purpose, code, sequence, flags = _REVOCATION.unpack_from(data, _HEADER_SIZE)
    said = {
        "sequence": sequence,
        "proxy": bool(flags & _REVOCATION_P),
        "ipv4_only": bool(flags & _REVOCATION_V),
        "all_bindings": bool(flags & _REVOCATION_G),
    }
    match purpose:
        case BindingRevocationType.INDICATION:
            return BindingRevocationIndication(trigger=code, **said, **options)
        case BindingRevocationType.ACKNOWLEDGEMENT:
            return BindingRevocationAcknowledgement(status=code, **said, **options)
    raise MessageError(f"unknown Binding Revocation Type {purpose}")


def _decode_routing_initiation(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    sequence, lifetime = _ROUTING_INITIATION.unpack_from(data, _HEADER_SIZE)
    return LocalizedRoutingInitiation(sequence=sequence, lifetime=lifetime, **options)


def _decode_routing_acknowledgment(data: bytes, query_flag: QueryFlag, options: Mapping[str, Any]) -> Message:
    sequence, flags, status, lifetime = _ROUTING_ACKNOWLEDGMENT.unpack_from(data, _HEADER_SIZE)
    unsolicited = bool(flags & _LRA_U)
    return LocalizedRoutingAcknowledgment(sequence=sequence, status=status, lifetime=lifetime, unsolicited=unsolicited, **options)


@dataclass(frozen=True, slots=True)
class _Format:
    mh_type: MobilityHeaderType
    fixed: Struct
    encode: Callable[[Any, QueryFlag], bytes]
    decode: Callable[[bytes, QueryFlag, Mapping[str, Any]], Message]
    options: OptionSet


_ANY = OptionSet(MobilityOptions)
_Type = MobilityHeaderType
_FORMATS: Mapping[type[MobilityOptions], _Format] = MappingProxyType(
    {
        ProxyBindingUpdate: _Format(_Type.BINDING_UPDATE, _UPDATE, _encode_update, _decode_update, _ANY),
        ProxyBindingAcknowledgement: _Format(
            _Type.BINDING_ACKNOWLEDGEMENT, _ACKNOWLEDGEMENT, _encode_acknowledgement, _decode_acknowledgement, _ANY
        ),
        BindingError: _Format(_Type.BINDING_ERROR, _ERROR, _encode_error, _decode_error, _ANY),
        Heartbeat: _Format(_Type.HEARTBEAT, _HEARTBEAT, _encode_heartbeat, _decode_heartbeat, OptionSet(Heartbeat)),
        HandoverInitiate: _Format(
            _Type.HANDOVER_INITIATE, _HANDOVER, _encode_handover_initiate, _decode_handover_initiate, OptionSet(HandoverInitiate)
        ),
        HandoverAcknowledge: _Format(
            _Type.HANDOVER_ACKNOWLEDGE, _HANDOVER, _encode_handover_acknowledge, _decode_handover_acknowledge, _ANY
        ),
        BindingRevocationIndication: _Format(
            _Type.BINDING_REVOCATION, _REVOCATION, _encode_revocation_indication, _decode_revocation, _ANY
        ),
        BindingRevocationAcknowledgement: _Format(
            _Type.BINDING_REVOCATION, _REVOCATION, _encode_revocation_acknowledgement, _decode_revocation, _ANY
        ),
        LocalizedRoutingInitiation: _Format(
            _Type.LOCALIZED_ROUTING_INITIATION,
            _ROUTING_INITIATION,
            _encode_routing_initiation,
            _decode_routing_initiation,
            OptionSet(LocalizedRoutingInitiation, of_two_nodes),
        ),
        LocalizedRoutingAcknowledgment: _Format(
            _Type.LOCALIZED_ROUTING_ACKNOWLEDGMENT,
            _ROUTING_ACKNOWLEDGMENT,
            _encode_routing_acknowledgment,
            _decode_routing_acknowledgment,
            OptionSet(LocalizedRoutingAcknowledgment, of_two_nodes),
        ),
        UpdateNotification: _Format(_Type.UPDATE_NOTIFICATION, _NOTIFICATION, _encode_notification, _decode_notification, _ANY),
        UpdateNotificationAcknowledgement: _Format(
            _Type.UPDATE_NOTIFICATION_ACKNOWLEDGEMENT,
            _NOTIFICATION_ACKNOWLEDGEMENT,
            _encode_notification_acknowledgement,
            _decode_notification_acknowledgement,
            _ANY,
        ),
    }
)
_BY_MH_TYPE: Mapping[int, _Format] = MappingProxyType({form.mh_type: form for form in _FORMATS.values()})


def encode(message: Message, query_flag: QueryFlag = QueryFlag.DRAFT) -> bytes:
    """The Mobility Header of ``message``, options aligned and padded, checksum zero.

    Raises:
        MessageError: a value does not fit its field, or the options do not fit one header.
    """
    form = _FORMATS[type(message)]
    out = bytearray((_NO_NEXT_HEADER, 0, form.mh_type, 0, 0, 0))
    try:
        out += form.encode(message, query_flag)
        form.options.write(out, message)
    except error as reason:
        raise MessageError(f"a value of the {kind(message)} does not fit its field: {reason}") from reason
    out += PADDING[-len(out) % 8]
    units = len(out) // 8 - 1
    if units > 255:
        raise MessageError(f"{len(out)} octets are more than a Mobility Header holds")
    out[1] = units
    return bytes(out)


def header_end(data: bytes) -> int:
    """The length of the Mobility Header at the start of ``data``; MessageError where less is there."""
    if len(data) < 8:
        raise MessageError(f"{len(data)} octets are no Mobility Header")
    end = (data[1] + 1) * 8
    if end > len(data):
        raise MessageError(f"the Mobility Header has {end} octets, of which {len(data)} are here")
    return end


def decode(data: bytes, query_flag: QueryFlag = QueryFlag.DRAFT) -> Message:
    """The message that a Mobility Header holds; octets after the header are ignored, the checksum is not looked at.

    Raises:
        MessageError: the octets are malformed, or of a type or purpose not known here; what RFC 6275 (9.2) answers is, in the
            order in which it looks, UnknownTypeError, PayloadProtocolError and HeaderLengthError.
    """
    end = header_end(data)
    if data[2] not in _BY_MH_TYPE:
        raise UnknownTypeError(data[2])
    if data[0] != _NO_NEXT_HEADER:
        raise PayloadProtocolError(f"payload protocol {data[0]} after a Mobility Header")
    form = _BY_MH_TYPE[data[2]]
    options_start = _HEADER_SIZE + form.fixed.size
    if options_start > end:
        raise HeaderLengthError(f"a Mobility Header of type {data[2]} has at least {options_start} octets, not {end}")
    return form.decode(data, query_flag, form.options.read(data, options_start, end))
