"""How packets are forwarded at an agent's node: what routes, tunnels and access links mean, as plain values.

A ``Fib`` (forwarding information base) turns what an agent asks for into entries: routes in tables, rules that choose a table, and
link-local addresses. The kernel is given the same entries one by one (agents/linux/kernel.py), and ``Fib.look_up`` says what becomes of a
packet by them, for a network in memory and for a simulator. Both follow docs/architecture.md, "A MAG's data plane".

Nothing here touches a kernel. What an agent asks for, and what a packet costs, do not depend on how many prefixes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network
from operator import attrgetter
from typing import Any, NamedTuple

from agents.actions import (
    AssignLinkLocal,
    InstallAccessRoute,
    InstallLocalRoute,
    InstallRoute,
    InstallUplink,
    RemoveAccessRoute,
    RemoveLocalRoute,
    RemoveRoute,
    RemoveUplink,
    RouteAction,
)
from agents.config import AgentConfig, is_gateway
from agents.prefixes import PrefixTable
from agents.router_advertisement import MINIMUM_MTU

TUNNEL = "tnl"
"""The tunnel device: what is routed to it is encapsulated, and what peers tunnel here comes out of it (RFC 2473)."""
TRIGGER = "dmm0"
"""The TUN device: what is routed to it reaches the agent, and what the agent hands back comes out of it."""
LOOPBACK = "lo"
"""The interface that what a node sends itself comes from, to rules."""

NO_TABLE = 0
MAIN, LOCAL = 254, 255
ACCESS, UPLINK, LOCALIZED = 100, 101, 103
"""The tables, by number: the kernel's own two, that of access routes, of the way to the anchor, and of localized routing (RFC 6705)."""

EVERYTHING = IPv6Network("::/0")
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
RULE_LOCAL_ROUTE = 72
_RULE_LOCALIZED = 75
RULE_UPLINK = 80
_RULE_MAIN = 32766
_RULE_OWN = 40000
"""Behind the kernel's rule for the main table, which has the nodes that are here."""

Key = tuple[object, ...]
"""What tells an entry from others."""


class RouteKind(IntEnum):
    """What a route does, numbered as in linux/rtnetlink.h: it leads somewhere, discards, or discards and tells the source."""

    UNICAST = 1
    BLACKHOLE = 6
    UNREACHABLE = 7


class RuleAction(IntEnum):
    """What a rule does, numbered as in linux/fib_rules.h: look into a table, go on at another rule, nothing, or discard."""

    TO_TABLE = 1
    GO_TO = 2
    NOTHING = 3
    DISCARD = 6


@dataclass(frozen=True, slots=True)
class Route:
    """A route in ``table`` through ``device``, or through none; what goes into the tunnel device is encapsulated to ``care_of``.

    It takes the place of any other of the same prefix in its table.
    """

    table: int
    prefix: IPv6Network
    device: str | None = None
    care_of: IPv6Address | None = None
    kind: RouteKind = RouteKind.UNICAST

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.table, self.prefix, self.device


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for what comes from ``link`` (any link), with a source in ``source`` and a destination in ``destination`` (anything).

    Rules are tried by ``priority``, least first. ``target`` is the table to look into, or the priority to go on at.
    """

    priority: int
    target: int = NO_TABLE
    link: str | None = None
    source: IPv6Network | None = None
    destination: IPv6Network | None = None
    action: RuleAction = RuleAction.TO_TABLE

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.priority, self.link, self.source or self.destination


@dataclass(frozen=True, slots=True)
class LinkLocal:
    """The node's link-local address on an access link."""

    link: str
    address: IPv6Address

    @property
    def key(self) -> Key:
        """What tells it from others: a link has one."""
        return link_local_key(self.link)


def link_local_key(link: str) -> Key:
    """The key of a link's link-local address."""
    return "link-local", link


Entry = Route | Rule | LinkLocal


@dataclass(frozen=True, slots=True)
class Put:
    """Let there be this entry, in place of one with its key."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Let there be no entry with this key, if there is one."""

    key: Key


Change = Put | TakeBack

LOCAL_RULE = Rule(_RULE_LOCAL, LOCAL)
"""The rule for a MAG's own addresses, which the kernel has before all others: it moves behind those that refuse what poses as another."""

DISCARDED = Route(NO_TABLE, EVERYTHING, kind=RouteKind.BLACKHOLE)
"""What ``Fib.look_up`` finds where a rule discards."""

