"""The data plane of an agent: devices, routes and rules in the kernel of its node (docs/architecture.md, "A MAG's data plane").

Requests queue up until ``commit``. Whatever was installed is remembered together with what undoes it, so that ``withdraw``
leaves the node as it was found.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from agents import guard
from agents.config import FIXED_LINK_LAYER, AgentConfig
from agents.netlink import (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_GETROUTE,
    RTM_GETRULE,
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
from agents.router_advertisement import MINIMUM_MTU
from agents.schemes import Query
from agents.sockets import link_mtu
from agents.tun import QUEUE

TUNNEL = "tnl"
TRIGGER = "dmm0"
OURS = 213
"""The protocol number of an agent's routes and rules: who put them there (rtnetlink(7), RTA and FRA protocol)."""

_HOP_LIMIT = 64
MAIN, _LOCAL = 254, 255
ACCESS, _UPLINK, _LOCALIZED = 100, 101, 103
_UNICAST, _UNREACHABLE = 1, 7
_NO_TABLE = 0
_IPV6_HEADER = 40
_TO_TABLE, _GO_TO, _NOTHING, _DISCARD = 1, 2, 3, 6
_KERNEL = 2
_EVERYTHING = IPv6Network("::/0")
_OF_ANY_NODE = IPv6Network("fe80::/10"), IPv6Network("::/128")
"""The sources that a node has on its link before it has any prefix."""

_RULE_OWN_SOURCE = 15
_RULE_FOREIGN_SOURCE = 16
_RULE_LOCAL = 20
_RULE_DELIVERED = 40
_RULE_NOT_DELIVERED = 41
_RULE_ADMITTED = 50
_RULE_REFUSED = 60
_RULE_FORWARDED = 70
_RULE_LOCAL_ROUTE = 72
_RULE_LOCALIZED = 75
RULE_UPLINK = 80
_RULE_OWN = 40000
"""Behind the kernel's rule for the main table, which has the nodes that are here."""

_IFF_UP = 0x1
_IFA_F_NODAD = 0x02

_LINK_LOCAL = "link-local"
_LOOPBACK = "lo"
"""The interface that what a node sends itself comes from, to routing rules."""

_GONE = frozenset({errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL})
_LINK_LEFT = frozenset({errno.ENODEV, errno.ENETDOWN})
_CREATE = NLM_F_CREATE | NLM_F_EXCL
_PUT = NLM_F_CREATE | NLM_F_REPLACE

_SETTINGS = Path("/proc/sys/net/ipv6/conf")
_ROUTER = {"all/forwarding": "1", "default/addr_gen_mode": "1"}
"""A router whose links, from now on, have no link-local address but the one that it gives them: usable at once, without DAD."""


def _device(name: str, attributes: Attributes, **fields: int) -> bytes:
    return message(ifinfmsg, [("IFLA_IFNAME", name), *attributes], **fields)


def _rule(
    priority: int,
    target: int,
    link: str | None = None,
    source: IPv6Network | None = None,
    destination: IPv6Network | None = None,
    action: int = _TO_TABLE,
    protocol: int = OURS,
) -> bytes:
    """A rule for what comes from ``link`` (any link), with a source in ``source`` and a destination in ``destination`` (anything).

    ``target`` is the table to look into, or the rule to go on at; who set the rule is ``protocol``.
    """
    selectors: Attributes = [("FRA_IIFNAME", link)] if link else []
    if source is not None:
        selectors.append(("FRA_SRC", str(source.network_address)))
    if destination is not None:
        selectors.append(("FRA_DST", str(destination.network_address)))
    table = target if action == _TO_TABLE else _NO_TABLE
    if target:
        selectors.append(("FRA_GOTO" if action == _GO_TO else "FRA_TABLE", target))
    return message(
        fibmsg,
        [("FRA_PRIORITY", priority), ("FRA_PROTOCOL", protocol), *selectors],
        family=socket.AF_INET6,
        src_len=source.prefixlen if source else 0,
        dst_len=destination.prefixlen if destination else 0,
        table=table,
        action=action,
    )


def tunnel_mtu(path_mtu: int) -> int:
    """What a path leaves inside an IPv6 header, in octets (RFC 2473, 6.7)."""
    return max(path_mtu - _IPV6_HEADER, MINIMUM_MTU)


def _alike(listed: nlmsg, names: Iterable[str]) -> bytes:
    """A message for what ``listed`` shows, with those of its attributes that tell it from others."""
    attributes = [(name, value) for name in names if (value := listed.get_attr(name)) is not None]
    return message(type(listed), attributes, **{field: listed[field] for field, _ in listed.fields})


