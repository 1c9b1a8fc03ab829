"""Moves and flows drawn from a seed: they repeat, they have the means that were asked for, and hosts walk from cell to cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from statistics import mean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.declare.patterns import Grid, RandomPairs, RandomWay

MAGS = [f"mag{number}" for number in range(1, 11)]
PLACES = {f"mn{number}": MAGS[number % 10] for number in range(200)}
HOSTS = list(PLACES)


def stays(way: RandomWay) -> list[float]:
    """How long hosts stay, of those stays that end within a long time."""
    came: dict[str, float] = defaultdict(float)
    lengths = []
    for move in way.moves(PLACES, MAGS, 10_000.0, 1):
        lengths.append(move.at - came[move.mn])
        came[move.mn] = move.at + move.l2_gap
    return lengths


@pytest.mark.parametrize(("way", "variance"), [(RandomWay(50.0), 1.0), (RandomWay(50.0, "gamma", 4.0), 0.25)])
def test_stays_have_the_distribution_that_was_asked_for(way: RandomWay, variance: float) -> None:
    lengths = stays(way)
    assert len(lengths) > 30_000
    assert mean(lengths) == pytest.approx(50.0, rel=0.03)
    assert pvariance(lengths) / 50.0**2 == pytest.approx(variance, rel=0.06)


def test_a_host_walks_from_cell_to_neighbouring_cell_in_the_order_of_time() -> None:
    grid, here = Grid(MAGS), dict(PLACES)
    moves = list(RandomWay(100.0).moves(PLACES, MAGS, 600.0, 7))
    for move in moves:
        assert grid.cell(move.to) in grid.neighbours(grid.cell(here[move.mn]))
        here[move.mn] = move.to
    assert all(one.at <= other.at for one, other in pairwise(moves))
    assert set(here.values()) == set(MAGS)


def test_what_one_host_does_changes_nothing_about_another() -> None:
    way, few = RandomWay(100.0), {host: PLACES[host] for host in HOSTS[:5]}
    alone = list(way.moves(few, MAGS, 600.0, 7))
    assert alone == [move for move in way.moves(PLACES, MAGS, 600.0, 7) if move.mn in few]
    assert alone != list(way.moves(few, MAGS, 600.0, 8))


@given(st.integers(1, 200))
def test_neighbours_are_mutual_and_join_all_cells(count: int) -> None:
    grid = Grid([str(number) for number in range(count)])
    reached, seen = [0], {0}
    for cell in reached:
        for other in grid.neighbours(cell):
            assert cell in grid.neighbours(other)
            if other not in seen:
                seen.add(other)
                reached.append(other)
    assert seen == set(range(count))


def test_sessions_begin_and_last_as_was_asked_for() -> None:
    flows = list(RandomPairs(interval=100.0, packets=50.0).flows(HOSTS, 5_000.0, 1))
    assert len(flows) == pytest.approx(200 * 5_000 / 100, rel=0.03)
    assert mean(flow.packets for flow in flows) == pytest.approx(50.0, rel=0.03)
    assert all(flow.source != flow.destination and flow.packets >= 1 for flow in flows)
    assert all(one.start <= other.start < 5_000 for one, other in pairwise(flows))
    assert {name for flow in flows for name in (flow.source, flow.destination)} == set(HOSTS)
    assert flows == list(RandomPairs(interval=100.0, packets=50.0).flows(HOSTS, 5_000.0, 1))


def test_where_there_is_nowhere_to_go_or_nobody_to_speak_to_nothing_happens() -> None:
    assert list(RandomWay(1.0).moves({"mn1": "mag1"}, ["mag1"], 100.0, 1)) == []
    assert list(RandomPairs(1.0).flows(["mn1"], 100.0, 1)) == []


CANNOT = [
    lambda: RandomWay(0.0),
    lambda: RandomWay(1.0, "normal"),
    lambda: RandomWay(1.0, gap=-1.0),
    lambda: RandomPairs(0.0),
    lambda: RandomPairs(1.0, packets=0),
]


@pytest.mark.parametrize("make", CANNOT)
def test_what_cannot_be_drawn_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()
