"""The experiments that come with the project; a new one is a new file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from experiments.catalogue import attacks, faults, fig1, fig2, handover, moves, table1
from experiments.scenario import Experiment

DRAFT: Mapping[str, Experiment] = MappingProxyType(
    {experiment.name: experiment for experiment in (fig1.EXPERIMENT, fig2.EXPERIMENT, table1.EXPERIMENT, handover.EXPERIMENT)}
)
"""What is run where none is named: the draft's figures and table, and what a handover costs."""

CATALOGUE: Mapping[str, Experiment] = MappingProxyType(
    {**DRAFT, **{experiment.name: experiment for experiment in (*moves.EXPERIMENTS, faults.EXPERIMENT, attacks.EXPERIMENT)}}
)
"""All of them."""
