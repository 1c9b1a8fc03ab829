"""A NETLINK_ROUTE socket that sends requests in batches and waits until the kernel has acknowledged them: of agents, and of those who
build their network.

Messages for links, addresses and rules are pyroute2's. Neither the socket is, because a batch should cost two system calls and no event
loop, nor are routes, of which an LMA installs thousands a second.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from struct import Struct
from typing import Any

from pyroute2.netlink import nlmsg

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH = 28
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
RTM_NEWQDISC = 36
RTM_NEWTFILTER, RTM_DELTFILTER = 44, 45
RTM_GETNEIGHTBL, RTM_SETNEIGHTBL = 66, 67

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLMSG_ERROR, NLMSG_DONE = 2, 3

HEADER = Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""

NETFILTER_TABLES = 10 << 8
"""The types of messages about nftables begin here (linux/netfilter/nfnetlink.h)."""

_NETLINK_NETFILTER = 12
_TRANSACTION_BEGINS, _TRANSACTION_ENDS = 16, 17
_ABOUT_TABLES = Struct("=BB").pack(0, 0) + Struct("!H").pack(NETFILTER_TABLES >> 8)
"""struct nfgenmsg of what begins and ends a transaction."""
_ERROR = Struct("=i")
_SOL_NETLINK, _CAP_ACK = 270, 10
_MOST, _MOST_OCTETS = 200, 32 * 1024
"""What goes into one batch: no more requests than there is room for the answers of, were all of them refused."""
_RECEIVE = 1 << 16

_ROUTE = Struct("=8BI")
_ATTRIBUTE = Struct("=HH")
_U16, _U32 = Struct("=H"), Struct("=I")
_UNIVERSE = 0
_RTA_DST, _RTA_OIF, _RTA_TABLE, _RTA_ENCAP_TYPE, _RTA_ENCAP = 1, 4, 15, 21, 22
_LWTUNNEL_ENCAP_IP6 = 4
_LWTUNNEL_IP6_ID, _LWTUNNEL_IP6_DST, _LWTUNNEL_IP6_SRC, _LWTUNNEL_IP6_HOPLIMIT = 1, 2, 3, 4
Attributes = list[tuple[str, Any]]


def message(kind: type[nlmsg], attributes: Attributes, **fields: int) -> bytes:
    """The octets, behind the header, of a message of pyroute2's class ``kind`` with these fields and attributes."""
    built = kind()
    built.update(fields)
    built["attrs"] = attributes
    built.encode()
    return bytes(built.data[HEADER.size :])


def route(prefix: IPv6Network, table: int, kind: int, protocol: int, device: int | None = None, encapsulation: bytes = b"") -> bytes:
    """The octets, behind the header, of a route to ``prefix`` (linux/rtnetlink.h): of type ``kind``, through the interface ``device``."""
    fixed = _ROUTE.pack(socket.AF_INET6, prefix.prefixlen, 0, 0, table, protocol, _UNIVERSE, kind, 0)
    to = attribute(_RTA_DST, prefix.network_address.packed) if prefix.prefixlen else b""
    through = attribute(_RTA_OIF, _U32.pack(device)) if device is not None else b""
    return b"".join((fixed, to, attribute(_RTA_TABLE, _U32.pack(table)), encapsulation, through))


@lru_cache(maxsize=1024)
def encapsulation(source: IPv6Address, destination: IPv6Address, hop_limit: int) -> bytes:
    """The attributes of a route that encapsulates (RFC 2473) through an external ``ip6tnl`` (linux/lwtunnel.h)."""
    outer = (
        attribute(_LWTUNNEL_IP6_ID, bytes(8)),
        attribute(_LWTUNNEL_IP6_DST, destination.packed),
        attribute(_LWTUNNEL_IP6_SRC, source.packed),
        attribute(_LWTUNNEL_IP6_HOPLIMIT, bytes((hop_limit,))),
    )
    return attribute(_RTA_ENCAP_TYPE, _U16.pack(_LWTUNNEL_ENCAP_IP6)) + attribute(_RTA_ENCAP, b"".join(outer))


