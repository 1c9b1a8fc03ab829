"""Handover policies: what is done about routes that point to the MAG which a mobile node has left.

The draft is silent on this. A policy is one row of POLICIES, what it adds to a MAG and what it adds to the LMA; Mag and
Lma call the hooks of the base classes and know no policy by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agents.policies.base import LmaPolicy, MagPolicy
from agents.policies.error import ErrorMagPolicy
from agents.policies.forward import ForwardMagPolicy
from agents.policies.notify import NotifyLmaPolicy, NotifyMagPolicy
from agents.policies.predict import PredictMagPolicy


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy adds to each kind of agent; ``forwards`` where MAGs send on what comes for a node that they do not serve."""

    mag: type[MagPolicy] = MagPolicy
    lma: type[LmaPolicy] = LmaPolicy
    forwards: bool = False


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "none": Policy(),
        "anchor": Policy(),
        "expire": Policy(),
        "error": Policy(mag=ErrorMagPolicy),
        "notify": Policy(mag=NotifyMagPolicy, lma=NotifyLmaPolicy),
        "forward": Policy(mag=ForwardMagPolicy, lma=NotifyLmaPolicy, forwards=True),
        "predict": Policy(mag=PredictMagPolicy, lma=NotifyLmaPolicy, forwards=True),
    }
)
