"""events.jsonl: one line of JSON for each thing that an agent was told or did."""

from __future__ import annotations

import os
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from socket import AF_INET6, inet_ntop
from typing import Any

import msgspec


def _text(value: object) -> str:
    """What JSON has no type for; addresses, of which every line has some, the fast way."""
    if isinstance(value, IPv6Address):
        return inet_ntop(AF_INET6, value.packed)
    if isinstance(value, IPv6Network):
        return f"{inet_ntop(AF_INET6, value.network_address.packed)}/{value.prefixlen}"
    return str(value)


_encode = msgspec.json.Encoder(enc_hook=_text).encode


class Journal:
    """Appends to a file that several agents share; all lines of one ``flush`` stay together.

    A line is ``{"time": ns since 1970, "node": name, "event": what, ...}``. A journal that cannot be written never stops
    its agent: lost lines are counted, and the next line that can be written says how many.
    """

    def __init__(self, path: Path, node: str) -> None:
        """Open or create ``path``; OSError where that is impossible."""
        self._node = node
        self._lines: list[bytes] = []
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.lost = 0

    def record(self, time: int, event: str, **details: Any) -> None:
        """Note that ``event`` happened at ``time`` (ns since 1970); it is written by the next ``flush``."""
        if self.lost:
            details["lines_lost_before"] = self.lost
        self._lines.append(_encode({"time": time, "node": self._node, "event": event, **details}) + b"\n")

    def flush(self) -> None:
        """Write what was recorded, in one system call."""
        if not self._lines:
            return
        data = b"".join(self._lines)
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            written = 0
        if written == len(data):
            self.lost = 0
        else:
            self.lost += data[written:].count(b"\n")
            self._end_line(data, written)
        self._lines.clear()

    def _end_line(self, data: bytes, written: int) -> None:
        if written and data[written - 1 : written] != b"\n":
            try:
                os.write(self._descriptor, b"\n")
            except OSError:
                return

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        os.close(self._descriptor)
