"""The raw sockets of an agent: Mobility Headers, tunnelled packets, and ICMPv6 towards the mobile nodes."""

from __future__ import annotations

import ctypes
import fcntl
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from struct import Struct

from agents.linux.socket_filter import NOTHING, Instruction, assemble

_MOBILITY_HEADER = 135
_IPV6_IN_IPV6 = 41
_SO_ATTACH_FILTER = 26
_SO_ATTACH_BPF = 50
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_ICMP6_FILTER = 1
_IPV6_MTU_DISCOVER, _IPV6_PMTUDISC_PROBE = 23, 3
_IPV6_MTU = 24
_SIOCGIFMTU = 0x8921
_INTERFACE_REQUEST = Struct("16si20x")
_DISCARD = 9
_MULTICAST_HOP_LIMIT = 32
_BUFFER = 4 << 20
_SO_RXQ_OVFL = 40
_LARGEST_PACKET = 65535
_PACKET_INFO = Struct("=16sI")
_INT = Struct("=i")
_FILTER = Struct("@HP")
_REMEMBERED = 4096
_OUTER_ECN = tuple([(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INT.pack(code))] if code else [] for code in (0, 1, 2, 2))
"""By the code of the inner packet, the control message that sets the outer one's: that of ECT is copied, and with CE inside it is ECT(0)
outside (RFC 3168, 9.1.1, full functionality)."""
_CONTROL = socket.CMSG_SPACE(_PACKET_INFO.size) + 2 * socket.CMSG_SPACE(_INT.size)


@lru_cache(maxsize=_REMEMBERED)
def _socket_address(address: IPv6Address) -> tuple[str, int]:
    return str(address), 0


@lru_cache(maxsize=_REMEMBERED)
def _source(text: str) -> IPv6Address:
    return IPv6Address(text.partition("%")[0])


_address = lru_cache(maxsize=_REMEMBERED)(IPv6Address)


@dataclass(frozen=True, slots=True)
class Received:
    """What came in: the octets behind the IPv6 header, both addresses, the interface's index and the hop limit."""

    data: bytes
    source: IPv6Address
    destination: IPv6Address
    interface: int
    hop_limit: int


class RawSocket:
    """A raw IPv6 socket that never blocks and tells on which interface a packet came.

    ``missed`` is how many packets found no room in its ``buffer`` (octets) before the last one that was received.
    """

    def __init__(self, protocol: int, buffer: int = _BUFFER) -> None:
        self.missed = 0
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
        self._set(socket.IPV6_RECVPKTINFO, 1)
        self._set(socket.IPV6_RECVHOPLIMIT, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, forced, buffer)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, plain, buffer)

    def _set(self, option: int, value: int | bytes) -> None:
        self._socket.setsockopt(socket.IPPROTO_IPV6, option, value)

    def _bind(self, address: IPv6Address, interface: int) -> None:
        """Send from ``address``; to groups through ``interface``, and never to ourselves."""
        self._socket.bind((str(address), 0))
        self._set(socket.IPV6_MULTICAST_IF, interface)
        self._set(socket.IPV6_MULTICAST_HOPS, _MULTICAST_HOP_LIMIT)
        self._set(socket.IPV6_MULTICAST_LOOP, 0)

    def join(self, group: IPv6Address, interfaces: Iterable[int]) -> None:
        """Receive what is sent to ``group`` on these interfaces."""
        for interface in interfaces:
            self._set(socket.IPV6_JOIN_GROUP, _PACKET_INFO.pack(group.packed, interface))

    def fileno(self) -> int:
        """Its file descriptor, to wait for."""
        return self._socket.fileno()

    def send(self, data: bytes, destination: IPv6Address) -> None:
        """Send to ``destination``; OSError where the kernel cannot."""
        self._socket.sendto(data, _socket_address(destination))

    def receive(self) -> Received | None:
        """The next packet, or None where none waits."""
        try:
            data, ancillary, _, sender = self._socket.recvmsg(_LARGEST_PACKET, _CONTROL)
        except BlockingIOError:
            return None
        control = {kind: value for _, kind, value in ancillary}
        if _SO_RXQ_OVFL in control:
            (self.missed,) = _INT.unpack(control[_SO_RXQ_OVFL])
        destination, interface = _PACKET_INFO.unpack(control[socket.IPV6_PKTINFO])
        (hop_limit,) = _INT.unpack(control[socket.IPV6_HOPLIMIT])
        return Received(data, _source(sender[0]), _address(destination), interface, hop_limit)

    def attach(self, program: Iterable[Instruction]) -> None:
        """From now on receive only what ``program`` passes."""
        attach(self._socket, program)

    def attach_loaded(self, program: int) -> None:
        """The same, of a program that the kernel has taken already, by its file descriptor (agents/linux/bpf.py)."""
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, program)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class MobilitySocket(RawSocket):
    """Mobility Headers that pass a filter; the kernel fills in checksums and drops wrong ones (RFC 3542, 3.1; RFC 6275, 6.1.1)."""

    def __init__(self, address: IPv6Address, interface: int, program: Iterable[Instruction], buffer: int = _BUFFER) -> None:
        super().__init__(_MOBILITY_HEADER, buffer)
        self.attach(program)
        self._bind(address, interface)


