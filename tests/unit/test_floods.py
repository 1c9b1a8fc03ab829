"""What an agent holds in memory does not grow by what others send (docs/security.md, "Floods")."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from memory_network import EPOCH, LMA, hoa_of, sent
from test_revocation import gateway, indication

from agents.actions import Action, Drop, DropReason
from agents.ordering import Recent

MEGABYTE = 1_000_000
ELSEWHERE = IPv6Address("2001:db8:100:5000::1")


def grown(flood: Callable[[], object]) -> int:
    """The octets that are held once a flood is over, and were not before."""
    gc.collect()
    tracemalloc.start()
    try:
        flood()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def packet(number: int, size: int) -> tuple[IPv6Address, bytes]:
    """One from host 1 for an address that nobody has, 20 for each."""
    hoa = ELSEWHERE + (number // 20 << 64)
    return hoa, b"\x60" + bytes(7) + hoa_of(1).packed + hoa.packed + bytes(size)


def test_one_node_has_its_mag_hold_no_more_than_half_of_what_it_may() -> None:
    mag = gateway("s-pmip", buffer_total=4 * MEGABYTE)

    def flood() -> None:
        for number in range(20_000):
            hoa, data = packet(number, 1000)
            mag.packet_for(hoa, data, EPOCH + number / 2000)

    assert MEGABYTE < grown(flood) < 4 * MEGABYTE


def test_queries_that_fail_are_remembered_up_to_a_number() -> None:
    mag = gateway("s-pmip", query_failure=3600.0, query_rate=1e6, query_tries=1, query_timeout=0.001, buffer_packets=0)
    addresses = [ELSEWHERE + (number << 64) for number in range(17_000)]

    def said(hoa: IPv6Address, now: float) -> list[Action]:
        return mag.packet_for(hoa, b"\x60" + bytes(7) + hoa_of(1).packed + hoa.packed, now)

    for start in range(0, len(addresses), 1000):
        for hoa in addresses[start : start + 1000]:
            said(hoa, EPOCH + start / 1000)
        mag.timeout(EPOCH + start / 1000 + 0.5)
    assert [action.reason for action in said(addresses[-1], EPOCH + 18) if isinstance(action, Drop)] == [DropReason.UNREACHABLE]
    assert sent(said(addresses[0], EPOCH + 18), "PBQ")


def test_ever_new_revocations_are_remembered_up_to_a_number() -> None:
    mag = gateway("s-pmip", revocation_tries=100, revocation_timeout_max=3600.0)

    def flood() -> None:
        for number in range(8_000):
            mag.receive(replace(indication(mn_id=f"mn{number}@elsewhere.example"), sequence=number & 0xFFFF), LMA, EPOCH + 1)

    assert grown(flood) < 4.5 * MEGABYTE


@pytest.mark.parametrize("most", [1, 100])
def test_of_what_is_remembered_for_a_time_the_oldest_goes_first(most: int) -> None:
    recent: Recent[int] = Recent(10.0, most)
    for key in range(1000):
        recent.note(key, 0.0)
    assert [key for key in range(1000) if recent.knows(key, 0.0)] == list(range(1000 - most, 1000))
