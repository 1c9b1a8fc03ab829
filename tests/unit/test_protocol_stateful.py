"""Any history at all: hosts move, packets and messages are lost, doubled and overtaken, agents crash, clocks are off.

``HYPOTHESIS_PROFILE=thorough`` looks for new histories, many and long ones, and makes one that fails as short as it can, which
takes minutes; otherwise the same few are tried every time.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from functools import cache
from ipaddress import IPv6Address
from random import Random

from cases import EVERY
from held import queues, tables
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from memory_network import EPOCH, LMA, MemoryNetwork, Node, mag_address, mn_id_of, prefix_of, serial_of

from agents.config import FirstPacket, Settings

settings.register_profile(
    "repeatable",
    max_examples=300,
    stateful_step_count=50,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", max_examples=20_000, stateful_step_count=80, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
PROFILE = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

MAGS = st.integers(1, 3)
HOSTS = st.integers(1, 3)
VISITOR = 4
STRANGER = 5
"""A host without a policy profile."""
NOBODY = 6
NODES = st.sampled_from([LMA, *(mag_address(number) for number in range(1, 4))])

LEAST_GAP = 0.001
"""s; a node that moved faster than clocks can tell apart would confuse its bindings (RFC 5213, 5.5)."""
RECOVERY = 25.0
"""s after which hosts are reached again, without the help of a refreshed binding: clocks have caught up, and what was lost is repeated."""
REST = 700.0
"""s after which nothing is left of what went before: two lifetimes of a binding. One whose de-registration was lost ends with the first."""
SYNCHRONOUS = 0.1
"""s that a clock may be off for ever: any two then differ by less than the domain's window (RFC 5213, 5.5)."""
TIMES = {
    name: st.sampled_from(values)
    for name, values in {
        "binding_lifetime": [300.0, 40.0],
        "binding_timeout": [1.0, 0.4],
        "binding_delete_delay": [10.0, 0.5],
        "binding_assign_delay": [1.5, 0.2],
        "query_lifetime": [8.0, 4.0],
        "query_timeout": [0.2, 0.05, 1.0],
        "query_failure": [1.0, 0.1],
        "handover_time": [1.0, 0.1],
        "buffer_time": [7.0, 0.3],
        "update_timeout": [1.0, 0.1],
        "lr_lifetime": [300.0, 5.0],
        "lr_wait_time": [3.0, 0.3],
    }.items()
}
"""Settings of the agents, in s; the first of each is the default, to which a history that fails is made simple."""
EACH_NODE = frozenset({"Lma._validator._latest"})
"""Tables that keep an entry for each mobile node that there ever was (RFC 5213, 5.5): at most one for each policy profile."""

EACH_MAG = frozenset({"Lma._policy._supported"})
"""Tables that keep an entry for each MAG that has ever acknowledged a notification (RFC 7077, 5.2)."""


def _speak(network: MemoryNetwork) -> None:
    """Let every host send to every other, twice: all that arrives, but for first packets where too few are held for an answer."""
    (told, *_) = (node.config.settings for node in network.nodes.values())
    for first in (True, False):
        before = len(network.delivered)
        pairs = [(source, destination) for source in network.where for destination in network.where if source != destination]
        for source, destination in pairs:
            network.send(source, destination)
        _let_pass(network, 2.0)
        some_may_be_dropped = first and told.buffer_packets < len(network.where) - 1
        assert len(network.delivered) - before == len(pairs) or some_may_be_dropped, "not everybody is reached"
    for node in network.nodes.values():
        for host, number in network.where.items():
            assert node.routes.get(prefix_of(host)) in (None, mag_address(number)), f"{node.name} has a stale route"


def _let_pass(network: MemoryNetwork, seconds: float) -> None:
    network.run(network.now - EPOCH + seconds)


def _receive_visitors(network: MemoryNetwork) -> None:
    """Let a new host come, everybody speak to everybody and to nobody."""
    network.attach(VISITOR, 1)
    _let_pass(network, 2.0)
    _speak(network)
    for host in network.where:
        network.send(host, NOBODY + host)
    network.detach(VISITOR)
    _let_pass(network, REST)


def _pass_by(network: MemoryNetwork, number: int, destination: int) -> None:
    """Let a stranger attach, send and leave."""
    network.attach(STRANGER, number)
    network.send(STRANGER, destination)
    _let_pass(network, 0.05)
    network.detach(STRANGER)


def _holdings(network: MemoryNetwork) -> dict[str, dict[str, int]]:
    """What the agents hold for long: the least of several moments, so that an exchange that is just under way does not count."""
    least: dict[str, dict[str, int]] = {}
    for _ in range(5):
        _let_pass(network, 0.5)
        for address, node in network.nodes.items():
            before = least.get(node.name, {})
            held = tables(node.agent, network.clock(address))
            least[node.name] = {path: min(size, before.get(path, size)) for path, size in held.items()}
    return least


