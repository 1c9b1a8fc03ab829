"""Rules of nf_tables (linux/netfilter/nf_tables.h) as octets: a table of one agent, its sets, chains and rules, in one transaction."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Network, collapse_addresses
from struct import Struct

from agents.linux.netlink import NETFILTER_TABLES, NLM_F_APPEND, NLM_F_CREATE, Request, attribute, transact

_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _NEWSET, _NEWSETELEM = 0, 2, 3, 6, 9, 12
_GENERAL = Struct("!BBH")
_U32, _U64 = Struct("!I"), Struct("!Q")
_NESTED = 0x8000
_ELEMENT = 1
_REGISTER, _VERDICT = 1, 0
_IIF, _OIF, _L4PROTO = 4, 5, 16
_NETWORK, _TRANSPORT = 1, 2
EQUAL, LESS, AT_MOST, AT_LEAST = 0, 2, 3, 5
_ADD, _UPDATE = 0, 1
_CONSTANT, _INTERVALS, _TIMES_OUT, _DYNAMIC = 0x2, 0x4, 0x10, 0x20
_END_OF_INTERVAL = 1
_INVERTED = 1
DROP, ACCEPT = 0, 1
_GOTO = -4
LOCAL_IN, FORWARD = 1, 2
_PRIORITY = 0

_COLLECTED_EVERY = 300
"""s after which the kernel frees what has timed out of a set; each time wakes a machine that has nothing else to do."""

_TYPES = {1: 12, 4: 20, 16: 8}
"""What nft(8) takes a key of so many octets for: a protocol, an interface, an IPv6 address."""

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

QUOTED_SOURCE: Expression = _load(_TRANSPORT, 16, 16)
"""Load the source of the packet that an ICMPv6 error is about (RFC 4443, 3)."""

SOLICITED: Expression = _load(_TRANSPORT, 8, 16)
"""Load the target of a Neighbour Solicitation (RFC 4861, 4.3)."""

ICMPV6_TYPE: Expression = _load(_TRANSPORT, 0, 1)
"""Load the type of an ICMPv6 message."""


def beginning(octets: int) -> Expression:
    """Load so many octets of the destination address."""
    return _load(_NETWORK, 24, octets)


COUNT: Expression = _expression("counter")
"""Count the packets that come so far."""


def compare(relation: int, octets: bytes) -> Expression:
    """Go on where what was loaded has this relation to ``octets``."""
    return _expression("cmp", _number(1, _REGISTER), _number(2, relation), _nested(3, attribute(1, octets)))


def is_in(name: str) -> Expression:
    """Go on where what was loaded is an element of a set."""
    return _expression("lookup", _text(1, name), _number(2, _REGISTER))


def is_not_in(name: str) -> Expression:
    """Go on where it is none."""
    return _expression("lookup", _text(1, name), _number(2, _REGISTER), _number(5, _INVERTED))


def put(name: str, timeout: int) -> Expression:
    """Put what was loaded into a set, for ``timeout`` s; go on where there is room for it."""
    return _expression("dynset", _text(1, name), _number(3, _ADD), _number(4, _REGISTER), _long(6, timeout * 1000))


def keep(name: str, timeout: int) -> Expression:
    """Put what was loaded into a set, for ``timeout`` s from now, also where it is there already; go on where there is room for it."""
    return _expression("dynset", _text(1, name), _number(3, _UPDATE), _number(4, _REGISTER), _long(6, timeout * 1000))


def exceeds(name: str, rate: int, burst: int) -> Expression:
    """Go on where there have been more than ``rate`` packets a second with what was loaded, and ``burst``; the set keeps count."""
    limit = _expression("limit", _long(1, rate), _long(2, 1), _number(3, burst), _number(4, 0), _number(5, _INVERTED))
    return _expression("dynset", _text(1, name), _number(3, _UPDATE), _number(4, _REGISTER), _nested(7, limit))


def verdict(code: int) -> Expression:
    """Let that be the end."""
    return _expression("immediate", _number(1, _VERDICT), _nested(2, _nested(2, _number(1, code))))


def go_to(chain: str) -> Expression:
    """Go on with the rules of ``chain``, which come back to none."""
    return _expression("immediate", _number(1, _VERDICT), _nested(2, _nested(2, _number(1, _GOTO), _text(2, chain))))


@dataclass(frozen=True, slots=True)
class Set:
    """A set of keys of ``size`` octets: its ``elements`` for ever, or the addresses in ``networks``, or what rules put in, ``most`` of
    them, for ``timeout`` s."""

    name: str
    size: int
    elements: tuple[bytes, ...] = ()
    networks: tuple[IPv6Network, ...] = ()
    most: int = 0
    timeout: int = 0

    @property
    def flags(self) -> int:
        """What kind of set it is."""
        if self.most:
            return _DYNAMIC | _TIMES_OUT
        return _CONSTANT | _INTERVALS if self.networks else _CONSTANT

    def members(self) -> Iterator[tuple[bytes, bool]]:
        """Its elements; that of networks the first address of each, and the one behind the last, which says so."""
        for key in self.elements:
            yield key, False
        for network in collapse_addresses(self.networks):
            yield network.network_address.packed, False
            yield (network.broadcast_address + 1).packed, True


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules for what passes a hook of IPv6 (netfilter_ipv6.h), or None for what other chains send there; what none of them ends meets the
    ``policy``."""

    name: str
    rules: tuple[Rule, ...]
    hook: int | None = None
    policy: int = ACCEPT


