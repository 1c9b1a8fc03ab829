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
    """What a policy adds to each kind of agent, and what follows for packets.

    Attributes:
        mag, lma: the hooks that the agents call.
        forwards: whether a MAG sends on what comes for a node that it does not serve.
        reports: whether a MAG tells who sent it such a packet through a tunnel, by a Binding Error.
        notifies: whether who learns first where a node is now, the LMA or its MAG, tells the MAGs that may rely on another answer.
        prepares: whether a MAG whose node is about to leave tells the node's next MAG.
    """

    mag: type[MagPolicy] = MagPolicy
    lma: type[LmaPolicy] = LmaPolicy
    forwards: bool = False
    reports: bool = False
    notifies: bool = False
    prepares: bool = False


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "none": Policy(),
        "anchor": Policy(),
        "expire": Policy(),
        "error": Policy(mag=ErrorMagPolicy, reports=True),
        "notify": Policy(mag=NotifyMagPolicy, lma=NotifyLmaPolicy, notifies=True),
        "forward": Policy(mag=ForwardMagPolicy, lma=NotifyLmaPolicy, forwards=True, notifies=True),
        "predict": Policy(mag=PredictMagPolicy, lma=NotifyLmaPolicy, forwards=True, notifies=True, prepares=True),
    }
)
