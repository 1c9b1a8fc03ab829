"""One emulation, inside the kernel that an engine provides: a session that plays what its run declares.

``python -m experiments.play.emulate FOLDER`` reads FOLDER/run.json and leaves captures and events in FOLDER.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from experiments.declare import declarations, keys
from experiments.declare.scenario import FAILED, Run
from experiments.play.session import Session


def emulate(folder: Path) -> None:
    """Play the run that ``folder``/run.json declares; an exception leaves what was captured until then."""
    run = keys.unlocked(declarations.load(folder / "run.json", Run), folder)
    with Session(run, folder):
        pass


if __name__ == "__main__":
    try:
        emulate(Path(sys.argv[1]))
    except Exception as error:
        traceback.print_exc()
        sys.exit(f"{FAILED}{error or type(error).__name__}")
