"""What one access link can make a MAG's kernel remember of neighbours, and how much of what it says to the MAG itself is listened to.

The neighbour table is shared by all links, and on one kernel by all nodes. A mobile node fills it by soliciting neighbours from ever new
addresses; whoever sends to ever new addresses of its prefix has the MAG look for neighbours that are not there. So each link has token
buckets of its own, in the kernel (nf_tables): for what it says to routers and neighbours, for Mobility Headers, for addresses that it
speaks to the MAG from, and for addresses on it that nobody has used lately. What goes on to others is not limited, nor is anything below
these rates.

An address counts as used for ten minutes after its node spoke to the MAG from it, or made sure that no other has it: a MAG that delivers to
a node makes it speak more often than that (RFC 4861, 7.3). A link can add few, so that a flood of its own sources costs no other anything.
"""

from __future__ import annotations

from agents.linux.packet_filter import (
    ACCEPT,
    AT_LEAST,
    AT_MOST,
    CARRIED,
    COUNT,
    DESTINATION,
    DROP,
    EQUAL,
    ICMPV6_TYPE,
    INCOMING,
    OUTGOING,
    SOLICITED,
    SOURCE,
    Rule,
    Set,
    compare,
    exceeds,
    is_in,
    is_not_in,
    keep,
    put,
    verdict,
)

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
"""s that an address counts as used after its node spoke to the MAG from it."""

SOUGHT_FOR = 10
"""s that an address counts as used once a packet was let go to it."""

REMEMBERED = SPEECH_BURST + UNUSED_BURST + 5 * SPEECH_RATE + 3 * UNUSED_RATE
"""Neighbours that a link can have at one time that the kernel may not yet forget: 5 s for who has spoken, 3 s for who is sought."""

_MOST_LINKS = 1 << 16
_MOST_ADDRESSES = 1 << 18
_FORGET_LINK = 600
_ICMPV6, _MOBILITY = bytes((58,)), bytes((135,))
_FIRST_TYPE, _LAST_TYPE = bytes((130,)), bytes((143,))
_REFUSED: Rule = (COUNT, verdict(DROP))
_SPEECH: Rule = (CARRIED, compare(EQUAL, _ICMPV6), ICMPV6_TYPE, compare(AT_LEAST, _FIRST_TYPE), compare(AT_MOST, _LAST_TYPE))
_SOLICITATION: Rule = (CARRIED, compare(EQUAL, _ICMPV6), ICMPV6_TYPE, compare(EQUAL, bytes((135,))))
_SIGNALLING: Rule = (CARRIED, compare(EQUAL, _MOBILITY))

SETS = (
    Set("used", 16, most=_MOST_ADDRESSES, timeout=USED_FOR),
    *(Set(name, 4, most=_MOST_LINKS, timeout=_FORGET_LINK) for name in ("speakers", "signallers", "users", "sought")),
)
"""What the rules below keep count in."""

SAID_TO_THE_MAG: tuple[Rule, ...] = (
    (*_SPEECH, INCOMING, exceeds("speakers", SPEECH_RATE, SPEECH_BURST), *_REFUSED),
    (*_SIGNALLING, INCOMING, exceeds("signallers", SIGNALLING_RATE, SIGNALLING_BURST), *_REFUSED),
    (SOURCE, is_not_in("used"), INCOMING, exceeds("users", USED_RATE, USED_BURST), *_REFUSED),
    (SOURCE, keep("used", USED_FOR), *_SOLICITATION, SOURCE, compare(EQUAL, bytes(16)), SOLICITED, put("used", USED_FOR)),
)
"""Of what comes from an access link and is for the MAG itself; what none of them ends goes on."""

TO_USED: Rule = (DESTINATION, is_in("used"))
"""Matches what goes to an address that counts as used."""

DELIVERED: tuple[Rule, ...] = (
    (*TO_USED, verdict(ACCEPT)),
    (OUTGOING, exceeds("sought", UNUSED_RATE, UNUSED_BURST), *_REFUSED),
    (DESTINATION, put("used", SOUGHT_FOR)),
    (verdict(ACCEPT),),
)
"""Of what goes to an access link."""
