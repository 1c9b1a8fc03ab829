"""A NETLINK_ROUTE socket that sends requests in batches and waits until the kernel has acknowledged them.

Messages are pyroute2's; the socket is not, because a route on the fast path should cost two system calls and no event loop.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from struct import Struct
from typing import Any

from pyroute2.netlink import nla, nlmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR = 20, 21
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3

HEADER = Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port."""

_ERROR = Struct("=i")
_BATCH = 100
_RECEIVE = 1 << 16
_LWTUNNEL_ENCAP_IP6 = 4


class Ip6Encapsulation(nla):  # type: ignore[misc]
    """RTA_ENCAP of type ``ip6``, which pyroute2 0.9 does not know: ID, source and destination, hop limit, class, flags."""

    prefix = "LWTUNNEL_"
    nla_map = (
        ("LWTUNNEL_IP6_UNSPEC", "none"),
        ("LWTUNNEL_IP6_ID", "be64"),
        ("LWTUNNEL_IP6_DST", "ip6addr"),
        ("LWTUNNEL_IP6_SRC", "ip6addr"),
        ("LWTUNNEL_IP6_HOPLIMIT", "uint8"),
        ("LWTUNNEL_IP6_TC", "uint8"),
        ("LWTUNNEL_IP6_FLAGS", "be16"),
    )


rtmsg.encaps.setdefault(_LWTUNNEL_ENCAP_IP6, Ip6Encapsulation)

Attributes = list[tuple[str, Any]]


def encapsulation(source: IPv6Address, destination: IPv6Address, hop_limit: int) -> Attributes:
    """The attributes of a route that encapsulates (RFC 2473) through an external ``ip6tnl``."""
    outer = [
        ("LWTUNNEL_IP6_ID", 0),
        ("LWTUNNEL_IP6_DST", str(destination)),
        ("LWTUNNEL_IP6_SRC", str(source)),
        ("LWTUNNEL_IP6_HOPLIMIT", hop_limit),
    ]
    return [("RTA_ENCAP_TYPE", _LWTUNNEL_ENCAP_IP6), ("RTA_ENCAP", {"attrs": outer})]


class NetlinkError(OSError):
    """The kernel refused a request; ``strerror`` says which."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a message, and the errors that are as good as success (errno)."""

    what: str
    kind: int
    flags: int
    message: nlmsg
    tolerated: frozenset[int] = frozenset()

    def encode(self, sequence: int, acknowledge: bool) -> bytes:
        """Its octets."""
        flags = self.flags | NLM_F_REQUEST | (NLM_F_ACK if acknowledge else 0)
        self.message["header"] = {"type": self.kind, "flags": flags, "sequence_number": sequence, "pid": 0}
        self.message.reset()
        self.message.encode()
        return bytes(self.message.data)


def message(kind: type[nlmsg], attributes: Attributes, **fields: int) -> nlmsg:
    """A message of pyroute2's class ``kind`` with these header fields and attributes."""
    built = kind()
    built.update(fields)
    built["attrs"] = attributes
    return built


class Netlink:
    """Requests queued by ``add`` take effect with ``commit``."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0
        self._queue: list[Request] = []

    def add(self, request: Request) -> None:
        """Queue a request."""
        self._queue.append(request)

    def commit(self) -> None:
        """Carry out what is queued, in order, and wait for it.

        Raises:
            NetlinkError: the first request that failed with an error it does not tolerate; the others were carried out.
        """
        queue, self._queue = self._queue, []
        errors: list[NetlinkError] = []
        for start in range(0, len(queue), _BATCH):
            errors += self._exchange(queue[start : start + _BATCH])
        if errors:
            raise errors[0]

    def _exchange(self, batch: list[Request]) -> list[NetlinkError]:
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
                    errors.append(NetlinkError(code, f"{request.what}: {os.strerror(code)}"))
        return errors

    def dump(self, request: Request) -> list[nlmsg]:
        """Everything that the kernel lists in answer to ``request``, as messages of its class.

        Raises:
            NetlinkError: the kernel refused the request with an error that it does not tolerate.
        """
        self._sequence += 1
        self._socket.send(request.encode(self._sequence, False))
        found: list[nlmsg] = []
        while True:
            for kind, octets in _messages(self._socket.recv(_RECEIVE)):
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    code = -_ERROR.unpack_from(octets, HEADER.size)[0]
                    if code in request.tolerated:
                        return found
                    raise NetlinkError(code, f"{request.what}: {os.strerror(code)}")
                answer = type(request.message)(octets)
                answer.decode()
                found.append(answer)

    def close(self) -> None:
        """Close the socket; what is still queued is forgotten."""
        self._socket.close()


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and octets of every message in ``data``."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        yield kind, data[at : at + length]
        at += (length + 3) & ~3


def _answers(data: bytes) -> list[tuple[int, int]]:
    """Sequence number and errno (0 for an acknowledgement) of every answer in ``data``."""
    errors = (octets for kind, octets in _messages(data) if kind == NLMSG_ERROR)
    return [(HEADER.unpack_from(octets)[3], -_ERROR.unpack_from(octets, HEADER.size)[0]) for octets in errors]
