"""The hop limit of packets that an agent forwards in its kernel's place (RFC 8200, 3).

A packet that an agent holds has crossed this router: its hop limit is one lower than when it came, by the kernel or by ``crossing``.
"""

from __future__ import annotations

from collections.abc import Callable

from agents.actions import Action, Drop, DropReason, TimeExceeded

_AT = 7
_MOST = 255


def _with(packet: bytes, hop_limit: int) -> bytes:
    return packet[:_AT] + bytes((hop_limit,)) + packet[_AT + 1 :]


def crossing(packet: bytes, then: Callable[[bytes], list[Action]]) -> list[Action]:
    """Go on with a packet that came through a tunnel, one hop later; at its last hop its sender is told instead (RFC 4443, 3.3)."""
    if packet[_AT] <= 1:
        return [Drop((packet,), DropReason.HOP_LIMIT), TimeExceeded(packet)]
    return then(_with(packet, packet[_AT] - 1))


def before_crossing(packet: bytes) -> bytes:
    """A packet that has crossed this router as it was before, for the kernel, which lowers the hop limit of what it forwards."""
    return _with(packet, min(packet[_AT] + 1, _MOST))
