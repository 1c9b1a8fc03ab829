from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strays import CASES, HOME, MN1, NOT_IPV6, packet

from agents.linux.socket_filter import INSTRUCTION, Instruction, assemble, headers_within, longer_than, stray_packets
from agents.linux.tunnel_fragments import least_path


def run(program: tuple[Instruction, ...], data: bytes, kind: int = 0) -> int:
    """What the kernel's interpreter would return, for the instructions used here; a load beyond the packet returns 0."""
    accumulator = at = 0
    while True:
        code, true, false, k = program[at]
        at += 1
        if code == 0x30 and k == 0xFFFFF004:
            accumulator = kind
        elif code in (0x20, 0x30):
            size = 4 if code == 0x20 else 1
            if k + size > len(data):
                return 0
            accumulator = int.from_bytes(data[k : k + size], "big")
        elif code == 0x80:
            accumulator = len(data)
        elif code == 0x25:
            at += true if accumulator > k else false
        elif code == 0x54:
            accumulator &= k
        elif code == 0x15:
            at += true if accumulator == k else false
        elif code == 0x05:
            at += k
        elif code == 0x06:
            return k
        else:
            raise AssertionError(f"unexpected instruction {code:#x}")


@pytest.mark.parametrize(("destination", "attached", "passes"), CASES)
def test_passes_home_addresses_that_are_not_attached(destination: str, attached: list[IPv6Network], passes: bool) -> None:
    assert bool(run(stray_packets(HOME, attached), packet(destination))) is passes


def test_drops_what_is_no_ipv6_packet() -> None:
    for data in NOT_IPV6:
        assert run(stray_packets(HOME, []), data) == 0


prefixes = st.builds(
    lambda address, length: IPv6Network((address, length), strict=False),
    st.integers(int(HOME.network_address), int(HOME.broadcast_address)),
    st.integers(40, 128),
)


@given(
    attached=st.lists(prefixes, max_size=5),
    destination=st.one_of(
        st.integers(int(HOME.network_address), int(HOME.broadcast_address)),
        st.integers(0, 2**128 - 1),
    ).map(IPv6Address),
)
def test_agrees_with_ipaddress(attached: list[IPv6Network], destination: IPv6Address) -> None:
    expected = destination in HOME and not any(destination in prefix for prefix in attached)
    assert bool(run(stray_packets(HOME, attached), packet(destination))) is expected
    for prefix in attached:
        assert run(stray_packets(HOME, attached), packet(prefix[0])) == 0


def test_octets_are_the_kernels_structure() -> None:
    program = stray_packets(HOME, [MN1])
    octets = assemble(program)
    assert len(octets) == 8 * len(program)
    assert tuple(INSTRUCTION.iter_unpack(octets)) == program


def test_too_many_attached_prefixes_are_refused() -> None:
    with pytest.raises(ValueError, match="4096"):
        stray_packets(HOME, HOME.subnets(new_prefix=56))


@pytest.mark.parametrize(
    ("source", "destination", "passes"),
    [
        ("2001:db8:100:1::5", "2001:db8:100:2::5", True),
        ("2001:db8:1ff:ffff::1", "2001:db8:100::", True),
        ("2001:db8:200::1", "2001:db8:100:2::5", False),
        ("2001:db8:100:1::5", "2001:db8:200::1", False),
        ("2001:db8:0:1::1", "ff15::5213", False),
    ],
)
def test_passes_only_the_headers_of_what_home_addresses_send_to_each_other(source: str, destination: str, passes: bool) -> None:
    assert run(headers_within(HOME), packet(destination, source)) == (40 if passes else 0)
    assert run(headers_within(HOME), packet(destination, source)[:39]) == 0
    assert run(headers_within(HOME), b"\x40" + packet(destination, source)[1:]) == 0


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.integers(0, 128))
def test_headers_are_passed_as_a_prefix_match_says(source: IPv6Address, destination: IPv6Address, length: int) -> None:
    home = IPv6Network((source, length), strict=False)
    assert bool(run(headers_within(home), packet(destination, str(source)))) is (destination in home)


@pytest.mark.parametrize(("octets", "kind", "passes"), [(1240, 4, False), (1241, 4, True), (1280, 4, True), (1280, 0, False)])
def test_large_packets_are_those_that_leave_and_are_longer(octets: int, kind: int, passes: bool) -> None:
    assert bool(run(longer_than(1240), bytes(octets), kind)) is passes


@pytest.mark.parametrize(("said", "means"), [(1300, 1300), (1280, 1280), (576, 1280), (0, 1280)])
def test_no_path_takes_less_than_ipv6_asks_of_a_link(said: int, means: int) -> None:
    """RFC 8201, 4: a node must not reduce its estimate below the minimum link MTU."""
    assert least_path(bytes((2, 0, 0, 0)) + said.to_bytes(4, "big")) == means
