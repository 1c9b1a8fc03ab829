"""User-Mode Linux: a guest for each job, in real time or in virtual time, without privileges."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from engines.base import ENVIRONMENT, MEMORY, REPOSITORY, EngineError, Job, Outcome, Problem
from engines.folders import temporary
from engines.kernel.build import Kernel
from engines.process import console, outcome, supervise, why

SHARED_MEMORY = Path("/dev/shm")
VIRTUAL_TIME = ("time-travel=inf-cpu", "time-travel-start=1704067200000000000")
_PRIVATE = ".guest"
_PATIENCE = 0.2
_INIT = REPOSITORY / "engines" / "guest-init"
_NEVER_RETURNED = 199
_PANIC = "Kernel panic - not syncing: "


def memory_problem(needed: int = MEMORY) -> Problem | None:
    """Why no guest can have ``needed`` octets of memory, in a file of /dev/shm, or None where one can."""
    size = f"size={max(4, -(-2 * needed >> 30))}G"
    remount = f"mount -o remount,exec,{size} {SHARED_MEMORY}"
    try:
        state = os.statvfs(SHARED_MEMORY)
    except OSError:
        return Problem(f"there is no {SHARED_MEMORY} for a guest's memory", f"mount -t tmpfs -o mode=1777,{size} tmpfs {SHARED_MEMORY}")
    if state.f_flag & os.ST_NOEXEC:
        return Problem(f"{SHARED_MEMORY} is mounted noexec and a guest's memory must be executable", remount)
    if not os.access(SHARED_MEMORY, os.W_OK | os.X_OK):
        return Problem(f"{SHARED_MEMORY} cannot be written", f"chmod 1777 {SHARED_MEMORY}")
    available = _available_memory()
    if available < needed:
        remedy = "end other programs, add swap space or take a smaller domain"
        return Problem(f"this machine has {available >> 20} MB of memory free and a guest needs {needed >> 20} MB", remedy)
    free = state.f_bavail * state.f_frsize
    if free < needed:
        return Problem(f"{SHARED_MEMORY} has {free >> 20} MB free and a guest needs {needed >> 20} MB", remount)
    return None


def _available_memory() -> int:
    """The octets that programs can have before this machine runs out of memory (proc_meminfo(5))."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return sum(int(words[1]) << 10 for words in lines if words[0] in ("MemAvailable:", "SwapFree:"))


_promised: list[int] = []
"""The memory of each guest that this process runs now; they may not have taken all of it yet."""


@contextlib.asynccontextmanager
async def _memory(needed: int) -> AsyncIterator[None]:
    """Wait, while other guests run, until there is memory for all of them and this one; EngineError where there is not enough for one."""
    while _promised and memory_problem(needed + sum(_promised)):
        await asyncio.sleep(_PATIENCE)
    if problem := memory_problem(needed):
        raise EngineError(str(problem))
    _promised.append(needed)
    try:
        yield
    finally:
        _promised.remove(needed)


def _job_script(job: Job, results: Path) -> str:
    """What guest-init reads: the results folder, the one for temporary files, and the command with its environment."""
    environment = shlex.join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    run = f"cd {shlex.quote(str(REPOSITORY))} && {shlex.join(job.command)}"
    return f"export {environment}\nresults={shlex.quote(str(results))}\ntmp={temporary(results)}\nrun() {{\n    {run}\n}}\n"


@dataclass(frozen=True, slots=True)
class UserModeLinux:
    """The engines ``virtual`` (time travel: deterministic for one seed) and ``uml`` (real time) on one built kernel."""

    name: str
    virtual: bool
    built: Kernel

    @property
    def kernel(self) -> str:
        return f"{self.built.release} (User-Mode Linux, {self.built.key})"

    async def run(self, job: Job) -> Outcome:
        async with _memory(job.memory):
            return await self._run(job)

    async def _run(self, job: Job) -> Outcome:
        results = job.results.absolute()
        if set(str(results)) & set(',"\\\n'):
            raise EngineError(f"{results}: a guest takes no comma, quotation mark, backslash or line feed in a path; name another folder")
        script = _job_script(job, results)
        private = results / _PRIVATE
        try:
            shutil.rmtree(private, ignore_errors=True)
            private.mkdir(parents=True)
            (private / "init").symlink_to(_INIT)
            (private / "job").write_text(script, encoding="utf-8")
        except OSError as error:
            raise EngineError(f"cannot write {results}: {error.strerror}; name a results folder that can be written") from error
        environment = {"TMPDIR": str(SHARED_MEMORY), "UML_RANDOM_SEED": str(job.seed % 2**64)}
        try:
            ended = await supervise((str(self.built.binary), *self._arguments(job)), job, environment, cwd=results)
        finally:
            shutil.rmtree(private, ignore_errors=True)
        lines = console(job.log)
        panic = next((line.partition(_PANIC)[2] for line in lines if _PANIC in line), "")
        reason = why(ended, job.wall_limit, "the guest")
        if panic:
            reason = f"kernel panic: {panic}"
        elif ended.status == _NEVER_RETURNED:
            reason = "the guest stopped before its command ended"
        return outcome(ended, reason, lines)

    def _arguments(self, job: Job) -> tuple[str, ...]:
        """The kernel's command line.

        The kernel mixes it into its random numbers, so it names nothing of this place: a guest's init is found through the
        working folder of the kernel's process, which is the results folder.
        """
        return (
            "quiet",
            "panic=-1",
            "oops=panic",
            f"mem={job.memory >> 20}M",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            f"init=/proc/self/cwd/{_PRIVATE}/init",
            "con=null",
            "con0=fd:0,fd:1",
            f"uml_dir={_PRIVATE}",
            f"mac80211_hwsim.radios={job.radios}",
            *(VIRTUAL_TIME if self.virtual else ()),
            *self.built.boot_arguments,
        )
