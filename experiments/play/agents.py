"""The agents of a run as processes: each is started in its node's namespace, may be killed, and is to live otherwise."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from agents.config import is_gateway
from agents.linux import daemon
from experiments.declare.deployment import Deployment
from topologies.linux.build import Testbed


class Agents:
    """The agents that the run's scheme uses, by the name of their node; they write their events to ``folder``/events.jsonl."""

    def __init__(self, testbed: Testbed, run: Deployment, folder: Path) -> None:
        self._testbed = testbed
        self._run = run
        self._events = folder / "events.jsonl"
        self._all = run.configurations()
        self._running: dict[str, int] = {}
        self._commands: dict[str, int] = {}
        self._starts: Counter[str] = Counter()

    def __contains__(self, name: str) -> bool:
        return name in self._all

    def start_all(self) -> None:
        """Start every agent, with its clock as wrong as the run says; RuntimeError where one ends before it is ready."""
        ahead = self._run.clock_errors
        self._wait([self._spawn(name, ahead.get(name, 0.0)) for name in self._all])

    def start(self, name: str) -> None:
        """Start one agent (anew), its clock right; RuntimeError where it ends before it is ready."""
        self._wait([self._spawn(name)])

    def kill(self, name: str) -> None:
        """End an agent by SIGKILL: it can withdraw nothing."""
        self._end(name, signal.SIGKILL)

    def stop(self, name: str) -> None:
        """End an agent by SIGTERM and wait until it has withdrawn everything."""
        self._end(name, signal.SIGTERM)

    def tell(self, name: str, command: str) -> None:
        """Give the LMA's agent a command (agents/commands.py), which nobody hears where it does not run; MAGs take none."""
        if name in self._commands:
            os.write(self._commands[name], f"{command}\n".encode())

    def check_alive(self) -> None:
        """RuntimeError where an agent that should run does not."""
        ended = [name for name, pid in self._running.items() if os.waitpid(pid, os.WNOHANG)[0]]
        if ended:
            raise RuntimeError(f"the agent of {', '.join(ended)} ended during the run")

    def _spawn(self, name: str, ahead: float = 0.0) -> tuple[str, int]:
        if name in self._running:
            raise RuntimeError(f"the agent of {name} runs already")
        ready, tell = os.pipe()
        config = self._all[name]
        commands = None
        if not is_gateway(config):
            commands, self._commands[name] = os.pipe()
        self._starts[name] += 1
        sequence = self._run.first_sequence(name, self._starts[name])
        self._running[name] = self._testbed.get(name).spawn(lambda: daemon.run(config, self._events, tell, ahead, sequence, commands))
        os.close(tell)
        if commands is not None:
            os.close(commands)
        return name, ready

    def _wait(self, started: Iterable[tuple[str, int]]) -> None:
        for name, ready in started:
            if not os.read(ready, 1):
                raise RuntimeError(f"the agent of {name} ended before it was ready")
            os.close(ready)

    def _end(self, name: str, number: int) -> None:
        pid = self._running.pop(name, None)
        if pid is None:
            raise RuntimeError(f"no agent of {name} runs that could be ended")
        if name in self._commands:
            os.close(self._commands.pop(name))
        os.kill(pid, number)
        os.waitpid(pid, 0)
