"""A run's course, whoever plays it: in which order hosts are attached, and what moves and faults of agents are, as timed calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import IPv6Network
from types import MappingProxyType
from typing import Any, Protocol

from experiments.declare.deployment import Deployment
from experiments.declare.scenario import Fault, Kill, Move, Revocation, WrongClock
from topologies.addresses import routed_prefix
from topologies.domain import Host

Call = tuple[float, Callable[[], object]]
"""What is done, and at which s of scenario time."""


class Radios(Protocol):
    """The hosts' radios, by the names of hosts and MAGs."""

    def attach(self, host: str, mag: str) -> None:
        """Associate a host with a MAG."""

    def announce(self, host: str, to: str) -> None:
        """Have a host's link layer tell its MAG that the host is about to leave for the MAG ``to``."""

    def detach(self, host: str) -> None:
        """End a host's association."""


class Processes(Protocol):
    """The agents of a run as processes, by the names of their nodes; it contains those that the scheme uses."""

    def __contains__(self, name: str) -> bool: ...

    def start(self, name: str) -> None:
        """Start an agent (anew)."""

    def kill(self, name: str) -> None:
        """End an agent that can withdraw nothing."""

    def stop(self, name: str) -> None:
        """End an agent once it has withdrawn everything."""

    def tell(self, name: str, command: str) -> None:
        """Give an agent a command (agents/commands.py)."""


def attach_all(run: Deployment, attach: Callable[[str, str], None], await_address: Callable[[Host, IPv6Network], object]) -> None:
    """Associate every host with its MAG, and wait until it has an address in the prefix that the network advertises to it.

    Of one node's interfaces each comes once the one before has its address, since an LMA gives them prefixes in the order in which it
    hears of them.
    """

    def wait_for(host: Host) -> None:
        routed = not run.scheme.home_prefixes
        await_address(host, routed_prefix(run.domain, run.agent[host.mag], host) if routed else host.home_network_prefix)

    waited_for: dict[str, Host] = {}
    for host in run.domain.hosts:
        if host.mn_id in waited_for:
            wait_for(waited_for[host.mn_id])
        attach(host.name, host.mag)
        waited_for[host.mn_id] = host
    for host in waited_for.values():
        wait_for(host)


def move_calls(move: Move, radios: Radios) -> Iterator[Call]:
    """What a move consists of; nodes may be under way at the same time."""
    if move.notice:
        yield move.at - move.notice, partial(radios.announce, move.mn, move.to)
    yield move.at, partial(radios.detach, move.mn)
    yield move.at + move.l2_gap, partial(radios.attach, move.mn, move.to)


def _kill(fault: Kill, run: Deployment, agents: Processes) -> Iterator[Call]:
    if fault.node in agents:
        yield fault.at, partial(agents.kill, fault.node)
        yield fault.end, partial(agents.start, fault.node)


def _set_right(fault: WrongClock, run: Deployment, agents: Processes) -> Iterator[Call]:
    if fault.node in agents:
        yield fault.end, partial(agents.stop, fault.node)
        yield fault.end, partial(agents.start, fault.node)


def _revoke(fault: Revocation, run: Deployment, agents: Processes) -> Iterator[Call]:
    told = {mag.name: f"revoke-all {mag.address}" for mag in run.mags} | {name: f"revoke {host.mn_id}" for name, host in run.host.items()}
    for anchor in run.anchors:
        yield fault.at, partial(agents.tell, anchor.name, told[fault.node])


AGENT_FAULTS: Mapping[type[Fault], Callable[[Any, Deployment, Processes], Iterator[Call]]] = MappingProxyType(
    {Kill: _kill, WrongClock: _set_right, Revocation: _revoke}
)
"""What goes wrong with agents themselves, as calls; a fault of an agent that the run's scheme does not use is none."""