_ROUTE_KEY = ("RTA_DST", "RTA_TABLE", "RTA_OIF", "RTA_PRIORITY")
_RULE_KEY = ("FRA_PRIORITY", "FRA_TABLE", "FRA_PROTOCOL", "FRA_IIFNAME", "FRA_SRC", "FRA_DST", "FRA_GOTO")
_FIRST_RULE = _rule(0, _LOCAL, protocol=_KERNEL)
_RESTORE_FIRST_RULE = Request("the first rule", RTM_NEWRULE, _CREATE, _FIRST_RULE, frozenset({errno.EEXIST}))


class DataPlane:
    """The kernel state of one agent."""

    def __init__(self, config: AgentConfig, *, gateway: bool, trigger: bool) -> None:
        """``gateway`` tells a MAG from an LMA; ``trigger`` says that the TUN device exists and takes the home prefixes."""
        self._config = config
        self._gateway = gateway
        self._trigger = trigger
        self._netlink = Netlink()
        self._tunnel_table = _LOCALIZED if gateway and config.scheme.localized_routing else MAIN
        self._undo: dict[object, Request] = {}
        self._settings: dict[Path, str] = {}
        self._tunnel = 0
        self._own: dict[str, frozenset[IPv6Network]] = {}
        self._served: dict[str, set[IPv6Network]] = {}
        self._tunnels: dict[IPv6Network, IPv6Address] = {}
        self._guarded = False

    def start(self) -> None:
        """Install what stands as long as the agent runs, in place of what one that was killed left; NetlinkError or OSError where the
        kernel cannot."""
        self._clear()
        for name, value in _ROUTER.items():
            self._configure(_SETTINGS / name, value)
        if not self._config.scheme.home_prefixes:
            self.guard()
            return
        self._create_tunnel()
        self.commit()
        self._tunnel = socket.if_nametoindex(TUNNEL)
        self.guard()
        for device in (TUNNEL, TRIGGER) if self._trigger else (TUNNEL,):
            self._start_device(device)
        self.commit()
        if self._gateway:
            self._start_gateway()
        else:
            self._put_route("rejection of", self._config.home, MAIN, _UNREACHABLE)
        self.commit()

    def guard(self) -> None:
        """Let the other agents of the domain tunnel packets here, and nobody else, and limit what access links ask (agents/guard.py)."""
        config = self._config
        group = config.group if self._gateway and config.scheme.query is Query.MULTICAST else None
        core = socket.if_nametoindex(config.core)
        trigger = (socket.if_nametoindex(TRIGGER),) if self._trigger else ()
        ways = (self._tunnel, core, *trigger) if self._gateway else None
        guard.install(guard.Place(config.address, config.peers, config.home, core, self._tunnel, ways, group))
        self._guarded = True

    def open_up(self) -> None:
        """Undo what ``guard`` did."""
        if self._guarded:
            guard.remove()
            self._guarded = False

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
            self.open_up()

    def install_route(self, prefix: IPv6Network, care_of: IPv6Address) -> None:
        """Encapsulate what goes to ``prefix`` to ``care_of``; of a node that has an uplink, before that."""
        self._put_tunnel_route(prefix, self._tunnel_table, care_of)
        self._tunnels[prefix] = care_of

    def remove_route(self, prefix: IPv6Network) -> None:
        """Withdraw a route of ``install_route``, if there is one."""
        self._take_back((self._tunnel_table, prefix, TUNNEL))
        self._tunnels.pop(prefix, None)

    def care_of(self, destination: IPv6Address) -> IPv6Address | None:
        """Where what goes to ``destination`` is encapsulated to, if it comes to the tunnel at all: a MAG that has no route of its own asks
        its anchor, an anchor nobody."""
        for length in {prefix.prefixlen for prefix in self._tunnels}:
            care_of = self._tunnels.get(IPv6Network((destination, length), strict=False))
            if care_of is not None:
                return care_of
        return self._config.lma if self._gateway else None

    def install_local_route(self, prefix: IPv6Network) -> None:
        """Deliver what goes to ``prefix`` by its access route, if it has one, before it comes to an uplink."""
        self._put_rule(_RULE_LOCAL_ROUTE, ACCESS, destination=prefix)

    def remove_local_route(self, prefix: IPv6Network) -> None:
        """Withdraw what ``install_local_route`` did."""
        self._take_back((_RULE_LOCAL_ROUTE, None, prefix))

    def install_access_route(self, prefix: IPv6Network, link: str) -> bool:
        """Deliver ``prefix`` on ``link``, also what came through a tunnel, and forward what comes from there with a source in ``prefix``.

        From now on this node has its fixed link-local address there, and answers for it: a node that is not served yet has no router to
        send to, and keeps its packets. False where the link has left meanwhile.
        """
        try:
            device = link, socket.if_nametoindex(link)
        except OSError:
            return False
        served = self._served.setdefault(link, set())
        if not served and int(self._config.settings.link_local):
            self._put_link_local(*device, self._config.settings.link_local)
        served.add(prefix)
        for table in (MAIN, ACCESS) if self._config.scheme.home_prefixes else (MAIN,):
            self._put_route("access route of", prefix, table, _UNICAST, device, tolerated=_LINK_LEFT)
        if self._config.scheme.home_prefixes:
            self._put_rule(_RULE_ADMITTED, _RULE_FORWARDED, link, source=prefix, action=_GO_TO)
        return True

    def remove_access_route(self, prefix: IPv6Network, link: str) -> None:
        """Withdraw routes of ``install_access_route``, with the last the link-local address; with the link they may have gone already."""
        self._take_back((MAIN, prefix, link))
        self._take_back((ACCESS, prefix, link))
        self._take_back((_RULE_ADMITTED, link, prefix))
        served = self._served.get(link, set())
        served.discard(prefix)
        if not served:
            self._take_back((_LINK_LOCAL, link))

    def install_uplink(self, link: str, anchor: IPv6Address) -> None:
        """Encapsulate to ``anchor`` what comes from ``link``, is not for this node, and may be forwarded, and what this node itself sends
        to mobile nodes elsewhere, such as ICMPv6 errors."""
        self._put_tunnel_route(_EVERYTHING, _UPLINK, anchor)
        self._put_rule(_RULE_OWN, _UPLINK, _LOOPBACK, destination=self._config.home)
        if self._config.scheme.localized_routing:
            self._put_rule(_RULE_LOCALIZED, _LOCALIZED, link)
        self._put_rule(RULE_UPLINK, _UPLINK, link)

    def remove_uplink(self, link: str) -> None:
        """Withdraw what ``install_uplink`` did for ``link``."""
        self._take_back((RULE_UPLINK, link, None))
        self._take_back((_RULE_LOCALIZED, link, None))

    def admit(self, link: str, own: frozenset[IPv6Network]) -> None:
        """Make ``link`` an access link of the node whose prefixes are ``own``: the fixed link-layer address, nothing forwarded from it, and
        nothing taken in that has another's source."""
        settings = self._config.settings
        if settings.link_layer != FIXED_LINK_LAYER:
            self._assign_link_layer(link, settings.link_layer)
        if self._config.scheme.home_prefixes:
            self._put_rule(_RULE_REFUSED, _NO_TABLE, link, action=_DISCARD)
            self._own[link] = own
            for prefix in own:
                self._put_rule(_RULE_OWN_SOURCE, _RULE_LOCAL, link, source=prefix, action=_GO_TO)
            self._put_rule(_RULE_FOREIGN_SOURCE, _NO_TABLE, link, action=_DISCARD)

    def dismiss(self, link: str) -> None:
        """Withdraw what ``admit``, ``install_access_route`` and ``assign_link_local`` installed for ``link`` alone."""
        self._served.pop(link, None)
        self._take_back((_LINK_LOCAL, link))
        for priority in (_RULE_REFUSED, _RULE_FOREIGN_SOURCE):
            self._take_back((priority, link, None))
        for prefix in self._own.pop(link, ()):
            self._take_back((_RULE_OWN_SOURCE, link, prefix))

    def assign_link_local(self, link: str, address: IPv6Address) -> None:
        """Let ``address`` be this node's link-local address on ``link``, in place of an earlier one; nothing where the link has left."""
        self._take_back((_LINK_LOCAL, link))
        try:
            self._put_link_local(link, socket.if_nametoindex(link), address)
        except OSError:
            return

    def _put_link_local(self, link: str, index: int, own: IPv6Address) -> None:
        address = message(
            ifaddrmsg,
            [("IFA_ADDRESS", str(own)), ("IFA_LOCAL", str(own)), ("IFA_FLAGS", _IFA_F_NODAD)],
            family=socket.AF_INET6,
            prefixlen=64,
            flags=_IFA_F_NODAD,
            index=index,
        )
        what = f"link-local address of {link}"
        self._netlink.add(Request(what, RTM_NEWADDR, _CREATE, address, _LINK_LEFT | {errno.EEXIST}))
        self._undo[_LINK_LOCAL, link] = Request(f"removal of the {what}", RTM_DELADDR, 0, address, _GONE)

    def _assign_link_layer(self, link: str, address: str) -> None:
        """Give ``link`` the domain's link-layer address; that of RFC 6543 it has from the radio."""
        if any(bytes.fromhex(address.replace(":", ""))):
            device = _device(link, [("IFLA_ADDRESS", address)])
            self._netlink.add(Request(f"link-layer address of {link}", RTM_NEWLINK, 0, device, _LINK_LEFT))

    def _clear(self) -> None:
        """Remove what an agent that was killed on this node has left: its tunnel device, its routes and its rules."""
        self._netlink.add(Request(f"removal of a former {TUNNEL}", RTM_DELLINK, 0, _device(TUNNEL, []), _GONE))
        self.commit()
        everything = Request("list routes", RTM_GETROUTE, NLM_F_DUMP, message(rtmsg, [], family=socket.AF_INET6))
        for former_route in self._netlink.dump(everything, rtmsg):
            if former_route["proto"] == OURS:
                self._netlink.add(Request("removal of a former route", RTM_DELROUTE, 0, _alike(former_route, _ROUTE_KEY), _GONE))
        rules = self._netlink.dump(Request("list rules", RTM_GETRULE, NLM_F_DUMP, message(fibmsg, [], family=socket.AF_INET6)), fibmsg)
        former = [rule for rule in rules if rule.get_attr("FRA_PROTOCOL") == OURS]
        if former:
            self._netlink.add(_RESTORE_FIRST_RULE)
        for rule in former:
            self._netlink.add(Request("removal of a former rule", RTM_DELRULE, 0, _alike(rule, _RULE_KEY), _GONE))
        self.commit()

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

    def _start_device(self, name: str) -> None:
        waiting: Attributes = [("IFLA_TXQLEN", QUEUE)] if name == TRIGGER else []
        mtu = tunnel_mtu(link_mtu(self._config.core))
        device = _device(name, [("IFLA_MTU", mtu), *waiting], flags=_IFF_UP, change=_IFF_UP)
        self._netlink.add(Request(f"start of {name}", RTM_NEWLINK, 0, device))

    def _start_gateway(self) -> None:
        if self._trigger:
            device = TRIGGER, socket.if_nametoindex(TRIGGER)
            self._put_route("route to the agent of", self._config.home, MAIN, _UNICAST, device)
            self._put_rule(_RULE_DELIVERED, ACCESS, TRIGGER)
            self._put_rule(_RULE_NOT_DELIVERED, _NO_TABLE, TRIGGER, action=_DISCARD)
        self._put_rule(_RULE_LOCAL, _LOCAL)
        self._move_local_rule()
        for source in _OF_ANY_NODE:
            self._put_rule(_RULE_OWN_SOURCE, _RULE_LOCAL, source=source, action=_GO_TO)
        self._put_rule(_RULE_DELIVERED, ACCESS, TUNNEL)
        self._put_rule(_RULE_NOT_DELIVERED, _NO_TABLE, TUNNEL, action=_DISCARD)
        if self._config.settings.local_routing and not self._config.scheme.localized_routing:
            self._put_rule(_RULE_FORWARDED, ACCESS)
        else:
            self._put_rule(_RULE_FORWARDED, _NO_TABLE, action=_NOTHING)

    def _move_local_rule(self) -> None:
        """Remove the rule for local addresses that stands before all others, once it stands where packets can be refused before it."""
        self._netlink.add(Request("removal of the first rule", RTM_DELRULE, 0, _FIRST_RULE, _GONE))
        self._undo["first rule"] = _RESTORE_FIRST_RULE

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
        put = route(prefix, table, kind, OURS, index, outer)
        self._netlink.add(Request(what, RTM_NEWROUTE, _PUT, put, tolerated, prefix))
        undo = route(prefix, table, kind, OURS, index)
        self._undo[table, prefix, name] = Request(f"removal of the {what}", RTM_DELROUTE, 0, undo, _GONE, prefix)

    def _put_rule(
        self,
        priority: int,
        target: int,
        link: str | None = None,
        source: IPv6Network | None = None,
        destination: IPv6Network | None = None,
        action: int = _TO_TABLE,
    ) -> None:
        rule = _rule(priority, target, link, source, destination, action)
        request = Request(f"rule {priority} for {link or 'all'}", RTM_NEWRULE, _CREATE, rule, frozenset({errno.EEXIST}))
        self._netlink.add(request)
        undo = replace(request, what=f"removal of {request.what}", kind=RTM_DELRULE, flags=0, tolerated=_GONE)
        self._undo[priority, link, source or destination] = undo

    def _take_back(self, key: object) -> None:
        undo = self._undo.pop(key, None)
        if undo is not None:
            self._netlink.add(undo)
