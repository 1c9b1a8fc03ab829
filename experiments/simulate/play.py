"""One simulation: what an emulation does (experiments/play/emulate.py), in the same order and at the same times, without a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path

from experiments.declare import declarations, keys
from experiments.declare.deployment import redeclared, resolve
from experiments.declare.scenario import DRAIN, Run, WrongClock
from experiments.simulate import faults, state, traffic
from experiments.simulate.clock import PROCESS, Clock
from experiments.simulate.network import Network
from topologies.addresses import routed_prefix
from topologies.domain import Host
from topologies.timing import SECOND, nanoseconds

_START = 1_704_067_205 * SECOND + SECOND // 5
"""When the agents start, in ns since 1970: as soon after 2024-01-01 as a guest has booted and built its network."""

_ATTACHING = SECOND // 10
_TICK = SECOND // 25
_SETTLE = 3 * SECOND
_PATIENCE = 30 * SECOND


def simulate(folder: Path) -> Clock:
    """Play the run that ``folder``/run.json declares, and leave captures, events and state there; returns the clock, which has run out.

    TimeoutError where a host gets no address.
    """
    declared = declarations.load(folder / "run.json", Run)
    run = resolve(keys.unlocked(declared, folder))
    clock = Clock(_START)
    network = Network(run, folder, clock)
    try:
        ahead = {fault.node: fault.seconds for fault in run.faults if isinstance(fault, WrongClock)}
        for name in network.nodes:
            network.start(name, ahead.get(name, 0.0))
        clock.run(_START + _ATTACHING)
        _attach(network)
        network.core.write_down()
        for host in network.hosts.values():
            host.greet()
        clock.run(clock.now + _SETTLE)
        run = network.run = redeclared(run, replace(run.declared, epoch=(clock.now // SECOND + 2) * SECOND))
        (folder / "run.json").write_bytes(declarations.to_json(replace(declared, epoch=run.epoch)))
        _play(network)
        state.record(network, folder)
        network.captures.close()
        network.stop_all()
    finally:
        network.captures.close()
        network.journal.close()
    return clock


def _attach(network: Network) -> None:
    """Associate every host with its MAG and wait until it has the address that the network advertises to it; of one node's interfaces each
    comes once the one before has."""
    waited_for: dict[str, Host] = {}
    for host in network.run.domain.hosts:
        if host.mn_id in waited_for:
            _await_address(network, waited_for[host.mn_id])
        network.attach(host.name, host.mag)
        waited_for[host.mn_id] = host
    for host in waited_for.values():
        _await_address(network, host)


def _await_address(network: Network, host: Host) -> None:
    run, clock = network.run, network.clock
    routed = not run.scheme.home_prefixes
    prefix = routed_prefix(run.domain, run.agent[host.mag], host) if routed else host.home_network_prefix
    wanted = prefix.network_address.packed[:8]
    end = clock.now + _PATIENCE
    while not any(address[:8] == wanted for address in network.hosts[host.name].usable()):
        if clock.now >= end:
            raise TimeoutError(f"{host.name} has no address in {prefix} after {_PATIENCE // SECOND} s")
        clock.run(clock.now + _TICK)


def _play(network: Network) -> None:
    """The scenario: flows, moves and faults, each at its time after the epoch."""
    run, clock = network.run, network.clock
    for number, flow in enumerate(run.scenario.flows):
        destination = network.hosts[flow.destination].usable()[0]
        traffic.Sender(number, flow, network.hosts[flow.source], destination, run.epoch, clock)
    for when, do in sorted([*_moves(network), *faults.calls(network)], key=itemgetter(0)):
        clock.at(run.epoch + nanoseconds(when), PROCESS, do)
    clock.run(run.epoch + nanoseconds(run.scenario.duration + DRAIN))


def _moves(network: Network) -> Iterator[faults.Call]:
    """What the moves of the scenario consist of, each with its time in s of the scenario; nodes may be under way at the same time."""
    for move in network.run.scenario.moves:
        if move.notice:
            yield move.at - move.notice, partial(network.announce, move.mn, move.to)
        yield move.at, partial(network.detach, move.mn)
        yield move.at + move.l2_gap, partial(network.attach, move.mn, move.to)
