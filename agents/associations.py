"""Which mobile nodes are associated, by the names, aliases and flags of access links.

An access link's name ends in ``-air``; its alias, ``<MN-ID> <link-layer address>``, says who is associated, as an access point would.
Behind that may stand what else the access point knows, in numbers as RFC 5213, 8.5, 8.4 and 8.8 have them: ``att=<access technology
type>``, ``hi=<handoff indicator>`` and ``ts=<timestamp of the node's own making>``; and ``next=<MAG's address>``, where the node is about
to go: the trigger of RFC 5949, 4.1 (a) and (b).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any

from agents.messages import AccessTechnologyType, HandoffIndicator

_SUFFIX = "-air"
_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000


@dataclass(frozen=True, slots=True)
class Association:
    """A mobile node on the access link ``link`` (interface ``index``): its MN-ID, its link-layer address, how it came there, and the MAG
    that it is about to leave for."""

    link: str
    index: int
    mn_id: str
    link_layer: bytes
    access_technology: int = AccessTechnologyType.WIRELESS_LAN
    handoff: HandoffIndicator = HandoffIndicator.UNKNOWN
    timestamp: int | None = None
    leaves_for: IPv6Address | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Attached:
    """A mobile node came."""

    association: Association


@dataclass(frozen=True, slots=True)
class Detached:
    """A mobile node left: its link lost its carrier, or is gone."""

    association: Association


@dataclass(frozen=True, slots=True)
class Leaving:
    """A mobile node is about to leave, for the MAG ``to``."""

    association: Association
    to: IPv6Address


LinkEvent = Attached | Leaving | Detached


def association(index: int, flags: int, name: str, alias: str) -> Association | None:
    """Who is associated on an interface with these flags, or None: it is no access link, not up, or says nobody."""
    up = flags & _IFF_UP and flags & _IFF_LOWER_UP
    if not (name.endswith(_SUFFIX) and up):
        return None
    try:
        mn_id, address, *words = alias.split()
        link_layer = bytes.fromhex(address.replace(":", ""))
        how = known(words)
    except ValueError:
        return None
    return Association(name, index, mn_id, link_layer, **how) if link_layer else None


def _number(bits: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if (value := int(text)) >> bits:
            raise ValueError(f"{value} does not fit {bits} bits")
        return value

    return convert


_WORDS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "att": ("access_technology", _number(8)),
    "hi": ("handoff", lambda text: HandoffIndicator(int(text))),
    "ts": ("timestamp", _number(64)),
    "next": ("leaves_for", IPv6Address),
}


def known(words: Iterable[str]) -> dict[str, Any]:
    """What the words behind a link-layer address say, by fields of Association; ValueError where they are none."""
    fields = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in _WORDS:
            raise ValueError(f"expected {' or '.join(_WORDS)}, not {name!r}")
        field, convert = _WORDS[name]
        fields[field] = convert(value)
    return fields


class Associations:
    """Turns what is told of interfaces into events."""

    def __init__(self) -> None:
        self._present: dict[int, Association] = {}

    def update(self, index: int, now: Association | None) -> Iterator[LinkEvent]:
        """The interface ``index`` is now in this state."""
        before = self._present.get(index)
        if before is not None and before == now:
            self._present[index] = now
            if now.leaves_for is not None and now.leaves_for != before.leaves_for:
                yield Leaving(now, now.leaves_for)
            return
        if before is not None:
            del self._present[index]
            yield Detached(before)
        if now is not None:
            self._present[index] = now
            yield Attached(now)

    def others(self, listed: set[int]) -> tuple[int, ...]:
        """The interfaces of those present that are not among ``listed``."""
        return tuple(index for index in self._present if index not in listed)
