"""User-Mode Linux: a guest for each job, in real time or in virtual time, without privileges."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from engines.base import ENVIRONMENT, REPOSITORY, EngineError, Job, Outcome, Problem
from engines.folders import temporary
from engines.kernel.build import Kernel
from engines.process import console, outcome, supervise, why

MEMORY = Path("/dev/shm")
GUEST_MEMORY = 1 << 30
VIRTUAL_TIME = ("time-travel=inf-cpu", "time-travel-start=1704067200000000000")
_PRIVATE = ".guest"
_INIT = REPOSITORY / "engines" / "guest-init"
_NEVER_RETURNED = 199
_PANIC = "Kernel panic - not syncing: "


def memory_problem() -> Problem | None:
    """Why no guest can have its memory in a file of /dev/shm, or None where one can."""
    remount = f"mount -o remount,exec,size=4G {MEMORY}"
    try:
        state = os.statvfs(MEMORY)
    except OSError:
        return Problem(f"there is no {MEMORY} for a guest's memory", f"mount -t tmpfs -o mode=1777,size=4G tmpfs {MEMORY}")
    if state.f_flag & os.ST_NOEXEC:
        return Problem(f"{MEMORY} is mounted noexec and a guest's memory must be executable", remount)
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        return Problem(f"{MEMORY} cannot be written", f"chmod 1777 {MEMORY}")
    free = state.f_bavail * state.f_frsize
    if free < GUEST_MEMORY:
        return Problem(f"{MEMORY} has {free >> 20} MB free and a guest needs {GUEST_MEMORY >> 20} MB", remount)
    return None


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
        if problem := memory_problem():
            raise EngineError(str(problem))
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
        environment = {"TMPDIR": str(MEMORY), "UML_RANDOM_SEED": str(job.seed % 2**64)}
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
            f"mem={GUEST_MEMORY >> 20}M",
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
