"""Mobility Header messages (protocol 135) of Proxy Mobile IPv6, and their octets.

Formats: RFC 6275 section 6 (header, padding, Binding Error), RFC 5213 section 8 (proxy binding messages and their
options), RFC 4283 (MN-ID), RFC 4285 (authentication), RFC 5846 section 5 (revocation), RFC 5847 section 3 (heartbeats),
RFC 5949 section 6 (handovers between MAGs), RFC 6705 section 10 (localized routing), RFC 7077 section 4 (update
notifications). A Proxy Binding Query and its acknowledgement (draft-jikim-dmm-pmip-00, section 4) are the proxy binding
messages with one more flag, Q.

Options that a message carries are its fields, None or empty where absent. ``decode`` skips options that it does not know;
of an option that should be there once, the first counts. Whatever is wrong with octets or values raises MessageError.

``values`` names the numbers, ``fields`` has the messages, ``options`` and ``codec`` their octets, ``ipv6`` the packet around.
"""

from __future__ import annotations

from agents.messages.codec import (
    decode,
    encode,
)
from agents.messages.errors import (
    HeaderLengthError,
    MessageError,
    ParameterProblemError,
    PayloadProtocolError,
    UnknownTypeError,
)
from agents.messages.fields import (
    Authentication,
    BindingError,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    HandoverAcknowledge,
    HandoverInitiate,
    Heartbeat,
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    Message,
    MobileNode,
    MobilityOptions,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    kind,
    lifetime_of,
)
from agents.messages.ipv6 import (
    checksum,
    ipv6_packet,
    parse_ipv6_mobility,
    with_checksum,
)
from agents.messages.values import (
    INFINITE_LIFETIME,
    PROTOCOL,
    AccessTechnologyType,
    BindingErrorStatus,
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
    lifetime_seconds,
    lifetime_units,
    seconds_from_timestamp,
    timestamp_from_seconds,
)

__all__ = [
    "INFINITE_LIFETIME",
    "PROTOCOL",
    "AccessTechnologyType",
    "Authentication",
    "BindingError",
    "BindingErrorStatus",
    "BindingRevocationAcknowledgement",
    "BindingRevocationIndication",
    "BindingRevocationType",
    "HandoffIndicator",
    "HandoverAcknowledge",
    "HandoverAcknowledgeCode",
    "HandoverInitiate",
    "HandoverInitiateCode",
    "HeaderLengthError",
    "Heartbeat",
    "LocalizedRoutingAcknowledgment",
    "LocalizedRoutingInitiation",
    "LocalizedRoutingStatus",
    "Message",
    "MessageError",
    "MobileNode",
    "MobilityHeaderType",
    "MobilityOptions",
    "NotificationReason",
    "ParameterProblemError",
    "PayloadProtocolError",
    "ProxyBindingAcknowledgement",
    "ProxyBindingUpdate",
    "RevocationStatus",
    "RevocationTrigger",
    "Status",
    "UnknownTypeError",
    "UpdateNotification",
    "UpdateNotificationAcknowledgement",
    "UpdateNotificationStatus",
    "checksum",
    "decode",
    "encode",
    "ipv6_packet",
    "kind",
    "lifetime_of",
    "lifetime_seconds",
    "lifetime_units",
    "parse_ipv6_mobility",
    "seconds_from_timestamp",
    "timestamp_from_seconds",
    "with_checksum",
]
