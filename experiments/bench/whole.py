"""``make run-experiment`` with everything set up."""

from __future__ import annotations

import os
import subprocess
import time

from engines.base import REPOSITORY
from experiments.bench.figures import Figure, folder


def measure() -> list[Figure]:
    """Once."""
    with folder() as made:
        began = time.perf_counter()
        command = ["make", "--no-print-directory", "-C", str(REPOSITORY), "run-experiment", f"RESULTS={made}"]
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - began
    return [Figure("make run-experiment", seconds, 60, "s", limit=True, detail=f"{os.cpu_count()} cores; the goal is for two")]
