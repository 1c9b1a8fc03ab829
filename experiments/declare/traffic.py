"""Test traffic as octets: UDP packets that bear their flow and their number."""

from __future__ import annotations

import struct

PORT = 5213
MAGIC = b"DMM1"
HEADER = struct.Struct("!4sHI")


def payload(flow: int, sequence: int, size: int) -> bytes:
    """The UDP payload of one test packet: magic, flow number, sequence number, zeros up to ``size`` bytes."""
    return HEADER.pack(MAGIC, flow, sequence).ljust(size, b"\0")