@cache
def _undisturbed(case: tuple[str, str], told: Settings, where: frozenset[tuple[int, int]]) -> tuple[dict[str, dict[str, int]], set[str]]:
    """What agents hold, and say in a while, where nothing ever happened but that hosts are where they are."""
    network = MemoryNetwork(*case, settings=told)
    for host, number in sorted(where):
        network.attach(host, number)
    _receive_visitors(network)
    return _holdings(network), _talk(network)


def _talk(network: MemoryNetwork) -> set[str]:
    before = len(network.signals)
    _let_pass(network, REST)
    return {kind for _, _, kind in network.signals[before:]}


class AnyHistory(RuleBasedStateMachine):
    """Three hosts, three MAGs and, where the scheme has one, an LMA."""

    network: MemoryNetwork

    @initialize(
        case=st.sampled_from(EVERY),
        seed=st.integers(0, 1 << 32),
        first_packet=st.sampled_from(FirstPacket),
        buffer_packets=st.sampled_from([0, 2, 1000]),
        buffer_bytes=st.sampled_from([350, 1_000_000]),
        times=st.fixed_dictionaries(TIMES),
    )
    def begin(
        self,
        case: tuple[str, str],
        seed: int,
        first_packet: FirstPacket,
        buffer_packets: int,
        buffer_bytes: int,
        times: dict[str, float],
    ) -> None:
        self.case = case
        self.told = Settings(
            binding_timeout_max=4.0,
            first_packet=first_packet,
            buffer_packets=buffer_packets,
            buffer_bytes=buffer_bytes,
            **times,  # type: ignore[arg-type]
        )
        chance = Random(seed)
        self.loss = self.doubling = self.longest = 0.0
        self.misinformed = False
        """Whether an LMA may take a host to be elsewhere until its binding is refreshed."""
        self.stamped: defaultdict[int, dict[IPv6Address, float]] = defaultdict(dict)
        self.copies = first_packet is FirstPacket.MULTICAST
        self.network = MemoryNetwork(
            *case,
            settings=self.told,
            delay=lambda a, b: chance.uniform(0, self.longest) if self.longest else 0.01,
            lost=lambda kind: chance.random() < self.loss,
            doubled=lambda kind: chance.random() < self.doubling,
            sequence=0xFFF8,
        )
        self.starts = 0
        self.clocks = {address: ({0.0}, {0.0}) for address in self.network.nodes if address != LMA}
        for host in (1, 2, 3):
            self.network.attach(host, host)

    @rule(loss=st.sampled_from([0.0, 0.1, 0.4]), doubling=st.sampled_from([0.0, 0.5]), longest=st.sampled_from([0.0, 0.05, 0.5, 1.5]))
    def weather(self, loss: float, doubling: float, longest: float) -> None:
        self.loss, self.doubling, self.longest = loss, doubling, longest
        self.copies |= doubling > 0

    @rule(source=HOSTS, destination=st.integers(1, STRANGER), packets=st.sampled_from([1, 6]))
    def send(self, source: int, destination: int, packets: int) -> None:
        for _ in range(packets if source != destination else 0):
            self.network.send(source, destination)

    @rule(host=HOSTS, number=MAGS, gap=st.sampled_from([LEAST_GAP, 0.05, 3.0]))
    def move(self, host: int, number: int, gap: float) -> None:
        self.leave(host)
        _let_pass(self.network, gap - LEAST_GAP)
        self.misinformed |= self._is_seen_too_early(host, mag_address(number))
        self.network.attach(host, number)

    @rule(host=HOSTS, to=MAGS)
    def announce(self, host: int, to: int) -> None:
        if host in self.network.where:
            self.network.announce(host, to)

    @rule(host=HOSTS)
    def leave(self, host: int) -> None:
        _let_pass(self.network, LEAST_GAP)
        self._note_times()
        self.network.detach(host)
        _let_pass(self.network, LEAST_GAP)

    @rule(host=HOSTS)
    def solicit(self, host: int) -> None:
        if host in self.network.where:
            self.network.solicit(host)

    @rule(number=MAGS, destination=HOSTS)
    def a_stranger_passes_by(self, number: int, destination: int) -> None:
        _pass_by(self.network, number, destination)

    @rule(milliseconds=st.sampled_from([1, 5, 30, 150, 700, 3000, 7500, 25000]))
    def wait(self, milliseconds: int) -> None:
        _let_pass(self.network, milliseconds / 1000)

    @rule(address=NODES)
    def crash(self, address: IPv6Address) -> None:
        if address in self.network.nodes and self.network.nodes[address].up:
            self.network.crash(address)
            self.misinformed |= address == LMA

    @rule(address=NODES)
    def restart(self, address: IPv6Address) -> None:
        if address in self.network.nodes and not self.network.nodes[address].up:
            self._restart(address)

    @rule(address=NODES, ahead=st.sampled_from([-5.0, -0.2, -0.1, 0.0, 0.1, 0.2, 5.0]))
    def step(self, address: IPv6Address, ahead: float) -> None:
        if address in self.network.nodes:
            self._step(address, ahead)
            _let_pass(self.network, LEAST_GAP)

    @invariant()
    def access_routes_lead_to_who_is_there(self) -> None:
        for node in self.network.nodes.values():
            here = self._links(node)
            assert set(node.access.values()) <= here
            assert not set(node.access) & set(node.routes)
            assert set(node.uplinks) <= here

    @invariant()
    def every_packet_is_somewhere_and_buffers_keep_their_bounds(self) -> None:
        network = self.network
        held = set()
        for address, node in network.nodes.items():
            for queue in queues(node.agent) if node.up else ():
                packets = [data for _, data in queue]
                assert 0 < len(packets) <= self.told.buffer_packets
                assert sum(map(len, packets)) <= self.told.buffer_bytes
                assert queue[0][0] >= network.clock(address)
                held |= set(map(serial_of, packets))
        delivered, dropped = set(network.serials_delivered), set(network.dropped)
        in_transit = {serial for serial, copies in network.in_transit.items() if copies}
        assert delivered | dropped | in_transit | held == set(range(network.sent))
        assert self.copies or not (delivered & dropped or network.duplicated)

    def teardown(self) -> None:
        """Let all mishaps end: then the agents are as if they had never been, and nothing is left of them."""
        if sys.exception() is not None:
            return
        network = self.network
        self.loss = self.doubling = self.longest = 0.0
        for address, node in network.nodes.items():
            if abs(node.clock) > SYNCHRONOUS:
                self._step(address, 0.0)
        for address, node in network.nodes.items():
            if node.up and self._clocks_disagreed(address):
                network.crash(address)
            if not node.up:
                self._restart(address)
        _let_pass(network, RECOVERY)
        if not self.misinformed:
            _speak(network)
        _let_pass(network, REST)
        self._everything_is_right()
        _receive_visitors(network)
        self._everything_is_right()
        least, talk = _undisturbed(self.case, self.told, frozenset(network.where.items()))
        for name, held in _holdings(network).items():
            config = network.nodes[LMA].config if name == "lma" else None
            most = least[name] | dict.fromkeys(EACH_NODE, len(config.profiles) if config else 0)
            most |= dict.fromkeys(EACH_MAG, len(config.mags) if config else 0)
            assert {path: size for path, size in held.items() if size > most.get(path, 0)} == {}, name
        assert _talk(network) == talk

    def _note_times(self) -> None:
        """Note until when, by the clocks of their MAGs, hosts have been where they are."""
        for host, number in self.network.where.items():
            mag, times = mag_address(number), self.stamped[host]
            times[mag] = max(times.get(mag, 0.0), self.network.clock(mag))

    def _is_seen_too_early(self, host: int, mag: IPv6Address) -> bool:
        """Whether a host comes to a MAG before it has left another, by their clocks: the LMA cannot tell which is first (RFC 5213, 5.5)."""
        others = [time for other, time in self.stamped[host].items() if other != mag]
        return LMA in self.network.nodes and max(others, default=0.0) >= self.network.clock(mag)

    def _step(self, address: IPv6Address, ahead: float) -> None:
        self._note_times()
        self.network.step(address, ahead)
        for mag, (own, anchors) in self.clocks.items():
            if address in (mag, LMA):
                (own if address == mag else anchors).add(ahead)

    def _restart(self, address: IPv6Address) -> None:
        """Start an agent anew; what is still under way to the one before has none of its sequence numbers, which begin anywhere."""
        self.starts += 1
        self.network.restart(address, self.starts * 0x400 & 0xFFFF)
        if address in self.clocks and LMA in self.network.nodes:
            self.clocks[address] = {self.network.nodes[address].clock}, {self.network.nodes[LMA].clock}

    def _clocks_disagreed(self, address: IPv6Address) -> bool:
        """Whether a MAG may have been told that its clock is wrong; it asks no more until it is started anew (RFC 5213, 6.9.1.2 (9))."""
        own, anchors = self.clocks.get(address, ((), ()))
        return any(abs(here - there) > self.told.timestamp_window for here in own for there in anchors)

    def _everything_is_right(self) -> None:
        network = self.network
        assert set(network.serials_delivered) | set(network.dropped) == set(range(network.sent))
        at = {host: mag_address(number) for host, number in network.where.items()}
        for address, node in network.nodes.items():
            assert set(node.access.values()) == self._links(node)
            assert node.routes == ({prefix_of(host): care_of for host, care_of in at.items()} if address == LMA else {})
        if LMA in network.nodes:
            assert {binding.mn_id: binding.care_of for binding in network.lma.bindings} == {mn_id_of(host): at[host] for host in at}

    def _links(self, node: Node) -> set[str]:
        return {f"mn{host}-air" for host, number in self.network.where.items() if f"mag{number}" == node.name}


def test_whatever_happens_every_packet_is_accounted_for_and_everything_comes_right() -> None:
    run_state_machine_as_test(AnyHistory, settings=PROFILE)
