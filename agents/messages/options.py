"""Mobility options and their octets (RFC 6275, 6.2): each aligned to ``multiple`` n + ``offset`` from the header's start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from operator import attrgetter
from struct import Struct
from types import MappingProxyType
from typing import Any

from agents.messages.errors import MessageError
from agents.messages.fields import Authentication, MobileNode, MobilityOptions

PADDING = (b"", b"\0", *(bytes((1, n)) + bytes(n) for n in range(6)))
_HNP = Struct("!BBBB16s")
_BYTE_OPTION = Struct("!BBBB")
_ADDRESS_OPTION = Struct("!BB16s")
_TIMESTAMP = Struct("!BBQ")
_AUTHENTICATION = Struct("!BBBI")
_RESTART_COUNTER = Struct("!BBI")

_ALTERNATE_CARE_OF = 3
_MN_ID = 8
_MESSAGE_AUTHENTICATION = 9
_REPLAY_PROTECTION = 10
_HOME_NETWORK_PREFIX = 22
_HANDOFF_INDICATOR = 23
_ACCESS_TECHNOLOGY_TYPE = 24
_LINK_LAYER_IDENTIFIER = 25
_LINK_LOCAL_ADDRESS = 26
_TIMESTAMP_OPTION = 27
_RESTART_COUNTER_OPTION = 28
_ANCHOR_ADDRESS = 41
_MAG_ADDRESS = 51
_NAI = 1
_IPV6_ADDRESS = 1
"""The Option-Code of an anchor's address that is no IPv4 address (RFC 5949, 6.2.2)."""


def _put(out: bytearray, multiple: int, offset: int, option: bytes) -> None:
    out += PADDING[(offset - len(out)) % multiple]
    out += option


def _put_mn_id(out: bytearray, mn_id: str) -> None:
    try:
        identifier = mn_id.encode()
    except UnicodeEncodeError as reason:
        raise MessageError(f"no NAI: {mn_id!r}") from reason
    if len(identifier) > 254:
        raise MessageError(f"an NAI has at most 254 octets, not {len(identifier)}")
    out += bytes((_MN_ID, len(identifier) + 1, _NAI)) + identifier


def _put_prefixes(out: bytearray, prefixes: tuple[IPv6Network, ...]) -> None:
    for prefix in prefixes:
        _put(out, 8, 4, _HNP.pack(_HOME_NETWORK_PREFIX, 18, 0, prefix.prefixlen, prefix.network_address.packed))


def _put_correspondent(out: bytearray, node: MobileNode) -> None:
    _put_mn_id(out, node.mn_id)
    _put_prefixes(out, node.home_network_prefixes)


def _put_mag_address(out: bytearray, address: IPv6Address) -> None:
    _put(out, 8, 4, _HNP.pack(_MAG_ADDRESS, 18, 0, 128, address.packed))


def _put_anchor_address(out: bytearray, address: IPv6Address) -> None:
    _put(out, 8, 4, _HNP.pack(_ANCHOR_ADDRESS, 18, _IPV6_ADDRESS, 0, address.packed))


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


def _put_replay_protection(out: bytearray, timestamp: int) -> None:
    _put(out, 8, 2, _TIMESTAMP.pack(_REPLAY_PROTECTION, 8, timestamp))


def _put_alternate_care_of(out: bytearray, address: IPv6Address) -> None:
    _put(out, 8, 6, _ADDRESS_OPTION.pack(_ALTERNATE_CARE_OF, 16, address.packed))


def _put_restart_counter(out: bytearray, counter: int) -> None:
    _put(out, 4, 2, _RESTART_COUNTER.pack(_RESTART_COUNTER_OPTION, 4, counter))


def _put_authentication(out: bytearray, authentication: Authentication) -> None:
    size = len(authentication.data)
    if size > 250:
        raise MessageError(f"authentication data has at most 250 octets, not {size}")
    head = _AUTHENTICATION.pack(_MESSAGE_AUTHENTICATION, size + 5, authentication.subtype, authentication.spi)
    _put(out, 4, 1, head + authentication.data)


_WRITERS: tuple[tuple[str, Callable[[bytearray, Any], None]], ...] = (
    ("mn_id", _put_mn_id),
    ("home_network_prefixes", _put_prefixes),
    ("correspondent", _put_correspondent),
    ("mag_address", _put_mag_address),
    ("anchor_address", _put_anchor_address),
    ("handoff_indicator", _put_handoff_indicator),
    ("access_technology", _put_access_technology),
    ("link_layer_identifier", _put_link_layer_identifier),
    ("link_local_address", _put_link_local_address),
    ("timestamp", _put_timestamp),
    ("alternate_care_of", _put_alternate_care_of),
    ("restart_counter", _put_restart_counter),
    ("replay_protection", _put_replay_protection),
    ("authentication", _put_authentication),
)


def _expect(name: str, data: bytes, least: int, most: int) -> None:
    if not least <= len(data) <= most:
        raise MessageError(f"the {name} option has {len(data)} octets of data")


@lru_cache(maxsize=4096)
def _network(prefix: bytes, length: int) -> IPv6Network:
    return IPv6Network((prefix, length), strict=False)


@lru_cache(maxsize=4096)
def _address(octets: bytes) -> IPv6Address:
    return IPv6Address(octets)


def _get_mn_id(data: bytes) -> str | None:
    _expect("MN-ID", data, 1, 255)
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


