from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network

from hypothesis import given
from hypothesis import strategies as st
from memory_network import hoa_of, prefix_of

from agents.actions import Drop, DropReason
from agents.buffering import Buffers
from agents.config import Settings

HOA = hoa_of(1)
SETTINGS = Settings(buffer_packets=3, buffer_bytes=1000, buffer_time=5.0)


def test_packets_leave_in_the_order_in_which_they_came() -> None:
    buffers = Buffers(SETTINGS)
    for data in (b"a", b"b", b"c"):
        assert buffers.add(HOA, data, 0.0) == []
    assert buffers.take(HOA) == (b"a", b"b", b"c")
    assert buffers.take(HOA) == ()
    assert buffers.next_timeout is None


def test_a_full_buffer_drops_its_tail_by_packets() -> None:
    buffers = Buffers(SETTINGS)
    for data in (b"a", b"b", b"c"):
        buffers.add(HOA, data, 0.0)
    assert buffers.add(HOA, b"d", 0.0) == [Drop((b"d",), DropReason.BUFFER_FULL)]
    assert buffers.add(hoa_of(2), b"d", 0.0) == []
    assert buffers.take(HOA) == (b"a", b"b", b"c")


def test_a_full_buffer_drops_its_tail_by_bytes() -> None:
    buffers = Buffers(SETTINGS)
    assert buffers.add(HOA, bytes(600), 0.0) == []
    assert buffers.add(HOA, bytes(401), 0.0) == [Drop((bytes(401),), DropReason.BUFFER_FULL)]
    assert buffers.add(HOA, bytes(400), 0.0) == []


def test_buffering_that_is_off_drops_and_says_so() -> None:
    buffers = Buffers(replace(SETTINGS, buffer_packets=0))
    assert buffers.add(HOA, b"a", 0.0) == [Drop((b"a",), DropReason.BUFFER_OFF)]


def test_packets_are_dropped_once_held_for_too_long() -> None:
    buffers = Buffers(SETTINGS)
    buffers.add(HOA, b"a", 0.0)
    buffers.add(HOA, b"b", 1.0)
    assert buffers.next_timeout == 5.0
    assert buffers.timeout(4.9) == []
    assert buffers.timeout(5.0) == [Drop((b"a",), DropReason.BUFFER_TIMEOUT)]
    assert buffers.next_timeout == 6.0
    assert buffers.timeout(7.0) == [Drop((b"b",), DropReason.BUFFER_TIMEOUT)]
    assert buffers.next_timeout is None
    assert buffers.within(prefix_of(1)) == ()


def test_home_addresses_are_found_by_prefix() -> None:
    buffers = Buffers(SETTINGS)
    for hoa in (hoa_of(2), HOA, hoa_of(1) + 1):
        buffers.add(hoa, b"a", 0.0)
    assert buffers.within(prefix_of(1)) == (HOA, hoa_of(1) + 1)
    assert buffers.within(IPv6Network("2001:db8:100::/40")) == (hoa_of(2), HOA, hoa_of(1) + 1)
    assert buffers.drain() == (b"a", b"a", b"a")


@given(st.lists(st.tuples(st.sampled_from(["add", "take", "wait"]), st.integers(1, 2), st.integers(1, 500)), max_size=80))
def test_every_packet_leaves_once_or_is_dropped_once(steps: list[tuple[str, int, int]]) -> None:
    buffers, now = Buffers(SETTINGS), 0.0
    came: list[bytes] = []
    gone: list[bytes] = []
    for number, (step, host, size) in enumerate(steps):
        if step == "add":
            data = number.to_bytes(4, "big") + bytes(size)
            came.append(data)
            actions = buffers.add(hoa_of(host), data, now)
        elif step == "take":
            taken = buffers.take(hoa_of(host))
            assert list(taken) == sorted(taken)
            gone += taken
            continue
        else:
            now += size / 100
            actions = buffers.timeout(now)
            assert buffers.next_timeout is None or buffers.next_timeout > now
        gone += [data for action in actions if isinstance(action, Drop) for data in action.packets]
    assert sorted([*gone, *buffers.drain()]) == came


def packet(sender: int, size: int) -> bytes:
    return bytes(8) + sender.to_bytes(8, "big") + bytes(size - 16)


def test_all_home_addresses_together_have_a_bound_of_which_one_sender_gets_half() -> None:
    buffers = Buffers(Settings(buffer_total=1_000_000))
    for number in range(10_000):
        buffers.add(hoa_of(number % 50 + 1), packet(1, 100), 0.0)
    assert 499_000 < buffers.taken <= 500_000
    assert buffers.add(hoa_of(60), packet(1, 100), 0.0) == [Drop((packet(1, 100),), DropReason.BUFFERS_FULL)]
    for sender in range(2, 60):
        assert buffers.add(hoa_of(60), packet(sender, 100), 0.0) == []
    assert buffers.taken <= 1_000_000
    buffers.drain()
    assert buffers.taken == 0
    assert buffers.add(hoa_of(60), packet(1, 100), 0.0) == []


def test_what_is_held_for_too_long_leaves_room() -> None:
    buffers = Buffers(Settings(buffer_total=1000, buffer_time=5.0))
    assert buffers.add(HOA, packet(1, 100), 0.0) == []
    assert buffers.add(HOA, packet(1, 100), 1.0) != []
    buffers.timeout(5.0)
    assert buffers.taken == 0
    assert buffers.add(HOA, packet(1, 100), 6.0) == []


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(16, 3000), st.floats(0, 3)), max_size=200))
def test_no_sender_takes_all_and_nothing_stays_taken(arrivals: list[tuple[int, int, int, float]]) -> None:
    buffers, now = Buffers(Settings(buffer_total=20_000, buffer_bytes=9000, buffer_time=5.0)), 0.0
    for hoa, sender, size, passed in arrivals:
        now += passed
        buffers.timeout(now)
        buffers.add(hoa_of(hoa), packet(sender, size), now)
        assert buffers.taken <= 20_000
    buffers.timeout(now + 5.0)
    assert buffers.taken == 0
