"""Classic BPF: which packets wake a MAG or the LMA.

The kernel runs a filter on what the socket would receive: of the raw protocol-41 socket the inner IPv6 packet, without the outer header.
A load beyond the end of the packet drops it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network
from struct import Struct

INSTRUCTION = Struct("=HBBI")
"""struct sock_filter: code, jt, jf, k."""
MAXIMUM_INSTRUCTIONS = 4096

_LOAD_WORD = 0x20
_LOAD_BYTE = 0x30
_LOAD_LENGTH = 0x80
_AND = 0x54
_JUMP = 0x05
_JUMP_IF_EQUAL = 0x15
_JUMP_IF_GREATER = 0x25
_RETURN = 0x06
_PASS = 0xFFFFFFFF
_DROP = 0
_SOURCE = 8
_DESTINATION = 24
_END_OF_HEADER = 40
_KIND_OF_PACKET = 0xFFFFF000 + 4
"""Where Linux has loads find whether a packet comes or goes (linux/filter.h, SKF_AD_OFF and SKF_AD_PKTTYPE)."""
_OUTGOING = 4
_VERSION_MASK = 0xF0
_VERSION = 0x60

Instruction = tuple[int, int, int, int]

NOTHING: tuple[Instruction, ...] = ((_RETURN, 0, 0, _DROP),)
"""Passes no packet."""


def _comparisons(prefix: IPv6Network, address: int) -> Iterator[tuple[int, int, int]]:
    """Offset, mask and value of each 32-bit word of the address at ``address`` that ``prefix`` fixes."""
    mask, value = prefix.netmask.packed, prefix.network_address.packed
    for word in range(0, 16, 4):
        bits = int.from_bytes(mask[word : word + 4], "big")
        if bits:
            yield address + word, bits, int.from_bytes(value[word : word + 4], "big")


def match(prefix: IPv6Network, address: int = _DESTINATION) -> list[Instruction]:
    """A block behind which a program goes on where the address at ``address`` lies in ``prefix``, and else one instruction further."""
    words: list[list[Instruction]] = []
    for offset, mask, value in _comparisons(prefix, address):
        masking = [] if mask == 0xFFFFFFFF else [(_AND, 0, 0, mask)]
        words.append([(_LOAD_WORD, 0, 0, offset), *masking, (_JUMP_IF_EQUAL, 0, 0, value)])
    size = sum(map(len, words))
    block: list[Instruction] = []
    for *load, (jump, _, _, value) in words:
        block += load
        block.append((jump, 0, size - len(block), value))
    return block


_IS_IPV6: tuple[Instruction, ...] = (
    (_LOAD_WORD, 0, 0, _END_OF_HEADER - 4),
    (_LOAD_BYTE, 0, 0, 0),
    (_AND, 0, 0, _VERSION_MASK),
    (_JUMP_IF_EQUAL, 1, 0, _VERSION),
    (_RETURN, 0, 0, _DROP),
)
_OR_DROP: tuple[Instruction, ...] = ((_JUMP, 0, 0, 1), (_RETURN, 0, 0, _DROP))
"""Behind a match: go on, or drop."""


def headers_within(home: IPv6Network) -> tuple[Instruction, ...]:
    """A program that passes the headers of IPv6 packets from an address in ``home`` to another."""
    return (*_IS_IPV6, *match(home, _SOURCE), *_OR_DROP, *match(home), *_OR_DROP, (_RETURN, 0, 0, _END_OF_HEADER))


def stray_packets(home: IPv6Network, attached: Iterable[IPv6Network]) -> tuple[Instruction, ...]:
    """A program that passes IPv6 packets to destinations in ``home`` that lie in none of the ``attached`` prefixes.

    Raises:
        ValueError: there are more attached prefixes than a program has room for (about 800).
    """
    program = [*_IS_IPV6, *match(home), *_OR_DROP]
    for prefix in attached:
        program += [*match(prefix), (_RETURN, 0, 0, _DROP)]
    program.append((_RETURN, 0, 0, _PASS))
    if len(program) > MAXIMUM_INSTRUCTIONS:
        raise ValueError(f"a socket filter of {len(program)} instructions; the kernel takes {MAXIMUM_INSTRUCTIONS}")
    return tuple(program)


def longer_than(octets: int) -> tuple[Instruction, ...]:
    """A program that passes outgoing packets of more octets; for a packet socket."""
    return (
        (_LOAD_BYTE, 0, 0, _KIND_OF_PACKET),
        (_JUMP_IF_EQUAL, 0, 2, _OUTGOING),
        (_LOAD_LENGTH, 0, 0, 0),
        (_JUMP_IF_GREATER, 1, 0, octets),
        (_RETURN, 0, 0, _DROP),
        (_RETURN, 0, 0, _PASS),
    )


def assemble(program: Iterable[Instruction]) -> bytes:
    """The octets of a program, an array of struct sock_filter."""
    return b"".join(INSTRUCTION.pack(*instruction) for instruction in program)
