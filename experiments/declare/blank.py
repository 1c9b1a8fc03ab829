"""A run in which nothing happens yet: what a session begins with."""

from __future__ import annotations

from collections.abc import Mapping

from agents.schemes import SCHEMES
from experiments.declare import admission
from experiments.declare.admission import AdmissionError
from experiments.declare.scenario import Case, Run, Scenario
from topologies.domain import Domain, shorten


def blank(
    domain: Domain,
    scheme: str,
    policy: str = "",
    *,
    settings: Mapping[str, str] | None = None,
    seed: int = 1,
    engine: str = "virtual",
    name: str = "session",
) -> Run:
    """A run of ``domain`` under a scheme and one of its handover policies ("" for its usual one), its settings by dotted name.

    ``engine`` says how exact its times are to be taken when they are analysed. AdmissionError where there can be no such run.
    """
    if scheme not in SCHEMES:
        raise AdmissionError(f"expected a scheme to be one of {', '.join(SCHEMES)}, not {shorten(scheme)}")
    case = Case(scheme, policy or SCHEMES[scheme].default_policy)
    run = Run(name, domain, case, Scenario(duration=0.0), number=1, seed=seed, engine=engine, settings=dict(settings or {}))
    admission.check_run(run)
    return run
