"""Trying the machine: whether virtual time gives the reference's bytes in it, and how far real time is from the model."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import statistics
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from vm import qemu
from vm.build import FOLDER, MEMORY, PROCESSORS, Image
from vm.qemu import Machine
from vm.run import RESULTS, Running, check_image, overlay, started

EXPERIMENTS = ("fig1", "handover")
REAL_TIME = {"native": len(EXPERIMENTS), "uml": 1}
"""How many of the experiments are played in real time by an engine: translated, what ``uml`` does for each system call takes so long that
its captures miss packets of a handover."""
_WALL_LIMIT = 7200
"""s of wall time that a run may take: translated, on a host with other work, many times the usual is no sign of a hang."""
_NAME = "vm-test"
_PORT = 2322


def trial(image: Image, experiments: Sequence[str] = EXPERIMENTS) -> bool:
    """Boot the machine twice, by UEFI and by BIOS, under TCG, and run the experiments in it; whether all is as it has to be.

    What runs leave stays in results/vm-test, which the machine makes itself, so that it is its user's.
    """
    check_image(image)
    results = RESULTS / _NAME
    shutil.rmtree(results, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    with _booted(image, uefi=True) as machine:
        virtual = machine.show(f"{_run(experiments)} --results results/{_NAME}") == 0
        same = machine.show(f"dmmlab compare results/{_NAME}/latest") == 0
    found = [("virtual time: all as the model expects", virtual), ("virtual time: the reference's bytes and numbers", same)]
    with _booted(image, uefi=False) as machine:
        for engine, most in REAL_TIME.items():
            folder = results / engine
            machine.show(f"{_run(experiments[:most])} --engine {engine} --jobs 1 --results results/{_NAME}/{engine}")
            errors = sorted(_errors(folder))
            found.append((f"{engine}: {_whole(folder)}; {_told(errors)}", bool(errors)))
    for what, good in found:
        print(f"vm-test: {'well' if good else 'FAILED'}: {what}")
    return all(good for _, good in found)


def _run(experiments: Sequence[str]) -> str:
    return f"dmmlab run {shlex.join(experiments)} --wall-limit {_WALL_LIMIT}"


def _booted(image: Image, uefi: bool) -> AbstractContextManager[Running]:
    private = qemu.key(FOLDER)
    machine = Machine(
        disk=overlay(image.file("qcow2"), _NAME, keep=False),
        share=RESULTS,
        port=qemu.free_port(_PORT),
        public_key=private.with_suffix(".pub").read_text(encoding="ascii").strip(),
        kvm=False,
        uefi=FOLDER if uefi else None,
        window=False,
        processors=PROCESSORS,
        memory=MEMORY,
    )
    return started(machine, private, FOLDER / "console.log")


def _whole(folder: Path) -> str:
    """How many runs in ``folder`` ended well, in words: in real time a slow machine loses packets of its captures, and says so."""
    manifests = (json.loads(path.read_bytes()) for path in folder.glob("*/manifest.json") if not path.parent.is_symlink())
    failures = [run["failure"] for manifest in manifests for run in manifest["runs"]]
    return f"{failures.count(None)} of {len(failures)} runs are complete"


def _errors(folder: Path) -> Iterator[float]:
    """Measured less expected, in ms, of each time in the summaries of runs in ``folder``."""
    for summary in sorted(path for path in folder.glob("*/summary.csv") if not path.parent.is_symlink()):
        with summary.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["unit"] == "ms" and row["expected"] and row["mean"]:
                    yield float(row["mean"]) - float(row["expected"])


def _told(errors: Sequence[float]) -> str:
    """The distribution of sorted errors, in words."""
    if len(errors) < 2:
        return "no times were measured"
    tenths = statistics.quantiles(errors, n=10, method="inclusive")
    return (
        f"{len(errors)} times, measured less expected: least {errors[0]:.1f} ms, a tenth below {tenths[0]:.1f}, "
        f"median {statistics.median(errors):.1f}, a tenth above {tenths[-1]:.1f}, most {errors[-1]:.1f}"
    )
