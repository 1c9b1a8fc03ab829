"""One simulation: what an emulation does (experiments/play/session.py), in the same order and at the same times, without a kernel."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from ipaddress import IPv6Network
from operator import itemgetter
from pathlib import Path

from experiments.declare import declarations, keys
from experiments.declare.course import attach_all, move_calls
from experiments.declare.deployment import redeclared, resolve
from experiments.declare.scenario import DRAIN, Run
from experiments.simulate import faults, state, traffic
from experiments.simulate.clock import PROCESS, Clock
from experiments.simulate.network import Network
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
        for name in network.nodes:
            network.start(name, run.clock_errors.get(name, 0.0))
        clock.run(_START + _ATTACHING)
        attach_all(run, network.attach, partial(_await_address, network))
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


def _await_address(network: Network, host: Host, prefix: IPv6Network) -> None:
    clock = network.clock
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
    moves = (call for move in run.scenario.moves for call in move_calls(move, network))
    for when, do in sorted([*moves, *faults.calls(network)], key=itemgetter(0)):
        clock.at(run.epoch + nanoseconds(when), PROCESS, do)
    clock.run(run.epoch + nanoseconds(run.scenario.duration + DRAIN))
