"""Network namespaces, and rtnetlink in them, from one process: no shell, no fork, one system call for many requests.

Messages are encoded by pyroute2; the sockets are plain ones, since a namespace needs nothing more than that and a network has many.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.marshal import MarshalRtnl
from pyroute2.netlink.rtnl.ndtmsg import ndtmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from topologies.domain import LinkSettings

LOOPBACK = 1
UP = 1

_CLONE_NEWNET = 0x40000000
_OWN_NAMESPACE = "/proc/thread-self/ns/net"
_LIBC = ctypes.CDLL(None, use_errno=True)

_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE, _DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
_NEW = _REQUEST | _CREATE | _EXCL
_ERROR, _DONE = 2, 3
_NEWLINK, _SETLINK, _DELLINK = 16, 19, 17
_NEWADDR, _GETADDR, _NEWROUTE, _NEWQDISC, _NEWTFILTER, _DELTFILTER = 20, 22, 24, 36, 44, 45
_NAMES = {_NEWLINK: "new link", _SETLINK: "set link", _DELLINK: "delete link", _NEWADDR: "new address", _GETADDR: "list addresses"}
_NEWNEIGH, _GETNEIGHTBL, _SETNEIGHTBL = 28, 66, 67
_NAMES |= {_NEWNEIGH: "new neighbour", _GETNEIGHTBL: "list neighbour tables", _SETNEIGHTBL: "set neighbour table"}
_NAMES |= {_NEWROUTE: "new route", _NEWQDISC: "new qdisc", _NEWTFILTER: "new filter", _DELTFILTER: "delete filter"}
_SOL_NETLINK, _CAP_ACK = 270, 10
_GROUP_IPV6_ADDRESS = 0x100
_BATCH = 32 * 1024

_TC_ROOT, _TC_INGRESS, _INGRESS_HANDLE = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000
_ETH_P_ALL, _ETH_P_IPV6 = 3, 0x86DD
_DIVERT, _HAND_ON = 1, 2
_EGRESS_REDIRECT, _STOLEN = 1, 4
_TICK = 64e-9
_QUEUE = 100_000
_F_NODAD, _F_TENTATIVE, _F_DADFAILED = 0x02, 0x40, 0x08

_LONG = 7 * 86_400
"""s; longer than any run."""
_WAITING = 64 << 20
"""Bytes, as the kernel counts them, that may wait for one neighbour."""
_BRIDGE_TICKS = 100
_NEIGHBOUR = struct.Struct("=IHHIIB3xiHBBHH16sHH6s2x")
_NDA_DST, _NDA_LLADDR, _STALE = 1, 2, 0x04
_NEIGHBOURS = "ndisc_cache"
_REMOVES_UNUSED, _REFUSES = "NDTA_THRESH2", "NDTA_THRESH3"

_TABLE_MAIN, _PROTO_STATIC, _TYPE_UNICAST = 254, 4, 1

_SIOCETHTOOL, _SET_TX_CHECKSUM, _GET_LINK = 0x8946, 0x17, 0x0A


class Message:
    """One request: its type, its flags and its encoded bytes."""

    __slots__ = ("data", "what")

    def __init__(self, kind: int, data: bytes) -> None:
        self.data = bytearray(data)
        self.what = _NAMES[kind]


def _message(kind: int, flags: int, message: Any) -> Message:
    message["header"]["type"] = kind
    message["header"]["flags"] = flags
    message.encode()
    return Message(kind, message.data)


def veth(name: str, index: int, mac: str, peer: str, peer_index: int, peer_mac: str, peer_namespace: Namespace) -> Message:
    """A veth pair, down: one end in the namespace that is asked, the other in ``peer_namespace``."""
    far = {
        "index": peer_index,
        "attrs": [("IFLA_IFNAME", peer), ("IFLA_ADDRESS", peer_mac), ("IFLA_NET_NS_FD", peer_namespace.fd)],
    }
    kind = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", far)]})]}
    return _link(_NEWLINK, _NEW, index, {"IFLA_IFNAME": name, "IFLA_ADDRESS": mac, "IFLA_LINKINFO": kind})


def bridge(name: str, index: int) -> Message:
    """A bridge, up, that floods multicast, runs no spanning tree and forgets no station within a run."""
    data = {"attrs": [("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", 0), ("IFLA_BR_AGEING_TIME", _LONG * _BRIDGE_TICKS)]}
    kind = {"attrs": [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", data)]}
    return _link(_NEWLINK, _NEW, index, {"IFLA_IFNAME": name, "IFLA_LINKINFO": kind}, up=True)


def set_up(index: int, up: bool = True) -> Message:
    """An interface up, or down."""
    return _link(_SETLINK, _REQUEST, index, {}, up=up)


def set_alias(index: int, alias: str) -> Message:
    """The alias of an interface, which survives a move."""
    return _link(_SETLINK, _REQUEST, index, {"IFLA_IFALIAS": alias})


def set_master(index: int, master: int) -> Message:
    """A port of a bridge."""
    return _link(_SETLINK, _REQUEST, index, {"IFLA_MASTER": master})


def move(index: int, namespace: Namespace, up: bool) -> Message:
    """An interface into another namespace, where it is up or down."""
    return _link(_SETLINK, _REQUEST, index, {"IFLA_NET_NS_FD": namespace.fd}, up=up)


def delete(index: int) -> Message:
    """An interface, and with a veth its peer, no more."""
    return _link(_DELLINK, _REQUEST, index, {})


def _link(kind: int, flags: int, index: int, attributes: Mapping[str, Any], up: bool | None = None) -> Message:
    message = ifinfmsg()
    message["index"] = index
    if up is not None:
        message["flags"], message["change"] = UP if up else 0, UP
    message["attrs"] = list(attributes.items())
    return _message(kind, flags, message)


def address(index: int, value: IPv6Address, prefix: IPv6Network) -> Message:
    """An address that is not probed for duplicates."""
    message = ifaddrmsg()
    message["family"], message["prefixlen"], message["index"], message["flags"] = socket.AF_INET6, prefix.prefixlen, index, _F_NODAD
    message["attrs"] = [("IFA_LOCAL", str(value)), ("IFA_ADDRESS", str(value))]
    return _message(_NEWADDR, _NEW, message)


def route(index: int, prefix: IPv6Network, via: IPv6Address) -> Message:
    """A static route in the main table."""
    message = rtmsg()
    message["family"], message["dst_len"] = socket.AF_INET6, prefix.prefixlen
    message["table"], message["proto"], message["type"] = _TABLE_MAIN, _PROTO_STATIC, _TYPE_UNICAST
    message["attrs"] = [("RTA_DST", str(prefix.network_address)), ("RTA_GATEWAY", str(via)), ("RTA_OIF", index)]
    return _message(_NEWROUTE, _NEW, message)


def neighbour(index: int, value: IPv6Address, mac: str) -> Message:
    """What an interface knows of a neighbour once it has resolved it: its link-layer address. It is STALE: used at once, probed then."""
    octets = bytes.fromhex(mac.replace(":", ""))
    header = _NEIGHBOUR.size, _NEWNEIGH, _REQUEST | _CREATE | _REPLACE, 0, 0
    about = socket.AF_INET6, index, _STALE, 0, 0
    return Message(_NEWNEIGH, _NEIGHBOUR.pack(*header, *about, 20, _NDA_DST, value.packed, 10, _NDA_LLADDR, octets))


def keep_neighbours(index: int) -> Message:
    """Let the kernel forget no neighbour of an interface within a run: it would those that nobody used for a minute, from 128 on in all
    namespaces together. And let as many packets wait for a neighbour's link-layer address as come: it drops the oldest from 212,992 bytes
    on, of which a MAG that hands over what it has held has more."""
    limits = [("NDTPA_GC_STALETIME", _LONG * 1000), ("NDTPA_QUEUE_LENBYTES", _WAITING)]
    parameters = {"attrs": [("NDTPA_IFINDEX", index), *limits]}
    return _neighbour_table(("NDTA_PARMS", parameters))


def _neighbour_table(*attributes: tuple[str, Any]) -> Message:
    message = ndtmsg()
    message["family"] = socket.AF_INET6
    message["attrs"] = [("NDTA_NAME", _NEIGHBOURS), *attributes]
    return _message(_SETNEIGHTBL, _REQUEST, message)


def netem(index: int, settings: LinkSettings) -> Message:
    """What ``settings`` do to packets that leave by an interface; the queue is long enough never to drop by itself."""
    attributes: list[tuple[str, Any]] = []
    if settings.rate is not None:
        rate = {"rate": round(settings.rate / 8), "packet_overhead": 0, "cell_size": 0, "cell_overhead": 0}
        attributes = [("TCA_NETEM_RATE", rate)]
    return _netem(index, settings.delay, settings.loss, attributes, jitter=round(settings.jitter / _TICK))


def impairment(index: int, delay: float, loss: float, duplicate: float, reorder: float) -> Message:
    """Delay (s), lose and duplicate packets that leave by an interface; the part ``reorder`` of them is not delayed."""
    attributes = [("TCA_NETEM_REORDER", {"prob_reorder": _probability(reorder), "corr_reorder": 0})] if reorder else []
    return _netem(index, delay, loss, attributes, gap=1 if reorder else 0, duplicate=_probability(duplicate))


def _netem(index: int, delay: float, loss: float, attributes: list[tuple[str, Any]], gap: int = 0, **more: int) -> Message:
    options: dict[str, Any] = {"delay": round(delay / _TICK), "limit": _QUEUE, "loss": _probability(loss), "gap": gap}
    options |= {"duplicate": 0, "jitter": 0, **more, "attrs": attributes}
    return _tc(_NEWQDISC, index, _TC_ROOT, 0x10000, 0, [("TCA_KIND", "netem"), ("TCA_OPTIONS", options)])


def _probability(value: float) -> int:
    return round(value * 0xFFFFFFFF)


def ingress(index: int) -> Message:
    """The hook for filters on what comes in at an interface."""
    return _tc(_NEWQDISC, index, _TC_INGRESS, _INGRESS_HANDLE, 0, [("TCA_KIND", "ingress")])


def redirect(index: int, to: int) -> Message:
    """Whatever comes in at an interface leaves by another."""
    return _filter(index, _HAND_ON, _ETH_P_ALL, "matchall", [("TCA_MATCHALL_ACT", _leave_by(to))])


def divert(index: int, words: Sequence[tuple[int, int, int]], to: int) -> Message:
    """IPv6 packets that come in at an interface leave by ``to`` instead where every word (offset from their header, mask, value) fits."""
    selector = {"keys": [f"{value:#x}/{mask:#010x}+{at}" for at, mask, value in words]}
    return _filter(index, _DIVERT, _ETH_P_IPV6, "u32", [("TCA_U32_SEL", selector), ("TCA_U32_ACT", _leave_by(to))])


def end_diversion(index: int) -> Message:
    """Nothing that comes in at an interface is diverted any more."""
    info = (_DIVERT << 16) | socket.htons(_ETH_P_IPV6)
    return _tc(_DELTFILTER, index, _INGRESS_HANDLE, 0, info, [])


def _leave_by(index: int) -> dict[str, Any]:
    parameters = {"action": _STOLEN, "eaction": _EGRESS_REDIRECT, "ifindex": index}
    action = {"attrs": [("TCA_ACT_KIND", "mirred"), ("TCA_ACT_OPTIONS", {"attrs": [("TCA_MIRRED_PARMS", parameters)]})]}
    return {"attrs": [("TCA_ACT_PRIO_1", action)]}


def _filter(index: int, priority: int, protocol: int, kind: str, options: list[tuple[str, Any]]) -> Message:
    info = (priority << 16) | socket.htons(protocol)
    return _tc(_NEWTFILTER, index, _INGRESS_HANDLE, 0, info, [("TCA_KIND", kind), ("TCA_OPTIONS", {"attrs": options})])


def _tc(kind: int, index: int, parent: int, handle: int, info: int, attributes: list[tuple[str, Any]]) -> Message:
    message = tcmsg()
    message["index"], message["parent"], message["handle"], message["info"] = index, parent, handle, info
    message["attrs"] = attributes
    return _message(kind, _NEW if kind != _DELTFILTER else _REQUEST, message)


class Namespace:
    """A network namespace of its own; it lives until ``close`` and until no process is left in it.

    ``settings`` are written below /proc/sys/net before any interface but the loopback exists. Requests queue up until ``flush``.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        home = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _LIBC.unshare(_CLONE_NEWNET):
                raise _os_error("cannot make a network namespace")
            try:
                self.fd = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
                for name, value in settings.items():
                    Path("/proc/sys/net", name).write_text(value)
                self._socket = _socket()
            finally:
                _enter(home)
        finally:
            os.close(home)
        self.closed = False
        self._queue: list[Message] = []
        self._marshal = MarshalRtnl()

    @contextmanager
    def within(self) -> Iterator[None]:
        """This thread is in the namespace, and so are the sockets and processes that it makes meanwhile."""
        home = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self.fd)
            yield
        finally:
            _enter(home)
            os.close(home)

    def queue(self, *messages: Message) -> None:
        """Requests to be sent by the next ``flush``, in order."""
        self._queue += messages

    def flush(self) -> None:
        """Send what is queued and wait until all of it is done; OSError for the first request that the kernel refused."""
        queue, self._queue = self._queue, []
        start = size = 0
        for position, message in enumerate(queue, 1):
            size += len(message.data)
            if size > _BATCH or position == len(queue):
                self._exchange(queue[start:position])
                start, size = position, 0

    def _exchange(self, batch: list[Message]) -> None:
        for sequence, message in enumerate(batch, 1):
            struct.pack_into("=I", message.data, 8, sequence)
        struct.pack_into("=H", batch[-1].data, 6, struct.unpack_from("=H", batch[-1].data, 6)[0] | _ACK)
        self._socket.send(b"".join(message.data for message in batch))
        failed = None
        while True:
            for sequence, code in _acknowledgements(self._socket.recv(1 << 16)):
                if code and failed is None:
                    failed = OSError(-code, f"netlink: {batch[sequence - 1].what}: {os.strerror(-code)}")
                if sequence == len(batch):
                    if failed is not None:
                        raise failed
                    return

    def addresses(self, index: int) -> list[IPv6Address]:
        """The usable global IPv6 addresses of an interface, in the kernel's order."""
        message = ifaddrmsg()
        message["family"] = socket.AF_INET6
        listed = _dump(self._socket, self._marshal, _message(_GETADDR, _REQUEST | _DUMP, message))
        return [usable for answer in listed if (usable := _usable(answer, index)) is not None]

    def wait_for_address(self, index: int, prefix: IPv6Network | None, timeout: float) -> IPv6Address:
        """The first usable global address (in ``prefix``) of an interface, as soon as it has one; TimeoutError after ``timeout`` s."""
        with self.within():
            events = _socket(_GROUP_IPV6_ADDRESS)
        with events:
            deadline = time.monotonic() + timeout
            poll = select.poll()
            poll.register(events, select.POLLIN)
            while True:
                for candidate in self.addresses(index):
                    if prefix is None or candidate in prefix:
                        return candidate
                if not poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
                    raise TimeoutError(f"no address{'' if prefix is None else f' in {prefix}'} after {timeout:g} s")
                events.recv(1 << 16)

    def disable_checksum_offload(self, name: str) -> None:
        """Let an interface send complete packets: checksums that captures can verify, and none larger than the link."""
        self._ethtool(name, _SET_TX_CHECKSUM, 0)

    def settle(self, name: str) -> None:
        """Return once the kernel has acted on the last change of an interface's carrier."""
        self._ethtool(name, _GET_LINK, 0)

    def _ethtool(self, name: str, command: int, value: int) -> None:
        argument = ctypes.create_string_buffer(struct.pack("=II", command, value))
        request = ctypes.create_string_buffer(struct.pack("16sP", name.encode(), ctypes.addressof(argument)), 40)
        if _LIBC.ioctl(self._socket.fileno(), _SIOCETHTOOL, request):
            raise _os_error(f"ethtool: {name}")

    def close(self) -> None:
        """Give the namespace up."""
        self.closed = True
        self._socket.close()
        os.close(self.fd)


