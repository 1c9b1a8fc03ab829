"""The policy profiles of a domain's mobile nodes (RFC 5213, 6.2), and the store that every agent of the domain is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv6Address, IPv6Network

from agents.prefixes import PrefixTable


@dataclass(frozen=True, slots=True)
class Profile:
    """A mobile node's policy profile (RFC 5213, 6.2), known to every MAG and to the LMA.

    Attributes:
        home_network_prefixes: the prefixes that the node may have, over all its interfaces.
        routed_prefixes: by a MAG's name, the prefix that it advertises to the node under scheme ``none``.
        mags: the MAGs that may register the node, or None for all of the domain.
        mobility: whether the node is entitled to network-based mobility management.
        lifetime: the longest a binding of the node lasts, in s, or None for as long as any.
        session_prefixes: how many prefixes one interface gets where the LMA chooses, or None for all that are free; where there are more,
            they are those of several interfaces, and MAGs leave the choice to the LMA.
    """

    mn_id: str
    home_network_prefixes: tuple[IPv6Network, ...]
    routed_prefixes: Mapping[str, IPv6Network] = field(default_factory=dict)
    mags: frozenset[IPv6Address] | None = None
    mobility: bool = True
    lifetime: float | None = None
    session_prefixes: int | None = None


class ProfileStore:
    """All profiles of a domain, by what they are looked up by; one store serves any number of agents, and nobody changes it.

    Attributes:
        by_mn_id: each profile by its node's MN-ID.
        prefixes: the home network prefixes of all nodes: whatever else a message names is not to be routed.
    """

    def __init__(self, profiles: Iterable[Profile] = ()) -> None:
        self._profiles = tuple(profiles)
        self.by_mn_id: Mapping[str, Profile] = {profile.mn_id: profile for profile in self._profiles}
        self.prefixes = frozenset(prefix for profile in self._profiles for prefix in profile.home_network_prefixes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProfileStore) and self._profiles == other._profiles

    def __hash__(self) -> int:
        return hash(self._profiles)

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._profiles)

    def __len__(self) -> int:
        return len(self._profiles)

    def __getitem__(self, number: int) -> Profile:
        return self._profiles[number]

    def of_address(self, address: IPv6Address) -> Profile | None:
        """The profile of the node that has a home address, or None where none has."""
        return self._by_prefix.lookup(address)

    def prefixes_of(self, mn_id: str | None) -> frozenset[IPv6Network]:
        """The home network prefixes that a node may have: none where it has no profile."""
        profile = self.by_mn_id.get(mn_id or "")
        return frozenset(profile.home_network_prefixes) if profile else frozenset()

    @cached_property
    def _by_prefix(self) -> PrefixTable[Profile]:
        table: PrefixTable[Profile] = PrefixTable()
        for profile in self._profiles:
            for prefix in profile.home_network_prefixes:
                table[prefix] = profile
        return table
