from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.messages import timestamp_from_seconds
from agents.ordering import Ordering, RateLimit, Recent, TokenBuckets
from agents.timers import Exchanges, Timers, earliest


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 20))), max_size=200))
def test_timers_do_what_a_plain_table_does(operations: list[tuple[int, int | None]]) -> None:
    timers: Timers[int] = Timers()
    table: dict[int, int] = {}
    for key, when in operations:
        if when is None:
            timers.cancel(key)
            table.pop(key, None)
        else:
            timers.set(key, when)
            table.pop(key, None)
            table[key] = when
        assert timers.next == min(table.values(), default=None)
    due = list(timers.due(10))
    assert due == [key for key, when in sorted(table.items(), key=lambda item: item[1]) if when <= 10]
    assert timers.next == min((when for when in table.values() if when > 10), default=None)


def test_timers_set_over_and_over_stay_small() -> None:
    timers: Timers[str] = Timers()
    for when in range(100_000):
        timers.set("refresh", when)
    assert len(timers._heap) < 200
    assert timers.next == 99_999


def test_an_exchange_doubles_its_waits_up_to_the_longest_and_gives_up() -> None:
    exchanges: Exchanges[str] = Exchanges(1.0, longest=3.0, tries=4)
    exchanges.begin("a", 0.0)
    seen = []
    while exchanges.next is not None:
        now = exchanges.next
        seen += [(now, again) for _, again in exchanges.due(now)]
    assert seen == [(1.0, True), (3.0, True), (6.0, True), (9.0, False)]
    assert "a" not in exchanges


def test_an_exchange_that_ends_sends_no_more() -> None:
    exchanges: Exchanges[str] = Exchanges(1.0)
    exchanges.begin("a", 0.0)
    exchanges.end("a")
    exchanges.end("never begun")
    assert exchanges.next is None
    assert list(exchanges.due(100.0)) == []


def test_earliest_of_nothing_is_never() -> None:
    assert earliest(None, None) is None
    assert earliest(None, 2.0, 1.0) == 1.0


def test_sequence_numbers_wrap_and_timestamps_never_repeat() -> None:
    ordering = Ordering(sequence=0xFFFF)
    assert [ordering.sequence(), ordering.sequence()] == [0xFFFF, 0]
    first = ordering.timestamp(5.0)
    assert first == timestamp_from_seconds(5.0)
    assert ordering.timestamp(5.0) == first + 1
    assert ordering.timestamp(4.0) == first + 2


def test_recent_forgets_after_its_time() -> None:
    recent: Recent[str] = Recent(1.0)
    recent.note("a", 0.0)
    recent.note("b", 0.5)
    assert recent.knows("a", 0.9)
    assert not recent.knows("a", 1.0)
    assert recent.knows("b", 1.0)
    recent.note("b", 1.2)
    assert recent.knows("b", 2.0)
    recent.forget("b")
    assert not recent.knows("b", 2.0)


def test_token_buckets_are_separate_and_refill() -> None:
    buckets: TokenBuckets[str] = TokenBuckets(2.0)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.take("b", 0.0)
    assert not buckets.take("a", 0.4)
    assert buckets.take("a", 0.5)


def test_a_rate_limit_holds_in_every_second() -> None:
    limit: RateLimit[str] = RateLimit(3)
    assert [limit.take("a", now) for now in (0.0, 0.5, 0.75, 0.875)] == [0.0, 0.5, 0.75, 1.0]
    assert limit.take("b", 0.875) == 0.875
    assert [limit.take("a", now) for now in (1.0, 1.25, 1.5)] == [1.0, 1.5, 1.5]
