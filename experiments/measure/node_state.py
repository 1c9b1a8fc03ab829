"""What the kernels of the agents' nodes hold when the scenario is over: state.json in a run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from experiments.declare import declarations

FILE = "state.json"


@dataclass(frozen=True, slots=True)
class ListedRoute:
    """A route: through the interface ``link``, encapsulated to ``care_of`` where that is not None; ``unicast`` or one that refuses."""

    prefix: IPv6Network
    table: int
    link: str | None
    care_of: IPv6Address | None
    unicast: bool


@dataclass(frozen=True, slots=True)
class ListedRule:
    """A rule: what comes in by ``link`` (None: whatever), carries ``protocol`` (None: any) and has a source in ``source`` (None: any)
    looks into ``table`` (0: something else is done)."""

    priority: int
    table: int
    link: str | None
    protocol: int | None
    source: IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class NodeState:
    """The interfaces, IPv6 routes and rules of a node."""

    links: tuple[str, ...]
    routes: tuple[ListedRoute, ...]
    rules: tuple[ListedRule, ...]


def read(folder: Path) -> dict[str, NodeState]:
    """The state by node; DeclarationError where the folder has none that can be read."""
    return declarations.load(folder / FILE, dict[str, NodeState])
