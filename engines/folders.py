"""Which folders of the host a job sees."""

from __future__ import annotations

import sys
from pathlib import Path

from engines.base import REPOSITORY

COVERED = (Path("/run"), Path("/tmp"))
"""Folders that a job sees empty and as its own."""


def needed() -> tuple[Path, ...]:
    """What a job reads besides the system's own files: the repository and its Python."""
    return tuple(dict.fromkeys((REPOSITORY, Path(sys.prefix).absolute(), Path(sys.base_prefix).absolute())))


def covered(folder: Path) -> bool:
    """Whether ``folder`` lies below one that a job sees empty."""
    return any(folder.is_relative_to(cover) for cover in COVERED)
