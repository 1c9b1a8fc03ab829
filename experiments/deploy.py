"""Who runs where: the configuration of each agent of a run, and the job that the run is to an engine."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from agents.config import AgentConfig, Profile
from agents.schemes import SCHEMES
from engines.base import Job
from experiments.capture import buffer_size
from experiments.scenario import Run
from experiments.settings import agent_settings
from topologies.addresses import routed_prefix
from topologies.domain import Agent, Host

_MEMORY, _NODE_MEMORY, _PROCESS_MEMORY = 512 << 20, 3 << 20, 10 << 20
_BRING_UP, _PER_NODE, _PER_SECOND, _PER_PACKET = 600.0, 5.0, 2.0, 0.01


def profiles(run: Run) -> tuple[Profile, ...]:
    """The policy profile of every node of the domain (RFC 5213, 6.2): of each host, or of several that are its interfaces."""
    routed = () if SCHEMES[run.case.scheme].home_prefixes else run.domain.mags
    interfaces: dict[str, list[Host]] = {}
    for host in run.domain.hosts:
        interfaces.setdefault(host.mn_id, []).append(host)
    return tuple(
        Profile(
            mn_id=mn_id,
            home_network_prefixes=tuple(dict.fromkeys(host.home_network_prefix for host in hosts)),
            routed_prefixes={mag.name: routed_prefix(run.domain, mag, hosts[0]) for mag in routed},
            session_prefixes=1,
        )
        for mn_id, hosts in interfaces.items()
    )


def agents(run: Run) -> tuple[Agent, ...]:
    """The agents that the run's scheme uses, the LMA first."""
    uses_lma = "LMA" in SCHEMES[run.case.scheme].agents and run.domain.lma is not None
    lma = (run.domain.lma,) if uses_lma and run.domain.lma else ()
    return (*lma, *run.domain.mags)


def captured(run: Run) -> tuple[str, ...]:
    """The nodes that a run's captures are taken at: agents of the scheme, hosts and routers."""
    routers = (core.name for core in run.domain.core if core.routed)
    return (*(agent.name for agent in agents(run)), *(host.name for host in run.domain.hosts), *routers)


def configurations(run: Run) -> dict[str, AgentConfig]:
    """What each agent of the run is told when it starts, by the name of its node; what all are told is there once."""
    domain, scheme = run.domain, SCHEMES[run.case.scheme]
    told = partial(
        AgentConfig,
        scheme=scheme,
        policy=run.case.policy,
        lma=domain.lma.address if domain.lma and "LMA" in scheme.agents else None,
        mags=frozenset(mag.address for mag in domain.mags),
        profiles=profiles(run),
        settings=agent_settings({**run.settings, **run.case.settings}),
    )
    return {agent.name: told(name=agent.name, address=agent.address, core=agent.core) for agent in agents(run)}


def job(run: Run, folder: Path, virtual: bool) -> Job:
    """What an engine is to do for a run whose declaration lies in ``folder``; ``virtual`` says whether the engine's time is."""
    return Job(
        command=(sys.executable, "-m", "experiments.emulate", str(folder)),
        results=folder,
        seed=run.seed,
        wall_limit=wall_limit(run, virtual),
        log=folder / "console.log",
        memory=memory(run),
    )


def memory(run: Run) -> int:
    """The octets of memory that a guest needs for the run, with room to spare: it follows the size of the domain (docs/engines.md)."""
    nodes = len(captured(run))
    processes = len(agents(run)) + 2 * len(run.scenario.flows)
    return _MEMORY + nodes * (_NODE_MEMORY + buffer_size(nodes)) + processes * _PROCESS_MEMORY


def wall_limit(run: Run, virtual: bool) -> float:
    """The s of wall time after which the run counts as hung: many times what it takes on a core of its own (docs/engines.md)."""
    packets = sum(flow.packets for flow in run.scenario.flows) + sum(attack.count for attack in run.attacks)
    playing = _PER_SECOND * run.scenario.duration + _PER_PACKET * packets if virtual else run.scenario.duration
    return _BRING_UP + _PER_NODE * len(captured(run)) + playing
