"""The committed reference run: keeping one, and comparing another with it.

``python -m experiments.reference FOLDER ...`` keeps what is small of results folders in results/reference/: manifest, metrics,
summary, pictures, and the SHA-256 of every capture.

In virtual time a run's captures follow from its declaration, its seed and its kernel, and from nothing else: reading the clock takes no
time there and the network draws from streams of its own, so that other versions of Python, of its packages or of libpcap change no byte.
The same kernel (as the manifest names it: the release of its source, and the hash of what it was built from) therefore has to give the
same captures. Another kernel, or an engine in real time, may do things in another order or later; its numbers then have to agree, within
the engine's tolerance.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from engines.base import REPOSITORY
from experiments.analyse import measure
from experiments.declare import files
from experiments.declare.scenario import Case
from experiments.declare.tolerance import TOLERANCES, Tolerance
from experiments.measure import metrics, results
from experiments.measure.comparison import Comparison
from experiments.measure.metrics import MetricRow
from experiments.measure.pcap import MOST_OCTETS, find_capture
from experiments.measure.records import Reason
from experiments.measure.results import Manifest

FOLDER = REPOSITORY / "results" / "reference"
SUMS = "SHA256SUMS"
_KEPT = ("manifest.json", "metrics.csv", "summary.csv")
_NAMED = 3
_ROUNDED = 1e-6
"""What rounding in metrics.csv may add."""
_ZERO_WHERE_ABSENT = frozenset(reason.metric for reason in Reason)
"""Metrics that are written only where some run of the experiment has more than 0."""


class NotComparable(results.ResultsError):
    """The reference has nothing to compare a run with; the message is one line that says why."""


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every capture below ``folder``, by relative path."""
    return {str(path.relative_to(folder)): _digest(path) for path in sorted(folder.rglob("*.pcap"))}


def _digest(path: Path) -> str:
    """The SHA-256 of a capture, or why it cannot be read, which is the digest of none."""
    try:
        with files.opened(path) as file:
            if file.seek(0, 2) > MOST_OCTETS:
                return "too large"
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return str(error.strerror)


def keep(folder: Path, reference: Path = FOLDER) -> Path:
    """Keep what is small of the results in ``folder`` as the reference of its experiment; returns where."""
    name = results.read_manifest(folder).experiment.name
    target, fresh = reference / name, reference / f".{name}.part"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        for path in (*(folder / kept for kept in _KEPT), *sorted(folder.glob("*.png"))):
            files.write(fresh / path.name, files.read(path))
        files.write(fresh / SUMS, "".join(f"{digest}  {of}\n" for of, digest in checksums(folder).items()))
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def compare(folder: Path, reference: Path = FOLDER) -> Comparison:
    """Compare the results in ``folder`` with the reference of their experiment: the runs that both have, measured first where they are not.

    Raises:
        NotComparable: the reference has no such experiment, or one of another network, scenario, seed or settings.
        NoResultsError: ``folder`` is not one that a run left.
    """
    manifest = results.read_manifest(folder)
    name = manifest.experiment.name
    target = reference / name
    if not target.is_dir():
        names = ", ".join(sorted(path.name for path in reference.glob("*") if path.is_dir()))
        raise NotComparable(f"{name}: the reference has no such experiment; it has {names or 'none'}")
    kept = results.read_manifest(target)
    if other := [what for what, of in _MUST_AGREE if of(manifest) != of(kept)]:
        raise NotComparable(f"{name}: not comparable with the reference: other {' and '.join(other)}")
    here, there = _complete(manifest), _complete(kept)
    runs = {run for run, case in here.items() if there.get(run) == case}
    if not runs:
        raise NotComparable(f"{name}: not comparable with the reference: no run of one case is complete in both")
    if not runs <= {_run(row) for row in _rows(folder)}:
        measure(folder)
    same_engine = manifest.engine == kept.engine
    sums, found = (_only(runs, _kept_sums(target)), _only(runs, checksums(folder))) if same_engine else ({}, {})
    converted = {name: path for name in sums if name not in found and (path := _capture(folder / name)).exists()}
    captures = sorted({*sums, *found} - {*converted})
    values, differing, noise = _numbers(folder, target, TOLERANCES[manifest.engine], runs)
    return Comparison(
        name=name,
        kernel="" if same_engine and manifest.kernel == kept.kernel else _elsewhere(manifest, kept),
        compared=len(captures),
        captures=tuple(path for path in captures if sums.get(path) != found.get(path)),
        values=values,
        metrics=differing,
        noise=noise,
        failed=tuple(record.folder for record in manifest.runs if record.failure is not None),
        notes=(
            *_alone("here", here, runs),
            *_alone("in the reference", there, runs),
            *(f"not compared, for its bytes cannot be: {path.relative_to(folder)}" for path in converted.values()),
            *_other_versions(manifest, kept),
        ),
    )


