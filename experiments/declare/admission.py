"""What a declaration must be before anything is done with it, whoever wrote it: every name and every number is checked here, once.

Names that become parts of paths are letters, digits and ``+ . _ -``, and begin with a letter or digit, so that none leads out of a folder.
Numbers have bounds within which the analysis and the model need bounded time and memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from agents.schemes import SCHEMES
from experiments.declare import settings
from experiments.declare.forgeries import KINDS
from experiments.declare.scenario import (
    DRAFT,
    Attack,
    Case,
    Experiment,
    Fault,
    Flow,
    Impairment,
    Move,
    Revocation,
    Run,
    Scenario,
    WrongClock,
)
from experiments.declare.tolerance import TOLERANCES
from experiments.declare.traffic import HEADER
from topologies import routing
from topologies.check import check
from topologies.domain import Domain, shorten
from topologies.units import UnitError

LONGEST = 100_000.0
"""s that a scenario may last."""

MOST_PACKETS_OF_A_RUN = 1_000_000
"""Test packets of all flows of a run: the analysis and the model keep some kB of memory for each."""

MOST_RUNS = 100_000
"""Runs of an experiment, over all its cases."""

LARGEST_SIMULATED = 1412
"""Octets of a test packet's payload that a tunnel through links of 1,500 octets takes whole: the simulator has no fragments."""

_MOST = {"flows": 1000, "moves": 10_000, "faults": 1000, "cases": 1000, "figures": 100}
_HIGHEST_RATE = 1e6
_MOST_ATTACK_PACKETS = 1_000_000
_LATEST = 1 << 62
_LARGEST_SEED = 1 << 63
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,99}")


class AdmissionError(ValueError):
    """A declaration has a name or a number that nothing can be done with; the message is one line that says what was expected."""


def check_name(what: str, name: str) -> None:
    """AdmissionError where ``name`` cannot be a part of a path; ``what`` says what it names."""
    if not _NAME.fullmatch(name):
        raise AdmissionError(f"expected {what} to be 1 to 100 letters, digits, '+', '.', '_' and '-', not {shorten(name)}")


def check_experiment(experiment: Experiment, runs_per_case: int, seed: int, engine: str, agents: Mapping[str, str]) -> None:
    """AdmissionError (or DomainError, of its network) where an experiment cannot be run, or what it left not be analysed."""
    check_name("an experiment's name", experiment.name)
    _check_count("figures", experiment.figures)
    for figure in experiment.figures:
        check_name("a figure's name", figure)
    if unknown := [part for part in experiment.draft if part not in DRAFT]:
        raise AdmissionError(f"expected parts of the draft to be of {', '.join(DRAFT)}, not {shorten(unknown[0])}")
    _check_count("cases", experiment.cases)
    _within("the number of runs", runs_per_case, 1, MOST_RUNS)
    _within("the number of runs of all cases", runs_per_case * len(experiment.cases), 1, MOST_RUNS)
    ((label, count),) = Counter((case.scheme, case.label) for case in experiment.cases).most_common(1)
    if count > 1:
        raise AdmissionError(f"expected one case to be called {'/'.join(label)}, not {count}")
    _check_world(experiment.domain, experiment.cases, experiment.scenario, seed, engine, agents)


def check_run(run: Run) -> None:
    """As ``check_experiment``, for one run."""
    check_name("an experiment's name", run.experiment)
    _within("a run's number", run.number, 1, MOST_RUNS)
    _within("the epoch", run.epoch, 0, _LATEST)
    _check_world(run.domain, (run.case,), run.scenario, run.seed, run.engine, run.settings)


def _check_world(domain: Domain, cases: Sequence[Case], scenario: Scenario, seed: int, engine: str, agents: Mapping[str, str]) -> None:
    _within("the seed", seed, 0, _LARGEST_SEED + MOST_RUNS)
    if engine not in TOLERANCES:
        raise AdmissionError(f"expected the engine to be one of {', '.join(TOLERANCES)}, not {shorten(engine)}")
    if engine == "sim":
        _check_simulated(cases, scenario)
    check(domain)
    for case in cases:
        _check_case(case, agents)
        _check_lma(domain, case.scheme)
    check_happenings(domain, cases, scenario)


def check_happenings(domain: Domain, cases: Sequence[Case], scenario: Scenario) -> None:
    """AdmissionError for what cannot happen, or not in this domain."""
    _check_scenario(scenario)
    if missing := missing_node(domain, cases, scenario):
        raise AdmissionError(f"no node of the domain is called {shorten(missing)}")


def _check_simulated(cases: Iterable[Case], scenario: Scenario) -> None:
    """AdmissionError for what the simulator cannot play."""
    faults = (*scenario.faults, *(fault for case in cases for fault in case.faults))
    if attack := next((fault for fault in faults if isinstance(fault, Attack)), None):
        raise AdmissionError(f"the engine sim plays no attacks, such as {shorten(attack.kind)}: use --engine virtual")
    if large := next((flow for flow in scenario.flows if flow.size > LARGEST_SIMULATED), None):
        raise AdmissionError(
            f"the engine sim has no fragments: expected a flow's size to be at most {LARGEST_SIMULATED} bytes, not {large.size}; "
            "use --engine virtual"
        )


