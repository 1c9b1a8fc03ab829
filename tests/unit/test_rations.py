"""How much an agent reads of what anybody may send, how it counts what it refuses, and that a peer waits behind none of it."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from test_effects import CONFIG, CORE, LMA, MAG, Node, journal, node

from agents.actions import DropReason
from agents.endpoint import SOLICITATIONS_RATE
from agents.linux import daemon
from agents.linux.daemon import Clock, Daemon
from agents.linux.journal import Journal
from agents.linux.sockets import Received
from agents.rations import Ration
from agents.tally import REFUSED
from experiments.measure.recovery import held

__all__ = ["journal", "node"]

EPOCH = 1_704_067_200
STRANGER = IPv6Address("2001:db8::bad")
NONSENSE = bytes.fromhex("3b010500 0000 0000 0000 0000 00000000")


class Stopped(Clock):
    """A clock that stands still unless it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.time = EPOCH * 1_000_000_000

    def now(self) -> int:
        return self.time


class Port:
    """A socket with an endless queue; it has a file descriptor that is never readable."""

    def __init__(self, received: Callable[[int], Received], descriptor: int) -> None:
        self.read, self.missed = 0, 0
        self._received, self._descriptor = received, descriptor

    def receive(self) -> Received:
        self.read += 1
        return self._received(self.read)

    def fileno(self) -> int:
        return self._descriptor


def test_a_ration_is_so_many_a_second_and_a_seconds_worth_at_once() -> None:
    ration = Ration(100.0)
    assert ration.left(EPOCH) == 100
    for _ in range(100):
        ration.spend()
    assert (ration.left(EPOCH), ration.left(EPOCH + 0.125), ration.left(EPOCH + 3600.0)) == (0, 12, 100)


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]


def test_a_flood_of_strangers_is_read_by_the_ration_and_told_by_the_second(node: Node, journal: Journal, tmp_path: Path) -> None:
    async def flood() -> int:
        clock = Stopped()
        agent = Daemon(replace(CONFIG, name="mag1", address=MAG), journal, clock, sequence=0)
        near, far = os.pipe()
        port = Port(lambda number: Received(NONSENSE, STRANGER + number, MAG, CORE, 64), near)
        ration = Ration(daemon.STRANGERS_RATE)
        for turn in range(1000):
            clock.time = (EPOCH * 1000 + 10 * turn) * 1_000_000
            port.missed += 55
            agent._turn(lambda socket: agent._rationed(ration, agent._signalled, socket), port)
        agent._on_second()
        journal.flush()
        for handle in agent._paused.values():
            handle.cancel()
        for end in (near, far):
            os.close(end)
        return port.read

    read = asyncio.run(flood())
    assert read <= 11 * daemon.STRANGERS_RATE
    said = lines(tmp_path)
    told = Counter[str]()
    for line in said:
        told[line["event"]] += line.get("times", 1)
    assert told["malformed"] == told["ignored"] == read
    assert {line["reason"] for line in said if line["event"] == "ignored"} == {"malformed"}
    assert len([line for line in said if line["event"] == "malformed"]) < 10 * (REFUSED + 10)


def test_packets_that_are_dropped_at_once_are_counted(node: Node, journal: Journal, tmp_path: Path) -> None:
    async def flood() -> None:
        clock = Stopped()
        agent = Daemon(replace(CONFIG, name="mag1", address=MAG), journal, clock, sequence=0)
        for number in range(30_000):
            clock.time = EPOCH * 1_000_000_000 + number * 100_000
            agent._turn(agent._routed_here, packet(number))
        agent._tell_counts()
        journal.flush()

    asyncio.run(flood())
    said = lines(tmp_path)
    came = sum(line.get("times", 1) for line in said if line["event"] == "packet")
    dropped = Counter[str]()
    for line in said:
        if line["event"] == "dropped":
            dropped[line["reason"]] += line["packets"]
    assert (came, dropped) == (30_000, Counter({str(DropReason.NOT_BOUND): 30_000}))
    assert len(said) < 4 * (2 * REFUSED + 4)
    assert (tmp_path / "events.jsonl").stat().st_size < 30_000


def packet(number: int) -> bytes:
    source, destination = IPv6Address("2001:db8:100:99::1"), IPv6Address("2001:db8:100:5000::1") + (number << 64)
    return b"\x60" + bytes(7) + source.packed + destination.packed


def test_no_packet_that_was_only_counted_seems_to_be_held(node: Node, journal: Journal, tmp_path: Path) -> None:
    """What is ignored and dropped at once, as what a stranger tunnels, is counted as dropped."""

    async def flood() -> None:
        agent = Daemon(replace(CONFIG, name="mag1", address=MAG), journal, Stopped(), sequence=0)
        for _ in range(1000):
            agent._turn(agent._strayed, Received(packet(1), STRANGER, MAG, CORE, 64))
        agent._tell_counts()
        journal.flush()

    asyncio.run(flood())
    assert sum(line.get("times", 1) for line in lines(tmp_path) if line["event"] == "tunnelled packet") == 1000
    assert held(tmp_path / "events.jsonl") == ()


def test_what_a_peer_says_is_written_whatever_else_was_counted(node: Node, journal: Journal, tmp_path: Path) -> None:
    async def talk() -> None:
        agent = Daemon(CONFIG, journal, Stopped(), sequence=0)
        for _ in range(500):
            agent._turn(lambda: agent._input("received", lambda now: [], source=MAG, message="UNA"))
        journal.flush()

    asyncio.run(talk())
    assert len(lines(tmp_path)) == 500


def test_solicitations_of_one_link_cost_another_nothing(node: Node, journal: Journal, tmp_path: Path) -> None:
    solicitation = bytes((133, 0, 0, 0)) + bytes(4)

    async def flood() -> None:
        agent = Daemon(replace(CONFIG, name="mag1", address=MAG), journal, Stopped(), sequence=0)
        agent._access_links = {1: "mn1-air", 2: "mn2-air"}
        for _ in range(1000):
            agent._turn(agent._neighbour_said, Received(solicitation, IPv6Address("fe80::1"), LMA, 1, 255))
        agent._turn(agent._neighbour_said, Received(solicitation, IPv6Address("fe80::2"), LMA, 2, 255))
        agent._tell_counts()
        journal.flush()

    asyncio.run(flood())
    said = lines(tmp_path)
    ignored = sum(line.get("times", 1) for line in said if line["event"] == "ignored")
    assert ignored == 1000 - SOLICITATIONS_RATE
    assert [line["link"] for line in said if line["event"] == "solicited" and line["link"] == "mn2-air"] == ["mn2-air"]
    assert len(said) < 2 * REFUSED + 20
