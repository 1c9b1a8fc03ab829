"""The data plane of an agent: devices, routes and rules in the kernel of its node (docs/architecture.md, "A MAG's data plane").

Requests queue up until ``commit``. Whatever was installed is remembered together with what undoes it, so that ``withdraw``
leaves the node as it was found.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from agents.config import AgentConfig
from agents.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    Attributes,
    Netlink,
    Request,
    encapsulation,
    message,
    route,
)
from agents.router_advertisement import FIXED_LINK_LOCAL

TUNNEL = "tnl"
TRIGGER = "dmm0"
TUNNEL_MTU = 1460
"""What a core of 1500 octets leaves inside an IPv6 header."""

_HOP_LIMIT = 64
_MAIN, _LOCAL = 254, 255
_ACCESS, _UPLINK, _AGENTS = 100, 101, 102
_UNICAST, _BLACKHOLE, _UNREACHABLE = 1, 6, 7
_PROTOCOL_STATIC = 4
_TO_TABLE = 1
_IPV6_IN_IPV6, _MOBILITY_HEADER = 41, 135
_EVERYTHING = IPv6Network("::/0")

_RULE_TUNNELLED_FROM_ACCESS = 10
_RULE_LOCAL = 20
_RULE_SIGNALLING_FROM_ACCESS = 30
_RULE_DELIVERED = 40
_RULE_UPLINK = 50

_IFF_UP = 0x1
_IFA_F_NODAD = 0x02

_GONE = frozenset({errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL})
_LINK_LEFT = frozenset({errno.ENODEV, errno.ENETDOWN})
_CREATE = NLM_F_CREATE | NLM_F_EXCL
_PUT = NLM_F_CREATE | NLM_F_REPLACE

_SETTINGS = Path("/proc/sys/net/ipv6/conf")
_ROUTER = {"all/forwarding": "1", "default/addr_gen_mode": "1"}
"""A router whose links, from now on, have no link-local address but the one that it gives them: usable at once, without DAD."""


def _device(name: str, attributes: Attributes, **fields: int) -> bytes:
    return message(ifinfmsg, [("IFLA_IFNAME", name), *attributes], **fields)


def _rule(priority: int, table: int, link: str | None = None, protocol: int | None = None) -> bytes:
    selectors: Attributes = [("FRA_IIFNAME", link)] if link else []
    if protocol is not None:
        selectors.append(("FRA_IP_PROTO", protocol))
    return message(
        fibmsg,
        [("FRA_PRIORITY", priority), ("FRA_TABLE", table), *selectors],
        family=socket.AF_INET6,
        table=table,
        action=_TO_TABLE,
    )


class DataPlane:
    """The kernel state of one agent."""

    def __init__(self, config: AgentConfig, *, gateway: bool, trigger: bool) -> None:
        """``gateway`` tells a MAG from an LMA; ``trigger`` says that the TUN device exists and takes the home prefixes."""
        self._config = config
        self._gateway = gateway
        self._trigger = trigger
        self._netlink = Netlink()
        self._undo: dict[object, Request] = {}
        self._settings: dict[Path, str] = {}
        self._tunnel = 0

    def start(self) -> None:
        """Install what stands as long as the agent runs; NetlinkError or OSError where the kernel cannot."""
        for name, value in _ROUTER.items():
            self._configure(_SETTINGS / name, value)
        if not self._config.scheme.home_prefixes:
            return
        self._create_tunnel()
        if self._trigger:
            self._start_device(TRIGGER)
        self.commit()
        self._tunnel = socket.if_nametoindex(TUNNEL)
        if self._gateway:
            self._start_gateway()
        else:
            self._put_route("rejection of", self._config.home, _MAIN, _UNREACHABLE)
        self.commit()

    @property
    def tunnel(self) -> int:
        """The index of the tunnel device, 0 where the scheme needs none."""
        return self._tunnel

    def commit(self) -> None:
        """Have the kernel carry out what is queued, and wait for it; NetlinkError where it refuses."""
        self._netlink.commit()

    def withdraw(self) -> None:
        """Take back everything, last first, and close."""
        for key in reversed(self._undo):
            self._netlink.add(self._undo[key])
        self._undo.clear()
        try:
            self.commit()
        finally:
            for path, value in self._settings.items():
                path.write_text(value)
            self._settings.clear()
            self._netlink.close()

    def install_route(self, prefix: IPv6Network, care_of: IPv6Address) -> None:
        """Encapsulate what goes to ``prefix`` to ``care_of``."""
        self._put_tunnel_route(prefix, _MAIN, care_of)

    def remove_route(self, prefix: IPv6Network) -> None:
        """Withdraw a route of ``install_route``, if there is one."""
        self._take_back((_MAIN, prefix, TUNNEL))

    def install_access_route(self, prefix: IPv6Network, link: str) -> bool:
        """Deliver ``prefix`` on ``link``, also what came through a tunnel; False where the link has left meanwhile."""
        try:
            device = link, socket.if_nametoindex(link)
        except OSError:
            return False
        for table in (_MAIN, _ACCESS) if self._config.scheme.home_prefixes else (_MAIN,):
            self._put_route("access route of", prefix, table, _UNICAST, device, tolerated=_LINK_LEFT)
        return True

    def remove_access_route(self, prefix: IPv6Network, link: str) -> None:
        """Withdraw routes of ``install_access_route``; with the link they may have gone already."""
        self._take_back((_MAIN, prefix, link))
        self._take_back((_ACCESS, prefix, link))

    def install_uplink(self, link: str, anchor: IPv6Address) -> None:
        """Encapsulate to ``anchor`` whatever comes from ``link`` and is not for this node."""
        self._put_tunnel_route(_EVERYTHING, _UPLINK, anchor)
        self._put_rule(_RULE_UPLINK, _UPLINK, link)

    def remove_uplink(self, link: str) -> None:
        """Withdraw what ``install_uplink`` did for ``link``."""
        self._take_back((_RULE_UPLINK, link))

    def admit(self, link: str, index: int) -> None:
        """Make ``link`` an access link: the fixed link-local address, and neither tunnelled packets nor signalling from it."""
        address = message(
            ifaddrmsg,
            [("IFA_ADDRESS", str(FIXED_LINK_LOCAL)), ("IFA_LOCAL", str(FIXED_LINK_LOCAL)), ("IFA_FLAGS", _IFA_F_NODAD)],
            family=socket.AF_INET6,
            prefixlen=64,
            flags=_IFA_F_NODAD,
            index=index,
        )
        what = f"link-local address of {link}"
        self._netlink.add(Request(what, RTM_NEWADDR, _CREATE, address, _LINK_LEFT | {errno.EEXIST}))
        self._undo[FIXED_LINK_LOCAL, link] = Request(f"removal of the {what}", RTM_DELADDR, 0, address, _GONE)
        if self._config.scheme.home_prefixes:
            self._put_rule(_RULE_TUNNELLED_FROM_ACCESS, _AGENTS, link, _IPV6_IN_IPV6)
            self._put_rule(_RULE_SIGNALLING_FROM_ACCESS, _AGENTS, link, _MOBILITY_HEADER)

    def dismiss(self, link: str) -> None:
        """Withdraw what ``admit`` installed."""
        self._take_back((FIXED_LINK_LOCAL, link))
        self._take_back((_RULE_TUNNELLED_FROM_ACCESS, link))
        self._take_back((_RULE_SIGNALLING_FROM_ACCESS, link))

    def _configure(self, path: Path, value: str) -> None:
        before = path.read_text()
        if before.strip() != value:
            self._settings[path] = before
            path.write_text(value)

    def _create_tunnel(self) -> None:
        kind = {"attrs": [("IFLA_INFO_KIND", "ip6tnl"), ("IFLA_INFO_DATA", {"attrs": [("IFLA_IP6TNL_COLLECT_METADATA", True)]})]}
        device = _device(TUNNEL, [("IFLA_LINKINFO", kind)])
        self._netlink.add(Request(f"tunnel device {TUNNEL}", RTM_NEWLINK, _CREATE, device))
        self._undo[TUNNEL] = Request(f"removal of {TUNNEL}", RTM_DELLINK, 0, _device(TUNNEL, []), _GONE)
        self._start_device(TUNNEL)

    def _start_device(self, name: str) -> None:
        device = _device(name, [("IFLA_MTU", TUNNEL_MTU)], flags=_IFF_UP, change=_IFF_UP)
        self._netlink.add(Request(f"start of {name}", RTM_NEWLINK, 0, device))

    def _start_gateway(self) -> None:
        if self._trigger:
            device = TRIGGER, socket.if_nametoindex(TRIGGER)
            self._put_route("route to the agent of", self._config.home, _MAIN, _UNICAST, device)
            self._put_rule(_RULE_DELIVERED, _ACCESS, TRIGGER)
        self._put_route("end of the access routes", _EVERYTHING, _ACCESS, _BLACKHOLE)
        anchors = {self._config.lma} if self._config.lma else set()
        for address in sorted(self._config.mags | anchors):
            self._put_route("guard of", IPv6Network(address), _AGENTS, _BLACKHOLE)
        self._put_rule(_RULE_LOCAL, _LOCAL)
        self._move_local_rule()
        self._put_rule(_RULE_DELIVERED, _ACCESS, TUNNEL)

    def _move_local_rule(self) -> None:
        """Remove the rule for local addresses that stands before all others, once it stands where packets can be refused before it."""
        first = _rule(0, _LOCAL)
        self._netlink.add(Request("removal of the first rule", RTM_DELRULE, 0, first, _GONE))
        self._undo["first rule"] = Request("the first rule", RTM_NEWRULE, _CREATE, first, frozenset({errno.EEXIST}))

    def _put_tunnel_route(self, prefix: IPv6Network, table: int, destination: IPv6Address) -> None:
        outer = encapsulation(self._config.address, destination, _HOP_LIMIT)
        self._put_route("tunnel route of", prefix, table, _UNICAST, (TUNNEL, self._tunnel), outer)

    def _put_route(
        self,
        what: str,
        prefix: IPv6Network,
        table: int,
        kind: int,
        device: tuple[str, int] | None = None,
        outer: bytes = b"",
        tolerated: frozenset[int] = frozenset(),
    ) -> None:
        name, index = device or (None, None)
        put = route(prefix, table, kind, _PROTOCOL_STATIC, index, outer)
        self._netlink.add(Request(what, RTM_NEWROUTE, _PUT, put, tolerated, prefix))
        undo = route(prefix, table, kind, _PROTOCOL_STATIC, index)
        self._undo[table, prefix, name] = Request(f"removal of the {what}", RTM_DELROUTE, 0, undo, _GONE, prefix)

    def _put_rule(self, priority: int, table: int, link: str | None = None, protocol: int | None = None) -> None:
        rule = _rule(priority, table, link, protocol)
        request = Request(f"rule {priority} for {link or 'all'}", RTM_NEWRULE, _CREATE, rule, frozenset({errno.EEXIST}))
        self._netlink.add(request)
        self._undo[priority, link] = replace(request, what=f"removal of {request.what}", kind=RTM_DELRULE, flags=0, tolerated=_GONE)

    def _take_back(self, key: object) -> None:
        undo = self._undo.pop(key, None)
        if undo is not None:
            self._netlink.add(undo)
