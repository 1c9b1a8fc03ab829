"""A TUN device: IPv6 packets that the kernel routes to it are read here; packets written here are routed by the kernel."""

from __future__ import annotations

import fcntl
import os
from struct import Struct

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_REQUEST = Struct("16sH22x")
_LARGEST_PACKET = 65535


class Tun:
    """The device ``name``; it vanishes, routes included, when it is closed."""

    def __init__(self, name: str) -> None:
        """Create it; OSError where there is no TUN driver or the name is taken."""
        self._descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self._descriptor, _TUNSETIFF, _REQUEST.pack(name.encode(), _IFF_TUN | _IFF_NO_PI))

    def fileno(self) -> int:
        """Its file descriptor, to wait for."""
        return self._descriptor

    def read(self) -> bytes | None:
        """The next packet, or None where none waits."""
        try:
            return os.read(self._descriptor, _LARGEST_PACKET)
        except BlockingIOError:
            return None

    def write(self, packet: bytes) -> None:
        """Have the kernel route ``packet``."""
        os.write(self._descriptor, packet)

    def close(self) -> None:
        """Remove the device."""
        os.close(self._descriptor)
