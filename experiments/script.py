"""A user's own Python file, run where an engine provides a kernel: ``dmmlab script FILE``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from engines.base import Job, Outcome
from engines.choose import choose
from experiments.measure import results

WALL_LIMIT = 3600.0
"""s after which a script is killed, where nobody says how long it may take."""

_MEMORY = 2 << 30
_CONSOLE = "console.log"
_NOT_SAID = ("dmmlab: ", "reboot: ")


def run(
    file: Path, arguments: Sequence[str], *, engine_name: str, seed: int, results_folder: Path, wall_limit: float | None
) -> tuple[Path, Outcome]:
    """Run ``file`` with the path of a new folder, the only one that it may write to, and ``arguments``; that folder, and how it ended.

    What it prints is in the folder's console.log. Raises EngineError where it cannot start.
    """
    engine = choose(engine_name, wall_limit)
    folder = results.new_folder(results_folder, file.stem, datetime.now(UTC))
    command = (sys.executable, str(file.resolve()), str(folder), *arguments)
    job = Job(command=command, results=folder, seed=seed, wall_limit=WALL_LIMIT, log=folder / _CONSOLE, memory=_MEMORY)

    async def play() -> Outcome:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await engine.run(job)

    try:
        return folder, asyncio.run(play())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def said(folder: Path) -> str:
    """What the script of a folder has printed, without the stages of its sessions and the kernel's last line."""
    with contextlib.suppress(OSError):
        lines = (folder / _CONSOLE).read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith(_NOT_SAID))
    return ""
