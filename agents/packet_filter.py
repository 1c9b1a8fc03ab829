"""Rules of nf_tables (linux/netfilter/nf_tables.h) as octets: a table of one agent, its sets, chains and rules, in one transaction."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

from agents.netlink import HEADER, NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NLMSG_ERROR, NetlinkError, attribute

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _NEWSET, _NEWSETELEM = 0, 2, 3, 6, 9, 12
_NLM_F_APPEND = 0x800
_GENERAL = Struct("!BBH")
_U32, _U64, _INTERFACE = Struct("!I"), Struct("!Q"), Struct("=I")
_ERROR = Struct("=i")
_NESTED = 0x8000
_RECEIVE = 1 << 16
_ELEMENT = 1
_REGISTER, _VERDICT = 1, 0
_IIF, _OIF, _L4PROTO = 4, 5, 16
_NETWORK, _TRANSPORT = 1, 2
EQUAL, NOT_EQUAL, AT_MOST, AT_LEAST = 0, 1, 3, 5
_ADD, _UPDATE = 0, 1
_CONSTANT, _TIMES_OUT, _DYNAMIC = 0x2, 0x10, 0x20
_INVERTED = 1
DROP, RETURN = 0, -5
PREROUTING, POSTROUTING = 0, 4

_COLLECTED_EVERY = 300
"""s after which the kernel frees what has timed out of a set; each time wakes a machine that has nothing else to do."""

_TYPES = {4: 20, 16: 8}
"""What nft(8) takes a key of so many octets for: an interface, an IPv6 address."""

Expression = bytes
Rule = tuple[Expression, ...]


def _nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(parts))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, _U32.pack(value & 0xFFFFFFFF))


def _long(kind: int, value: int) -> bytes:
    return attribute(kind, _U64.pack(value))


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _expression(name: str, *attributes: bytes) -> Expression:
    return _text(1, name) + _nested(2, *attributes)


def _list_element(octets: bytes) -> bytes:
    return _nested(_ELEMENT, octets)


INCOMING: Expression = _expression("meta", _number(1, _REGISTER), _number(2, _IIF))
"""Load the index of the interface that the packet came in through."""

OUTGOING: Expression = _expression("meta", _number(1, _REGISTER), _number(2, _OIF))
"""Load the index of the interface that the packet leaves by."""

CARRIED: Expression = _expression("meta", _number(1, _REGISTER), _number(2, _L4PROTO))
"""Load the protocol behind all extension headers."""


def _load(base: int, offset: int, length: int) -> Expression:
    return _expression("payload", _number(1, _REGISTER), _number(2, base), _number(3, offset), _number(4, length))


SOURCE: Expression = _load(_NETWORK, 8, 16)
"""Load the source address."""

DESTINATION: Expression = _load(_NETWORK, 24, 16)
"""Load the destination address."""

FIRST_OF_DESTINATION: Expression = _load(_NETWORK, 24, 1)
"""Load the first octet of the destination address."""

ICMPV6_TYPE: Expression = _load(_TRANSPORT, 0, 1)
"""Load the type of an ICMPv6 message."""

COUNT: Expression = _expression("counter")
"""Count the packets that come so far."""


def compare(relation: int, octets: bytes) -> Expression:
    """Go on where what was loaded has this relation to ``octets``."""
    return _expression("cmp", _number(1, _REGISTER), _number(2, relation), _nested(3, attribute(1, octets)))


def is_in(name: str) -> Expression:
    """Go on where what was loaded is an element of a set."""
    return _expression("lookup", _text(1, name), _number(2, _REGISTER))


def put(name: str, timeout: int) -> Expression:
    """Put what was loaded into a set, for ``timeout`` s; go on where there is room for it."""
    return _expression("dynset", _text(1, name), _number(3, _ADD), _number(4, _REGISTER), _long(6, timeout * 1000))


def keep(name: str, timeout: int) -> Expression:
    """Let what was loaded, an element of a set, stay there for ``timeout`` s from now."""
    return _expression("dynset", _text(1, name), _number(3, _UPDATE), _number(4, _REGISTER), _long(6, timeout * 1000))


def exceeds(name: str, rate: int, burst: int) -> Expression:
    """Go on where there have been more than ``rate`` packets a second with what was loaded, and ``burst``; the set keeps count."""
    limit = _expression("limit", _long(1, rate), _long(2, 1), _number(3, burst), _number(4, 0), _number(5, _INVERTED))
    return _expression("dynset", _text(1, name), _number(3, _UPDATE), _number(4, _REGISTER), _nested(7, limit))


def verdict(code: int) -> Expression:
    """Let that be the end."""
    return _expression("immediate", _number(1, _VERDICT), _nested(2, _nested(2, _number(1, code))))


@dataclass(frozen=True, slots=True)
class Set:
    """A set of keys of ``size`` octets: the interfaces that are its ``elements`` for ever, or what rules put in, ``most`` of them, for
    ``timeout`` s."""

    name: str
    size: int
    elements: tuple[int, ...] = ()
    most: int = 0
    timeout: int = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules for what passes a hook of IPv6 (netfilter_ipv6.h); what none of them ends goes on."""

    name: str
    hook: int
    priority: int
    rules: tuple[Rule, ...]


