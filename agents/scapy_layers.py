# mypy: disallow-subclassing-any=False
"""Scapy layers for what scapy lacks: PBQ and PQA, the later messages of Proxy Mobile IPv6, and its mobility options.

Importing this module changes nothing. The classes build packets at once; ``register()`` makes scapy dissect them too::

    >>> from scapy.layers.inet6 import IPv6
    >>> from agents.scapy_layers import MIP6MH_PBQ, MIP6OptHNP, register
    >>> register()
    >>> query = IPv6(dst="2001:db8::1") / MIP6MH_PBQ(seq=1, mhtime=2, options=[MIP6OptHNP(prefix="2001:db8:100::1", plen=128)])
    >>> IPv6(bytes(query)).show()

A PBU and a PBA are scapy's own MIP6MH_BU and MIP6MH_BA with flag P. Class and field names follow scapy's, formats
RFC 5213 (8), RFC 5846 (5), RFC 5847 (3), RFC 5949 (6), RFC 6705 (10), RFC 7077 (4) and draft-jikim-dmm-pmip-00 (4).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from scapy.fields import (
    BitField,
    ByteEnumField,
    ByteField,
    FieldLenField,
    FlagsField,
    IntField,
    LongField,
    ShortEnumField,
    ShortField,
    StrLenField,
    XBitField,
    XByteField,
    XShortField,
)
from scapy.layers import inet6
from scapy.layers.inet6 import MIP6MH_BA, MIP6MH_BU, IP6Field, LifetimeField, MIP6OptUnknown

from agents.config import QueryFlag
from agents.messages import (
    AccessTechnologyType,
    BindingRevocationType,
    HandoffIndicator,
    HandoverAcknowledgeCode,
    HandoverInitiateCode,
    LocalizedRoutingStatus,
    MobilityHeaderType,
    NotificationReason,
    RevocationStatus,
    RevocationTrigger,
    Status,
    UpdateNotificationStatus,
)


def _names(values: type[IntEnum]) -> dict[int, str]:
    return {int(value): value.name.replace("_", " ").capitalize() for value in values}


_OPTIONS = {
    22: "Home Network Prefix",
    23: "Handoff Indicator",
    24: "Access Technology Type",
    25: "Mobile Node Link-layer Identifier",
    26: "Link-local Address",
    27: "Timestamp",
    28: "Restart Counter",
    41: "Local Mobility Anchor Address",
    51: "MAG IPv6 Address",
}
_MH_TYPES = _names(MobilityHeaderType)


class MIP6OptHNP(inet6._MIP6OptAlign):
    """RFC 5213, 8.3."""

    name = "PMIPv6 Option - Home Network Prefix"
    fields_desc = [  # noqa: RUF012
        ByteEnumField("otype", 22, _OPTIONS),
        ByteField("olen", 18),
        ByteField("reserved", 0),
        ByteField("plen", 64),
        IP6Field("prefix", "::"),
    ]
    x = 8
    y = 4


class MIP6OptHandoffIndicator(inet6._MIP6OptAlign):
    """RFC 5213, 8.4."""

    name = "PMIPv6 Option - Handoff Indicator"
    fields_desc = [  # noqa: RUF012
        ByteEnumField("otype", 23, _OPTIONS),
        ByteField("olen", 2),
        ByteField("reserved", 0),
        ByteEnumField("hi", HandoffIndicator.UNKNOWN, _names(HandoffIndicator)),
    ]
    x = 0
    y = 0


class MIP6OptATT(inet6._MIP6OptAlign):
    """RFC 5213, 8.5."""

    name = "PMIPv6 Option - Access Technology Type"
    fields_desc = [  # noqa: RUF012
        ByteEnumField("otype", 24, _OPTIONS),
        ByteField("olen", 2),
        ByteField("reserved", 0),
        ByteEnumField("att", AccessTechnologyType.WIRELESS_LAN, _names(AccessTechnologyType)),
    ]
    x = 0
    y = 0


class MIP6OptMNLLI(inet6._MIP6OptAlign):
    """RFC 5213, 8.6: the identifier itself lies on its natural boundary."""

    name = "PMIPv6 Option - Mobile Node Link-layer Identifier"
    fields_desc = [  # noqa: RUF012
        ByteEnumField("otype", 25, _OPTIONS),
        FieldLenField("olen", None, length_of="lli", fmt="B", adjust=lambda _, size: size + 2),
        ShortField("reserved", 0),
        StrLenField("lli", b"", length_from=lambda option: option.olen - 2),
    ]
    x = 0
    y = 0

    def alignment_delta(self, curpos: int) -> int:
        size = len(self.lli)
        width = min(size & -size, 8) or 1
        return int(-(curpos + 4) % width)


class MIP6OptLLA(inet6._MIP6OptAlign):
    """RFC 5213, 8.7."""

    name = "PMIPv6 Option - Link-local Address"
    fields_desc = [ByteEnumField("otype", 26, _OPTIONS), ByteField("olen", 16), IP6Field("lla", "fe80::")]  # noqa: RUF012
    x = 8
    y = 6


class MIP6OptTimestamp(inet6._MIP6OptAlign):
    """RFC 5213, 8.8: seconds since 1970 in 48.16 fixed point."""

    name = "PMIPv6 Option - Timestamp"
    fields_desc = [ByteEnumField("otype", 27, _OPTIONS), ByteField("olen", 8), LongField("timestamp", 0)]  # noqa: RUF012
    x = 8
    y = 2


class MIP6OptRestartCounter(inet6._MIP6OptAlign):
    """RFC 5847, 3.4."""

    name = "PMIPv6 Option - Restart Counter"
    fields_desc = [ByteEnumField("otype", 28, _OPTIONS), ByteField("olen", 4), IntField("counter", 0)]  # noqa: RUF012
    x = 4
    y = 2


class MIP6OptLMAAddress(inet6._MIP6OptAlign):
    """RFC 5949, 6.2.2; an IPv6 address."""

    name = "PMIPv6 Option - Local Mobility Anchor Address"
    fields_desc = [  # noqa: RUF012
        ByteEnumField("otype", 41, _OPTIONS),
        ByteField("olen", 18),
        ByteField("code", 1),
        ByteField("reserved", 0),
        IP6Field("address", "::"),
    ]
    x = 8
    y = 4


class MIP6OptMAGAddress(inet6._MIP6OptAlign):
    """RFC 6705, 11.1."""

    name = "PMIPv6 Option - MAG IPv6 Address"
    fields_desc = [  # noqa: RUF012
        ByteEnumField("otype", 51, _OPTIONS),
        ByteField("olen", 18),
        ByteField("reserved", 0),
        ByteField("alen", 128),
        IP6Field("address", "::"),
    ]
    x = 8
    y = 4


def _header(mhtype: MobilityHeaderType) -> list[Any]:
    return [
        ByteEnumField("nh", 59, inet6.ipv6nh),
        ByteField("len", None),
        ByteEnumField("mhtype", int(mhtype), _MH_TYPES),
        XByteField("res", 0),
        XShortField("cksum", None),
    ]


def _options(start: int = 12) -> list[Any]:
    return [
        inet6._PhantomAutoPadField("autopad", 1),
        inet6._OptionsField("options", [], MIP6OptUnknown, start, length_from=lambda header: 8 * header.len + 8 - start),
    ]


def _query(q: list[Any]) -> list[Any]:
    return [
        *_header(MobilityHeaderType.BINDING_UPDATE),
        XShortField("seq", 0),
        FlagsField("flags", "PHA", 7, "PRMKLHA"),
        *q,
        LifetimeField("mhtime", 2),
        *_options(),
    ]


def _query_acknowledgement(q: list[Any]) -> list[Any]:
    return [
        *_header(MobilityHeaderType.BINDING_ACKNOWLEDGEMENT),
        ByteEnumField("status", 0, _names(Status)),
        FlagsField("flags", "P", 3, "PRK"),
        *q,
        XShortField("seq", 0),
        LifetimeField("mhtime", 0),
        *_options(),
    ]


def _dispatch(plain: type[Any], octet: int, bit: int) -> classmethod[Any, Any, type[Any]]:
    """Scapy asks this hook, in the class's own namespace only, which class the octets of a header become."""

    def dispatch_hook(cls: type[Any], _pkt: bytes = b"", *_: Any, **__: Any) -> type[Any]:
        return plain if _pkt and not (len(_pkt) > octet and _pkt[octet] & bit) else cls

    return classmethod(dispatch_hook)


