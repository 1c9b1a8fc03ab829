"""What one access link can make a MAG's kernel remember of neighbours, and how much of what it says to the MAG itself is listened to.

The neighbour table is shared by all links, and on one kernel by all nodes. A mobile node fills it by soliciting neighbours from ever new
addresses; whoever sends to ever new addresses of its prefix has the MAG look for neighbours that are not there. So each link has token
buckets of its own, in the kernel (nf_tables): for what it says to routers and neighbours, for Mobility Headers, and for addresses on it
that nobody has used lately. What goes on to others is not limited, nor is anything below these rates.

An address counts as used for ten minutes after a packet came from it, on whatever link. A link can add few, so that a flood of its own
sources costs no other link anything.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from struct import Struct

from agents import packet_filter
from agents.packet_filter import (
    AT_LEAST,
    AT_MOST,
    CARRIED,
    COUNT,
    DESTINATION,
    DROP,
    EQUAL,
    FIRST_OF_DESTINATION,
    ICMPV6_TYPE,
    INCOMING,
    OUTGOING,
    POSTROUTING,
    PREROUTING,
    RETURN,
    SOURCE,
    Chain,
    PacketFilter,
    Set,
)

TABLE = "dmmlab-links"

SPEECH_RATE = 20
SPEECH_BURST = 50
"""Messages of neighbour discovery, multicast listeners and alike (ICMPv6 types 130 to 143) that a link may send, a second and at once."""

SIGNALLING_RATE = 50
SIGNALLING_BURST = 100
"""Mobility Headers that a link may send; they are refused anyway, and counted."""

UNUSED_RATE = 20
UNUSED_BURST = 50
"""Packets to addresses on a link that nobody has used lately."""

USED_RATE = 1
USED_BURST = 32
"""Addresses of a link that begin to count as used."""

USED_FOR = 600
"""s that an address counts as used after a packet came from it."""

SOUGHT_FOR = 10
"""s that an address counts as used once a packet was let go to it."""

REMEMBERED = SPEECH_BURST + UNUSED_BURST + 5 * SPEECH_RATE + 3 * UNUSED_RATE
"""Neighbours that a link can have at one time that the kernel may not yet forget: 5 s for who has spoken, 3 s for who is sought."""

_MOST_LINKS = 1 << 16
_MOST_ADDRESSES = 1 << 18
_FORGET_LINK = 600
_ICMPV6, _MOBILITY = bytes((58,)), bytes((135,))
_FIRST_TYPE, _LAST_TYPE = bytes((130,)), bytes((143,))
_MULTICAST = b"\xff"
_BEFORE_ALL, _AFTER_ALL = -300, 300
_INTERFACE = Struct("=I")


def limits(own: Iterable[int]) -> tuple[tuple[Set, ...], tuple[Chain, ...]]:
    """The sets and rules; ``own`` are the interfaces that are no access links."""
    goes_on = packet_filter.verdict(RETURN)
    refused = COUNT, packet_filter.verdict(DROP)
    exceeds, compare = packet_filter.exceeds, packet_filter.compare
    speech = CARRIED, compare(EQUAL, _ICMPV6), ICMPV6_TYPE, compare(AT_LEAST, _FIRST_TYPE), compare(AT_MOST, _LAST_TYPE)
    arriving = (
        (INCOMING, packet_filter.is_in("own"), goes_on),
        (*speech, INCOMING, exceeds("speakers", SPEECH_RATE, SPEECH_BURST), *refused),
        (CARRIED, compare(EQUAL, _MOBILITY), INCOMING, exceeds("signallers", SIGNALLING_RATE, SIGNALLING_BURST), *refused),
        (SOURCE, packet_filter.is_in("used"), packet_filter.keep("used", USED_FOR), goes_on),
        (INCOMING, exceeds("users", USED_RATE, USED_BURST), goes_on),
        (SOURCE, packet_filter.put("used", USED_FOR)),
    )
    leaving = (
        (OUTGOING, packet_filter.is_in("own"), goes_on),
        (FIRST_OF_DESTINATION, compare(EQUAL, _MULTICAST), goes_on),
        (DESTINATION, packet_filter.is_in("used"), goes_on),
        (OUTGOING, exceeds("sought", UNUSED_RATE, UNUSED_BURST), *refused),
        (DESTINATION, packet_filter.put("used", SOUGHT_FOR)),
    )
    counted = (Set(name, 4, most=_MOST_LINKS, timeout=_FORGET_LINK) for name in ("speakers", "signallers", "users", "sought"))
    sets = Set("own", 4, elements=tuple(map(_INTERFACE.pack, own))), Set("used", 16, most=_MOST_ADDRESSES, timeout=USED_FOR), *counted
    chains = Chain("arriving", arriving, PREROUTING, _BEFORE_ALL), Chain("leaving", leaving, POSTROUTING, _AFTER_ALL)
    return sets, chains


class LinkLimits:
    """The limits of all access links of this node, those that are still to come included."""

    def __init__(self) -> None:
        self._filter = PacketFilter(TABLE)

    def install(self, own: Iterable[str]) -> None:
        """Limit every interface but these and the loopback; OSError where the kernel cannot."""
        self._filter.install(*limits(dict.fromkeys((socket.if_nametoindex("lo"), *map(socket.if_nametoindex, own)))))

    def remove(self) -> None:
        """Limit nothing."""
        self._filter.remove()
