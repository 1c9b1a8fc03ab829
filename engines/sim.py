"""No kernel at all: a job whose command plays a run by itself, as a plain process of this user."""

from __future__ import annotations

import os
from dataclasses import dataclass

from engines.base import ENVIRONMENT, REPOSITORY, Job, Outcome
from engines.process import console, outcome, supervise, why


@dataclass(frozen=True, slots=True)
class Simulator:
    """The engine ``sim``: simulated time, deterministic for one seed. It needs nothing of this machine, and no privileges."""

    kernel: str = "none (simulated)"
    name: str = "sim"
    virtual: bool = True

    async def run(self, job: Job) -> Outcome:
        environment = {**ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)}
        ended = await supervise(job.command, job, environment, cwd=REPOSITORY)
        return outcome(ended, why(ended, job.wall_limit, "the simulation"), console(job.log))
