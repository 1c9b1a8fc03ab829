"""Showing how far a long task is: one line rewritten on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TextIO

_TERMINAL, _PLAIN = 0.2, 20.0


@dataclass(slots=True)
class Progress:
    """The progress of one task, written to ``stream``."""

    stream: TextIO
    task: str
    _started: float = field(default_factory=time.monotonic)
    _shown: float = 0.0
    _step: str = ""

    def show(self, step: str, detail: str = "") -> None:
        """``step`` is under way; called as often as one likes."""
        now = time.monotonic()
        terminal = self.stream.isatty()
        if step == self._step and now - self._shown < (_TERMINAL if terminal else _PLAIN):
            return
        self._step, self._shown = step, now
        self._write(f"{self.task}: {step}{f', {detail}' if detail else ''} ({now - self._started:.0f} s)", "" if terminal else "\n")

    def end(self, text: str) -> None:
        """The task is over, with ``text`` to say about it."""
        self._write(f"{self.task}: {text} ({time.monotonic() - self._started:.0f} s)", "\n")

    def _write(self, line: str, end: str) -> None:
        self.stream.write((f"\r\x1b[K{line}" if self.stream.isatty() else line) + end)
        self.stream.flush()
