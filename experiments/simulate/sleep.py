"""When a process that sleeps until a moment wakes, as an agent's event loop on Linux does (agents/linux/daemon.py): up to 2 µs too late.

Such a loop sleeps by select(2), whose time-outs are whole microseconds, which the kernel lets end late by a thousandth of themselves. A
long sleep is therefore asked to end a little early, and the rest is slept in the same way.
"""

from __future__ import annotations

from math import ceil

from topologies.timing import SECOND

_ORIGIN = 1_704_067_200
"""2024-01-01 in s since 1970, from which a guest's monotonic clock counts; a float of such a time is exact to the nanosecond."""

_LONG = 1e-3
_EARLY = 2e-3
_LATE = 1000
_MICROSECOND = 1000


def nanoseconds(when: float) -> int:
    """A time in s since 1970 in whole ns: no more is rounded than a float has rounded already."""
    seconds = int(when)
    return seconds * SECOND + round((when - seconds) * SECOND)


def wakes(since: int, when: float) -> int:
    """When a process wakes that at ``since`` (ns since 1970) goes to sleep until ``when`` (s since 1970), and is not woken before."""
    now, until = since - _ORIGIN * SECOND, when - _ORIGIN
    while until >= (now + 1) / SECOND:
        left = until - now / SECOND
        if left > _LONG:
            left -= _EARLY * left
        sleep = -(-ceil(left * SECOND) // _MICROSECOND) * _MICROSECOND
        now += sleep + max(1, sleep // _LATE)
    return now + _ORIGIN * SECOND
