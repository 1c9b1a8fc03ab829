"""Values by prefix and addresses by prefix, found at the same cost however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Generic, TypeVar

V = TypeVar("V")

_BITS = 128


class PrefixTable(Generic[V]):
    """Values by prefix, found by longest match."""

    def __init__(self) -> None:
        self._by_length: dict[int, dict[int, tuple[IPv6Network, V]]] = {}
        self._lengths: tuple[int, ...] = ()

    def __setitem__(self, prefix: IPv6Network, value: V) -> None:
        length = prefix.prefixlen
        if length not in self._by_length:
            self._by_length[length] = {}
            self._lengths = tuple(sorted(self._by_length, reverse=True))
        self._by_length[length][int(prefix.network_address) >> _BITS - length] = (prefix, value)

    def get(self, prefix: IPv6Network) -> V | None:
        """The value of exactly this prefix."""
        found = self._by_length.get(prefix.prefixlen, {}).get(int(prefix.network_address) >> _BITS - prefix.prefixlen)
        return None if found is None else found[1]

    def pop(self, prefix: IPv6Network) -> V | None:
        """Take the value of exactly this prefix out."""
        found = self._by_length.get(prefix.prefixlen, {}).pop(int(prefix.network_address) >> _BITS - prefix.prefixlen, None)
        return None if found is None else found[1]

    def match(self, address: IPv6Address) -> tuple[IPv6Network, V] | None:
        """The longest prefix that holds ``address``, and its value."""
        number = int(address)
        for length in self._lengths:
            if (found := self._by_length[length].get(number >> _BITS - length)) is not None:
                return found
        return None

    def lookup(self, address: IPv6Address) -> V | None:
        """The value of the longest prefix that holds ``address``."""
        found = self.match(address)
        return None if found is None else found[1]

    def values(self) -> Iterator[V]:
        """All values; those of one prefix length in the order in which they came."""
        for table in self._by_length.values():
            for _, value in table.values():
                yield value


class AddressIndex:
    """Addresses, found by a prefix that holds them; at once for prefixes of 64 bits and more."""

    def __init__(self) -> None:
        self._subnets: dict[int, dict[IPv6Address, None]] = {}

    def add(self, address: IPv6Address) -> None:
        """Put ``address`` in."""
        self._subnets.setdefault(int(address) >> 64, {})[address] = None

    def discard(self, address: IPv6Address) -> None:
        """Take ``address`` out, if it is in."""
        subnet = self._subnets.get(int(address) >> 64, {})
        subnet.pop(address, None)
        if not subnet:
            self._subnets.pop(int(address) >> 64, None)

    def within(self, prefix: IPv6Network) -> tuple[IPv6Address, ...]:
        """The addresses that ``prefix`` holds, in the order in which they came."""
        if prefix.prefixlen >= 64:
            candidates = self._subnets.get(int(prefix.network_address) >> 64, {})
            return tuple(address for address in candidates if address in prefix)
        return tuple(address for subnet in self._subnets.values() for address in subnet if address in prefix)
