"""When a timer of a kernel fires: on a tick of 10 ms, and the longer it takes the coarser, as on Linux's timer wheel (kernel/time/timer.c).

Neighbour discovery waits by such timers, so that what is repeated after a second is repeated a little later.
"""

from __future__ import annotations

_TICK = 10_000_000
_SLOTS = 63
_COARSER = 3


def fires(now: int, wait: int) -> int:
    """When a timer fires that is to wait ``wait`` ns from ``now``, in ns since 1970."""
    ticks = wait // _TICK
    shift = 0
    while ticks >= _SLOTS << shift:
        shift += _COARSER
    return ((now // _TICK + ticks >> shift) + 1 << shift) * _TICK
