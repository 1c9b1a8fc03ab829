"""The experiments that come with the project; a new one is a new file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from experiments.catalogue import attacks, faults, fig1, fig2, handover, moves, table1
from experiments.declare.scenario import Experiment

_USUAL = (fig1.EXPERIMENT, fig2.EXPERIMENT, table1.EXPERIMENT, handover.EXPERIMENT)
_EXPERIMENTS = (*_USUAL, *moves.EXPERIMENTS, faults.EXPERIMENT, attacks.EXPERIMENT)

CATALOGUE: Mapping[str, Experiment] = MappingProxyType({experiment.name: experiment for experiment in _EXPERIMENTS})