def make_room_for_neighbours(count: int, spare: int = 0) -> None:
    """Have the kernel hold ``count`` neighbours, in all namespaces together, before it removes any that is not in use right now; where it
    can, with room for ``spare`` others.

    Raises:
        OSError: the kernel has less room, and lets only its first namespace change that.
    """
    message = ndtmsg()
    message["family"] = socket.AF_INET6
    with _socket() as port:
        listed = _dump(port, MarshalRtnl(), _message(_GETNEIGHTBL, _REQUEST | _DUMP, message))
        room = min(found for table in listed for name in (_REMOVES_UNUSED, _REFUSES) if (found := table.get_attr(name)) is not None)
        if room >= count + spare:
            return
        request = _neighbour_table((_REMOVES_UNUSED, count + spare), (_REFUSES, 2 * (count + spare)))
        struct.pack_into("=H", request.data, 6, _REQUEST | _ACK)
        port.send(request.data)
        if any(code for _, code in _acknowledgements(port.recv(1 << 16))) and room < count:
            remedy = f"on the host, sysctl net.ipv6.neigh.default.gc_thresh2={count} net.ipv6.neigh.default.gc_thresh3={2 * count}"
            raise OSError(errno.ENOBUFS, f"this network may have {count} neighbours and the kernel has room for {room}: {remedy}")


