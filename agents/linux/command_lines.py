"""The lines of a file descriptor on which an agent is told what to do (agents/commands.py) while it runs."""

from __future__ import annotations

import os

_MOST = 1 << 16


class CommandLines:
    """The lines that come on a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._rest = b""
        self.ended = False

    def fileno(self) -> int:
        """For a selector."""
        return self._descriptor

    def read(self) -> list[str]:
        """The whole lines that have come; ``ended`` once no more will."""
        try:
            data = os.read(self._descriptor, _MOST)
        except BlockingIOError:
            return []
        self.ended = not data
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_MOST:]
        return [line.decode(errors="replace") for line in lines if line.strip()]
