"""The simulated network of a run: its nodes, links and hosts, and the agents that run there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from experiments.declare.deployment import Deployment
from experiments.simulate.access import Radio
from experiments.simulate.agent import Agent
from experiments.simulate.capture import Captures
from experiments.simulate.clock import Clock
from experiments.simulate.core import Core
from experiments.simulate.host import Host
from experiments.simulate.journal import Journal
from experiments.simulate.node import Node
from experiments.simulate.router import Bystander, Router
from topologies.addresses import ALL_MAGS_MAC, mac_octets
from topologies.routing import agents, multicast_routes

_RADIOS = 20_001
"""The index of the first host's interface; its radio's end at the MAG has one 2 higher, as in the emulation."""


class Network:
    """What a run consists of.

    Attributes:
        nodes: the nodes that run agents, by name.
        hosts, radios: the hosts and their access links, by name.
    """

    def __init__(self, run: Deployment, folder: Path, clock: Clock) -> None:
        self.run = run
        self.clock = clock
        self.captures = Captures(folder, run.captured)
        self.journal = Journal(folder / "events.jsonl")
        domain, seed = run.domain, run.declared.seed
        self.core = Core(domain, clock, seed)
        self.nodes = {name: Node(config, self.core, clock, self.captures.of(name)) for name, config in run.configurations().items()}
        self._mac = mac_octets(ALL_MAGS_MAC)
        for agent in agents(domain):
            if agent.name not in self.nodes:
                self.core.stations[agent.name] = Bystander()
        for core in domain.core:
            if core.routed:
                groups = {
                    route.source.packed: tuple(self.core.neighbour_by(core.name, interface) for interface in route.outgoing)
                    for route in multicast_routes(domain, core.name)
                }
                Router(core.name, groups, self.core, clock, self.captures.of(core.name))
        self.hosts: dict[str, Host] = {}
        self.radios: dict[str, Radio] = {}
        for number, host in enumerate(domain.hosts):
            radio = self.radios[host.name] = Radio(host, _RADIOS + 4 * number, domain.access, self._mac, clock, seed)
            self.hosts[host.name] = Host(radio, clock, self.captures.of(host.name))
        self._agents: dict[str, Agent] = {}
        self._starts: Counter[str] = Counter()

    def __contains__(self, name: str) -> bool:
        return name in self.nodes

    def start(self, name: str, ahead: float = 0.0) -> None:
        """Start the agent of a node (anew), its clock ``ahead`` s ahead."""
        self._starts[name] += 1
        times = self._starts[name]
        sequence = self.run.first_sequence(name, times)
        restarts = times - 1 if self.run.settings.heartbeat_interval else 0
        self._agents[name] = Agent(self.nodes[name], self.clock, self.journal, sequence, round(ahead * 1e9), restarts)

    def kill(self, name: str) -> None:
        """End an agent by SIGKILL: it can withdraw nothing."""
        self._agents.pop(name).kill()

    def stop(self, name: str) -> None:
        """End an agent, once it has withdrawn everything."""
        self._agents.pop(name).stop()

    def stop_all(self) -> None:
        """End all agents."""
        for name in list(self._agents):
            self.stop(name)

    def tell(self, name: str, command: str) -> None:
        """Give an agent a command, which nobody hears where it does not run."""
        if name in self._agents:
            self._agents[name].tell(command)

    def attach(self, host: str, mag: str) -> None:
        """Associate a host with a MAG."""
        self.radios[host].attach(self.nodes[mag])

    def detach(self, host: str) -> None:
        """End a host's association."""
        self.radios[host].detach()

    def announce(self, host: str, to: str) -> None:
        """Have the link layer tell a host's MAG that the host is about to leave for another."""
        self.radios[host].announce(str(self.nodes[to].config.address))
