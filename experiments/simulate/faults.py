"""Faults as timed calls: what a fault's declaration means for the simulated network and its agents, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from experiments.declare.scenario import Fault, Impairment, Kill, Partition, Revocation, WrongClock
from experiments.simulate.link import Treatment
from experiments.simulate.network import Network
from topologies.timing import nanoseconds

Call = tuple[float, Callable[[], object]]


def calls(network: Network) -> Iterator[Call]:
    """What is done at which s of scenario time; a fault of an agent that the run's scheme does not use is none."""
    for fault in network.run.faults:
        yield from _CALLS[type(fault)](fault, network)


def _kill(fault: Kill, network: Network) -> Iterator[Call]:
    if fault.node in network.nodes:
        yield fault.at, partial(network.kill, fault.node)
        yield fault.end, partial(network.start, fault.node)


def _impair(fault: Impairment, network: Network) -> Iterator[Call]:
    treatment = Treatment(nanoseconds(fault.delay), fault.loss, fault.duplicate, fault.reorder)
    for name in network.run.domain_agents:
        if not fault.nodes or name in fault.nodes:
            outward, _ = network.core.access(name)
            outward.will_change()
            yield fault.at, partial(outward.treat, treatment)
            yield fault.end, partial(outward.end_treatment, treatment)


def _part(fault: Partition, network: Network) -> Iterator[Call]:
    for name, other in ((fault.a, fault.b), (fault.b, fault.a)):
        _, inward = network.core.access(name)
        inward.will_change()
        source = network.run.domain_agents[other].address.packed
        yield fault.at, partial(inward.block, source)
        yield fault.end, partial(inward.unblock, source)


def _set_right(fault: WrongClock, network: Network) -> Iterator[Call]:
    if fault.node in network.nodes:
        yield fault.end, partial(network.stop, fault.node)
        yield fault.end, partial(network.start, fault.node)


def _revoke(fault: Revocation, network: Network) -> Iterator[Call]:
    run = network.run
    told = {mag.name: f"revoke-all {mag.address}" for mag in run.mags} | {name: f"revoke {host.mn_id}" for name, host in run.host.items()}
    for anchor in run.anchors:
        yield fault.at, partial(network.tell, anchor.name, told[fault.node])


_CALLS: Mapping[type[Fault], Callable[[Any, Network], Iterator[Call]]] = {
    Kill: _kill,
    Impairment: _impair,
    Partition: _part,
    WrongClock: _set_right,
    Revocation: _revoke,
}
