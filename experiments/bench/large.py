"""A large domain, from boot to halt, on one core: 100 MAGs, 200 hosts, captures at every node, and two moves under traffic."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from experiments.bench.figures import Figure, folder, in_guest, one_core
from experiments.catalogue import CATALOGUE
from experiments.declare import declarations, jobs
from experiments.declare.deployment import resolve
from experiments.declare.scenario import Case, Run
from topologies.presets import star

_MAGS, _HOSTS = 100, 200


def measure() -> list[Figure]:
    """The catalogue's handover under S-PMIP, in a domain of that size."""
    experiment = CATALOGUE["handover"]
    domain = replace(star(mags=_MAGS, mns=_HOSTS - 1), name="large")
    run = Run("bench", domain, Case("s-pmip", "notify"), experiment.scenario, number=1, seed=1, engine="virtual")
    with folder() as name:
        made = Path(name)
        (made / "run.json").write_bytes(declarations.to_json(run))
        command = (sys.executable, "-m", "experiments.play.emulate", name)
        seconds = in_guest("virtual", command, made, one_core(), jobs.memory(resolve(run)))
    return [Figure(f"handover with {_MAGS} MAGs and {_HOSTS} hosts, one core, from boot to halt", seconds, 60, "s", limit=True)]
