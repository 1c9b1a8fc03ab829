"""What a benchmark yields, the guest that it runs in, and bench.json."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from engines import choose
from engines.base import MEMORY, Job
from experiments.measure import results


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the bench.

    Attributes:
        what: what was measured.
        measured, goal: in ``unit``.
        unit: of both, in words.
        limit: whether the goal is the most that is good, not the least.
        detail: what the measured value comes from.
    """

    what: str
    measured: float
    goal: float
    unit: str
    limit: bool = False
    detail: str = ""

    @property
    def ratio(self) -> float:
        """How many times better than the goal; it is met from 1 on."""
        return self.goal / self.measured if self.limit else self.measured / self.goal


def folder() -> AbstractContextManager[str]:
    """A folder for as long as a benchmark runs."""
    return tempfile.TemporaryDirectory(prefix="dmmlab-bench-")


def one_core() -> set[int]:
    """The core for what is measured on one."""
    return {min(os.sched_getaffinity(0))}


def in_guest(engine_name: str, command: tuple[str, ...], folder: Path, cores: set[int] | None = None, memory: int = MEMORY) -> float:
    """Run a command in a guest and return the wall seconds from boot to halt; RuntimeError where it failed."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or own)
    try:
        job = Job(command=command, results=folder, seed=1, wall_limit=600.0, log=folder / "console.log", memory=memory)
        outcome = asyncio.run(choose(engine_name).run(job))
    finally:
        os.sched_setaffinity(0, own)
    if not outcome.ok:
        raise RuntimeError("\n".join((outcome.reason, *outcome.console)))
    return outcome.wall


def write(path: Path, figures: Iterable[Figure]) -> None:
    """Write the figures as JSON, each with its ratio, and what they were measured with (docs/architecture.md, "How fast")."""
    lines = [{**asdict(figure), "ratio": figure.ratio, "met": figure.ratio >= 1} for figure in figures]
    report = {
        "measured_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "revision": results.revision(),
        "kernel": choose("uml").kernel,
        "versions": results.versions(),
        "cores": os.cpu_count(),
        "figures": lines,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
