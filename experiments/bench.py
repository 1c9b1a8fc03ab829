"""``make bench``: how fast the testbed is, each figure beside what it is measured against, in one run on one machine.

``python -m experiments.bench [PART ...]``; with no part, all of them. Absolute times depend on the machine; the ratios hardly do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from engines import choose
from engines.base import Job
from experiments import declarations, results
from experiments.catalogue import CATALOGUE
from experiments.measure import metrics
from experiments.measure.trace import read_trace
from experiments.scenario import Case, Run, Scenario

_MAGS = 20
_FIELDS = ("frame.time_epoch", "sll.ifindex", "ipv6.src", "ipv6.dst", "udp.dstport", "data.data", "mip6.mhtype")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the bench: what was measured, the goal, and whether it is met."""

    what: str
    measured: str
    goal: str
    met: bool


def _guest(engine_name: str, command: tuple[str, ...], folder: Path, cores: set[int] | None = None) -> float:
    """Run a command in a guest and return the wall seconds from boot to halt; RuntimeError where it failed."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or own)
    try:
        job = Job(command=command, results=folder, seed=1, wall_limit=600.0, log=folder / "console.log")
        outcome = asyncio.run(choose(engine_name).run(job))
    finally:
        os.sched_setaffinity(0, own)
    if not outcome.ok:
        raise RuntimeError("\n".join((outcome.reason, *outcome.console)))
    return outcome.wall


def _bringup() -> list[Figure]:
    """20 MAGs and 20 MNs with delayed links: this project's builder against stock Mininet with TCLink, each in a guest in real time."""
    seconds = {}
    for builder in _BUILDERS:
        with tempfile.TemporaryDirectory(prefix="dmmlab-bench-") as folder:
            _guest("uml", (sys.executable, "-m", "experiments.bench", "--build", builder, folder), Path(folder))
            seconds[builder] = float((Path(folder) / "seconds").read_text())
    ratio = seconds["stock"] / seconds["dmmlab"]
    measured = f"{seconds['dmmlab']:.2f} s against {seconds['stock']:.1f} s: {ratio:.1f} times"
    return [Figure(f"bring-up of {_MAGS} MAGs and {_MAGS} MNs, stock Mininet / dmmlab", measured, "10 times", ratio >= 10)]


def _build_dmmlab() -> Callable[[], None]:
    from topologies.build import Testbed
    from topologies.presets import star

    domain = star(mags=_MAGS, mns=_MAGS, cns=0)

    def build() -> None:
        testbed = Testbed(domain)
        testbed.start()
        for host in domain.hosts:
            testbed.attach(host.name, host.mag)

    return build


def _build_stock() -> Callable[[], None]:
    from mininet.link import TCLink
    from mininet.log import setLogLevel
    from mininet.net import Mininet
    from mininet.nodelib import LinuxBridge
    from mininet.topo import Topo

    setLogLevel("error")
    topo = Topo()
    topo.addSwitch("s1")
    for i in range(1, _MAGS + 1):
        topo.addHost(f"mag{i}")
        topo.addHost(f"mn{i}")
        topo.addLink(f"mag{i}", "s1", delay="5ms")
        topo.addLink(f"mn{i}", f"mag{i}", delay="2ms")

    def build() -> None:
        net = Mininet(topo=topo, switch=LinuxBridge, link=TCLink, controller=None)
        net.start()

    return build


_BUILDERS: dict[str, Callable[[], Callable[[], None]]] = {"dmmlab": _build_dmmlab, "stock": _build_stock}


def _time_building(builder: str, folder: Path) -> None:
    build = _BUILDERS[builder]()
    began = time.monotonic()
    build()
    (folder / "seconds").write_text(f"{time.monotonic() - began}\n")


def _handover_run(duration: float) -> Run:
    experiment = CATALOGUE["handover"]
    flow = replace(experiment.scenario.flows[0], duration=duration)
    scenario = Scenario(duration=duration, flows=(flow,), moves=experiment.scenario.moves)
    return Run("bench", experiment.domain, Case("s-pmip", "notify"), scenario, number=1, seed=1, engine="virtual")


def _emulate(run: Run, folder: Path, cores: set[int]) -> float:
    (folder / "run.json").write_bytes(declarations.to_json(run))
    return _guest("virtual", (sys.executable, "-m", "experiments.emulate", str(folder)), folder, cores)


def _virtual() -> list[Figure]:
    """Virtual seconds for each wall second on one core, and reading captures against tshark."""
    core = {min(os.sched_getaffinity(0))}
    with tempfile.TemporaryDirectory(prefix="dmmlab-bench-") as short, tempfile.TemporaryDirectory(prefix="dmmlab-bench-") as long:
        whole = _emulate(_handover_run(60.0), Path(short), core)
        longer = _emulate(_handover_run(180.0), Path(long), core)
        own = _read_metrics(Path(short))
        tshark = _tshark(Path(short))
    rate = 120.0 / (longer - whole)
    return [
        Figure("handover, one core, captures and agents running", f"{rate:.1f} virtual seconds a wall second", "12", rate >= 12),
        Figure("60 virtual seconds, from boot to metrics", f"{whole + own:.1f} s", "8 s", whole + own <= 8),
        Figure(
            "captures into metrics, tshark -T fields / dmmlab",
            f"{own:.2f} s against {tshark:.2f} s: {tshark / own:.1f} times",
            "10 times",
            tshark / own >= 10,
        ),
    ]


def _read_metrics(folder: Path) -> float:
    run = declarations.load(folder / "run.json", Run)
    began = time.perf_counter()
    metrics.measure(read_trace(folder, run), run)
    return time.perf_counter() - began


def _tshark(folder: Path) -> float:
    began = time.perf_counter()
    for capture in sorted(folder.glob("*.pcap")):
        fields = [word for field in _FIELDS for word in ("-e", field)]
        subprocess.run(["tshark", "-n", "-r", str(capture), "-T", "fields", *fields], check=True, capture_output=True)
    return time.perf_counter() - began


def _whole() -> list[Figure]:
    """``make run-experiment`` with everything set up."""
    with tempfile.TemporaryDirectory(prefix="dmmlab-bench-") as folder:
        began = time.perf_counter()
        command = ["make", "--no-print-directory", "-C", str(results.ROOT), "run-experiment", f"RESULTS={folder}"]
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - began
    return [Figure(f"make run-experiment, {os.cpu_count()} cores", f"{seconds:.0f} s", "60 s on two", seconds <= 60)]


_PARTS: dict[str, Callable[[], list[Figure]]] = {"virtual": _virtual, "whole": _whole, "bringup": _bringup}


def main() -> int:
    """Run the parts asked for and print a table; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(prog="experiments.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which: {', '.join(_PARTS)}")
    parser.add_argument("--build", nargs=2, metavar=("BUILDER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        _time_building(options.build[0], Path(options.build[1]))
        return 0
    unknown = [part for part in options.parts if part not in _PARTS]
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}; expected {', '.join(_PARTS)}")
    from experiments.present import terminal

    figures = [figure for part in options.parts or _PARTS for figure in _PARTS[part]()]
    terminal.show_bench([(f.what, f.measured, f.goal, f.met) for f in figures])
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
