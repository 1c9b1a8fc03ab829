"""What a user asked for, made of what the catalogue declares: which cases, on which network, with which settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agents.config import MessageOrder
from agents.schemes import SCHEMES
from experiments.declare import admission, settings
from experiments.declare.scenario import Case, Experiment
from topologies import presets, routing
from topologies.check import check


class SelectionError(ValueError):
    """What was asked for does not exist; one line that says what was expected."""


@dataclass(frozen=True, slots=True)
class Selection:
    """An experiment as it will be run, and the agents' settings by dotted name that hold for all of its cases."""

    experiment: Experiment
    settings: dict[str, str]


def select(
    experiment: Experiment,
    *,
    schemes: Sequence[str] = (),
    policies: Sequence[str] = (),
    domain: str | None = None,
    assignments: Iterable[str] = (),
) -> Selection | None:
    """The experiment with only the cases of ``schemes`` and ``policies`` (all where empty), on ``domain``, with ``name=value`` settings.

    Returns None where the experiment has no such case.

    Raises:
        SelectionError: a policy that no scheme of the experiment supports, a domain that lacks what the scenario or a scheme needs, or
            flows, moves or delays with which nothing can come of the run.
        SettingError, DomainError: a setting or a domain that does not exist, or does not fit.
    """
    cases = [case for case in experiment.cases if not schemes or case.scheme in schemes]
    if policies:
        cases = _with_policies(cases, policies)
    if not cases:
        return None
    network = presets.named(domain) if domain else experiment.domain
    network, scenario, agents = settings.apply((settings.parse(text) for text in assignments), network, experiment.scenario)
    changed = replace(experiment, domain=check(network), scenario=scenario, cases=tuple(cases))
    _check_nodes(changed)
    _check_times(changed)
    for case in changed.cases:
        settings.check({**agents, **case.settings})
    _check_lma(changed, agents)
    return Selection(changed, agents)


def _with_policies(cases: Iterable[Case], policies: Sequence[str]) -> list[Case]:
    known = {policy for scheme in SCHEMES.values() for policy in scheme.policies}
    for policy in policies:
        if policy != "all" and policy not in known:
            raise SelectionError(f"no policy is called {policy!r}; expected all or one of {', '.join(sorted(known))}")
    by_scheme: dict[str, list[Case]] = {}
    for case in cases:
        by_scheme.setdefault(case.scheme, []).append(case)
    chosen = []
    for scheme, declared in by_scheme.items():
        for policy in SCHEMES[scheme].policies:
            if "all" in policies or policy in policies:
                chosen += [case for case in declared if case.policy == policy] or [Case(scheme, policy)]
    return chosen


def _check_nodes(experiment: Experiment) -> None:
    if missing := admission.missing_node(experiment.domain, experiment.cases, experiment.scenario):
        raise SelectionError(f"experiment {experiment.name} needs {missing}, which the domain {experiment.domain.name} does not have")


def _check_times(experiment: Experiment) -> None:
    """Every flow sends something within the scenario, and no node moves again before its move is over."""
    name, scenario = experiment.name, experiment.scenario
    for number, flow in enumerate(scenario.flows):
        end = flow.start + flow.duration
        if not 0 <= flow.start < end <= scenario.duration:
            raise SelectionError(f"{name}: flow {number} goes from {flow.start:g} s to {end:g} s of a scenario of {scenario.duration:g} s")
        if not flow.packets:
            raise SelectionError(f"{name}: flow {number} would send 0 packets in {flow.duration:g} s; change flow.rate")
    packets, most = sum(flow.packets for flow in scenario.flows), admission.MOST_PACKETS_OF_A_RUN
    if packets > most:
        raise SelectionError(f"{name}: its flows would send {packets:,} packets in a run, more than {most:,}; change flow.rate")
    for mn in dict.fromkeys(move.mn for move in scenario.moves):
        moves = sorted((move for move in scenario.moves if move.mn == mn), key=lambda move: move.at)
        ends = (0.0, *(move.at + move.l2_gap for move in moves))
        for end, move in zip(ends, moves, strict=False):
            if move.at - move.notice < end:
                raise SelectionError(
                    f"{name}: the move of {mn} at {move.at:g} s, with {move.notice:g} s of notice, begins before {end:g} s, "
                    "when it has its link again; make move.gap shorter"
                )
        if ends[-1] > scenario.duration:
            raise SelectionError(
                f"{name}: {mn} would have its link again at {ends[-1]:g} s, after the scenario's end at {scenario.duration:g} s; "
                "make move.gap shorter"
            )


def _check_lma(experiment: Experiment, agents: Mapping[str, str]) -> None:
    """There is an LMA for the schemes that need one, and a PBU gets there from each MAG while its timestamp is good (RFC 5213, 5.5)."""
    domain = experiment.domain
    for case in experiment.cases:
        scheme = SCHEMES[case.scheme]
        if "LMA" not in scheme.agents:
            continue
        if domain.lma is None:
            raise SelectionError(
                f"scheme {scheme.name} needs an LMA, which the domain {domain.name} does not have: name others with --scheme"
            )
        told = settings.agent_settings({**agents, **case.settings})
        away = routing.distances(domain, domain.lma.name)
        delay, mag = max((away[mag.name], mag.name) for mag in domain.mags)
        if told.message_order is not MessageOrder.SEQUENCE and delay >= told.timestamp_window:
            raise SelectionError(
                f"{experiment.name}: a PBU takes {delay:g} s from {mag} to {domain.lma.name}, which refuses what was sent "
                f"{told.timestamp_window:g} s ago; make mag.delay or lma.delay shorter, or timestamp_window longer, "
                "or set message_order=sequence"
            )