_IPV6_HEADER = 40
_BITS = 128
_MAIN_RULE = Rule(_RULE_MAIN, MAIN)
_BY_PRIORITY = attrgetter("priority")


def tunnel_mtu(path_mtu: int) -> int:
    """What a path leaves inside an IPv6 header, in octets (RFC 2473, 6.7)."""
    return max(path_mtu - _IPV6_HEADER, MINIMUM_MTU)


class Fib:
    """What one agent's node does with packets. Its methods return what is to be changed in a kernel, in order, and have changed it here."""

    def __init__(self, config: AgentConfig, trigger: bool) -> None:
        """``trigger`` says whether packets for home addresses without a route of their own reach the agent."""
        self._config = config
        self._trigger = trigger
        self._gateway = is_gateway(config)
        self._tunnel_table = LOCALIZED if self._gateway and config.scheme.localized_routing else MAIN
        self._own: dict[str, frozenset[IPv6Network]] = {}
        self._served: dict[str, set[IPv6Network]] = {}
        self._tables: dict[int, PrefixTable[Route]] = {table: PrefixTable() for table in (MAIN, LOCAL, ACCESS, UPLINK, LOCALIZED)}
        self._rules = _Rules()
        self._methods: Mapping[type, Callable[[Any], Iterator[Change]]] = {
            InstallRoute: self._install_route,
            RemoveRoute: self._remove_route,
            InstallLocalRoute: self._install_local_route,
            RemoveLocalRoute: self._remove_local_route,
            InstallAccessRoute: self._install_access_route,
            RemoveAccessRoute: self._remove_access_route,
            InstallUplink: self._install_uplink,
            RemoveUplink: self._remove_uplink,
            AssignLinkLocal: self._assign_link_local,
        }

    def start(self) -> list[Change]:
        """What stands as long as the agent runs."""
        return self._changed(self._start())

    def admit(self, link: str, own: frozenset[IPv6Network]) -> list[Change]:
        """Make ``link`` an access link of the node whose prefixes are ``own``: nothing is forwarded from it yet, and nothing taken in that
        has another's source (RFC 5213, 6.10.5)."""
        return self._changed(self._admit(link, own))

    def dismiss(self, link: str) -> list[Change]:
        """Withdraw what there is for ``link`` alone; its routes go one by one."""
        return self._changed(self._dismiss(link))

    def carry_out(self, action: RouteAction) -> list[Change]:
        """What an agent asks for."""
        return self._changed(self._methods[type(action)](action))

    def look_up(self, source: IPv6Address, destination: IPv6Address, link: str | None = None) -> Route | None:
        """What becomes of a packet that came in by ``link`` (an access link, TUNNEL, TRIGGER, or None for the core) and is not for this
        node: the route that it takes, DISCARDED, or None where the routes of the infrastructure decide."""
        least, sent_by, sent_to = 0, int(source), int(destination)
        for priority, source_shift, source_bits, destination_shift, destination_bits, rule in self._rules.concerning(link, destination):
            if priority < least or sent_by >> source_shift != source_bits or sent_to >> destination_shift != destination_bits:
                continue
            if rule.action is RuleAction.GO_TO:
                least = rule.target
            elif rule.action is RuleAction.DISCARD:
                return DISCARDED
            elif rule.action is RuleAction.TO_TABLE and (route := self._tables[rule.target].lookup(destination)) is not None:
                return route
        return None

    def care_of(self, destination: IPv6Address) -> IPv6Address | None:
        """Where what goes to ``destination`` is encapsulated to, if it comes to the tunnel at all: a MAG that has no route of its own asks
        its anchor, an anchor nobody."""
        route = self._tables[self._tunnel_table].lookup(destination)
        if route is not None and route.care_of is not None:
            return route.care_of
        return self._config.lma if self._gateway else None

    def route(self, table: int, prefix: IPv6Network) -> Route | None:
        """The route of exactly this prefix."""
        return self._tables[table].get(prefix)

    def routes(self, table: int) -> Iterator[Route]:
        """All routes in a table."""
        return self._tables[table].values()

    def rules(self) -> Iterator[Rule]:
        """All rules."""
        return self._rules.all()

    def _changed(self, changes: Iterator[Change]) -> list[Change]:
        made = []
        for change in changes:
            self._change(change)
            made.append(change)
        return made

    def _change(self, change: Change) -> None:
        match change:
            case Put(Route() as route):
                self._tables[route.table][route.prefix] = route
            case Put(Rule() as rule):
                self._rules.put(rule)
            case TakeBack((int(table), IPv6Network() as prefix, device)):
                found = self._tables[table].get(prefix)
                if found is not None and found.device == device:
                    self._tables[table].pop(prefix)
            case TakeBack(key):
                self._rules.take_back(key)

    def _start(self) -> Iterator[Change]:
        config = self._config
        if not config.scheme.home_prefixes:
            return
        if not self._gateway:
            yield Put(Route(MAIN, config.home, kind=RouteKind.UNREACHABLE))
            return
        if self._trigger:
            yield Put(Route(MAIN, config.home, TRIGGER))
            yield Put(Rule(_RULE_DELIVERED, ACCESS, TRIGGER))
            yield Put(Rule(_RULE_NOT_DELIVERED, link=TRIGGER, action=RuleAction.DISCARD))
        yield Put(LOCAL_RULE)
        for source in _OF_ANY_NODE:
            yield Put(Rule(_RULE_OWN_SOURCE, _RULE_LOCAL, source=source, action=RuleAction.GO_TO))
        yield Put(Rule(_RULE_DELIVERED, ACCESS, TUNNEL))
        yield Put(Rule(_RULE_NOT_DELIVERED, link=TUNNEL, action=RuleAction.DISCARD))
        if config.settings.local_routing and not config.scheme.localized_routing:
            yield Put(Rule(_RULE_FORWARDED, ACCESS))
        else:
            yield Put(Rule(_RULE_FORWARDED, action=RuleAction.NOTHING))

    def _admit(self, link: str, own: frozenset[IPv6Network]) -> Iterator[Change]:
        if not self._config.scheme.home_prefixes:
            return
        yield Put(Rule(_RULE_REFUSED, link=link, action=RuleAction.DISCARD))
        self._own[link] = own
        for prefix in own:
            yield Put(Rule(_RULE_OWN_SOURCE, _RULE_LOCAL, link, source=prefix, action=RuleAction.GO_TO))
        yield Put(Rule(_RULE_FOREIGN_SOURCE, link=link, action=RuleAction.DISCARD))

    def _dismiss(self, link: str) -> Iterator[Change]:
        self._served.pop(link, None)
        yield TakeBack(link_local_key(link))
        for priority in (_RULE_REFUSED, _RULE_FOREIGN_SOURCE):
            yield TakeBack((priority, link, None))
        for prefix in self._own.pop(link, ()):
            yield TakeBack((_RULE_OWN_SOURCE, link, prefix))

    def _install_route(self, action: InstallRoute) -> Iterator[Change]:
        """Of a node that has an uplink, before that."""
        yield Put(Route(self._tunnel_table, action.prefix, TUNNEL, action.care_of))

    def _remove_route(self, action: RemoveRoute) -> Iterator[Change]:
        yield TakeBack((self._tunnel_table, action.prefix, TUNNEL))

    def _install_local_route(self, action: InstallLocalRoute) -> Iterator[Change]:
        """By its access route, if it has one, before it comes to an uplink."""
        yield Put(Rule(RULE_LOCAL_ROUTE, ACCESS, destination=action.prefix))

    def _remove_local_route(self, action: RemoveLocalRoute) -> Iterator[Change]:
        yield TakeBack((RULE_LOCAL_ROUTE, None, action.prefix))

    def _install_access_route(self, action: InstallAccessRoute) -> Iterator[Change]:
        """From now on this node has its fixed link-local address there, and answers for it: a node that is not served yet has no router to
        send to, and keeps its packets. What came through a tunnel is delivered by a table of its own."""
        prefix, link, settings = action.prefix, action.link, self._config.settings
        served = self._served.setdefault(link, set())
        if not served and int(settings.link_local):
            yield Put(LinkLocal(link, settings.link_local))
        served.add(prefix)
        yield Put(Route(MAIN, prefix, link))
        if self._config.scheme.home_prefixes:
            yield Put(Route(ACCESS, prefix, link))
            yield Put(Rule(_RULE_ADMITTED, _RULE_FORWARDED, link, source=prefix, action=RuleAction.GO_TO))

    def _remove_access_route(self, action: RemoveAccessRoute) -> Iterator[Change]:
        """With the last goes the link-local address."""
        prefix, link = action.prefix, action.link
        yield TakeBack((MAIN, prefix, link))
        yield TakeBack((ACCESS, prefix, link))
        yield TakeBack((_RULE_ADMITTED, link, prefix))
        served = self._served.get(link, set())
        served.discard(prefix)
        if not served:
            yield TakeBack(link_local_key(link))

    def _install_uplink(self, action: InstallUplink) -> Iterator[Change]:
        """What this node itself sends to mobile nodes elsewhere, such as ICMPv6 errors, takes it too."""
        yield Put(Route(UPLINK, EVERYTHING, TUNNEL, action.anchor))
        yield Put(Rule(_RULE_OWN, UPLINK, LOOPBACK, destination=self._config.home))
        if self._config.scheme.localized_routing:
            yield Put(Rule(_RULE_LOCALIZED, LOCALIZED, action.link))
        yield Put(Rule(RULE_UPLINK, UPLINK, action.link))

    def _remove_uplink(self, action: RemoveUplink) -> Iterator[Change]:
        yield TakeBack((RULE_UPLINK, action.link, None))
        yield TakeBack((_RULE_LOCALIZED, action.link, None))

    def _assign_link_local(self, action: AssignLinkLocal) -> Iterator[Change]:
        yield TakeBack(link_local_key(action.link))
        yield Put(LinkLocal(action.link, action.address))


