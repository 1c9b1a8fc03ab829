"""Packets that wait for a route: one first-in-first-out queue for each home address, bounded in packets, bytes and time, and all
together in bytes.

Of what all may hold together nobody can take everything: the packets from one /64, a node's prefix, get no more than the room that
they leave. So one sender holds at most a half, two at most a third each, and there is always room for another.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from agents.actions import Action, Drop, DropReason
from agents.config import Settings
from agents.prefixes import AddressIndex
from agents.timers import Timers

PACKET_COST = 256
"""Octets that a packet takes beside its own, for the bound on all together."""

_SENDER = slice(8, 16)


@dataclass(slots=True)
class _Queue:
    packets: deque[tuple[float, bytes]] = field(default_factory=deque)
    size: int = 0


class Buffers:
    """The queues of one MAG; a packet for which there is no room is dropped (drop-tail), older ones stay."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queues: dict[IPv6Address, _Queue] = {}
        self._index = AddressIndex()
        self._timers: Timers[IPv6Address] = Timers()
        self._taken = 0
        self._taken_by: dict[bytes, int] = {}

    @property
    def taken(self) -> int:
        """The octets that all packets take together, PACKET_COST for each included."""
        return self._taken

    def add(self, hoa: IPv6Address, packet: bytes, now: float) -> list[Action]:
        """Hold a packet for ``hoa``, or drop it."""
        settings = self._settings
        if settings.buffer_packets == 0:
            return [Drop((packet,), DropReason.BUFFER_OFF)]
        queue = self._queues.get(hoa)
        held, size = (0, 0) if queue is None else (len(queue.packets), queue.size)
        if held >= settings.buffer_packets or size + len(packet) > settings.buffer_bytes:
            return [Drop((packet,), DropReason.BUFFER_FULL)]
        if not self._take_room(packet):
            return [Drop((packet,), DropReason.BUFFERS_FULL)]
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
        packets = tuple(packet for _, packet in queue.packets) if queue else ()
        for packet in packets:
            self._leave_room(packet)
        return packets

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
            for packet in late:
                self._leave_room(packet)
            actions.append(Drop(tuple(late), DropReason.BUFFER_TIMEOUT))
            if queue.packets:
                self._timers.set(hoa, queue.packets[0][0])
            else:
                self.take(hoa)
        return actions

    def _take_room(self, packet: bytes) -> bool:
        sender, cost = packet[_SENDER], len(packet) + PACKET_COST
        taken = self._taken_by.get(sender, 0) + cost
        if taken > self._settings.buffer_total - self._taken - cost:
            return False
        self._taken += cost
        self._taken_by[sender] = taken
        return True

    def _leave_room(self, packet: bytes) -> None:
        sender, cost = packet[_SENDER], len(packet) + PACKET_COST
        self._taken -= cost
        left = self._taken_by.pop(sender) - cost
        if left:
            self._taken_by[sender] = left
