"""Which of an agent's sockets a Mobility Header comes to, by who seems to have sent it and where it came in: a peer's never waits behind
those of others.

The filters are classic BPF. They look at the IPv6 header of a packet, which the socket does not give its reader, and at the interface,
through the offsets that Linux keeps for both (linux/filter.h, SKF_NET_OFF and SKF_AD_OFF).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, IPv6Network, collapse_addresses

from agents.linux.socket_filter import MAXIMUM_INSTRUCTIONS, Instruction, match

_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN, _JUMP = 0x20, 0x15, 0x06, 0x05
_PASS, _DROP = 0xFFFFFFFF, 0
_SOURCE = 0xFFF00000 + 8
_INTERFACE = 0xFFFFF000 + 8
_NOBODY = IPv6Network("::/128")


def interface_is(indexes: Iterable[int]) -> tuple[Instruction, ...]:
    """A program that passes what came in through one of these interfaces."""
    return _chosen(indexes, (), True)


def interface_is_not(indexes: Iterable[int]) -> tuple[Instruction, ...]:
    """A program that passes what came in through any other interface."""
    return _chosen(indexes, (), False)


def from_peers(peers: Sequence[IPv6Network], trusted: Iterable[int]) -> tuple[Instruction, ...]:
    """A program that passes what has a source in ``peers`` (of ``networks``) and came in through one of the ``trusted`` interfaces."""
    return _chosen(trusted, peers or (_NOBODY,), True)


def from_others(peers: Sequence[IPv6Network], trusted: Iterable[int]) -> tuple[Instruction, ...]:
    """A program that passes what ``from_peers`` does not."""
    return _chosen(trusted, peers or (_NOBODY,), False)


def networks(peers: Iterable[IPv6Address]) -> tuple[IPv6Network, ...]:
    """The peers, as few networks as hold them and nobody else, or where a program has no room for so many, larger ones."""
    found = list(collapse_addresses(map(IPv6Network, peers)))
    while sum(len(match(network, _SOURCE)) for network in found) > MAXIMUM_INSTRUCTIONS // 2:
        found = list(collapse_addresses(network.supernet() for network in found))
    return tuple(found)


def _chosen(interfaces: Iterable[int], sources: Iterable[IPv6Network], passes: bool) -> tuple[Instruction, ...]:
    """Pass what comes from one of ``sources`` (anybody, where there are none) through one of ``interfaces``, or all else."""
    chosen, others = ((_RETURN, 0, 0, value) for value in ((_PASS, _DROP) if passes else (_DROP, _PASS)))
    blocks = [(*match(source, _SOURCE), chosen) for source in sources] or [(chosen,)]
    behind: list[Instruction] = [instruction for block in blocks for instruction in block]
    program: list[Instruction] = [(_LOAD_WORD, 0, 0, _INTERFACE)]
    for index in interfaces:
        program += [(_JUMP_IF_EQUAL, 0, 1, index), (_JUMP, 0, 0, 0)]
    program.append(others)
    for at, (code, *_) in enumerate(program):
        if code == _JUMP:
            program[at] = (_JUMP, 0, 0, len(program) - at - 1)
    return (*program, *behind, others)
