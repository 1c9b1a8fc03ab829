"""Network namespaces, and rtnetlink in them, from one process: no shell, no fork, one system call for many requests.

The socket is that of the agents (agents/linux/netlink.py); here are the requests that build a network.
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
from pyroute2.netlink.rtnl.ndtmsg import ndtmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from agents.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    RTM_DELLINK,
    RTM_DELTFILTER,
    RTM_GETADDR,
    RTM_GETNEIGHTBL,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWQDISC,
    RTM_NEWROUTE,
    RTM_NEWTFILTER,
    RTM_SETLINK,
    RTM_SETNEIGHTBL,
    Attributes,
    Netlink,
    NetlinkError,
    Request,
    attribute,
    listen,
    message,
)
from topologies.addresses import mac_octets
from topologies.domain import LinkSettings

LOOPBACK = 1
UP = 1

_CLONE_NEWNET = 0x40000000
_OWN_NAMESPACE = "/proc/thread-self/ns/net"
_LIBC = ctypes.CDLL(None, use_errno=True)

_NEW = NLM_F_CREATE | NLM_F_EXCL
_GROUP_IPV6_ADDRESS = 0x100

_TC_ROOT, _TC_INGRESS, _INGRESS_HANDLE = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000
_ETH_P_ALL, _ETH_P_IPV6 = 3, 0x86DD
_DIVERT, _HAND_ON = 1, 2
_EGRESS_REDIRECT, _STOLEN = 1, 4
_TRAFFIC_CONTROL = {
    RTM_NEWQDISC: ("new qdisc of link", _NEW),
    RTM_NEWTFILTER: ("new filter of link", _NEW),
    RTM_DELTFILTER: ("removal of the filter of link", 0),
}
_TICK = 64e-9
_QUEUE = 100_000
_F_NODAD, _F_TENTATIVE, _F_DADFAILED = 0x02, 0x40, 0x08

_LONG = 7 * 86_400
"""s; longer than any run."""
_WAITING = 64 << 20
"""Bytes, as the kernel counts them, that may wait for one neighbour."""
_BRIDGE_TICKS = 100
_NEIGHBOUR = struct.Struct("=B3xiHBB")
_NDA_DST, _NDA_LLADDR, _STALE = 1, 2, 0x04
_NEIGHBOURS = "ndisc_cache"
_REMOVES_UNUSED, _REFUSES = "NDTA_THRESH2", "NDTA_THRESH3"

_TABLE_MAIN, _PROTO_STATIC, _TYPE_UNICAST = 254, 4, 1

_SIOCETHTOOL, _SET_TX_CHECKSUM, _GET_LINK = 0x8946, 0x17, 0x0A


def veth(name: str, index: int, mac: str, peer: str, peer_index: int, peer_mac: str, peer_namespace: Namespace) -> Request:
    """A veth pair, down: one end in the namespace that is asked, the other in ``peer_namespace``."""
    far = {
        "index": peer_index,
        "attrs": [("IFLA_IFNAME", peer), ("IFLA_ADDRESS", peer_mac), ("IFLA_NET_NS_FD", peer_namespace.fd)],
    }
    kind = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", far)]})]}
    return _link("new link", RTM_NEWLINK, _NEW, index, {"IFLA_IFNAME": name, "IFLA_ADDRESS": mac, "IFLA_LINKINFO": kind})


def bridge(name: str, index: int) -> Request:
    """A bridge, up, that floods multicast, runs no spanning tree and forgets no station within a run."""
    data = {"attrs": [("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", 0), ("IFLA_BR_AGEING_TIME", _LONG * _BRIDGE_TICKS)]}
    kind = {"attrs": [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", data)]}
    return _link("new link", RTM_NEWLINK, _NEW, index, {"IFLA_IFNAME": name, "IFLA_LINKINFO": kind}, up=True)


def set_up(index: int, up: bool = True) -> Request:
    """An interface up, or down."""
    return _link("change of link", RTM_SETLINK, 0, index, {}, up=up)


def set_alias(index: int, alias: str) -> Request:
    """The alias of an interface, which survives a move."""
    return _link("change of link", RTM_SETLINK, 0, index, {"IFLA_IFALIAS": alias})


def set_master(index: int, master: int) -> Request:
    """A port of a bridge."""
    return _link("change of link", RTM_SETLINK, 0, index, {"IFLA_MASTER": master})


def move(index: int, namespace: Namespace, up: bool) -> Request:
    """An interface into another namespace, where it is up or down."""
    return _link("change of link", RTM_SETLINK, 0, index, {"IFLA_NET_NS_FD": namespace.fd}, up=up)


def delete(index: int) -> Request:
    """An interface, and with a veth its peer, no more."""
    return _link("removal of link", RTM_DELLINK, 0, index, {})


def _link(what: str, kind: int, flags: int, index: int, attributes: Mapping[str, Any], up: bool | None = None) -> Request:
    state = {} if up is None else {"flags": UP if up else 0, "change": UP}
    return Request(what, kind, flags, message(ifinfmsg, list(attributes.items()), index=index, **state), subject=index)


def address(index: int, value: IPv6Address, prefix: IPv6Network) -> Request:
    """An address that is not probed for duplicates."""
    attributes = [("IFA_LOCAL", str(value)), ("IFA_ADDRESS", str(value))]
    body = message(ifaddrmsg, attributes, family=socket.AF_INET6, prefixlen=prefix.prefixlen, index=index, flags=_F_NODAD)
    return Request("new address", RTM_NEWADDR, _NEW, body, subject=value)


def route(index: int, prefix: IPv6Network, via: IPv6Address) -> Request:
    """A static route in the main table."""
    attributes = [("RTA_DST", str(prefix.network_address)), ("RTA_GATEWAY", str(via)), ("RTA_OIF", index)]
    fields = {"dst_len": prefix.prefixlen, "table": _TABLE_MAIN, "proto": _PROTO_STATIC, "type": _TYPE_UNICAST}
    return Request("new route", RTM_NEWROUTE, _NEW, message(rtmsg, attributes, family=socket.AF_INET6, **fields), subject=prefix)


def neighbour(index: int, value: IPv6Address, mac: str) -> Request:
    """What an interface knows of a neighbour once it has resolved it: its link-layer address. It is STALE: used at once, probed then."""
    known = attribute(_NDA_DST, value.packed) + attribute(_NDA_LLADDR, mac_octets(mac))
    body = _NEIGHBOUR.pack(socket.AF_INET6, index, _STALE, 0, 0) + known
    return Request("new neighbour", RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body, subject=value)


def keep_neighbours(index: int) -> Request:
    """Let the kernel forget no neighbour of an interface within a run: it would those that nobody used for a minute, from 128 on in all
    namespaces together. And let as many packets wait for a neighbour's link-layer address as come: it drops the oldest from 212,992 bytes
    on, of which a MAG that hands over what it has held has more."""
    limits = [("NDTPA_GC_STALETIME", _LONG * 1000), ("NDTPA_QUEUE_LENBYTES", _WAITING)]
    parameters = {"attrs": [("NDTPA_IFINDEX", index), *limits]}
    return _neighbour_table(("NDTA_PARMS", parameters))


def _neighbour_table(*attributes: tuple[str, Any]) -> Request:
    body = message(ndtmsg, [("NDTA_NAME", _NEIGHBOURS), *attributes], family=socket.AF_INET6)
    return Request("neighbour table", RTM_SETNEIGHTBL, 0, body)


def netem(index: int, settings: LinkSettings) -> Request:
    """What ``settings`` do to packets that leave by an interface; the queue is long enough never to drop by itself."""
    attributes: Attributes = []
    if settings.rate is not None:
        rate = {"rate": round(settings.rate / 8), "packet_overhead": 0, "cell_size": 0, "cell_overhead": 0}
        attributes = [("TCA_NETEM_RATE", rate)]
    return _netem(index, settings.delay, settings.loss, attributes, jitter=round(settings.jitter / _TICK))


def impairment(index: int, delay: float, loss: float, duplicate: float, reorder: float) -> Request:
    """Delay (s), lose and duplicate packets that leave by an interface; the part ``reorder`` of them is not delayed."""
    attributes = [("TCA_NETEM_REORDER", {"prob_reorder": _probability(reorder), "corr_reorder": 0})] if reorder else []
    return _netem(index, delay, loss, attributes, gap=1 if reorder else 0, duplicate=_probability(duplicate))


def _netem(index: int, delay: float, loss: float, attributes: Attributes, gap: int = 0, **more: int) -> Request:
    options: dict[str, Any] = {"delay": round(delay / _TICK), "limit": _QUEUE, "loss": _probability(loss), "gap": gap}
    options |= {"duplicate": 0, "jitter": 0, **more, "attrs": attributes}
    return _tc(RTM_NEWQDISC, index, _TC_ROOT, 0x10000, 0, [("TCA_KIND", "netem"), ("TCA_OPTIONS", options)])


def _probability(value: float) -> int:
    return round(value * 0xFFFFFFFF)


def ingress(index: int) -> Request:
    """The hook for filters on what comes in at an interface."""
    return _tc(RTM_NEWQDISC, index, _TC_INGRESS, _INGRESS_HANDLE, 0, [("TCA_KIND", "ingress")])


def redirect(index: int, to: int) -> Request:
    """Whatever comes in at an interface leaves by another."""
    return _filter(index, _HAND_ON, _ETH_P_ALL, "matchall", [("TCA_MATCHALL_ACT", _leave_by(to))])


def divert(index: int, words: Sequence[tuple[int, int, int]], to: int) -> Request:
    """IPv6 packets that come in at an interface leave by ``to`` instead where every word (offset from their header, mask, value) fits."""
    selector = {"keys": [f"{value:#x}/{mask:#010x}+{at}" for at, mask, value in words]}
    return _filter(index, _DIVERT, _ETH_P_IPV6, "u32", [("TCA_U32_SEL", selector), ("TCA_U32_ACT", _leave_by(to))])


def end_diversion(index: int) -> Request:
    """Nothing that comes in at an interface is diverted any more."""
    info = (_DIVERT << 16) | socket.htons(_ETH_P_IPV6)
    return _tc(RTM_DELTFILTER, index, _INGRESS_HANDLE, 0, info, [])


def _leave_by(index: int) -> dict[str, Any]:
    parameters = {"action": _STOLEN, "eaction": _EGRESS_REDIRECT, "ifindex": index}
    action = {"attrs": [("TCA_ACT_KIND", "mirred"), ("TCA_ACT_OPTIONS", {"attrs": [("TCA_MIRRED_PARMS", parameters)]})]}
    return {"attrs": [("TCA_ACT_PRIO_1", action)]}


def _filter(index: int, priority: int, protocol: int, kind: str, options: Attributes) -> Request:
    info = (priority << 16) | socket.htons(protocol)
    return _tc(RTM_NEWTFILTER, index, _INGRESS_HANDLE, 0, info, [("TCA_KIND", kind), ("TCA_OPTIONS", {"attrs": options})])


def _tc(kind: int, index: int, parent: int, handle: int, info: int, attributes: Attributes) -> Request:
    body = message(tcmsg, attributes, index=index, parent=parent, handle=handle, info=info)
    what, flags = _TRAFFIC_CONTROL[kind]
    return Request(what, kind, flags, body, subject=index)


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
                self._netlink = Netlink()
            finally:
                _enter(home)
        finally:
            os.close(home)
        self.closed = False

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

    def queue(self, *requests: Request) -> None:
        """Requests to be sent by the next ``flush``, in order."""
        self._netlink.add(*requests)

    def flush(self) -> None:
        """Send what is queued and wait until all of it is done; NetlinkError for the first request that the kernel refused."""
        self._netlink.commit()

    def addresses(self, index: int) -> list[IPv6Address]:
        """The usable global IPv6 addresses of an interface, in the kernel's order."""
        everything = Request("list of addresses", RTM_GETADDR, NLM_F_DUMP, message(ifaddrmsg, [], family=socket.AF_INET6))
        listed = self._netlink.dump(everything, ifaddrmsg)
        return [usable for answer in listed if (usable := _usable(answer, index)) is not None]

    def wait_for_address(self, index: int, prefix: IPv6Network | None, timeout: float) -> IPv6Address:
        """The first usable global address (in ``prefix``) of an interface, as soon as it has one; TimeoutError after ``timeout`` s."""
        with self.within():
            events = listen(_GROUP_IPV6_ADDRESS)
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
        if _LIBC.ioctl(self._netlink.fileno(), _SIOCETHTOOL, request):
            raise _os_error(f"ethtool: {name}")

    def close(self) -> None:
        """Give the namespace up."""
        self.closed = True
        self._netlink.close()
        os.close(self.fd)


