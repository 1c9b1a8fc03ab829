"""The daemon on a real kernel: a domain of two MAGs and an LMA, whose agents a test starts as it needs them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from agents.config import Settings
from agents.linux import daemon
from agents.schemes import SCHEMES
from experiments.declare.deployment import resolve
from experiments.declare.forgeries import STRANGER
from experiments.declare.scenario import Case, Run, Scenario
from tests.guest import senders
from tests.guest.packets import datagram, echo_request
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
_FORWARDING = "/proc/sys/net/ipv6/conf/all/forwarding"


class Lab:
    """The built domain, where nothing runs yet, no host is associated, and nobody has made the agents' nodes routers.

    On the core is a ``stranger``, too, with the address STRANGER. Nodes are named; ``net`` has them.
    """

    def __init__(self, folder: Path) -> None:
        self.events = folder / "events.jsonl"
        self.pids: dict[str, int] = {}
        self.net = Testbed(DOMAIN)
        self.net.start()
        for name in AGENTS:
            with self.net[name].within():
                Path(_FORWARDING).write_text("0")
        stranger = self.net.addHost("stranger", ip=None, mac=None)
        link = self.net.addLink(stranger, "s1", addr1=mac(3, 1), addr2=mac(3, 2))
        stranger.namespace.queue(netlink.address(link.intf1.index, STRANGER, core_subnet(0)))
        stranger.namespace.flush()

    def start(self, name: str, scheme: str, settings: Settings = Settings(), domain: Domain = DOMAIN) -> None:  # noqa: B008
        """Start an agent as that of a domain that may have more hosts."""
        run = Run("guest", domain, Case(scheme, SCHEMES[scheme].default_policy), Scenario(0.0), number=1, seed=1, engine="virtual")
        config = replace(resolve(run), settings=settings).configurations()[name]
        ready, tell = os.pipe()
        self.pids[name] = self.net[name].spawn(lambda: daemon.run(config, self.events, tell))
        os.close(tell)
        assert os.read(ready, 1), f"the agent of {name} did not start"
        os.close(ready)

    def start_all(self, scheme: str, settings: Settings = Settings(), domain: Domain = DOMAIN) -> None:  # noqa: B008
        """Start all agents of a scheme."""
        for name in AGENTS:
            if name != "lma" or "LMA" in SCHEMES[scheme].agents:
                self.start(name, scheme, settings, domain)

    def begin(self, scheme: str, *hosts: str, settings: Settings = Settings()) -> list[IPv6Address]:  # noqa: B008
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

    def attach(self, host: str, mag: str) -> IPv6Address:
        """Associate a host with a MAG; the host's address."""
        self.net.attach(host, mag)
        return self.address(host)

    def address(self, host: str) -> IPv6Address:
        """The address that the host configures, once it has."""
        return self.net.wait_for_address(host)

    def run(self, node: str, *command: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in a node's namespace."""
        with self.net[node].within():
            return subprocess.run(command, input=given, capture_output=True, text=True)

    def ip(self, node: str, *arguments: str, given: str | None = None) -> str:
        """What iproute2 says in a node's namespace; ``wires`` has the radios that are associated with no MAG."""
        done = self.run(node, "ip", *arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def has_tunnels(self) -> bool:
        """Whether this kernel can do what agents need."""
        return not self.run("wires", "ip", "link", "add", "probe", "type", "ip6tnl", "external").returncode

    def batch(self, node: str, commands: Iterable[str]) -> None:
        """Have iproute2 do many things in a node's namespace."""
        self.ip(node, "-batch", "-", given="\n".join(commands))

    def read(self, node: str, file: str) -> str:
        """What a file of /proc says in a node's namespace."""
        with self.net[node].within():
            return Path(file).read_text()

    def narrow_core(self, mtu: int) -> None:
        """Have the core take packets of ``mtu`` octets only."""
        for end in (end for link in self.net.links if link.plugged for end in (link.intf1, link.intf2)):
            self.ip(end.node.name, "link", "set", end.name, "mtu", str(mtu))

    def pings(self, host: str, target: IPv6Address, count: int, octets: int = 104) -> int:
        """How many of ``count`` echo requests were answered, packets of so many octets."""
        found = re.search(r"(\d+) received", self.ping(host, target, *f"-c {count} -i 0.2 -W 3 -s {octets - 48}".split()))
        return int(found[1]) if found else 0

    def ping(self, host: str, target: IPv6Address, *options: str) -> str:
        """What ping says."""
        return self.run(host, "ping", *options, str(target)).stdout

    def heard(self, sender: str, receiver: str, destination: IPv6Address, sources: list[IPv6Address]) -> set[IPv6Address]:
        """From which of ``sources`` packets of ``sender`` reach ``receiver``."""
        with self.net[receiver].within():
            port = senders.listener()
        with port:
            self.send(sender, [datagram(source, destination) for source in sources])
            return set(map(IPv6Address, senders.heard(port)))

    def answered(self, host: str, target: IPv6Address, sources: list[IPv6Address]) -> int:
        """To how many Echo Requests of ``host`` to ``target`` its MAG sends replies, wherever to; one has each of ``sources``."""
        before = self.counted("mag1", "Icmp6OutEchoReplies")
        self.send(host, [echo_request(source, target) for source in sources])
        time.sleep(0.1)
        return self.counted("mag1", "Icmp6OutEchoReplies") - before

    def counted(self, node: str, what: str) -> int:
        """What the node's kernel has counted."""
        (count,) = re.findall(rf"{what}\s+(\d+)", self.read(node, "/proc/thread-self/net/snmp6"))
        return int(count)

    def mtu(self, host: str) -> int:
        """What the host takes for its link's MTU."""
        return int(self.read(host, f"/proc/sys/net/ipv6/conf/{host}-eth0/mtu"))

    def received_through_tunnels(self, node: str) -> int:
        """How many packets the node has taken out of tunnels."""
        (link,) = json.loads(self.ip(node, "-s", "-j", "link", "show", "tnl"))
        return int(link["stats64"]["rx"]["packets"])

    def send(self, node: str, packets: Iterable[bytes]) -> None:
        """Send whole IPv6 packets from a node."""
        with self.net[node].within():
            senders.send(f"{node}-eth0", packets)
        time.sleep(0.1)

    def tap(self, node: str) -> socket.socket:
        """What sees the packets that come to a node."""
        with self.net[node].within():
            return senders.tap(f"{node}-eth0")

    @contextmanager
    def flood(self, node: str, packets: Iterable[bytes], rate: float, send: Callable[..., None] = senders.send, *to: str) -> Iterator[None]:
        """Have a node send ``rate`` packets a second while the block runs."""
        pid = self.net[node].spawn(partial(send, f"{node}-eth0", *to, senders.paced(packets, rate)))
        time.sleep(3.0)
        yield
        os.kill(pid, signal.SIGKILL)

    def journal(self, node: str, *events: str) -> list[dict[str, Any]]:
        """What an agent has told, all of it or of some events."""
        lines = map(json.loads, self.events.read_text().splitlines())
        return [line for line in lines if line["node"] == node and (not events or line["event"] in events)]

    def state(self, node: str) -> list[str]:
        """What agents change at a node, access links left out."""
        listings = (("-6", "rule"), ("-6", "route", "show", "table", "all"), ("-br", "link"))
        text = "".join(self.ip(node, *listing) for listing in listings)
        return [*(line for line in text.splitlines() if "-air" not in line), self.read(node, _FORWARDING)]

    def close(self) -> None:
        """End all of it."""
        self.net.stop()
        time.sleep(1)  # the kernel destroys namespaces, and the pairs that end in them, when it has nothing else to do
