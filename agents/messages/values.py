"""The values that fields may have, by the names of their RFCs, and how times are written in fields."""

from __future__ import annotations

from enum import IntEnum
from math import ceil

from agents.messages.errors import MessageError

PROTOCOL = 135
"""IPv6 next header value of the Mobility Header (RFC 6275, 6.1.1)."""


class MobilityHeaderType(IntEnum):
    """The MH Type field of the messages known here."""

    BINDING_UPDATE = 5
    BINDING_ACKNOWLEDGEMENT = 6
    BINDING_ERROR = 7
    HEARTBEAT = 13
    HANDOVER_INITIATE = 14
    HANDOVER_ACKNOWLEDGE = 15
    BINDING_REVOCATION = 16
    LOCALIZED_ROUTING_INITIATION = 17
    LOCALIZED_ROUTING_ACKNOWLEDGMENT = 18
    UPDATE_NOTIFICATION = 19
    UPDATE_NOTIFICATION_ACKNOWLEDGEMENT = 20


class BindingRevocationType(IntEnum):
    """Which of the two Binding Revocation messages one is (RFC 5846, 5)."""

    INDICATION = 1
    ACKNOWLEDGEMENT = 2


class Status(IntEnum):
    """Status of a (Proxy) Binding Acknowledgement (RFC 6275, 6.1.8; RFC 4285, 8; RFC 5213, 8.9); 128 and more reject."""

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
    MIPV6_ID_MISMATCH = 144
    MIPV6_MESG_ID_REQD = 145
    MIPV6_AUTH_FAIL = 146
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


class RevocationTrigger(IntEnum):
    """Why a binding is revoked (RFC 5846, 5.1); those above 128 are for a revocation with flag G."""

    UNSPECIFIED = 0
    ADMINISTRATIVE_REASON = 1
    INTER_MAG_HANDOVER_SAME_ACCESS_TYPE = 2
    INTER_MAG_HANDOVER_DIFFERENT_ACCESS_TYPE = 3
    INTER_MAG_HANDOVER_UNKNOWN = 4
    USER_INITIATED_SESSION_TERMINATION = 5
    ACCESS_NETWORK_SESSION_TERMINATION = 6
    POSSIBLE_OUT_OF_SYNC_BCE_STATE = 7
    PER_PEER_POLICY = 128
    REVOKING_MOBILITY_NODE_LOCAL_POLICY = 129


class RevocationStatus(IntEnum):
    """Status of a Binding Revocation Acknowledgement (RFC 5846, 5.2); 128 and more reject."""

    SUCCESS = 0
    PARTIAL_SUCCESS = 1
    BINDING_DOES_NOT_EXIST = 128
    IPV4_HOME_ADDRESS_OPTION_REQUIRED = 129
    GLOBAL_REVOCATION_NOT_AUTHORIZED = 130
    REVOKED_MOBILE_NODES_IDENTITY_REQUIRED = 131
    REVOCATION_FAILED_MN_IS_ATTACHED = 132
    REVOCATION_TRIGGER_NOT_SUPPORTED = 133
    REVOCATION_FUNCTION_NOT_SUPPORTED = 134
    PROXY_BINDING_REVOCATION_NOT_SUPPORTED = 135


class LocalizedRoutingStatus(IntEnum):
    """Status of a Localized Routing Acknowledgment (RFC 6705, 10.2); 128 and more reject."""

    SUCCESS = 0
    LOCALIZED_ROUTING_NOT_ALLOWED = 128
    MN_NOT_ATTACHED = 129


class HandoverInitiateCode(IntEnum):
    """Code of a Handover Initiate with flag P (RFC 5949, 6.1.1)."""

    DEFAULT = 0
    FORWARDING_COMPLETED = 2
    ALL_CONTEXT_TRANSFERRED = 3


class HandoverAcknowledgeCode(IntEnum):
    """Code of a Handover Acknowledge with flag P (RFC 5949, 6.1.2); 128 and more reject."""

    HANDOVER_ACCEPTED = 0
    CONTEXT_TRANSFER_ACCEPTED = 5
    ALL_CONTEXT_TRANSFERRED = 6
    NOT_ACCEPTED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INSUFFICIENT_RESOURCES = 130
    REQUESTED_CONTEXT_NOT_AVAILABLE = 131
    FORWARDING_NOT_AVAILABLE = 132


INFINITE_LIFETIME = 0xFFFF
"""The lifetime of a localized route that does not end (RFC 6705, 10.1)."""


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