class MIP6MH_PBQ(MIP6MH_BU):
    """A Proxy Binding Query (draft, 4.1): a PBU with Q right after P. Octets without Q become a MIP6MH_BU."""

    name = "IPv6 Mobility Header - Proxy Binding Query"
    fields_desc = _query([BitField("q", 1, 1), XBitField("reserved", 0, 8)])
    dispatch_hook = _dispatch(MIP6MH_BU, 8, 0x01)


class MIP6MH_PBQ_Unassigned(MIP6MH_PBQ):
    """A Proxy Binding Query whose Q is a bit that no RFC assigns (0x0008)."""

    name = "IPv6 Mobility Header - Proxy Binding Query (unassigned bit)"
    fields_desc = _query([XBitField("reserved", 0, 5), BitField("q", 1, 1), XBitField("reserved2", 0, 3)])
    dispatch_hook = _dispatch(MIP6MH_BU, 9, 0x08)


class MIP6MH_PQA(MIP6MH_BA):
    """A Proxy Query ACK (draft, 4.2): a PBA with Q right after P. Octets without Q become a MIP6MH_BA."""

    name = "IPv6 Mobility Header - Proxy Query ACK"
    fields_desc = _query_acknowledgement([BitField("q", 1, 1), XBitField("res2", 0, 4)])
    dispatch_hook = _dispatch(MIP6MH_BA, 7, 0x10)


