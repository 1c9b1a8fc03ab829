"""Who runs where: the configuration of each agent of a run."""

from __future__ import annotations

from functools import partial

from agents.config import AgentConfig, Profile
from agents.schemes import SCHEMES
from experiments.scenario import Run
from experiments.settings import agent_settings
from topologies.addresses import routed_prefix
from topologies.domain import Agent, Host


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