class TunnelSocket(RawSocket):
    """IPv6 in IPv6 (RFC 2473): sends inner packets to a tunnel's other end, and receives those that pass a filter."""

    def __init__(self, address: IPv6Address, interface: int, program: Iterable[Instruction] = NOTHING) -> None:
        super().__init__(_IPV6_IN_IPV6)
        self.attach(program)
        self._bind(address, interface)

    def send(self, data: bytes, destination: IPv6Address) -> None:
        """Tunnel the packet ``data`` to ``destination``, outside of it what RFC 5213, 5.6.3, has there of its explicit congestion
        notification; OSError where the kernel cannot."""
        outer = _OUTER_ECN[data[1] >> 4 & 0x3]
        self._socket.sendmsg([data], outer, 0, _socket_address(destination))


def attach(port: socket.socket, program: Iterable[Instruction]) -> None:
    """Have a socket receive only what ``program`` passes from now on."""
    octets = assemble(program)
    buffer = ctypes.create_string_buffer(octets, len(octets))
    port.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _FILTER.pack(len(octets) // 8, ctypes.addressof(buffer)))


def path_mtu(destination: IPv6Address) -> int | None:
    """The MTU of the path to ``destination`` as far as the kernel has discovered it (RFC 8201), in octets; None without a route."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect((str(destination), _DISCARD))
            return probe.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
        except OSError:
            return None


def link_mtu(name: str) -> int:
    """The MTU of an interface, in octets; OSError where there is none of that name."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        answer = fcntl.ioctl(probe, _SIOCGIFMTU, _INTERFACE_REQUEST.pack(name.encode(), 0))
    return int(_INTERFACE_REQUEST.unpack(answer)[1])


class NeighbourSocket(RawSocket):
    """ICMPv6: receives one type of message, as far as it passes a filter; sends from any address of this node."""

    def __init__(self, kind: int, program: Iterable[Instruction], buffer: int = _BUFFER) -> None:
        super().__init__(socket.IPPROTO_ICMPV6, buffer)
        self.attach(program)
        blocked = bytearray(b"\xff" * 32)
        blocked[kind // 32 * 4 + kind % 32 // 8] &= ~(1 << kind % 8) & 0xFF
        self._socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
        self._set(_IPV6_MTU_DISCOVER, _IPV6_PMTUDISC_PROBE)

    def send_from(self, source: IPv6Address, interface: int, hop_limit: int, data: bytes, destination: IPv6Address) -> None:
        """Send to ``destination`` from ``source``, through ``interface`` (0: as routed); OSError where the kernel cannot."""
        ancillary = [
            (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PACKET_INFO.pack(source.packed, interface)),
            (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, _INT.pack(hop_limit)),
        ]
        self._socket.sendmsg([data], ancillary, 0, (str(destination), 0, 0, interface))
