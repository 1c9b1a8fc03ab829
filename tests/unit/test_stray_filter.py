"""The eBPF filter of strays, run as the kernel runs it, for the instructions that it uses."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strays import CASES, HOME, MN1, MN2, NOT_IPV6, packet

from agents.linux import socket_filter
from agents.linux.bpf import INSTRUCTION, Instruction
from agents.linux.stray_filter import filter_strays, program

MAP = 77
_WORD = (1 << 32) - 1


def run(steps: tuple[Instruction, ...], attached: Iterable[IPv6Network], data: bytes) -> int:
    """What the kernel's interpreter would return; a load beyond the packet returns 0. The stack is in octets, registers have 64 bits."""
    registers = [0] * 11
    stack = bytearray(512)
    registers[10] = len(stack)
    at = 0
    while True:
        code, both, offset, constant = steps[at]
        to, source = both & 15, both >> 4
        at += 1
        match code:
            case 0x20 | 0x30:
                size = 4 if code == 0x20 else 1
                if constant + size > len(data):
                    return 0
                registers[0] = int.from_bytes(data[constant : constant + size], "big")
                registers[1:6] = [0xBAD] * 5
            case 0xBF:
                registers[to] = registers[source]
            case 0xB4:
                registers[to] = constant & _WORD
            case 0x07:
                registers[to] += constant
            case 0x54:
                registers[to] &= constant & _WORD
            case 0xDC:
                registers[to] = int.from_bytes((registers[to] & _WORD).to_bytes(constant // 8, "big"), "little")
            case 0x63:
                place = registers[to] + offset
                stack[place : place + 4] = (registers[source] & _WORD).to_bytes(4, "little")
            case 0x62:
                place = registers[to] + offset
                stack[place : place + 4] = (constant & _WORD).to_bytes(4, "little")
            case 0x56:
                at += offset if registers[to] & _WORD != constant & _WORD else 0
            case 0x55:
                at += offset if registers[to] != constant else 0
            case 0x18:
                assert (source, steps[at]) == (1, (0, 0, 0, 0))
                registers[to] = constant
                at += 1
            case 0x85:
                assert (constant, registers[1]) == (1, MAP)
                key = stack[registers[2] : registers[2] + 20]
                assert int.from_bytes(key[:4], "little") == 128
                registers[0] = int(any(IPv6Address(bytes(key[4:])) in prefix for prefix in attached))
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"unexpected instruction {code:#x}")


def passes(attached: Iterable[IPv6Network], data: bytes, home: IPv6Network = HOME) -> bool:
    return run(program(home, MAP), attached, data) == _WORD


@pytest.mark.parametrize(("destination", "attached", "expected"), CASES)
def test_passes_home_addresses_that_are_not_attached(destination: str, attached: list[IPv6Network], expected: bool) -> None:
    assert passes(attached, packet(destination)) is expected


def test_drops_what_is_no_ipv6_packet() -> None:
    for data in NOT_IPV6:
        assert run(program(HOME, MAP), (), data) == 0


prefixes = st.builds(lambda address, length: IPv6Network((address, length), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128))
near = st.integers(int(HOME.network_address), int(HOME.broadcast_address))


@given(
    home=st.just(HOME) | prefixes,
    attached=st.lists(prefixes, max_size=5),
    destination=(near | st.integers(0, 2**128 - 1)).map(IPv6Address),
)
def test_agrees_with_ipaddress(home: IPv6Network, attached: list[IPv6Network], destination: IPv6Address) -> None:
    expected = destination in home and not any(destination in prefix for prefix in attached)
    assert passes(attached, packet(destination), home) is expected


@given(prefixes)
def test_every_instruction_fits_the_kernels_structure_and_no_jump_leaves_the_program(home: IPv6Network) -> None:
    steps = program(home, MAP)
    for at, instruction in enumerate(steps):
        assert INSTRUCTION.unpack(INSTRUCTION.pack(*instruction)) == instruction
        if instruction[0] in (0x55, 0x56):
            assert at < at + 1 + instruction[2] < len(steps)


class _Port:
    """A socket whose kernel takes classic filters of so many instructions, and no others."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: tuple[tuple[int, ...], ...] = ()

    def attach(self, steps: tuple[tuple[int, ...], ...]) -> None:
        if len(steps) > self.most:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        self.taken = steps


def test_where_ebpf_is_not_allowed_as_many_are_told_apart_as_a_classic_filter_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid() -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("agents.linux.stray_filter.PrefixMap", forbid)
    port = _Port(len(socket_filter.stray_packets(HOME, [MN1])))
    strays = filter_strays(port, HOME)  # type: ignore[arg-type]
    strays.add(MN1)
    with pytest.raises(OSError, match="no room") as refused:
        strays.add(MN2)
    assert refused.value.errno == errno.ENOSPC
    assert port.taken == socket_filter.stray_packets(HOME, [MN1])
    strays.discard(MN1)
    strays.discard(MN1)
    strays.add(MN2)
    assert port.taken == socket_filter.stray_packets(HOME, [MN2])
