"""Runs as declarations, for tests of what is read from or predicted for them."""

from __future__ import annotations

from agents.schemes import SCHEMES
from experiments.declare.deployment import Deployment, resolve
from experiments.declare.scenario import Case, Flow, Move, Run, Scenario
from topologies.domain import Domain
from topologies.presets import star

EPOCH = 1_704_067_205_000_000_000
MS = 1_000_000
MOVES = (Move(10.007, "mn1", "mag3"), Move(20.007, "mn1", "mag2"))


def still(seconds: float = 1.0, source: str = "cn1", destination: str = "mn1", rate: float = 100.0) -> Scenario:
    return Scenario(seconds + 1.0, (Flow(source, destination, 0.0, seconds, rate),))


def moving(moves: tuple[Move, ...] = MOVES, seconds: float = 30.0) -> Scenario:
    return Scenario(seconds + 1.0, (Flow("cn1", "mn1", 0.0, seconds, rate=100.0),), moves)


def run(
    scheme: str, policy: str = "", scenario: Scenario | None = None, domain: Domain | None = None, settings: dict[str, str] | None = None
) -> Deployment:
    case = Case(scheme, policy or SCHEMES[scheme].default_policy)
    return resolve(Run("test", domain or star(), case, scenario or still(), 1, 1, "virtual", settings or {}, EPOCH))
