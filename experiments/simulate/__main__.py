"""``python -m experiments.simulate FOLDER`` plays the run that FOLDER/run.json declares and leaves there what an emulation leaves."""

from __future__ import annotations

import gc
import sys
import time
import traceback
from pathlib import Path

from experiments.declare.scenario import FAILED
from experiments.simulate.play import simulate


def main() -> None:
    """Simulate; where that fails, the last line says why. What a run makes is as good as never garbage, so that nobody looks for it."""
    gc.disable()
    began = time.monotonic()
    try:
        clock = simulate(Path(sys.argv[1]))
    except Exception as error:
        traceback.print_exc()
        sys.exit(f"{FAILED}{error or type(error).__name__}")
    taken = time.monotonic() - began
    print(f"dmmlab: {clock.events:,} events in {taken:.2f} s, {clock.events / taken:,.0f} a second")


if __name__ == "__main__":
    main()
