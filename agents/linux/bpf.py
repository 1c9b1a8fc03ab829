"""eBPF by bpf(2): a table of prefixes that programs look into, and programs for sockets, written as octets (linux/bpf.h).

libbpf and bcc compile C and read what the compiler leaves; a filter of thirty instructions needs neither.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Network
from struct import Struct

INSTRUCTION = Struct("=BBhi")
"""struct bpf_insn: code, destination and source register, offset, constant."""

Instruction = tuple[int, int, int, int]

_SYSTEM_CALLS: Mapping[str, int] = {"x86_64": 321, "ppc64le": 361, "s390x": 351, "i686": 357, "armv7l": 386, "loongarch64": 280}
_SYSTEM_CALL = _SYSTEM_CALLS.get(platform.machine(), 280)
_LIBC = ctypes.CDLL(None, use_errno=True)
_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _PROGRAM_LOAD = 0, 2, 3, 5
_LONGEST_PREFIX_FIRST, _NOT_ALLOCATED_BEFOREHAND = 11, 1
_SOCKET_FILTER = 1
_ABOUT_MAP = Struct("=IIIII")
_ABOUT_ENTRY = Struct("=IxxxxQQQ")
_ABOUT_PROGRAM = Struct("=IIQQIIQII")
_KEY = Struct("=I16s")
_MOST_PREFIXES = 1 << 20
_LICENCE = b"Dual MIT/GPL\0"
_PRESENT = b"\1"


def _bpf(command: int, attributes: bytes, what: str) -> int:
    """bpf(2); OSError, which says ``what``, where the kernel refuses."""
    argument = ctypes.create_string_buffer(attributes, len(attributes))
    answer = _LIBC.syscall(_SYSTEM_CALL, command, argument, len(attributes))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return int(answer)


class PrefixMap:
    """A set of prefixes in the kernel; a program finds whether an address lies in one at a cost that hardly grows with their number."""

    def __init__(self) -> None:
        """OSError where the kernel has no such thing (CONFIG_BPF_SYSCALL), or does not let us."""
        about = _ABOUT_MAP.pack(_LONGEST_PREFIX_FIRST, _KEY.size, len(_PRESENT), _MOST_PREFIXES, _NOT_ALLOCATED_BEFOREHAND)
        self._descriptor = _bpf(_MAP_CREATE, about, "a table of prefixes for socket filters")

    def fileno(self) -> int:
        """Its file descriptor, by which a program names it while it is loaded."""
        return self._descriptor

    def add(self, prefix: IPv6Network) -> None:
        """Put a prefix in; OSError where there is no room."""
        value = ctypes.create_string_buffer(_PRESENT, len(_PRESENT))
        self._change(_MAP_UPDATE, prefix, ctypes.addressof(value), f"{prefix} among the prefixes attached")

    def discard(self, prefix: IPv6Network) -> None:
        """Take a prefix out, if it is in."""
        try:
            self._change(_MAP_DELETE, prefix, 0, f"removal of {prefix}")
        except FileNotFoundError:
            return

    def _change(self, command: int, prefix: IPv6Network, value: int, what: str) -> None:
        key = ctypes.create_string_buffer(_KEY.pack(prefix.prefixlen, prefix.network_address.packed), _KEY.size)
        _bpf(command, _ABOUT_ENTRY.pack(self._descriptor, ctypes.addressof(key), value, 0), what)

    def close(self) -> None:
        """Let it go; a program that looks into it keeps it."""
        os.close(self._descriptor)


def load(program: Iterable[Instruction]) -> int:
    """A file descriptor of a program that a socket can be given; OSError where the kernel does not take it."""
    octets = b"".join(INSTRUCTION.pack(*instruction) for instruction in program)
    instructions = ctypes.create_string_buffer(octets, len(octets))
    licence = ctypes.create_string_buffer(_LICENCE, len(_LICENCE))
    count = len(octets) // INSTRUCTION.size
    about = _ABOUT_PROGRAM.pack(_SOCKET_FILTER, count, ctypes.addressof(instructions), ctypes.addressof(licence), 0, 0, 0, 0, 0)
    return _bpf(_PROGRAM_LOAD, about, "a socket filter")
