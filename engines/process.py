"""Child processes that never outlive this one, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.base import EngineError, Job, Outcome

CONSOLE_LINES = 15
_PR_SET_PDEATHSIG = 1
# A guest that dies alone in its first moments leaves a stopped child behind, so its whole process group, which it names to this guard
# before it is a guest, goes when this process's end of a pipe does.
_GUARD = ("/bin/sh", "-c", 'read group; read word || kill -s KILL -- "-$group"')
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(death: signal.Signals) -> None:
    """Have the kernel send this process ``death`` when the thread that started it ends (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(death), 0, 0, 0)


def dies_with_parent(death: signal.Signals) -> Callable[[], None]:
    """A ``preexec_fn``: the child does ``die_with_parent``, and dumps no core."""
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(death)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.getppid() != parent:
            os._exit(1)

    return prepare


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: ``status`` as subprocess gives it (negative for a signal), or None where it was killed for taking too long."""

    status: int | None
    wall: float


async def supervise(command: Sequence[str], job: Job, environment: Mapping[str, str], cwd: Path) -> Ended:
    """Run ``command`` in a session of its own, its output into the job's log, until it ends or the job's wall limit is reached."""
    started = time.monotonic()
    try:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        log = job.log.open("wb")
    except OSError as error:
        raise EngineError(f"cannot write {job.log}: {error.strerror}; name a results folder that can be written") from error
    status, dies = None, dies_with_parent(signal.SIGKILL)
    with log, _guard() as guarded:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                cwd=cwd,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=lambda: (guarded(), dies()),
            )
        except OSError as error:
            raise EngineError(f"cannot start {command[0]}: {error.strerror}; `dmmlab doctor` says what is missing") from error
        try:
            with contextlib.suppress(TimeoutError):
                status = await asyncio.wait_for(process.wait(), job.wall_limit)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
    return Ended(status, time.monotonic() - started)


@contextlib.contextmanager
def _guard() -> Iterator[Callable[[], object]]:
    """Within, the process group of whoever has called what this yields is killed should this process end without leaving, or leave by an
    exception: a guest that is cancelled while it is being started is killed alone."""
    guard = subprocess.Popen(_GUARD, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    assert guard.stdin is not None
    pipe = guard.stdin.fileno()
    word = b""
    try:
        yield lambda: os.write(pipe, b"%d\n" % os.getpid())
        word = b"\n"
    finally:
        guard.communicate(word)


def console(log: Path) -> tuple[str, ...]:
    """The lines of a console's log that are not blank."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return tuple(line for line in (raw.strip("\r\n") for raw in text.split("\n")) if line.strip())


def outcome(ended: Ended, reason: str, lines: Sequence[str]) -> Outcome:
    """The outcome of a job that failed for ``reason``, or succeeded where that is empty."""
    return Outcome(ok=not reason, reason=reason, console=tuple(lines[-CONSOLE_LINES:]), wall=ended.wall)


def why(ended: Ended, wall_limit: float, what: str) -> str:
    """What a process's end says about it: nothing where it ended with status 0."""
    match ended.status:
        case None:
            return f"{what} hung: no end within {wall_limit:g} s"
        case 0:
            return ""
        case status if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        case status:
            return f"exit status {status}"