class PacketFilter:
    """One table of this network namespace."""

    def __init__(self, name: str) -> None:
        self._table = name

    def install(self, sets: Iterable[Set], chains: Iterable[Chain]) -> None:
        """Set the table up, in place of one of that name; OSError where the kernel cannot."""
        messages = [*self._removal(), self._message(_NEWTABLE, _text(1, self._table), _number(2, 0))]
        for number, one in enumerate(sets, 1):
            messages += self._set(one, number)
        for chain in chains:
            hook = _nested(4, _number(1, chain.hook), _number(2, chain.priority))
            messages.append(self._message(_NEWCHAIN, _text(1, self._table), _text(3, chain.name), hook, _text(7, "filter")))
            for rule in chain.rules:
                said = _text(1, self._table), _text(2, chain.name), _nested(4, *map(_list_element, rule))
                messages.append(self._message(_NEWRULE, *said, flags=NLM_F_CREATE | _NLM_F_APPEND))
        self._commit(f"packet filter {self._table}", messages)

    def remove(self) -> None:
        """Remove the table, if there is one."""
        self._commit(f"removal of packet filter {self._table}", self._removal())

    def _removal(self) -> list[tuple[int, int, bytes]]:
        """Make sure that there is a table, and remove it: a request that fails would wait for other processors."""
        name = _text(1, self._table)
        return [self._message(_NEWTABLE, name, _number(2, 0)), self._message(_DELTABLE, name, flags=0)]

    def _set(self, one: Set, number: int) -> list[tuple[int, int, bytes]]:
        flags = _CONSTANT if one.elements else _DYNAMIC | _TIMES_OUT
        named = _text(1, self._table), _text(2, one.name)
        kept = _long(11, one.timeout * 1000), _number(12, _COLLECTED_EVERY * 1000)
        bounds = (_nested(9, _number(1, one.most)), *kept) if one.most else ()
        key = _number(4, _TYPES[one.size]), _number(5, one.size)
        messages = [self._message(_NEWSET, *named, _number(3, flags), *key, *bounds, _number(10, number))]
        if one.elements:
            keys = (_list_element(_nested(1, attribute(1, _INTERFACE.pack(index)))) for index in one.elements)
            messages.append(self._message(_NEWSETELEM, *named, _number(4, number), _nested(3, *keys)))
        return messages

    @staticmethod
    def _message(kind: int, *attributes: bytes, flags: int = NLM_F_CREATE) -> tuple[int, int, bytes]:
        return _SUBSYSTEM << 8 | kind, flags, _GENERAL.pack(socket.AF_INET6, 0, 0) + b"".join(attributes)

    @staticmethod
    def _commit(what: str, messages: list[tuple[int, int, bytes]]) -> None:
        edge = _GENERAL.pack(socket.AF_UNSPEC, 0, _SUBSYSTEM)
        batch = [(_BATCH_BEGIN, 0, edge), *messages, (_BATCH_END, 0, edge)]
        octets = bytearray()
        for number, (kind, flags, body) in enumerate(batch):
            flags |= NLM_F_REQUEST | (NLM_F_ACK if 0 < number < len(batch) - 1 else 0)
            octets += HEADER.pack(HEADER.size + len(body), kind, flags, number, 0) + body
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as port:
            port.bind((0, 0))
            port.send(octets)
            answered = 0
            while answered < len(messages):
                data, at = port.recv(_RECEIVE), 0
                while at + HEADER.size <= len(data):
                    length, kind, _, number, _ = HEADER.unpack_from(data, at)
                    code = -_ERROR.unpack_from(data, at + HEADER.size)[0] if kind == NLMSG_ERROR else 0
                    if code:
                        raise NetlinkError(code, f"{what}, message {number}: {os.strerror(code)}")
                    answered += 1
                    at += (length + 3) & ~3
