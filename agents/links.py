"""Which mobile nodes are associated, from what the kernel tells of the access links.

An access link's name ends in ``-air``; its alias, ``<MN-ID> <link-layer address>``, says who is associated, as an access point would.
Behind that may stand what else the access point knows, in numbers as RFC 5213, 8.5, 8.4 and 8.8 have them: ``att=<access technology
type>``, ``hi=<handoff indicator>`` and ``ts=<timestamp of the node's own making>``; and ``next=<MAG's address>``, where the node is about
to go: the trigger of RFC 5949, 4.1 (a) and (b).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from agents.messages import AccessTechnologyType, HandoffIndicator
from agents.netlink import HEADER, NLM_F_DUMP, NLMSG_DONE, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, Request, message, messages

_SUFFIX = "-air"
_RTMGRP_LINK = 1
_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000
_RECEIVE = 1 << 18


@dataclass(frozen=True, slots=True)
class Association:
    """A mobile node on the access link ``link`` (interface ``index``): its MN-ID, its link-layer address, how it came there, and the MAG
    that it is about to leave for."""

    link: str
    index: int
    mn_id: str
    link_layer: bytes
    access_technology: int = AccessTechnologyType.WIRELESS_LAN
    handoff: HandoffIndicator = HandoffIndicator.UNKNOWN
    timestamp: int | None = None
    leaves_for: IPv6Address | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Attached:
    """A mobile node came."""

    association: Association


@dataclass(frozen=True, slots=True)
class Detached:
    """A mobile node left: its link lost its carrier, or is gone."""

    association: Association


@dataclass(frozen=True, slots=True)
class Leaving:
    """A mobile node is about to leave, for the MAG ``to``."""

    association: Association
    to: IPv6Address


LinkEvent = Attached | Leaving | Detached


def association(index: int, flags: int, name: str, alias: str) -> Association | None:
    """Who is associated on an interface with these flags, or None: it is no access link, not up, or says nobody."""
    up = flags & _IFF_UP and flags & _IFF_LOWER_UP
    if not (name.endswith(_SUFFIX) and up):
        return None
    try:
        mn_id, address, *words = alias.split()
        link_layer = bytes.fromhex(address.replace(":", ""))
        how = known(words)
    except ValueError:
        return None
    return Association(name, index, mn_id, link_layer, **how) if link_layer else None


def _number(bits: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if (value := int(text)) >> bits:
            raise ValueError(f"{value} does not fit {bits} bits")
        return value

    return convert


_WORDS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "att": ("access_technology", _number(8)),
    "hi": ("handoff", lambda text: HandoffIndicator(int(text))),
    "ts": ("timestamp", _number(64)),
    "next": ("leaves_for", IPv6Address),
}


def known(words: Iterable[str]) -> dict[str, Any]:
    """What the words behind a link-layer address say, by fields of Association; ValueError where they are none."""
    fields = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in _WORDS:
            raise ValueError(f"expected {' or '.join(_WORDS)}, not {name!r}")
        field, convert = _WORDS[name]
        fields[field] = convert(value)
    return fields


class Associations:
    """Turns RTM_NEWLINK and RTM_DELLINK messages into events."""

    def __init__(self) -> None:
        self._present: dict[int, Association] = {}

    def update(self, index: int, now: Association | None) -> Iterator[LinkEvent]:
        """The interface ``index`` is now in this state."""
        before = self._present.get(index)
        if before is not None and before == now:
            self._present[index] = now
            if now.leaves_for is not None and now.leaves_for != before.leaves_for:
                yield Leaving(now, now.leaves_for)
            return
        if before is not None:
            del self._present[index]
            yield Detached(before)
        if now is not None:
            self._present[index] = now
            yield Attached(now)

    def others(self, listed: set[int]) -> tuple[int, ...]:
        """The interfaces of those present that are not among ``listed``."""
        return tuple(index for index in self._present if index not in listed)


class LinkMonitor:
    """A netlink socket that tells of associations, first of those that exist when it is opened."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((0, _RTMGRP_LINK))
        self._associations = Associations()
        self._listings = 0
        self._list()

    def fileno(self) -> int:
        """Its file descriptor, to wait for."""
        return self._socket.fileno()

    def read(self) -> Iterator[LinkEvent]:
        """All events that wait; where more happened than the socket holds, what has become of all links."""
        while True:
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield from self._start_over()
                continue
            yield from self._events(data)

    def _list(self) -> None:
        """Ask for all links."""
        self._listings += 1
        self._socket.send(Request("list links", RTM_GETLINK, NLM_F_DUMP, message(ifinfmsg, [])).encode(self._listings, False))

    def _start_over(self) -> Iterator[LinkEvent]:
        """Wait for a new list of all links; who is not on it has left."""
        self._socket.setblocking(True)
        self._list()
        listed: set[int] = set()
        complete = False
        while not complete:
            try:
                data = self._socket.recv(_RECEIVE)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._list()
                listed.clear()
                continue
            yield from self._events(data, listed)
            complete = any(kind == NLMSG_DONE and HEADER.unpack_from(octets)[3] == self._listings for kind, octets in messages(data))
        self._socket.setblocking(False)
        for index in self._associations.others(listed):
            yield from self._associations.update(index, None)

    def _events(self, data: bytes, listed: set[int] | None = None) -> Iterator[LinkEvent]:
        """What the messages in ``data`` tell; the links that they show are added to ``listed``."""
        for kind, octets in messages(data):
            if kind in (RTM_NEWLINK, RTM_DELLINK):
                link: Any = ifinfmsg(octets)
                link.decode()
                if link["family"] == socket.AF_UNSPEC:
                    name, alias = link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_IFALIAS") or ""
                    now = association(link["index"], link["flags"], name, alias) if kind == RTM_NEWLINK else None
                    if listed is not None:
                        listed.add(link["index"])
                    yield from self._associations.update(link["index"], now)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
