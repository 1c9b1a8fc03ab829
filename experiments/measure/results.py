"""The files that a run leaves: where each is, making the folders, manifest.json and overview.json, the link to the latest."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from engines.base import REPOSITORY
from experiments.declare import admission, declarations, files, keys
from experiments.declare.phase import Phase, with_drawn_phase
from experiments.declare.scenario import DRAFT, Experiment, Run
from topologies.domain import shorten

T = TypeVar("T")
MANIFEST = "manifest.json"
OVERVIEW = "overview.json"
_PACKAGES = ("mininet", "pyroute2", "scapy", "matplotlib", "numpy", "msgspec")


class ResultsError(RuntimeError):
    """A results folder cannot be written or used; the message says which and what to do."""


class NoResultsError(ResultsError):
    """What was named is no folder that `dmmlab run` left."""


class ResumptionError(ResultsError):
    """The rest of an experiment's runs would not be like those that it has."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """How one run went: its folder below the experiment's, and why it failed or None."""

    folder: str
    failure: str | None
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """manifest.json: what was run, with what, where and when; written before the first run and after each.

    ``started`` is UTC wall time in ISO 8601; ``kernel`` the kernel the emulation ran on, as its engine names it: the release of its
    source, and for one that we build the hash of what it was built from; ``revision`` the project's git revision, "+" for local
    changes; ``settings`` those of the agents by dotted name that hold for all cases; ``phase`` whether moves and flows begin as declared
    or each run's are drawn from its seed; ``runs`` those that have ended, in the order of ``planned``.
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
    settings: dict[str, str] = field(default_factory=dict)
    phase: Phase = Phase.DECLARED
    format: int = declarations.FORMAT

    @property
    def planned(self) -> tuple[Run, ...]:
        """Every run that belongs to it, whether it has ended or not."""
        experiment = self.experiment
        declared = (
            Run(
                experiment.name,
                experiment.domain,
                case,
                experiment.scenario,
                number,
                self.seed + number - 1,
                self.engine,
                self.settings,
            )
            for case in experiment.cases
            for number in range(1, self.runs_per_case + 1)
        )
        return tuple(with_drawn_phase(run) if self.phase is Phase.DRAWN else run for run in declared)


@dataclass(frozen=True, slots=True)
class Overview:
    """overview.json: which experiments one command ran, as the names of their folders beside this one."""

    command: str
    started: str
    experiments: tuple[str, ...]


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


def record_name(run: Run) -> str:
    """A run's folder below the experiment's, as a RunRecord names it."""
    return str(run_folder(Path(), run))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, whole or not at all; ResultsError where it cannot be written."""
    _write(folder / MANIFEST, manifest)


def write_overview(folder: Path, overview: Overview) -> None:
    """Write overview.json, whole or not at all; ResultsError where it cannot be written."""
    _write(folder / OVERVIEW, overview)


def _write(path: Path, declaration: Manifest | Overview) -> None:
    try:
        files.write(path, declarations.to_json(declaration))
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror}; what was complete is kept") from None


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an experiment's results folder, names and numbers checked; NoResultsError where there is none that can be read."""
    return _upgraded(_read(folder / MANIFEST, Manifest, check_manifest))


def _upgraded(manifest: Manifest) -> Manifest:
    """A manifest as it is written now. In format 1 names of experiments and figures said what an experiment is held against."""
    if manifest.format == declarations.FORMAT:
        return manifest
    experiment = manifest.experiment
    draft = tuple(part for part in DRAFT if part in (experiment.name, *experiment.figures))
    figures = tuple(figure for figure in experiment.figures if figure not in DRAFT)
    return replace(manifest, experiment=replace(experiment, draft=draft, figures=figures), format=declarations.FORMAT)


