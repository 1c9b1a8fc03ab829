"""The daemon on a real kernel: a domain of two MAGs and an LMA, whose agents a test starts as it needs them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

from agents.config import Settings
from agents.linux import daemon
from agents.schemes import SCHEMES
from experiments.declare.deployment import resolve
from experiments.declare.forgeries import STRANGER
from experiments.declare.scenario import Case, Run, Scenario
from tests.guest.nodes import FORWARDING, Nodes
from topologies import routing
from topologies.addresses import core_subnet, host, mac
from topologies.check import check
from topologies.domain import Domain, LinkSettings
from topologies.linux import netlink
from topologies.linux.build import Testbed
from topologies.presets import star

_AT_ONCE = LinkSettings()
_CORE = star(mags=2, mns=0, cns=0, access=_AT_ONCE, mag=_AT_ONCE, lma_link=_AT_ONCE)
DOMAIN = check(replace(_CORE, hosts=(host("mn1", "mag1", 1), host("cn1", "mag2", 2))))
AGENTS = {agent.name: agent.address for agent in routing.agents(DOMAIN)}
PREFIXES = {host.name: host.home_network_prefix for host in DOMAIN.hosts}
STATIONS = {host.name: host.mac for host in DOMAIN.hosts}
USUAL = Settings()


def declared(scheme: str, domain: Domain = DOMAIN) -> Run:
    """A run of a scheme's agents in which nothing happens by itself."""
    return Run("guest", domain, Case(scheme, SCHEMES[scheme].default_policy), Scenario(0.0), number=1, seed=1, engine="virtual")


class Lab(Nodes):
    """The built domain, where nothing runs yet, no host is associated, and nobody has made the agents' nodes routers.

    On the core is a ``stranger``, too, with the address STRANGER.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(Testbed(DOMAIN), folder)
        self.pids: dict[str, int] = {}
        self.net.start()
        for name in AGENTS:
            with self.net[name].within():
                Path(FORWARDING).write_text("0")
        stranger = self.net.addHost("stranger", ip=None, mac=None)
        link = self.net.addLink(stranger, "s1", addr1=mac(3, 1), addr2=mac(3, 2))
        stranger.namespace.queue(netlink.address(link.intf1.index, STRANGER, core_subnet(0)))
        stranger.namespace.flush()

    def start(self, name: str, scheme: str, settings: Settings = USUAL, domain: Domain = DOMAIN) -> None:
        """Start an agent as that of a domain that may have more hosts."""
        config = replace(resolve(declared(scheme, domain)), settings=settings).configurations()[name]
        ready, tell = os.pipe()
        self.pids[name] = self.net[name].spawn(lambda: daemon.run(config, self.events, tell))
        os.close(tell)
        assert os.read(ready, 1), f"the agent of {name} did not start"
        os.close(ready)

    def start_all(self, scheme: str, settings: Settings = USUAL, domain: Domain = DOMAIN) -> None:
        """Start all agents of a scheme."""
        for name in AGENTS:
            if name != "lma" or "LMA" in SCHEMES[scheme].agents:
                self.start(name, scheme, settings, domain)

    def begin(self, scheme: str, *hosts: str, settings: Settings = USUAL) -> list[IPv6Address]:
        """Start all agents and associate hosts with the MAGs that the domain says; the hosts' addresses."""
        self.start_all(scheme, settings)
        for each in DOMAIN.hosts:
            if each.name in hosts:
                self.net.attach(each.name, each.mag)
        return [self.address(name) for name in hosts]

    def stop(self, name: str) -> int:
        """End an agent; the status with which it ends."""
        os.kill(self.pids[name], signal.SIGTERM)
        return self.wait(name)

    def kill(self, name: str) -> None:
        """End an agent so that it can withdraw nothing."""
        os.kill(self.pids[name], signal.SIGKILL)
        self.wait(name)

    def wait(self, name: str) -> int:
        """The status with which an agent ends."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pids.pop(name), 0)[1])

    def close(self) -> None:
        """End all of it."""
        self.net.stop()
        time.sleep(1)  # the kernel destroys namespaces, and the pairs that end in them, when it has nothing else to do
