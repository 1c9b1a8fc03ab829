"""What keeps one agent's messages in order, and what it remembers for a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Hashable
from typing import Generic, TypeVar

from agents.messages import timestamp_from_seconds

K = TypeVar("K", bound=Hashable)


class Ordering:
    """The sequence numbers and timestamps that one agent puts into its messages (RFC 5213, 5.5 and 6.9.1.1).

    Both only ever grow, sequence numbers modulo 65536: two messages never carry the same timestamp, however close in time.
    """

    def __init__(self, sequence: int = 0) -> None:
        self._sequence = sequence
        self._timestamp = 0

    def sequence(self) -> int:
        """The next sequence number; the first is the one given at the start."""
        sequence = self._sequence
        self._sequence = (sequence + 1) & 0xFFFF
        return sequence

    def free_sequence(self, taken: Container[int]) -> int:
        """The next sequence number that no exchange under way has."""
        while (sequence := self.sequence()) in taken:
            pass
        return sequence

    def timestamp(self, now: float) -> int:
        """The time as the Timestamp option carries it, later than the one before."""
        self._timestamp = max(timestamp_from_seconds(now), self._timestamp + 1)
        return self._timestamp


class Recent(Generic[K]):
    """Keys that were noted less than ``duration`` s ago: the last ``most`` of them, or all."""

    def __init__(self, duration: float, most: int | None = None) -> None:
        self._duration = duration
        self._most = most
        self._until: dict[K, float] = {}

    def note(self, key: K, now: float) -> None:
        """Remember ``key`` from now on."""
        self._forget(now)
        self._until.pop(key, None)
        self._until[key] = now + self._duration
        if self._most is not None and len(self._until) > self._most:
            del self._until[next(iter(self._until))]

    def forget(self, key: K) -> None:
        """Remember ``key`` no longer."""
        self._until.pop(key, None)

    def knows(self, key: K, now: float) -> bool:
        """Whether ``key`` was noted so recently."""
        self._forget(now)
        return key in self._until

    def _forget(self, now: float) -> None:
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] > now:
                return
            del self._until[oldest]


class RateLimit(Generic[K]):
    """At most ``number`` events of a key within any second."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._times: dict[K, deque[float]] = {}

    def take(self, key: K, now: float) -> float:
        """Count an event of ``key`` and return ``now``; where there have been too many, return when the next may be."""
        self._forget(now)
        times = self._times.pop(key, None) or deque(maxlen=self._number)
        self._times[key] = times
        if len(times) == self._number and times[0] + 1.0 > now:
            return times[0] + 1.0
        times.append(now)
        return now

    def _forget(self, now: float) -> None:
        while self._times:
            oldest = next(iter(self._times))
            if self._times[oldest][-1] + 1.0 > now:
                return
            del self._times[oldest]


class TokenBuckets(Generic[K]):
    """A rate limit for each key: ``rate`` a second, and no more than one second's worth (at least one) at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._depth = max(1.0, rate)
        self._buckets: dict[K, tuple[float, float]] = {}

    def take(self, key: K, now: float) -> bool:
        """Take a token, if there is one."""
        tokens, at = self._buckets.get(key, (self._depth, now))
        tokens = min(self._depth, tokens + (now - at) * self._rate)
        self._buckets[key] = (tokens - 1, now) if tokens >= 1 else (tokens, now)
        return tokens >= 1

    def forget(self, key: K) -> None:
        """Begin anew with ``key``, should it come back."""
        self._buckets.pop(key, None)
