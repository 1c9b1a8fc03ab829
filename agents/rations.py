"""How much an agent reads of what anybody may send it: a flood costs it no more, and what it does not read the kernel drops."""

from __future__ import annotations


class Ration:
    """Packets that may be read: ``rate`` a second, and no more than one second's worth at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left = rate
        self._at = 0.0

    def left(self, now: float) -> int:
        """How many may be read now (s since 1970)."""
        self._left = min(self._rate, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        return int(self._left)

    def spend(self) -> None:
        """One was read."""
        self._left -= 1
