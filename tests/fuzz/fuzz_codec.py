"""Mobility Header messages: octets either are none, or mean the same after being written anew."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from agents.config import QueryFlag
from agents.messages import (
    Authentication,
    BindingError,
    MessageError,
    ProxyBindingAcknowledgement,
    ProxyBindingUpdate,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    decode,
    encode,
)

_FLAGS = tuple(QueryFlag)


def run(data: bytes) -> None:
    """The first octet chooses where flag Q is, the others are the message."""
    flag = _FLAGS[data[0] % len(_FLAGS)] if data else _FLAGS[0]
    try:
        message = decode(data[1:], flag)
    except MessageError:
        return
    octets = encode(message, flag)
    assert decode(octets, flag) == message
    assert encode(decode(octets, flag), flag) == octets


def seeds() -> list[bytes]:
    """One message of each kind, with every option."""
    address = IPv6Address("2001:db8::1")
    options = {
        "mn_id": "mn1@dmm.example",
        "home_network_prefixes": (IPv6Network("2001:db8:100:1::/64"), IPv6Network("::/0")),
        "handoff_indicator": 4,
        "access_technology": 4,
        "link_layer_identifier": bytes(range(6)),
        "link_local_address": IPv6Address("fe80::1"),
        "timestamp": 1 << 40,
        "alternate_care_of": address,
        "authentication": Authentication(subtype=1, spi=256, data=bytes(20)),
    }
    messages = (
        ProxyBindingUpdate(sequence=1, lifetime=75, **options),  # type: ignore[arg-type]
        ProxyBindingUpdate(sequence=1, lifetime=75, query=True, **options),  # type: ignore[arg-type]
        ProxyBindingAcknowledgement(status=0, sequence=1, lifetime=75, **options),  # type: ignore[arg-type]
        BindingError(status=1, home_address=address, **options),  # type: ignore[arg-type]
        UpdateNotification(sequence=1, notification_reason=2, acknowledge=True, **options),  # type: ignore[arg-type]
        UpdateNotificationAcknowledgement(sequence=1, status=0, **options),  # type: ignore[arg-type]
    )
    return [bytes((number,)) + encode(message, flag) for number, flag in enumerate(_FLAGS) for message in messages]
