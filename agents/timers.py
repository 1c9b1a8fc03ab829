"""Timers for objects that have no clock: what is due, in order of time, without looking at what is not."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """At most one timer for each key; setting, cancelling and firing cost O(log n)."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._set: dict[K, tuple[float, int]] = {}
        self._serial = 0

    def __contains__(self, key: K) -> bool:
        return key in self._set

    def set(self, key: K, when: float) -> None:
        """Let ``key`` fire at ``when`` and at no other time."""
        self._serial += 1
        self._set[key] = (when, self._serial)
        heappush(self._heap, (when, self._serial, key))
        if len(self._heap) > 2 * len(self._set) + 64:
            self._heap = [(when, serial, key) for key, (when, serial) in self._set.items()]
            heapify(self._heap)

    def cancel(self, key: K) -> None:
        """Let ``key`` not fire; nothing happens where it has no timer."""
        self._set.pop(key, None)

    @property
    def next(self) -> float | None:
        """When the next timer fires, or None where none is set."""
        while self._heap and self._set.get(self._heap[0][2]) != self._heap[0][:2]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[K]:
        """Take the keys whose time has come, earliest first, and of one time in the order in which they were set."""
        while (when := self.next) is not None and when <= now:
            key = heappop(self._heap)[2]
            del self._set[key]
            yield key


@dataclass(slots=True)
class _Exchange:
    sent: int
    wait: float


class Exchanges(Generic[K]):
    """When to send again what is not answered: at once, after ``timeout``, and then after twice as long each time.

    Attributes:
        timeout: s from the first sending to the second.
        longest: the most s that doubling reaches.
        tries: how often something is sent, or None for until it is answered.
    """

    def __init__(self, timeout: float, longest: float = inf, tries: int | None = None) -> None:
        self.timeout = timeout
        self.longest = longest
        self.tries = tries
        self._open: dict[K, _Exchange] = {}
        self._timers: Timers[K] = Timers()

    def __contains__(self, key: K) -> bool:
        return key in self._open

    def begin(self, key: K, now: float) -> None:
        """Note that ``key`` is sent for the first time; an exchange of that key that is under way is forgotten."""
        self._open[key] = _Exchange(1, self.timeout)
        self._timers.set(key, now + self.timeout)

    def end(self, key: K) -> None:
        """Note that ``key`` was answered or given up; nothing happens where it is not under way."""
        if self._open.pop(key, None) is not None:
            self._timers.cancel(key)

    @property
    def next(self) -> float | None:
        """When something is to be sent again or given up."""
        return self._timers.next

    def due(self, now: float) -> Iterator[tuple[K, bool]]:
        """What is to be sent again (True), or has been sent often enough and is given up (False)."""
        for key in self._timers.due(now):
            exchange = self._open[key]
            if self.tries is not None and exchange.sent >= self.tries:
                del self._open[key]
                yield key, False
                continue
            exchange.sent += 1
            exchange.wait = min(2 * exchange.wait, self.longest)
            self._timers.set(key, now + exchange.wait)
            yield key, True


def earliest(*times: float | None) -> float | None:
    """The earliest of several times, of which None never comes."""
    return min((time for time in times if time is not None), default=None)
