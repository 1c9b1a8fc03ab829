"""Packets that wait for a route: one first-in-first-out queue for each home address, bounded in packets, bytes and time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from agents.actions import Action, Drop, DropReason
from agents.bindings import AddressIndex
from agents.config import Settings
from agents.timers import Timers


@dataclass(slots=True)
class _Queue:
    packets: deque[tuple[float, bytes]] = field(default_factory=deque)
    size: int = 0


class Buffers:
    """The queues of one MAG; a packet that finds its queue full is dropped (drop-tail), older ones stay."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queues: dict[IPv6Address, _Queue] = {}
        self._index = AddressIndex()
        self._timers: Timers[IPv6Address] = Timers()

    def add(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        """Hold a packet for ``hoa``, or drop it."""
        settings = self._settings
        if settings.buffer_packets == 0:
            return [Drop((packet,), DropReason.BUFFER_OFF)]
        queue = self._queues.get(hoa)
        held, size = (0, 0) if queue is None else (len(queue.packets), queue.size)
        if held >= settings.buffer_packets or size + len(packet) > settings.buffer_bytes:
            return [Drop((packet,), DropReason.BUFFER_FULL)]
        if queue is None:
            queue = self._queues[hoa] = _Queue()
            self._index.add(hoa)
            self._timers.set(hoa, now + settings.buffer_time)
        queue.packets.append((now + settings.buffer_time, packet))
        queue.size += len(packet)
        return []

    def take(self, hoa: IPv6Address) -> tuple[bytes, ...]:
        """Take everything that is held for ``hoa``, oldest first."""
        self._timers.cancel(hoa)
        self._index.discard(hoa)
        queue = self._queues.pop(hoa, None)
        return tuple(packet for _, packet in queue.packets) if queue else ()

    def within(self, prefix: IPv6Network) -> tuple[IPv6Address, ...]:
        """The home addresses of ``prefix`` for which packets are held, in the order in which their first packet came."""
        return self._index.within(prefix)

    def drain(self) -> tuple[bytes, ...]:
        """Take everything."""
        return tuple(packet for hoa in tuple(self._queues) for packet in self.take(hoa))

    @property
    def next_timeout(self) -> float | None:
        """When the next packet has been held for too long."""
        return self._timers.next

    def timeout(self, now: float) -> list[Action]:
        """Drop what has been held for longer than ``buffer_time``."""
        actions: list[Action] = []
        for hoa in self._timers.due(now):
            queue = self._queues[hoa]
            late = []
            while queue.packets and queue.packets[0][0] <= now:
                late.append(queue.packets.popleft()[1])
            queue.size -= sum(map(len, late))
            actions.append(Drop(tuple(late), DropReason.BUFFER_TIMEOUT))
            if queue.packets:
                self._timers.set(hoa, queue.packets[0][0])
            else:
                self.take(hoa)
        return actions