def _check_case(case: Case, agents: Mapping[str, str]) -> None:
    if case.scheme not in SCHEMES:
        raise AdmissionError(f"expected a scheme to be one of {', '.join(SCHEMES)}, not {shorten(case.scheme)}")
    if case.policy not in SCHEMES[case.scheme].policies:
        expected = ", ".join(SCHEMES[case.scheme].policies)
        raise AdmissionError(f"expected a policy of {case.scheme} to be one of {expected}, not {shorten(case.policy)}")
    if case.variant:
        check_name("a case's variant", case.variant)
    _check_faults(case.faults)
    try:
        settings.check({**agents, **case.settings})
    except KeyError as error:
        raise AdmissionError(f"no setting of the agents is called {shorten(str(error.args[0]))}") from None
    except UnitError as error:
        raise AdmissionError(f"settings: {error}") from None


def _check_lma(domain: Domain, scheme: str) -> None:
    if "LMA" in SCHEMES[scheme].agents and domain.lma is None:
        raise AdmissionError(f"scheme {scheme} needs an LMA, which the domain {domain.name} does not have: name others with --scheme")


def _check_scenario(scenario: Scenario) -> None:
    _within("a scenario's duration in s", scenario.duration, 0, LONGEST)
    _within("a scenario's phase in s", scenario.phase, 0, LONGEST)
    _check_count("flows", scenario.flows)
    for flow in scenario.flows:
        _check_flow(flow)
    _within("the number of test packets of a run", sum(flow.packets for flow in scenario.flows), 0, MOST_PACKETS_OF_A_RUN)
    _check_count("moves", scenario.moves)
    for move in scenario.moves:
        _check_move(move)
    _check_faults(scenario.faults)


def _check_flow(flow: Flow) -> None:
    _within("a flow's start in s", flow.start, 0, LONGEST)
    _within("a flow's duration in s", flow.duration, 0, LONGEST)
    _within("a flow's rate in packets/s", flow.rate, 1 / LONGEST, _HIGHEST_RATE)
    if flow.source == flow.destination:
        raise AdmissionError(f"expected a flow to lead from one host to another, not from {shorten(flow.source)} to itself")
    if not isinstance(flow.size, int):
        raise AdmissionError(f"expected a flow's size to be a whole number of bytes, not {flow.size!r}")
    _within("a flow's size in bytes", flow.size, HEADER.size, settings.LARGEST_PAYLOAD)


def _check_move(move: Move) -> None:
    for what, value in (("time", move.at), ("gap", move.l2_gap), ("notice", move.notice)):
        _within(f"a move's {what} in s", value, 0, LONGEST)


def _check_faults(faults: Sequence[Fault]) -> None:
    _check_count("faults", faults)
    for fault in faults:
        _within("a fault's end in s", fault.end, 0, LONGEST)
        match fault:
            case WrongClock():
                _within("a clock's error in s", fault.seconds, -1e9, 1e9)
            case Impairment():
                _within("a message's delay in s", fault.delay, 0, LONGEST)
            case Attack():
                if fault.kind not in KINDS:
                    raise AdmissionError(f"expected an attack's kind to be one of {', '.join(KINDS)}, not {shorten(fault.kind)}")
                _within("an attack's number of packets", fault.count, 0, _MOST_ATTACK_PACKETS)
                _within("an attack's rate in packets/s", fault.rate, 1 / LONGEST, _HIGHEST_RATE)


def missing_node(domain: Domain, cases: Iterable[Case], scenario: Scenario) -> str | None:
    """The first node that flows, moves or faults name and that the domain does not have; None where all are there."""
    hosts = {host.name for host in domain.hosts}
    bridges = {core.name for core in domain.core if not core.routed}
    mags = {mag.name for mag in domain.mags}
    agents = {agent.name for agent in routing.agents(domain)}
    faults = [*scenario.faults, *(fault for case in cases for fault in case.faults)]
    attacks = [fault for fault in faults if isinstance(fault, Attack)]
    revocations = [fault for fault in faults if isinstance(fault, Revocation)]
    wanted = (
        (hosts, (name for flow in scenario.flows for name in (flow.source, flow.destination))),
        (hosts, (move.mn for move in scenario.moves)),
        (mags, (move.to for move in scenario.moves)),
        (agents, (node for fault in faults for node in fault.on)),
        (hosts | mags, (revocation.node for revocation in revocations)),
        (hosts, (attack.victim for attack in attacks)),
        (hosts | bridges, (attack.attacker for attack in attacks)),
    )
    return next((name for known, names in wanted for name in names if name not in known), None)


def _check_count(what: str, entries: Sequence[object]) -> None:
    if len(entries) > _MOST[what]:
        raise AdmissionError(f"expected at most {_MOST[what]} {what}, not {len(entries)}")


def _within(what: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise AdmissionError(f"expected {what} to be {least:.9g} to {most:.9g}, not {value:.9g}")
