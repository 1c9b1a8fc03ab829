"""A user's own Python file, run where an engine provides a kernel: ``dmmlab script FILE``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from engines.base import Job, Outcome
from engines.choose import choose
from experiments.measure import results

WALL_LIMIT = 3600.0
"""s after which a script is killed, where nobody says how long it may take."""

CONSOLE = "console.log"
"""The file with what a script prints, below its folder."""

_MEMORY = 2 << 30
_LOOK = 0.2
_NOT_SAID = ("dmmlab: ", "reboot: ")


def run(
    file: Path,
    arguments: Sequence[str],
    *,
    engine_name: str,
    seed: int,
    results_folder: Path,
    wall_limit: float | None,
    say: Callable[[str], object] = lambda line: None,
) -> tuple[Path, Outcome]:
    """Run ``file`` with the path of a new folder, the only one whose files stay, and ``arguments``; that folder, and how it ended.

    Its working folder is the one that this process is in. ``say`` is told each line that it prints, as it comes, but for the stages of its
    sessions. Raises EngineError where it cannot start.
    """
    engine = choose(engine_name, wall_limit)
    folder = results.new_folder(results_folder, file.stem, datetime.now(UTC))
    surroundings = ("env", f"--chdir={Path.cwd()}", "SHELL=/bin/sh")
    command = (*surroundings, sys.executable, str(file.resolve()), str(folder), *arguments)
    job = Job(command=command, results=folder, seed=seed, wall_limit=WALL_LIMIT, log=folder / CONSOLE, memory=_MEMORY)

    async def play() -> Outcome:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        console = _Console(job.log, say)
        following = asyncio.create_task(console.follow())
        try:
            return await engine.run(job)
        finally:
            following.cancel()
            console.show(to_the_end=True)

    try:
        return folder, asyncio.run(play())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except KeyboardInterrupt as error:
        error.add_note(f"what it left until then: {folder}")
        raise


class _Console:
    """What a script has printed, line by line as the file grows."""

    def __init__(self, log: Path, say: Callable[[str], object]) -> None:
        self._log = log
        self._say = say
        self._shown = 0

    async def follow(self) -> None:
        """Show what is new, again and again, until cancelled."""
        while True:
            self.show()
            await asyncio.sleep(_LOOK)

    def show(self, to_the_end: bool = False) -> None:
        """Show the lines that are new and whole, or all."""
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as file:
            file.seek(self._shown)
            new = file.read()
            whole = len(new) if to_the_end else new.rfind(b"\n") + 1
            self._shown += whole
            for line in new[:whole].decode(errors="replace").splitlines():
                if not line.startswith(_NOT_SAID):
                    self._say(line)
