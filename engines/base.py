"""What an engine is asked to do and what it answers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

REPOSITORY = Path(__file__).resolve().parent.parent

MEMORY = 1 << 30
"""Octets of memory for a job that does not say what it needs."""

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    **({"SETUPTOOLS_USE_DISTUTILS": "stdlib"} if "distutils" in sys.stdlib_module_names else {}),
}
"""What a job's command finds in its environment besides PATH. Mininet imports distutils, of which setuptools' copy takes a guest half a
second more than Python's own, where there is one."""


class EngineError(Exception):
    """An engine cannot be had or cannot start; its text is one line that names what to do about it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that stands in an engine's way, and what mends it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Job:
    """A command to run on an engine.

    Attributes:
        command: the argument vector, run with the repository as its working folder.
        results: the one folder that it may write to, seen at the same absolute path inside.
        seed: what all randomness of a virtual run follows from.
        wall_limit: s of wall time after which the command counts as hung and is killed.
        log: where the console's output goes; a file inside ``results``.
        memory: octets that a guest has for its kernel and the command; what is not used is not taken from the machine.
        radios: 802.11 radios that the kernel simulates.
    """

    command: tuple[str, ...]
    results: Path
    seed: int
    wall_limit: float
    log: Path
    memory: int = MEMORY
    radios: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    Attributes:
        ok: whether the command ran to its end with exit status 0.
        reason: one line that says what went wrong; empty when ``ok``.
        console: the last lines of the console.
        wall: s of wall time that it took.
    """

    ok: bool
    reason: str
    console: tuple[str, ...]
    wall: float


class Engine(Protocol):
    """A place to run jobs: a kernel, or none.

    Attributes:
        name: ``virtual``, ``uml``, ``native`` or ``sim``.
        kernel: the kernel's version, or that there is none, for a manifest.
        virtual: whether its time is virtual, and so its runs deterministic.
    """

    @property
    def name(self) -> str: ...

    @property
    def kernel(self) -> str: ...

    @property
    def virtual(self) -> bool: ...

    async def run(self, job: Job) -> Outcome:
        """Run ``job`` to its end; cancelled, it kills what it started. Raises EngineError where it cannot start."""
        ...


@dataclass(frozen=True, slots=True)
class Limited:
    """An engine whose jobs all have the same wall limit, in s, whatever theirs is."""

    engine: Engine
    wall_limit: float

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def kernel(self) -> str:
        return self.engine.kernel

    @property
    def virtual(self) -> bool:
        return self.engine.virtual

    async def run(self, job: Job) -> Outcome:
        return await self.engine.run(replace(job, wall_limit=self.wall_limit))
