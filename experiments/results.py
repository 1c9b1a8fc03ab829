"""The files that a run leaves: where each is, making the folders, manifest.json, the link to the latest."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from experiments import declarations
from experiments.scenario import Experiment, Run

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = "manifest.json"
_PACKAGES = ("mininet", "pyroute2", "scapy", "matplotlib", "numpy", "msgspec")


class ResultsError(RuntimeError):
    """A results folder cannot be written or read; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """How one run went: its folder below the experiment's, and why it failed or None."""

    folder: str
    failure: str | None
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """manifest.json: what was run, with what, where and when.

    ``started`` is UTC wall time in ISO 8601; ``kernel`` the kernel the emulation ran on; ``revision`` the project's git
    revision, "+" for local changes.
    """

    command: str
    experiment: Experiment
    runs_per_case: int
    seed: int
    engine: str
    kernel: str
    started: str
    revision: str
    versions: dict[str, str]
    wall_seconds: float = 0.0
    runs: tuple[RunRecord, ...] = field(default=())


def new_folder(results: Path, name: str, now: datetime) -> Path:
    """Make ``results``/<UTC time>-<name>, with a number behind it where that exists; ResultsError where it cannot be made."""
    stem = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{name}"
    for attempt in range(1, 1000):
        folder = results / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise ResultsError(f"cannot write results to {folder}: {error.strerror}; name another folder with --results") from None
    raise ResultsError(f"{results} holds too many folders named {stem}")


def run_folder(folder: Path, run: Run) -> Path:
    """Where a run's captures and events go."""
    return folder / run.case.scheme / run.case.label / f"{run.number}"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, whole or not at all; ResultsError where it cannot be written."""
    part = folder / f"{MANIFEST}.part"
    try:
        part.write_bytes(declarations.to_json(manifest))
        part.replace(folder / MANIFEST)
    except OSError as error:
        raise ResultsError(f"cannot write {folder / MANIFEST}: {error.strerror}; what was complete is kept") from None


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a results folder; ResultsError where there is none that can be read."""
    try:
        return declarations.load(folder / MANIFEST, Manifest)
    except declarations.DeclarationError as error:
        raise ResultsError(f"{error}; expected a folder that `dmmlab run` left") from None


def point_latest(folder: Path) -> None:
    """Let results/latest name ``folder``, at once."""
    link = folder.parent / "latest"
    fresh = folder.parent / f".latest-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.replace(link)


@cache
def versions() -> dict[str, str]:
    """The versions that the bytes of a run depend on."""
    return {
        "dmmlab": metadata.version("dmmlab"),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        "tcpdump": _first_line("tcpdump", "--version"),
    }


@cache
def revision() -> str:
    """The git revision of the project, "+" behind it where files differ, or "unknown" outside a checkout."""
    commit = _first_line("git", "-C", str(ROOT), "rev-parse", "HEAD")
    changed = _first_line("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return f"{commit or 'unknown'}{'+' if changed else ''}"


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout or done.stderr).partition("\n")[0] if done.returncode == 0 else ""


def command_line() -> str:
    """The command as it was typed, as far as that can be known."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