class _Tried(NamedTuple):
    """A rule as a packet is compared with it: its addresses, so many bits shifted to the right, must be these numbers."""

    priority: int
    source_shift: int
    source_bits: int
    destination_shift: int
    destination_bits: int
    rule: Rule


def _bits(prefix: IPv6Network | None) -> tuple[int, int]:
    """How far to shift an address to the right, and what is left of it where ``prefix`` holds it; None holds every address."""
    length = 0 if prefix is None else prefix.prefixlen
    return _BITS - length, 0 if prefix is None else int(prefix.network_address) >> _BITS - length


class _Rules:
    """Rules, found by the link that a packet came from and by its destination, whatever number of others there are."""

    def __init__(self) -> None:
        self._by_link: dict[str | None, dict[Key, Rule]] = {None: {_MAIN_RULE.key: _MAIN_RULE}}
        self._by_destination: PrefixTable[Rule] = PrefixTable()
        self._ordered: dict[str | None, list[_Tried]] = {}

    def put(self, rule: Rule) -> None:
        """Add a rule, in place of one with its key. Of those for any link with a destination there is at most one for each prefix."""
        if rule.link is None and rule.destination is not None:
            self._by_destination[rule.destination] = rule
        else:
            self._by_link.setdefault(rule.link, {})[rule.key] = rule
            self._forget(rule.link)

    def take_back(self, key: Key) -> None:
        """Take out the rule with this key, if there is one."""
        _, link, prefix = key if len(key) == 3 else (None, None, None)
        if link is None and isinstance(prefix, IPv6Network):
            self._by_destination.pop(prefix)
        elif isinstance(link, str) and link in self._by_link:
            self._by_link[link].pop(key, None)
            if not self._by_link[link]:
                del self._by_link[link]
            self._forget(link)

    def concerning(self, link: str | None, destination: IPv6Address) -> list[_Tried]:
        """The rules that a packet from ``link`` to ``destination`` may match, by priority."""
        ordered = self._ordered.get(link)
        if ordered is None:
            rules = [*self._by_link[None].values(), *(self._by_link.get(link, {}).values() if link is not None else ())]
            ordered = self._ordered[link] = _in_order(rules)
        rule = self._by_destination.lookup(destination)
        return ordered if rule is None else sorted((*ordered, *_in_order((rule,))), key=_BY_PRIORITY)

    def all(self) -> Iterator[Rule]:
        """Every rule, that for the main table too."""
        for rules in self._by_link.values():
            yield from rules.values()
        yield from self._by_destination.values()

    def _forget(self, link: str | None) -> None:
        if link is None:
            self._ordered.clear()
        else:
            self._ordered.pop(link, None)


def _in_order(rules: Iterable[Rule]) -> list[_Tried]:
    return [_Tried(rule.priority, *_bits(rule.source), *_bits(rule.destination), rule) for rule in sorted(rules, key=_BY_PRIORITY)]
