"""An LMA, MAGs and hosts wired together in memory: time and mishaps are what the test says, and every packet's fate is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from heapq import heappop, heappush
from ipaddress import IPv6Address, IPv6Network
from itertools import count

from agents import endpoint
from agents.actions import (
    Action,
    Advertise,
    Drop,
    Effect,
    Ignore,
    InstallAccessRoute,
    InstallLocalRoute,
    Multicast,
    Note,
    Release,
    RemoveAccessRoute,
    RemoveLocalRoute,
    RemoveRoute,
    RemoveUplink,
    Report,
    RouteAction,
    Send,
    Transmit,
)
from agents.config import AgentConfig, Settings, is_gateway
from agents.endpoint import AnchorEndpoint, AnyEndpoint, GatewayEndpoint
from agents.fib import ACCESS, DISCARDED, LOCALIZED, MAIN, RULE_LOCAL_ROUTE, RULE_UPLINK, TRIGGER, TUNNEL, UPLINK, Fib, RouteKind
from agents.hop_limit import before_crossing
from agents.lma import Lma
from agents.mag import Mag
from agents.messages import Message, kind
from agents.profiles import Profile, ProfileStore
from agents.router_advertisement import HOP_LIMIT, ROUTER_SOLICITATION
from agents.schemes import SCHEMES, Query
from agents.timers import Timers

LMA = IPv6Address("2001:db8::1")
GROUP = IPv6Address("ff15::5213")
EPOCH = 1704067200.0


@cache
def mag_address(number: int) -> IPv6Address:
    return IPv6Address(f"2001:db8::{number:x}:1")


@cache
def prefix_of(number: int) -> IPv6Network:
    return IPv6Network(f"2001:db8:100:{number:x}::/64")


@cache
def hoa_of(number: int) -> IPv6Address:
    return prefix_of(number)[2]


def mn_id_of(number: int) -> str:
    return f"mn{number}@dmm.example"


def link_layer_of(number: int) -> bytes:
    return bytes((2, 0, 0, 0, 0, number))


def packet(source: IPv6Address, destination: IPv6Address, serial: int = 0, size: int = 100) -> bytes:
    """An IPv6 packet of ``size`` bytes, told apart by ``serial``."""
    payload = serial.to_bytes(4, "big") + bytes(size - 44)
    return (6 << 28).to_bytes(4, "big") + len(payload).to_bytes(2, "big") + bytes((59, 64)) + source.packed + destination.packed + payload


_SOLICITATION = bytes((ROUTER_SOLICITATION, *bytes(7)))
_UNSPECIFIED = IPv6Address("::")
_REFUSED = {RouteKind.BLACKHOLE: "refused", RouteKind.UNREACHABLE: "no route at the LMA"}
_QUOTES = 8
"""Where an ICMPv6 error begins to quote its packet."""
_HOP_LIMIT = 7
_TUNNELS = 44
"""Where a packet counts the tunnels that it has gone through, which no agent looks at."""


def serial_of(data: bytes) -> int:
    return int.from_bytes(data[40:44], "big")


def _added(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + bytes((data[at] + number,)) + data[at + 1 :]


def config(
    scheme: str,
    policy: str | None = None,
    number: int | None = 1,
    mags: int = 3,
    hosts: int = 4,
    settings: Settings = Settings(),  # noqa: B008
) -> AgentConfig:
    """The configuration of MAG ``number``, or of the LMA where that is None."""
    row = SCHEMES[scheme]
    profiles = ProfileStore(
        Profile(mn_id_of(n), (prefix_of(n),), {f"mag{m}": IPv6Network(f"2001:db8:{m}:{n}::/64") for m in range(1, mags + 1)})
        for n in range(1, hosts + 1)
    )
    return AgentConfig(
        name="lma" if number is None else f"mag{number}",
        address=LMA if number is None else mag_address(number),
        core="eth0",
        scheme=row,
        policy=policy or row.default_policy,
        lma=LMA if "LMA" in row.agents else None,
        mags=frozenset(mag_address(n) for n in range(1, mags + 1)),
        profiles=profiles,
        settings=settings,
    )


def sent(actions: Iterable[Action], name: str | None = None) -> list[Message]:
    """The messages that ``actions`` send, of the kind ``name`` if given."""
    return [action.message for action in actions if isinstance(action, Send) and name in (None, kind(action.message))]


@dataclass
class Node:
    """An agent and the routing tables of its kernel; ``clock`` is how far its clock is ahead, in s."""

    config: AgentConfig
    endpoint: AnyEndpoint
    fib: Fib
    up: bool = True
    clock: float = 0.0
    restarts: int = 0

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def agent(self) -> Mag | Lma:
        role = self.endpoint.role
        assert isinstance(role, Mag | Lma)
        return role

    @property
    def gateway(self) -> GatewayEndpoint:
        assert isinstance(self.endpoint, GatewayEndpoint)
        return self.endpoint

    @property
    def access(self) -> dict[IPv6Network, str]:
        """The access links by prefix."""
        table = ACCESS if self.config.scheme.home_prefixes else MAIN
        return {route.prefix: route.device or "" for route in self.fib.routes(table)}

    @property
    def routes(self) -> dict[IPv6Network, IPv6Address]:
        """Where prefixes are tunnelled to, but for the way to the anchor."""
        return {route.prefix: route.care_of for table in (MAIN, LOCALIZED) for route in self.fib.routes(table) if route.care_of}

    @property
    def local(self) -> set[IPv6Network]:
        """The prefixes that are delivered past the anchor."""
        return {rule.destination for rule in self.fib.rules() if rule.priority == RULE_LOCAL_ROUTE and rule.destination}

    @property
    def uplinks(self) -> dict[str, IPv6Address]:
        """The anchors by access link."""
        anchors = [route.care_of for route in self.fib.routes(UPLINK) if route.care_of]
        return {rule.link: anchors[0] for rule in self.fib.rules() if rule.priority == RULE_UPLINK and rule.link}

    def route(self, effect: Effect) -> None:
        """Change how packets are forwarded as ``effect`` says, if it says anything of that; nothing is installed or removed in vain."""
        match effect:
            case RemoveRoute(prefix):
                assert prefix in self.routes
            case InstallLocalRoute(prefix):
                assert prefix not in self.local
            case RemoveLocalRoute(prefix):
                assert prefix in self.local
            case InstallAccessRoute(prefix):
                assert prefix not in self.access
            case RemoveAccessRoute(prefix, link):
                assert self.access[prefix] == link
            case RemoveUplink(link):
                assert link in self.uplinks
        if isinstance(effect, RouteAction):
            self.fib.carry_out(effect)

    def admit(self, link: str, mn_id: str) -> None:
        """An access link came, with a node whose profile says which sources are its own."""
        self.fib.admit(link, self.config.profiles.prefixes_of(mn_id))


def start(config: AgentConfig, now: float, sequence: int = 0) -> Node:
    """What runs where ``config`` says."""
    return Node(config, endpoint.start(config, now, sequence), forwarding(config))


def forwarding(config: AgentConfig) -> Fib:
    """The tables of a node on which an agent has just started."""
    fib = Fib(config, trigger=is_gateway(config) and config.scheme.query is not Query.NONE)
    fib.start()
    return fib


class MemoryNetwork:
    """``delay(a, b)`` is the one-way delay between two agents in s; ``sequence`` is the first sequence number of each agent.

    ``lost(kind)`` tells whether the next packet of a kind is lost, ``doubled(kind)`` whether it arrives twice.

    Kinds are those of the messages, and DATA. Messages travel as octets, so that the codec takes part.
    """

    def __init__(
        self,
        scheme: str,
        policy: str | None = None,
        mags: int = 3,
        hosts: int = 4,
        settings: Settings = Settings(),  # noqa: B008
        delay: Callable[[IPv6Address, IPv6Address], float] = lambda a, b: 0.025 if LMA in (a, b) else 0.010,
        lost: Callable[[str], bool] = lambda kind: False,
        doubled: Callable[[str], bool] = lambda kind: False,
        sequence: int = 0,
    ) -> None:
        self.now = EPOCH
        self.delay = delay
        self.lost = lost
        self.doubled = doubled
        self.nodes: dict[IPv6Address, Node] = {}
        self.sendings: list[tuple[IPv6Address, IPv6Address, bytes]] = []
        self._timers: Timers[IPv6Address] = Timers()
        told = config(scheme, policy, None, mags, hosts, settings)
        agents = [replace(told, name=f"mag{number}", address=mag_address(number)) for number in range(1, mags + 1)]
        for config_of in agents + [told] * (told.lma is not None):
            self.nodes[config_of.address] = start(config_of, self.now, sequence)
        routed = () if told.scheme.home_prefixes else told.profiles
        self._core = {profile.routed_prefixes[agent.name]: agent.address for profile in routed for agent in agents}
        self.where: dict[int, int] = {}
        self.signals: list[tuple[float, str, str]] = []
        self.delivered: list[tuple[float, int]] = []
        self.duplicated: list[int] = []
        self.in_transit: Counter[int] = Counter()
        self.wakings: Counter[str] = Counter()
        self._seen: set[int] = set()
        self.dropped: dict[int, str] = {}
        self.unreachable: list[int] = []
        self.ignored: list[Ignore] = []
        self.notes: list[tuple[float, str, Note]] = []
        self.advertised: dict[int, tuple[IPv6Network, ...]] = {}
        self.sent = 0
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], object]]] = []

    def mag(self, number: int) -> Node:
        return self.nodes[mag_address(number)]

    @property
    def lma(self) -> Lma:
        agent = self.nodes[LMA].agent
        assert isinstance(agent, Lma)
        return agent

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Let ``call`` happen ``when`` s after the start."""
        self._schedule(EPOCH + when, call)

    def run(self, until: float) -> None:
        """Let time pass until ``until`` s after the start."""
        end = EPOCH + until
        while True:
            timer = self._timers.next
            event = self._events[0] if self._events else None
            if event is not None and event[0] <= end and (timer is None or event[0] <= timer):
                heappop(self._events)
                self.now = max(self.now, event[0])
                event[2]()
            elif timer is not None and timer <= end:
                self.now = max(self.now, timer)
                address = next(self._timers.due(self.now))
                node = self.nodes[address]
                self.wakings[node.name] += 1
                now, due = self.clock(address), node.endpoint.next_timeout or 0.0
                self._do(address, node.endpoint.timeout(now, due))
                left = node.endpoint.next_timeout
                assert left is None or left > max(now, due), f"{node.name} does not let time pass"
            else:
                self.now = end
                return

    def clock(self, address: IPv6Address) -> float:
        """The time that an agent reads."""
        return self.now + self.nodes[address].clock

    def step(self, address: IPv6Address, ahead: float) -> None:
        """Set an agent's clock to be ``ahead`` s ahead."""
        self.nodes[address].clock = ahead
        self._arm(address)

    def crash(self, address: IPv6Address) -> None:
        """End an agent as a signal that it cannot handle does: what it held is lost, what it installed stays."""
        node = self.nodes[address]
        for action in node.endpoint.stop(self.clock(address)):
            if isinstance(action, Drop):
                self._do(address, [action])
        node.up = False
        self._arm(address)

    def restart(self, address: IPv6Address, sequence: int | None = None, announce: bool = True) -> None:
        """Start an agent anew, on a node without what the one before installed; it is told what is attached.

        ``announce``: what it says of its restart is not lost.
        """
        node = self.nodes[address]
        node.fib = forwarding(node.config)
        node.restarts += 1
        first = 1000 * node.restarts if sequence is None else sequence
        node.endpoint, node.up = endpoint.start(node.config, self.clock(address), first, node.restarts), True
        told = node.endpoint.timeout(self.clock(address))
        self._do(address, told if announce else [])
        for host, number in self.where.items():
            if mag_address(number) == address:
                self.attach(host, number)

    def attach(self, host: int, number: int) -> None:
        self.where[host] = number
        address, node = mag_address(number), self.mag(number)
        if node.up:
            node.admit(f"mn{host}-air", mn_id_of(host))
            self._do(address, node.gateway.attached(f"mn{host}-air", mn_id_of(host), link_layer_of(host), self.clock(address)))

    def detach(self, host: int) -> None:
        number = self.where.pop(host, None)
        if number is None:
            return
        link, address, node = f"mn{host}-air", mag_address(number), self.mag(number)
        node.fib.dismiss(link)
        if node.up:
            self._do(address, node.gateway.detached(link, self.clock(address)))
            return
        for prefix, at in node.access.items():  # the kernel's routes go with their link
            if at == link:
                node.fib.carry_out(RemoveAccessRoute(prefix, link))
        node.fib.carry_out(RemoveUplink(link))

    def solicit(self, host: int) -> None:
        address = mag_address(self.where[host])
        node = self.nodes[address]
        if node.up:
            self._do(address, node.gateway.solicited(f"mn{host}-air", _SOLICITATION, _UNSPECIFIED, HOP_LIMIT, self.clock(address)))

    def announce(self, host: int, number: int) -> None:
        """The link layer foretells that a host is about to leave for a MAG."""
        here = mag_address(self.where[host])
        node = self.nodes[here]
        if node.up:
            self._do(here, node.gateway.leaving(f"mn{host}-air", mag_address(number), self.clock(here)))

    def move(self, host: int, number: int, gap: float = 0.05) -> None:
        self.detach(host)
        self._schedule(self.now + gap, lambda: self.attach(host, number))

    def command(self, address: IPv6Address, actions: list[Action]) -> None:
        """Carry out what an agent asks for because its operator told it something."""
        self._do(address, self.nodes[address].endpoint.encode(actions, self.clock(address)))

    def send(self, source: int, destination: int) -> int:
        """One packet from host to host; its serial number."""
        serial = self.sent
        self.sent += 1
        number = self.where.get(source)
        if number is None:
            self.dropped[serial] = "no carrier"
            return serial
        data = packet(self.address(source), self.address(destination), serial)
        self._route(mag_address(number), data, f"mn{source}-air")
        return serial

    def address(self, host: int) -> IPv6Address:
        """A host's address: its home address, or under plain routing that of the link where it is."""
        mag = mag_address(self.where.get(host, 0))
        here = (prefix[2] for prefix, of in self._core.items() if of == mag and prefix[2].packed[7] == host)
        return next(here, hoa_of(host))

    def flow(self, source: int, destination: int, start: float, duration: float, interval: float = 0.01) -> None:
        for number in range(round(duration / interval)):
            self.at(start + number * interval, lambda: self.send(source, destination))

    def stop(self) -> None:
        for address, node in self.nodes.items():
            self._do(address, node.endpoint.stop(self.clock(address)))

    def kinds(self, name: str) -> list[float]:
        """When messages of the kind ``name`` were sent, in s after the start."""
        return [when - EPOCH for when, _, kind in self.signals if kind == name]

    @property
    def serials_delivered(self) -> list[int]:
        return [serial for _, serial in self.delivered]

    def _schedule(self, when: float, call: Callable[[], object]) -> None:
        heappush(self._events, (when, next(self._order), call))

    def _route(self, address: IPv6Address, data: bytes, link: str | None = None) -> None:
        """What a kernel does with a packet that came in by ``link``; whatever becomes of it, it has crossed a router, hop limit and all."""
        data = _added(data, _HOP_LIMIT, -1)
        node, hoa = self.nodes[address], IPv6Address(data[24:40])
        found = node.fib.look_up(IPv6Address(data[8:24]), hoa, link)
        if found is None:
            care_of = next((mag for prefix, mag in self._core.items() if hoa in prefix), address)
            if care_of == address:
                self._drop(data, "no route")
            else:
                self._encapsulate(address, data, care_of)
        elif found.care_of is not None:
            self._encapsulate(address, data, found.care_of)
        elif found.device == TRIGGER:
            self._ask(address, data)
        elif found.device is not None:
            self._deliver(data, int(found.device[2:-4]))
        else:
            assert link != TRIGGER, f"{node.name} puts a packet back that has no route"
            self._drop(data, _REFUSED[found.kind])

    def _ask(self, address: IPv6Address, data: bytes) -> None:
        node = self.nodes[address]
        if node.up:
            self._do(address, node.gateway.routed(data, self.clock(address)))
        else:
            self._drop(data, "no agent to take it")

    def _encapsulate(self, source: IPv6Address, data: bytes, destination: IPv6Address, multicast: bool = False) -> None:
        assert source != destination, "a tunnel to itself"
        if self.lost("DATA"):
            self._drop(data, "lost in transit")
            return
        for _ in range(1 + self.doubled("DATA")):
            self.in_transit[serial_of(data)] += 1
            arrival = self.now + self.delay(source, destination)
            inner = partial(self._decapsulate, destination, _added(data, _TUNNELS, 1), source, multicast)
            self._schedule(arrival, inner)

    def _decapsulate(self, address: IPv6Address, data: bytes, source: IPv6Address, multicast: bool) -> None:
        self.in_transit[serial_of(data)] -= 1
        node, hoa = self.nodes[address], IPv6Address(data[24:40])
        if isinstance(node.endpoint, AnchorEndpoint):
            self._route(address, data, TUNNEL)
            if node.up:
                self._do(address, node.endpoint.forwarded(data, source, self.clock(address)))
        elif self._core or node.fib.look_up(IPv6Address(data[8:24]), hoa, TUNNEL) is not DISCARDED:
            self._route(address, data, None if self._core else TUNNEL)
        elif node.up:
            outer = GROUP if multicast else address
            self._do(address, node.endpoint.tunnelled(data, source, outer, self.clock(address)))
        else:
            self._drop(data, "no access route and no agent to ask")

    def _deliver(self, data: bytes, host: int) -> None:
        assert self.address(host).packed == data[24:40], "an access route to somebody else"
        assert host in self.where, "an access route to nobody"
        assert data[_HOP_LIMIT] == 64 - 1 - data[_TUNNELS], "a hop for each router"
        if serial_of(data) in self._seen:
            self.duplicated.append(serial_of(data))
            return
        self._seen.add(serial_of(data))
        self.delivered.append((self.now - EPOCH, serial_of(data)))

    def _drop(self, data: bytes, reason: str) -> None:
        self.dropped.setdefault(serial_of(data), reason)

    def _message(self, source: IPv6Address, effect: Transmit) -> None:
        name, octets = kind(effect.message), effect.octets
        self.signals.append((self.now, self.nodes[source].name, name))
        self.sendings.append((source, effect.destination, octets))
        group = effect.destination == GROUP
        for destination in self.nodes if group else (effect.destination,):
            if (group and destination in (LMA, source)) or self.lost(name):
                continue
            for _ in range(1 + self.doubled(name)):
                arrival = self.now + self.delay(source, destination)
                self._schedule(arrival, partial(self.receive, destination, octets, source, effect.destination))

    def receive(self, address: IPv6Address, octets: bytes, source: IPv6Address, destination: IPv6Address) -> None:
        """Let an agent receive octets in a packet with these addresses."""
        node = self.nodes[address]
        if node.up:
            self._do(address, node.endpoint.receive(node.endpoint.read(octets, source, destination), self.clock(address)))

    def _arm(self, address: IPv6Address) -> None:
        node = self.nodes[address]
        when = node.endpoint.next_timeout if node.up else None
        if when is None:
            self._timers.cancel(address)
        else:
            self._timers.set(address, when - node.clock)

    def _do(self, address: IPv6Address, effects: list[Effect]) -> None:
        node = self.nodes[address]
        self._arm(address)
        for effect in effects:
            node.route(effect)
            match effect:
                case Transmit():
                    self._message(address, effect)
                case Advertise(link, prefixes, lifetime):
                    self.advertised[int(link[2:-4])] = prefixes if lifetime else ()
                case Release(packets, care_of):
                    for data in packets:
                        if care_of is None:
                            self._route(address, before_crossing(data), TRIGGER)
                        else:
                            self._encapsulate(address, data, care_of)
                case Multicast(data):
                    for destination in self.nodes:
                        if destination != address:
                            self._encapsulate(address, data, destination, multicast=True)
                case Drop(packets, reason):
                    for data in packets:
                        self._drop(data, reason)
                case Report(_, error):
                    self.unreachable.append(serial_of(error[_QUOTES:]))
                case Ignore():
                    self.ignored.append(effect)
                case Note():
                    self.notes.append((round(self.now - EPOCH, 6), node.name, effect))