def _capture(named: Path) -> Path:
    return find_capture(named.parent, named.stem)


_MUST_AGREE: tuple[tuple[str, Callable[[Manifest], Any]], ...] = (
    ("network", lambda manifest: manifest.experiment.domain),
    ("flows, moves or faults", lambda manifest: manifest.experiment.scenario),
    ("settings", lambda manifest: manifest.settings),
    ("seed", lambda manifest: manifest.seed),
    ("phase", lambda manifest: manifest.phase),
)
"""What two runs must have in common for their numbers to be the same, and what to call it."""


def _elsewhere(manifest: Manifest, kept: Manifest) -> str:
    if manifest.engine != kept.engine:
        return f"another engine, {manifest.engine}; the reference's is {kept.engine}"
    return f"another kernel, {manifest.kernel}; the reference's is {kept.kernel}"


def _complete(manifest: Manifest) -> dict[str, Case]:
    """The case of each run that ended well, by the run's folder."""
    well = {record.folder for record in manifest.runs if record.failure is None}
    return {name: run.case for run in manifest.planned if (name := results.record_name(run)) in well}


def _kept_sums(target: Path) -> dict[str, str]:
    lines = (line.split(maxsplit=1) for line in (target / SUMS).read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, name in lines}


def _only(runs: Collection[str], sums: dict[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in sums.items() if str(Path(path).parent) in runs}


def _rows(folder: Path) -> tuple[MetricRow, ...]:
    """Those of metrics.csv; none where it is not there or cannot be read."""
    try:
        return metrics.read_metrics(folder / "metrics.csv")
    except metrics.MetricsFileError:
        return ()


def _run(row: MetricRow) -> str:
    """The folder of a row's run."""
    return f"{row.scheme}/{row.policy}/{row.run}"


def _numbers(folder: Path, target: Path, tolerance: Tolerance, runs: Collection[str]) -> tuple[int, tuple[str, ...], float]:
    """How many numbers of the runs there are, what each that differs says, and the most ms by which others differ.

    In real time it may be chance whether a run has a metric at all, such as the longest wait of a packet.
    """
    expected, found = (
        {
            (_run(row), row.metric, row.unit): row.value
            for row in _rows(place)
            if _run(row) in runs and tolerance.of(row.metric, row.unit) is not None
        }
        for place in (target, folder)
    )
    said, noise = [], 0.0
    for key in sorted({*expected, *found}):
        run, metric, unit = key
        absent = 0.0 if metric in _ZERO_WHERE_ABSENT else None
        one, other = expected.get(key, absent), found.get(key, absent)
        if one is None or other is None:
            said += [f"{run} {metric}: {'not in the reference' if one is None else 'not here'}"] if tolerance.exact else []
        elif abs(other - one) > (tolerance.of(metric, unit) or 0.0) + _ROUNDED:
            said.append(f"{run} {metric}: {other:.9g} {unit}, in the reference {one:.9g}")
        elif unit == metrics.MILLISECONDS:
            noise = max(noise, abs(other - one))
    return len({*expected, *found}), tuple(said), noise


def _alone(where: str, complete: Collection[str], runs: Collection[str]) -> Iterator[str]:
    """That some runs are complete on one side only, or their cases are not the same."""
    alone = [name for name in complete if name not in runs]
    if alone:
        named = ", ".join(alone[:_NAMED])
        yield f"not compared, for only {where}: {named}{f' and {len(alone) - _NAMED} more' if len(alone) > _NAMED else ''}"


def _other_versions(manifest: Manifest, kept: Manifest) -> Iterator[str]:
    here = manifest.versions
    other = [f"{name} {here.get(name, 'none')}" for name, version in kept.versions.items() if here.get(name) != version]
    if other:
        yield f"other versions than the reference's, which does not matter: {', '.join(other)}"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(keep(Path(argument).resolve()))
