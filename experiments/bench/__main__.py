"""``make bench``: how fast the testbed is, each figure beside its goal, in one run on one machine.

``python -m experiments.bench [PART ...]``; with no part, all of them. Absolute times depend on the machine; ratios of two times hardly do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from engines.base import REPOSITORY
from experiments.bench import bringup, core, data_plane, floods, handover, large, memory, signalling, whole
from experiments.bench.figures import Figure, write
from experiments.present import terminal

_PARTS: dict[str, Callable[[], list[Figure]]] = {
    "core": core.measure,
    "memory": memory.measure,
    "signalling": signalling.measure,
    "data-plane": data_plane.measure,
    "handover": handover.measure,
    "whole": whole.measure,
    "bringup": bringup.measure,
    "floods": floods.measure,
    "large": large.measure,
}


def main() -> int:
    """Run the parts asked for, print a table and write it as JSON; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(prog="experiments.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which: {', '.join(_PARTS)}")
    parser.add_argument("--json", type=Path, default=REPOSITORY / "results" / "bench.json", metavar="FILE", help="write the figures here")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in _PARTS]
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}; expected {', '.join(_PARTS)}")
    figures = [figure for part in options.parts or _PARTS for figure in _PARTS[part]()]
    terminal.show_bench((f.what, _value(f.measured, f.unit), f.detail, _value(f.goal, f.unit), f.ratio) for f in figures)
    write(options.json, figures)
    return 0 if all(figure.ratio >= 1 for figure in figures) else 1


def _value(number: float, unit: str) -> str:
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


if __name__ == "__main__":
    sys.exit(main())