def check_manifest(manifest: Manifest) -> None:
    """AdmissionError or DomainError where its experiment cannot be run or analysed, or a run that has ended is none of those planned."""
    admission.check_experiment(manifest.experiment, manifest.runs_per_case, manifest.seed, manifest.engine, manifest.settings)
    planned = {record_name(run) for run in manifest.planned}
    for record in manifest.runs:
        if record.folder not in planned:
            raise admission.AdmissionError(f"expected each run's folder once, as planned, not {shorten(record.folder)}")
        planned.remove(record.folder)


def read_run(folder: Path, record: RunRecord) -> tuple[Run, Path]:
    """The declaration of a run and its folder below ``folder``; DeclarationError where it cannot be read, or is of another run."""

    def check(run: Run) -> None:
        admission.check_run(run)
        if record_name(run) != record.folder:
            raise admission.AdmissionError(f"expected the declaration of the run {record.folder}, not of {shorten(record_name(run))}")

    try:
        where = files.place(folder, record.folder)
    except OSError as error:
        raise declarations.DeclarationError(f"{error.filename}: {error.strerror}") from None
    return _checked(where / "run.json", Run, check), where


def experiments(folder: Path) -> tuple[Path, ...]:
    """The experiments' folders that ``folder`` stands for: itself, or those of an overview; NoResultsError where it is neither."""
    folder = folder.resolve()
    if os.path.lexists(folder / OVERVIEW):
        names = _read(folder / OVERVIEW, Overview, _check_overview).experiments
        try:
            return tuple(files.place(folder.parent, name) for name in names)
        except OSError as error:
            raise NoResultsError(f"{error.filename}: {error.strerror}") from None
    read_manifest(folder)
    return (folder,)


def _check_overview(overview: Overview) -> None:
    for name in overview.experiments:
        admission.check_name("an experiment's folder", name)


def _read(path: Path, kind: type[T], check: Callable[[T], None]) -> T:
    try:
        return _checked(path, kind, check)
    except declarations.FormatError as error:
        raise NoResultsError(str(error)) from None
    except declarations.DeclarationError as error:
        raise NoResultsError(f"{error}; expected a folder that `dmmlab run` left") from None


def _checked(path: Path, kind: type[T], check: Callable[[T], None]) -> T:
    declaration = declarations.load(path, kind)
    try:
        check(declaration)
    except (ValueError, ArithmeticError) as error:
        raise declarations.DeclarationError(f"{path}: {error}") from None
    return declaration


def point_latest(folder: Path) -> None:
    """Let results/latest name ``folder``, at once."""
    link = folder.parent / "latest"
    fresh = folder.parent / f".latest-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.replace(link)


@cache
def versions() -> dict[str, str]:
    """The versions of what took part in a run. None of them changes what its captures hold, as long as the kernel is the same."""
    return {
        "dmmlab": metadata.version("dmmlab"),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        "libpcap": _line("libpcap version", "tcpdump", "--version").removeprefix("libpcap version "),
    }


@cache
def revision() -> str:
    """The git revision of the project, "+" behind it where files differ: of the checkout, or of the archive that `git archive` made.

    "unknown" where it is neither.
    """
    archived = (REPOSITORY / "experiments" / "revision.txt").read_text(encoding="ascii").strip()
    commit = _line("", "git", "-C", str(REPOSITORY), "rev-parse", "HEAD") or ("" if archived.startswith("$") else archived)
    changed = _line("", "git", "-C", str(REPOSITORY), "status", "--porcelain", "--untracked-files=no")
    return f"{commit or 'unknown'}{'+' if changed else ''}"


def _line(start: str, *command: str) -> str:
    """The first line with this start of what a command says, or nothing where it cannot be had."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    lines = (done.stdout or done.stderr).splitlines() if done.returncode == 0 else []
    return next((line for line in lines if line.startswith(start)), "")


@cache
def version() -> str:
    """The project's version and git revision, for people."""
    return f"{metadata.version('dmmlab')} (revision {revision()})"


def command_line() -> str:
    """The command as it was typed, as far as that can be known, with the fingerprint of a key."""
    return " ".join([Path(sys.argv[0]).name, *map(keys.redacted, sys.argv[1:])])
