"""What an agent's kernel takes in and forwards at all: nftables rules, which walk through every header of a packet.

Routing rules look no further than a Fragment header, and a tunnel device ends the tunnel of anybody. So whatever is delivered to this
node, or forwarded to another agent, passes one of the chains below, whose last word is to discard:

- ``local``: what is for this node, by whichever of its addresses or groups. It goes on to ``core``, ``tunnel`` or ``access``, by the
  interface that it came from;
  What it tells itself of packets that did not fit into a tunnel is discarded: it knows (agents/tunnel_fragments.py), and nodes need not;
- ``onward``: what is forwarded; only what goes to another agent is looked at.

A protocol that cannot be told, because the headers are damaged or too many, matches no rule and is discarded. Of a packet in fragments
the first has all headers (RFC 7112; Linux drops others), so discarding that one discards the packet.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, IPv6Network, collapse_addresses
from struct import Struct
from typing import Any

from pyroute2.netlink.nfnetlink.nftsocket import (
    DATA_TYPE_INET_PROTOCOL,
    DATA_TYPE_IP6ADDR,
    NFT_MSG_DELTABLE,
    NFT_MSG_NEWCHAIN,
    NFT_MSG_NEWRULE,
    NFT_MSG_NEWSET,
    NFT_MSG_NEWSETELEM,
    NFT_MSG_NEWTABLE,
    Cmp,
    Meta,
    Regs,
    nft_chain_msg,
    nft_rule_msg,
    nft_set_elem_list_msg,
    nft_set_msg,
    nft_table_msg,
)

from agents.netlink import NETFILTER_TABLES, NLM_F_APPEND, NLM_F_CREATE, Attributes, Request, message, transact

_TABLE = "dmm"
_LOCAL, _ONWARD, _CORE, _TUNNEL, _ACCESS = "local", "onward", "core", "tunnel", "access"
_PEERS, _TUNNELLED, _GUARDED = "peers", "tunnelled", "guarded"

_LOCAL_IN, _FORWARD = 1, 2
_DISCARD, _ACCEPT, _GO_TO = 0, 1, -4
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_ADDRESS = 16
_SOURCE, _DESTINATION = 8, 24
_QUOTED_SOURCE = 8 + _SOURCE
"""Where an ICMPv6 error has the source of the packet that it is about."""
_NAME = Struct("16s")
_AN_ADDRESS, _A_PROTOCOL = (DATA_TYPE_IP6ADDR, _ADDRESS), (DATA_TYPE_INET_PROTOCOL, 1)
"""What the keys of a set are, and how many octets they have; the former only says to people how to show them."""
_NOTHING = b"\x00"

_IPV4, _IPV6, _ICMPV6, _MOBILITY_HEADER, _MPLS = 4, 41, 58, 135, 137
_INFORMATIONAL = 128
"""The first type of ICMPv6 that is no error (RFC 4443, 2.1)."""

Expression = dict[str, Any]
Rule = tuple[Expression, ...]


def _expression(kind: str, **attributes: Any) -> Expression:
    parts = [(f"NFTA_{kind.upper()}_{name.upper()}", value) for name, value in attributes.items()]
    return {"attrs": [("NFTA_EXPR_NAME", kind), ("NFTA_EXPR_DATA", {"attrs": parts})]}


def _value(octets: bytes) -> dict[str, Any]:
    return {"attrs": [("NFTA_DATA_VALUE", octets)]}


def _compared(load: Expression, octets: bytes, how: int = Cmp.NFT_CMP_EQ) -> Rule:
    return load, _expression("cmp", sreg=Regs.NFT_REG_1, op=how, data=_value(octets))


def _listed(load: Expression, name: str, *, otherwise: bool = False) -> Rule:
    flags = {"flags": ("NFT_LOOKUP_F_INV",)} if otherwise else {}
    return load, _expression("lookup", set=name, sreg=Regs.NFT_REG_1, **flags)


def _header(base: int, offset: int, size: int) -> Expression:
    return _expression("payload", dreg=Regs.NFT_REG_1, base=base, offset=offset, len=size)


_PROTOCOL = _expression("meta", dreg=Regs.NFT_REG_1, key=Meta.NFT_META_L4PROTO)
"""The protocol behind all extension headers; a rule that asks for it matches no packet of which it cannot be told."""
_SENDER = _header(_NETWORK_HEADER, _SOURCE, _ADDRESS)
_RECEIVER = _header(_NETWORK_HEADER, _DESTINATION, _ADDRESS)
_QUOTED_SENDER = _header(_TRANSPORT_HEADER, _QUOTED_SOURCE, _ADDRESS)
_TYPE = _header(_TRANSPORT_HEADER, 0, 1)


def _arrived(interface: str) -> Rule:
    return _compared(_expression("meta", dreg=Regs.NFT_REG_1, key=Meta.NFT_META_IIFNAME), _NAME.pack(interface.encode()))


def _carries(protocol: int) -> Rule:
    return _compared(_PROTOCOL, bytes((protocol,)))


def _within(address: int, network: IPv6Network) -> Rule:
    """The address there lies in a network, or in the first part of one whose prefix does not end with an octet."""
    octets = -(-network.prefixlen // 8)
    return _compared(_header(_NETWORK_HEADER, address, octets), network.network_address.packed[:octets])


_IS_TOLD = _compared(_PROTOCOL, _NOTHING, Cmp.NFT_CMP_GTE)
_IS_ERROR = (*_carries(_ICMPV6), *_compared(_TYPE, bytes((_INFORMATIONAL,)), Cmp.NFT_CMP_LT))


def _then(verdict: int, chain: str | None = None) -> Rule:
    to = [("NFTA_VERDICT_CHAIN", chain)] if chain else []
    said = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": [("NFTA_VERDICT_CODE", verdict), *to]})]}
    return (_expression("immediate", dreg=Regs.NFT_REG_VERDICT, data=said),)


def _rules(address: IPv6Address, core: str, tunnel: str, group: IPv6Address | None, home: IPv6Network) -> Iterator[tuple[str, Rule]]:
    """The rules of each chain, in order; those that most packets end at come first."""
    accept, discard = _then(_ACCEPT), _then(_DISCARD)
    signalling = _carries(_MOBILITY_HEADER)
    from_core = _arrived(core)
    yield _LOCAL, (*from_core, *_compared(_RECEIVER, address.packed), *_carries(_IPV6), *_listed(_SENDER, _PEERS), *accept)
    yield _LOCAL, (*from_core, *_then(_GO_TO, _CORE))
    yield _LOCAL, (*_arrived(tunnel), *_then(_GO_TO, _TUNNEL))
    yield _LOCAL, (*_arrived("lo"), *_IS_ERROR, *discard)
    yield _LOCAL, (*_arrived("lo"), *accept)
    yield _LOCAL, _then(_GO_TO, _ACCESS)

    if group is not None:
        yield _CORE, (*_compared(_RECEIVER, group.packed), *_carries(_IPV6), *_listed(_SENDER, _PEERS), *accept)
    yield _CORE, (*_listed(_PROTOCOL, _TUNNELLED), *discard)
    yield _CORE, (*_IS_ERROR, *_compared(_QUOTED_SENDER, address.packed), *accept)
    yield _CORE, (*_IS_ERROR, *discard)
    yield _CORE, (*_IS_TOLD, *accept)

    if group is not None:
        yield _TUNNEL, (*signalling, *_compared(_RECEIVER, group.packed), *accept)
    for chain, refused in ((_TUNNEL, _GUARDED), (_ACCESS, _TUNNELLED)):
        yield chain, (*_listed(_PROTOCOL, refused), *discard)
        yield chain, (*_IS_ERROR, *discard)
        yield chain, (*_IS_TOLD, *accept)

    yield _ONWARD, (*_within(_DESTINATION, home), *accept)
    yield _ONWARD, (*_listed(_RECEIVER, _PEERS, otherwise=True), *accept)
    yield _ONWARD, (*_listed(_PROTOCOL, _GUARDED), *discard)
    yield _ONWARD, (*_IS_ERROR, *discard)
    yield _ONWARD, (*_IS_TOLD, *accept)


def _edges(networks: Iterable[IPv6Network]) -> Iterator[tuple[bytes, bool]]:
    """Where intervals of addresses begin, and behind where they end."""
    for network in collapse_addresses(networks):
        yield network.network_address.packed, False
        yield (network.broadcast_address + 1).packed, True


def _request(what: str, kind: int, flags: int, message_kind: Any, attributes: Attributes) -> Request:
    body = message(message_kind, attributes, nfgen_family=socket.AF_INET6, version=0, res_id=0)
    return Request(f"guard: {what}", NETFILTER_TABLES | kind, flags, body)


def _table() -> Iterator[Request]:
    yield _request("table", NFT_MSG_NEWTABLE, NLM_F_CREATE, nft_table_msg, [("NFTA_TABLE_NAME", _TABLE)])


def _no_table() -> Iterator[Request]:
    """Without the table, whether there was one or not."""
    yield from _table()
    yield _request("no table", NFT_MSG_DELTABLE, 0, nft_table_msg, [("NFTA_TABLE_NAME", _TABLE)])


def _set(number: int, name: str, key: tuple[int, int], elements: Iterable[tuple[bytes, bool]]) -> Iterator[Request]:
    """A set of keys of a type and a size; an element that ends an interval says so."""
    listed = [
        {"attrs": [("NFTA_SET_ELEM_KEY", _value(octets)), *([("NFTA_SET_ELEM_FLAGS", (1,))] if end else [])]} for octets, end in elements
    ]
    kind, size = key
    intervals = ("NFT_SET_INTERVAL",) if name == _PEERS else ()
    about: Attributes = [
        ("NFTA_SET_TABLE", _TABLE),
        ("NFTA_SET_NAME", name),
        ("NFTA_SET_FLAGS", ("NFT_SET_CONSTANT", *intervals)),
        ("NFTA_SET_KEY_TYPE", kind),
        ("NFTA_SET_KEY_LEN", size),
        ("NFTA_SET_ID", number),
    ]
    yield _request(f"set {name}", NFT_MSG_NEWSET, NLM_F_CREATE, nft_set_msg, about)
    of: Attributes = [("NFTA_SET_ELEM_LIST_TABLE", _TABLE), ("NFTA_SET_ELEM_LIST_SET", name), ("NFTA_SET_ELEM_LIST_SET_ID", number)]
    elements_of = [*of, ("NFTA_SET_ELEM_LIST_ELEMENTS", listed)]
    yield _request(f"elements of {name}", NFT_MSG_NEWSETELEM, NLM_F_CREATE, nft_set_elem_list_msg, elements_of)


def _chain(name: str, hook: int | None = None) -> Request:
    at: Attributes = []
    if hook is not None:
        place = {"attrs": [("NFTA_HOOK_HOOKNUM", hook), ("NFTA_HOOK_PRIORITY", 0)]}
        at = [("NFTA_CHAIN_HOOK", place), ("NFTA_CHAIN_TYPE", "filter"), ("NFTA_CHAIN_POLICY", _DISCARD)]
    attributes = [("NFTA_CHAIN_TABLE", _TABLE), ("NFTA_CHAIN_NAME", name), *at]
    return _request(f"chain {name}", NFT_MSG_NEWCHAIN, NLM_F_CREATE, nft_chain_msg, attributes)


def _rule(chain: str, expressions: Rule) -> Request:
    attributes: Attributes = [("NFTA_RULE_TABLE", _TABLE), ("NFTA_RULE_CHAIN", chain), ("NFTA_RULE_EXPRESSIONS", list(expressions))]
    return _request(f"rule of {chain}", NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, nft_rule_msg, attributes)


def install(
    address: IPv6Address, peers: Iterable[IPv6Address], core: str, tunnel: str, group: IPv6Address | None, home: IPv6Network
) -> None:
    """Let this node be guarded from now on, in place of what an agent that was killed left.

    Args:
        address: the agent's own.
        peers: the other agents of the domain.
        core, tunnel: the interface to the core, and that out of which decapsulated packets come; all others are access links.
        group: whose signalling may come out of a tunnel, or None.
        home: where mobile nodes have their addresses, and no agent has.

    Raises:
        NetlinkError: the kernel has no nftables for IPv6, or refuses.
    """
    requests = [*_no_table(), *_table()]
    tunnelled = _IPV4, _IPV6, _MPLS
    requests += _set(1, _PEERS, _AN_ADDRESS, _edges(map(IPv6Network, peers)))
    requests += _set(2, _TUNNELLED, _A_PROTOCOL, ((bytes((protocol,)), False) for protocol in tunnelled))
    requests += _set(3, _GUARDED, _A_PROTOCOL, ((bytes((protocol,)), False) for protocol in (*tunnelled, _MOBILITY_HEADER)))
    requests += [_chain(_LOCAL, _LOCAL_IN), _chain(_ONWARD, _FORWARD), *map(_chain, (_CORE, _TUNNEL, _ACCESS))]
    requests += [_rule(chain, expressions) for chain, expressions in _rules(address, core, tunnel, group, home)]
    transact(requests)


def remove() -> None:
    """Let this node be guarded no more; NetlinkError where the kernel refuses."""
    transact(tuple(_no_table()))
