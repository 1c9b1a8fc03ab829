"""Which tunnelled packets wake a MAG: those for a home address that is not attached to it, of however many that are (docs/architecture.md,
"Tunnelled packets for a node that is not here").

The kernel runs the filter on what the raw protocol-41 socket would receive: the inner IPv6 packet, without the outer header. A load beyond
the end of the packet drops it. The prefixes attached are in a table beside the program, so that neither grows with the other.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from ipaddress import IPv6Network
from typing import Protocol

from agents.linux import socket_filter
from agents.linux.bpf import Instruction, PrefixMap, load
from agents.linux.sockets import RawSocket

_LOAD_WORD, _LOAD_OCTET = 0x20, 0x30
_COPY, _SET, _ADD, _AND = 0xBF, 0xB4, 0x07, 0x54
_TO_NETWORK_ORDER = 0xDC
_STORE, _STORE_CONSTANT = 0x63, 0x62
_IF_NOT, _IF_FOUND = 0x56, 0x55
_ADDRESS_OF_MAP, _IS_A_MAP = 0x18, 1
_CALL, _LOOK_UP = 0x85, 1
_END = 0x95
_RESULT, _FIRST, _SECOND, _PACKET, _STACK = 0, 1, 2, 6, 10
"""Registers: what a load or a call gives, the arguments of a call, and by convention the packet and the end of the stack."""

_DESTINATION, _END_OF_HEADER = 24, 40
_KEY = -20
_VERSION_MASK, _VERSION = 0xF0, 0x60
_BITS = 128


def _registers(destination: int, source: int = 0) -> int:
    return source << 4 | destination


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def _steps(home: IPv6Network, prefixes: int) -> Iterator[Instruction]:
    """The program; its jumps do not yet say how far it is to the end, which drops the packet."""
    yield _COPY, _registers(_PACKET, _FIRST), 0, 0
    yield _LOAD_WORD, 0, 0, _END_OF_HEADER - 4
    yield _LOAD_OCTET, 0, 0, 0
    yield _AND, _registers(_RESULT), 0, _VERSION_MASK
    yield _IF_NOT, _registers(_RESULT), 0, _VERSION
    mask, value = home.netmask.packed, home.network_address.packed
    for at in range(0, 16, 4):
        yield _LOAD_WORD, 0, 0, _DESTINATION + at
        yield _COPY, _registers(_FIRST, _RESULT), 0, 0
        yield _TO_NETWORK_ORDER, _registers(_FIRST), 0, 32
        yield _STORE, _registers(_STACK, _FIRST), _KEY + 4 + at, 0
        if any(mask[at : at + 4]):
            yield _AND, _registers(_RESULT), 0, _signed(int.from_bytes(mask[at : at + 4], "big"))
            yield _IF_NOT, _registers(_RESULT), 0, _signed(int.from_bytes(value[at : at + 4], "big"))
    yield _STORE_CONSTANT, _registers(_STACK), _KEY, _BITS
    yield _ADDRESS_OF_MAP, _registers(_FIRST, _IS_A_MAP), 0, prefixes
    yield 0, 0, 0, 0
    yield _COPY, _registers(_SECOND, _STACK), 0, 0
    yield _ADD, _registers(_SECOND), 0, _KEY
    yield _CALL, 0, 0, _LOOK_UP
    yield _IF_FOUND, _registers(_RESULT), 0, 0
    yield _SET, _registers(_RESULT), 0, -1
    yield _END, 0, 0, 0
    yield _SET, _registers(_RESULT), 0, 0
    yield _END, 0, 0, 0


def program(home: IPv6Network, prefixes: int) -> tuple[Instruction, ...]:
    """A program that passes IPv6 packets to destinations in ``home`` that lie in none of the prefixes of the map ``prefixes``."""
    steps = tuple(_steps(home, prefixes))
    drop = len(steps) - 2
    return tuple(
        (code, registers, drop - at - 1 if code in (_IF_NOT, _IF_FOUND) else offset, value)
        for at, (code, registers, offset, value) in enumerate(steps)
    )


class StrayFilter(Protocol):
    """The filter of one MAG's socket: which prefixes are attached."""

    def add(self, prefix: IPv6Network) -> None:
        """What goes to ``prefix`` is no stray from now on; OSError where there is no room."""

    def discard(self, prefix: IPv6Network) -> None:
        """It is one again."""

    def close(self) -> None:
        """Let the kernel have back what it holds."""


def filter_strays(port: RawSocket, home: IPv6Network) -> StrayFilter:
    """Let ``port`` receive only strays from now on; OSError where the kernel cannot.

    Who is root in a namespace of users only may load no eBPF, and a kernel may have none: there the program is a classic one that names
    every prefix.
    """
    try:
        return _Table(port, home)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise
        return _List(port, home)


class _Table:
    """The prefixes are in a table of the kernel, as many as there are."""

    def __init__(self, port: RawSocket, home: IPv6Network) -> None:
        self._attached = PrefixMap()
        try:
            loaded = load(program(home, self._attached.fileno()))
        except OSError:
            self._attached.close()
            raise
        port.attach_loaded(loaded)
        os.close(loaded)
        self.add, self.discard, self.close = self._attached.add, self._attached.discard, self._attached.close


class _List:
    """The prefixes are in the program itself, which has room for some hundreds."""

    def __init__(self, port: RawSocket, home: IPv6Network) -> None:
        self._port = port
        self._home = home
        self._attached: dict[IPv6Network, None] = {}
        self._attach()

    def add(self, prefix: IPv6Network) -> None:
        self._attached[prefix] = None
        try:
            self._attach()
        except (OSError, ValueError):
            del self._attached[prefix]
            raise OSError(errno.ENOSPC, f"{prefix} beside {len(self._attached)} others: no room in the filter") from None

    def discard(self, prefix: IPv6Network) -> None:
        if prefix in self._attached:
            del self._attached[prefix]
            self._attach()

    def close(self) -> None:
        self._attached.clear()

    def _attach(self) -> None:
        self._port.attach(socket_filter.stray_packets(self._home, self._attached))