def _dump(port: socket.socket, marshal: MarshalRtnl, request: Message) -> Iterator[Any]:
    """The kernel's answers to a request for a list."""
    port.send(request.data)
    while True:
        for answer in marshal.parse(port.recv(1 << 16)):
            if answer["header"]["type"] == _DONE:
                return
            yield answer


def _usable(answer: Any, index: int) -> IPv6Address | None:
    flags = answer.get_attr("IFA_FLAGS") or answer["flags"]
    if answer["header"]["type"] != _NEWADDR or answer["index"] != index or answer["scope"] != 0 or flags & (_F_TENTATIVE | _F_DADFAILED):
        return None
    return IPv6Address(answer.get_attr("IFA_ADDRESS"))


def _acknowledgements(data: bytes) -> Iterator[tuple[int, int]]:
    offset = 0
    while offset < len(data):
        length, kind, _, sequence = struct.unpack_from("=IHHI", data, offset)
        if kind == _ERROR:
            yield sequence, struct.unpack_from("=i", data, offset + 16)[0]
        offset += (length + 3) & ~3


def _socket(groups: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    made.bind((0, groups))
    made.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
    return made


def _enter(fd: int) -> None:
    if _LIBC.setns(fd, _CLONE_NEWNET):
        raise _os_error("cannot enter a network namespace")


def _os_error(what: str) -> OSError:
    number = ctypes.get_errno() or errno.EIO
    return OSError(number, f"{what}: {os.strerror(number)}")
