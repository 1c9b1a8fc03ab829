from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.actions import Effect, InstallRoute, Release, RemoveRoute, RouteAction, Transmit
from agents.config import AgentConfig, Settings
from agents.linux import effects
from agents.linux.daemon import Clock, Daemon
from agents.linux.effects import Effects
from agents.linux.journal import Journal
from agents.linux.netlink import NetlinkError
from agents.linux.sockets import Received
from agents.messages import ProxyBindingAcknowledgement, ProxyBindingUpdate, decode, encode
from agents.profiles import Profile, ProfileStore
from agents.schemes import SCHEMES

LMA, MAG, PEER = (IPv6Address(f"2001:db8:0:1::{host}") for host in ("100", "1", "2"))
PREFIXES = [IPv6Network(f"2001:db8:100:{number:x}::/64") for number in range(100)]
PROFILES = ProfileStore(Profile(f"mn{number}@dmm.example", (prefix,)) for number, prefix in enumerate(PREFIXES))
CONFIG = AgentConfig("lma", LMA, "core", SCHEMES["s-pmip"], "notify", LMA, frozenset({MAG, PEER}), PROFILES, settings=Settings())
CORE = 7


class Node:
    """A kernel and sockets that only write down what reaches them: routes when they are committed, and what is sent."""

    def __init__(self) -> None:
        self.log: list[tuple[str, object]] = []
        self.commits = 0
        self.refuses: set[IPv6Address] = set()
        self.full: int | None = None
        self.queue: list[tuple[str, object]] = []
        self.tunnel = CORE + 1
        self.waiting: list[bytes] = []
        self.missed = 0

    def carry_out(self, action: RouteAction) -> bool:
        if isinstance(action, InstallRoute | RemoveRoute):
            self.queue.append(("route" if isinstance(action, InstallRoute) else "no route", action.prefix))
        return True

    def commit(self) -> None:
        self.commits += bool(self.queue)
        if self.full is not None:
            self.queue.clear()
            raise NetlinkError(self.full, "tunnel route of somebody: no")
        self.log += self.queue
        self.queue.clear()

    def send(self, data: bytes, destination: IPv6Address) -> None:
        if destination in self.refuses:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        self.log.append(("packet", data) if data.startswith(b"packet") else ("message", sequence(data)))

    def read(self) -> bytes | None:
        return self.waiting.pop() if self.waiting else None

    def fileno(self) -> int:
        return -1

    def start(self) -> None: ...

    withdraw = close = start

    def attach(self, program: object) -> None: ...

    @property
    def what(self) -> list[str]:
        return [what for what, _ in self.log]


def sequence(data: bytes) -> int:
    message = decode(data)
    assert isinstance(message, ProxyBindingAcknowledgement)
    return message.sequence


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    node = Node()
    monkeypatch.setattr("socket.if_nametoindex", lambda name: CORE)
    for name in ("DataPlane", "MobilitySocket", "filter_strays", "TunnelSocket", "NeighbourSocket", "Tun"):
        monkeypatch.setattr(effects, name, lambda *_, **__: node)
    return node


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "events.jsonl", "node")
    yield opened
    opened.close()


def lma(journal: Journal) -> Effects:
    return Effects(CONFIG, journal)


def mag(journal: Journal) -> Effects:
    return Effects(replace(CONFIG, name="mag1", address=MAG), journal)


def carry_out(agent: Effects, effects: list[Effect], now: int) -> None:
    for effect in effects:
        agent.carry_out(effect, now)


def install(number: int) -> Effect:
    return InstallRoute(PREFIXES[number], PEER)


def answer(number: int, destination: IPv6Address = MAG) -> Effect:
    message = ProxyBindingAcknowledgement(status=0, sequence=number, lifetime=1)
    return Transmit(encode(message), message, destination)


def release(number: int) -> Effect:
    return Release((b"packet %d" % number,), PEER)


def test_the_kernel_takes_all_routes_at_once_and_then_all_messages_leave(node: Node, journal: Journal) -> None:
    agent = lma(journal)
    for number in range(3):
        carry_out(agent, [install(number), answer(number)], number)
    assert node.log == []
    agent.settle()
    assert node.log == [*(("route", PREFIXES[number]) for number in range(3)), *(("message", number) for number in range(3))]
    assert node.commits == 1
    agent.settle()
    assert len(node.log) == 6


def test_what_the_kernel_has_no_room_for_ends_nobodys_service(node: Node, journal: Journal, tmp_path: Path) -> None:
    agent = lma(journal)
    node.full = errno.ENOMEM
    carry_out(agent, [install(1), answer(1)], 1)
    agent.settle()
    node.full = None
    carry_out(agent, [install(2), answer(2)], 2)
    agent.settle()
    journal.flush()
    assert node.what == ["message", "route", "message"]
    assert "the kernel has no room" in (tmp_path / "events.jsonl").read_text()
    node.full = errno.EINVAL
    carry_out(agent, [install(3)], 3)
    with pytest.raises(NetlinkError):
        agent.settle()


