"""A TUN device: IPv6 packets that the kernel routes to it are read here; packets written here are routed by the kernel."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from struct import Struct

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_REQUEST = Struct("16sH22x")
_DEVICES = Path("/proc/self/net/dev")
_LARGEST_PACKET = 65535
_DROPPED = 11
"""Which number of an interface's line in /proc/net/dev says how many outgoing packets were dropped."""

QUEUE = 5000
"""Packets that may wait to be read."""


class Tun:
    """The device ``name``, in which ``QUEUE`` packets may wait if it is started so; it vanishes, routes included, when it is closed."""

    def __init__(self, name: str) -> None:
        """Create it; OSError where there is no TUN driver or the name is taken."""
        self._line = f"{name}:"
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

    @property
    def missed(self) -> int:
        """How many packets the kernel has dropped because as many waited as may."""
        lines = (line.split() for line in _DEVICES.read_text().splitlines())
        return next((int(words[_DROPPED + 1]) for words in lines if words and words[0] == self._line), 0)

    def write(self, packet: bytes) -> None:
        """Have the kernel route ``packet``."""
        os.write(self._descriptor, packet)

    def close(self) -> None:
        """Remove the device."""
        os.close(self._descriptor)
