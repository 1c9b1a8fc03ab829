"""What a run is to an engine: the command, the memory that its guest needs and the time after which it counts as hung."""

from __future__ import annotations

import sys
from pathlib import Path

from engines.base import Job
from experiments.declare.deployment import Deployment

_PLAYERS = {"sim": "experiments.simulate"}
_EMULATION = "experiments.play.emulate"

_MEMORY, _NODE_MEMORY, _PROCESS_MEMORY = 512 << 20, 3 << 20, 10 << 20
_BRING_UP, _PER_NODE, _PER_SECOND, _PER_PACKET = 600.0, 5.0, 2.0, 0.01

_BUFFERS = 64 << 20
_BUFFER_MIN, _BUFFER_MAX = 1 << 20, 8 << 20


def job_of(run: Deployment, folder: Path, virtual: bool) -> Job:
    """What an engine is to do for a run whose declaration lies in ``folder``; ``virtual`` says whether the engine's time is."""
    return Job(
        command=(sys.executable, "-m", _PLAYERS.get(run.engine, _EMULATION), str(folder)),
        results=folder,
        seed=run.declared.seed,
        wall_limit=wall_limit(run, virtual),
        log=folder / "console.log",
        memory=memory(run),
    )


def memory(run: Deployment) -> int:
    """The octets of memory that a guest needs for the run, with room to spare: it follows the size of the domain (docs/engines.md)."""
    nodes = len(run.captured)
    processes = len(run.agents) + 2 * len(run.scenario.flows)
    return _MEMORY + nodes * (_NODE_MEMORY + buffer_size(nodes)) + processes * _PROCESS_MEMORY


def wall_limit(run: Deployment, virtual: bool) -> float:
    """The s of wall time after which the run counts as hung: many times what it takes on a core of its own (docs/engines.md)."""
    packets = sum(flow.packets for flow in run.scenario.flows) + sum(attack.count for attack in run.attacks)
    playing = _PER_SECOND * run.scenario.duration + _PER_PACKET * packets if virtual else run.scenario.duration
    return _BRING_UP + _PER_NODE * len(run.captured) + playing


def buffer_size(captures: int) -> int:
    """The octets of the kernel's memory in which each of so many captures keeps packets until they are read."""
    return min(_BUFFER_MAX, max(_BUFFER_MIN, _BUFFERS // max(1, captures)))
