"""What the kernel tells of access links (rtnetlink(7)), as events about the mobile nodes on them (agents/associations.py)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from agents.associations import Associations, LinkEvent, association
from agents.linux.netlink import HEADER, NLM_F_DUMP, NLMSG_DONE, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, Request, message, messages

_RTMGRP_LINK = 1
_RECEIVE = 1 << 18


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