def test_packets_wait_for_nothing_and_overtake_nothing(node: Node, journal: Journal) -> None:
    carry_out(mag(journal), [answer(1), RemoveRoute(PREFIXES[1]), release(1), answer(2)], 1)
    assert node.log == [("no route", PREFIXES[1]), ("message", 1), ("packet", b"packet 1")]


def test_where_packets_come_by_the_agent_a_route_stands_as_soon_as_they_were_read(node: Node, journal: Journal) -> None:
    """What waits in the TUN device when a route is asked for is released behind what was held, and before the route stands."""

    async def turn() -> None:
        daemon = Daemon(replace(CONFIG, name="mag1", address=MAG), journal, Clock(), sequence=0)
        node.waiting = [data_packet()]
        daemon._routed_here = lambda _: daemon._input("packet", lambda now: [release(2)])  # type: ignore[method-assign, assignment]
        daemon._turn(daemon._input, "received", lambda now: [release(1), install(1)])

    asyncio.run(turn())
    assert node.log == [("packet", b"packet 1"), ("packet", b"packet 2"), ("route", PREFIXES[1])]


def data_packet() -> bytes:
    return b"\x60" + bytes(7) + PREFIXES[1][2].packed + PREFIXES[2][2].packed


def test_a_message_that_the_network_refuses_holds_up_no_other(node: Node, journal: Journal, tmp_path: Path) -> None:
    agent = lma(journal)
    node.refuses = {PEER}
    carry_out(agent, [answer(1, PEER), answer(2)], 5)
    agent.settle()
    assert node.log == [("message", 2)]
    journal.flush()
    lines = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    assert [(line["time"], line["event"]) for line in lines] == [(5, "send failed"), (5, "sent")]


def test_the_journal_never_goes_back_in_time(node: Node, journal: Journal, tmp_path: Path) -> None:
    agent = mag(journal)
    carry_out(agent, [answer(1)], 1)
    carry_out(agent, [release(2), answer(3)], 2)
    agent.settle()
    journal.flush()
    lines = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    assert [(line["time"], line["event"]) for line in lines] == [(2, "sent"), (2, "released"), (2, "sent")]


def test_messages_that_wait_when_the_agent_ends_never_leave(node: Node, journal: Journal) -> None:
    agent = lma(journal)
    carry_out(agent, [answer(1)], 1)
    agent.close()
    agent.settle()
    assert node.log == []


KINDS: dict[str, Callable[[int], Effect]] = {
    "route": install,
    "no route": lambda number: RemoveRoute(PREFIXES[number]),
    "message": answer,
    "packet": release,
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(sorted(KINDS)), max_size=4), max_size=8))
def test_only_messages_are_put_off_and_never_past_a_packet(node: Node, journal: Journal, asked: list[list[str]]) -> None:
    node.log.clear()
    agent = mag(journal)
    numbers = iter(range(len(PREFIXES)))
    order = [[(kind, next(numbers)) for kind in kinds] for kinds in asked]
    for kinds in order:
        carry_out(agent, [KINDS[kind](number) for kind, number in kinds], 1)
    agent.settle()
    values: dict[str, Callable[[Any], int]] = {
        "route": PREFIXES.index,
        "no route": PREFIXES.index,
        "message": int,
        "packet": lambda data: int(data.removeprefix(b"packet ")),
    }
    done = [values[kind](value) for kind, value in node.log]
    kinds_of = {number: kind for kinds in order for kind, number in kinds}
    assert sorted(done) == sorted(kinds_of)
    for before, number in enumerate(done):
        overtaken = [earlier for earlier in done[before:] if earlier < number]
        assert all(kinds_of[earlier] == "message" for earlier in overtaken)
        assert not overtaken or kinds_of[number] in ("route", "no route")


def test_a_burst_of_registrations_is_one_batch_and_no_answer_precedes_its_route(node: Node, journal: Journal) -> None:
    count = 40
    burst = [Received(update(number), MAG, LMA, CORE, 64) for number in range(count)]
    port: Any = type("Port", (), {"receive": lambda self: burst.pop(0) if burst else None})()

    async def turn() -> None:
        daemon = Daemon(CONFIG, journal, Clock(), sequence=0)
        daemon._turn(daemon._on_signalling, port)
        assert daemon._timer is not None

    asyncio.run(turn())
    assert node.what == ["route"] * count + ["message"] * count
    assert node.commits == 1


def update(number: int) -> bytes:
    request = ProxyBindingUpdate(
        sequence=number,
        lifetime=75,
        mn_id=PROFILES[number].mn_id,
        home_network_prefixes=(PREFIXES[number],),
        handoff_indicator=4,
        access_technology=4,
        link_layer_identifier=bytes(6),
    )
    return encode(request)
