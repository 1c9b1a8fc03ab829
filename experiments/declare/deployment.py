"""The resolved run: what follows from a run's declaration, worked out once and taken by all that plays, measures, models and shows it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv6Address

from agents.config import AgentConfig, Settings
from agents.policies import POLICIES, Policy
from agents.profiles import Profile, ProfileStore
from agents.schemes import SCHEMES, Scheme
from experiments.declare.scenario import Attack, Case, Fault, Run, Scenario, WrongClock
from experiments.declare.settings import agent_settings
from topologies import routing
from topologies.addresses import RoutedPrefixes
from topologies.domain import Agent, Domain, Host


@dataclass(frozen=True)
class Deployment:
    """A run with everything that its declaration implies.

    Attributes:
        declared: the run as it is declared and kept in run.json.
        scheme: the row of the draft's Table 1 that its agents follow.
        policy: what its handover policy adds to them.
        settings: what they are told, the case's own settings before the run's.
        anchors: the LMAs that the scheme uses; none where it uses none.
    """

    declared: Run
    scheme: Scheme
    policy: Policy
    settings: Settings
    anchors: tuple[Agent, ...]

    @property
    def domain(self) -> Domain:
        """The network."""
        return self.declared.domain

    @property
    def case(self) -> Case:
        """Scheme and policy by name, with what sets the case apart."""
        return self.declared.case

    @property
    def scenario(self) -> Scenario:
        """What happens, and when."""
        return self.declared.scenario

    @property
    def number(self) -> int:
        """Which of its case's runs it is, from 1."""
        return self.declared.number

    @property
    def engine(self) -> str:
        """Where its kernel comes from."""
        return self.declared.engine

    @property
    def epoch(self) -> int:
        """The scenario's zero, ns since 1970."""
        return self.declared.epoch

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong in it."""
        return self.declared.faults

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """Which of its faults are attacks."""
        return self.declared.attacks

    @property
    def mags(self) -> tuple[Agent, ...]:
        """The MAGs, in the domain's order."""
        return self.domain.mags

    @cached_property
    def agents(self) -> tuple[Agent, ...]:
        """The nodes whose agents run: anchors first, then MAGs."""
        return (*self.anchors, *self.mags)

    @cached_property
    def agent(self) -> dict[str, Agent]:
        """Each node that runs an agent, by name."""
        return {agent.name: agent for agent in self.agents}

    @cached_property
    def domain_agents(self) -> dict[str, Agent]:
        """Each node that can run an agent, by name, whether the scheme uses it or not."""
        return {agent.name: agent for agent in routing.agents(self.domain)}

    @cached_property
    def care_of(self) -> dict[str, IPv6Address]:
        """The Proxy-CoA of each MAG, by name."""
        return {mag.name: mag.address for mag in self.mags}

    @cached_property
    def anchor_names(self) -> frozenset[str]:
        """The names of the anchors."""
        return frozenset(anchor.name for anchor in self.anchors)

    @cached_property
    def lma_names(self) -> frozenset[str]:
        """The names of the domain's LMAs, used by the scheme or not: who is at work is measured, and not taken from the scheme."""
        return frozenset(self.domain_agents.keys() - self.care_of.keys())

    @cached_property
    def host(self) -> dict[str, Host]:
        """Each host, by name."""
        return {host.name: host for host in self.domain.hosts}

    @cached_property
    def nodes(self) -> dict[str, tuple[Host, ...]]:
        """The hosts of each mobile node, which are its interfaces, by its MN-ID."""
        interfaces: dict[str, list[Host]] = {}
        for host in self.domain.hosts:
            interfaces.setdefault(host.mn_id, []).append(host)
        return {mn_id: tuple(hosts) for mn_id, hosts in interfaces.items()}

    @property
    def clock_errors(self) -> dict[str, float]:
        """By how many s the clocks of agents are ahead when they first start, of those that are."""
        return {fault.node: fault.seconds for fault in self.faults if isinstance(fault, WrongClock)}

    @cached_property
    def captured(self) -> tuple[str, ...]:
        """The nodes that captures are taken at: agents, hosts and routers of the core."""
        routers = (core.name for core in self.domain.core if core.routed)
        return (*self.agent, *self.host, *routers)

    @cached_property
    def profiles(self) -> ProfileStore:
        """The policy profile of every mobile node (RFC 5213, 6.2)."""
        return ProfileStore(
            Profile(
                mn_id=mn_id,
                home_network_prefixes=tuple(dict.fromkeys(host.home_network_prefix for host in hosts)),
                routed_prefixes={} if self.scheme.home_prefixes else RoutedPrefixes(self.domain, hosts[0]),
                session_prefixes=1,
            )
            for mn_id, hosts in self.nodes.items()
        )

    def first_sequence(self, name: str, start: int) -> int:
        """The first sequence number (16 bits) that a node's agent uses when it starts for the ``start``-th time: it follows from the run's
        seed, whatever other agents do."""
        return random.Random(f"{self.declared.seed} {name} {start}").getrandbits(16)

    def configurations(self) -> dict[str, AgentConfig]:
        """What each agent is told when it starts, by the name of its node; what all are told is there once."""
        lma: IPv6Address | None = next((anchor.address for anchor in self.anchors), None)
        mags = frozenset(self.care_of.values())
        return {
            agent.name: AgentConfig(
                name=agent.name,
                address=agent.address,
                core=agent.core,
                scheme=self.scheme,
                policy=self.case.policy,
                lma=lma,
                mags=mags,
                profiles=self.profiles,
                settings=self.settings,
            )
            for agent in self.agents
        }


def resolve(run: Run) -> Deployment:
    """The run, resolved.

    Raises KeyError for a scheme or policy that does not exist, and what ``agent_settings`` raises; a run that has been admitted
    (experiments.declare.admission) has neither.
    """
    scheme = SCHEMES[run.case.scheme]
    return Deployment(
        declared=run,
        scheme=scheme,
        policy=POLICIES[run.case.policy],
        settings=agent_settings({**run.settings, **run.case.settings}),
        anchors=(run.domain.lma,) if run.domain.lma is not None and "LMA" in scheme.agents else (),
    )


def redeclared(deployment: Deployment, declared: Run) -> Deployment:
    """The deployment of another run of the same network, case and settings: what happens in it differs, or its epoch."""
    return replace(deployment, declared=declared)
