"""Which socket a Mobility Header comes to: the filters, run as the kernel's interpreter does, over a packet and its interface."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_socket_filter import run

from agents.linux.arrivals import from_others, from_peers, interface_is, interface_is_not, networks
from agents.linux.socket_filter import MAXIMUM_INSTRUCTIONS, Instruction

CORE, TUNNEL, AIR = 2, 7, 300
TRUSTED = CORE, TUNNEL
NETWORK, INTERFACE = 0xFFF00000, 0xFFFFF008
PEER, STRANGER = IPv6Address("2001:db8::1:1"), IPv6Address("2001:db8::bad")
Program = Callable[[tuple[IPv6Network, ...], tuple[int, ...]], tuple[Instruction, ...]]


def passes(program: tuple[Instruction, ...], source: IPv6Address, interface: int) -> bool:
    """Offsets behind NETWORK are moved to a packet's octets, INTERFACE to four octets in front of them."""
    moved = []
    for code, true, false, k in program:
        at = 0 if k == INTERFACE else 4 + k - NETWORK if code == 0x20 else k
        moved.append((code, true, false, at))
    return bool(run(tuple(moved), interface.to_bytes(4, "big") + b"\x60" + bytes(7) + source.packed + bytes(16)))


@pytest.mark.parametrize(
    ("source", "interface", "peer"),
    [(PEER, CORE, True), (PEER, TUNNEL, True), (PEER, AIR, False), (STRANGER, CORE, False), (STRANGER, AIR, False)],
)
def test_only_a_peer_through_the_core_comes_to_the_peers_socket(source: IPv6Address, interface: int, peer: bool) -> None:
    assert passes(from_peers(networks([PEER]), TRUSTED), source, interface) is peer
    assert passes(from_others(networks([PEER]), TRUSTED), source, interface) is not peer


def test_an_agent_without_peers_has_none() -> None:
    assert not passes(from_peers((), TRUSTED), STRANGER, CORE)
    assert passes(from_others((), TRUSTED), STRANGER, CORE)


def test_interfaces() -> None:
    for index in (CORE, TUNNEL, AIR):
        assert passes(interface_is(TRUSTED), STRANGER, index) is (index in TRUSTED)
        assert passes(interface_is_not(TRUSTED), STRANGER, index) is (index not in TRUSTED)


addresses = st.integers(0, 0xFFFF).map(lambda number: PEER + number)


@given(st.lists(addresses, max_size=30), addresses, st.sampled_from([CORE, TUNNEL, AIR]))
def test_every_packet_comes_to_exactly_one_socket(peers: list[IPv6Address], source: IPv6Address, interface: int) -> None:
    peer = passes(from_peers(networks(peers), TRUSTED), source, interface)
    assert peer is (source in peers and interface in TRUSTED)
    assert passes(from_others(networks(peers), TRUSTED), source, interface) is not peer


@pytest.mark.parametrize("program", [from_peers, from_others])
def test_however_many_peers_there_are_a_program_has_room_and_knows_them(program: Program) -> None:
    peers = [IPv6Address((0x20010DB8 << 96) + (number << 65) + 1) for number in range(5000)]
    made = program(networks(peers), TRUSTED)
    assert len(made) <= MAXIMUM_INSTRUCTIONS
    assert all(passes(made, peer, CORE) is (program is from_peers) for peer in peers[::97])
