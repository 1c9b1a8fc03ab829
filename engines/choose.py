"""From an engine's name to the engine."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from engines.base import Engine, EngineError, Limited
from engines.kernel.build import MACHINE, ensure
from engines.native import Native
from engines.sim import Simulator
from engines.uml import UserModeLinux, memory_problem

KERNELS = ("auto", "virtual", "uml", "native")
NAMES = (*KERNELS, "sim")


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that ``auto`` takes on this machine, and why."""

    name: str
    why: str


def automatic() -> Choice:
    """What ``auto`` stands for here."""
    if platform.machine() == MACHINE:
        return Choice("virtual", "deterministic, faster than real time, needs no privileges")
    return Choice("native", f"User-Mode Linux runs on {MACHINE} only and this is {platform.machine()}")


def choose(name: str, wall_limit: float | None = None) -> Engine:
    """The engine called ``name`` (one of NAMES); builds its kernel on first use, with progress on stderr.

    With ``wall_limit`` (s of wall time) each of its jobs may take so long, instead of what the job says.

    Raises EngineError, whose one line names the remedy, where this machine cannot have it.
    """
    engine = _chosen(name)
    return engine if wall_limit is None else Limited(engine, wall_limit)


def _chosen(name: str) -> Engine:
    if name == "auto":
        choice = automatic()
        if choice.name == "native":
            print(f"engine native: {choice.why}", file=sys.stderr)
        name = choice.name
    match name:
        case "virtual" | "uml":
            if platform.machine() != MACHINE:
                raise EngineError(f"engine {name} runs on {MACHINE} only and this is {platform.machine()}: use --engine native")
            if problem := memory_problem():
                raise EngineError(str(problem))
            return UserModeLinux(name, virtual=name == "virtual", built=ensure())
        case "native":
            return Native.probed()
        case "sim":
            return Simulator()
        case _:
            raise EngineError(f"no engine is called {name!r}: expected one of {', '.join(NAMES)}")
