"""What an agent with a key answers to who has none: nothing that it signs, and no more ICMPv6 errors than RFC 4443, 2.4 (f), allows."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_effects import CONFIG, CORE, LMA, MAG, Node, journal, node

from agents import endpoint
from agents.actions import Action, ParameterProblem, Unreachable
from agents.authentication import Protected, Unprotected, protection
from agents.config import QueryFlag, Settings
from agents.header_errors import ERROR_RATE
from agents.linux.daemon import Clock, Daemon
from agents.linux.effects import Effects
from agents.linux.journal import Journal
from agents.linux.sockets import Received
from agents.messages import BindingError, decode, ipv6_packet

__all__ = ["journal", "node"]

KEYED = replace(CONFIG, name="mag1", address=MAG, settings=Settings(authentication_key=bytes(range(16)).hex()))
UNKNOWN_TYPE = bytes.fromhex("3b01ff00 0000 0000 0000 0000 00000000")
WRONG_PAYLOAD = bytes.fromhex("3a010500 0000 0001 c200 0001 00000000")


class Wire(Node):
    """What leaves the agent as it leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.errors: list[bytes] = []

    def send(self, data: bytes, destination: Any) -> None:
        self.sent.append(data)

    def send_from(self, *arguments: Any) -> None:
        self.errors.append(arguments[3])


@pytest.fixture
def wire(node: Node, monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    for name in ("DataPlane", "MobilitySocket", "filter_strays", "TunnelSocket", "NeighbourSocket", "Tun"):
        monkeypatch.setattr(f"agents.linux.effects.{name}", lambda *_, **__: wire)
    return wire


def signed(keeper: Unprotected, now: float) -> bytes:
    """A message of a type that this project does not know, as a peer that has the key and a newer version would sign it."""
    assert isinstance(keeper, Protected)
    data = keeper.octets(BindingError(status=1, home_address=LMA), LMA, MAG, now)
    other = data[:2] + b"\xff" + data[3:]
    at = keeper._authenticator_at(other)
    assert at is not None
    return other[:at] + keeper._authenticator(other[:at], LMA, MAG) + other[at + 12 :]


def told(wire: Wire, journal: Journal, messages: list[bytes], config: Any = KEYED) -> list[Any]:
    """What an agent sends for these octets, all of which seem to come from the LMA."""
    burst = [Received(data, LMA, MAG, CORE, 64) for data in messages]
    port: Any = type("Port", (), {"receive": lambda self: burst.pop(0) if burst else None})()

    async def turn() -> None:
        daemon = Daemon(config, journal, Clock(), sequence=0)
        daemon._turn(daemon._on_signalling, port)

    asyncio.run(turn())
    return [decode(data) for data in wire.sent]


def test_an_unknown_type_is_not_answered_where_it_is_not_authenticated(wire: Wire, journal: Journal) -> None:
    stranger = Protected(QueryFlag.DRAFT, 256, bytes(16), 7.0)
    assert told(wire, journal, [UNKNOWN_TYPE, signed(stranger, Clock().now() * 1e-9), b"\x3b", b""]) == []


def test_a_peer_that_has_the_key_is_answered_once(wire: Wire, journal: Journal) -> None:
    now = Clock().now() * 1e-9
    data = signed(protection(KEYED.settings), now)
    old = signed(protection(KEYED.settings), now - 3600)
    (error,) = told(wire, journal, [data, data, old])
    assert (error.status, error.authentication is not None) == (2, True)


def test_without_a_key_everybody_is_answered(wire: Wire, journal: Journal) -> None:
    (error,) = told(wire, journal, [UNKNOWN_TYPE], replace(KEYED, settings=Settings()))
    assert (error.status, error.authentication) == (2, None)


def test_an_icmpv6_error_is_not_signed_and_needs_no_key(wire: Wire, journal: Journal) -> None:
    assert told(wire, journal, [WRONG_PAYLOAD]) == []
    assert [error[:2] for error in wire.errors] == [b"\x04\x00"]


def test_errors_of_all_kinds_are_rate_limited_together_and_what_is_withheld_is_counted(
    wire: Wire, journal: Journal, tmp_path: Path
) -> None:
    edge = endpoint.start(KEYED, 1.0)
    packet = ipv6_packet(UNKNOWN_TYPE, LMA, MAG)
    both: list[Action] = [Unreachable(packet), ParameterProblem(packet, 40)]
    asked = ((both * 2000, 1), (both[:1], 2), (both[:1] * 50, 2))
    effects = [(effect, now) for actions, now in asked for effect in edge.encode(actions, now)]
    effects += [(effect, 3) for effect in edge.stop(3.0)]
    agent = Effects(KEYED, journal)
    for effect, now in effects:
        agent.carry_out(effect, now * 1_000_000_000)
    assert len(wire.errors) == 2 * ERROR_RATE
    journal.flush()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line["packets"] for line in lines if line["event"] == "errors withheld"] == [4000 - 10, 41]
    assert len(lines) == 2 * 10 + 2
