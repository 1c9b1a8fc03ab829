"""What 100,000 bindings in one LMA take, policy profiles included, each way of measuring in a process of its own.

``python -m experiments.bench.memory WAY`` is such a process; it prints octets.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from agents.lma import Lma
from agents.messages import decode
from engines.base import REPOSITORY
from experiments.bench import workload
from experiments.bench.figures import Figure

_BINDINGS = 100_000
_GOAL = 200.0
_CHUNK = 1_000


def measure() -> list[Figure]:
    """By the pages of the process, and by what Python allocated."""
    return [
        Figure(f"{_BINDINGS:,} bindings in one LMA, {what}", _measured(way) / 1e6, _GOAL, "MB", limit=True)
        for way, what in (("rss", "resident memory above an empty LMA's"), ("traced", "allocated by Python (tracemalloc)"))
    ]


def _measured(way: str) -> int:
    command = (sys.executable, "-m", "experiments.bench.memory", way)
    return int(subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _traced() -> int:
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return tracemalloc.get_traced_memory()[0]


_WAYS: dict[str, Callable[[], int]] = {"rss": _resident, "traced": _traced}


def _grown(memory: Callable[[], int]) -> int:
    """What an LMA's first 100,000 registrations add to an LMA without any; what they were made from is gone by then."""
    now = time.time()
    empty = Lma(workload.configuration(0), now)
    gc.collect()
    before = memory()
    lma = Lma(workload.configuration(_BINDINGS), now)
    for first in range(0, _BINDINGS, _CHUNK):
        for request in workload.updates(range(first, first + _CHUNK), now):
            lma.receive(decode(request), workload.MAG, now)
    gc.collect()
    grown = memory() - before
    if (len(lma.bindings), len(empty.bindings)) != (_BINDINGS, 0):
        raise RuntimeError(f"{len(lma.bindings)} bindings for {_BINDINGS} registrations")
    return grown


if __name__ == "__main__":
    print(_grown(_WAYS[sys.argv[1]]))
