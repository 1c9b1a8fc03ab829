"""One direction of a link: when a packet that enters it leaves at the other end, if it does.

It does what netem does on the emulation's wires: a packet is lost with the link's probability; otherwise it waits for the delay, which
varies by the jitter, then for those before it, and then takes its frame's time at the link's rate. Delays are whole ticks of 64 ns.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from topologies.domain import LinkSettings

_ETHERNET = 14
_TICK = 64e-9
_TICK_NS = 64
_NEXT_HEADER, _SOURCE, _INNER = 6, 8, 40
_MOBILITY, _IPV6 = 135, 41


@dataclass(frozen=True, slots=True)
class Treatment:
    """What happens to Mobility Headers, tunnelled or not, that enter a line: ``delay`` in ns, probabilities of loss and duplication; the
    part ``reorder`` of them is not delayed."""

    delay: int = 0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


class Line:
    """One direction of a link.

    Attributes:
        delay: ns that a packet takes where nothing else delays it.
        plain: whether every packet takes just that, now and later.
    """

    def __init__(self, settings: LinkSettings, random: Random) -> None:
        """``random`` decides what chance decides on this line, and nothing else."""
        self.delay = round(settings.delay / _TICK) * _TICK_NS
        self._jitter = round(settings.jitter / _TICK) * _TICK_NS
        self._loss = settings.loss
        self._rate = round(settings.rate / 8) if settings.rate else 0
        self._random = random
        self._last = 0
        self._treatments: list[Treatment] = []
        self._blocked: list[bytes] = []
        self.plain = not (self._jitter or self._loss or self._rate)

    def will_change(self) -> None:
        """Say that packets may be treated or blocked later: what becomes of one is then decided when it comes to the line, not before."""
        self.plain = False

    def treat(self, treatment: Treatment) -> None:
        """From now on treat Mobility Headers so."""
        self._treatments.append(treatment)

    def end_treatment(self, treatment: Treatment) -> None:
        """Treat them so no longer."""
        self._treatments.remove(treatment)

    def block(self, source: bytes) -> None:
        """From now on let nothing in that has this source address."""
        self._blocked.append(source)

    def unblock(self, source: bytes) -> None:
        """Let it in again."""
        self._blocked.remove(source)

    def entries(self, now: int, packet: bytes) -> list[int]:
        """When a packet that comes to the line's beginning enters it: once and at once, but for what treatments make of that."""
        if self._blocked and packet[_SOURCE : _SOURCE + 16] in self._blocked:
            return []
        entries = [now]
        if self._treatments and _is_signalling(packet):
            for treatment in self._treatments:
                entries = [time for entry in entries for time in self._treated(treatment, entry)]
        return entries

    def _treated(self, treatment: Treatment, now: int) -> list[int]:
        chance = self._random.random
        copies = 1 + (chance() < treatment.duplicate) if treatment.duplicate else 1
        copies -= chance() < treatment.loss if treatment.loss else 0
        return [now if treatment.reorder and chance() < treatment.reorder else now + treatment.delay for _ in range(copies)]

    def leaves(self, now: int, size: int) -> int | None:
        """When an IPv6 packet of ``size`` octets that enters now comes out; None where it is lost."""
        if self._loss and self._random.random() < self._loss:
            return None
        time = now + self.delay
        if self._jitter:
            time = max(now, time + self._random.randrange(2 * self._jitter) - self._jitter)
        if self._rate:
            time = max(time, self._last) + (size + _ETHERNET) * 1_000_000_000 // self._rate
            self._last = time
        return time


def _is_signalling(packet: bytes) -> bool:
    following = packet[_NEXT_HEADER]
    return following == _MOBILITY or (following == _IPV6 and packet[_INNER + _NEXT_HEADER] == _MOBILITY)
