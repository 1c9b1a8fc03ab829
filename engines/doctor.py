"""What this machine can do, what is missing and the command that mends it."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

from engines.base import EngineError, Job
from engines.choose import automatic
from engines.kernel import source as sources
from engines.kernel.build import MACHINE, SPACE, Kernel, cache, missing_tools, standing
from engines.native import MODULES, namespace_problem, probe
from engines.uml import SHARED_MEMORY, UserModeLinux, memory_problem

_SETUP = "make setup-system"
_OTHER_FOLDER = "export XDG_CACHE_HOME=/a/folder/with/room"


class State(StrEnum):
    """How a thing is: ``limited`` where something works without it."""

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Row:
    """One finding: the thing, its state, a detail, and the command that mends it (empty where nothing needs mending)."""

    thing: str
    state: State
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that something here calls, what for, and the state of a machine without it."""

    name: str
    purpose: str
    without: State = State.MISSING


PROGRAMS = (
    Program("ip", "networks"),
    Program("tc", "delay, rate and loss"),
    Program("tcpdump", "captures"),
    Program("mnexec", "Mininet"),
    Program("ping", "by hand and in tests", State.LIMITED),
    Program("brctl", "Mininet's own bridges", State.LIMITED),
    Program("tshark", "tests only", State.LIMITED),
)
_STYLES = {State.OK: "green", State.LIMITED: "yellow", State.MISSING: "red"}


def _processor() -> Iterator[Row]:
    machine = platform.machine()
    fit = machine == MACHINE
    yield Row("processor", State.OK if fit else State.LIMITED, machine if fit else f"{machine}: engine native only")
    try:
        flags = next((line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith("flags")), "")
    except OSError:
        return
    if fit:
        yield Row(
            "AMX", State.OK, "present: the kernel has room for its state" if "amx_tile" in flags.split() else "absent: nothing to mind"
        )


def _python() -> Iterator[Row]:
    version = platform.python_version()
    fit = sys.version_info >= (3, 11)
    yield Row(
        "Python", State.OK if fit else State.MISSING, version if fit else f"{version}; 3.11 or later is needed", "" if fit else _SETUP
    )
    inside = sys.prefix != sys.base_prefix
    yield Row(
        "virtual environment", State.OK if inside else State.LIMITED, sys.prefix if inside else "none", "" if inside else "make setup"
    )


def _programs() -> Iterator[Row]:
    for program in PROGRAMS:
        found = shutil.which(program.name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        state = State.OK if found else program.without
        yield Row(program.name, state, f"{found or 'not found'} ({program.purpose})", "" if found else _SETUP)


def _kernel() -> Kernel | Row:
    """The built kernel, or the row that says what stands in its way."""
    try:
        return standing() or Row(
            "kernel", State.LIMITED, f"{sources.find().tarball.name} is not built yet; the first run does it", "make kernel"
        )
    except EngineError as error:
        return Row("kernel source", State.MISSING, str(error), _SETUP)


def _building() -> Iterator[Row]:
    """What building a kernel takes."""
    tools = missing_tools()
    yield Row("compiler and tools", State.MISSING if tools else State.OK, ", ".join(tools) or "complete", _SETUP if tools else "")
    free = shutil.disk_usage(next(folder for folder in (cache(), *cache().parents) if folder.exists())).free
    enough = free >= SPACE
    yield Row(
        "disk",
        State.OK if enough else State.LIMITED,
        f"{free / 1e9:.1f} GB free for {cache()}" + ("" if enough else f"; building a kernel takes {SPACE / 1e9:.1f} GB"),
        "" if enough else _OTHER_FOLDER,
    )


def _guests() -> Iterator[Row]:
    if platform.machine() != MACHINE:
        return
    try:
        cache()
    except EngineError as error:
        yield Row("cache folder", State.MISSING, str(error), _OTHER_FOLDER)
        return
    kernel = _kernel()
    if isinstance(kernel, Row):
        yield from _building()
    problem = memory_problem()
    if problem:
        yield Row(str(SHARED_MEMORY), State.MISSING, problem.what, problem.remedy)
    else:
        yield Row(str(SHARED_MEMORY), State.OK, "room enough, and executable")
    if isinstance(kernel, Row):
        yield kernel
        return
    yield Row("kernel", State.OK, f"{kernel.release} in {kernel.binary.parent}")
    if not problem:
        yield _boot(kernel)


def _boot(kernel: Kernel) -> Row:
    with tempfile.TemporaryDirectory(prefix="dmmlab-doctor-") as name:
        folder = Path(name)
        job = Job(command=("true",), results=folder, seed=1, wall_limit=60.0, log=folder / "console.log")
        try:
            outcome = asyncio.run(UserModeLinux("virtual", virtual=True, built=kernel).run(job))
        except EngineError as error:
            return Row("guest", State.MISSING, str(error))
    if outcome.ok:
        return Row("guest", State.OK, f"boots and halts in {outcome.wall:.1f} s")
    return Row("guest", State.MISSING, "; ".join((outcome.reason, *outcome.console[-3:])), "make kernel")


def _host() -> Iterator[Row]:
    """What the engine ``native`` needs; a machine where guests boot does without."""
    without = State.LIMITED if automatic().name != "native" else State.MISSING
    if problem := namespace_problem():
        yield Row("namespaces", without, problem.what, problem.remedy)
        return
    yield Row("namespaces", State.OK, "can be made")
    found = probe()
    for tried in found:
        remedy = tried.feature.remedy if tried.problem else ""
        yield Row(f"native: {tried.feature.name}", without if tried.problem else State.OK, tried.problem or "works", remedy)
    if any(tried.problem for tried in found):
        yield Row("native: modules", without, "where modprobe finds none, they come in a package of their own", MODULES)


def _engines() -> Iterator[Row]:
    choice = automatic()
    yield Row("engine auto", State.OK, f"{choice.name}: {choice.why}")


_PROBES: tuple[Callable[[], Iterator[Row]], ...] = (_engines, _processor, _python, _programs, _guests, _host)


def rows() -> tuple[Row, ...]:
    """Everything that was found; boots a guest where a kernel is built, so it takes a second or two."""
    return tuple(row for look in _PROBES for row in look())


def table(found: tuple[Row, ...]) -> Table:
    """The findings as a person wants to see them."""
    columns = (Column(heading, overflow="fold") for heading in ("", "state", "what was found", "what mends it"))
    shown = Table(*columns, box=SIMPLE, title="What this machine can do", title_justify="left")
    for row in found:
        shown.add_row(row.thing, f"[{_STYLES[row.state]}]{row.state}[/]", row.detail, row.remedy)
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where something is missing that ``auto`` needs."""
    argparse.ArgumentParser(prog="python -m engines.doctor", description=__doc__).parse_args(arguments)
    found = rows()
    Console().print(table(found))
    return int(any(row.state is State.MISSING for row in found))


if __name__ == "__main__":
    sys.exit(main())
