"""Table 1 of draft-jikim-dmm-pmip-00 as data: what each mobility scheme uses, and what the schemes compared with it do.

The LMA and the MAG read a row of this table and never compare a scheme's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Architecture(StrEnum):
    """The "Mobility Architecture" column of Table 1."""

    NONE = "none"
    CENTRALIZED = "centralized"
    PARTIALLY_DISTRIBUTED = "partially distributed"
    FULLY_DISTRIBUTED = "fully distributed"


class Delivery(StrEnum):
    """The "Data Delivery" column: what opens a path, the packets themselves or a signalling exchange."""

    ROUTED = "routed"
    DATA_DRIVEN = "data driven"
    SIGNAL_DRIVEN = "signal driven"


class Query(StrEnum):
    """The "Binding Query" column: how a MAG finds the MAG of a mobile node."""

    NONE = "not used"
    UNICAST = "unicast"
    MULTICAST = "multicast"


@dataclass(frozen=True, slots=True)
class Scheme:
    """One row of Table 1.

    Attributes:
        name: the name used on the command line and in every file.
        title: the name used in prose and plots.
        agents: the kinds of agent that run ("MAG", "LMA").
        architecture: the "Mobility Architecture" column.
        binding_update: whether a MAG registers its mobile nodes with an LMA (PBU).
        delivery: the "Data Delivery" column.
        query: the "Binding Query" column.
        policies: the handover policies that the scheme supports, its default first.
        localized_routing: whether the LMA has MAGs send straight what nodes send to each other (RFC 6705); no column of the draft's.
    """

    name: str
    title: str
    agents: tuple[str, ...]
    architecture: Architecture
    binding_update: bool
    delivery: Delivery
    query: Query
    policies: tuple[str, ...]
    localized_routing: bool = False

    @property
    def home_prefixes(self) -> bool:
        """Whether a node keeps one home network prefix wherever it attaches."""
        return self.architecture is not Architecture.NONE

    @property
    def default_policy(self) -> str:
        """The handover policy used where none is named."""
        return self.policies[0]


_ROWS = (
    Scheme("none", "no mobility", ("MAG",), Architecture.NONE, False, Delivery.ROUTED, Query.NONE, ("none",)),
    Scheme("pmip", "PMIP", ("MAG", "LMA"), Architecture.CENTRALIZED, True, Delivery.DATA_DRIVEN, Query.NONE, ("anchor",)),
    Scheme(
        "pmip-lr",
        "PMIP-LR",
        ("MAG", "LMA"),
        Architecture.CENTRALIZED,
        True,
        Delivery.DATA_DRIVEN,
        Query.NONE,
        ("anchor",),
        localized_routing=True,
    ),
    Scheme(
        "s-pmip",
        "S-PMIP",
        ("MAG", "LMA"),
        Architecture.PARTIALLY_DISTRIBUTED,
        True,
        Delivery.SIGNAL_DRIVEN,
        Query.UNICAST,
        ("notify", "error", "expire", "forward", "predict"),
    ),
    Scheme(
        "sd-pmip",
        "SD-PMIP",
        ("MAG",),
        Architecture.FULLY_DISTRIBUTED,
        False,
        Delivery.SIGNAL_DRIVEN,
        Query.MULTICAST,
        ("error", "notify", "expire", "forward", "predict"),
    ),
)

SCHEMES: Mapping[str, Scheme] = MappingProxyType({row.name: row for row in _ROWS})
