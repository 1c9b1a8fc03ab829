"""Moves and flows of many hosts, drawn from a seed: what a large domain's scenario consists of.

Each host, and each kind of draw, has a stream of random numbers of its own, so that what one host does changes nothing about another.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from types import MappingProxyType

from experiments.declare.scenario import Flow, Move

RESIDENCES: Mapping[str, Callable[[random.Random, float, float], float]] = MappingProxyType(
    {
        "exponential": lambda draw, mean, shape: draw.expovariate(1 / mean),
        "gamma": lambda draw, mean, shape: draw.gammavariate(shape, mean / shape),
    }
)
"""How long a host stays at a MAG, in s, by the distribution's name: from the mean, and for ``gamma`` the shape."""


@dataclass(frozen=True, slots=True)
class RandomWay:
    """Each host goes at random from cell to neighbouring cell of a grid, in which every MAG is a cell.

    Attributes:
        residence: how long a host stays in a cell, one of RESIDENCES.
        mean: the mean of that, in s.
        shape: the shape of ``gamma``: below 1 most stays are short and few very long, above 1 they are alike.
        gap: how long a host is without a link on the way, in s.
    """

    mean: float
    residence: str = "exponential"
    shape: float = 2.0
    gap: float = 0.05

    def __post_init__(self) -> None:
        if self.residence not in RESIDENCES:
            raise ValueError(f"expected residence times to be one of {', '.join(RESIDENCES)}, not {self.residence!r}")
        if not (self.mean > 0 and self.shape > 0 and self.gap >= 0):
            raise ValueError("expected a mean and a shape above 0, and a gap of 0 or more")

    def moves(self, places: Mapping[str, str], mags: Sequence[str], duration: float, seed: int) -> Iterator[Move]:
        """The moves of all hosts until ``duration`` s, in the order of their times; ``places`` says at which MAG each host is at first.

        A host that has left a MAG begins its stay at the next once it has come there. In a grid of one cell nobody moves.
        """
        grid = Grid(mags)
        if len(grid) < 2:
            return
        draws = {host: random.Random(f"{seed} moves {host}") for host in places}
        stay = RESIDENCES[self.residence]
        here = {host: grid.cell(mag) for host, mag in places.items()}
        due = [(stay(draws[host], self.mean, self.shape), host) for host in places]
        heapify(due)
        while due and due[0][0] < duration:
            at, host = due[0]
            here[host] = draws[host].choice(grid.neighbours(here[host]))
            yield Move(at, host, mags[here[host]], l2_gap=self.gap)
            heapreplace(due, (at + self.gap + stay(draws[host], self.mean, self.shape), host))


class Grid:
    """MAGs as the cells of a grid, row by row, as square as their number allows; the last row may be shorter."""

    def __init__(self, mags: Sequence[str]) -> None:
        self._cells = {mag: cell for cell, mag in enumerate(mags)}
        self._columns = max(1, math.isqrt(len(mags) - 1) + 1) if mags else 1

    def __len__(self) -> int:
        return len(self._cells)

    def cell(self, mag: str) -> int:
        """The number of a MAG's cell; KeyError where it has none."""
        return self._cells[mag]

    def neighbours(self, cell: int) -> list[int]:
        """The cells above, left, right and below."""
        column, columns, count = cell % self._columns, self._columns, len(self._cells)
        beside = ((cell - columns, True), (cell - 1, column > 0), (cell + 1, column < columns - 1), (cell + columns, True))
        return [other for other, there in beside if there and 0 <= other < count]


@dataclass(frozen=True, slots=True)
class RandomPairs:
    """Sessions between hosts drawn at random, which begin by a Poisson process and have exponentially distributed lengths.

    Attributes:
        interval: how many s pass on average between two sessions that one host begins.
        packets: how many packets a session has on average; each has one at least.
        rate: packets/s of a session.
        size: bytes of UDP payload of each packet.
    """

    interval: float
    packets: float = 50.0
    rate: float = 97.0
    size: int = 100

    def __post_init__(self) -> None:
        if not (self.interval > 0 and self.packets > 0 and self.rate > 0 and self.size > 0):
            raise ValueError("expected an interval, packets, a rate and a size above 0")

    def flows(self, hosts: Sequence[str], duration: float, seed: int) -> Iterator[Flow]:
        """The sessions that begin before ``duration`` s, in the order of their times; none where there are no two hosts."""
        if len(hosts) < 2:
            return
        draw = random.Random(f"{seed} flows")
        at = draw.expovariate(len(hosts) / self.interval)
        while at < duration:
            source, destination = draw.sample(hosts, 2)
            packets = max(1, round(draw.expovariate(1 / self.packets)))
            yield Flow(source, destination, at, packets / self.rate, self.rate, self.size)
            at += draw.expovariate(len(hosts) / self.interval)
