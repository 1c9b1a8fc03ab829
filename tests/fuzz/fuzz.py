"""``python tests/fuzz/fuzz.py --minutes 10 [TARGET...]``: look for inputs that break the fuzz targets, guided by coverage (atheris).

The time is shared by the targets. What a target has learnt stays in ``.fuzz/TARGET``; an input that breaks it goes into
``tests/fuzz/found``, and from then on is a unit test. Exit status 1 where one was found.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from hashlib import sha256
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORPORA = ROOT / ".fuzz"
FOUND = ROOT / "tests" / "fuzz" / "found"
CODE = ["agents", "experiments.measure"]

_LONGEST_INPUT = 4096
_LONGEST_RUN = 20
_MEGABYTES = 1024
_STATISTICS = re.compile(r"#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+).*exec/s: (\d+)")


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=CODE):
        target = import_module("targets").TARGETS[name]
    corpus = CORPORA / name
    corpus.mkdir(parents=True, exist_ok=True)
    FOUND.mkdir(exist_ok=True)
    for seed in target.seeds():
        (corpus / sha256(seed).hexdigest()).write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "max_len": _LONGEST_INPUT,
        "timeout": _LONGEST_RUN,
        "rss_limit_mb": _MEGABYTES,
        "artifact_prefix": f"{FOUND}/{name}-",
    }
    atheris.Setup([sys.argv[0], *(f"-{option}={value}" for option, value in options.items()), str(corpus)], target.run)
    atheris.Fuzz()


def run(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own and say how it went; whether nothing was found."""
    command = [sys.executable, __file__, "--alone", str(seconds), name]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    done = _STATISTICS.findall(ended.stdout)
    if ended.returncode or not done:
        print(f"{name}: broken\n{ended.stdout[-4000:]}", flush=True)
        return False
    inputs, branches, features, kept, speed = done[-1]
    print(f"{name}: {inputs} inputs, {speed}/s; {branches} branches, {features} features, corpus of {kept}", flush=True)
    return True


def main() -> int:
    """Fuzz all targets, or those named."""
    parser = argparse.ArgumentParser(description="Look for inputs that break the fuzz targets.")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together (%(default)g)")
    parser.add_argument("--alone", type=int, metavar="SECONDS", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    sys.path[1:1] = [str(ROOT), str(ROOT / "tests" / "unit")]
    if options.alone is not None:
        fuzz(options.targets[0], options.alone)
    names = options.targets or sorted(path.stem.removeprefix("fuzz_") for path in Path(__file__).parent.glob("fuzz_*.py"))
    seconds = round(options.minutes * 60 / len(names))
    sound = [run(name, seconds) for name in names]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
