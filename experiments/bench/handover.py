"""Virtual seconds for each wall second on one core, and reading captures against tshark."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from experiments.bench.figures import Figure, folder, in_guest, one_core
from experiments.catalogue import CATALOGUE
from experiments.declare import declarations
from experiments.declare.deployment import resolve
from experiments.declare.scenario import Case, Run, Scenario
from experiments.measure import metrics
from experiments.measure.trace import read_trace

_FIELDS = ("frame.time_epoch", "sll.ifindex", "ipv6.src", "ipv6.dst", "udp.dstport", "data.data", "mip6.mhtype")


def measure() -> list[Figure]:
    """A short and a long run, so that booting cancels out."""
    with folder() as short, folder() as long:
        whole = _emulate(_run(60.0), Path(short))
        longer = _emulate(_run(180.0), Path(long))
        own = _read_metrics(Path(short))
        tshark = _tshark(Path(short))
    return [
        Figure("handover, one core, captures and agents running", 120.0 / (longer - whole), 12, "virtual s / wall s"),
        Figure("60 virtual seconds, from boot to metrics", whole + own, 8, "s", limit=True),
        Figure("captures into metrics, tshark -T fields / dmmlab", tshark / own, 10, "times", detail=f"{tshark:.2f} s / {own:.2f} s"),
    ]


def _run(duration: float) -> Run:
    experiment = CATALOGUE["handover"]
    flow = replace(experiment.scenario.flows[0], duration=duration)
    scenario = Scenario(duration=duration, flows=(flow,), moves=experiment.scenario.moves)
    return Run("bench", experiment.domain, Case("s-pmip", "notify"), scenario, number=1, seed=1, engine="virtual")


def _emulate(run: Run, folder: Path) -> float:
    (folder / "run.json").write_bytes(declarations.to_json(run))
    return in_guest("virtual", (sys.executable, "-m", "experiments.play.emulate", str(folder)), folder, one_core())


def _read_metrics(folder: Path) -> float:
    run = resolve(declarations.load(folder / "run.json", Run))
    began = time.perf_counter()
    metrics.measure(read_trace(folder, run), run)
    return time.perf_counter() - began


def _tshark(folder: Path) -> float:
    began = time.perf_counter()
    for capture in sorted(folder.glob("*.pcap")):
        fields = [word for field in _FIELDS for word in ("-e", field)]
        subprocess.run(["tshark", "-n", "-r", str(capture), "-T", "fields", *fields], check=True, capture_output=True)
    return time.perf_counter() - began