class MIP6MH_PQA_Unassigned(MIP6MH_PQA):
    """A Proxy Query ACK whose Q is a bit that no RFC assigns (0x01)."""

    name = "IPv6 Mobility Header - Proxy Query ACK (unassigned bit)"
    fields_desc = _query_acknowledgement([XBitField("res2", 0, 4), BitField("q", 1, 1)])
    dispatch_hook = _dispatch(MIP6MH_BA, 7, 0x01)


class MIP6MH_UPN(inet6._MobilityHeader):
    """An Update Notification (RFC 7077, 4.1)."""

    name = "IPv6 Mobility Header - Update Notification"
    fields_desc = [  # noqa: RUF012
        *_header(MobilityHeaderType.UPDATE_NOTIFICATION),
        XShortField("seq", 0),
        ShortEnumField("reason", NotificationReason.FORCE_REREGISTRATION, _names(NotificationReason)),
        FlagsField("flags", 0, 2, "DA"),
        XBitField("reserved", 0, 14),
        *_options(),
    ]


class MIP6MH_UPA(inet6._MobilityHeader):
    """An Update Notification Acknowledgement (RFC 7077, 4.2)."""

    name = "IPv6 Mobility Header - Update Notification Acknowledgement"
    fields_desc = [  # noqa: RUF012
        *_header(MobilityHeaderType.UPDATE_NOTIFICATION_ACKNOWLEDGEMENT),
        XShortField("seq", 0),
        ByteEnumField("status", 0, _names(UpdateNotificationStatus)),
        XBitField("reserved", 0, 24),
        *_options(),
    ]

    def answers(self, other: Any) -> bool:
        return isinstance(other, MIP6MH_UPN) and bool(self.seq == other.seq)


class MIP6MH_HB(inet6._MobilityHeader):
    """A Heartbeat (RFC 5847, 3.3)."""

    name = "IPv6 Mobility Header - Heartbeat"
    fields_desc = [  # noqa: RUF012
        *_header(MobilityHeaderType.HEARTBEAT),
        XBitField("reserved", 0, 14),
        FlagsField("flags", 0, 2, "RU"),
        IntField("seq", 0),
        *_options(),
    ]


class MIP6MH_HI(inet6._MobilityHeader):
    """A Handover Initiate between MAGs (RFC 5949, 6.1.1)."""

    name = "IPv6 Mobility Header - Handover Initiate"
    fields_desc = [  # noqa: RUF012
        *_header(MobilityHeaderType.HANDOVER_INITIATE),
        XShortField("seq", 0),
        FlagsField("flags", "P", 4, "FPUS"),
        XBitField("reserved", 0, 4),
        ByteEnumField("code", 0, _names(HandoverInitiateCode)),
        *_options(10),
    ]


class MIP6MH_HAck(inet6._MobilityHeader):
    """A Handover Acknowledge between MAGs (RFC 5949, 6.1.2)."""

    name = "IPv6 Mobility Header - Handover Acknowledge"
    fields_desc = [  # noqa: RUF012
        *_header(MobilityHeaderType.HANDOVER_ACKNOWLEDGE),
        XShortField("seq", 0),
        FlagsField("flags", "P", 3, "FPU"),
        XBitField("reserved", 0, 5),
        ByteEnumField("code", 0, _names(HandoverAcknowledgeCode)),
        *_options(10),
    ]


