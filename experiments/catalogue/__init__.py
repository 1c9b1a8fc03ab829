"""The experiments that come with the project, one file each; a new one is a new file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from experiments.catalogue import faults, fig1, fig2, handover, table1
from experiments.scenario import Experiment

CATALOGUE: Mapping[str, Experiment] = MappingProxyType(
    {module.EXPERIMENT.name: module.EXPERIMENT for module in (fig1, fig2, table1, handover, faults)}
)
