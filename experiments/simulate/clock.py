"""Simulated time: whole nanoseconds, and one heap of what is to happen."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

KERNEL, PROCESS = 0, 1
"""The order of what happens at one moment: kernels hand on what has come before any process runs."""

_Event = tuple[int, int, int, Callable[..., object], tuple[Any, ...]]


class Clock:
    """What happens when. Of what happens at one moment, ``KERNEL`` comes before ``PROCESS``, and then what was asked for first.

    Attributes:
        now: the moment that is being played, in ns since 1970.
        events: how many events have been played.
    """

    def __init__(self, now: int) -> None:
        self.now = now
        self.events = 0
        self._heap: list[_Event] = []
        self._serial = 0

    def at(self, time: int, order: int, call: Callable[..., object], *arguments: Any) -> None:
        """Have ``call`` called with ``arguments`` at ``time`` (ns since 1970); once this has returned where that is past."""
        self._serial += 1
        heappush(self._heap, (max(time, self.now), order, self._serial, call, arguments))

    def run(self, until: int) -> None:
        """Let happen what happens before ``until``, and then let it be ``until``."""
        heap = self._heap
        while heap and heap[0][0] < until:
            self.now, _, _, call, arguments = heappop(heap)
            self.events += 1
            call(*arguments)
        self.now = until