def _get_mag_address(data: bytes) -> IPv6Address:
    _expect("MAG IPv6 Address", data, 18, 18)
    if data[1] != 128:
        raise MessageError(f"the address of a MAG has no length {data[1]}")
    return _address(data[2:])


def _get_anchor_address(data: bytes) -> IPv6Address | None:
    _expect("Local Mobility Anchor Address", data, 6, 18)
    if data[0] != _IPV6_ADDRESS:
        return None
    _expect("Local Mobility Anchor Address", data, 18, 18)
    return _address(data[2:])


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
    return _address(data)


def _get_timestamp(data: bytes) -> int:
    _expect("Timestamp", data, 8, 8)
    return int.from_bytes(data, "big")


def _get_replay_protection(data: bytes) -> int:
    _expect("Mobility Message Replay Protection", data, 8, 8)
    return int.from_bytes(data, "big")


def _get_alternate_care_of(data: bytes) -> IPv6Address:
    _expect("Alternate Care-of Address", data, 16, 16)
    return _address(data)


def _get_restart_counter(data: bytes) -> int:
    _expect("Restart Counter", data, 4, 4)
    return int.from_bytes(data, "big")


def _get_authentication(data: bytes) -> Authentication:
    _expect("Mobility Message Authentication", data, 5, 255)
    return Authentication(data[0], int.from_bytes(data[1:5], "big"), data[5:])


_READERS: Mapping[int, tuple[str, Callable[[bytes], Any]]] = MappingProxyType(
    {
        _ALTERNATE_CARE_OF: ("alternate_care_of", _get_alternate_care_of),
        _MN_ID: ("mn_id", _get_mn_id),
        _MESSAGE_AUTHENTICATION: ("authentication", _get_authentication),
        _REPLAY_PROTECTION: ("replay_protection", _get_replay_protection),
        _HOME_NETWORK_PREFIX: ("home_network_prefixes", _get_prefix),
        _HANDOFF_INDICATOR: ("handoff_indicator", _get_handoff_indicator),
        _ACCESS_TECHNOLOGY_TYPE: ("access_technology", _get_access_technology),
        _LINK_LAYER_IDENTIFIER: ("link_layer_identifier", _get_link_layer_identifier),
        _LINK_LOCAL_ADDRESS: ("link_local_address", _get_link_local_address),
        _TIMESTAMP_OPTION: ("timestamp", _get_timestamp),
        _RESTART_COUNTER_OPTION: ("restart_counter", _get_restart_counter),
        _ANCHOR_ADDRESS: ("anchor_address", _get_anchor_address),
        _MAG_ADDRESS: ("mag_address", _get_mag_address),
    }
)


Found = list[tuple[str, Any]]
"""Options in the order of the octets, by the names of fields; None is the value of one that means nothing here."""


def first_of_each(found: Found) -> dict[str, Any]:
    """The fields of a message: of an option that should be there once, the first counts."""
    values: dict[str, Any] = {}
    prefixes: list[IPv6Network] = []
    for name, value in found:
        if name == "home_network_prefixes":
            prefixes.append(value)
        elif value is not None:
            values.setdefault(name, value)
    values["home_network_prefixes"] = tuple(prefixes)
    return values


def of_two_nodes(found: Found) -> dict[str, Any]:
    """The fields of a message in which prefixes belong to the MN-ID before them, of which there are at most two (RFC 6705, 10)."""
    starts = [at for at, (name, _) in enumerate(found) if name == "mn_id"]
    if len(starts) > 2 or any(found[at][1] is None for at in starts):
        raise MessageError("a localized route is between two mobile nodes that have NAIs")
    if len(starts) < 2:
        return first_of_each(found)
    prefixes = tuple(value for name, value in found[starts[1] :] if name == "home_network_prefixes")
    others = [option for option in found[starts[1] + 1 :] if option[0] != "home_network_prefixes"]
    return first_of_each(found[: starts[1]] + others) | {"correspondent": MobileNode(found[starts[1]][1], prefixes)}


class OptionSet:
    """The options that are fields of one message class, written in the order of the table above."""

    def __init__(self, message: type[MobilityOptions], gather: Callable[[Found], dict[str, Any]] = first_of_each) -> None:
        """``gather`` makes fields of the options that were read."""
        names = {field.name for field in fields(message)}
        self._gather = gather
        self._puts = tuple(put for name, put in _WRITERS if name in names)
        self._values = attrgetter(*(name for name, _ in _WRITERS if name in names))
        self._readers = {option: reader for option, reader in _READERS.items() if reader[0] in names}

    def write(self, out: bytearray, message: MobilityOptions) -> None:
        """Append the options of ``message``; MessageError or struct.error for a value that does not fit."""
        for value, put in zip(self._values(message), self._puts, strict=True):
            if value is not None:
                put(out, value)

    def read(self, data: bytes, at: int, end: int) -> dict[str, Any]:
        """The fields that the options between ``at`` and ``end`` are; MessageError where they are malformed."""
        found: Found = []
        readers = self._readers
        while at < end:
            option = data[at]
            if option == 0:
                at += 1
                continue
            start = at + 2
            if start > end or (at := start + data[at + 1]) > end:
                raise MessageError(f"option {option} reaches beyond the header")
            if option in readers:
                name, read = readers[option]
                found.append((name, read(data[start:at])))
        return self._gather(found)
