"""Which folders of the host a job sees, and which it sees as its own."""

from __future__ import annotations

import sys
from pathlib import Path

from engines.base import REPOSITORY, EngineError

OWN = (Path("/dev"), Path("/proc"), Path("/run"), Path("/sys"))
"""Folders that every job has of its own."""
TEMPORARY = (Path("/tmp"), Path("/mnt"), Path("/media"))
"""Where a job's own temporary folder may lie: the first in which it needs nothing of the host."""


def temporary(results: Path) -> Path:
    """The folder that is covered with an empty one for a job's temporary files.

    Raises EngineError where the job would not see its results, the repository or its Python.
    """
    needed = tuple(folder.resolve() for folder in (results, REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)))
    for folder in needed:
        for own in OWN:
            if folder.is_relative_to(own):
                raise EngineError(f"{folder}: a job has a {own} of its own and would not see it; choose another place")
    for cover in TEMPORARY:
        if not any(folder.is_relative_to(cover) for folder in needed):
            return cover
    raise EngineError(f"no room for a job's temporary files: move the results out of {', '.join(map(str, TEMPORARY))}")
