"""One agent, alone with whatever octets say: messages and packets from anybody, hosts that come and go, time that passes.

``Scene`` checks each action as the daemon and the kernel would suffer it; at the end, when nothing has come for a while, the
agent must hold no more than what is attached and configured justifies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from ipaddress import IPv6Address, IPv6Network
from typing import Any, get_args, get_type_hints

from choices import Choices
from held import tables
from memory_network import (
    EPOCH,
    GROUP,
    LMA,
    config,
    hoa_of,
    link_layer_of,
    mag_address,
    mn_id_of,
    packet,
    prefix_of,
    serial_of,
    start,
)

from agents.actions import (
    Advertise,
    AssignLinkLocal,
    Drop,
    Effect,
    Ignore,
    IgnoreReason,
    InstallRoute,
    InstallUplink,
    Multicast,
    ProbePath,
    Release,
    Report,
    Transmit,
)
from agents.config import AgentConfig, FirstPacket, MessageOrder, Settings
from agents.endpoint import GatewayEndpoint
from agents.lma import Lma
from agents.mag import Mag
from agents.messages import HandoffIndicator, Message, MessageError, decode, encode, timestamp_from_seconds
from agents.router_advertisement import HOP_LIMIT, ROUTER_SOLICITATION
from agents.schemes import SCHEMES

OWN_NUMBER = 1
LINKS = ("mn1-air", "mn2-air", "mn3-air")
STRANGER = IPv6Address("2001:db8:bad::1")
NOBODY = IPv6Address("::")
SOLICITATION = bytes((ROUTER_SOLICITATION, *bytes(7)))
SENDERS = (mag_address(2), mag_address(3), LMA, STRANGER, mag_address(OWN_NUMBER), NOBODY)
ADDRESSES = (*SENDERS, GROUP, *(hoa_of(number) for number in range(1, 6)), IPv6Address("fe80::1"))
PREFIXES = (*(prefix_of(number) for number in range(1, 6)), IPv6Network("::/0"), IPv6Network(hoa_of(2)), IPv6Network("2001:db8:100::/40"))
MN_IDS = tuple(mn_id_of(number) for number in range(1, 6))
HANDOFFS = (HandoffIndicator.UNKNOWN, *HandoffIndicator)
WAITS = (0.001, 0.02, 0.3, 2.0, 9.0, 70.0, 400.0)

REST = 400.0
"""s after which all that was ever learnt is over: the longest is a binding's lifetime."""
MOST_WAKINGS = 2000
"""How often an agent may wake up while it rests; what repeats most often does so every 32 s."""

VARIANTS = (
    Settings(),
    Settings(first_packet=FirstPacket.MULTICAST),
    Settings(buffer_packets=2, buffer_bytes=250, query_rate=2.0),
    Settings(buffer_packets=0, query_tries=1, update_tries=1),
    Settings(message_order=MessageOrder.SEQUENCE, link_local=NOBODY, path_probe=60.0),
    Settings(message_order=MessageOrder.NODE_TIMESTAMP, binding_assign_delay=0.0, handover_time=20.0),
)
CASES = {
    "lma": [(row.name, policy) for row in SCHEMES.values() if "LMA" in row.agents for policy in row.policies],
    "mag": [(row.name, policy) for row in SCHEMES.values() for policy in row.policies],
}


@cache
def _told(scheme: str, policy: str, number: int | None, settings: Settings) -> AgentConfig:
    return config(scheme, policy, number, settings=settings)


