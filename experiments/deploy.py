"""Who runs where: the configuration of each agent of a run."""

from __future__ import annotations

from agents.config import AgentConfig, Profile
from agents.schemes import SCHEMES
from experiments.scenario import Run
from experiments.settings import agent_settings
from topologies.addresses import routed_prefix
from topologies.domain import Agent


def profiles(run: Run) -> tuple[Profile, ...]:
    """The policy profile of every host of the domain (RFC 5213, 6.2)."""
    return tuple(
        Profile(
            mn_id=host.mn_id,
            home_network_prefixes=(host.home_network_prefix,),
            routed_prefixes={mag.name: routed_prefix(run.domain, mag, host) for mag in run.domain.mags},
        )
        for host in run.domain.hosts
    )


def agents(run: Run) -> tuple[Agent, ...]:
    """The agents that the run's scheme uses, the LMA first."""
    uses_lma = "LMA" in SCHEMES[run.case.scheme].agents and run.domain.lma is not None
    lma = (run.domain.lma,) if uses_lma and run.domain.lma else ()
    return (*lma, *run.domain.mags)


def configuration(run: Run, agent: Agent) -> AgentConfig:
    """What ``agent`` is told when it starts."""
    scheme = SCHEMES[run.case.scheme]
    return AgentConfig(
        name=agent.name,
        address=agent.address,
        core=agent.core,
        scheme=scheme,
        policy=run.case.policy,
        lma=run.domain.lma.address if run.domain.lma and "LMA" in scheme.agents else None,
        mags=frozenset(mag.address for mag in run.domain.mags),
        profiles=profiles(run),
        settings=agent_settings({**run.settings, **run.case.settings}),
    )
