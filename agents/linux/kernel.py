"""The data plane of an agent: devices, and what agents/fib.py says of routes, rules and addresses, in the kernel of its node.

Requests queue up until ``commit``. Whatever was installed is remembered together with what undoes it, so that ``withdraw``
leaves the node as it was found.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from agents.actions import AssignLinkLocal, InstallAccessRoute, RouteAction
from agents.config import FIXED_LINK_LAYER, AgentConfig, is_gateway
from agents.fib import LOCAL, LOCAL_RULE, NO_TABLE, TRIGGER, TUNNEL, Change, Fib, Key, LinkLocal, Put, Route, Rule, RuleAction, tunnel_mtu
from agents.linux import guard
from agents.linux.netlink import (
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
from agents.linux.sockets import link_mtu
from agents.linux.tun import QUEUE
from agents.schemes import Query

OURS = 213
"""The protocol number of an agent's routes and rules: who put them there (rtnetlink(7), RTA and FRA protocol)."""

_HOP_LIMIT = 64
_KERNEL = 2

_IFF_UP = 0x1
_IFA_F_NODAD = 0x02

_GONE = frozenset({errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL})
_LINK_LEFT = frozenset({errno.ENODEV, errno.ENETDOWN})
_ABOUT_ROUTES: Mapping[str | None, tuple[str, frozenset[int]]] = {
    None: ("rejection of", frozenset()),
    TUNNEL: ("tunnel route of", frozenset()),
    TRIGGER: ("route to the agent of", frozenset()),
}
_ABOUT_ACCESS_ROUTES = "access route of", _LINK_LEFT
"""What routes through a device are called where they fail, and which errors are none."""

_CREATE = NLM_F_CREATE | NLM_F_EXCL
_PUT = NLM_F_CREATE | NLM_F_REPLACE

_SETTINGS = Path("/proc/sys/net/ipv6/conf")
_ROUTER = {"all/forwarding": "1", "default/addr_gen_mode": "1"}
"""A router whose links, from now on, have no link-local address but the one that it gives them: usable at once, without DAD."""


def _device(name: str, attributes: Attributes, **fields: int) -> bytes:
    return message(ifinfmsg, [("IFLA_IFNAME", name), *attributes], **fields)


def _rule(rule: Rule, protocol: int = OURS) -> bytes:
    """The octets, behind the header, of a rule; who set it is ``protocol``."""
    selectors: Attributes = [("FRA_IIFNAME", rule.link)] if rule.link else []
    if rule.source is not None:
        selectors.append(("FRA_SRC", str(rule.source.network_address)))
    if rule.destination is not None:
        selectors.append(("FRA_DST", str(rule.destination.network_address)))
    table = rule.target if rule.action is RuleAction.TO_TABLE else NO_TABLE
    if rule.target:
        selectors.append(("FRA_GOTO" if rule.action is RuleAction.GO_TO else "FRA_TABLE", rule.target))
    return message(
        fibmsg,
        [("FRA_PRIORITY", rule.priority), ("FRA_PROTOCOL", protocol), *selectors],
        family=socket.AF_INET6,
        src_len=rule.source.prefixlen if rule.source else 0,
        dst_len=rule.destination.prefixlen if rule.destination else 0,
        table=table,
        action=rule.action,
    )


def _alike(listed: nlmsg, names: Iterable[str]) -> bytes:
    """A message for what ``listed`` shows, with those of its attributes that tell it from others."""
    attributes = [(name, value) for name in names if (value := listed.get_attr(name)) is not None]
    return message(type(listed), attributes, **{field: listed[field] for field, _ in listed.fields})


_ROUTE_KEY = ("RTA_DST", "RTA_TABLE", "RTA_OIF", "RTA_PRIORITY")
_RULE_KEY = ("FRA_PRIORITY", "FRA_TABLE", "FRA_PROTOCOL", "FRA_IIFNAME", "FRA_SRC", "FRA_DST", "FRA_GOTO")
_FIRST_RULE = _rule(Rule(0, LOCAL), _KERNEL)
_RESTORE_FIRST_RULE = Request("the first rule", RTM_NEWRULE, _CREATE, _FIRST_RULE, frozenset({errno.EEXIST}))


