"""The committed reference run can be had again, on any system: to the byte on its kernel, in its numbers on another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from experiments import reference
from tests.emulation.conftest import Emulation


def test_the_reference_run_can_be_had_again(emulation: Emulation, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "experiments.cli", "run", "fig1", "fig2", "--results", str(tmp_path))
    subprocess.run(command, check=True, capture_output=True)
    for name in ("fig1", "fig2"):
        (folder,) = tmp_path.glob(f"*-{name}")
        found = reference.compare(folder)
        assert found.same, (found.captures, found.metrics)
        assert found.compared
