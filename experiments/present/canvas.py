"""Matplotlib with settings of our own: whatever a user's matplotlibrc, styles or backend say, a figure has the same bytes.

They stay as they are for whoever else draws in this process. Import this before any other part of matplotlib: it loads matplotlib even
where the user's settings keep it from loading, as does the backend of a notebook that is not installed here.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.declare import files
from experiments.present import style

RESOLUTION = 160
"""Pixels per inch of a PNG, and of what is drawn as pixels within an SVG."""

_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dmmlab",
    "font.family": style.FONT,
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": style.MUTED,
    "axes.linewidth": 0.7,
    "axes.labelcolor": style.INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": style.MUTED,
    "ytick.color": style.MUTED,
    "xtick.labelcolor": style.INK,
    "ytick.labelcolor": style.INK,
    "text.color": style.INK,
    "figure.facecolor": "white",
    "path.simplify": False,
}
_NOT_DRAWN_WITH = ("backend", "backend_fallback", "interactive", "toolbar")
"""Settings of windows, of which a figure in a file has none; those that ``rc_context`` would not restore are among them."""


_NO_PNG_METADATA = {"Software": None}
_NO_SVG_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def _load() -> ModuleType:
    try:
        import matplotlib
    except Exception:
        for half_loaded in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[half_loaded]
        with _without_settings():
            import matplotlib
    return matplotlib


@contextlib.contextmanager
def _without_settings() -> Iterator[None]:
    """No settings of the user's: neither the backend of the environment, nor a matplotlibrc named there, here, or in the user's folders."""
    kept = {name: os.environ.get(name) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
    os.environ.pop("MPLBACKEND", None)
    os.environ["MATPLOTLIBRC"] = os.devnull
    try:
        with contextlib.chdir(Path(__file__).parent):
            yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


matplotlib = _load()


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """Within, matplotlib's own defaults and ours hold, and nothing of the user's."""
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name not in _NOT_DRAWN_WITH}
    with matplotlib.rc_context({**defaults, **_SETTINGS}):
        yield


def save(draw: Callable[[], Any], png: Path, svg: Path) -> None:
    """Write the figure that ``draw`` returns to both files, without dates or versions in them."""
    with settings():
        figure = draw()
        for path, backend, kind, metadata in ((png, "agg", "png", _NO_PNG_METADATA), (svg, "svg", "svg", _NO_SVG_METADATA)):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, dpi=RESOLUTION, backend=backend, metadata=metadata)
            files.write(path, drawn.getvalue())