class Scene:
    """The agent ``kind`` ("mag" or "lma") of the scheme, policy and settings that the first octets choose, and what the others do to it."""

    def __init__(self, kind: str, choices: Choices) -> None:
        scheme, policy = choices.pick(CASES[kind])
        told = _told(scheme, policy, OWN_NUMBER if kind == "mag" else None, choices.pick(VARIANTS))
        self.now = EPOCH
        self._choices = choices
        self._node = start(told, self.now)
        self._peers = {*told.mags, LMA}
        self._heard = STRANGER
        self._sequences = [0]
        self._packets: set[int] = set()
        self._serial = 0

    def play(self) -> None:
        """Let happen what the octets say, then nothing for a while, then the end."""
        events = EVENTS[type(self._node.agent)]
        while self._choices:
            self._choices.pick(events)(self)
        self._pass(REST, MOST_WAKINGS)
        self._hold_nothing_needless()
        self._do(self._node.endpoint.stop(self.now))
        assert (self._node.access, self._node.routes, self._node.uplinks, self._packets) == ({}, {}, {}, set()), "something stays behind"

    def _hold_nothing_needless(self) -> None:
        agent, told = self._node.agent, self._node.config
        assert not self._node.routes, "a route that nothing uses"
        attached = len(agent.attachments) if isinstance(agent, Mag) else 0
        most = len(told.mags) * len(told.profiles) + attached + 1
        held = {path: size for path, size in tables(agent, self.now).items() if size > most}
        assert not held, f"held without need: {held}"
        assert not self._packets, "packets wait for ever"
        assert not isinstance(agent, Lma) or not agent.bindings, "a binding without end"

    # What can happen.

    def octets_come(self) -> None:
        source, link, size = self._choices.pick(SENDERS), self._link(), self._choices.number()
        self._receive(self._choices.octets(size), source, link)

    def message_comes(self) -> None:
        source, link = self._choices.pick(SENDERS), self._link()
        try:
            octets = encode(self._message())
        except MessageError:
            return
        self._receive(octets, source, link)

    def untrusted_message_comes(self) -> None:
        source, reason = self._choices.pick(SENDERS), self._choices.pick(tuple(IgnoreReason))
        self._heard = source
        edge = self._node.endpoint
        self._do(edge.encode(edge.role.refused(reason, self._message(), source, self.now), self.now))

    def host_comes(self) -> None:
        number = self._choices.number() % 5 + 1
        link, handoff = self._choices.pick(LINKS), self._choices.pick(HANDOFFS)
        self._do(self._gateway.attached(link, mn_id_of(number), link_layer_of(number), self.now, handoff))

    def other_interface_comes(self) -> None:
        number, link_layer = self._choices.number() % 5 + 1, self._choices.octets(self._choices.pick((6, 0, 2)))
        link, handoff, timestamp = self._choices.pick(LINKS), self._choices.pick(HANDOFFS), self._timestamp()
        self._do(self._gateway.attached(link, mn_id_of(number), link_layer, self.now, handoff, timestamp=timestamp))

    def host_is_about_to_leave(self) -> None:
        self._do(self._gateway.leaving(self._choices.pick(LINKS), self._choices.pick(SENDERS), self.now))

    def host_leaves(self) -> None:
        self._do(self._gateway.detached(self._choices.pick(LINKS), self.now))

    def host_solicits(self) -> None:
        self._do(self._gateway.solicited(self._choices.pick(LINKS), SOLICITATION, NOBODY, HOP_LIMIT, self.now))

    def path_changes(self) -> None:
        self._do(self._gateway.path_changed(self.now))

    def packet_comes(self) -> None:
        data = self._packet()
        hoa = IPv6Address(data[24:40])
        if not any(hoa in prefix for prefix in self._node.access):
            self._packets.add(serial_of(data))
            self._do(self._gateway.routed(data, self.now))

    def tunnelled_packet_comes(self) -> None:
        source, multicast, data = self._choices.pick(SENDERS), self._choices.number() % 4 == 0, self._packet()
        if not any(IPv6Address(data[24:40]) in prefix for prefix in self._node.access):
            self._packets.add(serial_of(data))
            self._do(self._gateway.tunnelled(data, source, GROUP if multicast else self._node.config.address, self.now))

    def fragment_comes(self) -> None:
        data, source = self._choices.octets(self._choices.number() % 40), self._choices.pick(SENDERS)
        self._do(self._gateway.tunnelled(data, source, self._node.config.address, self.now))

    def time_passes(self) -> None:
        self._pass(self._choices.pick(WAITS))

    def timer_fires(self) -> None:
        when = self._node.endpoint.next_timeout
        if when is not None:
            self._pass(max(0.0, when - self.now))

    def moment_passes(self) -> None:
        self._pass(self._choices.number(2) / 1000)

    # How it happens.

    @property
    def _gateway(self) -> GatewayEndpoint:
        return self._node.gateway

    def _link(self) -> str | None:
        return LINKS[0] if self._choices.number() == 0xFF else None

    def _packet(self) -> bytes:
        self._serial += 1
        hosts = (hoa_of(1), hoa_of(2), STRANGER)
        low = self._choices.pick((2, 3, 4, 5))
        destination = IPv6Address(int(self._choices.pick(PREFIXES).network_address) | low)
        return packet(self._choices.pick(hosts), destination, self._serial)

    def _receive(self, octets: bytes, source: IPv6Address, link: str | None) -> None:
        edge = self._node.endpoint
        self._heard = source
        self._do(edge.receive(edge.read(octets, source, self._node.config.address, link), self.now))

    def _pass(self, seconds: float, most: int = 1 << 20) -> None:
        end = self.now + seconds
        wakings = 0
        edge = self._node.endpoint
        while (when := edge.next_timeout) is not None and when <= end:
            self.now = max(self.now, when)
            self._do(edge.timeout(self.now))
            wakings += 1
            assert wakings <= most, "it does not come to rest"
            assert edge.next_timeout is None or edge.next_timeout > self.now, "it does not let time pass"
        self.now = end

    def _do(self, effects: list[Effect]) -> None:
        node = self._node
        others = node.config.mags - {node.config.address}
        for effect in effects:
            node.route(effect)
            match effect:
                case Transmit(octets, message, destination, tunnelled):
                    others_or_asker = {*self._peers, self._heard} - {node.config.address, NOBODY}
                    assert destination == GROUP if tunnelled else destination in others_or_asker
                    assert decode(octets, node.config.settings.query_flag) == message
                    self._sequences.append(getattr(message, "sequence", 0))
                case InstallRoute(_, care_of):
                    assert care_of in others
                case InstallUplink(link, anchor):
                    assert link in LINKS
                    assert anchor == LMA
                case ProbePath(destination):
                    assert destination == LMA
                case AssignLinkLocal(link, address):
                    assert link in LINKS
                    assert address.is_link_local
                case Advertise(link, prefixes, lifetime):
                    assert link in LINKS
                    assert prefixes
                    assert 0 <= lifetime <= 9000
                case Release(packets, care_of):
                    assert packets
                    for data in packets:
                        self._packets.remove(serial_of(data))
                        if care_of is None:
                            assert any(IPv6Address(data[24:40]) in prefix for prefix in node.access), "no way for a packet"
                        else:
                            assert care_of in others
                case Drop(packets):
                    assert packets
                    for data in packets:
                        if len(data) >= 40:
                            self._packets.remove(serial_of(data))
                case Multicast(data, group):
                    assert group == GROUP
                    self._packets.remove(serial_of(data))
                case Report(_, error, source):
                    assert 48 <= len(error) <= 1240
                    assert not source.is_multicast
                    assert not source.is_unspecified
                case Ignore(_, source):
                    assert source in SENDERS

    def _message(self) -> Message:
        message: Message = self._instance(self._choices.pick(get_args(Message)))
        return message

    def _instance(self, kind: type[Any]) -> Any:
        """A dataclass of any values; what it need not have it has as often as not."""
        values = {}
        for name, hint, optional in _parts(kind):  # type: ignore[arg-type]
            if not optional or self._choices.number() % 2:
                values[name] = self._value(name, hint)
        return kind(**values)

    def _value(self, name: str, kind: Any) -> Any:
        if name in _BY_NAME:
            return _BY_NAME[name](self)
        if kind in _BY_TYPE:
            return _BY_TYPE[kind](self)
        if is_dataclass(kind):
            return self._instance(kind)  # type: ignore[arg-type]
        parts = [part for part in get_args(kind) if part not in (type(None), ...)]
        value = self._value(name, parts[0])
        return (value,) if getattr(kind, "__origin__", None) is tuple else value

    def _sequence(self) -> int:
        """A sequence number that the agent used lately, or the one after it, or any."""
        near = self._choices.number()
        known = self._sequences[-1 - near % min(16, len(self._sequences))]
        return self._choices.number(2) if near == 0xFF else (known + near // 128) & 0xFFFF

    def _timestamp(self) -> int:
        near = self._choices.number()
        return self._choices.number(8) if near == 0xFF else timestamp_from_seconds(self.now + (near - 64) / 256)

    def _prefixes(self) -> tuple[IPv6Network, ...]:
        return tuple(self._choices.pick(PREFIXES) for _ in range(self._choices.pick((1, 1, 1, 2, 0))))


@cache
def _parts(kind: type[Any]) -> list[tuple[str, Any, bool]]:
    """The fields of a dataclass: name, type and whether it can do without."""
    hints = get_type_hints(kind)
    return [(field.name, hints[field.name], (field.default, field.default_factory) != (MISSING, MISSING)) for field in fields(kind)]


_BY_NAME: Mapping[str, Callable[[Scene], Any]] = {
    "sequence": Scene._sequence,
    "timestamp": Scene._timestamp,
    "lifetime": lambda scene: scene._choices.pick((0, 1, 2, 75, 0xFFFF)),
    "link_layer_identifier": lambda scene: link_layer_of(scene._choices.number() % 5 + 1),
    "alternate_care_of": lambda scene: scene._choices.pick(SENDERS),
    "mn_id": lambda scene: scene._choices.pick(MN_IDS),
}
_BY_TYPE: Mapping[Any, Callable[[Scene], Any]] = {
    bool: lambda scene: bool(scene._choices.number() % 2),
    int: lambda scene: scene._choices.number(),
    str: lambda scene: scene._choices.pick(MN_IDS),
    bytes: lambda scene: scene._choices.octets(scene._choices.number() % 20),
    IPv6Address: lambda scene: scene._choices.pick(ADDRESSES),
    IPv6Network: lambda scene: scene._choices.pick(PREFIXES),
    tuple[IPv6Network, ...]: Scene._prefixes,
}
_BOTH = (
    Scene.octets_come,
    Scene.message_comes,
    Scene.message_comes,
    Scene.untrusted_message_comes,
    Scene.time_passes,
    Scene.timer_fires,
    Scene.moment_passes,
)
EVENTS: Mapping[type[Any], tuple[Callable[[Scene], None], ...]] = {
    Lma: _BOTH,
    Mag: (
        *_BOTH,
        Scene.host_comes,
        Scene.other_interface_comes,
        Scene.host_is_about_to_leave,
        Scene.host_leaves,
        Scene.host_solicits,
        Scene.path_changes,
        Scene.packet_comes,
        Scene.tunnelled_packet_comes,
        Scene.fragment_comes,
    ),
}