def make_room_for_neighbours(count: int, spare: int = 0) -> None:
    """Have the kernel hold ``count`` neighbours, in all namespaces together, before it removes any that is not in use right now; where it
    can, with room for ``spare`` others.

    Raises:
        OSError: the kernel has less room, and lets only its first namespace change that.
    """
    netlink = Netlink()
    try:
        everything = Request("list of neighbour tables", RTM_GETNEIGHTBL, NLM_F_DUMP, message(ndtmsg, [], family=socket.AF_INET6))
        listed = netlink.dump(everything, ndtmsg)
        room = min(found for table in listed for name in (_REMOVES_UNUSED, _REFUSES) if (found := table.get_attr(name)) is not None)
        if room >= count + spare:
            return
        netlink.add(_neighbour_table((_REMOVES_UNUSED, count + spare), (_REFUSES, 2 * (count + spare))))
        try:
            netlink.commit()
        except NetlinkError:
            if room < count:
                remedy = f"on the host, sysctl net.ipv6.neigh.default.gc_thresh2={count} net.ipv6.neigh.default.gc_thresh3={2 * count}"
                what = f"this network may have {count} neighbours and the kernel has room for {room}: {remedy}"
                raise OSError(errno.ENOBUFS, what) from None
    finally:
        netlink.close()


def _usable(answer: Any, index: int) -> IPv6Address | None:
    flags = answer.get_attr("IFA_FLAGS") or answer["flags"]
    if answer["index"] != index or answer["scope"] != 0 or flags & (_F_TENTATIVE | _F_DADFAILED):
        return None
    return IPv6Address(answer.get_attr("IFA_ADDRESS"))


def _enter(fd: int) -> None:
    if _LIBC.setns(fd, _CLONE_NEWNET):
        raise _os_error("cannot enter a network namespace")


def _os_error(what: str) -> OSError:
    number = ctypes.get_errno() or errno.EIO
    return OSError(number, f"{what}: {os.strerror(number)}")
