"""One emulation, inside the kernel that an engine provides: build the network, start agents and captures, play the scenario.

``python -m experiments.play.emulate FOLDER`` reads FOLDER/run.json and leaves captures and events in FOLDER.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path

from experiments.declare import declarations, keys
from experiments.declare.deployment import Deployment, at_epoch, resolve
from experiments.declare.scenario import DRAIN, FAILED, Flow, Run
from experiments.play import faults, state, traffic
from experiments.play.agents import Agents
from experiments.play.capture import Captures
from experiments.play.moments import sleep_until
from topologies.addresses import routed_prefix
from topologies.domain import Host
from topologies.linux.build import Testbed
from topologies.timing import SECOND, nanoseconds

_TENTH = SECOND // 10
_SETTLE = 3.0
_PR_SET_TIMERSLACK = 29


def emulate(folder: Path) -> None:
    """Play the run that ``folder``/run.json declares; an exception leaves what was captured until then."""
    declared = declarations.load(folder / "run.json", Run)
    run = resolve(keys.unlocked(declared, folder))
    gc.freeze()
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    _stage("building the network", SECOND)
    testbed = Testbed(run.domain)
    captures = Captures(folder)
    try:
        testbed.start()
        time.sleep(_SETTLE)
        _stage("starting the captures")
        captures.start((name, testbed.get(name).within) for name in run.captured)
        _stage("starting the agents")
        agents = Agents(testbed, run, folder)
        agents.start_all()
        for name in dict.fromkeys(flow.destination for flow in run.scenario.flows):
            testbed.get(name).spawn(traffic.sink)
        _attach(testbed, run)
        testbed.warm()
        time.sleep(_SETTLE)
        run = at_epoch(run, (time.time_ns() // SECOND + 2) * SECOND)
        (folder / "run.json").write_bytes(declarations.to_json(replace(declared, epoch=run.epoch)))
        _play(testbed, run, agents)
        state.record(testbed, run, folder)
        captures.stop()
        agents.check_alive()
    finally:
        try:
            captures.stop()
        finally:
            testbed.stop()


def _stage(stage: str, grid: int = _TENTH) -> None:
    """Begin a stage, on the next multiple of ``grid`` ns: what came before may have taken some time more or less, as Python's start
    does, whose many readings of the clock are no longer free (docs/engines.md)."""
    print(f"dmmlab: {stage}", flush=True)
    sleep_until((time.time_ns() // grid + 1) * grid)


def _attach(testbed: Testbed, run: Deployment) -> None:
    """Associate every host with its MAG and wait until it has configured the address that the network advertises to it.

    Of one node's interfaces each comes once the one before has its address, since an LMA gives them prefixes in the order in which it
    hears of them.
    """
    _stage("attaching the hosts")
    waited_for: dict[str, Host] = {}
    for host in run.domain.hosts:
        if host.mn_id in waited_for:
            _await_address(testbed, run, waited_for[host.mn_id])
        testbed.attach(host.name, host.mag)
        waited_for[host.mn_id] = host
    for host in waited_for.values():
        _await_address(testbed, run, host)


def _await_address(testbed: Testbed, run: Deployment, host: Host) -> None:
    routed = not run.scheme.home_prefixes
    testbed.wait_for_address(host.name, routed_prefix(run.domain, run.agent[host.mag], host) if routed else host.home_network_prefix)


def _play(testbed: Testbed, run: Deployment, agents: Agents) -> None:
    """The scenario: flows in processes of their own, moves and faults from here, each at its time after the epoch."""
    _stage("playing the scenario")
    senders = []
    for number, flow in enumerate(run.scenario.flows):
        destination = str(testbed.addresses(flow.destination)[0])

        def send(number: int = number, flow: Flow = flow, destination: str = destination) -> None:
            try:
                traffic.send(number, flow, destination, run.epoch)
            except traffic.SendError as error:
                print(f"{FAILED}{error}")
                raise SystemExit(1) from None

        senders.append(testbed.get(flow.source).spawn(send))
    for when, do in sorted([*_moves(testbed, run), *faults.calls(run, testbed, agents)], key=itemgetter(0)):
        sleep_until(run.epoch + nanoseconds(when))
        do()
    sleep_until(run.epoch + nanoseconds(run.scenario.duration + DRAIN))
    ended = [os.waitpid(pid, 0)[1] for pid in senders]
    if any(ended):
        sys.exit(f"{FAILED}a flow was not sent to its end")


def _moves(testbed: Testbed, run: Deployment) -> Iterator[faults.Call]:
    """What the moves of the scenario consist of, each with its time in s of the scenario; nodes may be under way at the same time."""
    for move in run.scenario.moves:
        if move.notice:
            yield move.at - move.notice, partial(testbed.announce, move.mn, move.to)
        yield move.at, partial(testbed.detach, move.mn)
        yield move.at + move.l2_gap, partial(testbed.attach, move.mn, move.to)


if __name__ == "__main__":
    try:
        emulate(Path(sys.argv[1]))
    except Exception as error:
        traceback.print_exc()
        sys.exit(f"{FAILED}{error or type(error).__name__}")
