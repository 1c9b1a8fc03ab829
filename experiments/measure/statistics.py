"""Mean, standard deviation and the 95 % confidence interval of a few repetitions (Student's t), exact and without dependencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of n values: their mean, sample standard deviation and half the width of the mean's 95 % interval; the last two are 0 for n = 1."""

    n: int
    mean: float
    sd: float
    ci95: float


def describe(values: Sequence[float]) -> Statistics:
    """The statistics of one or more values; ValueError for none."""
    n = len(values)
    if n == 0:
        raise ValueError("no values to describe")
    mean = math.fsum(values) / n
    if n == 1:
        return Statistics(1, mean, 0.0, 0.0)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Statistics(n, mean, sd, student_t(0.975, n - 1) * sd / math.sqrt(n))


def student_t(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution for a probability from 0.5 up to, but not including, 1; found by bisection."""
    low, high = 0.0, 1.0
    while _student_t_cdf(high, freedom) < probability:
        low, high = high, high * 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _student_t_cdf(middle, freedom) < probability else (low, middle)
    return high


def _student_t_cdf(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0, by the finite series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for step in range(2 + odd, freedom, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    within = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + within / 2
