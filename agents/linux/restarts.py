"""How often an agent has started, kept in a file (RFC 5847, 3.2)."""

from __future__ import annotations

import os
from pathlib import Path

_COUNTERS = 1 << 32


def next_restart(path: Path) -> int:
    """The Restart Counter of an agent that starts now: 0 the first time, and one more than ``path`` says each time after.

    Raises:
        OSError: the file cannot be read or written.
        ValueError: it holds no counter; it is left as it is.
    """
    try:
        said = path.read_text()
    except FileNotFoundError:
        said = "-1"
    try:
        counter = (int(said) + 1) % _COUNTERS
    except ValueError:
        raise ValueError(f"{path} holds no restart counter: {said[:20]!r}") from None
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(f"{counter}\n")
    os.replace(fresh, path)
    return counter
