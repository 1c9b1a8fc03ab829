"""One packet capture a node, on all of its interfaces, by tcpdump."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

# To its standard output: a file of its own tcpdump would give to the user that it runs as, which a guest of an ordinary user may not.
_TCPDUMP = ("tcpdump", "-i", "any", "-n", "--time-stamp-precision=nano", "-B", "8192", "-Z", "root", "-w", "-")


class CaptureError(RuntimeError):
    """A capture could not be started or broke off; the message is tcpdump's own."""


class Captures:
    """The running captures of a testbed.

    Interfaces that come and go (a radio that moves in) are captured too, and the link type (LINUX_SLL2) keeps each
    packet's interface and direction.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, nodes: Iterable[tuple[str, Callable[[], AbstractContextManager[object]]]]) -> None:
        """Start a capture for each (name, a context that enters the node's namespace) and return once all listen."""
        for name, within in nodes:
            with within(), (self._folder / f"{name}.pcap").open("wb") as file:
                self._running[name] = subprocess.Popen(_TCPDUMP, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE)
        for name, process in self._running.items():
            self._await_listening(name, process)

    @staticmethod
    def _await_listening(name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line.decode(errors="replace").strip())
            if "listening on" in lines[-1]:
                return
        raise CaptureError(f"the capture at {name} did not start: {' '.join(lines)}")

    def stop(self) -> None:
        """End the captures; what they saw is in their files when this returns. CaptureError names those that had broken off."""
        running, self._running = self._running, {}
        for process in running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        said = {name: process.communicate()[1].decode(errors="replace") for name, process in running.items()}
        broken = [f"{name}: {said[name].strip()}" for name, process in running.items() if process.returncode]
        if broken:
            raise CaptureError(f"captures broke off: {'; '.join(broken)}")
