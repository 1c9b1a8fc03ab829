from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agents.tally import HELD, REFUSED, Count, Kind, Tally

SECOND = 1_000_000_000
EPOCH = 1_704_067_200 * SECOND
DROPPED = Kind("packet", None, "dropped", "query rate limited")
IGNORED = Kind("received", "mn1-air", "ignored", "from an access link")
WAITS = Kind("packet", None, None, None)


def test_the_first_of_a_kind_are_written_and_the_others_counted_by_the_second() -> None:
    tally = Tally()
    assert sum(tally.writes(IGNORED, "::1", EPOCH + number) for number in range(5000)) == REFUSED
    assert tally.writes(DROPPED, None, EPOCH + 5000)
    assert list(tally.take(EPOCH + SECOND - 1)) == []
    assert tally.ends == EPOCH + SECOND
    assert list(tally.take(EPOCH + SECOND)) == [Count(IGNORED, "::1", EPOCH + 4999, 5000 - REFUSED)]
    assert tally.ends is None
    assert tally.writes(IGNORED, "::1", EPOCH + SECOND)


def test_what_waits_is_written_for_longer() -> None:
    tally = Tally()
    assert sum(tally.writes(WAITS, None, EPOCH) for _ in range(5000)) == HELD
    assert list(tally.take()) == [Count(WAITS, None, EPOCH, 5000 - HELD)]
    assert list(tally.take()) == []


def test_ever_new_sources_are_no_ever_new_lines() -> None:
    tally = Tally()
    for number in range(100_000):
        tally.writes(IGNORED, number, EPOCH)
    counts = list(tally.take())
    assert len(counts) < 10
    assert sum(count.times for count in counts) == 100_000 - REFUSED


@given(st.lists(st.tuples(st.sampled_from([DROPPED, IGNORED, WAITS]), st.integers(0, 3), st.integers(0, SECOND // 50)), max_size=400))
def test_nothing_is_lost_or_told_twice(events: list[tuple[Kind, int, int]]) -> None:
    tally, now, told, happened = Tally(), EPOCH, Counter[Kind](), Counter[Kind]()
    for kind, source, passed in events:
        now += passed
        for count in tally.take(now):
            told[count.kind] += count.times
        told[kind] += tally.writes(kind, source, now)
        happened[kind] += 1
    for count in tally.take():
        told[count.kind] += count.times
    assert told == happened
