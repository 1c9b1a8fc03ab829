"""How many ICMPv6 errors a kernel sends to one node (RFC 4443, 2.4 (f)): as Linux does where the way there is known by a prefix of 64 bits
or less, one in 250 ms, and six at once after a while."""

from __future__ import annotations

_TICK = 10_000_000
_EACH = 25
"""Ticks of 10 ms to an error."""
_MOST = 6 * _EACH


class ErrorLimit:
    """A token bucket for each node that errors were sent to."""

    def __init__(self) -> None:
        self._buckets: dict[bytes, tuple[int, int]] = {}

    def allows(self, node: bytes, now: int) -> bool:
        """Whether one more error may be sent to a node at ``now``, in ns; if so, it is counted."""
        tick = now // _TICK
        tokens, last = self._buckets.get(node, (_MOST, tick))
        tokens = min(_MOST, tokens + tick - last)
        allowed = tokens >= _EACH
        self._buckets[node] = tokens - _EACH if allowed else tokens, tick
        return allowed