class PacketFilter:
    """One table of this network namespace."""

    def __init__(self, name: str) -> None:
        self._table = name

    def install(self, sets: Iterable[Set], chains: Iterable[Chain]) -> None:
        """Set the table up, in place of one of that name; OSError where the kernel cannot."""
        chains = tuple(chains)
        requests = [*self._without(), self._new_table()]
        for number, one in enumerate(sets, 1):
            requests += self._set(one, number)
        requests += [self._chain(chain) for chain in chains]
        requests += [self._rule(chain, rule) for chain in chains for rule in chain.rules]
        transact(requests)

    def remove(self) -> None:
        """Remove the table, if there is one; OSError where the kernel cannot."""
        transact(self._without())

    def _request(self, what: str, kind: int, *attributes: bytes, flags: int = NLM_F_CREATE) -> Request:
        body = _GENERAL.pack(socket.AF_INET6, 0, 0) + _text(1, self._table) + b"".join(attributes)
        return Request(f"packet filter {self._table}: {what}", NETFILTER_TABLES | kind, flags, body)

    def _new_table(self) -> Request:
        return self._request("table", _NEWTABLE)

    def _without(self) -> list[Request]:
        """Make sure that there is a table, and remove it: a request that fails would wait for other processors."""
        return [self._new_table(), self._request("removal", _DELTABLE, flags=0)]

    def _set(self, one: Set, number: int) -> Iterator[Request]:
        kept = _long(11, one.timeout * 1000), _number(12, _COLLECTED_EVERY * 1000)
        bounds = (_nested(9, _number(1, one.most)), *kept) if one.most else ()
        about = _number(3, one.flags), _number(4, _TYPES[one.size]), _number(5, one.size), *bounds, _number(10, number)
        yield self._request(f"set {one.name}", _NEWSET, _text(2, one.name), *about)
        ends = {False: b"", True: _number(3, _END_OF_INTERVAL)}
        keys = [_list_element(_nested(1, attribute(1, key)) + ends[end]) for key, end in one.members()]
        if keys:
            yield self._request(f"elements of {one.name}", _NEWSETELEM, _text(2, one.name), _number(4, number), _nested(3, *keys))

    def _chain(self, chain: Chain) -> Request:
        at: tuple[bytes, ...] = ()
        if chain.hook is not None:
            at = _nested(4, _number(1, chain.hook), _number(2, _PRIORITY)), _number(5, chain.policy), _text(7, "filter")
        return self._request(f"chain {chain.name}", _NEWCHAIN, _text(3, chain.name), *at)

    def _rule(self, chain: Chain, rule: Rule) -> Request:
        expressions = _nested(4, *map(_list_element, rule))
        return self._request(f"rule of {chain.name}", _NEWRULE, _text(2, chain.name), expressions, flags=NLM_F_CREATE | NLM_F_APPEND)
