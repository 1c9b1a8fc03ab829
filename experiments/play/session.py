"""A running domain: its network, agents and captures, and what is done to it at which time."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

from experiments.declare import admission, declarations, keys
from experiments.declare.course import attach_all, move_calls
from experiments.declare.deployment import redeclared, resolve
from experiments.declare.scenario import DRAIN, FAILED, Fault, Flow, Move, Run, Scenario, WrongClock
from experiments.declare.tolerance import TOLERANCES
from experiments.play import faults, state, traffic
from experiments.play.agents import Agents
from experiments.play.capture import Captures
from experiments.play.moments import sleep_until
from topologies.linux.build import Testbed
from topologies.timing import SECOND, nanoseconds

Call = Callable[[], object]

_TENTH = SECOND // 10
_SETTLE = 3.0
_PR_SET_TIMERSLACK = 29
_LATE = 1e-3
"""s that a call may take without making the next one late."""


class SessionError(RuntimeError):
    """Something cannot be done in a session, or did not come to its end; the message is one line."""


class Session:
    """A domain that runs for as long as a ``with`` statement lasts, and the list of what is still to be done to it.

    Within the statement every host is associated with its MAG and has its addresses, every neighbour is resolved, captures are taken,
    and what the run declares is noted. Times are in s from the session's zero, which is one to two seconds after the statement was
    entered. ``start``, ``move``, ``fail`` and ``at`` note what else is to be done; ``run`` lets time pass and does it. At the
    statement's end all that is left is done, and time goes on until the last packets have arrived.

    The folder, one for each session, is left as that of any run: run.json declares at every moment all that was asked for, beside the
    captures, the agents' events and the state of the nodes. A session needs what ``Testbed`` needs: root in a guest, or in namespaces
    of one's own.

    Attributes:
        deployment: the resolved run, with all that has been asked for.
        testbed: the network; everything of Mininet's works on it.
        agents: the agents' processes, once the statement has been entered.
    """

    agents: Agents

    def __init__(self, run: Run, folder: Path) -> None:
        self.deployment = resolve(run)
        self.testbed = Testbed(run.domain)
        self._folder = folder
        self._captures = Captures(folder)
        self._calls: list[tuple[float, int, Call]] = []
        self._order = count()
        self._sinks: set[str] = set()
        self._senders: list[int] = []
        self._runs = False

    def __enter__(self) -> Session:
        self._claim_folder()
        try:
            self._open()
            self._runs = True
            self._note_declared()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._close()

    @property
    def now(self) -> float:
        """The time, in s from the session's zero; negative before it."""
        return (time.time_ns() - self.deployment.epoch) / SECOND

    def start(self, flow: Flow) -> None:
        """Have a flow's packets sent at their times.

        Raises SessionError where that time is past, AdmissionError for a flow that no scenario could have, as ``move`` and ``fail`` do.
        """
        self._check_time(flow.start)
        scenario = self.deployment.scenario
        number = len(scenario.flows)
        self._declare(replace(scenario, flows=(*scenario.flows, flow)), flow.start + flow.duration)
        self._start(number, flow)

    def move(self, move: Move) -> None:
        """Have a node leave its MAG and come to another; SessionError where that time is past."""
        self._check_time(move.at - move.notice)
        scenario = self.deployment.scenario
        self._declare(replace(scenario, moves=(*scenario.moves, move)), move.at + move.l2_gap)
        self._move(move)

    def fail(self, fault: Fault) -> None:
        """Have something go wrong; SessionError where that time is past, and for a clock, which must be wrong when its agent starts."""
        if isinstance(fault, WrongClock):
            raise SessionError(f"the clock of {fault.node} runs already: a wrong one belongs into the run that the session begins with")
        self._check_time(fault.at)
        scenario = self.deployment.scenario
        self._declare(replace(scenario, faults=(*scenario.faults, fault)), fault.end)
        self._fail(fault)

    def at(self, when: float, do: Call) -> None:
        """Have ``do`` called at ``when`` s, after what is to be done then already; SessionError where that is past."""
        self._check_time(when)
        self._note(when, do)

    def run(self, until: float) -> None:
        """Let time go on to ``until`` s after the zero, and do meanwhile what is to be done.

        SessionError where that is past, and where something is due at a time that has passed because a call before it waited: it would
        not be what run.json declares. In real time what is late is done all the same, and said.
        """
        self._check_time(until)
        while self._calls and self._calls[0][0] <= until:
            when, _, do = heappop(self._calls)
            self._sleep_until(when)
            self._check_late(when)
            do()
        self._sleep_until(until)

    def _claim_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if any(self._folder.glob("*.pcap")):
            raise SessionError(f"{self._folder} holds captures already: each session has a folder of its own")

    def _open(self) -> None:
        gc.freeze()
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
        run = self.deployment
        _stage("building the network", SECOND)
        self.testbed.start()
        time.sleep(_SETTLE)
        _stage("starting the captures")
        self._captures.start((name, self.testbed.get(name).within) for name in run.captured)
        _stage("starting the agents")
        self.agents = Agents(self.testbed, run, self._folder)
        self.agents.start_all()
        for flow in run.scenario.flows:
            self._receive(flow.destination)
        _stage("attaching the hosts")
        attach_all(run, self.testbed.attach, lambda host, prefix: self.testbed.wait_for_address(host.name, prefix))
        self.testbed.warm()
        time.sleep(_SETTLE)
        self._redeclare(replace(run.declared, epoch=(time.time_ns() // SECOND + 2) * SECOND))

    def _note_declared(self) -> None:
        """Note the run's flows, moves and faults."""
        _stage("playing the scenario")
        run = self.deployment
        for number, flow in enumerate(run.scenario.flows):
            self._start(number, flow)
        for move in run.scenario.moves:
            self._move(move)
        for fault in run.faults:
            self._fail(fault)

    def _start(self, number: int, flow: Flow) -> None:
        """Fork a process that sends the flow."""
        self._receive(flow.destination)
        destination = str(self.testbed.addresses(flow.destination)[0])
        epoch = self.deployment.epoch

        def send() -> None:
            try:
                traffic.send(number, flow, destination, epoch)
            except traffic.SendError as error:
                print(f"{FAILED}{error}")
                raise SystemExit(1) from None

        self._senders.append(self.testbed.get(flow.source).spawn(send))

    def _receive(self, host: str) -> None:
        if host not in self._sinks:
            self._sinks.add(host)
            self.testbed.get(host).spawn(traffic.sink)

    def _move(self, move: Move) -> None:
        for when, do in move_calls(move, self.testbed):
            self._note(when, do)

    def _fail(self, fault: Fault) -> None:
        for when, do in faults.calls(fault, self.deployment, self.testbed, self.agents):
            self._note(when, do)

    def _note(self, when: float, do: Call) -> None:
        heappush(self._calls, (when, next(self._order), do))

    def _sleep_until(self, when: float) -> None:
        sleep_until(self.deployment.epoch + nanoseconds(when))

    def _check_time(self, when: float) -> None:
        if not self._runs:
            raise SessionError("the session does not run: ask within its with statement")
        if not math.isfinite(when):
            raise SessionError(f"expected a time in s, not {when}")
        if when < self.now:
            raise SessionError(f"{when:g} s is past: it is {self.now:g} s after the session's zero")

    def _check_late(self, when: float) -> None:
        late = self.now - when
        if late <= _LATE:
            return
        said = f"what was due at {when:g} s is {late:.3g} s late, since a call before it waited; let popen run what takes time"
        if TOLERANCES[self.deployment.engine].exact:
            raise SessionError(said)
        print(f"dmmlab: {said}", flush=True)

    def _declare(self, scenario: Scenario, end: float) -> None:
        """Declare what happens, to ``end`` s or later."""
        longer = replace(scenario, duration=max(scenario.duration, end))
        admission.check_happenings(self.deployment.domain, (self.deployment.case,), longer)
        self._redeclare(replace(self.deployment.declared, scenario=longer))

    def _redeclare(self, declared: Run) -> None:
        self.deployment = redeclared(self.deployment, declared)
        published = replace(declared, settings=keys.published(declared.settings))
        (self._folder / "run.json").write_bytes(declarations.to_json(published))

    def _finish(self) -> None:
        """Do what is left, wait for what sends and for what is under way, and write down and complete what the session leaves."""
        last = max((when for when, _, _ in self._calls), default=0.0)
        self.run(max(self.now, last, self.deployment.scenario.duration + DRAIN))
        ended = [os.waitpid(pid, 0)[1] for pid in self._senders]
        if any(ended):
            raise SessionError("a flow was not sent to its end")
        state.record(self.testbed, self.deployment, self._folder)
        self._captures.stop()
        self.agents.check_alive()

    def _close(self) -> None:
        self._runs = False
        try:
            self._captures.stop()
        finally:
            self.testbed.stop()


def _stage(stage: str, grid: int = _TENTH) -> None:
    """Begin a stage, on the next multiple of ``grid`` ns: what came before may have taken some time more or less, as Python's start
    does, whose many readings of the clock are no longer free (docs/engines.md)."""
    print(f"dmmlab: {stage}", flush=True)
    sleep_until((time.time_ns() // grid + 1) * grid)
