"""Mobility Header messages: octets either are none, or mean the same after being written anew."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network
from typing import Any, get_args, get_type_hints

from agents.config import QueryFlag
from agents.messages import Authentication, Message, MessageError, MobileNode, decode, encode

_FLAGS = tuple(QueryFlag)
_PREFIXES = (IPv6Network("2001:db8:100:1::/64"), IPv6Network("::/0"))
_VALUES: Mapping[Any, Any] = {
    bool: True,
    int: 4,
    str: "mn1@dmm.example",
    bytes: bytes(range(6)),
    IPv6Address: IPv6Address("2001:db8::1"),
    tuple[IPv6Network, ...]: _PREFIXES,
    Authentication: Authentication(subtype=1, spi=256, data=bytes(20)),
    MobileNode: MobileNode("mn2@dmm.example", _PREFIXES),
}
"""A value of each type that a field has."""


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
    messages = [kind(**{name: _value(hint) for name, hint in get_type_hints(kind).items()}) for kind in get_args(Message)]
    return [bytes((number,)) + encode(message, flag) for number, flag in enumerate(_FLAGS) for message in messages]


def _value(hint: Any) -> Any:
    return _VALUES[hint if hint in _VALUES else next(kind for kind in get_args(hint) if kind in _VALUES)]