def _revocation(purpose: BindingRevocationType, code: Any) -> list[Any]:
    return [
        *_header(MobilityHeaderType.BINDING_REVOCATION),
        ByteEnumField("brtype", int(purpose), _names(BindingRevocationType)),
        code,
        XShortField("seq", 0),
        FlagsField("flags", "P", 3, "GVP"),
        XBitField("reserved", 0, 13),
        *_options(),
    ]


class MIP6MH_BRA(inet6._MobilityHeader):
    """A Binding Revocation Acknowledgement (RFC 5846, 5.2)."""

    name = "IPv6 Mobility Header - Binding Revocation Acknowledgement"
    fields_desc = _revocation(BindingRevocationType.ACKNOWLEDGEMENT, ByteEnumField("status", 0, _names(RevocationStatus)))


class MIP6MH_BRI(inet6._MobilityHeader):
    """A Binding Revocation Indication (RFC 5846, 5.1). Octets of B.R. Type 2 become a MIP6MH_BRA."""

    name = "IPv6 Mobility Header - Binding Revocation Indication"
    fields_desc = _revocation(BindingRevocationType.INDICATION, ByteEnumField("trigger", 0, _names(RevocationTrigger)))

    @classmethod
    def dispatch_hook(cls, _pkt: bytes = b"", *_: Any, **__: Any) -> type[Any]:
        return MIP6MH_BRA if len(_pkt) > 6 and _pkt[6] == BindingRevocationType.ACKNOWLEDGEMENT else cls


class MIP6MH_LRI(inet6._MobilityHeader):
    """A Localized Routing Initiation (RFC 6705, 10.1)."""

    name = "IPv6 Mobility Header - Localized Routing Initiation"
    fields_desc = [  # noqa: RUF012
        *_header(MobilityHeaderType.LOCALIZED_ROUTING_INITIATION),
        XShortField("seq", 0),
        XShortField("reserved", 0),
        ShortField("lifetime", 0),
        *_options(),
    ]


class MIP6MH_LRA(inet6._MobilityHeader):
    """A Localized Routing Acknowledgment (RFC 6705, 10.2)."""

    name = "IPv6 Mobility Header - Localized Routing Acknowledgment"
    fields_desc = [  # noqa: RUF012
        *_header(MobilityHeaderType.LOCALIZED_ROUTING_ACKNOWLEDGMENT),
        XShortField("seq", 0),
        FlagsField("flags", 0, 1, "U"),
        XBitField("reserved", 0, 7),
        ByteEnumField("status", 0, _names(LocalizedRoutingStatus)),
        ShortField("lifetime", 0),
        *_options(),
    ]


_QUERIES = {QueryFlag.DRAFT: MIP6MH_PBQ, QueryFlag.UNASSIGNED: MIP6MH_PBQ_Unassigned}
_QUERY_ACKNOWLEDGEMENTS = {QueryFlag.DRAFT: MIP6MH_PQA, QueryFlag.UNASSIGNED: MIP6MH_PQA_Unassigned}


def register(query_flag: QueryFlag = QueryFlag.DRAFT) -> None:
    """Make scapy dissect these layers everywhere in this process, Q being where ``query_flag`` says; a later call wins."""
    inet6.moboptcls.update(
        {
            22: MIP6OptHNP,
            23: MIP6OptHandoffIndicator,
            24: MIP6OptATT,
            25: MIP6OptMNLLI,
            26: MIP6OptLLA,
            27: MIP6OptTimestamp,
            28: MIP6OptRestartCounter,
            41: MIP6OptLMAAddress,
            51: MIP6OptMAGAddress,
        }
    )
    inet6._mip6_mhtype2cls.update(
        {
            5: _QUERIES[query_flag],
            6: _QUERY_ACKNOWLEDGEMENTS[query_flag],
            13: MIP6MH_HB,
            14: MIP6MH_HI,
            15: MIP6MH_HAck,
            16: MIP6MH_BRI,
            17: MIP6MH_LRI,
            18: MIP6MH_LRA,
            19: MIP6MH_UPN,
            20: MIP6MH_UPA,
        }
    )
