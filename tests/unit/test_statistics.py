"""Mean, deviation and interval, against tables."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.measure.statistics import Statistics, describe, student_t


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (30, 2.0423), (120, 1.9799)])
def test_quantiles_of_the_table(freedom: int, t: float) -> None:
    assert student_t(0.975, freedom) == pytest.approx(t, abs=5e-5)


def test_many_degrees_of_freedom_approach_the_normal_distribution() -> None:
    assert student_t(0.975, 20000) == pytest.approx(statistics.NormalDist().inv_cdf(0.975), abs=2e-4)


def test_one_value_has_no_spread() -> None:
    assert describe([7.5]) == Statistics(1, 7.5, 0.0, 0.0)


def test_equal_values_have_no_spread() -> None:
    assert describe([2.0] * 5) == Statistics(5, 2.0, 0.0, 0.0)


def test_an_example() -> None:
    assert describe([1.0, 2.0, 3.0]) == Statistics(3, 2.0, 1.0, pytest.approx(4.30265 / math.sqrt(3), abs=1e-4))  # type: ignore[arg-type]


def test_nothing_cannot_be_described() -> None:
    with pytest.raises(ValueError, match="no values"):
        describe([])


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40))
def test_deviation_is_that_of_the_standard_library(values: list[float]) -> None:
    assert describe(values).sd == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-6)
