"""The committed reference run: keeping one, and comparing another with it.

``python -m experiments.reference FOLDER ...`` keeps what is small of results folders in results/reference/: manifest, metrics,
summary, pictures, and the SHA-256 of every capture. With the same seed, kernel and versions (manifest.json) a run has the very
same captures on one system. On another, whose packages differ, some readings of the clock come sooner or later, 256 ns each: metrics
then agree to some microseconds, and random delays of the kernel (multicast reports, say) fall elsewhere.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from experiments import results
from experiments.measure import metrics

FOLDER = results.ROOT / "results" / "reference"
SUMS = "SHA256SUMS"
TOLERANCE_MS = 0.05
_KEPT = ("manifest.json", "metrics.csv", "summary.csv")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a run differs from the reference.

    ``same_versions``: whether kernel and versions are those of the reference's manifest; ``captures`` names captures whose bytes differ,
    ``metrics`` says which values do (times by more than TOLERANCE_MS, counts at all).
    """

    same_versions: bool
    captures: tuple[str, ...]
    metrics: tuple[str, ...]


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every capture below ``folder``, by relative path."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.pcap"))}


def keep(folder: Path, reference: Path = FOLDER) -> Path:
    """Keep what is small of the results in ``folder`` as the reference of its experiment; returns where."""
    target = reference / results.read_manifest(folder).experiment.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in (*(folder / name for name in _KEPT), *sorted(folder.glob("*.png"))):
        shutil.copy(path, target)
    (target / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in checksums(folder).items()))
    return target


def compare(folder: Path, reference: Path = FOLDER) -> Comparison:
    """Compare the results in ``folder`` with the reference of their experiment; ResultsError where either cannot be read."""
    manifest = results.read_manifest(folder)
    target = reference / manifest.experiment.name
    kept = results.read_manifest(target)
    lines = [line.split(maxsplit=1) for line in (target / SUMS).read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    found = checksums(folder)
    captures = tuple(name for name in sorted({*sums, *found}) if sums.get(name) != found.get(name))
    return Comparison((manifest.kernel, manifest.versions) == (kept.kernel, kept.versions), captures, _differing(folder, target))


def _differing(folder: Path, target: Path) -> tuple[str, ...]:
    expected, found = (
        {(row.scheme, row.policy, row.run, row.metric): (row.value, row.unit) for row in metrics.read_metrics(place / "metrics.csv")}
        for place in (target, folder)
    )
    said = []
    for key in sorted({*expected, *found}):
        one, other = expected.get(key), found.get(key)
        if one is None or other is None or abs(one[0] - other[0]) > (TOLERANCE_MS if one[1] == "ms" else 1e-3):
            said.append(f"{' '.join(map(str, key))}: reference {one and one[0]}, here {other and other[0]}")
    return tuple(said)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(keep(Path(argument).resolve()))