def attribute(kind: int, payload: bytes) -> bytes:
    """A struct nlattr with its payload, padded to four octets."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


class NetlinkError(OSError):
    """The kernel refused a request; ``strerror`` says which."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        what, subject: what it is about, for people; made a text only where it fails.
        kind, flags: of the header.
        body: the octets behind the header.
        tolerated: the errors (errno) that are as good as success.
    """

    what: str
    kind: int
    flags: int
    body: bytes
    tolerated: frozenset[int] = frozenset()
    subject: object = ""

    def __str__(self) -> str:
        return f"{self.what} {self.subject}".rstrip()

    def encode(self, sequence: int, acknowledge: bool) -> bytes:
        """Its octets."""
        flags = self.flags | NLM_F_REQUEST | (NLM_F_ACK if acknowledge else 0)
        return HEADER.pack(HEADER.size + len(self.body), self.kind, flags, sequence, 0) + self.body


class Netlink:
    """Requests queued by ``add`` take effect with ``commit``."""

    def __init__(self) -> None:
        self._socket = listen()
        self._sequence = 0
        self._queue: list[Request] = []

    def fileno(self) -> int:
        """The socket's file descriptor, which belongs to the network namespace that it was opened in."""
        return self._socket.fileno()

    def add(self, *requests: Request) -> None:
        """Queue requests."""
        self._queue += requests

    def commit(self) -> None:
        """Carry out what is queued, in order, and wait for it.

        Raises:
            NetlinkError: the first request that failed with an error it does not tolerate; the others were carried out.
        """
        queue, self._queue = self._queue, []
        errors: list[NetlinkError] = []
        for batch in _batches(queue):
            errors += self._exchange(batch)
        if errors:
            raise errors[0]

    def _exchange(self, batch: Sequence[Request]) -> list[NetlinkError]:
        first = self._sequence + 1
        self._sequence = last = self._sequence + len(batch)
        octets = (request.encode(number, number == last) for number, request in enumerate(batch, first))
        self._socket.send(b"".join(octets))
        errors = []
        answered = 0
        while answered != last:
            for answered, code in _answers(self._socket.recv(_RECEIVE)):
                request = batch[answered - first]
                if code and code not in request.tolerated:
                    errors.append(NetlinkError(code, f"{request}: {os.strerror(code)}"))
        return errors

    def dump(self, request: Request, kind: type[nlmsg]) -> list[nlmsg]:
        """Everything that the kernel lists in answer to ``request``, as messages of this kind.

        Raises:
            NetlinkError: the kernel refused the request with an error that it does not tolerate.
        """
        self._sequence += 1
        self._socket.send(request.encode(self._sequence, False))
        found: list[nlmsg] = []
        while True:
            for number, octets in messages(self._socket.recv(_RECEIVE)):
                if number == NLMSG_DONE:
                    return found
                if number == NLMSG_ERROR:
                    code = -_ERROR.unpack_from(octets, HEADER.size)[0]
                    if code in request.tolerated:
                        return found
                    raise NetlinkError(code, f"{request.what}: {os.strerror(code)}")
                answer = kind(octets)
                answer.decode()
                found.append(answer)

    def close(self) -> None:
        """Close the socket; what is still queued is forgotten."""
        self._socket.close()


def listen(groups: int = 0) -> socket.socket:
    """A NETLINK_ROUTE socket that is told of what happens to these multicast groups (a mask, rtnetlink(7))."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    made.bind((0, groups))
    made.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
    return made


def _batches(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    start = size = 0
    for end, request in enumerate(requests, 1):
        size += HEADER.size + len(request.body)
        if size > _MOST_OCTETS or end - start == _MOST or end == len(requests):
            yield requests[start:end]
            start, size = end, 0


def transact(requests: Sequence[Request]) -> None:
    """Have nftables carry out all ``requests``, in order, or none of them.

    Raises:
        NetlinkError: the kernel has no nftables, or refused a request; nothing was changed.
        OSError: it has no netfilter.
    """
    begin, end = (Request("nftables", kind, 0, _ABOUT_TABLES) for kind in (_TRANSACTION_BEGINS, _TRANSACTION_ENDS))
    batch = [begin, *requests, end]
    last = len(requests)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as port:
        port.bind((0, 0))
        port.send(b"".join(request.encode(number, number == last) for number, request in enumerate(batch)))
        answered = None
        while answered != last:
            for answered, code in _answers(port.recv(_RECEIVE)):
                if code:
                    raise NetlinkError(code, f"{batch[answered]}: {os.strerror(code)}")


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and octets of every message in ``data``."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        yield kind, data[at : at + length]
        at += (length + 3) & ~3


def _answers(data: bytes) -> list[tuple[int, int]]:
    """Sequence number and errno (0 for an acknowledgement) of every answer in ``data``."""
    errors = (octets for kind, octets in messages(data) if kind == NLMSG_ERROR)
    return [(HEADER.unpack_from(octets)[3], -_ERROR.unpack_from(octets, HEADER.size)[0]) for octets in errors]
