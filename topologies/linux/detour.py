"""Some packets of one direction of a wire take a detour, on which netem treats them worse than the rest.

Where the wire hands packets on, filters pick out what matches and send it through a veth pair of its own in the hidden namespace; behind
that it goes on as all the others do. Nothing on the wire itself changes, so that beginning and ending lose nothing that is under way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

from topologies.addresses import mac
from topologies.linux import netlink
from topologies.linux.nodes import Wires
from topologies.linux.wire import WireEnd

Word = tuple[int, int, int]
"""Offset from the IPv6 header, mask and value of four octets."""

_NEXT_HEADER, _SOURCE, _IPV6_HEADER = 4, 8, 40
_MOBILITY, _IPV6 = 135, 41


def _next_header(number: int, at: int = 0) -> Word:
    return at + _NEXT_HEADER, 0x0000FF00, number << 8


MOBILITY_HEADERS: tuple[tuple[Word, ...], ...] = (
    (_next_header(_MOBILITY),),
    (_next_header(_IPV6), _next_header(_MOBILITY, _IPV6_HEADER)),
)
"""What matches a Mobility Header message, and one that is tunnelled."""


def sent_by(address: IPv6Address) -> tuple[Word, ...]:
    """What matches a packet whose (outer) source is ``address``."""
    return tuple((_SOURCE + at, 0xFFFFFFFF, int.from_bytes(address.packed[at : at + 4], "big")) for at in range(0, 16, 4))


@dataclass(frozen=True, slots=True)
class Treatment:
    """What netem does on the detour: ``delay`` in s, probabilities of loss and duplication; the part ``reorder`` is not delayed."""

    delay: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


class Detour:
    """A detour for what comes in at the inner end ``end`` and would leave by its other; it lasts until ``close``."""

    def __init__(self, wires: Wires, end: WireEnd, matches: Iterable[Iterable[Word]], treatment: Treatment) -> None:
        """Begin; OSError where the kernel lacks what it takes (u32 filters, netem)."""
        self._namespace = wires.namespace
        self._end = end.inner_index
        self._way, back = wires.new_index(), wires.new_index()
        way = mac(2, self._way), mac(2, back)
        self._namespace.queue(
            netlink.veth(f"d{self._way}", self._way, way[0], f"d{back}", back, way[1], self._namespace),
            netlink.impairment(self._way, treatment.delay, treatment.loss, treatment.duplicate, treatment.reorder),
            netlink.ingress(back),
            netlink.redirect(back, end.far.inner_index),
            netlink.set_up(self._way),
            netlink.set_up(back),
            *(netlink.divert(self._end, tuple(words), self._way) for words in matches),
        )
        try:
            self._namespace.flush()
        except OSError as error:
            needs = "u32 filters (CONFIG_NET_CLS_U32), mirred and netem"
            raise OSError(error.errno, f"some packets cannot take a detour, for which a kernel needs {needs}: {error.strerror}") from None
        for index in (self._way, back):
            self._namespace.settle(f"d{index}")

    def close(self) -> None:
        """No more packets take the detour; those on it reach its end, and so its devices stay."""
        self._namespace.queue(netlink.end_diversion(self._end))
        self._namespace.flush()
