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
    buffers, now, came, gone = Buffers(SETTINGS), 0.0, [], []
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