class DataPlane:
    """The kernel state of one agent."""

    def __init__(self, config: AgentConfig, *, trigger: bool) -> None:
        """``trigger`` says that the TUN device exists and takes the home prefixes."""
        self._config = config
        self._gateway = is_gateway(config)
        self._trigger = trigger
        self._fib = Fib(config, trigger)
        self._netlink = Netlink()
        self._undo: dict[Key, Request] = {}
        self._settings: dict[Path, str] = {}
        self._indexes: dict[str, int] = {}
        self._guarded = False
        self._put: Mapping[type, Callable[[Any], None]] = {Route: self._put_route, Rule: self._put_rule, LinkLocal: self._put_link_local}

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
        self._indexes[TUNNEL] = socket.if_nametoindex(TUNNEL)
        self.guard()
        for device in (TUNNEL, TRIGGER) if self._trigger else (TUNNEL,):
            self._start_device(device)
        self.commit()
        if self._trigger:
            self._indexes[TRIGGER] = socket.if_nametoindex(TRIGGER)
        self._change(self._fib.start())
        self.commit()

    def guard(self) -> None:
        """Let the other agents of the domain tunnel packets here, and nobody else, and limit what access links ask (guard.py)."""
        config = self._config
        group = config.group if self._gateway and config.scheme.query is Query.MULTICAST else None
        core = socket.if_nametoindex(config.core)
        trigger = (socket.if_nametoindex(TRIGGER),) if self._trigger else ()
        ways = (self.tunnel, core, *trigger) if self._gateway else None
        guard.install(guard.Place(config.address, config.peers, config.home, core, self.tunnel, ways, group))
        self._guarded = True

    def open_up(self) -> None:
        """Undo what ``guard`` did."""
        if self._guarded:
            guard.remove()
            self._guarded = False

    @property
    def tunnel(self) -> int:
        """The index of the tunnel device, 0 where the scheme needs none."""
        return self._indexes.get(TUNNEL, 0)

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

    def care_of(self, destination: IPv6Address) -> IPv6Address | None:
        """Where what comes to the tunnel for ``destination`` is encapsulated to (``Fib.care_of``)."""
        return self._fib.care_of(destination)

    def carry_out(self, action: RouteAction) -> bool:
        """What an agent asks for; False where that needs an access link that has left meanwhile."""
        if isinstance(action, InstallAccessRoute | AssignLinkLocal):
            try:
                self._indexes[action.link] = socket.if_nametoindex(action.link)
            except OSError:
                return False
        self._change(self._fib.carry_out(action))
        return True

    def admit(self, link: str, own: frozenset[IPv6Network]) -> None:
        """Make ``link`` an access link of the node whose prefixes are ``own``, with the domain's link-layer address."""
        settings = self._config.settings
        if settings.link_layer != FIXED_LINK_LAYER:
            self._assign_link_layer(link, settings.link_layer)
        self._change(self._fib.admit(link, own))

    def dismiss(self, link: str) -> None:
        """Withdraw what was installed for ``link`` alone."""
        self._change(self._fib.dismiss(link))
        self._indexes.pop(link, None)

    def _change(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if isinstance(change, Put):
                self._put[type(change.entry)](change.entry)
            elif (undo := self._undo.pop(change.key, None)) is not None:
                self._netlink.add(undo)

    def _put_link_local(self, entry: LinkLocal) -> None:
        link, own = entry.link, entry.address
        address = message(
            ifaddrmsg,
            [("IFA_ADDRESS", str(own)), ("IFA_LOCAL", str(own)), ("IFA_FLAGS", _IFA_F_NODAD)],
            family=socket.AF_INET6,
            prefixlen=64,
            flags=_IFA_F_NODAD,
            index=self._indexes[link],
        )
        what = f"link-local address of {link}"
        self._netlink.add(Request(what, RTM_NEWADDR, _CREATE, address, _LINK_LEFT | {errno.EEXIST}))
        self._undo[entry.key] = Request(f"removal of the {what}", RTM_DELADDR, 0, address, _GONE)

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
        self._undo[(TUNNEL,)] = Request(f"removal of {TUNNEL}", RTM_DELLINK, 0, _device(TUNNEL, []), _GONE)

    def _start_device(self, name: str) -> None:
        waiting: Attributes = [("IFLA_TXQLEN", QUEUE)] if name == TRIGGER else []
        mtu = tunnel_mtu(link_mtu(self._config.core))
        device = _device(name, [("IFLA_MTU", mtu), *waiting], flags=_IFF_UP, change=_IFF_UP)
        self._netlink.add(Request(f"start of {name}", RTM_NEWLINK, 0, device))

    def _move_local_rule(self) -> None:
        """Remove the rule for local addresses that stands before all others, once it stands where packets can be refused before it."""
        self._netlink.add(Request("removal of the first rule", RTM_DELRULE, 0, _FIRST_RULE, _GONE))
        self._undo[("first rule",)] = _RESTORE_FIRST_RULE

    def _put_route(self, entry: Route) -> None:
        what, tolerated = _ABOUT_ROUTES.get(entry.device, _ABOUT_ACCESS_ROUTES)
        index = self._indexes[entry.device] if entry.device is not None else None
        outer = encapsulation(self._config.address, entry.care_of, _HOP_LIMIT) if entry.care_of is not None else b""
        put = route(entry.prefix, entry.table, entry.kind, OURS, index, outer)
        self._netlink.add(Request(what, RTM_NEWROUTE, _PUT, put, tolerated, entry.prefix))
        undo = route(entry.prefix, entry.table, entry.kind, OURS, index)
        self._undo[entry.key] = Request(f"removal of the {what}", RTM_DELROUTE, 0, undo, _GONE, entry.prefix)

    def _put_rule(self, entry: Rule) -> None:
        what = f"rule {entry.priority} for {entry.link or 'all'}"
        request = Request(what, RTM_NEWRULE, _CREATE, _rule(entry), frozenset({errno.EEXIST}))
        self._netlink.add(request)
        self._undo[entry.key] = replace(request, what=f"removal of {what}", kind=RTM_DELRULE, flags=0, tolerated=_GONE)
        if entry is LOCAL_RULE:
            self._move_local_rule()
