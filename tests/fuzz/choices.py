"""Octets read as decisions, the same with and without a fuzzer: whoever changes an octet changes one decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Decisions, until the octets are used up; from then on each is the first that there is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def octets(self, size: int) -> bytes:
        """The next ``size`` octets, or as many as are left."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def number(self, size: int = 1) -> int:
        """A number of ``size`` octets."""
        return int.from_bytes(self.octets(size).ljust(size, b"\0"))

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``, which are not more than 256."""
        return options[self.number() % len(options)]
